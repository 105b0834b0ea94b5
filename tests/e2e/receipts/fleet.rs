//! Three nodes on one Redis, one of which stands still: the receipt names it, and somebody owes an answer.

use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::{Port, Redis, Setup};
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::live::{BUILD, Kind, Live};
use doorward_tests::wire;
use serde_json::{Value, json};

use crate::client::{Provider, listen};
use crate::desk::{case_comes_to, ended, named, shown, verified};

const TICK: Duration = Duration::from_millis(50);

struct House {
    issuer: doorward_tests::issuer::Issuer,
    control: Gateway,
    nodes: Vec<Gateway>,
    provider: Provider,
    _redis: Redis,
}

/// A control node and two gateway nodes. A receipt waits for so long for who does not confirm.
async fn house(patience_seconds: u64) -> House {
    let (redis, intake) = (Redis::start(&Setup::default()), Port::take());
    let pace = Pace { tick: TICK, ..Pace::default() };
    let mut company = Company::new(sample(SampleApp::Build, pace).await).await;
    // The lease is longer than a machine stands still: whose lease is over refuses everybody.
    let section = json!({"addresses": [redis.address().to_string()], "tls": false, "lease_millis": 6000});
    company.config.set("revocation.redis", section);
    company.config.set("offboarding.receipt_patience_seconds", json!(patience_seconds));
    let other = |name: &str| {
        let mut config = company.config.clone();
        config.set("gateway.node", json!(name)).set("revocation.directory", json!("none"));
        config
    };
    let others = ["gw-1", "gw-2"].map(other);
    company.config.set("gateway.node", json!("control"));
    listen(&mut company.config, &intake);
    let (issuer, control) = company.start().await;
    let mut nodes = Vec::new();
    for config in others {
        nodes.push(Gateway::start(config).await);
    }
    let provider = Provider::connect(&control, &intake, "okta").await;
    House { issuer, control, nodes, provider, _redis: redis }
}

async fn open(gateway: &Gateway, kind: Kind, token: &str) -> Live {
    let wire = Box::new(wire::connect(gateway.address()).await);
    Live::over(wire, BUILD, kind, TICK, token).await.unwrap()
}

fn answers(receipt: &Value) -> Vec<(String, String)> {
    let nodes = receipt["facts"]["nodes"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = nodes.map(|node| (text(&node["node"]), text(&node["answer"]))).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_says_what_it_ended_and_whoever_does_not_is_named_and_owes_it() {
    // Longer than a machine stands still, so that whoever runs confirms in time.
    let house = house(12).await;
    let (control, provider) = (&house.control, &house.provider);
    let (olga, egon) = (provider.hire("olga").await, provider.hire("egon").await);
    let token = house.issuer.token_of("olga");
    let here = open(control, Kind::Sse, &token).await;
    let there = open(&house.nodes[0], Kind::WsTicking, &token).await;
    let also = open(&house.nodes[1], Kind::WsIdle, &token).await;
    let answer = provider.say_active(&olga, &json!(false), None).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let receipt = verified(control, &named(&answer)).await;
    for live in [here, there, also] {
        assert!(live.kind().is_cut_off_by(&live.ended().await.how));
    }
    let all = ["control", "gw-1", "gw-2"].map(|name| (name.to_owned(), "applied".to_owned()));
    assert_eq!(answers(&receipt), all, "{receipt}");
    assert_eq!((ended(&receipt, "websocket"), ended(&receipt, "event_stream")), (2, 1), "{receipt}");
    assert_eq!(receipt["summary"]["nothing_runs"], true, "{}", receipt["summary"]);
    assert_eq!(receipt["summary"]["nodes"]["ended_unknown"], 0, "{}", receipt["summary"]);
    assert!(receipt["facts"]["revocations"][0]["published"].is_object(), "{receipt}");
    case_comes_to(control, &olga, "verified").await;

    // One stands still: it did not confirm, and that is said, and owed.
    house.nodes[1].signal(Signal::SIGSTOP);
    let answer = provider.say_active(&egon, &json!(false), None).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let id = named(&answer);
    assert_eq!(shown(control, &id).await["made"], false, "it waits for whoever may still answer");
    let receipt = verified(control, &id).await;
    house.nodes[1].signal(Signal::SIGCONT);
    let told = answers(&receipt);
    assert_eq!(told[..2], all[..2], "{receipt}");
    assert!(told[2].0 == "gw-2" && told[2].1 != "applied", "{receipt}");
    assert_eq!(receipt["summary"]["enforced_everywhere"], false);
    let owed = receipt["facts"]["debts"].as_array().unwrap();
    assert_eq!(
        (owed.len(), &owed[0]["kind"], &owed[0]["owner"]),
        (1, &json!("missed_revocation"), &json!("security"))
    );
    let open = control.api("GET", "/api/v1/debts?open=true", None).await.text;
    assert!(open.contains(owed[0]["id"].as_str().unwrap()), "{open}");
    // When it goes on it catches up, and then the case is proved.
    case_comes_to(control, &egon, "verified").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_node_that_is_killed_while_it_waits_makes_the_receipt_when_it_is_back() {
    let mut house = house(120).await;
    let olga = house.provider.hire("olga").await;
    house.nodes[1].signal(Signal::SIGSTOP);
    let answer = house.provider.say_active(&olga, &json!(false), None).await;
    let id = named(&answer);
    assert_eq!(shown(&house.control, &id).await["made"], false);
    house.control = house.control.restart(Signal::SIGKILL).await;
    assert_eq!(shown(&house.control, &id).await["made"], false, "it is owed still");
    house.nodes[1].signal(Signal::SIGCONT);
    let receipt = verified(&house.control, &id).await;
    let facts = &receipt["facts"];
    assert_eq!(facts["not_known"], json!(["taken_up", "published_by"]), "{receipt}");
    assert_eq!(receipt["summary"]["enforced_everywhere"], true, "{receipt}");
    let told = answers(&receipt);
    assert!(told.iter().all(|(_, answer)| answer == "applied") && told.len() >= 3, "{told:?}");
    assert_eq!((&facts["asked"]["by"]["name"], &facts["person"]["id"]), (&json!("okta"), &json!(olga)));
}
