//! `/api/v1/service-accounts` and `/api/v1/agents`: programs that have an account here, and who answers
//! for each. Tokens that are made here stand in [`crate::tokens`]; others are for their issuer to give.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::service::{Holder, Lifecycle, MachineAct, NewMachine, PAGE_MAX, ServiceToken};
use doorward_model::directory::{Machine, MachineId, MachineKind, MachineState, PersonId};
use doorward_model::{UnixMillis, UserId};
use doorward_state::Version;
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{self, Asked, Manner, Outcome, ROWS, lifecycle, not_known, refused, understood};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::people::person_id;
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::strict::Fields;
use crate::tokens;

/// How many machines one call looks through at most: where fewer rows are found, `next` goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// Which kind a path is about.
pub(crate) trait Kind: Send + Sync + 'static {
    /// The kind.
    const KIND: MachineKind;
    /// The name of a list of them.
    const LIST: &'static str;
}

/// `/api/v1/service-accounts`.
pub(crate) struct ServiceAccounts;
/// `/api/v1/agents`.
pub(crate) struct Agents;

impl Kind for ServiceAccounts {
    const KIND: MachineKind = MachineKind::ServiceAccount;
    const LIST: &'static str = "service_accounts";
}

impl Kind for Agents {
    const KIND: MachineKind = MachineKind::Agent;
    const LIST: &'static str = "agents";
}

/// What can be done about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Stop,
    Start,
    HandOver,
    Delete,
}

impl Verb {
    const ALL: [Self; 4] = [Self::Stop, Self::Start, Self::HandOver, Self::Delete];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::HandOver => "hand-over",
            Self::Delete => "delete",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Self::Stop => "machines.stop",
            Self::Start => "machines.start",
            Self::HandOver => "machines.hand_over",
            Self::Delete => "machines.delete",
        }
    }

    const fn takes(self) -> bool {
        match self {
            Self::Stop | Self::Delete => true,
            Self::Start | Self::HandOver => false,
        }
    }
}

/// What can be done about a machine: the words in the path.
pub(crate) fn actions() -> impl Iterator<Item = &'static str> {
    Verb::ALL.into_iter().map(Verb::as_str)
}

fn shown(
    console: &Console,
    machine: &Machine,
    version: Version,
    owner_admitted: bool,
    now: UnixMillis,
) -> Value {
    let (cause, since) = match machine.state {
        MachineState::Stopped { cause, since } => (Some(cause.as_str()), Some(since.0)),
        MachineState::Active | MachineState::Deleted => (None, None),
    };
    let admitted = machine.admitted(now, owner_admitted);
    json!({
        "id": machine.id.to_string(),
        "version": version.0,
        "user": machine.user.to_string(),
        "kind": machine.kind.as_str(),
        "name": machine.name,
        "purpose": machine.purpose,
        "owner": machine.owner.to_string(),
        "scopes": machine.scopes,
        "state": machine.state.kind().as_str(),
        "stopped_because": cause,
        "stopped_at": since,
        "admitted": admitted,
        "expires_at": machine.expires_at.0,
        "created_at": machine.created_at.0,
        "tokens": tokens::shown(console, machine, admitted, now),
    })
}

async fn with_owner(
    console: &Console,
    machines: &Lifecycle,
    call: &Call,
    machine: &Machine,
    version: Version,
) -> Result<Value, Box<Problem>> {
    let owner = machines.person(machine.owner).await.map_err(|error| Box::new(refused(call, &error)))?;
    let admitted = owner.is_some_and(|(owner, _)| owner.admitted());
    Ok(shown(console, machine, version, admitted, call.received_at))
}

