//! What is wrong with a folder of policies, said so that it can be mended.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use doorward_model::limits::POLICY_FINDINGS_MAX;
use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

use crate::rule::{Level, Rule};
use crate::shown::{drawable, printable};

/// One file of the folder, as it was read.
pub(crate) struct SourceFile {
    /// Its path within the folder, with `/`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
    /// Where each line begins; found when it is asked for.
    lines: OnceLock<Vec<usize>>,
    /// The text as it may be drawn, where that is another one.
    drawn: OnceLock<Option<String>>,
}

impl SourceFile {
    pub(crate) fn new(path: String, text: String) -> Arc<Self> {
        Arc::new(Self { path, text, lines: OnceLock::new(), drawn: OnceLock::new() })
    }

    fn lines(&self) -> &[usize] {
        let behind = || self.text.match_indices('\n').map(|(at, _)| at + 1);
        self.lines.get_or_init(|| std::iter::once(0).chain(behind()).collect())
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines().partition_point(|start| *start <= at)
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn line_and_column(&self, at: usize) -> Option<(usize, usize)> {
        let line = self.line(at);
        let start = *self.lines().get(line.checked_sub(1)?)?;
        Some((line, self.text.get(start..at)?.chars().count() + 1))
    }
}

/// By its name: of what it holds, a finding shows the place.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceFile").field(&self.path).finish()
    }
}

/// For drawing. What would move the cursor is shown as question marks; only the lines that are wanted are looked at.
impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.drawn.get_or_init(|| drawable(&self.text)).as_deref().unwrap_or(&self.text);
        let end = span.offset().saturating_add(span.len());
        let first = self.line(span.offset()).saturating_sub(lines_before.saturating_add(1));
        let last = self.line(end).saturating_add(lines_after).saturating_add(1);
        let start = self.lines().get(first).copied().unwrap_or(0);
        let stop = self.lines().get(last).copied().unwrap_or(text.len());
        let window = text.get(start..stop).unwrap_or_default();
        let shifted = SourceSpan::new((span.offset().saturating_sub(start)).into(), span.len());
        let inner = window.read_span(&shifted, lines_before, lines_after)?;
        let (within, line) = (inner.span(), first + inner.line());
        let data = window.as_bytes().get(within.offset()..within.offset() + within.len()).unwrap_or_default();
        let place = SourceSpan::new((start + within.offset()).into(), within.len());
        let lines = first + inner.line_count();
        let named =
            MietteSpanContents::new_named(printable(&self.path), data, place, line, inner.column(), lines);
        Ok(Box::new(named.with_language("Cedar")))
    }
}

/// Where in a file: bytes from `start`, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// One thing that is wrong, or could be better: where, what, and how to mend it.
///
/// It is a [`miette::Diagnostic`]: the binary draws it with the source and a marker under it.
#[derive(Debug, Clone)]
pub struct Finding {
    message: String,
    help: Option<String>,
    place: Option<(Arc<SourceFile>, Option<Span>)>,
    path: Option<String>,
    /// Where another process saw it, which has the file.
    told: Option<Extent>,
    policy: Option<Arc<str>>,
    rule: Rule,
    level: Level,
}

/// Where in a file, for people and editors: lines and columns from 1, columns in characters. The end is
/// behind the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first line.
    pub line: usize,
    /// Where it begins in the first line.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// Behind its last character in the last line.
    pub end_column: usize,
}

