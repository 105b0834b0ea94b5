//! From text to policies that the schema accepts.

mod group;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use cedar_policy_core::ast;
use cedar_policy_core::parser::Loc;
use doorward_model::limits::{POLICY_FINDINGS_MAX, POLICY_ID_BYTES_MAX};
use miette::Diagnostic;

use crate::advice;
use crate::failure::{Finding, SourceFile, Span};
use crate::mode;
use crate::rule::Rule;
use crate::shape::{self, Language, Statement};
use crate::slips;

pub(crate) use self::group::one_of_a_group;

/// How many steps a policy may look from one entity to the next: `principal.onBehalfOf.lifecycle`
/// is two. The entities of a request are closed for as many steps.
pub(crate) const LOOKS_MAX: u32 = 2;

/// How many policies are given to the validator at once.
const PORTION: usize = 64;

/// With more mistakes than this no more are sought: many of them are found more than once, and
/// only so many are shown.
pub(crate) const FINDINGS_SOUGHT_MAX: usize = 5 * POLICY_FINDINGS_MAX;

/// How much of Cedar's help is shown.
const HELP_CHARS_MAX: usize = 200;

/// The folder whose policies can only take away.
const GUARDRAILS: &str = "guardrails/";

/// A policy and where it stands.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) policy: Policy,
    pub(crate) file: Arc<SourceFile>,
    pub(crate) span: Span,
    /// Everything that it names, each once.
    pub(crate) literals: HashSet<EntityUid>,
}

impl Compiled {
    /// A finding about the policy, with a mark under its first line.
    pub(crate) fn finding(&self, message: impl Into<String>) -> Finding {
        self.finding_at(first_line(&self.file, self.span), message)
    }

    /// A finding about the policy, with a mark under this.
    pub(crate) fn finding_at(&self, span: Span, message: impl Into<String>) -> Finding {
        let id: &str = self.policy.id().as_ref();
        Finding::new(message).at(&self.file, Some(span)).of_policy(id)
    }

    /// The policy as it is written.
    pub(crate) fn text(&self) -> &str {
        self.file.text.get(self.span.start..self.span.start + self.span.len).unwrap_or_default()
    }

    /// Where the policy says `needle`; its first line if it says it in other letters.
    pub(crate) fn find(&self, needle: &str) -> Span {
        match self.text().find(needle) {
            Some(at) => Span { start: self.span.start + at, len: needle.len() },
            None => first_line(&self.file, self.span),
        }
    }

    /// Where the policy says `@name`; its first line if it does not say that.
    pub(crate) fn annotation(&self, name: &str) -> Span {
        let policy: &ast::Policy = self.policy.as_ref();
        let written = policy.annotations().find(|(key, _)| AsRef::<str>::as_ref(key) == name);
        let Some(whole) = written.and_then(|(_, annotation)| self.place(annotation.loc.as_ref())) else {
            return first_line(&self.file, self.span);
        };
        // Without the value, if nothing stands between the `@` and the name.
        let head = format!("@{name}");
        let text = self.file.text.get(whole.start..).unwrap_or_default();
        if text.starts_with(&head) { Span { len: head.len(), ..whole } } else { whole }
    }

    /// Where in the file something stands that Cedar read in the policy.
    fn place(&self, loc: Option<&Loc>) -> Option<Span> {
        let policy: &ast::Policy = self.policy.as_ref();
        let (loc, base) = (loc?, policy.loc()?.start());
        Some(Span { start: self.span.start + loc.start().checked_sub(base)?, len: loc.end() - loc.start() })
    }
}

fn first_line(file: &SourceFile, span: Span) -> Span {
    let text = file.text.get(span.start..span.start + span.len).unwrap_or_default();
    Span { start: span.start, len: text.lines().next().map_or(0, str::len) }
}

/// Reads the schema.
pub(crate) fn schema(file: &Arc<SourceFile>, findings: &mut Vec<Finding>) -> Option<Schema> {
    let shape = shape::statements(&file.text, Language::Schema);
    if let Err(large) = shape.and_then(|_| shape::schema(&file.text)) {
        let finding = Finding::new(large.message).rule_is(Rule::TooDeep);
        findings.push(finding.at(file, Some(large.span)).help(large.help));
        return None;
    }
    match Schema::from_cedarschema_str(&file.text) {
        Ok((schema, warnings)) => {
            findings.extend(warnings.map(|w| from_cedar(&w, file, 0).rule_is(Rule::Schema)));
            if schema.is_complete() {
                return Some(schema);
            }
            let open = Finding::new("the schema leaves types or actions to another one")
                .rule_is(Rule::Schema)
                .at(file, None);
            findings.push(open.help("there is one schema: write them out instead of `external`"));
            None
        }
        Err(e) => {
            findings.push(from_cedar(&e, file, 0).rule_is(Rule::Schema));
            None
        }
    }
}

