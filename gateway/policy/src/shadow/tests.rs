//! What the shadow finds is what plain Cedar finds, and nothing waits for it.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use cedar_policy::{Authorizer, Policy, PolicyId, PolicySet};
use doorward_model::limits::{SHADOW_EXAMPLE_NAMES_MAX, SHADOW_EXAMPLES_MAX, SHADOW_NAMES_MAX};
use doorward_model::{AppId, Employment, Principal, RouteId};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::index::tests::{Ask, ask, bundle, policy};
use crate::question::Decision;
use crate::vocabulary::Vocabulary;

/// When something happens in here, unless it matters.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

/// How a policy of the pool is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Absent,
    Deciding,
    Reporting,
}

fn part() -> impl Strategy<Value = Part> {
    select(&[Part::Absent, Part::Deciding, Part::Deciding, Part::Reporting][..])
}

fn words() -> Arc<Vocabulary> {
    Arc::clone(&bundle(&[]).words)
}

/// A bundle of these policies by name and text; its revision is told by its `name`.
fn named<'a>(
    words: &Arc<Vocabulary>,
    name: &str,
    policies: impl IntoIterator<Item = (&'a str, String)>,
) -> Arc<PolicyBundle> {
    let parse = |(id, text): (&str, String)| Policy::parse(Some(PolicyId::new(id)), text).unwrap();
    let policies = policies.into_iter().map(parse).collect();
    Arc::new(PolicyBundle::new(Arc::clone(words), policies, Revision::of([(name, &b""[..])]), UnixMillis(0)))
}

/// A shadow beside what can be changed, and the work of its thread.
struct House {
    in_force: Arc<ArcSwap<PolicyBundle>>,
    shadow: Shadow,
    work: Work,
}

impl House {
    fn of(first: &Arc<PolicyBundle>) -> Self {
        let in_force = Arc::new(ArcSwap::new(Arc::clone(first)));
        let asked = Arc::clone(&in_force);
        let (shadow, work) = Shadow::new(Arc::new(move || asked.load_full()));
        Self { in_force, shadow, work }
    }

    /// Answers a request by what is in force, and offers it.
    fn answers(&self, ask: &Ask) {
        let bundle = self.in_force.load_full();
        ask.with(|q| self.shadow.offer(q, &bundle.decide(q), &bundle, &"r".into()));
    }

    fn candidate(&self) -> Report {
        self.shadow.report(Lane::Candidate, NOW).unwrap()
    }
}

fn everyone(effect: &str) -> String {
    format!("{effect} (principal, action, resource);")
}

fn an_ask() -> Ask {
    use proptest::strategy::ValueTree;
    ask().new_tree(&mut proptest::test_runner::TestRunner::deterministic()).unwrap().current()
}

// === the truth: plain Cedar, the whole set, no index ===

fn plain_one(set: &PolicySet, words: &PolicyBundle, q: &Question<'_>) -> Side {
    let (request, entities) = words.in_cedar(q).unwrap();
    let response = Authorizer::new().is_authorized(&request, set, &entities);
    let name = |id: &PolicyId| -> Arc<str> { Arc::from(AsRef::<str>::as_ref(id)) };
    let errors: std::collections::BTreeSet<Arc<str>> = response
        .diagnostics()
        .errors()
        .map(|e| match e {
            cedar_policy::AuthorizationError::PolicyEvaluationError(e) => name(e.policy_id()),
        })
        .collect();
    let cedar_allows = response.decision() == cedar_policy::Decision::Allow;
    let allow = cedar_allows && errors.is_empty();
    // Permits decide nothing where a policy failed.
    let hidden = cedar_allows && !allow;
    let determining = response.diagnostics().reason().map(name).filter(|_| !hidden).collect();
    Side { decision: if allow { Decision::Allow } else { Decision::Deny }, code: None, determining, errors }
}

/// An agent may what it may and its person may as well.
fn plain(set: &PolicySet, words: &PolicyBundle, q: &Question<'_>) -> Side {
    let first = plain_one(set, words, q);
    match (&**q.principal, first.decision) {
        (Principal::Agent(agent), Decision::Allow) => {
            let person = Arc::new(Principal::User(agent.on_behalf_of.clone()));
            let second = plain_one(set, words, &Question { principal: &person, ..q.clone() });
            match second.decision {
                Decision::Allow => Side { determining: &first.determining | &second.determining, ..second },
                Decision::Deny => second,
            }
        }
        _ => first,
    }
}

