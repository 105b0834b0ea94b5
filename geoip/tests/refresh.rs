//! `geoip/refresh` replaces a database whole or not at all, and refuses packages that are not what
//! they should be.

#![expect(clippy::unwrap_used, reason = "tests")]

mod mmdb;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
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
    let answer = run(Command::new(geoip().join("refresh")).args(arguments));
    assert!(state() == before, "the shipped files were changed");
    answer
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output, said)
}

/// A folder of somebody's own, with an older database and the README that belongs to it.
fn own_folder(dir: &Path) -> PathBuf {
    let folder = dir.join("own");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("country.mmdb"), mmdb::country().write()).unwrap();
    let readme = std::fs::read_to_string(geoip().join("data/README.md")).unwrap();
    // Every fact of another edition.
    let line = |line: &str| match line.split_once(" | `") {
        Some((name, _)) if ["| package version", "| built", "| bytes", "| sha256"].contains(&name) => {
            format!("{name} | `of before` |\n")
        }
        Some(_) | None => format!("{line}\n"),
    };
    std::fs::write(folder.join("README.md"), readme.lines().map(line).collect::<String>()).unwrap();
    folder
}

/// Answers as `doorward geoip` does; that a file is old is told by the exit status.
const DOORWARD: &str = r#"#!/bin/sh
case "$1 $2 $3" in
'geoip status --database')
  case "$4" in */own/*) built=${OWN_BUILT:-1767225600};; *) built=1781725900;; esac
  printf '{\n  "databases": [\n    {\n      "age_seconds": 1,\n      "built_at_seconds": %s,\n      "bytes": 2\n    }\n  ]\n}\n' "$built"
  exit 1;;
'geoip lookup 8.8.8.8' | 'geoip lookup 2001:4860:4860::8888') c=US;;
'geoip lookup 193.0.6.139') c=NL;;
'geoip lookup 78.46.0.1' | 'geoip lookup 2003::1') c=DE;;
'geoip lookup 133.242.0.3') c=JP;;
'geoip lookup 200.160.2.3' | 'geoip lookup 2804:14c::1') c=BR;;
'geoip lookup 2a01:e0a::1') c=FR;;
'geoip lookup 240e::1') c=CN;;
*) exit 2;;
esac
printf 'address     %s\ncountry     %s\ncontinent   unknown\n' "$3" "$c"
"#;

/// The names and the content of everything in a folder.
fn content(folder: &Path) -> Vec<(OsString, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name(), std::fs::read(e.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// A folder for the PATH in which one program is another than usual.
fn instead(dir: &Path, program: &str, script: &str) -> OsString {
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join(program), script).unwrap();
    std::fs::set_permissions(bin.join(program), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    path
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
    let (output, said) = refresh(&["--into", "missing", "x.tgz"].map(Path::new));
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("there is no folder `missing`"), "{said}");
    for wrong in [&["--into"][..], &["a.tgz", "b.tgz"], &["--into", ".", "--force"]] {
        let wrong: Vec<&Path> = wrong.iter().map(Path::new).collect();
        assert_eq!(refresh(&wrong).0.status.code(), Some(2), "{wrong:?}");
    }
}

/// The command where there is no source tree, with a `doorward` that answers so.
fn alone(dir: &Path, doorward: &str) -> Command {
    let copy = dir.join("refresh");
    std::fs::copy(geoip().join("refresh"), &copy).unwrap();
    let mut command = Command::new(copy);
    command.env("PATH", instead(dir, "doorward", doorward));
    command
}

#[test]
fn a_newer_file_replaces_an_older_one_and_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let (package, folder) = (Package::ours().pack(dir.path()), own_folder(dir.path()));
    let (output, said) = refresh(&[Path::new("--into"), &folder, &package]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("ours: built 2026-01-01") && said.contains("Replaced."), "{said}");
    let database = Package::ours().database.unwrap();
    assert!(std::fs::read(folder.join("country.mmdb")).unwrap() == database);
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &database);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    for line in [
        "| package version | `9.9.9` |",
        &format!("| sha256 | `{hex}` |"),
        "| built | `2026-06-17T19:51:40Z` |",
    ] {
        assert!(readme.contains(line), "{line}");
    }
    assert_eq!(content(&folder).len(), 2, "nothing is left behind");
    let (output, said) = refresh(&[Path::new("--into"), &folder, &package]);
    assert!(output.status.success() && said.contains("Nothing is newer"), "{said}");
}

#[test]
fn a_folder_needs_no_readme_and_no_file_yet() {
    let dir = tempfile::tempdir().unwrap();
    let package = Package::ours().pack(dir.path());
    let folder = dir.path().join("empty");
    std::fs::create_dir(&folder).unwrap();
    let (output, said) = refresh(&[Path::new("--into"), &folder, &package]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(content(&folder) == [("country.mmdb".into(), Package::ours().database.unwrap())]);
}

#[test]
fn what_cannot_be_replaced_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (package, folder) = (Package::ours().pack(dir.path()), own_folder(dir.path()));
    let into = |own_built: &str| {
        let mut command = alone(dir.path(), DOORWARD);
        command.arg("--into").arg(&folder).arg(&package).env("OWN_BUILT", own_built);
        let before = content(&folder);
        let (output, said) = run(&mut command);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Nothing was changed."), "{said}");
        assert!(content(&folder) == before, "{said}");
        said
    };
    // The second of the two moves fails, so the first is taken back.
    let no_readme = "#!/bin/sh\ncase \"$*\" in */README.md) exit 1;; esac\nPATH=${PATH#*:} exec mv \"$@\"\n";
    let nothing = "#!/bin/sh\nexit 1\n";
    for (program, script, says) in [
        ("mv", no_readme, "README.md cannot be replaced"),
        ("mv", nothing, "country.mmdb cannot be replaced"),
        ("cp", nothing, "cannot be written"),
    ] {
        instead(dir.path(), program, script);
        let said = into("1767225600");
        assert!(said.contains(says), "{said}");
        std::fs::remove_file(dir.path().join("bin").join(program)).unwrap();
    }
    assert!(into("1900000000").contains("is older than ours"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    std::fs::write(folder.join("README.md"), readme.replace("| sha256 |", "| sum |")).unwrap();
    assert!(into("1767225600").contains("has lost a line of its table"));
}

#[test]
fn the_package_comes_from_npm_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (package, folder) = (Package::ours().pack(dir.path()), own_folder(dir.path()));
    let npm = format!(
        "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'pack @ip-location-db/geo-whois-asn-country-mmdb --silent --pack-destination' ] || exit 1\ncp '{}' \"$5/x-9.9.9.tgz\"\n",
        package.display()
    );
    let with = |npm: &str| {
        let mut command = Command::new(geoip().join("refresh"));
        run(command.arg("--into").arg(&folder).env("PATH", instead(dir.path(), "npm", npm)))
    };
    let (output, said) = with("#!/bin/sh\nexit 1\n");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("npm cannot download"), "{said}");
    let (output, said) = with(&npm);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(std::fs::read(folder.join("country.mmdb")).unwrap() == Package::ours().database.unwrap());
}

/// Beside a gateway there is no source tree: `doorward` itself is asked what is in a file.
#[test]
fn no_source_tree_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let (package, folder) = (Package::ours().pack(dir.path()), own_folder(dir.path()));
    std::fs::remove_file(folder.join("README.md")).unwrap();
    let with = |doorward: &str| {
        let mut command = alone(dir.path(), doorward);
        run(command.arg("--into").arg(&folder).arg(&package))
    };
    let (output, said) = with("#!/bin/sh\necho 'error: it is damaged' >&2\nexit 1\n");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the file in the package cannot be used"), "{said}");
    let (output, said) = with(&DOORWARD.replace("c=CN", "c=ZZ"));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("does not know well-known addresses"), "{said}");
    let (output, said) = with(DOORWARD);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("with SIGHUP"), "{said}");
    assert!(content(&folder) == [("country.mmdb".into(), Package::ours().database.unwrap())]);
}
