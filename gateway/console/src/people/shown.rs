//! A person in answers.

use doorward_lifecycle::service::{Failed, Lifecycle};
use doorward_model::directory::{
    ConnectionId, Edited, Given, GroupId, Hand, Hold, HoldOrigin, Origin, Person, PersonState, Profile,
    Source,
};
use doorward_model::limits::REVOCATION_PAGE_ROWS_MAX;
use doorward_state::Version;
use serde_json::{Value, json};

use crate::Console;
use crate::cases;
use crate::debts;
use crate::directory::millis;

/// A row of a list.
pub(super) fn row(person: &Person, version: Version) -> Value {
    json!({
        "id": person.id.to_string(),
        "version": version.0,
        "user_name": person.profile.user_name,
        "name": person.profile.name,
        "email": person.profile.emails.iter().find(|e| e.primary).or(person.profile.emails.first()).map(|e| &e.address),
        "state": person.state.kind().as_str(),
        "stage": person.stage().as_str(),
        "admitted": person.admitted(),
        "source": source(&person.source),
        "links": person.links.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "holds": person.holds.len(),
    })
}

/// Everything that is known.
pub(super) async fn whole(
    console: &Console,
    people: &Lifecycle,
    person: &Person,
    version: Version,
) -> Result<Value, Failed> {
    let mut groups = Vec::new();
    for given in person.groups.iter() {
        let group = people.group(given.what).await?;
        groups.push(of_group(given, group.as_ref().map(|(group, _)| &*group.display_name)));
    }
    let mut machines = Vec::new();
    for id in people.owned_by(person.id) {
        machines.extend(people.machine(id).await?.map(|(machine, _)| {
            json!({ "id": id.to_string(), "user": machine.user.to_string(), "kind": machine.kind.as_str() })
        }));
    }
    let (debts, case) = (debts_of(console, person).await, people.case(person.id).await?);
    let (locked_until, suspension) = match &person.state {
        PersonState::Locked { until } => (Some(until.0), None),
        PersonState::Suspended(by) => (None, Some(hold(by))),
        PersonState::Invited
        | PersonState::PendingVerification
        | PersonState::Staged
        | PersonState::Active
        | PersonState::Deactivated
        | PersonState::Deleted => (None, None),
    };
    Ok(json!({
        "id": person.id.to_string(),
        "version": version.0,
        "state": person.state.kind().as_str(),
        "stage": person.stage().as_str(),
        "admitted": person.admitted(),
        "locked_until": locked_until,
        "suspension": suspension,
        "source": source(&person.source),
        "offered_to": person.offered_to.as_ref().map(ConnectionId::as_str),
        "source_active": person.source_active,
        "disagrees": person.disagrees(),
        "links": person.links.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "holds": person.holds.iter().map(hold).collect::<Vec<_>>(),
        "profile": profile(&person.profile),
        "said": person.said.as_deref().map(profile),
        "edits": person.edits.iter().map(|(what, edit)| {
            json!({ "what": edited(what), "by": &*edit.by, "at": edit.at.0 })
        }).collect::<Vec<_>>(),
        "roles": person.roles.iter().map(|g| given(g, g.what.as_str())).collect::<Vec<_>>(),
        "groups": groups,
        "apps": person.apps.iter().map(|g| given(g, g.what.as_str())).collect::<Vec<_>>(),
        "machines": machines,
        "offboarding": person.offboarding.as_str(),
        "case": case.as_ref().map(cases::shown),
        "debts": debts,
        "created_at": person.created_at.0,
        "changed_at": person.changed_at.0,
        "expires_at": millis(person.expires_at),
        "left": person.left.as_ref().map(|left| json!({ "by": hand(&left.by), "at": left.at.0 })),
        "returned_at": millis(person.returned_at),
    }))
}

/// What is owed about somebody, among the newest that are open. None: the directory does not tell.
async fn debts_of(console: &Console, person: &Person) -> Option<Vec<Value>> {
    let about = format!("person {}:", person.id);
    match console.ports.revocations.debts(true, None, REVOCATION_PAGE_ROWS_MAX).await {
        Ok(debts) => {
            let now = (console.ports.clock)();
            let ours = debts.iter().filter(|debt| debt.about.starts_with(&about));
            Some(ours.map(|debt| debts::shown(debt, now)).collect())
        }
        Err(error) => {
            tracing::warn!(%error, "it cannot be told what is owed about a person");
            None
        }
    }
}

pub(crate) fn source(source: &Source) -> Value {
    match source {
        Source::Local => json!({ "kind": "local", "id": null }),
        Source::Scim(connection) => json!({ "kind": "connection", "id": connection.as_str() }),
        Source::SignIn(issuer) => json!({ "kind": "sign_in", "id": issuer.as_str() }),
    }
}

fn hold(hold: &Hold) -> Value {
    let stream = match &hold.origin {
        HoldOrigin::Operator => None,
        HoldOrigin::Signal(stream) => Some(stream.as_str()),
    };
    let origin = if stream.is_some() { "signal" } else { "operator" };
    json!({ "origin": origin, "signal": stream, "by": &*hold.by, "cause": &*hold.cause, "since": hold.since.0 })
}

fn given<T>(given: &Given<T>, what: &str) -> Value {
    let (kind, by) = match &given.origin {
        Origin::Source(connection) => ("source", Some(connection.as_str())),
        Origin::Operator(name) => ("operator", Some(&**name)),
        Origin::Default => ("default", None),
    };
    json!({ "what": what, "origin": kind, "by": by, "since": given.since.0 })
}

fn of_group(membership: &Given<GroupId>, name: Option<&str>) -> Value {
    let mut told = given(membership, &membership.what.to_string());
    if let Value::Object(members) = &mut told {
        members.insert("name".to_owned(), name.into());
    }
    told
}

fn profile(profile: &Profile) -> Value {
    let email = |email: &doorward_model::directory::Email| json!({ "address": email.address, "verified": email.verified, "primary": email.primary });
    json!({
        "user_name": profile.user_name,
        "name": profile.name,
        "emails": profile.emails.iter().map(email).collect::<Vec<_>>(),
        "department": profile.department,
        "employment": profile.employment.as_str(),
        "starts_at": millis(profile.starts_at),
        "contract_end": millis(profile.contract_end),
        "home_country": profile.home_country.as_str(),
        "tags": profile.tags,
    })
}

fn edited(what: &Edited) -> String {
    match what {
        Edited::Field(field) => field.as_str().to_owned(),
        Edited::Role(role) => format!("role {role}"),
        Edited::Group(group) => format!("group {group}"),
        Edited::App(app) => format!("app {app}"),
    }
}

fn hand(hand: &Hand) -> String {
    match hand {
        Hand::Operator => "operator".to_owned(),
        Hand::Source(connection) => format!("source {connection}"),
        Hand::Signal(stream) => format!("signal {stream}"),
        Hand::Person => "person".to_owned(),
        Hand::System => "system".to_owned(),
    }
}
