//! The provider's pages.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{PEOPLE, Provider, ProviderError, SignIn};
use crate::page::document;

/// Every address but those of the desk. `discovery` is the document of whoever serves them.
pub(super) fn routes(provider: Provider, discovery: Value) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/.well-known/openid-configuration", get(async || Json(discovery)))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .route("/token/{person}", get(token_text))
        .with_state(provider)
}

/// The same, for whoever calls this machine by a name of its own.
pub(super) fn behind_local_names(routes: Router) -> Router {
    routes.layer(middleware::from_fn(local_host_only))
}

/// A page of the web whose name was made to point at this machine (DNS rebinding) could read
/// tokens here; it cannot forge the `Host`.
async fn local_host_only(request: Request, next: Next) -> Response {
    let host = request
        .uri()
        .authority()
        .map(|a| a.host().to_owned())
        .or_else(|| {
            let host = request.headers().get(header::HOST)?.to_str().ok()?;
            Some(host.parse::<axum::http::uri::Authority>().ok()?.host().to_owned())
        })
        .unwrap_or_default();
    let local = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if local {
        next.run(request).await
    } else {
        let text = format!("`{host}` is not this machine: use `localhost` or `127.0.0.1`\n");
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    }
}

async fn page(State(provider): State<Provider>) -> Html<String> {
    let people: String = PEOPLE
        .iter()
        .map(|p| {
            let (name, full, about) = (p.name, p.full_name, p.about);
            let roles = p.roles.join(", ");
            format!(
                "<tr><td><a href=\"/token/{name}\">{name}</a><td>{full}<td>{about}<td>{roles}<td>{}</tr>\n",
                p.employment
            )
        })
        .collect();
    Html(document(
        "Doorward demo: sign in as anybody",
        &format!(
            "<h1>Sign in as anybody</h1>\n\
             <p>This provider is for the demo: it asks for no password and listens on this machine only.\n\
             It calls itself <code>{}</code>. A browser comes here by itself when an app is opened.</p>\n\
             <table><tr><th>Token<th>Name<th>Who<th>Roles<th>Contract</tr>\n{people}</table>\n\
             <p>Change how someone signs in: <code>/token/alice?mfa=off</code>, <code>minutes=10</code>,\n\
             <code>signed_in_minutes_ago=30</code>, <code>country=FR</code>, <code>device_managed=off</code>,\n\
             <code>device_compliant=off</code>, <code>device_id=x</code>, <code>contract_days=-1</code>,\n\
             <code>stage=suspended</code>, <code>risk=90</code>, <code>session=s1</code>,\n\
             <code>agent=copilot</code>, <code>scope=build:run</code>.</p>\n",
            provider.issuer()
        ),
    ))
}

async fn keys(State(provider): State<Provider>) -> Response {
    Json(provider.key_set()).into_response()
}

/// The answer of a token endpoint (RFC 6749 §5.1).
async fn token(State(provider): State<Provider>, how: Result<Query<SignIn>, QueryRejection>) -> Response {
    let issued = how.map_err(|e| e.body_text()).and_then(|Query(how)| {
        let minutes = how.life_minutes().map_err(|e| e.to_string())?;
        let token = provider.sign_in(&how).map_err(|e| e.to_string())?;
        Ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": minutes * 60}))
    });
    let (status, body) = match issued {
        Ok(body) => (StatusCode::OK, body),
        Err(why) => (StatusCode::BAD_REQUEST, json!({"error": "invalid_request", "error_description": why})),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The bare token, for `$(curl -s …/token/alice)`.
async fn token_text(
    State(provider): State<Provider>,
    Path(person): Path<String>,
    how: Result<Query<SignIn>, QueryRejection>,
) -> Response {
    let issued = match how {
        Ok(Query(how)) => provider.sign_in(&SignIn { person, ..how }),
        Err(e) => return (StatusCode::BAD_REQUEST, format!("{}\n", e.body_text())).into_response(),
    };
    match issued {
        Ok(token) => ([(header::CACHE_CONTROL, "no-store")], token).into_response(),
        Err(e @ ProviderError::NoSuchPerson { .. }) => {
            (StatusCode::NOT_FOUND, format!("{e}\n")).into_response()
        }
        Err(e @ ProviderError::Minutes(_)) => (StatusCode::BAD_REQUEST, format!("{e}\n")).into_response(),
        Err(e @ ProviderError::Key(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response()
        }
    }
}
