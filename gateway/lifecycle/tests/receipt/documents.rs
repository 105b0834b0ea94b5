//! `docs/reference/receipt.md` tells what the code does. `DOORWARD_BLESS=1` writes its examples anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use doorward_lifecycle::offboarding::{CaseEvent, CaseState, Prover};
use doorward_lifecycle::receipt::facts::{Answer, Command, DebtKind};
use doorward_lifecycle::receipt::{PublicKeys, open};
use serde_json::Value;

use crate::fixture::{known_key, receipt};

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

fn page() -> String {
    fs::read_to_string(reference().join("receipt.md")).unwrap()
}

fn told(path: &Path, text: &str) {
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{} is not the example: run this test with DOORWARD_BLESS=1", path.display());
}

#[test]
fn the_example_is_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let signer = known_key(dir.path());
    let sealed = signer.seal(&receipt()).unwrap();
    fs::create_dir_all(reference().join("receipt")).unwrap();
    told(&reference().join("receipt/alice.jws"), &sealed);
    told(&reference().join("receipt/receipt.jwks"), &format!("{}\n", signer.public_keys().jwks()));
    let payload = payload(&sealed);
    let (begin, end) = ("<!-- the example, written by a test -->\n", "<!-- /the example -->");
    let page = page();
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut text = String::new();
    write!(text, "{before}{begin}\n```json\n{}\n```\n\n{end}{after}", layout(&payload, 0)).unwrap();
    told(&reference().join("receipt.md"), &text);
}

/// What stands in the files, without the code that made them.
#[test]
fn the_files_of_the_example_open() {
    let keys = PublicKeys::load(&reference().join("receipt/receipt.jwks")).unwrap();
    let document = fs::read(reference().join("receipt/alice.jws")).unwrap();
    assert_eq!(open(&document, &keys).unwrap().receipt, receipt());
}

fn payload(sealed: &str) -> String {
    use base64::Engine;
    let part = sealed.split('.').nth(1).unwrap();
    String::from_utf8(base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// JSON with short values on one line, in the order in which it is written.
fn layout(text: &str, deep: usize) -> String {
    let (inner, outer) = ("  ".repeat(deep + 1), "  ".repeat(deep));
    if text.len() <= 96 || !text.starts_with(['{', '[']) {
        return text.to_owned();
    }
    let (open, close) = (&text[..1], &text[text.len() - 1..]);
    let lines: Vec<String> = elements(&text[1..text.len() - 1])
        .into_iter()
        .map(|element| match element.split_once("\":").filter(|_| open == "{") {
            Some((key, value)) => format!("{inner}{key}\": {}", layout(value, deep + 1)),
            None => format!("{inner}{}", layout(element, deep + 1)),
        })
        .collect();
    format!("{open}\n{}\n{outer}{close}", lines.join(",\n"))
}

/// The elements of a list or an object without white space.
fn elements(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut deep, mut quoted) = (Vec::new(), 0, 0, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => deep += 1,
            b'}' | b']' if !quoted => deep -= 1,
            b',' if !quoted && deep == 0 => {
                found.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                found.push(key.clone());
                keys(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_page_explains_every_key_and_every_word() {
    let page = page();
    let (_, explained) = page.split_once("## What stands in it").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    let payload = payload(&known_key(dir.path()).seal(&receipt()).unwrap());
    keys(&serde_json::from_str(&payload).unwrap(), &mut names);
    assert!(names.len() > 60);
    names.extend(Command::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(Answer::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(DebtKind::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(CaseState::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(CaseEvent::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(Prover::ALL.iter().map(|word| word.as_str().to_owned()));
    names.extend(
        ["alone", "asked", "unknown", "stopped", "handed_over", "running", "steady", "set_back"]
            .map(str::to_owned),
    );
    names.extend(
        ["machine", "manual_app", "public_route", "other_proxy", "token_elsewhere", "stale_app", "device"]
            .map(str::to_owned),
    );
    names.retain(|name| !explained.contains(&format!("`{name}`")));
    names.sort();
    names.dedup();
    assert!(names.is_empty(), "docs/reference/receipt.md does not explain {names:?}");
}
