//! `POST /api/v1/policies/explain`: what would be decided, and why.
//!
//! A request that was decided is explained by what the log has of it. The log itself is read by the command
//! (`doorward policy explain --request`), not here: it may hold years, and whoever has the token of operators need not
//! be somebody who may read it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_model::directory::{MachineId, PersonId};
use doorward_policy::{Situation, record};
use serde_json::{Value, json};

use crate::Console;
use crate::access::refused;
use crate::guard::Call;
use crate::policies::failed;
use crate::ports::{AccessAbout, AccessAsk, TimeSaid, Whom};
use crate::problem::{Mistake, Problem};
use crate::strict;

const HELP: &str = "it is what `unmapped.doorward.situation` of a decision in the audit log has, as a text";

/// What is asked.
struct Asked {
    text: String,
    situation: Situation,
    whom: Whom,
    /// What of its time holds, where the situation is to be as it would be here.
    said: Option<TimeSaid>,
}

/// What the policies say of a situation, and why. It changes nothing, and no more is asked of the directory than who
/// somebody is.
pub(crate) async fn explain(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut fields = match strict::read(&call, &headers, body).await {
        Ok(fields) => fields,
        Err(problem) => return problem.into_response(),
    };
    let mut mistakes = Vec::new();
    let asked = understood(&mut fields, &mut mistakes);
    fields.end(&mut mistakes);
    let Some(asked) = asked.filter(|_| mistakes.is_empty()) else {
        return Problem::mistaken(&call, mistakes).into_response();
    };
    match placed(&console, &call, asked).await {
        Ok(Placed::Here(situation)) => told(&console, &call, *situation).await,
        Ok(Placed::Refused(why)) => Json(unasked(&console, &why)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn understood(fields: &mut strict::Fields, mistakes: &mut Vec<Mistake>) -> Option<Asked> {
    let text = fields.text("situation", HELP, mistakes);
    let (person, machine) = (fields.optional("person", mistakes), fields.optional("machine", mistakes));
    let said = time_said(fields, mistakes);
    let whom = match (person, machine) {
        (None, None) => Ok(Whom::AsItIs),
        (Some(id), None) => id.parse::<PersonId>().map(Whom::Person).map_err(|e| ("person", e.to_string())),
        (None, Some(id)) => {
            id.parse::<MachineId>().map(Whom::Machine).map_err(|e| ("machine", e.to_string()))
        }
        (Some(_), Some(_)) => Err(("person", "and `machine` cannot both ask".to_owned())),
    };
    let whom = whom.map_err(|(field, why)| mistakes.push(Mistake::new(field, why, "")));
    let text = text?;
    match (record::read(&text), whom) {
        (Ok(situation), Ok(whom)) => Some(Asked { text, situation, whom, said }),
        (Err(e), _) => {
            mistakes.push(Mistake::new("situation", format!("cannot be read: {e}"), HELP));
            None
        }
        (Ok(_), Err(())) => None,
    }
}

/// What of the time is said, where anybody tells.
fn time_said(fields: &mut strict::Fields, mistakes: &mut Vec<Mistake>) -> Option<TimeSaid> {
    let words = fields.texts("said", mistakes)?;
    if words.iter().any(|word| !TimeSaid::WORDS.contains(&word.as_str())) {
        mistakes.push(Mistake::new("said", "has what is none of `now`, `local` and `weekday`", ""));
    }
    let has = |word: &str| words.iter().any(|said| said == word);
    Some(TimeSaid { now: has("now"), local: has("local"), weekday: has("weekday") })
}

/// A situation that is to be explained; or one in which no policy would be asked.
enum Placed {
    Here(Box<Situation>),
    Refused(String),
}

/// The situation as it would be here, where that is asked.
async fn placed(console: &Console, call: &Call, asked: Asked) -> Result<Placed, Problem> {
    let Asked { text, situation, whom, said } = asked;
    if whom == Whom::AsItIs && said.is_none() {
        return Ok(Placed::Here(Box::new(situation)));
    }
    let shown = match whom {
        Whom::AsItIs => situation.route.id.to_string(),
        Whom::Person(id) => id.to_string(),
        Whom::Machine(id) => id.to_string(),
    };
    let about = AccessAbout::Placed { situation: text, whom, said: said.unwrap_or(TimeSaid::ALL) };
    let answer = (console.ports.access)(AccessAsk { about, after: None, limit: 1 }).await;
    let answer = answer.map_err(|fault| refused(call, fault, &shown))?;
    if let Some(why) = answer.get("refused").and_then(Value::as_str) {
        return Ok(Placed::Refused(why.to_owned()));
    }
    let text = answer.get("situation").and_then(Value::as_str).unwrap_or_default();
    match record::read(text) {
        Ok(situation) => Ok(Placed::Here(Box::new(situation))),
        Err(e) => {
            let why = format!("cannot be said of them: {e}");
            Err(Problem::mistaken(call, vec![Mistake::new("situation", why, HELP)]))
        }
    }
}

async fn told(console: &Console, call: &Call, situation: Situation) -> Response {
    // During a roll-out others are asked of another bundle.
    let bundle = console.ports.policies.bundle_of(&situation.principal, situation.route.id.app());
    // It may decide some hundred times, which is nothing for the threads that answer requests.
    let work = tokio::task::spawn_blocking(move || {
        let mut told = bundle.explain(&situation).to_json();
        if let Some(map) = told.as_object_mut() {
            map.insert("revision".to_owned(), bundle.revision().to_string().into());
        }
        told
    });
    match work.await {
        Ok(told) => Json(told).into_response(),
        Err(_) => failed(call).into_response(),
    }
}

/// The answer where the gateway refuses before any policy is asked.
fn unasked(console: &Console, why: &str) -> Value {
    json!({
        "decision": "deny", "own": "deny", "deciding": [], "errors": [], "policies": [], "left_out": 0,
        "nearest_permit": null, "way": null, "unasked": why, "person": null,
        "revision": console.ports.policies.bundle().revision().to_string(),
    })
}
