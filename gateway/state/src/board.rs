//! The bundle of policies that is for every node, in the Redis of the fleet.
//!
//! ```text
//! {ns}:policies          hash: sequence, bundle: the one that is published; a greater sequence takes its place
//! {ns}:policies:nodes    hash: node → what it has in force, as it said itself
//! ```
//!
//! Redis carries it and is trusted with nothing: every node asks for the signature itself. What is said there of nodes is
//! for people to read, and nothing rests on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_model::limits::{POLICY_BOARD_BYTES_MAX, POLICY_BOARD_NODES_MAX, POLICY_BOARD_SECONDS_MAX};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use crate::config::{RedisConfig, RevocationConfig};
use crate::fleet::{Keys, Trouble, connect};

const BOUND: Duration = Duration::from_secs(POLICY_BOARD_SECONDS_MAX);
/// The longest word of a node, in bytes.
const WORD_BYTES_MAX: usize = 1024;

/// KEYS: the bundle. ARGV: its sequence, itself. Whether it is there now.
const PUBLISH: &str = r"
local known = tonumber(redis.call('HGET', KEYS[1], 'sequence') or '-1')
local sequence = tonumber(ARGV[1])
if sequence < known then return 0 end
if sequence == known and redis.call('HGET', KEYS[1], 'bundle') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'bundle', ARGV[2])
return 1
";
/// Where the bundle for every node is.
pub struct Board {
    config: RedisConfig,
    keys: Keys,
    bundle: String,
    nodes: String,
    /// Which server is asked first.
    turn: AtomicUsize,
}

/// Why the board does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoardError {
    /// Redis cannot be used.
    #[error("{0}")]
    Unavailable(String),
    /// It is too large for Redis.
    #[error("a bundle for every node has at most {POLICY_BOARD_BYTES_MAX} bytes")]
    TooLarge,
    /// Another one of this sequence, or a later one, is published.
    #[error("a bundle of this sequence or a later one is published already")]
    Older,
    /// What is there is nothing that a control node publishes.
    #[error("what is published cannot be read: {0}")]
    Damaged(&'static str),
}

impl Board {
    /// The board of the fleet that a node belongs to, if it belongs to one.
    #[must_use]
    pub fn of(config: &RevocationConfig) -> Option<Self> {
        let redis = config.redis()?.clone();
        let name = |what: &str| format!("{{{}}}:{what}", redis.namespace());
        Some(Self {
            keys: Keys::new(redis.namespace()),
            bundle: name("policies"),
            nodes: name("policies:nodes"),
            turn: AtomicUsize::new(0),
            config: redis,
        })
    }

    /// Publishes a bundle for every node.
    ///
    /// # Errors
    /// When a later one is published, or Redis cannot be used. After the latter it may be published anyway.
    pub async fn publish(&self, sequence: u64, bundle: &[u8]) -> Result<(), BoardError> {
        if bundle.len() > POLICY_BOARD_BYTES_MAX {
            return Err(BoardError::TooLarge);
        }
        let publish = Script::new(PUBLISH);
        let done = self.within(async {
            let mut at = self.connected().await?;
            let mut call = publish.prepare_invoke();
            call.key(&self.bundle).arg(sequence).arg(bundle);
            call.invoke_async(&mut at.connection).await.map_err(|e| at.said(&e))
        });
        let done: i64 = done.await?;
        if done == 1 { Ok(()) } else { Err(BoardError::Older) }
    }

    /// The sequence of the bundle that is published, if one is.
    ///
    /// # Errors
    /// When Redis cannot be used, or what is there cannot be read.
    pub async fn sequence(&self) -> Result<Option<u64>, BoardError> {
        let told = self.within(async {
            let mut at = self.connected().await?;
            let asked = redis::cmd("HGET").arg(&self.bundle).arg("sequence").clone();
            asked.query_async(&mut at.connection).await.map_err(|e| at.said(&e))
        });
        let told: Option<String> = told.await?;
        told.map(|text| text.parse().map_err(|_| BoardError::Damaged("its sequence is no number")))
            .transpose()
    }

    /// The bundle that is published, if one is.
    ///
    /// # Errors
    /// When Redis cannot be used, or what is there cannot be read.
    pub async fn bundle(&self) -> Result<Option<Vec<u8>>, BoardError> {
        // Its size before itself: nobody else writes there, and a bound is a bound.
        let told = self.within(async {
            let mut at = self.connected().await?;
            let asked = redis::cmd("HSTRLEN").arg(&self.bundle).arg("bundle").clone();
            let bytes: usize = asked.query_async(&mut at.connection).await.map_err(|e| at.said(&e))?;
            if bytes > POLICY_BOARD_BYTES_MAX {
                return Ok((bytes, None));
            }
            let asked = redis::cmd("HGET").arg(&self.bundle).arg("bundle").clone();
            Ok((bytes, asked.query_async(&mut at.connection).await.map_err(|e| at.said(&e))?))
        });
        let (bytes, bundle): (usize, Option<Vec<u8>>) = told.await?;
        if bytes > POLICY_BOARD_BYTES_MAX { Err(BoardError::Damaged("it is too large")) } else { Ok(bundle) }
    }

    /// Says what this node has, for people.
    ///
    /// # Errors
    /// When Redis cannot be used.
    pub async fn say(&self, node: &str, word: &str) -> Result<(), BoardError> {
        // A node that says more than that says nothing that anybody reads.
        let word = if word.len() > WORD_BYTES_MAX { "{}" } else { word };
        let done = self.within(async {
            let mut at = self.connected().await?;
            let asked = redis::cmd("HSET").arg(&self.nodes).arg(node).arg(word).clone();
            asked.query_async(&mut at.connection).await.map_err(|e| at.said(&e))
        });
        let _done: i64 = done.await?;
        Ok(())
    }

    /// What every node said last, by their names.
    ///
    /// # Errors
    /// When Redis cannot be used.
    pub async fn said(&self) -> Result<Vec<(String, String)>, BoardError> {
        let told = self.within(async {
            let mut at = self.connected().await?;
            let asked = redis::cmd("HGETALL").arg(&self.nodes).clone();
            asked.query_async(&mut at.connection).await.map_err(|e| at.said(&e))
        });
        let mut said: Vec<(String, String)> = told.await?;
        said.sort();
        said.truncate(POLICY_BOARD_NODES_MAX);
        Ok(said)
    }

    /// A connection for one call: it comes once in a while, and whatever became of the last one does not matter.
    async fn connected(&self) -> Result<Connected, Trouble> {
        let link = connect(&self.config, &self.keys, false, self.turn.load(Ordering::Relaxed)).await?;
        let mut connection = link.connection;
        connection.set_response_timeout(BOUND);
        Ok(Connected { connection, address: link.address })
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, BoardError> {
        let failed = match tokio::time::timeout(BOUND, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(trouble)) => BoardError::Unavailable(trouble.to_string()),
            Err(_) => BoardError::Unavailable("Redis does not answer".to_owned()),
        };
        // Another one is asked first the next time.
        self.turn.fetch_add(1, Ordering::Relaxed);
        Err(failed)
    }
}

/// A connection, and to which server.
struct Connected {
    connection: MultiplexedConnection,
    address: String,
}

impl Connected {
    fn said(&self, error: &RedisError) -> Trouble {
        Trouble::said(&self.address, error)
    }
}
