//! Whose word counts about who asks: the token's, or the directory's.
//!
//! A token proves who signed in and how. What that person is, in which groups and roles, and whether
//! they are let in at all, changes while a token lives. Where the directory is asked, it says so for
//! each request; what stays the token's is the sign-in: when, how strong, on which device.
//!
//! ```text
//!  Principal of the token ─► the directory ─┬─ known, admitted ─► Principal as the directory says
//!                                           ├─ not known ───────► unknown_principal   403
//!                                           ├─ not admitted ────► disabled            401
//!                                           ├─ unclear ─────────► directory_error     403
//!                                           └─ too long unread ─► stale_directory     503
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_identity::ClientCertificate;
use doorward_model::directory::{Machine, MachineKind};
use doorward_model::{
    Agent, AppId, DevicePosture, IssuerId, LifecycleStage, Principal, Refusal, RefusalCode, ServiceAccount,
    UnixMillis, UserId,
};
use doorward_state::directory::{Directory, KnownMachine, KnownPerson, Unclear};
use quick_cache::sync::Cache;

/// Machines that are remembered as they were last judged, one for each token.
const MACHINES_MAX: usize = 8192;

/// Whose word counts about who asks.
pub enum People {
    /// The token's: nobody is looked up.
    AsTokensSay,
    /// The directory's.
    Known(Box<KnownPeople>),
}

/// Everybody is looked up, but for those of some issuers.
pub struct KnownPeople {
    directory: Directory,
    token_for: BTreeSet<IssuerId>,
    machines: Cache<usize, Merged>,
}

/// How the directory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryStatus {
    /// People that it knows.
    pub people: usize,
    /// Groups.
    pub groups: usize,
    /// Service accounts and agents.
    pub machines: usize,
    /// For how long it has not been known what others wrote.
    pub unread_for: Duration,
    /// Requests are judged by it. Else they are refused, but for apps that go on for a while.
    pub is_fresh: bool,
}

/// A machine, put together from its token and the directory.
#[derive(Clone)]
struct Merged {
    /// Keeps its address, which is the key, from being given to another.
    token: Arc<Principal>,
    machine: Arc<Machine>,
    /// Its owner, or the person it acts for.
    person: Option<Arc<KnownPerson>>,
    principal: Arc<Principal>,
}

/// Who asks, as those say whose word counts.
#[derive(Clone)]
pub(crate) struct Judged {
    pub(crate) principal: Arc<Principal>,
    /// Where the owner of a service account stands; unknown where no directory is asked.
    pub(crate) owner_stage: LifecycleStage,
    /// To whom apps may be granted: a person who asks, or whom an agent acts for.
    person: Option<Arc<KnownPerson>>,
    /// The device by its certificate, or the one that the token names, where it is registered.
    pub(crate) device: Option<Arc<DevicePosture>>,
    /// By which certificate.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

impl Judged {
    fn as_the_token_says(token: &Arc<Principal>) -> Self {
        Self {
            principal: Arc::clone(token),
            owner_stage: LifecycleStage::Unknown,
            person: None,
            device: None,
            certificate: None,
        }
    }

    /// Whether the directory grants an app.
    pub(crate) fn is_granted(&self, app: &AppId) -> bool {
        self.person.as_ref().is_some_and(|person| person.has_app(app))
    }

    /// Whether policies are told the same of both. What is remembered is shared, so whatever did not
    /// change is the same in memory; two that are told apart by this may still be equal.
    pub(crate) fn is_told_as(&self, other: &Self) -> bool {
        let same_person = match (&self.person, &other.person) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let same_device = self.device == other.device;
        same_person
            && same_device
            && self.owner_stage == other.owner_stage
            && Arc::ptr_eq(&self.principal, &other.principal)
    }
}

impl People {
    /// Everybody is as `directory` says, but for those of the issuers `token_for`.
    #[must_use]
    pub fn known(directory: Directory, token_for: BTreeSet<IssuerId>) -> Self {
        let machines = Cache::new(MACHINES_MAX);
        Self::Known(Box::new(KnownPeople { directory, token_for, machines }))
    }

