//! Taking access away: whom it hits, and the rule that says whether a credential still stands.
//!
//! The rules are those of `docs/life-of-a-revocation.md`. The heart is a *not-before mark*: a
//! credential made at or before the mark is dead for ever. Marks only rise. Whether someone may
//! sign in anew is a second, versioned fact ([`Entry::disabled`]), kept apart from the mark, so
//! that letting a person return never revives anything old.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::device::DeviceId;
use crate::principal::{IdError, UserId};
use crate::resource::AppId;
use crate::session::{AuthSession, SessionId, TokenId};
use crate::time::UnixMillis;

/// Whom or what a revocation hits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Everything a person or machine holds, on every app.
    User(UserId),
    /// One sign-in.
    Session(SessionId),
    /// One token.
    Token(TokenId),
    /// Everything on one device.
    Device(DeviceId),
    /// Everything that one user has open at one app.
    UserAtApp(UserId, AppId),
}

/// The kind of a [`Target`], without whom it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// See [`Target::User`].
    User,
    /// See [`Target::Session`].
    Session,
    /// See [`Target::Token`].
    Token,
    /// See [`Target::Device`].
    Device,
    /// See [`Target::UserAtApp`].
    UserAtApp,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::User, Self::Session, Self::Token, Self::Device, Self::UserAtApp];

    /// The word for it in commands, the API, the store and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Token => "token",
            Self::Device => "device",
            Self::UserAtApp => "user_at_app",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }

    /// Whether it names one sign-in or one token, which is never given out anew.
    ///
    /// Such a target is dead for ever once it was revoked, however new the credential is that
    /// names it: a token that was refreshed within a revoked session carries a later `iat`.
    #[must_use]
    pub const fn never_returns(self) -> bool {
        match self {
            Self::Session | Self::Token => true,
            Self::User | Self::Device | Self::UserAtApp => false,
        }
    }
}

impl Target {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::User(_) => EntryKind::User,
            Self::Session(_) => EntryKind::Session,
            Self::Token(_) => EntryKind::Token,
            Self::Device(_) => EntryKind::Device,
            Self::UserAtApp(..) => EntryKind::UserAtApp,
        }
    }

    /// Whom it names, as text that [`Target::parse`] reads. For [`Target::UserAtApp`] that is
    /// `app@issuer:subject`; an app's name has no `@`.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::User(u) => u.to_string(),
            Self::Session(s) => s.to_string(),
            Self::Token(t) => t.to_string(),
            Self::Device(d) => d.to_string(),
            Self::UserAtApp(u, a) => format!("{a}@{u}"),
        }
    }

    /// Reads a kind and an [`id`](Self::id).
    ///
    /// # Errors
    /// When the text does not name a target of that kind.
    pub fn parse(kind: EntryKind, id: &str) -> Result<Self, IdError> {
        Ok(match kind {
            EntryKind::User => Self::User(UserId::from_str(id)?),
            EntryKind::Session => Self::Session(SessionId::from_str(id)?),
            EntryKind::Token => Self::Token(TokenId::from_str(id)?),
            EntryKind::Device => Self::Device(DeviceId::new(id)?),
            EntryKind::UserAtApp => {
                let (app, user) = id.split_once('@').ok_or_else(|| IdError::Other {
                    value: id.to_owned(),
                    what: "a user at an app",
                    rule: "write `app@issuer:subject`",
                })?;
                Self::UserAtApp(UserId::from_str(user)?, AppId::new(app)?)
            }
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().as_str(), self.id())
    }
}

/// What is remembered of one target.
///
/// Two entries of one target merge to one ([`Entry::merge`]) whatever the order, and however
/// often either arrives: the type is a join semilattice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Credentials made at or before this instant are dead.
    pub not_before: UnixMillis,
    /// Counts the changes of [`disabled`](Self::disabled).
    pub version: u64,
    /// No credential is good, however new, until a higher version says otherwise.
    pub disabled: bool,
}

