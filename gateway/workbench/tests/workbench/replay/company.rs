//! The policies of a company of 20 apps, and an edit of them.

use std::fmt::Write as _;
use std::path::Path;

/// How many apps it has: `app00` and so on.
pub(crate) const APPS: usize = 20;
/// How many roles: `r0` and so on.
pub(crate) const ROLES: usize = 10;

/// The policies of the company: what comes with Doorward for everybody, and a file for each app.
pub(crate) fn write_policies(into: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    std::fs::create_dir_all(into.join("guardrails")).unwrap();
    std::fs::create_dir_all(into.join("apps")).unwrap();
    let copy = |name: &str| std::fs::copy(shipped.join(name), into.join(name)).unwrap();
    copy("schema.cedarschema");
    copy("apps/machines.cedar");
    for entry in std::fs::read_dir(shipped.join("guardrails")).unwrap() {
        copy(&format!("guardrails/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    for app in 0..APPS {
        std::fs::write(into.join(format!("apps/app{app:02}.cedar")), of_app(app)).unwrap();
    }
}

/// What is edited in the candidate: file, what stands there, what stands there then.
const EDITS: [(&str, &str, &str); 6] = [
    (
        "guardrails/sign-in.cedar",
        "context.session.age > duration(\"12h\")",
        "context.session.age > duration(\"8h\")",
    ),
    ("apps/app03.cedar", "Role::\"r3\"", "Role::\"r4\""),
    ("apps/app05.cedar", "duration(\"6h\")", "duration(\"9h\")"),
    ("apps/app00.cedar", "context.http.path like \"/export/*\"", "context.http.path like \"/export/1*\""),
    ("apps/machines.cedar", "principal.scopes.contains(resource.scope)", "resource.scope != \"\""),
    (
        "guardrails/employment.cedar",
        "context.time.now < principal.contractEnd",
        "context.time.now <= principal.contractEnd",
    ),
];

/// The same, edited.
pub(crate) fn write_candidate(into: &Path) {
    write_policies(into);
    for (file, from, to) in EDITS {
        let file = into.join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }
}

fn of_app(app: usize) -> String {
    let mut text = String::new();
    let (first, second) = (app % ROLES, (app + 3) % ROLES);
    let mut policy = |name: &str, rest: &str| {
        let grave = if rest.starts_with("forbid") {
            "@severity(\"high\")\n@reason(\"Not like this.\")\n"
        } else {
            ""
        };
        let _ = write!(
            text,
            "@id(\"app{app:02}.{name}\")\n@title(\"{name}\")\n@owner(\"it\")\n{grave}{rest};\n\n"
        );
    };
    let at = format!("resource in App::\"app{app:02}\"");
    policy(
        "use",
        &format!(
            "permit (principal is User in Role::\"r{first}\", action in Action::\"access\", {at})\nunless {{ resource.adminSurface }}"
        ),
    );
    policy(
        "read",
        &format!(
            "permit (principal is User in Role::\"r{second}\", action in Action::\"read\", {at})\nunless {{ resource.adminSurface }}"
        ),
    );
    policy(
        "admin",
        &format!("permit (principal is User in Role::\"admin\", action in Action::\"access\", {at})"),
    );
    policy(
        "granted",
        &format!(
            "permit (principal is User, action in Action::\"read\", {at})\nwhen {{ context.granted }}\nunless {{ resource.adminSurface }}"
        ),
    );
    if app.is_multiple_of(3) {
        policy(
            "device",
            &format!(
                "forbid (principal is User, action in Action::\"write\", {at})\nunless {{ context.device.managed && context.device.compliant }}"
            ),
        );
    }
    if app.is_multiple_of(5) {
        policy(
            "hours",
            &format!(
                "forbid (principal is User, action, {at})\nwhen {{ context.time.localTime < duration(\"6h\") || context.time.localTime >= duration(\"22h\") }}"
            ),
        );
    }
    if app.is_multiple_of(7) {
        policy(
            "export",
            &format!(
                "forbid (principal is User, action, {at})\nwhen {{ context.http.path like \"/export/*\" }}\nunless {{ context.session.phishingResistant }}"
            ),
        );
    }
    if app == 0 {
        policy(
            "public",
            &format!(
                "permit (principal is Visitor, action in Action::\"read\", {at})\nwhen {{ resource.public }}"
            ),
        );
    }
    text
}
