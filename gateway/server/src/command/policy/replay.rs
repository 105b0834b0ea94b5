//! `doorward policy replay`: what the log has, decided once more by other policies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_policy::{Known, Workshop};
use doorward_workbench::replay::{Change, Progress, Replay, Report, write_cases};

use super::super::{Exit, Failure, Output, show_on};
use super::{Folder, mistakes};
use crate::cli::{Format, PolicyReplayArgs};
use crate::clock;
use crate::color::ColorChoice;
use crate::config::Config;

mod print;

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_millis(200);

/// What was decided, and by what.
struct Done<'a> {
    args: &'a PolicyReplayArgs,
    since: UnixMillis,
    until: UnixMillis,
    revision: String,
    took: Duration,
    report: Report,
    cases: Option<(usize, Vec<String>)>,
}

/// The file for the cases, which is opened before the work begins: hours later is late for a typo.
struct CaseFile<'a> {
    path: &'a Path,
    to: File,
}

pub(super) fn replay(
    args: &PolicyReplayArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let config = super::configuration(args.dir.as_deref(), &args.config, color)?;
    let known = config.as_ref().map(Config::known);
    let log = match (&args.dir, &config) {
        (Some(dir), _) => dir.clone(),
        (None, Some(config)) => config.audit.dir().to_owned(),
        (None, None) => return Err(Failure::new(Exit::Mistaken, "no log is named", "use `--dir DIR`")),
    };
    let now = clock::now();
    let (since, until) = (args.since.at(now), args.until.map_or(now, |until| until.at(now)));
    if since >= until {
        let help = "`--since` is the earlier one of the two";
        return Err(Failure::new(Exit::Mistaken, "there is no time between `--since` and `--until`", help));
    }
    let folders = (Folder::open(&args.candidate)?, args.baseline.as_deref().map(Folder::open).transpose()?);
    let (candidate, baseline) = match opened(&folders, known.as_ref(), color) {
        Ok(both) => both,
        Err(told) => {
            out.text(told)?;
            return Ok(Exit::Mistaken);
        }
    };
    let case_file = args.write_cases.as_deref().map(CaseFile::open).transpose()?;
    let task = Replay {
        dir: &log,
        since,
        until: args.until.map(|_| until),
        candidate: candidate.bundle(),
        baseline: baseline.as_ref().map(Workshop::bundle),
        app: args.app.as_ref(),
        kind: args.person_kind.map(Into::into),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        keep_situations: case_file.is_some(),
    };
    let ran = run(&task);
    if let (Err(_), Some(file)) = (&ran, &case_file) {
        file.remove();
    }
    let (report, took) = ran?;
    let beside = baseline.as_ref().unwrap_or(&candidate);
    let cases = case_file.map(|file| file.write(beside, &report)).transpose()?;
    let revision = candidate.bundle().revision().to_string();
    let done = Done { args, since, until, revision, took, report, cases };
    match args.format {
        Format::Human => print::human(&done, out)?,
        Format::Json => out.line(format_args!("{:#}", print::json(&done)))?,
    }
    let fails = args.fail_on_difference && (done.report.differ() > 0 || done.unproved().is_some());
    Ok(if fails { Exit::Failed } else { Exit::Done })
}

/// The candidate and what it is compared with; or what is wrong with one of them, ready to print. Cases that do
/// not hold are no reason not to look: the folder may be in the middle of an edit.
fn opened(
    (candidate, baseline): &(Folder, Option<Folder>),
    known: Option<&Known>,
    color: ColorChoice,
) -> Result<(Workshop, Option<Workshop>), String> {
    let open = |dir: &Folder| {
        let show = show_on(&io::stdout(), color);
        dir.untried(known).map_err(|failure| mistakes(&failure, show))
    };
    Ok((open(candidate)?, baseline.as_ref().map(open).transpose()?))
}

fn run(task: &Replay<'_>) -> Result<(Report, Duration), Failure> {
    let uptime = clock::uptime();
    let began = uptime();
    let shows = io::stderr().is_terminal();
    let mut said = Duration::ZERO;
    let report = task.run(|progress| {
        let took = uptime().saturating_sub(began);
        if shows && took.saturating_sub(said) >= SAY_EVERY {
            said = took;
            // Whoever closed standard error does not want to know.
            let _ = write!(io::stderr(), "\r\u{1b}[K{}", how_far(progress, took));
        }
    });
    if shows && said > Duration::ZERO {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    let report = report.map_err(|e| {
        let help = "it is `audit.dir` of the configuration; `--dir DIR` names another; only the gateway's own \
                    user may read it";
        Failure::new(Exit::Failed, e.to_string(), help)
    })?;
    Ok((report, uptime().saturating_sub(began)))
}

/// `45 %, 1,234,567 decisions, 123,456 a second, 12 s left`
fn how_far(progress: Progress, took: Duration) -> String {
    let Progress { bytes_total, bytes, decided } = progress;
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let percent = bytes.saturating_mul(100) / bytes_total.max(1);
    let rest = u128::from(bytes_total.saturating_sub(bytes)) * u128::from(millis) / u128::from(bytes.max(1));
    format!(
        "{percent} %, {} decisions, {} a second, {} s left",
        print::grouped(decided),
        print::grouped(print::rate(decided, took)),
        rest.div_ceil(1000)
    )
}

impl Done<'_> {
    /// Why the pipeline that asked for `--fail-on-difference` learns nothing from a report without one.
    fn unproved(&self) -> Option<&'static str> {
        self.report.gap().filter(|_| self.args.fail_on_difference && !self.args.allow_gaps)
    }
}

impl<'a> CaseFile<'a> {
    fn failed(path: &Path, e: &io::Error) -> Failure {
        let message = format!("the cases cannot be written to `{}`: {e}", path.display());
        Failure::new(Exit::Failed, message, "name a file that is not there yet, in a folder that is")
    }

    fn open(path: &'a Path) -> Result<Self, Failure> {
        let to = OpenOptions::new().write(true).create_new(true).open(path);
        Ok(Self { path, to: to.map_err(|e| Self::failed(path, &e))? })
    }

    /// It is empty, and was made by this.
    fn remove(&self) {
        // A file that is left behind is harmless, and the failure that is told matters more.
        let _ = fs::remove_file(self.path);
    }

    /// Writes the cases; how many, and why some are missing. A file without a case is not left behind.
    fn write(mut self, beside: &Workshop, report: &Report) -> Result<(usize, Vec<String>), Failure> {
        let written = write_cases(beside.cases(), &report.differences);
        if written.cases == 0 {
            self.remove();
        } else {
            self.to.write_all(written.text.as_bytes()).map_err(|e| Self::failed(self.path, &e))?;
        }
        Ok((written.cases, written.left_out))
    }
}

/// The word for a change, for people.
const fn words(change: Change) -> &'static str {
    match change {
        Change::NewlyDenied => "newly denied",
        Change::NewlyAllowed => "newly allowed",
        Change::OtherReasons => "by other policies",
    }
}
