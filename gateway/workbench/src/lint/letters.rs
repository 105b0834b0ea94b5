//! Letters that look like others: `Role::"аdmin"` with a Cyrillic first letter is another role.

use std::ops::Range;

use doorward_policy::{PolicySource, Rule};

use super::found::Found;

/// Cyrillic and Greek letters that look like Latin ones.
const ALIKE: &str = "аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅαορνικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ";

pub(super) fn lint(source: &PolicySource, found: &mut Found<'_>) {
    let text = source.text();
    for string in strings(text) {
        if found.is_full() {
            return;
        }
        let said = text.get(string.at.clone()).unwrap_or_default();
        let Some((place, what)) = oddity(said, string.in_annotation) else { continue };
        let at = string.at.start + place.start..string.at.start + place.end;
        let message = format!("{what} in `{}`", said.escape_debug());
        let help = "write it with the letters of one alphabet: what looks alike is not alike to the gateway";
        found.push(source.found_at(Rule::Confusable, Some(at), message, help));
    }
}

/// A string of a policy, without its quotes.
struct Text {
    at: Range<usize>,
    in_annotation: bool,
}

/// The strings of a policy. Comments are nobody's business.
fn strings(text: &str) -> Vec<Text> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let (mut at, mut found) = (0, Vec::new());
    while let Some(here) = byte(at) {
        if here == b'/' && byte(at + 1) == Some(b'/') {
            // For Cedar a comment ends here as well.
            while byte(at).is_some_and(|b| b != b'\n' && b != b'\r') {
                at += 1;
            }
        } else if here == b'"' {
            let start = at + 1;
            let before = text.get(..at).unwrap_or_default().trim_end();
            let key = before.strip_suffix('(').map(|b| b.rsplit(|c: char| !is_name(c) && c != '@').next());
            let in_annotation = key.flatten().is_some_and(|key| key.starts_with('@'));
            at = start;
            while let Some(b) = byte(at).filter(|b| *b != b'"') {
                at += if b == b'\\' { 2 } else { 1 };
            }
            found.push(Text { at: start..at.min(bytes.len()), in_annotation });
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The first place in a text that is not what it looks like.
fn oddity(text: &str, for_people: bool) -> Option<(Range<usize>, &'static str)> {
    let unseen = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if let Some((at, c)) = text.char_indices().find(|(_, c)| unseen(*c)) {
        return Some((at..at + c.len_utf8(), "a character that cannot be seen"));
    }
    for word in words(text) {
        let said = text.get(word.clone()).unwrap_or_default();
        let latin = said.chars().any(|c| c.is_ascii_alphabetic());
        let alike = |c: char| ALIKE.contains(c);
        if latin && said.chars().any(alike) {
            return Some((word, "letters of two alphabets that look alike"));
        }
        // A word of people may well be of such letters only; a name in a policy hardly is.
        if !for_people && !latin && said.chars().all(alike) {
            return Some((word, "letters that only look like Latin ones"));
        }
    }
    None
}

/// Runs of letters.
fn words(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut begun) = (Vec::new(), None);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphabetic(), begun) {
            (true, None) => begun = Some(at),
            (false, Some(start)) => {
                found.push(start..at);
                begun = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_told_from_comments_and_annotations() {
        let text = "// \"no\"\n@a(\"one\\\"\") @b ( \"two\")\npermit(principal,action,resource) when { f(\"three\") };";
        let found: Vec<(&str, bool)> =
            strings(text).into_iter().map(|s| (&text[s.at], s.in_annotation)).collect();
        assert_eq!(found, [("one\\\"", true), ("two", false), ("three", false)]);
        let behind = strings("@id(\"x\") // note \"no\"\rpermit(principal == User::\"y\",action,resource);");
        assert_eq!(behind.len(), 2);
        assert_eq!(strings("\"open").len(), 1);
        assert_eq!(strings("\"open\\").len(), 1);
    }

    #[test]
    fn one_alphabet_is_fine_and_two_in_a_word_are_not() {
        for fine in ["admin", "Zürich", "Доступ к wiki", "日本 office", "é"] {
            assert!(oddity(fine, true).is_none(), "{fine}");
        }
        for odd in ["аdmin", "pаyroll is open", "a\u{200b}b", "\u{202e}nimda"] {
            assert!(oddity(odd, true).is_some(), "{odd}");
        }
        assert!(oddity("орсо", false).is_some() && oddity("орсо", true).is_none());
    }
}
