//! The outer shape of a file, found without parsing it.
//!
//! Cedar's parser, and everything that walks what it built, calls itself once for each level of
//! nesting. A file of a thousand opening brackets would end the process. So before Cedar sees a
//! file, this scanner, which is one loop, finds where each policy begins and ends, how deep its
//! brackets nest, and how tall the tree of its operators will be at most. What is too deep is
//! refused here, with its place; so is a name of so many parts that reading it takes minutes.
//!
//! A schema can also be small and stand for something huge; `schema` measures that.
//!
//! The scanner knows strings and comments, and nothing else of the language. If it and Cedar
//! should ever disagree, then Cedar is given a text that is not one policy, and refuses it.

mod schema;
mod scope;

use doorward_model::limits::{POLICY_DEPTH_MAX, POLICY_NAME_PARTS_MAX, POLICY_NESTING_MAX};

use crate::failure::Span;

pub(crate) use schema::{json, schema};
pub(crate) use scope::scope;

/// Which language the file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Policies: `<` compares.
    Policies,
    /// A schema: `<` is a bracket (`Set<String>`).
    Schema,
}

/// One policy of a file: from its first annotation to its semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Where it stands.
    pub(crate) span: Span,
    /// An upper bound for the height of its syntax tree.
    pub(crate) depth: usize,
    /// The place of an operator that can overflow.
    pub(crate) arithmetic: Option<Span>,
}

/// What makes a file too deep, or too large, to be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooDeep {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// Finds the statements of a file.
pub(crate) fn statements(text: &str, language: Language) -> Result<Vec<Statement>, TooDeep> {
    let mut scan = Scan {
        language,
        levels: vec![Level::default()],
        begun: None,
        found: Vec::new(),
        arithmetic: None,
        colons: 0,
    };
    for token in (Tokens { text, at: 0 }) {
        scan.take(&token)?;
    }
    scan.end_of_file(text.len())?;
    Ok(scan.found)
}

