//! Okta: what its client does on the wire (identity of the letters: `../scim/okta.rs`).

use serde_json::json;

use crate::world::{World, group, run, user};

#[test]
fn o1_o2_somebody_is_looked_for_in_every_spelling_before_they_are_made() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let page = "&startIndex=1&count=100";
        let empty =
            okta.get(&format!("/Users?filter=userName%20eq%20%22a%40b.example%22{page}")).await.is(200);
        assert_eq!((empty.total(), empty.ids().len()), (0, 0));
        let id = okta.post("/Users", &user("a@b.example")).await.is(201).id();
        for filter in [
            "userName%20eq%20%22a%40b.example%22",
            "userName+eq+%22a%40b.example%22",
            "userName+eq+%22A%40B.EXAMPLE%22",
            "USERNAME%20EQ%20%22a@b.example%22",
        ] {
            let found = okta.get(&format!("/Users?filter={filter}{page}")).await.is(200);
            assert_eq!((found.total(), found.ids()), (1, vec![id.clone()]), "{filter}");
        }
        // A space or a quote as it is makes no address (RFC 3986 §2): nobody guesses what was meant.
        for filter in ["userName eq \"a@b.example\"", "userName%20eq%20\"a@b.example\""] {
            let bare = okta.get(&format!("/Users?filter={filter}{page}")).await;
            assert_eq!((bare.status, bare.text.as_str()), (400, ""), "{filter}");
        }
        drop(world);
    });
}

#[test]
fn o3_o4_o5_a_creation_is_answered_whole_without_the_password_and_is_not_repeated() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let made = okta.clone().like_okta().post("/Users", &user("a@b.example")).await.is(201);
        assert_eq!(made.body["userName"], "a@b.example");
        assert!(made.body["name"]["givenName"] == "Test" && made.body["active"] == json!(true));
        assert!(!made.text.contains("1mz050nq") && made.body.get("password").is_none());
        let location = format!("http://scim.example/scim/v2/Users/{}", made.id());
        assert_eq!(made.header("location"), Some(location.as_str()));
        assert_eq!(made.body["meta"]["location"], json!(location));
        assert_eq!(made.header("etag"), made.body["meta"]["version"].as_str());
        let again = okta.post("/Users", &user("A@b.example")).await.is(409);
        assert_eq!(again.scim_type(), "uniqueness");
        assert!(!again.text.contains("b.example"), "no value is repeated");
        // Neither the store nor the log has it, and both have the name.
        world.until_recorded("user.lifecycle.create").await;
        let kept = world.kept();
        assert!(kept.windows(11).any(|w| w == b"a@b.example"), "this looks where it would be");
        assert!(!kept.windows(8).any(|w| w == b"1mz050nq"), "a password was kept");
    });
}

#[test]
fn o6_o7_o8_leaving_by_patch_and_by_put_is_the_same_leaving_and_returning_brings_the_same_id() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let okta = okta.like_okta();
        for by_put in [false, true] {
            let name = format!("{by_put}@b.example");
            let made = okta.post("/Users", &user(&name)).await.is(201);
            let path = format!("/Users/{}", made.id());
            let gone = if by_put {
                let mut whole = okta.get(&path).await.is(200).body;
                whole["active"] = json!(false);
                okta.put(&path, &whole).await.is(200)
            } else {
                okta.patch(&path, &json!([{"op": "replace", "value": {"active": false}}])).await.is(200)
            };
            assert_eq!(gone.body["active"], json!(false));
            assert!(gone.header("doorward-receipt").is_some(), "the revocation has a receipt");
            // Suspended, deactivated, unassigned: the log says that it cannot know.
            let told = world.until_recorded("user.lifecycle.deactivate").await;
            assert!(told.contains("why they leave, SCIM does not tell"), "{told}");
            assert!(world.is_cut(&format!("okta-idp:{name}")), "{name}");
            let back =
                okta.patch(&path, &json!([{"op": "replace", "value": {"active": true}}])).await.is(200);
            assert_eq!((back.id(), back.body["active"].clone()), (made.id(), json!(true)));
            assert!(!world.is_cut(&format!("okta-idp:{name}")), "{name}");
        }
    });
}

