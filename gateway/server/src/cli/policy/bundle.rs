//! What can be asked of `doorward` about policies as one file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::{ConfigArg, Format};

/// `doorward policy bundle`.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Make a key for signing: a private half for whoever signs, a public one for `policy.keys`.
    #[command(after_help = "Example:\n  doorward policy bundle keygen release")]
    Keygen(KeygenArgs),
    /// Make one file of a folder of policies that passes every check.
    #[command(after_help = "\
Examples:
  doorward policy bundle build --dir policies --out new.dwp
  doorward policy bundle build --out new.dwp --base last.dwp --author alice
  doorward policy bundle build --out new.dwp --key release.key.pem --result proof")]
    Build(BundleBuildArgs),
    /// Add a signature.
    #[command(after_help = "Example:\n  doorward policy bundle sign new.dwp --key release.key.pem")]
    Sign(BundleSignArgs),
    /// Show what a bundle says about itself, and whether anything of it was altered.
    #[command(after_help = "\
Example:
  doorward policy bundle inspect new.dwp --key release.pub.pem

It ends with 6 when the file is no bundle, or none that these keys signed.")]
    Inspect(BundleLookArgs),
    /// Ask whether a bundle is genuine: unaltered, and signed by one of these keys; nothing is printed but that.
    #[command(after_help = "\
Examples:
  doorward policy bundle verify new.dwp --key release.pub.pem
  doorward policy bundle verify new.dwp --config doorward.toml

It ends with 0 when the bundle is genuine, and with 6 when it is not. Whether its policies fit a gateway's apps and
routes says `doorward policy check --dir new.dwp --config doorward.toml`.")]
    Verify(BundleLookArgs),
}

/// `doorward policy bundle keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the files are called, before `.key.pem` and `.pub.pem`.
    pub name: PathBuf,
}

/// `doorward policy bundle build`.
#[derive(Debug, Args)]
pub struct BundleBuildArgs {
    /// The folder with the policies; without it the one in the configuration file.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration file: policies may name its apps and routes only.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Where to write it.
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// It may take the place of a bundle that is there. Nothing else is ever written over.
    #[arg(long)]
    pub replace: bool,
    /// Who answers for it; without it what `DOORWARD_AUTHOR` says, or the user of this machine.
    #[arg(long, value_name = "WHO")]
    pub author: Option<String>,
    /// Why, in a line.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// The bundle or folder that it takes the place of: then it says what it changes.
    #[arg(long, value_name = "FILE|DIR")]
    pub base: Option<PathBuf>,
    /// Its number, greater than that of every bundle before it; without it the seconds since 1970, or the one after
    /// that of `--base`.
    #[arg(long, value_name = "N")]
    pub sequence: Option<u64>,
    /// What `doorward policy prove` or `doorward policy test` printed with `--format json`. May be given often.
    #[arg(long = "result", value_name = "FILE")]
    pub results: Vec<PathBuf>,
    /// The private key to sign it with. May be given often.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
}

/// `doorward policy bundle sign`.
#[derive(Debug, Args)]
pub struct BundleSignArgs {
    /// The bundle.
    pub file: PathBuf,
    /// The private key. May be given often.
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub keys: Vec<PathBuf>,
    /// Where to write it; without it where it was.
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// It may take the place of a bundle that is there. Nothing else is ever written over.
    #[arg(long, requires = "out")]
    pub replace: bool,
}

/// `doorward policy bundle inspect` and `verify`.
#[derive(Debug, Args)]
pub struct BundleLookArgs {
    /// The bundle.
    pub file: PathBuf,
    /// A public key of somebody who may sign. May be given often.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// The configuration file, for `policy.keys`.
    #[command(flatten)]
    pub config: ConfigArg,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
