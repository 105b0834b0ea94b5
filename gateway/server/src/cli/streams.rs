//! `doorward stream`: the streams by which transmitters tell of people.

use clap::{Args, Subcommand};

use super::{LookArgs, PageArgs};

/// `doorward stream`.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// List them, and how each stands.
    List(StreamListArgs),
    /// Ask the transmitter now whether the stream is alive. It answers by an event: see `list` after.
    #[command(after_help = "Example:\n  doorward stream verify okta && doorward stream list")]
    Verify(StreamArgs),
}

/// `doorward stream list`.
#[derive(Debug, Args)]
pub struct StreamListArgs {
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// A stream.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// Its `id` in the configuration.
    pub name: String,
    /// How to print, and how to reach the gateway.
    #[command(flatten)]
    pub look: LookArgs,
}
