//! Cases, coverage and mutants on the policies that come with Doorward, and on small ones.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cedar_policy::{Policy, PolicySet};
use doorward_policy::{PolicySource, Workshop};
use doorward_workbench::mutants::{self, Fate, Hunt};
use doorward_workbench::trial::coverage::Coverage;
use doorward_workbench::trial::{self, Answer, Outcome, Table, Trial};

pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

pub(crate) fn open() -> Workshop {
    Workshop::untried(&shipped(), None).unwrap()
}

pub(crate) fn run(shop: &Workshop) -> (Vec<Trial>, Vec<Outcome>) {
    trial::of_workshop(shop).into_iter().unzip()
}

fn table(shop: &Workshop, trials: &[Trial]) -> Table {
    Table::new(shop.policies().iter().map(PolicySource::policy), trials)
}

/// Three ways of asking say the same: as a request is decided, the whole set by plain Cedar, each policy by itself.
#[test]
fn asking_each_policy_by_itself_is_asking_all_of_them() {
    let shop = open();
    let (trials, outcomes) = run(&shop);
    let table = table(&shop, &trials);
    let all = PolicySet::from_policies(shop.policies().iter().map(|s| s.policy().clone())).unwrap();
    assert!(trials.len() > 80);
    for (number, (trial, outcome)) in trials.iter().zip(&outcomes).enumerate() {
        let decided = outcome.answer.as_ref().unwrap();
        assert!(outcome.holds(), "{}: {:?}", trial.name, outcome.miss);
        assert_eq!(&table.answer(number), decided, "{}", trial.name);
        assert_eq!(&trial::ask(&all, trial).unwrap(), decided, "{}", trial.name);
    }
}

/// A policy that only reports is none to coverage and mutants; a case that asks for it is asked as if it decided.
#[test]
fn what_only_reports_is_asked_where_a_case_says_so() {
    let dir = crate::lints::folder(&[
        (
            "apps/x.cedar",
            "@id(\"open\") permit (principal, action, resource);\n\
             @id(\"shut\") @mode(\"report\") forbid (principal, action, resource);\n",
        ),
        (
            "cases/base.toml",
            "[route.\"wiki/all\"]\n[base]\nplace = { ip = \"192.0.2.1\" }\n\
             time = { now = 2026-03-04T10:00:00Z, local = \"11:00\", weekday = \"wed\" }\n\
             [[case]]\nname = \"now\"\nwho = \"visitor\"\ndoes = \"GET wiki/all\"\nexpect = \"allow\"\n\
             [[case]]\nname = \"then\"\nwho = \"visitor\"\ndoes = \"GET wiki/all\"\nexpect = \"deny\"\n\
             by = [\"shut\"]\nreport = true\n",
        ),
    ]);
    let shop = Workshop::open(dir.path(), None).unwrap_or_else(|failure| panic!("{}", failure.plain()));
    let names = |sources: &[PolicySource]| sources.iter().map(|s| s.id().to_owned()).collect::<Vec<_>>();
    assert_eq!((names(shop.policies()), names(shop.reporting())), (vec!["open".into()], vec!["shut".into()]));
    let (trials, outcomes) = run(&shop);
    assert_eq!(outcomes.iter().map(Outcome::holds).collect::<Vec<_>>(), [true, true], "{outcomes:?}");
    assert_eq!(trials.iter().map(|trial| trial.asked.is_ok()).collect::<Vec<_>>(), [true, false]);
}

/// The same with each mutant in place: what the hunt believes is what the gateway would decide.
#[test]
fn a_mutant_in_force_decides_as_the_hunt_believes() {
    let shop = open();
    let (trials, _) = run(&shop);
    let table = table(&shop, &trials);
    let litter = mutants::litter(shop.policies(), None, |policy| !shop.faults(policy).is_empty());
    let hunt = Hunt { sources: shop.policies(), trials: &trials, table: &table, threads: NonZeroUsize::MIN };
    let fates = mutants::hunt(&hunt, &litter.mutants, &|_| ());
    // Every so many, so that each policy and each kind of edit has its turn.
    for (mutant, fate) in litter.mutants.iter().zip(&fates).step_by(7) {
        let id = shop.policies()[mutant.policy].policy().id();
        let rest = shop.policies().iter().map(PolicySource::policy).filter(|p| p.id() != id).cloned();
        let bundle = shop.with(rest.chain(mutant.mutated.clone()).collect::<Vec<Policy>>());
        let mut killed = None;
        for (number, (case, trial)) in shop.cases().iter().zip(&trials).enumerate() {
            let verdict = bundle.decide(&case.situation.unwrap().question());
            if trial.expect.miss(&Answer::from(&verdict)).is_some() {
                killed = Some(number);
                break;
            }
        }
        assert_eq!(killed.map_or(Fate::Survived, Fate::Killed), *fate, "{} in {id}", mutant.what);
    }
}

