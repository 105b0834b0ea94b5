use std::fs;
use std::path::Path;
use std::sync::Mutex;

use doorward_workbench::release::SigningKey;

use super::super::made;
use super::super::shelf::{Rollout, Shelf};
use super::*;

fn releases(dir: &Path, keys: &[&SigningKey]) -> Releases {
    Releases {
        shelf: Shelf::open(dir).unwrap(),
        keys: keys.iter().map(|key| key.public().clone()).collect(),
        changing: Mutex::default(),
        holding: Mutex::default(),
        pulling: Mutex::default(),
        fallen: Mutex::default(),
        board: None,
    }
}

/// A bundle of always the same policies.
fn bundle(sequence: u64, results: &[Attestation], key: Option<&SigningKey>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let packed = made::bundle(folder.path(), "a", sequence, results);
    key.map_or_else(|| packed.clone(), |key| release::sign(&packed, key).unwrap())
}

/// Holds it, whatever was held.
fn hold(releases: &Releases, packed: &[u8], origin: Origin) -> Kept {
    let bundle = release::open(packed, releases.trust()).unwrap();
    releases.shelf.unpack(&bundle, packed).unwrap();
    let kept = told(&bundle, (1, Some(1)), origin, UnixMillis(1), &Actor::Gateway);
    releases.shelf.keep(&kept).unwrap();
    kept
}

fn again(releases: &Releases, kept: &Kept, packed: &[u8], origin: Origin) -> Again {
    releases.again(kept, &release::open(packed, releases.trust()).unwrap(), origin)
}

fn result(name: &str, outcome: Outcome, blocking: &[&str]) -> Attestation {
    let blocking = blocking.iter().map(|what| (*what).to_owned()).collect();
    Attestation { name: name.to_owned(), outcome, detail: String::new(), blocking }
}

fn check() -> Attestation {
    result("check", Outcome::Held, &[])
}

fn prove(outcome: Outcome, blocking: &[&str]) -> Attestation {
    result("prove", outcome, blocking)
}

/// In whatever order two bundles of the same policies come: what blocks by one of them goes on standing.
#[test]
fn what_blocks_is_not_lost_and_not_passed_over() {
    use Again::{Differs, GivesWay, Stays};
    use Outcome::{Failed, Held, Unknown};
    let dir = tempfile::tempdir().unwrap();
    let releases = releases(dir.path(), &[]);
    let (broken, proved) = (prove(Failed, &["line.active"]), prove(Held, &[]));
    // What is held, what comes, and what becomes of it when somebody sends it and when it is pulled.
    for (held, next, sent, pulled) in [
        (vec![check()], vec![check()], Stays, Stays),
        (vec![check()], vec![check(), broken.clone()], GivesWay, GivesWay),
        (vec![check(), broken.clone()], vec![check()], Stays, Stays),
        (vec![], vec![result("check", Failed, &[])], GivesWay, GivesWay),
        // What failed is not proved by another try; what is not known may be.
        (vec![broken.clone()], vec![proved.clone()], Differs, Stays),
        (vec![broken.clone()], vec![prove(Unknown, &["line.active"])], Stays, Stays),
        (vec![prove(Unknown, &["line.active"])], vec![proved.clone()], GivesWay, GivesWay),
        (vec![proved.clone()], vec![prove(Unknown, &["line.active"])], GivesWay, GivesWay),
        (vec![proved.clone()], vec![prove(Unknown, &[])], Stays, Stays),
        (vec![proved.clone()], vec![broken.clone()], GivesWay, GivesWay),
        // By more, and by something else.
        (vec![broken.clone()], vec![prove(Failed, &["line.active", "line.b"])], GivesWay, GivesWay),
        (vec![broken.clone()], vec![prove(Failed, &["line.b"])], Differs, Differs),
        (vec![broken.clone()], vec![result("fuzz", Failed, &[])], Differs, Differs),
        // A proof is not lost, and comes to what was held without one.
        (vec![proved.clone()], vec![check()], Stays, Stays),
        (vec![check()], vec![check(), proved.clone()], GivesWay, GivesWay),
        (vec![proved.clone()], vec![result("test", Held, &[])], Differs, Stays),
        (vec![result("test", Held, &[])], vec![proved.clone()], GivesWay, GivesWay),
    ] {
        let kept = hold(&releases, &bundle(5, &held, None), Origin::Uploaded);
        for (origin, expected) in [(Origin::Uploaded, sent), (Origin::Pulled, pulled)] {
            let came = again(&releases, &kept, &bundle(5, &next, None), origin);
            assert_eq!(came, expected, "{held:?}, then {next:?}: {origin:?}");
        }
    }
}

