//! A JSON API.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The most runs that are remembered.
const RUNS_MAX: usize = 100;

type Runs = Arc<Mutex<Vec<Value>>>;

pub(super) fn router() -> Router {
    let runs = vec![json!({"month": "2026-01", "people": 4, "total_euro": 21_300, "by": "demo:alice"})];
    Router::new()
        .route("/", get(async |headers: HeaderMap| Json(answer(&headers))))
        .route("/runs", get(list).post(add))
        .route("/admin", get(async |headers: HeaderMap| Json(answer(&headers))))
        .with_state(Arc::new(Mutex::new(runs)))
}

fn answer(headers: &HeaderMap) -> Value {
    json!({"app": "payroll", "user": super::user(headers), "identity": super::identity(headers)})
}

async fn list(State(runs): State<Runs>, headers: HeaderMap) -> Json<Value> {
    let mut answer = answer(&headers);
    answer["runs"] = Value::from(runs.lock().unwrap_or_else(PoisonError::into_inner).clone());
    Json(answer)
}

async fn add(State(runs): State<Runs>, headers: HeaderMap, run: Json<Value>) -> Response {
    let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    if runs.len() >= RUNS_MAX {
        return (StatusCode::INSUFFICIENT_STORAGE, "payroll: there are enough runs\n").into_response();
    }
    let run = json!({"month": run["month"], "by": super::user(&headers)});
    runs.push(run.clone());
    let mut answer = answer(&headers);
    answer["run"] = run;
    (StatusCode::CREATED, Json(answer)).into_response()
}
