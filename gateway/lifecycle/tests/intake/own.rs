//! What the protocol demands and no vendor's list has (P1–P10), and the corners of HTTP.

use serde_json::json;

use crate::world::{World, group, run, user};

#[test]
fn p1_a_patch_of_which_one_operation_is_wrong_changes_nothing() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let made = client.post("/Users", &user("a@b.example")).await.is(201);
        let path = format!("/Users/{}", made.id());
        let half = json!([
            {"op": "replace", "path": "active", "value": false},
            {"op": "replace", "path": "nothing", "value": 1},
        ]);
        client.patch(&path, &half).await.is(400);
        assert_eq!(client.get(&path).await.is(200).body, made.body);
        assert!(!world.is_cut("okta-idp:a@b.example"));
    });
}

#[test]
fn p2_a_version_that_was_read_before_somebody_else_wrote_is_refused_and_nothing_is_written() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let made = client.post("/Users", &user("a@b.example")).await.is(201);
        let path = format!("/Users/{}", made.id());
        let etag = made.header("etag").unwrap().to_owned();
        let title = |title: &str| json!([{"op": "replace", "path": "title", "value": title}]);
        let changed = client.patch(&path, &title("one")).await.is(200);
        let new = changed.header("etag").unwrap().to_owned();
        assert_ne!(etag, new);
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": title("two")});
        for method in ["PATCH", "PUT", "DELETE"] {
            let body = if method == "PUT" { user("a@b.example").to_string() } else { body.to_string() };
            client.send(method, &path, &[("If-Match", &etag)], Some(&body)).await.is(412);
        }
        assert_eq!(client.get(&path).await.is(200).body["title"], "one");
        client.send("PATCH", &path, &[("If-Match", &new)], Some(&body.to_string())).await.is(200);
        let unchanged = client.get(&path).await.is(200).header("etag").unwrap().to_owned();
        let not = client.send("GET", &path, &[("If-None-Match", &unchanged)], None).await;
        assert_eq!((not.status, not.text.as_str()), (304, ""));
        // What changes nothing has no new version.
        let same = client.patch(&path, &title("two")).await.is(200);
        assert_eq!(same.header("etag"), Some(unchanged.as_str()));
        drop(world);
    });
}

#[test]
fn p3_of_many_members_added_at_once_none_is_lost() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let path = format!("/Groups/{}", client.post("/Groups", &group("G", &[])).await.is(201).id());
        let mut people = Vec::new();
        for n in 0..8 {
            people.push(client.post("/Users", &user(&format!("u{n}@b.example"))).await.is(201).id());
        }
        let adds = people.iter().map(|id| {
            let (client, path, id) = (client.clone(), path.clone(), id.clone());
            tokio::spawn(async move {
                client
                    .patch(&path, &json!([{"op": "add", "path": "members", "value": [{"value": id}]}]))
                    .await
                    .is(204)
            })
        });
        for add in adds.collect::<Vec<_>>() {
            add.await.unwrap();
        }
        assert_eq!(client.get(&path).await.is(200).body["members"].as_array().unwrap().len(), people.len());
        let groups = client.get(&format!("/Users/{}", people[0])).await.is(200).body["groups"].clone();
        assert_eq!((&groups[0]["display"], &groups[0]["type"]), (&json!("G"), &json!("direct")));
        drop(world);
    });
}

#[test]
fn p4_a_monstrous_filter_is_refused_at_once() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let many = vec!["userName%20eq%20%22a%22"; 1000].join("%20or%20");
        let deep = format!("{}userName%20pr{}", "(".repeat(1000), ")".repeat(1000));
        for filter in [many, deep, "userName%20eq".to_owned(), "nothing%20eq%20%22a%22".to_owned()] {
            let refused = client.get(&format!("/Users?filter={filter}")).await;
            assert!(matches!(refused.status, 400 | 413), "{}", refused.text);
        }
        // In a body there is room for more.
        let terms = vec!["title pr"; 10_000].join(" or ");
        let deep = format!("{}title pr{}", "(".repeat(1000), ")".repeat(1000));
        for filter in [terms, deep] {
            let search = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter,
            });
            #[expect(clippy::disallowed_methods, reason = "a measurement")]
            let began = std::time::Instant::now();
            let refused = client.post("/.search", &search).await.is(400);
            assert_eq!(refused.scim_type(), "invalidFilter");
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
        }
        drop(world);
    });
}

