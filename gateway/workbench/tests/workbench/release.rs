//! Bundles: made alike from alike, refused when a byte is another one, on the disk whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use doorward_model::UnixMillis;
use doorward_model::limits::POLICY_SEQUENCE_MAX;
use doorward_policy::{Difference, PolicyFiles, Workshop, check};
use doorward_workbench::release::{
    About, Attestation, Base, Bundle, Outcome, PublicKey, Refused, SigningKey, Trust, build, bundle_in, open,
    policies_in, sign, sweep, unpack,
};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn about(sequence: u64) -> About {
    About {
        sequence,
        created_at: UnixMillis(1_700_000_000_000),
        author: "alice@example.com".to_owned(),
        note: Some("a test".to_owned()),
        tool: "doorward 0.1.0".to_owned(),
        base: None,
        results: vec![Attestation {
            name: "check".to_owned(),
            outcome: Outcome::Held,
            detail: "12 policies".to_owned(),
            blocking: Vec::new(),
        }],
    }
}

/// A folder of two files, so that every byte of its bundle can be tried.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("apps")).unwrap();
    fs::write(dir.path().join("apps/a.cedar"), "permit (principal, action, resource);\n").unwrap();
    fs::write(dir.path().join("schema.cedarschema"), "entity User;\n").unwrap();
    dir
}

fn made(dir: &Path, sequence: u64) -> Vec<u8> {
    build(&PolicyFiles::read(dir).unwrap(), about(sequence)).unwrap()
}

fn opened(bytes: &[u8], keys: &[PublicKey]) -> Result<Bundle, Refused> {
    open(bytes, Trust::Keys(keys))
}

#[test]
fn the_shipped_policies_go_into_a_file_and_come_out_the_same() {
    let files = PolicyFiles::read(&shipped()).unwrap();
    let key = SigningKey::generate().unwrap();
    let bytes = sign(&made(&shipped(), 7), &key).unwrap();
    let bundle = opened(&bytes, &[key.public().clone()]).unwrap();
    assert_eq!(bundle.manifest().revision, files.revision().to_string());
    assert_eq!((bundle.manifest().sequence, bundle.signed_by()), (7, &[key.public().id()][..]));
    let into = tempfile::tempdir().unwrap();
    let held = unpack(&bundle, &bytes, into.path(), "one").unwrap();
    let report = check(&policies_in(&held), None).unwrap();
    assert_eq!(report.revision, files.revision());
    assert_eq!(fs::read(bundle_in(&held)).unwrap(), bytes);
}

