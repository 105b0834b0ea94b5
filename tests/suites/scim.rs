//! The third-party suite for SCIM servers (PyPI `scim2-tester`, Apache-2.0), against the real process.
//!
//! It runs four times: against a server that it is known to pass with, where it must be green; against the
//! gateway behind a proxy in which PATCH is broken on purpose (`scim/badproxy.py`), where it must be red; and against
//! the gateway, alone on its embedded store and as a control node whose changes Redis carries, where every
//! check must be a success.

use std::process::Command;
use std::time::Duration;

use doorward_servers::{Port, Redis, Setup};
use serde_json::json;

use crate::house;
use crate::python::{Running, folder, python, run, told};

const SUITE: &str = "scim";

/// Whether every check is a success, and what was said.
fn check(url: &str, token: &str) -> (bool, String) {
    let mut suite = Command::new(python(SUITE));
    let output = run(suite.arg(folder(SUITE).join("check.py")).arg(url).env("SCIM_TOKEN", token));
    (output.status.success(), told(&output))
}

#[test]
fn the_suite_is_green_with_a_server_that_it_is_known_to_pass_with() {
    let (port, token) = (Port::take(), "known-good");
    let mut server = Command::new(python(SUITE).with_file_name("scim2-server"));
    server.args(["--port", &port.address().port().to_string(), "--bearer-token", token]);
    let _running = Running::silent(&mut server);
    for _ in 0..1200 {
        if std::net::TcpStream::connect(port.address()).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (green, said) = check(&format!("http://{}/v2", port.address()), token);
    assert!(green, "the suite itself is broken: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_is_red_when_patch_is_broken_on_purpose() {
    let house = house(|_| {}).await;
    let mut proxy = Command::new(python(SUITE));
    proxy.arg(folder(SUITE).join("badproxy.py")).arg(format!("http://{}", house.intake.address()));
    let (_running, url) = Running::start(&mut proxy);
    let (green, said) = check(&format!("{url}/scim/v2"), &house.token);
    assert!(!green, "PATCH does nothing, and the suite does not see it: {said}");
    let red = said.lines().filter(|line| line.starts_with("ERROR check_")).count();
    assert!(red > 20, "it is red for another reason: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_check_of_the_suite_is_a_success_with_the_gateway() {
    let house = house(|_| {}).await;
    let (green, said) = check(&format!("http://{}/scim/v2", house.intake.address()), &house.token);
    print!("{said}");
    assert!(green, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_it_is_with_a_control_node_whose_changes_redis_carries() {
    let redis = Redis::start(&Setup::default());
    let section = json!({"addresses": [redis.address().to_string()], "tls": false});
    let house = house(|config| {
        config.set("revocation.redis", section);
    })
    .await;
    let answer = house.gateway.api("GET", "/api/v1/fleet", None).await;
    let fleet: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(fleet["fleet"]["role"], "control", "{fleet}");
    let (green, said) = check(&format!("http://{}/scim/v2", house.intake.address()), &house.token);
    print!("{said}");
    assert!(green, "{said}");
    // What the suite took away went out to the fleet, and not past it.
    let answer = house.gateway.api("GET", "/api/v1/fleet", None).await;
    let fleet: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert!(fleet["fleet"]["published"].as_u64() > Some(0), "{fleet}");
}
