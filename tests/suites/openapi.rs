//! Schemathesis (PyPI, MIT), which makes calls up from the OpenAPI document that the gateway itself serves, sends
//! them, and compares what comes back with the document.
//!
//! Every call is tried with examples, at the bounds of every field, with made-up values that fit, with such that do not
//! fit, with methods that are not there, and in sequences, in which the answer of one call is the start of
//! the next. What is deleted, suspended, revoked and so on is made for it before (`openapi/prepare.py`). Of every answer it is
//! checked: no server error; the status, the headers, the form and every member are as the document says, and there is no
//! other member (`openapi/hooks.py`); what does not fit is refused and what fits is not; no call does without the token.
//! `openapi/schemathesis.toml` has the bounds, and the few things that a document cannot say. The seed is fixed, and printed.
//!
//! To see it red, [`the_suite_is_red_when_a_route_is_broken_on_purpose`] puts `openapi/badproxy.py` between them, which
//! breaks one call at a time in one way: an answer that has one member less, or one more; a server error; what should be refused
//! is accepted; an undocumented status; the token is not looked at. The suite must name just that.

use std::path::Path;
use std::process::{Command, Output};

use crate::python::{Running, folder, python, run, told};
use crate::{House, house};

const SUITE: &str = "openapi";

/// A folder in which the suite runs: how, and on whom.
fn prepared(house: &House) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in ["schemathesis.toml", "hooks.py"] {
        std::fs::copy(folder(SUITE).join(file), place.path().join(file)).unwrap();
    }
    let mut prepare = Command::new(python(SUITE));
    prepare.arg(folder(SUITE).join("prepare.py")).current_dir(place.path());
    prepare.arg(format!("http://{}", house.gateway.operator()));
    prepare.arg(format!("http://{}/scim/v2", house.intake.address()));
    let output = run(prepare.env("DOORWARD_TOKEN", house.gateway.token()).env("SCIM_TOKEN", &house.token));
    assert!(output.status.success(), "{}", told(&output));
    place
}

fn suite(place: &Path, url: &str, token: &str, more: &[&str]) -> Output {
    let mut suite = Command::new(python(SUITE).with_file_name("schemathesis"));
    suite.args(["run", "--no-color"]).args(more).arg(format!("{url}/api/v1/openapi.json"));
    run(suite.current_dir(place).env("DOORWARD_TOKEN", token).env_remove("SCHEMATHESIS_HOOKS"))
}

#[test]
fn the_document_is_one_by_the_word_of_its_makers() {
    let document = folder(SUITE).join("../../../docs/reference/openapi.json");
    let mut validator = Command::new(python(SUITE));
    let output = run(validator.args(["-m", "openapi_spec_validator", "--schema", "3.1"]).arg(document));
    assert!(output.status.success(), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_as_the_document_says() {
    let house = house(|_| {}).await;
    let place = prepared(&house);
    let url = format!("http://{}", house.gateway.operator());
    let output = suite(place.path(), &url, house.gateway.token(), &[]);
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    print!("{}", said.split("= SUMMARY =").last().unwrap());
    let counted = said.rsplit_once(" generated").and_then(|(before, _)| before.rsplit(' ').next());
    let count = counted.and_then(|count| count.trim().parse().ok());
    assert!(count.is_some_and(|count: u32| count > 3000), "too little was tried: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_is_red_when_a_route_is_broken_on_purpose() {
    let house = house(|_| {}).await;
    let place = prepared(&house);
    for (broken, named) in [
        ("nothing", None),
        ("member-missing", Some("Response violates schema")),
        ("member-more", Some("Response violates schema")),
        ("server-error", Some("Server error")),
        ("status", Some("Undocumented status code")),
        ("form", Some("Undocumented Content-Type")),
        ("accepts-all", Some("Schema-violating request accepted")),
        ("refuses-all", Some("Schema-valid request rejected")),
        ("no-token", Some("API accepts requests without authentication")),
    ] {
        let mut proxy = Command::new(python(SUITE));
        proxy
            .arg(folder(SUITE).join("badproxy.py"))
            .arg(format!("http://{}", house.gateway.operator()))
            .arg(broken);
        let (_running, url) = Running::start(proxy.env("DOORWARD_TOKEN", house.gateway.token()));
        let output = suite(
            place.path(),
            &url,
            house.gateway.token(),
            &["--include-operation-id", "groups.list", "--phases", "coverage,fuzzing"],
        );
        let (said, green) = (told(&output), output.status.success());
        match named {
            None => assert!(green, "it is red though nothing is broken: {said}"),
            Some(named) => {
                let summary = said.split("= SUMMARY =").last().unwrap();
                assert!(!green && summary.contains(named), "{broken} is not seen: {said}");
            }
        }
    }
}
