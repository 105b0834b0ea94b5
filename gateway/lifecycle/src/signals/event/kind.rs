//! The kinds of event, and the addresses that name them.

/// The kinds of event, by their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the event of that name; the table beside it has the address")]
pub enum EventKind {
    SessionRevoked,
    TokenClaimsChange,
    CredentialChange,
    AssuranceLevelChange,
    DeviceComplianceChange,
    SessionEstablished,
    SessionPresented,
    RiskLevelChange,
    AccountCredentialChangeRequired,
    AccountPurged,
    AccountDisabled,
    AccountEnabled,
    IdentifierChanged,
    IdentifierRecycled,
    CredentialCompromise,
    OptIn,
    OptOutInitiated,
    OptOutCancelled,
    OptOutEffective,
    RecoveryActivated,
    RecoveryInformationChanged,
    SessionsRevoked,
    TokensRevoked,
    TokenRevoked,
    Verification,
    StreamUpdated,
}

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
/// The name of the framework in its drafts.
const SSE: &str = "https://schemas.openid.net/secevent/sse/event-type/";
const OAUTH: &str = "https://schemas.openid.net/secevent/oauth/event-type/";

/// Each address, and the kind that it names.
const ADDRESSES: [(&str, &str, EventKind); 29] = [
    (CAEP, "session-revoked", EventKind::SessionRevoked),
    (CAEP, "token-claims-change", EventKind::TokenClaimsChange),
    (CAEP, "credential-change", EventKind::CredentialChange),
    (CAEP, "assurance-level-change", EventKind::AssuranceLevelChange),
    (CAEP, "device-compliance-change", EventKind::DeviceComplianceChange),
    (CAEP, "session-established", EventKind::SessionEstablished),
    (CAEP, "session-presented", EventKind::SessionPresented),
    (CAEP, "risk-level-change", EventKind::RiskLevelChange),
    (RISC, "account-credential-change-required", EventKind::AccountCredentialChangeRequired),
    (RISC, "account-purged", EventKind::AccountPurged),
    (RISC, "account-disabled", EventKind::AccountDisabled),
    (RISC, "account-enabled", EventKind::AccountEnabled),
    (RISC, "identifier-changed", EventKind::IdentifierChanged),
    (RISC, "identifier-recycled", EventKind::IdentifierRecycled),
    (RISC, "credential-compromise", EventKind::CredentialCompromise),
    (RISC, "opt-in", EventKind::OptIn),
    (RISC, "opt-out-initiated", EventKind::OptOutInitiated),
    (RISC, "opt-out-cancelled", EventKind::OptOutCancelled),
    (RISC, "opt-out-effective", EventKind::OptOutEffective),
    (RISC, "recovery-activated", EventKind::RecoveryActivated),
    (RISC, "recovery-information-changed", EventKind::RecoveryInformationChanged),
    (RISC, "sessions-revoked", EventKind::SessionsRevoked),
    (OAUTH, "tokens-revoked", EventKind::TokensRevoked),
    (OAUTH, "token-revoked", EventKind::TokenRevoked),
    (SSF, "verification", EventKind::Verification),
    (SSE, "verification", EventKind::Verification),
    (RISC, "verification", EventKind::Verification),
    (SSF, "stream-updated", EventKind::StreamUpdated),
    (SSE, "stream-updated", EventKind::StreamUpdated),
];

// === impl EventKind ===

impl EventKind {
    /// Reads an address.
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        let named = |(base, name, _): &&(&str, &str, Self)| address.strip_prefix(base) == Some(name);
        ADDRESSES.iter().find(named).map(|(_, _, kind)| *kind)
    }

    /// The last part of the address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ADDRESSES.iter().find(|(_, _, kind)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// Every address, with its kind.
    pub fn addresses() -> impl Iterator<Item = (String, Self)> {
        ADDRESSES.iter().map(|(base, name, kind)| (format!("{base}{name}"), *kind))
    }
}
