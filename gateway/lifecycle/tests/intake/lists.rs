//! Lists, searches and what follows from others: groups in groups, `/.search`, filters without an index.

use serde_json::json;

use crate::world::{World, group, run, user};

#[test]
fn groups_in_groups_are_told_as_such() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let ada = client.post("/Users", &user("ada@b.example")).await.is(201).id();
        let inner = client.post("/Groups", &group("Inner", &[&ada])).await.is(201).id();
        let outer = client.post("/Groups", &group("Outer", &[&inner])).await.is(201);
        assert_eq!(outer.body["members"][0]["type"], "Group");
        assert_eq!(outer.body["members"][0]["display"], "Inner");
        let read = client.get(&format!("/Users/{ada}")).await.is(200);
        let mut groups: Vec<_> = read.body["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| (g["display"].as_str().unwrap(), g["type"].as_str().unwrap()))
            .collect();
        groups.sort_unstable();
        assert_eq!(groups, [("Inner", "direct"), ("Outer", "indirect")]);
        for id in [&inner, &outer.id()] {
            let found = client.get(&format!("/Users?filter=groups.value%20eq%20%22{id}%22")).await.is(200);
            assert_eq!(found.ids(), std::slice::from_ref(&ada));
        }
        client.delete(&format!("/Groups/{inner}")).await.is(204);
        assert_eq!(client.get(&format!("/Users/{ada}")).await.is(200).body.get("groups"), None);
        drop(world);
    });
}

#[test]
fn a_filter_without_an_index_is_answered_by_looking_and_its_pages_are_whole() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let mut made = Vec::new();
        for n in 0..7 {
            let mut body = user(&format!("u{n}@b.example"));
            body["title"] = json!(if n % 2 == 0 { "even" } else { "odd" });
            made.push(client.post("/Users", &body).await.is(201).id());
        }
        let even: Vec<_> = made.iter().step_by(2).cloned().collect();
        let filter = "title%20eq%20%22EVEN%22%20and%20not%20(userName%20sw%20%22x%22)";
        let all = client.get(&format!("/Users?filter={filter}")).await.is(200);
        assert_eq!((all.total(), all.ids()), (4, even.clone()));
        let page = client.get(&format!("/Users?filter={filter}&startIndex=2&count=2")).await.is(200);
        assert_eq!((page.total(), page.ids()), (4, even[1..3].to_vec()));
        drop(world);
    });
}

#[test]
fn a_search_of_everything_goes_from_people_to_groups() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let ada = client.post("/Users", &user("ada@b.example")).await.is(201).id();
        let team = client.post("/Groups", &group("Team", &[])).await.is(201).id();
        let search = |more: serde_json::Value| {
            let mut body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let all = client.post("/.search", &search(json!({}))).await.is(200);
        assert_eq!((all.total(), all.ids()), (2, vec![ada.clone(), team.clone()]));
        let second = client.post("/.search", &search(json!({"startIndex": 2, "count": 5}))).await.is(200);
        assert_eq!((second.total(), second.ids()), (2, vec![team.clone()]));
        let named = search(json!({"filter": "userName eq \"ada@b.example\"", "attributes": ["userName"]}));
        let one = client.post("/.search", &named).await.is(200);
        assert_eq!((one.total(), one.ids()), (1, vec![ada.clone()]));
        assert!(one.body["Resources"][0].get("emails").is_none());
        let of_type =
            client.post("/Groups/.search", &search(json!({"filter": "displayName pr"}))).await.is(200);
        assert_eq!(of_type.ids(), [team]);
        client.post("/.search", &search(json!({"filter": "nothing pr"}))).await.is(400);
        drop(world);
    });
}

#[test]
fn several_people_may_have_one_external_id_and_all_are_found() {
    run(async {
        let (world, client) = World::new().await.connect_and("entra").await;
        let mut made = Vec::new();
        for n in 0..8 {
            let mut body = user(&format!("u{n}@b.example"));
            body["externalId"] = json!("alice");
            made.push(client.post("/Users", &body).await.is(201).id());
        }
        let found = client.get("/Users?filter=externalId%20eq%20%22alice%22").await.is(200);
        assert_eq!(found.ids(), made);
        let mut body = user("ninth@b.example");
        body["externalId"] = json!("alice");
        assert_eq!(client.post("/Users", &body).await.is(409).scim_type(), "uniqueness");
        drop(world);
    });
}

#[test]
fn whoever_takes_an_external_id_that_others_have_finds_a_place_also_where_theirs_is_taken() {
    run(async {
        let (world, client) = World::new().await.connect_and("entra").await;
        let with = |name: &str, external: &str| {
            let mut body = user(name);
            body["externalId"] = json!(external);
            body
        };
        let mut made = Vec::new();
        for n in 0..3 {
            made.push(client.post("/Users", &with(&format!("u{n}@b.example"), "alice")).await.is(201).id());
        }
        // The first place of `alice` is free again, and the third of `bob` is not.
        client.put(&format!("/Users/{}", made[0]), &with("u0@b.example", "bob")).await.is(200);
        client.put(&format!("/Users/{}", made[2]), &with("u2@b.example", "bob")).await.is(200);
        let late = client.post("/Users", &with("late@b.example", "alice")).await.is(201).id();
        let find = async |external: &str| {
            client.get(&format!("/Users?filter=externalId%20eq%20%22{external}%22")).await.is(200).ids()
        };
        assert_eq!(find("alice").await, [made[1].clone(), late]);
        assert_eq!(find("bob").await, [made[0].clone(), made[2].clone()]);
        drop(world);
    });
}
