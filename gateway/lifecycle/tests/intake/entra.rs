//! Microsoft Entra ID: what its client does on the wire (the letters: `../scim/entra.rs`).

use serde_json::{Value, json};

use crate::world::{Client, World, group, run, user};

async fn ada(entra: &Client) -> String {
    entra.post("/Users", &user("ada@b.example")).await.is(201).id()
}

#[test]
fn e1_e2_booleans_as_text_and_capital_operations_take_access_and_numbers_do_not_count() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let path = format!("/Users/{}", ada(&entra).await);
        for (value, status, cut) in [
            (json!("False"), 200, true),
            (json!("True"), 200, false),
            (json!("true"), 200, false),
            (json!(0), 400, false),
            (json!("0"), 400, false),
            (json!(false), 200, true),
        ] {
            let answer = entra
                .patch(&path, &json!([{"op": "Replace", "path": "active", "value": value}]))
                .await
                .is(status);
            if status == 400 {
                assert_eq!(answer.scim_type(), "invalidValue");
            }
            assert_eq!(world.is_cut("entra-idp:ada@b.example"), cut, "{value}");
        }
    });
}

#[test]
fn e3_e4_e12_members_come_and_go_one_by_one_in_the_form_of_entra() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let (one, two) = (ada(&entra).await, entra.post("/Users", &user("bob@b.example")).await.is(201).id());
        let path = format!("/Groups/{}", entra.post("/Groups", &group("G", &[])).await.is(201).id());
        let add =
            |id: &str| json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": id}]}]);
        assert_eq!(entra.patch(&path, &add(&one)).await.is(204).text, "");
        entra.patch(&path, &add(&two)).await.is(204);
        let before = entra.get(&path).await.is(200);
        entra.patch(&path, &add(&two)).await.is(204);
        assert_eq!(entra.get(&path).await.is(200).body, before.body, "twice is once, lastModified too");
        let remove = json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": one}]}]);
        entra.patch(&path, &remove).await.is(204);
        let left = entra.get(&path).await.is(200);
        assert_eq!(left.body["members"][0]["value"], json!(two));
        assert_eq!(left.body["members"].as_array().unwrap().len(), 1, "only that one");
        drop(world);
    });
}

#[test]
fn e5_e6_e7_e20_profiles_in_the_forms_of_entra_are_stored_and_read_back() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let made = entra.post("/Users", &json!({"userName": "a@b.example", "active": true})).await.is(201);
        let path = format!("/Users/{}", made.id());
        let work = json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "a@b.example"}]);
        entra.patch(&path, &work).await.is(200);
        let other =
            json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "z@b.example"}]);
        let read = entra.patch(&path, &other).await.is(200);
        assert_eq!(read.body["emails"].as_array().unwrap().len(), 1, "one of each type");
        assert_eq!(read.body["emails"][0]["value"], "z@b.example");
        let dotted = json!([{"op": "Replace", "value": {
            "name.givenName": "K", format!("{ENTERPRISE}:employeeNumber"): "17", format!("{ENTERPRISE}:manager"): "m1",
        }}]);
        let read = entra.patch(&path, &dotted).await.is(200);
        assert_eq!(read.body["name"]["givenName"], "K");
        assert_eq!(read.body[ENTERPRISE], json!({"employeeNumber": "17", "manager": {"value": "m1"}}));
        drop(world);
    });
}

#[test]
fn e8_e9_e15_people_are_found_by_every_key_that_entra_matches_on_also_when_they_are_gone() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let id = ada(&entra).await;
        entra.post("/Users", &user("bob@b.example")).await.is(201);
        let path = format!("/Users/{id}");
        for gone in [false, true] {
            if gone {
                entra
                    .patch(&path, &json!([{"op": "Replace", "path": "active", "value": "False"}]))
                    .await
                    .is(200);
            }
            for filter in [
                "userName eq \"ADA@b.example\"",
                "externalId eq \"00uada@b.example\"",
                "emails[type eq \"work\"].value eq \"Ada@B.example\"",
                "emails.value eq \"ada@b.example\" and active eq ",
            ] {
                let filter =
                    if filter.ends_with(' ') { format!("{filter}{}", !gone) } else { filter.to_owned() };
                let query = filter.replace(' ', "%20").replace('"', "%22");
                let found = entra.get(&format!("/Users?filter={query}")).await.is(200);
                assert_eq!((found.total(), found.ids()), (1, vec![id.clone()]), "{filter}");
            }
            assert_eq!(entra.get(&path).await.is(200).body["active"], json!(!gone));
        }
        let nobody = "/Users?filter=userName%20eq%20%22943d4fc5-9f27-4b2a-8e1a-6a2a0a2a4a4a%22";
        assert_eq!(entra.get(nobody).await.is(200).total(), 0);
        // `externalId` is case-exact.
        assert_eq!(
            entra.get("/Users?filter=externalId%20eq%20%2200Uada@b.example%22").await.is(200).total(),
            0
        );
        drop(world);
    });
}

