//! The file: whose it is, what becomes of damage, processes that share it and die.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use doorward_state::sessions::OnceKind;
use doorward_state::{SessionRecord, Sessions, SessionsError};

use crate::fixture::{HOUR, Place, run, user};

fn file(place: &Place) -> PathBuf {
    place.dir.path().join("sessions.sqlite3")
}

fn aside(place: &Place) -> PathBuf {
    place.dir.path().join("sessions.sqlite3.damaged")
}

/// It works, and knows nothing.
async fn is_new(place: &Place, sessions: &Sessions) {
    let alice = user("alice");
    assert_eq!(sessions.get(&alice, "dws-1").await, Ok(None));
    assert_eq!(sessions.create(place.record(&alice, "dws-1")).await, Ok(None));
    assert!(sessions.get(&alice, "dws-1").await.unwrap().is_some());
    assert_eq!(sessions.health().trouble, None);
}

/// What a process leaves that has closed its file.
async fn left(place: &Place) {
    let sessions = place.open();
    for i in 0..200 {
        sessions.create(place.record(&user(&format!("u{i}")), "dws-1")).await.unwrap();
    }
    sessions.create(place.record(&user("alice"), "dws-1")).await.unwrap();
    close(place, sessions).await;
}

/// Its thread closes the file, which takes the log of what was written along.
async fn close(place: &Place, sessions: Sessions) {
    drop(sessions);
    let log = place.dir.path().join("sessions.sqlite3-wal");
    crate::fixture::until("it is closed", || async { !log.exists() }).await;
}

#[test]
fn only_its_owner_reads_it() {
    run(async {
        let place = Place::file();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let sessions = place.open();
        is_new(&place, &sessions).await;
        for part in ["", "-wal", "-shm", ".lock"] {
            let path = place.dir.path().join(format!("sessions.sqlite3{part}"));
            assert_eq!(mode(&path), 0o600, "{part}");
        }
        drop(sessions);
        std::fs::set_permissions(file(&place), std::fs::Permissions::from_mode(0o644)).unwrap();
        let _sessions = place.open();
        assert_eq!(mode(&file(&place)), 0o600);
    });
}

#[test]
fn what_was_kept_is_there_when_it_is_opened_again() {
    run(async {
        let place = Place::file();
        left(&place).await;
        let record = place.open().get(&user("alice"), "dws-1").await.unwrap().unwrap();
        assert_eq!(record, SessionRecord { version: 1, ..place.record(&user("alice"), "dws-1") });
        assert!(!aside(&place).exists());
    });
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    fn overwrite(file: &Path, from: usize, with: &[u8]) {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[from..from + with.len()].copy_from_slice(with);
        std::fs::write(file, bytes).unwrap();
    }
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("text", |file| std::fs::write(file, "not a database at all").unwrap()),
        ("its beginning", |file| overwrite(file, 0, &[0xff; 100])),
        ("a page", |file| overwrite(file, 4096 * 3, &[0xff; 4096])),
        ("half of it", |file| {
            let length = std::fs::metadata(file).unwrap().len();
            std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2 + 100).unwrap();
        }),
        ("another database", |file| {
            std::fs::remove_file(file).unwrap();
            let other = rusqlite::Connection::open(file).unwrap();
            other.execute_batch("CREATE TABLE t (x)").unwrap();
        }),
        ("a later form", |file| {
            let other = rusqlite::Connection::open(file).unwrap();
            other.pragma_update(None, "user_version", 99).unwrap();
        }),
    ];
    for (what, damage) in damages {
        run(async {
            let place = Place::file();
            left(&place).await;
            damage(&file(&place));
            let damaged = std::fs::read(file(&place)).unwrap();
            let sessions = place.open();
            is_new(&place, &sessions).await;
            assert!(std::fs::read(aside(&place)).unwrap() == damaged, "{what}: it is kept");
            // Once more: of what was set aside there is one.
            close(&place, sessions).await;
            std::fs::write(file(&place), [b'x'; 8192]).unwrap();
            is_new(&place, &place.open()).await;
            assert!(std::fs::read(aside(&place)).unwrap() == [b'x'; 8192], "{what}");
        });
    }
}

