//! `doorward user` and its siblings, beside a gateway whose people come from a provider.

use std::time::{Duration, Instant};

use doorward_tests::gateway::{Gateway, command};
use doorward_tests::h1;
use doorward_tests::live::{BUILD, Kind, Via};
use serde_json::{Value, json};

use crate::client::{House, Provider};

/// From the command to the last byte of what ends by it. The command starts a process of its own, and
/// a busy machine takes its time: the benchmarks measure it. Less than the time after which what runs is looked at
/// anyhow.
const CUT_WITHIN: Duration = Duration::from_secs(30);
/// A token says in which second it was made, and counts as made before whatever happened in that second.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// What a command printed; it must have ended with this code.
pub(crate) async fn said(gateway: &Gateway, code: i32, args: &[&str]) -> String {
    let file = gateway.config_file();
    let mut all = args.to_vec();
    all.extend(["--config", file.to_str().unwrap()]);
    let output = command(&all).await;
    let text = output.stdout + &output.stderr;
    assert_eq!(output.code, Some(code), "{args:?}: {text}");
    text
}

async fn status_of(house: &House, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    h1::ask(house.site.gateway.address(), "GET", BUILD, "/", &[("authorization", bearer.as_str())])
        .await
        .status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_suspended_is_cut_off_in_the_middle_and_no_source_lifts_it() {
    let house = House::new().await;
    let (gateway, issuer) = (&house.site.gateway, &house.site.issuer);
    let provider = Provider::connect(gateway, &house.intake, "okta").await;
    let (id, _bob) = (provider.hire("olga").await, provider.hire("bob").await);
    tokio::time::sleep(NEXT_SECOND).await;
    let (token, stays) = (issuer.token_of("olga"), issuer.token_of("bob"));
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for (kind, via) in [(Kind::WsIdle, Via::ALL[0]), (Kind::Sse, Via::ALL[1])] {
        gone.push(house.site.open(kind, via, &token).await.unwrap());
        stay.push(house.site.open(kind, via, &stays).await.unwrap());
    }
    assert_eq!(status_of(&house, &token).await, 200);

    let began = Instant::now();
    let text = said(gateway, 0, &["user", "suspend", "olga", "--cause", "laptop lost"]).await;
    for live in gone {
        let kind = live.kind();
        let ended = live.ended().await;
        assert!(kind.is_cut_off_by(&ended.how), "{kind:?}: {:?}", ended.how);
        assert!(ended.at.saturating_duration_since(began) < CUT_WITHIN, "{kind:?}");
    }
    for part in
        ["Suspended olga", "active → suspended", "ended     2 running", "receipt", "of user demo:olga"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "plain in a pipe: {text:?}");
    assert_eq!((status_of(&house, &token).await, status_of(&house, &stays).await), (401, 200));
    assert!(stay.iter().all(|live| live.is_running()));
    let receipt = text.lines().find_map(|l| l.trim().strip_prefix("receipt   ")).unwrap();
    let rows = gateway.api("GET", "/api/v1/revocations?kind=user&id=demo:olga", None).await;
    assert!(rows.text.contains(receipt.split(' ').next().unwrap()), "{}", rows.text);

    // The provider says that she belongs here; an operator said that she must not get in.
    assert_eq!(provider.say_active(&id, &json!(true), None).await.status(), 200);
    tokio::time::sleep(NEXT_SECOND).await;
    assert_eq!(status_of(&house, &issuer.token_of("olga")).await, 401);

    let text = said(gateway, 0, &["user", "unsuspend", "demo:olga", "--format", "json"]).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["state"]["after"], &told["on_record"]), (&json!("active"), &json!(true)));
    tokio::time::sleep(NEXT_SECOND).await;
    assert_eq!(status_of(&house, &token).await, 401, "nothing old comes back to life");
    assert_eq!(status_of(&house, &issuer.token_of("olga")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_find_give_and_take_and_ask_before_what_is_for_ever() {
    let house = House::new().await;
    let gateway = &house.site.gateway;
    let provider = Provider::connect(gateway, &house.intake, "okta").await;
    let id = provider.hire("olga").await;
    provider.hire("bob").await;
    // Arguments; exit code; a part of what is said. In this order.
    let cases: &[(&[&str], i32, &str)] = &[
        (&["user", "list", "--query", "olg"], 0, "olga  active  connection okta  demo:olga"),
        (&["user", "show", "olga@corp.test"], 0, "has access"),
        (&["user", "show", "nobody"], 2, "no user is called `nobody`"),
        (&["user", "invite", "olga", "--email", "o@partner.test"], 0, "Invited olga"),
        (&["user", "suspend", "olga"], 2, "is the name of more than one user"),
        (&["user", "lock", &id, "--seconds", "60"], 0, "active → locked"),
        (&["user", "unlock", &id], 0, "locked → active"),
        (&["user", "activate", &id], 0, "Was so already"),
        (&["user", "delete", &id, "--yes"], 1, "help: "),
        (&["user", "delete", &id], 2, "there is nobody to ask"),
        (&["user", "suspend", &id, "--wait-millis", "5"], 2, "`--wait fleet` only"),
        (&["group", "create", "Night shift"], 0, "Made the group Night shift"),
        (&["group", "create", "night SHIFT"], 1, "is taken by"),
        (&["group", "add", "night shift", &id, "bob"], 0, "added     2"),
        (&["group", "list"], 0, "Night shift  2"),
        (&["user", "list", "--group", "Night shift"], 0, "olga"),
        (&["group", "remove", "Night shift", "bob"], 0, "removed   1"),
        (&["group", "delete", "Night shift"], 2, "add `--yes`"),
        (&["grant", "role", "add", &id, "engineer"], 0, "Gave the role engineer (olga)"),
        (&["user", "show", &id], 0, "engineer  by operator"),
        (&["grant", "role", "remove", &id, "engineer"], 0, "Took the role"),
        (&["grant", "group", "remove", &id, "Night shift"], 0, "Took the group"),
        (&["grant", "app", "add", &id, "NOT AN APP"], 1, "apps"),
        (&["user", "link", &id, "demo:olga2"], 0, "Linked"),
        (&["user", "unlink", "demo:olga2", "demo:olga2"], 0, "Unlinked"),
        (
            &[
                "service-account",
                "register",
                "demo:robot",
                "--name",
                "R",
                "--purpose",
                "copies",
                "--owner",
                "bob",
                "--days",
                "9",
            ],
            0,
            "Registered demo:robot",
        ),
        (&["service-account", "list", "--owner", "bob"], 0, "demo:robot  active  yes    copies"),
        (&["agent", "stop", "robot"], 2, "no agent is called `robot`"),
        (&["service-account", "stop", "robot"], 0, "Stopped demo:robot"),
        (&["service-account", "hand-over", "robot", &id], 0, "Handed over demo:robot"),
        (&["service-account", "delete", "robot", "--yes"], 0, "Deleted demo:robot"),
        (&["connection", "list"], 0, "okta  demo    userName"),
        (&["connection", "rotate", "okta"], 0, "dwscim_"),
        (&["connection", "rotate", "okta"], 1, "tokens already"),
        (&["connection", "remove", "okta"], 2, "there is nobody to ask"),
        (&["connection", "remove", "okta", "--yes"], 0, "Removed okta"),
        (&["connection", "list"], 0, "no connection"),
    ];
    for (args, code, part) in cases {
        let text = said(gateway, *code, args).await;
        assert!(text.contains(part), "{args:?}: {part}: {text}");
    }
    assert_eq!(provider.ask("GET", "/Users", None).await.status(), 401, "its token went with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_says_when_there_is_more_and_how_it_is_had() {
    let house = House::new().await;
    let gateway = &house.site.gateway;
    let provider = Provider::connect(gateway, &house.intake, "okta").await;
    for name in ["olga", "bob", "carol"] {
        provider.hire(name).await;
        let group = json!({"name": format!("group of {name}")});
        assert_eq!(gateway.api("POST", "/api/v1/groups", Some(&group)).await.status, 201);
        let connection = json!({"name": format!("with-{name}"), "issuer": "demo"});
        assert_eq!(gateway.api("POST", "/api/v1/connections", Some(&connection)).await.status, 201);
    }
    // Each list, and what its first column has, row by row.
    let lists: [(&[&str], &[&str]); 3] = [
        (&["user", "list"], &["olga", "bob", "carol"]),
        (&["group", "list"], &["group of olga", "group of bob", "group of carol"]),
        (&["connection", "list"], &["okta", "with-bob", "with-carol", "with-olga"]),
    ];
    for (list, rows) in lists {
        let mut after: Option<String> = None;
        for (i, row) in rows.iter().enumerate() {
            let from = after.take();
            let mut args = list.to_vec();
            args.extend(["-n", "1"]);
            if let Some(from) = &from {
                args.extend(["--after", from]);
            }
            let text = said(gateway, 0, &args).await;
            let shown: Vec<&str> =
                text.lines().skip(1).filter(|line| !line.starts_with("There is more")).collect();
            assert!(shown.len() == 1 && shown[0].starts_with(row), "{list:?} {i}: {text}");
            let more = text.split("`--after ").nth(1).and_then(|rest| rest.split('`').next());
            after = more.map(str::to_owned);
            args.push("--json");
            let told: Value = serde_json::from_str(&said(gateway, 0, &args).await).unwrap();
            assert_eq!(told["next"].as_str(), after.as_deref(), "{list:?} {i}");
            assert_eq!(after.is_none(), i + 1 == rows.len(), "{list:?} {i}: {text}");
        }
        let text = said(gateway, 0, list).await;
        assert!(rows.iter().all(|row| text.contains(row)) && !text.contains("There is more"), "{text}");
    }
}
