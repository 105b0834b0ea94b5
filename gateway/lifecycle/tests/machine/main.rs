//! The state machine of people, from outside: the rules of `docs/reference/lifecycle.md`.
//!
//! `DOORWARD_BLESS=1 cargo test -p doorward-lifecycle --test machine` writes the page and the matrix
//! anew.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod every_step;
mod joining;
mod lives;
mod matrix;
mod page;
mod sample;
mod stories;

/// Compares a generated text with the file, or writes it.
fn generated(path: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "{path} does not tell what the code does: run this test with DOORWARD_BLESS=1");
}
