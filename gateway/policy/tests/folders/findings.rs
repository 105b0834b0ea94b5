//! What is wrong is said with its place and how to mend it, all at once.

use miette::Diagnostic;

use crate::support::{Ask, Folder, known};

/// `policies` in one file, and the lines of the report.
fn check(policies: &str, expect: &[&str]) {
    let wrong = Folder::with(policies).wrong();
    let lines: Vec<&str> = wrong.lines().collect();
    for line in expect {
        assert!(lines.iter().any(|l| l.trim().starts_with(line)), "{line}\nin\n{wrong}");
    }
    let findings = lines.iter().filter(|l| !l.starts_with("    help")).count();
    let expected = expect.iter().filter(|l| !l.starts_with("help")).count();
    assert_eq!(findings, expected, "{wrong}");
}

#[test]
fn names_of_policies() {
    check(
        "\n  permit (principal, action, resource);",
        &["apps/test.cedar:2:3: this policy has no name", "help: write `@id("],
    );
    check(
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
        &["apps/test.cedar:2:1: the name `a` is taken by the policy at apps/test.cedar:1"],
    );
    for bad in ["", "a b", "ä", "a/b", "a\\\"", &"x".repeat(129)] {
        check(&format!("@id(\"{bad}\") permit (principal, action, resource);"), &["apps/test.cedar:1:1: `"]);
    }
}

#[test]
fn a_name_is_taken_across_files() {
    let policy = "@id(\"a\") permit (principal, action, resource);";
    let wrong = Folder::with(policy).put("guests/x.cedar", policy).wrong();
    assert!(
        wrong.starts_with("guests/x.cedar:1:1: the name `a` is taken by the policy at apps/test.cedar:1")
    );
}

#[test]
fn every_mistake_of_every_file_at_once() {
    let folder = Folder::with(
        "@id(\"a\") permit (principal in Rol::\"x\", action, resource);\n\
         @id(\"b\") permit (principal, action == Action::\"GETT\", resource);\n\
         @id(\"c\") permit (principal, action, resource) when { context.geo.country == Country::\"Germany\" };\n\
         @id(\"d\") permit (principal action, resource);\n\
         @id(\"e\") permit (principal, action, resource) when { principal.salary > 3 };\n\
         permit (principal, action, resource);",
    )
    .put("cases/x.toml", "[[case]]\nnam = 1")
    .put("guardrails/g.cedar", "@id(\"g\") permit (principal, action, resource);");
    let wrong = folder.wrong();
    for place in [
        "apps/test.cedar:1:31: ",
        "apps/test.cedar:2:39: ",
        "apps/test.cedar:3:77: ",
        "apps/test.cedar:4:28: ",
        "apps/test.cedar:5:54: ",
        "apps/test.cedar:6:1: ",
        "cases/x.toml:2:1: ",
        "guardrails/g.cedar:1:1: a guardrail can only forbid",
    ] {
        assert!(wrong.contains(place), "{place}\nin\n{wrong}");
    }
    // The first four have one finding each, the fifth one for each kind of principal.
    assert_eq!(wrong.matches("apps/test.cedar:").count(), 4 + 4 + 1, "{wrong}");
}

#[test]
fn templates() {
    check(
        "@id(\"a\") permit (principal == ?principal, action, resource);",
        &["apps/test.cedar:1:", "help: write the user, role or app itself"],
    );
}

#[test]
fn an_empty_folder() {
    assert!(Folder::new().wrong().starts_with("there is no policy here"));
    let wrong = Folder::with("@id(\"a\") permit (principal, action, resource);");
    std::fs::remove_file(wrong.path().join("schema.cedarschema")).unwrap();
    assert!(wrong.wrong().starts_with("there is no `schema.cedarschema`"));
}

