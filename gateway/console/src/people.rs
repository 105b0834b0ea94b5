//! `/api/v1/users`: people, looked at and changed by an operator's hand.
//!
//! Everything that is asked for here goes through the table of the lifecycle, as what a source or a
//! signal asks for does; an operator has no way around it.

mod found;
mod profile;
mod shown;
mod verb;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Done, Failed, Lifecycle, Whom};
use doorward_model::directory::{Person, PersonId, RoleName};
use doorward_model::{AppId, UserId};
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{self, Asked, Manner, Outcome, lifecycle, not_known, refused, understood};
use crate::guard::Call;
use crate::problem::{Mistake, Problem};
use verb::Verb;

pub(crate) use found::list;
pub(crate) use profile::{EMAIL_BYTES_MAX, EMAILS_MAX, TAGS_MAX, TEXT_BYTES_MAX, USER_NAME_BYTES_MAX};
pub(crate) use shown::source;
pub(crate) use verb::LOCK_SECONDS_MAX;

/// How often a change of some fields is tried anew on a profile that somebody else changed meanwhile.
const PATCHES_MAX: u32 = 4;

/// The word for the call that makes somebody known.
const INVITE: &str = "users.invite";

/// What can be done about a person: the word in the path, and the word for the log of calls.
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    Verb::ALL.iter().map(|verb| (verb.as_str(), verb.operation()))
}

/// The person of an id in the path.
pub(crate) fn person_id(call: &Call, text: &str) -> Result<PersonId, Box<Problem>> {
    text.parse().map_err(|_| {
        let help = "ask GET /api/v1/users?named=… for the id";
        Box::new(Problem::mistaken(call, vec![Mistake::new("id", "is not the id of a person", help)]))
    })
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Response {
    shown_or_not(&console, &call, &id).await.unwrap_or_else(|problem| problem.into_response())
}

async fn shown_or_not(console: &Console, call: &Call, id: &str) -> Result<Response, Box<Problem>> {
    let people = lifecycle(console, call)?;
    let id = person_id(call, id)?;
    let known = people.person(id).await.map_err(|error| Box::new(refused(call, &error)))?;
    let Some((person, version)) = known else {
        return Err(Box::new(not_known(call, "person", &id.to_string())));
    };
    let whole = shown::whole(console, people, &person, version).await;
    whole.map(|whole| Json(whole).into_response()).map_err(|error| Box::new(refused(call, &error)))
}

pub(crate) async fn invite(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = understood(&call, &headers, body, |fields, mistakes| {
        let profile = profile::whole(fields, mistakes);
        let roles = fields.texts("roles", mistakes).unwrap_or_default();
        let named = |role: String| {
            RoleName::new(&role).map_err(|e| mistakes.push(Mistake::new("roles", e.to_string(), ""))).ok()
        };
        let roles = roles.into_iter().filter_map(named).collect();
        profile.map(|profile| (profile, roles))
    });
    let ((profile, roles), manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let id = PersonId::from_u128((console.ports.ids)().as_u128());
    let command = Command::Invite { id, profile: Box::new(profile), roles };
    let asked = Asked { operation: INVITE, of: id.to_string(), takes: false };
    change(console, call, Whom::New, command, asked, manner).await
}

pub(crate) async fn act(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(verb) = Verb::parse(&verb) else {
        let words: Vec<_> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
        let detail = format!("what can be asked for is {}", words.join(", "));
        let title = "There is nothing here";
        return Problem::new(&call, StatusCode::NOT_FOUND, "not_found", title, detail).into_response();
    };
    let id = match person_id(&call, &id) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    let now = call.received_at;
    let read = understood(&call, &headers, body, |fields, mistakes| verb.command(fields, now, mistakes));
    let (command, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    if let Command::HandOver(Some(connection)) = &command
        && let Err(problem) = crate::connections::known(&console, &call, connection).await
    {
        return problem.into_response();
    }
    let asked = Asked { operation: verb.operation(), of: id.to_string(), takes: verb.takes() };
    change(console, call, Whom::Person(id), command, asked, manner).await
}

/// Why what stands in a path is no grant.
enum NoCommand {
    /// It cannot be the name of one.
    Unreadable(String),
    /// No group has this id or name.
    NoGroup,
}

/// One grant or sign-in, as it stands in a path.
fn granted(kind: &str, what: &str, gives: bool, people: &Lifecycle) -> Option<Result<Command, NoCommand>> {
    let told = |e: doorward_model::principal::IdError| NoCommand::Unreadable(e.to_string());
    Some(match (kind, gives) {
        ("roles", true) => RoleName::new(what).map(Command::GiveRole).map_err(told),
        ("roles", false) => RoleName::new(what).map(Command::TakeRole).map_err(told),
        ("apps", true) => AppId::new(what).map(Command::GiveApp).map_err(told),
        ("apps", false) => AppId::new(what).map(Command::TakeApp).map_err(told),
        ("links", true) => what.parse::<UserId>().map(Command::Link).map_err(told),
        ("links", false) => what.parse::<UserId>().map(Command::Unlink).map_err(told),
        ("groups", _) => {
            let group = what.parse().ok().or_else(|| people.find_group(what));
            let command = if gives { Command::AddGroup } else { Command::RemoveGroup };
            group.map(command).ok_or(NoCommand::NoGroup)
        }
        _ => return None,
    })
}

const fn grant_operation(gives: bool) -> &'static str {
    if gives { "users.give" } else { "users.take" }
}

pub(crate) async fn give(
    console: State<Arc<Console>>,
    call: Extension<Call>,
    path: Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    grant(console.0, call.0, path.0, headers, body, true).await
}

pub(crate) async fn take(
    console: State<Arc<Console>>,
    call: Extension<Call>,
    path: Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    grant(console.0, call.0, path.0, headers, body, false).await
}

async fn grant(
    console: Arc<Console>,
    call: Call,
    (id, kind, what): (String, String, String),
    headers: HeaderMap,
    body: Body,
    gives: bool,
) -> Response {
    let read = async {
        let people = lifecycle(&console, &call)?;
        let id = person_id(&call, &id)?;
        let command = match granted(&kind, &what, gives, people) {
            Some(Ok(command)) => command,
            Some(Err(NoCommand::NoGroup)) => return Err(Box::new(not_known(&call, "group", &what))),
            Some(Err(NoCommand::Unreadable(why))) => {
                let why = why.chars().take(300).collect::<String>();
                return Err(Box::new(Problem::mistaken(&call, vec![Mistake::new(kind.as_str(), why, "")])));
            }
            None => {
                let detail = "what a person has is roles, groups, apps and links";
                let title = "There is nothing here";
                return Err(Box::new(Problem::new(&call, StatusCode::NOT_FOUND, "not_found", title, detail)));
            }
        };
        let ((), manner) = understood(&call, &headers, body, |_, _| Some(())).await?;
        Ok((id, command, manner))
    };
    let (id, command, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let of = format!("{id} {kind} {what}").chars().take(300).collect();
    let asked = Asked { operation: grant_operation(gives), of, takes: !gives };
    change(console, call, Whom::Person(id), command, asked, manner).await
}

pub(crate) async fn patch(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = match person_id(&call, &id) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    let read = understood(&call, &headers, body, profile::changes);
    let (changes, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let asked = Asked { operation: "users.edit", of: id.to_string(), takes: false };
        let people = match lifecycle(&console, &call) {
            Ok(people) => people,
            Err(problem) => return problem.into_response(),
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let edited = edit(people, id, &changes, &call, &manner).await;
            let again = matches!(edited, Err(Failed::Changed { .. })) && manner.if_version().is_none();
            if !(again && tries < PATCHES_MAX) {
                break told(&console, &call, asked, &manner, edited).await;
            }
        }
    })
    .await
}

/// The state before, and what was done.
type Edited = Result<(Option<Arc<Person>>, Done), Failed>;

/// Sets some fields of the profile as it is now; nobody else's change in between is lost.
async fn edit(
    people: &Lifecycle,
    id: PersonId,
    changes: &profile::Changes,
    call: &Call,
    manner: &Manner,
) -> Edited {
    let known = people.person(id).await?;
    let (before, version) = known.ok_or_else(|| Failed::NotFound { what: "person", id: id.to_string() })?;
    let mut profile = before.profile.clone();
    changes.apply(&mut profile);
    let mut asker = manner.asker(call);
    asker.if_version.get_or_insert(version);
    let done = people.ask(Whom::Person(id), Command::Profile(Box::new(profile)), asker).await?;
    Ok((Some(before), done))
}

async fn change(
    console: Arc<Console>,
    call: Call,
    whom: Whom,
    command: Command,
    asked: Asked,
    manner: Manner,
) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let people = match lifecycle(&console, &call) {
            Ok(people) => people,
            Err(problem) => return problem.into_response(),
        };
        let before = match &whom {
            Whom::Person(id) => match people.person(*id).await {
                Ok(Some((person, _))) => Some(person),
                Ok(None) => {
                    let problem = not_known(&call, "person", &id.to_string());
                    return directory::no(&console, &call, asked, problem).await;
                }
                // What cannot be read here may be read by who decides, and says why if not.
                Err(_) => None,
            },
            Whom::New | Whom::SignIn(_) => None,
        };
        let done = people.ask(whom, command, manner.asker(&call)).await;
        told(&console, &call, asked, &manner, done.map(|done| (before, done))).await
    })
    .await
}

