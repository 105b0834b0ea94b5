//! Lists and searches (RFC 7644 §3.4.2, §3.4.3): from an index where the filter names one, else by
//! looking at everything, one such look at a time.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use doorward_model::directory::Source;
use doorward_state::RecordKind;
use serde_json::Value;

use super::answer::{Answer, Failure};
use super::computed;
use super::desk::{Desk, Found, unreadable};
use super::paper::{self, SAME_EXTERNAL_ID_MAX};
use crate::scim::list::{Page, Query};
use crate::scim::{ErrorKind, Filter, Lookup, Projection, ResourceType, ScimError};

/// How many resources are looked at for one filter that no index answers.
pub const SCAN_RESOURCES_MAX: usize = 250_000;
/// How many of them are read at a time.
const SCAN_PAGE: usize = 200;

/// What is found of one type.
#[derive(Default)]
struct Part {
    total: usize,
    resources: Vec<Value>,
}

/// Answers a question about resources of some types, in the order of the types and of the ids.
pub(super) async fn list(desk: &Desk<'_>, kinds: &[ResourceType], query: &Query) -> Result<Answer, Failure> {
    let filters = filters(kinds, query)?;
    let mut whole = Part::default();
    for (kind, filter) in filters {
        let page = Page {
            start_index: query.page.start_index.saturating_sub(whole.total).max(1),
            count: query.page.count - whole.resources.len(),
        };
        let part = match filter {
            None => everything(desk, kind, page, &query.projection).await?,
            Some((text, filter)) => match filter.lookup().filter(|keys| are_indexed(kind, keys)) {
                Some(keys) => {
                    let mut ids = BTreeSet::new();
                    for key in &keys {
                        ids.extend(led_to(desk, kind, key).await?);
                    }
                    among(desk, kind, ids, &filter, page, &query.projection).await?
                }
                None => scan(desk, kind, &text, &filter, page, &query.projection).await?,
            },
        };
        whole.total += part.total;
        whole.resources.extend(part.resources);
    }
    Ok(Answer::of(StatusCode::OK, query.page.response(whole.total, whole.resources)))
}

type Asked = Vec<(ResourceType, Option<(String, Filter)>)>;

/// The filter for each type. In a search of several types, one that cannot have what the filter asks
/// for has nothing that matches.
fn filters(kinds: &[ResourceType], query: &Query) -> Result<Asked, ScimError> {
    let Some(text) = &query.filter else { return Ok(kinds.iter().map(|kind| (*kind, None)).collect()) };
    let (mut asked, mut refused) = (Vec::new(), None);
    for kind in kinds {
        match Filter::parse(*kind, text) {
            Ok(filter) => asked.push((*kind, Some((text.to_lowercase(), filter)))),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if asked.is_empty() => Err(error),
        Some(_) | None => Ok(asked),
    }
}

async fn everything(
    desk: &Desk<'_>,
    kind: ResourceType,
    page: Page,
    projection: &Projection,
) -> Result<Part, Failure> {
    let connection = &desk.caller.connection.id;
    let (total, ids) = match kind {
        ResourceType::User => desk.scim.roster.people(connection, page.skip(), page.count),
        ResourceType::Group => desk.scim.roster.groups(connection, page.skip(), page.count),
    };
    let mut resources = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(found) = desk.look(kind, &id).await? {
            resources.push(desk.resource(&found, projection));
        }
    }
    Ok(Part { total, resources })
}

/// Whether there is an index for each of the keys.
fn are_indexed(kind: ResourceType, keys: &[Lookup]) -> bool {
    keys.iter().all(|key| match (key, kind) {
        (Lookup::Id(_) | Lookup::ExternalId(_), _) => true,
        (Lookup::UserName(_) | Lookup::Email(_) | Lookup::InGroup(_), ResourceType::User) => true,
        (Lookup::DisplayName(_) | Lookup::Member(_), ResourceType::Group) => true,
        (Lookup::UserName(_) | Lookup::Email(_) | Lookup::InGroup(_), ResourceType::Group) => false,
        (Lookup::DisplayName(_) | Lookup::Member(_), ResourceType::User) => false,
    })
}

