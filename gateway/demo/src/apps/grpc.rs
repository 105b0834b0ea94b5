//! The wire of gRPC over HTTP/2 by hand: five bytes before each message, and a message that is
//! one text. In a `.proto` file it would be
//!
//! ```proto
//! package doorward.demo;
//! message Text { string text = 1; }
//! service Build {
//!   rpc Status(Text) returns (Text);
//!   rpc Watch(Text) returns (stream Text);        // a number asks for so many, else without end
//!   rpc Echo(stream Text) returns (stream Text);
//! }
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The largest message that is taken.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The tag of field 1 with a length before its bytes.
const FIELD_1: u8 = 0x0a;

/// What is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The flag of a message says that it is compressed, which was not agreed.
    #[error("a message is compressed (flag {0}), which was not agreed")]
    Compressed(u8),
    /// A message of too many bytes.
    #[error("a message of {0} bytes is larger than {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// Not a `Text`.
    #[error("a message is not a `Text` with one field")]
    NotText,
}

/// A text as a message with its five bytes.
#[must_use]
pub fn frame(text: &str) -> Bytes {
    let mut message = BytesMut::with_capacity(text.len() + 6);
    if !text.is_empty() {
        message.put_u8(FIELD_1);
        let mut len = text.len();
        while len >= 0x80 {
            message.put_u8((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        message.put_u8((len & 0x7f) as u8);
        message.put_slice(text.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

/// Cuts a body into messages.
#[derive(Debug, Default)]
pub struct Unframer {
    buffer: BytesMut,
}

impl Unframer {
    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next text, if a whole message is there.
    ///
    /// # Errors
    /// When what is there is not a message.
    pub fn text(&mut self) -> Result<Option<String>, FramingError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let [flag, length @ ..] = *head;
        if flag != 0 {
            return Err(FramingError::Compressed(flag));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(FramingError::TooLarge(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(5);
        text(&self.buffer.split_to(length)).map(Some)
    }

    /// Nothing of a message is left over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The text of a message; an empty message is an empty text (proto3).
fn text(message: &[u8]) -> Result<String, FramingError> {
    let Some((&tag, rest)) = message.split_first() else {
        return Ok(String::new());
    };
    let mut length = 0_usize;
    let mut bytes = rest;
    // A length below 2^28 has at most four bytes.
    for shift in [0, 7, 14, 21] {
        let Some((&byte, after)) = bytes.split_first() else { break };
        bytes = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    if tag != FIELD_1 || bytes.len() != length {
        return Err(FramingError::NotText);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| FramingError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_any_cut() {
        let texts = ["", "a", "hello", &"x".repeat(127), &"y".repeat(128), &"z".repeat(70_000)];
        let wire: Vec<u8> = texts.iter().flat_map(|t| frame(t)).collect();
        assert_eq!(&wire[..13], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 10, 1, b'a']);
        for size in [1, 3, 5, 4096, wire.len()] {
            let (mut unframer, mut found) = (Unframer::default(), vec![]);
            for piece in wire.chunks(size) {
                unframer.push(piece);
                while let Some(text) = unframer.text().unwrap() {
                    found.push(text);
                }
            }
            assert_eq!(found, texts, "{size}");
            assert!(unframer.is_empty());
        }
    }

    #[test]
    fn hostile_bytes_are_an_error_or_wait_for_more() {
        for (wire, expected) in [
            (&[1, 0, 0, 0, 0][..], Err(FramingError::Compressed(1))),
            (&[0, 0xff, 0xff, 0xff, 0xff], Err(FramingError::TooLarge(0xffff_ffff))),
            (&[0, 0, 0, 0, 2, 0x0a, 0x05], Err(FramingError::NotText)),
            (&[0, 0, 0, 0, 1, 0x0a], Ok(Some(String::new()))),
            (&[0, 0, 0, 0, 2, 0x12, 0x00], Err(FramingError::NotText)),
            (&[0, 0, 0, 0, 3, 0x0a, 1, 0xff], Err(FramingError::NotText)),
            (&[0, 0, 0, 0, 6, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff], Err(FramingError::NotText)),
            (&[0, 0, 0, 0], Ok(None)),
            (&[0, 0, 0, 0, 9, 1], Ok(None)),
        ] {
            let mut unframer = Unframer::default();
            unframer.push(wire);
            assert_eq!(unframer.text(), expected, "{wire:?}");
        }
    }
}
