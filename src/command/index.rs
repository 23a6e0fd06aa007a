//! Finding a name among names, whatever its case, in a few nanoseconds.
//!
//! Owns a hash table that is built once. Knows nothing of commands: a name has a number.
//!
//! A name's first eight bytes, in upper case, and its length nearly always tell it from the
//! others, so they are the hash and most of the comparison; only the rest of a long name is
//! compared byte by byte. Clients choose what is looked up but not what is in the table, so no
//! client can make a chain of slots longer.

/// Names and their numbers.
#[derive(Clone, Debug)]
pub(crate) struct NameIndex {
    /// A power of two of them, at least half empty.
    slots: Box<[Slot]>,
    /// Where the bits of a hash are that choose the slot.
    shift: u32,
    /// What long names have beyond their first eight bytes, in lower case.
    tails: Vec<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u64,
    /// Zero: an empty slot.
    len: u16,
    value: u16,
    tail: u16,
}

const EMPTY: Slot = Slot { head: 0, len: 0, value: 0, tail: 0 };

impl NameIndex {
    /// An index of these names; a name that is empty or too long cannot be found.
    pub(crate) fn new(names: &[(String, u16)]) -> NameIndex {
        let size = (names.len() * 2).next_power_of_two().max(2);
        let mut index = NameIndex {
            slots: vec![EMPTY; size].into_boxed_slice(),
            shift: u64::BITS - size.trailing_zeros(),
            tails: Vec::new(),
        };
        for (name, value) in names {
            index.insert(name.as_bytes(), *value);
        }
        index
    }

    fn insert(&mut self, name: &[u8], value: u16) {
        let Ok(len @ 1..) = u16::try_from(name.len()) else { return };
        let Ok(tail) = u16::try_from(self.tails.len()) else { return };
        let head = head(name);
        let mut at = self.home(head, len);
        while self.slots[at].len != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Slot { head, len, value, tail };
        if name.len() > 8 {
            self.tails.push(name[8..].to_ascii_lowercase().into());
        }
    }

    /// The number of `name`.
    #[inline(always)]
    pub(crate) fn find(&self, name: &[u8]) -> Option<u16> {
        let len = u16::try_from(name.len()).ok()?;
        let head = head(name);
        let mut at = self.home(head, len);
        // The table is half empty: the loop ends at an empty slot.
        loop {
            let slot = self.slots[at];
            if slot.head == head && slot.len == len && self.same_tail(slot, name) {
                return (len != 0).then_some(slot.value);
            }
            if slot.len == 0 {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn same_tail(&self, slot: Slot, name: &[u8]) -> bool {
        name.len() <= 8 || self.tails[usize::from(slot.tail)].eq_ignore_ascii_case(&name[8..])
    }

    #[inline]
    fn home(&self, head: u64, len: u16) -> usize {
        let mixed = (head ^ u64::from(len)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> self.shift) as usize & (self.slots.len() - 1)
    }
}

/// The first eight bytes, in upper case; a shorter name is filled up with zeros.
#[inline]
fn head(name: &[u8]) -> u64 {
    upper(if let Some(first) = name.first_chunk::<8>() {
        u64::from_le_bytes(*first)
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        // Four to seven bytes: two halves that overlap.
        let last = u64::from(u32::from_le_bytes(*last)) << ((name.len() - 4) * 8);
        u64::from(u32::from_le_bytes(*first)) | last
    } else {
        let of = |at: usize| name.get(at).map_or(0, |&byte| u64::from(byte) << (at * 8));
        of(0) | of(1) | of(2)
    })
}

/// Upper case for eight bytes at once; only `a` to `z` change.
#[inline]
fn upper(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let low_bits = bytes & (ONES * 0x7f);
    let from_a = low_bits + ONES * (0x80 - 0x61);
    let after_z = low_bits + ONES * (0x80 - 0x7b);
    let is_lower = from_a & !after_z & !bytes & (ONES * 0x80);
    bytes ^ (is_lower >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(names: &[&str]) -> NameIndex {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).zip(0..).collect();
        NameIndex::new(&names)
    }

    #[test]
    fn upper_case_is_that_of_ascii() {
        for byte in 0..=255u8 {
            let eight = [byte, b'a', byte, b'z', b'{', byte, b'`', byte];
            assert_eq!(
                upper(u64::from_le_bytes(eight)).to_le_bytes(),
                eight.map(|b| b.to_ascii_uppercase())
            );
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let names = ["get", "set", "getrange", "georadiusbymember", "georadiusbymember_ro", "a"];
        let index = index(&names);
        for (name, nth) in names.iter().zip(0..) {
            assert_eq!(index.find(name.as_bytes()), Some(nth));
            assert_eq!(index.find(name.to_uppercase().as_bytes()), Some(nth));
        }
    }

    #[test]
    fn other_names_are_not_found() {
        let index = index(&["get", "georadiusbymember", "getrange"]);
        let misses: [&[u8]; 9] = [
            b"",
            b"ge",
            b"gett",
            b"get\0",
            b"getrang",
            b"getrange_",
            b"georadiusbymembeR_",
            b"georadiusbymembex",
            &[b'x'; 70_000],
        ];
        for name in misses {
            assert_eq!(index.find(name), None, "{name:?}");
        }
        assert_eq!(NameIndex::new(&[]).find(b"get"), None);
    }

    #[test]
    fn an_empty_name_is_never_found() {
        assert_eq!(index(&["", "get"]).find(b""), None);
    }
}