/// The ids that a key leads to.
async fn led_to(desk: &Desk<'_>, kind: ResourceType, key: &Lookup) -> Result<Vec<String>, Failure> {
    let connection = &desk.caller.connection.id;
    let roster = &desk.scim.roster;
    let lives = &desk.scim.lives;
    Ok(match key {
        Lookup::Id(id) => vec![id.clone()],
        Lookup::UserName(folded) => {
            let source = Source::Scim(connection.clone());
            lives.find_user_name(&source, folded).iter().map(ToString::to_string).collect()
        }
        // Whether it is this connection's is seen when it is looked at.
        Lookup::DisplayName(folded) => {
            let name = desk.caller.connection.terms.group_name(folded);
            lives.find_group(&name).iter().map(ToString::to_string).collect()
        }
        Lookup::Email(folded) => lives.find_email(folded).iter().map(ToString::to_string).collect(),
        Lookup::Member(id) => {
            let member = desk.member(id, None);
            let groups = member.map(|member| roster.groups_of(member)).unwrap_or_default();
            groups.iter().map(ToString::to_string).collect()
        }
        Lookup::InGroup(id) => {
            let people = id.parse().map(|group| computed::everybody(desk, group)).unwrap_or_default();
            people.iter().map(ToString::to_string).collect()
        }
        Lookup::ExternalId(text) => {
            let (mut ids, shelf) = (Vec::new(), paper::shelf(connection, kind));
            for slot in 0..SAME_EXTERNAL_ID_MAX {
                // What cannot be a key is nobody's.
                let Ok(key) = paper::external_key(connection, kind, text, slot) else { break };
                let record = desk.scim.store.record_by_key(&key).await.map_err(unreadable)?;
                let id = record.as_ref().and_then(|record| record.id.strip_prefix(shelf.as_str()));
                ids.extend(id.map(str::to_owned));
            }
            ids
        }
    })
}

/// Those of the candidates that match.
async fn among(
    desk: &Desk<'_>,
    kind: ResourceType,
    ids: BTreeSet<String>,
    filter: &Filter,
    page: Page,
    projection: &Projection,
) -> Result<Part, Failure> {
    let mut part = Part::default();
    for id in ids {
        if let Some(found) = desk.look(kind, &id).await? {
            part.take(desk, &found, filter, true, page, projection);
        }
    }
    Ok(part)
}

/// Looks at all resources of the type.
async fn scan(
    desk: &Desk<'_>,
    kind: ResourceType,
    text: &str,
    filter: &Filter,
    page: Page,
    projection: &Projection,
) -> Result<Part, Failure> {
    // Never closed, so never an error.
    let _turn = desk.scim.scans.acquire().await;
    let computes = text.contains(kind.computed());
    let shelf = paper::shelf(&desk.caller.connection.id, kind);
    let (mut part, mut after, mut seen) = (Part::default(), shelf.clone(), 0);
    loop {
        let records = desk.scim.store.record_page(RecordKind::Document, Some(&after), SCAN_PAGE).await;
        let records = records.map_err(unreadable)?;
        for record in &records {
            let Some(id) = record.id.strip_prefix(shelf.as_str()) else { return Ok(part) };
            if let Some((paper, version)) = paper::read(kind, record)? {
                let found = Found { id: id.to_owned(), paper, version };
                if desk.is_there(kind, id) {
                    part.take(desk, &found, filter, computes, page, projection);
                }
            }
        }
        seen += records.len();
        let Some(last) = records.last().filter(|_| records.len() == SCAN_PAGE) else { return Ok(part) };
        last.id.as_ref().clone_into(&mut after);
        if seen > SCAN_RESOURCES_MAX {
            let detail = "too many resources have to be looked at for this filter: ask by `userName`, \
                          `externalId`, `displayName`, `emails.value` or `id`";
            return Err(ScimError::new(ErrorKind::TooMany, detail).into());
        }
        tokio::task::yield_now().await;
    }
}

impl Part {
    /// Counts a resource that matches, and takes it in if it is on the page.
    fn take(
        &mut self,
        desk: &Desk<'_>,
        found: &Found,
        filter: &Filter,
        computes: bool,
        page: Page,
        projection: &Projection,
    ) {
        let whole =
            if computes { Projection::Usual } else { Projection::Without(vec![computed_name(found)]) };
        let Value::Object(resource) = desk.resource(found, &whole) else { return };
        if !filter.matches(&resource) {
            return;
        }
        self.total += 1;
        if self.total > page.skip() && self.resources.len() < page.count {
            self.resources.push(desk.resource(found, projection));
        }
    }
}

fn computed_name(found: &Found) -> String {
    found.paper.document.kind().computed().to_owned()
}
