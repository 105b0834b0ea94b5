//! The addresses that Doorward listens on, with their certificates.

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use doorward_identity::certificate::{TrustError, TrustFiles, Untrusted};
use doorward_identity::{ClientCertificate, ClientTrust};
use doorward_model::limits;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, TlsAccept};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::protocols::tls::TlsRef;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{CertificateFiles, Listen};
use crate::gate::handshake::BeforeTls;
use crate::gate::{Census, Connections, Listener};
use crate::pipeline::{Door, House};

/// What the TLS handshake of a connection said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    /// The name that the client asked for (RFC 6066 §3), in lower case.
    pub(crate) server_name: Option<String>,
    /// The client was asked for a certificate.
    pub(crate) asks: bool,
    /// The certificate of the client, if it showed one: of this handshake, or of the one that this connection
    /// resumes. Whether it stands is asked for each request.
    pub(crate) certificate: Option<Result<Arc<ClientCertificate>, Untrusted>>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or holds something else.
    #[error("`{file}` holds no {what}: {why}")]
    File {
        /// Which file.
        file: String,
        /// What it should hold.
        what: &'static str,
        /// What went wrong.
        why: String,
    },
    /// The key does not belong to the certificate, or is of a kind that cannot be used.
    #[error("the key `{key}` does not fit the certificate `{chain}`: {why}")]
    Pair {
        /// The key file.
        key: String,
        /// The chain file.
        chain: String,
        /// What went wrong.
        why: String,
    },
    /// The certificate names nobody.
    #[error("the certificate `{file}` has no DNS name: add a subject alternative name")]
    NoName {
        /// Which file.
        file: String,
    },
    /// Whom clients are believed about cannot be told.
    #[error(transparent)]
    Clients(#[from] TrustError),
}

/// The certificates of one listener by the names in them. Swapped whole on reload: running
/// connections keep what they shook hands with.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<CertificateFiles>,
    by_name: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// Whom clients of this listener are believed about, where they are asked for a certificate.
    clients: Option<Arc<ClientTrust>>,
}

impl Certificates {
    /// Reads every certificate.
    ///
    /// # Errors
    /// The first that cannot be served.
    pub fn open(files: Vec<CertificateFiles>) -> Result<Arc<Self>, CertificateError> {
        Self::open_for(files, None)
    }

    /// Reads every certificate of a listener, and whom its clients are believed about.
    ///
    /// # Errors
    /// The first that cannot be served or used.
    pub fn open_for(
        files: Vec<CertificateFiles>,
        clients: Option<&TrustFiles>,
    ) -> Result<Arc<Self>, CertificateError> {
        let by_name = ArcSwap::from_pointee(read(&files)?);
        let clients = clients.map(|clients| ClientTrust::open(clients.clone())).transpose()?;
        Ok(Arc::new(Self { files, by_name, clients }))
    }

    /// Reads them again. When one cannot be served, the old ones stay. Whom clients are believed about is read
    /// first, and does not wait for the others.
    ///
    /// # Errors
    /// The first that cannot be served or used.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let clients = self.clients.as_ref().map_or(Ok(()), |clients| clients.reload());
        self.by_name.store(Arc::new(read(&self.files)?));
        Ok(clients?)
    }

    /// Whom clients are believed about, where they are asked for a certificate.
    #[must_use]
    pub const fn clients(&self) -> Option<&Arc<ClientTrust>> {
        self.clients.as_ref()
    }

    /// Every file that is read.
    pub fn watched(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.files.iter().flat_map(|pair| [&pair.chain, &pair.key]);
        let clients = self.clients.iter().map(|clients| clients.files());
        own.chain(clients.flat_map(|files| files.ca_files.iter().chain(&files.crl_files)))
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[CertificateFiles] {
        &self.files
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let by_name = self.by_name.load();
        if let Some(found) = by_name.get(&name) {
            return Some(Arc::clone(found));
        }
        // A wildcard stands for exactly one label (RFC 6125 §6.4.3).
        let (_, parent) = name.split_once('.')?;
        by_name.get(&format!("*.{parent}")).cloned()
    }
}

fn read(files: &[CertificateFiles]) -> Result<HashMap<String, Arc<CertifiedKey>>, CertificateError> {
    let mut by_name = HashMap::new();
    for pair in files {
        let certified = Arc::new(read_pair(pair)?);
        let names = names(&certified, &pair.chain)?;
        for name in names {
            by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
        }
    }
    Ok(by_name)
}

