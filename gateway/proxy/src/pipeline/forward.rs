//! To the app: which instance, what it is told, and what its failures mean.

use doorward_model::{Refusal, RefusalCode};
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::answer::Reader;
use crate::headers::{self, Told};
use crate::pipeline::House;
use crate::pipeline::authorize::Permit;
use crate::pipeline::record::Story;

/// The next instance of the permitted app.
pub(crate) fn peer(
    house: &House,
    permit: &Permit,
    uploads: bool,
    story: &mut Story,
) -> Result<Box<HttpPeer>> {
    let idle_max = house.limits.stream_idle_max;
    let Some(peer) = permit.upstream().peer(permit, permit.streaming(), uploads, idle_max, story.tried())
    else {
        return Err(Error::explain(ErrorType::ConnectNoRoute, "no instance of the app is well").into_up());
    };
    if let pingora::protocols::l4::socket::SocketAddr::Inet(address) = &peer._address {
        story.forwarded(*address);
    }
    Ok(Box::new(peer))
}

/// Makes the request what the app gets: the path that was matched, and our word for who asks.
pub(crate) fn prepare(
    house: &House,
    permit: &Permit,
    request: &mut RequestHeader,
    story: &Story,
) -> Result<()> {
    let accepted = permit.accepted();
    let path = accepted.resolved().path.as_str();
    let target = match request.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| internal("the target cannot be written"))?;
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = Some(target);
    if request.version == http::Version::HTTP_2 {
        // What the client wrote is about its own connection, or made up (RFC 9113 §8.3.1).
        let scheme = if permit.upstream().speaks_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        parts.scheme = parts.authority.as_ref().map(|_| scheme);
    } else {
        parts.scheme = None;
        parts.authority = None;
    }
    request.set_uri(Uri::from_parts(parts).map_err(|_| internal("the target cannot be written"))?);
    let assertion = house.signer.assertion(permit.principal(), &permit.app().id, accepted.now());
    if assertion.is_none() && permit.principal().id().is_some() {
        return Err(internal("the assertion cannot be signed"));
    }
    let told = Told {
        principal: permit.principal(),
        assertion: assertion.as_deref(),
        request_id: story.request_id(),
        client: accepted.client(),
        authority: accepted.authority(),
        https: accepted.https(),
        traceparent: &story.traceparent(),
        pass_token: permit.app().pass_token,
    };
    headers::prepare(request, &told).map_err(|refusal| internal(&refusal.detail))?;
    // `TE` is hop by hop, so Pingora took the client's away. Servers of gRPC ask for it, to be sure
    // that trailers pass (gRPC over HTTP/2, "Requests").
    if permit.upstream().speaks_h2() && Reader::of(request) == Reader::Grpc {
        request.insert_header(http::header::TE, "trailers")?;
    }
    Ok(())
}

/// The app answered what it was not asked for.
pub(crate) fn unasked(status: http::StatusCode, upgrade: bool) -> Box<Error> {
    let asked = if upgrade { "a request for a WebSocket" } else { "a plain request" };
    Error::explain(ErrorType::InvalidHTTPHeader, format!("the app answered {asked} with {}", status.as_u16()))
        .into_up()
}

/// The body is longer than the app allows.
///
/// Said of the client's side, like the next one: what fails while a body goes to an app that speaks
/// HTTP/2 is otherwise taken for the app's failure, and its answer is waited for.
pub(crate) fn too_large() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(413), "the body is larger than the app allows").into_down()
}

/// The decision found no place in the log of an app that requires it.
pub(crate) fn unrecorded() -> Box<Error> {
    Error::explain(UNRECORDED, "the decision found no room in the audit log").into_down()
}

const UNRECORDED: ErrorType = ErrorType::Custom("unrecorded");

fn internal(why: &str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why.to_owned())
}

/// What an error of Pingora means to the client.
pub(crate) fn failure(error: &Error, late: bool) -> Refusal {
    use ErrorType as E;
    let code = match (&error.etype, &error.esource) {
        (_, ErrorSource::Upstream) if late => RefusalCode::UpstreamTimeout,
        (E::HTTPStatus(413), _) => RefusalCode::BodyTooLarge,
        (etype, _) if *etype == UNRECORDED => RefusalCode::AuditUnavailable,
        (E::HTTPStatus(408), _) | (E::ReadTimedout, ErrorSource::Downstream) => RefusalCode::RequestTimeout,
        (E::InvalidHTTPHeader, ErrorSource::Downstream) => RefusalCode::BadRequest,
        (
            E::ConnectTimedout | E::ReadTimedout | E::WriteTimedout | E::TLSHandshakeTimedout,
            ErrorSource::Upstream,
        ) => RefusalCode::UpstreamTimeout,
        (_, ErrorSource::Upstream) => RefusalCode::UpstreamUnavailable,
        (_, _) => RefusalCode::Internal,
    };
    Refusal::new(code, format!("{:?} {}", error.etype, error.context.as_ref().map_or("", |c| c.as_str())))
}
