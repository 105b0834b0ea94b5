//! Red lines: what must hold of the policies, whoever edits them. They are proved, and never enforced.
//!
//! A red line is written like a policy, in `invariants/`. A `forbid` says what must never be allowed, a
//! `permit` what must always be allowed. With `@no_more_than` a `forbid` compares: what is allowed here must
//! be allowed as well to the same request with one fact changed.

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid, Policy, PolicySet, Schema, ValidationMode, Validator};
use serde_json::{Value, json};

use crate::compile::{self, Compiled};
use crate::failure::{Finding, SourceFile};
use crate::known::{self, Known};
use crate::rule::Rule;
use crate::vocabulary::{Vocabulary, whole};

/// How many steps there may be in `principal.onBehalfOf.employment`, the first word apart.
const STEPS_MAX: usize = 2;

/// What must hold of the policies.
#[derive(Debug)]
pub struct RedLine {
    compiled: Compiled,
    claim: Claim,
    unknown_blocks: bool,
}

/// What a red line claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// What it matches is never allowed.
    Never,
    /// What it matches is always allowed.
    Always,
    /// What it matches is allowed only where it would be with one fact changed.
    NoMoreThan(Changed),
}

/// One fact of a request, as another one would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which: `principal`, `employment`.
    pub path: Vec<String>,
    /// What it is instead.
    pub value: EntityUid,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.path.join("."), self.value)
    }
}

impl RedLine {
    /// The line as it is written, under its own name.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.compiled.policy
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.compiled.policy.id().as_ref()
    }

    /// One line for people; its name where it says none.
    #[must_use]
    pub fn title(&self) -> &str {
        self.compiled.policy.annotation("title").filter(|t| !t.is_empty()).unwrap_or(self.id())
    }

    /// The team that drew it.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.compiled.policy.annotation("owner").filter(|t| !t.is_empty())
    }

    /// The file, by its path within the folder.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.compiled.file.path
    }

    /// What it claims.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether policies of which nobody could prove it are kept back, as they are unless it says
    /// `@unknown("report")`.
    #[must_use]
    pub const fn unknown_blocks(&self) -> bool {
        self.unknown_blocks
    }
}

/// Reads the red lines of these files. `policies` are those that are in force beside them: no name stands
/// for two.
pub(crate) fn read(
    files: &[Arc<SourceFile>],
    policies: &[Compiled],
    words: Option<&Vocabulary>,
    known: Option<&Known>,
    findings: &mut Vec<Finding>,
    hints: &mut Vec<Finding>,
) -> Vec<RedLine> {
    let mut all = Vec::new();
    for file in files {
        let mut lacks = Vec::new();
        all.extend(compile::policies(file, findings, &mut lacks));
        // Nobody at the door ever meets a red line.
        hints.extend(
            lacks.into_iter().filter(|hint| !matches!(hint.rule(), Rule::NoReason | Rule::UnknownSeverity)),
        );
    }
    let all = compile::unique(all, findings);
    for line in &all {
        if policies.iter().any(|p| p.policy.id() == line.policy.id()) {
            let message = format!("the name `{}` is taken by a policy", line.policy.id());
            let finding = line.finding(message).rule_is(Rule::DuplicateId);
            findings.push(finding.help("a red line has a name of its own, such as `line.what-it-says`"));
        }
    }
    let before = findings.len();
    if let Some(words) = words {
        compile::validate(&words.schema, &all, findings);
        known::people(words, &all, known, findings);
        if let Some(known) = known {
            known.check(words, &all, findings);
        }
    }
    let valid = findings.len() == before;
    let lines: Vec<RedLine> = all.into_iter().filter_map(|compiled| line(compiled, findings)).collect();
    // What a line says itself is to be mended first: the scope is that of the line.
    if let Some(words) = words.filter(|_| valid) {
        lines.iter().for_each(|line| fits(line, &words.schema, findings));
    }
    lines
}

