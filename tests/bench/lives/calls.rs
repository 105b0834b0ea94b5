//! Calls of SCIM a second.

use std::time::{Duration, Instant};

use doorward_tests::h1::H1;
use serde_json::{Value, json};

use crate::Settings;
use crate::house::{Client, House};
use crate::limits::{Limits, millis};
use crate::table::Samples;

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PROVIDERS: [usize; 2] = [1, 8];

/// The calls, in the order in which they are made of each person.
#[derive(Clone, Copy, Debug)]
enum Call {
    Create,
    Read,
    Find,
    Move,
    Leave,
}

impl Call {
    const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Find, Self::Move, Self::Leave];

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "`POST /Users`",
            Self::Read => "`GET /Users/{id}`",
            Self::Find => "`GET /Users?filter=userName eq`",
            Self::Move => "`PATCH`: another department",
            Self::Leave => "`PATCH`: `active: false`",
        }
    }

    const fn writes(self) -> bool {
        match self {
            Self::Create | Self::Move | Self::Leave => true,
            Self::Read | Self::Find => false,
        }
    }
}

async fn ask(provider: &Client, client: &mut H1, call: Call, name: &str, id: &mut String) {
    let user = format!("/scim/v2/Users/{id}");
    let patch = |operation: Value| json!({"schemas": [PATCH], "Operations": [operation]});
    let (method, path, body) = match call {
        Call::Create => {
            let mail = json!([{"value": format!("{name}@corp.test"), "type": "work", "primary": true}]);
            let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
            let body = json!({"schemas": schemas, "userName": name, "active": true, "emails": mail});
            ("POST", "/scim/v2/Users".to_owned(), Some(body))
        }
        Call::Read => ("GET", user, None),
        Call::Find => ("GET", format!("/scim/v2/Users?filter=userName%20eq%20%22{name}%22"), None),
        Call::Move => {
            let path = format!("{ENTERPRISE}:department");
            ("PATCH", user, Some(patch(json!({"op": "replace", "path": path, "value": "Sales"}))))
        }
        Call::Leave => ("PATCH", user, Some(patch(json!({"op": "replace", "value": {"active": false}})))),
    };
    let answer = provider.try_ask_on(client, method, &path, body.as_ref()).await;
    let (status, answer) = answer.unwrap_or_else(|| panic!("no answer to {method} {path}"));
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    if let Call::Create = call {
        answer["id"].as_str().unwrap().clone_into(id);
    }
}

/// Each provider does all of one call, then all of the next.
async fn round(house: &House, providers: usize, calls: usize) -> Vec<(Samples, f64)> {
    let mut all: Vec<_> = Vec::new();
    for number in 0..providers {
        let provider = house.connect(&format!("bench-{providers}-{number}")).await;
        let client = H1::connect(provider.address).await;
        let names: Vec<_> = (0..calls).map(|n| format!("u{providers}-{number}-{n}")).collect();
        all.push((provider, client, names.into_iter().map(|name| (name, String::new())).collect::<Vec<_>>()));
    }
    let mut figures = Vec::new();
    for call in Call::ALL {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for (provider, mut client, mut people) in all.drain(..) {
            tasks.spawn(async move {
                let mut took = Samples::default();
                for (name, id) in &mut people {
                    let began = Instant::now();
                    ask(&provider, &mut client, call, name, id).await;
                    took.add(began.elapsed());
                }
                (provider, client, people, took)
            });
        }
        let mut took = Samples::default();
        while let Some(done) = tasks.join_next().await {
            let (provider, client, people, samples) = done.unwrap();
            took.extend(samples);
            all.push((provider, client, people));
        }
        figures.push((took, (providers * calls) as f64 / began.elapsed().as_secs_f64()));
    }
    figures
}

fn times(took: Duration, limit: Duration) -> String {
    format!("{:.1} ×", took.as_secs_f64() / limit.as_secs_f64().max(f64::MIN_POSITIVE))
}

pub(crate) async fn measure(house: &House, settings: &Settings, limits: &Limits) {
    for providers in PROVIDERS {
        println!("\n{providers} at once, {} calls of each kind by each\n", settings.calls);
        println!("| call | calls/s | p50 ms | p99 ms | beside the limit |");
        println!("|---|---:|---:|---:|---|");
        let figures = round(house, providers, settings.calls).await;
        for (call, (took, per_second)) in Call::ALL.into_iter().zip(figures) {
            let [_, p50, p99, _] = took.told();
            let median = took.median();
            let beside = if call.writes() {
                format!(
                    "{} a flush ({} ms)",
                    times(median, limits.flush.median()),
                    millis(limits.flush.median())
                )
            } else {
                format!("{} a question of nothing", times(median, limits.round_trip.median()))
            };
            println!("| {} | {per_second:.0} | {p50} | {p99} | {beside} |", call.name());
        }
    }
}
