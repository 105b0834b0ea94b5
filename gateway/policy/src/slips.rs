//! The annotations that something reads. Another one is for whoever wrote it; one that is almost one of these means
//! nothing, where something was meant.

use cedar_policy::Policy;

/// What a policy or a red line can say about itself.
const READ: [&str; 12] = [
    "id",
    "title",
    "owner",
    "reason",
    "severity",
    "advice",
    "max_age",
    "mode",
    "report_until",
    "allow_lint",
    "no_more_than",
    "unknown",
];
/// A word of so many letters is like another one of which one letter is wrong.
const LETTERS_PER_SLIP: usize = 4;

/// An annotation that nobody reads, and the one that it is like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slip {
    pub(crate) written: String,
    pub(crate) near: &'static str,
    /// With the one that it is like, the policy would decide otherwise, or the line claim something else. It is no
    /// word that somebody uses for something of their own.
    pub(crate) decides: bool,
}

/// Those of a policy.
pub(crate) fn of(policy: &Policy) -> Vec<Slip> {
    let unread = policy.annotations().filter(|(name, _)| !READ.contains(name));
    unread.filter_map(|(name, value)| slip(name, value)).collect()
}

fn slip(written: &str, value: &str) -> Option<Slip> {
    let plain = written.to_ascii_lowercase();
    let like = READ.into_iter().filter(|word| is_like(&plain, word));
    let near = like.min_by_key(|word| strsim::osa_distance(&plain, word))?;
    let decides = match near {
        "report_until" | "no_more_than" | "max_age" => true,
        "mode" => is_meant(value, ["report", "enforce"]),
        "unknown" => is_meant(value, ["report", "block"]),
        _ => false,
    };
    Some(Slip { written: written.to_owned(), near, decides })
}

fn is_like(plain: &str, word: &str) -> bool {
    strsim::osa_distance(plain, word) <= word.len() / LETTERS_PER_SLIP
}

/// Whether a value may be meant for one of these words: it is like one or begins like one, as `Reprot` and `reporting`
/// do, or it says nothing at all.
fn is_meant(value: &str, words: [&str; 2]) -> bool {
    let plain = value.trim().to_lowercase();
    let begins_like = |word: &str| is_like(&plain.chars().take(word.len()).collect::<String>(), word);
    plain.is_empty() || words.into_iter().any(|word| is_like(&plain, word) || begins_like(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_almost_a_word_is_told_and_words_of_ones_own_are_not() {
        for (annotation, near, decides) in [
            ("@modes(\"report\")", Some("mode"), true),
            ("@Mode(\"report\")", Some("mode"), true),
            ("@modes(\"Report\")", Some("mode"), true),
            ("@Mode(\"Report\")", Some("mode"), true),
            ("@MODE(\"ENFORCE\")", Some("mode"), true),
            ("@mdoe(\"reprot\")", Some("mode"), true),
            ("@mod(\"reporting\")", Some("mode"), true),
            ("@mod(\" report-only\")", Some("mode"), true),
            ("@mod(\"Enforcing\")", Some("mode"), true),
            ("@modes", Some("mode"), true),
            ("@modes(\"\")", Some("mode"), true),
            ("@Unknown(\"Report\")", Some("unknown"), true),
            ("@code(\"ABC-1\")", Some("mode"), false),
            ("@node(\"repair\")", Some("mode"), false),
            ("@node(\"é\")", Some("mode"), false),
            ("@no_more_then(\"principal.employment = x\")", Some("no_more_than"), true),
            ("@nomorethan(\"x\")", Some("no_more_than"), true),
            ("@unknwn(\"report\")", Some("unknown"), true),
            ("@report_untill(\"2030-01-01\")", Some("report_until"), true),
            ("@maxage(\"15m\")", Some("max_age"), true),
            ("@advise(\"step-up:mfa\")", Some("advice"), false),
            ("@allow_lints(\"x\")", Some("allow_lint"), false),
            ("@titel(\"x\")", Some("title"), false),
            ("@ticket(\"SEC-7\")", None, false),
            ("@ids(\"x\")", None, false),
            ("@mode(\"report\")", None, false),
        ] {
            let policy: Policy =
                format!("{annotation} permit (principal, action, resource);").parse().unwrap();
            let found = of(&policy);
            let told = found.first().map(|slip| (slip.near, slip.decides));
            assert_eq!(told, near.map(|near| (near, decides)), "{annotation}");
        }
    }
}