/// Reads one file of policies. Those that can be read are returned, so that what is wrong with
/// them is found as well.
pub(crate) fn policies(
    file: &Arc<SourceFile>,
    findings: &mut Vec<Finding>,
    hints: &mut Vec<Finding>,
) -> Vec<Compiled> {
    let statements = match shape::statements(&file.text, Language::Policies) {
        Ok(statements) => statements,
        Err(deep) => {
            let finding = Finding::new(deep.message).rule_is(Rule::TooDeep);
            findings.push(finding.at(file, Some(deep.span)).help(deep.help));
            return Vec::new();
        }
    };
    if statements.is_empty() {
        // What is left of a file that is being written, or was cut short.
        let none = Finding::new("there is no policy in this file").rule_is(Rule::Empty).at(file, None);
        findings.push(none.help("remove the file if that is meant"));
    }
    let mut found = Vec::new();
    for statement in statements {
        // A file of nothing but mistakes is not read to its end.
        if findings.len() > FINDINGS_SOUGHT_MAX {
            break;
        }
        if let Some(compiled) = policy(file, &statement, findings) {
            annotations(&compiled, &statement, hints);
            unread(&compiled, findings, hints);
            found.push(compiled);
        }
    }
    found
}

fn policy(file: &Arc<SourceFile>, statement: &Statement, findings: &mut Vec<Finding>) -> Option<Compiled> {
    let span = statement.span;
    let text = file.text.get(span.start..span.start + span.len)?;
    let policy = match Policy::parse(None, text) {
        Ok(policy) => policy,
        Err(errors) => {
            findings.extend(errors.iter().map(|e| {
                let finding = misspelt(e, file, span.start);
                if finding.message().contains("template") {
                    return finding.rule_is(Rule::Template).help(
                        "write the user, role or app itself where the `?` stands; templates are not used",
                    );
                }
                finding
            }));
            return None;
        }
    };
    let literals = policy.entity_literals().into_iter().collect();
    let compiled = Compiled { policy, file: Arc::clone(file), span, literals };
    let id = id(&compiled, findings);
    let compiled = Compiled { policy: compiled.policy.new_id(id), ..compiled };
    if file.path.starts_with(GUARDRAILS) && compiled.policy.effect() == Effect::Permit {
        let finding = compiled.finding("a guardrail can only forbid").rule_is(Rule::PermitInGuardrails);
        findings.push(finding.help("move this permit to a file in `apps/`"));
    }
    if let Some((message, help)) = advice::fault(&compiled.policy) {
        findings.push(compiled.finding(message).rule_is(Rule::Advice).help(help));
    }
    if let Some((message, help)) = mode::fault(&compiled.policy) {
        findings.push(compiled.finding(message).rule_is(Rule::Mode).help(help));
    }
    Some(compiled)
}

/// The name of a policy. Where it has none that is one, it is called by its place, so that all else that is wrong
/// with it is found as well: no name that a policy may have reads so.
fn id(compiled: &Compiled, findings: &mut Vec<Finding>) -> PolicyId {
    let finding = match compiled.policy.annotation("id") {
        Some(id) if fits(id) => return PolicyId::new(id),
        Some(id) => {
            let shown: String = id.chars().take(80).collect();
            let message = format!("`{shown}` is not a name for a policy");
            let help = format!("use 1 to {POLICY_ID_BYTES_MAX} of a-z, A-Z, 0-9, `.`, `-` and `_`");
            unnamed(compiled, message).rule_is(Rule::BadId).help(help)
        }
        None => unnamed(compiled, "this policy has no name".to_owned())
            .rule_is(Rule::NoId)
            .help("write `@id(\"app.what-it-says\")` before it; the log names policies by it"),
    };
    let (line, column) = finding.line_and_column().unwrap_or_default();
    findings.push(finding);
    PolicyId::new(format!("policy at {}:{line}:{column}", compiled.file.path))
}

/// A finding about a policy that has no name to be told by.
fn unnamed(compiled: &Compiled, message: String) -> Finding {
    Finding::new(message).at(&compiled.file, Some(first_line(&compiled.file, compiled.span)))
}

