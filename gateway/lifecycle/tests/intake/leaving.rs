//! What a source does not get by saying less, or more, than it means: that an operator's word is forgotten,
//! that somebody stays, that somebody leaves.

use doorward_lifecycle::intake::connection::SubjectAttribute;
use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Asker, Whom};
use doorward_model::UnixMillis;
use doorward_model::directory::{HoldOrigin, Person};
use serde_json::{Value, json};

use crate::world::{NOON, World, group, run, user};

async fn order(world: &World, id: &str, command: Command) {
    let asker = Asker {
        actor: Actor::Operator("ann".into()),
        asserted_at: None,
        cause: "as ordered".into(),
        request_id: "r-1".into(),
        if_version: None,
    };
    world.lives.ask(Whom::Person(id.parse().unwrap()), command, asker).await.unwrap();
}

async fn known(world: &World, id: &str) -> Person {
    let person = world.lives.person(id.parse().unwrap()).await.unwrap().unwrap().0;
    (*person).clone()
}

#[test]
fn a_sync_of_the_profile_leaves_the_dates_that_an_operator_set() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let mut whole = user("ada@b.example");
        let id = okta.post("/Users", &whole).await.is(201).id();
        let mut dated = known(&world, &id).await.profile;
        dated.contract_end = Some(UnixMillis(NOON + 1_000_000));
        order(&world, &id, Command::Profile(dated.into())).await;
        whole["title"] = json!("Engineer");
        okta.put(&format!("/Users/{id}"), &whole).await.is(200);
        let profile = known(&world, &id).await.profile;
        assert_eq!(profile.tags["title"], "Engineer");
        assert_eq!(profile.contract_end, Some(UnixMillis(NOON + 1_000_000)));
    });
}

#[test]
fn a_hold_is_not_shed_by_deleting_and_making_anew_nor_by_another_name() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        for (n, hold) in [Command::HoldSet, Command::Suspend].into_iter().enumerate() {
            let name = format!("bob-{n}@b.example");
            let sign_in = format!("okta-idp:{name}");
            let id = okta.post("/Users", &user(&name)).await.is(201).id();
            let path = format!("/Users/{id}");
            let team = okta.post("/Groups", &group(&format!("Team {n}"), &[&id])).await.is(201).id();
            order(&world, &id, hold.clone()).await;
            let junk = json!([{"op": "replace", "path": "userName", "value": format!("junk-{n}@b.example")}]);
            okta.patch(&path, &junk).await.is(409);
            okta.post("/Users", &user(&name)).await.is(409);
            assert!(world.is_cut(&sign_in), "{hold:?}");
            // For the client they are gone.
            okta.delete(&path).await.is(204);
            okta.get(&path).await.is(404);
            okta.delete(&path).await.is(404);
            assert_eq!(okta.get("/Users").await.is(200).total(), n as u64);
            let seen = okta.get(&format!("/Groups/{team}")).await.is(200).body;
            assert_eq!(seen.get("members").and_then(Value::as_array).map_or(0, Vec::len), 0);
            // For the operator they are not.
            okta.post("/Users", &user(&name)).await.is(409);
            assert!(world.is_cut(&sign_in), "{hold:?}");
            order(&world, &id, Command::HoldClear(HoldOrigin::Operator)).await;
            order(&world, &id, Command::Unlink(sign_in.parse().unwrap())).await;
            okta.post("/Users", &user(&name)).await.is(201);
            assert!(!world.is_cut(&sign_in), "{hold:?}");
        }
    });
}

#[test]
fn what_oktas_put_leaves_out_takes_nobodys_sign_in() {
    run(async {
        let world = World::new().await;
        let okta = world.connect_by("okta", SubjectAttribute::ExternalId).await;
        let mut whole = user("ada@b.example");
        let id = okta.post("/Users", &whole).await.is(201).id();
        let path = format!("/Users/{id}");
        let sign_in = "okta-idp:00uada@b.example";
        whole["title"] = json!("Engineer");
        whole.as_object_mut().unwrap().remove("externalId");
        let told = okta.put(&path, &whole).await.is(200);
        assert_eq!(told.body["externalId"], json!("00uada@b.example"));
        assert!(!world.is_cut(sign_in) && known(&world, &id).await.links.len() == 1);
        // To say that there is none is to say so.
        whole["externalId"] = Value::Null;
        let told = okta.put(&path, &whole).await.is(200);
        assert!(told.body.get("externalId").is_none());
        assert!(world.is_cut(sign_in) && known(&world, &id).await.links.is_empty());
    });
}