    /// The directory that is asked; none where nobody is looked up.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        match self {
            Self::AsTokensSay => None,
            Self::Known(known) => Some(&known.directory),
        }
    }

    /// The issuers whose people are as their tokens say although there is a directory (`directory.token_for`); none
    /// where nobody is looked up.
    #[must_use]
    pub fn as_tokens_say(&self) -> Option<&BTreeSet<IssuerId>> {
        match self {
            Self::AsTokensSay => None,
            Self::Known(known) => Some(&known.token_for),
        }
    }

    /// How the directory does; none where nobody is looked up.
    #[must_use]
    pub fn directory_status(&self) -> Option<DirectoryStatus> {
        let Self::Known(known) = self else { return None };
        let [people, groups, machines] = known.directory.counts();
        let unread_for = known.directory.unread_for();
        let is_fresh = is_read(&known.directory, Duration::ZERO).is_ok();
        Some(DirectoryStatus { people, groups, machines, unread_for, is_fresh })
    }

    /// Whether the directory is asked about whoever signs in by tokens of an issuer.
    pub(crate) fn are_looked_up(&self) -> bool {
        match self {
            Self::AsTokensSay => false,
            Self::Known(_) => true,
        }
    }

    /// Who asks. `stale_max` is for how much longer than usual the app goes on with what was known.
    pub(crate) fn judge(
        &self,
        token: &Arc<Principal>,
        now: UnixMillis,
        stale_max: Duration,
    ) -> Result<Judged, Refusal> {
        match (self, token.id()) {
            (Self::AsTokensSay, _) | (Self::Known(_), None) => Ok(Judged::as_the_token_says(token)),
            (Self::Known(known), Some(id)) if known.token_for.contains(id.issuer()) => {
                Ok(Judged::as_the_token_says(token))
            }
            (Self::Known(known), Some(_)) => known.judge(token, now, stale_max),
        }
    }
}

impl KnownPeople {
    fn judge(&self, token: &Arc<Principal>, now: UnixMillis, stale_max: Duration) -> Result<Judged, Refusal> {
        is_read(&self.directory, stale_max)?;
        match &**token {
            Principal::User(user) => {
                let person = self.person(&user.id)?;
                let principal = person.principal(&user.id).ok_or_else(|| stranger("person", &user.id))?;
                let (principal, owner_stage) = (Arc::clone(principal), LifecycleStage::Unknown);
                Ok(Judged { principal, owner_stage, person: Some(person), device: None, certificate: None })
            }
            Principal::ServiceAccount(account) => {
                let machine = self.machine(MachineKind::ServiceAccount, &account.id, now)?;
                let owner = machine.owner().cloned();
                let principal = self.merged(token, machine.machine(), owner.as_ref(), || {
                    Principal::ServiceAccount(ServiceAccount {
                        id: account.id.clone(),
                        owner: answers(&account.owner, owner.as_deref()),
                        scopes: both(&account.scopes, &machine.machine().scopes),
                        stage: machine.stage(now),
                    })
                });
                Ok(Judged {
                    principal,
                    owner_stage: machine.owner_stage(),
                    person: None,
                    device: None,
                    certificate: None,
                })
            }
            Principal::Agent(agent) => {
                let machine = self.machine(MachineKind::Agent, &agent.id, now)?;
                let whom = &agent.on_behalf_of.id;
                let person = self.person(whom)?;
                let user = person.user(whom).ok_or_else(|| stranger("person", whom))?;
                let principal = self.merged(token, machine.machine(), Some(&person), || {
                    Principal::Agent(Agent {
                        id: agent.id.clone(),
                        on_behalf_of: user.clone(),
                        scopes: both(&agent.scopes, &machine.machine().scopes),
                    })
                });
                let owner_stage = LifecycleStage::Unknown;
                Ok(Judged { principal, owner_stage, person: Some(person), device: None, certificate: None })
            }
            Principal::Visitor(_) => Ok(Judged::as_the_token_says(token)),
        }
    }

