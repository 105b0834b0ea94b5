//! `/api/v1/connections`: who may provision people, and with which tokens (RFC 7644 §2). A token is
//! shown in one answer and never again.

mod terms;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::intake::connection::{
    CONNECTIONS_MAX, Connection, ConnectionError, ConnectionToken, Connections, GroupPrefix,
    SubjectAttribute, Terms,
};
use doorward_model::IssuerId;
use doorward_model::directory::ConnectionId;
use doorward_state::CommitError;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Console;
use crate::directory::{self, Asked, ROWS, asker, lifecycle, millis, not_known, refused, understood};
use crate::guard::Call;
use crate::inflight::{Parameters, page};
use crate::problem::{Mistake, Problem};
use crate::revocations::{audit_unavailable, durable, may_grant, not_done};

fn shown(connection: &Connection, halted: Option<Uuid>) -> Value {
    let token = |token: &doorward_lifecycle::intake::connection::KnownToken| {
        json!({
            "name": token.hash.name(),
            "created_at": token.created_at.0,
            "last_used_at": millis(token.last_used_at),
        })
    };
    json!({
        "name": connection.id.as_str(),
        "issuer": connection.issuer.as_str(),
        "subject": connection.subject.as_str(),
        "email_domains": terms::domains(&connection.terms),
        "roles": connection.terms.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "group_prefix": connection.terms.group_prefix.as_ref().map(GroupPrefix::as_str),
        "created_at": connection.created_at.0,
        "tokens": connection.tokens.iter().map(token).collect::<Vec<_>>(),
        "halted": halted.map(|id| id.to_string()),
    })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let people = match lifecycle(&console, &call) {
        Ok(people) => people,
        Err(problem) => return problem.into_response(),
    };
    let mut query = Parameters::new(pairs, &["limit", "after"]);
    let limit = query.limit(ROWS, CONNECTIONS_MAX);
    let after = query.read("after", ConnectionId::new);
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    let halted = people.halted();
    match Connections::new(console.ports.revocations.clone()).list().await {
        Ok(all) => {
            let after = after.as_ref().map(ConnectionId::as_str);
            let (all, next) = page(all, after, limit, |known| known.id.as_str());
            let halt =
                |of: &ConnectionId| halted.iter().find(|halt| halt.connection == *of).map(|halt| halt.id);
            let rows: Vec<Value> = all.iter().map(|known| shown(known, halt(&known.id))).collect();
            Json(json!({ "connections": rows, "next": next })).into_response()
        }
        Err(error) => why_not(&call, &error).into_response(),
    }
}

fn connection_id(call: &Call, name: &str) -> Result<ConnectionId, Box<Problem>> {
    let told = |e: doorward_model::principal::IdError| e.to_string().chars().take(300).collect::<String>();
    ConnectionId::new(name)
        .map_err(|e| Box::new(Problem::mistaken(call, vec![Mistake::new("name", told(e), "")])))
}

/// Whether there is such a connection.
pub(crate) async fn known(console: &Console, call: &Call, id: &ConnectionId) -> Result<(), Box<Problem>> {
    lifecycle(console, call)?;
    let found = Connections::new(console.ports.revocations.clone()).get(id).await;
    found.map(|_| ()).map_err(|error| match error {
        ConnectionError::Unknown(_) => {
            let mistake =
                Mistake::new("connection", "is not a connection", "GET /api/v1/connections has all of them");
            Box::new(Problem::mistaken(call, vec![mistake]))
        }
        other => Box::new(why_not(call, &other)),
    })
}

/// What is done about a connection.
enum Act {
    Add(ConnectionId, IssuerId, SubjectAttribute, Terms),
    Change(ConnectionId, terms::Changes),
    Rotate(ConnectionId),
    RevokeToken(ConnectionId, String),
    Remove(ConnectionId),
    Release(ConnectionId, Uuid),
}

impl Act {
    fn asked(&self) -> Asked {
        let (operation, of, takes) = match self {
            Self::Add(id, ..) => ("connections.add", id.to_string(), false),
            Self::Change(id, _) => ("connections.change", id.to_string(), false),
            Self::Rotate(id) => ("connections.rotate", id.to_string(), false),
            Self::RevokeToken(id, token) => ("connections.revoke_token", format!("{id} {token}"), true),
            Self::Remove(id) => ("connections.remove", id.to_string(), true),
            Self::Release(id, halt) => ("connections.release", format!("{id} {halt}"), false),
        };
        Asked { operation, of: of.chars().take(300).collect(), takes }
    }
}

