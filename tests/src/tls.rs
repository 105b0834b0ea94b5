//! Certificates of a company that exists for one test, and the client's side of TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::wire::{connect, within};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of a server and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub chain: String,
    /// The key, in PEM.
    pub key: String,
}

/// What a client says in its greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name that it asks for (SNI). A server's certificate must have it.
    pub name: String,
    /// The protocols that it offers (ALPN), the best first; none to offer nothing.
    pub protocols: Vec<String>,
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
        params.distinguished_name.push(DnType::CommonName, "the testbed's authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// A certificate for these names; the first is the common name.
    ///
    /// # Panics
    /// When a name is not one.
    #[must_use]
    pub fn certificate(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client that trusts this authority alone.
    ///
    /// # Panics
    /// When the library refuses, which it does not.
    #[must_use]
    pub fn client(&self, protocols: &[String]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Connects and shakes hands.
    ///
    /// # Panics
    /// When the handshake fails; [`Authority::try_connect`] answers it instead.
    pub async fn connect(&self, address: SocketAddr, hello: &Hello) -> TlsStream<TcpStream> {
        let shaken = self.try_connect(address, hello).await;
        shaken.unwrap_or_else(|e| panic!("no handshake with {address} as {}: {e}", hello.name))
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// When the handshake fails.
    ///
    /// # Panics
    /// When nobody listens, or the name is not one.
    pub async fn try_connect(
        &self,
        address: SocketAddr,
        hello: &Hello,
    ) -> Result<TlsStream<TcpStream>, std::io::Error> {
        self.handshake(connect(address).await, hello).await
    }

    /// Shakes hands over a connection that is there.
    ///
    /// # Errors
    /// When the handshake fails.
    ///
    /// # Panics
    /// When the name is not one.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        hello: &Hello,
    ) -> Result<TlsStream<TcpStream>, std::io::Error> {
        let name = ServerName::try_from(hello.name.clone()).unwrap();
        let connector = TlsConnector::from(self.client(&hello.protocols));
        within("a TLS handshake", connector.connect(name, stream)).await
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Certificate ===

impl Certificate {
    /// Writes `<name>.pem` and `<name>.key`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&chain, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (chain, key)
    }

    /// A server with this certificate, for upstreams.
    ///
    /// # Panics
    /// When chain and key do not belong together.
    #[must_use]
    pub fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

// === impl Hello ===

impl Hello {
    /// Asks for a name and offers these protocols.
    #[must_use]
    pub fn new(name: &str, protocols: &[&str]) -> Self {
        Self { name: name.to_owned(), protocols: protocols.iter().map(ToString::to_string).collect() }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_client_trusts_its_own_authority_only() {
        let (ours, other) = (Authority::new(), Authority::default());
        let acceptor = ours.certificate(&["app.test", "b.test"]).acceptor(&["h2", "http/1.1"]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        for (name, offered, chosen) in [
            ("app.test", vec!["http/1.1"], Some("http/1.1")),
            ("b.test", vec!["http/1.1", "h2"], Some("h2")),
            ("b.test", vec![], None),
        ] {
            let mut stream = ours.connect(address, &Hello::new(name, &offered)).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
            let mut seen = String::new();
            stream.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "hello");
        }
        assert!(ours.try_connect(address, &Hello::new("c.test", &[])).await.is_err());
        assert!(other.try_connect(address, &Hello::new("app.test", &[])).await.is_err());
    }

    #[test]
    fn files_are_written_as_pem() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = Authority::new().certificate(&["a.test"]).write(folder.path(), "a");
        assert!(std::fs::read_to_string(chain).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(std::fs::read_to_string(key).unwrap().contains("PRIVATE KEY-----"));
    }
}
