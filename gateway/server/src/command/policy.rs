//! `doorward policy`: the workbench of whoever edits policies, a file for each command.

mod bundle;
mod check;
mod explain;
mod fmt;
mod prove;
mod replay;
mod rollout;
mod shadow;
mod test;
mod vet;
mod who;

use super::{Exit, Failure, Output};
use crate::cli::PolicyCommand;
use crate::color::ColorChoice;

pub(super) use self::check::{mistakes, report};

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
