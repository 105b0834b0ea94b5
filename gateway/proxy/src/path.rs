//! One reading of a path, or none.
//!
//! The path that is matched is the path that is logged is the path that is sent upstream, byte
//! for byte. So a path that two programs could read in two ways is refused, not repaired
//! (RFC 3986 §6.2; incident class S5). What has one reading is brought to its normal form:
//! escapes of characters that a path may hold are undone, the hex digits of the others are upper
//! case. Three escapes stay although the character may stand in a path: `%2F` and `%3B` end a
//! segment or a name to some servers, and `%2B` is a plus where `+` is a space.

use std::collections::BTreeSet;
use std::fmt;

/// A path in normal form: starts with `/`, has no dot segments, no empty segments but a last
/// one, and no escape that says nothing more than the character itself.
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
    /// Read as some servers do, it leads to another route.
    OtherRoute,
    /// Read without case, it leads to another route.
    Case,
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
            Self::DoubleEscape => "the path is escaped twice (the app can allow it: `lenient_path`)",
            Self::OtherRoute => {
                "the path leads to another route when it is cut at `;`, `?` or `#`, or decoded once more"
            }
            Self::Case => {
                "the path leads to another route when case is ignored (an app that never ignores it can say so: `case_sensitive_paths`)"
            }
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
    /// an escaped percent sign. Dot segments hidden before a `;` are refused all the same, and
    /// whoever resolves a route must ask for the other [`readings`](Self::readings) too.
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
                    check_escaped(value, lenient)?;
                    decoded.push(value);
                    if is_path_byte(value) && !matches!(value, b'/' | b';' | b'+') {
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
        // On the finished form: `%25%36%31` hides the digits from whoever looks at the raw bytes.
        if !lenient && has_double_escape(&normal) {
            return Err(PathFault::DoubleEscape);
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
        is_under(&self.0, prefix)
    }

    /// What servers may take the path for once they decoded it. Without `lenient` that is one
    /// text; with it, also what is left when parameters, queries and fragments are cut off, before
    /// or after decoding, and when a second server decodes again.
    ///
    /// # Errors
    /// When one of these readings has dot segments, empty segments or NUL, or when decoding does
    /// not come to an end.
    pub fn readings(&self, lenient: bool) -> Result<BTreeSet<String>, PathFault> {
        if !lenient {
            return Ok(BTreeSet::from([decode(&self.0)]));
        }
        let mut all = BTreeSet::from([self.0.clone()]);
        let mut last = all.clone();
        for _ in 0..DECODES_MAX {
            let cut: BTreeSet<String> = last
                .iter()
                .flat_map(|text| [text.clone(), until(text), without_parameters(text)])
                .flat_map(|text| [without_parameters(&text), until(&text), text])
                .collect();
            let decoded: BTreeSet<String> = cut.iter().map(|text| decode(text)).collect();
            let known = all.len();
            all.extend(cut);
            all.extend(decoded.iter().cloned());
            last = decoded;
            if all.len() == known {
                last.clear(); // Nothing more can come.
                break;
            }
        }
        if last.iter().any(|text| decode(text) != *text) {
            return Err(PathFault::DoubleEscape);
        }
        let all: BTreeSet<String> = all.into_iter().map(|text| text.replace('\\', "/")).collect();
        for text in &all {
            if text.contains('\0') {
                return Err(PathFault::EscapedSeparator);
            }
            check_segments(text)?;
        }
        Ok(all)
    }
}

/// How often servers in a row may decode one path.
const DECODES_MAX: usize = 3;

/// Whether the path is `prefix` or lies below it, by whole segments.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Undoes every escape once; what is none stays.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if let (b'%', [hi, lo, after @ ..]) = (first, after)
            && let (Some(hi), Some(lo)) = (hex(*hi), hex(*lo))
        {
            out.push(hi << 4 | lo);
            rest = after;
        } else {
            out.push(*first);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A text in which letters that any server takes for the same are the same. Both ways, because
/// some letters have one form in one direction only (U+017F, U+212A).
pub(crate) fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The path as a server reads it that takes its end for a query or a fragment.
fn until(text: &str) -> String {
    text.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// The path as a server reads it that drops the parameters of each segment (RFC 3986 §3.3).
fn without_parameters(text: &str) -> String {
    let names: Vec<&str> = text.split('/').map(|s| s.split(';').next().unwrap_or_default()).collect();
    names.join("/")
}

/// Whether `%25` is followed by what makes it an escape once it is undone.
fn has_double_escape(normal: &str) -> bool {
    normal.match_indices("%25").any(|(at, _)| {
        let mut next = normal.bytes().skip(at + 3);
        next.next().and_then(hex).is_some() && next.next().and_then(hex).is_some()
    })
}

impl fmt::Display for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn check_escaped(value: u8, lenient: bool) -> Result<(), PathFault> {
    match value {
        b'/' | b'\\' | 0 => Err(PathFault::EscapedSeparator),
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
mod tests;