/// Finds out whether everything that the line matches has the fact that it compares by, and can have the
/// value. A fact that is misspelt would be asked for by no policy, and the comparison prove itself.
fn fits(line: &RedLine, schema: &Schema, findings: &mut Vec<Finding>) {
    let Claim::NoMoreThan(changed) = &line.claim else { return };
    let compiled = &line.compiled;
    let told = asks_for(&compiled.policy, changed).and_then(|asks| {
        let set = PolicySet::from_policies([asks]).map_err(|e| e.to_string())?;
        let validator = Validator::new(schema.clone());
        let result = validator.validate_with_level(&set, ValidationMode::Strict, compile::LOOKS_MAX);
        let mut told = result.validation_errors().map(|e| whole(e)).collect::<Vec<_>>();
        told.extend(result.validation_warnings().map(|e| whole(e)));
        told.into_iter().next().map_or(Ok(()), Err)
    });
    if let Err(why) = told {
        let at = compiled.annotation("no_more_than");
        let finding = compiled.finding_at(at, format!("`{changed}` cannot be compared by: {why}"));
        findings.push(finding.rule_is(Rule::RedLine).help(
            "name a fact that everybody has whom the line is about (`principal is User`), and a value that it \
             can have; the words are in the schema",
        ));
    }
}

/// A policy about what the line matches that asks for the fact.
fn asks_for(line: &Policy, changed: &Changed) -> Result<Policy, String> {
    let Some((root, attrs)) = changed.path.split_first() else { return Err("a fact has a name".to_owned()) };
    let fact = attrs
        .iter()
        .fold(json!({ "Var": root }), |left, attr| json!({ ".": { "left": left, "attr": attr } }));
    let (kind, id) = (changed.value.type_name().to_string(), changed.value.id().unescaped());
    let value = json!({ "Value": { "__entity": { "type": kind, "id": id } } });
    let body = json!({ "==": { "left": fact, "right": value } });
    let mut json: Value = line.to_json().map_err(|e| e.to_string())?;
    let conditions = json.get_mut("conditions").and_then(Value::as_array_mut);
    conditions.ok_or("a policy has no conditions")?.push(json!({ "kind": "when", "body": body }));
    Policy::from_json(Some(line.id().clone()), json).map_err(|e| e.to_string())
}

/// Whether a red line that was read must be known to hold.
pub(crate) fn blocks(line: &Policy) -> bool {
    line.annotation("unknown") != Some("report")
}

fn line(compiled: Compiled, findings: &mut Vec<Finding>) -> Option<RedLine> {
    let mut wrong = |message: String, help: &str| {
        findings.push(compiled.finding(message).rule_is(Rule::RedLine).help(help));
    };
    let unknown_blocks = match compiled.policy.annotation("unknown") {
        None | Some("block" | "report") => blocks(&compiled.policy),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            wrong(format!("`@unknown(\"{shown}\")` says nothing"), "write \"block\" or \"report\"");
            return None;
        }
    };
    let claim = match (compiled.policy.effect(), compiled.policy.annotation("no_more_than")) {
        (Effect::Forbid, None) => Claim::Never,
        (Effect::Permit, None) => Claim::Always,
        (Effect::Forbid, Some(written)) => match changed(written) {
            Ok(changed) => Claim::NoMoreThan(changed),
            Err(why) => {
                wrong(
                    why,
                    "write one fact and what it would be: \
                     `@no_more_than(\"principal.employment = Employment::\\\"employee\\\"\")`",
                );
                return None;
            }
        },
        (Effect::Permit, Some(_)) => {
            wrong("`@no_more_than` belongs to a forbid".to_owned(), "write `forbid` instead of `permit`");
            return None;
        }
    };
    Some(RedLine { compiled, claim, unknown_blocks })
}

