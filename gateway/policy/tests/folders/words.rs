//! What an explanation tells to change is enough: whoever does just that, as the words of a case say it, passes.

use cedar_policy::{Policy, PolicyId};
use doorward_policy::Workshop;

use crate::support::shipped;

/// A guardrail beside a permit for everybody; the words of the situation; what is told to change; the same as words of
/// a case.
const TOLD: [(&str, &str, &[&str], &str); 12] = [
    // The hours are whole, and bounds that a policy names are tried, too.
    (
        "unless { context.time.localTime >= duration(\"11h\") && context.time.localTime < duration(\"11h30m\") && \
         context.time.weekday == Weekday::\"sun\" }",
        "time = { local = \"03:10\", weekday = \"wed\" }",
        &["come on sun at 11:00"],
        "time = { local = \"11:00\", weekday = \"sun\" }",
    ),
    (
        "unless { context.time.localTime > duration(\"11h\") && context.time.localTime < duration(\"11h30m\") && \
         context.time.weekday == Weekday::\"sun\" }",
        "time = { local = \"11:45\", weekday = \"sun\" }",
        &["come on sun at 11:01"],
        "time = { local = \"11:01\", weekday = \"sun\" }",
    ),
    (
        "when { context.time.now < datetime(\"2026-06-01\") }",
        "time = { now = 2026-03-04T10:00:00Z, local = \"11:00\", weekday = \"wed\" }",
        &["come on mon at 01:00, which is 2026-06-01T00:00:00Z"],
        "time = { now = 2026-06-01T00:00:00Z, local = \"01:00\", weekday = \"mon\" }",
    ),
    // Of an anonymizer it is spoken where it is asked.
    (
        "unless { context.zones.contains(\"corp\") && !context.geo.anonymizer }",
        "place = { zones = [], anonymizer = \"yes\" }",
        &["come from the network `corp`", "come without an anonymizer"],
        "place = { zones = [\"corp\"], anonymizer = \"no\" }",
    ),
    (
        "unless { context.zones.contains(\"corp\") }",
        "place = { zones = [], anonymizer = \"yes\" }",
        &["come from the network `corp`"],
        "place = { zones = [\"corp\"], anonymizer = \"yes\" }",
    ),
    (
        "unless { context.zones.containsAll([\"corp\", \"vpn\"]) }",
        "place = { zones = [] }",
        &["come from an address that is in the networks `corp` and `vpn`"],
        "place = { zones = [\"corp\", \"vpn\"] }",
    ),
    (
        "when { context.zones.contains(\"guest\") }",
        "place = { zones = [\"guest\"] }",
        &["come from none of the named networks"],
        "place = { zones = [] }",
    ),
    // An account need say no more than what is asked.
    (
        "unless { principal.lifecycle == Lifecycle::\"active\" }",
        "person = { stage = \"suspended\", employment = \"contractor\" }",
        &["the account must be active"],
        "person = { stage = \"active\", employment = \"contractor\" }",
    ),
    (
        "unless { principal has contractEnd && context.time.now < principal.contractEnd }",
        "person = { employment = \"contractor\", contract_end = 2026-01-31T00:00:00Z }\n\
         time = { now = 2026-03-04T10:00:00Z }",
        &["the contract in the account must end later, such as on 2027-03-04"],
        "person = { employment = \"contractor\", contract_end = 2027-03-04T00:00:00Z }\n\
         time = { now = 2026-03-04T10:00:00Z }",
    ),
    (
        "unless { principal.department == \"people\" && principal.employment == Employment::\"partner\" }",
        "person = { department = \"sales\", employment = \"contractor\" }",
        &["the account must say `partner`", "the account must say that the department is `people`"],
        "person = { department = \"people\", employment = \"partner\" }",
    ),
    (
        "unless { context.session.mfaAge <= duration(\"15m\") }",
        "session = { mfa = true, age = \"20h\", mfa_age = \"20h\" }",
        &["sign in again"],
        "session = { mfa = true, age = \"0s\", mfa_age = \"0s\" }",
    ),
    ("unless { context.granted }", "granted = false", &["be granted the app"], "granted = true"),
];

#[test]
fn what_is_told_is_enough() {
    let shop = Workshop::open(&shipped(), None).unwrap();
    for (clause, words, expected, with) in TOLD {
        let policy = |id: &str, text: String| Policy::parse(Some(PolicyId::new(id)), text).unwrap();
        let bundle = shop.with(vec![
            policy("f", format!("forbid (principal is User, action, resource) {clause};")),
            policy("p", "permit (principal is User, action, resource);".to_owned()),
        ]);
        let situated = |words: &str| {
            let words = format!("who = \"alice\"\ndoes = \"GET wiki/all\"\n{words}");
            shop.cases().situated(&words).unwrap_or_else(|e| panic!("{clause}: {e}"))
        };
        let before = situated(words);
        assert!(!bundle.decide(&before.question()).is_allow(), "{clause}");
        let way = bundle.explain(&before).way.unwrap();
        let told: Vec<&str> = way.steps.iter().map(|step| step.what.as_str()).collect();
        assert!(way.proof.is_some(), "{clause}: {told:?}");
        assert_eq!(told, expected, "{clause}");
        assert!(bundle.decide(&situated(with).question()).is_allow(), "{clause}: {with}");
    }
}