fn fits(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=POLICY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// What a policy should say about itself, and what makes it fragile.
fn annotations(compiled: &Compiled, statement: &Statement, hints: &mut Vec<Finding>) {
    let policy = &compiled.policy;
    let id = policy.id();
    let mut lacks = |rule: Rule, key: &str, why: &str| {
        if policy.annotation(key).is_none_or(str::is_empty) {
            let hint = compiled.finding(format!("`{id}` has no `@{key}`")).rule_is(rule);
            hints.push(hint.help(why.to_owned()));
        }
    };
    lacks(Rule::NoTitle, "title", "one line for people: what does it say?");
    lacks(Rule::NoOwner, "owner", "which team is asked when it is in the way?");
    if policy.effect() == Effect::Forbid {
        lacks(Rule::NoReason, "reason", "what should the person at the door read?");
    }
    if policy.annotation("severity").is_some_and(|s| severity(Some(s)).is_none()) {
        let hint = compiled.finding(format!("`{id}` has a `@severity` that nobody knows"));
        let hint = hint.rule_is(Rule::UnknownSeverity);
        hints.push(hint.help("use critical, high, medium or low"));
    }
    if let Some(at) = statement.arithmetic {
        let hint = compiled.finding_at(at, format!("`{id}` computes")).rule_is(Rule::Arithmetic);
        hints.push(hint.help(
            "a number that grows too large refuses every request that the policy is asked about; compare what the gateway has computed",
        ));
    }
}

/// Annotations that nobody reads, where another one was meant.
fn unread(compiled: &Compiled, findings: &mut Vec<Finding>, hints: &mut Vec<Finding>) {
    for slip in slips::of(&compiled.policy) {
        let at = compiled.annotation(&slip.written);
        let told = compiled.finding_at(at, format!("nobody reads `@{}`", slip.written));
        let told = told.help(format!("did you mean `@{}`?", slip.near));
        if slip.decides {
            findings.push(told.rule_is(Rule::Annotation));
        } else {
            hints.push(told.rule_is(Rule::NearAnnotation));
        }
    }
}

/// The rank of a severity, the gravest first; none for a word that is not one.
pub(crate) fn severity(word: Option<&str>) -> Option<u8> {
    match word {
        Some("critical") => Some(0),
        Some("high") => Some(1),
        Some("medium") => Some(2),
        Some("low") => Some(3),
        Some(_) | None => None,
    }
}

/// Drops policies whose name another one has, with a finding for each.
pub(crate) fn unique(all: Vec<Compiled>, findings: &mut Vec<Finding>) -> Vec<Compiled> {
    let mut first: HashMap<PolicyId, usize> = HashMap::new();
    let mut kept: Vec<Compiled> = Vec::with_capacity(all.len());
    for compiled in all {
        let id = compiled.policy.id().clone();
        match first.get(&id).and_then(|at| kept.get(*at)) {
            Some(other) => {
                let line = other.finding("").line_and_column().map_or(0, |(line, _)| line);
                let message = format!("the name `{id}` is taken by the policy at {}:{line}", other.file.path);
                findings.push(
                    compiled
                        .finding(message)
                        .rule_is(Rule::DuplicateId)
                        .help("every policy has its own `@id`, in all files together"),
                );
            }
            None => {
                first.insert(id, kept.len());
                kept.push(compiled);
            }
        }
    }
    kept
}

/// Checks policies against the schema. What Cedar only warns about is a mistake here: a policy
/// that can never apply is a forbid that does not forbid.
///
/// The validator looks at each policy for itself, so they are given to it in portions, and no more
/// of them once there are more mistakes than anybody reads: each mistake comes up once for every
/// kind of principal and action.
pub(crate) fn validate(schema: &Schema, all: &[Compiled], findings: &mut Vec<Finding>) {
    let validator = Validator::new(schema.clone());
    for portion in all.chunks(PORTION) {
        if findings.len() > FINDINGS_SOUGHT_MAX {
            return;
        }
        validate_portion(&validator, portion, findings);
    }
}

fn validate_portion(validator: &Validator, portion: &[Compiled], findings: &mut Vec<Finding>) {
    let set = match PolicySet::from_policies(portion.iter().map(|c| c.policy.clone())) {
        Ok(set) => set,
        Err(e) => return findings.push(Finding::new(e.to_string())),
    };
    let mut wrong: HashSet<&PolicyId> = HashSet::new();
    for compiled in portion {
        let told = group::findings(compiled, validator.schema());
        if !told.is_empty() {
            wrong.insert(compiled.policy.id());
            findings.extend(told);
        }
    }
    let by_id: HashMap<&PolicyId, &Compiled> = portion.iter().map(|c| (c.policy.id(), c)).collect();
    let mut push = |rule: Rule, id: &PolicyId, e: &dyn Diagnostic| {
        findings.push(match by_id.get(id) {
            Some(compiled) => said(compiled, rule, e),
            None => Finding::new(e.to_string()).rule_is(rule),
        });
    };
    let result = validator.validate_with_level(&set, ValidationMode::Strict, LOOKS_MAX);
    for e in result.validation_errors() {
        wrong.insert(e.policy_id());
        push(Rule::Invalid, e.policy_id(), e);
    }
    // A policy with a typo in its scope can never apply either: the typo is what is to be mended.
    let only_warned = result.validation_warnings().filter(|w| !wrong.contains(w.policy_id()));
    only_warned.for_each(|w| push(Rule::Impossible, w.policy_id(), w));
}

/// What Cedar says about a policy, at its place in the file, or else at the policy.
pub(crate) fn said(compiled: &Compiled, rule: Rule, e: &dyn Diagnostic) -> Finding {
    let finding = from_cedar(e, &compiled.file, compiled.span.start);
    let placed = finding.line_and_column().is_some();
    let finding = if placed {
        finding
    } else {
        finding.at(&compiled.file, Some(first_line(&compiled.file, compiled.span)))
    };
    let name: &str = compiled.policy.id().as_ref();
    let finding = finding.of_policy(name).rule_is(rule);
    if finding.help_text().is_some() {
        return finding;
    }
    finding.help(if rule == Rule::Impossible {
        "mend what it says, or remove it: a policy that never applies is a mistake"
    } else {
        "the words that a policy may use are in the schema; policies/README.md explains them"
    })
}

/// What Cedar says of a text that is no policy.
pub(crate) fn misspelt(e: &dyn Diagnostic, file: &Arc<SourceFile>, base: usize) -> Finding {
    let finding = from_cedar(e, file, base).rule_is(Rule::Syntax);
    match finding.help_text() {
        Some(_) => finding,
        None => {
            finding.help("look at what stands before it: a comma, a bracket or a semicolon may be missing")
        }
    }
}

/// What Cedar says, at its place in the file. `base` is where the text that Cedar saw begins.
pub(crate) fn from_cedar(e: &dyn Diagnostic, file: &Arc<SourceFile>, base: usize) -> Finding {
    let span = e.labels().and_then(|mut labels| labels.next()).map(|label| {
        let start = (base + label.offset()).min(file.text.len());
        Span { start, len: label.len().min(file.text.len() - start) }
    });
    let mut message = e.to_string();
    if let Some(more) = e.labels().and_then(|mut l| l.next()).and_then(|l| l.label().map(str::to_owned)) {
        message = format!("{message}: {more}");
    }
    let finding = Finding::new(message).at(file, span);
    match e.help() {
        Some(help) => finding.help(shortened(help.to_string())),
        None => finding,
    }
}

/// Cedar lists all 251 countries to someone who mistyped one.
fn shortened(help: String) -> String {
    match help.char_indices().nth(HELP_CHARS_MAX) {
        Some((cut, _)) => format!("{} …", help.get(..cut).unwrap_or_default()),
        None => help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_that_nobody_reads_is_told_where_it_stands() {
        for (before, marked, after) in [
            ("// first\n", "@mod", "(\"report\")"),
            ("@mode(\"report\") ", "@mod", "(\"report\")"),
            ("@modes_of_ours(\"x\") ", "@modes", ""),
            ("@title(\"see @mod\")\n", "@mod", "(\"report\")"),
            ("@title(\"é\") // not @mod(\"report\")\n", "@mod", " (\"report\")"),
            ("@title(\"t\") ", "@ mod(\"report\")", ""),
        ] {
            let text = format!("{before}{marked}{after} @id(\"x\") forbid (principal, action, resource);");
            let file = SourceFile::new("apps/x.cedar".to_owned(), text.clone());
            let mut findings = Vec::new();
            policies(&file, &mut findings, &mut Vec::new());
            let places: Vec<&str> = findings
                .iter()
                .map(|finding| {
                    assert_eq!(finding.rule(), Rule::Annotation, "{text}\n{finding}");
                    let label = finding.labels().unwrap().next().unwrap();
                    assert_eq!(label.offset(), before.len(), "{text}");
                    &text[label.offset()..label.offset() + label.len()]
                })
                .collect();
            assert_eq!(places, [marked], "{text}");
        }
    }
}