async fn told(console: &Console, call: &Call, asked: Asked, manner: &Manner, done: Edited) -> Response {
    let (before, done) = match done {
        Ok(done) => done,
        Err(error) => return directory::no(console, call, asked, refused(call, &error)).await,
    };
    let status = if asked.operation == INVITE { StatusCode::CREATED } else { StatusCode::OK };
    let person = &done.person;
    let state = |person: &Person| Value::from(person.state.kind().as_str());
    let Value::Object(told) = json!({
        "id": person.id.to_string(),
        "version": done.version.0,
        "state": { "before": before.as_deref().map(state), "after": state(person) },
        "stage": person.stage().as_str(),
        "admitted": person.admitted(),
        "edges": done.edges,
        "stopped": done.stopped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "case": done.case.map(|case| case.to_string()),
        "receipt": done.receipt.map(|receipt| receipt.to_string()),
    }) else {
        return crate::policies::failed(call).into_response();
    };
    let mut debts_about = Vec::new();
    if done.changed {
        debts_about.push(format!("person {}:", person.id));
        debts_about.extend(done.stopped.iter().map(|machine| format!("machine {machine}:")));
    }
    let outcome = Outcome {
        status,
        told,
        changed: done.changed,
        receipts: done.receipts,
        unpublished: done.unpublished,
        on_record: done.on_record,
        debts_about,
    };
    directory::done(console, call, asked, manner, outcome).await
}
