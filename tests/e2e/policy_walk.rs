//! What security teams are told to do, done: every command of the walk in `policies/README.md`, pasted in its order beside
//! the demo, prints what the page says; and what `deploy/` has for commits and merges looks at policies as it says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends with the first thing that is wrong")]

#[path = "policy_walk/page.rs"]
mod page;

#[path = "policy_walk/pages.rs"]
mod pages;

#[path = "policy_walk/commits.rs"]
mod commits;

use std::path::Path;
use std::time::Duration;

use doorward_tests::demo::{Demo, Pasted};
use page::{Paste, Surprise};

/// How often it is asked again, a second apart, whether something has come about.
const ASKS_MAX: u32 = 30;

/// What stands there without being done: it is counted, or written down, a moment after the request was answered.
const LOOKS: [&str; 2] = ["doorward policy shadow status", "doorward policy replay"];

/// The blocks of the walk.
fn walk() -> Vec<Paste> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/README.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once("\n## One change, from the edit to everybody\n").unwrap();
    page::pastes(rest.split_once("\n## ").unwrap().0)
}

/// Pastes a block into a shell that stands where those before have led, and looks at what it prints.
async fn follow(demo: &Demo, led: &str, paste: &Paste) -> (Pasted, Result<(), Surprise>) {
    let here = |shell: &str| {
        let ports = demo.scene.ports;
        let beside = Path::new(&demo.scene.doorward).parent().unwrap().display().to_string();
        shell
            .replace("$PWD/target/release", &beside)
            .replace(":8080", &format!(":{}", ports.gateway))
            .replace(":9181", &format!(":{}", ports.provider))
    };
    let shell = here(&format!("{led}{}", paste.shell));
    let mut printed = demo.paste(&shell).await;
    let mut checked = paste.check(&printed.text, printed.code);
    for _ in 0..ASKS_MAX {
        if checked.is_ok() || !LOOKS.iter().any(|look| paste.shell.starts_with(look)) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        printed = demo.paste(&shell).await;
        checked = paste.check(&printed.text, printed.code);
    }
    (printed, checked)
}

#[tokio::test]
async fn every_command_of_the_walk_prints_what_the_page_says() {
    let mut demo = Demo::start().await;
    let pastes = walk();
    assert!(pastes.len() > 15, "the walk was not found: {pastes:#?}");
    for word in ["fmt", "check", "test", "prove", "replay", "shadow start", "shadow promote", "rollout back"]
    {
        let command = format!("doorward policy {word}");
        assert!(pastes.iter().any(|p| p.shell.contains(&command)), "the walk has no `{command}`");
    }
    let mut led = String::new();
    for paste in &pastes {
        let (printed, checked) = follow(&demo, &led, paste).await;
        // What follows stands on what came before, so the first surprise is the last.
        if let Err(surprise) = checked {
            panic!(
                "$ {}\n{surprise}; it printed:\n{}\n--- the demo's log ---\n{}",
                paste.shell,
                printed.text,
                demo.log()
            );
        }
        let leads = paste.shell.lines().filter(|l| l.starts_with("cd ") || l.starts_with("export "));
        for line in leads {
            led.push_str(line);
            led.push('\n');
        }
    }
    assert!(!demo.has_ended(), "the demo ended during the walk:\n{}", demo.log());
}