/// Reads `principal.employment = Employment::"employee"`.
fn changed(written: &str) -> Result<Changed, String> {
    let (fact, value) = written.split_once('=').ok_or("`@no_more_than` lacks a `=`")?;
    let path: Vec<String> = fact.trim().split('.').map(str::to_owned).collect();
    let word = |w: &String| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let root = path.first().map(String::as_str);
    let fits = (2..=STEPS_MAX + 1).contains(&path.len()) && path.iter().all(word);
    if !matches!(root, Some("principal" | "resource" | "context")) || !fits {
        return Err("`@no_more_than` names no fact of the principal, the resource or the context".to_owned());
    }
    let value = value.trim().parse().map_err(|_| "`@no_more_than` does not end in a value".to_owned())?;
    Ok(Changed { path, value })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{LoadFailure, Workshop};

    const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
    const POLICY: &str = "@id(\"app\") @title(\"t\") @owner(\"o\")
        permit (principal is User, action, resource in App::\"wiki\");";

    /// A folder with one policy and these red lines.
    fn load(lines: &str) -> Result<Workshop, LoadFailure> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in
            [("schema.cedarschema", SCHEMA), ("a.cedar", POLICY), ("invariants/l.cedar", lines)]
        {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Workshop::open(dir.path(), None)
    }

    #[test]
    fn a_red_line_is_read_and_never_in_force() {
        let text =
            "@id(\"line\") @title(\"Nobody\") @unknown(\"report\") forbid (principal, action, resource);";
        let workshop = load(text).unwrap();
        let [line] = workshop.red_lines() else { panic!("one line") };
        assert_eq!((line.id(), line.title(), line.owner()), ("line", "Nobody", None));
        assert_eq!(
            (line.file(), line.claim(), line.unknown_blocks()),
            ("invariants/l.cedar", &Claim::Never, false)
        );
        assert_eq!((workshop.bundle().policies(), workshop.policies().len()), (1, 1));
        // It counts in the revision: who changes a line changes what was proved.
        let other = load(&text.replace("Nobody", "No one")).unwrap();
        assert_ne!(workshop.bundle().revision(), other.bundle().revision());
        // Of what it lacks only the owner is asked for: nobody at the door reads a reason.
        let hints: Vec<&str> = workshop
            .hints()
            .iter()
            .filter(|h| h.file() == Some("invariants/l.cedar"))
            .map(Finding::message)
            .collect();
        assert_eq!(hints, ["`line` has no `@owner`"]);
    }

    #[test]
    fn what_nobody_can_prove_is_a_mistake_with_its_place() {
        let line = |before: &str, after: &str| format!("@id(\"line\") {before} {after};");
        let all = "(principal, action, resource)";
        let no_more = |fact: &str, who: &str| {
            line(&format!("@no_more_than(\"{fact}\")"), &format!("forbid ({who}, action, resource)"))
        };
        for (text, told) in [
            (line("@unknown(\"maybe\")", &format!("forbid {all}")), "`@unknown(\"maybe\")` says nothing"),
            (line("@no_more_than(\"x\")", &format!("forbid {all}")), "`@no_more_than` lacks a `=`"),
            // It would be read as a line that forbids all, and one that keeps policies back.
            (line("@no_more_then(\"x\")", &format!("forbid {all}")), "did you mean `@no_more_than`?"),
            (line("@unknwn(\"report\")", &format!("forbid {all}")), "did you mean `@unknown`?"),
            (
                line(
                    "@no_more_than(\"principal.employment = Employment::\\\"employee\\\"\")",
                    &format!("permit {all}"),
                ),
                "`@no_more_than` belongs to a forbid",
            ),
            (format!("@id(\"app\") forbid {all};"), "the name `app` is taken by a policy"),
            (format!("forbid {all};"), "this policy has no name"),
            (line("", "forbid (principal, action, resource == App::\"wiki\")"), "impossible"),
            (line("", "forbid (principal, action, resource) when { context.nothing }"), "nothing"),
            (line("", "forbid (principal, action)"), "invariants/l.cedar:1:"),
            (no_more("principal.employmnt = Employment::\\\"employee\\\"", "principal is User"), "employmnt"),
            (
                no_more("resource.employment = Employment::\\\"employee\\\"", "principal is User"),
                "employment",
            ),
            (no_more("principal.lifecycle = Employment::\\\"employee\\\"", "principal is User"), "compar"),
            (no_more("principal.employment = Employment::\\\"employe\\\"", "principal is User"), "employe"),
            (no_more("principal.department = Employment::\\\"employee\\\"", "principal is User"), "compar"),
            // A visitor has no employment, and would be compared by nothing.
            (no_more("principal.employment = Employment::\\\"employee\\\"", "principal"), "employment"),
        ] {
            let failure = load(&text).map(|_| text.clone()).unwrap_err();
            let plain = failure.plain();
            assert!(plain.contains("invariants/l.cedar:1:") && plain.contains(told), "{text}\n{plain}");
        }
    }

    #[test]
    fn a_changed_fact_is_read_and_nothing_else() {
        let read = changed("principal.onBehalfOf.employment = Employment::\"employee\"").unwrap();
        assert_eq!(read.path, ["principal", "onBehalfOf", "employment"]);
        assert_eq!(read.value.to_string(), "Employment::\"employee\"");
        for bad in [
            "",
            "principal",
            "principal = User::\"a\"",
            "principal.employment",
            "principal.employment = ",
            "principal.employment = employee",
            "action.x = A::\"b\"",
            "principal..x = A::\"b\"",
            "principal.a.b.c = A::\"b\"",
            "principal.a b = A::\"b\"",
        ] {
            assert!(changed(bad).is_err(), "{bad}");
        }
    }
}
