//! `/api/v1/groups`: groups of the directory, who is in them, and which is in which.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::service::{Delta, Failed, GroupChange, GroupDone, Known, Lifecycle, PAGE_MAX};
use doorward_model::directory::{Group, GroupId};
use doorward_state::Version;
use doorward_state::directory::form::Member;
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{self, Asked, Manner, Outcome, ROWS, lifecycle, not_known, refused, understood};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::people::source;
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::strict::Fields;

/// How many groups one call looks through at most: where fewer rows are found, `next` goes on.
const LOOKED_AT_MAX: usize = 10_000;

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["named", "q", "limit", "after"]);
    listed(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed(console: &Console, call: &Call, mut query: Parameters) -> Result<Response, Box<Problem>> {
    let groups = lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let mut after = query.read("after", str::parse::<GroupId>);
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    let text = query.get("q").map(str::to_lowercase);
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    let next = 'pages: loop {
        let ids: Vec<GroupId> = match query.get("named") {
            Some(name) => {
                let known = name.parse().ok().or_else(|| groups.find_group(name));
                known.into_iter().filter(|id| after.is_none_or(|after| *id > after)).collect()
            }
            None => groups.groups(after, PAGE_MAX),
        };
        if ids.is_empty() {
            break None;
        }
        for id in ids {
            (looked_at, after) = (looked_at + 1, Some(id));
            let known = groups.group(id).await.map_err(|error| Box::new(refused(call, &error)))?;
            let known = known.filter(|(group, _)| {
                text.as_deref().is_none_or(|text| group.display_name.to_lowercase().contains(text))
            });
            rows.extend(known.map(|(group, version)| shown(groups, &group, version)));
            if rows.len() == limit || looked_at == LOOKED_AT_MAX {
                let others = query.get("named").is_none() && !groups.groups(after, 1).is_empty();
                break 'pages after.filter(|_| others);
            }
        }
    };
    let next = next.map(|id| id.to_string());
    Ok(Json(json!({ "groups": rows, "next": next, "total": groups.groups_count() })).into_response())
}