impl Finding {
    /// A mistake that belongs to no place in a file.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            place: None,
            path: None,
            told: None,
            policy: None,
            rule: Rule::Broken,
            level: Level::Mistake,
        }
    }

    /// By which rule it was found, and with the level of that.
    pub(crate) fn rule_is(mut self, rule: Rule) -> Self {
        (self.rule, self.level) = (rule, rule.level());
        self
    }

    /// About which policy it is.
    pub(crate) fn of_policy(mut self, id: impl Into<Arc<str>>) -> Self {
        self.policy = Some(id.into());
        self
    }

    /// As another process saw it: of the file there is no text here.
    #[must_use]
    pub fn told(
        rule: Rule,
        message: impl Into<String>,
        help: Option<String>,
        path: Option<String>,
        place: Option<Extent>,
    ) -> Self {
        let mut finding = Self::new(message).rule_is(rule);
        (finding.help, finding.path, finding.told) = (help, path, place);
        finding
    }

    /// How to mend it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In which file, of which nothing is to be shown.
    pub(crate) fn in_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Where in which file.
    pub(crate) fn at(mut self, file: &Arc<SourceFile>, span: Option<Span>) -> Self {
        self.place = Some((Arc::clone(file), span));
        self
    }

    /// The same as a hint: where a rule of Doorward is not a rule of whoever wrote the policy.
    #[must_use]
    pub fn as_hint(mut self) -> Self {
        self.level = Level::Hint;
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to mend it.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// By which rule it was found.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// Whether it keeps a folder from being put in force.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The policy that it is about, if it is about one.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Where in the file it begins and ends.
    #[must_use]
    pub fn extent(&self) -> Option<Extent> {
        if let Some(told) = self.told {
            return Some(told);
        }
        let (file, span) = self.place.as_ref()?;
        let span = (*span)?;
        let (line, column) = file.line_and_column(span.start)?;
        let (end_line, end_column) = file.line_and_column(span.start + span.len)?;
        Some(Extent { line, column, end_line, end_column })
    }

    /// The file, by its path within the folder.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|(f, _)| f.path.as_str()).or(self.path.as_deref())
    }

    /// Line and column, both from 1; the column counts characters.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        if let Some(told) = self.told {
            return Some((told.line, told.column));
        }
        let (file, span) = self.place.as_ref()?;
        file.line_and_column((*span)?.start)
    }

    /// What findings are sorted and merged by: the file, the place in it by its byte, or by its line and column
    /// where it was told, and the message.
    fn order(&self) -> (Option<&str>, (usize, usize), &str) {
        let start = self.place.as_ref().and_then(|(_, s)| *s).map_or(0, |s| s.start);
        let place = self.told.as_ref().map_or((start, 0), |told| (told.line, told.column));
        (self.file(), place, &self.message)
    }
}

/// `file:line:column: message`, as compilers write and editors read it, fit for a terminal.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.file() {
            f.write_str(&printable(file))?;
            if let Some((line, column)) = self.line_and_column() {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&printable(&self.message))
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.level {
            Level::Mistake => miette::Severity::Error,
            Level::Hint => miette::Severity::Advice,
        })
    }

    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.rule))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let (file, span) = self.place.as_ref()?;
        span.map(|_| file as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.place.as_ref().and_then(|(_, s)| *s)?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(span.start..span.start + span.len))))
    }
}

/// Why a folder of policies is not put in force: every mistake that was found.
#[derive(Debug, Clone)]
pub struct LoadFailure {
    /// The folder.
    pub dir: PathBuf,
    /// The mistakes, by file and place. Never empty.
    pub findings: Vec<Finding>,
}

impl LoadFailure {
    /// With mistakes that another process found, in whatever order.
    #[must_use]
    pub fn told(dir: impl Into<PathBuf>, findings: Vec<Finding>) -> Self {
        Self::new(dir, findings)
    }

    pub(crate) fn new(dir: impl Into<PathBuf>, mut findings: Vec<Finding>) -> Self {
        tidy(&mut findings);
        bound(&mut findings, "mistakes");
        Self { dir: dir.into(), findings }
    }

    /// One line for each mistake, `file:line:column: message`, and one for its help.
    #[must_use]
    pub fn plain(&self) -> String {
        plain(&self.findings)
    }
}

/// Leaves so many as a person reads and an answer holds, and says how many there were.
pub(crate) fn bound(findings: &mut Vec<Finding>, what: &str) {
    let more = findings.len().saturating_sub(POLICY_FINDINGS_MAX);
    if more > 0 {
        findings.truncate(POLICY_FINDINGS_MAX);
        findings.push(Finding::new(format!("and {more} {what} more, or even more than that")));
    }
}

/// Sorts by file and place and drops what was found twice: the validator tries a policy for every
/// kind of principal and action, and says the same each time, but for the action.
pub(crate) fn tidy(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    findings.dedup_by(|a, b| {
        let ((file, start, message), (other_file, other_start, other)) = (a.order(), b.order());
        (file, start) == (other_file, other_start) && without_actions(message) == without_actions(other)
    });
}

