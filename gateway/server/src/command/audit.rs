//! `doorward audit tail`: the newest events, and those that come.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use doorward_audit::tail::{Filter, Follower, From, Style as LineStyle, render};

use super::{Exit, Failure, Output, load_config};
use crate::cli::AuditTailArgs;
use crate::color::{ColorChoice, Style};

/// How often the log is looked at while following.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn tail(args: &AuditTailArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => load_config(&args.config, color)?.audit.dir().to_owned(),
    };
    let filter =
        Filter { deny: args.deny, user: args.user.clone(), app: args.app.as_ref().map(ToString::to_string) };
    let unreadable = |e: io::Error| {
        Failure::new(
            Exit::Failed,
            format!("the audit log in `{}` cannot be read: {e}", dir.display()),
            "it is `audit.dir` of the configuration; `--dir DIR` names another; only the gateway's own \
             user may read it",
        )
    };
    let mut follower = Follower::new(&dir, From::Last(args.lines), filter).map_err(unreadable)?;
    let mut told = 0;
    loop {
        print(follower.poll().map_err(unreadable)?, args.json, out)?;
        if !follower.is_caught_up() {
            continue;
        }
        if follower.no_events() > told {
            told = follower.no_events();
            damaged(told, &dir);
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Where the lines themselves do not go: they may be read by a program.
fn damaged(lines: u64, dir: &Path) {
    let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
    // Whoever closed standard error does not want to know.
    let _ = writeln!(
        io::stderr().lock(),
        "warning: {lines} of the audit log in `{}` cannot be read: damaged, and what stood there is lost",
        dir.display()
    );
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
