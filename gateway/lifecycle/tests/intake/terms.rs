//! What a connection may say, and whom it takes over: roles, names of groups, and people who were handed
//! over to it.

use doorward_lifecycle::intake::connection::{ConnectionError, ConnectionToken, SubjectAttribute, Terms};
use doorward_lifecycle::machine::{Actor, Command};
use doorward_lifecycle::service::{Asker, Failed, Whom};
use doorward_model::directory::{ConnectionId, Person, PersonId, PersonState, Profile, Source};
use doorward_model::{IssuerId, UserId};
use doorward_state::directory::form;
use doorward_state::{Batch, Expected, RecordKind, Write};
use serde_json::json;

use crate::world::{Client, World, group, run, user};

fn terms(roles: &[&str], prefix: Option<&str>) -> Terms {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    Terms::read(None, &roles, prefix).unwrap()
}

impl World {
    async fn bound(&self, name: &str, prefix: Option<&str>) -> Client {
        self.connect_on(name, SubjectAttribute::UserName, terms(&[], prefix)).await
    }

    async fn one(&self, id: &str) -> Person {
        let known = self.lives.person(id.parse().unwrap()).await.unwrap().unwrap();
        (*known.0).clone()
    }

    fn group_names(&self) -> Vec<String> {
        ["Admins", "lab/Admins", "lab/Crew", "LAB/Crew", "Crew"]
            .into_iter()
            .filter(|name| self.lives.find_group(name).is_some())
            .map(str::to_owned)
            .collect()
    }
}

