//! Third-party suites, each pinned and installed from PyPI, against the real process: [`scim`] for the SCIM
//! service, [`openapi`] for the operator API; and third parties that ask it: [`proxies`] of Debian and PyPI.
//!
//! A suite that cannot fail shows nothing, so each is also run against something that is broken on purpose, and
//! must be red there.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod openapi;
mod proxies;
mod python;
mod scim;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_servers::Port;
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::{Config, Gateway};
use doorward_tests::issuer::Issuer;
use serde_json::{Value, json};

/// A gateway that people are provisioned into.
struct House {
    gateway: Gateway,
    /// Where SCIM is spoken.
    intake: Port,
    /// The token of the connection `suite`.
    token: String,
    _issuer: Issuer,
}

async fn house(change: impl FnOnce(&mut Config)) -> House {
    let intake = Port::take();
    let mut company = Company::new(sample(SampleApp::Wiki, Pace::default()).await).await;
    // The suites delete whatever they make.
    company.config.set("intake", json!({"address": intake.address().to_string(), "loss_percent_max": 100}));
    change(&mut company.config);
    let (issuer, gateway) = company.start().await;
    let body = json!({"name": "suite", "issuer": "demo", "subject": "userName"});
    let answer = gateway.api("POST", "/api/v1/connections", Some(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made: Value = serde_json::from_str(&answer.text).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    House { gateway, intake, token, _issuer: issuer }
}
