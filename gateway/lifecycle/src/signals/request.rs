//! The requests that carry messages, read before anything in them is verified: method, content type,
//! size, and the one value that is looked for.

use doorward_identity::json;
use doorward_identity::message::{Rejected, Rejection};
use serde_json::Value;

use super::config::Stream;
use super::subject::Subject;

/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request, as far as it is read here. A header that comes twice is given as none: nobody can tell
/// which one counts.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// The whole body; whoever receives it stops reading after [`BODY_BYTES_MAX`] and one byte more.
    pub body: &'a [u8],
}

/// Why a request is not read further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not a POST.
    #[error("the method is not POST")]
    NotPost,
    /// It is no such request.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

/// The token of a push delivery (RFC 8935 §2.1). The sender proves who it is before the body is
/// looked at.
///
/// # Errors
/// `authentication_failed` without one of the stream's tokens, where it has some; `invalid_request`
/// for another content type, or a body that is too large or no text.
pub fn push<'a>(request: &Request<'a>, stream: &Stream) -> Result<&'a str, RequestError> {
    is_post(request)?;
    if !stream.push_tokens.is_empty() {
        let presented = bearer(request.authorization).unwrap_or("");
        // Every one is compared, so that the time does not tell which was near.
        let good = stream.push_tokens.iter().fold(false, |good, token| token.is(presented.as_bytes()) | good);
        if !good {
            let detail = format!("`{}` was called without one of its tokens", stream.sender.id());
            return Err(Rejected::new(Rejection::AuthenticationFailed, detail).into());
        }
    }
    is_of_type(request, "application/secevent+jwt")?;
    // Some senders end the body with a line break.
    Ok(text(request)?.trim_end_matches(['\r', '\n']))
}

/// The token of a logout request (Back-Channel Logout §2.5): a form with `logout_token` exactly once.
///
/// # Errors
/// `invalid_request` for another method's content type, a body that is no form, or another number of
/// tokens.
pub fn logout(request: &Request<'_>) -> Result<String, RequestError> {
    is_post(request)?;
    is_of_type(request, "application/x-www-form-urlencoded")?;
    let mut tokens = Vec::new();
    for pair in text(request)?.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (form_text(name), form_text(value)) else {
            return bad("the body is not a form");
        };
        if name == "logout_token" {
            tokens.push(value);
        }
    }
    match (tokens.pop(), tokens.pop()) {
        (Some(token), None) => Ok(token),
        (Some(_), Some(_)) => bad("the form has more than one `logout_token`"),
        (None, _) => bad("the form has no `logout_token`"),
    }
}

/// The JWT that authenticates a call of global token revocation, and whom the call is about: `sub_id`,
/// or `subject` as Auth0 and older drafts have it.
///
/// # Errors
/// `authentication_failed` without a bearer token; `invalid_request` for another content type, or a
/// body that is not an object with one subject.
pub fn revocation<'a>(request: &Request<'a>) -> Result<(&'a str, Subject), RequestError> {
    is_post(request)?;
    let Some(token) = bearer(request.authorization) else {
        return Err(Rejected::new(Rejection::AuthenticationFailed, "the call has no bearer token").into());
    };
    is_of_type(request, "application/json")?;
    if request.body.len() > BODY_BYTES_MAX {
        return bad("the body is larger than the limit");
    }
    let body = match json::object(request.body) {
        Ok(body) => body,
        Err(e) => return bad(format!("the body: {e}")),
    };
    let subject = match (body.get("sub_id"), body.get("subject")) {
        (Some(Value::Object(subject)), None) | (None, Some(Value::Object(subject))) => subject,
        (Some(_), Some(_)) => return bad("the body has both `sub_id` and `subject`: send `sub_id` only"),
        (Some(_), None) | (None, Some(_)) => return bad("`sub_id` is not an object"),
        (None, None) => return bad("the body has no `sub_id`"),
    };
    match Subject::read(subject) {
        Ok(subject) => Ok((token, subject)),
        Err(e) => bad(format!("`sub_id`: {e}")),
    }
}

/// The token that says something of a device.
///
/// # Errors
/// `invalid_request` for another content type, or a body that is too large or no text.
pub fn posture<'a>(request: &Request<'a>) -> Result<&'a str, RequestError> {
    is_post(request)?;
    is_of_type(request, "application/device-posture+jwt")?;
    Ok(text(request)?.trim_end_matches(['\r', '\n']))
}

fn is_post(request: &Request<'_>) -> Result<(), RequestError> {
    if request.method == "POST" { Ok(()) } else { Err(RequestError::NotPost) }
}

/// The media type; what follows after `;` is about the text, which is UTF-8 or refused.
pub(super) fn is_of_type(request: &Request<'_>, wanted: &str) -> Result<(), RequestError> {
    let media = request.content_type.and_then(|t| t.split(';').next()).map(str::trim);
    if media.is_some_and(|m| m.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    bad(format!("the content type is not `{wanted}`"))
}

fn text<'a>(request: &Request<'a>) -> Result<&'a str, RequestError> {
    if request.body.len() > BODY_BYTES_MAX {
        return bad("the body is larger than the limit");
    }
    std::str::from_utf8(request.body).or_else(|_| bad("the body is not text"))
}

/// The credential of the scheme `Bearer` (RFC 6750 §2.1).
fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, credential) = authorization?.split_once(' ')?;
    let credential = credential.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("Bearer") && !credential.is_empty()).then_some(credential)
}

/// One name or value of a form (WHATWG URL, `application/x-www-form-urlencoded`); none when it is not
/// well-formed UTF-8 after decoding.
fn form_text(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                high << 4 | low
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

pub(super) fn bad<T>(why: impl Into<String>) -> Result<T, RequestError> {
    Err(Rejected::new(Rejection::InvalidRequest, why).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_or_refused() {
        for (written, text) in [
            ("", Some("")),
            ("a.b-c_d", Some("a.b-c_d")),
            ("a%2Eb%2b+c", Some("a.b+ c")),
            ("%C3%A4", Some("ä")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(form_text(written).as_deref(), text, "{written}");
        }
    }
}
