//! Reviews of access: who can, and what can somebody, by the directory and the policies in force.

mod placed;

use std::sync::Arc;

use doorward_console::{AccessAbout, AccessAsk, AccessFault};
use doorward_lifecycle::service::Lifecycle;
use doorward_model::directory::{MachineId, MachineKind, PersonId};
use doorward_model::limits::POLICY_LOAD_STACK_BYTES;
use doorward_model::principal::{Agent, ServiceAccount, Visitor};
use doorward_model::{LifecycleStage, Principal, RouteFacts, UnixMillis};
use doorward_policy::{Action, PolicyBundle};
use doorward_proxy::find_route;
use doorward_state::directory::{Directory, KnownMachine, KnownPerson};
use doorward_workbench::reach::{Answer, Because, Grant, Page, Reach, Subject, Whose, Why};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Wired;

/// Answers one after another: a review must not take the processors from requests.
pub(super) struct Access {
    wired: Arc<Wired>,
    turn: Semaphore,
}

impl Access {
    pub(super) fn new(wired: Arc<Wired>) -> Arc<Self> {
        Arc::new(Self { wired, turn: Semaphore::new(1) })
    }

    pub(super) async fn answer(self: Arc<Self>, ask: AccessAsk) -> Result<Value, AccessFault> {
        let failed = |what: &str| AccessFault::Failed(what.to_owned());
        let Ok(_turn) = self.turn.acquire().await else { return Err(failed("the gateway is going away")) };
        let wired = Arc::clone(&self.wired);
        // Policies may be deep, and what looks into them calls itself for each level.
        let thread =
            std::thread::Builder::new().name("access".to_owned()).stack_size(POLICY_LOAD_STACK_BYTES);
        let (done, answer) = tokio::sync::oneshot::channel();
        let work = move || drop(done.send(answered(&wired, &ask)));
        thread.spawn(work).map_err(|e| AccessFault::Failed(format!("no thread can be started: {e}")))?;
        answer.await.unwrap_or_else(|_| Err(failed("it ended in the middle, as the gateway's log says")))
    }
}

fn answered(wired: &Wired, ask: &AccessAsk) -> Result<Value, AccessFault> {
    if let AccessAbout::Placed { situation, whom, now } = &ask.about {
        return placed::placed(wired, situation, *whom, *now);
    }
    let bundle = wired.house.policies.bundle();
    let review = Review::of(wired, &bundle)?;
    let (page, next) = match &ask.about {
        AccessAbout::Who { action, route } => {
            let route = find_route(&wired.config.apps, route).ok_or(AccessFault::NoRoute)?;
            review.who(*action, &route.facts, ask)?
        }
        AccessAbout::Person(id) => review.what(review.person(*id)?, wired, ask)?,
        AccessAbout::Machine(id) => review.what(review.machine(*id)?, wired, ask)?,
        AccessAbout::Placed { .. } => return Err(AccessFault::NoOne),
    };
    let mut told = page.to_json();
    if let Some(members) = told.as_object_mut() {
        members.insert("revision".to_owned(), json!(bundle.revision().to_string()));
        members.insert("next".to_owned(), json!(next));
    }
    Ok(told)
}

/// Somebody of the directory.
struct Known {
    name: String,
    kind: &'static str,
    /// None where nobody has signed in as them.
    subject: Option<Subject>,
    /// To whom apps are granted.
    person: Option<Arc<KnownPerson>>,
    /// Why they are not even asked about: the gateway refuses before any policy is.
    refused: Option<String>,
}

struct Review<'r> {
    people: &'r Lifecycle,
    directory: &'r Directory,
    bundle: &'r PolicyBundle,
    now: UnixMillis,
    runtime: &'r tokio::runtime::Handle,
}

impl<'r> Review<'r> {
    fn of(wired: &'r Wired, bundle: &'r PolicyBundle) -> Result<Self, AccessFault> {
        let directory = wired.house.people.directory().ok_or(AccessFault::NoDirectory)?;
        let people = wired.lives.get().ok_or(AccessFault::NoDirectory)?;
        Ok(Self { people, directory, bundle, now: (wired.house.clock)(), runtime: &wired.runtime })
    }
}

