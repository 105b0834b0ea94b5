//! What is said to Redis, under which names, and what the answer means.

use std::sync::Arc;

use doorward_model::UserId;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, RedisResult, Script};
use tokio::sync::{Notify, watch};

use super::keeper::{self, Kept};
use super::script::Scripts;
use super::unavailable;
use crate::sessions::SessionsError;
use crate::sessions::record::OnceKind;

/// What every call needs.
pub(super) struct Shared {
    pub(super) kept: watch::Receiver<Kept>,
    pub(super) broken: Arc<Notify>,
    pub(super) scripts: Scripts,
    pub(super) keys: Keys,
    pub(super) replicas: (u64, u64),
    /// What this process calls itself where one of many does something.
    pub(super) me: String,
}

/// The names of what lies in Redis.
pub(super) struct Keys {
    pub(super) tag: String,
    pub(super) fence: String,
    pub(super) ask: String,
    pub(super) asker: String,
}

/// A call to a script.
pub(super) struct Call<'a> {
    pub(super) script: &'a Script,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Vec<u8>>,
}

// === impl Shared ===

impl Shared {
    /// The connection, waited for as long as the caller does.
    async fn connection(&self) -> Result<(MultiplexedConnection, String), SessionsError> {
        let mut kept = self.kept.clone();
        let found = kept.wait_for(|kept| matches!(kept, Kept::Connected(..))).await;
        match found.as_deref() {
            Ok(Kept::Connected(connection, server)) => Ok((connection.clone(), server.clone())),
            Ok(Kept::Not(_)) | Err(_) => {
                Err(unavailable("the thread that speaks to Redis died; restart the gateway"))
            }
        }
    }

    pub(super) async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, SessionsError> {
        let (mut connection, server) = self.connection().await?;
        let mut invocation = call.script.prepare_invoke();
        call.keys.iter().for_each(|key| _ = invocation.key(key));
        call.args.iter().for_each(|arg| _ = invocation.arg(arg.as_slice()));
        invocation.arg(self.replicas.0).arg(self.replicas.1);
        self.heard(invocation.invoke_async(&mut connection).await, &server)
    }

    pub(super) async fn say<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, SessionsError> {
        let (mut connection, server) = self.connection().await?;
        self.heard(command.query_async(&mut connection).await, &server)
    }

    pub(super) async fn strike(&self, ids: &[String]) -> Result<(), SessionsError> {
        let mut command = redis::cmd("XDEL");
        command.arg(&self.keys.ask).arg(ids);
        let _struck: u64 = self.say(&command).await?;
        Ok(())
    }

    fn heard<T>(&self, answer: RedisResult<T>, server: &str) -> Result<T, SessionsError> {
        answer.map_err(|error: RedisError| {
            if error.code() == Some("OOM") {
                let why =
                    format!("Redis at {server} has reached maxmemory; raise it, see docs/operating/fleet.md");
                return SessionsError::Full { why };
            }
            let (trouble, is_of_server) = keeper::judge(server, &error);
            if is_of_server {
                self.broken.notify_one();
            }
            SessionsError::Unavailable { why: trouble.to_string() }
        })
    }

    /// Nobody has answered in time.
    pub(super) fn silent(&self) -> SessionsError {
        let trouble = self.kept.borrow().trouble();
        let why = trouble.unwrap_or_else(|| {
            self.broken.notify_one();
            "Redis has not answered in time".to_owned()
        });
        SessionsError::Unavailable { why }
    }
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        let key = |name: &str| format!("{{{namespace}}}:{name}");
        Self { tag: key("u"), fence: key("u:fence"), ask: key("ask"), asker: key("asker") }
    }

    pub(super) fn person(&self, person: &UserId) -> String {
        format!("{}:p:{person}", self.tag)
    }

    /// What the keys of all people look like. A namespace has no character that means something in a pattern.
    pub(super) fn people(&self) -> String {
        format!("{}:p:*", self.tag)
    }

    /// Whose key it is. `None` for what is none of ours.
    pub(super) fn person_of(&self, key: &[u8]) -> Option<UserId> {
        let name = std::str::from_utf8(key).ok()?.strip_prefix(&self.tag)?.strip_prefix(":p:")?;
        name.parse().ok()
    }

    pub(super) fn memory(&self, person: &UserId) -> String {
        format!("{}:h:{person}", self.tag)
    }

    pub(super) fn once(&self, kind: OnceKind, id: &str) -> String {
        format!("{}:o:{}:{id}", self.tag, kind.as_str())
    }

    pub(super) fn lock(&self, name: &str) -> String {
        format!("{}:l:{name}", self.tag)
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    pub(super) fn of(script: &'a Script) -> Self {
        Self { script, keys: Vec::new(), args: Vec::new() }
    }

    pub(super) fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    pub(super) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }
}
