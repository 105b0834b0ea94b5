//! People by an operator's hand.

use std::collections::BTreeSet;

use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Asker, Whom};
use doorward_model::directory::{ConnectionId, Email, PersonId, Profile};
use doorward_model::{EntryKind, Target};
use serde_json::{Value, json};

use crate::fixture::{Gateway, run};

/// Somebody whom the source `okta` makes known, who signs in as `corp:<name>`.
pub(crate) async fn hire(gateway: &Gateway, n: u128, name: &str) -> PersonId {
    let id = PersonId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + n);
    let mut profile = Profile::named(name.to_owned());
    profile.emails = vec![Email { address: format!("{name}@corp.example"), verified: true, primary: true }];
    let command = Command::ScimCreate {
        id,
        profile: Box::new(profile),
        active: true,
        links: BTreeSet::from([format!("corp:{name}").parse().unwrap()]),
    };
    let asker = Asker {
        actor: Actor::Source(ConnectionId::new("okta").unwrap()),
        asserted_at: None,
        cause: "hired".into(),
        request_id: "scim-1".into(),
        if_version: None,
    };
    gateway.lives.ask(Whom::New, command, asker).await.unwrap();
    id
}

fn is_off(gateway: &Gateway, user: &str) -> bool {
    let target = Target::parse(EntryKind::User, user).unwrap();
    gateway.revocations.lookup(&target).is_some_and(|entry| entry.disabled)
}

fn ids(answer: &Value) -> Vec<String> {
    answer["users"].as_array().unwrap().iter().map(|u| u["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn whoever_is_suspended_is_cut_off_and_the_answer_tells_all_of_it() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let path = format!("/api/v1/users/{alice}/suspend");
        let answer = gateway.send("POST", &path, json!({ "cause": "laptop lost" })).await;
        let told = answer.json();
        assert_eq!(answer.status, 200, "{told}");
        assert_eq!(told["state"], json!({ "before": "active", "after": "suspended" }));
        assert_eq!((&told["edges"], &told["admitted"]), (&json!(["T15"]), &json!(false)));
        assert_eq!((&told["changed"], &told["on_record"]), (&json!(true), &json!(true)));
        assert_eq!((&told["ended"]["websocket"], &told["remaining"]), (&json!(2), &json!(1)));
        assert_eq!(told["receipts"][0]["target"], json!({ "kind": "user", "id": "corp:alice" }));
        assert_eq!(told["receipts"][0]["entry"]["disabled"], true);
        assert_eq!(told["debts"][0]["kind"], "hold_vs_source", "the source says otherwise: {told}");
        assert_eq!(told["request_id"].as_str(), answer.header("x-request-id"));
        assert!(is_off(&gateway, "corp:alice"));
        let events = gateway.events("user.lifecycle.suspend").await;
        assert_eq!(events.len(), 1);
        assert!(events[0].to_string().contains("laptop lost"), "{}", events[0]);
        let calls = gateway.events("operator.call").await;
        assert_eq!((calls.len(), &calls[0]["api"]["operation"]), (1, &json!("users.suspend")));

        // Who says it again says it later, and nothing else follows: no second debt.
        let again = gateway.post(&path, "").await.json();
        assert_eq!(
            (&again["edges"], &again["receipts"], &again["debts"]),
            (&json!(["again"]), &json!([]), &json!([]))
        );

        let shown = gateway.get(&format!("/api/v1/users/{alice}")).await.json();
        assert_eq!((&shown["state"], &shown["admitted"]), (&json!("suspended"), &json!(false)));
        assert_eq!(
            (&shown["suspension"]["cause"], &shown["disagrees"]),
            (&json!("laptop lost"), &json!(true))
        );
        assert_eq!(shown["debts"].as_array().unwrap().len(), 1, "{shown}");

        let back = gateway.post(&format!("/api/v1/users/{alice}/unsuspend"), "").await.json();
        assert_eq!((&back["state"]["after"], &back["admitted"]), (&json!("active"), &json!(true)));
        assert!(!is_off(&gateway, "corp:alice"));
        let again = gateway.post(&format!("/api/v1/users/{alice}/unsuspend"), "").await.json();
        assert_eq!((&again["changed"], &again["edges"]), (&json!(false), &json!(["again"])));
    });
}

