//! `doorward audit tail`: the newest events, and those that come.

use std::time::Duration;

use doorward_audit::tail::{Filter, Follower, From, Style as LineStyle, render};

use super::{Exit, Failure, Output, load_config};
use crate::cli::AuditTailArgs;
use crate::color::{ColorChoice, Style};

/// How often the log is looked at while following.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The most lines that are searched for the newest ones that a filter admits.
const SEARCH_LINES_MAX: usize = 100_000;

pub(super) fn tail(args: &AuditTailArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => load_config(&args.config, color)?.audit.dir().to_owned(),
    };
    let filter =
        Filter { deny: args.deny, user: args.user.clone(), app: args.app.as_ref().map(ToString::to_string) };
    let unreadable = |e: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("the audit log in `{}` cannot be read: {e}", dir.display()),
            "it is `audit.dir` of the configuration; `--dir DIR` names another; only the gateway's own \
             user may read it",
        )
    };
    let search = if filter == Filter::default() { args.lines } else { SEARCH_LINES_MAX };
    let mut follower = Follower::new(&dir, From::Last(search)).map_err(unreadable)?;
    let mut lines = follower.poll().map_err(unreadable)?;
    lines.retain(|line| filter.admits(line));
    let newest = lines.len().saturating_sub(args.lines);
    print(lines.split_off(newest), args.json, out)?;
    if !args.follow {
        return Ok(Exit::Done);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let mut lines = follower.poll().map_err(unreadable)?;
        lines.retain(|line| filter.admits(line));
        print(lines, args.json, out)?;
    }
}

fn print(lines: Vec<String>, json: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    let style = LineStyle { color: out.style == Style::Color };
    for line in lines {
        if json {
            out.line(line)?;
        } else {
            out.line(render(&line, style))?;
        }
    }
    Ok(())
}
