//! `doorward policy`: the workbench of whoever edits policies, a file for each command.

mod check;

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
        PolicyCommand::Check(args) => check::check(&args, color, out),
    }
}
