//! What is written down of an exchange, whatever way it ends.
//!
//! A killed exchange never reaches Pingora's `logging`: its future is dropped. So the story is
//! told when it is dropped, if nobody told it before.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::trail::{Arrival, HttpVersion};
use doorward_audit::{Ending, Event, Protocol, Recorded, Ruling, Trail, Withdrawal};
use doorward_identity::Verified;
use doorward_model::{Assurance, DevicePosture, Place, Refusal, RefusalCode, Risk, RouteId, limits};
use pingora::{Error, ErrorSource, ErrorType};

use crate::accounts::Account;
use crate::gate::Running;
use crate::inflight::{HouseEnd, Slot};
use crate::metrics::{Decided, Passed};
use crate::pipeline::House;
use crate::pipeline::identify::Identified;

/// An exchange that takes longer is in the log before it ends.
const LONG: Duration = Duration::from_secs(10);
/// So is one with more bytes than this, both ways together.
const LONG_BYTES: u64 = 16 * 1024 * 1024;

/// The story of one exchange, and the numbers of its end.
pub(crate) struct Story {
    house: Arc<House>,
    request_id: Arc<str>,
    trail: Option<Trail>,
    trace: Option<doorward_audit::TraceIds>,
    began: Duration,
    route: Option<RouteId>,
    slot: Option<Arc<Slot>>,
    received: u64,
    sent: u64,
    status: u16,
    connects: usize,
    /// Instances that this request was sent to, or was to be.
    tried: Vec<SocketAddr>,
    /// Where the client is, once the proxies before it are known.
    client: Option<IpAddr>,
    located: bool,
    /// The decision is in the log already: this exchange is a long one.
    told_early: bool,
    /// The log had no room for it then. There is one more try, at the end.
    lost_early: bool,
    ending: Option<Ending>,
}

impl Story {
    pub(crate) fn begin(house: &Arc<House>) -> Self {
        let slot = Running::current().map(|r| Arc::clone(&r.slot));
        let request_id =
            Running::current().map_or_else(|| uuid::Uuid::now_v7().to_string().into(), |r| r.request_id());
        Self {
            began: (house.ticks)(),
            house: Arc::clone(house),
            request_id,
            trail: None,
            trace: None,
            route: None,
            slot,
            received: 0,
            sent: 0,
            status: 0,
            connects: 0,
            tried: Vec::new(),
            client: None,
            located: false,
            told_early: false,
            lost_early: false,
            ending: None,
        }
    }

    pub(crate) const fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// The value of the header `traceparent` (W3C Trace Context §3.2).
    pub(crate) fn traceparent(&self) -> String {
        let (trace, span) = self.trace.map_or(([0; 16], [0; 8]), |t| (t.trace_id, t.span_id));
        format!("00-{:032x}-{:016x}-01", u128::from_be_bytes(trace), u64::from_be_bytes(span))
    }

    pub(crate) fn arrived(&mut self, arrival: Arrival<'_>) {
        self.trace = arrival.trace;
        self.trail = Some(Trail::begin(arrival));
    }

    /// Who is behind the proxies that are trusted. In the log even when no later stage is reached.
    pub(crate) const fn came_from(&mut self, client: IpAddr) {
        self.client = Some(client);
    }

    /// Another proxy lets it pass, or does not.
    pub(crate) fn enforced_by(&mut self, asker: Option<IpAddr>) {
        if let (Some(trail), Some(asker)) = (&mut self.trail, asker) {
            trail.enforced_by(asker);
        }
    }

    pub(crate) fn routed(&mut self, route: &RouteId) {
        self.route = Some(route.clone());
        if let Some(trail) = &mut self.trail {
            trail.routed(route);
        }
    }

    pub(crate) fn identified(&mut self, who: &Identified) {
        if let Some(trail) = &mut self.trail {
            trail.identified(Arc::clone(who.principal()), who.session(), *who.assurance(), who.device());
        }
    }

    /// Who signed in, where the directory says no more of them.
    pub(crate) fn signed_in(&mut self, verified: &Verified) {
        if let Some(trail) = &mut self.trail {
            let principal = Arc::clone(verified.principal());
            trail.identified(principal, Some(verified.session()), *verified.assurance(), verified.device());
        }
    }

    /// Which service account showed a token that is not good here.
    pub(crate) fn showed(&mut self, account: &Account) {
        if let Some(trail) = &mut self.trail {
            let principal = Arc::clone(account.principal());
            let (proved, device) = (Assurance::default(), DevicePosture::default());
            trail.identified(principal, Some(account.session()), proved, &device);
        }
    }

