//! What must hold between sections of different crates.

use std::net::SocketAddr;
use std::path::Path;

use doorward_model::complaint::{Complaint, KeyPath};
use doorward_proxy::config::CertificateFiles;
use doorward_proxy::listen::{CertificateError, Certificates};

use super::{Written, operator};

pub(super) fn check(written: &Written, base_dir: &Path, complaints: &mut Vec<Complaint>) {
    let operator_address = match written.operator.as_ref().and_then(|o| o.address.as_deref()) {
        Some(address) => address.parse().ok(),
        None => Some(operator::ADDRESS),
    };
    let nobody_trusted =
        written.network.as_ref().and_then(|n| n.trusted_proxies.as_ref()).is_none_or(Vec::is_empty);
    for (i, listen) in written.listen.iter().enumerate() {
        let at = KeyPath::top().key("listen").index(i);
        let address: Option<SocketAddr> = listen.address.parse().ok();
        if address.is_some_and(|a| a.port() != 0 && Some(a) == operator_address) {
            complaints.push(Complaint::new(
                at.key("address"),
                format!("`{}` is where operators connect", listen.address),
                "health, metrics and the operator API never share a listener with clients; use another port",
            ));
        }
        if listen.proxy_protocol == Some(true) && nobody_trusted {
            complaints.push(Complaint::new(
                at.key("proxy_protocol"),
                "PROXY protocol is required, but no proxy is trusted to speak it",
                "name your load balancers in `network.trusted_proxies`, or set `proxy_protocol = false`",
            ));
        }
    }
    certificates(written, base_dir, complaints);
}

/// Opens every certificate with its key, as listening would: each that cannot be served is told.
fn certificates(written: &Written, base_dir: &Path, complaints: &mut Vec<Complaint>) {
    for (i, listen) in written.listen.iter().enumerate() {
        for (n, pair) in listen.certificate.iter().flatten().enumerate() {
            let files = CertificateFiles { chain: base_dir.join(&pair.chain), key: base_dir.join(&pair.key) };
            // Files that are not there were told by the section's own check.
            if !files.chain.exists() || !files.key.exists() {
                continue;
            }
            let key_file = files.key.display().to_string();
            let Err(error) = Certificates::open(vec![files]) else { continue };
            let (key, help) = match &error {
                CertificateError::File { file, .. } => {
                    let key = if *file == key_file { "key" } else { "chain" };
                    (key, "name a PEM file that this user may read")
                }
                CertificateError::Pair { .. } => ("key", "name the key that the certificate was made for"),
                CertificateError::NoName { .. } => ("chain", "make one for the names that clients ask for"),
            };
            let at = KeyPath::top().key("listen").index(i).key("certificate").index(n).key(key);
            complaints.push(Complaint::new(at, error.to_string(), help));
        }
    }
}
