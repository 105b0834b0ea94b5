//! A provider speaks to the control node; who leaves is cut off on a node that has no directory.

use std::time::{Duration, Instant};

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::{Disk, Port, Redis, Setup};
use doorward_tests::company::{Company, bearer, sample};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1;
use doorward_tests::live::{BUILD, Kind, Live};
use doorward_tests::wire::{self, within};
use serde_json::json;

use crate::client::{Provider, listen};
use crate::leaving::{CUT_WITHIN, NEXT_SECOND};

const TICK: Duration = Duration::from_millis(20);
const KINDS: [Kind; 3] = [Kind::WsIdle, Kind::WsTicking, Kind::Sse];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_directory_hears_of_it_as_fast() {
    let (redis, intake) = (Redis::start(&Setup::default()), Port::take());
    let pace = Pace { tick: TICK, ..Pace::default() };
    let mut company = Company::new(sample(SampleApp::Build, pace).await).await;
    company
        .config
        .set("revocation.redis", json!({"addresses": [redis.address().to_string()], "tls": false}))
        // Longer than a machine stands still: whose lease is over refuses everybody.
        .set("revocation.redis.lease_millis", json!(10_000));
    let mut other = company.config.clone();
    other.set("gateway.node", json!("gw-1")).set("revocation.directory", json!("none"));
    listen(&mut company.config, &intake);
    let (issuer, control) = company.start().await;
    let gateway = Gateway::start(other).await;
    let provider = Provider::connect(&control, &intake, "okta").await;
    let id = provider.hire("olga").await;
    tokio::time::sleep(NEXT_SECOND).await;
    let (token, stays) = (issuer.token_of("olga"), issuer.token_of("bob"));
    let open = async |kind, token: &str| {
        let wire = Box::new(wire::connect(gateway.address()).await);
        Live::over(wire, BUILD, kind, TICK, token).await.unwrap()
    };
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for kind in KINDS {
        gone.push(open(kind, &token).await);
        stay.push(open(kind, &stays).await);
    }
    let began = Instant::now();
    let answer = provider.say_active(&id, &json!("False"), Some("active")).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    for live in gone {
        let (kind, ended) = (live.kind(), live.ended().await);
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        let after = ended.at.saturating_duration_since(began);
        println!("{kind:?}: {after:?}");
        assert!(after < CUT_WITHIN, "{kind:?}: {after:?}");
    }
    assert!(stay.iter().all(Live::is_running));
    let fields = bearer(&token);
    let refused = h1::ask(gateway.address(), "GET", BUILD, "/", &[("authorization", &fields)]).await;
    assert_eq!(refused.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_not_told_done_before_every_node_can_know() {
    let (redis, intake) = (Redis::start(&Setup::default()), Port::take());
    let pace = Pace { tick: TICK, ..Pace::default() };
    let mut company = Company::new(sample(SampleApp::Build, pace).await).await;
    company.config.set("revocation.redis", json!({"addresses": [redis.address().to_string()], "tls": false}));
    listen(&mut company.config, &intake);
    let (issuer, control) = company.start().await;
    let provider = Provider::connect(&control, &intake, "okta").await;
    let id = provider.hire("olga").await;
    tokio::time::sleep(NEXT_SECOND).await;
    let wire = Box::new(wire::connect(control.address()).await);
    let open = Live::over(wire, BUILD, Kind::WsIdle, TICK, &issuer.token_of("olga")).await.unwrap();
    redis.kill9();
    let leaves = async || provider.say_active(&id, &json!(false), None).await;
    let told = leaves().await;
    assert_eq!(told.status(), 503, "{}", told.text());
    assert!(told.head.value("retry-after").is_some() && told.head.value("doorward-receipt").is_some());
    assert!(Kind::WsIdle.is_cut_off_by(&open.ended().await.how), "here it is in force");
    assert_eq!(leaves().await.status(), 503, "it is no news, and others do not know it still");
    redis.restart(Disk::Kept);
    within("the provider to be told done", async {
        while leaves().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}
