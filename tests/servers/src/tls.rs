//! Certificates of an authority that exists for one test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::process::secret;

/// A certificate authority. A clone is the same one.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// Whether a server asks its clients for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clients {
    /// It does not ask.
    #[default]
    Unasked,
    /// A client without a certificate of the same authority is refused.
    Certified,
}

/// That a server speaks TLS, and plain TCP no more.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Who signs. Servers that talk to each other share it.
    pub authority: Authority,
    /// What the server's certificate says that it is: names, or addresses.
    pub names: Vec<String>,
    /// Whether clients need a certificate.
    pub clients: Clients,
}

/// Where the certificates lie, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's own certificate: what a client trusts.
    pub ca: PathBuf,
    /// The server's certificate.
    pub chain: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    /// A client's certificate, of the same authority.
    pub client_chain: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When a key cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each has a name of its own: a client that trusts another one shall not even find it.
        let name = format!("the test servers' authority {}", secret());
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer: Arc::new(issuer) }
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names and its key, in PEM; the first is the common name.
    ///
    /// # Panics
    /// When a name is not one.
    #[must_use]
    pub fn certificate(&self, names: &[String]) -> (String, String) {
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

// === impl Clients ===

impl Clients {
    pub(crate) const fn as_redis(self) -> &'static str {
        match self {
            Self::Unasked => "no",
            Self::Certified => "yes",
        }
    }
}

// === impl Tls ===

impl Tls {
    /// For 127.0.0.1 and `localhost`, by an authority of its own; clients need no certificate.
    #[must_use]
    pub fn new() -> Self {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        Self { authority: Authority::new(), names, clients: Clients::Unasked }
    }

    /// The same, and clients need a certificate.
    #[must_use]
    pub fn mutual() -> Self {
        Self { clients: Clients::Certified, ..Self::new() }
    }

    /// Writes all the files into a folder.
    pub(crate) fn write(&self, folder: &Path) -> TlsFiles {
        let write = |name: &str, text: String| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            file
        };
        let server = self.authority.certificate(&self.names);
        let client = self.authority.certificate(&["doorward".to_owned()]);
        TlsFiles {
            ca: write("ca.pem", self.authority.pem()),
            chain: write("server.pem", server.0),
            key: write("server.key", server.1),
            client_chain: write("client.pem", client.0),
            client_key: write("client.key", client.1),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    pub(crate) fn all(&self) -> [&Path; 5] {
        [&self.ca, &self.chain, &self.key, &self.client_chain, &self.client_key]
    }
}
