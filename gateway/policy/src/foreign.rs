//! Any set of Cedar policies, over whatever schema: for tools that are shown what somebody else wrote.
//!
//! None of Doorward's own rules hold for it: it need not be strictly valid, its policies need no name, its
//! schema may say anything. What holds is that reading it cannot end the process.

use std::iter;
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, Schema, Template};
use doorward_model::limits::{POLICY_FILE_BYTES_MAX, POLICY_LOAD_STACK_BYTES, POLICY_SCHEMA_BYTES_MAX};

use crate::compile::{self, Compiled, FINDINGS_SOUGHT_MAX};
use crate::failure::{Finding, SourceFile, tidy};
use crate::load::on_stack;
use crate::rule::Rule;
use crate::shape::{self, Language};
use crate::source::{BYTE_ORDER_MARK, marked};
use crate::workshop::PolicySource;

/// A set of policies that is not Doorward's.
#[derive(Debug)]
pub struct ForeignSet {
    schema: Option<Schema>,
    policies: Vec<PolicySource>,
    templates: usize,
}

impl ForeignSet {
    /// Reads a file of policies, and a schema if there is one: in Cedar's own words, or as JSON when its
    /// first letter is `{`. Each is given by the name that findings call it, and its text.
    ///
    /// A policy is called by its annotation `@id`, or `policy0`, `policy1`, … by its place in the file, as
    /// Cedar's own command line calls it. Templates are counted and passed over: nobody links them here.
    ///
    /// # Errors
    /// Every mistake in them, at once.
    pub fn read(schema: Option<(&str, &str)>, policies: (&str, &str)) -> Result<Self, Vec<Finding>> {
        let work = || {
            let mut findings = Vec::new();
            let schema = schema.and_then(|(name, text)| read_schema(name, text, &mut findings));
            let (policies, templates) = read_policies(policies.0, policies.1, &mut findings);
            if findings.is_empty() {
                return Ok(Self { schema, policies, templates });
            }
            tidy(&mut findings);
            Err(findings)
        };
        on_stack("policy-read", POLICY_LOAD_STACK_BYTES, work).unwrap_or_else(|e| Err(vec![Finding::new(e)]))
    }

    /// The schema, if one was given.
    #[must_use]
    pub const fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// The policies, in the order of the file.
    #[must_use]
    pub fn policies(&self) -> &[PolicySource] {
        &self.policies
    }

    /// How many templates were passed over.
    #[must_use]
    pub const fn templates(&self) -> usize {
        self.templates
    }
}

fn too_large(name: &str, most: u64) -> Finding {
    Finding::new(format!("this file is larger than {most} bytes"))
        .rule_is(Rule::TooLarge)
        .help("split it")
        .in_path(name)
}

/// Whether a text says anything that schemas say. What a parser has to say about another file quotes it, and that may
/// be a file of secrets whose name was mistyped.
fn looks_like_schema(text: &str) -> bool {
    if text.trim_start().starts_with('{') {
        return text.contains("\"entityTypes\"") || text.contains("\"actions\"") || text.trim() == "{";
    }
    says(text, |text| {
        let line = text.split(LINE_ENDS).next().unwrap_or_default();
        let word = line.split_whitespace().next().unwrap_or_default();
        matches!(word, "entity" | "action" | "namespace") || (word == "type" && line.contains('='))
    })
}

/// Whether a text says anything that policies say, for the same reason.
fn looks_like_policies(text: &str) -> bool {
    says(text, |text| {
        let behind = text.strip_prefix("permit").or_else(|| text.strip_prefix("forbid"));
        behind.is_some_and(|behind| behind_comments(behind).starts_with('('))
    })
}

/// Whether a line begins as it should, behind the comments and the annotations before it; or there is nothing but these.
fn says(text: &str, begins: impl Fn(&str) -> bool) -> bool {
    let mut rest = text;
    let mut lines = iter::from_fn(|| {
        let line = behind_annotations(rest);
        rest = behind_line(line);
        (!line.is_empty()).then_some(line)
    });
    lines.next().is_none_or(|first| begins(first) || lines.any(begins))
}

