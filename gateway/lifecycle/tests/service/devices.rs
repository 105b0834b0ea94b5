//! Devices are registered, blocked and removed by operators, and unbound when whoever has them leaves.

use std::time::Duration;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{DeviceAct, DeviceDone, Failed, NewDevice, Said};
use doorward_model::directory::{Device, PersonId, Posture};
use doorward_model::{Compliance, DeviceId, Target, Thumbprint, UnixMillis};

use crate::fixture::{House, Running, ann, asker, caep, okta, run};

const SAID: Said =
    Said { managed: true, compliance: Compliance::Compliant, counts_for: Duration::from_hours(1) };

fn id(n: u8) -> DeviceId {
    DeviceId::new(&format!("laptop-{n}")).unwrap()
}

fn new(n: u8, owner: Option<PersonId>) -> DeviceAct {
    DeviceAct::Add(Box::new(NewDevice {
        id: id(n),
        name: "a laptop".to_owned(),
        owner,
        platform: Some("MacOS".to_owned()),
        thumbprint: None,
        posture: Some(SAID),
    }))
}

async fn doing(running: &Running, act: DeviceAct, actor: &Actor) -> Result<DeviceDone, Failed> {
    running.service.on_device(act, asker(actor)).await
}

async fn known(running: &Running, n: u8) -> Option<Device> {
    running.service.device(&id(n)).await.unwrap().map(|(device, _)| device)
}

fn cut_off(running: &Running, n: u8) -> bool {
    running.revocations.lookup(&Target::Device(id(n))).is_some_and(|entry| entry.disabled)
}

#[test]
fn a_device_is_registered_blocked_let_in_again_and_removed() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        let before = house.events().len();
        let added = doing(&running, new(1, Some(alice)), &ann()).await.unwrap();
        assert!(added.changed && added.on_record && added.receipts.is_empty());
        assert_eq!(house.told(before), ["directory.change.intended (intended)", "device.lifecycle.create"]);
        let device = known(&running, 1).await.unwrap();
        let posture = device.posture.unwrap();
        assert_eq!((device.platform.as_deref(), posture.source.as_ref()), (Some("macos"), "ann"));
        assert_eq!(posture.expires_at, house.now().plus(Duration::from_hours(1)));
        assert_eq!(running.service.devices_of(alice), [id(1)]);
        let again = doing(&running, new(1, None), &ann()).await;
        assert!(matches!(again, Err(Failed::Refused { .. })), "{again:?}");

        // Anybody may block one; an operator lets it in again.
        let before = house.events().len();
        let blocked = doing(&running, DeviceAct::Block(id(1)), &caep()).await.unwrap();
        assert_eq!(blocked.receipts.len(), 1);
        assert!(cut_off(&running, 1) && known(&running, 1).await.unwrap().blocked.is_some());
        assert!(!house.told(before).iter().any(|code| code.contains("intended")), "a no does not wait");
        assert!(!doing(&running, DeviceAct::Block(id(1)), &ann()).await.unwrap().changed);
        let refused = doing(&running, DeviceAct::Unblock(id(1)), &caep()).await;
        assert!(matches!(refused, Err(Failed::Refused { .. })), "{refused:?}");
        doing(&running, DeviceAct::Unblock(id(1)), &ann()).await.unwrap();
        assert!(!cut_off(&running, 1));

        // One that is blocked stays cut off when it is removed, until it is registered anew.
        doing(&running, DeviceAct::Block(id(1)), &ann()).await.unwrap();
        doing(&running, DeviceAct::Remove(id(1)), &ann()).await.unwrap();
        assert!(known(&running, 1).await.is_none() && cut_off(&running, 1));
        doing(&running, new(1, None), &ann()).await.unwrap();
        assert!(!cut_off(&running, 1));
        running.close().await;
    });
}

