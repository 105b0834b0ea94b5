//! What follows from what: a table.
//!
//! Each event is first sorted into a [`Situation`]; the table says which [`Effect`] a situation has,
//! and which others a stream's configuration may choose in its place. `docs/reference/signals.md`
//! shows the table to readers, and a test compares the two.

use std::collections::BTreeMap;

use doorward_identity::shown;
use doorward_model::{Complaint, KeyPath};

use super::event::{AssuranceStep, CredentialAct, RiskLevel, SignalEvent};

/// What is done about a signal. Whatever is done, the signal is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Nothing else.
    Record,
    /// An operator is told.
    Alert,
    /// What the directory knows of the person is read anew from its source.
    Refresh,
    /// What the person's sign-ins proved counts no more: they end, and a new one proves anew.
    StepUp,
    /// What is known of the device, or how risky somebody looks, is written down, for policies.
    Observe,
    /// What the subject has open ends, and everything it holds is void; a new sign-in is possible.
    Revoke,
    /// The same, and no new sign-in is possible until the hold is lifted.
    Hold,
    /// The hold that this same stream set is lifted.
    Lift,
}

/// What an event comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table says what each is")]
pub enum Situation {
    SessionRevoked,
    SessionsRevoked,
    TokensRevoked,
    TokenRevoked,
    ClaimsChanged,
    CredentialRemoved,
    CredentialUpdated,
    CredentialAdded,
    CredentialCompromised,
    CredentialChangeRequired,
    AssuranceLowered,
    AssuranceRaised,
    DeviceNotCompliant,
    DeviceCompliant,
    RiskHigh,
    RiskMedium,
    RiskLow,
    AccountDisabled,
    AccountPurged,
    AccountEnabled,
    IdentifierChanged,
    IdentifierRecycled,
    RecoveryActivated,
    RecoveryChanged,
    SessionSeen,
    OptChanged,
    OptedOut,
    UnknownEvent,
}

/// Whether a signal takes access away, gives it, or does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It takes.
    Takes,
    /// It gives.
    Gives,
    /// It tells.
    Tells,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is about.
    pub situation: Situation,
    /// The word for it in the configuration and in logs.
    pub word: &'static str,
    /// Takes, gives or tells.
    pub direction: Direction,
    /// What is done, unless the configuration says otherwise.
    pub usual: Effect,
    /// What else may be chosen.
    pub or: &'static [Effect],
}

use Direction::{Gives, Takes, Tells};
use Effect::{Alert, Hold, Lift, Observe, Record, Refresh, Revoke, StepUp};

const fn row(
    situation: Situation,
    word: &'static str,
    direction: Direction,
    usual: Effect,
    or: &'static [Effect],
) -> Row {
    Row { situation, word, direction, usual, or }
}

/// The table.
pub const TABLE: [Row; 28] = [
    row(Situation::SessionRevoked, "session-revoked", Takes, Revoke, &[Record, Alert, Hold]),
    row(Situation::SessionsRevoked, "sessions-revoked", Takes, Revoke, &[Record, Alert, Hold]),
    row(Situation::TokensRevoked, "tokens-revoked", Takes, Revoke, &[Record, Alert, Hold]),
    row(Situation::TokenRevoked, "token-revoked", Takes, Revoke, &[Record, Alert]),
    row(Situation::ClaimsChanged, "claims-changed", Tells, Refresh, &[Record, Alert, Revoke]),
    row(Situation::CredentialRemoved, "credential-removed", Takes, Revoke, &[Record, Alert, StepUp, Hold]),
    row(Situation::CredentialUpdated, "credential-updated", Tells, Record, &[Alert, StepUp, Revoke]),
    row(Situation::CredentialAdded, "credential-added", Tells, Record, &[Alert, StepUp, Revoke]),
    row(
        Situation::CredentialCompromised,
        "credential-compromised",
        Takes,
        Hold,
        &[Record, Alert, StepUp, Revoke],
    ),
    row(
        Situation::CredentialChangeRequired,
        "credential-change-required",
        Takes,
        StepUp,
        &[Record, Alert, Revoke, Hold],
    ),
    row(Situation::AssuranceLowered, "assurance-lowered", Takes, StepUp, &[Record, Alert, Revoke]),
    row(Situation::AssuranceRaised, "assurance-raised", Tells, Record, &[Alert]),
    row(Situation::DeviceNotCompliant, "device-not-compliant", Takes, Observe, &[Record, Alert, Revoke]),
    row(Situation::DeviceCompliant, "device-compliant", Gives, Observe, &[Record, Alert]),
    row(Situation::RiskHigh, "risk-high", Takes, Revoke, &[Record, Alert, Observe, StepUp, Hold]),
    row(Situation::RiskMedium, "risk-medium", Takes, Observe, &[Record, Alert, StepUp, Revoke]),
    row(Situation::RiskLow, "risk-low", Gives, Observe, &[Record, Alert]),
    row(Situation::AccountDisabled, "account-disabled", Takes, Hold, &[Record, Alert, Revoke]),
    row(Situation::AccountPurged, "account-purged", Takes, Hold, &[Record, Alert, Revoke]),
    row(Situation::AccountEnabled, "account-enabled", Gives, Lift, &[Record, Alert]),
    row(Situation::IdentifierChanged, "identifier-changed", Tells, Alert, &[Record, Refresh, Revoke]),
    row(Situation::IdentifierRecycled, "identifier-recycled", Tells, Alert, &[Record, Refresh, Revoke, Hold]),
    row(Situation::RecoveryActivated, "recovery-activated", Tells, Alert, &[Record, StepUp, Revoke, Hold]),
    row(Situation::RecoveryChanged, "recovery-changed", Tells, Record, &[Alert, StepUp, Revoke]),
    row(Situation::SessionSeen, "session-seen", Tells, Record, &[Alert]),
    row(Situation::OptChanged, "opt-changed", Tells, Record, &[Alert]),
    row(Situation::OptedOut, "opted-out", Tells, Alert, &[Record]),
    row(Situation::UnknownEvent, "unknown-event", Tells, Record, &[Alert]),
];