#[test]
fn threads_change_nothing() {
    let shop = open();
    let (trials, _) = run(&shop);
    let table = table(&shop, &trials);
    let litter = mutants::litter(shop.policies(), None, |_| false);
    let hunted = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let told = std::sync::atomic::AtomicUsize::new(0);
        let hunt = Hunt { sources: shop.policies(), trials: &trials, table: &table, threads };
        let fates = mutants::hunt(&hunt, &litter.mutants, &|done| {
            told.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(told.into_inner(), litter.mutants.len());
        fates
    };
    assert_eq!(hunted(1), hunted(3));
}

#[test]
fn coverage_is_of_conditions_that_were_reached() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["schema.cedarschema", "cases/base.toml"] {
        let to = dir.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(shipped().join(path), to).unwrap();
    }
    let policy = "@id(\"x\") permit(principal is User, action == Action::\"GET\", resource in App::\"wiki\")\n\
                  when { context.session.mfa && context.granted };\n";
    let case = |name: &str, more: &str| {
        format!("[[case]]\nname = \"{name}\"\nwho = \"bob\"\nexpect = \"deny\"\nby = []\n{more}\n")
    };
    let cases = case("no second factor", "does = \"GET wiki/all\"\nsession = { mfa = false }")
        + &case("no grant", "does = \"GET wiki/all\"")
        + &case("not in scope", "does = \"POST wiki/all\"")
        + &case("wrong", "does = \"GET wiki/all\"\ngranted = true");
    std::fs::write(dir.path().join("x.cedar"), policy).unwrap();
    std::fs::write(dir.path().join("cases/x.toml"), cases).unwrap();
    let shop = Workshop::untried(dir.path(), None).unwrap();
    let (trials, outcomes) = run(&shop);
    let misses: Vec<_> = outcomes.iter().map(|o| o.miss.as_ref().map(|m| m.message.as_str())).collect();
    assert_eq!(misses, [None, None, None, Some("expected deny, got allow by x")]);
    let count = |trials: &[Trial]| {
        let table = table(&shop, trials);
        let coverage = Coverage::of(shop.policies(), trials, &table);
        let p = &coverage.policies[0];
        let conditions: Vec<_> =
            p.conditions.iter().map(|c| (c.text.clone(), c.held, c.not, c.not_reached)).collect();
        ((p.applied, p.in_scope, p.out_of_scope), conditions, coverage.seen(), coverage.percent())
    };
    let told = |mfa, granted| {
        let (a, b, c) = mfa;
        let (d, e, f) = granted;
        vec![("context.session.mfa".to_owned(), a, b, c), ("context.granted".to_owned(), d, e, f)]
    };
    assert_eq!(count(&trials), ((1, 2, 1), told((2, 1, 0), (1, 1, 1)), (6, 6), 100));
    assert_eq!(count(&trials[..1]), ((0, 1, 0), told((0, 1, 0), (0, 0, 1)), (2, 6), 33));
    assert_eq!(count(&trials[2..3]), ((0, 0, 1), told((0, 0, 0), (0, 0, 0)), (0, 6), 0));
}

#[test]
fn a_failure_names_the_clause_that_settled_it() {
    let shop = open();
    let (mut trials, _) = run(&shop);
    let trial = trials.iter_mut().find(|t| t.name == "no second factor").unwrap();
    trial.expect.by = trial::By::Exactly(["guard.risk".to_owned()].into());
    let all = PolicySet::from_policies(shop.policies().iter().map(|s| s.policy().clone())).unwrap();
    let answer = trial::ask(&all, trial).unwrap();
    let why = trial::clause::why(shop.policies(), trial, &answer);
    assert_eq!(why.len(), 2, "{why:#?}");
    assert!(
        why.iter().any(|w| w.starts_with("guardrails/risk.cedar:")
            && w.ends_with(
                ": `guard.risk` does not apply: `context.risk.level == RiskLevel::\"high\"` does not hold"
            )),
        "{why:#?}"
    );
    assert!(
        why.iter().any(|w| w.starts_with("guardrails/sign-in.cedar:") && w.ends_with(
            ": `guard.mfa` applies: `resource.tier != Tier::\"public\"` holds, `context.session.mfa` does not hold"
        )),
        "{why:#?}"
    );
}
