//! What stands before every answer: whose name was called, who calls, and what every answer
//! carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use doorward_audit::event::OperatorCall;
use doorward_audit::{Actor, Event};
use doorward_model::UnixMillis;
use doorward_model::limits::HEADER_BYTES_MAX;

use crate::Console;
use crate::problem::Problem;
use crate::serve::Guest;

const PATH_CHARS_MAX: usize = 256;

/// One call, as the handlers see it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request_id: Arc<str>,
    pub(crate) actor: Actor,
    pub(crate) received_at: UnixMillis,
    method: String,
    path: String,
}

impl Call {
    /// The event that tells of this call.
    pub(crate) fn event(&self, operation: &'static str, target: Option<String>, status: StatusCode) -> Event {
        self.told(operation, target, status, false)
    }

    /// The same for a call that took access away: it is written even where little else is.
    pub(crate) fn taking_away(
        &self,
        operation: &'static str,
        target: Option<String>,
        status: StatusCode,
    ) -> Event {
        self.told(operation, target, status, true)
    }

    fn told(
        &self,
        operation: &'static str,
        target: Option<String>,
        status: StatusCode,
        takes_away: bool,
    ) -> Event {
        Event::OperatorCall(Box::new(OperatorCall {
            request_id: Arc::clone(&self.request_id),
            actor: self.actor.clone(),
            operation,
            method: self.method.clone(),
            path: self.path.clone(),
            target,
            status: status.as_u16(),
            takes_away,
        }))
    }
}

/// Set on an answer whose call is in the audit log already.
#[derive(Clone, Copy)]
pub(crate) struct OnRecord;

/// Calls without the token, of which at most one a second is recorded: whoever knocks must not
/// be able to fill the log.
#[derive(Default)]
pub(crate) struct Refusals {
    second: AtomicI64,
    unrecorded: AtomicU64,
}

impl Refusals {
    /// How many were not recorded before this one, if this one is to be.
    fn due(&self, now: UnixMillis) -> Option<u64> {
        if self.second.swap(now.seconds(), Ordering::AcqRel) == now.seconds() {
            self.unrecorded.fetch_add(1, Ordering::AcqRel);
            return None;
        }
        Some(self.unrecorded.swap(0, Ordering::AcqRel))
    }
}

/// What a path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing: it tells nothing that is not for everybody.
    Nothing,
    /// A host that is ours.
    Host,
    /// The token too. Everything that is not listed.
    Token,
}

fn needs(path: &str) -> Needs {
    match path {
        "/healthz" | "/.well-known/jwks.json" => Needs::Nothing,
        "/readyz" | "/metrics" => Needs::Host,
        _ => Needs::Token,
    }
}

pub(crate) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let call = call_of(&console, &parts);
    let needs = needs(parts.uri.path());
    let mut response = if header_bytes(&parts) > HEADER_BYTES_MAX {
        too_large(&call).into_response()
    } else if needs != Needs::Nothing && !console.ports.hosts.admit(&parts) {
        misdirected(&call).into_response()
    } else if needs == Needs::Token && !is_operator(&console, &parts.headers).await {
        refuse(&console, &call).into_response()
    } else {
        if needs == Needs::Token
            && let Some(guest) = parts.extensions.get::<Guest>()
        {
            guest.has_shown_the_token();
        }
        parts.extensions.insert(call.clone());
        let response = next.run(Request::from_parts(parts, body)).await;
        if needs == Needs::Token && response.extensions().get::<OnRecord>().is_none() {
            // Who only looks is not kept waiting by the log, nor refused when it is full.
            let operation = operation(&call.method, &call.path);
            let _counted = console.ports.audit.record(call.event(operation, None, response.status()));
        }
        response
    };
    dress(&mut response, &call);
    response
}

fn call_of(console: &Console, parts: &Parts) -> Call {
    let address: Option<IpAddr> =
        parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    Call {
        request_id: uuid::Uuid::new_v4().to_string().into(),
        // Whoever holds the token; there is one.
        actor: Actor::Operator { name: "operator".to_owned(), address },
        received_at: (console.ports.clock)(),
        method: parts.method.as_str().chars().take(32).collect(),
        path: parts.uri.path().chars().take(PATH_CHARS_MAX).collect(),
    }
}

/// Whether the request shows the token: once, in the one form of RFC 6750 §2.1.
async fn is_operator(console: &Console, headers: &HeaderMap) -> bool {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
    let Some((scheme, token)) = shown.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return false;
    }
    (console.ports.token)(()).await.is_some_and(|own| own.is(token))
}

/// The size of a header. The connection has a bound of its own, which it only sees after a read.
fn header_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |p| p.as_str().len());
    parts.headers.iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len())
}

fn too_large(call: &Call) -> Problem {
    let detail = format!("a header has at most {HEADER_BYTES_MAX} bytes");
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Problem::new(call, status, "header_too_large", "The request is too large", detail)
}

fn misdirected(call: &Call) -> Problem {
    let detail = "call the gateway by its address, by `localhost`, or by a host name that it knows";
    Problem::new(call, StatusCode::MISDIRECTED_REQUEST, "misdirected", "Wrong door", detail)
}

