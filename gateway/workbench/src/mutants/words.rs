//! The words of a text in Cedar, as far as edits need them: what is a string and what is a comment is never edited.

use std::ops::Range;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name: a variable, a function, a keyword.
    Name,
    /// A number.
    Number,
    /// A string, quotes included.
    Text,
    /// `==`, `&&`, `.` and the like.
    Sign,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) span: Range<usize>,
}

/// Signs of two letters.
const PAIRS: [&str; 7] = ["==", "!=", "<=", ">=", "&&", "||", "::"];

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if rest.starts_with("//") {
            // As Cedar has it: at either end of a line.
            at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            continue;
        }
        let (kind, len) = word(rest, first);
        let span = at..at + len;
        found.push(Word { kind, text: text.get(span.clone()).unwrap_or_default(), span });
        at += len;
    }
    found
}

fn word(rest: &str, first: char) -> (Kind, usize) {
    let run = |inside: fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
    match first {
        '"' => (Kind::Text, string(rest)),
        '(' | '[' | '{' => (Kind::Open, 1),
        ')' | ']' | '}' => (Kind::Close, 1),
        c if c.is_ascii_digit() => (Kind::Number, run(|c| c.is_ascii_digit())),
        c if c.is_ascii_alphabetic() || c == '_' => {
            (Kind::Name, run(|c| c.is_ascii_alphanumeric() || c == '_'))
        }
        _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (Kind::Sign, 2),
        c => (Kind::Sign, c.len_utf8()),
    }
}

/// The length of the string that a text begins with.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// Where the bracket that opens with this word closes: the number of the word.
pub(super) fn closing(words: &[Word<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (number, word) in words.iter().enumerate().skip(open) {
        match word.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            Kind::Name | Kind::Number | Kind::Text | Kind::Sign => {}
        }
        if depth == 0 {
            return Some(number);
        }
    }
    None
}

/// The elements of a list between two brackets, by their places in the text.
pub(super) fn elements(words: &[Word<'_>], open: usize, close: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut depth, mut begun): (usize, Option<Range<usize>>) = (0, None);
    for word in words.get(open + 1..close).unwrap_or_default() {
        match word.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Sign if depth == 0 && word.text == "," => {
                found.extend(begun.take());
                continue;
            }
            Kind::Name | Kind::Number | Kind::Text | Kind::Sign => {}
        }
        let start = begun.map_or(word.span.start, |b| b.start);
        begun = Some(start..word.span.end);
    }
    found.extend(begun);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let text = "a.b2 == // x == \"\n  \"q\\\" == \" && [1,-22].contains(c::\"ü\") <= !d";
        let told: Vec<&str> = words(text).iter().map(|w| w.text).collect();
        let expect = [
            "a",
            ".",
            "b2",
            "==",
            "\"q\\\" == \"",
            "&&",
            "[",
            "1",
            ",",
            "-",
            "22",
            "]",
            ".",
            "contains",
            "(",
            "c",
            "::",
            "\"ü\"",
            ")",
            "<=",
            "!",
            "d",
        ];
        assert_eq!(told, expect);
        assert!(words(text).iter().all(|w| &text[w.span.clone()] == w.text));
        assert_eq!(words("a // \"\rb").len(), 2);
        assert_eq!(words("a // b\rc // d\r\ne").iter().map(|w| w.text).collect::<Vec<_>>(), ["a", "c", "e"]);
    }

    #[test]
    fn odd_texts_do_no_harm() {
        for text in ["\"", "\"\\", "ü€", "((", "]]", "//", "a//", ""] {
            let all = words(text);
            let _ = closing(&all, 0);
            let _ = elements(&all, 0, all.len());
        }
    }

    #[test]
    fn a_list_is_taken_apart() {
        let text = "x([a, f(b, c), \"d,\"])";
        let all = words(text);
        let open = 2;
        let close = closing(&all, open).unwrap();
        let told: Vec<&str> = elements(&all, open, close).into_iter().map(|e| &text[e]).collect();
        assert_eq!(told, ["a", "f(b, c)", "\"d,\""]);
        assert_eq!(closing(&all, 1).unwrap(), all.len() - 1);
        assert_eq!(elements(&words("[]"), 0, 1), Vec::<Range<usize>>::new());
    }
}
