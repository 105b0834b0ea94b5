//! What a certificate says.

use aws_lc_rs::digest;
use doorward_model::{DeviceId, Thumbprint, UnixMillis};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Untrusted;

/// The start of a name that means a device here (RFC 8141).
const URN: &str = "urn:doorward:device:";

/// What of a certificate names its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceIdFrom {
    /// The one subject alternative name `urn:doorward:device:<id>`.
    #[default]
    SanUri,
    /// The one DNS name among the subject alternative names, in lower case.
    SanDns,
    /// The one common name of the subject.
    CommonName,
    /// The serial number, in hexadecimal in lower case.
    Serial,
    /// Nothing: the directory knows devices by the thumbprint.
    Thumbprint,
}

impl DeviceIdFrom {
    /// Every choice.
    pub const ALL: [Self; 5] = [Self::SanUri, Self::SanDns, Self::CommonName, Self::Serial, Self::Thumbprint];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SanUri => "san_uri",
            Self::SanDns => "san_dns",
            Self::CommonName => "cn",
            Self::Serial => "serial",
            Self::Thumbprint => "thumbprint",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }
}

/// What is remembered of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) thumbprint: Thumbprint,
    pub(super) serial: String,
    pub(super) issuer: String,
    pub(super) not_after: UnixMillis,
    pub(super) device: Option<DeviceId>,
}

impl Facts {
    pub(super) fn of(der: &[u8], from: DeviceIdFrom) -> Result<Self, Untrusted> {
        let leaf = parsed(der)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        let serial = serial(&leaf);
        let device = match from {
            DeviceIdFrom::SanUri => sole(uris(&leaf).filter_map(|uri| {
                let (start, id) = uri.split_at_checked(URN.len())?;
                start.eq_ignore_ascii_case(URN).then(|| id.to_owned())
            })),
            DeviceIdFrom::SanDns => sole(names(&leaf).filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })),
            DeviceIdFrom::CommonName => sole(
                leaf.subject().iter_common_name().map(|name| name.as_str().unwrap_or_default().to_owned()),
            ),
            DeviceIdFrom::Serial => Some(serial.clone()),
            DeviceIdFrom::Thumbprint => None,
        };
        Ok(Self {
            thumbprint: Thumbprint::new(hash),
            serial,
            issuer: leaf.issuer().to_string(),
            not_after: UnixMillis::from_seconds(leaf.validity().not_after.timestamp()),
            device: device.and_then(|id| DeviceId::new(&id).ok()),
        })
    }
}

/// When a certificate ends.
pub(super) fn not_after(der: &[u8]) -> Result<UnixMillis, Untrusted> {
    Ok(UnixMillis::from_seconds(parsed(der)?.validity().not_after.timestamp()))
}

/// Whether a certificate says that it is for clients (RFC 5280 §4.2.1.12).
pub(super) fn is_for_clients(der: &[u8]) -> Result<(), Untrusted> {
    match parsed(der)?.extended_key_usage() {
        Ok(Some(usage)) if usage.value.client_auth => Ok(()),
        Ok(Some(_) | None) | Err(_) => Err(Untrusted::Purpose),
    }
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, Untrusted> {
    parse_x509_certificate(der).map(|(_, leaf)| leaf).map_err(|e| Untrusted::Other(e.to_string()))
}

fn names<'a>(leaf: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let san = leaf.subject_alternative_name().ok().flatten();
    san.map(|san| san.value.general_names.iter()).into_iter().flatten()
}

fn uris<'a>(leaf: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a str> {
    names(leaf).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

fn serial(leaf: &X509Certificate<'_>) -> String {
    leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is there once. Of two, neither names the device.
fn sole(mut found: impl Iterator<Item = String>) -> Option<String> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
