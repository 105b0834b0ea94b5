//! The shipped database is the one that its README describes, and it answers.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_geoip::Atlas;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(file)
}

/// A value of the table in the README.
fn fact(readme: &str, name: &str) -> String {
    let start = format!("| {name} | `");
    let line = readme.lines().find_map(|l| l.strip_prefix(&start)).unwrap();
    line.split_once('`').unwrap().0.to_owned()
}

#[test]
fn the_readme_describes_the_file() {
    let readme = std::fs::read_to_string(data("README.md")).unwrap();
    let bytes = std::fs::read(data("country.mmdb")).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(fact(&readme, "sha256"), hex);
    assert_eq!(fact(&readme, "bytes"), bytes.len().to_string());

    let atlas = Atlas::open(&[data("country.mmdb")]).unwrap();
    let status = atlas.status(0, Duration::MAX).remove(0);
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", status.built_at_seconds), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    assert_eq!(fact(&readme, "built"), String::from_utf8(output.stdout).unwrap().trim());
    assert_eq!(status.ip_version, 6);

    // The licence asks for attribution, and the file that says so lies beside.
    let licence = std::fs::read_to_string(data("NRO_LICENSE")).unwrap();
    assert!(licence.contains("Creative Commons Attribution 4.0"));
    assert!(
        readme.contains(
            "Contains data of the Number Resource Organization (nro.net), licensed under CC BY 4.0"
        )
    );
}

#[test]
fn well_known_addresses_answer() {
    let atlas = Atlas::open(&[data("country.mmdb")]).unwrap();
    for (address, country) in [
        ("8.8.8.8", Some("US")),
        ("::ffff:8.8.8.8", Some("US")),
        ("193.0.6.139", Some("NL")),
        ("78.46.0.1", Some("DE")),
        ("133.242.0.3", Some("JP")),
        ("175.45.176.1", Some("KP")),
        ("200.160.2.3", Some("BR")),
        ("2001:4860:4860::8888", Some("US")),
        ("2003::1", Some("DE")),
        ("2a01:e0a::1", Some("FR")),
        ("240e::1", Some("CN")),
        ("2804:14c::1", Some("BR")),
        // Private and reserved addresses are nowhere.
        ("10.0.0.1", None),
        ("127.0.0.1", None),
        ("192.0.2.1", None),
        ("100.64.0.1", None),
        ("169.254.1.1", None),
        ("::1", None),
        ("fe80::1", None),
        ("fd00::1", None),
    ] {
        let facts = atlas.find(address.parse().unwrap());
        assert_eq!(facts.country.map(|c| c.to_string()).as_deref(), country, "{address}");
        assert_eq!((facts.asn, facts.anonymizer, facts.continent), (None, None, None), "{address}");
    }
}

#[test]
fn nothing_lies_in_the_folder_that_is_not_described() {
    let files: BTreeSet<String> = std::fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(files, ["NRO_LICENSE", "README.md", "country.mmdb"].map(str::to_owned).into());
}
