//! Somebody signs in whom the directory does not know: who joins, and who does not. The issuer `corp`
//! speaks for `corp.example` and makes people known, and `twin` as well; `lab` speaks for `lab.example` and makes
//! nobody known.

use std::collections::{BTreeMap, BTreeSet};

use doorward_lifecycle::machine::Command;
use doorward_lifecycle::service::{Done, NotJoined, Whom};
use doorward_model::directory::{Email, Origin, PersonId, PersonState, Profile, Source};
use doorward_model::{CountryCode, Employment, LifecycleStage, Target, UnixMillis, User};
use doorward_state::{Action, Change};

use crate::fixture::{House, Running, ann, asker, okta, person, role, run};

const DAY: i64 = 24 * 3600 * 1000;

/// Who signs in so, with this verified address.
fn user(sign_in: &str, address: &str) -> User {
    User {
        id: sign_in.parse().unwrap(),
        name: Some("Ada".to_owned()),
        email: Some(address.to_owned()),
        groups: ["admins".to_owned()].into(),
        roles: ["admin".to_owned()].into(),
        stage: LifecycleStage::Active,
        employment: Employment::Employee,
        contract_end: None,
        home_country: CountryCode::UNKNOWN,
        department: Some("engines".to_owned()),
        tags: BTreeMap::new(),
    }
}

impl Running {
    async fn join(&self, user: User) -> Result<Done, NotJoined> {
        self.service.join(user, "r-7".into()).await
    }

    /// Why they do not join, in the words of the log.
    async fn no(&self, user: User) -> String {
        let people = self.service.people_count();
        let told = self.join(user).await.unwrap_err().to_string();
        assert_eq!(self.service.people_count(), people, "nobody was made known");
        told
    }

    async fn invite(&self, n: u128, address: &str) -> PersonId {
        let mut profile = Profile::named(format!("user-{n}"));
        profile.emails = vec![Email { address: address.to_owned(), verified: false, primary: true }];
        self.invite_as(n, profile).await
    }

    async fn invite_as(&self, n: u128, profile: Profile) -> PersonId {
        let (id, roles) = (person(n), BTreeSet::from([role("guest")]));
        let command = Command::Invite { id, profile: profile.into(), roles };
        self.service.ask(Whom::New, command, asker(&ann())).await.unwrap();
        id
    }

    async fn by_hand(&self, sign_in: &str, action: Action) {
        let change = Change {
            target: Target::User(sign_in.parse().unwrap()),
            action,
            cause: "stolen".to_owned(),
            actor: "operator".to_owned(),
            request_id: "r-0".to_owned(),
        };
        self.revocations.apply(change).await.unwrap();
    }

    fn is_off(&self, sign_in: &str) -> bool {
        let entry = self.revocations.lookup(&Target::User(sign_in.parse().unwrap()));
        entry.is_some_and(|entry| entry.disabled)
    }
}

#[test]
fn whoever_is_invited_joins_by_the_address_that_was_invited() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let ada = running.invite(1, "ada@lab.example").await;
        let before = house.events().len();
        let done = running.join(user("lab:0u-1", "Ada@Lab.example")).await.unwrap();
        assert_eq!((done.person.id, done.edges.as_slice()), (ada, &["T5"][..]));
        let known = running.known(ada).await.unwrap();
        assert!(known.admitted() && known.links.contains(&"lab:0u-1".parse().unwrap()));
        assert_eq!(known.profile.verified_email(), Some("ada@lab.example"));
        let roles: Vec<_> = known.roles.iter().map(|given| given.what.as_str()).collect();
        assert_eq!(
            roles,
            ["everybody", "guest"],
            "what an operator said, and what everybody has; not the token's"
        );
        assert!(!running.is_off("lab:0u-1"), "it goes on");
        assert_eq!(
            house.told(before),
            ["directory.change.intended (intended)", "user.lifecycle.activate"],
            "in the log before it happened"
        );
        let told = house.events().last().unwrap().clone();
        assert_eq!(told["unmapped"]["doorward"]["lifecycle"]["cause"], "accepted an invitation", "{told}");
        // An invitation is good once.
        let again = running.no(user("lab:0u-2", "ada@lab.example")).await;
        assert!(again.contains("known already, active"), "{again}");
        running.close().await;
    });
}

