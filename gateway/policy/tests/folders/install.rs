//! What is put in force beside the folder, and for some people only: the last change wins.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use doorward_model::principal::Visitor;
use doorward_model::{AppId, Principal, UnixMillis};
use doorward_policy::{
    Candidate, Finding, Known, LoadFailure, Loader, Outcome, Policies, Revision, Rule, Share, Staged, WHOLE,
};

use crate::support::Folder;

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);";
const SHUT: &str = "@id(\"shut\") forbid (principal, action, resource);";
const AJAR: &str = "@id(\"ajar\") permit (principal, action, resource) when { principal is User };";
const NOW: UnixMillis = UnixMillis(5);

fn candidate(folder: &Folder) -> Candidate {
    Loader::default().load(folder.path(), NOW).unwrap()
}

fn has(policies: &Policies, folder: &Folder) -> bool {
    policies.bundle().revision() == candidate(folder).bundle.revision()
}

#[test]
fn what_is_installed_stays_until_the_content_of_the_folder_changes() {
    let (folder, other) = (Folder::with(OPEN), Folder::with(SHUT));
    let policies = folder.open().unwrap();
    assert!(policies.is_of_folder());
    let outcome = policies.install(candidate(&other), policies.in_folder());
    let Outcome::Swapped { difference, lost_permits, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((difference.added, difference.removed), (vec!["shut".to_owned()], vec!["open".to_owned()]));
    assert_eq!(lost_permits, ["open".into()]);
    assert!(has(&policies, &other) && !policies.is_of_folder());

    // The same files again, with other times, are no change; nor is what was installed already.
    folder.write("apps/test.cedar", OPEN);
    assert!(matches!(policies.reload(NOW), Outcome::Unchanged));
    assert!(matches!(policies.install(candidate(&other), policies.in_folder()), Outcome::Unchanged));
    assert!(has(&policies, &other));

    // A folder that is not fit changes nothing, and is told each time.
    folder.write("apps/test.cedar", "permit (");
    for _ in 0..2 {
        assert!(matches!(policies.reload(NOW), Outcome::Rejected(_)));
        assert!(has(&policies, &other));
    }
    folder.write("apps/test.cedar", AJAR);
    assert!(matches!(policies.reload(NOW), Outcome::Swapped { .. }));
    assert!(has(&policies, &folder) && policies.is_of_folder());

    // The folder may come to hold what was installed: then it is the folder's.
    policies.install(candidate(&other), policies.in_folder());
    folder.write("apps/test.cedar", SHUT);
    assert!(matches!(policies.reload(NOW), Outcome::Unchanged));
    assert!(policies.is_of_folder());
}

#[test]
fn a_start_with_what_was_installed_knows_what_the_folder_held() {
    let (folder, other) = (Folder::with(OPEN), Folder::with(SHUT));
    let held = folder.open().unwrap().in_folder();
    let again = |held| Policies::with(folder.path(), Loader::default(), candidate(&other), held);
    let policies = again(held);
    assert!(matches!(policies.reload(NOW), Outcome::Unchanged));
    assert!(has(&policies, &other));
    // Of a folder of which nothing was known, nothing was decided: it counts.
    let policies = again(None);
    assert!(matches!(policies.reload(NOW), Outcome::Swapped { .. }));
    assert!(has(&policies, &folder));
}

#[test]
fn a_share_is_asked_of_what_is_staged_and_everybody_else_of_what_is_in_force() {
    let (folder, other) = (Folder::with(OPEN), Folder::with(SHUT));
    let policies = folder.open().unwrap();
    let app = |name: &str| AppId::new(name).unwrap();
    let visitor = Principal::Visitor(Visitor);
    let asked = |name: &str| policies.bundle_for(&visitor, &app(name)).revision();
    let (in_force, staged) = (policies.bundle().revision(), candidate(&other).bundle.revision());
    assert_eq!((asked("wiki"), asked("payroll")), (in_force, in_force));
    let share = Share::new([1; 16], WHOLE, Some(BTreeSet::from([app("wiki")])));
    policies.stage(Some(Staged::new(candidate(&other).bundle, share)));
    assert_eq!((asked("wiki"), asked("payroll")), (staged, in_force));
    // To want to know who is asked of what is no decision.
    let known = |name: &str| policies.bundle_of(&visitor, &app(name)).revision();
    assert_eq!((known("wiki"), known("payroll")), (staged, in_force));
    assert_eq!(policies.staged().unwrap().asked(), (1, 1));
    assert_eq!(policies.bundle().revision(), in_force, "what is displayed is what is in force");

    // Others come into force beneath it: they are for everybody.
    folder.write("apps/test.cedar", AJAR);
    assert!(matches!(policies.reload(NOW), Outcome::Swapped { .. }));
    assert_eq!(
        (asked("wiki"), asked("payroll")),
        (policies.bundle().revision(), policies.bundle().revision())
    );
    assert!(policies.staged().is_none());

    policies.stage(Some(Staged::new(candidate(&other).bundle, Share::new([1; 16], WHOLE, None))));
    assert_eq!(asked("wiki"), staged);
    policies.stage(None);
    assert_eq!(asked("wiki"), policies.bundle().revision());
    assert!(policies.staged().is_none());
}

/// A folder that takes long to try holds nobody up who goes back, stops a roll-out, or asks how things stand; and what
/// was put in force meanwhile by somebody who knew the folder stays.
#[test]
fn a_slow_trial_of_the_folder_holds_up_nobody_else() {
    let (folder, other) = (Folder::with(OPEN), Folder::with(SHUT));
    let (began, begun) = channel();
    let (end, ended) = channel::<()>();
    let ended = Mutex::new(ended);
    let vet = move |dir: &Path, known: Option<&Known>| {
        began.send(()).unwrap();
        ended.lock().unwrap().recv().unwrap();
        doorward_policy::rehearse(dir, known)
    };
    let policies = Arc::new(Policies::load(folder.path(), Loader::vetted(None, Box::new(vet)), NOW).unwrap());
    let apart = |work: fn(&Policies, Candidate) -> Outcome| {
        let (policies, other) = (Arc::clone(&policies), candidate(&other));
        let (tell, told) = channel();
        thread::spawn(move || drop(tell.send(work(&policies, other))));
        told
    };
    let patience = Duration::from_secs(60);

    folder.write("apps/test.cedar", AJAR);
    let reload = apart(|policies, _| policies.reload(NOW));
    begun.recv_timeout(patience).unwrap();
    let meanwhile = apart(|policies, other| {
        assert!(policies.is_of_folder());
        policies.stage(None);
        policies.install(other, policies.in_folder())
    });
    let outcome = meanwhile.recv_timeout(patience).expect("nobody waits for the trial");
    assert!(matches!(outcome, Outcome::Swapped { .. }), "{outcome:?}");
    end.send(()).unwrap();
    let outcome = reload.recv_timeout(patience).unwrap();
    assert!(matches!(outcome, Outcome::Unchanged), "{outcome:?}");
    assert!(has(&policies, &other) && !policies.is_of_folder());

    // Somebody who knew of an older folder does not win against the one that is being loaded.
    let known = policies.in_folder();
    folder.write("apps/test.cedar", OPEN);
    let reload = apart(|policies, _| policies.reload(NOW));
    begun.recv_timeout(patience).unwrap();
    assert!(matches!(policies.install(candidate(&other), known), Outcome::Unchanged));
    end.send(()).unwrap();
    let outcome = reload.recv_timeout(patience).unwrap();
    assert!(matches!(outcome, Outcome::Swapped { .. }), "{outcome:?}");
    assert!(has(&policies, &folder) && policies.is_of_folder());
}

/// Only the bytes that were tried are loaded; and when a trial comes to no end, nothing is.
#[test]
fn what_was_not_tried_is_not_loaded() {
    let folder = Folder::with(OPEN);
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let other = move |_: &Path, _: Option<&Known>| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Revision::of([]))
    };
    let rule = |failure: &LoadFailure| failure.findings[0].rule();
    let failure = Loader::vetted(None, Box::new(other)).load(folder.path(), NOW).unwrap_err();
    assert_eq!(rule(&failure), Rule::Changing, "{}", failure.plain());
    assert!(tried.load(Ordering::Relaxed) > 1, "a folder that changes is tried again");

    let dies = |dir: &Path, _: Option<&Known>| {
        let died = Finding::told(Rule::NotVetted, "it died".to_owned(), None, None, None);
        Err(LoadFailure::told(dir, vec![died]))
    };
    let policies = Policies::load(folder.path(), Loader::vetted(None, Box::new(dies)), NOW).unwrap();
    let before = policies.bundle().revision();
    folder.write("apps/test.cedar", SHUT);
    let outcome = policies.reload(NOW);
    let Outcome::Rejected(failure) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((rule(failure), policies.bundle().revision()), (Rule::NotVetted, before));
}

/// Between the question what is in force and the swap others may have come into force: those are not taken back.
#[test]
fn what_is_installed_over_others_than_were_expected_is_not() {
    let (folder, other) = (Folder::with(OPEN), Folder::with(SHUT));
    let policies = folder.open().unwrap();
    let (expected, held) = (policies.bundle().revision(), policies.in_folder());
    folder.write("apps/test.cedar", AJAR);
    assert!(matches!(policies.reload(NOW), Outcome::Swapped { .. }));
    let now = policies.bundle().revision();
    assert_eq!(policies.install_over(candidate(&other), held, expected).unwrap_err(), now);
    assert!(has(&policies, &folder) && policies.is_of_folder());
    let done = policies.install_over(candidate(&other), policies.in_folder(), now);
    assert!(matches!(done, Ok(Outcome::Swapped { from, .. }) if from == now));
    assert!(has(&policies, &other));
}
