//! Asks GeoIP databases of some addresses:
//! `cargo run -p doorward-geoip --example lookup -- geoip/data/country.mmdb 8.8.8.8 2001:4860:4860::8888`
//!
//! The files come first, the addresses after them. Without an address it describes the files.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use doorward_geoip::{Atlas, Facts};

fn main() -> ExitCode {
    let mut paths = Vec::new();
    let mut addresses = Vec::new();
    for word in std::env::args().skip(1) {
        match word.parse::<IpAddr>() {
            Ok(ip) => addresses.push(ip),
            Err(_) => paths.push(PathBuf::from(word)),
        }
    }
    if paths.is_empty() {
        eprintln!("usage: lookup FILE.mmdb ... [ADDRESS ...]");
        return ExitCode::from(2);
    }
    let atlas = match Atlas::open(&paths) {
        Ok(atlas) => atlas,
        Err(errors) => {
            for e in errors {
                eprintln!("error: {}", e);
            }
            return ExitCode::FAILURE;
        }
    };
    if addresses.is_empty() {
        for file in atlas.status(0, Duration::MAX) {
            println!(
                "{} type={:?} built_at_seconds={} ip_version={} nodes={} bytes={}",
                file.path.display(),
                file.database_type,
                file.built_at_seconds,
                file.ip_version,
                file.node_count,
                file.bytes
            );
        }
    }
    for ip in addresses {
        println!("{ip} {}", line(&atlas.find(ip)));
    }
    ExitCode::SUCCESS
}

/// The country first, because scripts read it; then whatever else is known.
fn line(facts: &Facts) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut line = or_dash(facts.country.map(|c| c.to_string()));
    if let Some(continent) = facts.continent {
        line += &format!(" continent={continent}");
    }
    if let Some(asn) = facts.asn {
        line += &format!(" asn={asn}");
    }
    if let Some(organization) = &facts.organization {
        line += &format!(" organization={organization:?}");
    }
    if let Some(anonymizer) = facts.anonymizer {
        line += &format!(" anonymizer={anonymizer}");
    }
    line
}
