//! `docs/reference/signals.md` says what the code does.

use std::collections::BTreeSet;
use std::path::Path;

use doorward_lifecycle::signals::effect::{Effect, TABLE};
use doorward_lifecycle::signals::event::EventKind;
use doorward_lifecycle::signals::health::Condition;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/signals.md");
    std::fs::read_to_string(path).unwrap()
}

/// The cells of the rows of the table under a heading, without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, after) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`"));
    let lines = after.lines().take_while(|l| !l.starts_with("## "));
    let rows = lines.filter(|l| l.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect();
    rows.map(cells).collect()
}

#[test]
fn the_table_of_effects_is_that_of_the_code() {
    let written: Vec<(String, String, String)> = table("What each situation does")
        .into_iter()
        .map(|r| (r[0].clone(), r[2].clone(), r[3].clone()))
        .collect();
    let words = |effects: &[Effect]| effects.iter().map(|e| e.as_str()).collect::<Vec<_>>().join(", ");
    let code: Vec<(String, String, String)> =
        TABLE.iter().map(|r| (r.word.to_owned(), r.usual.as_str().to_owned(), words(r.or))).collect();
    assert_eq!(written, code);
}

#[test]
fn every_event_is_listed_with_its_situation() {
    let written: BTreeSet<String> = table("Events").into_iter().map(|r| r[0].clone()).collect();
    let code: BTreeSet<String> = EventKind::addresses().map(|(_, kind)| kind.as_str().to_owned()).collect();
    assert_eq!(written, code);
    let situations: BTreeSet<&str> = TABLE.iter().map(|r| r.word).collect();
    for row in table("Events") {
        for word in row[2].split(", ").filter(|w| !w.starts_with('(')) {
            assert!(situations.contains(word), "`{word}` of {}", row[0]);
        }
    }
}

#[test]
fn every_effect_is_explained() {
    let written: Vec<String> = table("Effects").into_iter().map(|r| r[0].clone()).collect();
    assert_eq!(written, Effect::ALL.map(Effect::as_str));
}

/// Each vector of the research page, and that the test it names exists.
#[test]
fn every_vector_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for folder in [
        "tests/signals",
        "src/signals",
        "src/signals/health",
        "../identity/tests/identity",
        "../identity/src/message",
        "tests/intake_signals",
    ] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut intake = String::new();
    for entry in std::fs::read_dir(root.join("tests/intake_signals")).unwrap() {
        intake.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let rows = table("Proof");
    let named: BTreeSet<&str> = rows.iter().map(|r| r[0].as_str()).collect();
    let wanted = (1..=18).map(|n| format!("S{n}")).chain((1..=13).map(|n| format!("L{n}")));
    for vector in wanted {
        assert!(named.contains(vector.as_str()), "{vector} is not on the page");
    }
    for row in &rows {
        for test in &row[2..4] {
            assert!(sources.contains(&format!("fn {test}(")), "{}: there is no test `{test}`", row[0]);
        }
        let at_the_intake = intake.contains(&format!("fn {}(", row[3]));
        assert!(at_the_intake, "{}: `{}` is no test of the running intake", row[0], row[3]);
    }
}

#[test]
fn every_condition_of_a_stream_is_explained() {
    let rows = table("Whether a stream lives");
    let written: Vec<String> =
        rows.iter().flat_map(|r| r[0].split(", ").map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(written, Condition::WORDS);
}

/// The configuration that the page shows can be written.
#[test]
fn the_configuration_of_the_page_is_good() {
    let page = page();
    let (_, after) = page.split_once("```toml\n").unwrap();
    let (toml, _) = after.split_once("```").unwrap();
    let folder = crate::town::folder();
    let (streams, webhooks, _, said) =
        crate::town::configured(folder.path(), &toml.replace("[[signals.", "[["));
    assert_eq!(said, Vec::<String>::new());
    assert_eq!((streams.len(), webhooks.len()), (2, 1));
    // Every key is shown, so that a new one cannot be forgotten here.
    for key in [
        "id",
        "issuer",
        "audiences",
        "algorithms",
        "jwks_file",
        "jwks_uri",
        "people",
        "stream_id",
        "push_token_files",
        "critical_members",
        "effects",
        "poll_url",
        "token_file",
        "verify_minutes",
        "silent_hours",
        "api_at",
        "secret_files",
        "window_seconds",
        "may_hold",
    ] {
        assert!(toml.contains(&format!("{key} = ")), "{key}");
    }
}