#[test]
fn the_same_words_about_the_same_files_make_the_same_bytes() {
    let (one, other) = (small(), small());
    // Times and modes of files are no part of it.
    fs::File::open(other.path().join("apps/a.cedar")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(made(one.path(), 3), made(other.path(), 3));
    assert_ne!(made(one.path(), 3), made(one.path(), 4));
}

/// Show: a tampered byte anywhere is refused, whatever it becomes.
#[test]
fn every_byte_counts() {
    let dir = small();
    let key = SigningKey::generate().unwrap();
    let keys = [key.public().clone()];
    let good = sign(&made(dir.path(), 1), &key).unwrap();
    opened(&good, &keys).unwrap();
    for at in 0..good.len() {
        for other in [good[at] ^ 1, good[at] ^ 0x80, 0, b' '] {
            let mut bad = good.clone();
            bad[at] = other;
            assert!(bad == good || opened(&bad, &keys).is_err(), "byte {at} as {other} goes unnoticed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Cut off, longer, or with a run of other bytes, also in the bundle of the shipped policies.
    #[test]
    fn what_is_cut_or_grown_or_written_over_is_refused(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..64), how in 0..3,
    ) {
        thread_local! {
            static GOOD: (Vec<u8>, PublicKey) = {
                let key = SigningKey::generate().unwrap();
                (sign(&made(&shipped(), 1), &key).unwrap(), key.public().clone())
            };
        }
        GOOD.with(|(good, key)| {
            let at = at.index(good.len());
            let mut bad = good.clone();
            match how {
                0 => bad.truncate(at),
                1 => bad.extend_from_slice(&with),
                _ => bad.iter_mut().skip(at).zip(&with).for_each(|(to, from)| *to = *from),
            }
            prop_assert!(bad == *good || opened(&bad, std::slice::from_ref(key)).is_err());
            Ok(())
        })?;
    }

    /// Nothing that is handed in makes it panic.
    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(open(&noise, Trust::Anyone).is_err());
        prop_assert!(SigningKey::from_pem(&noise).is_err() && PublicKey::from_pem(&noise).is_err());
    }
}

#[test]
fn what_is_no_bundle_is_not_quoted() {
    // A key that was named by mistake, longer than a header of a tar file.
    let secret = format!("-----BEGIN PRIVATE KEY-----\n{}", "c2VjcmV0".repeat(200));
    let refused = open(secret.as_bytes(), Trust::Anyone).unwrap_err();
    assert_eq!(refused, Refused::NotABundle("it is no tar file, or a damaged one".to_owned()));
    // Nor what stands in a manifest that nobody has vouched for: it would reach a terminal and the log.
    let dir = small();
    let mut parts = entries(&made(dir.path(), 1));
    parts[0].1 = b"{\"\\u001b[2J\\u0007written by a stranger\": 1}\n".to_vec();
    let refused = open(&tarred(&parts), Trust::Anyone).unwrap_err().to_string();
    assert_eq!(refused, "this is not a bundle: its manifest cannot be read: line 1, column 39");
}

#[test]
fn who_signed_is_asked_and_nobody_else() {
    let dir = small();
    let [ours, next, stranger] = [(); 3].map(|()| SigningKey::generate().unwrap());
    let keys = [ours.public().clone(), next.public().clone()];
    let bare = made(dir.path(), 1);
    assert_eq!(opened(&bare, &keys).unwrap_err(), Refused::Unsigned);
    assert!(opened(&sign(&bare, &stranger).unwrap(), &[]).is_err(), "no key is trusted, and one signed");
    let by_stranger = sign(&bare, &stranger).unwrap();
    assert_eq!(
        opened(&by_stranger, &keys).unwrap_err(),
        Refused::Stranger(stranger.public().id().to_string())
    );
    // While keys change hands a bundle has both signatures; each node asks for one that it knows.
    let by_both = sign(&by_stranger, &next).unwrap();
    assert_eq!(opened(&by_both, &keys).unwrap().signed_by(), [next.public().id()]);
    assert_eq!(opened(&by_both, &[stranger.public().clone()]).unwrap().signed_by().len(), 1);
    // Signing again changes nothing: the signature is a function of key and content.
    assert_eq!(sign(&by_both, &next).unwrap(), by_both);
}

#[test]
fn a_signature_of_another_bundle_is_none_of_this() {
    let dir = small();
    let key = SigningKey::generate().unwrap();
    let keys = [key.public().clone()];
    let (one, two) = (made(dir.path(), 1), made(dir.path(), 2));
    let signed = sign(&one, &key).unwrap();
    let cut = |bytes: &[u8], name: &str| entries(bytes).into_iter().find(|(n, _)| n == name).unwrap().1;
    let mut parts = entries(&two);
    parts[1].1 = cut(&signed, "signatures.json");
    let swapped = tarred(&parts);
    assert_eq!(opened(&swapped, &keys).unwrap_err(), Refused::BadSignature(key.public().id().to_string()));
    // The same with its own signature opens: it is the signature that was wrong, and not the tar.
    parts[1].1 = cut(&sign(&two, &key).unwrap(), "signatures.json");
    opened(&tarred(&parts), &keys).unwrap();
}

/// What is in a tar file: path and content.
type Entries = Vec<(String, Vec<u8>)>;

fn entries(bytes: &[u8]) -> Entries {
    let mut archive = tar::Archive::new(bytes);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (name, content)
    });
    read.collect()
}

fn header(name: &str, len: usize) -> Header {
    let mut header = Header::new_ustar();
    // As written, whatever it is: what is tried here is what nobody should write.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len as u64);
    header.set_cksum();
    header
}

fn tarred(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    parts.iter().for_each(|(name, content)| tar.append(&header(name, content.len()), &content[..]).unwrap());
    tar.into_inner().unwrap()
}

/// Whoever has the key can sign anything; a path still leads nowhere else.
#[test]
fn a_path_that_leads_out_of_the_folder_is_refused_whoever_signed_it() {
    let dir = small();
    let parts = entries(&made(dir.path(), 1));
    open(&tarred(&parts), Trust::Anyone).unwrap();
    for bad in [
        "policies/../../etc/passwd",
        "/etc/passwd",
        "policies//a.cedar",
        "policies/./a.cedar",
        "policies/.hidden.cedar",
        "policies/a\\b.cedar",
        "policies/a b.cedar",
        "policies/",
        "elsewhere/a.cedar",
        "policies/a/b/c/d/e/f/g/h/i/j.cedar",
    ] {
        let mut parts = parts.clone();
        parts[2].0 = bad.to_owned();
        let refused = open(&tarred(&parts), Trust::Anyone).unwrap_err();
        assert!(matches!(refused, Refused::NotABundle(_)), "{bad}: {refused}");
    }
}