fn shown(groups: &Lifecycle, group: &Group, version: Version) -> Value {
    let (mut people, mut inner) = (0_usize, Vec::new());
    for member in groups.members(group.id) {
        match member {
            Member::Person(_) => people += 1,
            Member::Group(id) => inner.push(id.to_string()),
        }
    }
    json!({
        "id": group.id.to_string(),
        "version": version.0,
        "name": &*group.display_name,
        "source": source(&group.source),
        "people": people,
        "groups": inner,
        "parents": group.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created_at": group.created_at.0,
        "changed_at": group.changed_at.0,
    })
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Response {
    let answer = async {
        let groups = lifecycle(&console, &call)?;
        let id = group_id(&call, &id)?;
        let known = groups.group(id).await.map_err(|error| Box::new(refused(&call, &error)))?;
        let (group, version) = known.ok_or_else(|| Box::new(not_known(&call, "group", &id.to_string())))?;
        Ok::<_, Box<Problem>>(Json(shown(groups, &group, version)).into_response())
    };
    answer.await.unwrap_or_else(|problem| problem.into_response())
}

fn group_id(call: &Call, text: &str) -> Result<GroupId, Box<Problem>> {
    text.parse().map_err(|_| {
        let help = "ask GET /api/v1/groups?named=… for the id";
        Box::new(Problem::mistaken(call, vec![Mistake::new("id", "is not the id of a group", help)]))
    })
}

/// Members in a body: the id of a person, or `group:` and that of a group.
fn members(fields: &mut Fields, field: &str, mistakes: &mut Vec<Mistake>) -> BTreeSet<Member> {
    let mut members = BTreeSet::new();
    for text in fields.texts(field, mistakes).unwrap_or_default() {
        match text.parse().ok().map(Member::Person).or_else(|| Member::parse(&text).ok()) {
            Some(member) => {
                members.insert(member);
            }
            None => {
                let shown: String = text.chars().take(60).collect();
                let help = "write the id of a person, or `group:` and the id of a group";
                mistakes.push(Mistake::new(field, format!("`{shown}` is no member"), help));
                break;
            }
        }
    }
    members
}

pub(crate) async fn create(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = understood(&call, &headers, body, |fields, mistakes| {
        let name = fields.text("name", r#"write {"name":"Engineering"}"#, mistakes);
        let add = members(fields, "members", mistakes);
        name.map(|name| (name, add))
    });
    let ((name, add), manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let id = GroupId::from_u128((console.ports.ids)().as_u128());
    let change = GroupChange {
        id,
        known: Known::New,
        display_name: Some(name.into()),
        members: Delta { add, ..Delta::default() },
    };
    let asked = Asked { operation: "groups.create", of: id.to_string(), takes: false };
    apply(console, call, change, asked, manner).await
}

pub(crate) async fn rename(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let id = group_id(&call, &id)?;
        let read = understood(&call, &headers, body, |fields, mistakes| {
            fields.text("name", r#"write {"name":"Engineering"}"#, mistakes)
        });
        read.await.map(|(name, manner)| (id, name, manner))
    };
    let (id, name, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let (known, members) = (Known::There, Delta::default());
    let change = GroupChange { id, known, display_name: Some(name.into()), members };
    let asked = Asked { operation: "groups.rename", of: id.to_string(), takes: false };
    apply(console, call, change, asked, manner).await
}

pub(crate) async fn change_members(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let id = group_id(&call, &id)?;
        let read = understood(&call, &headers, body, |fields, mistakes| {
            let (add, remove) = (members(fields, "add", mistakes), members(fields, "remove", mistakes));
            if add.is_empty() && remove.is_empty() && mistakes.is_empty() {
                let help = r#"write {"add":["<id of a person>"],"remove":["group:<id of a group>"]}"#;
                mistakes.push(Mistake::new("add", "and `remove` are both empty", help));
            }
            if let Some(both) = add.intersection(&remove).next() {
                let message = format!("has `{}`, as `add` has", both.record_id());
                mistakes.push(Mistake::new("remove", message, "name it in one of them"));
            }
            Some(Delta { cleared: false, add, remove })
        });
        read.await.map(|(delta, manner)| (id, delta, manner))
    };
    let (id, delta, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let takes = delta.add.is_empty();
    let change = GroupChange { id, known: Known::There, display_name: None, members: delta };
    let asked = Asked { operation: "groups.members", of: id.to_string(), takes };
    apply(console, call, change, asked, manner).await
}

pub(crate) async fn delete(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let id = group_id(&call, &id)?;
        let ((), manner) = understood(&call, &headers, body, |_, _| Some(())).await?;
        Ok::<_, Box<Problem>>((id, manner))
    };
    let (id, manner) = match read.await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let groups = match lifecycle(&console, &call) {
            Ok(groups) => groups,
            Err(problem) => return problem.into_response(),
        };
        let asked = Asked { operation: "groups.delete", of: id.to_string(), takes: true };
        let done = groups.delete_group(id, manner.asker(&call), Vec::new()).await;
        told(&console, &call, asked, &manner, StatusCode::OK, done).await
    })
    .await
}

async fn apply(
    console: Arc<Console>,
    call: Call,
    change: GroupChange,
    asked: Asked,
    manner: Manner,
) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let groups = match lifecycle(&console, &call) {
            Ok(groups) => groups,
            Err(problem) => return problem.into_response(),
        };
        let status = match change.known {
            Known::New => StatusCode::CREATED,
            Known::There => StatusCode::OK,
        };
        let done = groups.change_group(change, manner.asker(&call), Vec::new()).await;
        told(&console, &call, asked, &manner, status, done).await
    })
    .await
}

/// What SCIM and the service call `display_name` is `name` here.
fn in_these_words(mut error: Failed) -> Failed {
    if let Failed::Bad { field, .. } | Failed::Taken { field, .. } = &mut error
        && *field == "display_name"
    {
        *field = "name";
    }
    error
}

async fn told(
    console: &Console,
    call: &Call,
    asked: Asked,
    manner: &Manner,
    status: StatusCode,
    done: Result<GroupDone, Failed>,
) -> Response {
    let done = match done {
        Ok(done) => done,
        Err(error) => {
            return directory::no(console, call, asked, refused(call, &in_these_words(error))).await;
        }
    };
    let ids = |members: &[Member]| members.iter().map(|member| member.record_id()).collect::<Vec<_>>();
    let Value::Object(told) = json!({
        "id": done.group.id.to_string(),
        "name": &*done.group.display_name,
        "version": done.version.0,
        "added": ids(&done.added),
        "removed": ids(&done.removed),
        "signed_receipts": done.receipts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }) else {
        return failed(call).into_response();
    };
    let outcome = Outcome {
        status,
        told,
        changed: done.changed,
        receipts: Vec::new(),
        unpublished: done.unpublished,
        on_record: done.on_record,
        debts_about: Vec::new(),
    };
    directory::done(console, call, asked, manner, outcome).await
}
