//! A slice answers as the whole does: property tests over random policies and questions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cedar_policy::{Authorizer, PolicyId, PolicySet, Response, Schema};
use doorward_model::principal::{Agent, ServiceAccount, User, Visitor};
use doorward_model::{
    AppId, Assurance, CountryCode, DevicePosture, Employment, LifecycleStage, Place, Presence, Principal,
    Risk, RouteFacts, RouteId, Tier, UnixMillis, Weekday,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::bundle::PolicyBundle;
use crate::question::{Decision, Question};
use crate::revision::Revision;

const SCHEMA: &str = include_str!("../../../../policies/schema.cedarschema");

/// One question, owned.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    principal: Arc<Principal>,
    action: Action,
    route: RouteFacts,
    mfa: bool,
    score: Option<u8>,
    zones: BTreeSet<String>,
}

impl Ask {
    pub(crate) const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    pub(crate) const fn route(&self) -> &RouteFacts {
        &self.route
    }

    pub(crate) fn with<T>(&self, answer: impl FnOnce(&Question<'_>) -> T) -> T {
        let now = UnixMillis(1_767_225_600_000);
        let place = Place {
            ip: [10, 0, 0, 1].into(),
            networks: self.zones.clone(),
            country: CountryCode::new("DE").unwrap(),
            continent: None,
            asn: None,
            anonymizer: Presence::Unknown,
            location: None,
        };
        answer(&Question {
            principal: &self.principal,
            owner_stage: LifecycleStage::Unknown,
            granted: false,
            action: self.action,
            route: &self.route,
            session: &Assurance { mfa: self.mfa, authenticated_at: Some(now), ..Assurance::default() },
            device: &DevicePosture::default(),
            place: &place,
            risk: self.score.map_or(Risk::UNKNOWN, Risk::scored),
            now,
            local_time: Duration::from_secs(3600),
            weekday: Weekday::Thu,
            host: "h",
            path: "/p",
            user_agent: None,
        })
    }
}

// === policies from a small grammar; most of them are not valid, which makes more errors ===

fn principal_scope() -> impl Strategy<Value = String> {
    let bounds =
        ["Role::\"r0\"", "Role::\"r1\"", "Group::\"g0\"", "User::\"corp:u0\"", "Visitor::\"anyone\""];
    let types = ["User", "ServiceAccount", "Agent", "Visitor", "Role"];
    prop_oneof![
        Just("principal".to_owned()),
        select(types.to_vec()).prop_map(|t| format!("principal is {t}")),
        select(bounds.to_vec()).prop_map(|b| format!("principal in {b}")),
        select(bounds.to_vec()).prop_map(|b| format!("principal == {b}")),
        (select(types.to_vec()), select(bounds.to_vec()))
            .prop_map(|(t, b)| format!("principal is {t} in {b}")),
    ]
}

fn action_scope() -> impl Strategy<Value = String> {
    let names = ["GET", "POST", "UPGRADE", "read", "write", "access"];
    let list = subsequence(names.to_vec(), 1..4).prop_map(|list| {
        let list: Vec<_> = list.iter().map(|a| format!("Action::\"{a}\"")).collect();
        format!("action in [{}]", list.join(", "))
    });
    prop_oneof![
        Just("action".to_owned()),
        select(names.to_vec()).prop_map(|a| format!("action == Action::\"{a}\"")),
        select(names.to_vec()).prop_map(|a| format!("action in Action::\"{a}\"")),
        list,
    ]
}

fn resource_scope() -> impl Strategy<Value = String> {
    let bounds = ["App::\"a0\"", "App::\"a1\"", "AppGroup::\"s0\"", "Route::\"a0/r0\"", "Route::\"a1/r0\""];
    let types = ["Route", "App"];
    prop_oneof![
        Just("resource".to_owned()),
        select(types.to_vec()).prop_map(|t| format!("resource is {t}")),
        select(bounds.to_vec()).prop_map(|b| format!("resource in {b}")),
        select(bounds.to_vec()).prop_map(|b| format!("resource == {b}")),
        (select(types.to_vec()), select(bounds.to_vec()))
            .prop_map(|(t, b)| format!("resource is {t} in {b}")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let atom = select(
        &[
            "true",
            "false",
            "context.session.mfa",
            "context.risk.score >= 50",
            "context.zones.contains(\"corp\")",
            "resource.adminSurface",
            "resource.tier == Tier::\"public\"",
            "resource in AppGroup::\"s0\"",
            "principal in Role::\"r0\"",
            "principal has department",
            "action in Action::\"write\"",
            // These fail for some principals or for all.
            "principal.department == \"d\"",
            "principal.lifecycle == Lifecycle::\"active\"",
            "principal.scopes.contains(\"s\")",
            "context.risk.score * 9223372036854775807 > 0",
            "context.http.userAgent == \"x\"",
            "User::\"corp:nobody\".department == \"d\"",
        ][..],
    );
    atom.prop_map(str::to_owned).prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
        ]
    })
}

