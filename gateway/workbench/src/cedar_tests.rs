//! The test format of Cedar's own command line (`cedar run-tests`), for any policies: [`doorward_policy::read_tests`].
//!
//! With a schema, policies that it does not take fail every test, as they do there. The tests beside the cases of a
//! folder are asked of policies that were loaded, so that the schema takes them.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{CedarTest, PolicySource, Workshop, read_tests};

use crate::trial::{self, Asked, By, Expect, OnError, Outcome, Trial};

/// Reads a file of tests. A test that cannot be asked is among them and says why. `called` is the name of the file that
/// the trials bear.
///
/// # Errors
/// The file cannot be read, or is no list.
pub fn read(path: &Path, called: &str, schema: Option<&Schema>) -> Result<Vec<Trial>, String> {
    let text = bounded(path).map_err(|e| format!("`{called}` cannot be read: {e}"))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tests = read_tests(&text, schema, |name| beside(dir, name)).map_err(|e| {
        format!("`{called}` is not a list of tests: {e}; a test is {{ request, entities, … }}")
    })?;
    Ok(tests.map(|test| trial(called, test)).collect())
}

/// The tests beside the cases of a folder, and what came of each: decided by Cedar, as loading does.
#[must_use]
pub fn of_workshop(shop: &Workshop) -> Vec<(Trial, Outcome)> {
    let tests: Vec<Trial> =
        shop.cases().cedar_tests(shop.schema()).map(|(file, test)| trial(file, test)).collect();
    if tests.is_empty() {
        return Vec::new();
    }
    let set = PolicySet::from_policies(shop.policies().iter().map(|source| source.policy().clone()));
    let (set, fault) = match set {
        Ok(set) => (set, None),
        Err(e) => (PolicySet::new(), Some(e.to_string())),
    };
    trial::of_set(&set, tests, fault.as_deref())
}

fn trial(file: &str, test: CedarTest) -> Trial {
    Trial {
        file: file.to_owned(),
        line: test.line,
        name: test.name,
        expect: Expect { decision: test.decision, by: By::AtLeast(test.reason), errors: test.errors },
        asked: test.asked.map(|(request, entities)| vec![Asked { request, entities }]),
        on_error: OnError::Skip,
    }
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

fn beside(dir: &Path, name: &str) -> Result<String, String> {
    let unread = |e: std::io::Error| format!("the entities in `{name}` cannot be read: {e}");
    let path = dir.join(name).canonicalize().map_err(unread)?;
    if !path.starts_with(dir.canonicalize().map_err(unread)?) {
        return Err(format!("the entities in `{name}` are not beside the tests; put them there"));
    }
    bounded(&path).map_err(unread)
}

fn bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > POLICY_FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {POLICY_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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

    /// However many tests name a file, what it says is held once.
    #[test]
    fn the_entities_of_a_file_are_shared() {
        let test = format!(
            r#"{{"request":{REQUEST},"entities":"e.json","decision":"deny","reason":[],"num_errors":0}}"#
        );
        let tests = format!("[{test},{test}]");
        let dir = dir(&[("x.json", &tests), ("e.json", "[]")]);
        let trials = read(&dir.path().join("x.json"), "x.json", None).unwrap();
        let of = |trial: usize| &trials[trial].asked.as_ref().unwrap()[0].entities;
        assert!(Arc::ptr_eq(of(0), of(1)));
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
