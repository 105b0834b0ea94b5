//! The files of authorities and revocation lists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_model::UnixMillis;
use doorward_model::limits::TRUST_FILE_BYTES_MAX;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DistinguishedName, RootCertStore};
use x509_parser::parse_x509_crl;

use super::{DeviceIdFrom, TrustFiles};

/// Why devices cannot be believed by these files.
#[derive(Debug, thiserror::Error)]
#[error("`{file}` {why}")]
pub struct TrustError {
    /// Which file.
    pub file: String,
    /// Whether it is one of `crl_files`.
    pub is_list: bool,
    /// What is wrong with it.
    pub why: String,
}

/// A revocation list that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlStatus {
    /// Its file.
    pub file: PathBuf,
    /// Whose certificates it tells of.
    pub issuer: String,
    /// Until when; a list that does not say tells nothing.
    pub next_update: Option<UnixMillis>,
}

impl CrlStatus {
    /// Whether the list is not out of date.
    #[must_use]
    pub fn tells(&self, now: UnixMillis) -> bool {
        self.next_update.is_some_and(|until| now < until)
    }
}

/// What the files come to.
pub(super) struct Trusted {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The names of the authorities, by which a browser chooses a certificate.
    pub(super) hints: &'static [DistinguishedName],
    pub(super) lists: Vec<CrlStatus>,
}

impl Trusted {
    /// `before` are the names of the authorities until now.
    pub(super) fn read(files: &TrustFiles, before: &'static [DistinguishedName]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for file in &files.ca_files {
            add_authorities(&mut roots, file)?;
        }
        if let Some(last) = files.ca_files.last()
            && roots.len() > 1
            && files.device_id_from == DeviceIdFrom::Serial
        {
            let why = "is not the only authority, and two may give the same serial number: use another \
                       `device_id_from`, or note certificates with `doorward device bind`";
            return Err(fault(last, false)(why.to_owned()));
        }
        let (mut ders, mut lists) = (Vec::new(), Vec::new());
        for file in &files.crl_files {
            for der in lists_of(file)? {
                lists.push(status(file, &der)?);
                ders.push(der);
            }
        }
        let subjects = roots.subjects();
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
                .with_crls(ders)
                .enforce_revocation_expiration();
        if !files.required {
            builder = builder.allow_unauthenticated();
        }
        let whole = || files.ca_files.first().map(|f| f.display().to_string()).unwrap_or_default();
        let verifier = builder.build().map_err(|e| TrustError {
            file: whole(),
            is_list: false,
            why: format!("cannot be used: {e}"),
        })?;
        // The TLS library borrows them for as long as the listener lives. Other authorities are a rare thing, so
        // what a reload leaves behind is a few hundred bytes at most.
        let same = before.iter().map(AsRef::as_ref).eq(subjects.iter().map(AsRef::<[u8]>::as_ref));
        let hints = if same { before } else { Box::leak(subjects.into_boxed_slice()) };
        Ok(Self { verifier, hints, lists })
    }
}

fn add_authorities(roots: &mut RootCertStore, file: &Path) -> Result<(), TrustError> {
    let fault = fault(file, false);
    let bytes = bytes_of(file, false)?;
    let mut found = 0;
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let der = der.map_err(|e| fault(format!("holds no certificate in PEM: {e}")))?;
        roots.add(der).map_err(|e| fault(format!("holds a certificate that cannot be used: {e}")))?;
        found += 1;
    }
    if found == 0 {
        return Err(fault("holds no `BEGIN CERTIFICATE`: name a PEM file".to_owned()));
    }
    Ok(())
}

/// In PEM there may be several; authorities publish one in DER.
fn lists_of(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TrustError> {
    let fault = fault(file, true);
    let bytes = bytes_of(file, true)?;
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| fault(format!("holds no revocation list in PEM: {e}")))?;
    if lists.is_empty() {
        return Ok(vec![CertificateRevocationListDer::from(bytes)]);
    }
    Ok(lists)
}

fn status(file: &Path, der: &[u8]) -> Result<CrlStatus, TrustError> {
    let fault = fault(file, true);
    let (_, list) =
        parse_x509_crl(der).map_err(|_| fault("holds no revocation list, neither PEM nor DER".to_owned()))?;
    let next_update = list.next_update().map(|time| UnixMillis::from_seconds(time.timestamp()));
    Ok(CrlStatus { file: file.to_owned(), issuer: list.issuer().to_string(), next_update })
}

fn bytes_of(file: &Path, is_list: bool) -> Result<Vec<u8>, TrustError> {
    let fault = fault(file, is_list);
    let size = std::fs::metadata(file).map_err(|e| fault(format!("cannot be read: {e}")))?.len();
    if size > TRUST_FILE_BYTES_MAX {
        return Err(fault(format!("has {size} bytes, {TRUST_FILE_BYTES_MAX} are allowed")));
    }
    std::fs::read(file).map_err(|e| fault(format!("cannot be read: {e}")))
}

fn fault(file: &Path, is_list: bool) -> impl Fn(String) -> TrustError {
    let file = file.display().to_string();
    move |why| TrustError { file: file.clone(), is_list, why }
}
