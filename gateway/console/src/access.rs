//! `GET /api/v1/access/who-can` and `/what-can`: who may do what, and under which conditions, for reviews.
//!
//! The answers are for everything that policies can be told of a request before there is one: who asks, by the
//! directory, and what for. They are by the policies that would decide, which are others for the share of a
//! roll-out. They are read page by page, so that no call holds more of the directory than that.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_model::directory::{MachineId, PersonId};
use doorward_policy::Action;

use crate::Console;
use crate::directory::not_known;
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::ports::{AccessAbout, AccessAsk, AccessFault};
use crate::problem::{Mistake, Problem};

/// How many are looked at unless it is said.
pub(crate) const LOOKED_AT: usize = 100;
/// How many at most, in one call.
pub(crate) const LOOKED_AT_MAX: usize = 500;

pub(crate) async fn who_can(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["action", "route", "limit", "after"]);
    needed(&mut query, "action", "say what is to be done, such as `GET`");
    needed(&mut query, "route", "say to which route, such as `payroll/all`");
    let named = |word: &str| Action::ALL.into_iter().find(|a| a.as_str() == word).ok_or("is no action");
    let action = query.read("action", named);
    let route = query.get("route").map(str::to_owned);
    let about = action.zip(route).map(|(action, route)| AccessAbout::Who { action, route });
    answered(&console, &call, about, query).await
}

pub(crate) async fn what_can(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["person", "machine", "visitor", "limit", "after"]);
    let named = ["person", "machine", "visitor"].iter().filter(|name| query.get(name).is_some()).count();
    if named != 1 {
        query.mistakes.push(Mistake::new(
            "person",
            "or `machine` or `visitor` is needed, and one of them",
            "",
        ));
    }
    let person = query.read("person", str::parse::<PersonId>).map(AccessAbout::Person);
    let machine = query.read("machine", str::parse::<MachineId>).map(AccessAbout::Machine);
    let visitor =
        query.read("visitor", |word| (word == "yes").then_some(AccessAbout::Visitor).ok_or("is not `yes`"));
    answered(&console, &call, person.or(machine).or(visitor), query).await
}

fn needed(query: &mut Parameters, name: &str, help: &str) {
    if query.get(name).is_none() {
        query.mistakes.push(Mistake::new(name, "is missing", help));
    }
}

async fn answered(
    console: &Console,
    call: &Call,
    about: Option<AccessAbout>,
    mut query: Parameters,
) -> Response {
    let limit = query.limit(LOOKED_AT, LOOKED_AT_MAX);
    let after = query.get("after").map(str::to_owned);
    let about = match about {
        Some(about) if query.mistakes.is_empty() => about,
        Some(_) | None => return Problem::mistaken(call, query.mistakes).into_response(),
    };
    let whom = match &about {
        AccessAbout::Who { route, .. } => route.clone(),
        AccessAbout::Person(id) => id.to_string(),
        AccessAbout::Machine(id) => id.to_string(),
        AccessAbout::Visitor => "visitor".to_owned(),
        AccessAbout::Placed { .. } => String::new(),
    };
    match (console.ports.access)(AccessAsk { about, after, limit }).await {
        Ok(page) => Json(page).into_response(),
        Err(fault) => refused(call, fault, &whom).into_response(),
    }
}

pub(crate) fn refused(call: &Call, fault: AccessFault, whom: &str) -> Problem {
    match fault {
        AccessFault::NoDirectory => {
            let detail =
                "people are taken as their tokens say (`directory.people`), so nobody knows who there is";
            Problem::new(call, StatusCode::CONFLICT, "not_here", "This node has no directory", detail)
        }
        AccessFault::NoRoute => not_known(call, "route", whom),
        AccessFault::NoOne => not_known(call, "person or machine", whom),
        AccessFault::AsTokenSays(issuer) => {
            let detail = format!(
                "whoever signs in by `{issuer}` is as the token says (`directory.token_for`), so the directory does \
                 not tell what they may"
            );
            let title = "The directory is not asked about them";
            Problem::new(call, StatusCode::CONFLICT, "as_tokens_say", title, detail)
        }
        AccessFault::After => {
            let help = "write what `next` of the page before says";
            Problem::mistaken(call, vec![Mistake::new("after", "is not where a page ended", help)])
        }
        AccessFault::Failed(detail) => {
            let title = "Something went wrong";
            Problem::new(call, StatusCode::INTERNAL_SERVER_ERROR, "internal", title, detail)
        }
    }
}