#[test]
fn e10_e11_e13_groups_are_made_with_what_we_do_not_know_and_read_without_members() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let id = ada(&entra).await;
        let made = entra
            .post(
                "/Groups",
                &json!({
                    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
                                "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                    "externalId": "8aa1a0c0", "displayName": "displayName", "members": null,
                    "meta": {"resourceType": "Group"},
                }),
            )
            .await
            .is(201);
        let path = format!("/Groups/{}", made.id());
        entra
            .patch(&path, &json!([{"op": "Add", "path": "members", "value": [{"value": id}]}]))
            .await
            .is(204);
        let without = entra.get(&format!("{path}?excludedAttributes=members")).await.is(200);
        assert_eq!(without.body.get("members"), None);
        let found = entra
            .get("/Groups?excludedAttributes=members&filter=displayName%20eq%20%22DISPLAYNAME%22")
            .await
            .is(200);
        assert_eq!(found.ids(), [made.id()]);
        assert_eq!(found.body["Resources"][0].get("members"), None);
        let by_external = entra.get("/Groups?filter=externalId%20eq%20%228aa1a0c0%22").await.is(200);
        assert_eq!(by_external.ids(), [made.id()]);
        let by_member = entra.get(&format!("/Groups?filter=members%20eq%20%22{id}%22")).await.is(200);
        assert_eq!(by_member.ids(), [made.id()]);
        entra.post("/Groups", &group("DisplayName", &[])).await.is(409);
        drop(world);
    });
}

#[test]
fn e14_values_are_read_back_as_they_were_sent() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let phones = json!([{"value": " +49 (0)30/1234-567 ", "type": "work"}]);
        let mut body = user("Ada.LOVELACE@B.example");
        body["phoneNumbers"] = phones.clone();
        let made = entra.post("/Users", &body).await.is(201);
        let read = entra.get(&format!("/Users/{}", made.id())).await.is(200);
        assert_eq!((&read.body["phoneNumbers"], &read.body["userName"]), (&phones, &body["userName"]));
        drop(world);
    });
}

#[test]
fn e17_what_is_wrong_with_one_record_is_never_our_fault() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let id = ada(&entra).await;
        let long = "x".repeat(5000);
        let control = "a\u{1}b";
        for body in [
            json!({}),
            json!({"userName": null}),
            json!({"userName": ""}),
            json!({"userName": long}),
            json!({"userName": control}),
            json!({"userName": ["a"]}),
            json!({"userName": "c", "emails": "x"}),
            json!({"userName": "c", "externalId": control}),
            json!({"userName": "c", "roles": [{"value": "a\u{1}b"}]}),
            json!({"userName": "c", "name": 7}),
        ] {
            for answer in [entra.post("/Users", &body).await, entra.put(&format!("/Users/{id}"), &body).await]
            {
                assert!((400..500).contains(&answer.status), "{body}: {}", answer.text);
                let status = answer.status;
                answer.is(status);
            }
        }
        for text in ["", "[]", "null", "{", "{\"userName\":\"\\ud800\"}", "\u{0}"] {
            let answer = entra.send("POST", "/Users", &[], Some(text)).await;
            answer.is(400);
        }
        let read: Value = entra.get(&format!("/Users/{id}")).await.is(200).body;
        assert_eq!(read["userName"], "ada@b.example", "nothing of it was kept");
        drop(world);
    });
}

#[test]
fn e17_who_asks_too_much_at_once_is_told_when_to_come_back() {
    use doorward_lifecycle::intake::scim::BURST;
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let okta = world.connect("okta").await;
        let mut refused = None;
        for _ in 0..=BURST {
            let answer = entra.get("/ServiceProviderConfig").await;
            if answer.status != 200 {
                refused = Some(answer.is(429));
                break;
            }
        }
        let refused = refused.expect("the clock stands still, so a burst is all there is");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        okta.get("/Users").await.is(200);
        world.pass(1000);
        entra.get("/Users").await.is(200);
    });
}

#[test]
fn e18_a_hard_delete_is_final_and_the_name_is_free() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let id = ada(&entra).await;
        let path = format!("/Users/{id}");
        let gone = entra.delete(&path).await.is(204);
        assert_eq!(gone.text, "");
        assert!(world.is_cut("entra-idp:ada@b.example"));
        entra.get(&path).await.is(404);
        entra.delete(&path).await.is(404);
        entra.patch(&path, &json!([{"op": "replace", "path": "active", "value": true}])).await.is(404);
        entra.put(&path, &user("ada@b.example")).await.is(404);
        assert_eq!(entra.get("/Users").await.is(200).total(), 0);
        let again = ada(&entra).await;
        assert_ne!(again, id, "P5: another id");
    });
}

#[test]
fn e19_the_token_is_the_only_way_in() {
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let id = ada(&entra).await;
        let cut = entra.token.len() - 1;
        for token in ["", "x", &entra.token[..cut], &entra.token.replace("dwscim_", "dwscim-")] {
            let nobody = world.client(token);
            for path in ["/Users", &format!("/Users/{id}"), "/Schemas", "/nowhere", ""] {
                let refused = nobody.get(path).await.is(401);
                assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
                assert!(!refused.text.contains("ada"));
            }
        }
    });
}
