//! How large a schema is once every named type stands for what it means.
//!
//! `type B = {x: A, y: A}; type C = {x: B, y: B};` doubles with each line, and Cedar writes all of
//! it out; it also walks from each entity type, and from each action, to everything above it. So
//! the declarations are counted, and the names in them replaced by numbers, before Cedar sees
//! the file. What is no schema is left to Cedar to complain about.

use std::collections::HashMap;

use doorward_model::limits::{POLICY_SCHEMA_NAMES_MAX, POLICY_SCHEMA_WORDS_MAX};
use serde_json::{Map, Value};

use super::{Kind, Token, Tokens, TooDeep};
use crate::failure::Span;

/// From a keyword to its semicolon.
struct Declaration<'a> {
    span: Span,
    /// The type that it names, if it is `type`.
    alias: Option<&'a str>,
    /// How many entity types, types or actions it declares.
    declares: usize,
    /// The words that are said of each of them.
    words: usize,
    /// Those of these words that may stand for a named type.
    mentions: Vec<&'a str>,
}

/// A named type: its own words and those that it mentions, or how large it is.
enum Alias<'a> {
    Written(usize, Vec<&'a str>),
    BeingMeasured,
    Large(usize),
}

/// Refuses a schema that declares too much, or becomes too large.
pub(crate) fn schema(text: &str) -> Result<(), TooDeep> {
    let mut declarations = Declarations::default();
    let mut statement = Vec::new();
    for token in (Tokens { text, at: 0 }) {
        if token.kind == Kind::Semicolon {
            declarations.push(Declaration::read(text, &statement))?;
            statement.clear();
        } else {
            statement.push(token);
        }
    }
    measure(&declarations.all)
}

/// The same for a schema that is written as JSON.
pub(crate) fn json(text: &str) -> Result<(), TooDeep> {
    let Ok(Value::Object(namespaces)) = serde_json::from_str(text) else { return Ok(()) };
    let mut declarations = Declarations::default();
    for namespace in namespaces.values().filter_map(Value::as_object) {
        for (part, is_alias) in [("commonTypes", true), ("entityTypes", false), ("actions", false)] {
            for (name, said) in namespace.get(part).and_then(Value::as_object).into_iter().flatten() {
                declarations.push(Declaration::told(is_alias.then_some(name.as_str()), said))?;
            }
        }
    }
    measure(&declarations.all)
}

/// The declarations of a schema, which are counted.
#[derive(Default)]
struct Declarations<'a> {
    all: Vec<Declaration<'a>>,
    names: usize,
}

impl<'a> Declarations<'a> {
    fn push(&mut self, declaration: Declaration<'a>) -> Result<(), TooDeep> {
        self.names += declaration.declares;
        if self.names > POLICY_SCHEMA_NAMES_MAX {
            return Err(TooDeep {
                span: declaration.span,
                message: format!("the schema declares more than {POLICY_SCHEMA_NAMES_MAX} types and actions"),
                help: "the gateway says the words of the schema that comes with it, and no others",
            });
        }
        self.all.push(declaration);
        Ok(())
    }
}

fn measure(declarations: &[Declaration<'_>]) -> Result<(), TooDeep> {
    let mut aliases: HashMap<&str, Alias<'_>> = HashMap::new();
    for d in declarations {
        if let Some(name) = d.alias {
            // Of two with one name, in two namespaces, nobody knows here which is meant: both are.
            let all = aliases.entry(name).or_insert_with(|| Alias::Written(0, Vec::new()));
            if let Alias::Written(words, mentions) = all {
                *words += d.words;
                mentions.extend(&d.mentions);
            }
        }
    }
    let mut total = 0_usize;
    for d in declarations {
        let whole = d.mentions.iter().try_fold(d.words, |sum, name| {
            measured(name, &mut aliases, d.span).map(|size| sum.saturating_add(size))
        })?;
        total = total.saturating_add(whole.saturating_mul(d.declares));
        if total > POLICY_SCHEMA_WORDS_MAX {
            return Err(TooDeep {
                span: d.span,
                message: format!(
                    "the schema is longer than {POLICY_SCHEMA_WORDS_MAX} words once every named type is written out"
                ),
                help: "the gateway says the words of the schema that comes with it, and no others",
            });
        }
    }
    Ok(())
}

/// How many words a named type stands for; none for a word that names no type. Calls itself at
/// most once for each declaration, and those are counted.
fn measured<'a>(
    name: &'a str,
    aliases: &mut HashMap<&'a str, Alias<'a>>,
    span: Span,
) -> Result<usize, TooDeep> {
    let Some(alias) = aliases.get_mut(name) else { return Ok(0) };
    let (words, mentions) = match std::mem::replace(alias, Alias::BeingMeasured) {
        Alias::Written(words, mentions) => (words, mentions),
        Alias::Large(size) => {
            *alias = Alias::Large(size);
            return Ok(size);
        }
        Alias::BeingMeasured => {
            return Err(TooDeep {
                span,
                message: format!("the type `{name}` is made of a type of the same name"),
                help: "a type cannot hold itself; types in two namespaces need two names",
            });
        }
    };
    let mut size = words;
    for mention in mentions {
        size = size.saturating_add(measured(mention, aliases, span)?);
    }
    aliases.insert(name, Alias::Large(size));
    Ok(size)
}

