//! The certificate that a browser is shown at `https://*.localhost`: made when the demo starts, signed by itself.
//!
//! No authority vouches for names that are this machine, so a browser warns once for each of them. It is no
//! certificate of an authority either: who trusts it trusts these names, and nothing that it could sign.

use doorward_model::UnixMillis;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::apps::SampleApp;

/// How long it is good for. Some browsers take none that lives for longer than 398 days.
const DAYS: u64 = 90;
const DAY_SECONDS: u64 = 24 * 3600;

/// A certificate and its key, in PEM.
pub struct Certificate {
    /// The certificate.
    pub chain: String,
    /// The key, which is for its owner alone.
    pub key: String,
}

/// The library made no key or no certificate.
#[derive(Debug, thiserror::Error)]
#[error("the certificate for this machine was not made")]
pub struct CertificateError(#[from] rcgen::Error);

/// Makes a certificate for `login.localhost` and the hosts of the sample apps, good from a day before `now`.
///
/// # Errors
/// When the system gives no randomness for the key.
pub fn for_this_machine(now: UnixMillis) -> Result<Certificate, CertificateError> {
    let mut names = vec!["localhost".to_owned(), "login.localhost".to_owned()];
    names.extend(SampleApp::ALL.map(|app| app.host().to_owned()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Doorward demo, this machine only");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let since_1970 = std::time::Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0));
    let day = std::time::Duration::from_secs(DAY_SECONDS);
    let starts = date_time_ymd(1970, 1, 1) + since_1970.saturating_sub(day);
    params.not_before = starts;
    params.not_after = starts + std::time::Duration::from_secs(DAYS * DAY_SECONDS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Certificate { chain: certificate.pem(), key: key.serialize_pem() })
}

/// Without the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        base64::engine::general_purpose::STANDARD.decode(body).unwrap()
    }

    #[test]
    fn it_is_of_this_machine_alone_and_the_key_stays_out_of_it() {
        let made = for_this_machine(UnixMillis::from_seconds(1_800_000_000)).unwrap();
        let der = der(&made.chain);
        let has = |bytes: &[u8]| der.windows(bytes.len()).any(|part| part == bytes);
        for name in ["login.localhost", "wiki.localhost", "payroll.localhost", "build.localhost"] {
            assert!(has(name.as_bytes()), "{name}");
        }
        // 2027-01-14 to 2027-04-14, as UTCTime says them (RFC 5280 §4.1.2.5.1).
        assert!(has(b"270114080000Z") && has(b"270414080000Z"), "{}", made.chain);
        assert!(!has(b"*."), "a name for everything");
        assert!(made.key.contains("PRIVATE KEY") && !made.chain.contains("PRIVATE KEY"));
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
