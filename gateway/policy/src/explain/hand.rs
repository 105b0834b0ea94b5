//! Who could change what a condition reads.

use cedar_policy_core::ast::{Expr, ExprKind, Literal};

use super::facts;
use crate::conditions::{Condition, Part};

/// Who could change what stands in the way, the easiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hand {
    /// Whoever asks: by signing in again.
    SignInAgain,
    /// Whoever asks: by a second factor.
    SecondFactor,
    /// Whoever asks: by a security key.
    SecurityKey,
    /// Whoever asks: from another network or another country.
    OtherNetwork,
    /// Whoever asks: at another time.
    OtherTime,
    /// Whoever asks: on a device that is enrolled.
    EnrolledDevice,
    /// The owner of the app, or of a role.
    Owner,
    /// The people who manage accounts.
    Accounts,
    /// Somebody, but the policies do not tell who: a fact of a set that is not the gateway's.
    Someone,
    /// Nobody: it belongs to the thing itself, or to what is to be done.
    Nobody,
}

impl Hand {
    /// Each of them, the easiest first.
    pub const ALL: [Self; 10] = [
        Self::SignInAgain,
        Self::SecondFactor,
        Self::SecurityKey,
        Self::OtherNetwork,
        Self::OtherTime,
        Self::EnrolledDevice,
        Self::Owner,
        Self::Accounts,
        Self::Someone,
        Self::Nobody,
    ];

    /// The word for it in logs and in answers for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignInAgain => "sign_in_again",
            Self::SecondFactor => "second_factor",
            Self::SecurityKey => "security_key",
            Self::OtherNetwork => "other_network",
            Self::OtherTime => "other_time",
            Self::EnrolledDevice => "enrolled_device",
            Self::Owner => "owner",
            Self::Accounts => "accounts",
            Self::Someone => "someone",
            Self::Nobody => "nobody",
        }
    }

    /// What a person at the door can do, in words that tell nothing of the policies. None where they can do nothing there.
    #[must_use]
    pub const fn advice(self) -> Option<&'static str> {
        match self {
            Self::SignInAgain => Some("Sign in again."),
            Self::SecondFactor => Some("Sign in with a second factor."),
            Self::SecurityKey => Some("Sign in with a security key or a passkey."),
            Self::OtherNetwork => Some("Try again from another network, such as the office or the VPN."),
            Self::OtherTime => Some("Try again at another time."),
            Self::EnrolledDevice => Some("Use a device that your company manages."),
            Self::Owner | Self::Accounts | Self::Someone | Self::Nobody => None,
        }
    }
}

/// Who could turn over a condition, where somebody of this kind asks. Of several facts it is enough to change the
/// easiest.
pub(super) fn hand(condition: &Condition, who: &str) -> Hand {
    match condition.part() {
        Part::Action | Part::Resource | Part::Whole => Hand::Nobody,
        // Nobody can make a person of an agent.
        Part::Principal if !is_for(condition.expr(), who) => Hand::Nobody,
        Part::Principal => {
            let group = |l: &&Literal| matches!(l, Literal::EntityUID(uid) if is_group(&uid.entity_type().to_string()));
            if facts::literals(condition.expr()).iter().any(group) { Hand::Owner } else { Hand::Nobody }
        }
        Part::Clause => {
            let names = facts::names(condition.expr());
            // Time only goes on: what ended must be given anew by whoever gave it an end.
            let given = |name: &&String| *name != "context.time.now";
            let hands = |some: &mut dyn Iterator<Item = &String>| some.map(|name| changes(name)).min();
            let hand = hands(&mut names.iter().filter(given)).or_else(|| hands(&mut names.iter()));
            hand.unwrap_or(Hand::Nobody)
        }
    }
}

/// Whether a side of the scope is for somebody of this kind at all.
pub(super) fn is_for(side: &Expr, who: &str) -> bool {
    match side.expr_kind() {
        ExprKind::And { left, right } => is_for(left, who) && is_for(right, who),
        ExprKind::Is { entity_type, .. } => entity_type.to_string() == who,
        // Cedar may write a side in more ways than these, and all others leave the kind open.
        _ => true,
    }
}

/// Whether a condition asks what somebody is, rather than what was given to them until some day. Of two things that
/// the same people could change the other one is nearer.
pub(super) fn is_what_they_are(condition: &Condition) -> bool {
    let of =
        |name: &String| ["lifecycle", "employment", "homeCountry"].iter().any(|fact| name.ends_with(fact));
    facts::names(condition.expr()).iter().any(of)
}

pub(super) fn is_group(kind: &str) -> bool {
    matches!(kind, "Role" | "Group")
}

/// Who can change a fact of the gateway, by its name in policies.
fn changes(fact: &str) -> Hand {
    let mut names = fact.split('.');
    match (names.next(), names.next(), names.next()) {
        (Some("context"), Some("session"), Some("mfa")) => Hand::SecondFactor,
        (Some("context"), Some("session"), Some("phishingResistant")) => Hand::SecurityKey,
        (Some("context"), Some("session"), _) => Hand::SignInAgain,
        (Some("context"), Some("zones" | "ip" | "geo"), _) => Hand::OtherNetwork,
        (Some("context"), Some("time"), _) => Hand::OtherTime,
        (Some("context"), Some("device"), _) => Hand::EnrolledDevice,
        (Some("context"), Some("granted"), _) => Hand::Owner,
        (Some("context"), Some("risk" | "http"), _) => Hand::Nobody,
        (Some("principal"), None | Some("scopes"), _) => Hand::Owner,
        (Some("principal"), Some("onBehalfOf"), None) => Hand::Owner,
        (Some("principal"), Some(_), _) => Hand::Accounts,
        (Some("context"), _, _) => Hand::Someone,
        _ => Hand::Nobody,
    }
}
