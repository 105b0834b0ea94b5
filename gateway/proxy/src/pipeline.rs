//! A request comes in: accept → identify → enrich → revocation → authorize → forward → record.
//!
//! Each stage is a file. It takes the evidence of the stage before by value and returns its own,
//! whose fields are private and which is built in that file only:
//!
//! ```text
//!  Accepted ─► Identified ─► Enriched ─► Unrevoked ─► Permit ─► an upstream
//! ```
//! Whatever stage refuses, the refusal is answered and recorded here, once.

pub mod accept;
pub mod authorize;
mod caller;
mod decide;
pub mod enrich;
pub mod forward;
pub mod identify;
mod own;
pub mod record;
pub(crate) mod renew;
pub mod revocation;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use doorward_audit::{Audit, Protocol, Recorded};
use doorward_context::{Calendar, Places, TrustedProxies};
use doorward_identity::Verifier;
use doorward_model::time::Clock;
use doorward_model::{Refusal, RefusalCode, limits};
use doorward_policy::shadow::Shadow;
use doorward_policy::{Action, Policies};
use doorward_state::Revocations;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::accounts::Accounts;
use crate::answer::{Answer, Reader, answer, elsewhere};
use crate::assertion::Signer;
use crate::config::{Limits, Streams};
use crate::gate::Running;
use crate::headers;
use crate::inflight::Inflight;
use crate::joining::Joining;
use crate::metrics::Metrics;
use crate::path::NormalPath;
use crate::people::People;
use crate::review::Review;
use crate::risk::Risks;
use crate::routes::RouteTable;
use crate::sign_in::SignIn;
use crate::upstream::Streaming;
use accept::Looked;
use authorize::Permit;
use caller::{Caller, Turn};
use decide::Asked;
use record::Story;

/// Time since some instant that never goes back.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Everything that the stages work with. One for all listeners.
pub struct House {
    /// Host and path to app and route.
    pub routes: RouteTable,
    /// Whose word about the client's address counts.
    pub proxies: Arc<TrustedProxies>,
    /// Who is asking.
    pub verifier: Arc<Verifier>,
    /// Whose word counts about them.
    pub people: People,
    /// Service accounts with a token of ours.
    pub accounts: Accounts,
    /// Whether whoever is not known joins.
    pub joining: Joining,
    /// Where people sign in with a browser, if they do.
    pub sign_in: Option<Arc<SignIn>>,
    /// Where an address is.
    pub places: Arc<Places>,
    /// How odd it looks what people do; none where nobody computes that.
    pub risks: Option<Arc<Risks>>,
    /// The company's time.
    pub calendar: Calendar,
    /// Who was cut off.
    pub revocations: Arc<Revocations>,
    /// What runs.
    pub inflight: Arc<Inflight>,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Those that are asked beside them.
    pub shadow: Arc<Shadow>,
    /// Decides anew what runs.
    pub review: Review,
    /// Signs assertions.
    pub signer: Arc<Signer>,
    /// The log.
    pub audit: Arc<Audit>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The bounds.
    pub limits: Limits,
    /// How long what was let in may go on by that.
    pub streams: Streams,
    /// For how long what runs goes on though nobody can tell whether it may.
    pub stream_grace: Duration,
    /// How far an issuer's clock may be off.
    pub issuer_skew: Duration,
    /// What time it is.
    pub clock: Clock,
    /// How much time has passed.
    pub ticks: Ticks,
}

/// The pipeline, hung into Pingora's filters.
#[derive(Clone)]
pub struct Door(pub Arc<House>);

/// What belongs to one exchange while it runs.
pub struct Exchange {
    /// Its place in the gate; none outside of it, and then it is refused.
    running: Option<Arc<Running>>,
    /// What will be recorded.
    story: Story,
    /// The proof that it may pass.
    permit: Option<Arc<Permit>>,
    /// Who came, for the answers that are ours.
    caller: Caller,
    /// Another proxy asks whether it may pass.
    asked: Option<Asked>,
}

impl Exchange {
    /// Whether another proxy asks, and lets pass or not.
    fn decides(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.decides)
    }
}

/// What a request came to.
enum Admitted {
    /// It may pass to its app.
    Passes(Arc<Permit>),
    /// It is for a page of ours.
    Ours(Box<(Looked, NormalPath)>),
}

