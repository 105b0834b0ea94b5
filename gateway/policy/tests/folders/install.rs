//! What is put in force beside the folder, and for some people only: the last change wins.

use std::collections::BTreeSet;

use doorward_model::principal::Visitor;
use doorward_model::{AppId, Principal, UnixMillis};
use doorward_policy::{Candidate, Loader, Outcome, Policies, Share, Staged, WHOLE};

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
