//! A JSON API, and a page of the same for whoever comes with a browser.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::SampleApp;
use super::live::{self, Live};
use crate::page::escape;

/// The most runs that are remembered.
const RUNS_MAX: usize = 100;

type Runs = Arc<Mutex<Vec<Value>>>;

pub(super) fn router() -> Router {
    let runs = vec![json!({"month": "2026-01", "people": 4, "total_euro": 21_300, "by": "demo:alice"})];
    Router::new()
        .route("/", get(home))
        .route("/runs", get(list).post(add))
        .route("/live", get(live::events))
        .route("/admin", get(async |headers: HeaderMap| Json(answer(&headers, "page", json!("admin")))))
        .with_state(Arc::new(Mutex::new(runs)))
}

fn answer(headers: &HeaderMap, name: &'static str, value: Value) -> Value {
    let (user, identity) = (super::user(headers), super::identity(headers));
    json!({"app": "payroll", "user": user, "identity": identity, name: value})
}

fn remembered(runs: &Runs) -> Vec<Value> {
    runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn home(State(runs): State<Runs>, headers: HeaderMap) -> Response {
    if !super::wants_page(&headers) {
        return Json(answer(&headers, "page", json!("payroll"))).into_response();
    }
    let rows: String = remembered(&runs)
        .iter()
        .map(|run| {
            let text = |name: &str| match run.get(name) {
                None => "–".to_owned(),
                Some(Value::String(text)) => escape(text),
                Some(other) => escape(&other.to_string()),
            };
            format!(
                "<tr><td>{}<td>{}<td>{}<td>{}</tr>\n",
                text("month"),
                text("people"),
                text("total_euro"),
                text("by")
            )
        })
        .collect();
    let body = format!(
        "<p>What everybody is paid.</p>\n{}<h2>Runs</h2>\n\
         <table><tr><th>Month<th>People<th>Total in euro<th>By</tr>\n{rows}</table>\n",
        live::shown(Live::Events, "/live")
    );
    Html(super::page(SampleApp::Payroll, "Payroll", &body, &headers)).into_response()
}

async fn list(State(runs): State<Runs>, headers: HeaderMap) -> Json<Value> {
    Json(answer(&headers, "runs", Value::from(remembered(&runs))))
}

/// What is asked for; who asked is what the gateway says.
#[derive(Deserialize)]
struct NewRun {
    month: String,
}

async fn add(State(runs): State<Runs>, headers: HeaderMap, Json(new): Json<NewRun>) -> Response {
    let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    if runs.len() >= RUNS_MAX {
        return (StatusCode::INSUFFICIENT_STORAGE, "payroll: there are enough runs\n").into_response();
    }
    let run = json!({"month": new.month, "by": super::user(&headers)});
    runs.push(run.clone());
    (StatusCode::CREATED, Json(answer(&headers, "run", run))).into_response()
}