    pub(crate) fn located(&mut self, place: &Arc<Place>) {
        self.located = true;
        if let Some(trail) = &mut self.trail {
            trail.located(Arc::clone(place));
        }
    }

    /// How odd it looks.
    pub(crate) fn risked(&mut self, risk: Risk) {
        if let Some(trail) = &mut self.trail {
            trail.risked(risk);
        }
    }

    /// It goes on although it is not known that nothing was taken away.
    pub(crate) fn went_on_stale(&mut self, stale_for: Duration) {
        if let Some(trail) = &mut self.trail {
            trail.went_on_stale(stale_for);
        }
    }

    pub(crate) fn decided(&mut self, ruling: Ruling, took: Duration) {
        self.house.metrics.policy_evaluated(took, !ruling.errors.is_empty());
        if let Some(trail) = &mut self.trail {
            trail.decided(ruling);
        }
    }

    pub(crate) fn forwarded(&mut self, upstream: SocketAddr) {
        self.tried.push(upstream);
        if let Some(trail) = &mut self.trail {
            trail.forwarded(upstream);
        }
    }

    /// Instances that are not to be tried again.
    pub(crate) fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// Whether another instance may be tried; counts the tries.
    pub(crate) fn may_connect_again(&mut self) -> bool {
        self.connects += 1;
        self.connects <= limits::UPSTREAM_CONNECT_RETRIES_MAX
    }