impl Entry {
    /// Both, joined: the later mark; the flag of the higher version, and where versions are
    /// equal, disabled wins.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let disabled = match self.version.cmp(&other.version) {
            std::cmp::Ordering::Greater => self.disabled,
            std::cmp::Ordering::Less => other.disabled,
            std::cmp::Ordering::Equal => self.disabled || other.disabled,
        };
        Self {
            not_before: self.not_before.max(other.not_before),
            version: self.version.max(other.version),
            disabled,
        }
    }

    /// Whether a credential made at `issued_at` still stands, where the issuer's clock may be
    /// off by `skew` and tells whole seconds only.
    ///
    /// A token of the very second of the revocation, or from an issuer whose clock runs ahead by
    /// up to `skew`, does not stand (rule R5). The price is that a person who signs in anew
    /// within `2 * skew + 1 s` after the revocation may have to do so once more.
    #[must_use]
    pub fn standing(self, issued_at: UnixMillis, skew: Duration) -> Standing {
        if self.disabled {
            Standing::Disabled
        } else if issued_at <= self.not_before.plus(skew) {
            Standing::MadeBefore(self.not_before)
        } else {
            Standing::Good
        }
    }

    /// [`standing`](Self::standing) before the entry of a target of this kind. What
    /// [never returns](EntryKind::never_returns) does not stand at all once it has an entry.
    #[must_use]
    pub fn standing_of(self, kind: EntryKind, issued_at: UnixMillis, skew: Duration) -> Standing {
        match self.standing(issued_at, skew) {
            Standing::Good if kind.never_returns() => Standing::MadeBefore(self.not_before),
            standing => standing,
        }
    }
}

/// Whether a credential still stands before one [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// It was made at or before the mark.
    MadeBefore(UnixMillis),
    /// Nothing of this target is good now.
    Disabled,
}

/// What one request presents to the revocation check: every target that could be cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whoever must stand for the request to pass; see [`crate::Principal::answerable`].
    pub users: Vec<UserId>,
    /// Who answers for a machine that shows a token of ours. It must not be switched off, and what ends by its
    /// name ends; but it is not its credential, so that its mark says nothing: who signs out everywhere does not
    /// break what they answer for.
    pub owner: Option<UserId>,
    /// The sign-in and the token.
    pub session: AuthSession,
    /// The device, if one is known.
    pub device: Option<DeviceId>,
    /// The device that the sign-in names, where the request proves to come from another one.
    pub named: Option<DeviceId>,
    /// The app that is asked for.
    pub app: AppId,
}

impl Presented {
    /// Every target under which it ends.
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        self.made().chain(self.answering())
    }

    /// The targets whose mark and whose flag both count.
    pub fn made(&self) -> impl Iterator<Item = Target> + '_ {
        let users = self.users.iter().flat_map(|user| self.of(user));
        let session = self.session.session.iter().cloned().map(Target::Session);
        let token = self.session.token.iter().cloned().map(Target::Token);
        let device = self.device.iter().chain(&self.named).cloned().map(Target::Device);
        users.chain(session).chain(token).chain(device)
    }

    /// The targets of which the flag counts alone.
    pub fn answering(&self) -> impl Iterator<Item = Target> + '_ {
        self.owner.iter().flat_map(|owner| self.of(owner))
    }

    fn of(&self, user: &UserId) -> [Target; 2] {
        [Target::User(user.clone()), Target::UserAtApp(user.clone(), self.app.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_what_they_write() {
        for (kind, id) in [
            (EntryKind::User, "corp:alice"),
            (EntryKind::Session, "corp:s-1"),
            (EntryKind::Token, "corp:urn:x:1"),
            (EntryKind::Device, "dev-77"),
            (EntryKind::UserAtApp, "payroll@corp:a@b.example"),
        ] {
            let t = Target::parse(kind, id).unwrap();
            assert_eq!((t.kind(), t.id().as_str()), (kind, id));
            assert_eq!(EntryKind::parse(kind.as_str()), Some(kind));
        }
        assert!(Target::parse(EntryKind::UserAtApp, "corp:alice").is_err());
    }

    #[test]
    fn a_revoked_session_is_dead_however_new_its_token() {
        let e = Entry { not_before: UnixMillis(10_000), ..Entry::default() };
        let much_later = UnixMillis(99_000);
        for kind in EntryKind::ALL {
            let good = e.standing_of(kind, much_later, Duration::ZERO) == Standing::Good;
            assert_eq!(good, !kind.never_returns(), "{kind:?}");
        }
    }

    #[test]
    fn a_token_of_the_same_second_does_not_stand() {
        let e = Entry { not_before: UnixMillis(10_400), ..Entry::default() };
        assert_eq!(e.standing(UnixMillis(10_000), Duration::ZERO), Standing::MadeBefore(UnixMillis(10_400)));
        assert_eq!(e.standing(UnixMillis(11_000), Duration::ZERO), Standing::Good);
        assert_eq!(
            e.standing(UnixMillis(12_000), Duration::from_secs(2)),
            Standing::MadeBefore(UnixMillis(10_400))
        );
        assert_eq!(e.standing(UnixMillis(13_000), Duration::from_secs(2)), Standing::Good);
    }
}
