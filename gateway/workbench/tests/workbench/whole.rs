//! Lints on whole folders and sets: what is meant, what comes beside mistakes, what is somebody else's.

use std::path::Path;

use doorward_model::UnixMillis;
use doorward_policy::{Finding, Level, Rule};
use doorward_workbench::check;

use crate::lints::{WIKI, checked, full, hints, shipped};

#[test]
fn what_is_meant_is_counted_and_not_told() {
    let open = "permit (principal, action, resource)";
    let meant = full(&[&format!("@allow_lint(\"doorward/open-permit\")\n{open}")]);
    let found = checked(&meant);
    assert_eq!((hints(&meant, &found), found.allowed), (vec![], 1));
    let strange = full(&[&format!("@allow_lint(\"open-permit, no-id, nothing\")\n{open}")]);
    let found = checked(&strange);
    let told = hints(&strange, &found);
    assert_eq!(
        told.iter().map(|(rule, mark)| (*rule, mark.as_str())).collect::<Vec<_>>(),
        [(Rule::UnknownLint, "no-id"), (Rule::UnknownLint, "nothing"),]
    );
    let stale = full(&[&format!("@allow_lint(\"open-permit\")\n{WIKI}")]);
    assert_eq!(hints(&stale, &checked(&stale)), [(Rule::UnusedAllow, "allow_lint".to_owned())]);
    // A mistake cannot be meant.
    let mistaken = full(&["@allow_lint(\"invalid\")\npermit (principal is Nobody, action, resource)"]);
    assert!(!checked(&mistaken).mistakes.is_empty());
}

/// Hints are told beside mistakes: nobody wants to run it twice.
#[test]
fn a_folder_with_mistakes_is_linted_too() {
    let text = format!(
        "{}@id(\"bad\") permit (principal is Nobody, action, resource);",
        full(&["permit (principal, action, resource)"])
    );
    let found = checked(&text);
    assert!(found.mistakes.iter().any(|m| m.rule() == Rule::Invalid));
    assert!(found.hints.iter().any(|h| h.rule() == Rule::OpenPermit), "{:?}", found.hints);
}

/// The policies that come with Doorward are an example to others.
#[test]
fn the_shipped_policies_have_no_hints() {
    let found = check::folder(&shipped(), None, UnixMillis(0));
    assert!(found.mistakes.is_empty() && found.hints.is_empty(), "{:?} {:?}", found.mistakes, found.hints);
    let page = std::fs::read_to_string(shipped().join("../docs/reference/policy-lints.md")).unwrap();
    assert!(page.contains("allow_lint"), "and the page says how to except one");
}

/// A set that is nobody's is linted as it is, and Cedar's warnings are hints.
#[test]
fn somebody_elses_set() {
    let schema = "entity User; entity Photo; action view appliesTo { principal: [User], resource: [Photo] };";
    let set = |text: &str| check::foreign(Some(("s.cedarschema", schema)), ("p.cedar", text));
    let found = set("permit (principal, action, resource);");
    assert_eq!((found.mistakes.len(), found.policies), (0, 1));
    assert_eq!(found.hints.iter().map(Finding::rule).collect::<Vec<_>>(), [Rule::OpenPermit]);
    let found = set("permit (principal, action, resource == User::\"a\");");
    assert!(
        found.hints.iter().any(|h| h.rule() == Rule::Impossible && h.level() == Level::Hint),
        "{found:?}"
    );
    let found = set("permit (principal is Usr, action, resource);");
    assert!(found.mistakes.iter().any(|m| m.rule() == Rule::Invalid && m.extent().is_some()), "{found:?}");
    let found = check::foreign(None, ("p.cedar", "permit (principal, action, resource); permit("));
    assert_eq!(found.mistakes.iter().map(Finding::rule).collect::<Vec<_>>(), [Rule::Syntax]);
    let deep = format!(
        "permit (principal, action, resource) when {{ {}true{} }};",
        "(".repeat(9000),
        ")".repeat(9000)
    );
    let found = check::foreign(None, ("p.cedar", &deep));
    assert_eq!(found.mistakes.iter().map(Finding::rule).collect::<Vec<_>>(), [Rule::TooDeep]);
}

/// As deep and as long as a policy may be: linting is slow at worst.
#[test]
fn the_deepest_policy_is_linted() {
    let deep = format!("{}context.session.mfa{}", "(context.session.mfa && ".repeat(60), ")".repeat(60));
    let wide: Vec<String> = (0..20_000).map(|i| format!("\"z{i}\"")).collect();
    let text = full(&[
        &format!("forbid (principal, action, resource) when {{ {deep} }}"),
        &format!(
            "forbid (principal is User, action, resource) when {{ context.zones.containsAll([{}]) }}",
            wide.join(",")
        ),
    ]);
    let found = checked(&text);
    assert!(found.mistakes.is_empty(), "{:?}", found.mistakes);
    assert!(
        found.hints.iter().any(|h| h.rule() == Rule::LongCondition || h.rule() == Rule::DeepCondition)
            || !found.hints.is_empty()
    );
}

/// The page that names every rule is the table in the code.
#[test]
fn the_page_of_rules_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/policy-lints.md");
    let (begin, end) = ("<!-- rules: written from gateway/policy/src/rule.rs -->\n", "<!-- /rules -->");
    let mut table = String::from("| rule | | what it finds |\n|---|---|---|\n");
    for rule in Rule::ALL {
        let level = match rule.level() {
            Level::Mistake => "mistake",
            Level::Hint => "hint",
        };
        table.push_str(&format!("| `{rule}` | {level} | {} |\n", rule.about()));
    }
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(begin).unwrap();
    let (found, tail) = rest.split_once(end).unwrap();
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
    } else {
        assert_eq!(found, table, "run this test with DOORWARD_BLESS=1");
    }
}