/// The gateway's half of the contract: a schema that cannot take what the gateway says.
#[test]
fn a_schema_that_does_not_fit() {
    let shipped = std::fs::read_to_string(crate::support::shipped().join("schema.cedarschema")).unwrap();
    let changes = [
        ("\"XK\", \"ZZ\"", "\"XK\"", "lacks `Country::\"ZZ\"`"),
        ("\"deactivated\", \"unknown\"", "\"deactivated\"", "unknown"),
        ("\"partner\", \"unknown\"", "\"partner\"", "unknown"),
        ("\"internal\", ", "", "internal"),
        ("\"mon\", ", "", "mon"),
        ("  anonymizerKnown: Bool,", "", "anonymizerKnown"),
        ("  homeCountry: Country,", "  homeCountry: String,", "homeCountry"),
        ("  public: Bool,", "  public: Bool,\n  colour: String,", "colour"),
        ("entity Owner = {", "entity Boss = {", "Owner"),
        ("User in [Group, Role]", "User in [Group]", "Role"),
        ("App in [AppGroup]", "App", "AppGroup"),
        ("action POST, PUT,", "action POST,", "lacks `Action::\"PUT\"`"),
        ("[User, ServiceAccount, Agent, Visitor]", "[User, ServiceAccount, Agent]", "Visitor"),
        ("tags String", "tags Long", "tag"),
        // What the gateway never says is a hole, optional or not.
        (
            "  department?: String,",
            "  department?: String,\n  clearance?: String,",
            "never says `User.clearance`",
        ),
        ("} tags String;", "  phone?: String } tags String;", "never says `User.phone`"),
        ("entity Owner = {", "entity Owner = {\n  team?: Group,", "never says `Owner.team`"),
        ("  platform?: String,", "  platform?: String,\n  age?: Long,", "never says `context.device.age`"),
        ("  http: Http,", "  http: Http,\n  extra?: {a: Long},", "never says `context.extra`"),
        ("entity Role;", "entity Role = {level?: Long};", "never says `Role.level`"),
        ("entity AppGroup;", "entity AppGroup tags String;", "never says `AppGroup.getTag(…)`"),
        ("User in [Group, Role]", "User in [Group, Role, Owner]", "that a `User` is in a `Owner`"),
        ("entity Role;", "entity Team; entity Role;", "never says `Team`"),
        ("\"partner\", \"unknown\"", "\"partner\", \"intern\", \"unknown\"", "`Employment::\"intern\"`"),
        (
            "action POST, PUT, PATCH, DELETE in [write]",
            "action POST, PUT, PATCH, DELETE in [read]",
            "the groups of",
        ),
        (
            "action write in [access]",
            "action write",
            "the groups of `Action::\"DELETE\"` are access and write",
        ),
        (
            "action UPGRADE in [access]",
            "action UPGRADE in [read]",
            "the groups of `Action::\"UPGRADE\"` are access",
        ),
        ("action access;", "action access; action admin;", "never says `Action::\"admin\"`"),
    ];
    for (from, to, expect) in changes {
        assert!(shipped.contains(from), "{from}");
        let folder = Folder::with("@id(\"a\") permit (principal, action, resource);")
            .put("schema.cedarschema", shipped.replace(from, to));
        let wrong = folder.wrong();
        assert!(wrong.contains("schema.cedarschema") && wrong.contains(expect), "{from}\n{wrong}");
    }
}

#[test]
fn a_file_without_a_policy_is_refused() {
    for text in ["", "\n", "// all of it is gone\n"] {
        let folder =
            Folder::with("@id(\"a\") permit (principal, action, resource);").put("guardrails/g.cedar", text);
        assert!(folder.wrong().starts_with("guardrails/g.cedar: there is no policy in this file"));
    }
}

#[test]
fn one_mistake_is_told_once_and_not_for_each_action() {
    check(
        "@id(\"a\") permit (principal, action, resource) when { context.salary > 3 };",
        &["apps/test.cedar:1:", "help"],
    );
}

#[test]
fn hints_do_not_stop_a_folder() {
    let folder = Folder::with(
        "@id(\"a\") @severity(\"huge\") forbid (principal, action, resource) when { context.risk.score + 1 > 3 };\n\
         @id(\"b\") @title(\"t\") @owner(\"o\") permit (principal, action, resource);",
    );
    let report = doorward_policy::check(folder.path(), None).unwrap();
    assert_eq!((report.policies, report.cases), (2, 0));
    let expect = "\
there are no cases
apps/test.cedar:1:1: `a` has a `@severity` that nobody knows
apps/test.cedar:1:1: `a` has no `@owner`
apps/test.cedar:1:1: `a` has no `@reason`
apps/test.cedar:1:1: `a` has no `@title`
apps/test.cedar:1:91: `a` computes
";
    let plain = report.plain();
    let lines: String =
        plain.lines().filter(|l| !l.starts_with("    help")).map(|l| format!("{l}\n")).collect();
    assert_eq!(lines, expect);
}

