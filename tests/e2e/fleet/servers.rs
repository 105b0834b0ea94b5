//! How nodes are told where the servers of a test are.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use doorward_servers::{Postgres, Redis};
use serde_json::{Value, json};

/// How many nodes a fleet has here: one with the directory, two without.
pub(crate) const NODES: usize = 3;

/// What every key of the nodes begins with, by default.
pub(crate) const META: &str = "{doorward}:m";
pub(crate) const LOG: &str = "{doorward}:log";

/// `[revocation.redis]` for one server, or for a wire to it.
pub(crate) fn standalone(address: SocketAddr) -> Value {
    json!({"addresses": [address.to_string()], "tls": false})
}

/// The same for every node.
pub(crate) fn shared(redis: &Redis) -> Vec<Value> {
    vec![standalone(redis.address()); NODES]
}

/// `[revocation]` of a control node whose directory is this database.
pub(crate) fn postgres(postgres: &Postgres, folder: &Path) -> Value {
    json!({
        "directory": "postgres",
        "postgres": {
            "address": postgres.address().to_string(), "database": postgres.name(), "user": postgres.name(),
            "password_file": secret(folder, "postgres.password", postgres.password()), "tls": false,
        },
    })
}

/// A file that only its owner may read.
pub(crate) fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// The last entry of the log, as this server has it.
pub(crate) fn head(redis: &Redis) -> String {
    redis.command(&["HGET", META, "l"]).map_or_else(|e| e.to_string(), |reply| reply.text())
}

/// A command that a server takes.
pub(crate) fn told(redis: &Redis, words: &[&str]) -> String {
    redis.command(words).unwrap_or_else(|e| panic!("{}: {e}", words.join(" "))).text()
}