#[test]
fn damage_that_shows_later_is_set_aside_too() {
    run(async {
        let place = Place::file();
        left(&place).await;
        let sessions = place.open();
        assert!(sessions.get(&user("alice"), "dws-1").await.unwrap().is_some());
        // Somebody puts another file in its place.
        std::fs::write(place.dir.path().join("new"), vec![0xff; 8192]).unwrap();
        std::fs::rename(place.dir.path().join("new"), file(&place)).unwrap();
        is_new(&place, &sessions).await;
        assert!(aside(&place).exists());
        std::fs::remove_file(file(&place)).unwrap();
        is_new(&place, &sessions).await;
        // The disk itself: every page but the first, under a process that has the file open.
        for i in 0..200 {
            sessions.create(place.record(&user(&format!("u{i}")), "dws-1")).await.unwrap();
        }
        let other = rusqlite::Connection::open(file(&place)).unwrap();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(other);
        let mut bytes = std::fs::read(file(&place)).unwrap();
        bytes[4096..].fill(0xff);
        let mut open = std::fs::OpenOptions::new().write(true).open(file(&place)).unwrap();
        open.write_all(&bytes).unwrap();
        drop(open);
        // Another process sees it, and this one goes on in the new file.
        let second = place.open();
        is_new(&place, &second).await;
        assert!(sessions.get(&user("alice"), "dws-1").await.unwrap().is_some());
        assert_eq!(sessions.get(&user("u7"), "dws-1").await, Ok(None));
    });
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let place = Place::file();
    let clocks = doorward_model::time::Clocks {
        wall: std::sync::Arc::new(|| doorward_model::UnixMillis(0)),
        uptime: std::sync::Arc::new(|| Duration::ZERO),
    };
    let config = crate::fixture::config(None, place.dir.path());
    let refused = Sessions::open(&config, &place.dir.path().join("nowhere"), clocks).err().unwrap();
    assert!(matches!(refused, SessionsError::Open { .. }), "{refused}");
    assert!(refused.to_string().contains("nowhere/sessions.sqlite3"), "{refused}");
}