#[test]
fn o9_o10_o11_group_push_renames_and_moves_members_in_one_request() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let mut people = Vec::new();
        for n in 0..4 {
            people.push(okta.post("/Users", &user(&format!("u{n}@b.example"))).await.is(201).id());
        }
        let made = okta.post("/Groups", &group("Test SCIMv2", &[])).await.is(201);
        let path = format!("/Groups/{}", made.id());
        // The rename comes with the id in its value, which is not an error.
        okta.patch(&path, &json!([{"op": "replace", "value": {"id": made.id(), "displayName": "Renamed"}}]))
            .await
            .is(204);
        okta.patch(
            &path,
            &json!([
                {"op": "add", "path": "members", "value": [{"value": people[0]}, {"value": people[1]}]},
                {"op": "remove", "path": format!("members[value eq \"{}\"]", people[0])},
                {"op": "add", "path": "members", "value": [{"value": people[2]}]},
            ]),
        )
        .await
        .is(204);
        let read = okta.get(&path).await.is(200);
        assert_eq!(read.body["displayName"], "Renamed");
        let mut members: Vec<_> =
            read.body["members"].as_array().unwrap().iter().map(|m| m["value"].clone()).collect();
        members.sort_by_key(ToString::to_string);
        assert_eq!(members, [json!(people[1]), json!(people[2])]);
        okta.patch(&path, &json!([{"op": "replace", "path": "members", "value": [{"value": people[3]}]}]))
            .await
            .is(204);
        let only = okta.get(&path).await.is(200);
        assert_eq!(only.body["members"].as_array().unwrap().len(), 1);
        // Nobody is put in who is not known, and then nobody at all.
        let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
        okta.patch(
            &path,
            &json!([{"op": "add", "path": "members", "value": [{"value": people[0]}, {"value": unknown}]}]),
        )
        .await
        .is(400);
        assert_eq!(okta.get(&path).await.is(200).body, only.body);
        drop(world);
    });
}

#[test]
fn o12_whoever_joins_between_two_pages_is_on_the_last_one() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let mut made = Vec::new();
        for n in 0..6 {
            made.push(okta.post("/Users", &user(&format!("u{n}@b.example"))).await.is(201).id());
        }
        let first = okta.get("/Users?startIndex=1&count=4").await.is(200);
        assert_eq!((first.total(), first.body["itemsPerPage"].clone()), (6, json!(4)));
        made.push(okta.post("/Users", &user("late@b.example")).await.is(201).id());
        let second = okta.get("/Users?startIndex=5&count=4").await.is(200);
        let seen: Vec<_> = first.ids().into_iter().chain(second.ids()).collect();
        assert_eq!(seen, made, "no skip, no repeat, in the order of joining");
        drop(world);
    });
}

#[test]
fn o13_o14_the_layout_and_the_agent_are_those_that_okta_expects() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let made = okta.clone().like_okta().post("/Users", &user("a@b.example")).await.is(201);
        let mut plain = okta.clone();
        plain.media = "application/json";
        plain.put(&format!("/Users/{}", made.id()), &user("a@b.example")).await.is(200);
        plain.media = "text/html";
        plain.put(&format!("/Users/{}", made.id()), &user("a@b.example")).await.is(400);
        assert!(!made.body["meta"]["location"].as_str().unwrap().contains('_'));
        drop(world);
    });
}

/// The steps of Okta's own specification test, with its expectations.
#[test]
fn the_steps_of_oktas_specification_test() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let okta = okta.like_okta();
        okta.post("/Users", &user("first@b.example")).await.is(201);
        let list = okta.get("/Users?count=1&startIndex=1").await.is(200);
        let one = &list.body["Resources"][0];
        assert!(one["name"]["givenName"].is_string() && one["name"]["familyName"].is_string());
        assert!(
            one["emails"][0]["value"].is_string()
                && one["active"].is_boolean()
                && one["userName"].is_string()
        );
        assert_eq!(list.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        let by_id = okta.get(&format!("/Users/{}", one["id"].as_str().unwrap())).await.is(200);
        assert_eq!(by_id.body["userName"], one["userName"]);
        assert_eq!(
            okta.get("/Users?filter=userName%20eq%20%22abcdefgh@atko.example%22").await.is(200).total(),
            0
        );
        okta.get("/Users/010101001010101011001010101011").await.is(404);
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Runscope300@atko.example",
            "name": {"givenName": "Runscope", "familyName": "Test"},
            "emails": [{"primary": true, "value": "runscope@atko.example", "type": "work"}],
            "displayName": "Runscope Test", "active": true,
        });
        let made = okta.post("/Users", &body).await.is(201);
        assert_eq!((&made.body["userName"], &made.body["name"]), (&body["userName"], &body["name"]));
        okta.get(&format!("/Users/{}", made.id())).await.is(200);
        okta.post("/Users", &body).await.is(409);
        let upper = okta.get("/Users?filter=userName%20eq%20%22RUNSCOPE300@ATKO.EXAMPLE%22").await.is(200);
        assert_eq!(upper.ids(), [made.id()]);
        okta.get("/Groups").await.is(200);
        drop(world);
    });
}