impl<'a> Declaration<'a> {
    fn read(text: &'a str, tokens: &[Token]) -> Self {
        let word = |at: usize| -> &'a str {
            tokens.get(at).and_then(|t| text.get(t.start..t.end)).unwrap_or_default()
        };
        let first = keyword(&word, tokens.len());
        let span = tokens
            .get(first)
            .map_or(Span { start: 0, len: 0 }, |t| Span { start: t.start, len: t.end - t.start });
        let alias = (word(first) == "type").then(|| word(first + 1));
        let from = first + 1 + usize::from(alias.is_some());
        let (mut deep, mut declares, mut words, mut mentions) = (0_usize, 1, 0, Vec::new());
        for at in from..tokens.len() {
            match tokens.get(at).map(|t| t.kind) {
                Some(Kind::Open) => deep += 1,
                Some(Kind::Close) => deep = deep.saturating_sub(1),
                // Only names are listed outside of brackets.
                Some(Kind::Comma) if deep == 0 => {
                    declares += 1;
                    words = 0;
                    mentions.clear();
                }
                _ => {}
            }
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if word(at).starts_with(|c| is_name(c) || c == '"') {
                words += 1;
                // `name: …`, `name?: …` and `Namespace::…` stand for themselves.
                if word(at).starts_with(is_name) && !matches!(word(at + 1), ":" | "?") {
                    mentions.push(word(at));
                }
            }
        }
        Self { span, alias, declares, words, mentions }
    }
}

impl<'a> Declaration<'a> {
    /// As JSON says it, of which nobody knows the place.
    fn told(alias: Option<&'a str>, said: &'a Value) -> Self {
        let span = Span { start: 0, len: 0 };
        let mut declaration = Self { span, alias, declares: 1, words: 0, mentions: Vec::new() };
        declaration.count(said);
        declaration
    }

