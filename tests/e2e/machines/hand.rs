//! An operator's hand: the commands, and what they print.

use doorward_tests::gateway::{Gateway, command};

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

/// What stands behind a word at the beginning of a line, such as `token`.
pub(crate) fn after<'t>(text: &'t str, word: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(word));
    line.unwrap_or_else(|| panic!("no `{word}` in {text}")).trim()
}