pub(crate) async fn list<K: Kind>(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["owner", "named", "limit", "after"]);
    listed::<K>(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed<K: Kind>(
    console: &Console,
    call: &Call,
    mut query: Parameters,
) -> Result<Response, Box<Problem>> {
    let machines = lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let mut after = query.read("after", str::parse::<MachineId>);
    let owner = query.read("owner", str::parse::<PersonId>);
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    let some = match (query.get("named"), owner) {
        (Some(name), _) => Some(named(console, machines, name)),
        (None, Some(owner)) => Some(machines.owned_by(owner)),
        (None, None) => None,
    };
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    let next = 'pages: loop {
        let ids: Vec<MachineId> = match &some {
            Some(some) => some.iter().copied().filter(|id| after.is_none_or(|after| *id > after)).collect(),
            None => machines.machines(after, PAGE_MAX),
        };
        if ids.is_empty() {
            break None;
        }
        for id in ids {
            (looked_at, after) = (looked_at + 1, Some(id));
            let known = machines.machine(id).await.map_err(|error| Box::new(refused(call, &error)))?;
            if let Some((machine, version)) = known.filter(|(machine, _)| {
                machine.kind == K::KIND && owner.is_none_or(|owner| machine.owner == owner)
            }) {
                rows.push(with_owner(console, machines, call, &machine, version).await?);
            }
            if rows.len() == limit || looked_at == LOOKED_AT_MAX {
                let others = match &some {
                    Some(some) => some.iter().any(|other| *other > id),
                    None => !machines.machines(after, 1).is_empty(),
                };
                break 'pages after.filter(|_| others);
            }
        }
    };
    Ok(Json(json!({ K::LIST: rows, "next": next.map(|id| id.to_string()) })).into_response())
}

/// Machines of this id or sign-in, with its issuer or without.
fn named(console: &Console, machines: &Lifecycle, name: &str) -> Vec<MachineId> {
    if let Ok(id) = name.parse() {
        return vec![id];
    }
    let issuers = console.ports.about.issuers.iter().map(|issuer| format!("{issuer}:{name}"));
    let holder = |text: String| match machines.find_sign_in(&text.parse::<UserId>().ok()?)? {
        Holder::Machine(id) => Some(id),
        Holder::Person(_) => None,
    };
    let found: BTreeSet<MachineId> = issuers.chain([name.to_owned()]).filter_map(holder).collect();
    found.into_iter().collect()
}

