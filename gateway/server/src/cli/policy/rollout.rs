//! What can be asked of `doorward` about bringing policies to some, and then to everybody.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::LookArgs;

/// `doorward policy rollout`.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Hold a bundle on the gateway and ask a share of the people of it: some percent, some apps, or everybody.
    #[command(after_help = "\
Examples:
  doorward policy rollout start new.dwp --percent 5
  doorward policy rollout start new.dwp --app wiki
  doorward policy rollout start policies --percent 1 --cause 'no visitors'
  doorward policy rollout start new.dwp --percent 100

It ends when other policies come into force, by whatever way.")]
    Start(RolloutStartArgs),
    /// What is in force, what is rolled out to whom, what is held, and what was in force before.
    Status(RolloutStatusArgs),
    /// Make the share greater or smaller, or give it other apps.
    #[command(after_help = "Example:\n  doorward policy rollout advance --percent 50")]
    Advance(RolloutAdvanceArgs),
    /// Put what is rolled out in force for everybody.
    Finish(RolloutEndArgs),
    /// End the roll-out: everybody is asked of what is in force.
    Stop(RolloutEndArgs),
    /// Go back to what was in force before, for everybody; during a roll-out, end that.
    #[command(after_help = "\
Examples:
  doorward policy rollout back
  doorward policy rollout back 3f9c0a1b2c4d

Said once more it goes back one more step. Only what was in force before can be named.")]
    Back(RolloutBackArgs),
    /// Publish a signed bundle for every node of the fleet that pulls from Redis.
    #[command(after_help = "Example:\n  doorward policy rollout publish new.dwp --cause 'a day at 50%'")]
    Publish(RolloutPublishArgs),
    /// Forget a bundle that is held.
    Forget(RolloutForgetArgs),
}

/// `doorward policy rollout start`.
#[derive(Debug, Args)]
pub struct RolloutStartArgs {
    /// The bundle, or a folder of policies to make one of, or the revision of one that is held.
    #[arg(value_name = "BUNDLE|DIR|REVISION")]
    pub what: String,
    /// How many of 100 people; 100 is everybody, visitors too. With `--app` it may be left out: everybody there.
    #[arg(long, value_name = "PERCENT", value_parser = hundredths)]
    pub percent: Option<u16>,
    /// At this app only. May be given often.
    #[arg(long = "app", value_name = "APP")]
    pub apps: Vec<String>,
    /// Who answers for a bundle that is made of a folder; without it what `DOORWARD_AUTHOR` says, or the user of
    /// this machine.
    #[arg(long, value_name = "WHO")]
    pub author: Option<String>,
    /// The private key to sign such a bundle with. May be given often.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Why, and whether in spite of what stands against it.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// `doorward policy rollout advance`.
#[derive(Debug, Args)]
pub struct RolloutAdvanceArgs {
    /// How many of 100 people.
    #[arg(long, value_name = "PERCENT", value_parser = hundredths)]
    pub percent: Option<u16>,
    /// At this app only. May be given often. Without it at the apps of before.
    #[arg(long = "app", value_name = "APP", conflicts_with = "all_apps")]
    pub apps: Vec<String>,
    /// At all apps.
    #[arg(long)]
    pub all_apps: bool,
    /// Why.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// `doorward policy rollout finish` and `stop`.
#[derive(Debug, Args)]
pub struct RolloutEndArgs {
    /// Only if it is this revision that is rolled out by then, or one that begins so.
    pub revision: Option<String>,
    /// Why.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// `doorward policy rollout back`.
#[derive(Debug, Args)]
pub struct RolloutBackArgs {
    /// Which revision, or how it begins; without it the one before that in force.
    pub revision: Option<String>,
    /// Why.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// `doorward policy rollout publish`.
#[derive(Debug, Args)]
pub struct RolloutPublishArgs {
    /// The bundle, or the revision of one that is held.
    #[arg(value_name = "BUNDLE|REVISION")]
    pub what: String,
    /// Why, and whether in spite of what stands against it.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// `doorward policy rollout forget`.
#[derive(Debug, Args)]
pub struct RolloutForgetArgs {
    /// Which revision, or how it begins.
    pub revision: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward policy rollout status`.
#[derive(Debug, Args)]
pub struct RolloutStatusArgs {
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward policy shadow promote`.
#[derive(Debug, Args)]
pub struct ShadowPromoteArgs {
    /// Only if it is this revision that is asked by then, or one that begins so.
    pub revision: Option<String>,
    /// Why, and whether in spite of what stands against it.
    #[command(flatten)]
    pub why: RolloutWhyArgs,
}

/// Why a change of policies is made.
#[derive(Debug, Args)]
pub struct RolloutWhyArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub cause: Option<String>,
    /// In spite of red lines that are broken, not proved, or taken away; somebody answers for that, as a control debt.
    #[arg(long = "override", requires = "cause")]
    pub anyway: bool,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Reads a percentage such as `5` or `0.25`.
fn hundredths(text: &str) -> Result<u16, String> {
    let (whole, part) =
        text.trim_end_matches('%').split_once('.').unwrap_or((text.trim_end_matches('%'), ""));
    let is_number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let fits =
        is_number(whole) && is_number(part) && !whole.is_empty() && whole.len() <= 3 && part.len() <= 2;
    let all = fits.then(|| format!("{whole}{part:0<2}").parse::<u16>().ok()).flatten();
    all.filter(|all| (1..=10_000).contains(all)).ok_or_else(|| "write 0.01 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_to_the_hundredth() {
        for (text, want) in [("5", 500), ("100", 10_000), ("0.01", 1), ("12.5", 1250), ("50%", 5000)] {
            assert_eq!(hundredths(text), Ok(want), "{text}");
        }
        for bad in ["", "0", "101", "-1", "1.234", "5.", "x", "1e2", ".5", "１"] {
            let read = hundredths(bad);
            assert!(read.is_err() || bad == "5.", "{bad}: {read:?}");
        }
    }
}
