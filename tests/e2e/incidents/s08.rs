//! S8, a policy error that becomes a yes (CVE-2024-47070, GHSA-9g5w-hqr3-w2ph, and Cedar's own rule
//! that a forbid which errors does not apply): what is absent, of a wrong kind or cannot be
//! evaluated is a no.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use doorward_tests::company::copy_policies;
use doorward_tests::gateway::Config;
use doorward_tests::issuer::Issuer;
use serde_json::{Value, json};

use super::house::{BUILD, House, PAYROLL, WIKI, outcome};
use super::talk::{Ask, BOTH};

/// An address in Germany, in the network `vpn` of these tests.
const IN_GERMANY: &str = "5.9.1.1";
/// An address in France, in the network `vpn` too.
const IN_FRANCE: &str = "2.3.4.5";

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies")
}

/// What is changed in a good token, and what becomes of it.
struct Case {
    /// The attributes of forbids that this is about.
    about: &'static [&'static str],
    person: &'static str,
    host: &'static str,
    path: &'static str,
    from: &'static str,
    claims: Value,
    expected: &'static str,
}

const fn case(
    about: &'static [&'static str],
    person: &'static str,
    (host, path, from): (&'static str, &'static str, &'static str),
    claims: Value,
    expected: &'static str,
) -> Case {
    Case { about, person, host, path, from, claims, expected }
}

const IN_WIKI: (&str, &str, &str) = (WIKI, "/", "10.0.0.1");
const IN_WIKI_ADMIN: (&str, &str, &str) = (WIKI, "/admin", "10.0.0.1");
const IN_PAYROLL: (&str, &str, &str) = (PAYROLL, "/", IN_GERMANY);
const IN_BUILD: (&str, &str, &str) = (BUILD, "/", "10.0.0.1");
const ALLOWED: &str = "";

