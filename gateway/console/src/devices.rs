//! `/api/v1/devices`: devices that are registered, to whom they belong, what is said of them, and which are blocked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::service::{DeviceAct, Lifecycle, NewDevice, PAGE_MAX, Said};
use doorward_model::directory::{Device, POSTURE_HOURS_MAX, PersonId};
use doorward_model::{Compliance, DeviceId, Thumbprint, UnixMillis};
use doorward_state::Version;
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{self, Asked, Manner, Outcome, ROWS, lifecycle, not_known, refused, understood};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::strict::Fields;

/// For how many hours an operator's word counts unless it is said.
pub(crate) const HOURS: u32 = 24;
/// How many devices one call looks through at most: where fewer rows are found, `next` goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// What can be asked for of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Assign,
    Say,
    Bind,
    Unbind,
    Block,
    Unblock,
    Remove,
}

impl Verb {
    const ALL: [Self; 7] =
        [Self::Assign, Self::Say, Self::Bind, Self::Unbind, Self::Block, Self::Unblock, Self::Remove];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Say => "say",
            Self::Bind => "bind",
            Self::Unbind => "unbind",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Remove => "remove",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Self::Assign => "devices.assign",
            Self::Say => "devices.say",
            Self::Bind => "devices.bind",
            Self::Unbind => "devices.unbind",
            Self::Block => "devices.block",
            Self::Unblock => "devices.unblock",
            Self::Remove => "devices.remove",
        }
    }

    const fn takes(self) -> bool {
        match self {
            Self::Block | Self::Remove => true,
            Self::Assign | Self::Say | Self::Bind | Self::Unbind | Self::Unblock => false,
        }
    }
}

/// The words of what can be asked for.
pub(crate) fn actions() -> [&'static str; 7] {
    Verb::ALL.map(Verb::as_str)
}

const fn word(compliance: Compliance) -> &'static str {
    match compliance {
        Compliance::Compliant => "compliant",
        Compliance::NotCompliant => "not_compliant",
        Compliance::Unknown => "unknown",
    }
}

/// The words for how a device meets the baseline.
pub(crate) const COMPLIANCE: [&str; 3] =
    [word(Compliance::Compliant), word(Compliance::NotCompliant), word(Compliance::Unknown)];

