//! Lays out policy files as Cedar's own formatter does, and loses nothing.
//!
//! The formatter is given one policy at a time. What stands between policies is comments, which stay as they
//! are: a paragraph of its own stays one, and is not glued to the policy below it. After that the file is read
//! again: unless every policy is the same policy and every comment is still there, the file is left alone.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cedar_policy::{Policy, Template};
use cedar_policy_formatter::{Config, policies_str_to_pretty};
use doorward_model::limits::{POLICY_FILE_BYTES_MAX, POLICY_FINDINGS_MAX};
use doorward_policy::{Extent, Finding, ForeignSet, LoadFailure, Rule, on_policy_stack, statements};
use serde_json::Value;

/// As wide as Cedar's own command line and its editors lay out policies, so that they agree with this.
const LINE_WIDTH: usize = 80;
const INDENT_WIDTH: isize = 2;
/// What some editors write at the beginning of a file; Cedar has no word for it.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// A layout that changes when it is laid out again is tried so often.
const ROUNDS_MAX: usize = 4;

/// Why a file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is no file of policies: every mistake in it.
    #[error("this is not Cedar")]
    Mistakes(Vec<Finding>),
    /// The layout would change what it says, or lose a comment. A mistake of the formatter.
    #[error("laid out, it would not be the same file any more: {0}")]
    Changed(String),
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The text of a policy file as it should be. `path` names the file in findings.
///
/// # Errors
/// Why it stays as it is.
pub fn format(path: &str, text: &str) -> Result<String, FormatError> {
    let broken = |e: String| vec![Finding::told(Rule::Broken, e, None, Some(path.to_owned()), None)];
    on_policy_stack(|| {
        let before = Content::of(path, text)?;
        let mut laid_out = lay_out(path, text)?;
        for _ in 0..ROUNDS_MAX {
            let again = lay_out(path, &laid_out)?;
            if again == laid_out {
                return before.kept_in(path, &laid_out).map(|()| laid_out);
            }
            laid_out = again;
        }
        Err(FormatError::Changed("its layout never settles".to_owned()))
    })
    .unwrap_or_else(|e| Err(FormatError::Mistakes(broken(e))))
}

/// Lays out the file at `path`, which findings call `name`. Says whether it was laid out otherwise. It is
/// written only if `write` says so: whole, under its own name in one step, with the permissions that it had.
///
/// # Errors
/// Why it stays as it is.
pub fn file(path: &Path, name: &str, write: bool) -> Result<bool, FormatError> {
    let text = match text_of(path, name)? {
        Ok(text) => text,
        Err(finding) => return Err(FormatError::Mistakes(vec![*finding])),
    };
    let laid_out = format(name, &text).map_err(|e| match e {
        FormatError::Mistakes(_) if path.extension().is_none_or(|e| e != "cedar") => {
            let message = "this is no file of policies".to_owned();
            let help = "policies are in files that end in `.cedar`";
            FormatError::Mistakes(vec![told(Rule::FileName, message, help, name)])
        }
        other => other,
    })?;
    if laid_out == text {
        return Ok(false);
    }
    if write {
        replace(path, &laid_out)?;
    }
    Ok(true)
}