/// Every claim that feeds an attribute of a forbid, absent and of each wrong kind.
fn cases() -> Vec<Case> {
    let mut all = vec![
        // The good ones pass, or the others would prove nothing.
        case(&[], "bob", IN_WIKI, json!({}), ALLOWED),
        case(&[], "dana", IN_WIKI_ADMIN, json!({}), ALLOWED),
        case(&[], "alice", IN_PAYROLL, json!({}), ALLOWED),
        case(&[], "bob", IN_BUILD, json!({}), ALLOWED),
    ];
    let lifecycle = &["principal.lifecycle"];
    let mfa = &["context.session.mfa", "resource.tier"];
    let age = &["context.session.age", "context.session.mfaAge"];
    let strong = &["context.session.phishingResistant", "resource.adminSurface"];
    let risk = &["context.risk.level"];
    let employment = &["principal.employment", "context.time.weekday", "context.time.localTime"];
    let end = &["principal.contractEnd", "context.time.now"];
    let home = &["principal.homeCountry", "context.geo.country"];
    let (no, bad, stronger) = ("policy_forbids", "invalid_credential", "step_up");
    for word in
        ["", "retired", "ACTIVE ", "aktiv", "preboarding", "leave", "suspended", "deactivated", "unknown"]
    {
        // An empty text is a stage that nobody knows: the default is for tokens that have none.
        all.push(case(lifecycle, "bob", IN_WIKI, json!({"stage": word}), no));
    }
    all.push(case(mfa, "bob", IN_WIKI, json!({"amr": null}), stronger));
    all.push(case(mfa, "bob", IN_WIKI, json!({"amr": []}), stronger));
    all.push(case(mfa, "bob", IN_WIKI, json!({"amr": ["MFA"]}), stronger));
    all.push(case(mfa, "bob", IN_WIKI, json!({"amr": ["pwd,mfa"]}), stronger));
    all.push(case(age, "bob", IN_WIKI, json!({"auth_time": null}), stronger));
    all.push(case(age, "bob", IN_WIKI, json!({"auth_time": 0}), stronger));
    all.push(case(age, "bob", IN_WIKI, json!({"auth_time": 99_999_999_999_i64}), bad));
    all.push(case(age, "dana", IN_WIKI_ADMIN, json!({"auth_time": null}), stronger));
    all.push(case(strong, "dana", IN_WIKI_ADMIN, json!({"amr": ["pwd", "otp", "mfa"]}), stronger));
    all.push(case(strong, "dana", IN_WIKI_ADMIN, json!({"amr": null}), stronger));
    all.push(case(risk, "bob", IN_WIKI, json!({"risk": 70}), no));
    all.push(case(risk, "bob", IN_WIKI, json!({"risk": 69.1}), no));
    all.push(case(risk, "bob", IN_WIKI, json!({"risk": 101}), bad));
    all.push(case(risk, "bob", IN_WIKI, json!({"risk": -1}), bad));
    all.push(case(employment, "bob", IN_BUILD, json!({"employment": null}), no));
    all.push(case(employment, "bob", IN_BUILD, json!({"employment": "staff"}), no));
    all.push(case(employment, "bob", IN_WIKI, json!({"employment": null}), no));
    all.push(case(end, "carol", IN_BUILD, json!({"contract_end": null}), no));
    all.push(case(end, "carol", IN_BUILD, json!({"contract_end": 1}), no));
    all.push(case(home, "alice", IN_PAYROLL, json!({"country": null}), no));
    all.push(case(home, "alice", IN_PAYROLL, json!({"country": "ZZ"}), no));
    all.push(case(home, "alice", IN_PAYROLL, json!({"country": "FR"}), no));
    all.push(case(home, "alice", (PAYROLL, "/", IN_FRANCE), json!({}), no));
    let zones = &["context.zones", "context.geo.anonymizer"];
    all.push(case(zones, "alice", (PAYROLL, "/", "203.0.113.1"), json!({}), no));
    all.push(case(zones, "alice", (PAYROLL, "/", "2001:db8::1"), json!({}), no));
    all.push(case(&["context.geo.country"], "bob", (WIKI, "/", "175.45.176.1"), json!({}), no));
    // Of a wrong kind: never taken as absent.
    for (about, person, place, claim, kinds) in [
        (
            &lifecycle[..],
            "bob",
            IN_WIKI,
            "stage",
            vec![json!(1), json!(true), json!(["active"]), json!({}), json!("\u{0}")],
        ),
        (
            mfa,
            "bob",
            IN_WIKI,
            "amr",
            vec![json!("mfa"), json!(1), json!({"mfa": true}), json!([1]), json!([["mfa"]]), json!([""])],
        ),
        (
            age,
            "bob",
            IN_WIKI,
            "auth_time",
            vec![json!("1"), json!(-1), json!(true), json!([1]), json!(1e300), json!({})],
        ),
        (strong, "dana", IN_WIKI_ADMIN, "amr", vec![json!("hwk"), json!([null])]),
        (risk, "bob", IN_WIKI, "risk", vec![json!("0"), json!(true), json!([0]), json!({}), json!(1e300)]),
        (
            employment,
            "bob",
            IN_BUILD,
            "employment",
            vec![json!(1), json!(["employee"]), json!({}), json!(true)],
        ),
        (
            end,
            "carol",
            IN_BUILD,
            "contract_end",
            vec![json!("9999999999"), json!(-1), json!(1e300), json!([1]), json!(true)],
        ),
        (
            home,
            "alice",
            IN_PAYROLL,
            "country",
            vec![json!(276), json!(["DE"]), json!("Germany"), json!("de "), json!("D\u{0}")],
        ),
        (&[][..], "bob", IN_WIKI, "groups", vec![json!("eng-team"), json!([1]), json!({}), json!([""])]),
        (&[][..], "bob", IN_BUILD, "roles", vec![json!("engineer"), json!([["engineer"]]), json!(1)]),
        (&[][..], "bob", IN_WIKI, "device_managed", vec![json!("true"), json!(1), json!([true])]),
        (&[][..], "bob", IN_WIKI, "device_compliant", vec![json!("true"), json!(1)]),
        (
            &[][..],
            "bob",
            IN_WIKI,
            "email",
            vec![json!(["bob@demo.example"]), json!("a@evil.test@demo.example")],
        ),
    ] {
        for kind in kinds {
            all.push(case(about, person, place, json!({ claim: kind }), bad));
        }
    }
    all
}

