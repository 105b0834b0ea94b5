//! How much is looked for, and that it is said where something was not.

use doorward_policy::Rule;
use doorward_workbench::check::{self, Checked};
use doorward_workbench::report::Report;

/// Nobody's policies, without a schema.
fn checked(policies: &str) -> Checked {
    let checked = check::foreign(None, ("p.cedar", policies));
    assert!(checked.mistakes.is_empty(), "{:?}", checked.mistakes.first().map(ToString::to_string));
    checked
}

fn count(checked: &Checked, rule: Rule) -> usize {
    checked.hints.iter().filter(|h| h.rule() == rule).count()
}

fn is_denied(checked: Checked) -> bool {
    !Report { checked, deny_hints: true, names_checked: None, top: None }.is_good()
}

/// Annotations with letters of two alphabets.
fn odd_letters(n: usize) -> String {
    (0..n).map(|i| format!("@a{i}(\"\u{430}dmin\")\n")).collect()
}

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);";
const NARROW: &str = "forbid (principal == U::\"a\", action, resource)";

/// A thousand hints that are meant hide nothing.
#[test]
fn what_is_meant_takes_no_room() {
    let many = odd_letters(1100);
    let found = checked(&format!("@allow_lint(\"confusable\")\n{many}@id(\"many\") {NARROW};\n{OPEN}"));
    assert_eq!((found.allowed, count(&found, Rule::OpenPermit), found.hints.len()), (1100, 1, 1));
    assert!(is_denied(found));
}

/// Too many that are not: what was left out is said, cannot be meant, and no exception is called idle.
#[test]
fn too_many_hints_are_told_as_such() {
    let many = odd_letters(1001);
    let excepted = OPEN.replace("@id", "@allow_lint(\"open-permit, not-all-looked\") @id");
    let found = checked(&format!("{many}@id(\"many\") {NARROW};\n{excepted}"));
    assert_eq!(count(&found, Rule::NotAllLooked), 1, "{:?}", found.hints.last());
    assert_eq!(count(&found, Rule::UnusedAllow), 0);
    assert_eq!(count(&found, Rule::Confusable), 1000);
    let told = found.hints.iter().find(|h| h.rule() == Rule::NotAllLooked).unwrap();
    assert!(told.message().contains("more than 1000 hints"), "{told}");
    let strangers: Vec<_> = found.hints.iter().filter(|h| h.rule() == Rule::UnknownLint).collect();
    assert_eq!(strangers.len(), 1, "{strangers:?}");
    // As many as there is room for, and nothing else to look for.
    let open = OPEN.strip_prefix("@id(\"open\") ").unwrap();
    let just = checked(&format!("@id(\"open\") @allow_lint(\"open-permit\")\n{}{open}", odd_letters(1000)));
    assert_eq!((just.hints.len(), count(&just, Rule::NotAllLooked)), (1000, 0));
}

/// Each is told of the first, however many they are: nobody holds each against all others.
#[test]
fn a_thousand_that_say_the_same() {
    let comment = format!("// {}\n", "x".repeat(1000)).repeat(5);
    let same: String = (0..900).map(|i| format!("{comment}@id(\"p{i}\") {NARROW};\n")).collect();
    let found = checked(&same);
    assert_eq!((found.hints.len(), count(&found, Rule::SamePolicy)), (899, 899));
    assert!(
        found.hints[898].message().starts_with("`p899` says the same as `p0` (p.cedar:6)"),
        "{}",
        found.hints[898]
    );
    // More than there is room for: said so.
    let same: String = (0..1400).map(|i| format!("@id(\"p{i}\") {NARROW};\n")).collect();
    let found = checked(&same);
    assert_eq!((count(&found, Rule::SamePolicy), count(&found, Rule::NotAllLooked)), (1000, 1));
}

/// Forbids and permits of many conditions, of which each is almost within the other.
#[test]
fn long_conditions_are_compared_and_many_are_not() {
    let asked = |n: usize| (0..n).map(|i| format!("context.a{i}")).collect::<Vec<_>>().join(" && ");
    let pair = |forbids: usize, permits: usize, more: &str| -> String {
        let forbid = |i| {
            format!(
                "forbid (principal, action == Action::\"a\", resource) when {{ {} && context.f{i} }};\n",
                asked(20)
            )
        };
        let permit = |i| {
            format!(
                "permit (principal is U, action == Action::\"a\", resource) when {{ {} && context.p{i}{more} }};\n",
                asked(20)
            )
        };
        (0..forbids).map(forbid).chain((0..permits).map(permit)).collect()
    };
    let found = checked(&pair(20, 20, " && context.f19"));
    assert_eq!((count(&found, Rule::Overruled), count(&found, Rule::NotAllLooked)), (20, 0));
    let found = checked(&pair(20, 20, ""));
    assert_eq!((count(&found, Rule::Overruled), count(&found, Rule::NotAllLooked)), (0, 0));
    let found = checked(&pair(500, 500, ""));
    assert_eq!((count(&found, Rule::Overruled), count(&found, Rule::NotAllLooked)), (0, 1));
    assert!(is_denied(found));
}

/// A path within the folder in which one is: GitHub and SARIF need one.
#[test]
fn a_finding_without_a_file_has_a_path() {
    let mut checked = checked(&format!("{}{OPEN}", odd_letters(1001)));
    checked.subject = ".".into();
    let report = Report { checked, deny_hints: false, names_checked: Some(false), top: None };
    let github = doorward_workbench::report::github(&report);
    assert!(
        github.contains("::notice file=.,title=doorward/not-all-looked::"),
        "{}",
        github.lines().last().unwrap()
    );
    let sarif = doorward_workbench::report::sarif(&report, "1.2.3");
    let last = sarif["runs"][0]["results"].as_array().unwrap().last().unwrap();
    assert_eq!(last["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], ".");
}
