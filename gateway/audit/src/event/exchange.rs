//! Requests and streams: OCSF HTTP Activity (4002).

use std::net::IpAddr;

use doorward_model::limits::AUDIT_SITUATION_BYTES_MAX;
use doorward_model::{Compliance, FailedClause, LifecycleStage, Presence, Principal, User};
use serde_json::value::RawValue;

use super::block::{ClauseOut, DecisionOut, DeviceOut, EndingOut, PolicySet, RiskOut};
use super::wire::{
    Action, ActorOut, Authorization, AutonomousSystem, Class, Endpoint, Head, Hex, HttpRequest, HttpResponse,
    Line, Location, Named, Policy, SessionOut, Severity, Shown, Span, Status, Trace, Traffic, Url, UserOut,
    Who,
};
use crate::trail::{Ending, Method, Outcome, Ruling, Trail, Withdrawal, cut};

/// How many groups, networks, policies or errors one event names.
const LIST_MAX: usize = 32;
/// How many clauses that failed one event names, and how many facts of each.
const CLAUSES_MAX: usize = 8;
/// How much of one name in such a list is recorded, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How much of a text that stands alone is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// How much of the sentence is recorded, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

const BARE: &[&str] = &["host", "security_control"];
const TRACED: &[&str] = &["host", "security_control", "trace"];
const FULL: &[&str] = &["host", "security_control", "datetime"];
const FULL_TRACED: &[&str] = &["host", "security_control", "datetime", "trace"];

/// An allowance in its compact form, a denial in full.
pub(super) fn decided(head: &Head<'_>, trail: &Trail, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match trail.outcome() {
        Some(Outcome::Allowed) => allowed(head, trail, out),
        Some(Outcome::Denied(code)) => denied(head, trail, code.as_str(), out),
        // Nobody decided anything: that is no permission.
        None => denied(head, trail, "undecided", out),
    }
}

fn allowed(head: &Head<'_>, trail: &Trail, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut line = begin(head, trail, Severity::Informational, Status::Success, false);
    line.act(Action::Allowed, false);
    line.unmapped.doorward.decision = Some(decision(trail, "allow", "permitted"));
    line.unmapped.doorward.situation = trail.ruling.as_ref().and_then(situation);
    finish(&mut line, trail, false);
    line.write(out)
}

fn denied(head: &Head<'_>, trail: &Trail, reason: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut line = begin(head, trail, Severity::Low, Status::Failure, true);
    line.act(Action::Blocked, true);
    line.status_code = trail.status.map(Shown);
    line.status_detail = Some(reason);
    let policies = trail.ruling.iter().flat_map(|r| &r.determining).map(|p| cut(p, NAME_BYTES_MAX));
    let policies = policies.take(LIST_MAX).collect::<Vec<_>>().join(", ");
    let by = if policies.is_empty() { String::new() } else { format!(" ({policies})") };
    line.message = Some(sentence("Denied", trail, &format!("{reason}{by}")));
    if let Some(ruling) = &trail.ruling {
        line.authorizations = authorizations(ruling);
    }
    line.unmapped.doorward.decision = Some(decision(trail, "deny", reason));
    line.unmapped.doorward.situation = trail.ruling.as_ref().and_then(situation);
    finish(&mut line, trail, true);
    line.write(out)
}

/// A long exchange is over.
pub(super) fn ended(head: &Head<'_>, trail: &Trail, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    if let Some(withdrawal) = super::withdrawal(trail) {
        return withdrawn(head, trail, withdrawal, out);
    }
    let terminated = super::is_terminated(trail);
    let (severity, status) = if terminated {
        (Severity::Medium, Status::Failure)
    } else {
        (Severity::Informational, Status::Success)
    };
    let mut line = begin(head, trail, severity, status, terminated);
    line.act(if terminated { Action::AccessRevoked } else { Action::Allowed }, terminated);
    let (outcome, reason) = match trail.outcome() {
        Some(Outcome::Allowed) => ("allow", if terminated { "revoked" } else { "permitted" }),
        Some(Outcome::Denied(code)) => ("deny", code.as_str()),
        None => ("deny", "undecided"),
    };
    if terminated {
        line.status_detail = Some("revoked");
        let protocol = trail.protocol().as_str();
        line.message = Some(sentence("Terminated", trail, &format!("access revoked, {protocol}")));
    }
    line.unmapped.doorward.decision = Some(decision(trail, outcome, reason));
    finish(&mut line, trail, true);
    line.write(out)
}

