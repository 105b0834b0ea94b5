//! Reviews of access: who can, and what can somebody, by the directory and by the policies that would decide.

mod known;
mod placed;
mod turns;

use std::sync::Arc;

use doorward_console::{AccessAbout, AccessAsk, AccessFault};
use doorward_model::RouteFacts;
use doorward_model::directory::{MachineId, PersonId};
use doorward_policy::{Action, Stand};
use doorward_proxy::find_route;
use doorward_workbench::reach::{Answer, Because, Entry, Grant, Page, Reach, Subject, Whose, Why};
use serde_json::{Value, json};

use self::known::{Known, Roll};
use self::turns::Turns;
use super::Wired;

/// Answers one after another: a review must not take the processors from requests.
pub(super) struct Access {
    wired: Arc<Wired>,
    turns: Turns,
}

impl Access {
    pub(super) fn new(wired: Arc<Wired>) -> Arc<Self> {
        Arc::new(Self { wired, turns: Turns::new() })
    }

    pub(super) async fn answer(self: Arc<Self>, ask: AccessAsk) -> Result<Value, AccessFault> {
        let wired = Arc::clone(&self.wired);
        let answer = self.turns.take(move || answered(&wired, &ask)).await;
        answer.unwrap_or_else(|why| Err(AccessFault::Failed(why)))
    }
}

fn answered(wired: &Wired, ask: &AccessAsk) -> Result<Value, AccessFault> {
    if let AccessAbout::Placed { situation, whom, said } = &ask.about {
        return placed::placed(wired, situation, *whom, *said);
    }
    let roll = Roll::of(wired)?;
    let stand = wired.house.policies.stand();
    let mut review = Review::new(&stand);
    let next = match &ask.about {
        AccessAbout::Who { action, route } => {
            let route = find_route(&wired.config.apps, route).ok_or(AccessFault::NoRoute)?;
            review.who(&roll, *action, &route.facts, ask)?
        }
        AccessAbout::Person(id) => review.what(&roll.person(*id)?.by_directory()?, wired, ask)?,
        AccessAbout::Machine(id) => review.what(&roll.machine(*id)?.by_directory()?, wired, ask)?,
        AccessAbout::Visitor => review.what(&Known::visitor(), wired, ask)?,
        AccessAbout::Placed { .. } => return Err(AccessFault::NoOne),
    };
    let mut told = review.page.to_json();
    if let Some(members) = told.as_object_mut() {
        members.insert("revision".to_owned(), json!(stand.bundle.revision().to_string()));
        members.insert("staged".to_owned(), staged(&stand));
        members.insert("as_tokens_say".to_owned(), json!(roll.as_tokens_say()));
        members.insert("next".to_owned(), json!(next));
    }
    Ok(told)
}

/// What a share is asked of, and which one.
fn staged(stand: &Stand) -> Value {
    let Some(staged) = &stand.staged else { return Value::Null };
    let apps = staged.share.apps();
    json!({
        "revision": staged.bundle.revision().to_string(),
        "hundredths": staged.share.hundredths(),
        "apps": apps.map(|apps| apps.iter().map(ToString::to_string).collect::<Vec<_>>()),
    })
}

/// A page in the making, by the policies of one moment.
struct Review<'r> {
    stand: &'r Stand,
    in_force: Reach<'r>,
    staged: Option<Reach<'r>>,
    page: Page,
}

impl<'r> Review<'r> {
    fn new(stand: &'r Stand) -> Self {
        let staged = stand.staged.as_ref().map(|staged| Reach::new(&staged.bundle));
        Self { stand, in_force: Reach::new(&stand.bundle), staged, page: Page::default() }
    }

    /// So many of everybody: people in the order of their ids, then machines, then the visitor.
    fn who(
        &mut self,
        roll: &Roll<'_>,
        action: Action,
        route: &RouteFacts,
        ask: &AccessAsk,
    ) -> Result<Option<String>, AccessFault> {
        let (mut person, mut machine): (Option<PersonId>, Option<MachineId>) = (None, None);
        match ask.after.as_deref().map(|after| after.split_once(':')) {
            None => {}
            Some(Some(("person", id))) => person = Some(id.parse().map_err(|_| AccessFault::After)?),
            Some(Some(("machine", id))) => machine = Some(id.parse().map_err(|_| AccessFault::After)?),
            Some(Some(_) | None) => return Err(AccessFault::After),
        }
        let mut left = ask.limit;
        if machine.is_none() {
            let ids = roll.people.people(person, left);
            left -= ids.len();
            for id in &ids {
                self.add_if_there(roll.person(*id), action, route)?;
            }
            if left == 0 {
                return Ok(ids.last().map(|id| format!("person:{id}")));
            }
        }
        let ids = roll.people.machines(machine, left);
        for id in &ids {
            self.add_if_there(roll.machine(*id), action, route)?;
        }
        if ids.len() == left {
            return Ok(ids.last().map(|id| format!("machine:{id}")));
        }
        self.add(&Known::visitor(), action, route);
        Ok(None)
    }

    /// Every action of so many routes.
    fn what(&mut self, known: &Known, wired: &Wired, ask: &AccessAsk) -> Result<Option<String>, AccessFault> {
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
                self.add(known, action, route);
            }
            last = Some(route.id.as_str().to_owned());
        }
        Ok(last.filter(|_| rest.len() > ask.limit))
    }

    /// Whoever was forgotten meanwhile is not there.
    fn add_if_there(
        &mut self,
        known: Result<Known, AccessFault>,
        action: Action,
        route: &RouteFacts,
    ) -> Result<(), AccessFault> {
        match known {
            Ok(known) => self.add(&known, action, route),
            Err(AccessFault::NoOne) => {}
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// A row for each sign-in: policies may tell them apart.
    fn add(&mut self, known: &Known, action: Action, route: &RouteFacts) {
        let (record, kind) = (known.record.clone(), known.kind);
        let never = |why: &str| {
            Answer::Never(Why { whose: Whose::Asker, because: Because::NotAsked(why.to_owned()) })
        };
        if let Some(why) = &known.refused {
            let entry = Entry { name: &known.name, kind, record, ..Entry::default() };
            return self.page.add(&entry, action, route, never(why));
        }
        let granted = known.person.as_ref().is_some_and(|person| person.has_app(route.id.app()));
        let grant = if granted { Grant::Given } else { Grant::NotGiven };
        for subject in &known.subjects {
            let reach = self.reach(subject, route);
            let answer = reach.ask_at_door(subject, grant, action, route);
            let entry = Entry { record: record.clone(), ..Entry::of(subject, reach.revision()) };
            self.page.add(&entry, action, route, answer);
        }
    }

    /// The policies that would decide for somebody, as they do for a request.
    fn reach(&mut self, subject: &Subject, route: &RouteFacts) -> &mut Reach<'r> {
        let of = self.stand.bundle_of(&subject.principal, route.id.app());
        match &mut self.staged {
            Some(staged) if !Arc::ptr_eq(of, &self.stand.bundle) => staged,
            Some(_) | None => &mut self.in_force,
        }
    }
}
