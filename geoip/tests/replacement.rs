//! Files that change, and what an operator is told of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod mmdb;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_geoip::{Atlas, FileError, Reload};
use mmdb::{BUILT_AT_SECONDS, Book, Value, asn, country, map};

const DAY: Duration = Duration::from_secs(86_400);

fn country_of(atlas: &Atlas) -> String {
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    atlas.find(ip).country.map_or("-".to_owned(), |c| c.to_string())
}

fn flat(country: &'static str) -> Vec<u8> {
    Book::new("flat").put("192.0.2.0/24", &map(&[("country_code", Value::Text(country))])).write()
}

/// Two files in a fresh folder: a country, and numbers.
fn two_files() -> (tempfile::TempDir, [PathBuf; 2], Atlas) {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("country.mmdb"), dir.path().join("asn.mmdb")];
    std::fs::write(&paths[0], flat("DE")).unwrap();
    std::fs::write(&paths[1], asn().write()).unwrap();
    let atlas = Atlas::open(&paths).unwrap();
    assert_eq!(country_of(&atlas), "DE");
    (dir, paths, atlas)
}

fn kept(reload: Reload) -> Vec<FileError> {
    match reload {
        Reload::Kept(errors) => errors,
        other @ (Reload::Replaced | Reload::Unchanged) => panic!("{other:?}"),
    }
}

#[test]
fn a_new_file_is_taken_and_the_same_file_is_not() {
    let (_dir, paths, atlas) = two_files();
    assert!(matches!(atlas.reload(), Reload::Unchanged));
    std::fs::write(&paths[0], flat("SE")).unwrap();
    assert_eq!(country_of(&atlas), "DE", "nothing happens before a reload");
    assert!(matches!(atlas.reload(), Reload::Replaced));
    assert_eq!(country_of(&atlas), "SE");
    assert!(matches!(atlas.reload(), Reload::Unchanged));
}

/// Makes a good file at a path unusable.
type Spoil = fn(&Path);

#[test]
fn a_bad_file_keeps_all_that_was_there() {
    let spoils: [(Spoil, &str); 7] = [
        (|p| std::fs::remove_file(p).unwrap(), "check that the file exists"),
        (|p| std::fs::write(p, b"").unwrap(), "download it again"),
        (|p| std::fs::write(p, b"<html>Too many requests</html>").unwrap(), "download it again"),
        (
            |p| {
                let whole = std::fs::read(p).unwrap();
                std::fs::write(p, &whole[..whole.len() / 2]).unwrap();
            },
            "download it again",
        ),
        (
            |p| {
                std::fs::remove_file(p).unwrap();
                std::fs::create_dir(p).unwrap();
            },
            "is not a regular file",
        ),
        (
            |p| {
                let nothing = map(&[("connection_type", Value::Text("Cable"))]);
                let book = Book::new("GeoIP2-Connection-Type").put("192.0.2.0/24", &nothing);
                std::fs::write(p, book.write()).unwrap();
            },
            "(type `GeoIP2-Connection-Type`) has no country, continent, ASN or anonymizer",
        ),
        (
            |p| {
                let mut book = country();
                book.built_at_seconds = 0;
                std::fs::write(p, book.write()).unwrap();
            },
            "does not say when it was built",
        ),
    ];
    for (spoil, why) in spoils {
        let (_dir, paths, atlas) = two_files();
        // The other file is new and good; it waits for its neighbor.
        std::fs::write(&paths[0], flat("SE")).unwrap();
        spoil(&paths[1]);
        let errors = kept(atlas.reload());
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].path(), paths[1]);
        assert!(errors[0].to_string().contains(why), "{}", errors[0].to_string());
        assert_eq!(country_of(&atlas), "DE");

        let status = atlas.status(BUILT_AT_SECONDS, DAY);
        assert_eq!(status[0].refused, None);
        assert_eq!(status[1].refused.as_deref(), Some(errors[0].to_string().as_str()));
        assert_eq!(status[1].database_type, "GeoLite2-ASN");

        if paths[1].is_dir() {
            std::fs::remove_dir(&paths[1]).unwrap();
        }
        std::fs::write(&paths[1], asn().write()).unwrap();
        assert!(matches!(atlas.reload(), Reload::Replaced));
        assert_eq!(country_of(&atlas), "SE");
        assert_eq!(atlas.status(BUILT_AT_SECONDS, DAY)[1].refused, None);
    }
}

#[test]
fn all_bad_files_are_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = ["a.mmdb", "b.mmdb"].map(|name| dir.path().join(name)).into();
    std::fs::write(&paths[1], b"text").unwrap();
    let errors = Atlas::open(&paths).unwrap_err();
    assert_eq!(errors.iter().map(|e| e.path().to_owned()).collect::<Vec<_>>(), paths);
    // The reason of the system is in the message itself, wherever it is shown.
    assert!(errors[0].to_string().contains("No such file"), "{}", errors[0]);
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_hang_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe.mmdb");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(matches!(Atlas::open(&[path]).unwrap_err()[..], [FileError::NotAFile { .. }]));
}

#[test]
fn overwriting_a_file_in_place_disturbs_nobody() {
    let (_dir, paths, atlas) = two_files();
    for path in &paths {
        std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    assert_eq!(country_of(&atlas), "DE");
}

#[test]
fn lookups_go_on_while_files_are_replaced() {
    let (_dir, paths, atlas) = two_files();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                seen.insert(country_of(&atlas));
            }
            seen.insert(country_of(&atlas));
            seen
        });
        for round in 0..50 {
            std::fs::write(&paths[0], flat(if round % 2 == 0 { "SE" } else { "DE" })).unwrap();
            assert!(matches!(atlas.reload(), Reload::Replaced));
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen.iter().all(|c| c == "DE" || c == "SE"), "{seen:?}");
    });
}

#[test]
fn the_status_tells_what_is_in_force() {
    let (_dir, paths, atlas) = two_files();
    let now = BUILT_AT_SECONDS + 10 * 86_400;
    let status = atlas.status(now, 30 * DAY);
    assert_eq!(status.len(), 2);
    let first = &status[0];
    assert_eq!(first.path, paths[0]);
    assert_eq!(first.database_type, "flat");
    assert_eq!(first.built_at_seconds, BUILT_AT_SECONDS);
    assert_eq!(first.age, 10 * DAY);
    assert_eq!(first.ip_version, 6);
    assert_eq!(first.node_count, 120);
    assert_eq!(first.bytes, std::fs::metadata(&paths[0]).unwrap().len());
    for (now, is_stale) in [
        (now, false),
        (BUILT_AT_SECONDS + 30 * 86_400, false),
        (BUILT_AT_SECONDS + 30 * 86_400 + 1, true),
        // A clock that is a little behind is no matter; one that is far behind makes the age worthless.
        (BUILT_AT_SECONDS - 3600, false),
        (BUILT_AT_SECONDS - 3 * 86_400, true),
        (0, true),
        (u64::MAX, true),
    ] {
        assert_eq!(atlas.status(now, 30 * DAY)[0].stale, is_stale, "{now}");
    }
}
