//! Every lint: a policy that it is about, and one that is fine.

use std::path::PathBuf;
use std::sync::LazyLock;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use doorward_model::{RouteFacts, UnixMillis};
use doorward_policy::{Finding, ForeignSet, Known, Level, Rule};
use doorward_workbench::check::{self, Checked};
use doorward_workbench::lint::{Found, Names, lint};

/// The policies that come with Doorward.
pub(crate) fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// A folder with the schema that comes with Doorward and these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(shipped().join("schema.cedarschema"), dir.path().join("schema.cedarschema")).unwrap();
    for (path, text) in files {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
    }
    dir
}

pub(crate) fn checked(policies: &str) -> Checked {
    let dir = folder(&[("apps/x.cedar", policies)]);
    check::folder(dir.path(), None, UnixMillis(0))
}

/// The schema that comes with Doorward, read once: in debug builds that takes longer than all lints.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = std::fs::read_to_string(shipped().join("schema.cedarschema")).unwrap();
    Schema::from_cedarschema_str(&text).unwrap().0
});

/// The hints about policies that are strictly valid, without all else that a folder is checked for.
fn linted(text: &str) -> Vec<(Rule, String)> {
    let set = ForeignSet::read(None, ("apps/x.cedar", text)).unwrap();
    let all = PolicySet::from_policies(set.policies().iter().map(|p| p.policy().clone())).unwrap();
    let valid = Validator::new(SCHEMA.clone()).validate(&all, ValidationMode::Strict);
    assert!(valid.validation_passed_without_warnings(), "{valid}\nin\n{text}");
    let mut found = Found::new(set.policies());
    lint(set.policies(), Some(&SCHEMA), &Names::default(), &mut found);
    found.settled().0.iter().map(|h| (h.rule(), marked(text, h))).collect()
}

/// Writes `N:permit …` as a policy with all that a policy should say about itself.
pub(crate) fn full(policies: &[&str]) -> String {
    let one = |(n, policy): (usize, &&str)| {
        format!("@id(\"p{n}\") @title(\"t\") @owner(\"o\") @reason(\"r\")\n{policy};\n")
    };
    policies.iter().enumerate().map(one).collect()
}

/// The hints, but for those about cases, by rule and by what is marked.
pub(crate) fn hints(text: &str, checked: &Checked) -> Vec<(Rule, String)> {
    assert!(checked.mistakes.is_empty(), "{:?}\nin\n{text}", checked.mistakes);
    let hints = checked.hints.iter().filter(|h| h.rule() != Rule::NoCases);
    hints.map(|h| (h.rule(), marked(text, h))).collect()
}

/// What stands under the mark.
fn marked(text: &str, finding: &Finding) -> String {
    let Some(at) = finding.extent() else { return String::new() };
    let lines: Vec<&str> = text.split('\n').collect();
    let byte = |line: usize, column: usize| {
        let before: usize = lines[..line - 1].iter().map(|l| l.len() + 1).sum();
        before + lines[line - 1].chars().take(column - 1).map(char::len_utf8).sum::<usize>()
    };
    text[byte(at.line, at.column)..byte(at.end_line, at.end_column)].to_owned()
}

/// These policies have one finding by this rule, with this under the mark.
#[track_caller]
fn shows(rule: Rule, policies: &[&str], mark: &str) {
    let text = full(policies);
    assert_eq!(linted(&text), [(rule, mark.to_owned())], "{text}");
    assert_eq!(rule.level(), Level::Hint);
}

/// These policies have none at all.
#[track_caller]
fn silent(policies: &[&str]) {
    let text = full(policies);
    assert_eq!(linted(&text), [], "{text}");
}

pub(crate) const WIKI: &str =
    "permit (principal is User, action in Action::\"read\", resource in App::\"wiki\")";

