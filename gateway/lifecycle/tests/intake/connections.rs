//! Connections and their tokens.

use std::time::Duration;

use doorward_lifecycle::intake::connection::{
    ConnectionError, ConnectionToken, LAST_USED_SECONDS, Listener, SubjectAttribute, TOKENS_MAX,
};
use doorward_model::IssuerId;
use doorward_model::directory::ConnectionId;

use crate::world::{World, run, user};

#[test]
fn a_token_is_rotated_with_an_overlap_and_ends_at_once_when_it_is_revoked() {
    run(async {
        let (world, old) = World::new().await.connect_and("okta").await;
        let id = ConnectionId::new("okta").unwrap();
        let token = ConnectionToken::from_random([42; 32]);
        let connection = world.connections.rotate(&id, &token, world.now()).await.unwrap();
        assert_eq!(connection.tokens.len(), TOKENS_MAX);
        let new = world.client(token.expose());
        old.post("/Users", &user("a@b.example")).await.is(201);
        assert_eq!(new.get("/Users").await.is(200).total(), 1, "both are good, and see the same");
        let third = ConnectionToken::from_random([43; 32]);
        let refused = world.connections.rotate(&id, &third, world.now()).await;
        assert!(matches!(refused, Err(ConnectionError::TooManyTokens(_))));
        let name = connection.tokens[0].hash.name();
        world.connections.revoke(&id, &name).await.unwrap();
        old.get("/Users").await.is(401);
        new.get("/Users").await.is(200);
        assert!(matches!(world.connections.revoke(&id, &name).await, Err(ConnectionError::UnknownToken(_))));
        world.client(third.expose()).get("/Users").await.is(401);
    });
}

#[test]
fn a_removed_connection_is_gone_with_its_tokens_and_its_name() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let id = ConnectionId::new("okta").unwrap();
        world.connections.remove(&id).await.unwrap();
        client.get("/Users").await.is(401);
        assert!(matches!(world.connections.remove(&id).await, Err(ConnectionError::Unknown(_))));
        let token = ConnectionToken::from_random([1; 32]);
        let issuer = IssuerId::new("corp").unwrap();
        let again = world.connections.create(id, issuer, SubjectAttribute::Id, &token, world.now()).await;
        assert!(matches!(again, Err(ConnectionError::Taken(_))));
        assert_eq!(world.connections.list().await.unwrap(), []);
    });
}

#[test]
fn it_is_known_when_a_token_was_last_used_and_no_secret_is_kept() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let id = ConnectionId::new("okta").unwrap();
        let used = || async { world.connections.get(&id).await.unwrap().tokens[0].last_used_at };
        assert_eq!(used().await, None);
        // Nobody waits for it to be noted.
        let noted = async |at| {
            for _ in 0..6000 {
                if used().await == Some(at) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            panic!("it is not noted: {:?}", used().await);
        };
        client.get("/Users").await.is(200);
        let first = world.now();
        noted(first).await;
        world.pass(1000);
        client.get("/Users").await.is(200);
        assert_eq!(used().await, Some(first), "not written for every request");
        world.pass(i64::try_from(LAST_USED_SECONDS).unwrap() * 1000);
        client.get("/Users").await.is(200);
        noted(world.now()).await;
        let connection = world.connections.get(&id).await.unwrap();
        assert!(!format!("{connection:?}").contains(&client.token[8..20]));
        for entry in std::fs::read_dir(world.dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            let secret = client.token.as_bytes();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "the token is on the disk");
        }
    });
}

#[test]
fn the_subject_of_the_sign_in_is_the_attribute_that_the_connection_names() {
    run(async {
        let world = World::new().await;
        for (name, subject, want) in [
            ("by-name", SubjectAttribute::UserName, "ada@b.example"),
            ("by-external", SubjectAttribute::ExternalId, "00uada@b.example"),
            ("by-email", SubjectAttribute::WorkEmail, "ada@b.example"),
        ] {
            let client = world.connect_by(name, subject).await;
            let made = client.post("/Users", &user("ada@b.example")).await.is(201);
            let gone = serde_json::json!([{"op": "replace", "path": "active", "value": false}]);
            client.patch(&format!("/Users/{}", made.id()), &gone).await.is(200);
            assert!(world.is_cut(&format!("{name}-idp:{want}")), "{name}");
        }
    });
}

/// Whether the source is owed for, and how many times the log has that it began or ended.
async fn owed(world: &World) -> Vec<String> {
    let debts = world.store.debts(true, None, 100).await.unwrap();
    debts.into_iter().map(|debt| format!("{} {}", debt.kind.as_str(), debt.about)).collect()
}

/// That a token was used is kept beside the answer.
async fn until_used(world: &World) {
    let used = async {
        let id = ConnectionId::new("okta").unwrap();
        while world.connections.get(&id).await.unwrap().tokens[0].last_used_at != Some(world.now()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), used).await.expect("the use to be kept");
}

#[test]
fn a_source_that_stays_away_is_owed_until_it_comes_again() {
    run(async {
        let (world, client) = World::new().await.connect_and("okta").await;
        let hour = 3_600_000;
        let listener = || Listener::new(world.store.clone(), world.lives.clone(), Duration::from_hours(3));
        let mut listens = listener();
        listens.look(world.now()).await.unwrap();
        client.get("/Users").await.is(200);
        until_used(&world).await;
        world.pass(3 * hour - 1);
        listens.look(world.now()).await.unwrap();
        assert_eq!(owed(&world).await, Vec::<String>::new());
        world.pass(1);
        for _ in 0..3 {
            listens.look(world.now()).await.unwrap();
        }
        let one =
            vec!["silent_source connection okta: whoever leaves there may still have access here".to_owned()];
        assert_eq!(owed(&world).await, one);
        // A process that begins, and one beside it, owe nothing more.
        listener().look(world.now()).await.unwrap();
        assert_eq!(owed(&world).await, one);
        client.get("/Users").await.is(200);
        until_used(&world).await;
        // Also the process that begins then settles.
        listener().look(world.now()).await.unwrap();
        assert_eq!(owed(&world).await, Vec::<String>::new());
        listens.look(world.now()).await.unwrap();
        // What somebody settled stays settled, and a new silence is owed anew.
        world.pass(3 * hour);
        listens.look(world.now()).await.unwrap();
        let debt = world.store.debts(true, None, 100).await.unwrap().remove(0);
        world.store.settle_debt(debt.id, world.now(), "known".to_owned()).await.unwrap();
        listener().look(world.now()).await.unwrap();
        assert_eq!(owed(&world).await, Vec::<String>::new());
        assert_eq!(world.store.debts(false, None, 100).await.unwrap().len(), 2);
        // Nobody waits for one that nobody may use.
        let id = ConnectionId::new("okta").unwrap();
        world.connections.remove(&id).await.unwrap();
        world.pass(hour);
        listens.look(world.now()).await.unwrap();
        assert_eq!(owed(&world).await, Vec::<String>::new());
    });
}