impl Door {
    /// Every stage up to the permit.
    async fn admit(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Admitted, Refusal> {
        let house = &self.0;
        let running = exchange
            .running
            .as_ref()
            .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the exchange is not in the gate"))?;
        let looked = accept::look(house, session, running, &mut exchange.story)?;
        if let Some(path) = looked.own_path(house, session.req_header())? {
            return Ok(Admitted::Ours(Box::new((looked, path))));
        }
        let accepted = accept::accept(house, session, running, looked, &mut exchange.story)?;
        exchange.caller.came(&accepted);
        let mark = house.review.mark();
        let identified = identify::identify(house, accepted, &mut exchange.story).await?;
        exchange.caller.is_known(&identified);
        let enriched = enrich::enrich(house, identified, &mut exchange.story);
        let registered = revocation::register(house, enriched, running)?;
        let looked = if registered.is_strict() { revocation::look(house).await } else { Ok(()) };
        let unrevoked = registered.check(house, looked, &mut exchange.story)?;
        exchange.caller.stands();
        let risk = enrich::weigh(house, &unrevoked, &mut exchange.story).await;
        let slot = &running.slot;
        let permit = authorize::authorize(house, unrevoked, risk, mark, slot, &mut exchange.story)?;
        Ok(Admitted::Passes(permit))
    }

    async fn refuse(&self, session: &mut Session, exchange: &mut Exchange, refusal: &Refusal) -> Result<()> {
        if let Some(running) = &exchange.running {
            running.leave();
        }
        let reader = match Reader::of(session.req_header()) {
            // The word of gRPC for a no is a 200.
            Reader::Grpc if exchange.decides() => Reader::Program,
            reader => reader,
        };
        let head_only = session.req_header().method == http::Method::HEAD;
        let (house, now) = (&self.0, (self.0.clock)());
        let mut written = match exchange.caller.turn(house, session.req_header(), refusal, now) {
            Turn::Away(redirect) => elsewhere(refusal, &redirect, exchange.story.request_id())?,
            Turn::Here(way) => answer(refusal, &way, reader, exchange.story.request_id(), head_only)?,
        };
        if let Some(host) = accept::host_of(session.req_header()) {
            exchange.caller.renew(house, &host, &mut written.head)?;
        }
        if exchange.decides() {
            self.tell_asker(exchange.asked.as_ref(), &mut written.head)?;
        }
        exchange.story.refused(refusal, written.head.status.as_u16());
        // What was not read of a refused request must not be taken for the next one, nor what was
        // meant for a tunnel.
        let tunnel = session.req_header().method == http::Method::CONNECT;
        if !session.is_body_empty() || tunnel || closes_connection(refusal.code) {
            session.set_keepalive(None);
        }
        self.answer_asker(session, exchange, written).await
    }
}

/// Writes an answer of ours, whole.
async fn write(session: &mut Session, written: Answer) -> Result<()> {
    let end = written.body.is_empty();
    session.write_response_header(Box::new(written.head), end).await?;
    // A stream of HTTP/2 ends with a body, an empty one too; else it would end with a reset.
    if !end || session.as_downstream().is_http2() {
        session.write_response_body(Some(Bytes::from(written.body)), true).await?;
    }
    Ok(())
}

/// Refusals after which nothing more is wanted from a connection.
const fn closes_connection(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::BadRequest
            | RefusalCode::HeaderTooLarge
            | RefusalCode::BodyTooLarge
            | RefusalCode::RequestTimeout
            | RefusalCode::Misdirected
            | RefusalCode::Revoked
            | RefusalCode::Disabled
            | RefusalCode::Overloaded
    )
}

