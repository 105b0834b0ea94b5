//! Who there is to ask about, by the directory.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_console::AccessFault;
use doorward_lifecycle::service::Lifecycle;
use doorward_model::directory::{MachineId, MachineKind, PersonId};
use doorward_model::principal::{Agent, ServiceAccount, Visitor};
use doorward_model::{IssuerId, LifecycleStage, Principal, UnixMillis, UserId};
use doorward_state::directory::{Directory, KnownMachine, KnownPerson};
use doorward_workbench::reach::Subject;

use super::Wired;

/// Somebody of the directory, or who has not signed in.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// The id in the directory.
    pub(super) record: Option<String>,
    /// One for each way in which they can come: a person has as many as sign-ins, a machine as many as those of
    /// the person who answers for it. None only where `refused` says why.
    pub(super) subjects: Vec<Subject>,
    /// To whom apps are granted.
    pub(super) person: Option<Arc<KnownPerson>>,
    /// Why they are not even asked about: the gateway refuses before any policy is.
    pub(super) refused: Option<String>,
    /// An issuer by which they can come, too, and then they are as their token says.
    pub(super) as_token_says: Option<IssuerId>,
}

impl Known {
    /// Whoever has not signed in.
    pub(super) fn visitor() -> Self {
        let name = "visitor".to_owned();
        let subject = Subject {
            name: name.clone(),
            principal: Arc::new(Principal::Visitor(Visitor)),
            owner_stage: LifecycleStage::Unknown,
        };
        Self {
            name,
            kind: "visitor",
            record: None,
            subjects: vec![subject],
            person: None,
            refused: None,
            as_token_says: None,
        }
    }

    /// The same, unless they come by a token alone that says who they are.
    ///
    /// # Errors
    /// Then the directory does not tell what they may.
    pub(super) fn by_directory(self) -> Result<Self, AccessFault> {
        match &self.as_token_says {
            Some(issuer) if self.subjects.is_empty() => Err(AccessFault::AsTokenSays(issuer.clone())),
            Some(_) | None => Ok(self),
        }
    }
}

/// Where they stand.
pub(super) struct Roll<'r> {
    pub(super) people: &'r Lifecycle,
    directory: &'r Directory,
    as_tokens_say: &'r BTreeSet<IssuerId>,
    now: UnixMillis,
    runtime: &'r tokio::runtime::Handle,
}

impl<'r> Roll<'r> {
    /// The directory of this node, now.
    pub(super) fn of(wired: &'r Wired) -> Result<Self, AccessFault> {
        let directory = wired.house.people.directory().ok_or(AccessFault::NoDirectory)?;
        let as_tokens_say = wired.house.people.as_tokens_say().ok_or(AccessFault::NoDirectory)?;
        let people = wired.lives.get().ok_or(AccessFault::NoDirectory)?;
        Ok(Self { people, directory, as_tokens_say, now: (wired.house.clock)(), runtime: &wired.runtime })
    }
}