#[test]
fn a_good_policy_is_good() {
    silent(&[WIKI]);
    let whole = checked(&full(&[WIKI]));
    assert_eq!((whole.policies, whole.allowed, whole.revision.is_some()), (1, 0, true));
}

#[test]
fn open_permit() {
    shows(Rule::OpenPermit, &["permit (principal, action, resource)"], "principal, action, resource");
    shows(
        Rule::OpenPermit,
        &["permit (principal, action, resource) when { context.session.mfa }"],
        "principal, action, resource",
    );
    silent(&["forbid (principal, action, resource) unless { context.session.mfa }"]);
    silent(&["permit (principal is User, action, resource) when { context.session.mfa }"]);
}

#[test]
fn no_principal_type() {
    shows(Rule::NoPrincipalType, &["permit (principal, action, resource in App::\"wiki\")"], "principal");
    // Only a user is in a role: the schema says of whom it is.
    silent(&["permit (principal in Role::\"hr\", action, resource in App::\"wiki\")"]);
    silent(&["permit (principal, action, resource in App::\"wiki\") when { principal is User }"]);
    silent(&["forbid (principal, action, resource in App::\"wiki\")"]);
}

#[test]
fn never_applies() {
    let never = "when { context.risk.score > 70 && context.risk.score < 30 }";
    let mark = "context.risk.score > 70 && context.risk.score < 30";
    shows(Rule::NeverApplies, &[&format!("forbid (principal, action, resource) {never}")], mark);
    let never = "when { context.session.mfa } unless { context.session.mfa }";
    let found = checked(&full(&[&format!("{WIKI} {never}")])).hints;
    assert_eq!(found.iter().filter(|h| h.rule() == Rule::NeverApplies).count(), 1);
    let text = "when { context.session.age > duration(\"12h\") && context.session.age < duration(\"60m\") }";
    let found = checked(&full(&[&format!("{WIKI} {text}")])).hints;
    assert_eq!(found.iter().filter(|h| h.rule() == Rule::NeverApplies).count(), 1);
    silent(&[
        "forbid (principal, action, resource) when { context.risk.score > 30 && context.risk.score < 70 }",
    ]);
}

#[test]
fn always_holds() {
    let always = "when { context.session.mfa || !context.session.mfa }";
    shows(Rule::AlwaysHolds, &[&format!("{WIKI} {always}")], "context.session.mfa || !context.session.mfa");
    shows(Rule::AlwaysHolds, &[&format!("{WIKI} when {{ 1 < 2 }}")], "1 < 2");
    silent(&[&format!("{WIKI} when {{ context.session.mfa || context.session.known }}")]);
}

#[test]
fn overruled() {
    let forbid = "forbid (principal, action in Action::\"access\", resource in App::\"wiki\")";
    shows(
        Rule::Overruled,
        &[WIKI, forbid],
        "principal is User, action in Action::\"read\", resource in App::\"wiki\"",
    );
    // With the same condition it overrules as well; with another one it may not.
    let mfa = "when { context.session.mfa }";
    let also = "when { context.session.known && context.session.mfa }";
    shows(
        Rule::Overruled,
        &[&format!("{WIKI} {also}"), &format!("{forbid} {mfa}")],
        "principal is User, action in Action::\"read\", resource in App::\"wiki\"",
    );
    silent(&[&format!("{WIKI} {mfa}"), &format!("{forbid} {also}")]);
    silent(&[WIKI, "forbid (principal is Agent, action, resource)"]);
    silent(&[WIKI, "forbid (principal, action in Action::\"write\", resource)"]);
    silent(&[WIKI, "forbid (principal, action, resource in App::\"payroll\")"]);
    // What only reports overrules nobody.
    silent(&[WIKI, &format!("@mode(\"report\")\n{forbid}")]);
}