/// Of which kind somebody is, as it is told.
fn kind(principal: &Principal) -> &'static str {
    match principal {
        Principal::User(user) => match user.employment {
            Employment::Employee => "employee",
            Employment::Contractor => "contractor",
            Employment::Partner => "partner",
            Employment::Unknown => "unknown",
        },
        Principal::ServiceAccount(_) => "service_account",
        Principal::Agent(_) => "agent",
        Principal::Visitor(_) => "visitor",
    }
}

/// What a lane must have counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Truth {
    decided: u64,
    total: [u64; 3],
    by_kind: BTreeMap<String, [u64; 3]>,
    by_app: BTreeMap<String, [u64; 3]>,
    by_policy: BTreeMap<String, [u64; 3]>,
}

impl Truth {
    fn add(&mut self, ask: &Ask, in_force: &Side, candidate: &Side) {
        self.decided += 1;
        let allows = |side: &Side| side.decision == Decision::Allow;
        let (at, blamed) = match (allows(in_force), allows(candidate)) {
            (true, false) => (0, [candidate, in_force]),
            (false, true) => (1, [in_force, candidate]),
            _ if in_force.determining == candidate.determining && in_force.errors == candidate.errors => {
                return;
            }
            _ => (2, [in_force, candidate]),
        };
        let all = |side: &Side| side.determining.iter().chain(&side.errors).map(|p| p.to_string()).collect();
        let mut policies: std::collections::BTreeSet<String> = all(blamed[0]);
        if at < 2 && policies.is_empty() {
            policies = all(blamed[1]);
        } else if at == 2 {
            let one_side = |of: fn(&Side) -> &std::collections::BTreeSet<Arc<str>>| {
                of(in_force).symmetric_difference(of(candidate)).map(|p| p.to_string()).collect::<Vec<_>>()
            };
            policies = one_side(|s| &s.determining).into_iter().chain(one_side(|s| &s.errors)).collect();
        }
        self.total[at] += 1;
        self.by_kind.entry(kind(ask.principal()).to_owned()).or_default()[at] += 1;
        self.by_app.entry(ask.route().id.app().to_string()).or_default()[at] += 1;
        for policy in policies {
            self.by_policy.entry(policy).or_default()[at] += 1;
        }
    }
}

