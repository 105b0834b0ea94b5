//! The test format of Cedar's own command line (`cedar run-tests`).
//!
//! A file is a JSON list of `{ name?, request: { principal, action, resource, context }, entities, decision, reason,
//! num_errors }`; `entities` is a list, or the name of a file beside it. What counts is what Cedar's command line counts:
//! the decision is Cedar's (a policy that fails is passed over), the policies of `reason` must be among those
//! that decide, and `num_errors` policies must fail. With a schema, policies that it does not take fail every test.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use cedar_policy::{Context, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode, Validator};
use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{Decision, PolicySource};
use serde::Deserialize;
use serde_json::Value;

use crate::trial::{self, Asked, By, Expect, OnError, Outcome, Trial};

/// One test as written.
#[derive(Debug, Deserialize)]
struct Written {
    request: WrittenRequest,
    entities: Value,
    decision: WrittenDecision,
    reason: BTreeSet<String>,
    num_errors: usize,
}

#[derive(Debug, Deserialize)]
struct WrittenRequest {
    principal: String,
    action: String,
    resource: String,
    context: Value,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenDecision {
    Allow,
    Deny,
}

/// Reads a file of tests. A test that cannot be asked is among them and says why. `called` is the name of the file that
/// the trials bear.
///
/// # Errors
/// The file cannot be read, or is no list.
pub fn read(path: &Path, called: &str, schema: Option<&Schema>) -> Result<Vec<Trial>, String> {
    let text = bounded(path).map_err(|e| format!("`{called}` cannot be read: {e}"))?;
    let written: Vec<Value> = serde_json::from_str(&text).map_err(|e| {
        format!("`{called}` is not a list of tests: {e}; a test is {{ request, entities, … }}")
    })?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lines = lines(&text);
    let trials = written.into_iter().enumerate().map(|(number, test)| {
        let name = test.get("name").and_then(Value::as_str);
        let name = name.map_or_else(|| format!("test {}", number + 1), str::to_owned);
        let line = lines.get(number).copied().unwrap_or(0);
        let (expect, asked) = match one(test, dir, schema) {
            Ok((expect, asked)) => (expect, asked.map(|asked| vec![asked])),
            Err(why) => (nothing(), Err(why)),
        };
        Trial { file: called.to_owned(), line, name, expect, asked, on_error: OnError::Skip }
    });
    Ok(trials.collect())
}

/// Reads a file of tests and asks Cedar about each: the policies, and the schema if there is one.
///
/// # Errors
/// The file cannot be read, or is no list.
pub fn run(
    sources: &[PolicySource],
    schema: Option<&Schema>,
    path: &Path,
    called: &str,
) -> Result<Vec<(Trial, Outcome)>, String> {
    let set = PolicySet::from_policies(sources.iter().map(|source| source.policy().clone()));
    let set = set.map_err(|e| e.to_string())?;
    let fault = schema.and_then(|schema| faults(&set, schema));
    Ok(trial::of_set(&set, read(path, called, schema)?, fault.as_deref()))
}

/// What strict validation has against a set, warnings among it: with that every test fails.
#[must_use]
pub fn faults(policies: &PolicySet, schema: &Schema) -> Option<String> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let first = result.validation_errors().next().map(ToString::to_string);
    let first = first.or_else(|| result.validation_warnings().next().map(ToString::to_string))?;
    Some(format!("the policies do not fit the schema: {first}"))
}

const fn nothing() -> Expect {
    Expect { decision: Decision::Deny, by: By::AtLeast(BTreeSet::new()), errors: 0 }
}

/// What is expected of a test, and what is asked.
type Read = (Expect, Result<Asked, String>);

fn one(test: Value, dir: &Path, schema: Option<&Schema>) -> Result<Read, String> {
    let written = Written::deserialize(test).map_err(|e| format!("this is not a test: {e}"))?;
    let expect = Expect {
        decision: match written.decision {
            WrittenDecision::Allow => Decision::Allow,
            WrittenDecision::Deny => Decision::Deny,
        },
        by: By::AtLeast(written.reason),
        errors: written.num_errors,
    };
    let asked = request(&written.request, schema)
        .and_then(|request| Ok(Asked { request, entities: entities(written.entities, dir, schema)? }));
    Ok((expect, asked))
}

