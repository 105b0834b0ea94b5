//! `doorward policy fmt`: policy files laid out as Cedar's own formatter does.

use std::io;
use std::path::PathBuf;

use doorward_workbench::format::{self, FormatError};
use doorward_workbench::report;

use super::super::{Exit, Failure, Output, show_on};
use super::check::look;
use crate::cli::PolicyFmtArgs;
use crate::color::ColorChoice;

pub(super) fn fmt(args: &PolicyFmtArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let files = files(args)?;
    let look = look(show_on(&io::stdout(), color));
    let (mut otherwise, mut left) = (0, 0);
    for file in &files {
        let name = file.display().to_string();
        match format::file(file, &name, !args.check) {
            Ok(false) => {}
            Ok(true) => {
                otherwise += 1;
                let word = if args.check { "is laid out otherwise" } else { "is laid out" };
                out.line(format_args!("{name} {word}"))?;
            }
            Err(FormatError::Mistakes(findings)) => {
                left += 1;
                for finding in &findings {
                    out.text(report::finding(finding, look))?;
                }
            }
            Err(FormatError::Io(e)) => {
                let help = "name files that may be read and written";
                return Err(Failure::new(Exit::Failed, format!("`{name}`: {e}"), help));
            }
            Err(error @ FormatError::Changed(_)) => {
                left += 1;
                out.line(format_args!("{name} is left as it is: {error}"))?;
            }
        }
    }
    if left > 0 {
        return Ok(Exit::Mistaken);
    }
    if otherwise == 0 {
        out.line(format_args!("{}: {} files", out.style.green("all is laid out well"), files.len()))?;
    }
    Ok(if args.check && otherwise > 0 { Exit::Failed } else { Exit::Done })
}

fn files(args: &PolicyFmtArgs) -> Result<Vec<PathBuf>, Failure> {
    let Some(dir) = &args.dir else { return Ok(args.files.clone()) };
    let cannot = |e: io::Error| {
        let message = format!("`{}` cannot be read: {e}", dir.display());
        Failure::new(Exit::Mistaken, message, "name the folder with the policies")
    };
    let files = format::files_below(dir).map_err(cannot)?;
    if files.is_empty() {
        let message = format!("there is no policy file in `{}`", dir.display());
        return Err(Failure::new(Exit::Mistaken, message, "policies are in files that end in `.cedar`"));
    }
    Ok(files)
}