#[test]
fn where_it_is_allowed_the_first_sign_in_makes_somebody_known() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let done = running.join(user("corp:1", "ada@corp.example")).await.unwrap();
        assert_eq!(done.edges, ["T7"]);
        let known = running.known(done.person.id).await.unwrap();
        assert_eq!(known.source, Source::SignIn("corp".parse_issuer()));
        assert!(known.admitted() && !running.is_off("corp:1"));
        let roles: Vec<_> = known.roles.iter().map(|given| (given.what.as_str(), &given.origin)).collect();
        assert_eq!(roles, [("everybody", &Origin::Default)], "none of the token's");
        assert!(known.groups.is_empty());
        assert_eq!(known.profile.department.as_deref(), Some("engines"));
        // A second sign-in of the same address is not the same person.
        assert!(running.no(user("corp:2", "ada@corp.example")).await.contains("known already, active"));
        running.close().await;
    });
}

trait ParseIssuer {
    fn parse_issuer(&self) -> doorward_model::IssuerId;
}

impl ParseIssuer for str {
    fn parse_issuer(&self) -> doorward_model::IssuerId {
        doorward_model::IssuerId::new(self).unwrap()
    }
}

#[test]
fn nobody_joins_of_whom_the_issuer_does_not_say_enough() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.invite(1, "ada@corp.example").await;
        let ada = || user("corp:1", "ada@corp.example");
        let now = house.now();
        for (who, why) in [
            (User { email: None, ..ada() }, "calls no e-mail address of theirs verified"),
            (user("corp:1", "ada@other.example"), "does not speak for the domain"),
            (user("corp:1", "ada@sub.corp.example"), "does not speak for the domain"),
            (user("lab:1", "ada@corp.example"), "does not speak for the domain"),
            (user("web:1", "ada@corp.example"), "nobody joins by `web`"),
            (user("lab:1", "eve@lab.example"), "nobody invited them, and `first_sign_in` is off"),
            (User { stage: LifecycleStage::Suspended, ..ada() }, "their issuer calls them suspended"),
            (User { stage: LifecycleStage::Unknown, ..ada() }, "their issuer calls them unknown"),
            (User { contract_end: Some(now), ..ada() }, "their contract is over"),
        ] {
            let told = running.no(who.clone()).await;
            assert!(told.contains(why), "{told}: {why}");
            // The same is known without asking anybody, where it is the issuer's word.
            let may = running.service.may_join(&who);
            assert_eq!(may.is_ok(), why.contains("nobody invited"), "{why}");
            assert!(!told.contains("example"), "no address stands in the log: {told}");
        }
        assert_eq!(running.known(person(1)).await.unwrap().state, PersonState::Invited);
        running.join(User { contract_end: Some(UnixMillis(now.0 + 1)), ..ada() }).await.unwrap();
        running.close().await;
    });
}

#[test]
fn an_invitation_ends_with_its_time_and_two_are_none() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.invite(1, "ada@lab.example").await;
        running.invite(2, "bob@lab.example").await;
        let bobs = running.invite(3, "Bob@lab.example").await;
        let (ada, bob) = (|| user("lab:a", "ada@lab.example"), || user("lab:b", "bob@lab.example"));
        assert!(running.no(bob()).await.contains("2 invitations name their address"));
        house.pass(7 * DAY - 1);
        running.service.ask(Whom::Person(bobs), Command::RevokeInvitation, asker(&ann())).await.unwrap();
        let joined = running.join(bob()).await.unwrap();
        assert_eq!(joined.person.id, person(2));
        house.pass(1);
        assert!(running.no(ada()).await.contains("out of time"));
        running.close().await;
    });
}