fn told(tally: &Tally) -> Truth {
    let of = |counts: &Counts| Change::ALL.map(|change| counts.of(change));
    assert_eq!((tally.by_app.others(), tally.by_policy.others(), tally.failed), Default::default());
    Truth {
        decided: tally.decided,
        total: of(&tally.total),
        by_kind: tally.by_kind.iter().map(|(k, c)| ((*k).to_owned(), of(c))).collect(),
        by_app: tally.by_app.iter().map(|(k, c)| (k.to_string(), of(c))).collect(),
        by_policy: tally.by_policy.iter().map(|(k, c)| (k.to_string(), of(c))).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Candidate and report-only at once, over random policies and requests: what is counted is what plain
    /// Cedar says of the same questions, policy by policy.
    #[test]
    fn differences_are_those_of_plain_cedar(
        pool in prop::collection::vec((policy(), part(), part()), 1..24),
        asks in prop::collection::vec(ask(), 1..16),
    ) {
        let ids: Vec<String> = (0..pool.len()).map(|i| format!("p{i}")).collect();
        let words = words();
        let in_bundle = |of: fn(&(String, Part, Part)) -> Part| {
            let member = |(id, one)| match of(one) {
                Part::Absent => None,
                Part::Deciding => Some((id, one.0.clone())),
                Part::Reporting => Some((id, format!("@mode(\"report\") {}", one.0))),
            };
            ids.iter().map(String::as_str).zip(&pool).filter_map(member).collect::<Vec<_>>()
        };
        let set = |members: &[(&str, String)], with_reporting: bool| {
            let of = members.iter().filter(|(_, text)| with_reporting || !text.starts_with("@mode"));
            PolicySet::from_policies(of.map(|(id, text)| Policy::parse(Some(PolicyId::new(id)), text).unwrap())).unwrap()
        };
        let [first, second] = [in_bundle(|p| p.1), in_bundle(|p| p.2)];
        let reports = first.iter().any(|(_, text)| text.starts_with("@mode"));
        let [sets, reporting] = [[set(&first, false), set(&second, false)], [set(&first, false), set(&first, true)]];
        let house = House::of(&named(&words, "first", first));
        house.shadow.start(named(&words, "second", second), Sample::ALL, NOW).unwrap();
        let plain_words = bundle(&[]);
        let (mut truth, mut of_reporting) = (Truth::default(), Truth::default());
        for ask in &asks {
            house.answers(ask);
            let by = |set| ask.with(|q| plain(set, &plain_words, q));
            truth.add(ask, &by(&sets[0]), &by(&sets[1]));
            of_reporting.add(ask, &by(&reporting[0]), &by(&reporting[1]));
        }
        house.work.catch_up();
        let report = house.candidate();
        prop_assert_eq!(told(&report.tally), truth);
        prop_assert_eq!((report.seen, report.waiting(), report.missed, report.elsewhere), (asks.len() as u64, 0, 0, 0));
        let report_only = house.shadow.report(Lane::ReportOnly, NOW);
        prop_assert_eq!(report_only.is_some(), reports);
        if let Some(report) = report_only {
            prop_assert_eq!(told(&report.tally), of_reporting);
        }
    }
}

#[test]
fn the_grammar_makes_every_kind_of_difference() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let words = words();
    let mut seen = Counts::default();
    for _ in 0..40 {
        let mut draw = || prop::collection::vec(policy(), 1..24).new_tree(&mut runner).unwrap().current();
        let [first, second] = [draw(), draw()];
        let ids: Vec<String> = (0..24).map(|i| format!("p{i}")).collect();
        let of = |texts: Vec<String>| ids.iter().map(String::as_str).zip(texts).collect::<Vec<_>>();
        let house = House::of(&named(&words, "first", of(first)));
        house.shadow.start(named(&words, "second", of(second)), Sample::ALL, NOW).unwrap();
        for ask in prop::collection::vec(ask(), 12).new_tree(&mut runner).unwrap().current() {
            house.answers(&ask);
        }
        house.work.catch_up();
        let total = house.candidate().tally.total;
        seen.newly_denied += total.newly_denied;
        seen.newly_allowed += total.newly_allowed;
        seen.other_policies += total.other_policies;
    }
    assert!(Change::ALL.iter().all(|change| seen.of(*change) >= 10), "{seen:?}");
}

// === nothing waits ===

#[test]
fn what_finds_the_queue_full_is_missed_and_counted() {
    let words = words();
    let house = House::of(&named(&words, "first", [("a", everyone("permit"))]));
    house.shadow.start(named(&words, "second", [("b", everyone("permit"))]), Sample::ALL, NOW).unwrap();
    let ask = an_ask();
    let most = SHADOW_QUEUE_MAX as u64;
    for _ in 0..most + 100 {
        house.answers(&ask);
    }
    let report = house.candidate();
    assert_eq!(
        (report.seen, report.missed, report.waiting(), report.tally.decided),
        (most + 100, 100, most, 0)
    );
    house.work.catch_up();
    house.answers(&ask);
    house.work.catch_up();
    let report = house.candidate();
    assert_eq!((report.missed, report.waiting(), report.tally.decided), (100, 0, most + 1));
    let totals = house.shadow.totals(Lane::Candidate);
    assert_eq!((totals.missed(), totals.decided()), (100, most + 1));
    assert_eq!(totals.changes(Change::OtherPolicies), most + 1);
    assert_eq!(house.shadow.totals(Lane::ReportOnly).decided(), 0);
}

/// As many threads as there may be ask, and nobody takes anything out of the queue.
#[test]
fn beside_a_full_queue_answers_are_what_they_were_and_each_missed_one_is_counted() {
    use proptest::strategy::ValueTree;
    let words = words();
    let reading = "permit (principal, action in Action::\"read\", resource);".to_owned();
    let bundle = named(&words, "first", [("a", reading), ("b", everyone("forbid"))]);
    let bundle_of_some = named(&words, "some", [("a", everyone("permit"))]);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let asks: Vec<Ask> = (0..16).map(|_| ask().new_tree(&mut runner).unwrap().current()).collect();
    for in_force in [bundle, bundle_of_some] {
        let alone: Vec<Side> = asks.iter().map(|ask| ask.with(|q| Side::from(&in_force.decide(q)))).collect();
        let house = House::of(&in_force);
        house.shadow.start(named(&words, "second", []), Sample::ALL, NOW).unwrap();
        let (threads, each) = (4, SHADOW_QUEUE_MAX / 2);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for at in 0..each {
                        let (ask, expect) = (&asks[at % asks.len()], &alone[at % asks.len()]);
                        let verdict = ask.with(|q| {
                            let verdict = in_force.decide(q);
                            house.shadow.offer(q, &verdict, &in_force, &"r".into());
                            verdict
                        });
                        assert_eq!(Side::from(&verdict), *expect);
                    }
                });
            }
        });
        let (report, asked) = (house.candidate(), (threads * each) as u64);
        assert_eq!((report.seen, report.waiting() + report.missed, report.tally.decided), (asked, asked, 0));
        assert!(report.missed >= asked - SHADOW_QUEUE_MAX as u64, "{report:?}");
        house.work.catch_up();
        let after = house.candidate();
        assert_eq!((after.tally.decided, after.missed), (asked - report.missed, report.missed));
    }
}

