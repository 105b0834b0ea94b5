//! What must be allowed and what must not, written down beside the policies.
//!
//! The cases are run through the same [`PolicyBundle::decide`] as a request, on the bundle that
//! would be put in force. One case that does not hold, and it is not.

mod cedar;
mod moment;
mod resolve;
mod roster;
mod write;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::sync::Arc;

use doorward_model::principal::Visitor;
use doorward_model::{LifecycleStage, Principal, RouteFacts, Tier, UnixMillis};
use toml::Spanned;

pub use self::cedar::{CedarTest, read_tests};
use self::resolve::{Wrong, done, facts, route_id};
pub use self::roster::Named;
pub use self::write::NewCase;
use crate::bundle::PolicyBundle;
use crate::failure::{Finding, SourceFile, Span};
use crate::known::Known;
use crate::question::{Decision, Verdict};
use crate::rule::Rule;
use crate::situation::Situation;

/// The file that says what holds in all files.
const BASE: &str = "cases/base.toml";
/// Who signed in as nobody.
const VISITOR: &str = "visitor";

/// All cases of a folder, and the people, programs and routes that they are about.
#[derive(Debug)]
pub struct Cases {
    base: written::Situation,
    /// Everybody's name. A case says only that, so that it must not stand for two.
    names: BTreeSet<String>,
    people: BTreeMap<String, written::Person>,
    accounts: BTreeMap<String, written::ServiceAccount>,
    agents: BTreeMap<String, written::Agent>,
    routes: BTreeMap<String, written::Route>,
    files: Vec<CaseFile>,
    tests: cedar::Tests,
}

/// One case: what happens, and what must come of it.
#[derive(Debug)]
pub struct Case<'a> {
    /// The file, by its path within the folder.
    pub file: &'a str,
    /// Where it begins, from 1.
    pub line: usize,
    /// What it shows.
    pub name: &'a str,
    /// What must come of it.
    pub expect: Decision,
    /// The policies that must decide, all of them. None where an allow does not say.
    pub by: Option<&'a BTreeSet<String>>,
    /// It is asked of the policies that only report as well ([`PolicyBundle::enforcing_all`]).
    pub report: bool,
    /// What happens; or why nobody knows.
    pub situation: Result<Situation, String>,
}

/// The cases of one file.
#[derive(Debug)]
struct CaseFile {
    source: Arc<SourceFile>,
    base: written::Situation,
    cases: Vec<Spanned<written::Case>>,
}

/// Reads the files of cases.
pub(crate) fn read(
    files: &[Arc<SourceFile>],
    tests: &[Arc<SourceFile>],
    known: Option<&Known>,
    findings: &mut Vec<Finding>,
) -> Cases {
    let mut all = Cases {
        base: written::Situation::default(),
        names: BTreeSet::from([VISITOR.to_owned()]),
        people: BTreeMap::new(),
        accounts: BTreeMap::new(),
        agents: BTreeMap::new(),
        routes: BTreeMap::new(),
        files: Vec::new(),
        tests: cedar::Tests::read(tests, findings),
    };
    for source in files {
        match toml::from_str::<written::File>(&source.text) {
            Ok(file) => all.add(source, file, known, findings),
            Err(e) => {
                let span = e.span().map(|s| something(&source.text, s.start, s.len()));
                let help = "the words of a case are in the README of the policies";
                let finding = Finding::new(e.message().trim_end()).rule_is(Rule::CaseSyntax);
                findings.push(finding.at(source, span).help(help));
            }
        }
    }
    all
}

/// A place with something in it: the line, where TOML points between two letters.
fn something(text: &str, start: usize, len: usize) -> Span {
    if len > 0 {
        return Span { start, len };
    }
    let before = text.get(..start).unwrap_or_default();
    let from = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    Span { start: from, len: line.len() }
}

/// Takes the definitions of one file into those of all; a name stands for one thing.
fn define<T>(
    into: &mut BTreeMap<String, T>,
    names: &mut BTreeSet<String>,
    from: BTreeMap<String, Spanned<T>>,
    source: &Arc<SourceFile>,
    findings: &mut Vec<Finding>,
) {
    for (name, value) in from {
        let span = span(&value);
        let taken = !names.insert(name.clone());
        into.insert(name.clone(), value.into_inner());
        if taken {
            let finding = Finding::new(format!("`{name}` is defined twice")).at(source, Some(span));
            let finding = finding.rule_is(Rule::CaseNameTwice);
            findings.push(finding.help("a name means the same in all files of cases; choose another"));
        }
    }
}

fn span<T>(of: &Spanned<T>) -> Span {
    let range = of.span();
    Span { start: range.start, len: range.len() }
}

/// The first line of what stands there.
fn first_line(source: &SourceFile, whole: Span) -> Span {
    let from = source.text.get(whole.start..).unwrap_or_default();
    Span { start: whole.start, len: from.lines().next().map_or(0, str::len) }
}