/// What the directory cut off is let in again by registering it anew, and nothing else.
#[test]
fn what_somebody_else_cut_off_is_not_registered_until_they_let_it_in() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.cut_off(Target::Device(id(1))).await;
        let answer = doing(&running, new(1, None), &ann()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        assert!(cut_off(&running, 1) && known(&running, 1).await.is_none());
        // So it is where the directory did it first, and they did it, too.
        doing(&running, new(2, None), &ann()).await.unwrap();
        doing(&running, DeviceAct::Block(id(2)), &ann()).await.unwrap();
        running.cut_off(Target::Device(id(2))).await;
        doing(&running, DeviceAct::Remove(id(2)), &ann()).await.unwrap();
        let answer = doing(&running, new(2, None), &ann()).await;
        assert!(matches!(answer, Err(Failed::Refused { .. })), "{answer:?}");
        running.close().await;
    });
}

/// Whether anything good is said of a device.
fn counts(device: &Device) -> bool {
    device.posture.as_ref().is_some_and(|posture| {
        posture.managed
            || posture.compliance == Compliance::Compliant
            || posture.asserted_at < posture.expires_at
    })
}

#[test]
fn what_was_said_of_a_device_does_not_count_for_whoever_has_it_next() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let (alice, bob) = (running.hire(1, "alice").await, running.hire(2, "bob").await);
        doing(&running, new(1, Some(alice)), &ann()).await.unwrap();
        let report = |asserted_at: UnixMillis| {
            let (managed, compliance) = (true, Compliance::Compliant);
            let expires_at = asserted_at.plus(Duration::from_hours(12));
            let (source, reasons) = ("mdm".into(), Vec::new());
            let posture = Posture { managed, compliance, source, reasons, asserted_at, expires_at };
            DeviceAct::Report(id(1), Box::new(posture))
        };
        house.pass(60_000);
        let of_alices = report(house.now());
        assert!(doing(&running, of_alices.clone(), &caep()).await.unwrap().changed);
        house.pass(60_000);
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        doing(&running, DeviceAct::Assign(id(1), Some(bob)), &ann()).await.unwrap();
        assert!(!doing(&running, of_alices.clone(), &caep()).await.unwrap().changed, "it comes again");
        assert!(!counts(&known(&running, 1).await.unwrap()));
        house.pass(1000);
        assert!(doing(&running, report(house.now()), &caep()).await.unwrap().changed);
        assert!(counts(&known(&running, 1).await.unwrap()), "it is said of his");
        // Another device gets the id of one that is gone.
        doing(&running, DeviceAct::Remove(id(1)), &ann()).await.unwrap();
        house.pass(600_000);
        let bare = match new(1, Some(bob)) {
            DeviceAct::Add(device) => DeviceAct::Add(Box::new(NewDevice { posture: None, ..*device })),
            other => other,
        };
        doing(&running, bare, &ann()).await.unwrap();
        assert!(!doing(&running, of_alices, &caep()).await.unwrap().changed);
        // Its source knew of it first.
        let shortly_before = report(UnixMillis(house.now().0 - 60_000));
        assert!(doing(&running, shortly_before, &caep()).await.unwrap().changed);
        running.close().await;
    });
}

#[test]
fn what_was_said_before_a_device_changed_hands_does_not_count_when_it_comes_late() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let (alice, bob) = (running.hire(1, "alice").await, running.hire(2, "bob").await);
        for (n, through_nobody) in [(1, true), (2, false)] {
            let bare = match new(n, Some(alice)) {
                DeviceAct::Add(device) => DeviceAct::Add(Box::new(NewDevice { posture: None, ..*device })),
                other => other,
            };
            doing(&running, bare, &ann()).await.unwrap();
            let report = |asserted_at: UnixMillis| {
                let expires_at = asserted_at.plus(Duration::from_hours(12));
                let (compliance, source) = (Compliance::Compliant, "mdm".into());
                let posture = Posture {
                    managed: true,
                    compliance,
                    source,
                    reasons: Vec::new(),
                    asserted_at,
                    expires_at,
                };
                DeviceAct::Report(id(n), Box::new(posture))
            };
            house.pass(60_000);
            let of_alices = report(house.now());
            house.pass(60_000);
            if through_nobody {
                doing(&running, DeviceAct::Assign(id(n), None), &ann()).await.unwrap();
            }
            doing(&running, DeviceAct::Assign(id(n), Some(bob)), &ann()).await.unwrap();
            let late = doing(&running, of_alices, &caep()).await.unwrap();
            assert!(!late.changed && !counts(&late.device), "laptop-{n}: nothing was known when it left her");
            house.pass(1000);
            let of_his = doing(&running, report(house.now()), &caep()).await.unwrap();
            assert!(of_his.changed && counts(&of_his.device), "laptop-{n}: it is said of his");
        }
        running.close().await;
    });
}

