//! A process that dies in the middle of leavings and group changes: nothing acknowledged is lost, and
//! nothing is half there.
//!
//! This test program starts itself again and does the work of [`child`]. `DOORWARD_KILL_SEEDS` asks for
//! more seeds.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Delta, GroupChange, Known, MachineAct, NewMachine, Whom};
use doorward_model::UnixMillis;
use doorward_model::directory::{MachineId, MachineKind, MachineState, PersonId, StateKind};
use doorward_state::directory::form::Member;

use crate::fixture::{House, Running, ann, asker, events, group, link, okta, person, profile, run};

const FOLDER: &str = "DOORWARD_TEST_CHILD_FOLDER";
/// Each of them leaves and returns, over and over.
const PEOPLE: u128 = 6;
/// All of these are in the group, or none.
const MEMBERS: std::ops::Range<u128> = 100..160;

fn robot(n: u128) -> MachineId {
    MachineId::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0000 + n)
}

fn members() -> BTreeSet<Member> {
    MEMBERS.map(|n| Member::Person(person(n))).collect()
}

async fn settled(running: &Running, house: &House) {
    for n in (0..PEOPLE).chain(MEMBERS) {
        running.hire(n, &format!("p{n}")).await;
    }
    for n in 0..PEOPLE {
        let new = NewMachine {
            id: robot(n),
            user: link(&format!("robot-{n}")),
            kind: MachineKind::Agent,
            name: "robot".to_owned(),
            purpose: "to help".to_owned(),
            owner: person(n),
            scopes: BTreeSet::new(),
            expires_at: UnixMillis(house.now().0 + 1_000_000_000),
        };
        running.service.on_machine(MachineAct::Register(Box::new(new)), asker(&ann())).await.unwrap();
    }
    let make = GroupChange {
        id: group(1),
        known: Known::New,
        display_name: Some("All".into()),
        members: Delta::default(),
    };
    running.service.change_group(make, asker(&okta()), Vec::new()).await.unwrap();
}

fn say(line: &str) {
    // One write for each line: a kill cannot tear it from the acknowledgment.
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Not a test of its own: changes lives for ever and prints what was acknowledged, when told where.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    run(async {
        let house = House::new();
        house.ids.store(1_000_000, std::sync::atomic::Ordering::SeqCst);
        let ids = std::sync::Arc::new(uuid::Uuid::new_v4);
        let running = Running::open(Path::new(&folder), house.clock(), ids, house.guard.clone()).await;
        let mut tasks = Vec::new();
        for n in 0..PEOPLE {
            let service = running.service.clone();
            tasks.push(tokio::spawn(async move {
                for i in 0_u64.. {
                    let whom = || Whom::Person(person(n));
                    say(&format!("begins out {n} {i}"));
                    service.ask(whom(), Command::ScimDeactivate, asker(&okta())).await.unwrap();
                    say(&format!("saved out {n} {i}"));
                    say(&format!("begins in {n} {i}"));
                    service.ask(whom(), Command::ScimActivate, asker(&okta())).await.unwrap();
                    service.on_machine(MachineAct::Start(robot(n)), asker(&ann())).await.unwrap();
                    say(&format!("saved in {n} {i}"));
                }
            }));
        }
        let service = running.service.clone();
        tasks.push(tokio::spawn(async move {
            for i in 0_u64.. {
                for (word, members) in [
                    ("full", Delta { add: members(), ..Delta::default() }),
                    ("empty", Delta { cleared: true, ..Delta::default() }),
                ] {
                    let change =
                        GroupChange { id: group(1), known: Known::There, display_name: None, members };
                    say(&format!("begins {word} 0 {i}"));
                    service.change_group(change, asker(&okta()), Vec::new()).await.unwrap();
                    say(&format!("saved {word} 0 {i}"));
                }
            }
        }));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn start(folder: &Path) -> Child {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What of one line of work was acknowledged last, and whether more was begun: `(last, in doubt)`.
fn last(output: &str, words: [&str; 2], n: u128) -> (Option<usize>, bool) {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    let mut known = (None, false);
    for line in whole.lines() {
        let line = line.rsplit("... ").next().unwrap_or(line);
        let mut said = line.split(' ');
        let (step, word, of) = (said.next(), said.next(), said.next().and_then(|of| of.parse().ok()));
        let Some(which) = words.iter().position(|known| Some(*known) == word) else { continue };
        if of != Some(n) {
            continue;
        }
        match step {
            Some("saved") => known = (Some(which), false),
            Some("begins") => known.1 = true,
            _ => {}
        }
    }
    known
}

async fn check_person(running: &Running, output: &str, n: u128) -> bool {
    let id: PersonId = person(n);
    let known = running.known(id).await.unwrap();
    let out = known.state.kind() == StateKind::Deactivated;
    let (saved, in_doubt) = last(output, ["out", "in"], n);
    if let (Some(saved), false) = (saved, in_doubt) {
        assert_eq!(out, saved == 0, "p{n} was acknowledged as {saved}: {known:?}");
    }
    // Whether it was acknowledged or not: all of it is there, or nothing.
    assert_eq!(running.disabled(&format!("p{n}")), out, "{known:?}");
    let case = running.service.case(id).await.unwrap();
    assert_eq!(case.is_some(), out, "{known:?}");
    let (machine, _) = running.service.machine(robot(n)).await.unwrap().unwrap();
    let works = machine.state == MachineState::Active;
    assert!(!(works && out), "a machine works without its owner");
    assert_eq!(running.disabled(&format!("robot-{n}")), !works);
    saved.is_some()
}

#[test]
fn nothing_is_lost_or_half_there_after_a_kill() {
    let seeds: u64 = std::env::var("DOORWARD_KILL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let mut acknowledged = 0;
    for seed in 0..seeds {
        let house = House::new();
        run(async {
            let running = house.open().await;
            settled(&running, &house).await;
            running.close().await;
        });
        let mut child = start(house.dir.path());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut output = String::new();
        // From the first acknowledgment on, die within 300 ms.
        while !output.contains("saved") && out.read_line(&mut output).unwrap() > 0 {}
        std::thread::sleep(Duration::from_micros(seed.wrapping_mul(2_654_435_761) % 300_000));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut output).unwrap();
        assert!(output.contains("saved"), "seed {seed}: {output}");

        run(async {
            let running = house.open().await;
            for n in 0..PEOPLE {
                acknowledged += usize::from(check_person(&running, &output, n).await);
            }
            let found = running.service.members(group(1));
            assert!(found.is_empty() || found == members(), "seed {seed}: {} members", found.len());
            let (saved, in_doubt) = last(&output, ["full", "empty"], 0);
            if let (Some(saved), false) = (saved, in_doubt) {
                assert_eq!(found.is_empty(), saved == 1, "seed {seed}");
            }
            // What was acknowledged is on record.
            let told = events(house.dir.path());
            let told = |code: &str| told.iter().filter(|e| e["metadata"]["event_code"] == code).count();
            assert!(told("user.lifecycle.deactivate") >= output.matches("saved out").count(), "seed {seed}");
            assert!(told("user.lifecycle.reactivate") >= output.matches("saved in").count(), "seed {seed}");
            // And it goes on from there.
            running.service.ask(Whom::New, new_one(), asker(&okta())).await.unwrap();
            running.close().await;
        });
    }
    println!("{acknowledged} lines of work had an acknowledgment, none was lost");
    assert!(acknowledged > 0, "nothing was acknowledged, so nothing is shown");
}

fn new_one() -> Command {
    let links = BTreeSet::from([link("new")]);
    Command::ScimCreate { id: person(999), profile: profile("new").into(), active: true, links }
}
