//! `doorward check`: every mistake of a configuration and its policies, or what is in force.

use std::io;

use serde_json::json;

use super::{Exit, Failure, Output, config_failure, config_file, policy, show_on};
use crate::cli::{CheckArgs, Format};
use crate::color::ColorChoice;
use crate::config::{self, Config, ConfigError, Show};

pub(super) fn check(args: &CheckArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let file = config_file(&args.config);
    match (config::load(&file), args.format) {
        (Ok(config), Format::Human) => valid(&config, show_on(&io::stdout(), color), out),
        (Ok(config), Format::Json) => valid_json(&config, out),
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

/// What is in force; and whether the policies are fit for it, as the gateway would not start
/// without them.
fn valid(config: &Config, show: Show, out: &mut Output<'_>) -> Result<Exit, Failure> {
    out.text(config.in_force())?;
    for remark in &config.remarks {
        out.line(format_args!("{} {remark}", out.style.yellow("note:")))?;
    }
    let known = config.known();
    match doorward_policy::check(&config.policy.dir, Some(&known)) {
        Ok(report) => {
            let valid = format!("{} is valid", config.file.display());
            let (policies, cases) = (report.policies, report.cases);
            out.line(format_args!("{}, {policies} policies, {cases} cases held", out.style.green(&valid)))?;
            Ok(Exit::Done)
        }
        Err(failure) => {
            out.text(policy::mistakes(&failure, show))?;
            Ok(Exit::Mistaken)
        }
    }
}

fn valid_json(config: &Config, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let known = config.known();
    let policies = doorward_policy::check(&config.policy.dir, Some(&known));
    let remarks: Vec<_> =
        config.remarks.iter().map(|r| json!({ "key": r.at.to_string(), "message": r.message })).collect();
    let report = json!({
        "file": config.file, "valid": policies.is_ok(), "mistakes": [], "remarks": remarks,
        "in_force": config.in_force_json(), "policies": policy::report(&config.policy.dir, &policies),
    });
    out.line(format_args!("{report:#}"))?;
    Ok(if policies.is_ok() { Exit::Done } else { Exit::Mistaken })
}
