//! `doorward policy replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use doorward_model::{AppId, UnixMillis};
use doorward_workbench::replay::PersonKind;

use crate::cli::{ConfigArg, Format, app_id};

/// The longest time ago that is taken for meant: a hundred years.
const AGO_SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// Examples in the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  doorward policy replay --since 7d candidate/
      last week, under the edited policies
  doorward policy replay --since 2026-11-20 --until 2026-11-21 \\
      --dir /var/log/doorward candidate/
  doorward policy replay --app payroll --person-kind contractor candidate/
  doorward policy replay --baseline policies/ candidate/
      compares two folders, not folder and log
  doorward policy replay --write-cases policies/cases/replay.toml candidate/
  doorward policy replay --fail-on-difference --format json candidate/ \\
      | jq .differences

Only decisions that were recorded with what the policies saw can be made again:
that is so unless the configuration says `audit.situations = false`. What cannot
be decided again is counted.

Exit codes: 0 done; 1 the log cannot be read, or with --fail-on-difference:
something differs, or not everything could be looked at (unless --allow-gaps is
given); 2 the policies cannot be loaded.";

/// `doorward policy replay`.
#[derive(Debug, Args)]
pub struct PolicyReplayArgs {
    /// The folder with the policies to try.
    #[arg(value_name = "CANDIDATE")]
    pub candidate: PathBuf,
    /// From when on: so long ago, such as `7d`, `12h` or `30m`; or a day or an instant in UTC, such as
    /// `2026-11-20` or `2026-11-20T08:00:00Z`.
    #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = when)]
    pub since: When,
    /// Up to when; without it until now.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
    /// The folder with the log; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArg,
    /// A folder with policies to compare with, instead of what was recorded.
    #[arg(long, value_name = "DIR")]
    pub baseline: Option<PathBuf>,
    /// Requests for this app only.
    #[arg(long, value_name = "APP", value_parser = app_id)]
    pub app: Option<AppId>,
    /// Requests of these people or programs only.
    #[arg(long, value_enum, value_name = "KIND")]
    pub person_kind: Option<KindArg>,
    /// How many differences are printed, those with most requests first.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Write a case for each difference to this file, which must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub write_cases: Option<PathBuf>,
    /// Exit with 1 when anything differs, or when not everything could be decided again.
    #[arg(long)]
    pub fail_on_difference: bool,
    /// With `--fail-on-difference`: what cannot be decided again, and a log without any decision, is no reason to
    /// fail.
    #[arg(long, requires = "fail_on_difference")]
    pub allow_gaps: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(UnixMillis),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// People on the company's own contract.
    Employee,
    /// People on a contract of limited time.
    Contractor,
    /// People who work for another company.
    Partner,
    /// People of whom nobody said which.
    Unknown,
    /// Programs with an account of their own.
    ServiceAccount,
    /// Programs that act for people.
    Agent,
    /// Nobody in particular.
    Visitor,
}

impl When {
    /// The instant, seen from `now`.
    #[must_use]
    pub fn at(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(at) => at,
        }
    }
}

impl From<KindArg> for PersonKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Employee => Self::Employee,
            KindArg::Contractor => Self::Contractor,
            KindArg::Partner => Self::Partner,
            KindArg::Unknown => Self::Unknown,
            KindArg::ServiceAccount => Self::ServiceAccount,
            KindArg::Agent => Self::Agent,
            KindArg::Visitor => Self::Visitor,
        }
    }
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(When::At(UnixMillis(at.as_millisecond())));
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && text.len() == "2026-11-20".len()
        && let Ok(at) = day.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(When::At(UnixMillis(at.timestamp().as_millisecond())));
    }
    let ago = text.char_indices().last().and_then(|(at, unit)| {
        let seconds: u64 = match unit {
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        let number: u64 = text.get(..at)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds <= AGO_SECONDS_MAX)
    });
    ago.map(|seconds| When::Ago(Duration::from_secs(seconds))).ok_or_else(|| {
        "write how long ago, such as `7d` or `12h`, or when, such as `2026-11-20` or `2026-11-20T08:00:00Z`"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_a_day_or_an_instant() {
        let now = UnixMillis(1_795_212_000_000);
        let at = |text: &str| when(text).unwrap().at(now).0;
        assert_eq!(at("30m"), now.0 - 1_800_000);
        assert_eq!(at("12h"), now.0 - 12 * 3_600_000);
        assert_eq!((at("7d"), at("1w")), (now.0 - 7 * 86_400_000, now.0 - 7 * 86_400_000));
        assert_eq!(at("2026-11-20"), 1_795_132_800_000);
        assert_eq!(at("2026-11-20T22:00:00Z"), now.0);
        assert_eq!(at("2026-11-20T23:00:00+01:00"), now.0);
        for wrong in [
            "",
            "d",
            "7",
            "7x",
            "-7d",
            "7 d",
            "yesterday",
            "2026-13-01",
            "99999999999999999999d",
            "9999999999999999d",
            "99999999999w",
            "36601d",
            "7é",
        ] {
            assert!(when(wrong).unwrap_err().contains("`7d`"), "{wrong}");
        }
    }
}
