use std::fs::File;

use super::super::made;
use super::*;

/// A bundle whose number is in its policies, too.
fn bundle(dir: &Path, sequence: u64) -> Vec<u8> {
    made::bundle(&dir.join(format!("policies-{sequence}")), &sequence.to_string(), sequence, &[])
}

fn sparse(file: &Path, bytes: u64) {
    File::create(file).unwrap().set_len(bytes).unwrap();
}

/// What of the folder is the latest, and what is refused.
fn looked(dir: &Path) -> (Option<u64>, Option<String>) {
    let files = listing(dir).unwrap().into_iter().map(|(file, bytes, _)| (file, bytes)).collect();
    let (latest, refused) = latest(Offer::Files(files), Trust::Anyone);
    (latest.map(|latest| latest.name.0), refused)
}

#[test]
fn what_cannot_be_read_beside_a_good_bundle_does_not_keep_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(looked(dir.path()), (None, None));
    for sequence in [7, 9, 8] {
        fs::write(at(&format!("{sequence}.dwp")), bundle(dir.path(), sequence)).unwrap();
    }
    assert_eq!(looked(dir.path()), (Some(9), None));
    std::os::unix::fs::symlink(at("nowhere"), at("a.dwp")).unwrap();
    let (latest, refused) = looked(dir.path());
    assert!(latest == Some(9) && refused.as_ref().unwrap().contains("a.dwp` cannot be read"), "{refused:?}");
    fs::remove_file(at("a.dwp")).unwrap();
    fs::write(at("z.dwp"), "no bundle").unwrap();
    let (latest, refused) = looked(dir.path());
    assert!(latest == Some(9) && refused.as_ref().unwrap().contains("this is not a bundle"), "{refused:?}");
    // Larger than any: it is not read.
    sparse(&at("z.dwp"), POLICY_BUNDLE_BYTES_MAX + 1);
    let (latest, refused) = looked(dir.path());
    assert!(latest == Some(9) && refused.as_ref().unwrap().contains("z.dwp` is larger than"), "{refused:?}");
}

#[test]
fn what_is_read_of_a_folder_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let at = |n: usize| dir.path().join(format!("{n}.dwp"));
    let fit = usize::try_from(POLICY_SOURCE_BYTES_MAX / POLICY_BUNDLE_BYTES_MAX).unwrap();
    (0..fit).for_each(|n| sparse(&at(n), POLICY_BUNDLE_BYTES_MAX));
    assert_eq!(listing(dir.path()).unwrap().len(), fit);
    sparse(&at(fit), POLICY_BUNDLE_BYTES_MAX);
    assert!(listing(dir.path()).unwrap_err().contains("remove old ones"));
    (0..=POLICY_SOURCE_FILES_MAX).for_each(|n| sparse(&at(n), 1));
    assert!(listing(dir.path()).unwrap_err().contains("remove old ones"));
    fs::remove_file(at(0)).unwrap();
    assert_eq!(listing(dir.path()).unwrap().len(), POLICY_SOURCE_FILES_MAX);
    // What grows after it was seen is not read to its end.
    assert_eq!(bounded(&at(1), 1).unwrap(), [0]);
    sparse(&at(1), 1000);
    assert_eq!(bounded(&at(1), 1).unwrap(), [0]);
    assert!(bounded(dir.path(), 1).unwrap_err().contains("is no file"));
}
