//! What a forbid says would help: `@advice` and `@max_age`, and the sign-in that they ask for.
//!
//! Advice is data, and other policies may use words of their own: they are passed on as they are. Those
//! in [`WORDS`] have an effect, so a word that is nearly one of them is a mistake that nobody would see.
//! An age that cannot be read is one, too.

use std::time::Duration;

use cedar_policy::Policy;
use doorward_model::limits::STEP_UP_ANEW_SECONDS;
use doorward_model::{Demand, Strength};

/// The longest `@max_age`: 365 days, the age of a sign-in that nobody knows.
const SECONDS_MAX: u64 = 365 * 86_400;

/// The shortest, beside none: whoever has just signed in must pass, also where their provider's clock is behind and the way
/// back takes a while. Else they are sent to sign in again and again.
const SECONDS_MIN: u64 = STEP_UP_ANEW_SECONDS;

/// The words that have an effect.
pub(crate) const WORDS: [&str; 5] =
    ["step-up:mfa", "step-up:phishing-resistant", "step-up:webauthn", "reauthenticate", "enroll-device"];

/// The sign-in with which a forbid would not apply, as its annotations say. None where a sign-in does not
/// help, or where they cannot be read.
pub(crate) fn demand(policy: &Policy) -> Option<Demand> {
    let max_age = match policy.annotation("max_age") {
        Some(text) => Some(age(text)?),
        None => None,
    };
    match policy.annotation("advice")? {
        "step-up:mfa" => Some(Demand { strength: Strength::Mfa, max_age }),
        "step-up:phishing-resistant" | "step-up:webauthn" => {
            Some(Demand { strength: Strength::PhishingResistant, max_age })
        }
        // How old it may be is not known, so the person is asked anew.
        "reauthenticate" => {
            Some(Demand { strength: Strength::Any, max_age: max_age.or(Some(Duration::ZERO)) })
        }
        _ => None,
    }
}

/// What is wrong with the annotations, and the cure.
pub(crate) fn fault(policy: &Policy) -> Option<(String, String)> {
    let advice = policy.annotation("advice");
    if let Some(word) = advice
        && !WORDS.contains(&word)
        && ["step-up", "step_up", "stepup", "reauth", "enroll", "enrol"].iter().any(|w| word.starts_with(w))
    {
        let shown: String = word.chars().take(60).collect();
        let help = format!("write one of {}", WORDS.map(|w| format!("`{w}`")).join(", "));
        return Some((format!("nobody acts on `@advice(\"{shown}\")`"), help));
    }
    let written = policy.annotation("max_age")?;
    let shown: String = written.chars().take(60).collect();
    let Some(age) = age(written) else {
        let help = "write how old a sign-in may be, such as `15m`, `12h` or `1h30m`, 365 days at most";
        return Some((format!("`@max_age(\"{shown}\")` is no duration"), help.to_owned()));
    };
    if (1..SECONDS_MIN).contains(&age.as_secs()) {
        let message =
            format!("`@max_age(\"{shown}\")` may be over before somebody who signs in for it is back");
        let help = "write `1m` or more, or `0s` for whoever is to sign in anew";
        return Some((message, help.to_owned()));
    }
    if !advice.is_some_and(|word| word.starts_with("step-up:") || word == "reauthenticate") {
        let message = "`@max_age` says how old a sign-in may be, and no `@advice` asks for one".to_owned();
        return Some((message, "add `@advice(\"reauthenticate\")`, or remove it".to_owned()));
    }
    None
}

/// A duration as Cedar writes it, to the second: days, hours, minutes, seconds, each at most once.
fn age(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0_u64);
    for (unit, each) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        if let Some(after) = after.strip_prefix(unit) {
            seconds = number.parse::<u64>().ok()?.checked_mul(each)?.checked_add(seconds)?;
            rest = after;
        }
    }
    (!text.is_empty() && rest.is_empty() && seconds <= SECONDS_MAX).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(annotations: &str) -> Policy {
        Policy::parse(None, format!("{annotations} forbid (principal, action, resource);")).unwrap()
    }

    #[test]
    fn annotations_ask_for_a_sign_in_or_for_none() {
        let (any, mfa, key) = (Strength::Any, Strength::Mfa, Strength::PhishingResistant);
        let of = |strength, seconds: Option<u64>| {
            Some(Demand { strength, max_age: seconds.map(Duration::from_secs) })
        };
        for (annotations, expect) in [
            ("", None),
            ("@advice(\"step-up:mfa\")", of(mfa, None)),
            ("@advice(\"step-up:webauthn\")", of(key, None)),
            ("@advice(\"step-up:phishing-resistant\") @max_age(\"15m\")", of(key, Some(900))),
            ("@advice(\"reauthenticate\")", of(any, Some(0))),
            ("@advice(\"reauthenticate\") @max_age(\"1d1h1m1s\")", of(any, Some(90_061))),
            ("@advice(\"step-up:mfa\") @max_age(\"60s\")", of(mfa, Some(60))),
            ("@advice(\"step-up:mfa\") @max_age(\"0s\")", of(mfa, Some(0))),
            ("@advice(\"enroll-device\")", None),
            ("@advice(\"call-us\")", None),
        ] {
            assert_eq!(demand(&policy(annotations)), expect, "{annotations}");
            assert_eq!(fault(&policy(annotations)), None, "{annotations}");
        }
    }

    #[test]
    fn what_nobody_acts_on_is_a_mistake() {
        for annotations in [
            "@advice(\"step-up:MFA\")",
            "@advice(\"step-up:phishing\")",
            "@advice(\"step_up:mfa\")",
            "@advice(\"reauthentication\")",
            "@advice(\"enrol-device\")",
            "@max_age(\"15m\")",
            "@advice(\"enroll-device\") @max_age(\"15m\")",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain(
            [
                "1s",
                "59s",
                "0m59s",
                "",
                "15",
                "m",
                "15 m",
                "1m1h",
                "1h1h",
                "-1m",
                "1.5h",
                "15min",
                "366d",
                "99999999999999999999d",
            ]
            .map(|age| format!("@advice(\"step-up:mfa\") @max_age(\"{age}\")")),
        ) {
            let (message, help) = fault(&policy(&annotations)).unwrap_or_else(|| panic!("{annotations}"));
            assert!(message.contains('`') && !help.is_empty(), "{message}");
        }
        assert_eq!(demand(&policy("@advice(\"step-up:mfa\") @max_age(\"x\")")), None);
    }
}