#[test]
fn every_verb_goes_through_the_table() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        // Verb, body, status, the state afterwards or the code of the problem.
        let steps = [
            ("activate", json!({}), 200, "active"),
            ("unsuspend", json!({}), 200, "active"),
            ("lock", json!({}), 400, "bad_request"),
            ("lock", json!({ "seconds": 7_776_001 }), 400, "bad_request"),
            ("lock", json!({ "seconds": 3600 }), 200, "locked"),
            ("unlock", json!({}), 200, "active"),
            ("hold", json!({ "cause": "asked by HR" }), 200, "active"),
            ("unhold", json!({ "signal": "Not a stream" }), 400, "bad_request"),
            ("unhold", json!({}), 200, "active"),
            ("end-sessions", json!({}), 200, "active"),
            ("suspend", json!({ "force": true }), 400, "bad_request"),
            ("delete", json!({}), 409, "denied"),
            ("deactivate", json!({}), 200, "deactivated"),
            ("suspend", json!({}), 409, "denied"),
            ("delete", json!({}), 409, "denied"),
            ("reactivate", json!({}), 200, "active"),
            ("revoke-invitation", json!({}), 409, "denied"),
            ("fly", json!({}), 404, "not_found"),
        ];
        for (verb, body, status, told) in steps {
            let answer = gateway.send("POST", &format!("/api/v1/users/{alice}/{verb}"), body).await;
            let json = answer.json();
            assert_eq!(answer.status, status, "{verb}: {json}");
            let word = if status == 200 { &json["state"]["after"] } else { &json["code"] };
            assert_eq!(word, told, "{verb}: {json}");
            if told == "denied" {
                assert!(json["help"].as_str().is_some_and(|help| !help.is_empty()), "{verb}: {json}");
            }
        }
        let nobody = PersonId::from_u128(0x0199_0000_0000_7000_8000_0000_ffff_0000);
        let answer = gateway.post(&format!("/api/v1/users/{nobody}/suspend"), "").await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_known")));
        let answer = gateway.post("/api/v1/users/alice/suspend", "").await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!("id")));
    });
}

#[test]
fn whoever_leaves_stops_their_machines_and_has_a_case() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let robot = json!({
            "user": "corp:backup", "name": "Backup", "purpose": "copies files", "owner": alice.to_string(),
            "expires_at": crate::fixture::NOON + 1_000_000,
        });
        let made = gateway.send("POST", "/api/v1/service-accounts", robot).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let told = gateway.post(&format!("/api/v1/users/{alice}/deactivate"), "").await.json();
        assert_eq!(told["stopped"], json!([made.json()["id"]]));
        assert_eq!(told["receipts"].as_array().unwrap().len(), 2, "the person and the machine: {told}");
        assert!(is_off(&gateway, "corp:alice") && is_off(&gateway, "corp:backup"));
        let shown = gateway.get(&format!("/api/v1/users/{alice}")).await.json();
        assert_eq!((&shown["case"]["id"], &shown["offboarding"]), (&told["case"], &json!("open")));
        assert!(shown["case"]["items"].as_array().unwrap().len() >= 4, "{shown}");
        let listed = gateway.get("/api/v1/offboarding?state=open").await.json();
        assert_eq!((&listed["cases"][0]["id"], &listed["next"]), (&told["case"], &json!(null)));
        assert_eq!(gateway.get("/api/v1/offboarding?state=closed").await.json()["cases"], json!([]));
        assert_eq!(gateway.get("/api/v1/offboarding?state=tired").await.status, 400);
        let path = format!("/api/v1/offboarding/{alice}");
        assert_eq!(gateway.get(&path).await.json()["items"], shown["case"]["items"]);
        // What the gateway sees for itself is not proved by word, and before that nothing is closed.
        let item = |item: &str| json!({ "item": item, "note": "looked" });
        for (verb, body, status, code) in [
            ("say", item("no_sessions"), 409, "case_denied"),
            ("say", item("nothing_at_all"), 409, "case_denied"),
            ("say", json!({ "item": "x", "note": " " }), 400, "bad_request"),
            ("close", json!({}), 409, "case_denied"),
        ] {
            let answer = gateway.send("POST", &format!("{path}/{verb}"), body).await;
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{}", answer.body);
        }
        let said = gateway.send("POST", &format!("{path}/say"), item("refresh_tokens_revoked")).await;
        assert_eq!((said.status, &said.json()["state"]), (200, &json!("open")), "{}", said.body);
        let items = said.json()["items"].as_array().unwrap().clone();
        let done = items.iter().find(|item| item["item"] == "refresh_tokens_revoked").unwrap();
        assert_eq!(
            (&done["evidence"]["note"], &done["evidence"]["by"]),
            (&json!("looked"), &json!("operator"))
        );
        assert_eq!(gateway.events("offboarding.item").await.len(), 1);
        let nobody = gateway.get("/api/v1/offboarding/0199a000-0000-7000-8000-00000000ffff").await;
        assert_eq!((nobody.status, &nobody.json()["code"]), (404, &json!("not_known")));
        let kinds: Vec<_> = told["debts"].as_array().unwrap().iter().map(|d| d["kind"].clone()).collect();
        assert!(kinds.contains(&json!("orphan_machine")), "{told}");
    });
}

