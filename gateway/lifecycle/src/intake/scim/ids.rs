//! New ids: UUIDs of version 7 (RFC 9562 §5.7), each later than the one before.

use std::sync::{Mutex, PoisonError};

use doorward_model::UnixMillis;
use uuid::Uuid;

/// Gives out ids. Their order is the order in which they were given out, also within a millisecond
/// and when the clock goes back, so that a list never gets somebody new in its middle.
#[derive(Default)]
pub(crate) struct Ids(Mutex<u128>);

/// The bits that are random or count, between the version and the variant of a UUID.
const LOW_BITS: u128 = (1 << 62) - 1;

impl Ids {
    pub(crate) fn next(&self, now: UnixMillis) -> u128 {
        let millis = u64::try_from(now.0).unwrap_or_default();
        // Version 4 is where the randomness comes from.
        let random: [u8; 10] = std::array::from_fn({
            let bytes = Uuid::new_v4().into_bytes();
            let other = Uuid::new_v4().into_bytes();
            move |i| {
                bytes.get(i).copied().unwrap_or_default() ^ other.get(15 - i).copied().unwrap_or_default()
            }
        });
        let fresh = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_u128();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if fresh > *last { fresh } else { after(*last) };
        *last
    }
}

/// The next id after one: version and variant stay. After 2⁶² of one moment it is the next moment's.
fn after(id: u128) -> u128 {
    if id & LOW_BITS == LOW_BITS { (id & !LOW_BITS) + (1 << 64) } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_also_when_the_clock_does_not() {
        let ids = Ids::default();
        let mut last = 0;
        for now in [5_000, 5_000, 5_000, 4_000, 0, -7, 5_001, 9_000] {
            for _ in 0..50 {
                let id = ids.next(UnixMillis(now));
                assert!(id > last);
                let uuid = Uuid::from_u128(id);
                assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
                last = id;
            }
        }
    }
}
