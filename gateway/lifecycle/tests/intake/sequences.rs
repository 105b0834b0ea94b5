//! What the clients of Okta and Microsoft Entra ID send one after the other, from the test of the connection to
//! the last deletion, as it goes over the wire: each step with what it is answered, and what is so then.
//!
//! A step is a line: method, path, body, status. `{name}` in a path or a body is the `id` that an answer before
//! had; `name <-` before a step keeps the id of its answer. Sequences are recorded forms; names are ours.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Client, Reply, World, run};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A client that remembers ids.
struct Sequence {
    client: Client,
    ids: BTreeMap<&'static str, String>,
}

impl Sequence {
    fn of(client: Client) -> Self {
        Self { client, ids: BTreeMap::new() }
    }

    fn filled(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
    }

    /// One step; a body of `""` is none.
    async fn step(&self, method: &str, path: &str, body: &str, status: u16) -> Reply {
        let (path, body) = (self.filled(path), self.filled(body));
        let body = (!body.is_empty()).then_some(body.as_str());
        self.client.send(method, &path, &[], body).await.is(status)
    }

    /// A step whose answer has an id that is used later.
    async fn keep(&mut self, name: &'static str, path: &str, body: &str) -> Reply {
        let made = self.step("POST", path, body, 201).await;
        self.ids.insert(name, made.id());
        made
    }

