//! Finding people: page by page, by what they are, or by any of their names.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_lifecycle::intake::connection::{ConnectionError, Connections};
use doorward_lifecycle::service::{Failed, Holder, Lifecycle, PAGE_MAX};
use doorward_model::directory::{ConnectionId, GroupId, Person, PersonId, Source, StateKind};
use doorward_model::{IssuerId, UserId};
use doorward_state::RecordKind;
use doorward_state::directory::form::Member;
use serde_json::{Value, json};

use super::shown;
use crate::Console;
use crate::directory::{ROWS, lifecycle, not_known, refused};
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::problem::{Mistake, Problem};

/// How many people one call looks through at most: where fewer rows are found, `next` goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// Whom a list is of.
#[derive(Default)]
struct Filter {
    state: Option<StateKind>,
    source: Option<Source>,
    group: Option<GroupId>,
    text: Option<String>,
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let known = ["state", "source", "group", "q", "named", "link", "email", "limit", "after"];
    let query = Parameters::new(pairs, &known);
    listed(&console, &call, query).await.unwrap_or_else(|problem| problem.into_response())
}

async fn listed(console: &Console, call: &Call, mut query: Parameters) -> Result<Response, Box<Problem>> {
    let people = lifecycle(console, call)?;
    let limit = query.limit(ROWS, PAGE_MAX);
    let after = query.read("after", str::parse::<PersonId>);
    let filter = Filter {
        state: query.read("state", |word| StateKind::parse(word).ok_or("is not a state of people")),
        source: query.read("source", read_source),
        group: query.get("group").and_then(|text| text.parse().ok().or_else(|| people.find_group(text))),
        text: query.get("q").map(str::to_lowercase),
    };
    let link = query.read("link", str::parse::<UserId>);
    let exact = [("named", query.get("named")), ("email", query.get("email")), ("link", query.get("link"))];
    if exact.iter().filter(|(_, said)| said.is_some()).count() > 1 {
        query.mistakes.push(Mistake::new("named", "and `email` and `link` do not go together", "say one"));
    }
    if !query.mistakes.is_empty() {
        return Err(Box::new(Problem::mistaken(call, query.mistakes)));
    }
    if let (Some(name), None) = (query.get("group"), filter.group) {
        return Err(Box::new(not_known(call, "group", name)));
    }
    let failed = |error: Failed| Box::new(refused(call, &error));
    let candidates = match (link, query.get("email"), query.get("named")) {
        (Some(link), ..) => Some(by_sign_in(people, &link).into_iter().collect()),
        (None, Some(email), _) => Some(people.find_email(email).into_iter().collect()),
        (None, None, Some(name)) => Some(named(console, people, name).await.map_err(failed)?),
        (None, None, None) => filter.group.map(|group| in_group(people, group)),
    };
    let (rows, next) = page(people, candidates, &filter, after, limit).await.map_err(failed)?;
    let total = people.people_count();
    Ok(Json(json!({ "users": rows, "next": next.map(|id| id.to_string()), "people": total })).into_response())
}

/// People in the order of their ids, and behind whom the next page begins.
async fn page(
    people: &Lifecycle,
    candidates: Option<BTreeSet<PersonId>>,
    filter: &Filter,
    mut after: Option<PersonId>,
    limit: usize,
) -> Result<(Vec<Value>, Option<PersonId>), Failed> {
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    loop {
        let ids: Vec<PersonId> = match &candidates {
            Some(some) => {
                some.iter().copied().filter(|id| after.is_none_or(|a| *id > a)).take(PAGE_MAX).collect()
            }
            None => people.people(after, PAGE_MAX),
        };
        if ids.is_empty() {
            return Ok((rows, None));
        }
        for id in ids {
            looked_at += 1;
            after = Some(id);
            if let Some((person, version)) = people.person(id).await?
                && filter.wants(&person)
            {
                rows.push(shown::row(&person, version));
            }
            if rows.len() == limit || looked_at == LOOKED_AT_MAX {
                let others = match &candidates {
                    Some(some) => some.range((Excluded(id), Unbounded)).next().is_some(),
                    None => !people.people(after, 1).is_empty(),
                };
                return Ok((rows, after.filter(|_| others)));
            }
        }
    }
}

