//! `application/x-www-form-urlencoded` (URL Standard §5), as OAuth uses it in queries and bodies
//! (RFC 6749, appendix B).

use std::fmt::Write;

/// Writes one name or value: what is not a letter, a digit or one of `*-._` is escaped, a space is `+`.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(b)),
            b' ' => out.push('+'),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "%{b:02X}"),
        }
    }
    out
}

/// Writes pairs.
pub(super) fn encode(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Reads pairs; none when an escape is broken or something is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high * 16 + low
            }
            _ => b,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_written_and_read(name in "(?s).{0,40}", value in "(?s).{0,200}") {
            let written = encode(&[(&name, &value)]);
            prop_assert!(written.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(decode(&written), Some(vec![(name, value)]));
        }

        /// An independent parser sees the same.
        #[test]
        fn what_is_written_is_read_by_others(value in "(?s).{0,200}") {
            let url = reqwest::Url::parse(&format!("x:/?{}", encode(&[("a", &value)]))).unwrap();
            let read: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(read, vec![("a".to_owned(), value)]);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["", "a b", "a+b&c=d%", "ü\u{0}\r\n", "https://x.example/?q=1#f", "~*-._"] {
            let written = encode(&[("n ä", text), ("x", text)]);
            assert!(written.bytes().all(|b| b.is_ascii_graphic()), "{written}");
            let read = decode(&written).unwrap();
            assert_eq!(read, [("n ä".to_owned(), text.to_owned()), ("x".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn what_is_broken_is_not_read() {
        for text in ["a=%", "a=%4", "a=%4g", "a=%+1", "a=%ff", "%c3=1", "a=%ED%A0%80"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("a&&=b").unwrap(), [("a".into(), String::new()), (String::new(), "b".into())]);
    }
}
