//! Which policies these are.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// The SHA-256 of everything in a policy folder that can change a decision or the proof of it:
/// the schema, the policies and the cases, each with its path, in the order of the paths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; 32]);

impl Revision {
    /// The revision of these files, which are in the order of their paths. Every path and every content goes in with its length in
    /// front, so that no two folders read alike.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut hash = Context::new(&SHA256);
        for (path, bytes) in files {
            for part in [path.as_bytes(), bytes] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self(out)
    }

    /// The first 12 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }

    /// The revision of these 64 hexadecimal digits, if that is what they are.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        let mut digits = text.bytes().map(|b| char::from(b).to_digit(16).filter(|_| !b.is_ascii_uppercase()));
        for to in &mut out {
            let (high, low) = (digits.next()??, digits.next()??);
            *to = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(out))
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_every_border_counts() {
        let a = Revision::of([("a", &b"xy"[..]), ("b", b"")]);
        let others = [
            Revision::of([("a", &b"x"[..]), ("b", b"y")]),
            Revision::of([("a", &b"xy"[..])]),
            Revision::of([("ax", &b"y"[..]), ("b", b"")]),
            Revision::of([("b", &b""[..]), ("a", b"xy")]),
        ];
        assert!(others.iter().all(|o| *o != a));
        assert_eq!(a.to_string().len(), 64);
        assert!(a.to_string().starts_with(&a.short()));
        assert_eq!(Revision::from_hex(&a.to_string()), Some(a));
        let hex = a.to_string();
        for bad in
            ["", &hex[1..], &format!("{hex}0"), &hex.replace(&hex[..1], "x"), &format!("{}A", &hex[1..])]
        {
            assert_eq!(Revision::from_hex(bad), None, "{bad}");
        }
    }
}
