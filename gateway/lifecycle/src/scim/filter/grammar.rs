//! From words to a filter, by descent. Depth and number of terms are counted on the way, so that
//! ten thousand terms or a thousand parentheses cost no more than reading up to the bound.

use super::super::bounds::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_TERMS_MAX};
use super::super::error::{ErrorKind, ScimError, shown};
use super::super::names::{AttributePath, Named};
use super::super::schema::{Attribute, Kind, ResourceType, fold};
use super::lexer::{Lexer, Token, unreadable};
use super::{Literal, Node, Operator, Subject, Test};

/// Whose attributes the names are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    Resource(ResourceType),
    /// In brackets.
    Element(&'static Attribute),
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    terms: usize,
}

pub(super) fn parse(scope: Scope, text: &str) -> Result<Node, ScimError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(refused(format!("the filter is longer than {FILTER_BYTES_MAX} bytes")));
    }
    let mut parser = Parser { lexer: Lexer::new(text), terms: 0 };
    let node = parser.any(scope, 0)?;
    match parser.lexer.next()? {
        None => Ok(node),
        Some(_) => Err(unreadable(parser.lexer.at(), "here `and`, `or` or the end should be")),
    }
}

fn refused(detail: String) -> ScimError {
    ScimError::new(ErrorKind::InvalidFilter, detail)
}

// === impl Parser ===

impl Parser<'_> {
    /// `a or b`.
    fn any(&mut self, scope: Scope, depth: usize) -> Result<Node, ScimError> {
        if depth > FILTER_DEPTH_MAX {
            return Err(refused(format!("the filter nests deeper than {FILTER_DEPTH_MAX}")));
        }
        let mut nodes = vec![self.all(scope, depth)?];
        while self.eat_word("or")? {
            nodes.push(self.all(scope, depth)?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    /// `a and b`, which binds tighter.
    fn all(&mut self, scope: Scope, depth: usize) -> Result<Node, ScimError> {
        let mut nodes = vec![self.factor(scope, depth)?];
        while self.eat_word("and")? {
            nodes.push(self.factor(scope, depth)?);
        }
        Ok(one_or(nodes, Node::And))
    }

    fn factor(&mut self, scope: Scope, depth: usize) -> Result<Node, ScimError> {
        match self.lexer.next()? {
            Some(Token::Open) => self.inside(scope, depth),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("not") => match self.lexer.next()? {
                Some(Token::Open) => Ok(Node::Not(Box::new(self.inside(scope, depth)?))),
                _ => Err(unreadable(self.lexer.at(), "after `not` comes `(`")),
            },
            Some(Token::Word(word)) => self.term(scope, word, depth),
            _ => Err(unreadable(self.lexer.at(), "here an attribute, `not` or `(` should be")),
        }
    }

    /// What follows a parenthesis, up to the closing one.
    fn inside(&mut self, scope: Scope, depth: usize) -> Result<Node, ScimError> {
        let node = self.any(scope, depth + 1)?;
        match self.lexer.next()? {
            Some(Token::Close) => Ok(node),
            _ => Err(unreadable(self.lexer.at(), "here `and`, `or` or `)` should be")),
        }
    }

    fn term(&mut self, scope: Scope, word: &str, depth: usize) -> Result<Node, ScimError> {
        self.terms += 1;
        if self.terms > FILTER_TERMS_MAX {
            return Err(refused(format!("the filter has more than {FILTER_TERMS_MAX} comparisons")));
        }
        let subject = resolve(scope, word)?;
        if self.lexer.peek()? == Some(Token::OpenBracket)
            && let Subject::Resource(path) = subject
        {
            return self.element(path, word, depth);
        }
        let leaf = match subject {
            Subject::Resource(path) => path.leaf(),
            Subject::Part(part) => part,
        };
        let test = self.test(leaf, word)?;
        Ok(Node::Term { path: subject, test })
    }

    fn element(&mut self, path: AttributePath, word: &str, depth: usize) -> Result<Node, ScimError> {
        if path.part.is_some() || path.attribute.parts.is_empty() {
            return Err(refused(format!("{} has no parts that brackets could pick from", shown(word))));
        }
        self.lexer.next()?;
        let filter = Box::new(self.any(Scope::Element(path.attribute), depth + 1)?);
        if self.lexer.next()? != Some(Token::CloseBracket) {
            return Err(unreadable(self.lexer.at(), "here `and`, `or` or `]` should be"));
        }
        if self.lexer.peek()? != Some(Token::Dot) {
            return Ok(Node::Element { path, filter, then: None });
        }
        self.lexer.next()?;
        let Some(Token::Word(name)) = self.lexer.next()? else {
            return Err(unreadable(self.lexer.at(), "after `].` comes a part of the attribute"));
        };
        let part = path.attribute.part(name).ok_or_else(|| unknown(name))?;
        let test = self.test(part, name)?;
        Ok(Node::Element { path, filter, then: Some((part, test)) })
    }

    /// The operator and the value after an attribute.
    fn test(&mut self, attribute: &'static Attribute, name: &str) -> Result<Test, ScimError> {
        let Some(Token::Word(word)) = self.lexer.next()? else {
            return Err(unreadable(self.lexer.at(), "after an attribute comes an operator"));
        };
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Test::Present);
        }
        let Some((_, operator)) = OPERATORS.iter().find(|(written, _)| word.eq_ignore_ascii_case(written))
        else {
            return Err(refused(format!(
                "{} is no operator; there are eq, ne, co, sw, ew, gt, ge, lt, le and pr",
                shown(word)
            )));
        };
        let Some(value) = self.lexer.next()? else {
            return Err(unreadable(self.lexer.at(), "after an operator comes a value"));
        };
        let literal = literal(attribute, *operator, value).ok_or_else(|| {
            refused(format!("{} cannot be compared like this: {}", shown(name), takes(attribute)))
        })?;
        Ok(Test::Compare(*operator, literal))
    }

    fn eat_word(&mut self, word: &str) -> Result<bool, ScimError> {
        let is = matches!(self.lexer.peek()?, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        if is {
            self.lexer.next()?;
        }
        Ok(is)
    }
}

const OPERATORS: [(&str, Operator); 9] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("co", Operator::Contains),
    ("sw", Operator::StartsWith),
    ("ew", Operator::EndsWith),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
];

