//! `doorward check`: every mistake of a configuration, or what is in force.

use std::io;

use serde_json::json;

use super::{Exit, Failure, Output, config_failure, config_file, show_on};
use crate::cli::{CheckArgs, Format};
use crate::color::ColorChoice;
use crate::config::{self, ConfigError, Show};

pub(super) fn check(args: &CheckArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let file = config_file(&args.config);
    match (config::load(&file), args.format) {
        (Ok(config), Format::Human) => {
            out.text(config.in_force())?;
            for remark in &config.remarks {
                out.line(format_args!("{} {remark}", out.style.yellow("note:")))?;
            }
            out.line(format_args!("{}", out.style.green(&format!("{} is valid", file.display()))))?;
            Ok(Exit::Done)
        }
        (Ok(config), Format::Json) => {
            let remarks: Vec<_> = config
                .remarks
                .iter()
                .map(|r| json!({ "key": r.at.to_string(), "message": r.message }))
                .collect();
            let report = json!({
                "file": file, "valid": true, "mistakes": [], "remarks": remarks,
                "in_force": config.in_force_json(),
            });
            out.line(format_args!("{report:#}"))?;
            Ok(Exit::Done)
        }
        // The report is what was asked for, so it goes where the answer goes.
        (Err(ConfigError::Broken(broken)), Format::Json) => {
            out.text(broken.report(Show::Json))?;
            Ok(Exit::Mistaken)
        }
        (Err(ConfigError::Broken(broken)), Format::Human) => {
            out.text(broken.report(show_on(&io::stdout(), color)))?;
            Ok(Exit::Mistaken)
        }
        (Err(e), Format::Human | Format::Json) => Err(config_failure(e, Show::Plain)),
    }
}
