//! `/api/v1/offboarding`: what is still to be done about those who left, and who says that it is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::offboarding::{CASE_TEXT_BYTES_MAX, Case, CaseState};
use doorward_lifecycle::service::{CaseAct, Failed, PAGE_MAX};
use doorward_model::directory::PersonId;
use doorward_state::RecordKind;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Console;
use crate::directory::{self, Asked, Outcome, ROWS, lifecycle, not_known, refused, understood};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::people::person_id;
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::revocations::not_done;

/// How many cases one call looks through at most: where fewer rows are found, `next` goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// What a case asks for, and what shows each of it.
pub(crate) fn shown(case: &Case) -> Value {
    let items = case.items().iter().map(|item| {
        json!({
            "item": item.kind.name(),
            "owner": item.owner,
            "due_at": item.due_at.0,
            "owed": item.owed,
            "evidence": item.evidence,
        })
    });
    json!({
        "id": case.id().to_string(),
        "person": case.person().to_string(),
        "state": case.state(),
        "cut_at": case.cut_at().0,
        "verified_at": case.verified_at().map(|at| at.0),
        "end": case.end(),
        "items": items.collect::<Vec<_>>(),
    })
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = Parameters::new(pairs, &["state", "limit", "after"]);
    listed(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed(console: &Console, call: &Call, mut query: Parameters) -> Result<Response, Box<Problem>> {
    lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let mut after = query.read("after", str::parse::<Uuid>).map(|id| id.to_string());
    let state = query.read("state", |word| {
        let known = CaseState::ALL.iter().copied().find(|state| state.as_str() == word);
        known.ok_or("is not `open`, `verified`, `closed` or `returned`")
    });
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    let next = 'pages: loop {
        let page = console.ports.revocations.record_page(RecordKind::Case, after.as_deref(), PAGE_MAX);
        let page = page.await.map_err(|error| Box::new(not_done(call, &error)))?;
        if page.is_empty() {
            break None;
        }
        for record in page {
            (looked_at, after) = (looked_at + 1, Some(record.id.to_string()));
            let case = Case::read(record.body.as_deref().unwrap_or_default()).map_err(|error| {
                let (kind, id, why) = (record.kind, record.id.to_string(), error.to_string());
                Box::new(refused(call, &Failed::Damaged { kind, id, why }))
            })?;
            if state.is_none_or(|state| case.state() == state) {
                rows.push(shown(&case));
            }
            if rows.len() == limit || looked_at == LOOKED_AT_MAX {
                break 'pages after;
            }
        }
    };
    Ok(Json(json!({ "cases": rows, "next": next })).into_response())
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(person): Path<String>,
) -> Response {
    let answer = async {
        let people = lifecycle(&console, &call)?;
        let person = person_id(&call, &person)?;
        let case = people.case(person).await.map_err(|error| Box::new(refused(&call, &error)))?;
        let none = || Box::new(not_known(&call, "open case of person", &person.to_string()));
        Ok::<_, Box<Problem>>(Json(shown(&case.ok_or_else(none)?)).into_response())
    };
    answer.await.unwrap_or_else(|problem| problem.into_response())
}

pub(crate) async fn say(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(person): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let person = person_id(&call, &person)?;
        let read = understood(&call, &headers, body, |fields, mistakes| {
            let item = fields.text("item", "as the case names it", mistakes);
            let note = fields.text("note", "what was done about it", mistakes);
            if let Some(text) = &note
                && (text.trim().is_empty()
                    || text.len() > CASE_TEXT_BYTES_MAX
                    || text.chars().any(char::is_control))
            {
                let message = format!("must have 1 to {CASE_TEXT_BYTES_MAX} bytes and no control characters");
                mistakes.push(Mistake::new("note", message, "say what was done about it"));
            }
            Some(CaseAct::Say { item: item?, note: note? })
        });
        read.await.map(|(act, manner)| (person, act, manner))
    };
    match read.await {
        Ok((person, act, manner)) => apply(console, call, person, act, "cases.say", manner).await,
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn close(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(person): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let person = person_id(&call, &person)?;
        let ((), manner) = understood(&call, &headers, body, |_, _| Some(())).await?;
        Ok::<_, Box<Problem>>((person, manner))
    };
    match read.await {
        Ok((person, manner)) => apply(console, call, person, CaseAct::Close, "cases.close", manner).await,
        Err(problem) => problem.into_response(),
    }
}

async fn apply(
    console: Arc<Console>,
    call: Call,
    person: PersonId,
    act: CaseAct,
    operation: &'static str,
    manner: directory::Manner,
) -> Response {
    let asked_by = call.clone();
    directory::on_its_own(&asked_by, async move {
        let people = match lifecycle(&console, &call) {
            Ok(people) => people,
            Err(problem) => return problem.into_response(),
        };
        let asked = Asked { operation, of: person.to_string(), takes: false };
        let done = match people.on_case(person, act, manner.asker(&call)).await {
            Ok(done) => done,
            Err(error) => return directory::no(&console, &call, asked, refused(&call, &error)).await,
        };
        let Value::Object(told) = shown(&done.case) else { return failed(&call).into_response() };
        let outcome = Outcome {
            status: StatusCode::OK,
            told,
            changed: !done.events.is_empty(),
            receipts: Vec::new(),
            unpublished: None,
            on_record: done.on_record,
            debts_about: Vec::new(),
        };
        directory::done(&console, &call, asked, &manner, outcome).await
    })
    .await
}
