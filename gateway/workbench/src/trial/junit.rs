//! Trials as JUnit writes them, for the boards of continuous integration: a suite for each file, a case for each trial;
//! and suites for what else was asked for.

use std::fmt::Write as _;

use super::{Miss, Outcome, Trial};

/// Something that was asked for beside the trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about: those about one thing stand together.
    pub suite: &'static str,
    /// What must hold.
    pub name: String,
    /// The file that it is about; empty where it is about no file.
    pub file: String,
    /// The line in there, from 1; 0 where nobody knows.
    pub line: usize,
    /// Why it does not hold. None: it holds.
    pub miss: Option<Miss>,
}

/// One case of a suite.
struct Line<'a> {
    suite: &'a str,
    name: &'a str,
    file: &'a str,
    line: usize,
    miss: Option<&'a Miss>,
}

/// The report, as XML: the trials, then the checks.
#[must_use]
pub fn report(run: &[(Trial, Outcome)], checks: &[Check]) -> String {
    let trials = run.iter().map(|(trial, outcome)| Line {
        suite: &trial.file,
        name: &trial.name,
        file: &trial.file,
        line: trial.line,
        miss: outcome.miss.as_ref(),
    });
    let checks = checks.iter().map(|check| Line {
        suite: check.suite,
        name: &check.name,
        file: &check.file,
        line: check.line,
        miss: check.miss.as_ref(),
    });
    let lines: Vec<Line<'_>> = trials.chain(checks).collect();
    let failed = |lines: &[Line<'_>]| lines.iter().filter(|line| line.miss.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites tests=\"{}\" failures=\"{}\">", lines.len(), failed(&lines));
    for suite in lines.chunk_by(|a, b| a.suite == b.suite) {
        let (name, failed) = (suite.first().map_or("", |line| line.suite), failed(suite));
        let (name, all) = (escaped(name), suite.len());
        let _ = writeln!(text, "  <testsuite name=\"{name}\" tests=\"{all}\" failures=\"{failed}\">");
        suite.iter().for_each(|line| line.write(&mut text));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

impl Line<'_> {
    fn write(&self, text: &mut String) {
        let _ = write!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
            escaped(self.suite),
            escaped(self.name),
            escaped(self.file),
            self.line
        );
        let Some(miss) = self.miss else {
            text.push_str("/>\n");
            return;
        };
        let (message, help) = (escaped(&miss.message), escaped(&miss.help));
        let place =
            if self.file.is_empty() { String::new() } else { format!("{}:{}: ", self.file, self.line) };
        let place = escaped(&place);
        let _ = writeln!(
            text,
            ">\n      <failure message=\"{message}\">{place}{message}; {help}</failure>\n    </testcase>"
        );
    }
}

/// A text as XML takes it. What XML 1.0 cannot say at all is written as a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(' '),
            c if doorward_policy::is_unfit(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{By, Expect, OnError};
    use super::*;

    #[test]
    fn each_file_is_a_suite_and_nothing_breaks_out_of_it() {
        let one = |file: &str, name: &str, message: Option<&str>| {
            let expect = Expect { decision: doorward_policy::Decision::Deny, by: By::Unsaid, errors: 0 };
            let miss = message.map(|m| Miss { message: m.to_owned(), help: "mend".to_owned() });
            let trial = Trial {
                file: file.to_owned(),
                line: 3,
                name: name.to_owned(),
                expect,
                asked: Ok(Vec::new()),
                on_error: OnError::Deny,
            };
            (trial, Outcome { answer: Err(String::new()), miss })
        };
        let run = [
            one("a.toml", "x", None),
            one("a.toml", "\"/><oops> & \u{1b}\n", Some("<bad>")),
            one("b.toml", "y", None),
        ];
        let check = |name: &str, miss: bool| Check {
            suite: "matrix",
            name: name.to_owned(),
            file: String::new(),
            line: 0,
            miss: miss.then(|| Miss { message: "-old".to_owned(), help: "look".to_owned() }),
        };
        let checks = [check("current", true), check("other", false)];
        let expect = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"5\" failures=\"2\">
  <testsuite name=\"a.toml\" tests=\"2\" failures=\"1\">
    <testcase classname=\"a.toml\" name=\"x\" file=\"a.toml\" line=\"3\"/>
    <testcase classname=\"a.toml\" name=\"&quot;/&gt;&lt;oops&gt; &amp; ? \" file=\"a.toml\" line=\"3\">
      <failure message=\"&lt;bad&gt;\">a.toml:3: &lt;bad&gt;; mend</failure>
    </testcase>
  </testsuite>
  <testsuite name=\"b.toml\" tests=\"1\" failures=\"0\">
    <testcase classname=\"b.toml\" name=\"y\" file=\"b.toml\" line=\"3\"/>
  </testsuite>
  <testsuite name=\"matrix\" tests=\"2\" failures=\"1\">
    <testcase classname=\"matrix\" name=\"current\" file=\"\" line=\"0\">
      <failure message=\"-old\">-old; look</failure>
    </testcase>
    <testcase classname=\"matrix\" name=\"other\" file=\"\" line=\"0\"/>
  </testsuite>
</testsuites>
";
        assert_eq!(report(&run, &checks), expect);
    }
}