/// What a stream's signals do: the table, with what its configuration chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects(BTreeMap<Situation, Effect>);

// === impl Effect ===

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 8] = [Record, Alert, Refresh, StepUp, Observe, Revoke, Hold, Lift];

    /// The word for it in the configuration and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Alert => "alert",
            Self::Refresh => "refresh",
            Self::StepUp => "step-up",
            Self::Observe => "observe",
            Self::Revoke => "revoke",
            Self::Hold => "hold",
            Self::Lift => "lift",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == word)
    }
}

// === impl Situation ===

impl Situation {
    /// What an event comes down to; none for those about the stream itself.
    #[must_use]
    pub const fn of(event: &SignalEvent) -> Option<Self> {
        Some(match event {
            SignalEvent::SessionRevoked => Self::SessionRevoked,
            SignalEvent::SessionsRevoked => Self::SessionsRevoked,
            SignalEvent::TokensRevoked => Self::TokensRevoked,
            SignalEvent::TokenRevoked => Self::TokenRevoked,
            SignalEvent::TokenClaimsChange { .. } => Self::ClaimsChanged,
            SignalEvent::CredentialChange { change, .. } => match change {
                CredentialAct::Revoke | CredentialAct::Delete => Self::CredentialRemoved,
                CredentialAct::Update => Self::CredentialUpdated,
                CredentialAct::Create => Self::CredentialAdded,
            },
            SignalEvent::CredentialCompromise { .. } => Self::CredentialCompromised,
            SignalEvent::AccountCredentialChangeRequired => Self::CredentialChangeRequired,
            SignalEvent::AssuranceLevelChange { direction, .. } => match direction {
                AssuranceStep::Decrease => Self::AssuranceLowered,
                AssuranceStep::Increase => Self::AssuranceRaised,
            },
            SignalEvent::DeviceComplianceChange { compliant: false } => Self::DeviceNotCompliant,
            SignalEvent::DeviceComplianceChange { compliant: true } => Self::DeviceCompliant,
            SignalEvent::RiskLevelChange { level, .. } => match level {
                RiskLevel::High => Self::RiskHigh,
                RiskLevel::Medium => Self::RiskMedium,
                RiskLevel::Low => Self::RiskLow,
            },
            SignalEvent::AccountDisabled { .. } => Self::AccountDisabled,
            SignalEvent::AccountPurged => Self::AccountPurged,
            SignalEvent::AccountEnabled => Self::AccountEnabled,
            SignalEvent::IdentifierChanged { .. } => Self::IdentifierChanged,
            SignalEvent::IdentifierRecycled => Self::IdentifierRecycled,
            SignalEvent::RecoveryActivated => Self::RecoveryActivated,
            SignalEvent::RecoveryInformationChanged => Self::RecoveryChanged,
            SignalEvent::SessionEstablished | SignalEvent::SessionPresented => Self::SessionSeen,
            SignalEvent::OptIn | SignalEvent::OptOutInitiated | SignalEvent::OptOutCancelled => {
                Self::OptChanged
            }
            SignalEvent::OptOutEffective => Self::OptedOut,
            SignalEvent::Other { .. } => Self::UnknownEvent,
            SignalEvent::Verification { .. } | SignalEvent::StreamUpdated { .. } => return None,
        })
    }

    /// Its row.
    #[must_use]
    pub fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.situation == self)
    }

    /// The word for it in the configuration and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().map_or("", |row| row.word)
    }

    /// Whether it takes access away, gives it, or does neither.
    #[must_use]
    pub fn direction(self) -> Direction {
        self.row().map_or(Tells, |row| row.direction)
    }
}

// === impl Effects ===

impl Effects {
    /// What is done in a situation.
    #[must_use]
    pub fn of(&self, situation: Situation) -> Effect {
        let usual = || situation.row().map_or(Record, |row| row.usual);
        self.0.get(&situation).copied().unwrap_or_else(usual)
    }

    /// Checks what the configuration chose, `situation = "effect"`, and complains of everything at
    /// once.
    pub fn check(written: &BTreeMap<String, String>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Self {
        let mut chosen = BTreeMap::new();
        for (word, effect) in written {
            let at = at.key(word);
            let Some(row) = TABLE.iter().find(|row| row.word == word) else {
                let words: Vec<&str> = TABLE.iter().map(|row| row.word).collect();
                complaints.push(Complaint::new(
                    at,
                    format!("`{}` is not a situation", shown(word, 60)),
                    format!("write one of {}", words.join(", ")),
                ));
                continue;
            };
            match Effect::parse(effect).filter(|e| *e == row.usual || row.or.contains(e)) {
                Some(effect) => {
                    chosen.insert(row.situation, effect);
                }
                None => {
                    let may: Vec<&str> =
                        std::iter::once(&row.usual).chain(row.or).map(|e| e.as_str()).collect();
                    complaints.push(Complaint::new(
                        at,
                        format!("`{}` is not what `{word}` can do", shown(effect, 60)),
                        format!(
                            "write one of {}; the first is what it does when nothing is written",
                            may.join(", ")
                        ),
                    ));
                }
            }
        }
        Self(chosen)
    }
}