#[test]
fn an_invitation_is_made_shown_and_taken_back() {
    run(async {
        let gateway = Gateway::start().await;
        let whom = json!({
            "user_name": "carol", "name": "Carol", "emails": ["carol@corp.example"], "employment": "contractor",
            "contract_end": 1_900_000_000_000_i64, "roles": ["writer"], "tags": { "cost": "42" },
        });
        let answer = gateway.send("POST", "/api/v1/users", whom).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["state"]), (201, &json!({ "before": null, "after": "invited" })));
        let path = format!("/api/v1/users/{}", told["id"].as_str().unwrap());
        let shown = gateway.get(&path).await.json();
        assert_eq!(shown["profile"]["employment"], "contractor");
        assert_eq!(shown["profile"]["emails"][0]["verified"], false);
        assert_eq!(
            (&shown["roles"][0]["what"], &shown["roles"][0]["by"]),
            (&json!("writer"), &json!("operator"))
        );
        let back = gateway.post(&format!("{path}/revoke-invitation"), "").await;
        assert_eq!((back.status, &back.json()["state"]["after"]), (200, &json!("deleted")));
        assert_eq!(gateway.get(&path).await.json()["code"], "not_known");

        let wrong = json!({ "name": 7, "emails": ["carol"], "employment": "boss", "rolls": [] });
        let told = gateway.send("POST", "/api/v1/users", wrong).await.json();
        let fields: Vec<_> = told["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
        assert_eq!(fields, ["name", "emails", "employment", "rolls"], "all of them at once");
        let nowhere = gateway.send("POST", "/api/v1/users", json!({ "user_name": "dave" })).await;
        assert_eq!((nowhere.status, &nowhere.json()["code"]), (409, &json!("denied")), "nowhere to write to");
    });
}

#[test]
fn what_somebody_has_is_given_and_taken_and_tells_whose_hand_it_was() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let bob = hire(&gateway, 2, "bob").await;
        let group = gateway.send("POST", "/api/v1/groups", json!({ "name": "Night / shift" })).await.json();
        let group = group["id"].as_str().unwrap();
        let path = |what: &str| format!("/api/v1/users/{alice}/{what}");
        for what in ["roles/engineer", "groups/Night%20%2F%20shift", "apps/payroll", "links/corp:alice2"] {
            let given = gateway.call("PUT", &path(what), &[&crate::fixture::bearer()], "").await;
            assert_eq!(
                (given.status, &given.json()["changed"]),
                (200, &json!(true)),
                "{what}: {}",
                given.body
            );
        }
        let shown = gateway.get(path("").trim_end_matches('/')).await.json();
        let given = |kind: &str| (shown[kind][0]["what"].clone(), shown[kind][0]["origin"].clone());
        assert_eq!(given("roles"), (json!("engineer"), json!("operator")));
        assert_eq!(given("apps"), (json!("payroll"), json!("operator")));
        assert_eq!(
            (&shown["groups"][0]["what"], &shown["groups"][0]["name"]),
            (&json!(group), &json!("Night / shift"))
        );
        assert_eq!(shown["links"], json!(["corp:alice", "corp:alice2"]));
        // A sign-in is one person's.
        let taken = gateway.send("PUT", &format!("/api/v1/users/{bob}/links/corp:alice2"), json!({})).await;
        assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("taken")), "{}", taken.body);
        for what in [
            "roles/engineer".to_owned(),
            format!("groups/{group}"),
            "apps/payroll".to_owned(),
            "links/corp:alice2".to_owned(),
        ] {
            let taken = gateway.send("DELETE", &path(&what), json!({ "cause": "moved" })).await;
            assert_eq!(
                (taken.status, &taken.json()["changed"]),
                (200, &json!(true)),
                "{what}: {}",
                taken.body
            );
        }
        let shown = gateway.get(path("").trim_end_matches('/')).await.json();
        assert_eq!((&shown["roles"], &shown["groups"], &shown["apps"]), (&json!([]), &json!([]), &json!([])));
        assert!(is_off(&gateway, "corp:alice2") && !is_off(&gateway, "corp:alice"), "{shown}");
        for (what, status, code) in [
            ("roles/%00", 400, "bad_request"),
            ("groups/nobody", 404, "not_known"),
            ("apps/PAY", 400, "bad_request"),
            ("links/alice", 400, "bad_request"),
            ("powers/all", 404, "not_found"),
        ] {
            let answer = gateway.send("PUT", &path(what), json!({})).await;
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{what}");
        }
    });
}

