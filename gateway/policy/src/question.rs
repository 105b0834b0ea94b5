//! What is asked, and what is answered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Assurance, DevicePosture, LifecycleStage, Place, Principal, Refusal, Risk, RouteFacts, UnixMillis,
    Weekday,
};

use crate::revision::Revision;

/// Everything that a policy may look at in one request.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who asks. The same `Arc` for the same token makes the entity cache cheap to hit; an equal
    /// principal in another `Arc` hits it too.
    pub principal: &'a Arc<Principal>,
    /// What is known of the person who answers for a service account. [`LifecycleStage::Unknown`]
    /// where no directory is asked, and for every other kind of principal. That the owner is not cut
    /// off is proved before any policy is asked, by the revocation stage.
    pub owner_stage: LifecycleStage,
    /// Whether the directory grants this app to whoever asks; for an agent, to the person it acts
    /// for. False where no directory is asked, and for a service account and a visitor.
    pub granted: bool,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub route: &'a RouteFacts,
    /// What the sign-in proved. Read for a [`Principal::User`] only: a machine and a visitor
    /// have proved nothing about a person who is present.
    pub session: &'a Assurance,
    /// The device.
    pub device: &'a DevicePosture,
    /// Where the request comes from.
    pub place: &'a Place,
    /// How odd it looks.
    pub risk: Risk,
    /// The time. Policies see it to the second.
    pub now: UnixMillis,
    /// The time of day in the gateway's time zone, since midnight.
    pub local_time: Duration,
    /// The day of the week in the gateway's time zone.
    pub weekday: Weekday,
    /// The host that was asked for.
    pub host: &'a str,
    /// The normalized path.
    pub path: &'a str,
    /// The header `User-Agent`. Anybody can write anything there.
    pub user_agent: Option<&'a str>,
}

/// What is to be done: the HTTP method, or the change to another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reads.
    Get,
    /// Reads the header only.
    Head,
    /// Asks what is possible.
    Options,
    /// Writes.
    Post,
    /// Writes.
    Put,
    /// Writes.
    Patch,
    /// Writes.
    Delete,
    /// Opens a WebSocket, by HTTP/1.1 `Upgrade` (RFC 6455) or HTTP/2 extended CONNECT (RFC 8441).
    Upgrade,
}

impl Action {
    /// Every action, in order.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Upgrade,
    ];

    /// The word for it in policies and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Upgrade => "UPGRADE",
        }
    }

    /// The action of a request with this method, exactly as RFC 9110 §9.1 spells it (methods are
    /// case-sensitive). None for any other method: the gateway does not forward it. A request
    /// that opens a WebSocket is [`Action::Upgrade`] whatever its method, and no method is called
    /// so: the caller says it.
    #[must_use]
    pub fn from_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().filter(|a| *a != Self::Upgrade).find(|a| a.as_str() == method)
    }

    /// Its place in [`Action::ALL`].
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The policies' answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// A permit applies, no forbid does, and every policy could be evaluated.
    Allow,
    /// Anything else.
    Deny,
}

impl Decision {
    /// The word for it in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Yes or no.
    pub decision: Decision,
    /// The policies that decided, the gravest first: on an allow the permits, on a deny the forbids.
    /// Empty when nothing permits.
    pub determining: Vec<Arc<str>>,
    /// The policies that could not be evaluated, and why. One entry here is a deny.
    pub errors: Vec<(Arc<str>, String)>,
    /// What to tell the person and the operator; present on every deny, absent on every allow.
    pub refusal: Option<Refusal>,
    /// The bundle that answered.
    pub revision: Revision,
}

impl Verdict {
    /// Whether the request may pass.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.decision == Decision::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_exactly_as_written_in_the_standard() {
        for a in Action::ALL {
            let expect = (a != Action::Upgrade).then_some(a);
            assert_eq!(Action::from_method(a.as_str()), expect);
            assert_eq!(usize::from(a.number()), Action::ALL.iter().position(|b| *b == a).unwrap());
        }
        for odd in ["get", "GET ", "", "TRACE", "CONNECT", "BREW", "GETT", "UPGRADE"] {
            assert_eq!(Action::from_method(odd), None, "{odd}");
        }
    }
}