fn refuse(console: &Console, call: &Call) -> Problem {
    if let Some(unrecorded) = console.refusals.due(call.received_at) {
        let nobody = match &call.actor {
            Actor::Operator { address, .. } => {
                Actor::Operator { name: "unknown".to_owned(), address: *address }
            }
            known @ (Actor::Person { .. } | Actor::Gateway) => known.clone(),
        };
        tracing::warn!(actor = ?nobody, unrecorded, "a call of the operator API without its token");
        let call = Call { actor: nobody, ..call.clone() };
        let target = (unrecorded > 0).then(|| format!("and {unrecorded} calls before it"));
        let event = call.event("operator.refused", target, StatusCode::UNAUTHORIZED);
        let _counted = console.ports.audit.record(event);
    }
    let detail = "send the token of this gateway as `Authorization: Bearer …`";
    Problem::new(call, StatusCode::UNAUTHORIZED, "unauthorized", "Who are you?", detail)
}

/// The word for a call that no handler recorded.
fn operation(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("GET" | "HEAD", "/api/v1/revocations") => "revocations.list",
        ("POST", "/api/v1/revocations") => "revocations.create",
        ("GET" | "HEAD", "/api/v1/inflight") => "inflight.list",
        ("GET" | "HEAD", "/api/v1/fleet") => "fleet.show",
        ("GET" | "HEAD", "/api/v1/debts") => "debts.list",
        ("POST", path) if path.starts_with("/api/v1/debts/") => "debts.settle",
        ("GET" | "HEAD", "/api/v1/users") => "users.list",
        ("GET" | "HEAD", "/api/v1/groups") => "groups.list",
        ("GET" | "HEAD", "/api/v1/service-accounts" | "/api/v1/agents") => "machines.list",
        ("GET" | "HEAD", "/api/v1/connections") => "connections.list",
        ("GET" | "HEAD", path) if path.starts_with("/api/v1/users/") => "users.show",
        ("GET" | "HEAD", path) if path.starts_with("/api/v1/groups/") => "groups.show",
        ("GET" | "HEAD", path) if is_of_machines(path) => "machines.show",
        ("GET" | "HEAD", "/api/v1/offboarding") => "cases.list",
        ("GET" | "HEAD", path) if path.starts_with("/api/v1/offboarding/") => "cases.show",
        (_, path) if path.starts_with("/api/v1/offboarding") => "cases.refused",
        (_, path) if path.starts_with("/api/v1/users") => "users.refused",
        (_, path) if path.starts_with("/api/v1/groups") => "groups.refused",
        (_, path) if is_of_machines(path) => "machines.refused",
        (_, path) if path.starts_with("/api/v1/connections") => "connections.refused",
        ("GET" | "HEAD", "/api/v1/openapi.json") => "openapi.show",
        ("GET" | "HEAD", "/api/v1/status") => "status.show",
        ("GET" | "HEAD", "/api/v1/access/who-can") => "access.who_can",
        ("GET" | "HEAD", "/api/v1/access/what-can") => "access.what_can",
        ("GET" | "HEAD", "/api/v1/policies") => "policies.show",
        ("POST", "/api/v1/policies/explain") => "policies.explain",
        ("POST", "/api/v1/policies/reload") => "policies.reload",
        ("GET" | "HEAD", "/api/v1/policies/bundles") => "policies.bundles.list",
        ("GET" | "HEAD", "/api/v1/policies/rollout") => "policies.rollout.show",
        ("GET" | "HEAD", "/api/v1/policies/shadow") => "policies.shadow.show",
        (_, path) if path.starts_with("/api/v1/policies/shadow") => "policies.shadow.refused",
        (_, path) if path.starts_with("/api/v1/policies/bundles") => "policies.bundles.refused",
        (_, path) if path.starts_with("/api/v1/policies/rollout") => "policies.rollout.refused",
        ("POST", "/api/v1/policies/back") => "policies.back",
        ("POST", "/api/v1/policies/publish") => "policies.publish",
        _ => "unknown",
    }
}

fn is_of_machines(path: &str) -> bool {
    path.starts_with("/api/v1/service-accounts") || path.starts_with("/api/v1/agents")
}

/// What every answer carries. An answer is for whoever asked: nothing keeps it, shows it as a
/// page, or hands it to another site.
fn dress(response: &mut Response, call: &Call) {
    let status = response.status();
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&call.request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"doorward operator\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_listed_needs_the_token() {
        for path in [
            "",
            "/",
            "/api/v1",
            "/healthz/",
            "//healthz",
            "/healthz/../api/v1/status",
            "/HEALTHZ",
            "/%68ealthz",
        ] {
            assert_eq!(needs(path), Needs::Token, "{path}");
        }
    }

    #[test]
    fn one_refusal_a_second_is_recorded_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let at = |millis| UnixMillis(millis);
        let due: Vec<_> = [1000, 1001, 1999, 2000, 2000, 5000].map(|t| refusals.due(at(t))).into();
        assert_eq!(due, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
