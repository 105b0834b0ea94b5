//! What is wrong with a configuration file, with the place in the file, and how it is shown:
//! with the lines around it on a terminal, one line each in a pipe, or as JSON.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;

use super::locate::line_and_column;
use crate::color::Style;

/// One mistake and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The bytes it is about.
    pub span: Range<usize>,
    /// The key it is about, such as `app[0].upstream.addresses[1]`; empty for the file itself.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// A file that cannot be used, and everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The file, as it was asked for.
    pub file: PathBuf,
    /// What it holds.
    pub source: Arc<str>,
    /// The mistakes, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

/// How mistakes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// With the lines of the file around them.
    Graphical(Style),
    /// `file:line:column: error: …`, and a line with help.
    Plain,
    /// One JSON document.
    Json,
}

// === impl Broken ===

impl Broken {
    /// The report, ready to print.
    #[must_use]
    pub fn report(&self, show: Show) -> String {
        match show {
            Show::Graphical(style) => self.graphical(style),
            Show::Plain => self.plain(),
            Show::Json => self.json(),
        }
    }

    fn plain(&self) -> String {
        let mut out = String::new();
        for mistake in &self.mistakes {
            let (line, column) = line_and_column(&self.source, mistake.span.start);
            // Writing to a String does not fail.
            let _ = writeln!(out, "{}:{line}:{column}: error: {}", self.file.display(), mistake.message);
            if let Some(help) = &mistake.help {
                let _ = writeln!(out, "  help: {help}");
            }
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    fn graphical(&self, style: Style) -> String {
        let theme = match style {
            Style::Color => GraphicalTheme::unicode(),
            Style::Plain => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_links(false);
        let source = NamedSource::new(self.file.display().to_string(), Arc::clone(&self.source));
        let mut out = String::new();
        for mistake in &self.mistakes {
            let diagnostic = Drawn { mistake, source: &source };
            if handler.render_report(&mut out, &diagnostic).is_err() {
                return self.plain();
            }
            out.push('\n');
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    fn json(&self) -> String {
        let mistakes: Vec<_> = self
            .mistakes
            .iter()
            .map(|m| {
                let (line, column) = line_and_column(&self.source, m.span.start);
                json!({ "line": line, "column": column, "key": m.key, "message": m.message, "help": m.help })
            })
            .collect();
        let report = json!({ "file": self.file, "valid": false, "mistakes": mistakes });
        format!("{report:#}\n")
    }

    fn summary(&self) -> String {
        match self.mistakes.len() {
            1 => format!("1 mistake in {}", self.file.display()),
            n => format!("{n} mistakes in {}", self.file.display()),
        }
    }
}

/// One mistake as `miette` draws it.
struct Drawn<'a> {
    mistake: &'a Mistake,
    source: &'a NamedSource<Arc<str>>,
}

impl std::fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.mistake.fmt(f)
    }
}

impl std::fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl Diagnostic for Drawn<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.mistake.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = match self.mistake.key.as_str() {
            "" => "here",
            key => key,
        };
        let span = LabeledSpan::new_with_span(Some(label.to_owned()), self.mistake.span.clone());
        Some(Box::new(std::iter::once(span)))
    }
}
