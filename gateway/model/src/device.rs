//! What is known of the device.

use std::fmt;
use std::sync::Arc;

use crate::principal::IdError;
use crate::session::visible;
use crate::time::UnixMillis;

/// The device's identifier in the inventory that vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Checks and takes an identifier.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes, or not visible ASCII.
    pub fn new(id: &str) -> Result<Self, IdError> {
        visible(id, "a device id").map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a device meets the company's baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compliance {
    /// A signed source says that it does.
    Compliant,
    /// A signed source says that it does not.
    NotCompliant,
    /// Nobody said, or what was said is stale. Counts as not compliant.
    #[default]
    Unknown,
}

/// How a request proves which device it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceAssurance {
    /// It does not: nothing names a device, or only a token does, which can be carried elsewhere.
    #[default]
    None,
    /// By the session cookie of a browser that signed in on it. Whoever copies the cookie copies the proof.
    Cookie,
    /// By the key of its certificate, in the TLS handshake of this connection (RFC 8705 §3).
    Mtls,
}

impl DeviceAssurance {
    /// Every value, the weakest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Cookie, Self::Mtls];

    /// The word in policies, logs and docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cookie => "cookie",
            Self::Mtls => "mtls",
        }
    }
}

/// The SHA-256 of a certificate in DER (RFC 8705 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Of the hash itself.
    #[must_use]
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// From 64 hexadecimal digits in lower case; none for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// The state of the device as a signed source tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePosture {
    /// Which device, if known.
    pub id: Option<DeviceId>,
    /// It is managed by the company; false when nobody vouches for it.
    pub managed: bool,
    /// It meets the baseline.
    pub compliance: Compliance,
    /// The operating system, in lower case, if known.
    pub platform: Option<String>,
    /// How this request proves that it comes from the device.
    pub assurance: DeviceAssurance,
    /// The directory says that the device belongs to whoever signed in. False where it says nothing.
    pub owner_matches: bool,
    /// When what is said here was said to the directory, if it was.
    pub asserted_at: Option<UnixMillis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_reads_what_it_writes_and_nothing_else() {
        let hex = "00ff".repeat(16);
        let thumbprint = Thumbprint::from_hex(&hex).unwrap();
        assert_eq!(thumbprint.to_string(), hex);
        assert_eq!(thumbprint.as_bytes().get(..2), Some(&[0, 255][..]));
        for wrong in
            ["", "00", &hex[1..], &hex.to_uppercase(), &format!("{hex}00"), &"0g".repeat(32), &"é".repeat(32)]
        {
            assert_eq!(Thumbprint::from_hex(wrong), None, "{wrong}");
        }
    }
}
