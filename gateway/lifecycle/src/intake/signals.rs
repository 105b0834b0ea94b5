//! Signals over HTTP: security events pushed (RFC 8935), Back-Channel Logout, global token revocation, and
//! the kill webhook.
//!
//! ```text
//!  POST /signals/events/{stream}       ┐
//!       /signals/logout/{provider}     │ serve ─► verified ─► settle ─► rule ─► carry ─► one transaction
//!       /signals/revocation/{caller}   │ bounds              one at a   whom,   hold, lift,   the effect,
//!       /signals/posture/{source}      │
//!       /signals/webhook/{name}        ┘                     time for   what    end           the message,
//!                                                            a sender                         its marks
//!  what came of it ─► audit log ─► the answer
//!
//!  fetch ─► POST to the transmitter (RFC 8936) ─► verified ─► settle ─► … ─► acknowledged with the next request
//!  watch ─► asks it for verifications ─► silent: alert, control debt ─► it speaks: settled
//! ```
//!
//! The cast: [`Signals`] is the service, [`router`] its face; [`Senders`] is whose messages are taken. `word` is
//! a verified message, `rule` decides on it ([`crate::signals`]), `carry` does it, `memory` keeps which
//! messages came and which was the newest, `people` asks the directory whom a name means. `line` is a stream,
//! `pulse` what is kept of its life, [`TransmitterClient`] asks; `watch` and `fetch` do what nobody calls for.
//!
//! Invariants:
//! * an answer that says taken is true after a crash: the effect is durable, and so is that the message came;
//! * a message that comes twice has one effect, also at two nodes at once, and after a restart;
//! * the messages of one sender are decided one after the other;
//! * where nothing can be made durable the answer is 503, and the sender comes again; what it takes away is
//!   taken on this node all the same, as far as that is harmless twice;
//! * an event that can never be carried out is refused, told and owed: nothing waits behind it;
//! * nobody without a signature or a token learns anything, and nobody can fill the log.
//!
//! What it never does: let a sender speak of people that its configuration does not name, or log a token.

mod carry;
mod fetch;
mod line;
mod memory;
mod people;
mod posture;
mod pulse;
mod rule;
mod serve;
mod settle;
mod transmitter;
mod watch;
mod word;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError};

use doorward_identity::{KeyClient, MessageVerifier, Sender};
use doorward_model::time::Clock;
use doorward_model::{AppId, RiskLevel, UnixMillis, UserId};
use doorward_state::{Revocations, StateError};
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use super::scim::Knocks;
use crate::service::Lifecycle;
use crate::signals::{SeenMessages, Stream, Webhook};
use line::Line;

pub use line::{Counts, StreamState};
pub use serve::{BODY_SECONDS_MAX, router};
pub use transmitter::TransmitterClient;
pub use watch::VerifyError;

/// How many messages of one sender wait for each other; one more is told to come again.
pub const AT_ONCE: usize = 32;
/// How often a message is decided anew because somebody else changed the same meanwhile.
const ATTEMPTS_MAX: u32 = 4;
/// Of how many messages that could not be kept it is known that they had their effect here.
const BITTEN_MAX: usize = 4096;

/// Whose messages are taken.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    /// Streams of security events.
    pub streams: Vec<Stream>,
    /// Providers that log out.
    pub logouts: Vec<Sender>,
    /// Callers of global token revocation.
    pub callers: Vec<Sender>,
    /// Sources of the posture of devices.
    pub postures: Vec<Sender>,
    /// Workflow tools.
    pub webhooks: Vec<Webhook>,
}

impl Senders {
    /// There are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.logouts.is_empty()
            && self.callers.is_empty()
            && self.postures.is_empty()
            && self.webhooks.is_empty()
    }
}

/// What the service needs of the rest of the gateway.
pub struct Ports {
    /// What cuts people off.
    pub lives: Lifecycle,
    /// Its store.
    pub store: Revocations,
    /// The time.
    pub clock: Clock,
    /// Random bytes for questions. None when the system has none.
    pub random: Random,
    /// What fetches keys.
    pub keys: KeyClient,
    /// What asks transmitters.
    pub transmitters: TransmitterClient,
    /// Who remembers how risky people look, where anybody does.
    pub risks: Option<RiskTold>,
}

/// Told how risky somebody looks, and since when.
pub type RiskTold = Arc<dyn Fn(&UserId, RiskLevel, UnixMillis) + Send + Sync>;

/// Random bytes, or none when the system has none.
pub type Random = Arc<dyn Fn() -> Option<[u8; 16]> + Send + Sync>;

