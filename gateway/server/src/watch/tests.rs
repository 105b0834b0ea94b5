use std::fs;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};

use super::*;

fn watched(paths: Vec<PathBuf>) -> (Watched, Receiver<()>) {
    let (told, changes) = channel();
    (Watched { name: "test", paths, changed: Box::new(move || told.send(()).unwrap()) }, changes)
}

fn comes(changes: &Receiver<()>) {
    changes.recv_timeout(Duration::from_secs(60)).expect("the change was not told");
}

fn stays_silent(changes: &Receiver<()>) {
    assert!(changes.recv_timeout(Duration::from_millis(700)).is_err(), "a change was told that was none");
}

/// How long this thread stood still at most between two writes, which a busy machine decides: files that
/// nobody wrote for so long may have looked as if they had come to rest.
struct Pauses {
    since: Stopwatch,
    longest: Duration,
}

impl Pauses {
    fn begin() -> Self {
        Self { since: Stopwatch::start(), longest: Duration::ZERO }
    }

    fn wrote(&mut self) {
        self.longest = self.longest.max(self.since.elapsed());
        self.since = Stopwatch::start();
    }

    /// Whether it was never long enough to be taken for a rest.
    fn were_short(&self) -> bool {
        self.longest.max(self.since.elapsed()) < SILENCE / 2
    }
}

#[test]
fn a_file_is_told_however_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policies");
    fs::write(&file, "1").unwrap();
    let (subject, changes) = watched(vec![file.clone()]);
    let watching = start(vec![subject]).unwrap();
    assert_eq!(*watching.mode(), Mode::Events);

    fs::write(dir.path().join("other"), "x").unwrap();
    fs::read(&file).unwrap();
    stays_silent(&changes);

    fs::write(&file, "22").unwrap(); // in place
    comes(&changes);

    let swap = dir.path().join(".policies.swp"); // as editors do
    fs::write(&swap, "333").unwrap();
    fs::rename(&swap, &file).unwrap();
    comes(&changes);

    fs::write(&file, "444").unwrap(); // again, on the new inode, with the same size
    comes(&changes);

    fs::remove_file(&file).unwrap();
    comes(&changes);
    fs::write(&file, "5").unwrap();
    comes(&changes);
    drop(watching);
}

#[test]
fn a_folder_is_told_of_files_and_folders_that_come_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let (subject, changes) = watched(vec![dir.path().to_owned()]);
    let _watching = start(vec![subject]).unwrap();

    fs::create_dir(dir.path().join("apps")).unwrap();
    comes(&changes);
    fs::write(dir.path().join("apps/payroll.cedar"), "permit").unwrap();
    comes(&changes);
    fs::write(dir.path().join("apps/payroll.cedar"), "forbid").unwrap();
    comes(&changes);
    fs::remove_dir_all(dir.path().join("apps")).unwrap();
    comes(&changes);
}

#[test]
fn a_config_map_that_swaps_its_link_is_told_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let version = |n: u32| {
        let name = format!("..2026_{n}");
        fs::create_dir(dir.path().join(&name)).unwrap();
        fs::write(dir.path().join(&name).join("tls.pem"), format!("certificate {n}")).unwrap();
        name
    };
    let point_to = |name: &str| {
        symlink(name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    point_to(&version(1));
    symlink("..data/tls.pem", dir.path().join("tls.pem")).unwrap();

    let (subject, changes) = watched(vec![dir.path().join("tls.pem")]);
    let _watching = start(vec![subject]).unwrap();
    for n in 2..5 {
        point_to(&version(n));
        comes(&changes);
        fs::remove_dir_all(dir.path().join(format!("..2026_{}", n - 1))).unwrap();
        stays_silent(&changes);
    }
}

#[test]
fn a_link_to_elsewhere_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    fs::create_dir_all(&here).unwrap();
    fs::create_dir_all(&there).unwrap();
    fs::write(there.join("geo.mmdb"), "1").unwrap();
    symlink(there.join("geo.mmdb"), here.join("geo.mmdb")).unwrap();
    let (subject, changes) = watched(vec![here.join("geo.mmdb")]);
    let _watching = start(vec![subject]).unwrap();
    fs::write(there.join("geo.mmdb"), "22").unwrap();
    comes(&changes);
}

#[test]
fn a_burst_is_told_once_and_only_to_whom_it_concerns() {
    let dir = tempfile::tempdir().unwrap();
    let (busy, quiet) = (dir.path().join("busy"), dir.path().join("quiet"));
    fs::write(&quiet, "").unwrap();
    let (first, changes) = watched(vec![busy.clone()]);
    let (second, none) = watched(vec![quiet]);
    let _watching = start(vec![first, second]).unwrap();
    let mut pauses = Pauses::begin();
    for n in 0..20 {
        fs::write(&busy, n.to_string()).unwrap();
        pauses.wrote();
        std::thread::sleep(Duration::from_millis(5));
    }
    let one_burst = pauses.were_short();
    comes(&changes);
    if one_burst {
        stays_silent(&changes);
    }
    stays_silent(&none);
}

/// A folder that is being written is not told before it is whole, however long that takes, with
/// events and without.
#[test]
fn a_folder_that_keeps_changing_is_told_when_it_rests() {
    let no_events = |_| Err(notify::Error::generic("no inotify instances left"));
    for events in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (subject, changes) = watched(vec![dir.path().to_owned()]);
        let every = Duration::from_millis(50);
        let _watching = if events {
            start_with(vec![subject], every, system_watcher).unwrap()
        } else {
            start_with(vec![subject], every, no_events).unwrap()
        };
        // Longer than a burst is waited for.
        let mut pauses = Pauses::begin();
        for n in 0..60 {
            fs::write(dir.path().join(format!("{n}.cedar")), "permit").unwrap();
            pauses.wrote();
            std::thread::sleep(Duration::from_millis(50));
            assert!(changes.try_recv().is_err() || !pauses.were_short(), "told after {n} files");
        }
        let one_burst = pauses.were_short();
        comes(&changes);
        if one_burst {
            stays_silent(&changes);
        }
    }
}

/// What happens beside a file holds up nothing for long.
#[test]
fn a_file_in_a_busy_folder_is_told_soon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tls.pem");
    fs::write(&file, "1").unwrap();
    let (subject, changes) = watched(vec![file.clone()]);
    let _watching = start(vec![subject]).unwrap();
    fs::write(&file, "22").unwrap();
    let told = (0..600).any(|n| {
        fs::write(dir.path().join("log"), n.to_string()).unwrap();
        changes.recv_timeout(Duration::from_millis(50)).is_ok()
    });
    assert!(told);
}

#[test]
fn without_events_files_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let (subject, changes) = watched(vec![file.clone()]);
    let no_events = |_| Err(notify::Error::generic("no inotify instances left"));
    let watching = start_with(vec![subject], Duration::from_millis(50), no_events).unwrap();
    assert_eq!(*watching.mode(), Mode::Polling { cause: "no inotify instances left".to_owned() });
    fs::write(&file, "1").unwrap();
    comes(&changes);
    stays_silent(&changes);
}

#[test]
fn a_panic_in_one_does_not_end_the_watch() {
    let dir = tempfile::tempdir().unwrap();
    let (bad, good) = (dir.path().join("bad"), dir.path().join("good"));
    let panics =
        Watched { name: "bad", paths: vec![bad.clone()], changed: Box::new(|| panic!("on purpose")) };
    let (fine, changes) = watched(vec![good.clone()]);
    let _watching = start(vec![panics, fine]).unwrap();
    fs::write(&bad, "1").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fs::write(&good, "1").unwrap();
    comes(&changes);
}