/// What was let in would not be now. It tells what was decided anew, not what once let it in: that
/// stands in the event of its beginning.
fn withdrawn(
    head: &Head<'_>,
    trail: &Trail,
    withdrawal: &Withdrawal,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let (ruling, reason) = (withdrawal.ruling.as_ref(), withdrawal.code.as_str());
    let mut line = begin(head, trail, Severity::Medium, Status::Failure, true);
    line.act(Action::AccessRevoked, true);
    line.status_detail = Some(reason);
    let (because, protocol) = (withdrawal.because.as_str(), trail.protocol().as_str());
    line.message =
        Some(sentence("Withdrawn", trail, &format!("{reason} after {because} changed, {protocol}")));
    if let Some(ruling) = ruling {
        line.authorizations = authorizations(ruling);
    }
    line.unmapped.doorward.decision = Some(said(trail, ruling, "deny", reason));
    line.unmapped.doorward.situation = ruling.and_then(situation);
    finish(&mut line, trail, true);
    line.write(out)
}

fn begin<'a>(head: &Head<'a>, trail: &'a Trail, severity: Severity, status: Status, full: bool) -> Line<'a> {
    let profiles = match (full, trail.trace.is_some()) {
        (false, false) => BARE,
        (false, true) => TRACED,
        (true, false) => FULL,
        (true, true) => FULL_TRACED,
    };
    let metadata = if full {
        head.metadata("decision", profiles, Some(&trail.request_id))
    } else {
        head.compact_metadata(profiles, Some(&trail.request_id))
    };
    let mut line = Line::new(head, metadata, class(&trail.method), severity, status, full);
    line.actor = trail.principal.as_deref().map(|principal| actor(principal, trail, full));
    line.src_endpoint = Some(source(trail, full));
    line.dst_endpoint = destination(trail, full);
    line.http_request = Some(HttpRequest {
        http_method: trail.method.as_str(),
        version: full.then_some(trail.http_version.as_str()),
        user_agent: trail.user_agent.as_deref().filter(|_| full),
        url: Url { hostname: Some(&*trail.host).filter(|h| full && !h.is_empty()), path: &trail.path },
    });
    line.http_response = trail.status.map(|code| HttpResponse { code });
    line.trace = trail.trace.map(|ids| Trace {
        uid: Hex(ids.trace_id),
        span: full.then(|| Span {
            uid: Hex(ids.span_id),
            start_time: trail.received_at.0,
            end_time: trail
                .finish
                .as_ref()
                .map_or(trail.received_at, |f| trail.received_at.plus(f.duration))
                .0,
        }),
    });
    let block = &mut line.unmapped.doorward;
    let stage = trail.principal.as_deref().map_or(LifecycleStage::Unknown, Principal::stage);
    block.stage = Some(stage.as_str());
    block.route = trail.route.as_ref().map(doorward_model::RouteId::as_str);
    block.enforced_by = trail.enforced_by;
    if full {
        block.protocol = Some(trail.protocol().as_str());
        block.upstream = trail.upstream;
        if let Some(place) = trail.place.as_deref() {
            block.networks = place.networks.iter().take(LIST_MAX).map(|n| cut(n, NAME_BYTES_MAX)).collect();
            block.anonymizer = match place.anonymizer {
                Presence::Yes => Some("yes"),
                Presence::No => Some("no"),
                Presence::Unknown => None,
            };
        }
        block.on_behalf_of = match trail.principal.as_deref() {
            Some(Principal::Agent(agent)) => Some(Shown(&agent.on_behalf_of.id)),
            Some(Principal::ServiceAccount(account)) => Some(Shown(&account.owner)),
            Some(Principal::User(_) | Principal::Visitor(_)) | None => None,
        };
    }
    block.risk = RiskOut::of(trail.risk);
    // Which device it was is told in short events too: that is asked long after.
    block.device = device(trail, full);
    line
}

pub(super) fn device(trail: &Trail, full: bool) -> Option<DeviceOut<'_>> {
    trail.sign_in.as_ref().filter(|s| full || s.device.is_some()).map(|s| DeviceOut {
        id: s.device.as_ref().map(doorward_model::DeviceId::as_str),
        managed: full.then_some(s.device_managed),
        compliance: full.then_some(match s.device_compliance {
            Compliance::Compliant => "compliant",
            Compliance::NotCompliant => "not_compliant",
            Compliance::Unknown => "unknown",
        }),
    })
}

