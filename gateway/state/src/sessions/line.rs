//! The records in the Redis of the fleet, so that every node has them.
//!
//! One connection to the server that has the slot of the namespace, on a thread and a runtime of its own: what is asked
//! here must not hold up the polls by which nodes have their leases. Everything lies beside the log, under the same hash
//! tag; nothing here waits for a control node to bless the server.
//!
//! ```text
//! {ns}:u:p:<person>       hash: id → record, lives as long as the last of them
//! {ns}:u:o:<kind>:<id>    what can be taken once      {ns}:u:h:<person>   what is remembered of a person
//! {ns}:u:l:<name>         a lock                      {ns}:u:fence        the number of its last holder
//! {ns}:ask                what gateway nodes ask for  {ns}:asker          which control node does it
//! ```

mod keeper;
mod script;
mod speech;

use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::{
    SESSION_APPS_MAX, SESSION_ASKS_MAX, SESSION_STORE_MILLIS_MAX, SESSION_STORE_WAITING_MAX,
    SESSIONS_PER_PERSON_MAX,
};
use doorward_model::{UnixMillis, UserId};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::asks::{self, Asked};
use super::record::{Held, OnceKind, SessionRecord, Touch};
use super::status::Status;
use super::{SessionsError, SessionsHealth, pack};
use crate::config::RedisConfig;
use crate::fleet::EntryId;

use keeper::{Kept, keep};
use script::Scripts;
use speech::{Call, Keys, Shared};

const BOUND: Duration = Duration::from_millis(SESSION_STORE_MILLIS_MAX);
/// So many are noted as seen in one step.
const TOUCHES_AT_ONCE: usize = 64;
/// A control node that stopped asking what is wanted is not waited for longer.
const ASKER: Duration = Duration::from_secs(10);
/// The most entries that are read at once.
const ASKED_MAX: usize = 1000;
/// The most keys that are looked through at once, while Redis does nothing else.
const PEOPLE_MAX: usize = 1000;

/// The thread that speaks to Redis.
pub(super) struct Line {
    runtime: tokio::runtime::Handle,
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
    status: Status,
    /// The thread ends when this is dropped.
    _stop: watch::Sender<()>,
}

// === impl Line ===

impl Line {
    /// Starts the thread, which connects and stays so as well as it can.
    pub(super) fn open(config: &RedisConfig) -> Result<Self, SessionsError> {
        let failed = |e: std::io::Error| SessionsError::Unavailable {
            why: format!("there is no thread to speak to Redis: {e}; see `ulimit -u`"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = watch::channel(());
        let (sender, kept) = watch::channel(Kept::Not("it is not connected yet".to_owned()));
        let broken = Arc::new(tokio::sync::Notify::new());
        let keeping = keep(config.clone(), sender, Arc::clone(&broken), stopped);
        let run = move || {
            runtime.block_on(keeping);
            runtime.shutdown_timeout(Duration::from_millis(100));
        };
        std::thread::Builder::new().name("sessions".to_owned()).spawn(run).map_err(failed)?;
        let shared = Shared {
            kept,
            broken,
            scripts: Scripts::new(),
            keys: Keys::new(config.namespace()),
            replicas: (config.replicas_min(), config.replica_lag().as_secs()),
            me: Uuid::new_v4().as_simple().to_string(),
        };
        let turns = Arc::new(Semaphore::new(SESSION_STORE_WAITING_MAX));
        let (shared, status) = (Arc::new(shared), Status::default());
        Ok(Self { runtime: handle, shared, turns, status, _stop: stop })
    }

    pub(super) fn health(&self) -> SessionsHealth {
        let health = self.status.health("redis");
        let now = self.shared.kept.borrow().trouble();
        SessionsHealth { trouble: now.or(health.trouble), ..health }
    }

    /// Has the thread do something.
    async fn call<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, SessionsError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SessionsError>> + Send + 'static,
    {
        let result = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => {
                let work = work(Arc::clone(&self.shared));
                let job = self.runtime.spawn(async move {
                    let _turn = turn;
                    tokio::time::timeout(BOUND, work).await
                });
                match job.await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(self.shared.silent()),
                    Err(_) => Err(unavailable("the thread that speaks to Redis died; restart the gateway")),
                }
            }
            Err(_) => Err(unavailable("too many calls wait for Redis")),
        };
        self.status.note(result.as_ref().err());
        result
    }

