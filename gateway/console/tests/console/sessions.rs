//! Where somebody is signed in with a browser, and ending that.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use doorward_console::{BrowserSession, BrowserSessions, Ports};
use doorward_model::{AppId, EntryKind, Target, UnixMillis, UserId};
use serde_json::json;

use crate::fixture::{Gateway, NOON, run};

const ONE: &str = "dws-AAAAAAAAAAAAAAAAAAAAAA";
const OTHER: &str = "dws-AAAAAAAAAAAAAAAAAAAABB";
const THIRD: &str = "dws-CCCCCCCCCCCCCCCCCCCCCC";

fn session(id: &str) -> BrowserSession {
    BrowserSession {
        id: id.into(),
        target: Target::parse(EntryKind::Token, &format!("corp:{id}")).unwrap(),
        stands: true,
        signed_in_at: UnixMillis(NOON - 3_600_000),
        seen_at: UnixMillis(NOON - 60_000),
        confirmed_at: UnixMillis(NOON - 600_000),
        expires_at: UnixMillis(NOON + 3_600_000),
        client: IpAddr::from([192, 0, 2, 7]),
        country: Some("DE".to_owned()),
        browser: "Firefox on Linux".to_owned(),
        device: None,
        provider_session: Some("corp:s-1".parse().unwrap()),
        refresh_token: true,
        apps: vec![AppId::new("wiki").unwrap()],
        running: 2,
    }
}

/// Alice has these; of nobody else anything is kept.
fn has(ids: &'static [&'static str], ended: &Arc<Mutex<Vec<UserId>>>) -> impl FnOnce(&mut Ports) {
    let ended = Arc::clone(ended);
    move |ports| {
        ports.sessions = Some(BrowserSessions {
            of: Arc::new(move |user: UserId| {
                let ids = if user.to_string() == "corp:alice" { ids } else { &[] };
                Box::pin(async move { Ok(ids.iter().map(|id| session(id)).collect()) })
            }),
            ended: Arc::new(move |user: &UserId| ended.lock().unwrap().push(user.clone())),
        });
    }
}

#[test]
fn where_somebody_is_signed_in_is_listed_and_one_of_them_ends() {
    run(async {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let gateway = Gateway::with(has(&[THIRD, ONE], &ended)).await;
        let listed = gateway.get("/api/v1/sessions?user=corp:alice").await;
        assert_eq!(listed.status, 200, "{}", listed.body);
        assert!(!listed.body.contains(THIRD), "as much of an id as is needed");
        let listed = listed.json();
        assert_eq!(
            listed["sessions"][0],
            json!({
                "session": "dws-CCCCCCCC", "stands": true, "signed_in_at": NOON - 3_600_000, "seen_at": NOON - 60_000,
                "confirmed_at": NOON - 600_000, "expires_at": NOON + 3_600_000, "client": "192.0.2.7", "country": "DE",
                "browser": "Firefox on Linux", "device": null, "provider_session": "corp:s-1", "refresh_token": true,
                "apps": ["wiki"], "running": 2
            })
        );
        assert_eq!((&listed["node"], listed["sessions"].as_array().unwrap().len()), (&json!("gw-1"), 2));
        assert_eq!(gateway.get("/api/v1/sessions?user=corp:bob").await.json()["sessions"], json!([]));

        let wish = json!({"user": "corp:alice", "session": "dws-CCCCCCCC", "cause": "in the library"});
        let answer = gateway.send("POST", "/api/v1/sessions/end", wish).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let target = Target::parse(EntryKind::Token, &format!("corp:{THIRD}")).unwrap();
        assert_eq!(answer.json()["target"]["id"], target.id());
        assert!(gateway.revocations.lookup(&target).is_some());
        assert_eq!(
            *ended.lock().unwrap(),
            ["corp:alice".parse::<UserId>().unwrap()],
            "what is left of it can go"
        );
        let recorded = gateway.events("revocation.token").await;
        assert_eq!(recorded.len(), 1);
        assert!(recorded[0].to_string().contains("in the library"));
        let other = Target::parse(EntryKind::Token, &format!("corp:{ONE}")).unwrap();
        assert!(gateway.revocations.lookup(&other).is_none());
    });
}

#[test]
fn what_names_no_session_or_several_ends_none() {
    run(async {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let gateway = Gateway::with(has(&[ONE, OTHER], &ended)).await;
        for (wish, status) in [
            (json!({"user": "corp:alice", "session": "dws-AAAAAAAA"}), 400),
            (json!({"user": "corp:alice", "session": "dws-"}), 404),
            (json!({"user": "corp:alice", "session": "dws-BBBBBBBB"}), 404),
            (json!({"user": "corp:bob", "session": ONE}), 404),
            (json!({"user": "alice", "session": ONE}), 400),
            (json!({"user": "corp:alice"}), 400),
            (json!({"user": "corp:alice", "session": ONE, "action": "disable"}), 400),
            (json!({"user": "corp:alice", "session": ONE}), 201),
        ] {
            let answer = gateway.send("POST", "/api/v1/sessions/end", wish.clone()).await;
            assert_eq!(answer.status, status, "{wish}: {}", answer.body);
        }
        assert_eq!(ended.lock().unwrap().len(), 1);
        for query in ["", "?user=alice", "?user=corp:alice&user=corp:bob", "?user=corp:alice&limit=1"] {
            assert_eq!(gateway.get(&format!("/api/v1/sessions{query}")).await.status, 400, "{query}");
        }
    });
}

#[test]
fn records_that_cannot_be_asked_are_no_sessions_that_are_not_there() {
    run(async {
        let gateway = Gateway::start().await;
        let answer = gateway.get("/api/v1/sessions?user=corp:alice").await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (409, Some("not_here")),
            "{}",
            answer.body
        );
        let gateway = Gateway::with(|ports| {
            let away = || Err("Redis does not answer".to_owned());
            ports.sessions = Some(BrowserSessions {
                of: Arc::new(move |_| Box::pin(async move { away() })),
                ended: Arc::new(|_| {}),
            });
        })
        .await;
        let answer = gateway.get("/api/v1/sessions?user=corp:alice").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.body.contains("Redis does not answer"), "{}", answer.body);
    });
}
