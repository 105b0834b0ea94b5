//! The cases that come with Doorward notice every mistake that can be noticed in the policies that come with it.

use std::num::NonZeroUsize;
use std::thread;

use doorward_policy::{PolicySource, Workshop};
use doorward_workbench::matrix::{self, Plan};
use doorward_workbench::mutants::made::{self, Nearby, Settled};
use doorward_workbench::mutants::{self, Fate, Hunt, Mutant};
use doorward_workbench::solver::World;
use doorward_workbench::trial::Table;

use crate::solver::solver;
use crate::trial::{open, run, shipped};

/// The mutants of a folder that no case notices.
fn survivors(shop: &Workshop) -> Vec<Mutant> {
    let (trials, _) = run(shop);
    let table = Table::new(shop.policies().iter().map(PolicySource::policy), &trials);
    let litter = mutants::of_workshop(shop, None);
    assert!(litter.mutants.len() > 280, "{} mutants", litter.mutants.len());
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let hunt = Hunt { sources: shop.policies(), trials: &trials, table: &table, threads };
    let fates = mutants::hunt(&hunt, &litter.mutants, &|_| ());
    let both = litter.mutants.into_iter().zip(fates);
    both.filter(|(_, fate)| *fate == Fate::Survived).map(|(mutant, _)| mutant).collect()
}

#[test]
fn every_mutant_that_no_case_notices_says_the_same_by_proof() {
    let shop = open();
    let (nearby, world, mut solver) = (Nearby::of(&shop), World::of(&shop).unwrap(), solver());
    let survivors = survivors(&shop);
    let mut wrong = String::new();
    for mutant in &survivors {
        let source = &shop.policies()[mutant.policy];
        let shown = format!("{}: {}\n{}", source.id(), mutant.what, mutant.difference(source));
        match made::settle(&shop, &nearby, &world, &mut solver, mutant) {
            Settled::Same => {}
            Settled::Told(case) => {
                let case = case.text(&shop, &made::name(source, mutant)).unwrap();
                wrong.push_str(&format!("no case notices this: {shown}this one would:\n{case}\n"));
            }
            Settled::Unknown(why) => wrong.push_str(&format!("nobody knows, because {why}: {shown}\n")),
        }
    }
    println!("{} proofs in {:?}", survivors.len(), solver.elapsed());
    assert_eq!(wrong, "");
    // Edits that say the same because of the schema, of other policies, and of what the gateway guarantees.
    assert!((5..20).contains(&survivors.len()), "{} say the same", survivors.len());
}

#[test]
fn the_matrix_is_what_the_policies_say() {
    let plan = Plan::read(&std::fs::read_to_string(shipped().join(matrix::PLAN)).unwrap()).unwrap();
    let page = plan.page(&open()).unwrap();
    let at = shipped().join(matrix::PAGE);
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&at, &page).unwrap();
    }
    let there = std::fs::read_to_string(&at).unwrap_or_default();
    let help = "look at each line, then run `doorward policy test --dir policies --matrix --write`";
    assert_eq!(matrix::differs(&there, &page).as_deref(), None, "MATRIX.md: {help}");
}

/// Without the cases about payroll some mistakes go unnoticed; the solver makes the cases that notice them.
#[test]
fn what_the_solver_makes_are_cases_that_hold_and_notice() {
    let dir = tempfile::tempdir().unwrap();
    copy(&shipped(), dir.path());
    std::fs::remove_file(dir.path().join("cases/payroll.toml")).unwrap();
    let shop = Workshop::open(dir.path(), None).unwrap();
    let (nearby, world, mut solver) = (Nearby::of(&shop), World::of(&shop).unwrap(), solver());
    let all = survivors(&shop);
    let of_payroll: Vec<&Mutant> =
        all.iter().filter(|m| shop.policies()[m.policy].id().starts_with("payroll.")).collect();
    let (mut texts, mut told) = (Vec::new(), Vec::new());
    // One of each kind of edit of each policy.
    for mutant in of_payroll.iter().step_by(3).take(8) {
        let source = &shop.policies()[mutant.policy];
        match made::settle(&shop, &nearby, &world, &mut solver, mutant) {
            Settled::Told(case) => {
                assert!(case.notices(&shop, mutant));
                texts.push(case.text(&shop, &made::name(source, mutant)).unwrap());
                told.push((mutant.policy, mutant.span.clone(), mutant.by.clone()));
            }
            Settled::Same => {}
            Settled::Unknown(why) => panic!("{} {}: {why}", source.id(), mutant.what),
        }
    }
    assert!(told.len() >= 5, "{} of {}", told.len(), of_payroll.len());
    let (file, left_out) = made::file(&texts);
    assert_eq!(left_out, 0, "{file}");
    std::fs::write(dir.path().join("cases/proposed.toml"), &file).unwrap();
    let shop = Workshop::open(dir.path(), None).unwrap_or_else(|e| panic!("{}\n{file}", e.plain()));
    for mutant in survivors(&shop) {
        assert!(
            !told.contains(&(mutant.policy, mutant.span.clone(), mutant.by.clone())),
            "{}\n{file}",
            mutant.what
        );
    }
}

