use std::path::Path;
use std::sync::LazyLock;

use doorward_model::limits::EXPLAIN_DECISIONS_MAX;

use super::*;
use crate::explain::way::Involved;
use crate::workshop::Workshop;
use crate::{Conditions, PolicyBundle};

static SHIPPED: LazyLock<Workshop> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    Workshop::open(&dir, None).unwrap()
});

fn policy(text: &str) -> cedar_policy::Policy {
    // Under its own name, as in a folder.
    let id = text.split('"').nth(1).filter(|_| text.starts_with("@id"));
    cedar_policy::Policy::parse(id.map(cedar_policy::PolicyId::new), text).unwrap()
}

fn situation(words: &str) -> Situation {
    SHIPPED.cases().situated(words).unwrap()
}

/// Whatever is thought of is bounded in number, and holds nothing of the request: one with a long path and a long
/// header costs no more than another.
#[test]
fn what_is_thought_of_is_bounded_and_no_copy_of_the_request() {
    let zones: Vec<String> = (0..100).map(|n| format!("\"n{n}\"")).collect();
    let many = policy(&format!(
        "forbid (principal, action, resource) unless {{ context.zones.containsAny([{}]) && \
         context.time.localTime > duration(\"11h\") && context.time.now > datetime(\"2030-01-01\") && \
         context.device.managed && context.session.mfa && principal in Role::\"a\" && \
         principal.department == \"d\" && principal.employment == Employment::\"partner\" }};",
        zones.join(", ")
    ));
    let conditions = Conditions::new(&many);
    let all = |hand| -> Vec<Involved<'_>> {
        let atoms = conditions.atoms();
        atoms
            .map(|(_, condition)| Involved { conditions: &conditions, condition, truth: Some(false), hand })
            .collect()
    };
    let mut from = situation("who = \"alice\"\ndoes = \"GET wiki/all\"");
    (from.path, from.user_agent) = ("/p".repeat(30_000), Some("u".repeat(30_000)));
    for hand in Hand::ALL {
        for max in [1, 3, EXPLAIN_DECISIONS_MAX] {
            let ways = candidates(&from, hand, &all(hand), max);
            assert!(ways.len() <= max, "{hand:?} {max}: {}", ways.len());
            assert_eq!(ways.is_empty(), hand >= Hand::Someone, "{hand:?}");
            let held = format!("{ways:?}").len();
            assert!(held <= 400 * max.max(8), "{hand:?} {max}: {held}");
        }
    }
}

/// Three things that each have many ways out, and a request as long as one may be.
#[test]
fn a_denial_with_many_ways_out_decides_a_few_times_at_the_door() {
    let zones: Vec<String> = (0..8).map(|n| format!("\"n{n}\"")).collect();
    let texts = [
        format!(
            "@id(\"f.network\") forbid (principal, action, resource) unless {{ context.zones.containsAll([{}]) }};",
            zones.join(", ")
        ),
        "@id(\"f.time\") forbid (principal, action, resource) unless { context.time.weekday == Weekday::\"sun\" };"
            .to_owned(),
        "@id(\"f.session\") forbid (principal, action, resource) unless { context.session.mfa };".to_owned(),
        "@id(\"p.all\") permit (principal is User, action, resource);".to_owned(),
    ];
    let bundle: PolicyBundle = SHIPPED.with(texts.iter().map(|text| policy(text)).collect());
    let mut long = situation(
        "who = \"alice\"\ndoes = \"GET wiki/all\"\nplace = { zones = [] }\nsession = { mfa = false }\n\
         time = { weekday = \"mon\" }",
    );
    let short = bundle.explain(&long);
    long.path = "/p".repeat(30_000);
    // Here the way is not among the first few, and nobody waits for more.
    assert!(bundle.at_the_door(&long.question()).steps.is_empty());
    let way = bundle.explain(&long).way.unwrap();
    assert_eq!(Some(&way), short.way.as_ref().map(|_| &way));
    let told: Vec<_> = way.steps.iter().map(|step| step.what.as_str()).collect();
    assert!(way.proof.is_some() && told.len() == 3, "{told:?}");
    assert_eq!(told.first(), Some(&"sign in with a second factor"));
}

/// Of two changes that cannot both be so the later one is told; of two sign-ins the stronger.
#[test]
fn changes_that_exclude_each_other_are_not_told_together() {
    let network =
        |name: &str| Change::new(Hand::OtherNetwork, name, Edit::Networks([name.to_owned()].into()));
    let sign_in = |hand: Hand| Change::new(hand, hand.as_str(), Edit::SignIn(hand));
    let all = [
        network("corp"),
        sign_in(Hand::SecurityKey),
        Change::new(Hand::OtherNetwork, "come from DE", Edit::Country(CountryCode::new("DE").unwrap())),
        network("vpn"),
        sign_in(Hand::SignInAgain),
    ];
    let told: Vec<String> = told(&all).into_iter().map(|change| change.step.what).collect();
    assert_eq!(told, ["security_key", "come from DE", "vpn"]);
}
