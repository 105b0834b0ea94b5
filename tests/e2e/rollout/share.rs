//! Some of the people first: always the same ones, and at some apps.

use std::collections::BTreeSet;

use doorward_tests::company::bearer;
use doorward_tests::gateway::Signal;
use doorward_tests::h1::H1;
use serde_json::json;

use crate::made::{Live, NO_BUILD, NO_WIKI};

const PEOPLE: u32 = 120;

/// Who is kept out at the build server, of all these people; each asks twice.
async fn kept_out(live: &Live) -> BTreeSet<u32> {
    let mut client = H1::connect(live.gateway.address()).await;
    let mut out = BTreeSet::new();
    for n in 0..PEOPLE {
        let token = bearer(&live.issuer.token_of(&format!("p{n}")));
        let mut seen = BTreeSet::new();
        for _ in 0..2 {
            let answer = client.ask("GET", "build.test", "/", &[("authorization", &token)]).await;
            seen.insert(answer.status());
        }
        assert!(seen == BTreeSet::from([200]) || seen == BTreeSet::from([403]), "p{n}: {seen:?}");
        if seen.contains(&403) {
            out.insert(n);
        }
    }
    out
}

#[tokio::test]
async fn a_share_of_the_people_is_asked_of_it_and_always_the_same_ones() {
    let live = Live::start().await;
    let before = live.in_force().await;
    let bundle = live.desk.bundle("closed", NO_BUILD, 1).await;
    let told = live.rollout(&["start", bundle.to_str().unwrap(), "--percent", "25"]).await;
    assert!(told.contains("25% of people at all apps"), "{told}");
    let quarter = kept_out(&live).await;
    // 30 of 120, give or take five standard deviations: whom the key of this roll-out draws is not known before.
    assert!((6..=54).contains(&quarter.len()), "{} of {PEOPLE}", quarter.len());
    assert_eq!(kept_out(&live).await, quarter);

    // Which policies decided is in every event; how many were asked is counted.
    let staged = live.listed().await["rollout"]["revision"].as_str().unwrap().to_owned();
    let revisions: BTreeSet<String> = live
        .events("access.request.denied")
        .iter()
        .map(|e| e["unmapped"]["doorward"]["decision"]["policy_set"]["revision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(revisions, BTreeSet::from([staged.clone()]));
    let rollout = live.listed().await["rollout"].clone();
    let asked = u64::try_from(quarter.len()).unwrap() * 4;
    assert_eq!(rollout["decisions"], json!({"staged": asked, "in_force": u64::from(PEOPLE) * 4 - asked}));
    let metrics = live.gateway.metrics().await;
    let percent = format!("doorward_policy_rollout_share{{revision=\"{staged}\"}}");
    assert_eq!(metrics.get(&percent), Some(&2500.0), "{percent}");

    // After a restart they are the same ones.
    let live = Live { gateway: live.gateway.restart(Signal::SIGKILL).await, ..live };
    assert_eq!(kept_out(&live).await, quarter);
    assert_eq!(live.in_force().await, before);

    live.rollout(&["advance", "--percent", "60"]).await;
    let more = kept_out(&live).await;
    assert!(quarter.is_subset(&more) && more.len() > quarter.len() && more.len() < 120, "{more:?}");
    let told = live.rollout(&["stop"]).await;
    assert!(told.contains("asked of nobody any more"), "{told}");
    assert_eq!(kept_out(&live).await, BTreeSet::new());
    let steps: Vec<_> = live
        .events("policy.staged")
        .iter()
        .map(|e| e["unmapped"]["doorward"]["bundle"]["share"]["step"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps, ["started", "advanced", "stopped"]);
}

#[tokio::test]
async fn one_app_first() {
    let live = Live::start().await;
    let both = format!("{NO_BUILD}{}", crate::made::NO_WIKI);
    let bundle = live.desk.bundle("closed", &both, 1).await;
    let (code, told) = live.no_rollout(&["start", bundle.to_str().unwrap(), "--app", "nope"]).await;
    assert!(code == Some(1) && told.contains("there is no app `nope`"), "{told}");
    assert_eq!(live.listed().await["rollout"], json!(null));
    live.rollout(&["start", bundle.to_str().unwrap(), "--app", "wiki"]).await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (403, 200));
    let (code, told) = live.no_rollout(&["advance", "--app", "no such app"]).await;
    assert!(code == Some(1) && told.contains("apps"), "{told}");
    let (code, told) = live.no_rollout(&["advance"]).await;
    assert!(code == Some(2) && told.contains("it is not said who is to be asked"), "{told}");
    live.rollout(&["advance", "--all-apps"]).await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (403, 403));
    live.rollout(&["stop"]).await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 200));
    let (_, told) = live.no_rollout(&["finish"]).await;
    assert!(told.contains("nothing is being rolled out"), "{told}");
}

