//! `doorward run`: the gateway.

use super::{Exit, Failure, load_config};
use crate::cli::RunArgs;
use crate::color::ColorChoice;
use crate::config::Config;
use crate::telemetry;
use crate::wire::{self, WireError};

pub(super) fn run(args: &RunArgs, log: Option<&str>, color: ColorChoice) -> Result<Exit, Failure> {
    let config = load_config(&args.config, color)?;
    telemetry::start(log, color).map_err(|e| {
        Failure::new(Exit::Mistaken, e.to_string(), "write it like `info,doorward_policy=debug`")
    })?;
    serve(config, args.upgrade)
}

/// Serves until a signal ends it.
pub(super) fn serve(config: Config, upgrade: bool) -> Result<Exit, Failure> {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = config.gateway.node,
        config = %config.file.display(),
        "doorward starts"
    );
    for remark in &config.remarks {
        tracing::warn!(key = %remark.at, "{}", remark.message);
    }
    wire::run(config, upgrade).map_err(|e| {
        let exit = if matches!(e, WireError::Policies(_)) { Exit::Mistaken } else { Exit::Failed };
        Failure { exit, message: e.to_string(), help: None }
    })?;
    Ok(Exit::Done)
}
