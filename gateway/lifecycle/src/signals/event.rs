//! What happened, as a message says it: the events of CAEP 1.0, RISC 1.0 and SSF 1.0, and the two of
//! Google's that are in no standard.
//!
//! What an event is about must be readable, or it is refused: `change_type`, `current_status` and the
//! like. What only decorates it (who began it, the reasons) is dropped when it cannot be read,
//! because no revocation may fail over its explanation.

use doorward_identity::shown;
use serde_json::{Map, Value};

use super::subject::Member;

mod kind;

pub use self::kind::EventKind;

/// The longest explanation that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest word of an event that is kept, in characters.
const WORD_CHARS_MAX: usize = 100;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalEvent {
    /// A sign-in ended.
    SessionRevoked,
    /// What tokens say about somebody is different now.
    TokenClaimsChange {
        /// The names of the claims.
        claims: Vec<String>,
    },
    /// A credential appeared, changed or went.
    CredentialChange {
        /// Which sort, such as `password` or `fido2-roaming`.
        credential: String,
        /// What was done to it.
        change: CredentialAct,
    },
    /// How well a sign-in is proved is different now.
    AssuranceLevelChange {
        /// The level, in the words of the namespace.
        level: String,
        /// Which way.
        direction: AssuranceStep,
    },
    /// A device meets the baseline now, or does not.
    DeviceComplianceChange {
        /// It does.
        compliant: bool,
    },
    /// Somebody signed in there.
    SessionEstablished,
    /// A sign-in was used there.
    SessionPresented,
    /// How risky something looks is different now.
    RiskLevelChange {
        /// What looks risky, when it is not plainly the user.
        principal: Option<Member>,
        /// The level now.
        level: RiskLevel,
    },
    /// Somebody must change a credential.
    AccountCredentialChangeRequired,
    /// An account is gone for ever.
    AccountPurged,
    /// An account may not be used.
    AccountDisabled {
        /// Why, when it says.
        reason: Option<DisabledReason>,
    },
    /// An account may be used again.
    AccountEnabled,
    /// Somebody is called differently now.
    IdentifierChanged {
        /// The new name, when it says.
        to: Option<String>,
    },
    /// A name belongs to somebody else now.
    IdentifierRecycled,
    /// Somebody else may know a credential.
    CredentialCompromise {
        /// Which sort.
        credential: String,
    },
    /// The sender will tell about somebody.
    OptIn,
    /// The sender will soon not tell about somebody any more.
    OptOutInitiated,
    /// The sender will go on telling about somebody.
    OptOutCancelled,
    /// The sender does not tell about somebody any more.
    OptOutEffective,
    /// Somebody began to recover an account.
    RecoveryActivated,
    /// The ways to recover an account are different now.
    RecoveryInformationChanged,
    /// All sign-ins of an account ended (RISC; `session-revoked` is the one of today).
    SessionsRevoked,
    /// All tokens of somebody ended (Google).
    TokensRevoked,
    /// One token ended (Google).
    TokenRevoked,
    /// The sender answers whether it is there.
    Verification {
        /// What we asked it to repeat.
        state: Option<String>,
    },
    /// The sender changed the state of the stream.
    StreamUpdated {
        /// The state now.
        status: StreamStatus,
        /// Why, when it says.
        reason: Option<String>,
    },
    /// An event that is not known here: taken, recorded, without effect (RFC 8417 §2.2).
    Other {
        /// Its address.
        address: String,
    },
}

/// Makes an enum whose variants have words on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            pub(crate) fn parse(word: &str) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|v| v.as_str() == word)
            }
        }
    };
}

words!(
    /// What was done to a credential (CAEP §3.3).
    CredentialAct {
        /// It is new.
        Create = "create",
        /// It may not be used any more.
        Revoke = "revoke",
        /// It is another one now.
        Update = "update",
        /// It is gone.
        Delete = "delete",
    }
);
words!(
    /// Which way an assurance level went (CAEP §3.4). One that is not told counts as a decrease.
    AssuranceStep {
        /// Up.
        Increase = "increase",
        /// Down.
        Decrease = "decrease",
    }
);
words!(
    /// How risky (CAEP §3.8).
    RiskLevel {
        /// Not very.
        Low = "LOW",
        /// Somewhat.
        Medium = "MEDIUM",
        /// Very.
        High = "HIGH",
    }
);
impl RiskLevel {
    /// The same for those who remember it.
    #[must_use]
    pub const fn told(self) -> doorward_model::RiskLevel {
        match self {
            Self::Low => doorward_model::RiskLevel::Low,
            Self::Medium => doorward_model::RiskLevel::Medium,
            Self::High => doorward_model::RiskLevel::High,
        }
    }
}