    pub(super) async fn create(
        &self,
        record: SessionRecord,
        now: UnixMillis,
    ) -> Result<Option<SessionRecord>, SessionsError> {
        self.call(|shared| async move {
            let call = Call::of(&shared.scripts.create)
                .key(shared.keys.person(&record.person))
                .arg(&*record.id)
                .arg(pack::pack(&record))
                .arg(now.0.to_string())
                .arg(left(record.expires_at, now))
                .arg(SESSIONS_PER_PERSON_MAX.to_string());
            let gone: Vec<Vec<u8>> = shared.run(call).await?;
            let [id, packed] = gone.as_slice() else { return Ok(None) };
            // Whoever cannot read it cannot end it; it has the same form as any that this node reads.
            let id = String::from_utf8_lossy(id);
            Ok(pack::unpack(&record.person, &id, packed))
        })
        .await
    }

    pub(super) async fn get(
        &self,
        person: UserId,
        id: String,
    ) -> Result<Option<SessionRecord>, SessionsError> {
        self.call(|shared| async move {
            let mut command = redis::cmd("HGET");
            command.arg(shared.keys.person(&person)).arg(&id);
            let found: Option<Vec<u8>> = shared.say(&command).await?;
            let Some(packed) = found else { return Ok(None) };
            let record = pack::unpack(&person, &id, &packed);
            record.map(Some).ok_or(SessionsError::Damaged { what: id })
        })
        .await
    }

    pub(super) async fn of(&self, person: UserId) -> Result<Vec<SessionRecord>, SessionsError> {
        self.call(|shared| async move {
            let mut command = redis::cmd("HGETALL");
            command.arg(shared.keys.person(&person));
            let found: Vec<(Vec<u8>, Vec<u8>)> = shared.say(&command).await?;
            let mut records = Vec::with_capacity(found.len());
            for (id, packed) in found {
                let id = String::from_utf8_lossy(&id);
                match pack::unpack(&person, &id, &packed) {
                    Some(record) => records.push(record),
                    None => super::left_out(&id),
                }
            }
            Ok(records)
        })
        .await
    }

