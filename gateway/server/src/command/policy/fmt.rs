//! `doorward policy fmt`: policy files laid out as Cedar's own formatter does.

use std::io;
use std::path::PathBuf;

use doorward_workbench::format::{self, FormatError};
use doorward_workbench::report::{self, Look};

use super::super::{Exit, Failure, Output, printable, show_on};
use super::check::look;
use crate::cli::PolicyFmtArgs;
use crate::color::ColorChoice;

pub(super) fn fmt(args: &PolicyFmtArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let files = files(args, color)?;
    let look = look(show_on(&io::stdout(), color));
    let (mut otherwise, mut left) = (0, 0);
    for file in &files {
        let name = file.display().to_string();
        let shown = printable(&name);
        match format::file(file, &name, !args.check) {
            Ok(false) => {}
            Ok(true) => {
                otherwise += 1;
                let word = if args.check { "is laid out otherwise" } else { "is laid out" };
                out.line(format_args!("{shown} {word}"))?;
            }
            Err(error) => {
                left += 1;
                out.text(as_it_is(&shown, &error, look))?;
            }
        }
    }
    if left > 0 {
        return Ok(Exit::Mistaken);
    }
    if otherwise == 0 {
        let files = match files.len() {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        out.line(format_args!("{}: {files}", out.style.green("all is laid out well")))?;
    }
    Ok(if args.check && otherwise > 0 { Exit::Failed } else { Exit::Done })
}

/// Why a file is left as it is.
fn as_it_is(name: &str, error: &FormatError, look: Look) -> String {
    match error {
        FormatError::Mistakes(findings) => findings.iter().map(|f| report::finding(f, look)).collect(),
        FormatError::Io(e) => format!("{name} cannot be read or written: {e}\n"),
        FormatError::Changed(_) => format!("{name} is left as it is: {}\n", printable(&error.to_string())),
    }
}

/// The files that are named, or those of the folder that is named, or of that of the configuration.
fn files(args: &PolicyFmtArgs, color: ColorChoice) -> Result<Vec<PathBuf>, Failure> {
    if !args.files.is_empty() {
        return Ok(args.files.clone());
    }
    let (dir, _) = super::folder(args.dir.as_deref(), &args.config, color)?;
    let dir = dir.to_write()?;
    let named = printable(&dir.display().to_string());
    let cannot = |e: io::Error| {
        Failure::new(
            Exit::Mistaken,
            format!("`{named}` cannot be read: {e}"),
            "name the folder with the policies",
        )
    };
    let files = format::files_below(dir).map_err(cannot)?;
    if files.is_empty() {
        let message = format!("there is no policy file in `{named}`");
        return Err(Failure::new(Exit::Mistaken, message, "policies are in files that end in `.cedar`"));
    }
    Ok(files)
}
