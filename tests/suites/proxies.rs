//! Other proxies ask whether a request may pass ("forward-auth"): nginx, Caddy and HAProxy as Debian has them, and
//! Envoy as PyPI has it, each with its file of `deploy/proxies/`, in front of an app.
//!
//! ```text
//!  front    starts one of them in front of an app, with a gateway to ask
//!  people   who may pass, who is sent to sign in, who is refused, and when
//!  tricks   what a client may try so that the app gets another request than was decided about
//! ```
//! All of them pass the same table. What is asked and answered in detail is another matter: see `forward_auth`.

mod front;
#[expect(dead_code, reason = "this house is that of `browser_sessions`, which has more rooms")]
#[path = "../e2e/browser_sessions/house.rs"]
mod house;
mod people;
mod tricks;

use front::{Front, Kind};

async fn passes_the_table(kind: Kind) {
    let front = Front::start(kind).await;
    people::who_may_pass_is_named(&front).await;
    people::bodies_pass_and_stay_whole(&front).await;
    people::a_renewed_cookie_reaches_the_browser(&front).await;
    people::who_may_not_pass_is_refused(&front).await;
    people::programs_are_told_to_sign_in(&front).await;
    people::browsers_sign_in_and_prove_more(&front).await;
    tricks::nobody_says_who_they_are(&front).await;
    tricks::nothing_else_is_decided_about(&front).await;
    tricks::the_app_gets_the_path_that_was_decided_about(&front).await;
    tricks::http2_is_no_way_past(&front).await;
    tricks::nothing_becomes_a_tunnel(&front).await;
    people::who_is_cut_off_is_refused_with_the_next_request(&front).await;
    people::nothing_passes_without_doorward(front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_passes_the_table() {
    passes_the_table(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_passes_the_table() {
    passes_the_table(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_passes_the_table() {
    passes_the_table(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_passes_the_table() {
    passes_the_table(Kind::Envoy).await;
}