fn one_or(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match (nodes.pop(), nodes.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

fn resolve(scope: Scope, name: &str) -> Result<Subject, ScimError> {
    match scope {
        Scope::Element(attribute) => attribute.part(name).map(Subject::Part).ok_or_else(|| unknown(name)),
        Scope::Resource(kind) => match kind.named(name) {
            Named::Attribute(path) => Ok(Subject::Resource(path)),
            Named::Schema(_) | Named::Dropped | Named::Unknown => Err(unknown(name)),
        },
    }
}

fn unknown(name: &str) -> ScimError {
    refused(format!("{} is no attribute that can be searched; /Schemas lists them", shown(name)))
}

/// The kind of what is compared: a list or a complex attribute stands for its `value`.
pub(super) fn comparable(attribute: &'static Attribute) -> Option<&'static Attribute> {
    match attribute.kind {
        Kind::Complex => attribute.part("value"),
        Kind::Text | Kind::Boolean | Kind::DateTime | Kind::Reference => Some(attribute),
    }
}

/// The value, when the attribute can be compared with it by this operator.
fn literal(attribute: &'static Attribute, operator: Operator, token: Token<'_>) -> Option<Literal> {
    let attribute = comparable(attribute)?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let substring = matches!(operator, Operator::Contains | Operator::StartsWith | Operator::EndsWith);
    if matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("null")) {
        return equality.then_some(Literal::Null);
    }
    match (attribute.kind, token) {
        (Kind::Text | Kind::Reference, Token::Text(written)) => {
            let compared = if attribute.case_exact { written.clone() } else { fold(&written) };
            Some(Literal::Text { written, compared })
        }
        (Kind::Boolean, Token::Word(word)) if equality => truth(word),
        // Entra ID writes `primary eq "True"`.
        (Kind::Boolean, Token::Text(word)) if equality => truth(&word),
        (Kind::DateTime, Token::Text(text)) if !substring => text.parse().ok().map(Literal::Moment),
        (Kind::Text | Kind::Reference | Kind::Boolean | Kind::DateTime | Kind::Complex, _) => None,
    }
}

fn truth(word: &str) -> Option<Literal> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(written, _)| word.eq_ignore_ascii_case(written))
        .map(|(_, truth)| Literal::Boolean(truth))
}

fn takes(attribute: &'static Attribute) -> &'static str {
    match comparable(attribute).map(|a| a.kind) {
        None | Some(Kind::Complex) => "name one of its parts",
        Some(Kind::Text | Kind::Reference) => "it takes a text in quotes",
        Some(Kind::Boolean) => "it takes eq or ne, and true or false",
        Some(Kind::DateTime) => "it takes a date and time with an offset, such as \"2026-11-21T08:00:00Z\"",
    }
}
