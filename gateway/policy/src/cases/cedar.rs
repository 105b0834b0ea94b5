//! Tests in the format of Cedar's own command line (`cedar run-tests`), which a folder may have beside its cases.
//!
//! A file is a JSON list of `{ name?, request: { principal, action, resource, context }, entities, decision, reason,
//! num_errors }`; `entities` is a list, or the name of a file beside it. What counts is what Cedar's command line counts:
//! the decision is Cedar's (a policy that fails is passed over), the policies of `reason` must be among those that
//! decide, and `num_errors` policies must fail.
//!
//! A case asks the policies that can matter to it, as a request does. A test says its own entities, so it asks all of
//! them: how many of these questions loading asks is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Response, Schema};
use doorward_model::limits::POLICY_TEST_ANSWERS_MAX;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Cases;
use crate::bundle::PolicyBundle;
use crate::compile::FINDINGS_SOUGHT_MAX;
use crate::failure::{Finding, SourceFile, Span};
use crate::question::Decision;
use crate::rule::Rule;

/// How a file of tests is called. Other files of JSON are entities that tests name.
const TESTS: &str = ".tests.json";

/// One test.
#[derive(Debug)]
pub struct CedarTest {
    /// Where it begins in its file, from 1.
    pub line: usize,
    /// What it shows; `test 3` where it does not say.
    pub name: String,
    /// What must come of it.
    pub decision: Decision,
    /// The policies that must be among those that decide.
    pub reason: BTreeSet<String>,
    /// How many policies must fail.
    pub errors: usize,
    /// What is asked; or why it cannot be asked.
    pub asked: Result<(Request, Arc<Entities>), String>,
    /// Its bytes in the file.
    span: Span,
}

/// The files of tests of a folder, and the entities that they name.
#[derive(Debug, Default)]
pub(super) struct Tests {
    /// Each with how many tests are in it.
    files: Vec<(Arc<SourceFile>, usize)>,
    entities: BTreeMap<String, Arc<SourceFile>>,
}

/// One test as written.
#[derive(Debug, Deserialize)]
#[serde(expecting = "{ request, entities, decision, reason, num_errors }")]
struct Written {
    request: WrittenRequest,
    entities: Value,
    decision: WrittenDecision,
    reason: BTreeSet<String>,
    num_errors: usize,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "{ principal, action, resource, context }")]
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

/// Reads the tests in a text, one after the other. A test that cannot be asked is among them and says why. `beside` is
/// the text of a file that a test names for its entities; each is asked for once.
///
/// # Errors
/// It is no list.
pub fn read_tests<'a>(
    text: &'a str,
    schema: Option<&'a Schema>,
    beside: impl Fn(&str) -> Result<String, String> + 'a,
) -> Result<impl Iterator<Item = CedarTest> + 'a, String> {
    let all: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut named = BTreeMap::new();
    let (mut line, mut counted) = (1, 0);
    Ok(all.into_iter().enumerate().map(move |(number, raw)| {
        let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        line += text.get(counted..start).unwrap_or_default().matches('\n').count();
        counted = start;
        let test: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        let name = name_of(number, &test);
        let first = raw.get().lines().next().map_or(0, str::len);
        let nothing = CedarTest {
            line,
            name,
            decision: Decision::Deny,
            reason: BTreeSet::new(),
            errors: 0,
            asked: Err(String::new()),
            span: Span { start, len: first },
        };
        let written = match Written::deserialize(test) {
            Ok(written) => written,
            Err(e) => return CedarTest { asked: Err(format!("this is not a test: {e}")), ..nothing },
        };
        let asked = request(&written.request, schema)
            .and_then(|request| Ok((request, entities(written.entities, schema, &beside, &mut named)?)));
        let decision = match written.decision {
            WrittenDecision::Allow => Decision::Allow,
            WrittenDecision::Deny => Decision::Deny,
        };
        CedarTest { decision, reason: written.reason, errors: written.num_errors, asked, ..nothing }
    }))
}