impl Roll<'_> {
    pub(super) fn person(&self, id: PersonId) -> Result<Known, AccessFault> {
        let known = self.directory.person(id).map_err(|e| AccessFault::Failed(e.to_string()))?;
        Ok(self.of_person(known.ok_or(AccessFault::NoOne)?))
    }

    /// A machine with everything that it was registered for, which a token may narrow. An agent is asked about for
    /// its owner.
    pub(super) fn machine(&self, id: MachineId) -> Result<Known, AccessFault> {
        let failed = |e: &dyn std::error::Error| AccessFault::Failed(e.to_string());
        let read = self.runtime.block_on(self.people.machine(id)).map_err(|e| failed(&e))?;
        let (read, _) = read.ok_or(AccessFault::NoOne)?;
        let known = self.directory.machine_of(&read.user).map_err(|e| AccessFault::Failed(e.to_string()))?;
        let known = of_machine(&known.ok_or(AccessFault::NoOne)?, id, self.now);
        Ok(if self.is_as_token_says(&read.user) {
            let as_token_says = Some(read.user.issuer().clone());
            Known { subjects: Vec::new(), refused: None, as_token_says, ..known }
        } else {
            known
        })
    }

    /// The issuers by which people come whom the directory is not asked about.
    pub(super) fn as_tokens_say(&self) -> Vec<&str> {
        self.as_tokens_say.iter().map(IssuerId::as_str).collect()
    }

    fn is_as_token_says(&self, id: &UserId) -> bool {
        self.as_tokens_say.contains(id.issuer())
    }

    fn of_person(&self, person: Arc<KnownPerson>) -> Known {
        let record = person.person();
        let name = record.profile.user_name.clone();
        let subject = |principal: &Arc<Principal>| Subject {
            name: name.clone(),
            principal: Arc::clone(principal),
            owner_stage: LifecycleStage::Unknown,
        };
        let (by_token, links): (Vec<_>, Vec<_>) =
            record.links.iter().partition(|link| self.is_as_token_says(link));
        let as_token_says = by_token.first().map(|link| link.issuer().clone());
        let subjects: Vec<_> =
            links.into_iter().filter_map(|link| person.principal(link)).map(subject).collect();
        let refused = match (person.admitted(), subjects.is_empty()) {
            // What the directory says of them is not asked.
            (_, true) if as_token_says.is_some() => None,
            (false, _) => Some(format!("the directory does not let them in: {}", person.stage().as_str())),
            (true, true) => Some("nobody has signed in as them yet".to_owned()),
            (true, false) => None,
        };
        let record = Some(record.id.to_string());
        Known { name, kind: "user", record, subjects, person: Some(person), refused, as_token_says }
    }
}

fn of_machine(known: &KnownMachine, id: MachineId, now: UnixMillis) -> Known {
    let machine = known.machine();
    let links = known.owner().map(|owner| &owner.person().links);
    let links: Vec<&UserId> = links.into_iter().flatten().collect();
    let (kind, principals) = match machine.kind {
        MachineKind::ServiceAccount => {
            // Nobody has signed in as the owner: it answers for itself then, as requests of it say.
            let owners = if links.is_empty() { vec![&machine.user] } else { links };
            let account = |owner: &UserId| {
                Principal::ServiceAccount(ServiceAccount {
                    id: machine.user.clone(),
                    owner: owner.clone(),
                    scopes: machine.scopes.clone(),
                    stage: known.stage(now),
                })
            };
            ("service_account", owners.into_iter().map(account).collect::<Vec<_>>())
        }
        MachineKind::Agent => {
            let users = links.into_iter().filter_map(|link| known.owner()?.user(link));
            let agent = |user: &doorward_model::User| {
                Principal::Agent(Agent {
                    id: machine.user.clone(),
                    on_behalf_of: user.clone(),
                    scopes: machine.scopes.clone(),
                })
            };
            ("agent", users.map(agent).collect())
        }
    };
    let refused = match (known.admitted(now), principals.is_empty()) {
        (false, _) => {
            let (stage, owner) = (known.stage(now).as_str(), known.owner_stage().as_str());
            Some(format!("the directory does not let it in: it is {stage}, and its owner {owner}"))
        }
        (true, true) => Some("its owner has not signed in yet".to_owned()),
        (true, false) => None,
    };
    let person = match machine.kind {
        MachineKind::Agent => known.owner().cloned(),
        MachineKind::ServiceAccount => None,
    };
    let subject = |principal| Subject {
        name: machine.name.clone(),
        principal: Arc::new(principal),
        owner_stage: known.owner_stage(),
    };
    let subjects = principals.into_iter().map(subject).collect();
    let (name, record) = (machine.name.clone(), Some(id.to_string()));
    Known { name, kind, record, subjects, person, refused, as_token_says: None }
}
