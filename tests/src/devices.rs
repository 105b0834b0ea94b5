//! Devices with certificates: their authority, its revocation lists, and clients that show one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::tls::Authority;
use crate::wire::now;

/// So many seconds from now, in the type of the library.
macro_rules! after {
    ($seconds:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(now().seconds() + $seconds).unwrap())
    };
}

/// Makes the certificates of devices, and says which are revoked.
pub struct DeviceAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serial: AtomicU64,
}

/// A device's certificate and its key.
#[derive(Clone)]
pub struct DeviceCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    serial: u64,
}

/// What a client says with its certificate.
#[derive(Clone, Copy)]
pub struct Speaks<'a> {
    /// The protocols that it offers (ALPN).
    pub protocols: &'a [&'a str],
    /// The versions of TLS.
    pub versions: &'a [&'static SupportedProtocolVersion],
}

/// HTTP/1.1 over TLS 1.3.
pub const H1: Speaks<'static> = Speaks { protocols: &["http/1.1"], versions: &[&rustls::version::TLS13] };

/// HTTP/2 over TLS 1.3.
pub const H2: Speaks<'static> = Speaks { protocols: &["h2"], versions: &[&rustls::version::TLS13] };

// === impl DeviceAuthority ===

impl DeviceAuthority {
    /// Makes one.
    ///
    /// # Panics
    /// When a key cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, serial: AtomicU64::new(1) }
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate that names a device, good from an hour ago to tomorrow.
    #[must_use]
    pub fn certificate(&self, device: &str) -> DeviceCertificate {
        self.certificate_but(device, |_| {})
    }

    /// Such a certificate with a change.
    ///
    /// # Panics
    /// When that cannot be.
    pub fn certificate_but(
        &self,
        device: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> DeviceCertificate {
        let (mut params, serial) = self.params(device);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        DeviceCertificate { chain: vec![made.der().clone()], key: key.serialize_der(), serial }
    }

    /// A certificate that the device made for itself.
    ///
    /// # Panics
    /// When a key cannot be made.
    #[must_use]
    pub fn self_made(&self, device: &str) -> DeviceCertificate {
        let (params, serial) = self.params(device);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        DeviceCertificate { chain: vec![made.der().clone()], key: key.serialize_der(), serial }
    }

    fn params(&self, device: &str) -> (CertificateParams, u64) {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = after!(-3600);
        params.not_after = after!(86_400);
        let name = format!("urn:doorward:device:{device}");
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        (params, serial)
    }

    /// The revocation list as of now, in PEM; it is out of date after so many seconds, which may lie behind us.
    ///
    /// # Panics
    /// When that cannot be.
    #[must_use]
    pub fn list(&self, revoked: &[&DeviceCertificate], seconds: i64) -> String {
        let revoked_certs = revoked.iter().map(|certificate| RevokedCertParams {
            serial_number: SerialNumber::from(certificate.serial),
            revocation_time: after!(-60),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: after!(-7200),
            next_update: after!(seconds),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The parameters of a certificate: when it ends, in seconds from now.
pub fn ends_after(params: &mut CertificateParams, seconds: i64) {
    params.not_before = after!(-86_400);
    params.not_after = after!(seconds);
}

// === impl DeviceCertificate ===

impl DeviceCertificate {
    /// The SHA-256 of it, in hexadecimal.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.chain[0]);
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// It, in PEM, as a proxy would put it into a header.
    #[must_use]
    pub fn base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&self.chain[0])
    }

    /// A client that shows it and trusts the servers of this authority. What it learns to resume a connection it
    /// keeps for the next.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn client(&self, servers: &Authority, speaks: Speaks<'_>) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let mut config = trusting(servers, speaks).with_client_auth_cert(self.chain.clone(), key).unwrap();
        config.alpn_protocols = speaks.protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A client without a certificate.
///
/// # Panics
/// When the library refuses.
#[must_use]
pub fn without(servers: &Authority, speaks: Speaks<'_>) -> Arc<ClientConfig> {
    let mut config = trusting(servers, speaks).with_no_client_auth();
    config.alpn_protocols = speaks.protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn trusting(
    servers: &Authority,
    speaks: Speaks<'_>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(servers.pem().as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(speaks.versions)
        .unwrap()
        .with_root_certificates(roots)
}

/// Connects and shakes hands, as `name`.
///
/// # Errors
/// When the handshake fails. A refusal of a certificate may come with the first read instead (RFC 8446 §4.4.2.4).
///
/// # Panics
/// When nobody listens, or the name is not one.
pub async fn shake(
    client: &Arc<ClientConfig>,
    address: std::net::SocketAddr,
    name: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let stream = crate::wire::connect(address).await;
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(client));
    crate::wire::within("a TLS handshake", connector.connect(name, stream)).await
}