#[test]
fn a_sample_leaves_the_rest_alone() {
    let words = words();
    let house = House::of(&named(&words, "first", [("a", everyone("permit"))]));
    let sample = "10%".parse().unwrap();
    house.shadow.start(named(&words, "second", []), sample, NOW).unwrap();
    let ask = an_ask();
    for _ in 0..1000 {
        house.answers(&ask);
    }
    house.work.catch_up();
    let report = house.candidate();
    assert_eq!((report.seen, report.waiting(), report.passed_over + report.tally.decided), (1000, 0, 1000));
    assert!((90..=110).contains(&report.tally.decided), "{report:?}");
    assert_eq!(report.tally.total.newly_denied, report.tally.decided);
}

fn side() -> Side {
    Side { decision: Decision::Deny, code: None, determining: Default::default(), errors: Default::default() }
}

fn item(q: &Question<'_>) -> Item {
    Item {
        runs: [None, None],
        situation: Situation::from(q),
        in_force: side(),
        request_id: "r".into(),
        weight: 1,
    }
}

#[test]
fn a_candidate_that_panics_touches_only_its_own_tally() {
    let words = words();
    let candidate = named(&words, "second", []);
    let run = Run::new(candidate, Revision::of([]), Sample::ALL, NOW, Arc::default());
    an_ask().with(|q| {
        run.compare(&item(q), || panic!("on purpose"));
        run.compare(&item(q), side);
    });
    let tally = run.report().tally;
    assert_eq!((tally.failed, tally.decided, tally.total.all()), (1, 1, 0));
}

/// In front of a request nothing would contain the panic.
#[test]
fn a_candidate_that_panics_is_promoted_by_force_alone() {
    let words = words();
    let house = House::of(&named(&words, "first", [("a", everyone("permit"))]));
    let candidate = named(&words, "second", []);
    house.shadow.start(Arc::clone(&candidate), Sample::ALL, NOW).unwrap();
    house.answers(&an_ask());
    house.work.catch_up();
    let unfit = |force| house.shadow.promotable(force, NOW).map(|(bundle, _)| bundle.revision());
    assert_eq!(unfit(false), Ok(candidate.revision()));
    let run = house.shadow.candidate.load_full().unwrap();
    an_ask().with(|q| run.compare(&item(q), || panic!("on purpose")));
    assert_eq!((unfit(false), unfit(true)), (Err(Unfit::Panicked(1)), Ok(candidate.revision())));
}

#[test]
fn the_thread_ends_with_the_shadow() {
    let words = words();
    let house = House::of(&named(&words, "first", [("a", everyone("permit"))]));
    house.shadow.start(named(&words, "second", []), Sample::ALL, NOW).unwrap();
    house.answers(&an_ask());
    let House { shadow, work, .. } = house;
    let totals = Arc::clone(shadow.totals(Lane::Candidate));
    let thread = std::thread::spawn(move || work.go_on());
    drop(shadow);
    thread.join().unwrap();
    assert_eq!((totals.decided(), totals.changes(Change::NewlyDenied)), (1, 1));
}

// === what is compared with what ===