pub(crate) fn policy() -> impl Strategy<Value = String> {
    let effect = select(&["permit", "forbid"][..]);
    let clause = prop_oneof![
        Just(String::new()),
        condition().prop_map(|c| format!("when {{ {c} }}")),
        condition().prop_map(|c| format!("unless {{ {c} }}")),
    ];
    (effect, principal_scope(), action_scope(), resource_scope(), clause)
        .prop_map(|(effect, p, a, r, clause)| format!("{effect} ({p}, {a}, {r}) {clause};"))
}

// === questions ===

fn names(all: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    subsequence(all.to_vec(), 0..=all.len()).prop_map(|s| s.into_iter().map(str::to_owned).collect())
}

fn user() -> impl Strategy<Value = User> {
    (0..2u8, names(&["g0", "g1"]), names(&["r0", "r1", "r2"]), any::<bool>()).prop_map(
        |(n, groups, roles, known)| User {
            id: format!("corp:u{n}").parse().unwrap(),
            name: None,
            email: None,
            groups,
            roles,
            stage: if known { LifecycleStage::Active } else { LifecycleStage::Unknown },
            employment: Employment::Employee,
            contract_end: None,
            home_country: CountryCode::UNKNOWN,
            department: known.then(|| "d".to_owned()),
            tags: BTreeMap::new(),
        },
    )
}

fn principal() -> impl Strategy<Value = Arc<Principal>> {
    let id = || "corp:m".parse().unwrap();
    prop_oneof![
        4 => user().prop_map(Principal::User),
        1 => names(&["s", "t"]).prop_map(move |scopes| {
            let stage = LifecycleStage::Active;
            Principal::ServiceAccount(ServiceAccount { id: id(), owner: id(), scopes, stage })
        }),
        1 => (user(), names(&["s", "t"])).prop_map(move |(on_behalf_of, scopes)| {
            Principal::Agent(Agent { id: id(), on_behalf_of, scopes })
        }),
        1 => Just(Principal::Visitor(Visitor)),
    ]
    .prop_map(Arc::new)
}

fn route() -> impl Strategy<Value = RouteFacts> {
    (0..2u8, 0..2u8, names(&["s0", "s1"]), any::<bool>()).prop_map(|(app, route, groups, admin)| {
        let app = AppId::new(&format!("a{app}")).unwrap();
        RouteFacts {
            id: RouteId::new(app, &format!("r{route}")).unwrap(),
            app_groups: groups.into_iter().collect(),
            tier: if admin { Tier::Restricted } else { Tier::Public },
            scope: "s".into(),
            admin_surface: admin,
            public: false,
        }
    })
}

pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    let score = prop_oneof![Just(None), Just(Some(10)), Just(Some(90))];
    (principal(), select(&Action::ALL[..]), route(), any::<bool>(), score, names(&["corp", "vpn"])).prop_map(
        |(principal, action, route, mfa, score, zones)| Ask { principal, action, route, mfa, score, zones },
    )
}

// === the comparison ===

pub(crate) fn bundle(policies: &[String]) -> PolicyBundle {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let words = Vocabulary::new(schema, SCHEMA).unwrap();
    let parse =
        |(i, text): (usize, &String)| Policy::parse(Some(PolicyId::new(format!("p{i}"))), text).unwrap();
    let policies = policies.iter().enumerate().map(parse).collect();
    PolicyBundle::new(words, policies, Revision::of([]), UnixMillis(0))
}