/// The message without the names of actions in it.
fn without_actions(message: &str) -> String {
    let mut parts = message.split("Action::\"");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("Action");
        text.push_str(part.split_once('"').map_or(part, |(_, rest)| rest));
    }
    text
}

/// One line for each finding, and one for its help.
pub(crate) fn plain(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        out.push_str(&finding.to_string());
        out.push('\n');
        if let Some(help) = &finding.help {
            out.push_str("    help: ");
            out.push_str(&printable(help));
            out.push('\n');
        }
    }
    out
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.findings.len();
        let s = if n == 1 { "" } else { "s" };
        write!(
            f,
            "the policies in `{}` are not put in force: {n} mistake{s}",
            printable(&self.dir.display().to_string())
        )
    }
}

impl std::error::Error for LoadFailure {}

impl Diagnostic for LoadFailure {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.findings.iter().map(|f| f as &dyn Diagnostic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_in_lines_and_characters() {
        let file = SourceFile::new("apps/x.cedar".into(), "// ü\n// übel X\n".into());
        let start = file.text.find('X').unwrap();
        let f = Finding::new("bad").at(&file, Some(Span { start, len: 1 })).help("mend it");
        assert_eq!(f.to_string(), "apps/x.cedar:2:9: bad");
        let all = LoadFailure::new("/p", vec![f.clone(), Finding::new("worse"), f]);
        assert_eq!(all.plain(), "worse\napps/x.cedar:2:9: bad\n    help: mend it\n");
        assert_eq!(all.to_string(), "the policies in `/p` are not put in force: 2 mistakes");
    }

    #[test]
    fn of_very_many_the_first_are_told_and_how_many_more_there_are() {
        let many =
            || (0..POLICY_FINDINGS_MAX + 3).map(|n| Finding::new(format!("{n:05}"))).collect::<Vec<_>>();
        let failure = LoadFailure::new("/p", many());
        let mut hints = many();
        bound(&mut hints, "hints");
        for (findings, what) in [(&failure.findings, "mistakes"), (&hints, "hints")] {
            assert_eq!(findings.len(), POLICY_FINDINGS_MAX + 1);
            let last = findings.last().unwrap().to_string();
            assert_eq!(last, format!("and 3 {what} more, or even more than that"));
        }
    }

    /// As on a terminal, but without its drawings.
    fn drawn(finding: &Finding) -> String {
        let label = finding.labels().unwrap().next().unwrap();
        let contents = finding.source_code().unwrap().read_span(label.inner(), 1, 1).unwrap();
        let text = String::from_utf8(contents.data().to_vec()).unwrap();
        format!("{}:{}:{text}", contents.name().unwrap(), contents.line())
    }

    #[test]
    fn a_file_is_drawn_where_it_is_and_writes_to_no_terminal() {
        let lines: String = (0..50).map(|n| format!("line {n} \u{1b}[2Jü\u{202e}\r\n")).collect();
        let file = SourceFile::new("a\u{1b}[31m".into(), lines);
        let start = file.text.find("line 30").unwrap();
        let f = Finding::new("x\u{7}").at(&file, Some(Span { start, len: 4 })).help("\u{9b}1m");
        let line = |n: usize| format!("line {n} ?[2Jü???");
        assert_eq!(drawn(&f), format!("a\\u{{1b}}[31m:29:{}\r\n{}\r\n{}\r\n", line(29), line(30), line(31)));
        assert_eq!(f.to_string(), "a\\u{1b}[31m:31:1: x\\u{7}");
        assert!(!plain(&[f]).contains(|c: char| c.is_control() && c != '\n'));
        let last = Finding::new("").at(&file, Some(Span { start: file.text.len(), len: 0 }));
        assert_eq!(last.extent().unwrap().line, 51);
    }

    #[test]
    fn a_span_beyond_the_text_is_not_shown_and_does_no_harm() {
        let file = SourceFile::new("a".into(), "ü".into());
        for start in [1, 99] {
            let f = Finding::new("bad").at(&file, Some(Span { start, len: 5 }));
            assert_eq!(f.to_string(), "a: bad");
        }
    }
}
