//! How large a schema is once every named type stands for what it means.
//!
//! `type B = {x: A, y: A}; type C = {x: B, y: B};` doubles with each line, and Cedar writes all of
//! it out; it also walks from each entity type, and from each action, to everything above it. So
//! the declarations are counted, and the names in them replaced by numbers, before Cedar sees
//! the file. What is no schema is left to Cedar to complain about.

use std::collections::HashMap;

use doorward_model::limits::{POLICY_SCHEMA_NAMES_MAX, POLICY_SCHEMA_WORDS_MAX};

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
    let mut declarations: Vec<Declaration<'_>> = Vec::new();
    let mut declared = 0;
    let mut statement = Vec::new();
    for token in (Tokens { text, at: 0 }) {
        if token.kind != Kind::Semicolon {
            statement.push(token);
            continue;
        }
        let declaration = Declaration::read(text, &statement);
        statement.clear();
        declared += declaration.declares;
        if declared > POLICY_SCHEMA_NAMES_MAX {
            return Err(TooDeep {
                span: declaration.span,
                message: format!("the schema declares more than {POLICY_SCHEMA_NAMES_MAX} types and actions"),
                help: "the gateway says the words of the schema that comes with it, and no others",
            });
        }
        declarations.push(declaration);
    }
    let mut aliases: HashMap<&str, Alias<'_>> = HashMap::new();
    for d in &declarations {
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
    for d in &declarations {
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