/// Decision, reasons, errors.
fn outcome(response: &Response) -> (cedar_policy::Decision, BTreeSet<String>, BTreeSet<String>) {
    let diagnostics = response.diagnostics();
    let reasons = diagnostics.reason().map(ToString::to_string).collect();
    (response.decision(), reasons, diagnostics.errors().map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slice_answers_as_plain_cedar_does(
        policies in prop::collection::vec(policy(), 0..40),
        asks in prop::collection::vec(ask(), 1..12),
    ) {
        let bundle = bundle(&policies);
        let whole = PolicySet::from_policies(bundle.index.policies().cloned()).unwrap();
        // Twice, so that the second round is answered from what was remembered.
        for ask in asks.iter().chain(&asks) {
            let (plain, sliced, verdict) = ask.with(|q| {
                let placed = bundle.placed(q).unwrap();
                let slice = bundle.slice(&placed, q.action).unwrap();
                let request = bundle.request(&placed, q).unwrap();
                let authorizer = Authorizer::new();
                let plain = authorizer.is_authorized(&request, &whole, &placed.scene.entities);
                let sliced = authorizer.is_authorized(&request, &slice, &placed.scene.entities);
                (outcome(&plain), outcome(&sliced), bundle.decide_one(q))
            });
            prop_assert_eq!(&plain, &sliced);
            let allow = plain.0 == cedar_policy::Decision::Allow && plain.2.is_empty();
            prop_assert_eq!(verdict.decision == Decision::Allow, allow);
            prop_assert_eq!(verdict.errors.len(), plain.2.len());
            prop_assert_eq!(verdict.refusal.is_none(), allow);
            let determining: BTreeSet<String> = verdict.determining.iter().map(|id| id.to_string()).collect();
            let hidden = plain.0 == cedar_policy::Decision::Allow && !allow;
            prop_assert_eq!(determining, if hidden { BTreeSet::new() } else { plain.1 });
        }
    }

    #[test]
    fn an_agent_may_what_policies_permit_it_and_its_person(
        policies in prop::collection::vec(policy(), 0..12),
        permits in prop::collection::vec(select(&["principal is Agent", "principal is User"][..]), 0..3),
        asks in prop::collection::vec(ask(), 1..4),
        person in user(),
    ) {
        let permits = permits.iter().map(|whom| format!("permit ({whom}, action, resource);"));
        let bundle = bundle(&policies.into_iter().chain(permits).collect::<Vec<_>>());
        for ask in asks {
            let as_person = Ask { principal: Arc::new(Principal::User(person.clone())), ..ask };
            let agent = Agent { id: "corp:m".parse().unwrap(), on_behalf_of: person.clone(), scopes: ["s".to_owned()].into() };
            let may_person = as_person.with(|q| bundle.decide(q));
            let as_agent = Ask { principal: Arc::new(Principal::Agent(agent)), ..as_person };
            let [alone, both] = as_agent.with(|q| [bundle.decide_one(q), bundle.decide(q)]);
            prop_assert_eq!(both.is_allow(), alone.is_allow() && may_person.is_allow());
            prop_assert_eq!(both.refusal.is_none(), both.is_allow());
            if alone.is_allow() {
                prop_assert_eq!(both.errors, may_person.errors);
            } else {
                prop_assert_eq!(both, alone);
            }
        }
    }
}

#[test]
fn the_grammar_makes_every_kind_of_outcome() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let policies = prop::collection::vec(policy(), 0..40).new_tree(&mut runner).unwrap().current();
        let bundle = bundle(&policies);
        let asks = prop::collection::vec(ask(), 12).new_tree(&mut runner).unwrap().current();
        for ask in asks {
            let verdict = ask.with(|q| bundle.decide(q));
            seen.insert(verdict.refusal.map(|r| r.code.as_str()));
        }
    }
    let all = [None, Some("no_permit"), Some("policy_error"), Some("policy_forbids")];
    assert_eq!(seen, all.into_iter().collect());
}

#[test]
fn a_slice_is_small_and_shared_by_people_in_the_same_roles() {
    let mut policies: Vec<String> =
        (0..500).map(|i| format!("permit (principal, action, resource in App::\"x{i}\");")).collect();
    policies.push("permit (principal in Role::\"r0\", action, resource in App::\"a0\");".into());
    policies.push("forbid (principal, action, resource) when { context.session.mfa };".into());
    let bundle = bundle(&policies);
    let slice = |id: &str, role: &str| {
        let user = User {
            id: id.parse().unwrap(),
            name: None,
            email: None,
            groups: BTreeSet::from([format!("only-{id}")]),
            roles: BTreeSet::from([role.to_owned()]),
            stage: LifecycleStage::Active,
            employment: Employment::Employee,
            contract_end: None,
            home_country: CountryCode::UNKNOWN,
            department: None,
            tags: BTreeMap::new(),
        };
        let ask = Ask {
            principal: Arc::new(Principal::User(user)),
            action: Action::Get,
            route: RouteFacts {
                id: RouteId::new(AppId::new("a0").unwrap(), "r0").unwrap(),
                app_groups: vec![],
                tier: Tier::Internal,
                scope: String::new(),
                admin_surface: false,
                public: false,
            },
            mfa: false,
            score: None,
            zones: BTreeSet::new(),
        };
        ask.with(|q| bundle.slice(&bundle.placed(q).unwrap(), q.action).unwrap())
    };
    let [a, b, c] = [slice("corp:a", "r0"), slice("corp:b", "r0"), slice("corp:a", "other")];
    assert_eq!(a.num_of_policies(), 2);
    assert!(Arc::ptr_eq(&a, &b));
    // The same person with other roles: nothing that was remembered is wrongly used.
    assert_eq!(c.num_of_policies(), 1);
}