#[test]
fn whoever_leaves_has_no_device_any_more_and_their_case_shows_it() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let (alice, bob) = (running.hire(1, "alice").await, running.hire(2, "bob").await);
        for n in [1, 2] {
            doing(&running, new(n, Some(alice)), &ann()).await.unwrap();
        }
        doing(&running, DeviceAct::Assign(id(2), Some(bob)), &ann()).await.unwrap();
        running.ask(alice, Command::ScimDeactivate, &okta()).await.unwrap();
        let left = known(&running, 1).await.unwrap();
        assert_eq!((left.owner, counts(&left)), (None, false), "it vouched for her alone");
        let handed = known(&running, 2).await.unwrap();
        assert_eq!(handed.owner, Some(bob), "it was somebody else's by then");
        assert!(!counts(&handed), "what was said was said of hers");
        doing(&running, DeviceAct::Say(id(2), SAID), &ann()).await.unwrap();
        doing(&running, DeviceAct::Assign(id(2), Some(bob)), &ann()).await.unwrap();
        assert!(counts(&known(&running, 2).await.unwrap()), "it is said of his");
        doing(&running, DeviceAct::Assign(id(2), None), &ann()).await.unwrap();
        assert!(!counts(&known(&running, 2).await.unwrap()));
        assert!(!doing(&running, DeviceAct::Assign(id(2), None), &ann()).await.unwrap().changed);
        let case = running.service.case(alice).await.unwrap().unwrap();
        assert!(case.unfinished().contains(&"device_unbound laptop-1".to_owned()), "{:?}", case.unfinished());
        let late = doing(&running, DeviceAct::Assign(id(1), Some(alice)), &ann()).await;
        assert!(matches!(late, Err(Failed::Refused { .. })), "{late:?}");
        running.ask(alice, Command::ScimActivate, &okta()).await.unwrap();
        assert_eq!(known(&running, 1).await.unwrap().owner, None, "nothing old comes back");
        running.close().await;
    });
}

#[test]
fn what_is_said_of_a_device_is_bounded() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        doing(&running, new(1, None), &ann()).await.unwrap();
        for hours in [0, 24 * 30 + 1] {
            let said = Said { counts_for: Duration::from_hours(hours), ..SAID };
            match doing(&running, DeviceAct::Say(id(1), said), &ann()).await {
                Err(Failed::Bad { field, .. }) => assert_eq!(field, "hours"),
                other => panic!("{hours}: {other:?}"),
            }
        }
        let said = Said { compliance: Compliance::NotCompliant, ..SAID };
        doing(&running, DeviceAct::Say(id(1), said), &ann()).await.unwrap();
        let posture = known(&running, 1).await.unwrap().posture.unwrap();
        assert_eq!(posture.compliance, Compliance::NotCompliant);
        let unknown = doing(&running, DeviceAct::Say(id(9), SAID), &ann()).await;
        assert!(matches!(unknown, Err(Failed::NotFound { what: "device", .. })), "{unknown:?}");
        running.close().await;
    });
}

