//! The guided tour: what to open with a browser ([`welcome`]), and commands to paste with what they print.
//!
//! One list of commands for three readers: [`terminal`] prints it, [`markdown`] makes the README's section of
//! it, and a test runs each command and asks [`Expect::check`].

use std::fmt::Write as _;

use crate::surroundings::Ports;

mod steps;
mod welcome;

pub use steps::steps;
pub use welcome::{cut_off, let_in, welcome};

/// Where the demo runs, as the commands of the tour say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The program, such as `doorward` or `target/release/doorward`.
    pub doorward: String,
    /// The demo's folder, such as `.demo`.
    pub folder: String,
    /// The ports.
    pub ports: Ports,
}

/// One thing to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A few words.
    pub title: &'static str,
    /// What happens and why.
    pub text: &'static str,
    /// What to paste, one after the other.
    pub commands: Vec<Command>,
}

/// One paste: a line, or a few, for bash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to paste.
    pub shell: String,
    /// What it prints.
    pub expect: Expect,
}

/// What a command prints, as far as it is the same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The status of the last answer, where the command is curl with `-i`.
    pub status: Option<u16>,
    /// Texts that are there, all of them.
    pub all: Vec<&'static str>,
    /// Texts of which one is there.
    pub one_of: Vec<&'static str>,
}

/// What a command should have printed and did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Surprise {
    /// Another status, or none.
    #[error("the status is `{found:?}`, not {expected}")]
    Status {
        /// What came.
        found: Option<u16>,
        /// What should have come.
        expected: u16,
    },
    /// A text is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// None of several texts is there.
    #[error("none of `{0:?}` is there")]
    NoneOf(Vec<&'static str>),
}

impl Scene {
    /// The demo as it starts without options, run by `doorward`.
    #[must_use]
    pub fn usual(doorward: &str) -> Self {
        Self { doorward: doorward.to_owned(), folder: ".demo".to_owned(), ports: Ports::default() }
    }
}

impl Expect {
    /// Compares with what was printed, on both channels.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn check(&self, printed: &str) -> Result<(), Surprise> {
        if let Some(expected) = self.status {
            let found = last_status(printed);
            if found != Some(expected) {
                return Err(Surprise::Status { found, expected });
            }
        }
        if let Some(missing) = self.all.iter().find(|text| !printed.contains(**text)) {
            return Err(Surprise::Missing(missing));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|text| printed.contains(text)) {
            return Err(Surprise::NoneOf(self.one_of.clone()));
        }
        Ok(())
    }

    /// What to look for, in words.
    fn told(&self) -> String {
        let mut texts: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        texts.extend(self.all.iter().map(|t| format!("`{t}`")));
        if !self.one_of.is_empty() {
            let one_of: Vec<_> = self.one_of.iter().map(|t| format!("`{t}`")).collect();
            texts.push(one_of.join(" or "));
        }
        texts.join(", ")
    }
}

/// The status of the last status line, such as `HTTP/1.1 200 OK` or `HTTP/2 200`.
fn last_status(printed: &str) -> Option<u16> {
    let line = printed.lines().rfind(|line| line.starts_with("HTTP/"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The tour for a terminal.
#[must_use]
pub fn terminal(steps: &[Step]) -> String {
    let mut text = String::new();
    for (i, step) in steps.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}. {}\n   {}\n", i + 1, step.title, step.text);
        for command in &step.commands {
            let _ = writeln!(text, "{}\n      → {}\n", command.shell, command.expect.told());
        }
    }
    text
}

/// The tour for the README.
#[must_use]
pub fn markdown(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let _ = writeln!(text, "### {}\n\n{}\n", step.title, step.text);
        for command in &step.commands {
            let _ = writeln!(text, "```sh\n{}\n```\n\nPrints {}.\n", command.shell, command.expect.told());
        }
    }
    text
}

#[cfg(test)]
mod tests;
