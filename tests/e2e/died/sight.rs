//! What four readers see of somebody, and what they must see after each step.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_tests::wire::within;
use serde_json::{Value, json};

use crate::desk;
use crate::house::House;
use crate::sync::{self, Journal, Person, Step, Way};

/// A token says in which second it was made, and counts as made before whatever happened in that second.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// What is seen of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sight {
    /// The provider's: whether they are active, and their department; none where nobody has the name.
    source: Option<(bool, Option<String>)>,
    /// The operator's: their state, and whether a case is open.
    operator: Option<(String, bool)>,
    /// By the person, and by the group.
    member: (bool, bool),
    /// What a new token of theirs is told.
    told: String,
}

impl Sight {
    /// What must be seen after this step.
    fn after(person: &Person, step: Option<Step>) -> Self {
        let Some(step) = step else {
            let told = "unknown_principal".to_owned();
            return Self { source: None, operator: None, member: (false, false), told };
        };
        let out = step == Step::Left;
        let department = (step >= Step::Moved).then(|| person.department());
        let state = if out { "deactivated" } else { "active" };
        Self {
            // The provider reads its own words back, whatever an operator did.
            source: Some((!out || person.way == Way::Operator, department)),
            operator: Some((state.to_owned(), out)),
            member: (step >= Step::Joined, step >= Step::Joined),
            told: if out { "disabled" } else { "200" }.to_owned(),
        }
    }
}

async fn members(house: &House, journal: &Journal) -> BTreeSet<String> {
    let (status, group) =
        house.provider.ask("GET", &format!("/scim/v2/Groups/{}", journal.group), None).await;
    assert_eq!(status, 200, "{group}");
    let members = group["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

async fn see(house: &House, group: &str, members: &BTreeSet<String>, person: &Person) -> Sight {
    let user = sync::find(house, &person.name).await;
    let told = house.told(&house.people.token_of(&person.name)).await;
    let Some(user) = user else {
        return Sight { source: None, operator: None, member: (false, false), told };
    };
    let id = user["id"].as_str().unwrap();
    if let Some(known) = &person.id {
        assert_eq!(known, id, "{}: the id stays", person.name);
    }
    let extension = &user["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    let department = extension["department"].as_str().map(str::to_owned);
    let (status, seen) = house.operator().ask("GET", &format!("/api/v1/users/{id}"), None).await;
    assert_eq!(status, 200, "{seen}");
    let (status, case) = house.operator().ask("GET", &format!("/api/v1/offboarding/{id}"), None).await;
    assert!(status == 200 || status == 404, "{status} {case}");
    let within = user["groups"].as_array().is_some_and(|of| of.iter().any(|of| of["value"] == json!(group)));
    Sight {
        source: Some((user["active"] == json!(true), department)),
        operator: Some((seen["state"].as_str().unwrap().to_owned(), status == 200)),
        member: (within, members.contains(id)),
        told,
    }
}

/// Who returned is let in with a token of a later second.
async fn see_later(house: &House, journal: &Journal, person: &Person) -> Sight {
    let members = members(house, journal).await;
    let seen = see(house, &journal.group, &members, person).await;
    if seen.told != "revoked" {
        return seen;
    }
    tokio::time::sleep(NEXT_SECOND).await;
    see(house, &journal.group, &members, person).await
}

async fn old_is_dead(house: &House, person: &Person, seed: u64) {
    let told = house.told(&person.old).await;
    assert!(
        told == "revoked" || told == "disabled",
        "seed {seed}: {} with an old token: {told}",
        person.name
    );
}

/// Everybody is as after the last answered step, or wholly as after the one that was begun.
pub(crate) async fn is_as_answered(house: &House, journal: &Journal, seed: u64) {
    for person in &journal.people {
        let seen = see_later(house, journal, person).await;
        let (answered, begun) = (Sight::after(person, person.answered), Sight::after(person, person.begun));
        assert!(
            seen == answered || seen == begun,
            "seed {seed}: {} is {seen:?}\nanswered {:?}: {answered:?}\nbegun {:?}: {begun:?}\n{}",
            person.name,
            person.answered,
            person.begun,
            house.gateway.log()
        );
        if person.answered >= Some(Step::Left) {
            old_is_dead(house, person, seed).await;
        }
    }
    no_others(house, journal, seed).await;
    let mut left = journal.people.iter().filter(|person| person.answered >= Some(Step::Left));
    if let Some(first) = left.next() {
        let receipt = desk::verified(&house.gateway, &receipt_of(house, first, seed).await).await;
        is_true(&receipt, first, seed);
    }
    for person in left {
        let id = receipt_of(house, person, seed).await;
        let receipt = desk::shown(&house.gateway, &id).await["content"].clone();
        is_true(&receipt, person, seed);
    }
}

/// The one receipt of their leaving.
async fn receipt_of(house: &House, person: &Person, seed: u64) -> String {
    let path = format!("/api/v1/receipts?person={}", person.id.as_deref().unwrap());
    let all = within("a receipt to be made", async {
        loop {
            let (status, listed) = house.operator().ask("GET", &path, None).await;
            assert_eq!(status, 200, "{listed}");
            let all = listed["receipts"].as_array().unwrap().clone();
            if !all.is_empty() {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(all.len(), 1, "seed {seed}: {} left once: {all:?}", person.name);
    assert_eq!(all[0]["command"], "deactivate", "{all:?}");
    all[0]["id"].as_str().unwrap().to_owned()
}

fn is_true(receipt: &Value, person: &Person, seed: u64) {
    let facts = &receipt["facts"];
    assert_eq!(facts["person"]["id"].as_str(), person.id.as_deref(), "seed {seed}: {receipt}");
    assert_eq!(facts["person"]["links"], json!([format!("demo:{}", person.name)]), "seed {seed}");
    assert_eq!(facts["person"]["state_after"], "deactivated", "seed {seed}: {receipt}");
    assert_eq!(receipt["summary"]["enforced_everywhere"], true, "seed {seed}: {receipt}");
}

/// Nobody is in the group whom nobody put there.
async fn no_others(house: &House, journal: &Journal, seed: u64) {
    let mut ids = BTreeSet::new();
    for person in &journal.people {
        let user: Option<Value> = sync::find(house, &person.name).await;
        ids.extend(user.and_then(|user| user["id"].as_str().map(str::to_owned)));
    }
    let members = members(house, journal).await;
    assert!(members.is_subset(&ids), "seed {seed}: {members:?} of {ids:?}");
}

/// Everybody is as the provider said in the end.
pub(crate) async fn is_as_said(house: &House, journal: &Journal, seed: u64) {
    for person in &journal.people {
        let seen = see_later(house, journal, person).await;
        assert_eq!(seen, Sight::after(person, person.begun), "seed {seed}: {} in the end", person.name);
        if person.begun >= Some(Step::Left) {
            old_is_dead(house, person, seed).await;
        }
    }
}
