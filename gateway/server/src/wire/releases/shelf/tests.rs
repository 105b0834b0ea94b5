use super::*;

fn change(n: usize) -> Change {
    Change {
        revision: format!("{n:064x}"),
        previous: None,
        at: 0,
        by: String::new(),
        how: How::Folder,
        cause: None,
    }
}

#[test]
fn what_is_noted_is_read_back_and_what_is_broken_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    assert!(shelf.in_force().is_none() && shelf.history().is_empty() && shelf.rollout().is_none());
    let note = InForce {
        revision: "0".repeat(64),
        at: 1,
        by: "operator".into(),
        how: How::Back,
        cause: None,
        folder: None,
    };
    shelf.note(Some(&note)).unwrap();
    assert_eq!(shelf.in_force(), Some(note));
    for n in 0..POLICY_HISTORY_MAX + 5 {
        shelf.add(change(n)).unwrap();
    }
    assert_eq!(shelf.history().len(), POLICY_HISTORY_MAX);
    assert_eq!(shelf.history()[0].revision, change(POLICY_HISTORY_MAX + 4).revision);
    fs::write(dir.path().join("policies/in-force.json"), "{\"revision\":\"../..\"}").unwrap();
    assert!(shelf.in_force().is_none() && shelf.noted().is_err());
    shelf.note(None).unwrap();
    shelf.note(None).unwrap();
}

#[test]
fn a_bundle_that_was_not_held_to_the_end_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    let half = dir.path().join("policies/held").join("a".repeat(64));
    fs::create_dir_all(half.join("policies")).unwrap();
    fs::create_dir_all(dir.path().join("policies/held/.unfinished-x")).unwrap();
    assert!(shelf.all().is_empty());
    Shelf::open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("policies/held")).unwrap().count(), 0);
}

#[test]
fn nothing_but_a_revision_becomes_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    for bad in ["", "..", "../in-force.json", &"A".repeat(64), &"g".repeat(64)] {
        assert!(!is_revision(bad) && shelf.kept(bad).is_none() && shelf.remove(bad).is_err(), "{bad}");
    }
}

/// What is known of a bundle.
fn kept(revision: &str, sequence: u64) -> Kept {
    Kept {
        revision: revision.to_owned(),
        sequence,
        author: String::new(),
        created_at: 0,
        note: None,
        origin: Origin::Pulled,
        at: 0,
        by: String::new(),
        policies: 1,
        cases: None,
        added: vec![],
        removed: vec![],
        changed: vec![],
        cases_differ: None,
        results: vec![],
        signed_by: vec![],
    }
}

fn hold(shelf: &Shelf, revision: &str, sequence: u64) -> PathBuf {
    let folder = shelf.held_dir().join(revision);
    fs::create_dir_all(&folder).unwrap();
    shelf.keep(&kept(revision, sequence)).unwrap();
    folder
}

#[test]
fn a_bundle_of_which_nothing_can_be_read_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    let (broken, other, good) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let folder = hold(&shelf, &broken, 1);
    fs::write(folder.join("kept.json"), "{").unwrap();
    let moved = hold(&shelf, &other, 1);
    fs::write(moved.join("kept.json"), serde_json::to_vec(&kept(&good, 1)).unwrap()).unwrap();
    hold(&shelf, &good, 1);
    let shelf = Shelf::open(dir.path()).unwrap();
    assert!(folder.is_dir() && moved.is_dir());
    assert!(shelf.is_held(&broken) && shelf.kept(&broken).is_none() && shelf.kept(&other).is_none());
    assert!(shelf.is_held(&good) && shelf.kept(&good).is_some() && !shelf.is_held(&"d".repeat(64)));
    // Held again, it is there again.
    hold(&shelf, &broken, 1);
    assert!(shelf.kept(&broken).is_some());
}

#[test]
fn what_was_pulled_is_not_forgotten_when_its_note_is() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    assert_eq!(shelf.pulled().unwrap(), Pulled::default());
    let file = dir.path().join("policies/pulled.json");
    let pulled = Pulled { sequence: 11, revision: "a".repeat(64) };
    hold(&shelf, &pulled.revision, 11);
    shelf.add(Change { revision: pulled.revision.clone(), how: How::Pulled, ..change(0) }).unwrap();
    shelf.set_pulled(&pulled).unwrap();
    let anew = Shelf::open(dir.path()).unwrap();
    assert_eq!(anew.pulled().unwrap(), pulled);

    // It cannot be understood, and then not be read at all: that is not "never".
    fs::write(&file, "garbage").unwrap();
    assert!(shelf.pulled().is_err() && Shelf::open(dir.path()).unwrap().pulled().is_err());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(shelf.pulled().is_err() && Shelf::open(dir.path()).unwrap().pulled().is_err());
    fs::remove_dir(&file).unwrap();

    // It is gone, or somebody wrote an old one: this process knows better, and the next one by the history.
    assert_eq!(shelf.pulled().unwrap(), pulled);
    assert_eq!(Shelf::open(dir.path()).unwrap().pulled().unwrap(), pulled);
    fs::write(&file, format!("{{\"sequence\":3,\"revision\":\"{}\"}}", "b".repeat(64))).unwrap();
    assert_eq!(shelf.pulled().unwrap(), pulled);
    assert_eq!(Shelf::open(dir.path()).unwrap().pulled().unwrap(), pulled);

    // Neither of them can be had.
    fs::remove_file(&file).unwrap();
    fs::write(dir.path().join("policies/history.json"), "[").unwrap();
    assert!(Shelf::open(dir.path()).unwrap().pulled().is_err());
}

#[test]
fn a_history_that_cannot_be_understood_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(dir.path()).unwrap();
    let file = dir.path().join("policies/history.json");
    fs::write(&file, "[").unwrap();
    shelf.add(change(1)).unwrap();
    assert_eq!(shelf.history().len(), 1);
    assert_eq!(fs::read_to_string(file.with_extension("damaged")).unwrap(), "[");
    // One that cannot be read now is not overwritten.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(shelf.add(change(2)).is_err());
}