    /// Calls itself once for each level; the reader of JSON takes a hundred of them.
    fn count(&mut self, said: &'a Value) {
        match said {
            Value::String(word) => {
                self.words += 1;
                self.mentions.push(word.rsplit("::").next().unwrap_or(word));
            }
            Value::Array(all) => all.iter().for_each(|one| self.count(one)),
            // It names an entity type, whatever else is called so.
            Value::Object(fields) if is_entity(fields) => self.words += 1,
            Value::Object(fields) => fields.values().for_each(|one| self.count(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.words += 1,
        }
    }
}

fn is_entity(fields: &Map<String, Value>) -> bool {
    fields.get("type").and_then(Value::as_str) == Some("Entity")
        && fields.get("name").is_some_and(Value::is_string)
}

/// The place of `entity`, `type` or `action`, behind the end of a namespace, annotations and the
/// beginning of a namespace.
fn keyword<'a>(word: &impl Fn(usize) -> &'a str, len: usize) -> usize {
    let mut at = 0;
    while at < len {
        at += match word(at) {
            "}" | "external" => 1,
            "@" if word(at + 2) == "(" => 5,
            "@" => 2,
            "namespace" => (at..len).take_while(|i| word(*i) != "{").count() + 1,
            _ => break,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> String {
        schema(text).map_or_else(|large| large.message, |()| String::new())
    }

    #[test]
    fn what_doubles_is_refused_however_it_is_written() {
        let doubling = |prefix: &str, before: &str, after: &str| -> String {
            (1..40)
                .map(|i| {
                    format!("{before}type A{i} = {{a: {prefix}A{0}, b?: {prefix}A{0}}};{after}\n", i - 1)
                })
                .collect()
        };
        for text in [
            doubling("", "", ""),
            doubling("", "@doc(\"type X =\") @y // type\n", ""),
            format!("namespace N {{ {} }}", doubling("N::", "", "")),
            format!("namespace type {{ {} }}", doubling("type :: ", "", "")),
            (1..40)
                .map(|i| format!("namespace N{i} {{ type A{i} = {{a: A{0}, b: A{0}}}; }}", i - 1))
                .collect(),
            (1..40).map(|i| format!("type A{i} = Set<{{a: A{0}, b: Set<A{0}>}}>;", i - 1)).collect(),
        ] {
            assert!(refused(&text).contains("words once every named type"), "{text}");
        }
        // The same name in each namespace says nothing about which one is meant.
        let same: String = (1..40)
            .map(|i| format!("namespace N{i} {{ type A = {{a: N{0}::A, b: N{0}::A}}; }}", i - 1))
            .collect();
        assert!(refused(&same).contains("of the same name"));
        assert!(refused("type A = {a: A};").contains("of the same name"));
        assert_eq!(refused("type A = {A: Long}; type B = {a: A, b: A};"), "");
    }

    fn refused_json(value: &Value) -> String {
        json(&value.to_string()).map_err(|large| large.message).err().unwrap_or_default()
    }

    #[test]
    fn json_is_measured_as_well() {
        let record = |a: Value| json!({ "type": "Record", "attributes": { "a": a.clone(), "b": a } });
        let doubling = |of: fn(String) -> Value| -> Value {
            let types: Map<String, Value> =
                (1..40).map(|i| (format!("A{i}"), record(of(format!("A{}", i - 1))))).collect();
            json!({ "N": { "commonTypes": types, "entityTypes": {}, "actions": {} } })
        };
        for of in [
            (|name| json!({ "type": name })) as fn(String) -> Value,
            |name| json!({ "type": "EntityOrCommon", "name": format!("N::{name}") }),
            |name| json!({ "type": "Set", "element": { "type": name } }),
        ] {
            assert!(refused_json(&doubling(of)).contains("words once every named type"));
        }
        // An entity type may have the name of a common type that speaks of it.
        assert_eq!(refused_json(&doubling(|name| json!({ "type": "Entity", "name": name }))), "");
        let names =
            |n: usize| -> Map<String, Value> { (0..n).map(|i| (format!("E{i}"), json!({}))).collect() };
        assert_eq!(refused_json(&json!({ "": { "entityTypes": names(256), "actions": {} } })), "");
        let more = json!({ "": { "entityTypes": names(250), "actions": names(7) } });
        assert!(refused_json(&more).contains("more than 256"));
        for other in [json!({}), json!([]), json!({ "": 1 }), json!({ "": { "actions": [] } })] {
            assert_eq!(refused_json(&other), "");
        }
        assert!(json("{").is_ok());
    }

    #[test]
    fn every_name_counts() {
        let names = |n: usize| (0..n).map(|i| format!("A{i}")).collect::<Vec<_>>().join(", ");
        assert_eq!(refused(&format!("entity {};", names(256))), "");
        for text in [
            format!("entity {};", names(257)),
            format!("entity {} enum [\"x\"];", names(257)),
            format!("entity in, tags, enum, {};", names(254)),
            format!("@a action {} in [x, y] appliesTo {{ principal: [U, V], resource: R }};", names(257)),
            (0..257).map(|i| format!("type A{i} = Long;")).collect(),
            format!("namespace N {{ entity {}; }}", names(257)),
            format!("namespace A {{ entity X; }} @b namespace N::O {{ entity {}; }}", names(257)),
        ] {
            assert!(refused(&text).contains("more than 256"), "{text}");
        }
        let edges = format!("entity {} in [{}];", names(200), names(200));
        assert!(refused(&edges).contains("words once"));
        let fields: String = (0..20_000).map(|i| format!("a{i}: Long, ")).collect();
        assert!(refused(&format!("entity A {{ {fields} }};")).contains("words once"));
    }

    #[test]
    fn what_is_no_schema_is_left_to_others() {
        for text in
            ["", ";;;", "@", "@;", "namespace;", "type;", "} } ;", "type \u{e9} = A;", "\"", "external"]
        {
            assert_eq!(refused(text), "", "{text}");
        }
        assert_eq!(refused(include_str!("../../../../policies/schema.cedarschema")), "");
    }
}