fn read_pair(pair: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let fault = |file: &Path, what, why: String| CertificateError::File {
        file: file.display().to_string(),
        what,
        why,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.chain)
        .and_then(Iterator::collect)
        .map_err(|e| fault(&pair.chain, "certificate in PEM", e.to_string()))?;
    if chain.is_empty() {
        return Err(fault(&pair.chain, "certificate in PEM", "there is no `BEGIN CERTIFICATE`".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|e| fault(&pair.key, "private key in PEM", e.to_string()))?;
    let misfit = |why: String| CertificateError::Pair {
        key: pair.key.display().to_string(),
        chain: pair.chain.display().to_string(),
        why,
    };
    let signer = any_supported_type(&key).map_err(|e| misfit(e.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|e| misfit(e.to_string()))?;
    Ok(certified)
}

fn names(certified: &CertifiedKey, file: &Path) -> Result<Vec<String>, CertificateError> {
    let fault = |why: &dyn std::fmt::Display| CertificateError::File {
        file: file.display().to_string(),
        what: "certificate that can be read",
        why: why.to_string(),
    };
    let leaf = certified.end_entity_cert().map_err(|e| fault(&e))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|e| fault(&e))?;
    let mut names = Vec::new();
    if let Ok(Some(san)) = parsed.subject_alternative_name() {
        for name in &san.value.general_names {
            if let x509_parser::extensions::GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    if names.is_empty() {
        return Err(CertificateError::NoName { file: file.display().to_string() });
    }
    Ok(names)
}

/// Notes what of the handshake each request is checked against: the name, and the certificate of the client.
struct NoteHandshake {
    clients: Option<Arc<ClientTrust>>,
}

#[async_trait]
impl TlsAccept for NoteHandshake {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let shown =
            |clients: &Arc<ClientTrust>| Some(clients.shown(tls.peer_cert_chain_der()?).map(Arc::new));
        Some(Arc::new(Handshake {
            server_name: tls.server_name().map(str::to_ascii_lowercase),
            asks: self.clients.is_some(),
            certificate: self.clients.as_ref().and_then(shown),
        }))
    }
}

/// Builds the service of one address.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn service(
    listen: &Listen,
    certificates: Option<&Arc<Certificates>>,
    house: &Arc<House>,
    census: &Arc<Census>,
    conf: &Arc<ServerConf>,
) -> pingora::Result<Service<Connections>> {
    let proxy = http_proxy(conf, Door(Arc::clone(house)));
    let listener = Listener::new(proxy, Arc::clone(house), listen);
    let proxies = listen.proxy_protocol.then(|| Arc::clone(&house.proxies));
    let app = Connections::new(listener, Arc::clone(census), house.limits.header_max, proxies.clone());
    let address = listen.address.to_string();
    let mut service = Service::new(format!("listen {address}"), app);
    // Pingora's 64 KiB for each connection are wasted on streams that say little.
    let buffers = L4BufferSettings { read: Some(limits::CONNECTION_READ_BUFFER_BYTES), write: None };
    match certificates {
        None => service.add_listener(ListenerConfig::tcp(&address).l4_buffer(buffers)),
        Some(certificates) => {
            let clients = certificates.clients().cloned();
            let mut tls = TlsSettings::with_callbacks(Box::new(NoteHandshake { clients: clients.clone() }))?;
            if let Some(clients) = clients {
                let metrics = Arc::clone(&house.metrics);
                clients.tell(Box::new(move |why| metrics.certificate_refused(why.word())));
                tls.set_client_cert_verifier(clients);
            }
            tls.set_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
            match (listen.h1, listen.h2) {
                (true, true) => tls.enable_h2(),
                (false, true) => tls.set_alpn(pingora::protocols::ALPN::H2),
                (true | false, false) => tls.set_alpn(pingora::protocols::ALPN::H1),
            }
            let first = BeforeTls {
                census: Arc::clone(census),
                metrics: Arc::clone(&house.metrics),
                proxies,
                within: house.limits.header_max,
            };
            service.endpoints().set_pre_tls_callback(Arc::new(first));
            service.add_listener(ListenerConfig::tcp(&address).tls(tls).l4_buffer(buffers));
        }
    }
    Ok(service)
}