#[test]
fn links_extensions_and_folders_are_refused() {
    let dir = small();
    let parts = entries(&made(dir.path(), 1));
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::XHeader,
        EntryType::GNULongName,
    ] {
        let mut tar = Builder::new(Vec::new());
        for (i, (name, content)) in parts.iter().enumerate() {
            if i == 2 {
                let mut odd = header("policies/odd.cedar", 0);
                odd.set_entry_type(kind);
                odd.set_cksum();
                tar.append(&odd, &[][..]).unwrap();
            }
            tar.append(&header(name, content.len()), &content[..]).unwrap();
        }
        let refused = open(&tar.into_inner().unwrap(), Trust::Anyone).unwrap_err();
        assert_eq!(
            refused,
            Refused::NotABundle("something in it is not a plain file".to_owned()),
            "{kind:?}"
        );
    }
}

#[test]
fn a_file_more_or_less_or_twice_is_refused() {
    let dir = small();
    let parts = entries(&made(dir.path(), 1));
    assert_eq!(parts.len(), 4);
    let refused = |change: &dyn Fn(&mut Entries)| {
        let mut parts = parts.clone();
        change(&mut parts);
        open(&tarred(&parts), Trust::Anyone).unwrap_err()
    };
    let altered = |why: &str| Refused::Altered(why.to_owned());
    let not_those = altered("its files are not those of the manifest");
    assert_eq!(refused(&|p| p.push(("policies/z.cedar".into(), vec![]))), not_those);
    assert_eq!(refused(&|p| drop(p.pop())), not_those);
    assert!(matches!(refused(&|p| p.push(p[3].clone())), Refused::NotABundle(_)));
    assert!(matches!(refused(&|p| p.swap(2, 3)), Refused::NotABundle(_)));
    assert!(matches!(refused(&|p| drop(p.remove(1))), Refused::NotABundle(_)));
    assert_eq!(refused(&|p| p[2].1.push(b'\n')), altered("`apps/a.cedar` is not what the manifest says"));
}

#[test]
fn a_bomb_is_not_unpacked() {
    // The header promises eight gigabytes; what is there is read and no more.
    let mut tar = Vec::new();
    let mut huge = header("manifest.json", 0);
    huge.set_size(8 << 30);
    huge.set_cksum();
    tar.extend_from_slice(huge.as_bytes());
    tar.extend_from_slice(&vec![b'x'; 7 * 1024 * 1024]);
    assert_eq!(
        open(&tar, Trust::Anyone).unwrap_err(),
        Refused::NotABundle("a file in it is too large".into())
    );
}

