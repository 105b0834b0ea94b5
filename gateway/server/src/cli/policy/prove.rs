//! `doorward policy prove`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::{ConfigArg, Format};

/// Examples in the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  doorward policy prove --dir policies
  doorward policy prove --dir policies --only line.contractors
  doorward policy prove --dir policies --against deployed/
  doorward policy prove --dir policies --format json

It needs cvc5 (`apt-get install cvc5`, or DOORWARD_CVC5=/path/to/cvc5; a script
there ends in `exec`); the gateway never does.

Exit codes: 0 every line is proved, or with --against nothing is newly allowed
and every red line is as it was; 1 one could not be proved that must be, or a red
line was removed, changed or softened, or there is no solver; 2 one is broken
(with --against: one that was removed or changed), something is newly allowed,
or the policies have mistakes.";

/// `doorward policy prove`.
#[derive(Debug, Args)]
pub struct PolicyProveArgs {
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only the red line of this name.
    #[arg(long, value_name = "ID", conflicts_with = "against")]
    pub only: Option<String>,
    /// How long everything may take: `60s`, `10m`. What is not proved by then is unknown.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = budget)]
    pub budget: Duration,
    /// Compare with the policies in this folder instead: does the edit widen what is allowed, or narrow it, and do
    /// the red lines still hold that it removes or changes?
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn budget(written: &str) -> Result<Duration, String> {
    let wrong = || "write seconds or minutes, such as `60s` or `10m`, of a day at most".to_owned();
    let (number, unit) = match (written.strip_suffix('s'), written.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let seconds = seconds.filter(|s| (1..=86_400).contains(s));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_unit_and_an_end() {
        assert_eq!(budget("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(budget("10m"), Ok(Duration::from_secs(600)));
        for bad in ["", "0s", "60", "s", "-1s", "1d", "86401s", "99999999999999999999m", "1.5m"] {
            assert!(budget(bad).is_err(), "{bad}");
        }
    }
}