#[test]
fn same_policy() {
    let one = "permit (principal is User, action in Action::\"read\", resource in App::\"wiki\") when { context.session.mfa && context.session.known }";
    let other = "permit (principal is User, action in [Action::\"GET\", Action::\"HEAD\", Action::\"OPTIONS\"], resource in App::\"wiki\") when { context.session.known } unless { !context.session.mfa }";
    let mark = "principal is User, action in [Action::\"GET\", Action::\"HEAD\", Action::\"OPTIONS\"], resource in App::\"wiki\"";
    shows(Rule::SamePolicy, &[one, other], mark);
    let forbid = "forbid (principal, action, resource) when { context.risk.score >= 70 }";
    shows(Rule::SamePolicy, &[forbid, forbid], "principal, action, resource");
    silent(&[forbid, &format!("@mode(\"report\")\n{forbid}")]);
    silent(&[
        one,
        "permit (principal is Agent, action in Action::\"read\", resource in App::\"wiki\") when { context.session.mfa && context.session.known }",
    ]);
}

#[test]
fn wider_permit() {
    let wide = "permit (principal is User, action in Action::\"access\", resource in App::\"wiki\")";
    let mark = "principal is User, action in Action::\"read\", resource in App::\"wiki\"";
    shows(Rule::WiderPermit, &[WIKI, wide], mark);
    shows(Rule::WiderPermit, &[wide, WIKI], mark);
    shows(
        Rule::WiderPermit,
        &[
            WIKI,
            "permit (principal is User in Role::\"hr\", action == Action::\"GET\", resource in App::\"wiki\")",
        ],
        "principal is User in Role::\"hr\", action == Action::\"GET\", resource in App::\"wiki\"",
    );
    silent(&[&format!("{WIKI} when {{ context.session.mfa }}"), wide]);
    // What only reports lets nobody in.
    silent(&[WIKI, &format!("@mode(\"report\")\n{wide}")]);
    silent(&[WIKI, "permit (principal is User, action in Action::\"read\", resource in App::\"wikis\")"]);
    // Of two forbids the narrower one may say something else to whom it refuses.
    silent(&[
        "forbid (principal is User, action, resource) when { context.risk.score >= 70 }",
        "forbid (principal, action, resource) when { context.risk.score >= 70 }",
    ]);
}

#[test]
fn absent_fact() {
    let ended = "principal has contractEnd && principal.contractEnd < context.time.now";
    let forbid = format!("forbid (principal is User, action, resource) when {{ {ended} }}");
    shows(Rule::AbsentFact, &[&forbid], "principal has contractEnd");
    let tagged = "forbid (principal is User, action, resource) when { principal.hasTag(\"x\") && principal.getTag(\"x\") == \"1\" }";
    shows(Rule::AbsentFact, &[tagged], "principal.hasTag(\"x\")");
    let branch = "forbid (principal, action, resource) when { if context.geo has asn then context.geo.asn == 64496 else false }";
    shows(Rule::AbsentFact, &[branch], "context.geo has asn");
    let permit = format!("{WIKI} unless {{ {ended} }}");
    shows(Rule::AbsentFact, &[&permit], "principal has contractEnd");
    // Where nobody says it, more than this decides, and the message says no more than that.
    for (policy, says) in [
        (forbid.clone(), "does not forbid"),
        (
            format!("forbid (principal is User, action, resource) when {{ {ended} || context.session.mfa }}"),
            "may not forbid",
        ),
        (permit, "permits all the more"),
        (format!("{WIKI} when {{ context.session.mfa }} unless {{ {ended} }}"), "may permit more"),
    ] {
        let text = full(&[&policy]);
        let checked = checked(&text);
        let hint = checked.hints.iter().find(|h| h.rule() == Rule::AbsentFact).unwrap();
        assert!(hint.message().ends_with(says), "{hint} of {policy}");
    }
    // Absent is refused, or not permitted: that is as it should be.
    silent(&[&format!(
        "forbid (principal is User, action, resource) when {{ {ended} || !(principal has contractEnd) }}"
    )]);
    silent(&[
        "forbid (principal is User, action, resource) when { if principal has contractEnd then principal.contractEnd < context.time.now else true }",
    ]);
    silent(&[
        "forbid (principal is User, action, resource) unless { principal has contractEnd && context.time.now < principal.contractEnd }",
    ]);
    silent(&[
        "forbid (principal is User, action, resource) when { !(principal has contractEnd && context.time.now < principal.contractEnd) }",
    ]);
    silent(&[
        "forbid (principal, action, resource) when { if context.geo has asn then context.geo.asn == 64496 else true }",
    ]);
    silent(&[&format!("{WIKI} when {{ {ended} }}")]);
}