pub(crate) async fn show<K: Kind>(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Response {
    let answer = async {
        let machines = lifecycle(&console, &call)?;
        let (machine, version) = known::<K>(machines, &call, &id).await?;
        Ok::<_, Box<Problem>>(
            Json(with_owner(&console, machines, &call, &machine, version).await?).into_response(),
        )
    };
    answer.await.unwrap_or_else(|problem| problem.into_response())
}

/// The machine of an id in the path, if it is of this kind.
pub(crate) async fn known<K: Kind>(
    machines: &Lifecycle,
    call: &Call,
    id: &str,
) -> Result<(Machine, Version), Box<Problem>> {
    let Ok(of) = id.parse::<MachineId>() else {
        let help = "ask for it with ?named=…";
        let mistake = Mistake::new("id", "is not the id of a machine", help);
        return Err(Box::new(Problem::mistaken(call, vec![mistake])));
    };
    let known = machines.machine(of).await.map_err(|error| Box::new(refused(call, &error)))?;
    let known = known.filter(|(machine, _)| machine.kind == K::KIND);
    known.ok_or_else(|| Box::new(not_known(call, K::KIND.as_str(), id)))
}

/// What a body says of a new machine, but for its id and kind.
struct Wish {
    user: UserId,
    name: String,
    purpose: String,
    owner: PersonId,
    scopes: BTreeSet<String>,
    expires_at: UnixMillis,
}

fn wish(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Wish> {
    let user = fields.text("user", "how it signs in, such as `corp:backup`", mistakes);
    let user = user.and_then(|text| {
        text.parse()
            .map_err(|e: doorward_model::principal::IdError| {
                mistakes.push(Mistake::new("user", e.to_string().chars().take(300).collect::<String>(), ""));
            })
            .ok()
    });
    let owner = fields.text("owner", "the id of the person who answers for it", mistakes);
    let owner = owner.and_then(|text| {
        let owner = text.parse().ok();
        if owner.is_none() {
            mistakes.push(Mistake::new("owner", "is not the id of a person", ""));
        }
        owner
    });
    let name = fields.text("name", "a name to show", mistakes);
    let purpose = fields.text("purpose", "what it is for", mistakes);
    let scopes = fields.texts("scopes", mistakes).unwrap_or_default().into_iter().collect();
    // The end of the year 9999.
    let expires_at = fields.number("expires_at", 253_402_300_799_999, mistakes);
    if expires_at.is_none() && !mistakes.iter().any(|mistake| mistake.field == "expires_at") {
        let help = "say when it stops working by itself, in milliseconds since 1970";
        mistakes.push(Mistake::new("expires_at", "is missing", help));
    }
    let expires_at = UnixMillis(i64::try_from(expires_at?).ok()?);
    Some(Wish { user: user?, name: name?, purpose: purpose?, owner: owner?, scopes, expires_at })
}

pub(crate) async fn register<K: Kind>(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (wish, manner) = match understood(&call, &headers, body, wish).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let id = MachineId::from_u128((console.ports.ids)().as_u128());
    let Wish { user, name, purpose, owner, scopes, expires_at } = wish;
    let of = user.to_string();
    let new = NewMachine { id, user, kind: K::KIND, name, purpose, owner, scopes, expires_at };
    let asked = Asked { operation: "machines.register", of, takes: false };
    apply(console, call, MachineAct::Register(Box::new(new)), asked, manner, None).await
}

pub(crate) async fn act<K: Kind>(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(verb) = Verb::ALL.into_iter().find(|known| known.as_str() == verb) else {
        let detail = "what can be asked for is stop, start, hand-over and delete";
        let title = "There is nothing here";
        return Problem::new(&call, StatusCode::NOT_FOUND, "not_found", title, detail).into_response();
    };
    let read = async {
        let machines = lifecycle(&console, &call)?;
        let (machine, _) = known::<K>(machines, &call, &id).await?;
        let read = understood(&call, &headers, body, |fields, mistakes| match verb {
            Verb::HandOver => fields.text("owner", "the id of the person who takes it over", mistakes),
            Verb::Stop | Verb::Start | Verb::Delete => Some(String::new()),
        });
        let (owner, manner) = read.await?;
        let act = match verb {
            Verb::Stop => MachineAct::Stop(machine.id),
            Verb::Start => MachineAct::Start(machine.id),
            Verb::Delete => MachineAct::Delete(machine.id),
            Verb::HandOver => MachineAct::HandOver(machine.id, person_id(&call, &owner)?),
        };
        Ok::<_, Box<Problem>>((machine, act, manner))
    };
    let (machine, act, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let asked = Asked { operation: verb.operation(), of: machine.user.to_string(), takes: verb.takes() };
    apply(console, call, act, asked, manner, None).await
}

/// Does it, and tells what came of it. `secret` is shown in this one answer.
pub(crate) async fn apply(
    console: Arc<Console>,
    call: Call,
    act: MachineAct,
    asked: Asked,
    manner: Manner,
    secret: Option<ServiceToken>,
) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let machines = match lifecycle(&console, &call) {
            Ok(machines) => machines,
            Err(problem) => return problem.into_response(),
        };
        let status = match act {
            MachineAct::Register(_) | MachineAct::AddToken(..) => StatusCode::CREATED,
            MachineAct::HandOver(..)
            | MachineAct::Stop(_)
            | MachineAct::Start(_)
            | MachineAct::Delete(_)
            | MachineAct::RevokeToken(..) => StatusCode::OK,
        };
        let done = match machines.on_machine(act, manner.asker(&call)).await {
            Ok(done) => done,
            Err(error) => return directory::no(&console, &call, asked, refused(&call, &error)).await,
        };
        let mut told = match with_owner(&console, machines, &call, &done.machine, done.version).await {
            Ok(Value::Object(told)) => told,
            Ok(_) | Err(_) => return failed(&call).into_response(),
        };
        if let Some(secret) = secret {
            told.insert("token".to_owned(), secret.expose().into());
        }
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