/// What a file says, bounded, or what is wrong with it. What is no file may have no end, and nobody who writes to it.
fn text_of(path: &Path, name: &str) -> io::Result<Result<String, Box<Finding>>> {
    let wrong = |rule, message: String, help| Ok(Err(Box::new(told(rule, message, help, name))));
    if !fs::metadata(path)?.is_file() {
        return wrong(Rule::Unreadable, "this is not a regular file".to_owned(), "name files of policies");
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(POLICY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > POLICY_FILE_BYTES_MAX {
        let message = format!("this file is larger than {POLICY_FILE_BYTES_MAX} bytes");
        return wrong(Rule::TooLarge, message, "split it");
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.starts_with(BYTE_ORDER_MARK) => {
            let help = "save it as UTF-8 without a byte order mark (BOM)";
            wrong(Rule::NotText, "a byte order mark stands before the first word".to_owned(), help)
        }
        Ok(text) => Ok(Ok(text)),
        Err(_) => wrong(Rule::NotText, "this file is not UTF-8".to_owned(), "save it as UTF-8 text"),
    }
}

fn told(rule: Rule, message: String, help: &str, name: &str) -> Finding {
    Finding::told(rule, message, Some(help.to_owned()), Some(name.to_owned()), None)
}

/// Every policy file below a folder, in order. Names that begin with a dot are passed over, as loading does.
///
/// # Errors
/// A folder cannot be read.
pub fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type()?;
            if name.starts_with('.') || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if name.ends_with(".cedar") {
                // What is no file is found out when it is read.
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Puts `text` where `path` leads, in one step: whoever reads the file reads the old one or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link: what it leads to is written.
    let path = path.canonicalize()?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("this is not a file"));
    };
    // A dot in front: a gateway that watches the folder passes it over.
    let beside = folder.join(format!(".{}.{}.fmt", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// What must be the same afterwards.
struct Content {
    /// Each policy: annotations, effect, scope, conditions.
    policies: Vec<Value>,
    /// Every comment, sorted.
    comments: Vec<String>,
}

impl Content {
    fn of(path: &str, text: &str) -> Result<Self, FormatError> {
        let spans = statements(path, text).map_err(|deep| FormatError::Mistakes(vec![*deep]))?;
        let (mut policies, mut mistakes) = (Vec::new(), Vec::new());
        let (mut line, mut counted) = (1, 0);
        for span in spans {
            // Nobody reads what else is wrong in a file of nothing but mistakes.
            if mistakes.len() > POLICY_FINDINGS_MAX {
                break;
            }
            line += text.get(counted..span.start).unwrap_or_default().matches('\n').count();
            counted = span.start;
            match as_json(text.get(span).unwrap_or_default()) {
                Ok(json) => policies.push(json),
                Err(e) => {
                    let place = Extent { line, column: 1, end_line: line, end_column: 1 };
                    let help = "`doorward policy check` shows the place".to_owned();
                    let path = Some(path.to_owned());
                    mistakes.push(Finding::told(Rule::Syntax, e, Some(help), path, Some(place)));
                }
            }
        }
        if !mistakes.is_empty() {
            // What reads it for its mistakes knows the place of each in the file.
            if let Err(placed) = ForeignSet::read(None, (path, text)) {
                return Err(FormatError::Mistakes(LoadFailure::told("", placed).findings));
            }
            return Err(FormatError::Mistakes(LoadFailure::told("", mistakes).findings));
        }
        let mut comments = comments(text);
        comments.sort_unstable();
        Ok(Self { policies, comments })
    }

    fn kept_in(&self, path: &str, text: &str) -> Result<(), FormatError> {
        let after = Self::of(path, text).map_err(|e| FormatError::Changed(e.to_string()))?;
        if self.policies != after.policies {
            return Err(FormatError::Changed("a policy would say something else".to_owned()));
        }
        if self.comments != after.comments {
            return Err(FormatError::Changed("a comment would be lost".to_owned()));
        }
        Ok(())
    }
}

/// All that a policy says, or a template.
fn as_json(text: &str) -> Result<Value, String> {
    match Policy::parse(None, text) {
        Ok(policy) => policy.to_json().map_err(|e| e.to_string()),
        Err(e) => match Template::parse(None, text) {
            Ok(template) => template.to_json().map_err(|e| e.to_string()),
            Err(_) => Err(e.to_string()),
        },
    }
}

/// The comments of a text, without the space behind them.
fn comments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.find(['"', '/']) else { return found };
        let here = rest.get(at..).unwrap_or_default();
        if let Some(comment) = here.strip_prefix("//") {
            let end = comment.find(['\n', '\r']).unwrap_or(comment.len());
            found.push(comment.get(..end).unwrap_or_default().trim_end().to_owned());
            rest = comment.get(end..).unwrap_or_default();
        } else if here.starts_with('"') {
            let mut escaped = false;
            let end = here.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            rest = end.and_then(|(end, _)| here.get(end + 1..)).unwrap_or_default();
        } else {
            rest = here.get(1..).unwrap_or_default();
        }
    }
}

/// One round of layout.
fn lay_out(path: &str, text: &str) -> Result<String, FormatError> {
    let spans = statements(path, text).map_err(|deep| FormatError::Mistakes(vec![*deep]))?;
    let config = Config { line_width: LINE_WIDTH, indent_width: INDENT_WIDTH };
    let mut out = String::new();
    let mut at = 0;
    for span in spans {
        let (policy_behind, between) = (at > 0, text.get(at..span.start).unwrap_or_default());
        gap(between, policy_behind, true, &mut out);
        let one = text.get(span.clone()).unwrap_or_default();
        let laid_out =
            policies_str_to_pretty(one, &config).map_err(|e| FormatError::Changed(format!("{e:?}")))?;
        out.push_str(laid_out.trim_end());
        at = span.end;
    }
    gap(text.get(at..).unwrap_or_default(), at > 0, false, &mut out);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(out)
}

/// What stands between two policies, or before the first, or behind the last: comments in paragraphs.
fn gap(text: &str, policy_behind: bool, policy_ahead: bool, out: &mut String) {
    let mut lines = text.lines();
    if policy_behind {
        // A comment behind the semicolon stays there.
        let tail = lines.next().unwrap_or_default().trim();
        if !tail.is_empty() {
            out.push(' ');
            out.push_str(tail);
        }
    }
    let mut paragraphs: Vec<Vec<&str>> = vec![Vec::new()];
    for line in lines.map(str::trim) {
        match (line.is_empty(), paragraphs.last_mut()) {
            (false, Some(paragraph)) => paragraph.push(line),
            (true, Some(paragraph)) if !paragraph.is_empty() => paragraphs.push(Vec::new()),
            (true | false, _) => {}
        }
    }
    // The last one is empty where a blank line stands between it and the policy.
    let detached = paragraphs.last().is_some_and(Vec::is_empty);
    paragraphs.retain(|p| !p.is_empty());
    let begun = policy_behind || !out.is_empty();
    for (n, paragraph) in paragraphs.iter().enumerate() {
        if begun || n > 0 {
            out.push_str(if n == 0 && policy_behind { "\n\n" } else { "\n" });
        }
        for line in paragraph {
            out.push_str(line);
            out.push('\n');
        }
    }
    match (policy_ahead, paragraphs.is_empty()) {
        (true, false) if detached => out.push('\n'),
        (true, true) if policy_behind => out.push_str("\n\n"),
        (true | false, true | false) => {}
    }
}

#[cfg(test)]
mod tests;
