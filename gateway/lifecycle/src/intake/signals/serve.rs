//! From a request to its answer: who is called, what was sent, and whether it proves who sent it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as Received, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use doorward_identity::Sender;
use doorward_identity::message::{MessageError, MessageKind, Rejected, Rejection};
use doorward_model::UnixMillis;
use http_body_util::BodyExt as _;
use uuid::Uuid;

use super::posture;
use super::settle::Settled;
use super::word::Word;
use super::{Desk, Line, Signals};
use crate::intake::scim::Welcome;
use crate::signals::answer::{Asked, Reply};
use crate::signals::request::{self, BODY_BYTES_MAX, Request, RequestError};
use crate::signals::webhook::Signed;
use crate::signals::{KillOrder, Signal, Webhook};

/// How long a body may take to arrive, in seconds.
pub const BODY_SECONDS_MAX: u64 = 10;
/// What begins every path.
const ROOT: &str = "/signals/";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything under `/signals/`; what nobody here is called by is a 404 without a body.
pub fn router(signals: Arc<Signals>) -> Router {
    Router::new().route("/signals/{*rest}", any(handle)).with_state(signals)
}

async fn handle(State(signals): State<Arc<Signals>>, received: Received) -> Response {
    let request_id: Arc<str> = Uuid::new_v4().to_string().into();
    let (parts, body) = received.into_parts();
    let body = if parts.method == Method::POST { whole(body).await } else { Some(Vec::new()) };
    let for_log = Arc::clone(&request_id);
    // On a task of its own: a sender that goes away stops nothing half-way.
    let work = tokio::spawn(async move { signals.answer(&parts, body, &request_id).await });
    let reply = work.await.unwrap_or_else(|error| {
        tracing::error!(request_id = &*for_log, %error, "a signal panicked");
        Some(Reply::later())
    });
    respond(reply, &for_log)
}

/// The body, of which no more is read than is needed to see that it is too large. None: it ended early, or
/// did not arrive in time.
async fn whole(mut body: Body) -> Option<Vec<u8>> {
    let all = async {
        let mut read: Vec<u8> = Vec::new();
        while read.len() <= BODY_BYTES_MAX
            && let Some(frame) = body.frame().await
        {
            if let Ok(data) = frame.ok()?.into_data() {
                let room = (BODY_BYTES_MAX + 1).saturating_sub(read.len());
                read.extend(data.iter().take(room));
            }
        }
        Some(read)
    };
    tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), all).await.ok().flatten()
}

/// The one place where an answer becomes HTTP.
fn respond(reply: Option<Reply>, request_id: &str) -> Response {
    let mut response = Response::new(Body::empty());
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let Some(Reply { status, headers, body }) = reply else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(body) = body {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(body.to_string());
    }
    response
}