fn request(written: &WrittenRequest, schema: Option<&Schema>) -> Result<Request, String> {
    let uid = |what: &str, text: &str| {
        text.parse::<EntityUid>().map_err(|e| format!("the {what} `{text}` is not an entity: {e}"))
    };
    let principal = uid("principal", &written.principal)?;
    let action = uid("action", &written.action)?;
    let resource = uid("resource", &written.resource)?;
    let context = Context::from_json_value(written.context.clone(), schema.map(|schema| (schema, &action)));
    let context = context.map_err(|e| format!("the context does not fit: {e}"))?;
    let request = Request::new(principal, action, resource, context, schema);
    request.map_err(|e| format!("the request does not fit: {e}"))
}

fn entities(written: Value, dir: &Path, schema: Option<&Schema>) -> Result<Entities, String> {
    let wrong = |e: cedar_policy::entities_errors::EntitiesError| format!("the entities do not fit: {e}");
    let Value::String(name) = written else {
        return Entities::from_json_value(written, schema).map_err(wrong);
    };
    let unread = |e: std::io::Error| format!("the entities in `{name}` cannot be read: {e}");
    let path = dir.join(&name).canonicalize().map_err(unread)?;
    if !path.starts_with(dir.canonicalize().map_err(unread)?) {
        return Err(format!("the entities in `{name}` are not beside the tests; put them there"));
    }
    Entities::from_json_str(&bounded(&path).map_err(unread)?, schema).map_err(wrong)
}

fn bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > POLICY_FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {POLICY_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The line on which each element of the outermost list begins, from 1.
fn lines(text: &str) -> Vec<usize> {
    let (mut line, mut depth, mut in_string, mut escaped) = (1, 0_usize, false, false);
    let mut found = Vec::new();
    for byte in text.bytes() {
        line += usize::from(byte == b'\n');
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                if depth == 1 {
                    found.push(line);
                }
                depth += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_on_its_line() {
        let text = "[\n {\"a\": [{}], \"b\": \"]}\\\"{\"},\n\n {\n}, {}]";
        assert_eq!(lines(text), [2, 4, 5]);
    }

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let at = dir.path().join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
        dir
    }

    const REQUEST: &str =
        r#"{"principal":"U::\"a\"","action":"Action::\"x\"","resource":"U::\"b\"","context":{}}"#;

    fn read_one(entities: &str) -> Result<(), String> {
        let test = format!(
            r#"[{{"request":{REQUEST},"entities":{entities},"decision":"deny","reason":[],"num_errors":0}}]"#
        );
        let dir = dir(&[
            ("t/x.json", &test),
            ("t/e.json", r#"[{"uid":{"type":"U","id":"a"},"attrs":{},"parents":[]}]"#),
            ("out.json", "[]"),
        ]);
        let mut trials = read(&dir.path().join("t/x.json"), "x.json", None).unwrap();
        assert_eq!((trials.len(), trials[0].name.as_str(), trials[0].line), (1, "test 1", 1));
        trials.remove(0).asked.map(drop)
    }

    #[test]
    fn entities_come_from_a_file_beside_the_tests_and_from_no_other() {
        assert_eq!(read_one("[]"), Ok(()));
        assert_eq!(read_one("\"e.json\""), Ok(()));
        assert!(read_one("\"../out.json\"").unwrap_err().contains("not beside the tests"));
        assert!(read_one("\"none.json\"").unwrap_err().contains("cannot be read"));
        assert!(read_one("7").unwrap_err().contains("do not fit"));
    }

    #[test]
    fn what_is_no_test_is_one_that_cannot_be_asked() {
        let dir = dir(&[("x.json", r#"[{"name":"n","decision":"allow"}, 3]"#), ("y.json", "{}")]);
        let trials = read(&dir.path().join("x.json"), "x.json", None).unwrap();
        assert_eq!(trials.len(), 2);
        assert_eq!(trials[0].name, "n");
        assert!(trials.iter().all(|t| t.asked.as_ref().unwrap_err().contains("not a test")));
        let e = read(&dir.path().join("y.json"), "y.json", None).unwrap_err();
        assert!(e.contains("`y.json` is not a list of tests"), "{e}");
    }
}