words!(
    /// Why an account was disabled (RISC §2.3).
    DisabledReason {
        /// Somebody else used it.
        Hijacking = "hijacking",
        /// It was one of many that were opened to do harm.
        BulkAccount = "bulk-account",
    }
);
words!(
    /// What a stream does (SSF 1.0 §8.1.2).
    StreamStatus {
        /// It sends.
        Enabled = "enabled",
        /// It holds back, and will send later.
        Paused = "paused",
        /// It neither sends nor keeps.
        Disabled = "disabled",
    }
);
words!(
    /// Who began it (CAEP §2).
    Initiator {
        /// An administrator.
        Admin = "admin",
        /// The person.
        User = "user",
        /// A rule.
        Policy = "policy",
        /// A program.
        System = "system",
    }
);

/// What an event lacks. It quotes names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event `{event}` needs `{member}`: {what}")]
pub struct EventError {
    event: &'static str,
    member: &'static str,
    what: &'static str,
}

// === impl SignalEvent ===

impl SignalEvent {
    /// Reads what an event says.
    ///
    /// # Errors
    /// When the event is known and lacks what tells what happened.
    pub fn read(address: &str, payload: &Map<String, Value>) -> Result<Self, EventError> {
        let Some(kind) = EventKind::parse(address) else {
            return Ok(Self::Other { address: shown(address, 200) });
        };
        let payload = Payload { event: kind.as_str(), of: payload };
        Ok(match kind {
            EventKind::SessionRevoked => Self::SessionRevoked,
            EventKind::TokenClaimsChange => Self::TokenClaimsChange { claims: payload.names("claims") },
            EventKind::CredentialChange => Self::CredentialChange {
                credential: payload.word("credential_type")?,
                change: payload.one_of(
                    "change_type",
                    CredentialAct::parse,
                    "create, revoke, update or delete",
                )?,
            },
            EventKind::AssuranceLevelChange => Self::AssuranceLevelChange {
                level: payload.word("current_level")?,
                direction: payload
                    .may_be("change_direction", AssuranceStep::parse)
                    .unwrap_or(AssuranceStep::Decrease),
            },
            EventKind::DeviceComplianceChange => Self::DeviceComplianceChange {
                compliant: payload.one_of("current_status", compliant, "compliant or not-compliant")?,
            },
            EventKind::SessionEstablished => Self::SessionEstablished,
            EventKind::SessionPresented => Self::SessionPresented,
            EventKind::RiskLevelChange => Self::RiskLevelChange {
                principal: payload.may_be("principal", |p| Member::parse(&p.to_ascii_lowercase())),
                level: payload.one_of("current_level", RiskLevel::parse, "LOW, MEDIUM or HIGH")?,
            },
            EventKind::AccountCredentialChangeRequired => Self::AccountCredentialChangeRequired,
            EventKind::AccountPurged => Self::AccountPurged,
            EventKind::AccountDisabled => {
                Self::AccountDisabled { reason: payload.may_be("reason", DisabledReason::parse) }
            }
            EventKind::AccountEnabled => Self::AccountEnabled,
            EventKind::IdentifierChanged => Self::IdentifierChanged { to: payload.text("new-value") },
            EventKind::IdentifierRecycled => Self::IdentifierRecycled,
            EventKind::CredentialCompromise => {
                Self::CredentialCompromise { credential: payload.text("credential_type").unwrap_or_default() }
            }
            EventKind::OptIn => Self::OptIn,
            EventKind::OptOutInitiated => Self::OptOutInitiated,
            EventKind::OptOutCancelled => Self::OptOutCancelled,
            EventKind::OptOutEffective => Self::OptOutEffective,
            EventKind::RecoveryActivated => Self::RecoveryActivated,
            EventKind::RecoveryInformationChanged => Self::RecoveryInformationChanged,
            EventKind::SessionsRevoked => Self::SessionsRevoked,
            EventKind::TokensRevoked => Self::TokensRevoked,
            EventKind::TokenRevoked => Self::TokenRevoked,
            EventKind::Verification => Self::Verification { state: payload.exact("state")? },
            EventKind::StreamUpdated => Self::StreamUpdated {
                status: payload.one_of("status", StreamStatus::parse, "enabled, paused or disabled")?,
                reason: payload.text("reason"),
            },
        })
    }