#[test]
fn a_lock_of_another_program_is_waited_for_in_vain_and_in_time() {
    run(async {
        let place = Place::file();
        let sessions = place.open();
        is_new(&place, &sessions).await;
        let other = rusqlite::Connection::open(file(&place)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut told = String::new();
        for _ in 0..5 {
            told = sessions.create(place.record(&user("alice"), "dws-2")).await.unwrap_err().to_string();
            // Unless this machine stands still while the lock is waited for.
            if !told.contains("has not answered in time") {
                break;
            }
        }
        assert!(told.contains("locked by another program"), "{told}");
        assert!(sessions.get(&user("alice"), "dws-1").await.unwrap().is_some(), "it can be read");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(sessions.create(place.record(&user("alice"), "dws-2")).await, Ok(None));
        assert_eq!(sessions.health().trouble, None);
    });
}

#[test]
fn what_is_over_is_deleted() {
    run(async {
        let place = Place::file();
        let sessions = place.open();
        let alice = user("alice");
        sessions.create(place.record(&alice, "dws-1")).await.unwrap();
        sessions.put_once(OnceKind::Enter, "c", vec![1], HOUR).await.unwrap();
        sessions.lock("l", "one", HOUR).await.unwrap();
        sessions.put_memory(&alice, b"x", 0).await.unwrap();
        let other = rusqlite::Connection::open(file(&place)).unwrap();
        let rows = || {
            let query = "SELECT (SELECT count(*) FROM session) || (SELECT count(*) FROM once) ||
                                (SELECT count(*) FROM lock) || (SELECT count(*) FROM memory)";
            other.query_row(query, [], |row| row.get::<_, String>(0)).unwrap()
        };
        assert_eq!(rows(), "1111");
        place.later(2 * HOUR);
        // After the call that notices how late it is.
        crate::fixture::until("they are deleted", || async {
            assert_eq!(sessions.of(&alice).await, Ok(vec![]));
            rows() == "0001"
        })
        .await;
        place.later(91 * 24 * HOUR);
        crate::fixture::until("it is forgotten", || async {
            assert_eq!(sessions.memory(&alice).await, Ok(None));
            rows() == "0000"
        })
        .await;
    });
}

// === processes ===

const FOLDER: &str = "DOORWARD_TEST_SESSIONS_FOLDER";
const WORK: &str = "DOORWARD_TEST_SESSIONS_WORK";

/// Not a test of its own: what another process does, when told where.
#[test]
fn child() {
    let (Ok(folder), Ok(work)) = (std::env::var(FOLDER), std::env::var(WORK)) else { return };
    let place = Place::file();
    let clocks = doorward_model::time::Clocks {
        wall: std::sync::Arc::new({
            let now = place.now();
            move || now
        }),
        uptime: std::sync::Arc::new(|| Duration::ZERO),
    };
    let config = crate::fixture::config(None, Path::new(&folder));
    let sessions = Sessions::open(&config, Path::new(&folder), clocks).unwrap();
    let say = |word: &str, i: usize| {
        // One write for each line: a kill cannot tear it.
        std::io::stdout().write_all(format!("\n{word} {i}\n").as_bytes()).unwrap();
    };
    run(async {
        match work.as_str() {
            "write" => {
                for i in 0.. {
                    sessions.create(place.record(&user(&format!("u{i}")), "dws-1")).await.unwrap();
                    say("kept", i);
                }
            }
            _ => {
                for i in 0..CODES {
                    if sessions.take_once(OnceKind::Enter, &format!("c{i}")).await.unwrap().is_some() {
                        say("took", i);
                    }
                    if i == 0 {
                        say("begins", 0);
                    }
                }
                say("ends", 0);
            }
        }
    });
}

const CODES: usize = 500;

fn start(folder: &Path, work: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "file::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(WORK, work);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The numbers that it said after `word`, as far as lines are whole.
fn said(output: &str, word: &str) -> Vec<usize> {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
}

#[test]
fn a_process_that_is_killed_while_it_writes_loses_nothing_that_it_kept() {
    let mut kept = 0;
    for seed in 0..15_u64 {
        let place = Place::file();
        let mut child = start(place.dir.path(), "write");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        // In the middle of it, however slow the disk is: each time after another number.
        let heard = usize::try_from(seed).unwrap() + 1;
        while said(&output, "kept").len() < heard {
            assert!(out.read_line(&mut output).unwrap() > 0, "the child died: {output}");
        }
        std::thread::sleep(Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 100_000));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut output).unwrap();
        run(async {
            let sessions = place.open();
            for i in said(&output, "kept") {
                kept += 1;
                let found = sessions.get(&user(&format!("u{i}")), "dws-1").await;
                assert!(found.unwrap().is_some(), "seed {seed}: u{i}");
            }
            sessions.create(place.record(&user("alice"), "dws-1")).await.unwrap();
        });
        assert!(!aside(&place).exists(), "seed {seed}");
    }
    assert!(kept > 100, "too few to mean anything: {kept}");
}

#[test]
fn two_processes_share_it_and_each_thing_is_taken_once() {
    run(async {
        let place = Place::file();
        let sessions = place.open();
        for i in 0..CODES {
            sessions.put_once(OnceKind::Enter, &format!("c{i}"), vec![1], HOUR).await.unwrap();
        }
        // Each has one before the other can have taken all.
        let last = CODES - 1;
        assert!(sessions.take_once(OnceKind::Enter, &format!("c{last}")).await.unwrap().is_some());
        let mut child = start(place.dir.path(), "take");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        while !output.contains("begins") {
            assert!(out.read_line(&mut output).unwrap() > 0, "the child died: {output}");
        }
        let mut mine = vec![last];
        for i in (0..last).rev() {
            if sessions.take_once(OnceKind::Enter, &format!("c{i}")).await.unwrap().is_some() {
                mine.push(i);
            }
        }
        out.read_to_string(&mut output).unwrap();
        assert!(child.wait().unwrap().success(), "{output}");
        let theirs = said(&output, "took");
        assert!(!mine.is_empty() && !theirs.is_empty(), "{} and {}", mine.len(), theirs.len());
        let mut all: Vec<usize> = mine.into_iter().chain(theirs).collect();
        all.sort_unstable();
        assert_eq!(all, (0..CODES).collect::<Vec<_>>());
    });
}
