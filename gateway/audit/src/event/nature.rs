//! What an event is to the log: what it counts as, what is given up for it, and when it happened.

use std::time::Duration;

use doorward_model::{Principal, UnixMillis};

use super::Event;
use crate::trail::{Ending, Outcome, Trail, Withdrawal};

/// The evidence that an event tells of access that was taken away. Only for that is the reserve
/// of a full disk spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakesAway(());

/// Which events are given up first when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// An allowance, or an exchange that ended by itself.
    Light,
    /// A denial, a termination, anything else.
    Heavy,
}

/// What an event counts as when it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Allowed,
    Denied,
    Ended,
    Other,
}

impl Event {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::RequestDecided(trail) => match trail.outcome() {
                Some(Outcome::Allowed) => Kind::Allowed,
                Some(Outcome::Denied(_)) | None => Kind::Denied,
            },
            Self::ExchangeEnded(_) => Kind::Ended,
            Self::SignIn(_)
            | Self::Revocation(_)
            | Self::ControlDebt(_)
            | Self::Lifecycle(_)
            | Self::PolicySwapped(_)
            | Self::PolicyRejected(_)
            | Self::PolicyMended(_)
            | Self::PolicyStaged(_)
            | Self::PolicyShadow(_)
            | Self::GeoReloaded(_)
            | Self::CertificatesReloaded(_)
            | Self::OperatorCall(_)
            | Self::GatewayStarted(_)
            | Self::GatewayDraining(_)
            | Self::GatewayStopped(_)
            | Self::AuditGap(_)
            | Self::TornTailRepaired(_)
            | Self::RefusalsSummarized(_)
            | Self::SegmentRetired(_) => Kind::Other,
        }
    }

    pub(crate) fn weight(&self) -> Weight {
        match (self, self.kind()) {
            (_, Kind::Allowed) => Weight::Light,
            (Self::ExchangeEnded(trail), _) if !is_terminated(trail) && withdrawal(trail).is_none() => {
                Weight::Light
            }
            (_, Kind::Denied | Kind::Ended | Kind::Other) => Weight::Heavy,
        }
    }

    /// Whether it tells of access that was taken away: that is written even where nothing else
    /// can be.
    pub(crate) fn takes_away(&self) -> Option<TakesAway> {
        match self {
            Self::Revocation(_) => Some(TakesAway(())),
            Self::Lifecycle(change) => change.takes_away.then_some(TakesAway(())),
            Self::OperatorCall(call) => call.takes_away.then_some(TakesAway(())),
            Self::RequestDecided(_)
            | Self::ExchangeEnded(_)
            | Self::SignIn(_)
            | Self::ControlDebt(_)
            | Self::PolicySwapped(_)
            | Self::PolicyRejected(_)
            | Self::PolicyMended(_)
            | Self::PolicyStaged(_)
            | Self::PolicyShadow(_)
            | Self::GeoReloaded(_)
            | Self::CertificatesReloaded(_)
            | Self::GatewayStarted(_)
            | Self::GatewayDraining(_)
            | Self::GatewayStopped(_)
            | Self::AuditGap(_)
            | Self::TornTailRepaired(_)
            | Self::RefusalsSummarized(_)
            | Self::SegmentRetired(_) => None,
        }
    }

    /// The code of a refusal of nobody in particular: the one kind of event of which anybody can
    /// cause as many as they like.
    pub(crate) fn nameless_refusal(&self) -> Option<&'static str> {
        let trail = match self {
            Self::RequestDecided(trail) => trail,
            Self::SignIn(sign_in) => return sign_in.nameless_refusal(),
            Self::ExchangeEnded(_)
            | Self::Revocation(_)
            | Self::ControlDebt(_)
            | Self::Lifecycle(_)
            | Self::PolicySwapped(_)
            | Self::PolicyRejected(_)
            | Self::PolicyMended(_)
            | Self::PolicyStaged(_)
            | Self::PolicyShadow(_)
            | Self::GeoReloaded(_)
            | Self::CertificatesReloaded(_)
            | Self::OperatorCall(_)
            | Self::GatewayStarted(_)
            | Self::GatewayDraining(_)
            | Self::GatewayStopped(_)
            | Self::AuditGap(_)
            | Self::TornTailRepaired(_)
            | Self::RefusalsSummarized(_)
            | Self::SegmentRetired(_) => return None,
        };
        let nameless = match trail.principal.as_deref() {
            None | Some(Principal::Visitor(_)) => true,
            Some(Principal::User(_) | Principal::ServiceAccount(_) | Principal::Agent(_)) => false,
        };
        match trail.outcome() {
            Some(Outcome::Denied(code)) if nameless => Some(code.as_str()),
            None if nameless => Some("undecided"),
            Some(Outcome::Denied(_) | Outcome::Allowed) | None => None,
        }
    }

    /// When it happened, where the event knows that itself.
    pub(crate) fn time(&self) -> Option<UnixMillis> {
        match self {
            Self::RequestDecided(trail) => Some(trail.received_at),
            Self::SignIn(sign_in) => Some(sign_in.trail.received_at),
            Self::ExchangeEnded(trail) => {
                let duration = trail.finish.as_ref().map_or(Duration::ZERO, |f| f.duration);
                Some(trail.received_at.plus(duration))
            }
            Self::Revocation(revocation) => Some(
                revocation.ended_at.map_or(revocation.enforced_at, |end| end.max(revocation.enforced_at)),
            ),
            Self::ControlDebt(_)
            | Self::Lifecycle(_)
            | Self::PolicySwapped(_)
            | Self::PolicyRejected(_)
            | Self::PolicyMended(_)
            | Self::PolicyStaged(_)
            | Self::PolicyShadow(_)
            | Self::GeoReloaded(_)
            | Self::CertificatesReloaded(_)
            | Self::OperatorCall(_)
            | Self::GatewayStarted(_)
            | Self::GatewayDraining(_)
            | Self::GatewayStopped(_)
            | Self::AuditGap(_)
            | Self::TornTailRepaired(_)
            | Self::RefusalsSummarized(_)
            | Self::SegmentRetired(_) => None,
        }
    }
}

/// How an exchange ended that was decided anew, and refused.
pub(super) fn withdrawal(trail: &Trail) -> Option<&Withdrawal> {
    match &trail.finish.as_ref()?.ending {
        Ending::Withdrawn(withdrawal) => Some(withdrawal),
        Ending::Completed
        | Ending::ClientGone
        | Ending::Terminated { .. }
        | Ending::UpstreamFailed
        | Ending::TimedOut
        | Ending::Drained
        | Ending::Refused => None,
    }
}

pub(super) fn is_terminated(trail: &Trail) -> bool {
    matches!(&trail.finish, Some(finish) if matches!(finish.ending, Ending::Terminated { .. }))
}