#[test]
fn a_profile_is_changed_field_by_field_and_only_where_it_is_as_expected() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let path = format!("/api/v1/users/{alice}");
        let done = gateway.send("PATCH", &path, json!({ "department": "sales", "name": "Alice" })).await;
        assert_eq!(done.status, 200, "{}", done.body);
        let shown = gateway.get(&path).await.json();
        assert_eq!(shown["profile"]["user_name"], "alice", "what is not named stays");
        assert_eq!(
            (&shown["profile"]["department"], &shown["said"]["department"]),
            (&json!("sales"), &json!(null))
        );
        assert_eq!(shown["edits"].as_array().unwrap().len(), 2);
        let version = shown["version"].as_u64().unwrap();
        let stale = json!({ "department": "hr", "if_version": version - 1 });
        let answer = gateway.send("PATCH", &path, stale).await;
        assert_eq!((answer.status, &answer.json()["code"]), (412, &json!("changed")));
        let fresh = json!({ "department": null, "if_version": version });
        assert_eq!(gateway.send("PATCH", &path, fresh).await.status, 200);
        assert_eq!(gateway.get(&path).await.json()["profile"]["department"], json!(null));
    });
}

#[test]
fn people_are_found_by_any_of_their_names_and_what_is_not_clear_has_several() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let connection = json!({ "name": "okta", "issuer": "corp" });
        assert_eq!(gateway.send("POST", "/api/v1/connections", connection).await.status, 201);
        let id = alice.to_string();
        for query in [
            &format!("named={alice}"),
            "named=corp:alice",
            "named=alice",
            "named=ALICE",
            "named=alice@corp.example",
            "link=corp:alice",
            "email=Alice@corp.example",
            "q=LIC",
            "q=corp.example",
            "state=active",
            "source=connection:okta",
            "named=alice&state=active",
        ] {
            assert_eq!(
                ids(&gateway.get(&format!("/api/v1/users?{query}")).await.json()),
                [id.as_str()],
                "{query}"
            );
        }
        for query in [
            "named=bob",
            "link=corp:bob",
            "email=x@y",
            "q=bob",
            "state=invited",
            "source=local",
            "named=alice&state=locked",
        ] {
            assert!(ids(&gateway.get(&format!("/api/v1/users?{query}")).await.json()).is_empty(), "{query}");
        }
        let invited = json!({ "user_name": "alice", "emails": ["a@partner.example"] });
        assert_eq!(gateway.send("POST", "/api/v1/users", invited).await.status, 201);
        assert_eq!(
            ids(&gateway.get("/api/v1/users?named=alice").await.json()).len(),
            2,
            "two sources, two people"
        );
        for wrong in ["state=tired", "source=okta", "named=a&email=b", "limit=0", "after=x", "who=me"] {
            let answer = gateway.get(&format!("/api/v1/users?{wrong}")).await;
            assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
        }
    });
}

