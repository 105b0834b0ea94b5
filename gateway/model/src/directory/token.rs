//! Tokens with which a service account shows who it is: made here, and good for no more than was said
//! when they were made.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::principal::UserId;
use crate::resource::AppId;
use crate::session::TokenId;
use crate::time::UnixMillis;

/// The most tokens of one service account at once.
pub const MACHINE_TOKENS_MAX: usize = 8;
/// The most apps, addresses or scopes that one token names, of each.
pub const TOKEN_LIMITS_MAX: usize = 32;
/// For how many days a token is good at most. Less than the revocation of a token is remembered.
pub const MACHINE_TOKEN_DAYS_MAX: u32 = 365;
/// How exactly it is known when a token was last used: it is written at most so often. Seconds.
pub const MACHINE_TOKEN_USED_SECONDS: u64 = 3600;

/// How many characters name a token.
const NAME_CHARS: usize = 12;

/// The SHA-256 of a token of ours: what is kept of it. A token has 256 random bits, so that nobody guesses
/// one from it, and no salt or slow function is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

/// What a token is good for, of all that whoever has it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Extent<T> {
    /// All of it.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<T>),
}

/// A token of a service account, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// What is kept of it.
    pub hash: TokenHash,
    /// What it is called by whoever made it.
    pub label: String,
    /// At which apps it is good.
    pub apps: Extent<AppId>,
    /// From which addresses.
    pub from: Extent<IpNet>,
    /// For which of the scopes of its machine.
    pub scopes: Extent<String>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Who made it.
    pub created_by: Arc<str>,
    /// When it stops being good.
    pub expires_at: UnixMillis,
    /// When it was last used, give or take [`MACHINE_TOKEN_USED_SECONDS`]. `None`: never yet.
    pub last_used_at: Option<UnixMillis>,
}

// === impl TokenHash ===

impl TokenHash {
    /// A hash of these bytes.
    #[must_use]
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// By which name a token is spoken of: 12 characters, of which nobody learns anything about it.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string().chars().take(NAME_CHARS).collect()
    }

    /// Reads what [`TokenHash`] shows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

// === impl Extent ===

impl<T: Ord + Clone> Extent<T> {
    /// Whether it has this one.
    #[must_use]
    pub fn has(&self, one: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(these) => these.contains(one),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn of(&self, whole: &BTreeSet<T>) -> BTreeSet<T> {
        match self {
            Self::All => whole.clone(),
            Self::Only(these) => these.intersection(whole).cloned().collect(),
        }
    }

    /// Those that are named, where some are.
    #[must_use]
    pub const fn named(&self) -> Option<&BTreeSet<T>> {
        match self {
            Self::All => None,
            Self::Only(these) => Some(these),
        }
    }
}

// === impl MachineToken ===

impl MachineToken {
    /// Whether it may be shown by a client at this address. An IPv4 address that is written as one of IPv6
    /// (RFC 4291 §2.5.5.2) is the IPv4 address.
    #[must_use]
    pub fn admits_from(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        match &self.from {
            Extent::All => true,
            Extent::Only(nets) => nets.iter().any(|net| net.contains(&client)),
        }
    }

    /// Under which name it is revoked, as a token of whoever vouches for `machine`.
    #[must_use]
    pub fn token_id(&self, machine: &UserId) -> TokenId {
        TokenId::of_machine(machine.issuer().clone(), &self.hash.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_back() {
        let hash = TokenHash::new(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(TokenHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(hash.name(), "00070e151c23");
        assert_eq!(format!("{hash:?}"), hash.name(), "no more than the name is shown");
        for bad in [hash.name(), hash.to_string().to_uppercase(), "g".repeat(64), "\u{e4}".repeat(32)] {
            assert_eq!(TokenHash::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn an_extent_never_gives_more_than_there_is() {
        let whole: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
        let some: Extent<String> = Extent::Only(["b", "c"].map(str::to_owned).into());
        assert_eq!(some.of(&whole), BTreeSet::from(["b".to_owned()]));
        assert_eq!(Extent::All.of(&whole), whole);
        assert!(Extent::<String>::Only(BTreeSet::new()).of(&whole).is_empty());
        assert!(!Extent::Only(BTreeSet::new()).has(&1) && Extent::All.has(&1));
    }

    #[test]
    fn a_token_is_good_from_its_addresses_alone() {
        let nets = ["192.0.2.0/24", "2001:db8::/32"].map(|net| net.parse().unwrap());
        let token = MachineToken {
            hash: TokenHash::new([1; 32]),
            label: "ci".to_owned(),
            apps: Extent::All,
            from: Extent::Only(nets.into()),
            scopes: Extent::All,
            created_at: UnixMillis(1),
            created_by: "ann".into(),
            expires_at: UnixMillis(2),
            last_used_at: None,
        };
        for (client, good) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("2001:db8::1", true),
            ("192.0.3.1", false),
            ("::1", false),
            ("::192.0.2.9", false),
        ] {
            assert_eq!(token.admits_from(client.parse().unwrap()), good, "{client}");
        }
        assert_eq!(token.token_id(&"robots:backup".parse().unwrap()).to_string(), "robots:dwsa-010101010101");
    }
}
