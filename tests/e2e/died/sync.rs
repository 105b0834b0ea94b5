//! What is asked for, step by step, and what was noted of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::house::{Client, House};

const WORKERS: u64 = 4;
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What happens to somebody, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Hired,
    Moved,
    Joined,
    Left,
    Returned,
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The provider says so.
    Source,
    /// An operator does.
    Operator,
    /// They stay.
    Stays,
}

/// Somebody, and how far they have come.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) id: Option<String>,
    /// A token from before they left.
    pub(crate) old: String,
    pub(crate) answered: Option<Step>,
    pub(crate) begun: Option<Step>,
}

/// What was noted of one sync.
pub(crate) struct Journal {
    pub(crate) group: String,
    pub(crate) people: Vec<Person>,
}

/// A sync that runs.
pub(crate) struct Sync {
    pub(crate) answered: Arc<AtomicUsize>,
    pub(crate) killed: Arc<AtomicBool>,
    group: String,
    workers: JoinSet<Vec<Person>>,
}

impl Person {
    fn new(house_token: String, seed: u64, worker: u64, number: u64) -> Self {
        let way = match (worker + number) % 3 {
            0 => Way::Source,
            1 => Way::Operator,
            _ => Way::Stays,
        };
        let name = format!("p{seed}-{worker}-{number}");
        Self { name, way, id: None, old: house_token, answered: None, begun: None }
    }

    fn steps(&self) -> &'static [Step] {
        const ALL: [Step; 5] = [Step::Hired, Step::Moved, Step::Joined, Step::Left, Step::Returned];
        let returns = self.name.bytes().last().is_some_and(|last| last % 2 == 0);
        match (self.way, returns) {
            (Way::Stays, _) => &ALL[..3],
            (Way::Source, true) => &ALL,
            (Way::Source, false) | (Way::Operator, _) => &ALL[..4],
        }
    }

    pub(crate) fn department(&self) -> String {
        format!("of-{}", self.name)
    }
}

impl Journal {
    pub(crate) fn answered(&self) -> usize {
        self.people.iter().filter_map(|p| p.answered).map(|step| step as usize + 1).sum()
    }

    pub(crate) fn in_doubt(&self) -> usize {
        self.people.iter().filter(|p| p.begun != p.answered).count()
    }

    pub(crate) fn leavings(&self) -> usize {
        let left = |p: &&Person| p.way != Way::Stays && p.answered >= Some(Step::Left);
        self.people.iter().filter(left).count()
    }
}

/// The calls of one step; what is the group's, the provider's or the operator's.
async fn ask(
    (provider, operator): (&Client, &Client),
    group: &str,
    person: &Person,
    step: Step,
) -> Option<(u16, Value)> {
    let user = |id: &Option<String>| format!("/scim/v2/Users/{}", id.as_deref().unwrap_or("none"));
    let patch = |operation: Value| json!({"schemas": [PATCH], "Operations": [operation]});
    let active = |active: bool| patch(json!({"op": "replace", "value": {"active": active}}));
    match (step, person.way) {
        (Step::Hired, _) => {
            let mail = format!("{}@corp.test", person.name);
            let body = json!({
                "schemas": [USER], "userName": person.name, "active": true,
                "emails": [{"value": mail, "type": "work", "primary": true}],
            });
            provider.try_ask("POST", "/scim/v2/Users", Some(&body)).await
        }
        (Step::Moved, _) => {
            let path = format!("{ENTERPRISE}:department");
            let body = patch(json!({"op": "Replace", "path": path, "value": person.department()}));
            provider.try_ask("PATCH", &user(&person.id), Some(&body)).await
        }
        (Step::Joined, _) => {
            let body = patch(json!({"op": "Add", "path": "members", "value": [{"value": person.id}]}));
            provider.try_ask("PATCH", &format!("/scim/v2/Groups/{group}"), Some(&body)).await
        }
        (Step::Left, Way::Operator) => {
            let path = format!("/api/v1/users/{}/deactivate", person.id.as_deref().unwrap_or("none"));
            operator.try_ask("POST", &path, Some(&json!({"cause": "a kill"}))).await
        }
        (Step::Left, Way::Source | Way::Stays) => {
            provider.try_ask("PATCH", &user(&person.id), Some(&active(false))).await
        }
        (Step::Returned, _) => provider.try_ask("PATCH", &user(&person.id), Some(&active(true))).await,
    }
}

impl Sync {
    pub(crate) async fn begin(house: &House, seed: u64) -> Self {
        let body = json!({"displayName": format!("team-{seed}")});
        let (status, made) = house.provider.ask("POST", "/scim/v2/Groups", Some(&body)).await;
        assert_eq!(status, 201, "{made}");
        let group = made["id"].as_str().unwrap().to_owned();
        let (answered, killed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (provider, operator) = (house.provider.clone(), house.operator());
            let tokens: Vec<String> =
                (0..40).map(|n| house.people.token_of(&format!("p{seed}-{worker}-{n}"))).collect();
            let (group, answered, killed) = (group.clone(), Arc::clone(&answered), Arc::clone(&killed));
            workers.spawn(async move {
                let mut people: Vec<Person> = Vec::new();
                for (number, token) in (0..).zip(tokens) {
                    people.push(Person::new(token, seed, worker, number));
                    let person = people.last_mut().unwrap();
                    for step in person.steps() {
                        person.begun = Some(*step);
                        let Some((status, answer)) = ask((&provider, &operator), &group, person, *step).await
                        else {
                            let whom = &person.name;
                            assert!(killed.load(Ordering::SeqCst), "{whom} {step:?}: nobody killed it");
                            return people;
                        };
                        assert!((200..300).contains(&status), "{} {step:?}: {status} {answer}", person.name);
                        if *step == Step::Hired {
                            person.id = Some(answer["id"].as_str().unwrap().to_owned());
                        }
                        person.answered = Some(*step);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                }
                people
            });
        }
        Self { answered, killed, group, workers }
    }

    /// Waits until every worker has seen that nobody answers.
    pub(crate) async fn join(mut self) -> Journal {
        let mut people = Vec::new();
        while let Some(worker) = self.workers.join_next().await {
            people.extend(worker.unwrap());
        }
        Journal { group: self.group, people }
    }
}

/// What the provider finds under this name.
pub(crate) async fn find(house: &House, name: &str) -> Option<Value> {
    let path = format!("/scim/v2/Users?filter=userName%20eq%20%22{name}%22");
    let (status, found) = house.provider.ask("GET", &path, None).await;
    assert_eq!(status, 200, "{found}");
    let found = found["Resources"].as_array().cloned().unwrap_or_default();
    assert!(found.len() < 2, "{found:?}");
    found.into_iter().next()
}

/// Says everything once more that was begun, as a provider does that does not know what was done.
pub(crate) async fn once_more(house: &House, journal: &Journal) {
    let operator = house.operator();
    let mut said: BTreeMap<&str, u16> = BTreeMap::new();
    for person in &journal.people {
        let mut person = person.clone();
        for step in person.steps().iter().filter(|step| Some(**step) <= person.begun) {
            let known = find(house, &person.name).await;
            person.id = known.and_then(|user| user["id"].as_str().map(str::to_owned));
            if *step == Step::Hired && person.id.is_some() {
                continue;
            }
            let answer = ask((&house.provider, &operator), &journal.group, &person, *step).await;
            let (status, answer) = answer.unwrap();
            assert!((200..300).contains(&status), "{} {step:?} again: {status} {answer}", person.name);
            *said.entry("steps").or_default() += 1;
        }
    }
    assert!(!said.is_empty() || journal.people.is_empty());
}
