//! What a request presents to say who asks.

use doorward_model::limits::TOKEN_BYTES_MAX;
use doorward_model::{Refusal, RefusalCode};

use crate::own::{self, SERVICE_TOKEN_PREFIX};

/// What a request presents in `Authorization`. Closed. The cookie of a browser is [`crate::cookies`]' and
/// [`crate::OpenedSessions`]', the certificate of a device [`crate::certificate`]'s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A bearer token (RFC 6750 §2.1), well-formed but not yet verified.
    Bearer(&'a str),
    /// A bearer token that was made here for a service account: whole, and not yet looked up.
    Service(&'a str),
    /// Nothing. This is neither a success nor a failure: a public route takes it, others answer
    /// that a sign-in is needed. What is presented and bad never becomes this.
    NotPresented,
}

// === impl Credential ===

impl<'a> Credential<'a> {
    /// Reads the values of all `Authorization` header lines of a request.
    ///
    /// # Errors
    /// [`RefusalCode::BadRequest`] when there are several lines, because the app could read
    /// another one than we do; [`RefusalCode::InvalidCredential`] when the one line is not
    /// `Bearer`, one space and a token of `token68` characters (RFC 9110 §11.2).
    pub fn from_headers(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Ok(Self::NotPresented) };
        if values.next().is_some() {
            return Err(Refusal::new(
                RefusalCode::BadRequest,
                "the request has several `authorization` header lines",
            ));
        }
        let refuse = |why: &str| Err(Refusal::new(RefusalCode::InvalidCredential, why));
        let Ok(value) = std::str::from_utf8(value) else {
            return refuse("the `authorization` header is not text");
        };
        let Some((scheme, token)) = value.split_once(' ') else {
            return refuse("the `authorization` header is not a scheme, one space and a token");
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return refuse("the `authorization` header has another scheme than `Bearer`");
        }
        if token.len() > TOKEN_BYTES_MAX {
            return refuse("the bearer token is longer than the limit");
        }
        if !is_token68(token) {
            return refuse("the bearer token is empty or has characters that no token has");
        }
        if token.starts_with(SERVICE_TOKEN_PREFIX) {
            if !own::is_one(SERVICE_TOKEN_PREFIX, token) {
                return refuse("the token of a service account is mistyped or cut");
            }
            return Ok(Self::Service(token));
        }
        Ok(Self::Bearer(token))
    }
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Service(_) => f.write_str("Service(..)"),
            Self::NotPresented => f.write_str("NotPresented"),
        }
    }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(values: &[&'a [u8]]) -> Result<Credential<'a>, RefusalCode> {
        Credential::from_headers(values.iter().copied()).map_err(|r| r.code)
    }

    #[test]
    fn a_bearer_token_is_taken() {
        assert_eq!(read(&[b"Bearer a.b-c_d"]), Ok(Credential::Bearer("a.b-c_d")));
        assert_eq!(read(&[b"bEARER a=="]), Ok(Credential::Bearer("a==")));
        assert_eq!(read(&[]), Ok(Credential::NotPresented));
    }

    #[test]
    fn a_token_of_ours_is_told_from_others_and_a_cut_one_is_refused() {
        let token = own::ServiceToken::from_random([7; own::RANDOM_BYTES]);
        let line = format!("Bearer {}", token.expose());
        assert_eq!(read(&[line.as_bytes()]), Ok(Credential::Service(token.expose())));
        let cut = &line[..line.len() - 1];
        for bad in [cut.as_bytes(), b"Bearer dwsa_", b"Bearer dwsa_eyJhbGciOiJub25lIn0.e30."] {
            assert_eq!(read(&[bad]), Err(RefusalCode::InvalidCredential), "{}", bad.escape_ascii());
        }
        assert!(!format!("{:?}", Credential::Service(token.expose())).contains(&token.expose()[6..12]));
    }

    #[test]
    fn what_is_presented_and_bad_never_becomes_nothing() {
        let long = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1));
        for bad in [
            &b""[..],
            b" ",
            b"Bearer",
            b"Bearer ",
            b"Bearer  a.b.c",
            b" Bearer a.b.c",
            b"Bearer a.b.c ",
            b"Bearer a b",
            b"Bearer a.b.c, Bearer d.e.f",
            b"Bearer a,b",
            b"Bearer\ta.b.c",
            b"Bearer a.b.c\0",
            b"Bearer \"a.b.c\"",
            b"Bearer ==",
            b"Bearer a=b",
            b"Bearer \xff\xfe",
            "Bearer \u{ff41}.b.c".as_bytes(),
            b"Basic YTpi",
            b"BearerX a.b.c",
            b"DPoP a.b.c",
            b"Negotiate abc",
            b"a.b.c",
            long.as_bytes(),
        ] {
            assert_eq!(read(&[bad]), Err(RefusalCode::InvalidCredential), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn two_lines_are_ambiguous_even_when_equal() {
        for two in [[&b"Bearer a"[..], b"Bearer a"], [b"Bearer a", b""], [b"Basic x", b"Bearer a"]] {
            assert_eq!(read(&two), Err(RefusalCode::BadRequest));
        }
    }

    #[test]
    fn the_token_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Credential::Bearer("s3cret")), "Bearer(..)");
    }
}
