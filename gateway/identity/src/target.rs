//! Where a browser goes back to after it signed in.
//!
//! It is what the browser asked for, of the request itself: never an address from a query. A host and a path are
//! kept apart, and the address is put together from a host of ours, so that no text in the path can lead elsewhere.
//! Whatever a browser could read as another host, or as two lines, is refused besides, when it is made and when it
//! is opened again. That is more than is needed, so that each of both would be enough (RFC 9700 §4.11).

use std::fmt;

use doorward_model::limits::RETURN_BYTES_MAX;

/// What the gateway's own pages begin with, on every host.
pub const OWN_PAGES: &str = "/.doorward";

/// A host of ours, and what was asked for there: a path, and a query if there was one. Never a fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReturnTarget {
    host: Box<str>,
    path: Box<str>,
}

/// Why nobody is sent back there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not the name of a host, in lower case and without a port.
    #[error("the host to go back to is not a name in lower case without a port")]
    Host,
    /// Longer than [`RETURN_BYTES_MAX`].
    #[error("the address to go back to is longer than {RETURN_BYTES_MAX} bytes")]
    Long,
    /// Not one path of visible ASCII that begins with one `/`.
    #[error("the address to go back to is not one plain path")]
    NotAPath,
    /// It could be read as another host, or as two lines, by something on its way.
    #[error("the address to go back to could be read in two ways")]
    Ambiguous,
}

// === impl ReturnTarget ===

impl ReturnTarget {
    /// Takes the host and the target of a request. A page of the gateway itself is not gone back to: its host's `/`
    /// is.
    ///
    /// # Errors
    /// When it is no plain path on a plain host; see [`TargetError`].
    pub fn parse(host: &str, target: &str) -> Result<Self, TargetError> {
        if !is_host(host) {
            return Err(TargetError::Host);
        }
        if target.len() > RETURN_BYTES_MAX {
            return Err(TargetError::Long);
        }
        if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(TargetError::NotAPath);
        }
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        if leads_away(path) || hides_a_line(target) {
            return Err(TargetError::Ambiguous);
        }
        let path = if is_own(path) { "/" } else { target };
        Ok(Self { host: host.into(), path: path.into() })
    }

    /// The same, and the host's `/` where the target is nothing to go back to.
    ///
    /// # Errors
    /// [`TargetError::Host`] alone.
    pub fn or_top(host: &str, target: &str) -> Result<Self, TargetError> {
        Self::parse(host, target).or_else(|_| Self::parse(host, "/"))
    }

    /// The host, without a port.
    #[must_use]
    pub const fn host(&self) -> &str {
        &self.host
    }

    /// The path, and the query if there is one. Begins with one `/`.
    #[must_use]
    pub const fn path_and_query(&self) -> &str {
        &self.path
    }
}

/// Queries may hold what is nobody's business.
impl fmt::Debug for ReturnTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        write!(f, "{}{path}{}", self.host, if query.is_empty() { "" } else { "?…" })
    }
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Whether something could take a path for the begin of a host, or find its way out of it.
fn leads_away(path: &str) -> bool {
    let plain = unescaped(path);
    let slashes = |c: char| c == '/' || c == '\\';
    plain.contains('\\')
        || plain.get(1..).is_some_and(|rest| rest.starts_with(slashes))
        || plain.split(slashes).any(|step| step == "." || step == "..")
}

/// Whether something could read a target as two lines, or stop in the middle of it.
fn hides_a_line(target: &str) -> bool {
    unescaped(target).chars().any(char::is_control)
}

/// Whether it is a page of the gateway itself, in any way of writing it.
fn is_own(path: &str) -> bool {
    let plain = unescaped(path);
    let rest = plain.get(..OWN_PAGES.len()).filter(|start| start.eq_ignore_ascii_case(OWN_PAGES));
    rest.is_some()
        && plain.get(OWN_PAGES.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What it is once escapes are resolved, again and again, for those who do that twice.
fn unescaped(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..3 {
        bytes = once_unescaped(&bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn once_unescaped(bytes: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match (escaped, after.get(2..)) {
            (Some((high, low)), Some(next)) => {
                out.push(high << 4 | low);
                rest = next;
            }
            (Some(_) | None, _) => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}
