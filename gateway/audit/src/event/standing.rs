//! Who was cut off. The class depends on the target: a person that is disabled is an Account
//! Change (3001), one whose sign-ins are ended a Logoff (3002), anything else an entity (3004).

use std::borrow::Cow;

use doorward_model::{Target, UserId};

use super::block::{DecisionOut, PolicySet, RevocationOut};
use super::wire::{
    ActorOut, Class, Endpoint, Entity, Head, Iso, Line, Named, Severity, Status, UserOut, Who,
};
use super::{Actor, Revocation};
use crate::trail::cut;

/// How much of a note or a name is recorded, in bytes.
const NOTE_BYTES_MAX: usize = 512;
const PROFILES: &[&str] = &["datetime"];

const DISABLE: Class =
    Class { category: 3, class: 3001, class_name: "Account Change", activity: 5, activity_name: "Disable" };
const LOGOFF: Class =
    Class { category: 3, class: 3002, class_name: "Authentication", activity: 2, activity_name: "Logoff" };
const ENTITY: Class = Class {
    category: 3,
    class: 3004,
    class_name: "Entity Management",
    activity: 9,
    activity_name: "Disable",
};

pub(super) fn revocation(
    head: &Head<'_>,
    revocation: &Revocation,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let class = match &revocation.target {
        Target::User(_) if revocation.entry.disabled => DISABLE,
        Target::User(_) | Target::UserAtApp(..) => LOGOFF,
        Target::Session(_) | Target::Token(_) | Target::Device(_) => ENTITY,
    };
    let metadata = head.metadata("lifecycle", PROFILES, revocation.request_id.as_deref());
    let mut line = Line::new(head, metadata, class, Severity::Medium, Status::Success, true);
    line.actor = Some(actor(&revocation.actor));
    line.src_endpoint = source(&revocation.actor);
    line.status_detail = Some(revocation.cause);
    line.message = Some(sentence(revocation));
    let service = |name| Some(Named { name });
    match &revocation.target {
        Target::User(id) => {
            line.user = Some(user(id));
            line.service = if revocation.entry.disabled { None } else { service("doorward") };
        }
        Target::UserAtApp(id, app) => {
            line.user = Some(user(id));
            line.service = service(app.as_str());
        }
        Target::Session(id) => line.entity = Some(entity(id.to_string(), 99, "Session")),
        Target::Token(id) => line.entity = Some(entity(id.to_string(), 99, "Token")),
        Target::Device(id) => line.entity = Some(entity(id.to_string(), 1, "Device")),
    }
    let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    line.duration = revocation.ended_at.map(|end| millis(end.since(revocation.received_at)));
    let block = &mut line.unmapped.doorward;
    block.stage = Some(revocation.stage.as_str());
    block.decision = Some(decision(revocation));
    block.revocation = Some(RevocationOut {
        id: cut(&revocation.id, NOTE_BYTES_MAX),
        kind: revocation.target.kind().as_str(),
        target: revocation.target.id(),
        not_before: Iso(revocation.entry.not_before),
        version: revocation.entry.version,
        disabled: revocation.entry.disabled,
        note: revocation.note.as_deref().map(|n| cut(n, NOTE_BYTES_MAX)),
        connections_closed: closed(revocation),
        connections_by_protocol: by_protocol(revocation),
        connections_remaining: revocation.remaining,
        received_at: Iso(revocation.received_at),
        store_committed_at: Iso(revocation.durable_at),
        published_at: revocation.published_at.map(Iso),
        enforced_at: Iso(revocation.enforced_at),
        last_connection_closed_at: revocation.ended_at.map(Iso),
        time_to_enforce_ms: millis(revocation.enforced_at.since(revocation.received_at)),
        time_to_revoke_ms: revocation.ended_at.map(|end| millis(end.since(revocation.received_at))),
    });
    line.write(out)
}

/// No policy decides a revocation, and that is said: the list is there and empty.
fn decision(revocation: &Revocation) -> DecisionOut<'_> {
    let enforced = revocation.enforced_at.since(revocation.received_at);
    DecisionOut {
        outcome: "revoke",
        reason_code: revocation.cause,
        policies_said: None,
        determining: Vec::new(),
        clauses: Vec::new(),
        errors: Vec::new(),
        detail: None,
        latency_us: Some(u64::try_from(enforced.as_micros()).unwrap_or(u64::MAX)),
        stale_ms: None,
        policy_set: revocation.revision.as_deref().map(|r| PolicySet { revision: cut(r, NOTE_BYTES_MAX) }),
    }
}

fn closed(revocation: &Revocation) -> u64 {
    revocation.ended.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

fn by_protocol(revocation: &Revocation) -> std::collections::BTreeMap<&'static str, u64> {
    let mut counts = std::collections::BTreeMap::new();
    for (protocol, count) in &revocation.ended {
        let sum = counts.entry(protocol.as_str()).or_insert(0_u64);
        *sum = sum.saturating_add(*count);
    }
    counts
}

fn user(id: &UserId) -> UserOut<'_> {
    UserOut {
        uid: Some(Who::SignIn(id)),
        name: None,
        full_name: None,
        type_id: 1,
        kind: Some("User"),
        groups: Vec::new(),
    }
}

fn entity(uid: String, type_id: u32, kind: &'static str) -> Entity<'static> {
    Entity { uid: Some(Cow::Owned(uid)), name: None, type_id, kind, version: None }
}

fn sentence(revocation: &Revocation) -> String {
    let closed = closed(revocation);
    let target = &revocation.target;
    let open = revocation.remaining;
    let time = match revocation.ended_at {
        Some(end) => format!("in {} ms", end.since(revocation.received_at).as_millis()),
        None => format!("{open} still open"),
    };
    format!("Revoked {target}: {closed} exchanges ended, {time}")
}

/// Who caused an event of the house.
pub(super) fn actor(actor: &Actor) -> ActorOut<'_> {
    match actor {
        Actor::Operator { name, .. } => ActorOut {
            app_name: Some("operator-api"),
            user: Some(UserOut {
                uid: None,
                name: Some(cut(name, NOTE_BYTES_MAX)),
                full_name: None,
                type_id: 2,
                kind: Some("Admin"),
                groups: Vec::new(),
            }),
            session: None,
        },
        Actor::Person { user: id, .. } => {
            ActorOut { app_name: Some("sign-in"), user: Some(user(id)), session: None }
        }
        Actor::Gateway => ActorOut { app_name: Some("doorward"), ..ActorOut::default() },
    }
}

/// Where whoever caused it connects from.
pub(super) fn source(actor: &Actor) -> Option<Endpoint<'static>> {
    match actor {
        Actor::Operator { address, .. } | Actor::Person { address, .. } => {
            address.map(|ip| Endpoint { ip: Some(ip), ..Endpoint::default() })
        }
        Actor::Gateway => None,
    }
}
