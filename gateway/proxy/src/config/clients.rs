//! `[listen.client_certificates]`, checked; and what an app wants of it.

use std::path::{Path, PathBuf};

use doorward_identity::ClientTrust;
use doorward_identity::certificate::{DeviceIdFrom, TrustFiles};
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;

/// `[listen.client_certificates]` as written.
#[derive(Debug, Clone, Deserialize)]
pub struct ClientCertificatesSection {
    /// PEM files with the authorities of devices.
    pub ca_files: Vec<PathBuf>,
    /// Revocation lists, in PEM or DER.
    pub crl_files: Option<Vec<PathBuf>>,
    /// Whether a handshake without a certificate fails.
    pub required: Option<bool>,
    /// What of a certificate names its device.
    pub device_id_from: Option<String>,
}

/// What an app wants of client certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CertificateNeed {
    /// Nobody comes in without one.
    Required,
    /// Who shows one is told by it; others come in as the policies say.
    #[default]
    Asked,
    /// It is not looked at.
    None,
}

impl CertificateNeed {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Required, Self::Asked, Self::None];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Asked => "asked",
            Self::None => "none",
        }
    }
}

/// Checks the table of one listener: the files are read, as listening would.
pub(super) fn check_clients(
    section: &ClientCertificatesSection,
    speaks_tls: bool,
    here: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<TrustFiles> {
    let before = complaints.len();
    let mut complain = |at: KeyPath, message: String, help: &str| {
        complaints.push(Complaint::new(at, message, help));
    };
    if !speaks_tls {
        let help = "add `[[listen.certificate]]`, or remove this table";
        complain(here.clone(), "certificates of clients are asked for without TLS".to_owned(), help);
    }
    if section.ca_files.is_empty() {
        let help = "name the PEM file of the authority that makes the certificates of your devices";
        complain(here.key("ca_files"), "nobody is trusted to make certificates".to_owned(), help);
    }
    let words = || DeviceIdFrom::ALL.map(|choice| format!("`{}`", choice.as_str())).join(", ");
    let device_id_from = match section.device_id_from.as_deref() {
        None => DeviceIdFrom::default(),
        Some(word) => DeviceIdFrom::parse(word).unwrap_or_else(|| {
            let message = format!("`{}` is not known", word.escape_debug());
            complain(here.key("device_id_from"), message, &format!("use one of {}", words()));
            DeviceIdFrom::default()
        }),
    };
    let from_here = |files: &[PathBuf]| files.iter().map(|file| base_dir.join(file)).collect();
    let files = TrustFiles {
        ca_files: from_here(&section.ca_files),
        crl_files: from_here(section.crl_files.as_deref().unwrap_or_default()),
        required: section.required.unwrap_or(false),
        device_id_from,
    };
    if complaints.len() == before
        && let Err(error) = ClientTrust::open(files.clone())
    {
        let key = if error.is_list { "crl_files" } else { "ca_files" };
        let help = "paths are relative to the configuration file";
        complaints.push(Complaint::new(here.key(key), error.to_string(), help));
    }
    (complaints.len() == before).then_some(files)
}

/// Reads what an app wants.
pub(super) fn check_need(
    written: Option<&str>,
    here: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> CertificateNeed {
    let Some(word) = written else { return CertificateNeed::default() };
    let known = CertificateNeed::ALL.into_iter().find(|need| need.as_str() == word);
    known.unwrap_or_else(|| {
        complaints.push(Complaint::new(
            here.key("client_certificate"),
            format!("`{}` is not known", word.escape_debug()),
            "use `required`, `asked` (the default) or `none`",
        ));
        CertificateNeed::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, speaks_tls: bool) -> Vec<String> {
        let section: ClientCertificatesSection = toml::from_str(text).unwrap();
        let (at, mut complaints) = (KeyPath::top().key("c"), Vec::new());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nonsense.pem"), "nonsense").unwrap();
        let files = check_clients(&section, speaks_tls, &at, folder.path(), &mut complaints);
        assert_eq!(files.is_none(), !complaints.is_empty());
        complaints.iter().map(|c| c.to_string().replace(&folder.path().display().to_string(), "")).collect()
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, speaks_tls, expected) in [
            ("ca_files = [\"a.pem\"]", false, "c: certificates of clients are asked for without TLS"),
            ("ca_files = []", true, "c.ca_files: nobody is trusted to make certificates"),
            ("ca_files = [\"a.pem\"]", true, "c.ca_files: `/a.pem` cannot be read"),
            (
                "ca_files = [\"nonsense.pem\"]",
                true,
                "c.ca_files: `/nonsense.pem` holds no `BEGIN CERTIFICATE`",
            ),
            ("ca_files = [\"a\"]\ndevice_id_from = \"dn\"", true, "c.device_id_from: `dn` is not known"),
        ] {
            let complaints = told(text, speaks_tls);
            assert!(complaints.iter().any(|c| c.starts_with(expected)), "{expected}: {complaints:?}");
        }
    }

    #[test]
    fn an_app_looks_at_certificates_unless_it_says_otherwise() {
        let mut complaints = Vec::new();
        let mut need = |written| check_need(written, &KeyPath::top(), &mut complaints);
        assert_eq!(need(None), CertificateNeed::Asked);
        for choice in CertificateNeed::ALL {
            assert_eq!(need(Some(choice.as_str())), choice);
        }
        assert!(complaints.is_empty());
    }
}
