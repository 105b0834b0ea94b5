//! Joining: somebody signs in whom the directory does not know. An invitation that names their address
//! makes them known, or the organization lets everybody of an issuer's mail domains join (T5, T7).
//!
//! ```text
//!  sign-in, with what its issuer says of them
//!     │ the issuer makes nobody known, no address is verified, its domain is another's ──► no
//!     ├─ one invitation of the address ───► accept_invitation
//!     ├─ several, or it is out of time ───► no: an operator has to look
//!     ├─ somebody has the address ────────► no: an operator links the sign-in
//!     └─ nobody ── first sign-in allowed ─► first_sign_in, else no
//! ```
//!
//! An address leads to a person by an invitation only, which an operator wrote for it: else whoever can have
//! it verified anywhere could be anybody. Of the same address nobody is made known twice, so that nobody
//! who is held back or has left comes in by another door.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::directory::{Email, Person, PersonId, Profile, StateKind};
use doorward_model::limits::JOIN_MILLIS_MAX;
use doorward_model::{LifecycleStage, Target, UnixMillis, User};
use doorward_state::directory::form::link_key;

use super::answer::{Asker, Done, Failed, Whom};
use super::{Inner, Lifecycle};
use crate::machine::{Actor, Command, IssuerRule};

/// How many people of one address are looked at. Of whom there are more, nobody joins by it.
const SAME_ADDRESS_MAX: usize = 64;
/// How long somebody waits for those who join before them: whoever asked does not wait longer.
const TURN_MAX: Duration = Duration::from_millis(JOIN_MILLIS_MAX);

/// Why somebody does not join, one variant for each thing that can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum NotJoined {
    /// The issuer speaks for no address.
    #[error("nobody joins by `{0}`: it speaks for no mail domain (`email_domains`)")]
    NotHere(doorward_model::IssuerId),
    /// The issuer says that they may not have access.
    #[error("their issuer calls them {}", .0.as_str())]
    NotActive(LifecycleStage),
    /// The issuer calls no address of theirs verified.
    #[error("their issuer calls no e-mail address of theirs verified")]
    NoAddress,
    /// It does, and does not speak for its domain.
    #[error("their issuer does not speak for the domain of their address (`email_domains`)")]
    OtherDomain,
    /// Nobody invited them, and the issuer makes nobody known.
    #[error("nobody invited them, and `first_sign_in` is off: invite them (`doorward user invite`)")]
    NotInvited,
    /// They were invited, and the time for it is over.
    #[error("their invitation is out of time: invite them anew")]
    OutOfTime,
    /// Several invitations name the address.
    #[error("{0} invitations name their address: take all but one back (`doorward user revoke-invitation`)")]
    Several(usize),
    /// Somebody has the address already.
    #[error(
        "somebody of their address is known already, {0}: if it is them, link the sign-in (`doorward user link`)"
    )]
    Known(StateWord),
    /// The contract is over, by the issuer's word.
    #[error("their contract is over, as their issuer says")]
    ContractOver,
    /// The sign-in was cut off, and only an invitation, a source or an operator gives it anew.
    #[error("their sign-in was cut off: invite them, or link it to the person whose it is")]
    CutOff,
    /// The table or the store says no.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Where somebody stands, in the word of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateWord(StateKind);

impl fmt::Display for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Lifecycle {
    /// Whether somebody may join at all, by what their issuer says of them. Looks at nothing else.
    ///
    /// # Errors
    /// [`NotJoined`], which then holds whoever they are.
    pub fn may_join(&self, user: &User) -> Result<(), NotJoined> {
        self.inner.may_join(user).map(|_| ())
    }

    /// Makes somebody known who signed in, if an invitation or the rules allow it. `user` is what their issuer
    /// says; the address must be there only if it is verified. Whoever is known already is not touched.
    ///
    /// # Errors
    /// [`NotJoined`]; nothing happened then.
    pub async fn join(&self, user: User, request_id: Arc<str>) -> Result<Done, NotJoined> {
        let inner = Arc::clone(&self.inner);
        let joined = tokio::spawn(async move { inner.join(&user, request_id).await }).await;
        joined.unwrap_or(Err(NotJoined::Failed(Failed::Interrupted)))
    }
}

