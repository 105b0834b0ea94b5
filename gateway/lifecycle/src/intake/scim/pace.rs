//! How fast one connection may ask, and how much at once.
//!
//! A bucket of tokens: it fills at [`PER_SECOND`] and holds [`BURST`]. Entra ID sends up to 25 requests a
//! second for a tenant and Okta comes in bursts; both obey `Retry-After` (RFC 6585 §4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_model::UnixMillis;
use doorward_model::directory::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests a second of one connection, on the average.
pub const PER_SECOND: u32 = 100;
/// Requests of one connection in one go.
pub const BURST: u32 = 500;
/// Requests of one connection that are worked on at the same time.
pub const AT_ONCE: usize = 16;

const MILLIS: u64 = 1000;

/// The pace of every connection.
#[derive(Default)]
pub(crate) struct Paces(Mutex<HashMap<ConnectionId, Pace>>);

struct Pace {
    /// In thousandths of a request.
    left: u64,
    as_of: UnixMillis,
    places: Arc<Semaphore>,
}

impl Paces {
    /// A place for one request, until it is dropped.
    ///
    /// # Errors
    /// After how many seconds there is likely to be one.
    pub(crate) fn admit(&self, id: &ConnectionId, now: UnixMillis) -> Result<OwnedSemaphorePermit, u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = all.entry(id.clone()).or_insert_with(|| Pace {
            left: u64::from(BURST) * MILLIS,
            as_of: now,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        });
        pace.fill(now);
        if pace.left < MILLIS {
            return Err(1);
        }
        match Arc::clone(&pace.places).try_acquire_owned() {
            Ok(place) => {
                pace.left -= MILLIS;
                Ok(place)
            }
            Err(_) => Err(1),
        }
    }
}

impl Pace {
    /// A clock that goes back fills nothing, and takes nothing.
    fn fill(&mut self, now: UnixMillis) {
        let passed = u64::try_from(now.0.saturating_sub(self.as_of.0)).unwrap_or(0);
        let gained = passed.saturating_mul(u64::from(PER_SECOND));
        self.left = self.left.saturating_add(gained).min(u64::from(BURST) * MILLIS);
        self.as_of = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_pace_holds_and_others_are_not_slowed() {
        let paces = Paces::default();
        let okta = ConnectionId::new("okta").unwrap();
        let pass = |now| paces.admit(&okta, UnixMillis(now)).is_ok();
        assert_eq!((0..2 * BURST).filter(|_| pass(0)).count(), BURST as usize);
        assert_eq!((0..2 * BURST).filter(|_| pass(1000)).count(), PER_SECOND as usize);
        assert!(!pass(500), "the clock went back");
        assert!(paces.admit(&ConnectionId::new("entra").unwrap(), UnixMillis(0)).is_ok());
        assert_eq!((0..2 * BURST).filter(|_| pass(1_000_000)).count(), BURST as usize);
    }

    #[test]
    fn only_so_many_are_worked_on_at_once() {
        let paces = Paces::default();
        let okta = ConnectionId::new("okta").unwrap();
        let mut held: Vec<_> = (0..AT_ONCE).map(|_| paces.admit(&okta, UnixMillis(0)).unwrap()).collect();
        assert_eq!(paces.admit(&okta, UnixMillis(0)).unwrap_err(), 1);
        held.pop();
        assert!(paces.admit(&okta, UnixMillis(0)).is_ok());
    }
}