fn shown(device: &Device, version: Version, now: UnixMillis) -> Value {
    let posture = device.posture.as_ref().map(|posture| {
        json!({
            "managed": posture.managed,
            "compliance": word(posture.compliance),
            "source": posture.source.as_ref(),
            "reasons": posture.reasons,
            "asserted_at": posture.asserted_at.0,
            "expires_at": posture.expires_at.0,
            "fresh": now < posture.expires_at,
        })
    });
    let blocked = device.blocked.as_ref().map(|blocked| {
        json!({ "by": blocked.by.as_ref(), "cause": blocked.cause.as_ref(), "since": blocked.since.0 })
    });
    json!({
        "id": device.id.as_str(),
        "version": version.0,
        "name": device.name,
        "owner": device.owner.map(|owner| owner.to_string()),
        "platform": device.platform,
        "certificates": device.certificates.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "posture": posture,
        "blocked": blocked,
        "created_at": device.created_at.0,
    })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["owner", "limit", "after"]);
    listed(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed(console: &Console, call: &Call, mut query: Parameters) -> Result<Response, Box<Problem>> {
    let lives = lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let mut after = query.read("after", DeviceId::new);
    let owner = query.read("owner", str::parse::<PersonId>);
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    let next = 'pages: loop {
        let ids: Vec<DeviceId> = match owner {
            Some(owner) => {
                let theirs = lives.devices_of(owner).into_iter();
                theirs.filter(|id| after.as_ref().is_none_or(|after| id > after)).collect()
            }
            None => lives.devices(after.as_ref(), PAGE_MAX),
        };
        if ids.is_empty() {
            break None;
        }
        for id in ids {
            looked_at += 1;
            let known = lives.device(&id).await.map_err(|error| Box::new(refused(call, &error)))?;
            if let Some((device, version)) = known {
                rows.push(shown(&device, version, call.received_at));
            }
            after = Some(id);
            if rows.len() == limit || looked_at == LOOKED_AT_MAX {
                break 'pages after;
            }
        }
    };
    Ok(Json(json!({ "devices": rows, "next": next.map(|id| id.to_string()) })).into_response())
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Response {
    let answer = async {
        let (device, version) = known(lifecycle(&console, &call)?, &call, &id).await?;
        Ok::<_, Box<Problem>>(Json(shown(&device, version, call.received_at)).into_response())
    };
    answer.await.unwrap_or_else(|problem| problem.into_response())
}

async fn known(lives: &Lifecycle, call: &Call, id: &str) -> Result<(Device, Version), Box<Problem>> {
    let Ok(of) = DeviceId::new(id) else {
        let mistake = Mistake::new("id", "is not the id of a device", "write it as tokens name it");
        return Err(Box::new(Problem::mistaken(call, vec![mistake])));
    };
    let known = lives.device(&of).await.map_err(|error| Box::new(refused(call, &error)))?;
    known.ok_or_else(|| Box::new(not_known(call, "device", id)))
}

/// Whom it belongs to; nobody, where nothing is said.
fn owner(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<PersonId> {
    let text = fields.optional("owner", mistakes)?;
    let owner = text.parse().ok();
    if owner.is_none() {
        mistakes.push(Mistake::new("owner", "is not the id of a person", ""));
    }
    owner
}

/// The SHA-256 of a certificate, if one is named.
fn thumbprint(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Thumbprint> {
    let text = fields.optional("thumbprint", mistakes)?;
    let thumbprint = Thumbprint::from_hex(&text);
    if thumbprint.is_none() {
        let what = "is not the SHA-256 of a certificate: 64 hexadecimal digits in lower case";
        mistakes.push(Mistake::new("thumbprint", what, ""));
    }
    thumbprint
}

/// What is said of it, if something is.
fn posture(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Said> {
    let compliance = fields.optional("compliance", mistakes);
    let managed = fields.flag("managed", mistakes);
    let hours = fields.number("hours", u64::from(POSTURE_HOURS_MAX), mistakes);
    if compliance.is_none() && managed.is_none() && hours.is_none() {
        return None;
    }
    let compliance = match compliance.as_deref() {
        None | Some("unknown") => Compliance::Unknown,
        Some("compliant") => Compliance::Compliant,
        Some("not_compliant") => Compliance::NotCompliant,
        Some(_) => {
            let help = "use compliant, not_compliant or unknown";
            mistakes.push(Mistake::new("compliance", "is not a word for it", help));
            Compliance::Unknown
        }
    };
    let counts_for = Duration::from_hours(hours.unwrap_or(u64::from(HOURS)));
    Some(Said { managed: managed.unwrap_or(false), compliance, counts_for })
}

fn new(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<NewDevice> {
    let id = fields.text("id", "how tokens name it", mistakes).and_then(|text| {
        let told =
            |e: doorward_model::principal::IdError| e.to_string().chars().take(300).collect::<String>();
        DeviceId::new(&text).map_err(|e| mistakes.push(Mistake::new("id", told(e), ""))).ok()
    });
    let name = fields.text("name", "a name to show", mistakes);
    let owner = owner(fields, mistakes);
    let platform = fields.optional("platform", mistakes);
    let thumbprint = thumbprint(fields, mistakes);
    let posture = posture(fields, mistakes);
    Some(NewDevice { id: id?, name: name?, owner, platform, thumbprint, posture })
}

pub(crate) async fn add(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match understood(&call, &headers, body, new).await {
        Ok((new, manner)) => {
            let asked = Asked { operation: "devices.add", of: new.id.to_string(), takes: false };
            apply(console, call, DeviceAct::Add(Box::new(new)), asked, manner).await
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn act(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(verb) = Verb::ALL.into_iter().find(|known| known.as_str() == verb) else {
        let detail = "what can be asked for is assign, say, bind, unbind, block, unblock and remove";
        let title = "There is nothing here";
        return Problem::new(&call, StatusCode::NOT_FOUND, "not_found", title, detail).into_response();
    };
    let read = async {
        let (device, _) = known(lifecycle(&console, &call)?, &call, &id).await?;
        let id = device.id;
        let read = understood(&call, &headers, body, |fields, mistakes| match verb {
            Verb::Assign => Some(DeviceAct::Assign(id.clone(), owner(fields, mistakes))),
            Verb::Say => {
                let said = posture(fields, mistakes);
                if said.is_none() {
                    let help = "say `managed`, `compliance`, or both";
                    mistakes.push(Mistake::new("compliance", "is missing", help));
                }
                Some(DeviceAct::Say(id.clone(), said?))
            }
            Verb::Bind | Verb::Unbind => {
                let known = mistakes.len();
                let thumbprint = thumbprint(fields, mistakes);
                if thumbprint.is_none() && mistakes.len() == known {
                    let help = "name the certificate by its SHA-256";
                    mistakes.push(Mistake::new("thumbprint", "is missing", help));
                }
                let act = if verb == Verb::Bind { DeviceAct::Bind } else { DeviceAct::Unbind };
                Some(act(id.clone(), thumbprint?))
            }
            Verb::Block => Some(DeviceAct::Block(id.clone())),
            Verb::Unblock => Some(DeviceAct::Unblock(id.clone())),
            Verb::Remove => Some(DeviceAct::Remove(id.clone())),
        });
        let (act, manner) = read.await?;
        Ok::<_, Box<Problem>>((id, act, manner))
    };
    match read.await {
        Ok((id, act, manner)) => {
            let asked = Asked { operation: verb.operation(), of: id.to_string(), takes: verb.takes() };
            apply(console, call, act, asked, manner).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn apply(console: Arc<Console>, call: Call, act: DeviceAct, asked: Asked, manner: Manner) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let lives = match lifecycle(&console, &call) {
            Ok(lives) => lives,
            Err(problem) => return problem.into_response(),
        };
        let status = match act {
            DeviceAct::Add(_) => StatusCode::CREATED,
            DeviceAct::Assign(..)
            | DeviceAct::Say(..)
            | DeviceAct::Report(..)
            | DeviceAct::Bind(..)
            | DeviceAct::Unbind(..)
            | DeviceAct::Block(_)
            | DeviceAct::Unblock(_)
            | DeviceAct::Remove(_) => StatusCode::OK,
        };
        let done = match lives.on_device(act, manner.asker(&call)).await {
            Ok(done) => done,
            Err(error) => return directory::no(&console, &call, asked, refused(&call, &error)).await,
        };
        let Value::Object(told) = shown(&done.device, done.version, call.received_at) else {
            return failed(&call).into_response();
        };
        let outcome = Outcome {
            status,
            told,
            changed: done.changed,
            receipts: done.receipts,
            unpublished: done.unpublished,
            on_record: done.on_record,
            debts_about: Vec::new(),
        };
        directory::done(&console, &call, asked, &manner, outcome).await
    })
    .await
}
