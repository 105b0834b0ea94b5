//! The words of a filter. Text that is not ASCII can only stand in quotes.

use super::super::error::{ErrorKind, ScimError};

/// What is left of the text of a filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, an operator, or `true`, `false`, `null`; also digits.
    Word(&'a str),
    /// What stood between quotes, escapes resolved.
    Text(String),
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    /// The point after a bracket.
    Dot,
}

/// A filter that cannot be read at a place.
pub(super) fn unreadable(at: usize, cure: &str) -> ScimError {
    ScimError::new(
        ErrorKind::InvalidFilter,
        format!("the filter cannot be read at character {}: {cure}", at + 1),
    )
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How far it has come, in bytes.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The next token, which is still there afterwards.
    pub(super) fn peek(&self) -> Result<Option<Token<'a>>, ScimError> {
        let mut copy = *self;
        copy.next()
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, ScimError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        self.at += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { return Ok(None) };
        let single = match first {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '[' => Some(Token::OpenBracket),
            ']' => Some(Token::CloseBracket),
            '.' => Some(Token::Dot),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return Ok(Some(token));
        }
        if first == '"' {
            return self.quoted(trimmed).map(Some);
        }
        let end = trimmed.find(|c| !in_word(c)).unwrap_or(trimmed.len());
        let Some(word) = trimmed.get(..end).filter(|word| !word.is_empty()) else {
            return Err(unreadable(self.at, "this character must stand in quotes"));
        };
        self.at += end;
        Ok(Some(Token::Word(word)))
    }

    fn quoted(&mut self, rest: &str) -> Result<Token<'a>, ScimError> {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find_map(|(i, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(i + 1)
        });
        let unread =
            || unreadable(self.at, "a text in quotes does not end, or has an escape that JSON does not know");
        let literal = end.and_then(|end| rest.get(..end)).ok_or_else(unread)?;
        let text = serde_json::from_str(literal).map_err(|_| unread())?;
        self.at += literal.len();
        Ok(Token::Text(text))
    }
}

/// Letters of names, URNs and numbers.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | '$' | '+')
}
