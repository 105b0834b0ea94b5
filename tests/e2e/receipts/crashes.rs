//! A process that is killed right after it answered owes the receipt, and the next one makes it.

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::Signal;
use serde_json::json;

use crate::client::{Provider, listen};
use crate::desk::{case_comes_to, named, verified};

const LEAVERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_survives_a_kill_and_is_true() {
    let intake = Port::take();
    let mut company = Company::new(sample(SampleApp::Wiki, Pace::default()).await).await;
    listen(&mut company.config, &intake);
    let (_issuer, mut gateway) = company.start().await;
    let provider = Provider::connect(&gateway, &intake, "okta").await;
    let mut left = Vec::new();
    for turn in 0..LEAVERS {
        let name = format!("leaver-{turn}");
        let person = provider.hire(&name).await;
        let answer = provider.say_active(&person, &json!(false), None).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        // Nothing lies between the answer and the end.
        gateway.signal(Signal::SIGKILL);
        gateway = gateway.restart(Signal::SIGKILL).await;
        left.push((name, person, named(&answer)));
    }
    for (name, person, id) in &left {
        let receipt = verified(&gateway, id).await;
        let facts = &receipt["facts"];
        assert_eq!(facts["person"]["id"], json!(person), "{name}");
        assert_eq!(facts["person"]["links"], json!([format!("demo:{name}")]));
        assert_eq!(receipt["summary"]["enforced_everywhere"], true, "{receipt}");
        assert_eq!(facts["revocations"].as_array().unwrap().len(), 1, "{receipt}");
        let taken_up = facts["not_known"] == json!(["taken_up"]);
        assert_eq!(facts["audit"].is_null(), taken_up, "who took the call knows where it stands: {receipt}");
        let path = format!("/api/v1/receipts?person={person}");
        let listed = gateway.api("GET", &path, None).await.text;
        assert_eq!(listed.matches("\"command\"").count(), 1, "one, however often it was begun: {listed}");
        // Who was cut off by a process that has died is proved to be gone, by its log.
        case_comes_to(&gateway, person, "verified").await;
    }
}
