//! A process that is killed while it unpacks, and a disk that is full.

use std::path::Path;
use std::time::Duration;

use doorward_tests::gateway::Signal;

use crate::disk::Disk;
use crate::made::{Live, NO_WIKI};

/// What lies in the folder of held bundles.
fn lying(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("data/policies/held")).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Killed at six moments of taking a bundle in: after each there is all of it or nothing, and what was in force is.
#[tokio::test]
async fn a_process_that_is_killed_while_it_unpacks_leaves_all_or_nothing() {
    let mut live = Live::start().await;
    let before = live.in_force().await;
    // Many files, so that there is a middle.
    let folder = live.desk.folder("many", NO_WIKI);
    for n in 0..400 {
        let text = NO_WIKI.replace("desk.no-wiki", &format!("desk.many-{n}"));
        std::fs::create_dir_all(folder.join(format!("apps/d{}", n % 20))).unwrap();
        std::fs::write(folder.join(format!("apps/d{}/m{n}.cedar", n % 20)), text).unwrap();
    }
    let (dir, out, key) = (folder.display().to_string(), live.desk.at("many.dwp"), live.desk.key());
    let words = ["policy", "bundle", "build", "--dir", &dir, "--out", &out, "--author", "d", "--key", &key];
    crate::made::doorward(&words).await;
    let packed = std::fs::read(&out).unwrap();
    let (mut whole, mut none) = (0, 0);
    for round in 0..6_u64 {
        let sent = async { live.try_send(&packed).await };
        let killed = async {
            tokio::time::sleep(Duration::from_millis(15 + 70 * round)).await;
            live.gateway.signal(Signal::SIGKILL);
        };
        let (answer, ()) = tokio::join!(sent, killed);
        let acknowledged = answer.is_some_and(|a| a.status == 200);
        live = Live { gateway: live.gateway.restart(Signal::SIGKILL).await, ..live };
        let listed = live.listed().await;
        let held = listed["bundles"].as_array().unwrap().clone();
        assert_eq!(listed["in_force"], before.as_str());
        let names = lying(live.gateway.folder());
        assert_eq!(names.len(), held.len(), "round {round}: {names:?}");
        assert!(names.iter().all(|name| !name.starts_with('.')), "round {round}: {names:?}");
        let is_held = held.iter().find(|b| b["origin"] == "uploaded");
        assert!(!acknowledged || is_held.is_some(), "round {round}: what was acknowledged is gone");
        if let Some(bundle) = is_held {
            whole += 1;
            // It is all there: it can be loaded and asked of.
            let revision = bundle["revision"].as_str().unwrap().to_owned();
            live.rollout(&["start", &revision, "--percent", "100"]).await;
            assert_eq!(live.status("bob", "wiki").await, 403);
            live.rollout(&["stop"]).await;
            live.rollout(&["forget", &revision]).await;
        } else {
            none += 1;
        }
    }
    println!("killed: {whole} times it was whole, {none} times there was nothing");
    // With no kill at all it is held, so a round that shows nothing was one that struck.
    assert_eq!(live.send(&packed).await.status, 200);
}

#[tokio::test]
async fn a_full_disk_refuses_the_bundle_and_changes_nothing() {
    let Some(disk) = Disk::mount(4) else { return };
    let live = Live::start().await;
    let policies = live.gateway.folder().join("data/policies");
    let copied = std::process::Command::new("cp").arg("-a").arg(policies.join(".")).arg(disk.path()).status();
    assert!(copied.unwrap().success());
    std::fs::rename(&policies, policies.with_extension("aside")).unwrap();
    std::os::unix::fs::symlink(disk.path(), &policies).unwrap();
    let before = live.listed().await;
    let bundle = live.desk.bundle("closed", NO_WIKI, 1).await;
    let packed = std::fs::read(&bundle).unwrap();
    disk.fill();
    let answer = live.send(&packed).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert!(answer.text.contains("No space left"), "{}", answer.text);
    assert_eq!(live.listed().await["bundles"], before["bundles"]);
    assert!(lying(live.gateway.folder()).iter().all(|name| !name.starts_with('.')));
    disk.empty();
    assert_eq!(live.send(&packed).await.status, 200);
    live.rollout(&["start", bundle.to_str().unwrap(), "--app", "payroll"]).await;

    // There is room for the bundle and none for the note of what is in force: then it is not.
    disk.fill();
    let (_, told) = live.no_rollout(&["finish"]).await;
    assert!(told.contains("cannot be noted"), "{told}");
    assert_eq!(live.status("bob", "wiki").await, 200);
    assert_eq!(live.listed().await["in_force"], before["in_force"]);
    disk.empty();
    live.rollout(&["finish"]).await;
    assert_eq!(live.status("bob", "wiki").await, 403);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_refuses_the_bundle_and_changes_nothing() {
    let live = Live::start().await;
    let before = live.listed().await;
    let bundle = live.desk.bundle("closed", NO_WIKI, 1).await;
    // The folder of held bundles is a file: nothing can be written there, not by root either.
    let held = live.gateway.folder().join("data/policies/held");
    std::fs::rename(&held, held.with_extension("aside")).unwrap();
    std::fs::write(&held, "").unwrap();
    let answer = live.send(&std::fs::read(&bundle).unwrap()).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert!(answer.text.contains("cannot be written"), "{}", answer.text);
    assert_eq!(live.status("bob", "wiki").await, 200);
    std::fs::remove_file(&held).unwrap();
    std::fs::rename(held.with_extension("aside"), &held).unwrap();
    assert_eq!(live.listed().await["bundles"], before["bundles"]);
    assert_eq!(live.send(&std::fs::read(&bundle).unwrap()).await.status, 200);
}