    pub(crate) fn received(&mut self, bytes: usize) -> u64 {
        self.received += bytes as u64;
        self.received
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The gateway itself said no.
    pub(crate) fn refused(&mut self, refusal: &Refusal, status: u16) {
        self.status = status;
        if let Some(trail) = &mut self.trail {
            // An app that does not answer is no refusal of ours: the decision stands.
            if !matches!(refusal.code, RefusalCode::UpstreamUnavailable | RefusalCode::UpstreamTimeout)
                || self.ending.is_none()
            {
                trail.refused(refusal);
            }
            trail.answered(status);
        }
        tracing::debug!(request_id = %self.request_id, refusal = %refusal, "refused");
    }

    /// A page of ours was asked for. Nothing was decided, so no decision is recorded.
    pub(crate) fn was_ours(&mut self, status: u16) {
        self.trail = None;
        let took = (self.house.ticks)().saturating_sub(self.began);
        let protocol = self.slot.as_deref().map_or(Protocol::Http1, Slot::protocol);
        let (ended_after, withdrawn_after) = (None, None);
        let passed = Passed { route: None, status, took, protocol, ended_after, withdrawn_after };
        self.house.metrics.passed(&passed);
        tracing::debug!(request_id = %self.request_id, status, "a page of ours");
    }

    /// The app began to answer. A stream is recorded now, as its end may be far.
    pub(crate) fn answered(&mut self, status: u16, running: Option<&Running>) -> Recorded {
        self.status = status;
        if let Some(trail) = &mut self.trail {
            trail.answered(status);
        }
        match running.map(|r| r.slot.protocol()) {
            Some(Protocol::WebSocket | Protocol::EventStream | Protocol::Grpc) => self.tell_early(running),
            Some(Protocol::Http1 | Protocol::Http2) | None => self.told_if_long(running),
        }
    }

    /// Records the decision of an exchange that takes long, whatever it does.
    pub(crate) fn told_if_long(&mut self, running: Option<&Running>) -> Recorded {
        if !self.told_early
            && !self.lost_early
            && (self.received.saturating_add(self.sent) > LONG_BYTES
                || (self.house.ticks)().saturating_sub(self.began) > LONG)
        {
            return self.tell_early(running);
        }
        Recorded::Queued
    }

    fn tell_early(&mut self, running: Option<&Running>) -> Recorded {
        if self.told_early || self.lost_early {
            return Recorded::Queued;
        }
        let Some(trail) = &mut self.trail else { return Recorded::Queued };
        if let Some(running) = running {
            trail.speaks(running.slot.protocol());
        }
        let recorded = self.house.audit.record(Event::RequestDecided(Box::new(trail.clone())));
        if recorded == Recorded::Dropped {
            self.lost_early = true;
        } else {
            self.told_early = true;
            let stale = trail.stale_for().is_some();
            let route = self.route.as_ref();
            self.house.metrics.decided(&Decided { route, outcome: trail.outcome(), stale });
        }
        recorded
    }

    /// Pingora failed to proxy.
    pub(crate) fn failed(&mut self, error: &Error, code: RefusalCode, killed: bool) {
        let timed_out = matches!(error.etype, ErrorType::ReadTimedout | ErrorType::WriteTimedout)
            || code == RefusalCode::UpstreamTimeout;
        let by_us = matches!(code, RefusalCode::BodyTooLarge | RefusalCode::AuditUnavailable);
        self.ending = match (killed, &error.esource, timed_out) {
            (true, _, _) => None,
            (false, _, _) if by_us => Some(Ending::Refused),
            (false, _, true) => Some(Ending::TimedOut),
            (false, ErrorSource::Downstream, false) => Some(Ending::ClientGone),
            (false, ErrorSource::Upstream, false) => Some(Ending::UpstreamFailed),
            (false, _, false) => Some(Ending::Refused),
        };
        if !killed {
            tracing::info!(request_id = %self.request_id, error = %error.etype.as_str(), source = %error.esource.as_str(), "an exchange failed");
        }
    }

    /// The exchange is over and Pingora says so.
    pub(crate) fn end(&mut self, failed: bool, running: Option<&Running>) {
        let killed = running.is_some_and(|r| r.slot.is_ended());
        if self.ending.is_none() && !killed {
            self.ending = Some(if failed { Ending::ClientGone } else { Ending::Completed });
        }
        self.tell();
    }

    /// Records what is known, once. What the log drops it counts, and tells in a gap event.
    fn tell(&mut self) {
        let Some(mut trail) = self.trail.take() else { return };
        if let Some(client) = self.client.filter(|_| !self.located) {
            trail.located(self.house.places.locate(client));
        }
        let now = (self.house.ticks)();
        let took = now.saturating_sub(self.began);
        let slot = self.slot.as_deref();
        let terminated = slot.and_then(Slot::cause).map(|cause| Ending::Terminated {
            revocation: Arc::clone(&cause.revocation),
            after_micros: u64::try_from(now.saturating_sub(cause.ticks).as_micros()).unwrap_or(u64::MAX),
        });
        let withdrawn = slot.and_then(Slot::withdrawn);
        let withdrawn_after = withdrawn.map(|withdrawn| now.saturating_sub(withdrawn.changed_at));
        let withdrawal = withdrawn.map(|withdrawn| {
            Ending::Withdrawn(Box::new(Withdrawal {
                because: withdrawn.because,
                code: withdrawn.code,
                ruling: withdrawn.ruling.clone(),
                after_micros: withdrawn_after
                    .map_or(0, |after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
            }))
        });
        let protocol = slot.map_or(Protocol::Http1, Slot::protocol);
        let is_terminated = terminated.is_some() || withdrawal.is_some();
        let after = slot.and_then(Slot::cause).map(|cause| now.saturating_sub(cause.ticks));
        let by_house = slot.and_then(Slot::house_end).map(|why| match why {
            HouseEnd::TimeUp => Ending::TimedOut,
            HouseEnd::Drained => Ending::Drained,
            HouseEnd::Stale => Ending::Refused,
        });
        let ending =
            terminated.or(withdrawal).or(by_house).or(self.ending.take()).unwrap_or(Ending::ClientGone);
        trail.speaks(protocol);
        trail.finished(ending, self.received, self.sent, took);
        let outcome = trail.outcome();
        if !self.told_early {
            let stale = trail.stale_for().is_some();
            self.house.metrics.decided(&Decided { route: self.route.as_ref(), outcome, stale });
        }
        self.house.metrics.passed(&Passed {
            route: self.route.as_ref(),
            status: self.status,
            took,
            protocol,
            ended_after: after,
            withdrawn_after,
        });
        let event = Box::new(trail);
        if self.told_early || is_terminated {
            if !self.told_early {
                self.too_late(Event::RequestDecided(event.clone()));
            }
            self.too_late(Event::ExchangeEnded(event));
        } else {
            self.too_late(Event::RequestDecided(event));
        }
    }

    /// Records what cannot be refused any more. If it is lost, the log counts it and tells it in a
    /// gap event, and accepts no grants until it writes again: the next request is refused for it.
    fn too_late(&self, event: Event) {
        let _counted = self.house.audit.record(event);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Records a request whose header could not be read: the client was told so, and no stage saw it.
pub(crate) fn unreadable(house: &Arc<House>, peer: Option<IpAddr>, code: RefusalCode) {
    let mut story = Story::begin(house);
    let request_id = Arc::clone(story.request_id());
    story.arrived(Arrival {
        request_id: &request_id,
        received_at: (house.clock)(),
        method: "",
        host: "",
        path: "",
        http_version: HttpVersion::Http11,
        user_agent: None,
        peer: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        trace: None,
    });
    story.refused(&Refusal::new(code, "the header cannot be read"), code.status());
    story.end(false, None);
}
