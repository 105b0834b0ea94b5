//! A service account and its token, from the first request to the last byte.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use doorward_model::UnixMillis;
use doorward_model::directory::MachineKind;
use doorward_tests::company::{bearer, connect_from};
use doorward_tests::gateway::Config;
use doorward_tests::h1::{self, H1};
use doorward_tests::live::{BUILD, Kind, Live, Site, Via};
use doorward_tests::wire::{now, within};
use serde_json::{Value, json};

use crate::client::{House as Company, Provider, listen};
use crate::hand::{after, said};
use crate::house::{House, machine, of_person, person, with_role};

/// From the command to the last byte of what ends by it. The command starts a process of its own, and
/// a busy machine takes its time: the benchmarks measure it. Less than the time after which what runs is looked at
/// anyhow.
const CUT_WITHIN: Duration = Duration::from_secs(30);

/// The service account `robots:backup` of alice, known to a gateway that asks its directory.
async fn with_robot() -> (House, String) {
    with_robot_at(|_| {}).await
}

async fn with_robot_at(more: impl FnOnce(&mut Config)) -> (House, String) {
    let house = House::new(more).await;
    let alice = with_role(person(1, "alice"), "engineer");
    house.write(vec![of_person(&alice), machine(7, MachineKind::ServiceAccount, "robots:backup", 1)]).await;
    let id = "00000000-0000-0000-0000-000000000007".to_owned();
    let path = format!("/api/v1/service-accounts/{id}");
    comes("the service account to be known", async || {
        house.gateway.api("GET", &path, None).await.status == 200
    })
    .await;
    (house, format!("{path}/tokens"))
}