/// Requests are answered on several threads while what is in force changes back and forth. The first bundle
/// answers as the candidate does and the second never does, so that one comparison of the wrong pair would show.
#[test]
fn a_tally_compares_with_one_bundle_only() {
    let words = words();
    let first = named(&words, "first", [("a", everyone("permit"))]);
    let second = named(&words, "second", [("b", everyone("forbid"))]);
    let house = House::of(&first);
    house.shadow.start(named(&words, "candidate", [("a", everyone("permit"))]), Sample::ALL, NOW).unwrap();
    let House { in_force, shadow, work } = &house;
    let ask = an_ask();
    let (mut of_first, mut of_second) = (0_u32, 0_u32);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What waits long would only make the test long.
                    if shadow.queued.load(Ordering::Relaxed) > 64 {
                        std::thread::yield_now();
                        continue;
                    }
                    let bundle = in_force.load_full();
                    ask.with(|q| shadow.offer(q, &bundle.decide(q), &bundle, &"r".into()));
                }
            });
        }
        // Whatever fails in here must not leave the askers without an end.
        let turns = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for turn in 0_u32.. {
                in_force.store(Arc::clone(if turn % 2 == 0 { &second } else { &first }));
                for _ in 0..20 {
                    work.catch_up();
                    let report = shadow.report(Lane::Candidate, NOW).unwrap();
                    let (decided, total) = (report.tally.decided, report.tally.total);
                    if report.in_force == first.revision() {
                        assert_eq!(total, Counts::default());
                        of_first += u32::from(decided > 0);
                    } else {
                        assert_eq!(total, Counts { newly_allowed: decided, ..Counts::default() });
                        of_second += u32::from(decided > 0);
                    }
                }
                if of_first > 30 && of_second > 30 {
                    return;
                }
                assert!(turn < 1_000_000, "{of_first} {of_second}");
                std::thread::yield_now();
            }
        }));
        over.store(true, Ordering::Relaxed);
        turns.unwrap();
    });
    assert!(house.candidate().restarts > 1);
}

#[test]
fn counting_begins_anew_when_others_are_put_in_force() {
    let words = words();
    let first = named(&words, "first", [("a", everyone("permit"))]);
    let other = named(&words, "other", [("b", everyone("permit"))]);
    let house = House::of(&first);
    house.shadow.start(named(&words, "candidate", []), Sample::ALL, UnixMillis(1)).unwrap();
    let ask = an_ask();
    house.answers(&ask);
    house.work.catch_up();
    assert_eq!((house.candidate().tally.decided, house.candidate().restarts), (1, 0));
    house.in_force.store(Arc::clone(&other));
    // A status that is asked for before the next request says so, too.
    let report = house.shadow.report(Lane::Candidate, UnixMillis(7)).unwrap();
    assert_eq!((report.tally.decided, report.seen, report.restarts), (0, 0, 1));
    assert_eq!((report.started_at, report.since), (UnixMillis(1), UnixMillis(7)));
    assert_eq!((report.in_force_at_start, report.in_force), (first.revision(), other.revision()));
    // What another bundle answered is not compared.
    ask.with(|q| house.shadow.offer(q, &first.decide(q), &first, &"r".into()));
    house.answers(&ask);
    house.work.catch_up();
    let report = house.candidate();
    assert_eq!((report.seen, report.elsewhere, report.tally.decided), (1, 1, 1));
}

#[test]
fn only_what_is_known_and_made_from_what_is_in_force_is_promoted() {
    let words = words();
    let first = named(&words, "first", [("a", everyone("permit"))]);
    let candidate = named(&words, "candidate", []);
    let house = House::of(&first);
    let unfit = |force| house.shadow.promotable(force, NOW).map(|(bundle, _)| bundle.revision());
    assert_eq!(unfit(true), Err(Unfit::NothingRuns));
    let start = |bundle: &Arc<PolicyBundle>| house.shadow.start(Arc::clone(bundle), Sample::ALL, NOW);
    assert_eq!(start(&first), Err(Unfit::InForce(first.revision())));
    assert_eq!(start(&candidate), Ok(()));
    assert_eq!(start(&named(&words, "third", [])), Err(Unfit::Runs(candidate.revision())));
    assert_eq!((unfit(false), unfit(true)), (Err(Unfit::NothingDecided), Ok(candidate.revision())));
    let ask = an_ask();
    house.answers(&ask);
    house.work.catch_up();
    assert_eq!(unfit(false), Ok(candidate.revision()));
    let other = named(&words, "other", []);
    house.in_force.store(Arc::clone(&other));
    house.answers(&ask);
    house.work.catch_up();
    let others = Err(Unfit::OthersInForce { then: first.revision(), now: other.revision() });
    assert_eq!((unfit(false), unfit(true)), (others, Ok(candidate.revision())));
    house.in_force.store(Arc::clone(&candidate));
    assert_eq!(unfit(true), Err(Unfit::InForce(candidate.revision())));
    assert_eq!(house.shadow.stop(NOW).map(|report| report.candidate), Some(candidate.revision()));
    assert!(house.shadow.stop(NOW).is_none() && house.shadow.report(Lane::Candidate, NOW).is_none());
    // Also over a restart it is known what was in force when it was started.
    let third = named(&words, "third", []);
    house.shadow.resume(third, Sample::ALL, (UnixMillis(3), first.revision()), NOW).unwrap();
    house.answers(&ask);
    house.work.catch_up();
    assert_eq!((house.candidate().started_at, house.candidate().since), (UnixMillis(3), NOW));
    let others = Err(Unfit::OthersInForce { then: first.revision(), now: candidate.revision() });
    assert_eq!(unfit(false), others);
}

