//! What `doorward demo` needs and `doorward run` must never have: a development identity
//! provider that gives anybody a token for anybody, and lets a browser sign in as anybody (OpenID
//! Connect Core and Discovery, JWKS of RFC 7517, access tokens of RFC 9068), three sample apps, and
//! a guided tour.
//!
//! ```text
//!   browser ─ https ─► gateway :8443 ─┬► wiki :9182  payroll :9183  build :9184   apps
//!    │   you ── curl ─► the same :8080 ┘
//!    │            │         │ keys, codes
//!    └ /authorize └ /token/ ┴──────► provider :9181                               provider
//!
//!   surroundings  the provider and the apps, started together
//!   config        writes .demo/: the gateway's configuration, a copy of the policies, and the
//!                 certificate for `*.localhost` that no other machine has the key of
//!   tour          what to open with a browser, and the commands to paste with what they print:
//!                 one list for the README, for the terminal and for the test that runs it
//!   watch         a WebSocket client of a few lines, as curl has none
//! ```
//!
//! Invariants:
//! * Nothing here is reachable from the network. A router is served only by a
//!   [`loopback::Loopback`], which cannot be made for any other address.
//! * Nothing here is reachable from `doorward run`. This crate imports the vocabulary only, no
//!   crate of the gateway imports it, and `server` names it in its `demo` command alone; a test
//!   here reads the manifests and the sources for that.
//! * The provider's key is made when it starts, lives in memory, and is never written. Its desk
//!   for browsers has one client, the demo's gateway, and sends a browser nowhere else.
//!
//! It never holds a rule about access: the demo runs the gateway that production runs, with a
//! configuration file like any other.

pub mod apps;
pub mod certificate;
pub mod client;
pub mod config;
pub mod loopback;
mod page;
pub mod provider;
pub mod surroundings;
pub mod tour;
pub mod watch;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }

    /// Who could start a provider that lets anybody in: the `demo` command, nobody else.
    #[test]
    fn only_the_demo_command_knows_this_crate() {
        let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut all = Vec::new();
        files(gateway, &mut all);
        for path in all {
            let within = path.strip_prefix(gateway).unwrap().to_str().unwrap().to_owned();
            let known = within.starts_with("demo/")
                || within == "server/Cargo.toml"
                || within == "server/src/command/demo.rs"
                || within.starts_with("server/src/command/demo/");
            if known || !(within.ends_with(".rs") || within.ends_with("Cargo.toml")) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text.contains("doorward_demo") || text.contains("doorward-demo");
            assert!(!named, "`{within}` knows the demo");
        }
    }
}