    /// Whether it must say whom it is about. Those about the stream itself may leave it out, and of
    /// those that are not known here nobody knows.
    #[must_use]
    pub const fn is_about_somebody(&self) -> bool {
        !matches!(self, Self::Verification { .. } | Self::StreamUpdated { .. } | Self::Other { .. })
    }

    /// What a subject that is one identifier names, where the event does not say: mostly a person.
    #[must_use]
    pub const fn about(&self) -> Member {
        match self {
            Self::DeviceComplianceChange { .. } => Member::Device,
            Self::RiskLevelChange { principal: Some(member), .. } => *member,
            Self::SessionRevoked
            | Self::TokenClaimsChange { .. }
            | Self::CredentialChange { .. }
            | Self::AssuranceLevelChange { .. }
            | Self::SessionEstablished
            | Self::SessionPresented
            | Self::RiskLevelChange { principal: None, .. }
            | Self::AccountCredentialChangeRequired
            | Self::AccountPurged
            | Self::AccountDisabled { .. }
            | Self::AccountEnabled
            | Self::IdentifierChanged { .. }
            | Self::IdentifierRecycled
            | Self::CredentialCompromise { .. }
            | Self::OptIn
            | Self::OptOutInitiated
            | Self::OptOutCancelled
            | Self::OptOutEffective
            | Self::RecoveryActivated
            | Self::RecoveryInformationChanged
            | Self::SessionsRevoked
            | Self::TokensRevoked
            | Self::TokenRevoked
            | Self::Verification { .. }
            | Self::StreamUpdated { .. }
            | Self::Other { .. } => Member::User,
        }
    }
}

fn compliant(word: &str) -> Option<bool> {
    match word {
        "compliant" => Some(true),
        "not-compliant" => Some(false),
        _ => None,
    }
}

/// The reason of an event: English where there is English, else the first language by name. A text
/// alone is taken, too.
pub(super) fn reason(payload: &Map<String, Value>, member: &str) -> Option<String> {
    let text = match payload.get(member)? {
        Value::String(text) => text,
        Value::Object(languages) => {
            languages.get("en").or_else(|| languages.values().next()).and_then(Value::as_str)?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
    };
    Some(shown(text, REASON_CHARS_MAX))
}

/// Who began it, when it says so in a word that is known.
pub(super) fn initiator(payload: &Map<String, Value>) -> Option<Initiator> {
    Payload { event: "", of: payload }.may_be("initiating_entity", Initiator::parse)
}

/// What an event says, and its name for complaints.
#[derive(Clone, Copy)]
struct Payload<'a> {
    event: &'static str,
    of: &'a Map<String, Value>,
}

// === impl Payload ===

impl Payload<'_> {
    fn wrong<T>(self, member: &'static str, what: &'static str) -> Result<T, EventError> {
        Err(EventError { event: self.event, member, what })
    }

    fn text(self, member: &str) -> Option<String> {
        self.of.get(member).and_then(Value::as_str).map(|text| shown(text, WORD_CHARS_MAX))
    }

    fn word(self, member: &'static str) -> Result<String, EventError> {
        match self.text(member) {
            Some(word) if !word.is_empty() => Ok(word),
            Some(_) | None => self.wrong(member, "a text"),
        }
    }

    /// A text that is compared: as it is, or absent, and nothing between.
    fn exact(self, member: &'static str) -> Result<Option<String>, EventError> {
        match self.of.get(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= 1024 => Ok(Some(text.clone())),
            Some(_) => self.wrong(member, "a text of at most 1024 bytes"),
        }
    }

    fn names(self, member: &str) -> Vec<String> {
        let names = self.of.get(member).and_then(Value::as_object).into_iter().flatten();
        names.map(|(name, _)| shown(name, WORD_CHARS_MAX)).take(100).collect()
    }

    fn may_be<T>(self, member: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.of.get(member).and_then(Value::as_str).and_then(parse)
    }

    fn one_of<T>(
        self,
        member: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        what: &'static str,
    ) -> Result<T, EventError> {
        self.may_be(member, parse).map_or_else(|| self.wrong(member, what), Ok)
    }
}
