//! A JSON API.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most runs that are remembered.
const RUNS_MAX: usize = 100;

type Runs = Arc<Mutex<Vec<Value>>>;

pub(super) fn router() -> Router {
    let runs = vec![json!({"month": "2026-01", "people": 4, "total_euro": 21_300, "by": "demo:alice"})];
    Router::new()
        .route("/", get(async |headers: HeaderMap| Json(answer(&headers, "page", json!("payroll")))))
        .route("/runs", get(list).post(add))
        .route("/admin", get(async |headers: HeaderMap| Json(answer(&headers, "page", json!("admin")))))
        .with_state(Arc::new(Mutex::new(runs)))
}

fn answer(headers: &HeaderMap, name: &'static str, value: Value) -> Value {
    let (user, identity) = (super::user(headers), super::identity(headers));
    json!({"app": "payroll", "user": user, "identity": identity, name: value})
}

async fn list(State(runs): State<Runs>, headers: HeaderMap) -> Json<Value> {
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Json(answer(&headers, "runs", Value::from(runs)))
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