#[test]
fn what_only_reports_comes_and_goes_with_the_bundle_in_force() {
    let words = words();
    let with = named(
        &words,
        "with",
        [("a", everyone("permit")), ("b", format!("@mode(\"report\") {}", everyone("forbid")))],
    );
    let without = named(&words, "without", [("a", everyone("permit"))]);
    let house = House::of(&without);
    let report = || house.shadow.report(Lane::ReportOnly, NOW);
    let ask = an_ask();
    house.answers(&ask);
    assert!(report().is_none());
    house.in_force.store(Arc::clone(&with));
    house.answers(&ask);
    house.work.catch_up();
    assert_eq!(ask.with(|q| with.decide(q)).decision, Decision::Allow);
    let found = report().unwrap();
    assert_eq!((found.tally.total.newly_denied, found.policies), (1, 2));
    assert_eq!(found.reporting.iter().map(|id| &**id).collect::<Vec<_>>(), ["b"]);
    assert_eq!(found.tally.by_policy.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["b"]);
    house.in_force.store(without);
    house.answers(&ask);
    assert!(report().is_none());
    assert_eq!(house.shadow.totals(Lane::ReportOnly).changes(Change::NewlyDenied), 1);
}

// === bounds ===

#[test]
fn what_is_remembered_is_bounded() {
    let mut tally = Tally::default();
    let side = |decision, policy: String| Side {
        decision,
        code: None,
        determining: [Arc::from(policy)].into(),
        errors: Default::default(),
    };
    let most = SHADOW_NAMES_MAX + 10;
    an_ask().with(|q| {
        let mut asked = Situation::from(q);
        for n in 0..most {
            let app = AppId::new(&format!("app{n}")).unwrap();
            asked.route.id = RouteId::new(app, "all").unwrap();
            asked.now = UnixMillis(n as i64);
            let (allow, deny) = (side(Decision::Allow, "a".into()), side(Decision::Deny, format!("p{n}")));
            assert_eq!(tally.add(&format!("r{n}").into(), &asked, &allow, deny), Some(Change::NewlyDenied));
        }
    });
    for others in [tally.by_app.others(), tally.by_policy.others()] {
        assert_eq!(others, Counts { newly_denied: 10, ..Counts::default() });
    }
    assert_eq!(
        (tally.by_app.iter().count(), tally.by_policy.iter().count()),
        (SHADOW_NAMES_MAX, SHADOW_NAMES_MAX)
    );
    assert_eq!(tally.total.newly_denied, most as u64);
    let ids: Vec<&str> = tally.examples().map(|example| &*example.request_id).collect();
    assert_eq!((ids.len(), ids[0].to_owned()), (SHADOW_EXAMPLES_MAX, format!("r{}", most - 1)));
    assert_eq!(tally.first_and_last, Some((UnixMillis(0), UnixMillis(most as i64 - 1))));
}

/// Whatever names a verdict brings, an example keeps a few, and what waits takes its place by them.
#[test]
fn what_names_many_policies_weighs_more_and_is_cut() {
    let many: std::collections::BTreeSet<Arc<str>> =
        (0..3200).map(|n| Arc::from(format!("p{n:04}"))).collect();
    let side = Side { decision: Decision::Deny, code: None, determining: many, errors: Default::default() };
    assert_eq!((side.weight(), side.shown().determining.len()), (101, SHADOW_EXAMPLE_NAMES_MAX));
    assert_eq!(Side { determining: Default::default(), ..side }.weight(), 1);
}
