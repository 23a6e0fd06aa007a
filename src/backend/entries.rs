//! The requests of one node connection that have no reply yet, the oldest first.
//!
//! Owns their order, and where each is in the connection's ring. Pure: no socket. They are filled in
//! and done with where they stand: a ticket that moves right after it was made has the processor
//! wait for its own stores. With a `VecDeque`, emptied as this one is, a GET in a pipeline of 64 took
//! 6 % more of the gateway's time (medians of 9 pairs).

use super::pipeline::FENCE_LEN;
use crate::reply::Ticket;

/// Most places that are kept when nothing is under way.
const KEPT_MAX: usize = 16 * 1024;
const PLACES_MIN: usize = 16;

/// A request that has no reply yet.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// `None`: an ASKING or a fence, whose replies no client reads.
    pub(super) ticket: Option<Ticket>,
    /// Bytes of the request.
    pub(super) len: u32,
    /// Bytes that its reply may have, when that is known to be much; 0 otherwise.
    pub(super) weight: u32,
}

impl Entry {
    /// Whether it runs or keeps a script, and so has a fence behind it, or is such a fence. Told by
    /// the length, which an ASKING has not, so that an entry keeps to one line of the cache.
    #[inline(always)]
    pub(super) fn is_fenced(&self) -> bool {
        self.ticket.as_ref().map_or(self.len as usize == FENCE_LEN, |ticket| ticket.scripted)
    }
}

/// A queue of entries whose requests follow each other in the ring.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// None, or a power of two; those not in use are empty.
    places: Vec<Entry>,
    first: usize,
    count: usize,
    /// Where the first one's request begins in the ring.
    at: u64,
}

impl Entries {
    /// Adds a request of `len` bytes, with the ticket that `make` makes.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        len: usize,
        weight: u32,
        make: impl FnOnce() -> Option<Ticket>,
    ) -> &Entry {
        if self.count == self.places.len() {
            self.grow();
        }
        let index = self.index(self.count);
        let place = &mut self.places[index];
        // No request is so long: see `request_bytes_max`.
        place.len = len as u32;
        place.weight = weight;
        place.ticket = make();
        self.count += 1;
        place
    }

    #[inline]
    fn index(&self, behind: usize) -> usize {
        (self.first + behind) & self.places.len().wrapping_sub(1)
    }

    #[cold]
    fn grow(&mut self) {
        self.places.rotate_left(self.first);
        self.first = 0;
        self.places.resize_with((self.count * 2).max(PLACES_MIN), Entry::default);
    }

    /// How many there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the oldest one's request begins in the ring; its end when there is none.
    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The oldest.
    #[inline]
    pub(super) fn first_mut(&mut self) -> Option<&mut Entry> {
        if self.count == 0 { None } else { self.places.get_mut(self.first) }
    }

    /// From the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (0..self.count).map(|behind| &self.places[self.index(behind)])
    }

    /// Lets the oldest go.
    #[inline]
    pub(super) fn drop_first(&mut self) {
        let Some(entry) = self.first_mut() else { return };
        entry.ticket = None;
        let len = u64::from(entry.len);
        self.step(len);
    }

    /// Takes the oldest, with where its request begins in the ring.
    pub(super) fn take_first(&mut self) -> Option<(u64, Entry)> {
        let at = self.at;
        let entry = std::mem::take(self.first_mut()?);
        self.step(u64::from(entry.len));
        Some((at, entry))
    }

    #[inline]
    fn step(&mut self, len: u64) {
        self.at += len;
        self.first = self.index(1);
        self.count -= 1;
        if self.count == 0 {
            // The places used last are in the processor's caches.
            self.first = 0;
            if self.places.len() > KEPT_MAX {
                self.places = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A queue like any other, which knows where each request begins.
        #[test]
        fn keeps_order_and_positions(steps in prop::collection::vec((0usize..40, 0usize..40), 1..40)) {
            let (mut entries, mut model) = (Entries::default(), std::collections::VecDeque::new());
            let (mut appended, mut next) = (0u64, 1);
            for (pushes, takes) in steps {
                for _ in 0..pushes {
                    entries.push(next, 0, || None);
                    model.push_back((appended, next));
                    appended += next as u64;
                    next = next % 1000 + 1;
                }
                let lens: Vec<usize> = entries.iter().map(|entry| entry.len as usize).collect();
                prop_assert_eq!(lens, model.iter().map(|(_, len)| *len).collect::<Vec<_>>());
                for n in 0..takes {
                    prop_assert_eq!(entries.at(), model.front().map_or(appended, |(at, _)| *at));
                    prop_assert_eq!(entries.len(), model.len());
                    let expected = model.pop_front();
                    if n % 2 == 0 {
                        let taken = entries.take_first().map(|(at, entry)| (at, entry.len as usize));
                        prop_assert_eq!(taken, expected);
                    } else {
                        prop_assert_eq!(entries.first_mut().map(|entry| entry.len as usize), expected.map(|(_, len)| len));
                        entries.drop_first();
                    }
                }
            }
        }
    }

    #[test]
    fn an_entry_has_one_line_of_the_cache() {
        assert_eq!(size_of::<Ticket>(), 56);
        assert_eq!(size_of::<Entry>(), 64);
    }

    #[test]
    fn a_burst_leaves_little() {
        let mut entries = Entries::default();
        for _ in 0..=KEPT_MAX {
            entries.push(1, 0, || None);
        }
        while !entries.is_empty() {
            entries.drop_first();
        }
        assert_eq!((entries.places.len(), entries.at()), (0, KEPT_MAX as u64 + 1));
    }
}