pub(crate) async fn add(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let issuers = console.ports.about.issuers.clone();
    let read = understood(&call, &headers, body, |fields, mistakes| {
        let told =
            |e: doorward_model::principal::IdError| e.to_string().chars().take(300).collect::<String>();
        let name = fields.text("name", r#"write {"name":"okta","issuer":"corp"}"#, mistakes);
        let name = name.and_then(|name| {
            ConnectionId::new(&name).map_err(|e| mistakes.push(Mistake::new("name", told(e), ""))).ok()
        });
        let known = format!("the issuers of this gateway are {}", issuers.join(", "));
        let issuer = fields.text("issuer", &known, mistakes).and_then(|issuer| {
            let ours = issuers.contains(&issuer).then(|| IssuerId::new(&issuer).ok()).flatten();
            if ours.is_none() {
                mistakes.push(Mistake::new("issuer", "is not an issuer of this gateway", &known));
            }
            ours
        });
        let subject = match fields.optional("subject", mistakes) {
            None => Some(SubjectAttribute::ExternalId),
            Some(word) => {
                let subject = SubjectAttribute::parse(&word);
                if subject.is_none() {
                    let help = "use externalId, userName, id or emails.work";
                    mistakes.push(Mistake::new("subject", "is not an attribute that can be it", help));
                }
                subject
            }
        };
        let terms = terms::whole(fields, mistakes);
        Some(Act::Add(name?, issuer?, subject?, terms?))
    });
    match read.await {
        Ok((act, _manner)) => apply(console, call, act).await,
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn change(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let id = connection_id(&call, &name)?;
        let (changes, _manner) = understood(&call, &headers, body, terms::changes).await?;
        Ok::<_, Box<Problem>>(Act::Change(id, changes))
    };
    match read.await {
        Ok(act) => apply(console, call, act).await,
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn rotate(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    plain(console, call, headers, body, &name, Act::Rotate).await
}

pub(crate) async fn remove(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    plain(console, call, headers, body, &name, Act::Remove).await
}

pub(crate) async fn revoke_token(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((name, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    plain(console, call, headers, body, &name, |id| Act::RevokeToken(id, token)).await
}

pub(crate) async fn release(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((name, halt)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(halt) = halt.parse::<Uuid>() else {
        let help =
            "it stands in the answer to the client, in the control debt, and in GET /api/v1/connections";
        let mistake = Mistake::new("halt", "is not the id of a stop", help);
        return Problem::mistaken(&call, vec![mistake]).into_response();
    };
    plain(console, call, headers, body, &name, |id| Act::Release(id, halt)).await
}

/// A call whose body says nothing but why.
async fn plain(
    console: Arc<Console>,
    call: Call,
    headers: HeaderMap,
    body: Body,
    name: &str,
    act: impl FnOnce(ConnectionId) -> Act,
) -> Response {
    let read = async {
        let id = connection_id(&call, name)?;
        understood(&call, &headers, body, |_, _| Some(())).await?;
        Ok::<_, Box<Problem>>(act(id))
    };
    match read.await {
        Ok(act) => apply(console, call, act).await,
        Err(problem) => problem.into_response(),
    }
}

async fn apply(console: Arc<Console>, call: Call, act: Act) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        if let Err(problem) = lifecycle(&console, &call) {
            return problem.into_response();
        }
        let asked = act.asked();
        if !asked.takes
            && let Err(problem) = may_grant(&console, &call, asked.operation, Some(asked.of.clone())).await
        {
            return problem.into_response();
        }
        match work(&console, &call, act).await {
            Ok((status, answer)) => {
                let Asked { operation, of, takes } = asked;
                let event = match takes {
                    true => call.taking_away(operation, Some(of), status),
                    false => call.event(operation, Some(of), status),
                };
                match durable(&console, event).await {
                    Ok(()) => (status, Json(answer)).into_response(),
                    // The token is shown all the same: it is good, and nobody else has it.
                    Err(error) => audit_unavailable(&call, &error, true).with_receipt(answer).into_response(),
                }
            }
            Err(problem) => directory::no(&console, &call, asked, *problem).await,
        }
    })
    .await
}

/// Does it: the status, and the answer.
async fn work(console: &Console, call: &Call, act: Act) -> Result<(StatusCode, Value), Box<Problem>> {
    let connections = Connections::new(console.ports.revocations.clone());
    let (now, failed) = (call.received_at, |error: ConnectionError| Box::new(why_not(call, &error)));
    match act {
        Act::Add(id, issuer, subject, terms) => {
            let people = lifecycle(console, call)?;
            if let Some(prefix) = &terms.group_prefix
                && people.find_group_beginning(prefix.as_str()).is_some()
            {
                return Err(Box::new(begins_so(call, "a group begins so already: use another beginning")));
            }
            let token = fresh(console, call)?;
            let made = connections.create_on(terms, (id, issuer, subject), &token, now).await;
            let made = made.map_err(failed)?;
            Ok((StatusCode::CREATED, with_token(shown(&made, None), &token)))
        }
        Act::Change(id, changes) => {
            let changed = connections.change_terms(&id, changes.email_domains, changes.roles).await;
            Ok((StatusCode::OK, shown(&changed.map_err(failed)?, None)))
        }
        Act::Rotate(id) => {
            let token = fresh(console, call)?;
            let rotated = connections.rotate(&id, &token, now).await.map_err(failed)?;
            Ok((StatusCode::OK, with_token(shown(&rotated, None), &token)))
        }
        Act::RevokeToken(id, name) => {
            let left = connections.revoke(&id, &name).await.map_err(failed)?;
            Ok((StatusCode::OK, shown(&left, None)))
        }
        Act::Remove(id) => {
            connections.remove(&id).await.map_err(failed)?;
            Ok((StatusCode::OK, json!({ "name": id.as_str(), "removed": true })))
        }
        Act::Release(id, halt) => {
            let people = lifecycle(console, call)?;
            let released = people.release(id.clone(), halt, asker(call, "")).await;
            released.map_err(|error| Box::new(refused(call, &error)))?;
            Ok((StatusCode::OK, json!({ "name": id.as_str(), "released": halt.to_string() })))
        }
    }
}

fn fresh(console: &Console, call: &Call) -> Result<ConnectionToken, Box<Problem>> {
    let random = (console.ports.random)();
    random.map(ConnectionToken::from_random).ok_or_else(|| {
        tracing::error!("the system has no randomness, so no token can be made");
        Box::new(crate::policies::failed(call))
    })
}

fn with_token(mut shown: Value, token: &ConnectionToken) -> Value {
    if let Value::Object(members) = &mut shown {
        members.insert("token".to_owned(), token.expose().into());
    }
    shown
}

/// Policies could not tell its groups from others.
fn begins_so(call: &Call, detail: &str) -> Problem {
    let errors = vec![Mistake::new("group_prefix", "is taken", "use another beginning")];
    let title = "This beginning of names is taken";
    Problem::new(call, StatusCode::CONFLICT, "taken", title, detail.to_owned()).with_errors(errors)
}

fn why_not(call: &Call, error: &ConnectionError) -> Problem {
    let detail = error.to_string();
    match error {
        ConnectionError::Taken(_) => {
            let errors = vec![Mistake::new("name", "is taken", "use another")];
            Problem::new(call, StatusCode::CONFLICT, "taken", "This name is taken", detail)
                .with_errors(errors)
        }
        ConnectionError::PrefixTaken(_) => begins_so(call, &detail),
        ConnectionError::Unknown(id) => not_known(call, "connection", id.as_str()),
        ConnectionError::UnknownToken(_) => {
            Problem::new(call, StatusCode::NOT_FOUND, "not_known", "There is none of this name", detail)
        }
        ConnectionError::TooMany | ConnectionError::TooManyTokens(_) => {
            let title = "There are as many as there may be";
            Problem::new(call, StatusCode::CONFLICT, "full", title, detail)
        }
        ConnectionError::Damaged(_) => {
            let title = "What is stored cannot be read";
            Problem::new(call, StatusCode::INTERNAL_SERVER_ERROR, "damaged", title, detail)
        }
        ConnectionError::Busy(_) => {
            let title = "Others change the same";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "busy", title, detail).with("enforced", false)
        }
        ConnectionError::State(error) | ConnectionError::Commit(CommitError::State(error)) => {
            not_done(call, error)
        }
        ConnectionError::Commit(
            CommitError::Conflict { .. }
            | CommitError::KeyTaken { .. }
            | CommitError::BadBatch { .. }
            | CommitError::NotPublished { .. },
        ) => {
            let title = "Others change the same";
            Problem::new(call, StatusCode::SERVICE_UNAVAILABLE, "busy", title, detail).with("enforced", false)
        }
    }
}