#[test]
fn what_is_found_against_a_roll_out_ends_it_first() {
    let dir = tempfile::tempdir().unwrap();
    let releases = releases(dir.path(), &[]);
    let opened = |results: &[Attestation]| release::open(&bundle(5, results, None), Trust::Anyone).unwrap();
    let broken = opened(&[check(), prove(Outcome::Failed, &["line.active"])]);
    let proved = opened(&[check(), prove(Outcome::Held, &[])]);
    let kept = hold(&releases, &bundle(5, &[check()], None), Origin::Uploaded);
    assert!(releases.is_not_rolled_out_against(&kept, &broken).is_ok());
    let rollout = Rollout {
        revision: kept.revision.clone(),
        key: String::new(),
        hundredths: 1,
        apps: None,
        at: 0,
        by: String::new(),
        in_force: None,
    };
    releases.shelf.set_rollout(Some(&rollout)).unwrap();
    assert!(releases.is_not_rolled_out_against(&kept, &proved).is_ok());
    let refused = releases.is_not_rolled_out_against(&kept, &broken).unwrap_err();
    assert!(matches!(&refused, NotDone::Conflict(why) if why.contains("rollout stop")), "{refused}");
}

#[test]
fn a_later_signature_takes_away_nothing_that_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (broken, proved) = (prove(Outcome::Failed, &["line.active"]), prove(Outcome::Held, &[]));
    let signed = |sequence, results: &[Attestation]| bundle(sequence, results, Some(&key));
    let (releases, sent) = (releases(dir.path(), &[&key]), Origin::Uploaded);

    let kept = hold(&releases, &signed(5, &[check(), broken.clone()]), sent);
    assert_eq!(again(&releases, &kept, &signed(9, &[check()]), sent), Again::Stays);
    assert_eq!(again(&releases, &kept, &signed(9, &[check(), broken.clone()]), sent), Again::GivesWay);
    // Where nothing blocks, the later word counts; and a proof is known, whatever its number.
    let kept = hold(&releases, &signed(5, &[check()]), sent);
    assert_eq!(again(&releases, &kept, &signed(9, &[check()]), sent), Again::GivesWay);
    assert_eq!(again(&releases, &kept, &signed(3, &[check()]), sent), Again::Stays);
    assert_eq!(again(&releases, &kept, &signed(3, &[check(), proved.clone()]), sent), Again::GivesWay);
    // But for what a pull took: its number says what is older.
    let kept = hold(&releases, &signed(5, &[check()]), Origin::Pulled);
    assert_eq!(again(&releases, &kept, &signed(3, &[check(), broken.clone()]), sent), Again::Differs);
    assert_eq!(again(&releases, &kept, &signed(6, &[check(), broken.clone()]), sent), Again::GivesWay);

    // Files that are damaged are mended by a bundle that says the same, and by no other.
    let kept = hold(&releases, &signed(5, std::slice::from_ref(&broken)), sent);
    fs::write(releases.shelf.policies_of(&kept.revision).join("a.cedar"), "// b").unwrap();
    assert_eq!(again(&releases, &kept, &signed(5, std::slice::from_ref(&broken)), sent), Again::GivesWay);
    assert_eq!(again(&releases, &kept, &signed(9, &[check()]), sent), Again::Differs);

    // The word of somebody whose key is not known any more counts for nothing.
    let kept = hold(&releases, &signed(5, std::slice::from_ref(&broken)), sent);
    let anew = self::releases(dir.path(), &[&other]);
    assert_eq!(again(&anew, &kept, &bundle(3, &[check()], Some(&other)), sent), Again::GivesWay);
}
