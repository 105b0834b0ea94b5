//! Any set of Cedar policies, over whatever schema: for tools that are shown what somebody else wrote.
//!
//! None of Doorward's own rules hold for it: it need not be strictly valid, its policies need no name, its
//! schema may say anything. What holds is that reading it cannot end the process.

use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, Schema, Template};
use doorward_model::limits::{POLICY_FILE_BYTES_MAX, POLICY_LOAD_STACK_BYTES, POLICY_SCHEMA_BYTES_MAX};

use crate::compile::{self, Compiled, FINDINGS_SOUGHT_MAX};
use crate::failure::{Finding, SourceFile, tidy};
use crate::load::on_stack;
use crate::rule::Rule;
use crate::shape::{self, Language};
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
    let begins = |line: &str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        matches!(word, "entity" | "action" | "namespace") || (word == "type" && line.contains('='))
    };
    if !text.trim_start().starts_with('{') {
        return text.lines().any(begins)
            || text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with("//"));
    }
    text.contains("\"entityTypes\"") || text.contains("\"actions\"") || text.trim() == "{"
}

fn read_schema(name: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Schema> {
    if text.len() as u64 > POLICY_SCHEMA_BYTES_MAX {
        findings.push(too_large(name, POLICY_SCHEMA_BYTES_MAX));
        return None;
    }
    if !looks_like_schema(text) {
        let finding = Finding::new("this is not a schema").rule_is(Rule::Schema).in_path(name);
        let help = "a schema says `entity …;` and `action …;` in Cedar's own words, or the same as JSON";
        findings.push(finding.help(help));
        return None;
    }
    let file = SourceFile::new(name.to_owned(), text.to_owned());
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
    if !text.trim().is_empty()
        && !["permit", "forbid", "principal", "//"].iter().any(|word| text.contains(word))
    {
        let finding = Finding::new("this is no file of policies").rule_is(Rule::Syntax).in_path(name);
        findings.push(finding.help("a policy begins with `permit (` or `forbid (`"));
        return (Vec::new(), 0);
    }
    let file = SourceFile::new(name.to_owned(), text.to_owned());
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
        // A schema with a mistake is one.
        let wrong = ForeignSet::read(Some(("s", "entity User;\nentiti Group;")), ("p", "")).unwrap_err();
        assert_eq!(wrong[0].line_and_column().map(|(line, _)| line), Some(2), "{wrong:?}");
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
