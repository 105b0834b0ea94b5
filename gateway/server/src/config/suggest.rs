//! "Did you mean …?"

/// The word that `written` was probably meant to be: the nearest by edit distance, if it is near
/// enough that the guess helps more than it misleads.
pub(crate) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let plain = |s: &str| s.to_ascii_lowercase().replace('-', "_");
    let written = plain(written);
    let far_max = (written.chars().count() / 3).max(1);
    words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&written, &plain(word)), *word))
        .filter(|(far, word)| *far <= far_max || is_part(&written, word))
        .min_by_key(|(far, _)| *far)
        .map(|(_, word)| word)
}

/// A unit left out, such as `header_bytes` for `header_bytes_max`, counts as near.
fn is_part(written: &str, word: &str) -> bool {
    written.len() >= 4 && (word.starts_with(written) || written.starts_with(word) && word.len() >= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["header_bytes_max", "header_count_max", "connections_max", "addresses", "tls", "id"];
        for (written, want) in [
            ("header_byte_max", Some("header_bytes_max")),
            ("header_bytes", Some("header_bytes_max")),
            ("header-count-max", Some("header_count_max")),
            ("adresses", Some("addresses")),
            ("address", Some("addresses")),
            ("TLS", Some("tls")),
            ("tsl", Some("tls")),
            ("ids", Some("id")),
            ("upstream", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, &words), want, "{written}");
        }
        assert_eq!(nearest("anything", &[]), None);
    }
}