#[test]
fn a_finding_shows_its_source_under_a_mark() {
    let folder =
        Folder::with("@id(\"a\") permit (principal, action, resource) when { principal.salary > 3 };");
    let failure = folder.open().unwrap_err();
    let related: Vec<_> = failure.related().unwrap().collect();
    assert_eq!(related.len(), failure.findings.len());
    let finding = related[0];
    let label = finding.labels().unwrap().next().unwrap();
    let span = finding.source_code().unwrap().read_span(label.inner(), 0, 0).unwrap();
    assert!(String::from_utf8_lossy(span.data()).contains("principal.salary"));
    assert_eq!(span.name(), Some("apps/test.cedar"));
}

// === cases ===

const PEOPLE: &str = r#"
[person.alice]
roles = ["hr"]
[route."wiki/all"]
[base]
place = { ip = "10.0.0.1" }
time = { now = 2026-03-04T10:00:00Z, local = "11:00", weekday = "wed" }
"#;

/// A folder with a permit for reading, a forbid for HR to write, and these cases.
fn cases(cases: &str) -> Folder {
    Folder::with(
        "@id(\"read\") permit (principal is User, action in Action::\"read\", resource);\n\
         @id(\"hr\") forbid (principal in Role::\"hr\", action in Action::\"write\", resource);",
    )
    .put("cases/base.toml", PEOPLE)
    .put("cases/x.toml", cases)
}

fn case(more: &str) -> Folder {
    cases(&format!("[[case]]\nname = \"n\"\n{more}"))
}

#[test]
fn a_case_that_does_not_hold_says_what_was_expected_and_what_came() {
    let table = [
        ("does=\"GET wiki/all\"\nexpect=\"deny\"\nby=[]", "case `n`: expected deny, got allow by read"),
        ("does=\"POST wiki/all\"\nexpect=\"allow\"", "case `n`: expected allow, got deny by hr"),
        ("does=\"UPGRADE wiki/all\"\nexpect=\"allow\"", "case `n`: expected allow, got deny because nothing"),
        (
            "does=\"POST wiki/all\"\nexpect=\"deny\"\nby=[]",
            "case `n`: expected deny because nothing permits it, got deny by hr",
        ),
        (
            "does=\"POST wiki/all\"\nexpect=\"deny\"",
            "case `n`: does not say which policy denies; got deny by hr",
        ),
        (
            "does=\"GET wiki/all\"\nexpect=\"allow\"\nby=[\"x\"]",
            "case `n`: expected allow by x, got allow by read",
        ),
        ("does=\"GET wiki\"\nexpect=\"allow\"", "case `n`: `GET wiki` is not something"),
        ("does=\"BREW wiki/all\"\nexpect=\"allow\"", "case `n`: `BREW wiki/all` is not something"),
        ("does=\"GET wiki/al\"\nexpect=\"allow\"", "case `n`: nobody says what the route `wiki/al` is"),
    ];
    for (more, expect) in table {
        let wrong = case(&format!("who=\"alice\"\n{more}")).wrong();
        assert!(wrong.starts_with(&format!("cases/x.toml:1:1: {expect}")), "{expect}\nin\n{wrong}");
    }
    let wrong =
        case("who=\"visitor\"\ndoes=\"GET wiki/all\"\nexpect=\"deny\"\nby=[]\nperson={stage=\"leave\"}")
            .wrong();
    assert!(wrong.contains("case `n`: `visitor` is no person"), "{wrong}");
    let account = "[service_account.job]\nowner=\"alice\"\n[[case]]\nname=\"n\"\nwho=\"job\"\n\
                   does=\"GET wiki/all\"\nexpect=\"deny\"\nby=[]\n";
    assert!(cases(account).open().is_ok());
    let wrong = cases(&format!("{account}person={{ stage = \"suspended\" }}")).wrong();
    assert!(wrong.contains("case `n`: `job` is no person"), "{wrong}");
    let wrong = case("who=\"alcie\"\ndoes=\"GET wiki/all\"\nexpect=\"allow\"").wrong();
    assert!(wrong.contains("nobody says who `alcie` is"), "{wrong}");
}