/// Adds what is known at the end. A short event that has a duration and no ending was completed.
fn finish<'a>(line: &mut Line<'a>, trail: &'a Trail, full: bool) {
    let Some(finish) = &trail.finish else { return };
    line.duration = Some(u64::try_from(finish.duration.as_millis()).unwrap_or(u64::MAX));
    line.traffic = Some(Traffic { bytes_in: finish.bytes_sent, bytes_out: finish.bytes_received });
    let (revocation, because, after_us) = match &finish.ending {
        Ending::Terminated { revocation, after_micros } => {
            (Some(cut(revocation, TEXT_BYTES_MAX)), None, Some(*after_micros))
        }
        Ending::Withdrawn(withdrawal) => {
            (None, Some(withdrawal.because.as_str()), Some(withdrawal.after_micros))
        }
        Ending::Completed
        | Ending::ClientGone
        | Ending::UpstreamFailed
        | Ending::TimedOut
        | Ending::Drained
        | Ending::Refused => (None, None, None),
    };
    if full || finish.ending != Ending::Completed {
        let how = finish.ending.as_str();
        line.unmapped.doorward.ending = Some(EndingOut { how, revocation, because, after_us });
    }
}

fn class(method: &Method) -> Class {
    let (activity, activity_name) = match method {
        Method::Connect => (1, "Connect"),
        Method::Delete => (2, "Delete"),
        Method::Get => (3, "Get"),
        Method::Head => (4, "Head"),
        Method::Options => (5, "Options"),
        Method::Post => (6, "Post"),
        Method::Put => (7, "Put"),
        Method::Trace => (8, "Trace"),
        Method::Patch => (9, "Patch"),
        Method::Other(_) => (99, "Other"),
    };
    Class { category: 4, class: 4002, class_name: "HTTP Activity", activity, activity_name }
}

fn decision<'a>(trail: &'a Trail, outcome: &'static str, reason_code: &'a str) -> DecisionOut<'a> {
    said(trail, trail.ruling.as_ref(), outcome, reason_code)
}

fn said<'a>(
    trail: &'a Trail,
    ruling: Option<&'a Ruling>,
    outcome: &'static str,
    reason_code: &'a str,
) -> DecisionOut<'a> {
    let listed =
        |r: &'a Ruling| r.determining.iter().take(LIST_MAX).map(|p| cut(p, NAME_BYTES_MAX)).collect();
    let errors = |r: &'a Ruling| r.errors.iter().take(LIST_MAX).map(|e| cut(e, TEXT_BYTES_MAX)).collect();
    let word = |r: &Ruling| match r.outcome {
        Outcome::Allowed => "allow",
        Outcome::Denied(_) => "deny",
    };
    DecisionOut {
        outcome,
        reason_code,
        policies_said: ruling.map(word).filter(|word| *word != outcome),
        determining: ruling.map(listed).unwrap_or_default(),
        clauses: trail.refused.iter().flat_map(|r| &r.clauses).take(CLAUSES_MAX).map(clause).collect(),
        errors: ruling.map(errors).unwrap_or_default(),
        detail: trail.refused.as_ref().map(|r| &*r.detail).filter(|d| !d.is_empty()),
        latency_us: ruling.map(|r| r.latency_micros),
        stale_ms: trail.stale_for.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        policy_set: ruling.map(|r| PolicySet { revision: cut(&r.revision, TEXT_BYTES_MAX) }),
    }
}

fn clause(clause: &FailedClause) -> ClauseOut<'_> {
    ClauseOut {
        policy: cut(&clause.policy, NAME_BYTES_MAX),
        span: clause.span,
        facts: clause.facts.iter().take(CLAUSES_MAX).map(|fact| cut(fact, NAME_BYTES_MAX)).collect(),
    }
}

/// What the policies saw, if it can stand in a line as it is.
fn situation(ruling: &Ruling) -> Option<&RawValue> {
    let text = ruling.situation.as_deref()?;
    let fits = text.len() <= AUDIT_SITUATION_BYTES_MAX && !text.contains(['\n', '\r']);
    fits.then(|| serde_json::from_str(text).ok()).flatten()
}

