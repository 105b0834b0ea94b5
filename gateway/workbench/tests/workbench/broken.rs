//! Bundles that real teams break, and the whole message that each of them gets.
//!
//! Each folder of `tests/broken` is laid over the schema that comes with Doorward and checked; what a person
//! reads, on a terminal and in a pipe, is in the file of the same name with `.golden` behind it.
//! `DOORWARD_BLESS=1` writes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use doorward_model::{AppId, IssuerId, RouteFacts, RouteId, Tier, UnixMillis};
use doorward_policy::{Extent, Finding, Known, Rule};
use doorward_workbench::check::{self, Checked};
use doorward_workbench::report::{Look, Report, human};

use crate::lints::folder;

fn bundles() -> Vec<PathBuf> {
    let all = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")).unwrap();
    let mut folders: Vec<PathBuf> = all.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

fn lay(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&at).unwrap();
            lay(&entry.path(), &at);
        } else {
            std::fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// A configuration with one app.
fn known() -> Known {
    let wiki = RouteFacts {
        id: RouteId::new(AppId::new("wiki").unwrap(), "all").unwrap(),
        app_groups: Vec::new(),
        tier: Tier::Internal,
        scope: String::new(),
        admin_surface: false,
        public: false,
    };
    Known::new([&wiki], [&IssuerId::new("corp").unwrap()], ["corp"])
}

fn checked(bundle: &Path) -> (Checked, bool) {
    let dir = folder(&[]);
    lay(bundle, dir.path());
    let with_config = bundle.ends_with("unknown-app");
    let known = with_config.then(known);
    let mut checked = check::folder(dir.path(), known.as_ref(), UnixMillis(0));
    checked.subject = "policies".into();
    (checked, with_config)
}

/// Each bundle, checked once for all tests.
static ALL: LazyLock<Vec<(PathBuf, Report)>> = LazyLock::new(|| {
    let report = |bundle: PathBuf| {
        let (checked, with_config) = checked(&bundle);
        (bundle, Report { checked, deny_hints: false, names_checked: Some(with_config), top: None })
    };
    bundles().into_iter().map(report).collect()
});

#[test]
fn each_gets_its_message() {
    let mut wrong = Vec::new();
    for (bundle, report) in &*ALL {
        let name = bundle.file_name().unwrap().to_str().unwrap();
        assert!(!report.is_good(), "{name} is not broken");
        let text = format!(
            "On a terminal:\n\n{}\nIn a pipe:\n\n{}",
            human(report, Look::Drawn),
            human(report, Look::Lines)
        );
        let golden = bundle.with_extension("golden");
        if std::env::var_os("DOORWARD_BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "run this with DOORWARD_BLESS=1 and read what it writes:\n{}",
        wrong.join("\n")
    );
}

/// File, line, what it is about, and what to do.
#[test]
fn each_message_names_place_span_and_mend() {
    assert!(ALL.len() >= 10, "{}", ALL.len());
    let mut rules = BTreeSet::new();
    for (bundle, report) in &*ALL {
        for finding in &report.checked.mistakes {
            let told = format!("{}: {finding:?}", bundle.display());
            let Some(Extent { line, column, end_line, end_column }) = finding.extent() else {
                panic!("no place: {told}")
            };
            assert!((line, column) < (end_line, end_column), "nothing is marked: {told}");
            assert!(finding.file().is_some_and(|file| bundle.join(file).is_file()), "no file: {told}");
            assert!(finding.help_text().is_some_and(|help| help.len() > 10), "no help: {told}");
            assert_ne!(finding.rule(), Rule::Broken, "by no rule: {told}");
            rules.insert(finding.rule());
        }
    }
    // They are different mistakes, and not ten of one kind.
    assert!(rules.len() >= 10, "{rules:?}");
}

/// The commonest slips, each told once and with all else that there is to tell.
#[test]
fn one_slip_is_one_mistake_and_hides_no_other() {
    let named = |name: &str| &ALL.iter().find(|(bundle, _)| bundle.ends_with(name)).unwrap().1.checked;
    let group = named("group-for-one-action");
    assert_eq!(group.mistakes.len(), 1, "{:?}", group.mistakes);
    assert_eq!(
        group.mistakes[0].help_text(),
        Some("`Action::\"read\"` is a group: write `action in Action::\"read\"`")
    );
    let all = named("everything-at-once");
    let of_nameless = all.hints.iter().filter(|h| h.line_and_column().is_some_and(|(line, _)| line == 4));
    let rules: BTreeSet<Rule> = of_nameless.map(Finding::rule).collect();
    assert!(
        [Rule::NoTitle, Rule::NoOwner, Rule::OpenPermit].iter().all(|rule| rules.contains(rule)),
        "{rules:?}"
    );
}

/// A color is a color and nothing else: without them it is what is drawn.
#[test]
fn colors_change_nothing_but_colors() {
    let finding: &Finding = &ALL[0].1.checked.mistakes[0];
    let colored = doorward_workbench::report::finding(finding, Look::Colored);
    let mut plain = String::new();
    for (n, part) in colored.split('\u{1b}').enumerate() {
        plain.push_str(if n == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert!(colored.contains('\u{1b}'));
    assert_eq!(plain, doorward_workbench::report::finding(finding, Look::Drawn));
}
