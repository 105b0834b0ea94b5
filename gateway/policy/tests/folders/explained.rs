//! A dozen situations on the shipped policies, and what is told of each: to operators, and at the door.
//!
//! `DOORWARD_BLESS=1` writes the golden anew.

use std::fmt::Write as _;
use std::path::Path;

use doorward_policy::{Decision, Explanation, Workshop};

use crate::support::shipped;

/// Name, who, does, and what differs from `cases/base.toml`.
const SITUATIONS: [(&str, &str, &str, &str); 14] = [
    ("HR in the office", "alice", "GET payroll/all", "place = { zones = [\"corp\"] }"),
    ("HR at home, without the VPN", "alice", "GET payroll/all", "place = { zones = [] }"),
    ("an engineer wants payroll", "bob", "GET payroll/all", "place = { zones = [\"corp\"] }"),
    ("no second factor", "bob", "GET wiki/all", "session = { mfa = false }"),
    (
        "an old second factor at an admin surface",
        "dana",
        "GET wiki/admin",
        "session = { mfa = true, phishing_resistant = true, age = \"2h\", mfa_age = \"31m\" }",
    ),
    ("signed in this morning, it is night", "bob", "GET build/all", "session = { age = \"13h\" }"),
    (
        "a contractor at the weekend",
        "carol",
        "GET build/all",
        "time = { weekday = \"sat\", now = 2026-03-07T10:00:00Z }",
    ),
    (
        "a contract that has ended",
        "carol",
        "GET build/all",
        "person = { contract_end = 2026-01-31T00:00:00Z }",
    ),
    ("a sanctioned country", "bob", "GET wiki/all", "place = { country = \"KP\", zones = [] }"),
    ("a high risk", "bob", "GET wiki/all", "risk = 90"),
    (
        "abroad, no second factor, an old sign-in",
        "alice",
        "GET payroll/all",
        "place = { country = \"FR\", zones = [] }\nsession = { mfa = false, age = \"20h\" }",
    ),
    ("somebody who was suspended", "bob", "GET wiki/all", "person = { stage = \"suspended\" }"),
    ("a visitor", "visitor", "GET wiki/all", ""),
    (
        "an agent of somebody without the role",
        "alices-agent",
        "GET build/all",
        "place = { zones = [\"corp\"] }",
    ),
];

fn told(name: &str, explanation: &Explanation, door: &doorward_policy::AtTheDoor) -> String {
    let mut text = format!("# {name}\n{} by {}\n", explanation.decision, explanation.deciding.join(", "));
    for policy in &explanation.policies {
        for condition in policy.conditions.iter().filter(|c| c.failed) {
            let _ = writeln!(text, "failed {}: {} ({:?})", policy.id, condition.text, condition.truth);
            for fact in &condition.facts {
                let age = fact.age.map_or_else(String::new, |age| format!(", {} s old", age.as_secs()));
                let limit = fact.limit.as_deref().unwrap_or("-");
                let value = fact.value.as_deref().unwrap_or("absent");
                let _ = writeln!(text, "    {} = {value}, limit {limit}{age}", fact.name);
            }
        }
    }
    if let Some(missed) = &explanation.missed {
        let _ = writeln!(text, "missed {}: {}", missed.id, missed.lacks.join("; "));
    }
    if let Some(way) = &explanation.way {
        for step in &way.steps {
            let proof = if way.proof.is_some() { "proved" } else { "not proved" };
            let _ = writeln!(text, "way ({proof}): {} [{}]", step.what, step.hand.as_str());
        }
    }
    let _ = writeln!(
        text,
        "at the door: {}",
        door.steps.iter().filter_map(|s| s.advice()).collect::<Vec<_>>().join(" ")
    );
    text
}

#[test]
fn situations_are_explained_as_they_were() {
    let shop = Workshop::open(&shipped(), None).unwrap();
    let mut text = String::new();
    for (name, who, does, differs) in SITUATIONS {
        let words = format!("who = \"{who}\"\ndoes = \"{does}\"\n{differs}");
        let situation = shop.cases().situated(&words).unwrap_or_else(|e| panic!("{name}: {e}"));
        let explanation = shop.bundle().explain(&situation);
        let door = shop.bundle().at_the_door(&situation.question());
        assert!(explanation.decision == Decision::Deny || door == Default::default(), "{name}: {door:?}");
        assert!(
            explanation.deciding.is_empty() || explanation.way.is_none() || !door.clauses.is_empty(),
            "{name}"
        );
        text.push_str(&told(name, &explanation, &door));
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/folders/explained.golden");
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == golden,
        "{} is not what is told now; DOORWARD_BLESS=1 writes it:\n{text}",
        path.display()
    );
}

/// Whoever stands at the door is told nothing of the policies.
#[test]
fn no_sentence_at_the_door_names_a_policy_a_threshold_or_a_person() {
    let shop = Workshop::open(&shipped(), None).unwrap();
    let mut helped = 0;
    for case in shop.cases().iter() {
        let situation = case.situation.unwrap();
        let door = shop.bundle().at_the_door(&situation.question());
        let said: String = door.steps.iter().filter_map(|step| step.advice()).collect();
        helped += usize::from(!said.is_empty());
        assert!(!said.chars().any(|c| c.is_ascii_digit()), "{said}");
        assert!(!shop.policies().iter().any(|policy| said.contains(policy.id())), "{said}");
        assert!(!["alice", "bob", "carol", "dana", "corp"].iter().any(|name| said.contains(name)), "{said}");
    }
    assert!(helped > 10, "{helped}");
}