/// Looks until it is so.
async fn comes(what: &str, mut look: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn made(house: &House, tokens: &str, limits: Value) -> (String, String) {
    let mut body = json!({"label": "test", "expires_at": now().0 + 3_600_000});
    body.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    let answer = house.gateway.api("POST", tokens, Some(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let told: Value = serde_json::from_str(&answer.text).unwrap();
    let name = told["tokens"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_owned();
    (told["token"].as_str().unwrap().to_owned(), name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_ours_is_good_for_what_was_said_and_never_reaches_the_app() {
    // Not even one that is given the tokens of issuers.
    let (house, tokens) = with_robot_at(|config| _ = config.set("app.0.pass_token", json!(true))).await;
    let (token, name) = made(&house, &tokens, json!({})).await;
    let mut robot = house.visit(&token).await;
    assert_eq!(robot.told("/machine").await, "200");
    let seen = house.app.requests().pop().unwrap().head;
    assert_eq!(seen.value("authorization"), None, "the app never sees it");
    assert!(!format!("{seen:?}").contains(&token[5..20]), "in no header");
    for people in ["/role", "/group", "/granted", "/agent"] {
        assert_eq!(robot.told(people).await, "no_permit", "{people}: no policy for others holds for it");
    }
    let recorded = house.recorded("robots:backup").await.to_string();
    assert!(recorded.contains(&format!("dwsa-{name}")), "which token it was is on record: {recorded}");
    assert!(!recorded.contains(&token[5..40]), "and not the token");

    let mut cut = token.clone();
    cut.pop();
    let nobody = "dwsa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA3uwI";
    for bad in [cut.as_str(), nobody, "dwsa_", &format!("{token}x")] {
        assert_eq!(house.visit(bad).await.told("/machine").await, "invalid_credential", "{bad}");
    }
    // For another app, for other scopes, from another address.
    let (elsewhere, _) = made(&house, &tokens, json!({"apps": ["other"]})).await;
    assert_eq!(house.visit(&elsewhere).await.told("/machine").await, "no_permit");
    let (near, _) = made(&house, &tokens, json!({"from": ["127.0.0.1"], "scopes": ["wiki:read"]})).await;
    assert_eq!(house.visit(&near).await.told("/machine").await, "200");
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    for (token, code) in [(&near, Some("invalid_credential")), (&token, None)] {
        let mut far = H1::over(Box::new(connect_from(from, house.gateway.address()).await));
        let fields = [("authorization", bearer(token))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = far.ask("GET", "wiki.test", "/machine", &fields).await;
        assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), code);
    }

    // That it was used is known after a while, and no secret is in any file.
    comes("the use to be written down", async || {
        let shown = house.gateway.api("GET", tokens.trim_end_matches("/tokens"), None).await;
        let shown: Value = serde_json::from_str(&shown.text).unwrap();
        shown["tokens"][0]["last_used_at"].is_i64()
    })
    .await;
    assert!(!house.gateway.log().contains(&token[5..20]), "in no log");
    let ended = house.gateway.api("DELETE", &format!("{tokens}/{name}"), None).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!(robot.told("/machine").await, "invalid_credential", "from the next request on");
    assert_eq!(house.visit(&near).await.told("/machine").await, "200", "the others stay good");
    let jwt = house.robot("demo:alice");
    assert_eq!(house.visit(&jwt).await.told("/machine").await, "200");
    let issuers = house.app.requests().pop().unwrap().head;
    assert_eq!(issuers.value("authorization"), Some(bearer(&jwt)), "it is told that of an issuer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_over_when_its_time_is_and_when_its_service_account_stops() {
    let (house, tokens) = with_robot().await;
    // Late enough that a slow machine has used it before.
    let soon = UnixMillis(now().0 + 8000);
    let (short, _) = made(&house, &tokens, json!({"expires_at": soon.0})).await;
    let (token, _) = made(&house, &tokens, json!({})).await;
    assert_eq!(house.visit(&short).await.told("/machine").await, "200");
    let mut late = house.visit(&short).await;
    late.comes_to("/machine", "expired_credential").await;
    assert!(now() >= soon, "not before its time");
    // The mark of its sign-in kills what was made before, for ever; what is made afterwards is good at once.
    house.gateway.revoke("user", "robots:backup").await;
    let mut old = house.visit(&token).await;
    assert_eq!(old.told("/machine").await, "revoked");
    let (next, _) = made(&house, &tokens, json!({})).await;
    assert_eq!(house.visit(&next).await.told("/machine").await, "200");
    assert_eq!(house.visit(&token).await.told("/machine").await, "revoked");
    let stopped = house.gateway.api("POST", &tokens.replace("/tokens", "/stop"), None).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    assert_eq!(house.visit(&next).await.told("/machine").await, "invalid_credential");
    let started = house.gateway.api("POST", &tokens.replace("/tokens", "/start"), None).await;
    assert_eq!(started.status, 200, "{}", started.text);
    assert_eq!(
        house.visit(&next).await.told("/machine").await,
        "invalid_credential",
        "nothing old comes back"
    );
    let (anew, _) = made(&house, &tokens, json!({})).await;
    assert_eq!(house.visit(&anew).await.told("/machine").await, "200");
}

async fn site() -> Company {
    let intake = doorward_servers::Port::take();
    let change = |config: &mut doorward_tests::gateway::Config| {
        listen(config, &intake);
        config.local_is_corp().set("app.0.scope", json!("build:run"));
    };
    let site = Site::start(Duration::from_millis(20), change).await;
    Company { site, intake }
}

async fn streams(company: &Company, token: &str) -> Vec<Live> {
    let mut all = Vec::new();
    for (kind, via) in [(Kind::Sse, Via::Plain), (Kind::H2Download, Via::Tls)] {
        all.push(company.site.open(kind, via, token).await.unwrap());
    }
    all
}

async fn end_within(streams: Vec<Live>, began: Instant) {
    for live in streams {
        let kind = live.kind();
        let ended = live.ended().await;
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        assert!(ended.at.saturating_duration_since(began) < CUT_WITHIN, "{kind:?}");
    }
}

async fn status_of(company: &Company, token: &str) -> u16 {
    let bearer = bearer(token);
    let fields = [("authorization", bearer.as_str())];
    h1::ask(company.site.gateway.address(), "GET", BUILD, "/", &fields).await.status()
}

/// People are as their tokens say here: tokens of ours are asked of the directory all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_make_rotate_and_end_tokens_and_what_runs_with_them() {
    let company = site().await;
    let gateway = &company.site.gateway;
    let provider = Provider::connect(gateway, &company.intake, "okta").await;
    let olga = provider.hire("olga").await;
    let register = [
        "service-account",
        "register",
        "demo:robot",
        "--name",
        "R",
        "--purpose",
        "builds",
        "--owner",
        "olga",
        "--scope",
        "build:run",
        "--days",
        "30",
    ];
    said(gateway, 0, &register).await;
    let add =
        ["service-account", "token", "add", "robot", "--label", "ci", "--days", "9", "--app", "build,other"];
    let text = said(gateway, 0, &add).await;
    assert!(text.contains("Made a token for demo:robot") && text.contains("shown this once"), "{text}");
    let first = after(&text, "token ").to_owned();
    let listed = said(gateway, 0, &["service-account", "token", "list", "robot"]).await;
    assert!(listed.contains("ci") && listed.contains("build other") && !listed.contains("dwsa_"), "{listed}");
    let name = listed.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let text = said(gateway, 0, &["service-account", "token", "rotate", "robot", &name]).await;
    let second = after(&text, "token ").to_owned();
    assert_eq!((status_of(&company, &first).await, status_of(&company, &second).await), (200, 200));

    let (gone, stay) = (streams(&company, &first).await, streams(&company, &second).await);
    let began = Instant::now();
    let text =
        said(gateway, 0, &["service-account", "token", "revoke", "robot", &name, "--cause", "leaked"]).await;
    assert!(text.contains("ended     2 running"), "{text}");
    end_within(gone, began).await;
    assert_eq!((status_of(&company, &first).await, status_of(&company, &second).await), (401, 200));
    assert!(stay.iter().all(Live::is_running));

    // That its owner signs out everywhere is not about what they answer for: at most what runs is cut off.
    said(gateway, 0, &["user", "end-sessions", "olga"]).await;
    assert_eq!(status_of(&company, &second).await, 200);
    let held = streams(&company, &second).await;
    let began = Instant::now();
    said(gateway, 0, &["user", "hold", "olga"]).await;
    end_within(held, began).await;
    assert_eq!(status_of(&company, &second).await, 401, "while its owner is held back");
    said(gateway, 0, &["user", "unhold", "olga"]).await;
    assert_eq!(status_of(&company, &second).await, 200);

    let last = streams(&company, &second).await;
    let began = Instant::now();
    assert_eq!(provider.say_active(&olga, &json!(false), None).await.status(), 200);
    end_within(last, began).await;
    assert_eq!(status_of(&company, &second).await, 401, "its owner left");
    let listed = said(gateway, 0, &["service-account", "token", "list", "robot"]).await;
    assert_eq!(listed.trim(), "no token");
    said(gateway, 2, &["service-account", "token", "add", "nobody", "--days", "1"]).await;
    said(gateway, 2, &["service-account", "token", "add", "robot", "--days", "366"]).await;
    assert!(
        said(gateway, 1, &["service-account", "token", "add", "robot", "--days", "1"]).await.contains("work")
    );
}
