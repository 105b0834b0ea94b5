//! `geoip/refresh` refuses packages that are not what they should be, and then changes nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn geoip() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A package as npm packs it.
struct Package {
    name: &'static str,
    licence: &'static str,
    licence_file: Vec<u8>,
    database: Option<Vec<u8>>,
}

impl Package {
    /// The one that is shipped.
    fn ours() -> Self {
        Self {
            name: "@ip-location-db/geo-whois-asn-country-mmdb",
            licence: "CC0-1.0",
            licence_file: std::fs::read(geoip().join("data/NRO_LICENSE")).unwrap(),
            database: Some(std::fs::read(geoip().join("data/country.mmdb")).unwrap()),
        }
    }

    fn pack(&self, dir: &Path) -> PathBuf {
        let inner = dir.join("package");
        std::fs::create_dir(&inner).unwrap();
        let about = format!(
            "{{\n  \"name\": \"{}\",\n  \"version\": \"9.9.9\",\n  \"license\": \"{}\"\n}}\n",
            self.name, self.licence
        );
        std::fs::write(inner.join("package.json"), about).unwrap();
        std::fs::write(inner.join("NRO_LICENSE"), &self.licence_file).unwrap();
        if let Some(database) = &self.database {
            std::fs::write(inner.join("geo-whois-asn-country.mmdb"), database).unwrap();
        }
        let tarball = dir.join("package.tgz");
        let tar = Command::new("tar").arg("-czf").arg(&tarball).arg("-C").arg(dir).arg("package").status();
        assert!(tar.unwrap().success());
        tarball
    }
}

/// Runs the command; whatever it answers, what is shipped must be as before.
fn refresh(arguments: &[&Path]) -> (Output, String) {
    let state =
        || ["country.mmdb", "README.md"].map(|f| std::fs::read(geoip().join("data").join(f)).unwrap());
    let before = state();
    let output = Command::new(geoip().join("refresh")).args(arguments).output().unwrap();
    assert!(state() == before, "the shipped files were changed");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output, said)
}

#[test]
fn what_is_not_as_expected_is_refused() {
    let fixture = std::fs::read(geoip().join("tests/fixtures/country.mmdb")).unwrap();
    let mut half = Package::ours().database.unwrap();
    half.truncate(4_000_000);
    for (package, why) in [
        (Package { name: "something-else", ..Package::ours() }, "this is the package `something-else`"),
        (Package { licence: "UNLICENSED", ..Package::ours() }, "from `CC0-1.0` to `UNLICENSED`; read it"),
        (
            Package { licence_file: b"All rights reserved.".to_vec(), ..Package::ours() },
            "NRO_LICENSE has changed",
        ),
        (Package { database: None, ..Package::ours() }, "its layout has changed, look at it"),
        (Package { database: Some(half), ..Package::ours() }, "the file in the package cannot be used"),
        (Package { database: Some(fixture), ..Package::ours() }, "does not know well-known addresses"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (output, said) = refresh(&[&package.pack(dir.path())]);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.contains("Nothing was changed."), "{said}");
    }
}

#[test]
fn the_same_file_is_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let (output, said) = refresh(&[&Package::ours().pack(dir.path())]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Nothing is newer"), "{said}");
}

#[test]
fn wrong_use_is_explained() {
    let (output, said) = refresh(&[Path::new("--help")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("geoip/refresh PACKAGE.tgz"), "{said}");
    let (output, said) = refresh(&[Path::new("missing.tgz")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("there is no file `missing.tgz`"), "{said}");
}
