//! A group of thousands, filled and emptied by one call each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Settings;
use crate::house::House;
use crate::limits::millis;

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const IN_ONE_BULK: usize = 500;

async fn hire(house: &House, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for first in (0..count).step_by(IN_ONE_BULK) {
        let last = count.min(first + IN_ONE_BULK);
        let one = |n: usize| {
            let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
            let data = json!({"schemas": schemas, "userName": format!("g{n}"), "active": true});
            json!({"method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": data})
        };
        let operations: Vec<Value> = (first..last).map(one).collect();
        let body = json!({"schemas": [BULK], "Operations": operations});
        let (status, answer) = house.provider.ask("POST", "/scim/v2/Bulk", Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
        for made in answer["Operations"].as_array().unwrap() {
            let place = made["location"].as_str().unwrap_or_else(|| panic!("{made}"));
            ids.push(place.rsplit('/').next().unwrap().to_owned());
        }
    }
    ids
}

/// Asks as a member until the answer is this one; how long after `began` the first such one was asked for.
async fn until_told(house: &House, token: &str, told: &str, began: Instant) -> Duration {
    loop {
        let asked = began.elapsed();
        if house.told_at("/team", token).await == told {
            return asked;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never counts");
    }
}

pub(crate) async fn measure(house: &House, settings: &Settings) {
    let began = Instant::now();
    let ids = hire(house, settings.members).await;
    let hired = began.elapsed();
    let (status, group) =
        house.provider.ask("POST", "/scim/v2/Groups", Some(&json!({"displayName": "everybody"}))).await;
    assert_eq!(status, 201, "{group}");
    let path = format!("/scim/v2/Groups/{}", group["id"].as_str().unwrap());
    let last = house.people.token_of(&format!("g{}", settings.members - 1));
    assert_eq!(house.told_at("/team", &last).await, "no_permit");
    println!("\n{} people hired by /Bulk in {:.1} s; one group of them\n", ids.len(), hired.as_secs_f64());
    println!("| one `PATCH` | ms to the answer | ms to the first request judged by it |");
    println!("|---|---:|---:|");
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    for (word, op, told) in [("all put in", "add", "200"), ("all taken out", "remove", "no_permit")] {
        let body = json!({
            "schemas": [PATCH], "Operations": [{"op": op, "path": "members", "value": members}],
        });
        let began = Instant::now();
        let asking = house.provider.ask("PATCH", &path, Some(&body));
        let answered = async { (asking.await, began.elapsed()) };
        let (((status, answer), took), counts) =
            tokio::join!(answered, until_told(house, &last, told, began));
        assert!((200..300).contains(&status), "{answer}");
        println!("| {word} | {} | {} |", millis(took), millis(counts));
    }
}