#[test]
fn what_a_source_says_counts_while_nothing_newer_is_known_and_gives_nothing_else() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let alice = running.hire(1, "alice").await;
        doing(&running, new(1, Some(alice)), &ann()).await.unwrap();
        let at = house.now();
        let report = |seconds: u64, compliance| {
            let posture = Posture {
                managed: true,
                compliance,
                source: "mdm".into(),
                reasons: vec!["why".to_owned()],
                asserted_at: at.plus(Duration::from_secs(seconds)),
                expires_at: at.plus(Duration::from_secs(seconds + 600)),
            };
            DeviceAct::Report(id(1), Box::new(posture))
        };
        let says = async |act| {
            let done = doing(&running, act, &caep()).await.unwrap();
            let posture = done.device.posture.unwrap();
            (done.changed, posture.compliance, posture.source.to_string())
        };
        use Compliance::{Compliant, NotCompliant, Unknown};
        let mdm = || "mdm".to_owned();
        assert_eq!(
            says(report(10, NotCompliant)).await,
            (true, NotCompliant, mdm()),
            "newer than the operator"
        );
        assert_eq!(says(report(20, Compliant)).await, (true, Compliant, mdm()));
        assert_eq!(says(report(20, Compliant)).await, (false, Compliant, mdm()), "it comes again");
        assert_eq!(says(report(15, NotCompliant)).await, (false, Compliant, mdm()), "it is older");
        assert_eq!(says(report(20, Unknown)).await, (true, Unknown, mdm()), "of one second the worse counts");
        assert_eq!(says(report(20, NotCompliant)).await, (true, NotCompliant, mdm()));
        assert_eq!(says(report(20, Compliant)).await, (false, NotCompliant, mdm()));

        // A source says nothing but that.
        let said = doing(&running, DeviceAct::Say(id(1), SAID), &caep()).await;
        assert!(matches!(said, Err(Failed::Refused { .. })), "{said:?}");
        let assigned = doing(&running, DeviceAct::Assign(id(1), None), &caep()).await;
        assert!(matches!(assigned, Err(Failed::Refused { .. })), "{assigned:?}");
        let other = DeviceAct::Report(id(9), Box::new(known(&running, 1).await.unwrap().posture.unwrap()));
        assert!(matches!(doing(&running, other, &caep()).await, Err(Failed::NotFound { .. })));
        let of_others = doing(&running, report(30, Compliant), &okta()).await;
        assert!(matches!(of_others, Err(Failed::Refused { .. })), "{of_others:?}");
        running.close().await;
    });
}

#[test]
fn a_certificate_is_noted_for_one_device_and_free_when_it_is_taken_off() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let hash = |n: u8| Thumbprint::new([n; 32]);
        for n in [1, 2] {
            doing(&running, new(n, None), &ann()).await.unwrap();
        }
        let bound = doing(&running, DeviceAct::Bind(id(1), hash(1)), &ann()).await.unwrap();
        assert!(bound.changed && bound.device.certificates == [hash(1)]);
        assert!(!doing(&running, DeviceAct::Bind(id(1), hash(1)), &ann()).await.unwrap().changed);
        let taken = doing(&running, DeviceAct::Bind(id(2), hash(1)), &ann()).await;
        assert!(matches!(taken, Err(Failed::Taken { field: "thumbprint", .. })), "{taken:?}");
        for n in 2..=4 {
            doing(&running, DeviceAct::Bind(id(1), hash(n)), &ann()).await.unwrap();
        }
        let many = doing(&running, DeviceAct::Bind(id(1), hash(5)), &ann()).await;
        assert!(matches!(many, Err(Failed::TooMany { .. })), "{many:?}");
        doing(&running, DeviceAct::Unbind(id(1), hash(1)), &ann()).await.unwrap();
        assert!(!doing(&running, DeviceAct::Unbind(id(1), hash(1)), &ann()).await.unwrap().changed);
        doing(&running, DeviceAct::Bind(id(2), hash(1)), &ann()).await.unwrap();
        let refused = doing(&running, DeviceAct::Bind(id(2), hash(9)), &caep()).await;
        assert!(matches!(refused, Err(Failed::Refused { .. })), "{refused:?}");
        doing(&running, DeviceAct::Remove(id(2)), &ann()).await.unwrap();
        doing(&running, DeviceAct::Bind(id(1), hash(1)), &ann()).await.unwrap();
        running.close().await;
    });
}