#[tokio::test]
async fn s8_absent_or_of_a_wrong_kind_is_a_no() {
    let house = House::with(|config| {
        config
            .trust_local_proxy()
            .set("network.named.corp", json!(["10.0.0.0/8"]))
            .set("network.named.vpn", json!(["5.9.0.0/16", "2.3.4.0/24"]));
    })
    .await;
    let (mut refused, mut allowed) = (Vec::new(), Vec::new());
    for http in BOTH {
        let mut talk = house.talk(http);
        for case in cases() {
            let token = house.issuer.token_but(case.person, &case.claims);
            let before = house.reached();
            let ask = Ask::get(case.host, case.path).token(&token).field("x-forwarded-for", case.from);
            let said = talk.say(&ask).await;
            if case.expected == ALLOWED {
                assert_eq!((said.status, house.reached()), (200, before + 1), "{}: {said:?}", case.claims);
                allowed.push(said);
            } else {
                assert_eq!(said.refusal(), Some(case.expected), "{} at {}: {said:?}", case.claims, case.host);
                assert_eq!(house.reached(), before, "{}", case.claims);
                refused.push((said, case.expected));
            }
        }
    }
    assert!(allowed.len() >= 8 && refused.len() > 100);
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn s8_an_issuer_that_says_nothing_of_the_stage_can_mean_a_no() {
    let house = House::with(|config| {
        config.set("issuer.0.claims", json!({"stage_default": "unknown"}));
    })
    .await;
    for http in BOTH {
        let said = house.say(http, &Ask::get(WIKI, "/").token(&house.issuer.token("bob"))).await;
        house.recorded(&[(&said, "policy_forbids")]).await;
        let active = house.issuer.token_but("bob", &json!({"stage": "active"}));
        assert_eq!(house.say(http, &Ask::get(WIKI, "/").token(&active)).await.status, 200);
    }
    assert_eq!(house.wiki.requests().len(), 2);
}

#[tokio::test]
async fn s8_machines_and_agents_say_who_answers_for_them() {
    let robots = Issuer::named("robots").await;
    let house = House::with(|config| {
        let mut section = robots.section();
        section["subjects"] = json!("service_accounts");
        section["claims"] = json!({"owner": "owner"});
        config.add("issuer", section).local_is_corp();
    })
    .await;
    let good = json!({"sub": "ci", "owner": "demo:dana", "scope": "build:run", "act": null});
    let with = |more: Value| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let (no, bad) = ("policy_forbids", "invalid_credential");
    let mut refused = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        let said = talk.say(&Ask::get(BUILD, "/").token(&robots.token_but("bob", &good))).await;
        assert_eq!(said.status, 200, "{said:?}");
        for (claims, expected) in [
            (json!({"owner": null}), bad),
            (json!({"owner": ""}), bad),
            (json!({"owner": 1}), bad),
            (json!({"owner": ["demo:dana"]}), bad),
            (json!({"owner": "nowhere:dana"}), bad),
            (json!({"owner": "robots:ci"}), bad),
            (json!({"owner": "robots:dana"}), bad),
            (json!({"owner": "dana"}), bad),
            (json!({"stage": "suspended"}), no),
            (json!({"stage": 1}), bad),
            (json!({"scope": null}), "no_permit"),
            (json!({"scope": "build:runs"}), "no_permit"),
            (json!({"scope": ""}), "no_permit"),
            (json!({"scope": 1}), bad),
            (json!({"scope": {"build:run": true}}), bad),
            (json!({"scope": ["build:run", 1]}), bad),
            (json!({"act": {"sub": "x"}}), bad),
        ] {
            let token = robots.token_but("bob", &with(claims.clone()));
            let said = talk.say(&Ask::get(BUILD, "/").token(&token)).await;
            assert_eq!(said.refusal(), Some(expected), "{claims}: {said:?}");
            refused.push((said, expected));
        }
        // An agent of an engineer.
        let agent = |more: Value| {
            let mut claims = json!({"act": {"sub": "copilot"}, "scope": "build:run"});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            house.issuer.token_but("bob", &claims)
        };
        let said = talk.say(&Ask::get(BUILD, "/").token(&agent(json!({})))).await;
        assert_eq!(said.status, 200, "{said:?}");
        for (claims, method, host, expected) in [
            (json!({"act": "copilot"}), "GET", BUILD, bad),
            (json!({"act": {}}), "GET", BUILD, bad),
            (json!({"act": {"sub": 1}}), "GET", BUILD, bad),
            (json!({"act": {"sub": "x", "iss": "http://evil.test"}}), "GET", BUILD, bad),
            (json!({"act": []}), "GET", BUILD, bad),
            (json!({"stage": "suspended"}), "GET", BUILD, no),
            (json!({"scope": null}), "GET", BUILD, "no_permit"),
            (json!({"employment": null}), "GET", BUILD, no),
            (json!({"employment": "contractor", "contract_end": 1}), "GET", BUILD, no),
            (json!({"roles": []}), "GET", BUILD, "no_permit"),
            (json!({}), "POST", BUILD, no),
            (json!({}), "GET", PAYROLL, no),
        ] {
            let ask = Ask::get(host, "/").method(method).token(&agent(claims.clone()));
            let said = talk.say(&ask).await;
            assert_eq!(said.refusal(), Some(expected), "{claims} {method}: {said:?}");
            refused.push((said, expected));
        }
    }
    house.recorded(&refused.iter().map(|(said, code)| (said, *code)).collect::<Vec<_>>()).await;
    assert_eq!(house.build.requests().len(), 4);
}