#[async_trait]
impl ProxyHttp for Door {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange {
            running: Running::current(),
            story: Story::begin(&self.0),
            permit: None,
            caller: Caller::default(),
            asked: None,
        }
    }

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        if let Some(running) = &exchange.running {
            running.headers_arrived();
        }
        let limits = &self.0.limits;
        // What HTTP/1.0 and `Connection: close` want was read from the header already.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(limits.keepalive_max.as_secs()));
        }
        session.set_read_timeout(Some(limits.body_idle_max));
        session.set_write_timeout(Some(limits.body_idle_max));
        session.set_total_drain_timeout(Some(Duration::from_secs(limits::REFUSED_BODY_SECONDS_MAX)));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        if exchange.decides() {
            self.decide(session, exchange).await?;
            return Ok(true);
        }
        match self.admit(session, exchange).await {
            Ok(Admitted::Ours(ours)) => {
                self.serve_own(session, exchange, *ours).await?;
                Ok(true)
            }
            Ok(Admitted::Passes(permit)) => {
                if permit.streaming() == Streaming::Yes {
                    session.set_read_timeout(Some(self.0.limits.stream_idle_max));
                    session.set_write_timeout(Some(self.0.limits.stream_idle_max));
                } else if let Some(running) = exchange.running.as_ref().filter(|_| !session.is_body_empty()) {
                    running.patience.uploads();
                }
                exchange.permit = Some(permit);
                Ok(false)
            }
            Err(refusal) => {
                self.refuse(session, exchange, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let uploads = !session.is_body_empty();
        let permit = exchange
            .permit
            .as_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no permit, no upstream"))?;
        forward::peer(&self.0, permit, uploads, &mut exchange.story)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let (Some(running), Some(permit)) = (&exchange.running, &exchange.permit) {
            // A connection of HTTP/2 is not this exchange's alone.
            let own = Some(fd).filter(|_| !permit.upstream().speaks_h2());
            running.patience.asked(permit.answer_max(!session.is_body_empty()), own);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let permit = exchange
            .permit
            .as_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no permit, no upstream"))?;
        forward::prepare(&self.0, permit, request, &exchange.story)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let (Some(running), Some(permit)) = (&exchange.running, &exchange.permit) {
            running.patience.piece();
            if end {
                running.patience.uploaded(permit.answer_max(true));
            }
        }
        let received = exchange.story.received(body.as_ref().map_or(0, Bytes::len));
        let Some(permit) = &exchange.permit else { return Ok(()) };
        if permit.request_body_bytes_max().is_some_and(|max| received > max) {
            return Err(forward::too_large());
        }
        // Nobody was answered yet, so that it is not too late to refuse.
        let recorded = exchange.story.told_if_long(exchange.running.as_deref());
        if permit.must_be_recorded() && recorded == Recorded::Dropped && session.response_written().is_none()
        {
            return Err(forward::unrecorded());
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let switches = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !switches {
            return Ok(());
        }
        let permit = exchange
            .permit
            .as_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no permit, no answer"))?;
        // The policies were asked about a WebSocket, or about what a plain request fetches. An app
        // that answers the other one would give what nobody decided about.
        let upgrade = permit.accepted().action() == Action::Upgrade;
        if upgrade != switches && !(upgrade && response.status.as_u16() >= 400) {
            return Err(forward::unasked(response.status, upgrade));
        }
        if let Some(running) = &exchange.running {
            let events = !switches && is_event_stream(response);
            running.patience.answered(switches || events || running.slot.protocol() == Protocol::Grpc);
            if switches {
                running.slot.becomes(Protocol::WebSocket);
            } else if events {
                running.slot.becomes(Protocol::EventStream);
                session.set_write_timeout(Some(self.0.limits.stream_idle_max));
            }
        }
        let dropped = headers::keep_our_cookies(response)?;
        self.0.metrics.app_cookies_dropped(&permit.app().id, dropped);
        exchange.caller.renew(&self.0, permit.accepted().host(), response)?;
        let recorded = exchange.story.answered(response.status.as_u16(), exchange.running.as_deref());
        if permit.must_be_recorded() && recorded == Recorded::Dropped {
            return Err(forward::unrecorded());
        }
        if switches && let Some(connection) = exchange.running.as_ref().and_then(|r| r.connection.as_ref()) {
            connection.line.upgrade();
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        if let Some(running) = &exchange.running {
            running.patience.piece();
        }
        exchange.story.sent(body.as_ref().map_or(0, Bytes::len));
        // What is under way already is not cut off for the log: nothing new passes while it has gaps.
        let _counted = exchange.story.told_if_long(exchange.running.as_deref());
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(exchange.story.may_connect_again());
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let late = exchange.running.as_ref().is_some_and(|running| {
            running.patience.left();
            running.patience.is_late()
        });
        let again = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        if again && !late {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let late = exchange.running.as_ref().is_some_and(|r| r.patience.is_late());
        let refusal = forward::failure(error, late);
        let killed = exchange.running.as_ref().is_some_and(|r| r.slot.is_ended());
        let client_gone =
            *error.esource() == ErrorSource::Downstream && refusal.code == RefusalCode::Internal;
        exchange.story.failed(error, refusal.code, killed);
        if !killed && !client_gone && session.response_written().is_none() {
            if let Err(e) = self.refuse(session, exchange, &refusal).await {
                tracing::debug!(error = %e, "an answer could not be written");
            }
            session.set_keepalive(None);
        }
        FailToProxy { error_code: refusal.code.status(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let _ = session;
        exchange.story.end(error.is_some(), exchange.running.as_deref());
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        // The story tells it, with the request's id and without its query.
        true
    }

    fn request_summary(&self, _session: &Session, exchange: &Exchange) -> String {
        // Pingora's own would show the query, in which some apps carry secrets.
        format!("request {}", exchange.story.request_id())
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    response
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"))
}
