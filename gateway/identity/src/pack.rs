//! A few facts in a few bytes, for what is sealed.
//!
//! Numbers are of variable length, texts and lists say how long they are. What is read is ours, because its seal
//! held; it is read as strictly all the same: nothing left out, nothing left over.

use std::collections::BTreeSet;
use std::net::IpAddr;

use doorward_model::UnixMillis;

/// Bytes that are put together.
pub(crate) struct Packer(Vec<u8>);

/// Bytes that are taken apart. Each call gives what is next, or nothing when that is not there.
pub(crate) struct Unpacker<'a>(&'a [u8]);

// === impl Packer ===

impl Packer {
    /// Begins with the number of the format.
    pub(crate) fn new(format: u8) -> Self {
        Self(vec![format])
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// LEB128.
    pub(crate) fn number(&mut self, mut number: u64) {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    /// A number that may be negative; near zero it is short.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    pub(crate) fn flags(&mut self, flags: [bool; 8]) {
        self.0.push(flags.iter().enumerate().fold(0, |byte, (i, flag)| byte | u8::from(*flag) << i));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// None and an empty text are two things.
    pub(crate) fn some_text(&mut self, text: Option<&str>) {
        self.some(text, Self::text);
    }

    pub(crate) fn some<T>(&mut self, value: Option<T>, pack: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            pack(self, value);
        }
    }

    pub(crate) fn texts(&mut self, texts: &BTreeSet<String>) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    /// A time, as it lies from another one.
    pub(crate) fn time(&mut self, time: UnixMillis, from: UnixMillis) {
        self.signed(time.0.wrapping_sub(from.0));
    }

    pub(crate) fn address(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                self.byte(4);
                self.bytes(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.byte(6);
                self.bytes(&v6.octets());
            }
        }
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

// === impl Unpacker ===

impl<'a> Unpacker<'a> {
    /// Takes apart what begins with this number of a format.
    pub(crate) fn new(format: u8, bytes: &'a [u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        (first == format).then_some(Self(rest))
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(crate) fn flags(&mut self) -> Option<[bool; 8]> {
        let byte = self.byte()?;
        Some(std::array::from_fn(|i| byte >> i & 1 == 1))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub(crate) fn some_text(&mut self) -> Option<Option<&'a str>> {
        self.some(Self::text)
    }

    /// The outer nothing is what cannot be read.
    pub(crate) fn some<T>(&mut self, unpack: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => unpack(self).map(Some),
            2.. => None,
        }
    }

    pub(crate) fn texts(&mut self) -> Option<BTreeSet<String>> {
        let count = self.number()?;
        let mut texts = BTreeSet::new();
        for _ in 0..count {
            if !texts.insert(self.text()?.to_owned()) {
                return None;
            }
        }
        Some(texts)
    }

    pub(crate) fn time(&mut self, from: UnixMillis) -> Option<UnixMillis> {
        Some(UnixMillis(from.0.wrapping_add(self.signed()?)))
    }

    pub(crate) fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            0..=3 | 5 | 7.. => None,
        }
    }

    /// All that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// That is all there is.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_together_is_taken_apart(
            number: u64, signed: i64, flags: [bool; 8], text in ".{0,40}", some in proptest::option::of(".{0,9}"),
            texts in proptest::collection::btree_set(".{0,9}", 0..9), time: i64, from: i64, ip: IpAddr,
        ) {
            let (time, from) = (UnixMillis(time), UnixMillis(from));
            let mut packer = Packer::new(7);
            packer.number(number);
            packer.signed(signed);
            packer.flags(flags);
            packer.text(&text);
            packer.some_text(some.as_deref());
            packer.texts(&texts);
            packer.time(time, from);
            packer.address(ip);
            let bytes = packer.done();
            prop_assert!(Unpacker::new(8, &bytes).is_none());
            let mut unpacker = Unpacker::new(7, &bytes).unwrap();
            prop_assert_eq!(unpacker.number(), Some(number));
            prop_assert_eq!(unpacker.signed(), Some(signed));
            prop_assert_eq!(unpacker.flags(), Some(flags));
            prop_assert_eq!(unpacker.text(), Some(text.as_str()));
            prop_assert_eq!(unpacker.some_text(), Some(some.as_deref()));
            prop_assert_eq!(unpacker.texts(), Some(texts));
            prop_assert_eq!(unpacker.time(from), Some(time));
            prop_assert_eq!(unpacker.address(), Some(ip));
            prop_assert_eq!(unpacker.end(), Some(()));
        }

        #[test]
        fn anything_else_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut unpacker = Unpacker(&bytes);
            while unpacker.number().is_some() && unpacker.texts().is_some() && unpacker.address().is_some() {}
        }
    }

    #[test]
    fn numbers_that_are_too_large_and_lists_that_are_not_there_are_refused() {
        assert_eq!(Unpacker(&[0xff; 10]).number(), None);
        assert_eq!(Unpacker(&[0x80; 10]).number(), None);
        // A list of 2^63 texts, and two texts of which one says that it is 2^63 bytes long.
        let mut packer = Packer::new(1);
        packer.number(1 << 63);
        let bytes = packer.done();
        assert_eq!(Unpacker::new(1, &bytes).unwrap().texts(), None);
        assert_eq!(Unpacker::new(1, &bytes).unwrap().text(), None);
        assert_eq!(Unpacker(&[1, 0]).some_text(), Some(Some("")));
        assert_eq!(Unpacker(&[2, 0]).some_text(), None);
    }
}
