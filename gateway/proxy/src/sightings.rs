//! When sessions were last seen, noted beside the requests.
//!
//! A cookie says when it was used, to the minute. People who look at the list of their sessions want to know it as
//! well, of all hosts together, so it is noted in the store whenever a cookie is renewed. Nobody waits for that, and
//! what is lost of it is noted a minute later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_model::limits::{SESSION_SIGHTINGS_MAX, SESSION_SIGHTINGS_MILLIS};
use doorward_model::{AppId, UnixMillis, UserId};
use doorward_state::sessions::{Sessions, Touch};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often what was seen is noted.
const EVERY: Duration = Duration::from_millis(SESSION_SIGHTINGS_MILLIS);
/// How many are noted in one call.
const AT_ONCE: usize = 256;

/// Where it is told that a session was seen. Cheap to clone.
#[derive(Clone)]
pub struct Sightings(Sender<Touch>);

/// What waits to be noted.
pub struct Seen(Receiver<Touch>);

/// Both ends.
#[must_use]
pub fn sightings() -> (Sightings, Seen) {
    let (sender, receiver) = channel(SESSION_SIGHTINGS_MAX);
    (Sightings(sender), Seen(receiver))
}

impl Sightings {
    /// A session was seen at an app. False when too many wait already: then it is not noted.
    pub(crate) fn saw(&self, session: &BrowserSession, app: &AppId, now: UnixMillis) -> bool {
        let touch = Touch {
            person: session.user.id.clone(),
            id: session.id.to_string().into(),
            seen_at: now,
            app: Some(app.clone()),
        };
        self.0.try_send(touch).is_ok()
    }
}

/// Notes what was seen, until nobody can see anything any more.
pub async fn keep_noting(seen: Seen, sessions: Sessions) {
    let Seen(mut receiver) = seen;
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, AT_ONCE).await > 0 {
        // What a page fetches at once comes at once: it is one sighting.
        let mut newest: HashMap<(UserId, Arc<str>, Option<AppId>), Touch> = HashMap::new();
        for touch in waiting.drain(..) {
            newest.insert((touch.person.clone(), Arc::clone(&touch.id), touch.app.clone()), touch);
        }
        let touches: Vec<Touch> = newest.into_values().collect();
        if let Err(e) = sessions.touch(&touches).await {
            tracing::warn!(error = %e, sessions = touches.len(), "it was not noted when sessions were last seen");
        }
        tokio::time::sleep(EVERY).await;
    }
}
