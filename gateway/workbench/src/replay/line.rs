//! One line of the log, as far as a replay reads it.

use std::borrow::Cow;

use doorward_model::RefusalCode;
use doorward_model::limits::POLICY_ID_BYTES_MAX;
use doorward_policy::Decision;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest list of policies in an event. A longer one was cut when it was written.
pub(super) const LISTED_MAX: usize = 32;
/// The longest revision and the longest id of a request in an event, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A line.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    /// When it happened, in milliseconds since 1970.
    pub(super) time: i64,
    #[serde(borrow, default)]
    unmapped: Unmapped<'a>,
}

#[derive(Debug, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    event_code: Text<'a>,
    #[serde(borrow, default)]
    correlation_uid: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Unmapped<'a> {
    #[serde(borrow, default)]
    doorward: Block<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    route: Option<Text<'a>>,
    #[serde(borrow, default)]
    decision: Option<Decided<'a>>,
    #[serde(borrow, default)]
    situation: Option<&'a RawValue>,
    #[serde(default)]
    gap: Option<Gap>,
}

/// What the log says is missing in it.
#[derive(Debug, Deserialize)]
struct Gap {
    #[serde(default)]
    lost: Lost,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lost {
    allowed: u64,
    denied: u64,
}

#[derive(Debug, Deserialize)]
struct Decided<'a> {
    #[serde(borrow)]
    outcome: Text<'a>,
    #[serde(borrow, default)]
    policies_said: Option<Text<'a>>,
    #[serde(borrow, default)]
    determining: Vec<Text<'a>>,
    #[serde(default)]
    errors: Vec<serde::de::IgnoredAny>,
    #[serde(borrow, default)]
    reason_code: Option<Text<'a>>,
    #[serde(default)]
    latency_us: Option<u64>,
    #[serde(borrow, default)]
    policy_set: Option<PolicySet<'a>>,
}

#[derive(Debug, Deserialize)]
struct PolicySet<'a> {
    #[serde(borrow)]
    revision: Text<'a>,
}

/// A text, borrowed where JSON writes it as it is.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What the policies answered when it happened.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) decision: Decision,
    /// The policies that decided, sorted.
    pub(super) policies: Vec<&'a str>,
    /// One of the policies could not be evaluated, or none could be asked.
    pub(super) broken: bool,
    pub(super) revision: &'a str,
}

impl<'a> Line<'a> {
    /// Whether a request was decided in it.
    pub(super) fn is_decision(&self) -> bool {
        self.was_let_in() || self.metadata.event_code.0 == "access.request.denied"
    }

    /// Whether a request was let in, which no gateway does without asking its policies.
    pub(super) fn was_let_in(&self) -> bool {
        self.metadata.event_code.0 == "access.request.allowed"
    }

    /// How many decisions it says are missing in the log.
    pub(super) fn lost(&self) -> u64 {
        let gap = self.unmapped.doorward.gap.as_ref().filter(|_| self.metadata.event_code.0 == "audit.gap");
        gap.map_or(0, |gap| gap.lost.allowed.saturating_add(gap.lost.denied))
    }

    /// What is longer in it than any gateway writes: somebody else wrote it.
    pub(super) fn excess(&self) -> Option<&'static str> {
        let decided = self.unmapped.doorward.decision.as_ref();
        let determining = decided.map_or(&[][..], |decided| &decided.determining);
        let revision =
            decided.and_then(|decided| decided.policy_set.as_ref()).map_or(0, |set| set.revision.0.len());
        if determining.len() > LISTED_MAX || determining.iter().any(|id| id.0.len() > POLICY_ID_BYTES_MAX) {
            Some("no gateway writes so long a list of policies")
        } else if revision > NAME_BYTES_MAX || self.request_id().len() > NAME_BYTES_MAX {
            Some("no gateway writes so long a revision or request id")
        } else {
            None
        }
    }

    /// The request, as the person at the door reads its id.
    pub(super) fn request_id(&self) -> &str {
        self.metadata.correlation_uid.as_ref().map_or("", |id| &id.0)
    }

    /// The app, where one was found.
    pub(super) fn app(&self) -> Option<&str> {
        self.unmapped.doorward.route.as_ref()?.0.split_once('/').map(|(app, _)| app)
    }

    /// What the policies saw, where it was kept.
    pub(super) fn situation(&self) -> Option<&'a str> {
        self.unmapped.doorward.situation.map(RawValue::get)
    }

    /// What the policies answered; none where they were not asked.
    pub(super) fn answer(&self) -> Option<Answer<'_>> {
        let decided = self.unmapped.doorward.decision.as_ref()?;
        decided.latency_us?;
        let said = decided.policies_said.as_ref().map_or(&*decided.outcome.0, |said| &said.0);
        let decision = match said {
            "allow" => Decision::Allow,
            _ => Decision::Deny,
        };
        let mut policies: Vec<&str> = decided.determining.iter().map(|id| &*id.0).collect();
        policies.sort_unstable();
        let revision = decided.policy_set.as_ref().map_or("", |set| &set.revision.0);
        // Where the request was refused for another reason than by the policies, that reason has the code.
        let unasked = decided.policies_said.is_none()
            && decided.reason_code.as_ref().is_some_and(|code| code.0 == RefusalCode::PolicyError.as_str());
        Some(Answer { decision, policies, broken: unasked || !decided.errors.is_empty(), revision })
    }
}