#[test]
fn path_match() {
    let admin = "permit (principal is User, action, resource in App::\"wiki\") when { context.http.path like \"/admin/*\" }";
    shows(Rule::PathMatch, &[admin], "context.http.path like \"/admin/*\"");
    shows(
        Rule::PathMatch,
        &["forbid (principal, action, resource) when { context.http.path == \"/x\" }"],
        "context.http.path == \"/x\"",
    );
    silent(&["forbid (principal, action, resource) when { context.http.host == \"path\" }"]);
    // The route is named where one is called so, in the cases or in the configuration.
    let base = "[route.\"wiki/admin\"]\n[route.\"wiki/all\"]\n";
    let dir = folder(&[("apps/x.cedar", &full(&[admin])), ("cases/base.toml", base)]);
    let found = check::folder(dir.path(), None, UnixMillis(0));
    let hint = found.hints.iter().find(|h| h.rule() == Rule::PathMatch).unwrap();
    assert!(hint.help_text().unwrap().contains("resource == Route::\"wiki/admin\""), "{hint:?}");
}

/// Who follows the hint must not open the door of another app.
#[test]
fn path_match_names_a_route_of_no_other_app() {
    let base = "[route.\"build/admin\"]\n[route.\"build/logs\"]\n[route.\"wiki/admin\"]\n";
    let asks = |path: &str| format!("when {{ context.http.path like \"/{path}/*\" }}");
    let help = |scope: &str, path: &str| {
        let policy = format!("permit (principal is User, action, {scope}) {}", asks(path));
        let dir = folder(&[("apps/x.cedar", &full(&[&policy])), ("cases/base.toml", base)]);
        let found = check::folder(dir.path(), None, UnixMillis(0));
        let hint = found.hints.iter().find(|h| h.rule() == Rule::PathMatch).unwrap();
        let help = hint.help_text().unwrap().to_owned();
        help.split("Route::\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    for (scope, path, named) in [
        ("resource in App::\"wiki\"", "admin", "wiki/admin"),
        ("resource == Route::\"wiki/all\"", "admin", "wiki/admin"),
        ("resource in App::\"build\"", "admin", "build/admin"),
        ("resource in App::\"payroll\"", "admin", "app/name"),
        ("resource in App::\"wiki\"", "logs", "app/name"),
        ("resource in AppGroup::\"engineering\"", "logs", "app/name"),
        // For every app: the one route that is called so is not what is meant.
        ("resource", "logs", "app/name"),
        ("resource", "admin", "app/name"),
    ] {
        assert_eq!(help(scope, path), named, "{scope} with {path}");
    }
}

#[test]
fn report_overdue() {
    let text = full(&[WIKI]).replace("@title", "@mode(\"report\") @report_until(\"2026-12-31\") @title");
    let dir = folder(&[("apps/x.cedar", &text)]);
    let end = 1_798_761_600_000; // 2027-01-01T00:00:00Z
    for (now, told) in [(end - 1, false), (end, true)] {
        let checked = check::folder(dir.path(), None, UnixMillis(now));
        let overdue = checked.hints.iter().find(|h| h.rule() == Rule::ReportOverdue);
        assert_eq!(overdue.is_some(), told, "{:?}", checked.hints);
        assert!(overdue.is_none_or(|h| h.policy() == Some("p0")), "{overdue:?}");
    }
}

#[test]
fn address_list() {
    let two = "context.ip.isInRange(ip(\"10.0.0.0/8\")) || context.ip.isInRange(ip(\"192.0.2.0/24\"))";
    let text = full(&[&format!("forbid (principal, action, resource) unless {{ {two} }}")]);
    let found = hints(&text, &checked(&text));
    assert_eq!(found, [(Rule::AddressList, "context.ip.isInRange(ip(\"10.0.0.0/8\"))".to_owned())]);
    silent(&["forbid (principal, action, resource) unless { context.ip.isInRange(ip(\"10.0.0.0/8\")) }"]);
    let dir = folder(&[("apps/x.cedar", &text)]);
    let known = Known::new(&[] as &[RouteFacts], [], ["corp"]);
    let found = check::folder(dir.path(), Some(&known), UnixMillis(0));
    assert!(found.hints.iter().any(|h| h.help_text().unwrap_or_default().contains("it has `corp`")));
}

#[test]
fn confusable() {
    // Cedar itself warns about most of these in conditions, and that is a mistake.
    let text = full(&[WIKI]).replace("@title(\"t\")", "@title(\"pаyroll\")");
    assert_eq!(hints(&text, &checked(&text)), [(Rule::Confusable, "pаyroll".to_owned())]);
    let text = full(&[WIKI]).replace("@title(\"t\")", "@title(\"a\u{202e}b\")");
    assert_eq!(hints(&text, &checked(&text)), [(Rule::Confusable, "\u{202e}".to_owned())]);
    let text = full(&[WIKI]).replace("@title(\"t\")", "@title(\"Für alle: доступ\")");
    assert_eq!(hints(&text, &checked(&text)), []);
}

#[test]
fn long_condition() {
    let long = |n: usize| {
        let asked: Vec<String> = (0..n).map(|i| format!("context.zones.contains(\"z{i}\")")).collect();
        asked.join(" || ")
    };
    let policy = |n: usize| format!("forbid (principal, action, resource) when {{ {} }}", long(n));
    shows(Rule::LongCondition, &[&policy(25)], &long(25));
    silent(&[&policy(24)]);
}

#[test]
fn deep_condition() {
    let deep = |n: usize| {
        (0..n).fold("context.session.mfa".to_owned(), |inner, i| {
            let word = if i % 2 == 0 { "&&" } else { "||" };
            format!("(context.zones.contains(\"z{i}\") {word} {inner})")
        })
    };
    let policy = |n: usize| format!("forbid (principal, action, resource) when {{ {} }}", deep(n));
    let text = full(&[&policy(7)]);
    let found = hints(&text, &checked(&text));
    assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), [Rule::DeepCondition]);
    silent(&[&policy(6)]);
}

/// What loading hints at is told by its rule as well.
#[test]
fn annotations_and_arithmetic() {
    let bare = "@id(\"a\") forbid (principal, action, resource) when { context.risk.score + 1 > 70 };";
    let rules: Vec<Rule> = hints(bare, &checked(bare)).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, [Rule::NoTitle, Rule::NoOwner, Rule::NoReason, Rule::Arithmetic]);
    let severe = full(&["@severity(\"huge\") forbid (principal is Agent, action, resource)"]);
    assert_eq!(hints(&severe, &checked(&severe))[0].0, Rule::UnknownSeverity);
    let near = full(&[
        "permit (principal in Role::\"employee\", action, resource in App::\"a\")",
        "permit (principal in Role::\"employe\", action, resource in App::\"a\")",
    ]);
    assert_eq!(hints(&near, &checked(&near)).iter().map(|h| h.0).collect::<Vec<_>>(), [Rule::NearName]);
    assert_eq!(checked(&near).hints.iter().filter(|h| h.rule() == Rule::NoCases).count(), 1);
}
