//! Held, in force, gone back from; and the folder beside it.

use doorward_tests::gateway::Signal;
use doorward_tests::wire::within;
use serde_json::{Value, json};

use crate::made::{Live, NO_BUILD, NO_WIKI};

#[tokio::test]
async fn a_bundle_is_in_force_until_the_folder_changes_and_one_command_goes_back() {
    let live = Live::start().await;
    let shipped = live.in_force().await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 200));
    let closed = live.desk.bundle("closed", NO_WIKI, 7).await;

    // Held is not in force.
    live.rollout(&["start", closed.to_str().unwrap(), "--app", "payroll"]).await;
    assert_eq!((live.status("bob", "wiki").await, live.in_force().await), (200, shipped.clone()));

    let told = live.rollout(&["finish", "--cause", "the wiki is closed"]).await;
    assert!(told.contains("is in force on this node") && told.contains("added desk.no-wiki"), "{told}");
    assert_eq!(live.status("bob", "wiki").await, 403);
    let now = live.in_force().await;
    let swaps = live.events("policy.swapped");
    let bundle = &swaps.last().unwrap()["unmapped"]["doorward"]["bundle"];
    assert_eq!((&bundle["in_force"], &bundle["previous"]), (&json!(now), &json!(shipped)));
    assert_eq!((&bundle["author"], &bundle["cause"]), (&json!("desk"), &json!("the wiki is closed")));
    assert_eq!(bundle["difference"]["added"], json!(["desk.no-wiki"]), "{bundle}");
    assert!(bundle["results"][0].as_str().unwrap().starts_with("check: held: "), "{bundle}");

    // Neither a restart nor a load of the folder, which is as it was, changes that.
    let live = Live { gateway: live.gateway.restart(Signal::SIGTERM).await, ..live };
    assert_eq!((live.status("bob", "wiki").await, live.in_force().await), (403, now.clone()));
    let answer = live.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert!(answer.text.contains("unchanged"), "{}", answer.text);
    let listed = live.listed().await;
    assert_eq!((&listed["speaks"], &listed["in_folder"]), (&json!("bundle"), &json!(shipped)), "{listed}");
    let shown: Value =
        serde_json::from_str(&live.gateway.api("GET", "/api/v1/policies", None).await.text).unwrap();
    assert_eq!((&shown["revision"], &shown["in_folder"]), (&json!(now), &json!(shipped)), "{shown}");

    // What somebody writes into the folder after that counts: the last change wins.
    std::fs::write(live.policies.join("apps/.desk"), NO_BUILD).unwrap();
    std::fs::rename(live.policies.join("apps/.desk"), live.policies.join("apps/desk.cedar")).unwrap();
    live.comes_to("bob", "build", 403).await;
    assert_eq!(live.status("bob", "wiki").await, 200);
    assert_eq!(live.listed().await["speaks"], "folder");

    // One command back: to the bundle, and by name to what was shipped, of which a copy was kept.
    let told = live.rollout(&["back"]).await;
    assert!(told.contains("is in force on this node"), "{told}");
    assert_eq!((live.status("bob", "wiki").await, live.in_force().await), (403, now.clone()));
    live.rollout(&["back", &shipped[..12]]).await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 200));
    assert_eq!(live.in_force().await, shipped);
    let history = live.listed().await["history"].as_array().unwrap().clone();
    let how: Vec<_> = history.iter().map(|turn| turn["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["back", "back", "folder", "rolled_out", "folder"], "{history:?}");
    let told = live.rollout(&["status"]).await;
    assert!(told.contains("from a bundle (this node)") && told.contains("WAS PUT IN FORCE"), "{told}");
}

#[tokio::test]
async fn what_is_not_signed_or_altered_or_not_fit_is_not_held() {
    let live = Live::start().await;
    let before = live.listed().await;
    let good = std::fs::read(live.desk.bundle("good", NO_WIKI, 1).await).unwrap();
    let refused = |answer: &doorward_tests::gateway::Answer| {
        let said: Value = serde_json::from_str(&answer.text).unwrap();
        (
            answer.status,
            said["code"].as_str().unwrap().to_owned(),
            said["detail"].as_str().unwrap().to_owned(),
        )
    };

    // Nobody signed it.
    let folder = live.desk.folder("bare", NO_WIKI);
    let (dir, out) = (folder.display().to_string(), live.desk.at("bare.dwp"));
    let words = ["policy", "bundle", "build", "--dir", &dir, "--out", &out, "--author", "desk"];
    crate::made::doorward(&words).await;
    let answer = live.send(&std::fs::read(&out).unwrap()).await;
    let told = (422, "bundle_refused".to_owned(), "nobody signed this bundle".to_owned());
    assert_eq!(refused(&answer), told);

    // Somebody else signed it.
    let stranger = live.desk.at("stranger");
    crate::made::doorward(&["policy", "bundle", "keygen", &stranger]).await;
    crate::made::doorward(&["policy", "bundle", "sign", &out, "--key", &format!("{stranger}.key.pem")]).await;
    let (status, code, detail) = refused(&live.send(&std::fs::read(&out).unwrap()).await);
    assert_eq!((status, code.as_str()), (422, "bundle_refused"));
    assert!(detail.contains("keys that are not known here"), "{detail}");

    // A byte is another one, wherever it is: some of each part of the file.
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let (status, code, detail) = refused(&live.send(&bad).await);
        assert_eq!((status, code.as_str()), (422, "bundle_refused"), "byte {at}: {detail}");
    }
    let (status, code, _) = refused(&live.send(b"no bundle at all").await);
    assert_eq!((status, code.as_str()), (422, "bundle_refused"));

    // It is well signed, and its policies are not fit: for this gateway, which has no such app.
    let unfit = NO_WIKI.replace("\"wiki\"", "\"wikki\"");
    let bundle = live.desk.bundle("unfit", &unfit, 2).await;
    let answer = live.send(&std::fs::read(bundle).unwrap()).await;
    let (status, code, _) = refused(&answer);
    assert_eq!((status, code.as_str()), (422, "policies_rejected"));
    assert!(answer.text.contains("did you mean `wiki`?"), "{}", answer.text);
    let (_, told) = live.no_rollout(&["start", &live.desk.at("unfit.dwp"), "--percent", "100"]).await;
    assert!(told.contains("1 mistake;") && told.contains("apps/desk.cedar:"), "{told}");

    // Each is on record, with who sent it and what is wrong with it.
    let refusals = live.events("policy.rejected");
    let mistakes = |n: usize| refusals[n]["unmapped"]["doorward"]["bundle"]["mistakes"].to_string();
    assert!(refusals.len() > 43, "{}", refusals.len());
    assert!(mistakes(0).contains("nobody signed this bundle"), "{}", refusals[0]);
    assert!(mistakes(refusals.len() - 1).contains("apps/desk.cedar:"), "{}", mistakes(refusals.len() - 1));
    assert_eq!(refusals[0]["actor"]["user"]["name"], "operator", "{}", refusals[0]["actor"]);

    let after = live.listed().await;
    assert_eq!(after["bundles"], before["bundles"], "nothing is held that was refused");
    let held = live.gateway.folder().join("data/policies/held");
    assert_eq!(std::fs::read_dir(held).unwrap().count(), before["bundles"].as_array().unwrap().len());

    // The good one is, and is forgotten on demand; what is in force is not.
    assert_eq!(live.send(&good).await.status, 200);
    let revision = live.listed().await["bundles"][0]["revision"].as_str().unwrap().to_owned();
    let delete = async |revision: &str| {
        live.gateway.api("DELETE", &format!("/api/v1/policies/bundles/{revision}"), None).await.status
    };
    assert_eq!(delete(&revision).await, 200);
    assert_eq!(delete(&revision).await, 404);
    assert_eq!(delete(&live.in_force().await).await, 409);
    assert_eq!(delete("../../x").await, 404);
    assert_eq!(delete("ABC").await, 400);
}

