//! Fetching events (RFC 8936): ask, carry out, acknowledge with the next request; a pause that grows while
//! it fails, or while nothing comes that is new, and none while there is more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_identity::message::{MessageError, Rejected};
use doorward_identity::shown;
use doorward_model::UnixMillis;
use reqwest::Url;
use tokio::time::Instant;
use uuid::Uuid;

use super::line::Line;
use super::settle::Settled;
use super::transmitter::AskError;
use super::word::Word;
use super::{Desk, Signals};
use crate::signals::poll::{PollError, is_named};
use crate::signals::{Poll, Signal};

/// The pauses after a failure.
const ANEW_MIN: Duration = Duration::from_secs(1);
const ANEW_MAX: Duration = Duration::from_mins(2);
/// A transmitter that answers sooner, and with nothing, does not hold requests.
const HOLDS_MIN: Duration = Duration::from_secs(1);
/// The pause where a transmitter does not hold requests.
const IDLE: Duration = Duration::from_secs(5);
/// How many ids of events are known again. When there are more, all are forgotten.
const KNOWN_MAX: usize = 4096;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Answer(#[from] PollError),
}

/// What one request came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// Events that did not come before: ask again at once.
    Something,
    /// There are more, it says, but none of it is new: it does not hear what is acknowledged, or errs.
    Stale,
    /// Nothing, and it took so long to know.
    Nothing(Duration),
    /// Events that cannot be carried out now, beside others that were: they stay with the transmitter.
    UndoneInPart,
    /// The same, and nothing else.
    Undone,
}

/// What fetches the events of one stream.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    poll: Poll,
    failures: u32,
    /// How many answers there were without anything new since the last that had something.
    stale: u32,
    /// The ids of events that were settled here.
    known: BTreeSet<String>,
    /// The last request was held until we gave up: the next one is not, so that it is known whether anybody
    /// answers.
    hurry: bool,
}

impl Fetcher {
    /// Whether an event was not settled before, as far as this process remembers.
    fn is_new(&mut self, id: &str) -> bool {
        if self.known.contains(id) {
            return false;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(id.to_owned())
    }
}

impl Signals {
    pub(super) async fn fetch_for_ever(self: Arc<Self>, i: usize) {
        let Some(desk) = self.streams.get(i) else { return };
        let Some(url) = desk.of.stream.contact().poll() else { return };
        let mut fetcher = Fetcher::default();
        loop {
            let pause = self.fetch_and_pause(desk, url, &mut fetcher).await;
            tokio::time::sleep(pause).await;
        }
    }

    async fn fetch_and_pause(&self, desk: &Desk<Line>, url: &Url, fetcher: &mut Fetcher) -> Duration {
        let back_off = |failures: u32| self.back_off(failures, ANEW_MIN, ANEW_MAX);
        match self.fetch(desk, url, fetcher).await {
            Ok(Came::Something) => {
                fetcher.failures = 0;
                Duration::ZERO
            }
            Ok(Came::Nothing(took)) => {
                fetcher.failures = 0;
                if took < HOLDS_MIN { self.back_off(0, IDLE, IDLE) } else { Duration::ZERO }
            }
            Ok(Came::Stale) => {
                fetcher.failures = 0;
                let pause = self.back_off(fetcher.stale, HOLDS_MIN, IDLE);
                fetcher.stale = fetcher.stale.saturating_add(1);
                pause
            }
            Ok(Came::UndoneInPart) => {
                fetcher.failures = 0;
                self.back_off(0, IDLE, IDLE)
            }
            Ok(Came::Undone) => {
                fetcher.failures = fetcher.failures.saturating_add(1);
                back_off(fetcher.failures)
            }
            Err(error) => {
                let first = fetcher.failures == 0;
                fetcher.failures = fetcher.failures.saturating_add(1);
                let (stream, why) = (desk.of.name(), error.to_string());
                if first {
                    tracing::warn!(%stream, why, "nothing can be fetched from a transmitter");
                } else {
                    tracing::debug!(%stream, why, failures = fetcher.failures, "nothing can be fetched from a transmitter");
                }
                match error {
                    FetchError::Ask(ask) => ask.retry_after().unwrap_or_else(|| back_off(fetcher.failures)),
                    FetchError::Answer(_) => back_off(fetcher.failures),
                }
            }
        }
    }

    /// One request and its answer. A request that was held until we gave up came to nothing.
    async fn fetch(&self, desk: &Desk<Line>, url: &Url, fetcher: &mut Fetcher) -> Result<Came, FetchError> {
        let line = &desk.of;
        let held = !std::mem::take(&mut fetcher.hurry);
        let began = Instant::now();
        let body = fetcher.poll.request(held);
        let answered = line.transmitter.poll(url, &body, held).await;
        let fetched = match answered {
            Ok(answer) => fetcher.poll.fetched(&answer).map_err(FetchError::from),
            Err(AskError::TimedOut(_)) if held => {
                fetcher.poll.failed();
                fetcher.hurry = true;
                return Ok(Came::Nothing(HOLDS_MIN));
            }
            Err(error) => {
                fetcher.poll.failed();
                Err(error.into())
            }
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                line.fetched(Err(error.to_string()));
                return Err(error);
            }
        };
        let now = (self.clock)();
        line.fetched(Ok(now));
        let empty = fetched.sets.is_empty() && !fetched.more;
        let (mut undone, mut news) = (false, false);
        for (id, set) in fetched.sets {
            match self.take_fetched(desk, &id, &set, now).await {
                Settled::Took(_) => {
                    news |= fetcher.is_new(&id);
                    fetcher.poll.done(id);
                }
                Settled::Rejected(why) => {
                    news |= fetcher.is_new(&id);
                    fetcher.poll.refused(id, why);
                }
                Settled::Later => undone = true,
            }
        }
        if news || empty {
            fetcher.stale = 0;
        }
        Ok(match (undone, news) {
            (true, true) => Came::UndoneInPart,
            (true, false) => Came::Undone,
            (false, true) => Came::Something,
            (false, false) if empty => Came::Nothing(began.elapsed()),
            (false, false) => Came::Stale,
        })
    }

    /// Does what a fetched event asks for. What is not good is told to the operator, at most once a second.
    async fn take_fetched(&self, desk: &Desk<Line>, id: &str, set: &str, now: UnixMillis) -> Settled {
        let name = desk.of.name();
        let request_id: Arc<str> = Uuid::new_v4().to_string().into();
        let read = async {
            let event = self.verifier.security_event(name.as_str(), set, now).await?;
            is_named(id, &event)?;
            Ok::<_, MessageError>(Signal::read(&event)?)
        };
        match read.await {
            Ok(signal) => self.settle(desk, Word::Signal(&signal, &desk.of), &request_id).await,
            Err(MessageError::Rejected(why)) => {
                self.tell_bad(desk, id, &why, now);
                Settled::Rejected(why)
            }
            Err(error @ MessageError::KeysUnavailable { .. }) => {
                tracing::debug!(stream = %name, %error, "a fetched event waits for keys");
                Settled::Later
            }
        }
    }

    fn tell_bad(&self, desk: &Desk<Line>, id: &str, why: &Rejected, now: UnixMillis) {
        if let Some(untold) = self.knocks.due(now) {
            tracing::warn!(stream = %desk.of.name(), message = shown(id, 60), %why, untold, "a fetched message is not good");
        }
    }
}
