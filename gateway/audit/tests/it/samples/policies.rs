//! Policies that come into force, are tried, and are refused.

use doorward_audit::event::{
    PolicyMend, PolicyRejection, PolicyShadow, PolicyStage, PolicySwap, ShadowStep, StageStep,
};
use doorward_audit::{Actor, Event};

use super::{NOW, operator};

/// What policies beside those in force would change.
fn shadow(step: ShadowStep) -> Event {
    let found = step != ShadowStep::Started;
    let count = |n: u64| if found { n } else { 0 };
    Event::PolicyShadow(Box::new(PolicyShadow {
        actor: if step == ShadowStep::Found { Actor::Gateway } else { operator() },
        step,
        lane: "candidate",
        revision: "c81e728d9d4c2f63".into(),
        in_force: "b7e23ec29af22b0b".into(),
        since: NOW,
        sample: "10%".to_owned(),
        decided: count(9120),
        missed: 0,
        newly_denied: count(31),
        newly_allowed: count(4),
        other_policies: 0,
        policies: if found {
            vec!["wiki.employees".to_owned(), "wiki.contractors".to_owned()]
        } else {
            Vec::new()
        },
        cause: (step == ShadowStep::Promoted).then(|| "two days, nobody but contractors".to_owned()),
    }))
}

pub(super) fn shadows() -> Vec<(&'static str, Event)> {
    vec![
        ("Policies are asked beside those in force from now on.", shadow(ShadowStep::Started)),
        ("They would change more than when it was last told.", shadow(ShadowStep::Found)),
        ("They are asked no more.", shadow(ShadowStep::Stopped)),
        ("They are in force.", shadow(ShadowStep::Promoted)),
    ]
}

pub(super) fn in_force() -> Vec<(&'static str, Event)> {
    let dir = || "/etc/doorward/policies".to_owned();
    vec![
        (
            "Another policy bundle is in force.",
            Event::PolicySwapped(Box::new(PolicySwap {
                actor: Actor::Gateway,
                revision: "c81e728d9d4c2f63".into(),
                previous: Some("b7e23ec29af22b0b".into()),
                source: "bundle c81e728d9d4c (rolled_out)".to_owned(),
                policies: 12,
                cases: 31,
                author: Some("alice@example.com".to_owned()),
                cause: Some("visitors read the wiki".to_owned()),
                found: Some("in the shadow: 3 of 10000 differ".to_owned()),
                results: vec!["prove: held: 9 red lines".to_owned()],
                added: vec!["wiki.visitors".to_owned()],
                removed: Vec::new(),
                changed: vec!["guard.visitors".to_owned()],
            })),
        ),
        (
            "A share is asked of another policy bundle.",
            Event::PolicyStaged(Box::new(PolicyStage {
                actor: operator(),
                step: StageStep::Started,
                revision: "c81e728d9d4c2f63".into(),
                in_force: "b7e23ec29af22b0b".into(),
                hundredths: 500,
                apps: vec!["wiki".to_owned()],
                author: Some("alice@example.com".to_owned()),
                cause: Some("visitors read the wiki".to_owned()),
                results: vec!["prove: held: 9 red lines".to_owned()],
                added: vec!["wiki.visitors".to_owned()],
                removed: Vec::new(),
                changed: Vec::new(),
            })),
        ),
        (
            "A policy bundle was refused; the one before stays in force.",
            Event::PolicyRejected(Box::new(PolicyRejection {
                actor: operator(),
                in_force: Some("b7e23ec29af22b0b".into()),
                source: dir(),
                mistakes: vec!["apps/payroll.cedar:4:9: unknown attribute `grups`".to_owned()],
            })),
        ),
        (
            "The files hold the policies in force again, after a bundle was refused.",
            Event::PolicyMended(Box::new(PolicyMend {
                actor: Actor::Gateway,
                revision: "b7e23ec29af22b0b".into(),
                source: dir(),
            })),
        ),
    ]
}
