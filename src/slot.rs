//! The 16,384 hash slots and which one a key is in.
//!
//! Owns the slot arithmetic of Redis Cluster
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>). Knows nothing
//! of who serves a slot.

/// How many slots there are.
pub const SLOTS: usize = 16_384;

/// A hash slot, always below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a key: CRC16 of the part between the first `{` and the next `}` when that part
    /// is not empty, of the whole key otherwise.
    #[inline]
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16::State::<crc16::XMODEM>::calculate(hashed_part(key)) % SLOTS as u16)
    }

    /// The slot with this number, when there is one.
    pub fn new(number: u64) -> Option<Slot> {
        (number < SLOTS as u64).then_some(Slot(number as u16))
    }

    /// Its number.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[inline]
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let after = &key[open + 1..];
    match memchr::memchr(b'}', after) {
        Some(0) | None => key,
        Some(close) => &after[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_as_cluster_keyslot_says() {
        // Each pair is what `CLUSTER KEYSLOT` of Redis 7.0.15 answered.
        let cases: [(&[u8], usize); 9] = [
            (b"", 0),
            (b"foo", 12182),
            (b"bar", 5061),
            (b"123456789", 12739),
            (b"{user1000}.following", 3443),
            (b"{user1000}.followers", 3443),
            (b"foo{}{bar}", 8363),
            (b"foo{{bar}}zap", 4015),
            (b"foo{bar}{zap}", 5061),
        ];
        for (key, slot) in cases {
            assert_eq!(Slot::of(key).index(), slot, "{:?}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn agrees_with_redis_protocol() {
        for n in 0..2000u32 {
            let key = format!("{}{{{}}}{}", n % 7, n % 13, n);
            for key in [key.as_bytes(), &n.to_le_bytes()] {
                assert_eq!(Slot::of(key).index(), usize::from(redis_protocol::redis_keyslot(key)));
            }
        }
    }
}