impl Filter {
    fn wants(&self, person: &Person) -> bool {
        let profile = &person.profile;
        let has = |text: &str| {
            let texts = [Some(&profile.user_name), profile.name.as_ref()].into_iter().flatten();
            let mut texts = texts.chain(profile.emails.iter().map(|email| &email.address));
            texts.any(|own| own.to_lowercase().contains(text))
                || person.links.iter().any(|link| link.to_string().to_lowercase().contains(text))
        };
        self.state.is_none_or(|state| person.state.kind() == state)
            && self.source.as_ref().is_none_or(|source| person.source == *source)
            && self.group.is_none_or(|group| person.groups.has(&group))
            && self.text.as_deref().is_none_or(has)
    }
}

/// `local`, `connection:<name>` or `sign-in:<issuer>`.
fn read_source(text: &str) -> Result<Source, String> {
    match text.split_once(':') {
        None if text == "local" => Ok(Source::Local),
        Some(("connection", name)) => ConnectionId::new(name).map(Source::Scim).map_err(|e| e.to_string()),
        Some(("sign-in", issuer)) => IssuerId::new(issuer).map(Source::SignIn).map_err(|e| e.to_string()),
        None | Some(_) => Err("is not `local`, `connection:<name>` or `sign-in:<issuer>`".to_owned()),
    }
}

fn by_sign_in(people: &Lifecycle, link: &UserId) -> Option<PersonId> {
    match people.find_sign_in(link)? {
        Holder::Person(id) => Some(id),
        Holder::Machine(_) => None,
    }
}

fn in_group(people: &Lifecycle, group: GroupId) -> BTreeSet<PersonId> {
    let person = |member| match member {
        Member::Person(id) => Some(id),
        Member::Group(_) => None,
    };
    people.members(group).into_iter().filter_map(person).collect()
}

/// Everybody who is called so: by id, by sign-in with its issuer or without, by user name at any source,
/// or by e-mail address. More than one where it is not clear who is meant.
async fn named(console: &Console, people: &Lifecycle, name: &str) -> Result<BTreeSet<PersonId>, Failed> {
    let mut found = BTreeSet::new();
    if let Ok(id) = name.parse::<PersonId>()
        && people.person(id).await?.is_some()
    {
        return Ok(BTreeSet::from([id]));
    }
    found.extend(name.parse().ok().and_then(|link| by_sign_in(people, &link)));
    let issuers = console.ports.about.issuers.iter().filter_map(|issuer| IssuerId::new(issuer).ok());
    let mut sources = vec![Source::Local];
    for issuer in issuers {
        found.extend(format!("{issuer}:{name}").parse().ok().and_then(|link| by_sign_in(people, &link)));
        sources.push(Source::SignIn(issuer));
    }
    match Connections::new(console.ports.revocations.clone()).list().await {
        Ok(all) => sources.extend(all.into_iter().map(|connection| Source::Scim(connection.id))),
        Err(ConnectionError::State(error)) => return Err(error.into()),
        Err(error) => {
            let (kind, id, why) = (RecordKind::Connection, "any".to_owned(), error.to_string());
            return Err(Failed::Damaged { kind, id, why });
        }
    }
    found.extend(sources.iter().filter_map(|source| people.find_user_name(source, name)));
    found.extend(people.find_email(name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_said_in_one_way() {
        assert_eq!(read_source("local"), Ok(Source::Local));
        assert_eq!(read_source("connection:okta"), Ok(Source::Scim(ConnectionId::new("okta").unwrap())));
        assert_eq!(read_source("sign-in:corp"), Ok(Source::SignIn(IssuerId::new("corp").unwrap())));
        for bad in ["", "okta", "local:", "connection:", "connection:Okta!", "signin:corp"] {
            assert!(read_source(bad).is_err(), "{bad}");
        }
    }
}
