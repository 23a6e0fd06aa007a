//! Which slots have large values: what a reply will probably weigh, before it is asked for.
//!
//! Owns the memory of it, a worker's own. Pure. Must not know keys: a slot is known by the largest
//! value of late that was written to it or read from it, and by small ones read since. What is small
//! in such a slot is taken for large, which costs it a wait; what is large in another one is learned
//! with its first reply.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::slot::{SLOTS, Slot};

/// Values from this size on are large.
pub const LARGE_MIN: usize = 32 * 1024;
/// Slots that are remembered; of more than so many, nothing is.
const SLOTS_MAX: usize = 4096;

/// The large values of one worker's slots.
#[derive(Debug)]
pub struct LargeValues {
    /// One bit a slot: it stays in the processor's nearest cache.
    marks: Box<[Cell<u64>]>,
    /// The largest value of each marked slot, and whether there has been one since the last look.
    sizes: RefCell<HashMap<Slot, (u32, bool)>>,
}

impl Default for LargeValues {
    fn default() -> LargeValues {
        LargeValues { marks: vec![Cell::new(0); SLOTS / 64].into(), sizes: RefCell::default() }
    }
}

impl LargeValues {
    /// How many bytes a reply of this slot may have; 0 when nothing large is known there.
    #[inline]
    pub fn of(&self, slot: Slot) -> u32 {
        let index = slot.index();
        match self.marks[index / 64].get() >> (index % 64) & 1 {
            0 => 0,
            _ => self.size_of(slot),
        }
    }

    #[cold]
    fn size_of(&self, slot: Slot) -> u32 {
        self.sizes.borrow().get(&slot).map_or(0, |(size, _)| *size)
    }

    /// A value of so many bytes has been written to the slot or read from it.
    #[cold]
    pub fn note(&self, slot: Slot, bytes: usize) {
        let mut sizes = self.sizes.borrow_mut();
        if sizes.len() >= SLOTS_MAX && !sizes.contains_key(&slot) {
            return;
        }
        let (size, is_fresh) = sizes.entry(slot).or_default();
        *size = (*size).max(u32::try_from(bytes).unwrap_or(u32::MAX));
        *is_fresh = true;
        self.mark(slot, true);
    }

    /// A reply of the slot was small. When most are, the slot is like any other.
    #[cold]
    pub fn note_small(&self, slot: Slot) {
        let mut sizes = self.sizes.borrow_mut();
        let Some((size, _)) = sizes.get_mut(&slot) else { return };
        *size -= *size / 4;
        if (*size as usize) < LARGE_MIN {
            sizes.remove(&slot);
            self.mark(slot, false);
        }
    }

    /// Forgets slots that have had nothing large since the last call; called now and then.
    pub fn forget(&self) {
        self.sizes.borrow_mut().retain(|slot, (_, is_fresh)| {
            let stays = std::mem::take(is_fresh);
            self.mark(*slot, stays);
            stays
        });
    }

    fn mark(&self, slot: Slot, is_large: bool) {
        let (marks, bit) = (&self.marks[slot.index() / 64], 1 << (slot.index() % 64));
        marks.set(if is_large { marks.get() | bit } else { marks.get() & !bit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_known_by_its_largest_value_of_late() {
        let values = LargeValues::default();
        let (one, other) = (Slot::of(b"one"), Slot::of(b"other"));
        assert_eq!(values.of(one), 0);
        values.note(one, LARGE_MIN);
        values.note(one, 5 * LARGE_MIN);
        values.note(one, 2 * LARGE_MIN);
        assert_eq!((values.of(one), values.of(other)), (5 * LARGE_MIN as u32, 0));
        values.forget();
        assert_eq!(values.of(one), 5 * LARGE_MIN as u32);
        values.forget();
        assert_eq!(values.of(one), 0);
    }

    #[test]
    fn a_large_value_among_small_ones_is_soon_forgotten() {
        let values = LargeValues::default();
        let slot = Slot::of(b"one");
        values.note(slot, 9 << 20);
        let mut count = 0;
        while values.of(slot) > 0 {
            values.note_small(slot);
            count += 1;
        }
        assert!((10..40).contains(&count), "{count}");
        values.note_small(slot);
        values.note(slot, LARGE_MIN);
        assert_eq!(values.of(slot), LARGE_MIN as u32);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let values = LargeValues::default();
        for slot in 0..SLOTS as u64 {
            values.note(Slot::new(slot).unwrap(), LARGE_MIN);
        }
        assert_eq!(values.sizes.borrow().len(), SLOTS_MAX);
        assert_eq!(values.of(Slot::new(SLOTS as u64 - 1).unwrap()), 0);
        values.forget();
        values.forget();
        assert!(values.marks.iter().all(|marks| marks.get() == 0));
    }
}
