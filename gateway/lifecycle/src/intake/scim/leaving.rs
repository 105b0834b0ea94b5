//! Leaving, when the rest of a request cannot be done: that somebody else has the new name of a
//! person is no reason that they keep their access. A PATCH of which an operation is wrong is no
//! request at all, and nothing of it is done (RFC 7644 §3.5.2).

use doorward_state::Expected;

use super::answer::Failure;
use super::desk::{Desk, TRIES_MAX, later, person_id};
use super::hands::Undone;
use super::paper::{self, Paper};
use crate::machine::Command;
use crate::scim::etag::Precondition;
use crate::scim::{ErrorKind, ResourceType, ScimError, write};

impl Desk<'_> {
    /// After a request was refused that also said that a person may not have access: does that alone,
    /// and answers what stands in the way of the rest.
    pub(super) async fn leave_all_the_same(
        &self,
        id: &str,
        precondition: &Precondition,
        refused: Failure,
    ) -> Failure {
        if !stands_beside_a_leaving(refused.error.kind()) {
            return refused;
        }
        let _alone = self.scim.locks.of(id).await;
        for _ in 0..TRIES_MAX {
            let Ok(found) = self.find(ResourceType::User, id).await else { return refused };
            let Ok(person) = person_id(id) else { return refused };
            let known = self.lives().person(person).await;
            let stays = known.is_ok_and(|known| known.is_some_and(|(person, _)| person.source_active));
            let stays = stays || found.paper.document.active();
            if !stays || precondition.may_change(paper::tag(found.version)).is_err() {
                return refused;
            }
            let document = write::inactive(&found.paper.document);
            let changed = document != found.paper.document;
            let before = found.paper.last_modified;
            let last_modified = if changed { later(self.caller.now, before) } else { before };
            let paper = Paper { document, last_modified, ..found.paper };
            let Ok(write) = self.write(id, &paper, Expected::Version(found.version)) else { return refused };
            let hand = self.hand(ResourceType::User, "leaving by");
            match hand.person(self.lives(), person, vec![Command::ScimDeactivate], write).await {
                Ok(did) => {
                    let kind = refused.error.kind();
                    let detail =
                        format!("access is taken away, and nothing else: {}", refused.error.detail());
                    return Failure {
                        error: ScimError::new(kind, detail),
                        receipts: did.receipts,
                        ..refused
                    };
                }
                Err(Undone::Stale) => {}
                Err(Undone::KeyTaken | Undone::Told(_)) => return refused,
            }
        }
        refused
    }
}

/// Whether a refusal is about something beside the leaving. One about who asks, about what the client
/// knows of the resource, or about how many leave at once is about the leaving, too.
const fn stands_beside_a_leaving(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Uniqueness
            | ErrorKind::Conflict
            | ErrorKind::InvalidValue
            | ErrorKind::TooLarge
            | ErrorKind::Unavailable
    )
}
