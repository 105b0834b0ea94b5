//! A policy that only reports: `@mode("report")`.
//!
//! It is read, validated and tried like every other, and it decides nothing. What it would have changed is
//! found out beside the requests (see [`crate::shadow`]), until somebody takes the annotation away.
//! `@report_until("2026-12-31")` says when that should be: afterwards loading it reminds.

use cedar_policy::Policy;
use doorward_model::UnixMillis;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The annotation.
const MODE: &str = "mode";
/// The word for a policy that only reports.
const REPORT: &str = "report";
/// The word for one that decides, which is what it does without a word.
const ENFORCE: &str = "enforce";
/// The last day on which it is meant to report only.
const UNTIL: &str = "report_until";

/// Whether the policy only reports.
pub(crate) fn only_reports(policy: &Policy) -> bool {
    policy.annotation(MODE) == Some(REPORT)
}

/// What is wrong with the annotations, and the cure.
pub(crate) fn fault(policy: &Policy) -> Option<(String, String)> {
    let shown = |text: &str| text.chars().take(60).collect::<String>();
    if let Some(mode) = policy.annotation(MODE)
        && ![REPORT, ENFORCE].contains(&mode)
    {
        let message = format!("`@mode(\"{}\")` is no mode", shown(mode));
        let help =
            "write `@mode(\"report\")` for a policy that only reports, and nothing for one that decides";
        return Some((message, help.to_owned()));
    }
    let until = policy.annotation(UNTIL)?;
    if policy.annotation(MODE).is_none() {
        let message = "`@report_until` stands without `@mode(\"report\")`, so the policy decides";
        let help = "add `@mode(\"report\")`, or remove `@report_until` if it is meant to decide";
        return Some((message.to_owned(), help.to_owned()));
    }
    if date(until).is_none() {
        let message = format!("`@report_until(\"{}\")` is no date", shown(until));
        return Some((message, "write the last day as year, month and day: `2026-12-31`".to_owned()));
    }
    None
}

/// The day after which a policy that only reports was meant to decide or to go, when that is over.
pub(crate) fn overdue(policy: &Policy, now: UnixMillis) -> Option<&str> {
    let until = policy.annotation(UNTIL).filter(|_| only_reports(policy))?;
    let end = date(until)?.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
    (end.timestamp().as_millisecond() <= now.0).then_some(until)
}

/// Exactly `2026-12-31`: what else the parser takes could mean another day to somebody.
fn date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(annotations: &str) -> Policy {
        Policy::parse(None, format!("{annotations} permit (principal, action, resource);")).unwrap()
    }

    #[test]
    fn only_the_word_itself_takes_a_policy_out_of_force() {
        for (annotations, reports, wrong) in [
            ("", false, false),
            ("@mode(\"enforce\")", false, false),
            ("@mode(\"report\")", true, false),
            ("@mode(\"Report\")", false, true),
            ("@mode(\"reprot\")", false, true),
            ("@mode", false, true),
            ("@mode(\"report\") @report_until(\"2026-12-31\")", true, false),
            ("@mode(\"report\") @report_until(\"2026-02-30\")", true, true),
            ("@mode(\"report\") @report_until(\"31.12.2026\")", true, true),
            ("@mode(\"report\") @report_until(\"20261231\")", true, true),
            ("@mode(\"report\") @report_until", true, true),
            ("@mode(\"enforce\") @report_until(\"2026-12-31\")", false, false),
            ("@report_until(\"2026-12-31\")", false, true),
        ] {
            let policy = policy(annotations);
            assert_eq!((only_reports(&policy), fault(&policy).is_some()), (reports, wrong), "{annotations}");
        }
    }

    #[test]
    fn the_day_itself_is_still_good() {
        let reporting = policy("@mode(\"report\") @report_until(\"2026-12-31\")");
        let end = UnixMillis(1_798_761_600_000); // 2027-01-01T00:00:00Z
        assert_eq!(overdue(&reporting, UnixMillis(end.0 - 1)), None);
        assert_eq!(overdue(&reporting, end), Some("2026-12-31"));
        for never in [
            "@report_until(\"2026-12-31\")",
            "@mode(\"report\")",
            "@mode(\"report\") @report_until(\"9999-12-31\")",
        ] {
            assert_eq!(overdue(&policy(never), end), None, "{never}");
        }
    }
}