/// The service.
pub struct Signals {
    verifier: Arc<MessageVerifier>,
    streams: Vec<Desk<Line>>,
    logouts: Vec<Desk<Sender>>,
    callers: Vec<Desk<Sender>>,
    postures: Vec<Desk<Sender>>,
    webhooks: Vec<Desk<Webhook>>,
    apps: BTreeSet<AppId>,
    lives: Lifecycle,
    store: Revocations,
    clock: Clock,
    random: Random,
    risks: Option<RiskTold>,
    knocks: Knocks,
    /// The messages that could not be kept, and whose people were cut off here all the same.
    bitten: std::sync::Mutex<SeenMessages>,
}

/// Where the messages of one sender are worked on, one after the other.
struct Desk<T> {
    of: T,
    turn: Mutex<()>,
    places: Semaphore,
}

/// What is done for a stream without being called.
#[derive(Clone, Copy, Debug)]
enum Duty {
    Watch,
    Fetch,
}

/// Ends a task when it is dropped.
struct Ends(tokio::task::AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Its place and its turn, held until the message is settled.
struct Turn<'a> {
    _place: SemaphorePermit<'a>,
    _turn: MutexGuard<'a, ()>,
}

// === impl Signals ===

impl Signals {
    /// A service for these senders; `apps` are those behind this gateway. Keys are fetched when a message
    /// needs them, or by [`MessageVerifier::keep_fresh`]. Streams are looked after by [`Self::keep`].
    #[must_use]
    pub fn new(senders: Senders, apps: BTreeSet<AppId>, ports: Ports) -> Self {
        let Senders { streams, logouts, callers, postures, webhooks } = senders;
        let Ports { lives, store, clock, random, keys, transmitters, risks } = ports;
        let tokens = logouts.iter().chain(&callers).chain(&postures);
        let all = streams.iter().map(Stream::sender).chain(tokens).cloned().collect();
        let verifier = Arc::new(MessageVerifier::new(all, &keys));
        let now = clock();
        let line = |stream: Stream| Desk::new(Line::new(stream, &transmitters, now));
        Self {
            verifier,
            streams: streams.into_iter().map(line).collect(),
            logouts: logouts.into_iter().map(Desk::new).collect(),
            callers: callers.into_iter().map(Desk::new).collect(),
            postures: postures.into_iter().map(Desk::new).collect(),
            webhooks: webhooks.into_iter().map(Desk::new).collect(),
            apps,
            lives,
            store,
            clock,
            random,
            risks,
            knocks: Knocks::default(),
            bitten: std::sync::Mutex::new(SeenMessages::new(BITTEN_MAX)),
        }
    }

    fn bitten(&self) -> std::sync::MutexGuard<'_, SeenMessages> {
        self.bitten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What verifies the messages, so that somebody keeps its keys fresh.
    #[must_use]
    pub fn verifier(&self) -> Arc<MessageVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Looks after every stream, and fetches what is not pushed. Runs until it is dropped; no error ends it.
    pub async fn keep(self: Arc<Self>) {
        let mut all = JoinSet::new();
        for i in 0..self.streams.len() {
            all.spawn(Arc::clone(&self).again_and_again(i, Duty::Watch));
            all.spawn(Arc::clone(&self).again_and_again(i, Duty::Fetch));
        }
        let _never = all.join_all().await;
    }

    async fn again_and_again(self: Arc<Self>, i: usize, duty: Duty) {
        loop {
            let work = match duty {
                Duty::Watch => tokio::spawn(Arc::clone(&self).watch(i)),
                Duty::Fetch => tokio::spawn(Arc::clone(&self).fetch_for_ever(i)),
            };
            let ended = Ends(work.abort_handle());
            match work.await {
                // There is nothing to fetch.
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, ?duty, "what looks after a stream ended, and is started again")
                }
            }
            drop(ended);
        }
    }

    /// Forgets the messages whose time is over, and says how many. To be called from time to time.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn forget(&self, now: UnixMillis) -> Result<usize, StateError> {
        memory::forget(&self.store, now).await
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

// === impl Desk ===

impl<T> Desk<T> {
    fn new(of: T) -> Self {
        Self { of, turn: Mutex::new(()), places: Semaphore::new(AT_ONCE) }
    }

    /// Waits until it is this message's turn. None: too many wait already.
    async fn turn(&self) -> Option<Turn<'_>> {
        let _place = self.places.try_acquire().ok()?;
        Some(Turn { _place, _turn: self.turn.lock().await })
    }
}
