//! Calls that say themselves what is to be done: logout, global token revocation, the kill webhook. No
//! table stands between, and all of them only take.

use doorward_identity::Sender;
use doorward_identity::message::Logout;
use doorward_model::Target;

use super::answer::Took;
use super::config::Webhook;
use super::decide::Act;
use super::resolve::{About, Known, Resolution, Voice, resolve};
use super::subject::{Member, Subject};
use super::webhook::{KillAction, KillOrder};

/// What such a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directed {
    /// Whom it is about.
    pub about: About,
    /// What is done, in this order.
    pub acts: Vec<Act>,
}

/// What a logout token does: the sign-in that it names ends, or, where it names none, all of the user at
/// that provider (Back-Channel Logout §2.7). Sign-ins of the same person at other providers go on.
#[must_use]
pub fn of_logout(logout: &Logout) -> Vec<Act> {
    let target = match (logout.session(), logout.user()) {
        (Some(session), _) => Some(Target::Session(session.clone())),
        (None, Some(user)) => Some(Target::User(user.clone())),
        (None, None) => None,
    };
    target.map(Act::End).into_iter().collect()
}

/// What a call of global token revocation does: all sign-ins of the subject end, at every provider.
///
/// # Errors
/// What is answered when nobody here is meant.
pub fn of_call<K: Known>(subject: &Subject, caller: &Sender, known: &K) -> Result<Directed, Took> {
    let about = found(subject, Voice::Sender(caller), known)?;
    let acts = about.targets().into_iter().map(Act::End).collect();
    Ok(Directed { about, acts })
}

/// What a call of the kill webhook does.
///
/// # Errors
/// What is answered when nobody here is meant, or something is to be held that is not a person.
pub fn of_kill<K: Known>(order: &KillOrder, webhook: &Webhook, known: &K) -> Result<Directed, Took> {
    let about = found(order.subject(), Voice::Webhook(webhook), known)?;
    let ends = about.targets().into_iter().map(Act::End);
    let acts = match (order.action(), about.person()) {
        (KillAction::Revoke, _) => ends.collect(),
        (KillAction::Hold, Some(whom)) => ends.chain([Act::Hold(whom.clone())]).collect(),
        (KillAction::Hold, None) => return Err(Took::CannotBeDone),
    };
    Ok(Directed { about, acts })
}

/// Where the subject cannot be named exactly the next larger whole is meant: these calls only take.
fn found<K: Known>(subject: &Subject, voice: Voice<'_>, known: &K) -> Result<About, Took> {
    match resolve(subject, Member::User, known, voice, &[]) {
        Resolution::Found(found) => Ok(found.about),
        Resolution::NoOne(_) | Resolution::Critical(_) | Resolution::CriticalUnknown(_) => Err(Took::NoOne),
    }
}
