use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;

const GOOD: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

fn random() -> RandomBytes {
    Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).is_ok())
}

#[test]
fn a_key_file_is_private_and_holds_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("session.key");
    for (content, mode, want) in [
        (GOOD.to_owned(), 0o600, None),
        (format!("{GOOD}\n"), 0o400, None),
        (format!("{GOOD}\r\n"), 0o600, None),
        (GOOD.to_owned(), 0o640, Some("(mode 640)")),
        (GOOD.to_owned(), 0o604, Some("(mode 604)")),
        (GOOD.to_owned(), 0o620, Some("(mode 620)")),
        (String::new(), 0o600, Some("32 random bytes")),
        (GOOD[4..].to_owned(), 0o600, Some("32 random bytes")),
        (format!("AAAA{GOOD}"), 0o600, Some("32 random bytes")),
        (format!("{GOOD}\n{GOOD}"), 0o600, Some("32 random bytes")),
        (GOOD.replace('M', "*"), 0o600, Some("32 random bytes")),
        (format!("{}=", "A".repeat(43)), 0o600, Some("32 random bytes")),
        ("x".repeat(5000), 0o600, Some("larger than 128 bytes")),
    ] {
        write(&file, &content).unwrap();
        set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let read = SealKeys::read(std::slice::from_ref(&file));
        match (read, want) {
            (Ok(keys), None) => {
                assert_eq!(keys.ids(), [SealKey::new(*b"0123456789abcdefghijklmnopqrstuv").id()])
            }
            (Err(e), Some(want)) => {
                let said = format!("{e}; {}; {e:?}", e.help());
                assert!(said.contains(want) && said.contains("session.key"), "{said}");
                assert!(!said.contains(&GOOD[4..12]) && !said.contains("4567"), "{said}");
            }
            (read, want) => panic!("{content:?} {mode:o}: {read:?}, want {want:?}"),
        }
        std::fs::remove_file(&file).unwrap();
    }
    let open: SealKeyError = OwnerOnlyError::Open { file: file.clone(), mode: 0o644 }.into();
    assert!(open.help().starts_with("run `chmod 600 "), "{}", open.help());
    assert!(matches!(SealKeys::read(&[file]), Err(SealKeyError::File(OwnerOnlyError::Unreadable { .. }))));
    let folder = SealKeys::read(&[dir.path().to_owned()]);
    assert!(matches!(folder, Err(SealKeyError::File(OwnerOnlyError::NotAFile(_)))));
}

#[test]
fn several_keys_are_of_an_order_and_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a.key", "b.key"].map(|name| dir.path().join(name));
    let [of_a, of_b] = [&a, &b].map(|file| SealKeys::made(file, &random()).unwrap());
    let both = SealKeys::read(&[b.clone(), a.clone()]).unwrap();
    assert_eq!(both.ids(), [of_b.ids(), of_a.ids()].concat());
    assert_eq!(both.fingerprint(), format!("{}+{}", of_b.fingerprint(), of_a.fingerprint()));
    assert_ne!(of_a.fingerprint(), of_b.fingerprint());
    let twice = SealKeys::read(&[a.clone(), b, a.clone()]).unwrap_err();
    assert!(matches!(twice, SealKeyError::Twice(..)), "{twice}");
    assert!(matches!(SealKeys::read(&[]), Err(SealKeyError::Count(0))));
    let many = vec![a; SEAL_KEYS_MAX + 1];
    assert!(matches!(SealKeys::read(&many), Err(SealKeyError::Count(9))));
}

#[test]
fn a_file_that_is_not_there_is_made_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("session.key");
    let first = SealKeys::made(&file, &random()).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SealKeys::made(&file, &random()).unwrap().ids(), first.ids());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left behind");
    // What is there and bad is an error, and never replaced.
    write(&file, "").unwrap();
    assert!(matches!(SealKeys::made(&file, &random()), Err(SealKeyError::Garbled(_))));
    let nowhere = dir.path().join("no/such/folder.key");
    assert!(matches!(SealKeys::made(&nowhere, &random()), Err(SealKeyError::Unmade { .. })));
    let dry = SealKeys::made(&dir.path().join("dry.key"), &(Arc::new(|_: &mut [u8]| false) as RandomBytes));
    assert!(matches!(dry, Err(SealKeyError::NoRandomness(_))));
}

#[test]
fn whoever_makes_a_file_at_once_gets_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("session.key");
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(|| SealKeys::made(&file, &random()).unwrap().ids())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|ids| *ids == made[0]), "{made:?}");
}
