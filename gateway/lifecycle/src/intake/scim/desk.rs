//! One resource: read, made, changed, deleted (RFC 7644 §3.3 to §3.6), by one connection, which finds
//! nothing but its own.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use doorward_model::UnixMillis;
use doorward_model::directory::{GroupId, PersonId};
use doorward_state::directory::form::Member;
use doorward_state::{Expected, RecordKind, Version, Write};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Answer, Failure};
use super::door::Caller;
use super::hands::{Did, GroupStep, Hand, Undone, not_found};
use super::mapping;
use super::paper::{self, Paper, SAME_EXTERNAL_ID_MAX};
use super::serve::aside;
use super::{Scim, computed};
use crate::machine::Command;
use crate::scim::etag::Precondition;
use crate::scim::{Envelope, ErrorKind, PatchRequest, Projection, ResourceType, ScimError, Written, write};
use crate::service::Lifecycle;

/// How often a request is read anew against a resource that changed meanwhile.
pub(super) const TRIES_MAX: usize = 6;
/// How long it is waited until other nodes know of what was done before, where nothing is left to do.
const GOES_OUT_WITHIN: Duration = Duration::from_secs(3);

/// Where one request of one connection is worked on.
pub(super) struct Desk<'a> {
    pub(super) scim: &'a Scim,
    pub(super) caller: &'a Caller,
}

/// A resource as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) paper: Paper,
    pub(super) version: Version,
}

/// What a request makes of a stored resource.
type Change = Box<dyn Fn(&Paper) -> Result<Written, ScimError> + Send + Sync>;

impl<'a> Desk<'a> {
    pub(super) const fn new(scim: &'a Scim, caller: &'a Caller) -> Self {
        Self { scim, caller }
    }