/// What the scanner tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Semicolon,
    Or,
    And,
    /// `== != < <= > >=`: Cedar writes some of them with two levels.
    Compare,
    Plus,
    Minus,
    Times,
    Dot,
    Colon,
    Not,
    Less,
    Greater,
    If,
    /// `then` and `else`.
    Branch,
    /// `when` and `unless`.
    Clause,
    /// `in`, `is`, `has`, `like`.
    Relation,
    /// A name, a number, a string, or anything else that makes no tree higher.
    Leaf,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Tokens<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The first place from `at` on whose byte is not `inside`.
    fn run(&self, at: usize, inside: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().position(|b| !inside(*b)).unwrap_or(rest.len())
    }

    /// Behind the string that begins at `at`; behind the text if it does not end.
    fn string(&self, at: usize) -> usize {
        let mut at = at + 1;
        loop {
            match self.byte(at) {
                None => return self.text.len(),
                Some(b'"') => return at + 1,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
    }

    fn word(&self, start: usize, end: usize) -> Kind {
        match self.text.get(start..end).unwrap_or_default() {
            "if" => Kind::If,
            "then" | "else" => Kind::Branch,
            "when" | "unless" => Kind::Clause,
            "in" | "is" | "has" | "like" => Kind::Relation,
            _ => Kind::Leaf,
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        loop {
            let start = self.at;
            let first = self.byte(start)?;
            let second = self.byte(start + 1);
            let (kind, end) = match (first, second) {
                (b, _) if b.is_ascii_whitespace() => {
                    self.at = self.run(start, |b| b.is_ascii_whitespace());
                    continue;
                }
                (b'/', Some(b'/')) => {
                    self.at = self.run(start, |b| b != b'\n' && b != b'\r');
                    continue;
                }
                (b'"', _) => (Kind::Leaf, self.string(start)),
                (b'(' | b'[' | b'{', _) => (Kind::Open, start + 1),
                (b')' | b']' | b'}', _) => (Kind::Close, start + 1),
                (b',', _) => (Kind::Comma, start + 1),
                (b';', _) => (Kind::Semicolon, start + 1),
                (b'|', Some(b'|')) => (Kind::Or, start + 2),
                (b'&', Some(b'&')) => (Kind::And, start + 2),
                (b'=' | b'!' | b'<' | b'>', Some(b'=')) => (Kind::Compare, start + 2),
                (b'<', _) => (Kind::Less, start + 1),
                (b'>', _) => (Kind::Greater, start + 1),
                (b'+', _) => (Kind::Plus, start + 1),
                (b'-', _) => (Kind::Minus, start + 1),
                (b'*', _) => (Kind::Times, start + 1),
                (b'.', _) => (Kind::Dot, start + 1),
                (b':', _) => (Kind::Colon, start + 1),
                (b'!', _) => (Kind::Not, start + 1),
                (b, _) if is_word(b) => {
                    let end = self.run(start, is_word);
                    (self.word(start, end), end)
                }
                _ => (Kind::Leaf, start + 1),
            };
            self.at = end.min(self.text.len());
            return Some(Token { kind, start, end: self.at });
        }
    }
}

/// The height of what stands between two brackets. `||` binds weakest, then `&&`, then the rest;
/// a chain of one operator is as high as it is long.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// The height of the highest bracket inside the term that is being read.
    inner: usize,
    /// Operators of that term that bind tighter than `&&`.
    tight: usize,
    /// `&&` so far, and the highest term between them.
    ands: usize,
    between_ands: usize,
    /// `||` so far, and the highest chain of `&&` between them.
    ors: usize,
    between_ors: usize,
    /// `if` so far, and the highest branch.
    ifs: usize,
    branch: usize,
    /// The highest element up to the last comma.
    element: usize,
}

impl Level {
    fn end_term(&mut self) {
        self.between_ands = self.between_ands.max(self.tight + self.inner);
        (self.tight, self.inner) = (0, 0);
    }

    fn end_ands(&mut self) {
        self.end_term();
        self.between_ors = self.between_ors.max(self.ands + self.between_ands);
        (self.ands, self.between_ands) = (0, 0);
    }

    fn end_branch(&mut self) {
        self.end_ands();
        self.branch = self.branch.max(self.ors + self.between_ors);
        (self.ors, self.between_ors) = (0, 0);
    }

    fn end_element(&mut self) {
        self.end_branch();
        self.element = self.element.max(self.ifs + self.branch);
        (self.ifs, self.branch) = (0, 0);
    }
}

struct Scan {
    language: Language,
    /// The open brackets. The first is the file itself.
    levels: Vec<Level>,
    /// Where the statement that is being read begins.
    begun: Option<usize>,
    found: Vec<Statement>,
    arithmetic: Option<Span>,
    /// Colons with nothing but names between them: a name in namespaces, `A::B::"c"`.
    colons: usize,
}

impl Scan {
    fn take(&mut self, token: &Token) -> Result<(), TooDeep> {
        self.name(token)?;
        let begun = *self.begun.get_or_insert(token.start);
        let at_top = self.levels.len() == 1;
        let schema = self.language == Language::Schema;
        match token.kind {
            Kind::Open => return self.open(token.start),
            Kind::Close => self.close(),
            Kind::Less if schema => return self.open(token.start),
            Kind::Greater if schema => self.close(),
            Kind::Semicolon if at_top => return self.end_statement(begun, token.end),
            Kind::Plus | Kind::Minus | Kind::Times if self.arithmetic.is_none() => {
                self.arithmetic = Some(Span { start: token.start, len: token.end - token.start });
                self.operator(token.kind);
            }
            kind => self.operator(kind),
        }
        Ok(())
    }

    /// Cedar takes the longer for each part of a name the more parts it has.
    fn name(&mut self, token: &Token) -> Result<(), TooDeep> {
        match token.kind {
            Kind::Colon => self.colons += 1,
            Kind::Leaf => {}
            _ => self.colons = 0,
        }
        if self.colons <= 2 * POLICY_NAME_PARTS_MAX {
            return Ok(());
        }
        Err(TooDeep {
            span: Span { start: token.start, len: 1 },
            message: format!("a name has more than {POLICY_NAME_PARTS_MAX} parts"),
            help: "use fewer namespaces within each other",
        })
    }

    fn operator(&mut self, kind: Kind) {
        let Some(level) = self.levels.last_mut() else { return };
        match kind {
            Kind::Comma | Kind::Semicolon => level.end_element(),
            Kind::Branch => level.end_branch(),
            Kind::If => level.ifs += 1,
            Kind::Or => {
                level.end_ands();
                level.ors += 1;
            }
            // The clauses of a policy are joined by `&&`.
            Kind::And | Kind::Clause => {
                level.end_term();
                level.ands += 1;
            }
            Kind::Compare | Kind::Relation | Kind::Less | Kind::Greater => level.tight += 2,
            Kind::Plus | Kind::Minus | Kind::Times | Kind::Dot | Kind::Not => level.tight += 1,
            Kind::Open | Kind::Close | Kind::Colon | Kind::Leaf => {}
        }
    }

    fn open(&mut self, start: usize) -> Result<(), TooDeep> {
        if self.levels.len() > POLICY_NESTING_MAX {
            return Err(TooDeep {
                span: Span { start, len: 1 },
                message: format!("brackets nest deeper than {POLICY_NESTING_MAX} levels"),
                help: match self.language {
                    Language::Policies => {
                        "split the policy into several, or name the condition by a role, a zone or a tier"
                    }
                    Language::Schema => "use a named type",
                },
            });
        }
        self.levels.push(Level::default());
        Ok(())
    }

    /// A closing bracket too many is left to Cedar to complain about.
    fn close(&mut self) {
        if self.levels.len() < 2 {
            return;
        }
        if let Some(mut level) = self.levels.pop() {
            level.end_element();
            if let Some(outer) = self.levels.last_mut() {
                outer.inner = outer.inner.max(level.element + 1);
            }
        }
    }

    fn end_statement(&mut self, start: usize, end: usize) -> Result<(), TooDeep> {
        while self.levels.len() > 1 {
            self.close();
        }
        let mut level = self.levels.pop().unwrap_or_default();
        level.end_element();
        self.levels.push(Level::default());
        self.begun = None;
        let span = Span { start, len: end - start };
        let depth = level.element;
        if self.language == Language::Policies && depth > POLICY_DEPTH_MAX {
            return Err(TooDeep {
                span,
                message: format!(
                    "this policy stacks {depth} operators on top of each other; {POLICY_DEPTH_MAX} are allowed"
                ),
                help: "compare with a set (`[a, b, c].contains(x)`) or a named network instead of a long chain of `||`",
            });
        }
        self.found.push(Statement { span, depth, arithmetic: self.arithmetic.take() });
        Ok(())
    }

    /// What stands behind the last semicolon is given to Cedar, which says what it lacks.
    fn end_of_file(&mut self, end: usize) -> Result<(), TooDeep> {
        match self.begun {
            Some(start) => self.end_statement(start, end),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
