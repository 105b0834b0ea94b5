//! A gateway with a city database, and people who ask from there.

use doorward_tests::company::{Company, bearer};
use doorward_tests::gateway::Gateway;
use doorward_tests::h1::{self, Response};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::{now, until};
use serde_json::{Value, json};

use crate::mmdb::{Book, Value as Field, map};

pub(crate) const BERLIN: &str = "203.0.113.1";
/// Abroad, and near.
pub(crate) const STETTIN: &str = "203.0.113.129";
pub(crate) const TOKYO: &str = "198.51.100.1";

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    issuer: Issuer,
    _app: RawUpstream,
    _folder: tempfile::TempDir,
}

/// How somebody proved that it is they.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// A second factor, twenty minutes ago.
    Old,
    /// A second factor that can be phished, now.
    Code,
    /// A security key, now.
    Key,
}

impl House {
    /// From the first sign-in on something can be new.
    pub(crate) async fn new() -> Self {
        let (app, folder) = (RawUpstream::ok().await, tempfile::tempdir().unwrap());
        let database = folder.path().join("city.mmdb");
        std::fs::write(&database, cities().write()).unwrap();
        let mut company = Company::new(app.address()).await;
        company
            .config
            .trust_local_proxy()
            .set("geoip", json!({"databases": [database], "age_days_max": 3650}))
            .set("risk", json!({"sign_ins_min": 1}));
        let (issuer, gateway) = company.start().await;
        Self { gateway, issuer, _app: app, _folder: folder }
    }

    /// A token of one more sign-in.
    pub(crate) fn token(&self, person: &str, session: &str, proof: Proof) -> String {
        let (ago, amr) = match proof {
            Proof::Old => (1200, json!(["pwd", "hwk", "mfa"])),
            Proof::Code => (0, json!(["pwd", "otp", "mfa"])),
            Proof::Key => (0, json!(["pwd", "hwk", "mfa"])),
        };
        let claims =
            json!({"sid": session, "auth_time": now().seconds() - ago, "amr": amr, "device_id": null});
        self.issuer.token_but(person, &claims)
    }

    pub(crate) async fn ask(&self, token: &str, from: &str) -> Response {
        let authorization = bearer(token);
        let fields = [
            ("authorization", authorization.as_str()),
            ("accept", "application/json"),
            ("user-agent", "probe/1.0"),
            ("x-forwarded-for", from),
        ];
        h1::ask(self.gateway.address(), "GET", "wiki.test", "/", &fields).await
    }

    /// `200`, or the code of the refusal.
    pub(crate) async fn told(&self, token: &str, from: &str) -> String {
        let answer = self.ask(token, from).await;
        match answer.status() {
            200 => "200".to_owned(),
            _ => answer.json()["code"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// What the log says of the risk of every request from an address, in order; `null` where nothing was odd.
    pub(crate) async fn risks(&self, from: &str, requests: usize) -> Vec<Value> {
        let of = || {
            let mut events = self.gateway.events();
            events.retain(|e| is_decision(e) && e["src_endpoint"]["ip"] == from);
            events
        };
        until("the log to have it", || (of().len() >= requests).then_some(())).await;
        of().iter().map(|e| e["unmapped"]["doorward"]["risk"].clone()).collect()
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.gateway.metrics().await.get(name).copied().unwrap_or_default()
    }
}

/// A city edition that knows three places.
fn cities() -> Book {
    let place =
        |country: &'static str, continent: &'static str, asn: u32, (latitude, longitude): (f64, f64)| {
            map(&[
                ("country", map(&[("iso_code", Field::Text(country))])),
                ("continent", map(&[("code", Field::Text(continent))])),
                (
                    "location",
                    map(&[
                        ("latitude", Field::Double(latitude)),
                        ("longitude", Field::Double(longitude)),
                        ("accuracy_radius", Field::U16(20)),
                    ]),
                ),
                ("traits", map(&[("autonomous_system_number", Field::U32(asn))])),
            ])
        };
    Book::new("Test-City")
        .put("203.0.113.0/25", &place("DE", "EU", 3320, (52.52, 13.405)))
        .put("203.0.113.128/25", &place("PL", "EU", 5617, (53.4285, 14.5528)))
        .put("198.51.100.0/24", &place("JP", "AS", 2516, (35.6895, 139.6917)))
}

/// A reason as it stands in the log.
pub(crate) fn reason(code: &str, points: u8) -> Value {
    json!({"code": code, "points": points})
}

fn is_decision(event: &Value) -> bool {
    event["metadata"]["event_code"].as_str().is_some_and(|code| code.starts_with("access.request."))
}
