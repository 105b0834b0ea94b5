//! The certificate that a device shows in the TLS handshake (RFC 8446 §4.4.2, mutual TLS as in RFC 8705).
//!
//! ```text
//!  handshake ─▶ ClientTrust ─▶ chain, time, purpose, revocation list ─▶ ClientCertificate
//!                   ▲                                                       │
//!   CA files and lists, swapped whole         each request: does it still stand? ◀──┘
//! ```
//!
//! Cast: [`ClientTrust`] is whom we believe about devices; [`ClientCertificate`] is what a connection proved;
//! [`Untrusted`] says why one proves nothing.
//!
//! Invariants:
//! * A certificate must say that it is made for clients. One that says nothing of its purpose is not.
//! * What was verified once is verified anew when the files are others, when the certificate has ended and when
//!   a revocation list has: also on a connection that goes on, and on one that was resumed and never verified.
//! * With revocation lists, a certificate of which none tells stands no more than one that is on a list, and a
//!   list whose time is over tells nothing.
//! * A reload that cannot be read changes nothing.

mod facts;
mod read;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_model::{DeviceId, Thumbprint, UnixMillis};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

pub use self::facts::DeviceIdFrom;
use self::facts::Facts;
use self::read::Trusted;
pub use self::read::{CrlStatus, TrustError};

/// Whom we believe about devices, and what they say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFiles {
    /// PEM files with the certificates of authorities.
    pub ca_files: Vec<PathBuf>,
    /// Revocation lists (RFC 5280 §5), in PEM or DER. With none, no certificate is looked for on one.
    pub crl_files: Vec<PathBuf>,
    /// A handshake without a certificate fails.
    pub required: bool,
    /// What of a certificate names its device.
    pub device_id_from: DeviceIdFrom,
}

/// The trust of one listener, swapped whole on reload.
pub struct ClientTrust {
    files: TrustFiles,
    current: ArcSwap<Current>,
    /// Is told of each certificate that a handshake was refused for.
    refused: OnceLock<Refused>,
}

/// Is told why a certificate was refused in a handshake.
pub type Refused = Box<dyn Fn(&Untrusted) + Send + Sync>;

struct Current {
    /// From 1 on; it rises with each reload.
    generation: u64,
    trusted: Trusted,
}

/// A certificate whose key the client has, as the handshake proved. Whether it stands is asked for each request.
pub struct ClientCertificate {
    facts: Facts,
    chain: Vec<CertificateDer<'static>>,
    /// When the first of the chain ends.
    until: UnixMillis,
    trust: Arc<ClientTrust>,
    /// With which generation of the trust it was last found to stand; 0 before that.
    stood_with: AtomicU64,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Its time, or that of one that it rests on, is over or has not begun.
    #[error("the certificate is not valid at this time")]
    Time,
    /// No authority of `ca_files` answers for it.
    #[error("no authority of `ca_files` made the certificate")]
    Issuer,
    /// It was not made for clients (RFC 5280 §4.2.1.12).
    #[error("the certificate does not say that it is for clients (`clientAuth`)")]
    Purpose,
    /// It is on a revocation list.
    #[error("the certificate is on a revocation list")]
    Revoked,
    /// No list of `crl_files` tells of it.
    #[error("no list of `crl_files` tells whether the certificate is revoked: add the list of its issuer")]
    Untold,
    /// The list that tells of it is out of date.
    #[error("the revocation list is out of date: put a new one into `crl_files`")]
    OldList,
    /// Anything else.
    #[error("the certificate cannot be used: {0}")]
    Other(String),
}

// === impl ClientTrust ===

