//! `doorward policy prove`: the red lines, each proved for all requests or broken by one.

mod edit;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use doorward_policy::Revision;
use doorward_workbench::prove::{Breach, Line, Proof, Shows, Verdict, against, prove, redrawn};
use doorward_workbench::solver::{Bounds, Program, Solver};
use serde_json::{Value, json};

use super::super::{Exit, Failure, Output, json_text, printable, show_on};
use super::{Folder, mistakes};
use crate::cli::{Format, PolicyProveArgs};
use crate::clock::Stopwatch;
use crate::color::{ColorChoice, Style};

pub(super) fn prove_lines(
    args: &PolicyProveArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (dir, known) = super::folder(args.dir.as_deref(), &args.config, color)?;
    let before = args.against.as_deref().map(Folder::open).transpose()?;
    let open = |dir: &Folder| dir.untried(known.as_ref());
    let opened = open(&dir).and_then(|new| Ok((new, before.as_ref().map(open).transpose()?)));
    let (new, old) = match opened {
        Ok(both) => both,
        Err(failure) => {
            match args.format {
                Format::Human => out.text(mistakes(&failure, show_on(&io::stdout(), color)))?,
                Format::Json => out.line(format_args!("{:#}", super::report(dir.named(), &Err(failure))))?,
            }
            return Ok(Exit::Mistaken);
        }
    };
    if new.red_lines().is_empty() && old.is_none() && args.only.is_none() {
        return Err(Failure::new(
            Exit::Mistaken,
            format!("there are no red lines in `{}`", dir.named().display()),
            "write them in `invariants/`, as docs/guide/workbench/prove.md says; `--only policies.never-fail` \
             asks whether every policy can be evaluated",
        ));
    }
    let mut solver = start(args.budget)?;
    let failed = |help: &'static str| move |why: String| Failure::new(Exit::Mistaken, printable(&why), help);
    match old {
        None => {
            let only = args.only.as_deref();
            let proof = prove(&mut solver, &new, only, &mut told())
                .map_err(failed("name one of these with `--only`"))?;
            match args.format {
                Format::Human => human(&proof, &solver, out)?,
                Format::Json => {
                    let about = (new.bundle().revision(), only);
                    out.line(json_text(&proof_json(&proof, &solver, about)))?;
                }
            }
            Ok(verdict_of(&proof))
        }
        Some(old) => {
            let edit = against(&mut solver, &old, &new, &mut told());
            let edit = edit.map_err(failed("compare folders with the same schema"))?;
            let lines = redrawn(&mut solver, &old, &new, &mut told()).map_err(failed("mend the policies"))?;
            match args.format {
                Format::Human => {
                    done_watching();
                    out.text(edit::human(&edit, &lines, out.style))?;
                }
                Format::Json => out.line(json_text(&edit::json(&edit, &lines)))?,
            }
            Ok(edit::verdict_of(&edit, &lines))
        }
    }
}

fn start(budget: Duration) -> Result<Solver, Failure> {
    let (named, path) = (std::env::var_os("DOORWARD_CVC5"), std::env::var_os("PATH"));
    let watch = Stopwatch::start();
    let bounds = Bounds { budget, ..Bounds::default() };
    Program::find(named.as_deref(), path.as_deref())
        .and_then(|program| Solver::start(program, bounds, Box::new(move || watch.elapsed())))
        .map_err(|e| {
            let message = format!("nothing is proved without a solver: {}", printable(&e.to_string()));
            Failure::new(Exit::Failed, message, e.help())
        })
}

/// A broken line is a mistake in the policies; a line of which nobody knows is a failure, if it must hold.
fn verdict_of(proof: &Proof) -> Exit {
    let [_, broken, _] = proof.counts();
    match (broken, proof.unknown_blocks()) {
        (1.., _) => Exit::Mistaken,
        (0, true) => Exit::Failed,
        (0, false) => Exit::Done,
    }
}

/// Progress for whoever watches.
fn told() -> impl FnMut(usize, usize, &str) {
    let watched = io::stderr().is_terminal();
    move |done, total, id| {
        if watched {
            let _ = write!(io::stderr(), "\r\u{1b}[K{done} of {total}: {}", printable(id));
        }
    }
}

/// Nothing of the progress stays.
fn done_watching() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
}

fn human(proof: &Proof, solver: &Solver, out: &mut Output<'_>) -> Result<(), Failure> {
    done_watching();
    let style = out.style;
    for line in &proof.lines {
        out.text(line_human(line, style))?;
    }
    let [proved, broken, unknown] = proof.counts();
    out.line(format_args!(
        "{proved} proved, {broken} broken, {unknown} unknown, in {} by cvc5 {} ({})",
        seconds(solver.elapsed()),
        solver.program().version(),
        counted(solver.queries(), "query", "queries")
    ))
}

