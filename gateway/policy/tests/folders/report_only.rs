//! A policy that only reports: read and tried like every other, and without a say.

use doorward_model::UnixMillis;
use doorward_policy::{CheckReport, LoadFailure, Outcome, Policies};

use crate::support::{Ask, Folder, code, shipped};

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);\n";
const SHUT: &str = "@id(\"shut\") @mode(\"report\") forbid (principal, action, resource);\n";

const CASES: &str = "\
[route.\"wiki/all\"]\n[base]\nplace = { ip = \"192.0.2.1\" }\n\
time = { now = 2026-03-04T10:00:00Z, local = \"11:00\", weekday = \"wed\" }\n";

fn case(name: &str, rest: &str) -> String {
    format!("[[case]]\nname = \"{name}\"\nwho = \"visitor\"\ndoes = \"GET wiki/all\"\n{rest}\n")
}

fn check(folder: &Folder) -> Result<CheckReport, LoadFailure> {
    doorward_policy::check(folder.path(), None)
}

#[test]
fn it_decides_nothing_and_is_there() {
    let folder = Folder::with(&format!("{OPEN}{SHUT}"));
    let bundle = folder.open().unwrap().bundle();
    assert_eq!(code(&Ask::new().of(&bundle)), "allow");
    assert_eq!(Ask::new().of(&bundle).determining.iter().map(|id| &**id).collect::<Vec<_>>(), ["open"]);
    assert_eq!(bundle.only_report().iter().map(|id| &**id).collect::<Vec<_>>(), ["shut"]);
    let reporting = bundle.reporting().unwrap();
    assert_eq!((bundle.policies(), reporting.policies()), (1, 2));
    assert_eq!(code(&Ask::new().of(reporting)), "policy_forbids");
    assert!(std::ptr::eq(bundle.enforcing_all(), &**reporting));
    assert!(reporting.reporting().is_none());
}

/// A permit that only reports opens no door, and one policy of another kind gets in nobody's way.
#[test]
fn a_permit_that_only_reports_permits_nothing() {
    let folder = Folder::with(&OPEN.replace("permit", "@mode(\"report\") permit"));
    assert_eq!(code(&folder.decide(&Ask::new())), "no_permit");
    let enforced = Folder::with(&OPEN.replace("permit", "@mode(\"enforce\") permit"));
    assert_eq!(code(&enforced.decide(&Ask::new())), "allow");
}

#[test]
fn what_is_wrong_with_it_is_wrong_all_the_same() {
    for (policy, says) in [
        (SHUT.replace("report", "reprot"), "`@mode(\"reprot\")` is no mode"),
        (SHUT.replace("@mode", "@report_until(\"soon\") @mode"), "`@report_until(\"soon\")` is no date"),
        (SHUT.replace("@mode", "@modes"), "did you mean `@mode`?"),
        (SHUT.replace("@mode(\"report\")", "@report_until(\"2026-12-31\")"), "so the policy decides"),
        (SHUT.replace(");", ") when { contex.a };"), "contex"),
        (SHUT.replace("resource)", "resource == App::\"wiki\")"), "apps/test.cedar:2:"),
        (SHUT.replace("shut", "open"), "the name `open` is taken"),
    ] {
        let wrong = Folder::with(&format!("{OPEN}{policy}")).wrong();
        assert!(wrong.contains(says), "{policy}: {wrong}");
    }
}

#[test]
fn a_case_is_asked_of_it_only_when_the_case_says_so() {
    let allowed = case("as it is", "expect = \"allow\"\nby = [\"open\"]");
    let denied = case("as it would be", "expect = \"deny\"\nby = [\"shut\"]\nreport = true");
    let folder = Folder::with(&format!("{OPEN}{SHUT}"));
    folder.write("cases/x.toml", format!("{CASES}{allowed}{denied}"));
    assert_eq!(check(&folder).map(|report| report.cases).unwrap_or_else(|e| panic!("{}", e.plain())), 2);
    folder.write("cases/x.toml", format!("{CASES}{allowed}{}", denied.replace("report = true", "")));
    let wrong = folder.wrong();
    assert!(wrong.contains("case `as it would be`: expected deny, got allow by open"), "{wrong}");
    // Once it decides, the case of today fails and that of tomorrow holds.
    folder.write("apps/test.cedar", format!("{OPEN}{}", SHUT.replace("@mode(\"report\") ", "")));
    folder.write("cases/x.toml", format!("{CASES}{denied}"));
    assert_eq!(check(&folder).unwrap().cases, 1);
    folder.write("cases/x.toml", format!("{CASES}{allowed}"));
    assert!(folder.wrong().contains("case `as it is`: expected allow, got deny by shut"));
}

#[test]
fn a_guardrail_that_only_reports_from_now_on_is_told_as_lost() {
    let enforced = SHUT.replace("@mode(\"report\") ", "");
    let folder = Folder::with(OPEN).put("guardrails/shut.cedar", &enforced);
    let policies = folder.open().unwrap();
    folder.write("guardrails/shut.cedar", SHUT);
    let Outcome::Swapped { lost_forbids, .. } = policies.reload(UnixMillis(1)) else { panic!("not swapped") };
    assert_eq!(lost_forbids.iter().map(|id| &**id).collect::<Vec<_>>(), ["shut"]);
}

#[test]
fn a_day_that_is_over_is_told_and_keeps_nothing_from_being_loaded() {
    let folder = Folder::with(OPEN);
    let policies = folder.open().unwrap();
    let hints = |day: &str, policies: &Policies| {
        let policy = SHUT.replace("@mode", &format!("@report_until(\"{day}\") @mode"));
        folder.write("apps/test.cedar", format!("{OPEN}{policy}"));
        let now = UnixMillis(1_772_618_400_000); // 2026-03-04T10:00:00Z
        let Outcome::Swapped { hints, .. } = policies.reload(now) else { panic!("not swapped") };
        hints.iter().any(|hint| hint.message() == format!("`shut` was to report only until {day}"))
    };
    assert!(hints("2026-03-03", &policies));
    assert!(!hints("2026-03-04", &policies));
}

/// The shipped policies all decide.
#[test]
fn nothing_shipped_only_reports() {
    let policies = Policies::open(&shipped(), None, UnixMillis(0)).unwrap();
    assert!(policies.bundle().only_report().is_empty());
}