#[tokio::test]
async fn what_stands_against_a_bundle_keeps_it_out_unless_somebody_answers_for_it() {
    let live = Live::start().await;
    let folder = live.desk.folder("hole", NO_WIKI);
    let result = live.desk.proof(&folder, 1, &["payroll-needs-mfa"]).await;
    let (dir, out) = (folder.display().to_string(), live.desk.at("hole.dwp"));
    let (author, key) = (["--author", "desk"], live.desk.key());
    let words =
        ["policy", "bundle", "build", "--dir", &dir, "--out", &out, "--result", &result, "--key", &key];
    crate::made::doorward(&[&words[..], &author].concat()).await;
    let (code, told) = live.no_rollout(&["start", &out, "--percent", "100"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("prove: payroll-needs-mfa") && told.contains("somebody answers"), "{told}");
    assert_eq!(live.status("bob", "wiki").await, 200);
    // It is held by now. The way back, which asks for nothing, is none to what was never in force.
    let revision = live.listed().await["bundles"][0]["revision"].as_str().unwrap().to_owned();
    let (code, told) = live.no_rollout(&["back", &revision]).await;
    assert!(code == Some(1) && told.contains("was never in force here"), "{told}");
    assert_eq!(live.status("bob", "wiki").await, 200);
    let (code, _) = live.no_rollout(&["start", &out, "--percent", "100", "--override"]).await;
    assert_eq!(code, Some(2), "an override without a cause");

    let everybody = ["start", &out, "--percent", "100", "--override", "--cause", "the solver is away"];
    live.rollout(&everybody).await;
    live.comes_to("bob", "wiki", 403).await;
    let debts: Value =
        serde_json::from_str(&live.gateway.api("GET", "/api/v1/debts?open=true", None).await.text).unwrap();
    let debt = &debts["debts"][0];
    assert_eq!(debt["kind"], "unproven_policies", "{debts}");
    assert!(debt["about"].as_str().unwrap().contains("payroll-needs-mfa"), "{debt}");
    assert!(debt["cause"].as_str().unwrap().contains("the solver is away"), "{debt}");
    within("the debt in the log", async {
        while live.events("control_debt.opened").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    // Who finishes it has been answered for.
    live.rollout(&["finish"]).await;
    assert_eq!(live.status("bob", "wiki").await, 403);
}

/// Whoever breaks a red line can take it along, and then everything is proved.
#[tokio::test]
async fn a_red_line_in_force_goes_by_somebodys_word_only() {
    let live = Live::start().await;
    let shipped = live.in_force().await;
    let softer = live.desk.packed(&live.desk.softer("softer", NO_WIKI), 3, &[]).await;
    let softer = softer.to_str().unwrap();
    let (code, told) = live.no_rollout(&["start", softer, "--percent", "1"]).await;
    assert_eq!(code, Some(1), "{told}");
    for line in [
        "`line.active-people` is not there any more",
        "`line.payroll-admin` need not be known to hold any more",
    ] {
        assert!(told.contains(&format!("of the red lines in force {line}")), "{line}: {told}");
    }
    assert!(!told.contains("line.sanctioned"), "who owns a line and its title is no part of it: {told}");

    let everybody = ["start", softer, "--percent", "100", "--override", "--cause", "drawn anew"];
    let told = live.rollout(&everybody).await;
    assert!(told.contains("cases: ") && told.contains(" went, 0 came"), "{told}");
    let debts: Value =
        serde_json::from_str(&live.gateway.api("GET", "/api/v1/debts?open=true", None).await.text).unwrap();
    assert!(debts["debts"][0]["about"].as_str().unwrap().contains("line.active-people"), "{debts}");
    // It has been answered for, and its cases are on record.
    live.rollout(&["finish"]).await;
    let swapped = live.events("policy.swapped").pop().unwrap();
    let results = swapped["unmapped"]["doorward"]["bundle"]["results"].to_string();
    assert!(results.contains("cases: ") && results.contains("HR does not reach builds"), "{results}");
    // The way back is free, in both directions.
    live.rollout(&["back"]).await;
    assert_eq!(live.in_force().await, shipped);
    let held = live.listed().await["bundles"].as_array().unwrap().clone();
    let soft =
        held.iter().find(|b| b["origin"] == "uploaded").unwrap()["revision"].as_str().unwrap().to_owned();
    live.rollout(&["back", &soft]).await;
    assert_eq!(live.in_force().await, soft);
}

#[tokio::test]
async fn who_made_what_is_held_is_not_written_over() {
    let live = Live::start().await;
    let first = live.desk.bundle("closed", NO_WIKI, 7).await;
    assert_eq!(live.send(&std::fs::read(first).unwrap()).await.status, 200);
    let held = live.listed().await["bundles"][0].clone();
    let again = async |sequence: &str| {
        let (dir, out, key) = (live.desk.at("closed"), live.desk.at("again.dwp"), live.desk.key());
        let words = ["--author", "somebody else", "--sequence", sequence, "--key", &key, "--replace"];
        let build = ["policy", "bundle", "build", "--dir", &dir, "--out", &out];
        crate::made::doorward(&[&build[..], &words].concat()).await;
        assert_eq!(live.send(&std::fs::read(&out).unwrap()).await.status, 200);
        live.listed().await["bundles"][0].clone()
    };
    // The same policies with another story, which is not a later one.
    assert_eq!(again("7").await, held);
    assert_eq!(again("3").await, held);
    let later = again("8").await;
    assert_eq!((&later["author"], &later["sequence"]), (&json!("somebody else"), &json!(8)));
    // A file that is signed is not written over with one that is not.
    let (dir, out) = (live.desk.at("closed"), live.desk.at("again.dwp"));
    let unsigned =
        ["policy", "bundle", "build", "--dir", &dir, "--out", &out, "--author", "desk", "--replace"];
    let unsigned = unsigned.map(std::ffi::OsStr::new);
    let ran = doorward_tests::gateway::command(&unsigned).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("this would not be"), "{}", ran.stderr);
}

/// The same policies come as two bundles, in either order: what blocks by one of them goes on standing.
#[tokio::test]
async fn what_blocks_by_one_of_two_bundles_of_the_same_policies_goes_on_standing() {
    let live = Live::start().await;
    for (name, more, broken_first) in [("one", NO_WIKI, false), ("two", NO_BUILD, true)] {
        let folder = live.desk.folder(name, more);
        let proof = live.desk.proof(&folder, 1, &["line.active-people"]).await;
        // The second is the later one, too, and well signed.
        let mut bundles = Vec::new();
        for (sequence, is_broken) in [(5, broken_first), (6, !broken_first)] {
            let results = if is_broken { vec!["--result", proof.as_str()] } else { vec![] };
            let packed = live.desk.packed(&folder, sequence, &results).await;
            bundles.push(std::fs::read(&packed).unwrap());
            std::fs::rename(&packed, live.desk.at(&format!("{name}-{sequence}.dwp"))).unwrap();
        }
        for bundle in &bundles {
            assert_eq!(live.send(bundle).await.status, 200, "{name}");
        }
        for sequence in [6, 5] {
            let bundle = live.desk.at(&format!("{name}-{sequence}.dwp"));
            let (code, told) = live.no_rollout(&["start", &bundle, "--percent", "1"]).await;
            assert!(code == Some(1) && told.contains("prove: line.active-people"), "{name}: {told}");
        }
    }
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 200));
}