#[test]
fn whoever_leaves_leaves_also_when_the_rest_of_the_request_is_refused() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        okta.post("/Users", &user("one@b.example")).await.is(201);
        let too_many: Vec<_> =
            (0..60).map(|n| json!({"value": format!("a{n}@b.example"), "type": "other"})).collect();
        let set = |path: &str, value: Value| json!({"op": "replace", "path": path, "value": value});
        for (n, beside) in [
            ("userName", json!("one@b.example")),
            ("userName", json!("x".repeat(300))),
            ("emails", json!(too_many)),
            ("roles", json!([{"value": "a\u{7}b"}])),
        ]
        .into_iter()
        .enumerate()
        {
            for by_put in [false, true] {
                let name = format!("u{n}-{by_put}@b.example");
                let id = okta.post("/Users", &user(&name)).await.is(201).id();
                let path = format!("/Users/{id}");
                let (what, value) = beside.clone();
                let refused = if by_put {
                    let mut whole = user(&name);
                    whole[what] = value;
                    whole["active"] = json!("False");
                    okta.put(&path, &whole).await
                } else {
                    okta.patch(&path, &json!([set("active", json!(false)), set(what, value)])).await
                };
                assert!((400..500).contains(&refused.status), "{what}: {}", refused.text);
                assert!(world.is_cut(&format!("okta-idp:{name}")), "{what} {by_put}: {}", refused.text);
                assert!(refused.header("doorward-receipt").is_some(), "{}", refused.text);
                let after = okta.get(&path).await.is(200).body;
                assert_eq!((&after["active"], &after["userName"]), (&json!(false), &json!(name)));
            }
        }
        // Sent again it is refused again, and nothing is new.
        let id = okta.post("/Users", &user("again@b.example")).await.is(201).id();
        let path = format!("/Users/{id}");
        let mut whole = user("one@b.example");
        whole["active"] = json!(false);
        let first = okta.put(&path, &whole).await.is(409);
        let version = okta.get(&path).await.is(200).body["meta"]["version"].clone();
        let again = okta.put(&path, &whole).await.is(409);
        assert!(first.header("doorward-receipt").is_some() && again.header("doorward-receipt").is_none());
        assert_eq!(okta.get(&path).await.is(200).body["meta"]["version"], version);
        // A request that says yes in the end says no leaving.
        let id = okta.post("/Users", &user("yes@b.example")).await.is(201).id();
        let yes = json!([
            set("active", json!(false)),
            set("active", json!(true)),
            set("userName", json!("one@b.example")),
        ]);
        okta.patch(&format!("/Users/{id}"), &yes).await.is(409);
        assert!(!world.is_cut("okta-idp:yes@b.example"));
        // Who did not mean the resource as it is does not mean this one.
        let id = okta.post("/Users", &user("two@b.example")).await.is(201).id();
        let mut whole = user("one@b.example");
        whole["active"] = json!(false);
        let headers = [("If-Match", "W/\"99\"")];
        okta.send("PUT", &format!("/Users/{id}"), &headers, Some(&whole.to_string())).await.is(412);
        assert!(!world.is_cut("okta-idp:two@b.example"));
    });
}

#[test]
fn who_has_what_is_not_free_is_not_told() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let entra = world.connect("entra").await;
        let id = okta.post("/Users", &user("ada@b.example")).await.is(201).id();
        order(&world, &id, Command::Link("entra-idp:bob@b.example".parse().unwrap())).await;
        let team = okta.post("/Groups", &group("Team", &[])).await.is(201).id();
        for refused in [
            entra.post("/Users", &user("bob@b.example")).await.is(409),
            entra.post("/Groups", &group("Team", &[])).await.is(409),
        ] {
            assert_eq!(refused.scim_type(), "uniqueness");
            let text = refused.text.to_lowercase();
            for told in ["okta", "source", "another", "person", &id, &team, "ada"] {
                assert!(!text.contains(told), "{told}: {text}");
            }
        }
    });
}
