//! The connection to Redis: made, lost, and made again.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};

use crate::config::RedisConfig;
use crate::fleet::{Keys, Pushed, Trouble, connect, jitter};

/// How long an answer may take. Longer than that of a poll: no lease hangs on it.
const ANSWER: Duration = Duration::from_millis(1500);
/// The pause between two attempts to connect grows from here.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether there is a connection.
#[derive(Clone)]
pub(super) enum Kept {
    /// To this server.
    Connected(MultiplexedConnection, String),
    /// There is none, and why.
    Not(String),
}

impl Kept {
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Connected(..) => None,
            Self::Not(why) => Some(why.clone()),
        }
    }
}

/// Keeps a connection to the server that takes writes, until told to stop. Whoever finds it of no use says so.
pub(super) async fn keep(
    config: RedisConfig,
    kept: watch::Sender<Kept>,
    broken: Arc<Notify>,
    mut stop: watch::Receiver<()>,
) {
    let keys = Keys::new(config.namespace());
    let mut pause = PAUSE_MIN;
    let mut turn: usize = 0;
    loop {
        let one = async {
            match connect(&config, &keys, false, turn).await {
                Ok(link) => {
                    pause = PAUSE_MIN;
                    let (mut connection, mut pushes) = (link.connection, link.pushes);
                    connection.set_response_timeout(ANSWER);
                    // What was found of the connection before says nothing of this one.
                    let mut found = Box::pin(broken.notified());
                    if found.as_mut().enable() {
                        found = Box::pin(broken.notified());
                    }
                    kept.send_replace(Kept::Connected(connection, link.address.clone()));
                    loop {
                        tokio::select! {
                            () = &mut found => break,
                            push = pushes.recv() => match push {
                                Some(Pushed::Message(_)) => {}
                                Some(Pushed::Disconnected) | None => break,
                            },
                        }
                    }
                    format!("the connection to Redis at {} is over", link.address)
                }
                Err(trouble) => trouble.to_string(),
            }
        };
        tokio::select! {
            why = one => {
                kept.send_replace(Kept::Not(why));
            }
            _ = stop.changed() => return,
        }
        turn = turn.wrapping_add(1);
        // Spread over the pause, so that a fleet does not come back in one instant.
        let wait = pause.mul_f64(0.5 + jitter());
        pause = (pause * 2).min(PAUSE_MAX);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.changed() => return,
        }
    }
}

/// What an error means, and whether another connection could help.
pub(super) fn judge(server: &str, error: &RedisError) -> (Trouble, bool) {
    let trouble = Trouble::said(&server, error);
    let helps = trouble.is_of_connection();
    (trouble, helps)
}