impl Cases {
    fn add(
        &mut self,
        source: &Arc<SourceFile>,
        file: written::File,
        known: Option<&Known>,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(known) = known {
            file.route.iter().for_each(|(name, route)| findings.extend(unreal(name, route, source, known)));
        }
        let names = &mut self.names;
        define(&mut self.people, names, file.person, source, findings);
        define(&mut self.accounts, names, file.service_account, source, findings);
        define(&mut self.agents, names, file.agent, source, findings);
        let mut routes = self.routes.keys().cloned().collect();
        define(&mut self.routes, &mut routes, file.route, source, findings);
        if source.path == BASE {
            self.base = file.base.clone();
        }
        let nowhere = |mark| {
            let finding = Finding::new(NOWHERE).rule_is(Rule::CaseTime).at(source, mark);
            finding.help(ANYWHERE)
        };
        findings.extend(file.base.time.is_nowhere().then(|| nowhere(None)));
        let lost = file.case.iter().filter(|case| case.get_ref().time.is_nowhere());
        findings.extend(lost.map(|case| nowhere(Some(first_line(source, span(case))))));
        self.files.push(CaseFile { source: Arc::clone(source), base: file.base, cases: file.case });
    }

    /// The name of each case, and a print of what it asks and expects, to tell whether it says the same elsewhere. Who
    /// somebody is and what all begin with are part of what it asks.
    pub(crate) fn prints(&self) -> Vec<(String, u64)> {
        let print = |name: String, said: &str| {
            let mut hasher = DefaultHasher::new();
            said.hash(&mut hasher);
            (name, hasher.finish())
        };
        let cases =
            self.files.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case.get_ref())));
        let cases = cases.map(|(file, case)| {
            // What cannot be asked has its words only.
            let asked = self.situation(file, case).map_err(|_| case);
            print(case.name.clone(), &format!("{:?}", (case.expect, &case.by, case.report, asked)))
        });
        cases.chain(self.tests.written().map(|(name, text)| print(name, text))).collect()
    }

    /// How many cases there are, tests in Cedar's own format among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.iter().map(|f| f.cases.len()).sum::<usize>() + self.tests.len()
    }

    /// The routes that they define.
    pub(crate) fn route_names(&self) -> impl Iterator<Item = String> + '_ {
        self.routes.keys().cloned()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every case, in the order of the files; of tests in Cedar's own format see [`Self::cedar_tests`].
    pub fn iter(&self) -> impl Iterator<Item = Case<'_>> {
        self.files.iter().flat_map(move |file| {
            file.cases.iter().map(move |spanned| {
                let case = spanned.get_ref();
                let before = file.source.text.get(..span(spanned).start).unwrap_or_default();
                Case {
                    file: &file.source.path,
                    line: before.matches('\n').count() + 1,
                    name: &case.name,
                    expect: case.expect,
                    by: case.by.as_ref(),
                    report: case.report,
                    situation: self.situation(file, case).map_err(|(message, _)| message),
                }
            })
        })
    }

    /// The situation that the words of a case say over these people, routes and this base: `who`, `does` and
    /// what differs, as TOML.
    ///
    /// # Errors
    /// What is wrong with the words, in one line.
    pub fn situated(&self, words: &str) -> Result<Situation, String> {
        let case = case_of(words)?;
        self.situation(&CaseFile::nothing(), &case).map_err(|(message, help)| format!("{message}: {help}"))
    }

    /// The same for whoever looks up elsewhere who asks, and what the route is: a visitor stands for them, and of the
    /// route nothing is known but its name.
    ///
    /// # Errors
    /// What is wrong with the words, in one line.
    pub fn situated_for_nobody(&self, words: &str) -> Result<Situation, String> {
        let case = case_of(words)?;
        let situation = done(&case.does).and_then(|(action, id)| {
            let (scope, app_groups) = (String::new(), Vec::new());
            let route = RouteFacts {
                id,
                app_groups,
                tier: Tier::Internal,
                scope,
                admin_surface: false,
                public: false,
            };
            let nobody = (Arc::new(Principal::Visitor(Visitor)), LifecycleStage::Unknown);
            self.situation_of(&CaseFile::nothing(), &case, nobody, (action, route))
        });
        situation.map_err(|(message, help)| format!("{message}: {help}"))
    }

    /// No cases, and circumstances of which nothing is known: an address that belongs to nobody, and
    /// the time in Greenwich.
    #[must_use]
    pub fn none(now: UnixMillis) -> Self {
        let mut none = read(&[], &[], None, &mut Vec::new());
        none.base.place.ip = Some(Ipv4Addr::new(192, 0, 2, 1).into());
        none.base.time = written::Time { now: Some(written::Moment(now)), ..written::Time::default() };
        none.base.time = none.base.time.after(&written::Time::default());
        none
    }

    /// Asks the bundle about every case; adds a finding for each that does not hold.
    pub(crate) fn run(&self, bundle: &PolicyBundle, findings: &mut Vec<Finding>) {
        for file in &self.files {
            for spanned in &file.cases {
                let case = spanned.get_ref();
                let outcome = self.ask(bundle, file, case).and_then(|v| compare(case, &v));
                if let Err((message, help)) = outcome {
                    let mark = first_line(&file.source, span(spanned));
                    let message = format!("case `{}`: {message}", case.name);
                    let finding = Finding::new(message).rule_is(Rule::CaseFails);
                    findings.push(finding.at(&file.source, Some(mark)).help(help));
                }
            }
        }
        self.tests.run(bundle, findings);
    }

    fn ask(&self, bundle: &PolicyBundle, file: &CaseFile, case: &written::Case) -> Result<Verdict, Wrong> {
        let bundle = if case.report { bundle.enforcing_all() } else { bundle };
        Ok(bundle.decide(&self.situation(file, case)?.question()))
    }
}