    async fn patch(&self, path: &str, operations: &str, status: u16) -> Reply {
        let body = format!(r#"{{"schemas":["{PATCH}"],"Operations":{operations}}}"#);
        self.step("PATCH", path, &body, status).await
    }

    async fn members(&self, group: &str) -> Vec<Value> {
        let read = self.step("GET", group, "", 200).await.body["members"].clone();
        read.as_array().into_iter().flatten().map(|member| member["value"].clone()).collect()
    }

    fn id(&self, name: &str) -> Value {
        json!(self.ids[name])
    }
}

#[test]
fn oktas_way_with_somebody_from_the_first_look_up_to_the_return() {
    run(async {
        let (world, okta) = World::new().await.connect_and("okta").await;
        let mut okta = Sequence::of(okta.like_okta());
        let sign_in = "okta-idp:isaac.brock@example.com";
        // The connector is tested, then somebody is assigned (O1, O3, O4).
        assert_eq!(okta.step("GET", "/Users?startIndex=1&count=2", "", 200).await.total(), 0);
        let look = "/Users?filter=userName%20eq%20%22isaac.brock%40example.com%22&startIndex=1&count=100";
        assert_eq!(okta.step("GET", look, "", 200).await.total(), 0);
        let whole = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"isaac.brock@example.com",
            "name":{"givenName":"Isaac","familyName":"Brock"},
            "emails":[{"primary":true,"value":"isaac.brock@example.com","type":"work"}],
            "displayName":"Isaac Brock","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],
            "password":"1mz050nq","active":true}"#;
        let made = okta.keep("isaac", "/Users", whole).await;
        assert_eq!(made.body["name"]["familyName"], "Brock");
        assert_eq!(okta.step("GET", look, "", 200).await.ids(), [made.id()]);
        // Okta reads before it writes, and writes the whole person (O7).
        let mut read = okta.step("GET", "/Users/{isaac}", "", 200).await.body;
        read["name"]["familyName"] = json!("Brocken");
        let told = okta.step("PUT", "/Users/{isaac}", &read.to_string(), 200).await;
        assert_eq!(told.body["name"]["familyName"], "Brocken");
        // Groups are pushed: made, renamed, filled, and filled anew (O9, O10, O11).
        let groups = "/Groups?filter=displayName%20eq%20%22Test%20SCIMv2%22&startIndex=1&count=100";
        assert_eq!(okta.step("GET", groups, "", 200).await.total(), 0);
        let team = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}"#;
        okta.keep("team", "/Groups", team).await;
        let renamed = r#"[{"op":"replace","value":{"id":"{team}","displayName":"Test SCIMv2"}}]"#;
        okta.patch("/Groups/{team}", &okta.filled(renamed), 204).await;
        let add = r#"[{"op":"add","path":"members","value":[{"value":"{isaac}","display":"isaac.brock@example.com"}]}]"#;
        okta.patch("/Groups/{team}", &okta.filled(add), 204).await;
        assert_eq!(okta.members("/Groups/{team}").await, [okta.id("isaac")]);
        let replaced = r#"[{"op":"replace","path":"members","value":[{"value":"{isaac}"}]}]"#;
        okta.patch("/Groups/{team}", &okta.filled(replaced), 204).await;
        // Unassigned, by PATCH as catalog apps do, and by PUT as own ones do (O6, O8): the same leaving.
        let away = okta.patch("/Users/{isaac}", r#"[{"op":"replace","value":{"active":false}}]"#, 200).await;
        assert!(away.body["active"] == json!(false) && world.is_cut(sign_in));
        assert_eq!(okta.step("GET", look, "", 200).await.ids(), [made.id()], "they are found all the same");
        let mut read = okta.step("GET", "/Users/{isaac}", "", 200).await.body;
        read["active"] = json!(true);
        let back = okta.step("PUT", "/Users/{isaac}", &read.to_string(), 200).await;
        assert!(back.id() == made.id() && !world.is_cut(sign_in));
        assert_eq!(okta.members("/Groups/{team}").await, [okta.id("isaac")]);
        read["active"] = json!(false);
        okta.step("PUT", "/Users/{isaac}", &read.to_string(), 200).await;
        assert!(world.is_cut(sign_in));
        // Group push ends with the group.
        okta.patch(
            "/Groups/{team}",
            &okta.filled(r#"[{"op":"remove","path":"members[value eq \"{isaac}\"]"}]"#),
            204,
        )
        .await;
        assert_eq!(okta.members("/Groups/{team}").await, Vec::<Value>::new());
        okta.step("DELETE", "/Groups/{team}", "", 204).await;
        okta.step("GET", "/Groups/{team}", "", 404).await;
    });
}

#[test]
fn entras_way_with_somebody_from_the_test_of_the_connection_to_the_hard_delete() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    run(async {
        let (world, entra) = World::new().await.connect_and("entra").await;
        let mut entra = Sequence::of(entra);
        let sign_in = "entra-idp:test_user_ab6490ee@testuser.com";
        // Test Connection asks for nobody (E9).
        let nobody = "/Users?filter=userName+eq+%22943d4fc5-9f27-4b2a-8e1a-6a2a0a2a4a4a%22&aadOptscim062020";
        let empty = entra.step("GET", nobody, "", 200).await;
        assert_eq!((empty.total(), &empty.body["Resources"]), (0, &json!([])));
        let look = "/Users?filter=externalId+eq+%220a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef%22";
        assert_eq!(entra.step("GET", look, "", 200).await.total(), 0);
        // With nulls, a text for a boolean, and a `meta` that is ours to say (E1, E13).
        let body = format!(
            r#"{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{ENTERPRISE}"],
                "externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef","userName":"Test_User_ab6490ee@testuser.com",
                "active":"True","addresses":null,"displayName":"lennay","meta":{{"resourceType":"User"}},
                "name":{{"formatted":"Adrienne McNally","familyName":"McNally","givenName":"Adrienne"}},"roles":[],
                "emails":[{{"primary":true,"type":"work","value":"Test_User_fd0ea19b@testuser.com"}}]}}"#
        );
        let made = entra.keep("lennay", "/Users", &body).await;
        assert_eq!(
            (&made.body["active"], &made.body["userName"]),
            (&json!(true), &json!("Test_User_ab6490ee@testuser.com"))
        );
        // The sign-in is compared byte by byte.
        assert!(!world.is_cut("entra-idp:Test_User_ab6490ee@testuser.com"));
        let boss = r#"{"userName":"boss@testuser.com","active":true,"externalId":"b0"}"#;
        entra.keep("boss", "/Users", boss).await;
        // The profile, key by key and by value filters (E2, E5, E6, E7, E20).
        let profile = format!(
            r#"[{{"op":"Replace","path":"emails[type eq \"work\"].value","value":"updatedEmail@testuser.com"}},
                {{"op":"Replace","path":"name.familyName","value":"updatedFamilyName"}},
                {{"op":"Add","path":"{ENTERPRISE}:manager","value":[{{"$ref":"http://x/Users/{{boss}}","value":"{{boss}}"}}]}},
                {{"op":"Replace","value":{{"displayName":"Lennay A","{ENTERPRISE}:employeeNumber":"17"}}}}]"#
        );
        let told = entra.patch("/Users/{lennay}", &entra.filled(&profile), 200).await;
        assert_eq!(
            told.body["emails"],
            json!([{"primary": true, "type": "work", "value": "updatedEmail@testuser.com"}])
        );
        assert_eq!(told.body[ENTERPRISE]["manager"]["value"], entra.id("boss"));
        assert_eq!(
            (&told.body["displayName"], &told.body[ENTERPRISE]["employeeNumber"]),
            (&json!("Lennay A"), &json!("17"))
        );
        // A group, made with what we do not know, looked for and read without members (E8, E10, E11).
        let group = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group",
            "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId":"8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159","displayName":"displayName","meta":{"resourceType":"Group"}}"#;
        let look_group = "/Groups?excludedAttributes=members&filter=displayName+eq+%22displayName%22";
        assert_eq!(entra.step("GET", look_group, "", 200).await.total(), 0);
        entra.keep("group", "/Groups", group).await;
        assert_eq!(entra.step("GET", look_group, "", 200).await.total(), 1);
        let add = r#"[{"op":"Add","path":"members","value":[{"$ref":null,"value":"{lennay}"},{"$ref":null,"value":"{boss}"}]}]"#;
        assert_eq!(entra.patch("/Groups/{group}", &entra.filled(add), 204).await.text, "");
        let read = entra.step("GET", "/Groups/{group}?excludedAttributes=members", "", 200).await;
        assert_eq!(read.body.get("members"), None);
        // Out of scope (E1, E18): cut off, and found all the same (E15). Back: the groups are not sent again.
        entra.patch("/Users/{lennay}", r#"[{"op":"Replace","path":"active","value":"False"}]"#, 200).await;
        assert!(world.is_cut("entra-idp:Test_User_ab6490ee@testuser.com"));
        assert_eq!(entra.step("GET", look, "", 200).await.ids(), [made.id()]);
        entra.patch("/Users/{lennay}", r#"[{"op":"Replace","path":"active","value":"True"}]"#, 200).await;
        assert_eq!(entra.members("/Groups/{group}").await, [entra.id("lennay"), entra.id("boss")]);
        // One member goes, and no other (E3).
        let one = r#"[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"{lennay}"}]}]"#;
        entra.patch("/Groups/{group}", &entra.filled(one), 204).await;
        assert_eq!(entra.members("/Groups/{group}").await, [entra.id("boss")]);
        // Deleted softly, and 30 days later for good (E18).
        entra.patch("/Users/{lennay}", r#"[{"op":"replace","path":"active","value":false}]"#, 200).await;
        entra.step("DELETE", "/Users/{lennay}", "", 204).await;
        entra.step("GET", "/Users/{lennay}", "", 404).await;
        assert_eq!(entra.step("GET", look, "", 200).await.total(), 0);
        assert!(world.is_cut("entra-idp:Test_User_ab6490ee@testuser.com") && !world.is_cut(sign_in));
        entra.step("DELETE", "/Groups/{group}", "", 204).await;
    });
}
