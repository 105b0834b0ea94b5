//! Identifiers of the directory.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::principal::IdError;

/// Where the hyphens stand in the text of a UUID (RFC 9562 §4).
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Reads the canonical text of a UUID, lower case only, so that an id has one text.
fn uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut number = 0_u128;
    for (place, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'-' if HYPHENS.contains(&place) => continue,
            b'0'..=b'9' if !HYPHENS.contains(&place) => byte - b'0',
            b'a'..=b'f' if !HYPHENS.contains(&place) => byte - b'a' + 10,
            _ => return None,
        };
        number = (number << 4) | u128::from(digit);
    }
    Some(number)
}

/// The id of a record: a UUID (RFC 9562), which the caller makes.
macro_rules! record_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The 128 bits of a UUID.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let n = self.0;
                let (a, b, c, d) = (n >> 96, (n >> 80) & 0xffff, (n >> 64) & 0xffff, (n >> 48) & 0xffff);
                write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", n & 0xffff_ffff_ffff)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                uuid(text).map(Self).ok_or_else(|| IdError::Other {
                    value: text.chars().take(40).collect(),
                    what: $what,
                    rule: "write a UUID in lower case, such as `01890a5d-ac96-774b-bcce-b302099a8057`",
                })
            }
        }
    };
}

record_id!(
    /// A person in the directory, for ever: a UUID of version 7, which is also the SCIM `id` (RFC
    /// 7643 §3.1). Never given out again, not even when its person is deleted.
    PersonId,
    "a person id"
);
record_id!(
    /// A group in the directory, for ever: a UUID of version 7, which is also the SCIM `id`.
    GroupId,
    "a group id"
);
record_id!(
    /// A service account or an agent in the directory, for ever: a UUID of version 7.
    MachineId,
    "a machine id"
);

/// A short name that the configuration gives to something.
macro_rules! configured_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// When it is not 1 to 64 of `a-z 0-9 -`.
            pub fn new(name: &str) -> Result<Self, IdError> {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
                    return Err(IdError::Other {
                        value: name.chars().take(80).collect(),
                        what: $what,
                        rule: "use 1 to 64 of a-z, 0-9 and `-`",
                    });
                }
                Ok(Self(name.into()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

configured_name!(
    /// A SCIM connection: one provisioning client with its own tokens, such as `okta`.
    ConnectionId,
    "a connection name"
);
configured_name!(
    /// A stream of shared signals (OpenID SSF 1.0) or another sender of signals, such as `okta-caep`.
    StreamName,
    "a stream name"
);

/// The name of a role, as policies know it: `Role::"payroll-admin"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Arc<str>);

impl RoleName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes, or holds a control character.
    pub fn new(name: &str) -> Result<Self, IdError> {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(IdError::Other {
                value: name.chars().filter(|c| !c.is_control()).take(80).collect(),
                what: "a role name",
                rule: "use 1 to 255 bytes without control characters",
            });
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_what_it_writes_and_has_one_text() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        let id: PersonId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(PersonId::from_u128(id.as_u128()), id);
        assert_eq!(GroupId::from_u128(1).to_string(), "00000000-0000-0000-0000-000000000001");
        for bad in [
            "",
            "01890a5dac96774bbcceb302099a8057",
            "01890A5D-ac96-774b-bcce-b302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805",
            "01890a5d-ac96-774b-bcce-b302099a80577",
            "01890a5d-ac96-774b-bccee-302099a8057",
            "-1890a5d-ac96-774b-bcce-b302099a8057",
            "0189\u{e9}a5d-ac96-774b-bcce-b302099a805",
        ] {
            assert!(bad.parse::<PersonId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_keep_to_their_letters() {
        for bad in ["", "Okta", "ok ta", "a/b", "ä"] {
            assert!(ConnectionId::new(bad).is_err(), "{bad:?}");
        }
        assert!(StreamName::new("okta-caep-2").is_ok());
        assert!(RoleName::new("Payroll (admin)").is_ok());
        let e = RoleName::new("a\u{1b}[31m").unwrap_err().to_string();
        assert!(!e.contains('\u{1b}'), "{e}");
    }
}
