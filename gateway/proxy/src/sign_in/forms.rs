//! Forms that are sent to us: that they come from a page of ours, and what is in them.
//!
//! Two things hold a page of another site off, each of which would be enough: the browser's word of where a form
//! comes from (`Sec-Fetch-Site`, or `Origin`), and a sealed token that only our page had.

use std::time::Duration;

use doorward_identity::seal::{Purpose, SealError, Sealer};
use doorward_model::limits::{FORM_SECONDS_MAX, OWN_BODY_BYTES_MAX};
use doorward_model::{Refusal, RefusalCode, UnixMillis};
use http::HeaderName;
use http::header::{self, HeaderMap};

use super::OwnRequest;

/// The field with the token.
pub(super) const TOKEN: &str = "form";

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn foreign(detail: &str) -> Refusal {
    Refusal::new(RefusalCode::CrossSite, detail)
}

/// A token for a form that is bound to what it is about.
pub(super) fn token(sealer: &Sealer, bound_to: &str, now: UnixMillis) -> Result<String, SealError> {
    sealer.seal(Purpose::Form, bound_to, &now.0.to_be_bytes())
}

/// Whether a form has the token of what it is about, and not for too long.
pub(super) fn check_token(sealer: &Sealer, bound_to: &str, request: &OwnRequest) -> Result<(), Refusal> {
    let token = field(&request.body, TOKEN).unwrap_or_default();
    is_token(sealer, bound_to, &token, request.now)
}

/// Whether a text is a token of what it is about, and not for too long.
pub(super) fn is_token(sealer: &Sealer, bound_to: &str, token: &str, now: UnixMillis) -> Result<(), Refusal> {
    let made_at = sealer
        .open(Purpose::Form, bound_to, token)
        .and_then(|plain| Some(UnixMillis(i64::from_be_bytes(plain.try_into().ok()?))))
        .ok_or_else(|| foreign("the form has no token of ours"))?;
    if now.since(made_at) > Duration::from_secs(FORM_SECONDS_MAX) {
        return Err(foreign("the token of the form is too old"));
    }
    Ok(())
}

/// Whether a form was sent by a page of ours, by the browser's word. `origin` is ours.
pub(super) fn check_site(request: &OwnRequest, origin: &str) -> Result<(), Refusal> {
    let one = |name: &HeaderName| of(&request.headers, name);
    let form = one(&header::CONTENT_TYPE).flatten().is_some_and(|kind| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !form || request.body.len() > OWN_BODY_BYTES_MAX {
        return Err(Refusal::new(RefusalCode::BadRequest, "what was sent is no form of ours"));
    }
    match (one(&SITE), one(&header::ORIGIN)) {
        // A page that tells nobody where it was sends `null`.
        (Some(Some("same-origin")), None | Some(Some("null"))) => Ok(()),
        (Some(Some("same-origin")) | None, Some(Some(said))) if said.eq_ignore_ascii_case(origin) => Ok(()),
        (Some(_) | None, _) => Err(foreign("the form was not sent by a page of ours")),
    }
}

/// The one value of a header, if it is text; none where the header is not there.
fn of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

/// The one value of a field (WHATWG URL §5.1); nothing where there is none, or two, or no text.
pub(super) fn field(body: &[u8], name: &str) -> Option<String> {
    let mut values = body.split(|b| *b == b'&').filter_map(|pair| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (key, value) = pair.split_at_checked(equals)?;
        (key == name.as_bytes()).then_some(value.get(1..)?)
    });
    let value = values.next().filter(|_| values.next().is_none())?;
    String::from_utf8(decoded(value)?).ok()
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_once_or_not_at_all() {
        for (body, value) in [
            ("a=1&b=2", Some("1")),
            ("b=2&a=x%40y.example+z", Some("x@y.example z")),
            ("a=", Some("")),
            ("a=1&a=1", None),
            ("aa=1", None),
            ("a", None),
            ("a=%4", None),
            ("a=%zz", None),
            ("a=%ff", None),
            ("", None),
        ] {
            assert_eq!(field(body.as_bytes(), "a").as_deref(), value, "{body}");
        }
    }
}
