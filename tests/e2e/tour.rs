//! What a visitor of the demo is told to do, done: every command of the guided tour, pasted into a shell, prints what
//! the tour says (the tour of the README and of the terminal is the same list); and somebody with a browser signs
//! in, is asked for more, and is cut off.

use std::time::Duration;

use doorward_demo::tour::{self, Surprise, cut_off, let_in, steps, welcome};
use doorward_tests::browser::Browser;
use doorward_tests::demo::Demo;

/// How often it is asked again, a second apart, whether something has come about.
const ASKS_MAX: u32 = 20;

/// Pastes a command and looks at what it prints. Where it waits two seconds and then only asks, it asks again while
/// the answer is not there: the machine may be busy.
async fn follow(demo: &Demo, command: &tour::Command) -> (String, Result<(), Surprise>) {
    let mut printed = demo.paste(&command.shell).await.text;
    let mut checked = command.expect.check(&printed);
    let asks = command.shell.split_once("sleep 2; ").map(|(_, asks)| asks);
    let Some(asks) = asks.filter(|asks| asks.starts_with("curl -s")) else { return (printed, checked) };
    for _ in 0..ASKS_MAX {
        if checked.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        printed.push_str(&demo.paste(asks).await.text);
        checked = command.expect.check(&printed);
    }
    (printed, checked)
}

#[tokio::test]
async fn every_command_prints_what_the_tour_says() {
    let mut demo = Demo::start().await;
    let mut surprises = Vec::new();
    for step in steps(&demo.scene) {
        for command in &step.commands {
            let (printed, checked) = follow(&demo, command).await;
            if let Err(surprise) = checked {
                surprises.push(format!("{}\n$ {}\n{surprise} in:\n{printed}", step.title, command.shell));
            }
        }
    }
    let log = demo.log();
    assert!(surprises.is_empty(), "{}\n--- the demo's log ---\n{log}", surprises.join("\n\n"));
    assert!(!demo.has_ended(), "the demo ended during its tour:\n{log}");
    assert!(log.contains("The gateway listens on"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_with_a_browser_sees_the_door_open_and_shut() {
    let demo = Demo::start().await;
    let page = |app: &str| demo.scene.ports.page(app, "/");
    assert!(demo.log().contains(&welcome(&demo.scene)), "{}", demo.log());

    let wiki = Browser::past_warnings().await;
    let asked = wiki.go(&page("wiki")).await;
    assert_eq!(asked.title, "Sign in as anybody", "{asked:#?}");
    wiki.screenshot("30-demo-who-do-you-want-to-be").await;
    wiki.click("Alice Adler").await;
    wiki.at(&page("wiki")).await;
    let seen = wiki.expect("This page holds an event stream open").await;
    assert!(seen.text.contains("The gateway says that you are demo:alice"), "{seen:#?}");
    wiki.screenshot("31-demo-the-wiki-is-live").await;

    // A policy of the demo wants a key. What was asked for is no proof, and the door stays shut.
    let payroll = wiki.tab().await;
    let asked = payroll.go(&page("payroll")).await;
    assert!(asked.text.contains("A policy wants more: a password and a security key"), "{asked:#?}");
    payroll.screenshot("32-demo-payroll-wants-more").await;
    payroll.choose("Proving it with", "password").await;
    let weak = payroll.click("Alice Adler").await;
    assert!(!weak.text.contains("This is the app payroll"), "{weak:#?}");
    payroll.go(&page("payroll")).await;
    payroll.click("Alice Adler").await;
    payroll.at(&page("payroll")).await;
    let seen = payroll.expect("This page holds an event stream open").await;
    assert!(seen.text.contains("2026-01"), "{seen:#?}");
    payroll.screenshot("33-demo-payroll").await;

    let said = demo.paste(&cut_off(&demo.scene)).await.text;
    assert!(said.contains("Revoked"), "{said}");
    for (tab, name) in [(&wiki, "34-demo-the-wiki-is-cut-off"), (&payroll, "35-demo-payroll-is-cut-off")] {
        tab.expect("Cut off.").await;
        tab.screenshot(name).await;
        let next = tab.reload().await;
        assert!(matches!(next.status, 401 | 403), "{next:#?}");
        assert!(!next.text.contains("This is the app"), "{next:#?}");
    }
    wiki.screenshot("36-demo-the-next-click").await;

    demo.paste(&let_in(&demo.scene)).await;
    let asked = wiki.go(&page("wiki")).await;
    assert_eq!(asked.title, "Sign in as anybody", "what was ended stays ended: {asked:#?}");
    wiki.click("Alice Adler").await;
    wiki.expect("The gateway says that you are demo:alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_of_a_browser_is_closed_before_their_eyes() {
    let demo = Demo::start().await;
    let build = Browser::past_warnings().await;
    build.go(&demo.scene.ports.page("build", "/")).await;
    build.click("Bob Brandt").await;
    build.expect("This page holds a WebSocket open").await;
    let said = demo.paste(&demo.scene.doorward("revoke user demo:bob")).await.text;
    assert!(said.contains("Revoked"), "{said}");
    build.expect("The gateway closed the WebSocket: 1008").await;
    build.screenshot("37-demo-a-websocket-was-closed").await;
}
