//! `[intake]`: where provisioning clients connect (SCIM).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use doorward_lifecycle::service::GuardTerms;
use doorward_model::complaint::{Complaint, KeyPath};
use doorward_proxy::config::{CertificateFiles, CertificateSection};
use doorward_proxy::listen::{CertificateError, Certificates};
use serde::Deserialize;

/// The longest `public_url`, in bytes.
const URL_BYTES_MAX: usize = 500;
/// The longest `silent_hours`: a year.
const SILENT_HOURS_MAX: u64 = 8_760;

/// `[intake]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IntakeSection {
    /// Address and port.
    pub address: Option<String>,
    /// What clients call, up to `/scim/v2`.
    pub public_url: Option<String>,
    /// Plain HTTP is good enough beyond this machine.
    pub plain_http: Option<bool>,
    /// What share a source may take away of its people, or of its memberships, before it is stopped.
    pub loss_percent_max: Option<u64>,
    /// So many it may take away in any case.
    pub loss_always: Option<u64>,
    /// Over which time that is counted.
    pub loss_window_seconds: Option<u64>,
    /// For how many hours a source may stay away.
    pub silent_hours: Option<u64>,
    /// Certificates; none is plain HTTP.
    pub certificate: Option<Vec<CertificateSection>>,
}

/// Where provisioning clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// Address and port.
    pub address: SocketAddr,
    /// What clients call, without a final `/`. None: what they say that they call.
    pub public_url: Option<String>,
    /// Chain and key files; empty is plain HTTP.
    pub certificates: Vec<CertificateFiles>,
    /// How much a source may take away before an operator is asked.
    pub guard: GuardTerms,
    /// For how long a source may stay away before somebody is told. None: nobody is.
    pub silent_max: Option<Duration>,
}