/// Who is called.
enum Endpoint<'a> {
    Events(&'a Desk<Line>),
    Logout(&'a Desk<Sender>),
    Revocation(&'a Desk<Sender>),
    Posture(&'a Desk<Sender>),
    Webhook(&'a Desk<Webhook>),
}

impl Endpoint<'_> {
    const fn asked(&self) -> Asked {
        match self {
            Self::Events(_) => Asked::Message(MessageKind::SecurityEvent),
            Self::Logout(_) => Asked::Message(MessageKind::Logout),
            Self::Revocation(_) => Asked::Message(MessageKind::RevocationCall),
            Self::Posture(_) => Asked::Message(MessageKind::DevicePosture),
            Self::Webhook(_) => Asked::Kill,
        }
    }
}

/// A request, as far as it can be read without knowing what it is for.
struct Call<'a> {
    request: Request<'a>,
    signed: Signed<'a>,
    welcome: Option<&'a Welcome>,
    request_id: &'a Arc<str>,
    now: UnixMillis,
}

/// Why a message goes no further.
enum No {
    Request(RequestError),
    Message(MessageError),
}

impl From<RequestError> for No {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<MessageError> for No {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl From<Rejected> for No {
    fn from(why: Rejected) -> Self {
        Self::Message(MessageError::Rejected(why))
    }
}

impl Signals {
    /// None: nobody here is called so.
    async fn answer(&self, parts: &Parts, body: Option<Vec<u8>>, request_id: &Arc<str>) -> Option<Reply> {
        let endpoint = self.endpoint(parts.uri.path())?;
        let asked = endpoint.asked();
        let once = |name: &str| once(&parts.headers, name);
        let request = Request {
            method: parts.method.as_str(),
            content_type: once(CONTENT_TYPE.as_str()),
            authorization: once(AUTHORIZATION.as_str()),
            body: body.as_deref().unwrap_or_default(),
        };
        let signed = Signed {
            id: once("webhook-id"),
            timestamp: once("webhook-timestamp"),
            signature: once("webhook-signature"),
        };
        let now = (self.clock)();
        let call = Call { request, signed, welcome: parts.extensions.get(), request_id, now };
        let answer = match endpoint {
            _ if body.is_none() => {
                Err(Rejected::new(Rejection::InvalidRequest, "the body did not arrive").into())
            }
            Endpoint::Events(desk) => self.event(desk, &call).await,
            Endpoint::Logout(desk) => self.logout(desk, &call).await,
            Endpoint::Revocation(desk) => self.revocation(desk, &call).await,
            Endpoint::Posture(desk) => self.posture(desk, &call).await,
            Endpoint::Webhook(desk) => self.kill(desk, &call).await,
        };
        Some(answer.unwrap_or_else(|no| self.refuse(asked, &no, parts.uri.path(), &call)))
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint<'_>> {
        let (kind, name) = path.strip_prefix(ROOT)?.split_once('/')?;
        let of = |desks: &'_ [Desk<Sender>]| desks.iter().position(|desk| desk.of.id().as_str() == name);
        match kind {
            "events" => {
                let mut all = self.streams.iter();
                // What is fetched is not pushed.
                let is_it = |desk: &&Desk<Line>| {
                    desk.of.name().as_str() == name && desk.of.stream.contact().poll().is_none()
                };
                all.find(is_it).map(Endpoint::Events)
            }
            "logout" => self.logouts.get(of(&self.logouts)?).map(Endpoint::Logout),
            "revocation" => self.callers.get(of(&self.callers)?).map(Endpoint::Revocation),
            "posture" => self.postures.get(of(&self.postures)?).map(Endpoint::Posture),
            "webhook" => {
                let mut all = self.webhooks.iter();
                all.find(|desk| desk.of.id().as_str() == name).map(Endpoint::Webhook)
            }
            _ => None,
        }
    }

    /// A security event (RFC 8935 §2.1).
    async fn event(&self, desk: &Desk<Line>, call: &Call<'_>) -> Result<Reply, No> {
        let stream = &desk.of.stream;
        let token = request::push(&call.request, stream)?;
        let message = self.verifier.security_event(stream.sender().id().as_str(), token, call.now).await?;
        call.known();
        let signal = Signal::read(&message)?;
        Ok(self.answered(desk, Word::Signal(&signal, &desk.of), call.request_id).await)
    }

    /// A logout (Back-Channel Logout §2.5).
    async fn logout(&self, desk: &Desk<Sender>, call: &Call<'_>) -> Result<Reply, No> {
        let token = request::logout(&call.request)?;
        let logout = self.verifier.logout(desk.of.id().as_str(), &token, call.now).await?;
        call.known();
        Ok(self.answered(desk, Word::Logout(&logout), call.request_id).await)
    }

    /// Global token revocation.
    async fn revocation(&self, desk: &Desk<Sender>, call: &Call<'_>) -> Result<Reply, No> {
        let (token, subject) = request::revocation(&call.request)?;
        let message = self.verifier.revocation_call(desk.of.id().as_str(), token, call.now).await?;
        call.known();
        Ok(self.answered(desk, Word::Call(&message, &subject, &desk.of), call.request_id).await)
    }

    /// The posture of a device. That it came before needs no memory: of two, the newer counts.
    async fn posture(&self, desk: &Desk<Sender>, call: &Call<'_>) -> Result<Reply, No> {
        let asked = Asked::Message(MessageKind::DevicePosture);
        let token = request::posture(&call.request)?;
        let report = self.verifier.posture(desk.of.id().as_str(), token, call.now).await?;
        call.known();
        let Some(_turn) = desk.turn().await else { return Ok(Reply::later()) };
        Ok(match posture::note(&self.lives, &report, call.request_id).await {
            Settled::Took(took) => Reply::took(asked, took),
            Settled::Rejected(why) => Reply::rejected(asked, &why),
            Settled::Later => Reply::later(),
        })
    }

    /// The kill webhook.
    async fn kill(&self, desk: &Desk<Webhook>, call: &Call<'_>) -> Result<Reply, No> {
        let order = KillOrder::read(&call.request, &call.signed, &desk.of, call.now)?;
        call.known();
        Ok(self.answered(desk, Word::Kill(&order, &desk.of), call.request_id).await)
    }

    /// Does what a verified message asks for, and says what the sender is told.
    async fn answered<T>(&self, desk: &Desk<T>, word: Word<'_>, request_id: &Arc<str>) -> Reply {
        match self.settle(desk, word, request_id).await {
            Settled::Took(took) => Reply::took(word.asked(), took),
            Settled::Rejected(why) => Reply::rejected(word.asked(), &why),
            Settled::Later => Reply::later(),
        }
    }

    /// What a sender is told whose message goes no further, and, at most once a second, the operator.
    fn refuse(&self, asked: Asked, no: &No, path: &str, call: &Call<'_>) -> Reply {
        let (reply, detail) = match no {
            No::Request(RequestError::NotPost) => return Reply::only_post(),
            No::Request(RequestError::Rejected(why)) => (Reply::rejected(asked, why), why.to_string()),
            No::Message(why) => (Reply::refused(asked, why), why.to_string()),
        };
        if let Some(untold) = self.knocks.due(call.now) {
            let request_id = &**call.request_id;
            tracing::warn!(request_id, path, detail, untold, "a message about somebody is not taken");
        }
        reply
    }
}

impl Call<'_> {
    /// The connection has shown that a known sender uses it.
    fn known(&self) {
        if let Some(welcome) = self.welcome {
            welcome.known();
        }
    }
}

/// A header that comes once. Of one that comes twice nobody can tell which counts.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    only.to_str().ok()
}
