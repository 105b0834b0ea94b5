//! `doorward policy bundle`, and what takes a bundle: nothing is lost to a wrong `--out`, and nothing is sent that is none.

use std::os::unix::fs::{FileTypeExt as _, symlink};

use doorward_model::limits::POLICY_SEQUENCE_MAX;

use super::*;

/// The shipped policies beside a place for bundles.
fn desk() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    dir
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn build(desk: &Path, out: &str, more: &[&str]) -> Output {
    let words = ["policy", "bundle", "build", "--dir", "policies", "--out", out, "--author", "ann"];
    doorward(desk, &[&words[..], more].concat())
}

fn built(desk: &Path, out: &str, more: &[&str]) {
    let done = build(desk, out, more);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
}

/// What the bundle commands refuse: the exit code, what is said, and how to mend it.
fn refused(done: &Output, told: &str, help: &str) {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{}{said}", text(&done.stdout));
    assert!(said.contains(told) && said.contains(help), "{told}: {said}");
}

#[test]
fn a_bundle_is_written_over_nothing_but_a_bundle() {
    let desk = desk();
    let at = |name: &str| desk.path().join(name);
    let made = doorward(desk.path(), &["policy", "bundle", "keygen", "release"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    built(desk.path(), "one.dwp", &[]);
    let sign = |out: &str, more: &[&str]| {
        let words = ["policy", "bundle", "sign", "one.dwp", "--key", "release.key.pem", "--out", out];
        doorward(desk.path(), &[&words[..], more].concat())
    };

    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    symlink("one.dwp", at("link.dwp")).unwrap();
    symlink("nowhere", at("lost.dwp")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("notes.dwp"), "not a bundle").unwrap();
    for (out, told) in [
        ("pipe", "`pipe` is a pipe or a device"),
        ("link.dwp", "`link.dwp` is a link"),
        ("lost.dwp", "`lost.dwp` is a link"),
        ("folder", "`folder` is a folder"),
        ("release.key.pem", "`release.key.pem` is no bundle"),
        ("policies/schema.cedarschema", "`policies/schema.cedarschema` is no bundle"),
        ("notes.dwp", "`notes.dwp` is no bundle"),
    ] {
        // To read a pipe waits for its writer.
        let content = || (out != "pipe").then(|| fs::read(at(out)).ok());
        let before = content();
        for more in [&[][..], &["--replace"][..]] {
            refused(&build(desk.path(), out, more), told, "name a file that is not there yet");
            refused(&sign(out, more), told, "name a file that is not there yet");
        }
        assert_eq!(content(), before, "{out}");
    }
    assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(at("link.dwp")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(at("lost.dwp")).unwrap().is_symlink() && !at("nowhere").exists());

    // Another bundle is one that somebody may still want.
    let one = fs::read(at("one.dwp")).unwrap();
    refused(&build(desk.path(), "one.dwp", &[]), "`one.dwp` is there already", "`--replace`");
    assert_eq!(fs::read(at("one.dwp")).unwrap(), one);
    built(desk.path(), "one.dwp", &["--replace", "--sequence", "7"]);
    assert_ne!(fs::read(at("one.dwp")).unwrap(), one);
    // Nothing that happens to lie beside it goes, and nothing is left there.
    fs::write(at("two.dwp.new"), "mine").unwrap();
    assert_eq!(sign("two.dwp", &[]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(at("two.dwp.new")).unwrap(), "mine");
    refused(&sign("two.dwp", &[]), "`two.dwp` is there already", "`--replace`");
    // Signed where it stands: that is what was asked for.
    let place = ["policy", "bundle", "sign", "one.dwp", "--key", "release.key.pem"];
    assert_eq!(doorward(desk.path(), &place).status.code(), Some(0));
    let here: Vec<_> =
        fs::read_dir(desk.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(here.iter().all(|name| !name.starts_with('.')), "{here:?}");
}

#[test]
fn a_key_is_written_over_nothing() {
    let desk = tempfile::tempdir().unwrap();
    symlink("nowhere", desk.path().join("a.pub.pem")).unwrap();
    assert!(Command::new("mkfifo").arg(desk.path().join("b.key.pem")).status().unwrap().success());
    for name in ["a", "b"] {
        let done = doorward(desk.path(), &["policy", "bundle", "keygen", name]);
        refused(&done, "is there already", "a key is never written over");
    }
    let mut here: Vec<_> =
        fs::read_dir(desk.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    here.sort();
    assert_eq!(here, ["a.pub.pem", "b.key.pem"]);
}

/// Where a folder of policies is taken a bundle of them is, and nothing of it stays behind.
#[test]
fn a_bundle_may_stand_for_its_folder() {
    let desk = desk();
    built(desk.path(), "one.dwp", &[]);
    let passing = desk.path().join("passing");
    fs::create_dir(&passing).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("policy").args(words).current_dir(desk.path()).env("TMPDIR", &passing);
        let done = command.env_remove("DOORWARD_CONFIG").stdin(Stdio::null()).output().unwrap();
        assert_eq!(fs::read_dir(&passing).unwrap().count(), 0, "{words:?}");
        done
    };
    fs::create_dir(desk.path().join("log")).unwrap();
    for (words, told) in [
        (&["check", "--dir"][..], "one.dwp is good"),
        (&["test", "--dir"], "cases hold"),
        (&["explain", "--who", "alice", "--does", "GET payroll/all", "--dir"], "payroll.hr"),
        (&["who-can", "GET", "payroll/all", "--dir"], "payroll.hr"),
        (&["prove", "--only", "line.sanctioned", "--dir"], "PROVED"),
        (&["replay", "--dir", "log", "--since", "1h"], "one.dwp"),
    ] {
        let done = run(&[words, &["one.dwp"]].concat());
        let (said, noted) = (text(&done.stdout), text(&done.stderr));
        assert!(said.contains(told) && !said.contains("passing"), "{words:?}: {said}{noted}");
        assert!(noted.contains("who signed it is not asked here"), "{words:?}: {noted}");
    }
    let written = run(&["test", "--dir", "one.dwp", "--matrix", "--write"]);
    refused(&written, "nothing is written into one", "name the folder that it was made of");
    let drawn = run(&["test", "--dir", "one.dwp", "--matrix"]);
    let told = "`one.dwp` is a bundle, and a matrix is not in one";
    refused(&drawn, told, "name the folder that it was made of");
    assert!(text(&drawn.stdout).contains("cases hold"), "{}", text(&drawn.stdout));
    refused(&run(&["fmt", "--dir", "one.dwp"]), "nothing is written into one", "name the folder");
    fs::write(desk.path().join("notes"), "no bundle").unwrap();
    let none = run(&["check", "--dir", "notes"]);
    refused(&none, "`notes` is neither a folder of policies nor a bundle", "name the folder");
}

#[test]
fn what_is_about_a_part_is_no_result_of_the_whole() {
    let desk = desk();
    let part = doorward(
        desk.path(),
        &["policy", "test", "--dir", "policies", "--filter", "payroll", "--format", "json"],
    );
    fs::write(desk.path().join("part.json"), &part.stdout).unwrap();
    let done = build(desk.path(), "one.dwp", &["--result", "part.json"]);
    refused(&done, "it is about `payroll` only", "of this folder as it is now");
    let all = doorward(desk.path(), &["policy", "test", "--dir", "policies", "--format", "json"]);
    fs::write(desk.path().join("all.json"), &all.stdout).unwrap();
    built(desk.path(), "one.dwp", &["--result", "all.json"]);
}

/// The cases that an edit takes along are told with it.
#[test]
fn cases_that_went_are_among_the_changes() {
    let desk = desk();
    built(desk.path(), "one.dwp", &[]);
    fs::remove_file(desk.path().join("policies/cases/build.toml")).unwrap();
    let done = build(desk.path(), "two.dwp", &["--base", "one.dwp"]);
    let said = text(&done.stdout);
    assert!(said.contains("cases     ") && said.contains(" went, 0 came, 0 changed"), "{said}");
}

/// No gateway would pull it, and whoever builds it is told then and not by a fleet that stays as it is.
#[test]
fn a_bundle_is_numbered_after_the_one_that_it_takes_the_place_of() {
    let desk = desk();
    // The clock of whoever made it is years ahead.
    let ahead = 4_000_000_000_u64;
    built(desk.path(), "one.dwp", &["--sequence", &ahead.to_string()]);
    for number in [ahead, ahead - 1] {
        let done = build(desk.path(), "two.dwp", &["--base", "one.dwp", "--sequence", &number.to_string()]);
        refused(&done, &format!("{number} is not greater than {ahead}"), "leave `--sequence` out");
    }
    built(desk.path(), "two.dwp", &["--base", "one.dwp"]);
    let shown = doorward(desk.path(), &["policy", "bundle", "inspect", "two.dwp"]);
    let said = text(&shown.stdout);
    assert!(said.contains(&format!("sequence  {}", ahead + 1)), "{said}");
    // After the last number that there is comes none.
    built(desk.path(), "end.dwp", &["--sequence", &POLICY_SEQUENCE_MAX.to_string()]);
    let none = build(desk.path(), "three.dwp", &["--base", "end.dwp"]);
    refused(&none, "its sequence number is greater than", "9999999999");
}

#[test]
fn what_is_no_bundle_is_sent_nowhere_and_nobody_is_asked_by_an_oversight() {
    let folder = folder();
    let at = folder.path();
    assert_eq!(doorward(at, &["policy", "bundle", "keygen", "release"]).status.code(), Some(0));
    let key = "release.key.pem";
    for words in [
        &["policy", "rollout", "start", key, "--percent", "5"][..],
        &["policy", "rollout", "publish", key],
        &["policy", "shadow", "start", key],
    ] {
        let done = doorward(at, &[words, &["--config", "doorward.toml"]].concat());
        refused(&done, "`release.key.pem` is no bundle, and nothing of it was sent", "make one");
    }
    let start = doorward(at, &["policy", "rollout", "start", "one.dwp", "--config", "doorward.toml"]);
    refused(&start, "it is not said who is to be asked of it", "`--percent 100` for everybody");
    let advance = doorward(at, &["policy", "rollout", "advance", "--config", "doorward.toml"]);
    refused(&advance, "it is not said who is to be asked from now on", "`--percent 50`");
}
