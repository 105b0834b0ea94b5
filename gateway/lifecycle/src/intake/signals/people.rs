//! Whom the names of others mean, by the directory in memory.

use std::collections::BTreeSet;

use doorward_model::directory::{Person, PersonId, StreamName};
use doorward_model::{AppId, DeviceId, SessionId, UserId};

use super::memory::Kept;
use crate::service::{Holder, Lifecycle};
use crate::signals::decide::{Marked, Marks, Topic};
use crate::signals::resolve::{About, Called, Known, Tell, Voice, Whom};
use crate::signals::subject::Member;

/// The directory, and what was remembered of earlier signals about one subject.
pub(super) struct People<'a> {
    pub(super) lives: &'a Lifecycle,
    pub(super) apps: &'a BTreeSet<AppId>,
    /// All of one stream, about one subject: whoever decides looks that it is this one.
    pub(super) marks: &'a [Kept],
}

impl Known for People<'_> {
    fn by_sign_in(&self, user: &UserId) -> Option<Whom> {
        match self.lives.find_sign_in(user)? {
            Holder::Person(id) => self.lives.in_memory(id).map(|person| whom(&person)),
            Holder::Machine(_) => None,
        }
    }

    fn by_name(&self, voice: Voice<'_>, called: Called<'_>) -> Option<Whom> {
        let person = match called {
            Called::Email(address) => self.with_verified(voice, address)?,
            Called::Opaque(id) => self.lives.in_memory(id.parse::<PersonId>().ok()?)?,
            Called::Phone(_) | Called::Uri(_) => return None,
        };
        is_for(voice, &person).then(|| whom(&person))
    }

    fn session_owner(&self, _: &SessionId) -> Tell<PersonId> {
        Tell::CannotTell
    }

    fn device_owner(&self, _: &DeviceId) -> Tell<PersonId> {
        Tell::CannotTell
    }

    fn app(&self, _: Voice<'_>, called: Called<'_>) -> Tell<AppId> {
        let Called::Opaque(id) = called else { return Tell::CannotTell };
        match self.apps.iter().find(|app| app.as_str() == id) {
            Some(app) => Tell::Known(app.clone()),
            None => Tell::CannotTell,
        }
    }

    fn is_ours(&self, _: Voice<'_>, _: Member, _: Called<'_>) -> Tell<()> {
        Tell::CannotTell
    }

    fn in_group(&self, _: Voice<'_>, _: &Whom, _: Called<'_>) -> Tell<()> {
        Tell::CannotTell
    }
}

impl Marked for People<'_> {
    fn marks(&self, _: &StreamName, topic: Topic, _: &About) -> Marks {
        self.marks.iter().find(|kept| kept.topic == topic).map(|kept| kept.marks).unwrap_or_default()
    }
}

impl People<'_> {
    /// The only person whose verified address it is, of those whom the sender may name: that another
    /// source gives the same address to somebody of its own must not keep a kill from its person.
    fn with_verified(&self, voice: Voice<'_>, address: &str) -> Option<Person> {
        let has = |person: &Person| {
            is_for(voice, person) && person.profile.emails.iter().any(|e| e.verified && e.is(address))
        };
        let found = self.lives.find_email(address).into_iter().filter_map(|id| self.lives.in_memory(id));
        let mut found = found.filter(has);
        let (only, None) = (found.next()?, found.next()) else { return None };
        Some(only)
    }
}

/// Whoever has no sign-in that the sender may name is not the sender's to name.
fn is_for(voice: Voice<'_>, person: &Person) -> bool {
    person.links.iter().any(|link| voice.may_name(link.issuer()))
}

fn whom(person: &Person) -> Whom {
    Whom { person: Some(person.id), links: person.links.iter().cloned().collect() }
}
