//! What is wrong with a configuration, said so that it can be mended.
//!
//! A crate that checks its section of the configuration does not know where in the file a value
//! stands. It names the key by its [`KeyPath`]; `server` finds line and column.

use std::fmt;

/// One step from the top of the file to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A key of a table.
    Name(String),
    /// The place in an array, from 0.
    Index(usize),
}

/// The way from the top of the file to a value, such as `app[2].upstream.addresses[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(pub Vec<Key>);

impl KeyPath {
    /// The top of the file.
    #[must_use]
    pub fn top() -> Self {
        Self::default()
    }

    /// One key further.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        let mut path = self.0.clone();
        path.push(Key::Name(name.to_owned()));
        Self(path)
    }

    /// One array element further.
    #[must_use]
    pub fn index(&self, i: usize) -> Self {
        let mut path = self.0.clone();
        path.push(Key::Index(i));
        Self(path)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            match key {
                Key::Name(n) if i == 0 => f.write_str(n)?,
                Key::Name(n) => write!(f, ".{n}")?,
                Key::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

/// One mistake: where, what, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The value that is wrong, or the table that lacks one.
    pub at: KeyPath,
    /// What is wrong: lower case, no final period, input in backticks.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Complaint {
    /// A complaint with advice.
    #[must_use]
    pub fn new(at: KeyPath, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: Some(help.into()) }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_file() {
        let at = KeyPath::top().key("app").index(2).key("upstream").key("addresses").index(0);
        assert_eq!(at.to_string(), "app[2].upstream.addresses[0]");
    }
}
