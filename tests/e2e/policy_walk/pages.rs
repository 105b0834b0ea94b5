//! Pages of the guide whose commands need no gateway: each is pasted beside the shipped policies, and prints what the page says.

use std::path::Path;
use std::process::Command;

use doorward_tests::gateway::find;

use crate::page;

fn follow(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docs/guide/workbench").join(name)).unwrap();
    let pastes = page::pastes(&text);
    assert!(
        pastes.iter().filter(|paste| paste.shell.contains("doorward policy")).count() > 1,
        "{name}: {pastes:#?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(root.join("policies")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let binary = find().unwrap_or_else(|e| panic!("{e}"));
    let (beside, path) = (binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for paste in pastes {
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{}", paste.shell)])
            .current_dir(folder.path())
            .env("PATH", format!("{beside}:{path}"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        if let Err(surprise) = paste.check(&printed, output.status.code()) {
            panic!("{name}: $ {}\n{surprise}; it printed:\n{printed}", paste.shell);
        }
    }
}

#[test]
fn the_page_of_explanations_shows_what_is_printed() {
    follow("explain.md");
}

#[test]
fn the_page_of_access_reviews_shows_what_is_printed() {
    follow("access-reviews.md");
}