#[test]
fn a_word_that_a_case_may_not_say_is_refused() {
    let table = [
        ("session = { mfa = \"yes\" }", "invalid type"),
        ("session = { mfaa = true }", "unknown field `mfaa`"),
        ("session = { age = \"12 hours\" }", "is not an age"),
        ("session = { age = \"99999999999999999999h\" }", "is not an age"),
        ("place = { country = \"Germany\" }", "is not a country code"),
        ("place = { anonymizer = \"maybe\" }", "is none of yes, no, unknown"),
        ("time = { local = \"24:00\" }", "is not a time of day"),
        ("time = { now = 2026-03-04 }", "is not a time such as"),
        ("time = { weekday = \"monday\" }", "is none of mon,"),
        ("risk = \"high\"", "from 0 to 100"),
        ("risk = 101", "from 0 to 100"),
        ("risk = -1", "from 0 to 100"),
        ("risk = 256", "from 0 to 100"),
        ("risk = { score = 40, reasons = [\"new_cuontry\"] }", "from 0 to 100"),
        ("risk = { score = 101, reasons = [] }", "from 0 to 100"),
        ("person = { stage = \"gone\" }", "is none of preboarding,"),
        ("expcet = \"allow\"", "unknown field `expcet`"),
        ("time = { now = 2026-03-04T10:00:00Z, weekday = \"sun\" }", "1:1: `time.now` is not on that"),
    ];
    for (more, expect) in table {
        let wrong = case(&format!("who=\"alice\"\ndoes=\"GET wiki/all\"\nexpect=\"allow\"\n{more}")).wrong();
        assert!(wrong.contains(expect) && wrong.starts_with("cases/x.toml:"), "{more}\n{wrong}");
    }
}

#[test]
fn a_base_happens_at_a_time_that_there_is() {
    let asked = "[[case]]\nname=\"n\"\nwho=\"visitor\"\ndoes=\"GET wiki/all\"\nexpect=\"deny\"\nby=[]\n";
    let wrong =
        cases(&format!("base.time = {{ now = 2026-03-04T10:00:00Z, weekday = \"sun\" }}\n{asked}")).wrong();
    assert!(wrong.contains("cases/x.toml") && wrong.contains("`time.now` is not on that"), "{wrong}");
    assert!(cases(&format!("base.time = {{ weekday = \"sun\" }}\n{asked}")).open().is_ok());
}

#[test]
fn a_name_in_cases_is_defined_once() {
    let wrong = cases("[person.alice]\nroles = []").wrong();
    assert!(wrong.starts_with("cases/x.toml:1:1: `alice` is defined twice"), "{wrong}");
    for other in ["[service_account.alice]\nowner = \"alice\"", "[agent.alice]\non_behalf_of = \"alice\""] {
        let wrong = cases(other).wrong();
        assert!(wrong.starts_with("cases/x.toml:1:1: `alice` is defined twice"), "{wrong}");
    }
    for visitor in ["[person.visitor]", "[service_account.visitor]\nowner = \"alice\""] {
        assert!(cases(visitor).wrong().contains("`visitor` is defined twice"));
    }
    assert!(cases("[route.\"wiki/all\"]").wrong().contains("`wiki/all` is defined twice"));
    assert!(cases("[route.\"wiki/alice\"]\n[person.\"wiki/all\"]").open().is_ok());
}

/// A case about a route that is not so in the configuration proves nothing.
#[test]
fn a_route_in_cases_is_as_in_the_configuration() {
    let real = Ask::new().route;
    let known = known([&real]);
    let check = |route: &str| {
        let base = PEOPLE.replace("[route.\"wiki/all\"]", &format!("[route.\"wiki/all\"]\n{route}"));
        let folder = cases("").put("cases/base.toml", base);
        doorward_policy::check(folder.path(), Some(&known)).map(|_| ()).map_err(|e| e.plain())
    };
    assert_eq!(check("groups = [\"docs\"]"), Ok(()));
    assert_eq!(check("groups = [\"docs\"]\n[route.\"planned/all\"]\ntier = \"restricted\""), Ok(()));
    for (route, expect) in [
        ("", "says groups = {\"docs\"}"),
        ("groups = [\"docs\"]\ntier = \"public\"", "says tier = \"internal\""),
        ("groups = [\"docs\"]\nscope = \"x\"", "says scope = \"\""),
        ("groups = [\"docs\"]\nadmin_surface = true", "says admin_surface = false"),
        ("groups = [\"docs\"]\npublic = true", "says public = false"),
    ] {
        let wrong = check(route).unwrap_err();
        let start = "cases/base.toml:4:1: the route `wiki/all` is not as in the configuration, which ";
        assert!(wrong.starts_with(&format!("{start}{expect}\n")), "{wrong}");
    }
}

#[test]
fn what_a_case_lacks_is_asked_for() {
    let folder = case("who=\"alice\"\ndoes=\"GET wiki/all\"\nexpect=\"allow\"")
        .put("cases/base.toml", "[person.alice]\n[route.\"wiki/all\"]");
    assert!(folder.wrong().contains("case `n`: `time.now` is not written"));
}