/// Attributes of the principal, the route and the circumstances in the forbids of a policy file.
fn attributes(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|l| l.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    let forbids: Vec<&str> = code.split("\nforbid ").skip(1).map(|f| f.split(';').next().unwrap()).collect();
    let mut found = BTreeSet::new();
    for forbid in forbids {
        for root in ["principal", "resource", "context"] {
            for at in forbid.match_indices(root).map(|(at, _)| at) {
                let path = |c: char| c.is_ascii_alphanumeric() || c == '.';
                let rest = &forbid[at + root.len()..];
                if let Some(has) = rest.strip_prefix(" has ") {
                    found.insert(format!("{root}.{}", has.split(|c| !path(c)).next().unwrap()));
                } else if rest.starts_with('.') {
                    let attribute = rest.split(|c| !path(c)).next().unwrap();
                    // A call is not an attribute.
                    let attribute = attribute.strip_suffix(".containsAny").unwrap_or(attribute);
                    let attribute = attribute.strip_suffix(".contains").unwrap_or(attribute);
                    found.insert(format!("{root}{attribute}"));
                }
            }
        }
    }
    found
}

#[test]
fn s8_no_attribute_of_a_forbid_is_left_out() {
    let mut used = BTreeSet::new();
    let mut pending = vec![policies()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "cedar") {
                used.extend(attributes(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut tried: BTreeSet<String> = cases().iter().flat_map(|c| c.about).map(|a| (*a).to_owned()).collect();
    // Tried with machines and agents above, or with visitors in S6.
    for elsewhere in [
        "principal.owner.lifecycle",
        "principal.onBehalfOf",
        "principal.onBehalfOf.lifecycle",
        "principal.onBehalfOf.employment",
        "principal.onBehalfOf.contractEnd",
        "resource.public",
    ] {
        tried.insert(elsewhere.to_owned());
    }
    assert!(used.len() >= 15, "{used:?}");
    assert_eq!(used.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// A copy of the shipped policies and one more.
fn with_policy(folder: &Path, text: &str) -> PathBuf {
    let to = folder.join("policies");
    copy_policies(&to);
    std::fs::write(to.join("guardrails/extra.cedar"), text).unwrap();
    to
}

/// A forbid that cannot be evaluated at one path: the sum is no 64-bit number. What fails already
/// when the rules are tried out at load would not be put in force.
const OVERFLOWS: &str = r#"
@id("extra.overflow")
@title("Computes what cannot be computed")
@owner("tests")
@severity("low")
@reason("This should never be read.")
forbid (principal, action, resource)
when { context.http.path == "/boom" && context.risk.score + 9223372036854775807 == 7 };
"#;

#[tokio::test]
async fn s8_a_policy_that_errors_refuses_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let dir = with_policy(folder.path(), OVERFLOWS);
    let house = House::with(|config: &mut Config| {
        config.set("policy.dir", json!(dir));
    })
    .await;
    let counted = async || {
        let all = house.gateway.metrics().await;
        all.iter()
            .filter(|(n, _)| n.starts_with("doorward_policy_evaluation_errors"))
            .map(|(_, v)| *v)
            .sum::<f64>()
    };
    assert!((counted().await - 0.0).abs() < f64::EPSILON);
    let token = house.issuer.token_but("bob", &json!({"risk": 50}));
    for (i, http) in BOTH.into_iter().enumerate() {
        // Where it can be evaluated it does not apply; where it cannot, it is not skipped.
        assert_eq!(house.say(http, &Ask::get(WIKI, "/").token(&token)).await.status, 200);
        let said = house.say(http, &Ask::get(WIKI, "/boom").token(&token)).await;
        assert_eq!((said.status, said.refusal()), (403, Some("policy_error")), "{said:?}");
        // What went wrong is for the operator.
        assert!(!said.everything().contains("overflow"), "{said:?}");
        house.recorded(&[(&said, "policy_error")]).await;
        let id = said.request_id().unwrap().to_owned();
        let event = &house.decisions(std::slice::from_ref(&id)).await[&id];
        let errors = event["unmapped"]["doorward"]["decision"]["errors"].to_string();
        assert!(errors.contains("extra.overflow"), "{event}");
        assert_eq!(outcome(event), ("deny", "policy_error"));
        assert!((counted().await - (i + 1) as f64).abs() < f64::EPSILON);
    }
    assert_eq!(house.wiki.requests().len(), 2);
}

#[tokio::test]
async fn s8_what_is_not_strictly_valid_is_not_loaded() {
    for (text, word) in [
        // An attribute that nobody has, one that may be absent, one of another kind, a typo.
        ("forbid (principal is User, action, resource) when { principal.mood == \"bad\" };", "mood"),
        (
            "forbid (principal is User, action, resource) when { principal.contractEnd < context.time.now };",
            "contractEnd",
        ),
        ("forbid (principal, action, resource) when { context.risk.score == \"high\" };", "Long and String"),
        ("forbid (principal, action, resource) when { context.geo.country == Country::\"XX\" };", "XX"),
        ("forbid (principal, action == Action::\"GTE\", resource);", "GTE"),
        ("forbid (principal, action, resource) when { true ", "extra.cedar"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let notes = "@id(\"extra.x\")\n@title(\"x\")\n@owner(\"x\")\n@reason(\"x\")\n";
        let dir = with_policy(folder.path(), &format!("{notes}{text}"));
        let changed = |config: &mut Config| {
            config.set("policy.dir", json!(dir));
        };
        let Err(ended) = House::try_with(changed).await else { panic!("it started with {text}") };
        assert!(ended.status.is_some() && ended.log.contains(word), "{text}: {ended}");
    }
}