/// The steps of roll-outs, by the log.
fn steps(live: &Live) -> Vec<String> {
    let step = |e: &serde_json::Value| e["unmapped"]["doorward"]["bundle"]["share"]["step"].clone();
    live.events("policy.staged").iter().map(|e| step(e).as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whatever_comes_into_force_is_for_everybody_and_one_command_back_ends_a_roll_out() {
    let live = Live::start().await;
    let before = live.in_force().await;
    let closed = live.desk.bundle("closed", NO_WIKI, 1).await;
    let closed = closed.to_str().unwrap();
    live.rollout(&["start", closed, "--percent", "100"]).await;
    assert_eq!(live.status("bob", "wiki").await, 403);
    // Whoever is in a hurry types this, and it is over.
    let told = live.rollout(&["back", "--cause", "nobody reads the wiki"]).await;
    assert!(told.contains("is asked of nobody any more"), "{told}");
    assert_eq!((live.status("bob", "wiki").await, live.in_force().await), (200, before));

    // A mend in the folder reaches those who are asked of what is rolled out.
    live.rollout(&["start", closed, "--percent", "100"]).await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (403, 200));
    std::fs::write(live.policies.join("apps/.desk"), NO_BUILD).unwrap();
    std::fs::rename(live.policies.join("apps/.desk"), live.policies.join("apps/desk.cedar")).unwrap();
    live.comes_to("bob", "build", 403).await;
    assert_eq!(live.status("bob", "wiki").await, 200);
    doorward_tests::wire::within("the end of the roll-out in the log", async {
        while steps(&live).len() < 4 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(steps(&live), ["started", "stopped", "started", "stopped"]);
    let over = live.events("policy.staged").pop().unwrap();
    let cause = &over["unmapped"]["doorward"]["bundle"]["cause"];
    assert_eq!(cause, "other policies came into force", "{over}");
    assert_eq!(live.listed().await["rollout"], json!(null));
    // Nobody finishes it any more.
    let (_, told) = live.no_rollout(&["finish"]).await;
    assert!(told.contains("nothing is being rolled out"), "{told}");

    // To promote what is rolled out ends that, too, and it is said.
    live.rollout(&["start", closed, "--app", "wiki"]).await;
    let shadow = live.gateway.command(&["policy", "shadow", "start", closed]).await;
    assert_eq!(shadow.code, Some(0), "{}", shadow.stderr);
    // Whoever says which one they mean gets no other one.
    let meant = live.gateway.command(&["policy", "shadow", "promote", &live.in_force().await]).await;
    assert!(meant.code == Some(1) && meant.stderr.contains("is under way by now"), "{meant:?}");
    let words = ["policy", "shadow", "promote", "--override", "--cause", "now"];
    let promoted = live.gateway.command(&words).await;
    assert!(promoted.code == Some(0) && promoted.stdout.contains("its roll-out is over"), "{promoted:?}");
    assert_eq!(live.listed().await["rollout"], json!(null));
}