#[test]
fn a_source_gives_only_the_roles_that_an_operator_named_and_the_rest_are_nobodys() {
    run(async {
        let world = World::new().await;
        let okta = world.connect_on("okta", SubjectAttribute::UserName, terms(&[], None)).await;
        let mut body = user("ada@b.example");
        body["roles"] = json!([{"value": "engineer"}, {"value": "eng-lead"}, {"value": "admin"}]);
        let made = okta.post("/Users", &body).await.is(201);
        let roles = async || {
            let person = world.one(&made.id()).await;
            person.roles.names().map(|role| role.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert!(roles().await.is_empty());
        let read = okta.get(&format!("/Users/{}", made.id())).await.is(200);
        assert_eq!(read.body["roles"].as_array().unwrap().len(), 3, "it reads its own words back");
        // Named by an operator later, they count with the next word of the source, whatever it is about.
        let id = ConnectionId::new("okta").unwrap();
        let named = terms(&["engineer", "eng-*"], None).roles;
        let changed = world.connections.change_terms(&id, None, Some(named)).await.unwrap();
        assert_eq!((changed.tokens.len(), changed.terms.email_domains), (1, None));
        let title = json!([{"op": "replace", "path": "title", "value": "Lead"}]);
        okta.patch(&format!("/Users/{}", made.id()), &title).await.is(200);
        assert_eq!(roles().await, ["eng-lead", "engineer"]);
        world.connections.change_terms(&id, None, Some(terms(&["engineer"], None).roles)).await.unwrap();
        okta.put(&format!("/Users/{}", made.id()), &body).await.is(200);
        assert_eq!(roles().await, ["engineer"]);
    });
}

#[test]
fn two_sources_have_groups_of_one_name_and_none_takes_the_others() {
    run(async {
        let world = World::new().await;
        let (okta, lab) = (world.bound("okta", None).await, world.bound("lab", Some("lab/")).await);
        okta.post("/Groups", &group("Admins", &[])).await.is(201);
        let theirs = lab.post("/Groups", &group("Admins", &[])).await.is(201);
        assert_eq!(world.group_names(), ["Admins", "lab/Admins"]);
        // Its source knows it by the name that it gave.
        assert_eq!(theirs.body["displayName"], "Admins");
        let found = lab.get("/Groups?filter=displayName%20eq%20%22admins%22").await.is(200);
        assert_eq!(found.ids(), [theirs.id()]);
        let ada = lab.post("/Users", &user("ada@b.example")).await.is(201);
        let add = json!([{"op": "add", "path": "members", "value": [{"value": ada.id()}]}]);
        lab.patch(&format!("/Groups/{}", theirs.id()), &add).await.is(204);
        let shown = lab.get(&format!("/Users/{}", ada.id())).await.is(200);
        assert_eq!(shown.body["groups"][0]["display"], "Admins");
        // A rename stays within its own names.
        let rename = json!([{"op": "replace", "value": {"displayName": "Crew"}}]);
        lab.patch(&format!("/Groups/{}", theirs.id()), &rename).await.is(204);
        assert_eq!(world.group_names(), ["Admins", "lab/Crew", "LAB/Crew"], "one group, whatever the case");
        assert_eq!(lab.get(&format!("/Groups/{}", theirs.id())).await.is(200).body["displayName"], "Crew");
        // Twice the same name is no name.
        assert_eq!(lab.post("/Groups", &group("crew", &[])).await.is(409).scim_type(), "uniqueness");
    });
}

#[test]
fn nobody_makes_a_group_that_policies_would_take_for_anothers() {
    run(async {
        let world = World::new().await;
        let (okta, lab) = (world.bound("okta", None).await, world.bound("lab", Some("lab/")).await);
        for name in ["lab/Admins", "LAB/Admins", "lab/"] {
            let refused = okta.post("/Groups", &group(name, &[])).await.is(409);
            assert_eq!(refused.scim_type(), "uniqueness", "{name}");
            assert!(!refused.text.contains("lab"), "it is not told whose: {}", refused.text);
        }
        let made = okta.post("/Groups", &group("Admins", &[])).await.is(201);
        let rename = json!([{"op": "replace", "value": {"displayName": "lab/Crew"}}]);
        okta.patch(&format!("/Groups/{}", made.id()), &rename).await.is(409);
        assert_eq!(world.group_names(), ["Admins"]);
        // `lab/` of the lab itself is another name.
        lab.post("/Groups", &group("lab/Crew", &[])).await.is(201);
        assert!(world.lives.find_group("lab/lab/Crew").is_some());
        // Nor may another connection be bound to what begins so.
        let token = ConnectionToken::from_random([9; 32]);
        for prefix in ["lab/", "LAB/x", "la"] {
            let who =
                (ConnectionId::new("hr").unwrap(), IssuerId::new("hr-idp").unwrap(), SubjectAttribute::Id);
            let bound = world.connections.create_on(terms(&[], Some(prefix)), who, &token, world.now()).await;
            assert!(matches!(bound, Err(ConnectionError::PrefixTaken(_))), "{prefix}");
        }
    });
}

// Handed over.

fn ann() -> Asker {
    Asker {
        actor: Actor::Operator("ann".into()),
        asserted_at: None,
        cause: "HR has them now".into(),
        request_id: "r-9".into(),
        if_version: None,
    }
}

impl World {
    /// Somebody who joined without a connection, under this name.
    async fn local(&self, n: u128, name: &str, sign_in: &str) -> PersonId {
        let id = PersonId::from_u128(n);
        let profile = Profile::named(name.to_owned());
        let mut person = Person::new(id, Source::Local, PersonState::Active, profile, self.now());
        person.links.insert(sign_in.parse::<UserId>().unwrap());
        let (body, keys) = form::encode_person(&person).unwrap();
        let write = Write {
            kind: RecordKind::Person,
            id: id.to_string().into(),
            expected: Expected::Absent,
            body: Some(body.into()),
            keys,
        };
        self.store.commit(Batch { writes: vec![write], changes: Vec::new() }).await.unwrap();
        id
    }

    async fn hand(&self, id: PersonId, to: Option<&str>) -> Result<(), Failed> {
        let to = to.map(|name| ConnectionId::new(name).unwrap());
        self.lives.ask(Whom::Person(id), Command::HandOver(to), ann()).await.map(|_| ())
    }
}

#[test]
fn whoever_was_handed_over_is_taken_over_by_name_or_by_sign_in() {
    run(async {
        let world = World::new().await;
        let okta = world.connect_by("okta", SubjectAttribute::ExternalId).await;
        let ada = world.local(1, "Ada@b.example", "corp:ada").await;
        let bob = world.local(2, "bob", "okta-idp:00ubob@b.example").await;
        for (id, name) in [(ada, "ada@b.example"), (bob, "bob@b.example")] {
            world.hand(id, Some("okta")).await.unwrap();
            // Nothing is the source's until it says so: it finds nobody and counts nobody.
            let filter = format!("/Users?filter=userName%20eq%20%22{name}%22");
            assert_eq!(okta.get(&filter).await.is(200).total(), 0);
            okta.get(&format!("/Users/{id}")).await.is(404);
            let made = okta.post("/Users", &user(name)).await.is(201);
            assert_eq!(made.id(), id.to_string(), "they keep their id");
            assert_eq!(okta.get(&filter).await.is(200).ids(), [id.to_string()]);
            let person = world.one(&id.to_string()).await;
            assert_eq!(person.source, Source::Scim(ConnectionId::new("okta").unwrap()));
            assert_eq!((person.offered_to.clone(), person.admitted()), (None, true));
            assert_eq!(person.profile.name.as_deref(), Some("Test User"), "what the source says counts");
            assert!(person.links.contains(&format!("okta-idp:00u{name}").parse().unwrap()));
        }
        assert!(
            world.one(&ada.to_string()).await.links.contains(&"corp:ada".parse().unwrap()),
            "and their sign-in"
        );
        assert_eq!(okta.get("/Users").await.is(200).total(), 2);
        // Twice is a conflict, as for everybody whom it has.
        okta.post("/Users", &user("ada@b.example")).await.is(409);
        let gone = json!([{"op": "replace", "path": "active", "value": false}]);
        okta.patch(&format!("/Users/{ada}"), &gone).await.is(200);
        assert!(world.is_cut("corp:ada"), "whoever leaves leaves with every sign-in");
    });
}

#[test]
fn nobody_else_is_taken_over() {
    run(async {
        let world = World::new().await;
        let okta = world.connect_by("okta", SubjectAttribute::UserName).await;
        let hr = world.connect("hr").await;
        // Not handed over; handed over to another; taken back; held since.
        let people = [
            (1, "ada@b.example", None),
            (2, "bob@b.example", Some("hr")),
            (3, "eve@b.example", Some("okta")),
            (4, "dan@b.example", Some("okta")),
        ];
        for (n, name, to) in people {
            let id = world.local(n, name, &format!("okta-idp:{name}")).await;
            world.hand(id, to).await.unwrap();
            match n {
                3 => world.hand(id, None).await.unwrap(),
                4 => drop(world.lives.ask(Whom::Person(id), Command::HoldSet, ann()).await.unwrap()),
                _ => {}
            }
            let before = world.one(&id.to_string()).await;
            okta.post("/Users", &user(name)).await.is(409);
            assert_eq!(world.one(&id.to_string()).await, before, "{name}");
        }
        assert_eq!(okta.get("/Users").await.is(200).total(), 0);
        assert!(matches!(world.hand(PersonId::from_u128(4), Some("hr")).await, Err(Failed::Denied(_))));
        // Somebody of a source is nobody's to hand over.
        let fay = hr.post("/Users", &user("fay@b.example")).await.is(201);
        let refused = world.hand(fay.id().parse().unwrap(), Some("okta")).await;
        assert!(matches!(refused, Err(Failed::Denied(_))), "{refused:?}");
    });
}

#[test]
fn where_two_could_be_meant_nobody_is() {
    run(async {
        let world = World::new().await;
        let okta = world.connect_by("okta", SubjectAttribute::ExternalId).await;
        let named = world.local(1, "ada@b.example", "corp:one").await;
        let signs_in = world.local(2, "two", "okta-idp:00uada@b.example").await;
        for id in [named, signs_in] {
            world.hand(id, Some("okta")).await.unwrap();
        }
        let refused = okta.post("/Users", &user("ada@b.example")).await.is(409);
        assert!(refused.text.contains("two people were handed over"), "{}", refused.text);
        world.hand(signs_in, None).await.unwrap();
        // The sign-in is somebody else's still.
        okta.post("/Users", &user("ada@b.example")).await.is(409);
        assert_eq!(world.one(&named.to_string()).await.source, Source::Local, "nothing is half done");
    });
}
