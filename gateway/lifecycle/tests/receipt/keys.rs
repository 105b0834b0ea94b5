//! The key, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use doorward_lifecycle::receipt::{
    KEY_FILE, KeyError, OpenError, PUBLIC_KEYS_FILE, PublicKeys, Signer, open,
};

use crate::fixture::{known_key, receipt};

#[test]
fn a_key_is_made_once_and_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let first = Signer::open(dir.path()).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(KEY_FILE), 0o600);
    assert_eq!(Signer::open(dir.path()).unwrap().kid(), first.kid());
    let published = PublicKeys::load(&dir.path().join(PUBLIC_KEYS_FILE)).unwrap();
    assert_eq!(published.thumbprints().collect::<Vec<_>>(), [first.kid()]);
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [PUBLIC_KEYS_FILE, KEY_FILE]);
}

/// RFC 8037 appendix A.3.
#[test]
fn the_key_of_the_standard_has_the_thumbprint_of_the_standard() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(known_key(dir.path()).kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn what_an_old_key_sealed_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    let old = Signer::open(dir.path()).unwrap();
    let sealed = old.seal(&receipt()).unwrap();
    let new = Signer::rotate(dir.path()).unwrap();
    assert_ne!(new.kid(), old.kid());
    assert_eq!(Signer::open(dir.path()).unwrap().kid(), new.kid());
    let keys = PublicKeys::load(&dir.path().join(PUBLIC_KEYS_FILE)).unwrap();
    assert_eq!(keys.thumbprints().collect::<Vec<_>>(), [new.kid(), old.kid()]);
    assert_eq!(open(sealed.as_bytes(), &keys).unwrap().kid, old.kid());
    assert_eq!(open(new.seal(&receipt()).unwrap().as_bytes(), &keys).unwrap().kid, new.kid());
    // Whoever has the keys of before does not know the new one.
    let error = open(new.seal(&receipt()).unwrap().as_bytes(), old.public_keys()).unwrap_err();
    assert_eq!(error, OpenError::UnknownKey { kid: new.kid().to_owned() });
}

#[test]
fn a_key_that_is_lost_is_made_anew_and_the_old_receipts_open() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = Signer::open(dir.path()).unwrap().seal(&receipt()).unwrap();
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    let signer = Signer::open(dir.path()).unwrap();
    assert!(open(sealed.as_bytes(), signer.public_keys()).is_ok());
}

#[test]
fn what_is_damaged_is_not_written_over() {
    for (name, content) in [(KEY_FILE, "no key"), (PUBLIC_KEYS_FILE, "{\"keys\":[]}"), (PUBLIC_KEYS_FILE, "")]
    {
        let dir = tempfile::tempdir().unwrap();
        Signer::open(dir.path()).unwrap();
        let file = dir.path().join(name);
        fs::write(&file, content).unwrap();
        for error in [Signer::open(dir.path()).unwrap_err(), Signer::rotate(dir.path()).unwrap_err()] {
            match &error {
                KeyError::NotAKey { file } | KeyError::NotAKeySet { file, .. } => {
                    assert!(file.ends_with(name), "{error}");
                }
                KeyError::Io { .. } | KeyError::NoKey => panic!("{error}"),
            }
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn what_a_process_left_that_died_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    for name in [KEY_FILE, PUBLIC_KEYS_FILE] {
        fs::write(dir.path().join(format!("{name}.new")), "torn").unwrap();
    }
    let first = Signer::open(dir.path()).unwrap();
    assert_eq!(Signer::open(dir.path()).unwrap().kid(), first.kid());
}

#[test]
fn those_who_begin_at_once_take_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let kids: Vec<String> = std::thread::scope(|scope| {
        let begin: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Signer::open(dir.path()).unwrap().kid().to_owned())).collect();
        begin.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
    let keys = PublicKeys::load(&dir.path().join(PUBLIC_KEYS_FILE)).unwrap();
    assert_eq!(keys.thumbprints().collect::<Vec<_>>(), [kids[0].as_str()]);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = Signer::open(&dir.path().join("absent")).unwrap_err();
    assert!(error.to_string().contains("absent` cannot be used"), "{error}");
}
