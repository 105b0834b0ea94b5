//! An edit of the red lines is told, and takes no line away unseen.

use doorward_policy::Workshop;
use doorward_workbench::prove::{Redrawn, Verdict, redrawn};
use doorward_workbench::solver::Solver;

use super::super::solver::solver;
use super::doubts::{folder, policies};
use super::quiet;

const EMPLOYEES: &str = "permit (principal is User, action, resource in App::\"wiki\")
    when { principal.employment == Employment::\"employee\" };";
const EVERYBODY: &str = "permit (principal is User, action, resource in App::\"wiki\");";
const LINE: &str = r#"@id("line") @title("t") @owner("o")
    forbid (principal is User, action, resource in App::"wiki")
    when { principal.employment == Employment::"contractor" };
"#;

fn became(solver: &mut Solver, before: &str, policy: &str, after: &str) -> Redrawn {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old: Workshop = folder(old.path(), &policies(&[EMPLOYEES]), before);
    let new: Workshop = folder(new.path(), &policies(&[policy]), after);
    redrawn(solver, &old, &new, &mut quiet).unwrap()
}

#[test]
fn a_line_that_goes_with_what_it_forbids_is_broken() {
    let mut solver = solver();
    let next = LINE.replace("\"line\"", "\"next\"");
    let lines = became(&mut solver, LINE, EVERYBODY, &next);
    assert_eq!(
        (lines.removed.as_slice(), lines.added.as_slice()),
        (&["line".to_owned()][..], &["next".to_owned()][..])
    );
    let Verdict::Broken(breach) = &lines.before.lines[0].verdict else { panic!("{lines:?}") };
    assert_eq!(breach.by, ["p0"]);
    // Where the policies hold it all the same, that is told, too.
    let lines = became(&mut solver, LINE, EMPLOYEES, "");
    assert!(lines.is_less() && matches!(lines.before.lines[0].verdict, Verdict::Proved), "{lines:?}");
}

#[test]
fn a_line_that_says_less_is_proved_as_it_was() {
    let mut solver = solver();
    let mut changed = |after: &str| {
        let lines = became(&mut solver, LINE, EVERYBODY, after);
        assert_eq!((lines.changed.as_slice(), lines.is_less()), (&["line".to_owned()][..], true), "{after}");
        assert!(matches!(lines.before.lines[0].verdict, Verdict::Broken(_)), "{lines:?}");
    };
    changed(&LINE.replace("};", "&& context.granted };"));
    changed(
        &LINE.replace(
            "forbid",
            "@no_more_than(\"principal.employment = Employment::\\\"employee\\\"\") forbid",
        ),
    );
    let softer = LINE.replace("@title", "@unknown(\"report\") @title");
    let lines = became(&mut solver, LINE, EMPLOYEES, &softer);
    assert_eq!((lines.softened.as_slice(), lines.changed.len()), (&["line".to_owned()][..], 0));
    assert!(matches!(lines.before.lines[0].verdict, Verdict::Proved), "{lines:?}");
    assert!(lines.before.lines[0].unknown_blocks, "as it was");
    // To be kept back by more is not less, and a name for people is none of what it says.
    for (before, after) in [(softer.as_str(), LINE), (LINE, &LINE.replace("\"t\"", "\"another title\""))] {
        let lines = became(&mut solver, before, EMPLOYEES, after);
        assert!(lines.is_nothing() && lines.before.lines.is_empty(), "{lines:?}");
    }
    let lines = became(&mut solver, "", EMPLOYEES, LINE);
    assert!(!lines.is_less() && !lines.is_nothing() && lines.added == ["line"], "{lines:?}");
}
