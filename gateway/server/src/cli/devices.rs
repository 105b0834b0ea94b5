//! What can be asked of `doorward` about devices.

use clap::{Args, Subcommand};

use super::{ChangeArgs, LookArgs, PageArgs};

/// `doorward device`.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List them.
    List(DeviceListArgs),
    /// Show one.
    Show(DeviceShowArgs),
    /// Register one, under the id by which tokens name it.
    #[command(after_help = "\
Example:
  doorward device add laptop-77 --name 'A laptop' --owner alice --platform macos --managed --compliant")]
    Add(Box<DeviceAddArgs>),
    /// It belongs to somebody else from now on, or to nobody.
    Assign(DeviceAssignArgs),
    /// Say that it is managed or compliant, or that it is not, for a while.
    Say(DeviceSayArgs),
    /// Note a certificate that proves it. From then on no other one does.
    #[command(after_help = "\
Example:
  doorward device bind laptop-77 $(openssl x509 -in laptop.pem -outform der | sha256sum | cut -d' ' -f1)")]
    Bind(DeviceCertificateArgs),
    /// Take a certificate off it.
    Unbind(DeviceCertificateArgs),
    /// Let nobody in with it; ends what runs with it.
    Block(DeviceArgs),
    /// Take it back. Whoever uses it signs in anew.
    Unblock(DeviceArgs),
    /// Do not know it any more; ends what runs with it. One that is blocked stays cut off.
    Remove(DeviceArgs),
}

/// `doorward device list`.
#[derive(Debug, Args)]
pub struct DeviceListArgs {
    /// Those that belong to this person.
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// How many, and from where.
    #[command(flatten)]
    pub page: PageArgs,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// `doorward device show`.
#[derive(Debug, Args)]
pub struct DeviceShowArgs {
    /// How tokens name it.
    pub device: String,
    /// How to look.
    #[command(flatten)]
    pub look: LookArgs,
}

/// What is said of a device. What is not said is not so.
#[derive(Debug, Clone, Args)]
pub struct PostureArgs {
    /// The company manages it.
    #[arg(long)]
    pub managed: bool,
    /// It meets the baseline.
    #[arg(long, conflicts_with = "not_compliant")]
    pub compliant: bool,
    /// It does not.
    #[arg(long)]
    pub not_compliant: bool,
    /// For how many hours that counts.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub hours: u32,
}

/// `doorward device add`.
#[derive(Debug, Args)]
pub struct DeviceAddArgs {
    /// How tokens name it.
    pub device: String,
    /// A name to show.
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// To whom it belongs.
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// The operating system.
    #[arg(long, value_name = "TEXT")]
    pub platform: Option<String>,
    /// The SHA-256 of its certificate, in hexadecimal.
    #[arg(long, value_name = "HASH")]
    pub thumbprint: Option<String>,
    /// What is said of it.
    #[command(flatten)]
    pub posture: PostureArgs,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward device assign`.
#[derive(Debug, Args)]
pub struct DeviceAssignArgs {
    /// How tokens name it.
    pub device: String,
    /// To whom; without it to nobody.
    pub owner: Option<String>,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `doorward device say`.
#[derive(Debug, Args)]
pub struct DeviceSayArgs {
    /// How tokens name it.
    pub device: String,
    /// What.
    #[command(flatten)]
    pub posture: PostureArgs,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A device, one of its certificates, and how to change it.
#[derive(Debug, Args)]
pub struct DeviceCertificateArgs {
    /// How tokens name it.
    pub device: String,
    /// The SHA-256 of the certificate, in hexadecimal.
    #[arg(value_name = "HASH")]
    pub thumbprint: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A device, and how to change it.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// How tokens name it.
    pub device: String,
    /// How to change it.
    #[command(flatten)]
    pub change: ChangeArgs,
}