impl Review<'_> {
    /// So many of everybody: people in the order of their ids, then machines, then the visitor.
    fn who(
        &self,
        action: Action,
        route: &RouteFacts,
        ask: &AccessAsk,
    ) -> Result<(Page, Option<String>), AccessFault> {
        let (mut reach, mut page) = (Reach::new(self.bundle), Page::default());
        let mut add = |known: &Known| add(&mut page, &mut reach, known, action, route);
        let (mut person, mut machine): (Option<PersonId>, Option<MachineId>) = (None, None);
        match ask.after.as_deref().map(|after| after.split_once(':')) {
            None => {}
            Some(Some(("person", id))) => person = Some(id.parse().map_err(|_| AccessFault::After)?),
            Some(Some(("machine", id))) => machine = Some(id.parse().map_err(|_| AccessFault::After)?),
            Some(Some(_) | None) => return Err(AccessFault::After),
        }
        let mut left = ask.limit;
        if machine.is_none() {
            let ids = self.people.people(person, left);
            left -= ids.len();
            for id in &ids {
                // Whoever was forgotten meanwhile is not there.
                match self.person(*id) {
                    Ok(known) => add(&known),
                    Err(AccessFault::NoOne) => {}
                    Err(fault) => return Err(fault),
                }
            }
            if left == 0 {
                return Ok((page, ids.last().map(|id| format!("person:{id}"))));
            }
        }
        let ids = self.people.machines(machine, left);
        for id in &ids {
            match self.machine(*id) {
                Ok(known) => add(&known),
                Err(AccessFault::NoOne) => {}
                Err(fault) => return Err(fault),
            }
        }
        if ids.len() == left {
            return Ok((page, ids.last().map(|id| format!("machine:{id}"))));
        }
        let subject = Subject {
            name: "visitor".to_owned(),
            principal: Arc::new(Principal::Visitor(Visitor)),
            owner_stage: LifecycleStage::Unknown,
        };
        add(&Known {
            name: subject.name.clone(),
            kind: "visitor",
            subject: Some(subject),
            person: None,
            refused: None,
        });
        Ok((page, None))
    }

    /// Every action of so many routes.
    fn what(
        &self,
        known: Known,
        wired: &Wired,
        ask: &AccessAsk,
    ) -> Result<(Page, Option<String>), AccessFault> {
        let (mut reach, mut page) = (Reach::new(self.bundle), Page::default());
        let routes: Vec<&RouteFacts> = wired.config.routes().collect();
        let begin = match &ask.after {
            None => 0,
            Some(after) => {
                let at = routes.iter().position(|route| route.id.as_str() == after);
                at.ok_or(AccessFault::After)? + 1
            }
        };
        let rest = routes.get(begin..).unwrap_or_default();
        let mut last = None;
        for route in rest.iter().take(ask.limit) {
            for action in Action::ALL {
                add(&mut page, &mut reach, &known, action, route);
            }
            last = Some(route.id.as_str().to_owned());
        }
        Ok((page, last.filter(|_| rest.len() > ask.limit)))
    }

    fn person(&self, id: PersonId) -> Result<Known, AccessFault> {
        let known = self.directory.person(id).map_err(|e| AccessFault::Failed(e.to_string()))?;
        let person = known.ok_or(AccessFault::NoOne)?;
        let record = person.person();
        let link = record.links.first();
        let principal = link.and_then(|link| person.principal(link));
        let refused = match (person.admitted(), &principal) {
            (false, _) => Some(format!("the directory does not let them in: {}", person.stage().as_str())),
            (true, None) => Some("nobody has signed in as them yet".to_owned()),
            (true, Some(_)) => None,
        };
        let name = record.profile.user_name.clone();
        let subject = principal.map(|principal| Subject {
            name: name.clone(),
            principal: Arc::clone(principal),
            owner_stage: LifecycleStage::Unknown,
        });
        Ok(Known { name, kind: "user", subject, person: Some(person), refused })
    }

    /// A machine with everything that it was registered for, which a token may narrow. An agent is asked about for
    /// its owner.
    fn machine(&self, id: MachineId) -> Result<Known, AccessFault> {
        let failed = |e: &dyn std::error::Error| AccessFault::Failed(e.to_string());
        let read = self.runtime.block_on(self.people.machine(id)).map_err(|e| failed(&e))?;
        let (read, _) = read.ok_or(AccessFault::NoOne)?;
        let known = self.directory.machine_of(&read.user).map_err(|e| AccessFault::Failed(e.to_string()))?;
        let known = known.ok_or(AccessFault::NoOne)?;
        let machine = known.machine();
        let owner = known.owner().and_then(|owner| owner.person().links.first());
        let (id, scopes) = (machine.user.clone(), machine.scopes.clone());
        let principal = match machine.kind {
            MachineKind::ServiceAccount => Some(Principal::ServiceAccount(ServiceAccount {
                owner: owner.unwrap_or(&id).clone(),
                stage: known.stage(self.now),
                id,
                scopes,
            })),
            MachineKind::Agent => {
                let person = known.owner().zip(owner).and_then(|(known, link)| known.user(link));
                person.map(|user| Principal::Agent(Agent { id, on_behalf_of: user.clone(), scopes }))
            }
        };
        Ok(of_machine(&known, principal, self.now))
    }
}

fn of_machine(known: &KnownMachine, principal: Option<Principal>, now: UnixMillis) -> Known {
    let machine = known.machine();
    let refused = match (known.admitted(now), &principal) {
        (false, _) => {
            let (stage, owner) = (known.stage(now).as_str(), known.owner_stage().as_str());
            Some(format!("the directory does not let it in: it is {stage}, and its owner {owner}"))
        }
        (true, None) => Some("its owner has not signed in yet".to_owned()),
        (true, Some(_)) => None,
    };
    let person = match machine.kind {
        MachineKind::Agent => known.owner().cloned(),
        MachineKind::ServiceAccount => None,
    };
    let subject = principal.map(|principal| Subject {
        name: machine.name.clone(),
        principal: Arc::new(principal),
        owner_stage: known.owner_stage(),
    });
    let kind = match machine.kind {
        MachineKind::ServiceAccount => "service_account",
        MachineKind::Agent => "agent",
    };
    Known { name: machine.name.clone(), kind, subject, person, refused }
}

fn add(page: &mut Page, reach: &mut Reach<'_>, known: &Known, action: Action, route: &RouteFacts) {
    let refused =
        |why: &str| Answer::Never(Why { whose: Whose::Asker, because: Because::NotAsked(why.to_owned()) });
    let Some(subject) = &known.subject else {
        let why = known.refused.as_deref().unwrap_or("nobody has signed in so");
        return page.add_unasked(&known.name, known.kind, action, route, refused(why));
    };
    let granted = known.person.as_ref().is_some_and(|person| person.has_app(route.id.app()));
    let grant = if granted { Grant::Given } else { Grant::NotGiven };
    let answer = match &known.refused {
        Some(why) => refused(why),
        None => reach.ask(subject, grant, action, route),
    };
    page.add(subject, action, route, answer);
}