    pub(super) async fn replace(
        &self,
        record: SessionRecord,
        expected: u64,
        now: UnixMillis,
    ) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            let call = Call::of(&shared.scripts.replace)
                .key(shared.keys.person(&record.person))
                .arg(&*record.id)
                .arg(expected.to_string())
                .arg(now.0.to_string())
                .arg(left(record.expires_at, now))
                .arg(SESSION_APPS_MAX.to_string())
                .arg(pack::form())
                .arg(record.version.to_string())
                .arg(record.seen_at.0.to_string())
                .arg(record.expires_at.0.to_string())
                .arg(record.signed_in_at.0.to_string())
                .arg(pack::apps(&record.apps))
                .arg(pack::body(&record));
            shared.run(call).await
        })
        .await
    }

    pub(super) async fn touch(&self, seen: Vec<Touch>) -> Result<(), SessionsError> {
        self.call(|shared| async move {
            for some in seen.chunks(TOUCHES_AT_ONCE) {
                let mut call = Call::of(&shared.scripts.touch).arg(SESSION_APPS_MAX.to_string());
                for touch in some {
                    let app = touch.app.as_ref().map_or("", |app| app.as_str());
                    call = call.key(shared.keys.person(&touch.person));
                    call = call.arg(&*touch.id).arg(touch.seen_at.0.to_string()).arg(app);
                }
                let _done: i64 = shared.run(call).await?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn remove(&self, person: UserId, id: String) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            shared.run(Call::of(&shared.scripts.remove).key(shared.keys.person(&person)).arg(id)).await
        })
        .await
    }

    pub(super) async fn remove_all(&self, person: UserId) -> Result<u64, SessionsError> {
        self.call(|shared| async move {
            shared.run(Call::of(&shared.scripts.remove_all).key(shared.keys.person(&person))).await
        })
        .await
    }

    pub(super) async fn people(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<UserId>, Option<String>), SessionsError> {
        self.call(|shared| async move {
            let mut command = redis::cmd("SCAN");
            let (first, last) = (limit.clamp(1, PEOPLE_MAX), after.as_deref().unwrap_or("0"));
            command.arg(last).arg("MATCH").arg(shared.keys.people()).arg("COUNT").arg(first);
            let (next, keys): (String, Vec<Vec<u8>>) = shared.say(&command).await?;
            let people = keys.iter().filter_map(|key| shared.keys.person_of(key)).collect();
            Ok((people, (next != "0").then_some(next)))
        })
        .await
    }

    pub(super) async fn put_once(
        &self,
        (kind, id): (OnceKind, String),
        bytes: Vec<u8>,
        ttl: Duration,
    ) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            let call = Call::of(&shared.scripts.put_once).key(shared.keys.once(kind, &id));
            shared.run(call.arg(bytes).arg(millis(ttl))).await
        })
        .await
    }

    pub(super) async fn take_once(
        &self,
        (kind, id): (OnceKind, String),
    ) -> Result<Option<Vec<u8>>, SessionsError> {
        self.call(|shared| async move {
            shared.run(Call::of(&shared.scripts.take_once).key(shared.keys.once(kind, &id))).await
        })
        .await
    }

    pub(super) async fn lock(
        &self,
        name: String,
        holder: String,
        ttl: Duration,
    ) -> Result<Option<Held>, SessionsError> {
        self.call(|shared| async move {
            let call =
                Call::of(&shared.scripts.lock).key(shared.keys.lock(&name)).key(shared.keys.fence.clone());
            let number: String = shared.run(call.arg(holder).arg(millis(ttl))).await?;
            Ok(number.parse().ok().map(|fencing| Held { fencing }))
        })
        .await
    }

    pub(super) async fn renew(
        &self,
        name: String,
        holder: String,
        ttl: Duration,
    ) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            let call = Call::of(&shared.scripts.renew).key(shared.keys.lock(&name));
            shared.run(call.arg(holder).arg(millis(ttl))).await
        })
        .await
    }

    pub(super) async fn unlock(&self, name: String, holder: String) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            shared.run(Call::of(&shared.scripts.unlock).key(shared.keys.lock(&name)).arg(holder)).await
        })
        .await
    }

    pub(super) async fn memory(&self, person: UserId) -> Result<Option<(u64, Vec<u8>)>, SessionsError> {
        self.call(|shared| async move {
            let mut command = redis::cmd("GET");
            command.arg(shared.keys.memory(&person));
            let found: Option<Vec<u8>> = shared.say(&command).await?;
            // What is no memory is none: the next one is written over it.
            Ok(found.and_then(|bytes| {
                let end = bytes.iter().position(|byte| *byte == b' ')?;
                let version = std::str::from_utf8(bytes.get(..end)?).ok()?.parse().ok()?;
                Some((version, bytes.get(end.saturating_add(1)..)?.to_vec()))
            }))
        })
        .await
    }

    pub(super) async fn put_memory(
        &self,
        person: UserId,
        bytes: Vec<u8>,
        expected: u64,
        ttl: Duration,
    ) -> Result<bool, SessionsError> {
        self.call(|shared| async move {
            let mut value = format!("{} ", expected.saturating_add(1)).into_bytes();
            value.extend_from_slice(&bytes);
            let call = Call::of(&shared.scripts.put_memory).key(shared.keys.memory(&person));
            shared.run(call.arg(expected.to_string()).arg(value).arg(millis(ttl))).await
        })
        .await
    }

    pub(super) async fn ask(
        &self,
        fields: [(&'static str, String); asks::FIELDS],
    ) -> Result<(), SessionsError> {
        self.call(|shared| async move {
            let mut call = Call::of(&shared.scripts.ask).key(shared.keys.ask.clone());
            call = call.arg(SESSION_ASKS_MAX.to_string());
            for (name, value) in fields {
                call = call.arg(name).arg(value);
            }
            let taken: bool = shared.run(call).await?;
            let why = "too many wait for a control node; see that one runs";
            if taken { Ok(()) } else { Err(SessionsError::Full { why: why.to_owned() }) }
        })
        .await
    }

    pub(super) async fn asked(&self, limit: usize) -> Result<Vec<Asked>, SessionsError> {
        type Entries = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;
        self.call(|shared| async move {
            let call = Call::of(&shared.scripts.asked)
                .key(shared.keys.ask.clone())
                .key(shared.keys.asker.clone())
                .arg(&*shared.me)
                .arg(millis(ASKER))
                .arg(limit.clamp(1, ASKED_MAX).to_string());
            let entries: Entries = shared.run(call).await?;
            let (mut asked, mut nonsense) = (Vec::with_capacity(entries.len()), Vec::new());
            for (id, pairs) in entries {
                match EntryId::parse(&id).and_then(|at| asks::read(at, &pairs)) {
                    Some(one) => asked.push(one),
                    None => nonsense.push(id),
                }
            }
            if !nonsense.is_empty() {
                let count = nonsense.len();
                tracing::warn!(count, "what somebody wants ended cannot be understood: it is dropped");
                shared.strike(&nonsense).await?;
            }
            Ok(asked)
        })
        .await
    }

    pub(super) async fn acknowledge(&self, done: Vec<EntryId>) -> Result<(), SessionsError> {
        if done.is_empty() {
            return Ok(());
        }
        self.call(|shared| async move {
            let ids: Vec<String> = done.iter().map(ToString::to_string).collect();
            shared.strike(&ids).await
        })
        .await
    }
}

fn millis(ttl: Duration) -> String {
    ttl.as_millis().max(1).to_string()
}

/// How long it is until then.
fn left(until: UnixMillis, now: UnixMillis) -> String {
    millis(until.since(now))
}

fn unavailable(why: &str) -> SessionsError {
    SessionsError::Unavailable { why: why.to_owned() }
}
