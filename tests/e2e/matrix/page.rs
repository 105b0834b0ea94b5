//! `docs/reference/revocation-matrix.md` is the matrix, for who wants to read it without running it.

use std::fmt::Write as _;
use std::path::Path;

use crate::cells::Cell;
use crate::house::Word;
use crate::rows::{ROWS, Reach, Row};

const HEAD: &str = "\
# The revocation matrix

What each way to take access away does to each credential. Written from `tests/e2e/matrix/rows.rs` by a test
(`DOORWARD_BLESS=1 cargo test -p doorward-tests --test matrix page`), and shown with three real processes on one Redis, on every
channel of every node, by the rest of that test: requests on a new and on a pooled connection over HTTP/1.1 and HTTP/2, WebSocket,
server-sent events, downloads, gRPC. Somebody else does all of it beside, and misses nothing.

| word | what is open | the next request | a new sign-in |
|---|---|---|---|
| **out** | ends | 401 `disabled` | 401 `disabled` |
| **over** | ends | 401 `revoked` | is let in |
| **void** | ends | 401 `invalid_credential` | – |
| **ended** | ends | is permitted | – |
| **unknown** | ends | 403 `unknown_principal` | 403 `unknown_principal` |
| **denied** | is decided anew, and ends | 403 `no_permit` | 403 `no_permit` |
| on | goes on | is permitted | is let in |

*Own* is the sign-in that the intake names, *elsewhere* another one of the same person, *account* a service account that they answer for
(by a token of its issuer), *agent* an agent that acts for them in a session of its own, *key* a token of ours of that service account.
The [receipt](receipt.md) is signed, has every node, and has as many exchanges of each protocol as clients saw end.
";

const TOKENS: &str = "\
## People are who their tokens say

`directory.people = \"token\"`, the default.
";

const DIRECTORY: &str = "\
## People are who the directory says

`directory.people = \"known\"` on every node: as above, but for these. Policies here let in by a role or a group.
";

const fn word(cell: Cell) -> &'static str {
    match cell {
        Cell::Out => "**out**",
        Cell::Over => "**over**",
        Cell::Void => "**void**",
        Cell::Ended => "**ended**",
        Cell::Unknown => "**unknown**",
        Cell::Denied => "**denied**",
        Cell::On => "on",
    }
}

fn table<'a>(text: &mut String, word_of: Word, rows: impl Iterator<Item = &'a Row>) {
    text.push_str(
        "\n| intake | by | own | elsewhere | account | agent | key | receipt |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cells = row.cells(word_of).map(word).join(" | ");
        let at = match row.reach {
            Reach::Everywhere => "",
            Reach::Build => ", at that app",
        };
        let receipt = row.receipt.map_or_else(String::new, |command| format!("`{command}`"));
        writeln!(text, "| {}{at} | {} | {cells} | {receipt} |", row.name, row.by).unwrap();
    }
}

#[test]
fn the_page_is_the_matrix() {
    let mut text = format!("{HEAD}\n{TOKENS}");
    table(&mut text, Word::Token, ROWS.iter());
    write!(text, "\n{DIRECTORY}").unwrap();
    let differs = |row: &&Row| row.cells(Word::Known) != row.cells(Word::Token);
    table(&mut text, Word::Known, ROWS.iter().filter(differs));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/revocation-matrix.md");
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "the page does not tell what the matrix does: run this test with DOORWARD_BLESS=1"
    );
}
