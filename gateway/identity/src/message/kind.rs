//! The kinds of message, and the type that each must have.

use crate::keys::Discovery;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// A security event token (RFC 8417, SSF 1.0).
    SecurityEvent,
    /// A logout token (OpenID Connect Back-Channel Logout 1.0).
    Logout,
    /// The JWT that authenticates a call of global token revocation.
    RevocationCall,
    /// What a source of posture says of a device.
    DevicePosture,
}

impl MessageKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::SecurityEvent, Self::Logout, Self::RevocationCall, Self::DevicePosture];

    /// The `typ` that says it, in lower case, without `application/`.
    #[must_use]
    pub const fn token_type(self) -> &'static str {
        match self {
            Self::SecurityEvent => "secevent+jwt",
            Self::Logout => "logout+jwt",
            Self::RevocationCall => "global-token-revocation+jwt",
            Self::DevicePosture => "device-posture+jwt",
        }
    }

    /// Whether a message of this kind may have that type. A security event must say what it is
    /// (SSF 1.0 §4.1.1), and so must a revocation call, which has no claim of its own that tells.
    /// A logout token only should (Back-Channel Logout §2.4), and Keycloak's of before version 24
    /// say `JWT`; its `events` and its missing `nonce` set it apart.
    pub(super) fn may_be_of_type(self, typ: &str) -> bool {
        match self {
            Self::SecurityEvent | Self::RevocationCall | Self::DevicePosture => typ == self.token_type(),
            Self::Logout => typ == self.token_type() || typ == "jwt" || typ.is_empty(),
        }
    }

    /// Where the sender of such messages says where its keys are.
    pub(crate) const fn discovery(self) -> Discovery {
        match self {
            Self::SecurityEvent => Discovery::SharedSignals,
            Self::Logout | Self::RevocationCall | Self::DevicePosture => Discovery::OpenId,
        }
    }

    /// One of them, in a sentence.
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::SecurityEvent => "a security event",
            Self::Logout => "a logout token",
            Self::RevocationCall => "a revocation call",
            Self::DevicePosture => "the posture of a device",
        }
    }

    /// Several of them, in a sentence.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::SecurityEvent => "security events",
            Self::Logout => "logout tokens",
            Self::RevocationCall => "revocation calls",
            Self::DevicePosture => "postures of devices",
        }
    }
}
