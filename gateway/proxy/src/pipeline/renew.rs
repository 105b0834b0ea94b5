//! The cookie of a session, sealed anew with the answer.
//!
//! A cookie says when it was last used, so it is sealed anew when that is a while ago. It is the one thing about
//! a session that is written on the request path, and it is written into the answer alone.
//!
//! Invariants:
//! * Only the cookie of a session that stands is renewed: identified, and not cut off.
//! * An answer that takes long renews nothing. Meanwhile the browser may have got a better cookie, and the older
//!   one would take its place.
//! * No cache that serves others keeps an answer with a cookie: it is made private. One that an app offers to such
//!   caches in so many words goes without, as long as the session has time for another answer.
//! * What could not be sealed is tried again with the next answer, and nobody is refused for it.
//! * Who is in more groups by now than a cookie holds keeps the cookie's older facts, used now. What requests go by is
//!   the newer ones, from memory, or as soon as the record is read. Where the record is lost as well, the older ones
//!   are all there is, to the session's limits.

use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_identity::cookies::set_cookie;
use doorward_identity::seal::SealError;
use doorward_identity::session::SESSION_COOKIE;
use doorward_model::UnixMillis;
use doorward_model::limits::SESSION_RENEWAL_SECONDS_MAX;
use http::{HeaderMap, HeaderValue, header};
use pingora::http::ResponseHeader;

use crate::sign_in::SignIn;

/// The longest that an answer may take that renews a cookie.
const TOOK_MAX: Duration = Duration::from_secs(SESSION_RENEWAL_SECONDS_MAX);

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// The browser alone, or nobody.
    Privately,
    /// Others perhaps: nobody said that they may, and nobody that they may not.
    Unsaid,
    /// Caches that serve others.
    Publicly,
}

/// Adds the cookie to an answer if it is time, and says whether it did. `asked_at` is when the request came, `cookie`
/// what came with it.
pub(crate) fn renew(
    sign_in: &SignIn,
    (session, cookie): (&BrowserSession, Option<&str>),
    host: &str,
    (asked_at, now): (UnixMillis, UnixMillis),
    response: &mut ResponseHeader,
) -> pingora::Result<bool> {
    let lifetimes = sign_in.opened.lifetimes();
    if !session.is_due(now, lifetimes) || now.since(asked_at) > TOOK_MAX {
        return Ok(false);
    }
    match kept(&response.headers) {
        Kept::Privately => {}
        Kept::Publicly if now.since(session.seen_at) < lifetimes.idle / 2 => return Ok(false),
        Kept::Publicly | Kept::Unsaid => {
            response.insert_header(header::CACHE_CONTROL, made_private(&response.headers))?;
        }
    }
    match sealed(sign_in, (session, cookie), host, now) {
        Ok(sealed) => {
            response.append_header(header::SET_COOKIE, set_cookie(SESSION_COOKIE, &sealed, None))?;
            Ok(true)
        }
        Err(e) => {
            if sign_in.numbers.unsealed(now) {
                tracing::error!(error = %e, "cookies of sessions cannot be sealed anew");
            }
            Ok(false)
        }
    }
}

/// The new value. Where the newer facts do not fit, those that the cookie has already.
fn sealed(
    sign_in: &SignIn,
    (session, cookie): (&BrowserSession, Option<&str>),
    host: &str,
    now: UnixMillis,
) -> Result<String, SealError> {
    let sealer = sign_in.opened.sealer();
    match session.clone().seen(now).seal(sealer, host) {
        Err(e @ SealError::TooLong { .. }) => {
            if sign_in.numbers.outgrown(now) {
                tracing::warn!(session = %session.id, error = %e, "sessions go on with older cookies: what is said of people does not fit");
            }
            let old = cookie.and_then(|cookie| BrowserSession::open(sealer, host, cookie)).ok_or(e)?;
            old.seen(now).seal(sealer, host)
        }
        sealed => sealed,
    }
}

/// The directives of an answer, in lower case (RFC 9111 §5.2).
fn directives(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::CACHE_CONTROL).iter().map(HeaderValue::as_bytes);
    let all = lines.flat_map(|line| line.split(|b| *b == b','));
    all.map(|one| String::from_utf8_lossy(one).trim().to_ascii_lowercase())
        .filter(|d| !d.is_empty())
        .collect()
}

fn is_for_others(directive: &str) -> bool {
    directive == "public" || directive.starts_with("s-maxage")
}

fn kept(headers: &HeaderMap) -> Kept {
    let directives = directives(headers);
    // `private="x"` is about a field of the header.
    if directives.iter().any(|d| matches!(d.as_str(), "private" | "no-store")) {
        return Kept::Privately;
    }
    if directives.iter().any(|d| is_for_others(d)) { Kept::Publicly } else { Kept::Unsaid }
}

/// What an answer says of caches, for the browser alone.
fn made_private(headers: &HeaderMap) -> String {
    let mut directives = directives(headers);
    directives.retain(|d| !is_for_others(d) && d.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
    directives.push("private".to_owned());
    directives.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_others_may_be_served_is_told_from_one_that_they_may_not() {
        for (lines, expect, private) in [
            (&[][..], Kept::Unsaid, "private"),
            (&["", " , "], Kept::Unsaid, "private"),
            (&["private, max-age=60"], Kept::Privately, "private, max-age=60, private"),
            (&["No-Store"], Kept::Privately, "no-store, private"),
            (&["max-age=0", "PRIVATE"], Kept::Privately, "max-age=0, private, private"),
            (&["public, max-age=60, immutable"], Kept::Publicly, "max-age=60, immutable, private"),
            (&["max-age=60,S-MaxAge=5"], Kept::Publicly, "max-age=60, private"),
            (&["max-age=60"], Kept::Unsaid, "max-age=60, private"),
            (&["no-cache"], Kept::Unsaid, "no-cache, private"),
            (&["private=\"x-a\", max-age=60"], Kept::Unsaid, "private=\"x-a\", max-age=60, private"),
        ] {
            let mut headers = HeaderMap::new();
            for value in lines {
                headers.append("cache-control", value.parse().unwrap());
            }
            assert_eq!(kept(&headers), expect, "{lines:?}");
            assert_eq!(made_private(&headers), private, "{lines:?}");
        }
    }
}
