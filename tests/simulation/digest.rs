//! Small numbers, put together to words, and words to a digest. Most of the time of an exploration goes here, in a
//! build that is not optimized: so there are no loops.

/// Appends numbers below 16 to a word.
macro_rules! nibbles {
    ($word:expr, $($number:expr),+ $(,)?) => {{
        let mut word: u64 = $word;
        $(word = word << 4 | u64::from($number);)+
        word
    }};
}

/// Mixes words.
macro_rules! digest {
    ($($word:expr),+ $(,)?) => {{
        let mut digest: u64 = 0;
        $(digest = crate::digest::mix(digest, $word);)+
        digest
    }};
}

pub(crate) use {digest, nibbles};

/// Adds a word, by the steps of splitmix64.
pub(crate) fn mix(digest: u64, word: u64) -> u64 {
    let x = (digest ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
