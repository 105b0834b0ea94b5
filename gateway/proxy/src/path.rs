//! One reading of a path, or none.
//!
//! The path that is matched is the path that is logged is the path that is sent upstream, byte
//! for byte. So a path that two programs could read in two ways is refused, not repaired
//! (RFC 3986 §6.2; incident class S5). What has one reading is brought to its normal form:
//! escapes of unreserved characters are undone, the hex digits of the others are upper case.

use std::fmt;

/// A path in normal form: starts with `/`, has no dot segments, no empty segments but a last
/// one, and no escape of an unreserved character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath(String);

/// Why a path has no single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It does not start with `/`.
    NotAbsolute,
    /// An escape is not `%` and two hex digits.
    BadEscape,
    /// A byte that has no place in a path (RFC 3986 §3.3): control, space, quote, backslash.
    BadByte,
    /// `%2F`, `%5C` or `%00`: some servers decode it before they split the path, some after.
    EscapedSeparator,
    /// An escaped `%` that becomes another escape when decoded twice.
    DoubleEscape,
    /// `%23`, `%3F`, `;` or `%3B`, which some servers cut the path at.
    Delimiter,
    /// `.` or `..` as a segment, also before a `;`.
    DotSegment,
    /// `//`.
    EmptySegment,
    /// The escapes do not decode to UTF-8.
    NotUtf8,
}

impl PathFault {
    /// What the operator reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not start with `/`",
            Self::BadEscape => "the path has a `%` without two hex digits",
            Self::BadByte => "the path has a byte that must be escaped",
            Self::EscapedSeparator => "the path has an escaped `/`, `\\` or NUL",
            Self::DoubleEscape => "the path is escaped twice",
            Self::Delimiter => {
                "the path has `;`, or an escaped `;`, `#` or `?` (the app can allow it: `lenient_path`)"
            }
            Self::DotSegment => "the path has a `.` or `..` segment",
            Self::EmptySegment => "the path has an empty segment",
            Self::NotUtf8 => "the path does not decode to UTF-8",
        }
    }
}

impl NormalPath {
    /// Reads the path of a request target, without its query.
    ///
    /// `lenient` lets pass what only some servers read differently: `;`, `%3B`, `%23`, `%3F` and
    /// an escaped percent sign. Dot segments hidden before a `;` are refused all the same.
    ///
    /// # Errors
    /// The first fault.
    pub fn new(raw: &str, lenient: bool) -> Result<Self, PathFault> {
        if !raw.starts_with('/') {
            return Err(PathFault::NotAbsolute);
        }
        let mut normal = String::with_capacity(raw.len());
        let mut decoded: Vec<u8> = Vec::new();
        let mut bytes = raw.bytes();
        while let Some(b) = bytes.next() {
            match b {
                b'%' => {
                    let (Some(hi), Some(lo)) = (bytes.next().and_then(hex), bytes.next().and_then(hex))
                    else {
                        return Err(PathFault::BadEscape);
                    };
                    let value = hi << 4 | lo;
                    check_escaped(value, &bytes, lenient)?;
                    decoded.push(value);
                    if is_unreserved(value) {
                        normal.push(char::from(value));
                    } else {
                        push_escape(&mut normal, value);
                    }
                }
                b';' if !lenient => return Err(PathFault::Delimiter),
                _ if is_path_byte(b) => {
                    decoded.push(b);
                    normal.push(char::from(b));
                }
                _ => return Err(PathFault::BadByte),
            }
        }
        if decoded.len() != normal.len() && std::str::from_utf8(&decoded).is_err() {
            return Err(PathFault::NotUtf8);
        }
        check_segments(&normal)?;
        Ok(Self(normal))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path is `prefix` or lies below it, by whole segments.
    #[must_use]
    pub fn is_under(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        self.0.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_escaped(value: u8, rest: &std::str::Bytes<'_>, lenient: bool) -> Result<(), PathFault> {
    match value {
        b'/' | b'\\' | 0 => Err(PathFault::EscapedSeparator),
        b'%' => {
            let mut next = rest.clone();
            let twice = next.next().and_then(hex).is_some() && next.next().and_then(hex).is_some();
            if twice && !lenient { Err(PathFault::DoubleEscape) } else { Ok(()) }
        }
        b';' | b'#' | b'?' if !lenient => Err(PathFault::Delimiter),
        1..=0x1f | 0x7f => Err(PathFault::BadByte),
        _ => Ok(()),
    }
}

fn check_segments(normal: &str) -> Result<(), PathFault> {
    let mut segments = normal.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathFault::EmptySegment);
        }
        // `..;x` is a dot segment to servers that cut parameters first; `%3B` is `;` to some.
        let name = segment.split(';').next().unwrap_or(segment);
        let name = name.split("%3B").next().unwrap_or(name);
        // A percent sign that survives may decode to a dot at a server that decodes twice.
        let name = name.replace("%252E", ".").replace("%252e", ".");
        if name == "." || name == ".." {
            return Err(PathFault::DotSegment);
        }
    }
    Ok(())
}

const fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

fn push_escape(out: &mut String, value: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    for nibble in [value >> 4, value & 15] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or('0'));
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3: `pchar` and `/`, without the escape.
const fn is_path_byte(b: u8) -> bool {
    is_unreserved(b)
        || matches!(
            b,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathFault::*;

    #[test]
    fn one_reading_or_none() {
        let cases: &[(&str, Result<&str, PathFault>)] = &[
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/a/b/", Ok("/a/b/")),
            ("/%61%7e", Ok("/a~")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/100%25", Ok("/100%25")),
            ("/a%20b", Ok("/a%20b")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/...", Ok("/...")),
            ("a", Err(NotAbsolute)),
            ("*", Err(NotAbsolute)),
            ("", Err(NotAbsolute)),
            ("/public/../admin", Err(DotSegment)),
            ("/%2e%2e/admin", Err(DotSegment)),
            ("/.%2E/admin", Err(DotSegment)),
            ("/a/.", Err(DotSegment)),
            ("/%252e%252e/", Err(DoubleEscape)),
            ("/%2f", Err(EscapedSeparator)),
            ("/%5C", Err(EscapedSeparator)),
            ("/%00", Err(EscapedSeparator)),
            ("/a%0d%0ab", Err(BadByte)),
            ("/a%7f", Err(BadByte)),
            ("/%23", Err(Delimiter)),
            ("/%3f", Err(Delimiter)),
            ("/%3b", Err(Delimiter)),
            ("/..;a=b/x", Err(Delimiter)),
            ("/x;jsessionid=1", Err(Delimiter)),
            ("//a", Err(EmptySegment)),
            ("/a//b", Err(EmptySegment)),
            ("/a\\b", Err(BadByte)),
            ("/a b", Err(BadByte)),
            ("/a#b", Err(BadByte)),
            ("/a?b", Err(BadByte)),
            ("/\u{e9}", Err(BadByte)),
            ("/%zz", Err(BadEscape)),
            ("/%4", Err(BadEscape)),
            ("/%", Err(BadEscape)),
            ("/%c0%ae%c0%ae/", Err(NotUtf8)),
            ("/%ff", Err(NotUtf8)),
        ];
        for (raw, expected) in cases {
            let got = NormalPath::new(raw, false);
            assert_eq!(got.as_ref().map(NormalPath::as_str).map_err(|e| *e), *expected, "{raw:?}");
        }
    }

    #[test]
    fn a_lenient_app_still_has_no_hidden_dots() {
        for ok in ["/x;jsessionid=1", "/C%23", "/what%3F", "/a%3Bb", "/50%2541"] {
            assert!(NormalPath::new(ok, true).is_ok(), "{ok}");
        }
        for bad in ["/..;a=b/x", "/..%3Ba/x", "/.;/x", "/%252e%252e/x", "/%2e%252e/x", "/%2f", "/%00"] {
            assert!(NormalPath::new(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn normal_form_is_a_fixed_point() {
        for raw in ["/%61%7e/%c3%a9", "/a/b/", "/100%25", "/%20"] {
            let once = NormalPath::new(raw, false).unwrap();
            assert_eq!(NormalPath::new(once.as_str(), false).unwrap(), once);
        }
    }

    #[test]
    fn prefixes_end_at_segments() {
        let p = NormalPath::new("/admin/x", false).unwrap();
        assert!(p.is_under("/") && p.is_under("/admin") && p.is_under("/admin/"));
        assert!(!p.is_under("/adm") && !p.is_under("/admin/x/y"));
        assert!(NormalPath::new("/admin", false).unwrap().is_under("/admin/"));
    }
}
