//! What the directory says of whoever asks: people and machines as requests are judged by them.
//!
//! `records` keeps bytes; this module knows what they say ([`form`]), and who a sign-in is. It stands
//! between SCIM (RFC 7644), which changes people, and the policies, which are told of them.
//!
//! ```text
//!  Records ─ subscription ─► links    issuer:subject ─► person or machine
//!                            people   record and memberships, as one batch left them
//!                            groups   name and the groups above, read once
//!                            machines
//!                               │  asked by each request, no lock, no I/O
//!                               ▼
//!            person_of, machine_of ─► KnownPerson: read, groups followed, and remembered until its
//!                                     record, its memberships or any group changes
//! ```
//!
//! The cast:
//! * [`Directory`] answers who somebody is; all clones are one.
//! * [`KnownPerson`] and [`KnownMachine`] are the answers.
//! * [`Unclear`] is why there is none, though there should be.
//! * [`Moved`] says of whom there is another answer than before: for whoever was answered already.
//!
//! Invariants:
//! * What is on the disk and acknowledged by this process is in the next answer.
//! * A person and their memberships are of one batch, and never of two.
//! * A change of a group reaches everybody in it with their next request.
//! * Whoever subscribes is told of a change after the next answer has it, and before it is acknowledged.
//! * What cannot be read, or not be followed to its end, refuses whom it concerns, and is told loudly.
//! * What is remembered is bounded, and is never asked for whether it still holds: it is compared.
//!
//! What it never does: decide who is admitted (the model does), look at the disk, or change a record.

pub mod form;
mod known;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{Device, PersonId, TokenHash};
use doorward_model::{DeviceId, Thumbprint, UserId};

pub use known::{KnownMachine, KnownPerson, MoveSubscriber, Moved, Unclear};
use view::{View, Who};

use crate::records::Records;

/// Who the directory knows, for each request. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Directory {
    view: Arc<View>,
}

impl Directory {
    /// Reads all records, and follows them from now on.
    #[must_use]
    pub fn new(records: Records) -> Self {
        let view = Arc::new(View::new(records.clone()));
        let weak = Arc::downgrade(&view);
        records.subscribe(Arc::new(move |news| {
            if let Some(view) = weak.upgrade() {
                view.take_in(news);
            }
        }));
        view.take_all_in();
        Self { view }
    }

    /// Tells of whom there is another answer, from now on.
    pub fn subscribe(&self, subscriber: MoveSubscriber) {
        self.view.subscribe(subscriber);
    }

    /// The sign-ins of the machines for which these people answer. Looks at every machine.
    #[must_use]
    pub fn machines_of(&self, people: &BTreeSet<PersonId>) -> Vec<UserId> {
        self.view.machines_of(people)
    }

    /// The person whose sign-in this is; `None` where the directory does not know it, or knows it as
    /// a machine's.
    ///
    /// # Errors
    /// When it cannot be told by what to judge them.
    pub fn person_of(&self, link: &UserId) -> Result<Option<Arc<KnownPerson>>, Unclear> {
        match self.view.who(link) {
            Some(Who::Person(id)) => {
                let known = self.view.person(id)?;
                // A sign-in that changes hands is nobody's for a moment.
                Ok(known.filter(|person| person.principal(link).is_some()))
            }
            Some(Who::Machine(_)) | None => Ok(None),
        }
    }

    /// A person by their id.
    ///
    /// # Errors
    /// When it cannot be told by what to judge them.
    pub fn person(&self, id: PersonId) -> Result<Option<Arc<KnownPerson>>, Unclear> {
        self.view.person(id)
    }

    /// The machine whose sign-in this is; `None` where the directory does not know it, or knows it as
    /// a person's.
    ///
    /// # Errors
    /// When it cannot be told by what to judge it, or the person who answers for it.
    pub fn machine_of(&self, link: &UserId) -> Result<Option<KnownMachine>, Unclear> {
        match self.view.who(link) {
            Some(Who::Machine(id)) => {
                let known = self.view.machine(id)?;
                Ok(known.filter(|known| known.machine().user == *link))
            }
            Some(Who::Person(_)) | None => Ok(None),
        }
    }

    /// A registered device; `None` where it is not.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn device(&self, id: &DeviceId) -> Result<Option<Arc<Device>>, Unclear> {
        self.view.device(id)
    }

    /// The registered device for which this certificate is noted.
    #[must_use]
    pub fn device_with_certificate(&self, thumbprint: &Thumbprint) -> Option<DeviceId> {
        self.view.device_with_certificate(thumbprint)
    }

    /// The service account that has this token; `None` where none has.
    ///
    /// # Errors
    /// When it cannot be told by what to judge it, or the person who answers for it.
    pub fn machine_with_token(&self, token: &TokenHash) -> Result<Option<KnownMachine>, Unclear> {
        self.view.with_token(token)
    }

    /// How many people, groups and machines there are, those that were deleted not counted.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        self.view.counts()
    }

    /// For how long it has not been known what others wrote: near zero as long as all is well, and the highest
    /// there is before anything is known.
    #[must_use]
    pub fn unread_for(&self) -> Duration {
        self.view.records().shared.records_unread_for()
    }

    /// For how long that may be so until nobody is judged by it: five seconds where a store is read, and the lease where
    /// one is rested on.
    #[must_use]
    pub fn unread_max(&self) -> Duration {
        self.view.records().shared.records_unread_max()
    }
}
