//! Which page asks, and for what: a person who opens a page, a form, or a script.
//!
//! Browsers send a cookie along whoever made them ask, so a request that comes with a session and does something
//! must come from a page of the app (incident classes S11 and S18). Pages cannot write `Sec-Fetch-Site`,
//! `Sec-Fetch-Mode` and `Origin` themselves (Fetch Metadata §2; Fetch §4.6), so these are believed of a browser.
//! A bearer token is added by whoever has it, so nothing of this is asked of one.

use doorward_model::{Refusal, RefusalCode};
use http::{HeaderMap, HeaderName, Method, header};
use pingora::http::RequestHeader;

use crate::config::App;
use crate::routes::host_name;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a browser is about. Nothing is allowed by it: it is the form that a refusal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It opens a page in a tab, so it can be sent elsewhere and come back.
    Opens,
    /// It sends a form in a tab: sent elsewhere, it would lose what was written.
    Sends,
    /// A script, an image, a frame, or no browser at all: it would take a page for what it asked for.
    Fetches,
}

impl Intent {
    /// Tells from the request.
    pub(crate) fn of(request: &RequestHeader) -> Self {
        let headers = &request.headers;
        let tab = match one(headers, &MODE) {
            Some(mode) => {
                mode == Some("navigate") && matches!(one(headers, &DEST), None | Some(Some("document")))
            }
            None => headers.get_all(header::ACCEPT).iter().any(|v| {
                v.to_str()
                    .is_ok_and(|v| v.split(',').any(|media| media.trim_start().starts_with("text/html")))
            }),
        };
        match (tab && !headers.contains_key(header::UPGRADE), &request.method) {
            (true, &Method::GET | &Method::HEAD) => Self::Opens,
            (true, _) => Self::Sends,
            (false, _) => Self::Fetches,
        }
    }
}

/// The one value of a header, if it is text; none where the header is not there.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

/// Where a request came in.
pub(super) struct Here<'a> {
    /// The host, without port, in lower case.
    pub(super) host: &'a str,
    /// It came in by TLS.
    pub(super) https: bool,
    /// A cookie of ours says who asks.
    pub(super) by_session: bool,
}

/// A page of another site may not open a WebSocket with the rights of the person in front of it
/// (RFC 6455 §10.2, incident class S18). A program sends no `Origin`; a browser always does, so who comes with
/// a session and without one is refused.
pub(super) fn check_websocket(request: &RequestHeader, here: &Here<'_>, app: &App) -> Result<(), Refusal> {
    let foreign = |why: &str| Refusal::new(RefusalCode::ForeignOrigin, why);
    match one(&request.headers, &header::ORIGIN) {
        None if here.by_session => Err(foreign("a WebSocket was asked for with a session and no `origin`")),
        None => Ok(()),
        Some(Some(origin)) if is_own(request, origin, here) => Ok(()),
        Some(Some(origin)) if app.websocket_origins.contains(&origin.to_ascii_lowercase()) => Ok(()),
        Some(_) => Err(foreign("a page of another origin asked for a WebSocket")),
    }
}

/// With a session, only pages of the app itself, and of origins that are listed, may have something done. Those of
/// a host beside it are of another app. Whoever does not say from which page it comes is no browser of our days.
pub(super) fn check_site(request: &RequestHeader, here: &Here<'_>, app: &App) -> Result<(), Refusal> {
    let safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || !here.by_session {
        return Ok(());
    }
    let headers = &request.headers;
    let may = |origin: &str| {
        is_own(request, origin, here) || app.cross_site_origins.contains(&origin.to_ascii_lowercase())
    };
    let (good, whence) = match (one(headers, &SITE), one(headers, &header::ORIGIN)) {
        // `none` is a person's own doing: a form that is sent again after a restart.
        (Some(Some("same-origin" | "none")), _) => (true, ""),
        (_, Some(Some(origin))) => (may(origin), "a page of another origin"),
        (_, Some(None)) => (false, "a page of an origin that cannot be read"),
        (Some(_), None) => (false, "a page of another site"),
        (None, None) => match one(headers, &header::REFERER) {
            Some(Some(referer)) => (origin_of(referer).is_some_and(may), "a page of another origin"),
            Some(None) | None => (false, "no page, as far as it says, but with a session,"),
        },
    };
    if good {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::CrossSite, format!("{whence} asked for something to be done")))
}

/// The origin of an address.
fn origin_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    url.get(..scheme.len() + 3 + authority.len())
}

/// Whether an origin is that of the request itself.
fn is_own(request: &RequestHeader, origin: &str, here: &Here<'_>) -> bool {
    let origin = origin.to_ascii_lowercase();
    // A proxy may end TLS and not say so, and then the page's scheme is not ours; host and port decide.
    let (authority, port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(authority), _) => (Some(authority), ":443"),
        (None, authority) => (authority.filter(|_| !here.https), ":80"),
    };
    let header = request.headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let named = header.or_else(|| request.uri.authority().map(http::uri::Authority::as_str));
    let named = named.map(str::to_ascii_lowercase);
    authority.is_some_and(|authority| {
        let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_owned();
        host_name(authority) == Some(here.host) && named.as_deref().map(bare) == Some(bare(authority))
    })
}

#[cfg(test)]
mod tests;
