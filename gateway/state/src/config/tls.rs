//! What a connection to a server is secured with.

use std::path::{Path, PathBuf};

use doorward_model::{Complaint, KeyPath};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::secret::{self, FileError, Secret};

/// How a server proves who it is, and this node before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    ca: Option<Vec<u8>>,
    server_name: Option<String>,
    client: Option<ClientCertificate>,
}

/// What this node proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those of its issuers, PEM.
    pub chain: Vec<u8>,
    /// Its key, PEM.
    pub key: Secret,
}

impl Tls {
    /// The only authorities that are trusted, PEM. None: those of the system.
    #[must_use]
    pub fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// The name that the server's certificate must bear, where that is not its host name.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What this node proves itself with.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }
}

/// The keys of a section that are about TLS, as written.
#[derive(Clone, Copy, Default)]
pub(super) struct Written<'a> {
    pub(super) tls: Option<bool>,
    pub(super) ca_file: Option<&'a PathBuf>,
    pub(super) server_name: Option<&'a String>,
    pub(super) client_chain: Option<&'a PathBuf>,
    pub(super) client_key: Option<&'a PathBuf>,
}

/// Checks them. `local` says that nothing leaves this machine. None stands for plain text, or for
/// a complaint.
pub(super) fn check(
    written: Written<'_>,
    local: bool,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Tls> {
    if !written.tls.unwrap_or(true) {
        if !local {
            complaints.push(Complaint::new(
                at.key("tls"),
                "passwords and revocations would cross a network in plain text",
                "set `tls = true`, or connect to a server on this machine",
            ));
        }
        let of_no_use = [
            ("ca_file", written.ca_file.is_some()),
            ("server_name", written.server_name.is_some()),
            ("client_chain", written.client_chain.is_some()),
            ("client_key", written.client_key.is_some()),
        ];
        for (key, _) in of_no_use.iter().filter(|(_, there)| *there) {
            complaints.push(Complaint::new(
                at.key(key),
                format!("`{key}` has no use without TLS"),
                "set `tls = true`, or remove this key",
            ));
        }
        return None;
    }
    let ca = written.ca_file.and_then(|file| {
        certificates(&base_dir.join(file))
            .map_err(|(why, help)| complaints.push(Complaint::new(at.key("ca_file"), why, help)))
            .ok()
    });
    if let Some(name) = written.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        complaints.push(Complaint::new(
            at.key("server_name"),
            format!("`{}` is not the name of a host", name.escape_debug()),
            "write the name in the server's certificate, such as `redis.corp.example`",
        ));
    }
    let client = client(written, at, base_dir, complaints);
    Some(Tls { ca, server_name: written.server_name.cloned(), client })
}

fn client(
    written: Written<'_>,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<ClientCertificate> {
    let (chain, key) = match (written.client_chain, written.client_key) {
        (None, None) => return None,
        (Some(chain), Some(key)) => (base_dir.join(chain), base_dir.join(key)),
        (Some(_), None) | (None, Some(_)) => {
            let there = if written.client_chain.is_some() { "client_chain" } else { "client_key" };
            complaints.push(Complaint::new(
                at.key(there),
                "a certificate and its key belong together",
                "set both `client_chain` and `client_key`, or neither",
            ));
            return None;
        }
    };
    let chain = certificates(&chain)
        .map_err(|(why, help)| complaints.push(Complaint::new(at.key("client_chain"), why, help)))
        .ok();
    let key = private_key(&key)
        .map_err(|(why, help)| complaints.push(Complaint::new(at.key("client_key"), why, help)))
        .ok();
    Some(ClientCertificate { chain: chain?, key: key? })
}

type Why = (String, String);

fn told(error: &FileError) -> Why {
    (error.to_string(), error.help())
}

/// The PEM of a file in which every certificate can be used.
fn certificates(file: &Path) -> Result<Vec<u8>, Why> {
    let pem = secret::open_text(file).map_err(|e| told(&e))?;
    let help = || "write PEM with `BEGIN CERTIFICATE`".to_owned();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added =
            certificate.map_err(|e| e.to_string()).and_then(|c| roots.add(c).map_err(|e| e.to_string()));
        added.map_err(|e| {
            (format!("`{}` has a certificate that cannot be used: {e}", file.display()), help())
        })?;
    }
    if roots.is_empty() {
        return Err((format!("`{}` has no certificate", file.display()), help()));
    }
    Ok(pem)
}

fn private_key(file: &Path) -> Result<Secret, Why> {
    let key = secret::key(file).map_err(|e| told(&e))?;
    match PrivateKeyDer::from_pem_slice(key.expose().as_bytes()) {
        Ok(_) => Ok(key),
        Err(_) => Err((
            format!("`{}` has no private key that can be used", file.display()),
            "write PEM with `BEGIN PRIVATE KEY`, without a passphrase".to_owned(),
        )),
    }
}