/// What is wrong with a time that is nowhere, and how to mend it.
const NOWHERE: &str = "`time.now` is not on that `time.weekday` anywhere";
const ANYWHERE: &str = "leave the day out, which then is that of `time.now`";

/// The case that words say.
fn case_of(words: &str) -> Result<written::Case, String> {
    let text = format!("name = \"\"\nexpect = \"deny\"\n{words}");
    let case: written::Case = toml::from_str(&text).map_err(|e| {
        let message = e.message().trim_end().replace("expected a boolean", "expected `true` or `false`");
        let word = e.span().and_then(|span| word_at(&text, span.start));
        word.map_or_else(|| message.clone(), |word| format!("`{word}`: {message}"))
    })?;
    if case.time.is_nowhere() {
        return Err(format!("{NOWHERE}: {ANYWHERE}"));
    }
    Ok(case)
}

/// The word of the line at a place of a text, where there is one: `session.mfa` of `session.mfa = true`.
fn word_at(text: &str, at: usize) -> Option<&str> {
    let begin = text.get(..at)?.rfind('\n').map_or(0, |before| before + 1);
    let (word, _) = text.get(begin..)?.lines().next()?.split_once(" = ")?;
    // What is missing is missing in the whole, which begins with the name.
    (begin > 0).then_some(word)
}

impl CaseFile {
    /// A file with nothing in it.
    fn nothing() -> Self {
        Self {
            source: SourceFile::new(String::new(), String::new()),
            base: written::Situation::default(),
            cases: Vec::new(),
        }
    }
}

/// A finding about a route that is in the configuration as another one than here: its cases would
/// hold for something that does not exist.
fn unreal(
    name: &str,
    route: &Spanned<written::Route>,
    source: &Arc<SourceFile>,
    known: &Known,
) -> Option<Finding> {
    let real = known.differs(&facts(route_id(name)?, route.get_ref()))?;
    let message = format!("the route `{name}` is not as in the configuration, which says {real}");
    let finding = Finding::new(message).rule_is(Rule::CaseRoute).at(source, Some(span(route)));
    Some(finding.help("write the same in both; cases about another route prove nothing"))
}

fn compare(case: &written::Case, verdict: &Verdict) -> Result<(), Wrong> {
    let got: BTreeSet<&str> = verdict.determining.iter().map(|id| id.as_ref()).collect();
    let by = |ids: &BTreeSet<&str>| match (ids.is_empty(), verdict.errors.is_empty()) {
        (true, true) => "because nothing permits it".to_owned(),
        (true, false) => "because a policy could not be evaluated".to_owned(),
        (false, _) => format!("by {}", ids.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    let outcome = format!("got {} {}", verdict.decision, by(&got));
    let detail = verdict.refusal.as_ref().map(|r| r.to_string()).unwrap_or_default();
    if verdict.decision != case.expect || !verdict.errors.is_empty() {
        let mend = "mend the policy, or the case";
        let help = if detail.is_empty() { mend.to_owned() } else { format!("{detail}; {mend}") };
        return Err((format!("expected {}, {outcome}", case.expect), help));
    }
    let Some(expected) = &case.by else {
        return match case.expect {
            Decision::Allow => Ok(()),
            Decision::Deny => {
                let help =
                    "write `by = [\"the-policy\"]`, or `by = []` if it is only that nothing permits it";
                Err((format!("does not say which policy denies; {outcome}"), help.to_owned()))
            }
        };
    };
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    if expected == got {
        return Ok(());
    }
    let message = format!("expected {} {}, {outcome}", case.expect, by(&expected));
    Err((message, "the decision is right, its reason is not: mend the policy, or `by`".to_owned()))
}