fn line_human(line: &Line, style: Style) -> String {
    let (word, more) = match &line.verdict {
        Verdict::Proved => (style.green("PROVED "), String::new()),
        Verdict::Broken(breach) => (style.red("BROKEN "), breach_human(breach, &line.owner)),
        Verdict::Unknown(why) => {
            let then = if line.unknown_blocks { "" } else { " (only reported: `@unknown(\"report\")`)" };
            (style.yellow("UNKNOWN"), format!("          {}{then}\n", printable(why)))
        }
    };
    let note = line.note.as_ref().map(|note| format!("          note: {}\n", printable(note)));
    let note = note.unwrap_or_default();
    let took = style.dim(&format!("{:>7}", seconds(line.took)));
    format!("{word} {took}  {}  {}\n{note}{more}", printable(&line.id), printable(&line.title))
}

fn breach_human(breach: &Breach, owner: &Option<String>) -> String {
    let by = |ids: &[String]| match ids {
        [] => "because nothing permits it".to_owned(),
        some => format!("by {}", some.join(", ")),
    };
    let mut text = String::new();
    let _ = match &breach.shows {
        Shows::Mistake | Shows::Comparison { .. } | Shows::Failure => {
            writeln!(text, "          {}", printable(&by(&breach.by)))
        }
        Shows::Edit { before } => {
            let (now, before) = (by(&breach.by), by(before));
            writeln!(text, "          now {}; before {}", printable(&now), printable(&before))
        }
    };
    if let Some(owner) = owner {
        let _ = writeln!(text, "          owner: {}", printable(owner));
    }
    let _ = writeln!(text, "          {}\n", printable(&told_of(breach)));
    for line in breach.request.lines() {
        let _ = writeln!(text, "    {}", printable(line));
    }
    text.push('\n');
    text
}

/// What the request is that follows.
fn told_of(breach: &Breach) -> String {
    let what = match &breach.shows {
        Shows::Mistake => "this request shows it; as a case in cases/ it fails until it is mended".to_owned(),
        Shows::Comparison { with } => format!(
            "this request is allowed, and would not be with `{with}`; deny it, as this case for cases/ demands, \
             or allow the other one, too"
        ),
        Shows::Failure => {
            return "for this request the policy fails, and the gateway refuses; no case can say so, but once it is \
                    mended this can be one, with what you expect then:"
                .to_owned();
        }
        Shows::Edit { .. } => {
            "this request shows it; as a case in cases/ it holds with the edit, if the edit is meant so"
                .to_owned()
        }
    };
    if breach.fits {
        format!("{what}:")
    } else {
        format!("{what}. The cases define its route with other facts, so that it is no case beside them:")
    }
}

/// `about`: of which policies, and which line alone.
fn proof_json(proof: &Proof, solver: &Solver, about: (Revision, Option<&str>)) -> Value {
    let [proved, broken, unknown] = proof.counts();
    json!({
        "revision": about.0.to_string(),
        "only": about.1,
        "solver": format!("cvc5 {}", solver.program().version()),
        "seconds": solver.elapsed().as_secs_f64(),
        "proved": proved, "broken": broken, "unknown": unknown,
        "blocked": broken > 0 || proof.unknown_blocks(),
        "lines": proof.lines.iter().map(line_json).collect::<Vec<_>>(),
    })
}

fn line_json(line: &Line) -> Value {
    let mut value = way(&line.verdict);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("id".into(), json!(line.id));
        fields.insert("title".into(), json!(line.title));
        fields.insert("owner".into(), json!(line.owner));
        fields.insert("unknown_blocks".into(), json!(line.unknown_blocks));
        fields.insert("note".into(), json!(line.note));
        fields.insert("seconds".into(), json!(line.took.as_secs_f64()));
        fields.insert("queries".into(), json!(line.queries));
    }
    value
}

fn way(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Proved => json!({ "verdict": "proved" }),
        Verdict::Broken(breach) => {
            let mut value = json!({
                "verdict": "broken", "by": breach.by, "case": breach.case(), "request": breach.request,
                "shows": shown(&breach.shows),
            });
            if let (Shows::Edit { before }, Some(fields)) = (&breach.shows, value.as_object_mut()) {
                fields.insert("before".into(), json!(before));
            }
            value
        }
        Verdict::Unknown(why) => json!({ "verdict": "unknown", "why": why }),
    }
}

const fn shown(shows: &Shows) -> &'static str {
    match shows {
        Shows::Mistake => "mistake",
        Shows::Comparison { .. } => "comparison",
        Shows::Failure => "failure",
        Shows::Edit { .. } => "edit",
    }
}

fn counted(many: u64, one: &str, more: &str) -> String {
    format!("{many} {}", if many == 1 { one } else { more })
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}