/// What becomes of a mutant of a policy beside one that permits everything, where no case notices.
fn settled(policy: &str, what: impl Fn(&Mutant) -> bool) -> (Workshop, Mutant, Settled) {
    let base = std::fs::read_to_string(shipped().join("cases/base.toml")).unwrap();
    let open = "@id(\"open\") permit (principal, action, resource);\n";
    let dir = crate::lints::folder(&[("a.cedar", open), ("b.cedar", policy), ("cases/base.toml", &base)]);
    let shop = Workshop::open(dir.path(), None).unwrap_or_else(|e| panic!("{}", e.plain()));
    let mutants = mutants::of_workshop(&shop, None).mutants;
    let mutant = mutants.into_iter().find(|mutant| mutant.policy == 1 && what(mutant)).unwrap();
    let (nearby, world, mut solver) = (Nearby::of(&shop), World::of(&shop).unwrap(), solver());
    let settled = made::settle(&shop, &nearby, &world, &mut solver, &mutant);
    (shop, mutant, settled)
}

/// To the solver a policy that fails matches nothing, to the gateway it refuses the request.
#[test]
fn a_policy_that_may_fail_is_never_the_same_by_proof() {
    let policy = "@id(\"sum\") permit (principal is User, action == Action::\"GET\", resource in App::\"wiki\")\n\
                  when { context.geo.country == Country::\"TO\" &&\n\
                  (context.session.mfa || context.risk.score + 9223372036854775807 < 5) };\n";
    let sum_is_false = |mutant: &Mutant| mutant.by == "false" && mutant.what.contains("always false");
    let of_sum =
        |mutant: &Mutant| sum_is_false(mutant) && policy[mutant.span.clone()].starts_with("context.risk");
    let (shop, mutant, settled) = settled(policy, of_sum);
    let Settled::Unknown(why) = &settled else { panic!("{settled:?}") };
    assert!(why.starts_with("a policy that cannot be evaluated refuses the request"), "{why}");
    // And so it is: where it fails the gateway denies, where it is not there it allows.
    let asked = "who = \"bob\"\ndoes = \"GET wiki/all\"\nplace = { country = \"TO\" }\n\
                 session = { mfa = false }\nrisk = 20\n";
    let asked = shop.cases().situated(asked).unwrap();
    let others = shop.policies()[..1].iter().map(|source| source.policy().clone());
    let changed = shop.with(others.chain(mutant.mutated).collect());
    let decided = [shop.bundle(), &changed].map(|bundle| bundle.decide(&asked.question()).is_allow());
    assert_eq!(decided, [false, true]);
}

/// A forbid is seen wherever it applies, also where something else forbids all the same.
#[test]
fn a_permit_that_nobody_is_let_in_by_differs_from_a_forbid() {
    let policy = "@id(\"odd\") permit (principal, action, resource) when { context.risk.score == 77 };\n\
                  @id(\"shut\") forbid (principal, action, resource);\n";
    let (shop, mutant, settled) = settled(policy, |mutant| mutant.by == "forbid");
    let Settled::Told(made) = &settled else { panic!("{settled:?}") };
    assert!(made.notices(&shop, &mutant));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &at);
        } else {
            std::fs::copy(entry.path(), at).unwrap();
        }
    }
}
