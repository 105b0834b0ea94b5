//! A process that dies in the middle of revoking loses nothing that it acknowledged; one whose
//! disk refuses to grow says so, and saves the rest when it grows again.
//!
//! Both need a process of their own: this test program starts itself again and does the work of
//! [`child`].

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use doorward_model::{EntryKind, Target};
use doorward_state::{Action, StateError};

use crate::fixture::{Fixture, change, config, run, target};

const FOLDER: &str = "DOORWARD_TEST_CHILD_FOLDER";
const TASKS: usize = 8;

fn nth(task: usize, i: usize) -> Target {
    target(EntryKind::User, &format!("corp:t{task}-{i}"))
}

/// Not a test of its own: revokes for ever and prints what was acknowledged, when told where.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let config = config(&doorward_state::RevocationSection::default(), Path::new(&folder), "gw-1");
    run(async {
        let clock = Fixture::new().clock();
        let revocations =
            doorward_state::Revocations::open(&config, crate::fixture::clocks(clock)).unwrap().0;
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let revocations = revocations.clone();
                tokio::spawn(async move {
                    for i in 0.. {
                        let action = if i % 2 == 0 { Action::Revoke } else { Action::Disable };
                        let word = match revocations.apply(change(&nth(task, i), action)).await {
                            Ok(_) => "saved",
                            Err(StateError::NotDurable { enforced: true, kept: true, .. }) => "unsaved",
                            Err(other) => panic!("{other}"),
                        };
                        // One write for each line: a kill cannot tear it from the acknowledgment.
                        std::io::stdout().write_all(format!("{word} {task} {i}\n").as_bytes()).unwrap();
                        if word == "unsaved" {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn start(folder: &Path, shell: Option<&str>) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(&me),
        Some(before) => {
            let mut sh = Command::new("sh");
            sh.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).arg(&me);
            sh
        }
    };
    command.args(["--exact", "kill::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the child said, as far as its lines are whole: `word task i`.
fn lines(output: &str) -> Vec<(&str, usize, usize)> {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole.lines().filter_map(said).collect()
}

fn said(line: &str) -> Option<(&str, usize, usize)> {
    // The first one stands behind what the test runner prints.
    let line = line.rsplit("... ").next()?;
    let mut words = line.split(' ');
    let word = words.next().filter(|w| ["saved", "unsaved"].contains(w))?;
    Some((word, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let mut acknowledged = 0;
    for seed in 0..50_u64 {
        let fixture = Fixture::new();
        let mut child = start(fixture.dir.path(), None);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        // Die within 100 ms, in the middle of it, however slow the disk is: each time after another number of
        // acknowledgments.
        let heard = usize::try_from(seed).unwrap() % 25 + 1;
        while lines(&output).len() < heard && out.read_line(&mut output).unwrap() > 0 {}
        std::thread::sleep(Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 100_000));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut output).unwrap();

        let revocations = fixture.open();
        let lines = lines(&output);
        assert!(!lines.is_empty(), "seed {seed}: {output}");
        for (word, task, i) in &lines {
            assert_eq!(*word, "saved");
            let entry = revocations.lookup(&nth(*task, *i));
            assert_eq!(
                entry.map(|e| e.disabled),
                Some(i % 2 == 1),
                "seed {seed}: t{task}-{i} was acknowledged"
            );
        }
        acknowledged += lines.len();
        run(revocations.close());
    }
    println!("{acknowledged} acknowledged changes, none lost");
    assert!(acknowledged > 500, "too few to mean anything: {acknowledged}");
}

#[test]
fn a_disk_that_does_not_grow_is_told_and_mended() {
    let fixture = Fixture::new();
    // Every file of the child may grow to 200 KiB: then the commit itself fails.
    let mut child = start(fixture.dir.path(), Some("trap '' XFSZ; ulimit -S -f 400"));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut output = String::new();
    while output.matches("unsaved ").count() < 20 {
        assert!(out.read_line(&mut output).unwrap() > 0, "the child died: {output}");
    }
    let before = output.len();
    let grow = Command::new("prlimit")
        .args(["--fsize=unlimited:unlimited", "--pid", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(grow.success());
    while output[before..].matches("\nsaved ").count() < 20 {
        assert!(out.read_line(&mut output).unwrap() > 0, "the child died: {output}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    out.read_to_string(&mut output).unwrap();

    let revocations = fixture.open();
    // Both what was acknowledged and what waited in memory while the disk was full: a batch is
    // written in the order of its coming, so what was unsaved lies before what was saved later.
    let lines = lines(&output);
    let last_saved = lines.iter().rposition(|l| l.0 == "saved").unwrap();
    let unsaved = lines[..last_saved].iter().filter(|l| l.0 == "unsaved").count();
    assert!(unsaved >= 20);
    for (word, task, i) in &lines[..last_saved] {
        assert!(revocations.lookup(&nth(*task, *i)).is_some(), "t{task}-{i} ({word})");
    }
}
