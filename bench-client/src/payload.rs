//! The keys a sweep writes and the value each must hold.
//!
//! Owns the random pool, key names and value positions. Knows nothing of sockets or phases.
//! Invariant: a value follows from seed, size and key number alone, so a reader can check it without
//! having seen it written, and no two keys of one size hold the same value.

use crate::size::KEYS_MAX;

/// Where values begin in the pool: one place for every key number.
const WINDOW: u64 = KEYS_MAX;

/// Odd, so that multiplying by it only shuffles the positions of the window.
const SPREAD: u64 = 0x9E37_79B1;

/// Random bytes from which every value is a slice: sent and compared without being copied.
pub(crate) struct Payload {
    pool: Vec<u8>,
    run: String,
}

impl Payload {
    /// A pool for values of up to `bytes_max`; `run` sets this run's keys apart from all others.
    pub(crate) fn new(seed: u64, bytes_max: usize, run: String) -> Payload {
        let mut state = seed;
        let length = bytes_max + WINDOW as usize;
        let mut pool = Vec::with_capacity(length + 8);
        while pool.len() < length {
            pool.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        Payload { pool, run }
    }

    /// The value of key `number` at a size of `bytes`.
    pub(crate) fn value(&self, bytes: usize, number: u64) -> &[u8] {
        let mut state = bytes as u64;
        let shift = split_mix(&mut state);
        let start = (number.wrapping_mul(SPREAD).wrapping_add(shift) % WINDOW) as usize;
        &self.pool[start..start + bytes]
    }

    /// Writes the name of key `number` at a size of `bytes` over `name`.
    ///
    /// Without a hash tag: the keys of a size must spread over all slots.
    pub(crate) fn write_key(&self, bytes: usize, number: u64, name: &mut String) {
        use std::fmt::Write as _;
        name.clear();
        // Writing to a String cannot fail.
        let _ = write!(name, "{}{number}", self.prefix(bytes));
    }

    /// What the names of all keys at a size of `bytes` begin with; the key's number follows.
    pub(crate) fn prefix(&self, bytes: usize) -> String {
        format!("bench:{}:{bytes}:", self.run)
    }

    /// What sets this run's keys apart.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }
}

/// One step of SplitMix64: enough to be incompressible, and the same on every machine.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn values_differ_between_keys_and_return_for_the_same_seed() {
        let payload = Payload::new(7, 64, "r".into());
        let again = Payload::new(7, 64, "other".into());
        let values: HashSet<&[u8]> = (0..10_000).map(|number| payload.value(64, number)).collect();
        assert_eq!(values.len(), 10_000);
        assert_eq!(payload.value(64, 3), again.value(64, 3));
        assert_ne!(payload.value(64, 3), Payload::new(8, 64, "r".into()).value(64, 3));
    }

    #[test]
    fn the_largest_value_fits_at_every_position() {
        let payload = Payload::new(1, 4096, "r".into());
        assert!((0..KEYS_MAX).step_by(997).all(|number| payload.value(4096, number).len() == 4096));
    }

    #[test]
    fn keys_have_no_hash_tag() {
        let mut name = String::from("left over");
        Payload::new(1, 16, "1a-2b".into()).write_key(16, 42, &mut name);
        assert_eq!(name, "bench:1a-2b:16:42");
    }

    #[test]
    fn the_pool_does_not_repeat_bytes_much() {
        let payload = Payload::new(1, 16, "r".into());
        let mut counts = [0u32; 256];
        payload.pool.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let expected = payload.pool.len() as u32 / 256;
        assert!(counts.iter().all(|count| count.abs_diff(expected) < expected / 5));
    }
}