    /// GET of one resource.
    pub(super) async fn get(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Answer, Failure> {
        let found = self.find(kind, id).await?;
        let version = paper::tag(found.version);
        if precondition.has(version) {
            return Ok(Answer {
                status: StatusCode::NOT_MODIFIED,
                version: Some(version),
                ..Answer::default()
            });
        }
        Ok(self.shown(StatusCode::OK, &found, projection))
    }

    /// POST.
    pub(super) async fn create(
        &self,
        kind: ResourceType,
        body: Map<String, Value>,
        projection: &Projection,
    ) -> Result<Answer, Failure> {
        let written = aside(move || write::create(kind, body)).await?;
        let now = self.caller.now;
        let handed_over = match kind {
            ResourceType::User => self.handed_over(&written.document).await.map_err(Undone::into_error)?,
            ResourceType::Group => None,
        };
        let bits = handed_over.map_or_else(|| self.scim.ids.next(now), PersonId::as_u128);
        let id = uuid::Uuid::from_u128(bits).to_string();
        let mut paper = Paper {
            document: written.document,
            asserted: written.asserted,
            created: now,
            last_modified: now,
            slot: 0,
        };
        for _ in 0..TRIES_MAX {
            self.find_place(&id, &mut paper).await?;
            let write = self.write(&id, &paper, Expected::Absent)?;
            let did = match kind {
                ResourceType::User => match handed_over {
                    Some(person) => self.take_over(person, &paper, write).await,
                    None => self.join(PersonId::from_u128(bits), &paper, write).await,
                },
                ResourceType::Group => {
                    let (delta, group) = (self.delta(&written.membership)?, GroupId::from_u128(bits));
                    let step = GroupStep::Make { name: self.group_name(&paper).await? };
                    self.hand(kind, "POST").group(self.lives(), group, &step, delta, write).await
                }
            };
            match did {
                Ok(did) => {
                    let found = self.find(kind, &id).await?;
                    let answer = self.shown(StatusCode::CREATED, &found, projection);
                    // It gives, and other nodes may hear of that later; sent again, it would be a conflict.
                    return Ok(Answer { receipts: did.receipts, ..answer });
                }
                // Somebody else took the place meanwhile.
                Err(Undone::KeyTaken) => {}
                Err(Undone::Stale) => break,
                Err(Undone::Told(error)) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// PUT.
    pub(super) async fn replace(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
        body: Map<String, Value>,
        projection: &Projection,
    ) -> Result<Answer, Failure> {
        let leaves = kind == ResourceType::User && write::says_inactive(&body);
        let kept = mapping::kept(self.caller.connection.subject).filter(|_| kind == ResourceType::User);
        let change: Change = Box::new(move |paper| {
            write::replace_keeping(kept, &paper.document, &paper.asserted, body.clone())
        });
        let (did, found) = self.change_or_leave(kind, id, precondition, change, leaves).await?;
        let answer = self.shown(StatusCode::OK, &found, projection);
        did.map_or_else(|| Ok(answer_of(&found, &answer)), |did| self.done(did, answer_of(&found, &answer)))
    }

    /// PATCH. A group is answered without a body, which Entra ID wants and which spares its members,
    /// unless the client asks for attributes (RFC 7644 §3.5.2).
    pub(super) async fn patch(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
        body: Map<String, Value>,
        projection: &Projection,
    ) -> Result<Answer, Failure> {
        let request = aside(move || PatchRequest::read(kind, body)).await?;
        let leaves = kind == ResourceType::User && request.says_inactive();
        let change: Change = Box::new(move |paper| request.clone().apply(&paper.document, &paper.asserted));
        let (did, found) = self.change_or_leave(kind, id, precondition, change, leaves).await?;
        let answer = match (kind, projection) {
            (ResourceType::Group, Projection::Usual) => Answer {
                status: StatusCode::NO_CONTENT,
                version: Some(paper::tag(found.version)),
                ..Answer::default()
            },
            (ResourceType::Group | ResourceType::User, _) => self.shown(StatusCode::OK, &found, projection),
        };
        did.map_or_else(|| Ok(answer_of(&found, &answer)), |did| self.done(did, answer_of(&found, &answer)))
    }

    /// DELETE.
    pub(super) async fn delete(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Answer, Failure> {
        let _alone = self.scim.locks.of(id).await;
        for _ in 0..TRIES_MAX {
            let found = self.find(kind, id).await?;
            precondition.may_change(paper::tag(found.version))?;
            let write = Write {
                kind: RecordKind::Document,
                id: paper::record_id(&self.caller.connection.id, kind, id).into(),
                expected: Expected::Version(found.version),
                body: None,
                keys: Vec::new(),
            };
            let hand = self.hand(kind, "DELETE");
            let did = match kind {
                ResourceType::User => {
                    hand.person(self.lives(), person_id(id)?, vec![Command::ScimDelete], write).await
                }
                ResourceType::Group => hand.delete_group(self.lives(), group_id(id)?, write).await,
            };
            match did {
                Ok(did) => {
                    let answer = Answer { status: StatusCode::NO_CONTENT, ..Answer::default() };
                    return self.done(did, answer);
                }
                Err(Undone::Told(error)) => return Err(error.into()),
                Err(Undone::Stale | Undone::KeyTaken) => {}
            }
        }
        Err(busy())
    }

    /// Changes; and where that cannot be done, and the request says that a person leaves, does that.
    async fn change_or_leave(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
        change: Change,
        leaves: bool,
    ) -> Result<(Option<Did>, Found), Failure> {
        match self.change(kind, id, precondition, change).await {
            Err(refused) if leaves => Err(self.leave_all_the_same(id, precondition, refused).await),
            done => done,
        }
    }

    /// Reads, changes, writes; anew when somebody else was faster.
    async fn change(
        &self,
        kind: ResourceType,
        id: &str,
        precondition: &Precondition,
        change: Change,
    ) -> Result<(Option<Did>, Found), Failure> {
        let change = Arc::new(change);
        // Requests for one resource come one after the other, so that none is undone by its neighbor.
        let _alone = self.scim.locks.of(id).await;
        for _ in 0..TRIES_MAX {
            let mut found = self.find(kind, id).await?;
            precondition.may_change(paper::tag(found.version))?;
            let (apply, before) = (Arc::clone(&change), found.paper.clone());
            let written = aside(move || apply(&before)).await?;
            let mut paper = Paper {
                last_modified: found.paper.last_modified,
                slot: found.paper.slot,
                created: found.paper.created,
                document: written.document.clone(),
                asserted: written.asserted.clone(),
            };
            let did = match kind {
                ResourceType::User => self.change_user(&found, &mut paper, &written).await,
                ResourceType::Group => self.change_group(&found, &mut paper, &written).await,
            };
            match did {
                Ok(None) => {
                    // A repetition is not told done while other nodes do not know of the first time.
                    let is_out = self.scim.store.await_published(GOES_OUT_WITHIN).await;
                    return if is_out.map_err(unreadable)? {
                        Ok((None, found))
                    } else {
                        Err(not_everywhere(Vec::new()))
                    };
                }
                Ok(Some(did)) => {
                    found = self.find(kind, id).await?;
                    return Ok((Some(did), found));
                }
                Err(Undone::Stale | Undone::KeyTaken) => {}
                Err(Undone::Told(error)) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// A resource of this connection.
    pub(super) async fn find(&self, kind: ResourceType, id: &str) -> Result<Found, Failure> {
        self.look(kind, id).await?.ok_or_else(|| not_found(kind).into())
    }

    /// The same; whose person or group is gone is gone.
    pub(super) async fn look(&self, kind: ResourceType, id: &str) -> Result<Option<Found>, Failure> {
        // Nothing else is an id, and so it need not be looked for.
        if !self.is_there(kind, id) {
            return Ok(None);
        }
        let record_id = paper::record_id(&self.caller.connection.id, kind, id);
        let record = self.scim.store.record(RecordKind::Document, &record_id).await.map_err(unreadable)?;
        let Some(record) = record else { return Ok(None) };
        let found = paper::read(kind, &record)?;
        Ok(found.map(|(paper, version)| Found { id: id.to_owned(), paper, version }))
    }

    /// Whether there is such a resource of this connection.
    pub(super) fn is_there(&self, kind: ResourceType, id: &str) -> bool {
        match kind {
            ResourceType::User => id.parse().is_ok_and(|id| self.is_mine(Member::Person(id))),
            ResourceType::Group => id.parse().is_ok_and(|id| self.is_mine(Member::Group(id))),
        }
    }

    pub(super) fn is_mine(&self, member: Member) -> bool {
        self.scim.roster.has(&self.caller.connection.id, member)
    }

    /// The resource as its reader wants it.
    pub(super) fn resource(&self, found: &Found, projection: &Projection) -> Value {
        let kind = found.paper.document.kind();
        let computed = projection.wants_computed(kind).then(|| computed::of(self, kind, &found.id));
        let envelope = Envelope {
            id: &found.id,
            created: found.paper.created,
            last_modified: found.paper.last_modified,
            version: paper::tag(found.version),
            base: &self.caller.base,
        };
        Value::Object(projection.apply(kind, found.paper.document.resource(&envelope, computed)))
    }

    fn shown(&self, status: StatusCode, found: &Found, projection: &Projection) -> Answer {
        let kind = found.paper.document.kind();
        Answer {
            location: Some(format!("{}{}/{}", self.caller.base, kind.endpoint(), found.id)),
            version: Some(paper::tag(found.version)),
            ..Answer::of(status, self.resource(found, projection))
        }
    }

    pub(super) fn lives(&self) -> &Lifecycle {
        &self.scim.lives
    }

    pub(super) fn hand(&self, kind: ResourceType, verb: &str) -> Hand {
        Hand {
            connection: self.caller.connection.id.clone(),
            request_id: Arc::clone(&self.caller.request_id),
            cause: format!("SCIM: {verb} {}", kind.name()).into(),
        }
    }

    pub(super) fn write(&self, id: &str, paper: &Paper, expected: Expected) -> Result<Write, ScimError> {
        let connection = &self.caller.connection.id;
        Ok(Write {
            kind: RecordKind::Document,
            id: paper::record_id(connection, paper.document.kind(), id).into(),
            expected,
            body: Some(paper.encode().into()),
            keys: paper.keys(connection)?,
        })
    }

    /// Finds a place for an `externalId`, which others may have too: before anything is done, so that
    /// nothing has to be undone.
    pub(super) async fn find_place(&self, id: &str, paper: &mut Paper) -> Result<(), ScimError> {
        let (connection, kind) = (&self.caller.connection.id, paper.document.kind());
        let Some(external) = paper.document.external_id() else { return Ok(()) };
        let own = paper::record_id(connection, kind, id);
        for slot in 0..SAME_EXTERNAL_ID_MAX {
            let key = paper::external_key(connection, kind, external, slot)?;
            let holder = self.scim.store.record_by_key(&key).await.map_err(unreadable)?;
            if holder.is_none_or(|holder| *holder.id == *own) {
                paper.slot = slot;
                return Ok(());
            }
        }
        let detail = format!("{SAME_EXTERNAL_ID_MAX} resources have this `externalId` already");
        Err(ScimError::new(ErrorKind::Uniqueness, detail))
    }

    /// The answer to what was done, once it is true everywhere.
    fn done(&self, did: Did, answer: Answer) -> Result<Answer, Failure> {
        match did.unpublished {
            None => Ok(Answer { receipts: did.receipts, ..answer }),
            Some(why) => {
                let request_id = &*self.caller.request_id;
                tracing::warn!(
                    request_id,
                    why,
                    "a SCIM request is done here, and other nodes do not know yet"
                );
                Err(not_everywhere(did.receipts))
            }
        }
    }
}

/// PUT and PATCH have no `Location` (RFC 7644 §3.5).
fn answer_of(found: &Found, answer: &Answer) -> Answer {
    Answer {
        status: answer.status,
        body: answer.body.clone(),
        version: Some(paper::tag(found.version)),
        ..Answer::default()
    }
}

/// `lastModified` never goes back.
pub(super) fn later(now: UnixMillis, before: UnixMillis) -> UnixMillis {
    now.max(before)
}

pub(super) fn person_id(id: &str) -> Result<PersonId, Failure> {
    id.parse().map_err(|_| not_found(ResourceType::User).into())
}

fn group_id(id: &str) -> Result<GroupId, Failure> {
    id.parse().map_err(|_| not_found(ResourceType::Group).into())
}

fn not_everywhere(receipts: Vec<Uuid>) -> Failure {
    let detail = "it is saved and in force here, and not on every node yet; it will be as soon as that is possible: \
                  send it again";
    let failure = Failure::from(ScimError::new(ErrorKind::Unavailable, detail));
    Failure { receipts, ..failure }
}

fn busy() -> Failure {
    let detail = "the resource changes all the time: send it again";
    ScimError::new(ErrorKind::Unavailable, detail).into()
}

pub(super) fn unreadable(error: doorward_state::StateError) -> ScimError {
    tracing::error!(%error, "the directory cannot be read");
    ScimError::new(ErrorKind::Unavailable, "the directory cannot be read right now; try again")
}
