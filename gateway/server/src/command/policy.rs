//! `doorward policy`: the workbench of whoever edits policies, a file for each command.

mod bundle;
mod check;
mod explain;
mod fmt;
mod folder;
mod prove;
mod replay;
mod rollout;
mod shadow;
mod test;
mod vet;
mod who;
mod whom;

use std::path::Path;

use doorward_policy::Known;

use super::{Exit, Failure, Output, load_config, printable};
use crate::cli::{ConfigArg, PolicyCommand};
use crate::color::ColorChoice;
use crate::config::Config;

pub(super) use self::check::{mistakes, report};
use self::folder::{Folder, read};

pub(super) fn policy(
    command: PolicyCommand,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Shadow(command) => shadow::shadow(command, color, out),
        PolicyCommand::Rollout(command) => rollout::rollout(command, color, out),
        PolicyCommand::Bundle(command) => bundle::bundle(command, color, out),
        PolicyCommand::Check(args) => check::check(&args, color, out),
        PolicyCommand::Explain(args) => explain::explain(&args, color, out),
        PolicyCommand::Prove(args) => prove::prove_lines(&args, color, out),
        PolicyCommand::Replay(args) => replay::replay(&args, color, out),
        PolicyCommand::Fmt(args) => fmt::fmt(&args, color, out),
        PolicyCommand::Vet(args) => vet::vet(&args, out),
        PolicyCommand::WhoCan(args) => who::who_can(&args, color, out),
        PolicyCommand::WhatCan(args) => who::what_can(&args, color, out),
        PolicyCommand::Test(args) => test::test(&args, color, out),
    }
}

/// The first 12 digits of a revision or of a key, as people are shown them: whoever wrote them.
fn short(digits: &str) -> String {
    printable(&digits.chars().take(12).collect::<String>())
}

/// The configuration, which need not be read where a folder is named and it is not.
fn configuration(
    dir: Option<&Path>,
    config: &ConfigArg,
    color: ColorChoice,
) -> Result<Option<Config>, Failure> {
    match (dir, &config.config) {
        (Some(_), None) => Ok(None),
        (Some(_) | None, _) => load_config(config, color).map(Some),
    }
}

/// The folder or bundle that is named, or the folder of the configuration; and the names that its policies may use.
/// Without a configuration nobody knows which apps there are; with one, a policy for an app that does not exist is a
/// mistake.
fn folder(
    dir: Option<&Path>,
    config: &ConfigArg,
    color: ColorChoice,
) -> Result<(Folder, Option<Known>), Failure> {
    let config = configuration(dir, config, color)?;
    let found = match (dir, &config) {
        (Some(dir), _) => Folder::open(dir)?,
        (None, Some(config)) => Folder::plain(config.policy.dir.clone()),
        (None, None) => return Err(Failure::new(Exit::Mistaken, "no folder is named", "use `--dir DIR`")),
    };
    Ok((found, config.as_ref().map(Config::known)))
}
