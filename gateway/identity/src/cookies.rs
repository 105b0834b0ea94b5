//! The `Cookie` header (RFC 6265 §5.4), as strangers send it, and the cookies that we set.
//!
//! Cookies of ours are of one host: the prefix `__Host-` has browsers take them from that host alone, over https.
//! Hosts beside ours are other people's all the same, and old browsers let them set more than they should. So two
//! cookies of one name are refused: nobody can tell which one is ours.

use std::time::Duration;

use doorward_model::limits::{COOKIES_MAX, HEADER_BYTES_MAX};
use doorward_model::{Refusal, RefusalCode};

/// What every cookie of ours begins with. Compared without regard to case: none of them goes to an app.
pub const PREFIX: &str = "__Host-doorward-";

/// The value of our cookie of this name, from all `Cookie` lines of a request. A value that is not text reads as
/// an empty one, which opens nothing.
///
/// # Errors
/// [`RefusalCode::BadRequest`] when there are two of the name. [`RefusalCode::HeaderTooLarge`] when there are more
/// than [`COOKIES_MAX`] cookies, or [`HEADER_BYTES_MAX`] bytes of them.
pub fn ours<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = None;
    for (other, value) in pairs(lines)? {
        if other == name.as_bytes() && found.replace(value).is_some() {
            return Err(twice(name));
        }
    }
    Ok(found.map(text))
}

/// Our cookies whose names begin so, by what follows in their names, in the order in which they came. Browsers send
/// the oldest first (RFC 6265 §5.4).
///
/// # Errors
/// As [`ours`].
pub fn beginning<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    start: &str,
) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (name, value) in pairs(lines)? {
        let Some(rest) = name.strip_prefix(start.as_bytes()) else { continue };
        let rest = text(rest);
        if rest.is_empty() {
            continue;
        }
        if found.iter().any(|(other, _)| *other == rest) {
            return Err(twice(start));
        }
        found.push((rest, text(value)));
    }
    Ok(found)
}

/// The text of a `Set-Cookie` line for a cookie of ours: of this host alone, over https alone, not for scripts, and
/// not with what other sites' pages send (RFC 6265bis §4.1). Without `max_age` it goes when the browser ends.
#[must_use]
pub fn set_cookie(name: &str, value: &str, max_age: Option<Duration>) -> String {
    let lives = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{lives}")
}

/// The text of a `Set-Cookie` line that takes a cookie of ours away.
#[must_use]
pub fn clear_cookie(name: &str) -> String {
    set_cookie(name, "", Some(Duration::ZERO))
}

/// Name and value of every cookie. What has no `=` is no cookie of ours.
fn pairs<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, Refusal> {
    let lines: Vec<&[u8]> = lines.into_iter().collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    let count: usize = lines.iter().map(|line| line.iter().filter(|b| **b == b';').count() + 1).sum();
    if bytes > HEADER_BYTES_MAX || count > COOKIES_MAX {
        return Err(Refusal::new(
            RefusalCode::HeaderTooLarge,
            format!("{count} cookies of {bytes} bytes, more than {COOKIES_MAX} of {HEADER_BYTES_MAX}"),
        ));
    }
    Ok(lines.into_iter().flat_map(|line| line.split(|b| *b == b';')).filter_map(pair))
}

fn pair(cookie: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = cookie.iter().position(|b| *b == b'=')?;
    let (name, value) = cookie.split_at_checked(equals)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

fn twice(name: &str) -> Refusal {
    let detail = format!("there are two cookies `{name}`, and nobody can tell which one is ours");
    let reason = "Your browser sent two sign-ins at once. Clear the cookies of this site and try again.";
    Refusal { reason: Some(reason.to_owned()), ..Refusal::new(RefusalCode::BadRequest, detail) }
}

#[cfg(test)]
mod tests;
