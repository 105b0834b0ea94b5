//! Where people sign in with a browser: opened, and looked after.
//!
//! ```text
//!  a session ends ─┬─ the directory is here ─► revocation ─► log                in force when it is done
//!                  ╰─ it is elsewhere ───────► asked for, through Redis ─► a control node does the same
//! ```
//! What a gateway node asks for can only take away: it names a session of a browser, or a person, who is marked so that
//! they sign in anew. Who asked, nobody proves: whoever can write to Redis, and each gateway node, can sign people out. For
//! whom they say that they ask is believed as well, and so is from where: the log then names somebody who did nothing, of
//! the same issuer, at an address that they made up. The log of a session's end is no proof against that person.
//!
//! What is left of sessions that have ended is cleared up by control nodes: `left`.

mod left;

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::Audit;
use doorward_console::{Condition, ConditionState};
use doorward_identity::oidc::Providers;
use doorward_identity::seal::{RandomBytes, SealError, SealKeyError, SealKeys};
use doorward_identity::session::{Lifetimes, OpenedSessions, SessionKey};
use doorward_identity::{ClientError, Verifier};
use doorward_model::Target;
use doorward_model::time::Clock;
use doorward_policy::Policies;
use doorward_proxy::config::{PeopleFrom, SignIn as Terms};
use doorward_proxy::sightings::Seen;
use doorward_proxy::sign_in::{End, Ending, GivingBack, Passing, Redeeming, Validation};
use doorward_proxy::{House, SignIn, SignInNumbers, keep_noting, sightings};
use doorward_state::sessions::ToEnd;
use doorward_state::{Action, Change, Revocations, Sessions, SessionsError, StateError};
use prometheus_client::registry::Registry;

use super::cut;
use super::operator::short;
use crate::config::Config;

pub(crate) use left::Left;

/// How often control nodes look what gateway nodes want ended.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// How long they leave Redis alone when it does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest name that the log of revocations takes.
const WHO_BYTES_MAX: usize = 255;
/// How many are taken at once.
const ASKED_MAX: usize = 100;

/// Why nobody could sign in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The keys that seal cookies cannot be had.
    #[error("{error}; {}", .error.help())]
    Keys {
        /// Why.
        error: SealKeyError,
    },
    /// Nothing can be sealed with them.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No client for providers can be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The records of sessions cannot be opened.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
}

/// What the rest of the house gives.
pub(super) struct Given<'a> {
    pub(super) verifier: &'a Verifier,
    pub(super) revocations: &'a Arc<Revocations>,
    pub(super) audit: &'a Arc<Audit>,
    pub(super) policies: &'a Arc<Policies>,
    pub(super) clock: &'a Clock,
    pub(super) sessions: &'a Sessions,
    pub(super) left: &'a Arc<Left>,
}

/// Opens it, where there is one. What was seen has to be noted by [`look_after`].
pub(super) fn open(
    config: &Config,
    given: &Given<'_>,
    registry: &mut Registry,
) -> Result<Option<(Arc<SignIn>, Seen)>, SignInError> {
    let Some(terms) = &config.sign_in else { return Ok(None) };
    let keys = keys(terms)?;
    tracing::info!(url = terms.origin.own(""), keys = keys.fingerprint(), "people sign in with a browser");
    let lifetimes = Lifetimes { idle: terms.idle, absolute: terms.absolute };
    let opened = OpenedSessions::new(keys.sealer(random_bytes())?, lifetimes);
    let name = Arc::new(random);
    let providers = Providers::new(given.verifier, Arc::clone(given.clock), name)?;
    let (sightings, seen) = sightings();
    let sign_in = SignIn {
        terms: terms.clone(),
        opened,
        providers: Arc::new(providers),
        sessions: given.sessions.clone(),
        sightings,
        end: end(given),
        validation: Validation::default(),
        redeeming: Redeeming::default(),
        passing: Passing::default(),
        giving_back: GivingBack::default(),
        numbers: SignInNumbers::new(registry),
        // Of whoever is as the token says, the session has to say it.
        slim: matches!(&config.people, PeopleFrom::Directory { token_for } if token_for.is_empty()),
    };
    Ok(Some((Arc::new(sign_in), seen)))
}

/// Notes what was seen, and learns where the providers are; a control node does what gateway nodes ask for.
pub(super) fn look_after(house: &Arc<House>, seen: Seen, left: &Arc<Left>) {
    let Some(sign_in) = &house.sign_in else { return };
    tokio::spawn(keep_noting(seen, sign_in.sessions.clone()));
    tokio::spawn(Arc::clone(&sign_in.providers).keep_fresh());
    left::keep_clear(house, sign_in, left);
    if house.revocations.has_directory() && house.revocations.fleet_health().is_some() {
        tokio::spawn(end_what_is_asked(Arc::clone(house), sign_in.sessions.clone(), Arc::clone(left)));
    }
}

/// How the records of sessions do, where people sign in. Who is signed in goes on without them, so they are no cause to
/// send anybody elsewhere.
pub(super) fn condition(house: &House) -> Option<Condition> {
    let health = house.sign_in.as_ref()?.sessions.health();
    let (state, detail) = match health.trouble {
        None => (ConditionState::Holds, format!("the records of sessions can be used ({})", health.store)),
        Some(why) => (ConditionState::Degraded, format!("nobody can sign in: {}", short(&why))),
    };
    Some(Condition { name: "sessions", state, detail })
}