    /// The person, if they are let in at all.
    fn person(&self, id: &UserId) -> Result<Arc<KnownPerson>, Refusal> {
        let known = self.directory.person_of(id).map_err(|e| unclear(&e))?;
        let person = known.ok_or_else(|| stranger("person", id))?;
        if person.admitted() {
            return Ok(person);
        }
        let detail = format!("the directory says that `{id}` is {}", person.stage().as_str());
        Err(Refusal::new(RefusalCode::Disabled, detail))
    }

    /// The machine, if it is let in at all, and its owner is.
    fn machine(&self, kind: MachineKind, id: &UserId, now: UnixMillis) -> Result<KnownMachine, Refusal> {
        let known = self.directory.machine_of(id).map_err(|e| unclear(&e))?;
        let known = known.filter(|known| known.machine().kind == kind);
        let machine = known.ok_or_else(|| stranger(kind.as_str(), id))?;
        if machine.admitted(now) {
            return Ok(machine);
        }
        let (stage, owner) = (machine.stage(now).as_str(), machine.owner_stage().as_str());
        let detail = format!("the directory says that `{id}` is {stage}, and its owner {owner}");
        Err(Refusal::new(RefusalCode::Disabled, detail))
    }

    /// What was made of the same token and the same records, or what `make` makes now.
    fn merged(
        &self,
        token: &Arc<Principal>,
        machine: &Arc<Machine>,
        person: Option<&Arc<KnownPerson>>,
        make: impl FnOnce() -> Principal,
    ) -> Arc<Principal> {
        let key = Arc::as_ptr(token).addr();
        let same = |a: Option<&Arc<KnownPerson>>| match (a, person) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if let Some(merged) = self.machines.get(&key)
            && Arc::ptr_eq(&merged.token, token)
            && Arc::ptr_eq(&merged.machine, machine)
            && same(merged.person.as_ref())
        {
            return merged.principal;
        }
        let principal = Arc::new(make());
        let (token, machine) = (Arc::clone(token), Arc::clone(machine));
        let merged = Merged { token, machine, person: person.cloned(), principal: Arc::clone(&principal) };
        self.machines.insert(key, merged);
        principal
    }
}

/// Under which sign-in the owner answers: as the token says, if that is one of theirs. A token that
/// names somebody who handed the machine over is not believed.
fn answers(token: &UserId, owner: Option<&KnownPerson>) -> UserId {
    let links = owner.map(|owner| &owner.person().links);
    let theirs = links.filter(|links| !links.contains(token)).and_then(|links| links.first());
    theirs.unwrap_or(token).clone()
}

/// A token gives no more than what the machine was registered for.
fn both(token: &BTreeSet<String>, registered: &BTreeSet<String>) -> BTreeSet<String> {
    token.intersection(registered).cloned().collect()
}

fn stranger(what: &str, id: &UserId) -> Refusal {
    Refusal::new(
        RefusalCode::UnknownPrincipal,
        format!("the directory knows no {what} who signs in as `{id}`"),
    )
}

/// Whether what a directory says may be believed, by an app that goes on for `stale_max` with what was known.
pub(crate) fn is_read(directory: &Directory, stale_max: Duration) -> Result<(), Refusal> {
    let unread_for = directory.unread_for();
    if unread_for <= directory.unread_max().saturating_add(stale_max) {
        return Ok(());
    }
    let detail = match unread_for {
        Duration::MAX => "the directory was not read yet, or the process ends".to_owned(),
        _ => format!("the directory was not read for {} s", unread_for.as_secs()),
    };
    Err(Refusal::new(RefusalCode::StaleDirectory, detail))
}

pub(crate) fn unclear(error: &Unclear) -> Refusal {
    Refusal::new(RefusalCode::DirectoryError, error.to_string())
}

#[cfg(test)]
mod tests;