#[test]
fn p5_who_comes_after_a_delete_is_somebody_else() {
    run(async {
        let (world, client) = World::new().await.connect_and("entra").await;
        let old = client.post("/Users", &user("ada@b.example")).await.is(201).id();
        let team = client.post("/Groups", &group("Team", &[&old])).await.is(201).id();
        client.delete(&format!("/Users/{old}")).await.is(204);
        assert!(world.is_cut("entra-idp:ada@b.example"));
        let new = client.post("/Users", &user("ada@b.example")).await.is(201).id();
        assert_ne!(new, old);
        // Nothing of the other one is theirs, and the sign-in is, anew.
        let members = client.get(&format!("/Groups/{team}")).await.is(200).body["members"].clone();
        assert!(members.as_array().is_none_or(Vec::is_empty), "{members}");
        let groups = client.get(&format!("/Users/{new}")).await.is(200).body["groups"].clone();
        assert!(groups.as_array().is_none_or(Vec::is_empty), "{groups}");
        assert!(!world.is_cut("entra-idp:ada@b.example"));
        client.get(&format!("/Users/{old}")).await.is(404);
        let back = json!([{"op": "replace", "path": "active", "value": true}]);
        client.patch(&format!("/Users/{old}"), &back).await.is(404);
        let add = json!([{"op": "add", "path": "members", "value": [{"value": old}]}]);
        client.patch(&format!("/Groups/{team}"), &add).await.is(400);
    });
}

#[test]
fn p6_connections_side_by_side_never_see_each_other() {
    run(async {
        let world = World::new().await;
        let (okta, entra) = (world.connect("okta").await, world.connect("entra").await);
        let hers = okta.post("/Users", &user("ada@b.example")).await.is(201).id();
        let path = format!("/Users/{hers}");
        let team = okta.post("/Groups", &group("Okta's team", &[&hers])).await.is(201).id();
        for answer in [
            entra.get(&path).await,
            entra.put(&path, &user("ada@b.example")).await,
            entra.patch(&path, &json!([{"op": "replace", "path": "active", "value": false}])).await,
            entra.delete(&path).await,
            entra.get(&format!("/Groups/{team}")).await,
            entra.delete(&format!("/Groups/{team}")).await,
        ] {
            answer.is(404);
        }
        for filter in
            ["", "?filter=userName%20eq%20%22ada@b.example%22", "?filter=title%20pr%20or%20userName%20pr"]
        {
            assert_eq!(entra.get(&format!("/Users{filter}")).await.is(200).total(), 0, "{filter}");
        }
        assert_eq!(entra.get("/Groups").await.is(200).total(), 0);
        // The same name is another person.
        let theirs = entra.post("/Users", &user("ada@b.example")).await.is(201).id();
        assert_ne!(hers, theirs);
        // Nobody puts the people of another into a group, nor learns that they are there.
        entra.post("/Groups", &group("Entra's team", &[&hers])).await.is(400);
        let unknown =
            entra.post("/Groups", &group("Entra's team", &["01890a5d-ac96-774b-bcce-b302099a8057"])).await;
        let known = entra.post("/Groups", &group("Entra's team", &[&hers])).await;
        assert_eq!(known.body, unknown.body);
        assert_eq!(okta.get(&path).await.is(200).body["groups"].as_array().unwrap().len(), 1);
        assert_eq!(okta.get("/Users").await.is(200).total(), 1);
    });
}

#[test]
fn p7_p8_attributes_are_chosen_one_way_or_the_other_and_a_count_of_none_is_the_total() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let made = client.post("/Users?attributes=userName", &user("a@b.example")).await.is(201);
        assert_eq!(made.body.as_object().unwrap().len(), 3, "schemas, id, userName: {}", made.text);
        let both = client.get("/Users?attributes=userName&excludedAttributes=title").await.is(400);
        assert_eq!(both.scim_type(), "invalidValue");
        let none = client.get("/Users?count=0").await.is(200);
        assert_eq!((none.total(), none.ids().len()), (1, 0));
        assert_eq!(client.get("/Users?count=-1&startIndex=-7").await.is(200).total(), 1);
        client.get("/Users?count=many").await.is(400);
        let past = client.get("/Users?startIndex=100").await.is(200);
        assert_eq!((past.total(), past.ids().len()), (1, 0));
        drop(world);
    });
}

#[test]
fn p9_p10_what_is_too_large_or_says_a_thing_twice_is_refused() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let large = format!("{{\"userName\":\"{}\"}}", "x".repeat(5 * 1024 * 1024));
        client.send("POST", "/Users", &[], Some(&large)).await.is(413);
        let twice =
            client.send("POST", "/Users", &[], Some(r#"{"userName":"a","userName":"b"}"#)).await.is(400);
        assert_eq!(twice.scim_type(), "invalidSyntax");
        let good = user("a@b.example").to_string();
        client.send("POST", "/Users", &[("Content-Encoding", "gzip")], Some(&good)).await.is(400);
        assert_eq!(client.get("/Users").await.is(200).total(), 0);
        drop(world);
    });
}

