//! A body whose every byte is known, so that a reader sees what is lost, doubled or changed.
//!
//! Eight bytes hold the number of their own block, big-endian: 0, 1, 2, …

use bytes::Bytes;

const BLOCK_BYTES: u64 = 8;

/// `len` bytes of the pattern from `offset`.
#[must_use]
pub fn pattern(offset: u64, len: usize) -> Bytes {
    let skip = usize::try_from(offset % BLOCK_BYTES).unwrap_or(0);
    let mut bytes = Vec::with_capacity(skip + len + 8);
    let mut block = offset / BLOCK_BYTES;
    while bytes.len() < skip + len {
        bytes.extend_from_slice(&block.to_be_bytes());
        block += 1;
    }
    Bytes::from(bytes).slice(skip..skip + len)
}

/// Reads a body and compares it with the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    offset: u64,
}

/// The first byte that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the byte at offset {offset} is {found:#04x}, not {expected:#04x}")]
pub struct Mismatch {
    /// Where.
    pub offset: u64,
    /// What is there.
    pub found: u8,
    /// What should be there.
    pub expected: u8,
}

impl Reader {
    /// How much was read, all of it right.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// When a byte is not what it should be.
    pub fn read(&mut self, piece: &[u8]) -> Result<(), Mismatch> {
        let expected = pattern(self.offset, piece.len());
        if let Some((i, (found, expected))) =
            piece.iter().zip(&expected).enumerate().find(|(_, (found, expected))| found != expected)
        {
            let offset = self.offset + i as u64;
            return Err(Mismatch { offset, found: *found, expected: *expected });
        }
        self.offset += piece.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_bytes() {
        let whole = pattern(0, 300);
        assert_eq!(&whole[..17], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        for cut in 0..300 {
            assert_eq!([pattern(0, cut), pattern(cut as u64, 300 - cut)].concat(), whole, "{cut}");
        }
    }

    #[test]
    fn a_lost_doubled_or_changed_piece_is_seen() {
        let whole = pattern(0, 4096);
        let mut right = Reader::default();
        assert!(whole.chunks(7).all(|c| right.read(c).is_ok()));
        assert_eq!(right.offset(), 4096);
        let mut lost = Reader::default();
        assert!(lost.read(&whole[..1024]).is_ok());
        assert_eq!(lost.read(&whole[2048..]).unwrap_err().offset, 1024 + 6);
        let mut doubled = Reader::default();
        assert!(doubled.read(&whole[..1024]).is_ok() && doubled.read(&whole[..1024]).is_err());
        let mut changed = whole.to_vec();
        changed[77] ^= 1;
        assert_eq!(Reader::default().read(&changed).unwrap_err().offset, 77);
    }
}
