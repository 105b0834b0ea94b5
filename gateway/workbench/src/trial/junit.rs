//! Trials as JUnit writes them, for the boards of continuous integration: a suite for each file, a case for each trial.

use std::fmt::Write as _;

use super::{Outcome, Trial};

/// The report, as XML.
#[must_use]
pub fn report(run: &[(Trial, Outcome)]) -> String {
    let failed = run.iter().filter(|(_, outcome)| !outcome.holds()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites tests=\"{}\" failures=\"{failed}\">", run.len());
    for suite in run.chunk_by(|(a, _), (b, _)| a.file == b.file) {
        let file = suite.first().map_or("", |(trial, _)| trial.file.as_str());
        let failed = suite.iter().filter(|(_, outcome)| !outcome.holds()).count();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
            escaped(file),
            suite.len()
        );
        for (trial, outcome) in suite {
            let _ = write!(
                text,
                "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                escaped(file),
                escaped(&trial.name),
                escaped(file),
                trial.line
            );
            match &outcome.miss {
                None => text.push_str("/>\n"),
                Some(miss) => {
                    let (message, help) = (escaped(&miss.message), escaped(&miss.help));
                    let place = format!("{}:{}", escaped(file), trial.line);
                    let _ = writeln!(
                        text,
                        ">\n      <failure message=\"{message}\">{place}: {message}; {help}</failure>\n    </testcase>"
                    );
                }
            }
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
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
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{By, Expect, Miss, OnError};
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
        let expect = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"3\" failures=\"1\">
  <testsuite name=\"a.toml\" tests=\"2\" failures=\"1\">
    <testcase classname=\"a.toml\" name=\"x\" file=\"a.toml\" line=\"3\"/>
    <testcase classname=\"a.toml\" name=\"&quot;/&gt;&lt;oops&gt; &amp; ? \" file=\"a.toml\" line=\"3\">
      <failure message=\"&lt;bad&gt;\">a.toml:3: &lt;bad&gt;; mend</failure>
    </testcase>
  </testsuite>
  <testsuite name=\"b.toml\" tests=\"1\" failures=\"0\">
    <testcase classname=\"b.toml\" name=\"y\" file=\"b.toml\" line=\"3\"/>
  </testsuite>
</testsuites>
";
        assert_eq!(report(&run), expect);
    }
}
