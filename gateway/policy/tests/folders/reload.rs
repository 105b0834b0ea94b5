//! Other policies take the place of those in force as a whole, or not at all.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward_model::UnixMillis;
use doorward_policy::Outcome;

use crate::support::{Ask, Folder, code, shipped};

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);";
const SHUT: &str = "@id(\"shut\") forbid (principal, action, resource);";

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Swapped { .. } => "swapped",
        Outcome::Unchanged => "unchanged",
        Outcome::Rejected(_) => "rejected",
    }
}

#[test]
fn a_good_folder_is_swapped_in_and_a_bad_one_leaves_the_old_in_force() {
    let folder = Folder::with(OPEN);
    let policies = folder.open().unwrap();
    let first = policies.bundle();
    let reload = || policies.reload(UnixMillis(7));
    let now = || code(&Ask::new().of(&policies.bundle()));
    assert_eq!((word(&reload()), now()), ("unchanged", "allow"));
    folder.write("README.md", "not a policy");
    assert_eq!(word(&reload()), "unchanged");

    folder.write("apps/test.cedar", SHUT);
    match reload() {
        Outcome::Swapped { from, to, .. } => {
            assert_eq!((from, to), (first.revision(), policies.bundle().revision()));
            assert_ne!(from, to);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(now(), "policy_forbids");
    assert_eq!(policies.bundle().loaded_at(), UnixMillis(7));
    // Whoever began with the first bundle ends with it.
    assert_eq!(code(&Ask::new().of(&first)), "allow");

    for bad in ["permit (", "@id(\"x\") permit (principal, action, resource) when { contex.a };"] {
        folder.write("apps/test.cedar", bad);
        assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
        // Still bad is not "unchanged".
        assert_eq!(word(&reload()), "rejected");
    }
    folder.write("apps/test.cedar", OPEN);
    folder.write(
        "cases/x.toml",
        "[[case]]\nname = \"n\"\nwho = \"visitor\"\ndoes = \"GET a/b\"\nexpect = \"deny\"",
    );
    assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
}

/// A guardrail file cut short at every 97th byte. A cut inside a policy, or before the first, is
/// refused. A cut between two policies leaves a file that nobody can tell from one that was meant:
/// it is put in force, and the reload names every policy that is gone.
#[test]
fn a_torn_file_is_refused_or_told() {
    let text = std::fs::read_to_string(shipped().join("guardrails/sign-in.cedar")).unwrap();
    let ids: Vec<&str> = text.split("@id(\"").skip(1).map(|p| p.split('"').next().unwrap()).collect();
    let ends: Vec<usize> = text.match_indices("};\n").map(|(at, _)| at + 2).collect();
    assert_eq!(ids.len(), ends.len());
    let folder = Folder::with(OPEN).put("guardrails/sign-in.cedar", &text);
    let policies = folder.open().unwrap();
    for cut in (0..text.len()).step_by(97).chain(ends.iter().copied()) {
        folder.write("guardrails/sign-in.cedar", &text[..cut]);
        let complete = ends.iter().filter(|end| **end <= cut).count();
        match policies.reload(UnixMillis(1)) {
            Outcome::Rejected(e) => {
                assert!(e.plain().contains("guardrails/sign-in.cedar:"), "{}", e.plain());
                assert_eq!(policies.bundle().policies(), 1 + ids.len());
            }
            Outcome::Swapped { lost_forbids, lost_permits, .. } => {
                let lost: Vec<&str> = lost_forbids.iter().map(|id| &**id).collect();
                let mut gone = ids[complete..].to_vec();
                gone.sort_unstable();
                assert_eq!((lost, lost_permits.len()), (gone, 0));
                assert!(complete > 0);
                folder.write("guardrails/sign-in.cedar", &text);
                assert_eq!(word(&policies.reload(UnixMillis(2))), "swapped");
            }
            Outcome::Unchanged => assert_eq!(complete, ids.len()),
        }
    }
}

#[test]
fn policies_that_are_gone_are_named() {
    let folder = Folder::with(&format!("{OPEN}\n{SHUT}\n{}", SHUT.replace("shut", "also")));
    let policies = folder.open().unwrap();
    // A name that stays and says the contrary is gone as well.
    let turned = OPEN.replace("open", "also");
    folder.write("apps/test.cedar", &turned);
    let Outcome::Swapped { lost_forbids, lost_permits, .. } = policies.reload(UnixMillis(1)) else {
        panic!("not swapped")
    };
    let names = |of: &[std::sync::Arc<str>]| of.join(" ");
    assert_eq!((names(&lost_forbids), names(&lost_permits)), ("also shut".into(), "open".into()));
}

#[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
fn now() -> Instant {
    Instant::now()
}

/// Somebody writes into a folder all the time.
#[derive(Default)]
struct Writer {
    writes: AtomicUsize,
    longest_pause_millis: AtomicU64,
    over: AtomicBool,
}

impl Writer {
    fn work(&self, folder: &Folder) {
        let mut last = now();
        while !self.over.load(Ordering::Relaxed) {
            let n = self.writes.load(Ordering::Relaxed) + 1;
            // In one step, so that no half of a file is read.
            folder.write(".next", format!("{SHUT} // {n}"));
            std::fs::rename(folder.path().join(".next"), folder.path().join("apps/test.cedar")).unwrap();
            let pause = u64::try_from(last.elapsed().as_millis()).unwrap();
            last = now();
            self.longest_pause_millis.fetch_max(pause, Ordering::Relaxed);
            self.writes.store(n, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_next(&self) {
        let seen = self.writes.load(Ordering::Relaxed);
        while self.writes.load(Ordering::Relaxed) == seen {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A folder that is written while it is read is not put in force.
#[test]
fn a_folder_that_keeps_changing_is_rejected() {
    let folder = Folder::with(OPEN);
    let policies = folder.open().unwrap();
    let writer = Writer::default();
    let (before, outcome) = std::thread::scope(|scope| {
        scope.spawn(|| writer.work(&folder));
        loop {
            writer.wait_for_next();
            writer.longest_pause_millis.store(0, Ordering::Relaxed);
            let before = policies.bundle().revision();
            let outcome = policies.reload(UnixMillis(1));
            writer.wait_for_next();
            // Where the machine let the writer stand still, the folder did come to rest.
            let stood_still = writer.longest_pause_millis.load(Ordering::Relaxed) >= 50;
            if matches!(outcome, Outcome::Rejected(_)) || !stood_still {
                writer.over.store(true, Ordering::Relaxed);
                break (before, outcome);
            }
        }
    });
    let Outcome::Rejected(failure) = outcome else { panic!("{outcome:?}") };
    assert!(failure.plain().starts_with("the folder changes while it is read"), "{}", failure.plain());
    assert_eq!(policies.bundle().revision(), before);
    assert_eq!(word(&policies.reload(UnixMillis(2))), "swapped");
}

/// Whoever lets go of a bundle last takes it apart: that is the thread that loads, not one that
/// answers requests.
#[test]
fn a_bundle_out_of_force_waits_for_its_last_request() {
    let folder = Folder::with(OPEN);
    let policies = folder.open().unwrap();
    let before = policies.bundle();
    let gone = std::sync::Arc::downgrade(&before);
    folder.write("apps/test.cedar", SHUT);
    std::thread::scope(|scope| {
        let policies = &policies;
        scope.spawn(move || {
            // A request that lasts until after the swap.
            while policies.bundle().revision() == before.revision() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert_eq!(code(&Ask::new().of(&before)), "allow");
        });
        assert_eq!(word(&policies.reload(UnixMillis(1))), "swapped");
        assert!(gone.upgrade().is_none(), "somebody still has to take it apart");
    });
}

/// A guardrails folder that leads nowhere is not a folder without guardrails.
#[test]
fn a_folder_that_cannot_be_read_is_refused() {
    let folder = Folder::with(OPEN).put("..one/guard.cedar", SHUT).put("..two/x.toml", "");
    std::os::unix::fs::symlink("..one", folder.path().join("guardrails")).unwrap();
    std::os::unix::fs::symlink("..two", folder.path().join("cases")).unwrap();
    let policies = folder.open().unwrap();
    let now = || code(&Ask::new().of(&policies.bundle()));
    assert_eq!(now(), "policy_forbids");
    for hidden in ["..one", "..two"] {
        std::fs::rename(folder.path().join(hidden), folder.path().join("..gone")).unwrap();
        assert_eq!((word(&policies.reload(UnixMillis(1))), now()), ("rejected", "policy_forbids"));
        std::fs::rename(folder.path().join("..gone"), folder.path().join(hidden)).unwrap();
    }
    assert_eq!((word(&policies.reload(UnixMillis(1))), now()), ("unchanged", "policy_forbids"));
}