impl Inner {
    async fn join(&self, user: &User, request_id: Arc<str>) -> Result<Done, NotJoined> {
        // What needs no turn is told at once: most who ask cannot join.
        self.way_in(user).await?;
        // One after the other, so that two sign-ins of one address do not both find nobody of it.
        let turn = tokio::time::timeout(TURN_MAX, self.joins.lock()).await;
        let _alone = turn.map_err(|_| Failed::Busy { enforced: false })?;
        let command = self.way_in(user).await?;
        let cause = match &command {
            (Whom::New, _) => "first sign-in",
            (Whom::Person(_) | Whom::SignIn(_), _) => "accepted an invitation",
        };
        let asker = Asker {
            actor: Actor::Person,
            asserted_at: None,
            cause: cause.into(),
            request_id,
            if_version: None,
        };
        let (whom, command) = command;
        let done = self.ask(&whom, &[command], &asker, &[]).await?;
        if let Ok(key) = link_key(&user.id) {
            self.caught_up(|view| view.holder(&key).is_some()).await;
        }
        Ok(done)
    }

    /// The address by which they may join, and the rule of their issuer.
    fn may_join<'a>(&'a self, user: &'a User) -> Result<(&'a str, &'a IssuerRule), NotJoined> {
        let rules = &self.settings.rules;
        let issuer = user.id.issuer();
        let rule = rules.issuers.get(issuer).filter(|rule| !rule.domains.is_empty());
        let rule = rule.ok_or_else(|| NotJoined::NotHere(issuer.clone()))?;
        if user.stage != LifecycleStage::Active {
            return Err(NotJoined::NotActive(user.stage));
        }
        let address = user.email.as_deref().ok_or(NotJoined::NoAddress)?;
        if !rules.speaks_for(issuer, address) {
            return Err(NotJoined::OtherDomain);
        }
        let now = (self.ports.clock)();
        if user.contract_end.is_some_and(|end| end <= now) {
            return Err(NotJoined::ContractOver);
        }
        Ok((address, rule))
    }

    /// What has to be asked for so that they are known. Looks at memory only.
    async fn way_in(&self, user: &User) -> Result<(Whom, Command), NotJoined> {
        let (address, rule) = self.may_join(user)?;
        let now = (self.ports.clock)();
        match self.of_address(address).await?.as_slice() {
            [] => self.first_sign_in(user, address, rule).map(|command| (Whom::New, command)),
            all => invited(all, now).map(|id| (Whom::Person(id), accept(user, address))),
        }
    }

    /// Everybody who is not deleted and has this address, or is called so by a source.
    async fn of_address(&self, address: &str) -> Result<Vec<Arc<Person>>, Failed> {
        let mut ids = self.view.with_email(address);
        ids.extend(self.view.called(address));
        ids.sort_unstable();
        ids.dedup();
        let mut people = Vec::new();
        for id in ids.into_iter().take(SAME_ADDRESS_MAX) {
            let known = self.read(id, super::directory::Place::Memory).await?;
            let known = known.map(|read| read.person);
            people.extend(known.filter(|person| person.state.kind() != StateKind::Deleted));
        }
        Ok(people)
    }

    fn first_sign_in(&self, user: &User, address: &str, rule: &IssuerRule) -> Result<Command, NotJoined> {
        if !rule.first_sign_in {
            return Err(NotJoined::NotInvited);
        }
        let known = self.ports.revocations.lookup(&Target::User(user.id.clone()));
        let cut_off = known.is_some_and(|entry| entry.disabled);
        if cut_off {
            return Err(NotJoined::CutOff);
        }
        let profile = Profile {
            name: user.name.clone(),
            emails: vec![Email { address: address.to_owned(), verified: true, primary: true }],
            department: user.department.clone(),
            employment: user.employment,
            contract_end: user.contract_end,
            home_country: user.home_country,
            tags: user.tags.clone(),
            ..Profile::named(address.to_owned())
        };
        let id = PersonId::from_u128((self.ports.ids)().as_u128());
        Ok(Command::FirstSignIn { id, link: user.id.clone(), cut_off, profile: Box::new(profile) })
    }
}

fn accept(user: &User, address: &str) -> Command {
    let verified = [address.to_owned()].into();
    // Whether the sign-in is cut off is filled in by whoever decides.
    Command::AcceptInvitation { link: user.id.clone(), cut_off: false, verified }
}

/// The one who was invited, if there is nobody else of the address.
fn invited(all: &[Arc<Person>], now: UnixMillis) -> Result<PersonId, NotJoined> {
    let is_invited = |person: &&Arc<Person>| person.state.kind() == StateKind::Invited;
    if let Some(known) = all.iter().find(|person| !is_invited(person)) {
        return Err(NotJoined::Known(StateWord(known.state.kind())));
    }
    let in_time = |person: &&Arc<Person>| person.expires_at.is_none_or(|end| now < end);
    match all.iter().filter(in_time).collect::<Vec<_>>().as_slice() {
        [] => Err(NotJoined::OutOfTime),
        [one] => Ok(one.id),
        several => Err(NotJoined::Several(several.len())),
    }
}