fn keys(terms: &Terms) -> Result<SealKeys, SignInError> {
    let keys = match terms.key_files.as_slice() {
        [file] if terms.makes_key => SealKeys::made(file, &random_bytes()),
        files => SealKeys::read(files),
    };
    keys.map_err(|error| SignInError::Keys { error })
}

fn random_bytes() -> RandomBytes {
    Arc::new(fill)
}

fn fill(bytes: &mut [u8]) -> bool {
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(bytes).is_ok()
}

/// So many bytes from the system's source of randomness; none when it has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes).then_some(bytes)
}

/// Ends sessions for good: here, or by asking those who can.
fn end(given: &Given<'_>) -> End {
    let (revocations, sessions) = (Arc::clone(given.revocations), given.sessions.clone());
    let (audit, policies) = (Arc::clone(given.audit), Arc::clone(given.policies));
    let left = Arc::clone(given.left);
    Box::new(move |end: ToEnd| -> Ending {
        let (revocations, sessions) = (Arc::clone(&revocations), sessions.clone());
        let (audit, policies, left) = (Arc::clone(&audit), Arc::clone(&policies), Arc::clone(&left));
        Box::pin(async move {
            if revocations.has_directory() {
                revoke(&revocations, &audit, &policies, &end).await?;
                // In case that whoever asks cannot clear up themselves.
                left.put(&end.person);
                Ok(())
            } else {
                sessions.ask_to_end(&end).await.map_err(|e| e.to_string())
            }
        })
    })
}

/// Revokes, and writes it down. It is in force although other nodes may not have it yet.
async fn revoke(
    revocations: &Revocations,
    audit: &Audit,
    policies: &Policies,
    end: &ToEnd,
) -> Result<(), String> {
    // A name that the store has no room for stands in the audit log.
    let person = end.by.map(|_| end.person.to_string()).filter(|name| name.len() <= WHO_BYTES_MAX);
    let change = Change {
        target: end.target.clone(),
        action: Action::Revoke,
        cause: end.cause.clone(),
        actor: person.unwrap_or_else(|| cut::GATEWAY.to_owned()),
        request_id: end.request_id.clone(),
    };
    let receipt = match revocations.apply(change.clone()).await {
        Ok(receipt) => receipt,
        Err(StateError::NotPublished { receipt, .. }) => *receipt,
        Err(error) => return Err(error.to_string()),
    };
    let event = cut::session_ended(end, (&change, &receipt), &policies.bundle().revision().to_string());
    audit.record_durable(event).await.map(drop).map_err(|error| error.to_string())
}

/// Does what gateway nodes ask for, until the process ends.
async fn end_what_is_asked(house: Arc<House>, sessions: Sessions, left: Arc<Left>) {
    loop {
        tokio::time::sleep(ASKED_EVERY).await;
        let asked = match sessions.asked_to_end(ASKED_MAX).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::debug!(%error, "it is not known which sessions gateway nodes want ended");
                tokio::time::sleep(PATIENCE).await;
                continue;
            }
        };
        let mut done = Vec::new();
        for one in asked {
            if !may_be_asked(&one.end) {
                tracing::warn!(target = %one.end.target, "a gateway node asked to end what is neither a session of a browser nor a person");
                done.push(one.id);
                continue;
            }
            match revoke(&house.revocations, &house.audit, &house.policies, &one.end).await {
                Ok(()) => {
                    left.put(&one.end.person);
                    done.push(one.id);
                }
                Err(error) => {
                    tracing::warn!(%error, "a session that a gateway node wants ended could not be yet")
                }
            }
        }
        if !done.is_empty()
            && let Err(error) = sessions.acknowledge(&done).await
        {
            tracing::debug!(%error, "what was done for gateway nodes comes once more");
        }
    }
}

/// Whether a gateway node may ask for it: what takes away from one person, and what they get back by signing in.
fn may_be_asked(end: &ToEnd) -> bool {
    match &end.target {
        Target::Token(token) => {
            SessionKey::parse(token.as_str()).is_some() && token.issuer() == end.person.issuer()
        }
        Target::User(person) => *person == end.person,
        Target::Session(_) | Target::Device(_) | Target::UserAtApp(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{DeviceId, IssuerId, TokenId};

    use super::*;

    #[test]
    fn a_gateway_node_may_ask_for_sessions_of_browsers_and_for_people_alone() {
        let token = |text: &str| Target::Token(TokenId::new(IssuerId::new("corp").unwrap(), text).unwrap());
        for (target, may) in [
            (token("dws-AAAAAAAAAAAAAAAAAAAAAA"), true),
            (token("the-jti-of-a-bearer-token"), false),
            (
                Target::Token(
                    TokenId::new(IssuerId::new("lab").unwrap(), "dws-AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
                ),
                false,
            ),
            (Target::User("corp:alice".parse().unwrap()), true),
            (Target::User("corp:bob".parse().unwrap()), false),
            (Target::Device(DeviceId::new("laptop-1").unwrap()), false),
        ] {
            let (cause, request_id) = ("signed out".to_owned(), "r-1".to_owned());
            let end = ToEnd { target, person: "corp:alice".parse().unwrap(), by: None, cause, request_id };
            assert_eq!(may_be_asked(&end), may, "{}", end.target);
        }
    }
}