#[test]
fn pages_show_everybody_once_while_others_come() {
    run(async {
        let gateway = Gateway::start().await;
        for n in 0..7 {
            hire(&gateway, n, &format!("p{n}")).await;
        }
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = gateway.get(&format!("/api/v1/users?limit=3{after}")).await.json();
            seen.extend(ids(&page));
            if seen.len() == 3 {
                hire(&gateway, 50, "late").await;
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let once: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), once.len()), (8, 8), "{seen:?}");
        assert!(seen.is_sorted());
        let group = gateway
            .send("POST", "/api/v1/groups", json!({ "name": "some", "members": [seen[1], seen[4]] }))
            .await;
        assert_eq!(group.status, 201, "{}", group.body);
        let page = gateway.get("/api/v1/users?group=some&limit=1").await.json();
        assert_eq!(ids(&page), [seen[1].as_str()]);
        let rest = gateway.get(&format!("/api/v1/users?group=some&after={}", seen[1])).await.json();
        assert_eq!((ids(&rest), &rest["next"]), (vec![seen[4].clone()], &json!(null)));
    });
}

#[test]
fn without_audit_a_no_is_in_force_and_a_yes_is_not_done() {
    run(async {
        let gateway = Gateway::start().await;
        let (alice, bob) = (hire(&gateway, 1, "alice").await, hire(&gateway, 2, "bob").await);
        assert_eq!(gateway.post(&format!("/api/v1/users/{bob}/suspend"), "").await.status, 200);
        let audit = gateway.audit.clone();
        tokio::task::spawn_blocking(move || audit.close()).await.unwrap().unwrap();
        let answer = gateway.post(&format!("/api/v1/users/{alice}/suspend"), "").await;
        let told = answer.json();
        assert_eq!((answer.status, &told["code"]), (503, &json!("audit_unavailable")), "{told}");
        assert_eq!(
            (&told["enforced"], &told["durable"], &told["on_record"]),
            (&json!(true), &json!(true), &json!(false))
        );
        assert_eq!(told["state"]["after"], "suspended", "the answer comes along");
        assert!(is_off(&gateway, "corp:alice"));
        let answer = gateway.post(&format!("/api/v1/users/{bob}/unsuspend"), "").await;
        assert_eq!((answer.status, &answer.json()["enforced"]), (503, &json!(false)), "{}", answer.body);
        assert!(is_off(&gateway, "corp:bob"));
    });
}

#[test]
fn who_waits_for_the_fleet_is_told_of_it() {
    run(async {
        let gateway = Gateway::start().await;
        let alice = hire(&gateway, 1, "alice").await;
        let path = format!("/api/v1/users/{alice}/end-sessions");
        let told =
            gateway.send("POST", &path, json!({ "wait": "fleet", "wait_millis_max": 50 })).await.json();
        assert_eq!((&told["enforced_everywhere"], &told["nodes"]), (&json!(true), &json!([])), "{told}");
        assert_eq!(told["receipts"].as_array().unwrap().len(), 1, "{told}");
        let told = gateway.send("POST", &path, json!({ "wait": "node" })).await.json();
        assert_eq!(told["enforced_everywhere"], json!(null));
        for (body, field) in [
            (json!({ "wait": "everybody" }), "wait"),
            (json!({ "wait_millis_max": 5 }), "wait_millis_max"),
            (json!({ "cause": "a\nb" }), "cause"),
            (json!({ "if_version": 0 }), "if_version"),
        ] {
            let answer = gateway.send("POST", &path, body).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!(field)));
        }
    });
}

#[test]
fn a_node_without_a_directory_says_whom_to_ask() {
    run(async {
        let gateway = Gateway::with(|ports| ports.lifecycle = None).await;
        let id = "0199a000-0000-7000-8000-000000000001";
        for (method, path) in [
            ("GET", "/api/v1/users".to_owned()),
            ("POST", format!("/api/v1/users/{id}/suspend")),
            ("PATCH", format!("/api/v1/users/{id}")),
            ("PUT", format!("/api/v1/users/{id}/roles/x")),
            ("GET", "/api/v1/groups".to_owned()),
            ("DELETE", format!("/api/v1/groups/{id}")),
            ("GET", "/api/v1/agents".to_owned()),
            ("POST", format!("/api/v1/service-accounts/{id}/stop")),
            ("GET", "/api/v1/connections".to_owned()),
            ("DELETE", "/api/v1/connections/okta".to_owned()),
        ] {
            let answer = gateway.call(method, &path, &[&crate::fixture::bearer()], "").await;
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (409, &json!("not_here")), "{method} {path}: {told}");
            assert!(told["detail"].as_str().unwrap().contains("control node"), "{told}");
        }
    });
}