/// What ends a line, and a comment.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// A text behind its first line.
fn behind_line(text: &str) -> &str {
    text.split_once(LINE_ENDS).map_or("", |(_, behind)| behind)
}

/// A text behind the blanks and the comments with which it begins.
fn behind_comments(text: &str) -> &str {
    let mut text = text.trim_start();
    while text.starts_with("//") {
        text = behind_line(text).trim_start();
    }
    text
}

/// A text behind the comments and the annotations with which it begins.
fn behind_annotations(text: &str) -> &str {
    let mut text = behind_comments(text);
    while let Some(behind) = behind_annotation(text) {
        text = behind_comments(behind);
    }
    text
}

/// A text behind the annotation with which it begins, `@name` or `@name("…")`. None: it begins with none.
fn behind_annotation(text: &str) -> Option<&str> {
    let named = text.strip_prefix('@')?;
    let behind = named.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if behind.len() == named.len() {
        return None;
    }
    let Some(value) = behind_comments(behind).strip_prefix('(') else { return Some(behind) };
    let value = behind_comments(value).strip_prefix('"')?;
    let mut escaped = false;
    let end = value.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    behind_comments(value.get(end + 1..)?).strip_prefix(')')
}

fn read_schema(name: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Schema> {
    if text.len() as u64 > POLICY_SCHEMA_BYTES_MAX {
        findings.push(too_large(name, POLICY_SCHEMA_BYTES_MAX));
        return None;
    }
    let bare = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if !looks_like_schema(bare) {
        let finding = Finding::new("this is not a schema").rule_is(Rule::Schema).in_path(name);
        let help = "a schema says `entity …;` and `action …;` in Cedar's own words, or the same as JSON";
        findings.push(finding.help(help));
        return None;
    }
    let file = SourceFile::new(name.to_owned(), text.to_owned());
    if bare.len() < text.len() {
        findings.push(marked(&file));
        return None;
    }
    if text.trim_start().starts_with('{') {
        if let Err(large) = shape::json(text) {
            let finding = Finding::new(large.message).rule_is(Rule::TooDeep).in_path(name);
            findings.push(finding.help("write it with fewer types within each other"));
            return None;
        }
        let read =
            Schema::from_json_str(text).map_err(|e| compile::from_cedar(&e, &file, 0).rule_is(Rule::Schema));
        return read.map_err(|finding| findings.push(finding)).ok();
    }
    let shape = shape::statements(text, Language::Schema);
    if let Err(large) = shape.and_then(|_| shape::schema(text)) {
        let finding = Finding::new(large.message).rule_is(Rule::TooDeep);
        findings.push(finding.at(&file, Some(large.span)).help(large.help));
        return None;
    }
    let read = Schema::from_cedarschema_str(text)
        .map_err(|e| compile::from_cedar(&e, &file, 0).rule_is(Rule::Schema));
    read.map(|(schema, _)| schema).map_err(|finding| findings.push(finding)).ok()
}

fn read_policies(name: &str, text: &str, findings: &mut Vec<Finding>) -> (Vec<PolicySource>, usize) {
    if text.len() as u64 > POLICY_FILE_BYTES_MAX {
        findings.push(too_large(name, POLICY_FILE_BYTES_MAX));
        return (Vec::new(), 0);
    }
    let bare = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    // Nobody calls a file of secrets so: who misspells the only `permit` is shown where.
    if !name.ends_with(".cedar") && !looks_like_policies(bare) {
        let finding = Finding::new("this is no file of policies").rule_is(Rule::Syntax).in_path(name);
        findings.push(finding.help("a policy begins with `permit (` or `forbid (`"));
        return (Vec::new(), 0);
    }
    let file = SourceFile::new(name.to_owned(), text.to_owned());
    if bare.len() < text.len() {
        findings.push(marked(&file));
        return (Vec::new(), 0);
    }
    let statements = match shape::statements(text, Language::Policies) {
        Ok(statements) => statements,
        Err(deep) => {
            let finding = Finding::new(deep.message).rule_is(Rule::TooDeep);
            findings.push(finding.at(&file, Some(deep.span)).help(deep.help));
            return (Vec::new(), 0);
        }
    };
    let (mut found, mut templates) = (Vec::new(), 0);
    for (place, statement) in statements.iter().enumerate() {
        if findings.len() > FINDINGS_SOUGHT_MAX {
            break;
        }
        let span = statement.span;
        let one = text.get(span.start..span.start + span.len).unwrap_or_default();
        let policy = match Policy::parse(None, one) {
            Ok(policy) => policy,
            Err(_) if Template::parse(None, one).is_ok() => {
                templates += 1;
                continue;
            }
            Err(errors) => {
                findings.extend(errors.iter().map(|e| compile::misspelt(e, &file, span.start)));
                continue;
            }
        };
        let id = policy.annotation("id").map_or_else(|| format!("policy{place}"), str::to_owned);
        let literals = policy.entity_literals().into_iter().collect();
        let policy = policy.new_id(PolicyId::new(id));
        found.push(Compiled { policy, file: Arc::clone(&file), span, literals });
    }
    (compile::unique(found, findings).into_iter().map(PolicySource::new).collect(), templates)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "entity User; action view appliesTo { principal: [User], resource: [User] };";

    #[test]
    fn policies_are_called_as_cedar_calls_them() {
        let text = "permit(principal,action,resource);\n@id(\"b\") forbid(principal,action,resource);\n\
                    permit(principal == ?principal,action,resource);\n// end\npermit(principal,action,resource);";
        let set = ForeignSet::read(Some(("s", SCHEMA)), ("p", text)).unwrap();
        let called: Vec<(&str, usize)> = set.policies().iter().map(|p| (p.id(), p.line())).collect();
        assert_eq!(called, [("policy0", 1), ("b", 2), ("policy3", 5)]);
        assert_eq!(set.templates(), 1);
        assert!(set.schema().is_some());
    }

    #[test]
    fn a_schema_is_read_in_either_form() {
        let json = "\n{\"\":{\"entityTypes\":{\"User\":{}},\"actions\":{}}}";
        assert!(ForeignSet::read(Some(("s", json)), ("p", "")).unwrap().schema().is_some());
        assert!(ForeignSet::read(None, ("p", "")).unwrap().schema().is_none());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "permit(principal,action,resource) when { tru };\npermit(nobody,action,resource);";
        let findings = ForeignSet::read(Some(("s.json", "{")), ("p.cedar", text)).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.len() >= 3, "{told:?}");
        for start in ["p.cedar:1:", "p.cedar:2:", "s.json"] {
            assert!(told.iter().any(|f| f.starts_with(start)), "{start} in {told:?}");
        }
    }

    /// A name that is mistyped may be that of a file of secrets.
    #[test]
    fn what_is_no_policy_and_no_schema_is_not_quoted() {
        let secrets = [
            "s3cret",
            "API_KEY=s3cret\n",
            "type: Opaque\ndata:\n  key: s3cret\n",
            "{\"token\": \"s3cret\"}",
            "{\"type\": \"service_account\", \"private_key\": \"s3cret\"}",
            "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
            "DATABASE_URL=postgres://app:s3cret@db/prod\n",
            "# see https://x\npassword: s3cret\n",
            "@corp:registry=https://x/\n//x/:_authToken=s3cret\n",
            "permitted = true\nprincipal = \"s3cret\"\nnote = \"no permit (yet)\"\n",
            "\u{feff}API_KEY=s3cret\n",
        ];
        for secret in secrets {
            for set in
                [ForeignSet::read(Some(("f", secret)), ("p", "")), ForeignSet::read(None, ("f", secret))]
            {
                let findings = set.unwrap_err();
                let told = format!("{}{findings:?}", crate::failure::plain(&findings));
                assert!(told.contains("f: this is no") && !told.contains("s3cret"), "{told}");
                assert!(findings.iter().all(|f| f.extent().is_none()), "nothing is drawn: {told}");
            }
        }
        let misspelt =
            ForeignSet::read(None, ("a.cedar", "permti (principal, action, resource);")).unwrap_err();
        assert_eq!(misspelt[0].line_and_column(), Some((1, 1)), "{misspelt:?}");
        // A schema with a mistake is one.
        let wrong = ForeignSet::read(Some(("s", "entity User;\nentiti Group;")), ("p", "")).unwrap_err();
        assert_eq!(wrong[0].line_and_column().map(|(line, _)| line), Some(2), "{wrong:?}");
    }

    #[test]
    fn policies_are_known_by_how_a_line_of_them_begins() {
        for text in [
            "",
            " \n// none yet\n\n@later\n",
            "permit(principal,action,resource);",
            "@id(\"a\") @b permit (principal,action,resource);",
            "// who\n@id(\"a\")\n  @title(\"b) \\\" (\") // why\n  forbid\n  (principal,action,resource);",
            "// of old\rpermit(principal,action,resource);",
            "@id // so\n(\"a\n b\") forbid // all\n(principal,action,resource);",
            "oops\npermit(principal,action,resource);",
        ] {
            assert!(looks_like_policies(text), "{text}");
        }
        for text in [
            "@\"a\"",
            "@a(",
            "@a(\"b",
            "@a(\"b\" permit (",
            "a permit (",
            "permits (",
            "permit",
            "x // permit (",
        ] {
            assert!(!looks_like_policies(text), "{text}");
        }
        // Each is passed once, or twice.
        for part in ["@a(\n", "@a(\"\n", "@a\n", "permit\n", "permit // x\r", "x\r", "// x\n"] {
            looks_like_policies(&part.repeat(100_000));
            looks_like_schema(&part.repeat(100_000));
        }
    }

    #[test]
    fn a_schema_of_annotated_lines_is_one() {
        let text = SCHEMA
            .replace("entity", "@doc(\"x\") entity")
            .replace("action", "\n@doc(\"y\") @z\n@doc2(\"action\") action");
        assert!(ForeignSet::read(Some(("s", &text)), ("p", "")).unwrap().schema().is_some(), "{text}");
    }

    #[test]
    fn a_byte_order_mark_is_told_as_in_a_folder() {
        let (schema, policies) = (format!("\u{feff}{SCHEMA}"), "\u{feff}permit(principal,action,resource);");
        let findings = ForeignSet::read(Some(("s", &schema)), ("p", policies)).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        for start in ["p:1:1: a byte order mark", "s:1:1: a byte order mark"] {
            assert!(told.iter().any(|f| f.starts_with(start)), "{start} in {told:?}");
        }
        assert!(findings.iter().all(|f| f.rule() == Rule::NotText), "{findings:?}");
    }

    #[test]
    fn what_would_end_the_process_is_refused() {
        let deep = format!(
            "permit(principal,action,resource) when {{ {}1{} }};",
            "(".repeat(5000),
            ")".repeat(5000)
        );
        let findings = ForeignSet::read(None, ("p", &deep)).unwrap_err();
        assert!(findings[0].message().contains("brackets nest deeper"), "{findings:?}");
        let schema = format!("type T = {}Long{};", "Set<".repeat(5000), ">".repeat(5000));
        assert!(ForeignSet::read(Some(("s", &schema)), ("p", "")).is_err());
        // 3 KB that stand for a billion words.
        let types: Vec<String> = (1..30)
            .map(|i| {
                let of = format!("{{\"type\":\"T{}\"}}", i - 1);
                format!("\"T{i}\":{{\"type\":\"Record\",\"attributes\":{{\"a\":{of},\"b\":{of}}}}}")
            })
            .collect();
        let bomb = format!(
            "{{\"\":{{\"commonTypes\":{{\"T0\":{{\"type\":\"Long\"}},{}}},\"entityTypes\":{{}},\"actions\":{{}}}}}}",
            types.join(",")
        );
        let findings = ForeignSet::read(Some(("s.json", &bomb)), ("p", "")).unwrap_err();
        assert_eq!((findings[0].rule(), findings[0].file()), (Rule::TooDeep, Some("s.json")));
    }
}