impl ClientTrust {
    /// Reads the files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn open(files: TrustFiles) -> Result<Arc<Self>, TrustError> {
        let current = Current { generation: 1, trusted: Trusted::read(&files, &[])? };
        let current = ArcSwap::from_pointee(current);
        Ok(Arc::new(Self { files, current, refused: OnceLock::new() }))
    }

    /// Reads them again. When one cannot be used, what was read before stays.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn reload(&self) -> Result<(), TrustError> {
        let before = self.current.load();
        let trusted = Trusted::read(&self.files, before.trusted.hints)?;
        self.current.store(Arc::new(Current { generation: before.generation + 1, trusted }));
        Ok(())
    }

    /// Has somebody told of each certificate that is refused in a handshake. The first who asks is told.
    pub fn tell(&self, refused: Refused) {
        let _first = self.refused.set(refused);
    }

    /// The files.
    #[must_use]
    pub const fn files(&self) -> &TrustFiles {
        &self.files
    }

    /// The revocation lists that are in use.
    #[must_use]
    pub fn lists(&self) -> Vec<CrlStatus> {
        self.current.load().trusted.lists.clone()
    }

    /// What the client of a handshake showed: its own certificate first. The handshake proved that it has the key.
    ///
    /// # Errors
    /// When the certificate cannot be read. Whether it stands is not asked yet.
    pub fn shown(self: &Arc<Self>, chain: &[CertificateDer<'_>]) -> Result<ClientCertificate, Untrusted> {
        let first = chain.first().ok_or_else(|| Untrusted::Other("there is none".to_owned()))?;
        let facts = Facts::of(first, self.files.device_id_from)?;
        let mut until = facts.not_after;
        for one in chain.iter().skip(1) {
            until = until.min(facts::not_after(one)?);
        }
        Ok(ClientCertificate {
            facts,
            until,
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            trust: Arc::clone(self),
            stood_with: AtomicU64::new(0),
        })
    }

    fn verify(
        current: &Current,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = current.trusted.verifier.verify_client_cert(leaf, others, now)?;
        // The standard lets a certificate say nothing of its purpose, and then it is good for all.
        facts::is_for_clients(leaf).map_err(|_| CertificateError::InvalidPurpose)?;
        Ok(verified)
    }
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        self.files.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.current.load().trusted.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::verify(&self.current.load(), leaf, others, now).inspect_err(|error| {
            let why = Untrusted::of(error);
            tracing::info!(%why, "a client certificate was refused in the handshake");
            if let Some(tell) = self.refused.get() {
                tell(&why);
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.load().trusted.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.load().trusted.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().trusted.verifier.supported_verify_schemes()
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust").field("files", &self.files).finish_non_exhaustive()
    }
}

// === impl ClientCertificate ===

impl ClientCertificate {
    /// Whether it stands now: it is not out of date, an authority answers for it, and it is on no revocation
    /// list. Where nothing changed since it was last asked, that is a look at two numbers.
    ///
    /// # Errors
    /// Why it does not.
    pub fn stands(&self, now: UnixMillis) -> Result<(), Untrusted> {
        let current = self.trust.current.load();
        let in_time = now < self.until && current.trusted.lists.iter().all(|list| list.tells(now));
        if in_time && self.stood_with.load(Ordering::Acquire) == current.generation {
            return Ok(());
        }
        let (leaf, others) =
            self.chain.split_first().ok_or_else(|| Untrusted::Other("there is none".to_owned()))?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        ClientTrust::verify(&current, leaf, others, at).map_err(|error| Untrusted::of(&error))?;
        self.stood_with.store(current.generation, Ordering::Release);
        Ok(())
    }

    /// The SHA-256 of it.
    #[must_use]
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.facts.thumbprint
    }

    /// Its serial number, in hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// Who made it, as the certificate writes it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.facts.issuer
    }

    /// Until when it is good.
    #[must_use]
    pub const fn not_after(&self) -> UnixMillis {
        self.facts.not_after
    }

    /// The device that it names, if it names one. The directory may know one by its thumbprint.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        self.facts.device.as_ref()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

// === impl Untrusted ===

impl Untrusted {
    /// The word of each reason, for a label.
    pub const WORDS: [&str; 7] = ["time", "issuer", "purpose", "revoked", "untold", "old_list", "other"];

    /// The word of this one.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Issuer => "issuer",
            Self::Purpose => "purpose",
            Self::Revoked => "revoked",
            Self::Untold => "untold",
            Self::OldList => "old_list",
            Self::Other(_) => "other",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(why) = error else { return Self::Other(error.to_string()) };
        match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Time,
            CertificateError::UnknownIssuer => Self::Issuer,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus => Self::Untold,
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::OldList,
            other => Self::Other(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