fn authorizations(ruling: &Ruling) -> Vec<Authorization<'_>> {
    let decision = match ruling.outcome {
        Outcome::Allowed => "Allow",
        Outcome::Denied(_) => "Deny",
    };
    let version = cut(&ruling.revision, NAME_BYTES_MAX);
    let ids = ruling.determining.iter().take(LIST_MAX).map(|id| cut(id, NAME_BYTES_MAX));
    ids.map(|uid| Authorization { decision, policy: Policy { uid, version, is_applied: true } }).collect()
}

pub(super) fn actor<'a>(principal: &'a Principal, trail: &'a Trail, full: bool) -> ActorOut<'a> {
    let session = trail.sign_in.as_ref().map(|sign_in| SessionOut {
        uid: sign_in.session.session.as_ref().map(Shown),
        credential_uid: sign_in.session.token.as_ref().filter(|_| full).map(Shown),
        issuer: full.then(|| sign_in.session.issuer.as_str()),
        created_time: full.then_some(sign_in.session.issued_at.0),
        expiration_time: full.then_some(sign_in.session.expires_at.0),
        is_mfa: sign_in.assurance.mfa,
    });
    ActorOut { app_name: None, user: Some(user(principal, full)), session }
}

pub(super) fn user(principal: &Principal, full: bool) -> UserOut<'_> {
    let bare = |type_id, kind| UserOut {
        uid: principal.id().map(Who::SignIn),
        name: None,
        full_name: None,
        type_id,
        kind: Some(kind),
        groups: Vec::new(),
    };
    match principal {
        Principal::User(person) => person_out(person, full),
        Principal::ServiceAccount(_) => bare(4, "Service"),
        Principal::Agent(_) => bare(99, "Agent"),
        Principal::Visitor(_) => UserOut { name: Some("visitor"), ..bare(99, "Visitor") },
    }
}

fn person_out(person: &User, full: bool) -> UserOut<'_> {
    let groups = person.groups.iter().take(if full { LIST_MAX } else { 0 });
    UserOut {
        uid: Some(Who::SignIn(&person.id)),
        name: person.email.as_deref().map(|e| cut(e, TEXT_BYTES_MAX)),
        full_name: person.name.as_deref().filter(|_| full).map(|n| cut(n, TEXT_BYTES_MAX)),
        type_id: 1,
        kind: full.then_some("User"),
        groups: groups.map(|g| Named { name: cut(g, NAME_BYTES_MAX) }).collect(),
    }
}

pub(super) fn source(trail: &Trail, full: bool) -> Endpoint<'_> {
    let Some(place) = trail.place.as_deref() else {
        return Endpoint { ip: Some(trail.peer), ..Endpoint::default() };
    };
    let proxied: Option<IpAddr> = (place.ip != trail.peer).then_some(trail.peer);
    Endpoint {
        ip: Some(place.ip),
        location: Some(Location {
            country: place.country.as_str(),
            continent: place.continent.as_deref().filter(|_| full).map(|c| cut(c, NAME_BYTES_MAX)),
        }),
        autonomous_system: place.asn.filter(|_| full).map(|number| AutonomousSystem { number }),
        intermediate_ips: proxied.into_iter().collect(),
        ..Endpoint::default()
    }
}

/// OCSF wants an endpoint to be named somehow; a request to nowhere has none. The app tells the
/// host in short events.
fn destination(trail: &Trail, full: bool) -> Option<Endpoint<'_>> {
    let svc_name = trail.route.as_ref().map(|r| r.app().as_str());
    let hostname = Some(&*trail.host).filter(|h| !h.is_empty() && (full || svc_name.is_none()));
    (hostname.is_some() || svc_name.is_some()).then(|| Endpoint { hostname, svc_name, ..Endpoint::default() })
}

fn sentence(verb: &str, trail: &Trail, why: &str) -> String {
    let who = match trail.principal.as_deref() {
        Some(Principal::User(user)) => user.email.clone().unwrap_or_else(|| user.id.to_string()),
        Some(other) => other.id().map_or_else(|| "a visitor".to_owned(), ToString::to_string),
        None => "somebody".to_owned(),
    };
    let Trail { method, host, path, .. } = trail;
    let text = format!("{verb}: {who} {} {host}{}: {why}", method.as_str(), cut(path, TEXT_BYTES_MAX));
    cut(&text, MESSAGE_BYTES_MAX).to_owned()
}