#[test]
fn texts_are_bounded_and_plain() {
    let dir = small();
    let files = PolicyFiles::read(dir.path()).unwrap();
    let with = |author: &str, note: &str| {
        let about = About { author: author.to_owned(), note: Some(note.to_owned()), ..about(1) };
        build(&files, about).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(with("alice", "so"), Ok(()));
    assert_eq!(with(" ", "so"), Err("the author is missing".to_owned()));
    assert_eq!(with("al\u{1b}ice", "so"), Err("the author has control characters".to_owned()));
    assert_eq!(with("alice", "\u{202e}ecila"), Err("the note has control characters".to_owned()));
    assert!(with("alice", &"x".repeat(2000)).unwrap_err().starts_with("the note is longer than"));
    let based = |sequence, revision: &str| {
        let base = Some((Base { revision: revision.to_owned(), sequence: None }, Difference::default()));
        build(&files, About { base, ..about(sequence) }).map(drop).map_err(|e| e.to_string())
    };
    let whole = files.revision().to_string();
    assert_eq!(based(POLICY_SEQUENCE_MAX, &whole), Ok(()));
    assert_eq!(based(1, "\u{1b}[2J"), Err("what it was made from is no revision".to_owned()));
    let refused = based(20_261_122_001, &whole).unwrap_err();
    assert!(refused.starts_with("its sequence number is greater than"), "{refused}");
}

#[test]
fn what_an_edit_changes_stands_in_the_manifest_by_name() {
    let edited = tempfile::tempdir().unwrap();
    let files = PolicyFiles::read(&shipped()).unwrap();
    for (path, text) in files.iter() {
        let at = edited.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    }
    let extra = "@id(\"apps.extra\")\n@owner(\"x\")\nforbid (principal is Visitor, action, resource) \
                 when { context.http.path == \"/never\" };\n";
    fs::write(edited.path().join("apps/extra.cedar"), extra).unwrap();
    let (before, after) =
        (Workshop::open(&shipped(), None).unwrap(), Workshop::open(edited.path(), None).unwrap());
    let difference = before.bundle().difference(after.bundle());
    let base = Base { revision: files.revision().to_string(), sequence: Some(1) };
    let about = About { base: Some((base.clone(), difference)), ..about(2) };
    let bytes = build(&PolicyFiles::read(edited.path()).unwrap(), about).unwrap();
    let bundle = open(&bytes, Trust::Anyone).unwrap();
    assert_eq!(bundle.manifest().base, Some(base));
    assert_eq!(bundle.manifest().added, ["apps.extra"]);
    assert!(bundle.manifest().removed.is_empty() && bundle.manifest().changed.is_empty());
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let dir = small();
    let bytes = made(dir.path(), 1);
    let bundle = open(&bytes, Trust::Anyone).unwrap();
    let into = tempfile::tempdir().unwrap();
    // Too long a name for the folder: the system says no.
    let name = "x".repeat(250);
    let error = unpack(&bundle, &bytes, into.path(), &name).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_is_whole_stays() {
    let dir = small();
    let bytes = made(dir.path(), 1);
    let bundle = open(&bytes, Trust::Anyone).unwrap();
    let into = tempfile::tempdir().unwrap();
    unpack(&bundle, &bytes, into.path(), "whole").unwrap();
    fs::create_dir_all(into.path().join(".unfinished-half/policies/apps")).unwrap();
    fs::write(into.path().join(".unfinished-half/policies/apps/a.cedar"), "perm").unwrap();
    assert_eq!(sweep(into.path()).unwrap(), 1);
    let left: Vec<_> = fs::read_dir(into.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["whole"]);
    // The same files with another signature: they stay, the bundle beside them is the new one.
    let key = SigningKey::generate().unwrap();
    let signed = sign(&bytes, &key).unwrap();
    let held = unpack(&open(&signed, Trust::Anyone).unwrap(), &signed, into.path(), "whole").unwrap();
    assert_eq!(fs::read(bundle_in(&held)).unwrap(), signed);
    // And what was damaged is made whole.
    fs::write(policies_in(&held).join("apps/a.cedar"), "oh").unwrap();
    unpack(&bundle, &bytes, into.path(), "whole").unwrap();
    assert_eq!(
        fs::read_to_string(policies_in(&held).join("apps/a.cedar")).unwrap(),
        "permit (principal, action, resource);\n"
    );
}

#[test]
fn keys_are_read_back_and_shown_by_name_only() {
    let key = SigningKey::generate().unwrap();
    let (private, public) = (key.to_pem().unwrap(), key.public().to_pem());
    let again = SigningKey::from_pem(private.as_bytes()).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(PublicKey::from_pem(public.as_bytes()).unwrap(), *key.public());
    let refused = PublicKey::from_pem(private.as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), "this is a private key, and a public one is asked for");
    assert!(SigningKey::from_pem(public.as_bytes()).is_err());
    let middle = &private[40..70];
    assert!(!format!("{key:?}").contains(middle));
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id().short()));
}

/// Somebody else's tool reads our key and finds our signature good, over the encoding of DSSE.
#[test]
fn openssl_agrees() {
    let dir = small();
    let key = SigningKey::generate().unwrap();
    let bytes = sign(&made(dir.path(), 1), &key).unwrap();
    let parts = entries(&bytes);
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    let manifest = &parts[0].1;
    let kind = "application/vnd.doorward.policy-bundle.manifest.v1+json";
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), manifest.len()).into_bytes();
    signed.extend_from_slice(manifest);
    let list: serde_json::Value = serde_json::from_slice(&parts[1].1).unwrap();
    let signature = base64(list[0]["sig"].as_str().unwrap());
    fs::write(at("content"), signed).unwrap();
    fs::write(at("signature"), signature).unwrap();
    fs::write(at("key.pub"), key.public().to_pem()).unwrap();
    let ran = std::process::Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
        .arg(at("key.pub"))
        .arg("-in")
        .arg(at("content"))
        .arg("-sigfile")
        .arg(at("signature"))
        .output();
    let Ok(ran) = ran else { return eprintln!("no openssl here: its word was not had") };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn base64(text: &str) -> Vec<u8> {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.decode(text).unwrap()
}