/// What a test is called, the number of which begins with 0.
fn name_of(number: usize, test: &Value) -> String {
    let name = test.get("name").and_then(Value::as_str);
    name.map_or_else(|| format!("test {}", number + 1), str::to_owned)
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

/// The entities of a file, or why there are none.
type Named = BTreeMap<String, Result<Arc<Entities>, String>>;

fn entities(
    written: Value,
    schema: Option<&Schema>,
    beside: impl Fn(&str) -> Result<String, String>,
    named: &mut Named,
) -> Result<Arc<Entities>, String> {
    let wrong = |e: cedar_policy::entities_errors::EntitiesError| format!("the entities do not fit: {e}");
    let Value::String(name) = written else {
        return Entities::from_json_value(written, schema).map(Arc::new).map_err(wrong);
    };
    // A thousand tests over one large file read it once.
    let read = || Entities::from_json_str(&beside(&name)?, schema).map(Arc::new).map_err(wrong);
    if let Some(known) = named.get(&name) {
        return known.clone();
    }
    let read = read();
    named.insert(name, read.clone());
    read
}

impl CedarTest {
    /// What comes of it that was not expected, and what to do about it.
    fn miss(&self, policies: &PolicySet) -> Option<(String, String)> {
        let (request, entities) = match &self.asked {
            Ok(asked) => asked,
            Err(why) => {
                return Some((
                    format!("cannot be asked: {why}"),
                    "mend the test, or the policies".to_owned(),
                ));
            }
        };
        let response = Authorizer::new().is_authorized(request, policies, entities);
        let decision = match response.decision() {
            cedar_policy::Decision::Allow => Decision::Allow,
            cedar_policy::Decision::Deny => Decision::Deny,
        };
        let by: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let got = format!("got {decision} {}", because(&by));
        let mend = |help: &str| help.to_owned();
        if decision != self.decision {
            return Some((
                format!("expected {}, {got}", self.decision),
                mend("mend the policy, or the test"),
            ));
        }
        let failed = failures(&response);
        if failed.len() != self.errors {
            let message = format!("expected {} policies to fail, {} did; {got}", self.errors, failed.len());
            return Some((
                message,
                if failed.is_empty() { mend("mend the test") } else { failed.join("; ") },
            ));
        }
        let missing: Vec<&str> = self.reason.difference(&by).map(String::as_str).collect();
        (!missing.is_empty()).then(|| {
            let message = format!("expected {decision} by {} as well, {got}", missing.join(", "));
            (message, mend("the decision is right, its reason is not: mend the policy, or `reason`"))
        })
    }
}

fn because(by: &BTreeSet<String>) -> String {
    match by.is_empty() {
        true => "because nothing permits it".to_owned(),
        false => format!("by {}", by.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn failures(response: &Response) -> Vec<String> {
    let told = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(e) => {
            format!("{}: {}", e.policy_id(), e.inner())
        }
    });
    told.collect()
}

impl Tests {
    /// Takes these files for what they are called. What is in the lists is read when it is asked for.
    pub(super) fn read(files: &[Arc<SourceFile>], findings: &mut Vec<Finding>) -> Self {
        let mut all = Self::default();
        for source in files {
            if !source.path.ends_with(TESTS) {
                all.entities.insert(source.path.clone(), Arc::clone(source));
                continue;
            }
            match serde_json::from_str::<Vec<IgnoredAny>>(&source.text) {
                Ok(list) => all.files.push((Arc::clone(source), list.len())),
                Err(e) => {
                    let message = format!("this is not a list of tests: {e}");
                    let finding = Finding::new(message).rule_is(Rule::CaseSyntax);
                    let place = line(&source.text, e.line());
                    findings.push(finding.at(source, Some(place)).help(
                        "it is JSON as `cedar run-tests` reads it: a list of { request, entities, decision, reason, num_errors }",
                    ));
                }
            }
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.files.iter().map(|(_, tests)| tests).sum()
    }

    fn of<'a>(&'a self, source: &'a SourceFile, schema: &'a Schema) -> impl Iterator<Item = CedarTest> + 'a {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let tests = read_tests(&source.text, Some(schema), move |name| self.beside(folder, name));
        // That it is a list was found out when it was read.
        tests.into_iter().flatten()
    }

    /// The text of a file that a test names.
    fn beside(&self, folder: &str, name: &str) -> Result<String, String> {
        let within = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(name).components().all(within) {
            return Err(format!("the entities in `{name}` are not beside the tests; put them there"));
        }
        let path = format!("{folder}/{}", name.trim_start_matches("./"));
        let found = self.entities.get(&path).map(|file| file.text.clone());
        found.ok_or_else(|| {
            format!("the entities in `{name}` cannot be read: there is no `{path}`, which ends in `.json`")
        })
    }

    /// The name of each, and the text of it.
    pub(super) fn written(&self) -> impl Iterator<Item = (String, &str)> {
        let lists = self.files.iter().map(|(file, _)| serde_json::from_str::<Vec<&RawValue>>(&file.text));
        lists.flatten().flat_map(|list| {
            list.into_iter().enumerate().map(|(number, raw)| {
                let test = serde_json::from_str(raw.get()).unwrap_or_default();
                (name_of(number, &test), raw.get())
            })
        })
    }

    /// Asks every policy that decides about each test; adds a finding for each that does not hold.
    pub(super) fn run(&self, bundle: &PolicyBundle, findings: &mut Vec<Finding>) {
        let Some((first, _)) = self.files.first() else { return };
        let (tests, policies) = (self.len(), bundle.policies().max(1));
        if tests.saturating_mul(policies) > POLICY_TEST_ANSWERS_MAX {
            let message = format!(
                "{tests} tests of {policies} policies are more than {POLICY_TEST_ANSWERS_MAX} questions"
            );
            let help =
                "write them as cases in `cases/*.toml`, each of which asks only the policies that can matter";
            return findings.push(Finding::new(message).rule_is(Rule::TooLarge).help(help).at(first, None));
        }
        let set = match PolicySet::from_policies(bundle.every_policy().cloned()) {
            Ok(set) => set,
            Err(e) => return findings.push(Finding::new(e.to_string())),
        };
        for (source, _) in &self.files {
            for test in self.of(source, bundle.schema()) {
                // Nobody reads what else does not hold where nothing does.
                if findings.len() > FINDINGS_SOUGHT_MAX {
                    return;
                }
                let Some((message, help)) = test.miss(&set) else { continue };
                let finding =
                    Finding::new(format!("test `{}`: {message}", test.name)).rule_is(Rule::CaseFails);
                findings.push(finding.at(source, Some(test.span)).help(help));
            }
        }
    }
}

/// A line of a text, from 1, or the last.
fn line(text: &str, number: usize) -> Span {
    let start = text.match_indices('\n').nth(number.saturating_sub(2)).map_or(0, |(at, _)| at + 1);
    let start = if number < 2 { 0 } else { start };
    let len = text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    Span { start, len }
}

impl Cases {
    /// The tests in Cedar's own format, each with the path of its file within the folder.
    pub fn cedar_tests<'a>(&'a self, schema: &'a Schema) -> impl Iterator<Item = (&'a str, CedarTest)> + 'a {
        self.tests.files.iter().flat_map(move |(source, _)| {
            self.tests.of(source, schema).map(move |test| (source.path.as_str(), test))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "entity U; action x appliesTo { principal: [U], resource: [U] };";
    const REQUEST: &str =
        r#"{"principal":"U::\"a\"","action":"Action::\"x\"","resource":"U::\"b\"","context":{}}"#;

    fn test(entities: &str) -> String {
        format!(
            r#"{{"request":{REQUEST},"entities":{entities},"decision":"allow","reason":["p"],"num_errors":0}}"#
        )
    }

    fn folder(files: &[(&str, String)]) -> (Tests, Vec<Finding>) {
        let mut findings = Vec::new();
        let files: Vec<_> =
            files.iter().map(|(path, text)| SourceFile::new((*path).to_owned(), text.clone())).collect();
        (Tests::read(&files, &mut findings), findings)
    }

    #[test]
    fn a_test_is_found_on_its_line() {
        let text = "[\n {\"a\": [{}], \"b\": \"]}\\\"{\"},\n\n {\n}, {}, 3]";
        let lines = read_tests(text, None, |_| Err(String::new())).unwrap().map(|test| test.line);
        assert_eq!(lines.collect::<Vec<_>>(), [2, 4, 5, 5]);
        let (_, findings) = folder(&[("cases/x.tests.json", "[\n{},\n oops]".to_owned())]);
        assert_eq!(findings[0].extent().map(|e| (e.line, e.column, e.end_column)), Some((3, 1, 7)));
    }

    #[test]
    fn entities_come_from_a_file_beside_the_tests_and_from_no_other() {
        let one = |entities: &str| {
            let (tests, findings) = folder(&[
                ("cases/t/x.tests.json", format!("[{}]", test(entities))),
                ("cases/t/e.json", r#"[{"uid":{"type":"U","id":"a"},"attrs":{},"parents":[]}]"#.to_owned()),
                ("cases/out.json", "[]".to_owned()),
            ]);
            assert!(findings.is_empty(), "{findings:?}");
            let schema = Schema::from_cedarschema_str(SCHEMA).unwrap().0;
            tests.of(&tests.files[0].0, &schema).next().unwrap().asked.map(drop)
        };
        assert_eq!((one("[]"), one("\"e.json\""), one("\"./e.json\"")), (Ok(()), Ok(()), Ok(())));
        for outside in ["../out.json", "/cases/out.json"] {
            assert!(one(&format!("\"{outside}\"")).unwrap_err().contains("not beside the tests"));
        }
        assert!(one("\"none.json\"").unwrap_err().contains("cannot be read"));
        assert!(one("7").unwrap_err().contains("do not fit"));
    }

    #[test]
    fn what_is_no_test_is_one_that_cannot_be_asked() {
        let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
        let text = format!("[{{\"name\":\"n\",\"decision\":\"allow\"}}, 3, {deep}]");
        let all: Vec<CedarTest> = read_tests(&text, None, |_| Err(String::new())).unwrap().collect();
        assert_eq!((all.len(), all[0].name.as_str(), all[1].name.as_str()), (3, "n", "test 2"));
        assert!(all.iter().all(|t| t.asked.as_ref().unwrap_err().contains("not a test")));
    }

    #[test]
    fn what_does_not_hold_says_why() {
        let schema = Schema::from_cedarschema_str(SCHEMA).unwrap().0;
        let policy = |text: &str| {
            let policies = cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new("p")), text);
            PolicySet::from_policies([policies.unwrap()]).unwrap()
        };
        let all = policy("permit(principal,action,resource);");
        let miss = |change: [&str; 2], set: &PolicySet| {
            let text = format!("[{}]", test("[]").replace(change[0], change[1]));
            let first = read_tests(&text, Some(&schema), |_| Err(String::new())).unwrap().next().unwrap();
            first.miss(set).map(|(message, _)| message)
        };
        assert_eq!(miss(["", ""], &all), None);
        let told = |message: &str| Some(message.to_owned());
        assert_eq!(miss(["allow", "deny"], &all), told("expected deny, got allow by p"));
        let none = policy("forbid(principal,action,resource) when { false };");
        assert_eq!(miss(["", ""], &none), told("expected allow, got deny because nothing permits it"));
        assert_eq!(miss(["\"p\"", "\"q\""], &all), told("expected allow by q as well, got allow by p"));
        assert_eq!(
            miss(["\"num_errors\":0", "\"num_errors\":1"], &all),
            told("expected 1 policies to fail, 0 did; got allow by p")
        );
    }
}