#[test]
fn every_endpoint_knows_its_methods_and_says_so() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let id = client.post("/Users", &user("a@b.example")).await.is(201).id();
        for (path, methods) in [
            ("/Users".to_owned(), "GET, HEAD, POST"),
            (format!("/Users/{id}"), "GET, HEAD, PUT, PATCH, DELETE"),
            ("/ServiceProviderConfig".to_owned(), "GET, HEAD"),
            ("/ResourceTypes/User".to_owned(), "GET, HEAD"),
            ("/Schemas".to_owned(), "GET, HEAD"),
            ("/Bulk".to_owned(), "POST"),
            ("/.search".to_owned(), "POST"),
        ] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                if !methods.split(", ").any(|known| known == method) {
                    let refused = client.send(method, &path, &[], None).await.is(405);
                    assert_eq!(refused.header("allow"), Some(methods), "{method} {path}");
                }
            }
        }
        for path in ["/nowhere", "", "/Users/1/2", "/ResourceTypes/Nothing", "/Schemas/urn:nothing"] {
            client.get(path).await.is(404);
        }
        client.get("/Me").await.is(501);
        client.get("/Schemas?filter=id%20pr").await.is(403);
        for (path, total) in [("/Schemas", 3), ("/ResourceTypes", 2)] {
            assert_eq!(client.get(path).await.is(200).total(), total, "{path}");
        }
        drop(world);
    });
}

#[test]
fn a_bulk_makes_a_group_of_people_that_it_makes() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [
                {"method": "POST", "path": "/Groups", "bulkId": "g",
                 "data": {"displayName": "Team", "members": [{"value": "bulkId:a"}]}},
                {"method": "POST", "path": "/Users", "bulkId": "a", "data": user("a@b.example")},
                {"method": "POST", "path": "/Users", "bulkId": "b", "data": user("A@b.example")},
                {"method": "DELETE", "path": "/Users/01890a5d-ac96-774b-bcce-b302099a8057"},
            ],
        });
        let answer = client.post("/Bulk", &bulk).await.is(200);
        let statuses: Vec<_> =
            answer.body["Operations"].as_array().unwrap().iter().map(|o| o["status"].clone()).collect();
        assert_eq!(statuses, [json!("201"), json!("201"), json!("409"), json!("404")]);
        let groups = client.get("/Groups").await.is(200);
        assert_eq!(groups.body["Resources"][0]["members"].as_array().unwrap().len(), 1);
        drop(world);
    });
}

#[test]
fn a_put_that_says_the_same_is_no_change_and_one_that_leaves_something_out_clears_it() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let made = client.post("/Users", &user("a@b.example")).await.is(201);
        let path = format!("/Users/{}", made.id());
        let same = client.put(&path, &user("a@b.example")).await.is(200);
        assert_eq!(same.body, made.body);
        let mut less = user("b@b.example");
        less.as_object_mut().unwrap().remove("displayName");
        let renamed = client.put(&path, &less).await.is(200);
        assert_eq!(
            (renamed.body.get("displayName"), &renamed.body["userName"]),
            (None, &json!("b@b.example"))
        );
        // Whoever signs in by their name signs in by the new one only.
        assert!(!world.is_cut("okta-idp:b@b.example"));
        assert_eq!(client.get("/Users?filter=userName%20eq%20%22a@b.example%22").await.is(200).total(), 0);
        client.post("/Users", &user("a@b.example")).await.is(201);
    });
}

/// Whatever a body is made of, the answer is one of the client's: no 5xx, and always in the words of SCIM.
#[test]
fn no_body_is_our_fault() {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        "\\PC{0,12}".prop_map(|text| json!(text)),
        Just(json!("01890a5d-ac96-774b-bcce-b302099a8057")),
    ];
    let key = prop_oneof![
        Just("userName"),
        Just("displayName"),
        Just("members"),
        Just("value"),
        Just("type"),
        Just("emails"),
        Just("roles"),
        Just("active"),
        Just("externalId"),
        Just("schemas"),
        Just("Operations"),
        Just("op"),
        Just("path"),
        Just("method"),
        Just("data"),
        Just("bulkId"),
        Just("filter"),
        Just("count"),
        Just("name"),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|list| json!(list)),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    });
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let person = format!("/Users/{}", client.post("/Users", &user("a@b.example")).await.is(201).id());
        let team = format!("/Groups/{}", client.post("/Groups", &group("G", &[])).await.is(201).id());
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let paths = [
            ("POST", "/Users"),
            ("POST", "/Groups"),
            ("PUT", &*person),
            ("PATCH", &*person),
            ("PUT", &*team),
            ("PATCH", &*team),
            ("POST", "/.search"),
            ("POST", "/Bulk"),
        ];
        for n in 0..400 {
            let body = value.new_tree(&mut runner).unwrap().current().to_string();
            let (method, path) = paths[n % paths.len()];
            let answer = client.send(method, path, &[], Some(&body)).await;
            assert!(answer.status < 500, "{method} {path} {body}: {}", answer.text);
            let status = answer.status;
            answer.is(status);
            world.pass(100);
        }
    });
}