/// An address leads to nobody who is there, whatever their standing: else a second sign-in would be a way
/// around a hold or a leaving.
#[test]
fn nobody_comes_in_by_another_door() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for (n, name, does, state) in [
            (1, "ada", None, "active"),
            (2, "bob", Some(Command::HoldSet), "active"),
            (3, "carol", Some(Command::Suspend), "suspended"),
            (4, "dora", Some(Command::Deactivate), "deactivated"),
        ] {
            let id = running.hire(n, name).await;
            if let Some(command) = does {
                running.ask(id, command, &ann()).await.unwrap();
            }
            let told = running.no(user(&format!("corp:{name}-2"), &format!("{name}@corp.example"))).await;
            assert!(told.contains(&format!("known already, {state}")), "{told}");
            assert_eq!(running.known(id).await.unwrap().links.len(), 1, "nothing was linked to {name}");
        }
        // Also where only the name in a source is the address.
        let profile = Profile::named("erin@corp.example".to_owned());
        let command = Command::ScimCreate {
            id: person(5),
            profile: profile.into(),
            active: true,
            links: BTreeSet::new(),
        };
        running.service.ask(Whom::New, command, asker(&okta())).await.unwrap();
        assert!(running.no(user("corp:erin", "Erin@corp.example")).await.contains("known already"));
        // An invitation beside a person of the same address is for an operator to look at.
        running.invite(6, "dora@corp.example").await;
        assert!(running.no(user("corp:dora-2", "dora@corp.example")).await.contains("known already"));
        // Whoever is deleted has no address any more.
        running.ask(person(1), Command::ScimDelete, &okta()).await.unwrap();
        let joined = running.join(user("corp:new", "ada@corp.example")).await.unwrap();
        assert_ne!(joined.person.id, person(1));
        running.close().await;
    });
}

#[test]
fn a_sign_in_that_is_cut_off_joins_by_an_invitation_only_and_signs_in_anew() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        running.by_hand("corp:1", Action::Disable).await;
        let ada = || user("corp:1", "ada@corp.example");
        assert!(running.no(ada()).await.contains("their sign-in was cut off"));
        running.invite(1, "ada@corp.example").await;
        let joined = running.join(ada()).await.unwrap();
        // Somebody else than the directory disabled it, and the person is not an operator.
        assert!(joined.person.admitted() && running.is_off("corp:1"));
        // Whose it was has left for good, and comes back as somebody else.
        let bob = running.hire(2, "bob").await;
        running.ask(bob, Command::ScimDelete, &okta()).await.unwrap();
        let again = || user("corp:bob", "bob@corp.example");
        assert!(running.no(again()).await.contains("their sign-in was cut off"));
        running.invite(3, "bob@corp.example").await;
        let before = running.revocations.lookup(&Target::User(again().id)).unwrap();
        house.pass(5_000);
        running.join(again()).await.unwrap();
        let after = running.revocations.lookup(&Target::User(again().id)).unwrap();
        assert!(
            !after.disabled && after.not_before > before.not_before,
            "a token of before is dead: {after:?}"
        );
        running.close().await;
    });
}

#[test]
fn whoever_is_held_back_joins_and_is_not_let_in() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let ada = running.invite(1, "ada@lab.example").await;
        running.ask(ada, Command::HoldSet, &ann()).await.unwrap();
        let joined = running.join(user("lab:1", "ada@lab.example")).await.unwrap();
        assert_eq!((joined.edges.as_slice(), joined.person.admitted()), (&["T5"][..], false));
        assert!(running.is_off("lab:1"));
        running.close().await;
    });
}

#[test]
fn whoever_comes_before_their_first_day_waits_for_it() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        let mut profile = Profile::named("ada".to_owned());
        profile.emails =
            vec![Email { address: "ada@lab.example".to_owned(), verified: false, primary: true }];
        profile.starts_at = Some(UnixMillis(house.now().0 + DAY));
        let ada = running.invite_as(1, profile).await;
        let joined = running.join(user("lab:1", "ada@lab.example")).await.unwrap();
        assert_eq!(joined.person.state, PersonState::Staged);
        assert!(running.is_off("lab:1"));
        // The time of the invitation is over, and that ends nothing any more.
        house.pass(8 * DAY);
        running.service.run_due(house.now()).await;
        let known = running.known(ada).await.unwrap();
        assert!(known.admitted() && !running.is_off("lab:1"));
        running.close().await;
    });
}

#[test]
fn of_two_sign_ins_of_one_address_at_once_one_joins() {
    run(async {
        let house = House::new();
        let running = house.open().await;
        for round in 0..10 {
            let ask = |issuer: &str| {
                running.join(user(&format!("{issuer}:{round}"), &format!("a{round}@corp.example")))
            };
            let (a, b) = tokio::join!(ask("corp"), ask("twin"));
            let joined = [a, b].into_iter().filter(Result::is_ok).count();
            assert_eq!(joined, 1, "round {round}");
        }
        assert_eq!(running.service.people_count(), 10);
        running.close().await;
    });
}