impl Intake {
    /// None inside: there is no section, and nobody connects.
    pub(super) fn check(
        section: Option<&IntakeSection>,
        at: &KeyPath,
        base_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Option<Self>> {
        let Some(section) = section else { return Some(None) };
        let before = complaints.len();
        let address = address(section, at, complaints);
        let public_url = public_url(section, at, complaints);
        let certificates = certificates(section, at, base_dir, complaints);
        let guard = guard(section, at, complaints);
        let silent_max = silent_max(section, at, complaints);
        let open = address.is_some_and(|a| !a.ip().is_loopback()) && section.certificate.is_none();
        if open && section.plain_http != Some(true) {
            complaints.push(Complaint::new(
                at.key("address"),
                "tokens and everybody's data would cross the network in plain HTTP",
                "add `[[intake.certificate]]`, or listen on 127.0.0.1 behind something that speaks TLS, or say \
                 `plain_http = true`",
            ));
        }
        (complaints.len() == before).then_some(())?;
        Some(Some(Self { address: address?, public_url, certificates, guard, silent_max }))
    }
}

fn address(section: &IntakeSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<SocketAddr> {
    let Some(written) = section.address.as_deref() else {
        complaints.push(Complaint::new(
            at.clone(),
            "nothing says where provisioning clients connect",
            "add an `address`, such as `127.0.0.1:9280`",
        ));
        return None;
    };
    let address = written.parse().ok();
    if address.is_none() {
        let shown: String = written.chars().take(100).collect();
        complaints.push(Complaint::new(
            at.key("address"),
            format!("`{shown}` is not an address with a port"),
            "write it like `127.0.0.1:9280`",
        ));
    }
    address
}

fn public_url(section: &IntakeSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<String> {
    let url = section.public_url.as_deref()?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fits = |rest: &str| {
        let good =
            |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>');
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && rest.bytes().all(good)
    };
    if url.len() > URL_BYTES_MAX || !rest.is_some_and(fits) {
        complaints.push(Complaint::new(
            at.key("public_url"),
            "it is not a URL that clients could call",
            "write what stands before `/scim/v2` in the client's settings, such as `https://scim.corp.example`",
        ));
        return None;
    }
    let url = url.trim_end_matches('/');
    Some(url.strip_suffix("/scim/v2").unwrap_or(url).to_owned())
}

fn guard(section: &IntakeSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> GuardTerms {
    let usual = GuardTerms::default();
    let mut take = |name: &str, written: Option<u64>, default: u64, (min, max): (u64, u64)| match written {
        Some(value) if !(min..=max).contains(&value) => {
            complaints.push(Complaint::new(
                at.key(name),
                format!("`{value}` is out of bounds"),
                format!("use {min} to {max}; the default is {default}"),
            ));
            default
        }
        written => written.unwrap_or(default),
    };
    let percent = take("loss_percent_max", section.loss_percent_max, u64::from(usual.percent_max), (1, 100));
    let always = u64::try_from(usual.always).unwrap_or_default();
    let always = take("loss_always", section.loss_always, always, (0, 1_000_000));
    let window =
        take("loss_window_seconds", section.loss_window_seconds, usual.window.as_secs(), (60, 604_800));
    GuardTerms {
        percent_max: u32::try_from(percent).unwrap_or(usual.percent_max),
        always: usize::try_from(always).unwrap_or(usual.always),
        window: Duration::from_secs(window),
    }
}

fn silent_max(section: &IntakeSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Duration> {
    let hours = section.silent_hours?;
    if !(1..=SILENT_HOURS_MAX).contains(&hours) {
        complaints.push(Complaint::new(
            at.key("silent_hours"),
            format!("`{hours}` is out of bounds"),
            format!(
                "use 1 to {SILENT_HOURS_MAX}; left out, nobody is told when a source does not come any more"
            ),
        ));
        return None;
    }
    Some(Duration::from_secs(hours * 3600))
}

/// Opens every certificate with its key, as listening would.
fn certificates(
    section: &IntakeSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<CertificateFiles> {
    let mut all = Vec::new();
    for (n, pair) in section.certificate.iter().flatten().enumerate() {
        let files = CertificateFiles { chain: base_dir.join(&pair.chain), key: base_dir.join(&pair.key) };
        if let Err(error) = Certificates::open(vec![files.clone()]) {
            let (key, help) = match &error {
                CertificateError::File { file, .. } if *file == files.key.display().to_string() => {
                    ("key", "name a PEM file that this user may read; paths are relative to this file")
                }
                CertificateError::File { .. } => {
                    ("chain", "name a PEM file that this user may read; paths are relative to this file")
                }
                CertificateError::Pair { .. } => ("key", "name the key that the certificate was made for"),
                CertificateError::NoName { .. } | CertificateError::Clients(_) => {
                    ("chain", "make one for the names that clients ask for")
                }
            };
            let place = at.key("certificate").index(n).key(key);
            complaints.push(Complaint::new(place, error.to_string(), help));
        }
        all.push(files);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Intake>, Vec<String>> {
        #[derive(Deserialize)]
        struct Only {
            intake: Option<IntakeSection>,
        }
        let only: Only = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let at = KeyPath::top().key("intake");
        let intake = Intake::check(only.intake.as_ref(), &at, Path::new("/nowhere"), &mut complaints);
        let told = |c: &Complaint| format!("{}: {}", c.at, c.message);
        intake.ok_or_else(|| complaints.iter().map(told).collect())
    }

    #[test]
    fn nobody_connects_unless_the_file_says_where() {
        assert_eq!(read(""), Ok(None));
        let intake =
            read("[intake]\naddress = \"127.0.0.1:9280\"\npublic_url = \"https://s.example/x/scim/v2/\"");
        let intake = intake.unwrap().unwrap();
        assert_eq!(
            (intake.address.port(), intake.public_url.as_deref()),
            (9280, Some("https://s.example/x"))
        );
        assert_eq!(read("[intake]\naddress = \"[::1]:1\"").unwrap().unwrap().public_url, None);
    }

    #[test]
    fn plain_http_beyond_this_machine_has_to_be_asked_for() {
        let open = "[intake]\naddress = \"0.0.0.0:9280\"\n";
        assert!(read(open).unwrap_err().join(" ").contains("in plain HTTP"));
        assert!(read(&format!("{open}plain_http = false")).is_err());
        assert!(read(&format!("{open}plain_http = true")).unwrap().is_some());
    }

    #[test]
    fn how_much_may_be_lost_is_said_in_numbers_with_bounds() {
        let read = |more: &str| read(&format!("[intake]\naddress = \"127.0.0.1:1\"\n{more}"));
        assert_eq!(read("").unwrap().unwrap().guard, GuardTerms::default());
        let guard =
            read("loss_percent_max = 5\nloss_always = 0\nloss_window_seconds = 600").unwrap().unwrap().guard;
        assert_eq!(guard, GuardTerms { percent_max: 5, always: 0, window: Duration::from_secs(600) });
        for wrong in [
            "loss_percent_max = 0",
            "loss_percent_max = 101",
            "loss_window_seconds = 59",
            "silent_hours = 0",
            "silent_hours = 8761",
        ] {
            assert!(read(wrong).unwrap_err()[0].contains("out of bounds"), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("[intake]", "intake: nothing says where"),
            ("[intake]\naddress = \"9280\"", "intake.address: `9280` is not"),
            ("[intake]\naddress = \"127.0.0.1:1\"\npublic_url = \"scim.example\"", "intake.public_url:"),
            ("[intake]\naddress = \"127.0.0.1:1\"\npublic_url = \"https://a b\"", "intake.public_url:"),
            ("[intake]\naddress = \"127.0.0.1:1\"\npublic_url = \"https://u@h\"", "intake.public_url:"),
            (
                "[intake]\naddress = \"127.0.0.1:1\"\n[[intake.certificate]]\nchain = \"c\"\nkey = \"k\"",
                "intake.certificate[0].chain: `/nowhere/c`",
            ),
        ] {
            let complaints = read(text).unwrap_err();
            assert!(complaints.iter().any(|c| c.contains(told)), "{text}: {complaints:?}");
        }
    }
}
