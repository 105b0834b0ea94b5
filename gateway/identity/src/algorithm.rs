//! The signatures that a token may carry (RFC 7518 §3.1, RFC 8037 §3.1): a short, closed list.

/// One way to sign. Every one of them is asymmetric: who can check a token cannot make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// The kind of key that a signature needs. One issuer has keys of one family only, so that no
/// token can have a key of one kind read as one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyFamily {
    /// `kty` is `RSA`.
    Rsa,
    /// `kty` is `EC`.
    Ec,
    /// `kty` is `OKP`.
    Ed,
}

// === impl SigningAlgorithm ===

impl SigningAlgorithm {
    /// Every one, in the order in which messages name them.
    pub(crate) const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// The value of `alg`, case-sensitive.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the value of `alg`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }

    /// The kind of key that it needs.
    pub(crate) const fn family(self) -> KeyFamily {
        match self {
            Self::Rs256 | Self::Ps256 => KeyFamily::Rsa,
            Self::Es256 | Self::Es384 => KeyFamily::Ec,
            Self::EdDsa => KeyFamily::Ed,
        }
    }

    /// The same in the words of `jsonwebtoken`.
    pub(crate) const fn in_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}
