//! Somebody is deactivated by SCIM in the middle of their work: the receipt says what that ended, an auditor
//! believes it, and the gateway sees for itself that they are gone.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::Gateway;
use doorward_tests::live::{BUILD, Kind, Live};
use doorward_tests::wire;
use serde_json::{Value, json};

use crate::client::{Provider, listen};
use crate::desk::{case_comes_to, done, ended, named, shown, verified};

const TICK: Duration = Duration::from_millis(50);

async fn open(gateway: &Gateway, kind: Kind, token: &str) -> Live {
    let wire = Box::new(wire::connect(gateway.address()).await);
    Live::over(wire, BUILD, kind, TICK, token).await.unwrap()
}

fn items<'c>(case: &'c Value, name: &str) -> &'c Value {
    let all = case["items"].as_array().unwrap();
    all.iter().find(|item| item["item"] == name).unwrap_or_else(|| panic!("no {name}: {case}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_in_the_middle_of_a_stream_has_a_receipt_that_an_auditor_believes() {
    let intake = Port::take();
    let mut company =
        Company::new(sample(SampleApp::Build, Pace { tick: TICK, ..Pace::default() }).await).await;
    listen(&mut company.config, &intake);
    company
        .config
        .set("offboarding.apps", json!([{"name": "payslips", "owner": "hr-apps"}]))
        .set("network.trusted_proxies", json!(["240.0.3.1/32"]))
        .set("network.client_address_header", json!("x-forwarded-for"))
        .add("listen", json!({"decides": true}))
        .add("listen", json!({"decides": true}));
    let (issuer, gateway) = company.start().await;
    let provider = Provider::connect(&gateway, &intake, "okta").await;
    let olga = provider.hire("olga").await;
    let (token, stays) = (issuer.token_of("olga"), issuer.token_of("bob"));
    let gone = [
        open(&gateway, Kind::WsTicking, &token).await,
        open(&gateway, Kind::WsIdle, &token).await,
        open(&gateway, Kind::Sse, &token).await,
    ];
    let other = open(&gateway, Kind::WsTicking, &stays).await;

    let answer = provider.say_active(&olga, &json!(false), None).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let id = named(&answer);
    for live in gone {
        let kind = live.kind();
        assert!(kind.is_cut_off_by(&live.ended().await.how), "{kind:?}");
    }
    assert!(other.is_running());

    let receipt = verified(&gateway, &id).await;
    let (summary, facts) = (&receipt["summary"], &receipt["facts"]);
    assert_eq!((&summary["enforced_everywhere"], &summary["nothing_runs"]), (&json!(true), &json!(true)));
    assert_eq!((ended(&receipt, "websocket"), ended(&receipt, "event_stream")), (2, 1), "{summary}");
    for of in summary["exchanges"].as_array().unwrap() {
        // Told, and not what a machine that may stand still for a while takes for it: the benchmarks measure that.
        assert!(of["last_byte_micros"].as_u64().is_some_and(|micros| micros < 60_000_000), "{of}");
    }
    assert_eq!((&facts["person"]["id"], &facts["person"]["links"]), (&json!(olga), &json!(["demo:olga"])));
    assert_eq!(
        (&facts["asked"]["command"], &facts["asked"]["by"]["name"]),
        (&json!("deactivate"), &json!("okta"))
    );
    assert_eq!(facts["not_known"], json!([]));
    let remains = facts["remains"].as_array().unwrap();
    for (word, member, value) in [
        ("manual_app", "app", "payslips"),
        ("public_route", "route", "wiki/welcome"),
        ("token_decides", "issuer", "demo"),
        ("token_elsewhere", "issuer", "demo"),
    ] {
        let is_it = |of: &Value| of["is"] == word && of[member] == value;
        assert!(remains.iter().any(is_it), "{word}: {remains:?}");
    }
    let mut asked: Vec<_> = remains.iter().filter(|of| of["is"] == "other_proxy").cloned().collect();
    asked.sort_by_key(|of| of["listener"] != gateway.listener(1).to_string());
    let listener = |i| json!({"is": "other_proxy", "listener": gateway.listener(i).to_string()});
    assert_eq!(asked, [listener(1), listener(2)], "each that decides, and no other");
    // What it names is where it says.
    let revocations = gateway.api("GET", "/api/v1/revocations", None).await.text;
    assert!(revocations.contains(facts["revocations"][0]["id"].as_str().unwrap()), "{revocations}");
    let place = &facts["audit"];
    let (first, last) = (place["first_sequence"].as_u64().unwrap(), place["last_sequence"].as_u64().unwrap());
    let told = gateway.events();
    let within = |event: &&Value| {
        let number = event["metadata"]["sequence"].as_u64().unwrap();
        event["metadata"]["uid"].as_str().unwrap().starts_with(place["run"].as_str().unwrap())
            && (first..=last).contains(&number)
    };
    let codes: Vec<_> = told.iter().filter(within).map(|event| &event["metadata"]["event_code"]).collect();
    assert!(codes.contains(&&json!("user.lifecycle.deactivate")), "{codes:?}");
    // Not one of its bytes can be another.
    let changed = shown(&gateway, &id).await["jws"].as_str().unwrap().replacen('a', "b", 1);
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("r.jws"), changed).unwrap();
    let data = gateway.folder().join("data");
    let file = desk.path().join("r.jws");
    let arguments = ["receipt", "verify", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    assert_eq!(doorward_tests::gateway::command(&arguments).await.code, Some(6));
    assert!(done(&gateway, &["receipt", "list", "--user", "olga"]).await.contains(&id));

    // The gateway sees that she is gone; what it cannot see is owed, and said by whoever did it.
    let case = case_comes_to(&gateway, &olga, "verified").await;
    for core in ["nodes_acknowledged", "no_sessions", "no_streams", "nothing_allowed"] {
        assert_eq!(items(&case, core)["evidence"]["is"], "seen", "{case}");
    }
    let manual = items(&case, "manual_app payslips");
    assert_eq!((&manual["owed"], &manual["owner"]), (&json!(true), &json!("hr-apps")), "{case}");
    let early = gateway.command(&["offboarding", "close", "olga"]).await;
    assert_eq!(early.code, Some(1), "{}{}", early.stdout, early.stderr);
    let note = ["offboarding", "say", "olga", "manual_app payslips", "--note", "the account is removed"];
    done(&gateway, &note).await;
    done(&gateway, &["offboarding", "close", "olga"]).await;
    assert!(done(&gateway, &["offboarding", "list"]).await.contains("closed"));
    done(&gateway, &["user", "delete", "olga", "--yes"]).await;
    assert!(other.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_of_the_receipt_and_what_it_says() {
    let intake = Port::take();
    let mut company = Company::new(sample(SampleApp::Build, Pace::default()).await).await;
    listen(&mut company.config, &intake);
    let (issuer, gateway) = company.start().await;
    let provider = Provider::connect(&gateway, &intake, "okta").await;
    provider.hire("olga").await;
    let live = open(&gateway, Kind::WsIdle, &issuer.token_of("olga")).await;
    // For as long as a slow machine takes to make it.
    let wait = ["--wait", "fleet", "--wait-millis", "30000"];
    let told = [&["user", "suspend", "olga"][..], &wait, &["--format", "json"]].concat();
    let told = done(&gateway, &told).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let receipt = &told["receipt"];
    assert_eq!(
        (&receipt["made"], &receipt["summary"]["nothing_runs"]),
        (&json!(true), &json!(true)),
        "{told}"
    );
    assert!(Kind::WsIdle.is_cut_off_by(&live.ended().await.how));
    let id = receipt["id"].as_str().unwrap();
    assert_eq!(ended(&verified(&gateway, id).await, "websocket"), 1);
    // Without waiting it is named, and made later.
    let told = done(&gateway, &["user", "hold", "olga"]).await;
    assert!(told.contains("\n  signed    "), "{told}");
    let metrics = gateway.metrics().await;
    assert!(metrics["doorward_receipts_made_total"] >= 1.0, "{metrics:?}");
    let unknown = gateway.api("GET", "/api/v1/receipts/00000000-0000-7000-8000-000000000000", None).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
}
