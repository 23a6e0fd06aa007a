//! The requests of one node connection that have no reply yet, the oldest first.
//!
//! Owns what each is, their order, and where each is in the connection's send queue. Pure: no socket.
//! They are filled in and done with where they stand: a reply handle that moves right after it was made
//! has the processor wait for its own stores. With a `VecDeque`, emptied as this one is, a GET in a pipeline of 64 took
//! 6 % more of the gateway's time (medians of 9 pairs).

use std::collections::VecDeque;

use super::pipeline::block::Block;
use crate::reply::ReplyHandle;
use crate::reply::handle::OnFailure;

/// Most places that are kept when nothing is under way.
const KEPT_MAX: usize = 16 * 1024;
const PLACES_MIN: usize = 16;

/// What was sent, and so what its reply is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client's request: its reply is the client's.
    #[default]
    Request,
    /// A client's request that runs or keeps a script: a fence follows it.
    Script,
    /// The ASKING before a request: nobody reads its reply.
    Asking,
    /// A fence, whose answer shows where the reply to a script ends.
    Fence,
    /// A client's transaction, of which the node has yet to say something before EXEC's reply. After
    /// that it is a [`Kind::Request`], or a [`Kind::Script`] when there are scripts in it.
    Block,
    /// A client's transaction that the node will not run: EXEC's reply is still to come.
    Declined,
}

impl Kind {
    #[inline(always)]
    fn of(on_failure: OnFailure) -> Kind {
        if on_failure.is_block() {
            Kind::Block
        } else if on_failure.is_script() {
            Kind::Script
        } else {
            Kind::Request
        }
    }
}

/// How large a reply may be, when that is known to be much. Kept in KiB, so that an entry keeps to
/// one line of the cache; from 64 MiB on all are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight(u16);

impl Weight {
    /// Of a reply of so many bytes; 0 when nothing is known.
    #[inline(always)]
    pub(super) fn of(bytes: u32) -> Weight {
        Weight(u16::try_from(bytes.div_ceil(1024)).unwrap_or(u16::MAX))
    }

    /// Bytes, rounded up.
    #[inline(always)]
    pub(super) fn bytes(self) -> u32 {
        u32::from(self.0) * 1024
    }

    /// Whether nothing is known.
    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Something sent that has no reply yet.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Whose reply it is; `None` where no client reads it.
    pub(super) handle: Option<ReplyHandle>,
    /// Bytes of the request.
    pub(super) len: u32,
    /// What its reply may have.
    pub(super) weight: Weight,
    /// What it is.
    pub(super) kind: Kind,
}

impl Entry {
    /// Whether more belongs to it than one reply, which ends where it says.
    #[inline(always)]
    pub(super) fn is_special(&self) -> bool {
        !matches!(self.kind, Kind::Request | Kind::Asking)
    }
}

/// A queue of entries whose requests follow each other in the send queue.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// None, or a power of two; those not in use are empty.
    places: Vec<Entry>,
    first: usize,
    count: usize,
    /// Where the first one's request begins in the send queue.
    at: u64,
    /// Of those entries that are transactions, as long as they are [`Kind::Block`] or
    /// [`Kind::Declined`].
    pub(super) blocks: VecDeque<Block>,
}

impl InFlight {
    /// Adds a client's request of `len` bytes, with the reply handle that `make` makes.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        len: usize,
        weight: Weight,
        make: impl FnOnce() -> ReplyHandle,
    ) -> &Entry {
        let place = self.next_place(len);
        let handle = place.handle.insert(make());
        place.kind = Kind::of(handle.on_failure);
        place.weight = weight;
        place
    }

    /// Adds `len` bytes of the gateway's own, whose reply no client reads.
    pub(super) fn push_own(&mut self, len: usize, kind: Kind) {
        let place = self.next_place(len);
        (place.weight, place.kind) = (Weight::default(), kind);
    }

    #[inline(always)]
    fn next_place(&mut self, len: usize) -> &mut Entry {
        if self.count == self.places.len() {
            self.grow();
        }
        let index = self.index(self.count);
        self.count += 1;
        let place = &mut self.places[index];
        // No request is so long: see `request_bytes_max`.
        place.len = len as u32;
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

    /// Where the oldest one's request begins in the send queue; its end when there is none.
    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The oldest.
    #[inline]
    pub(super) fn first_mut(&mut self) -> Option<&mut Entry> {
        if self.count == 0 { None } else { self.places.get_mut(self.first) }
    }

    /// The latest.
    pub(super) fn last(&self) -> Option<&Entry> {
        self.places.get(self.index(self.count.checked_sub(1)?))
    }

    /// The one that has so many before it.
    pub(super) fn nth_mut(&mut self, behind: usize) -> Option<&mut Entry> {
        let index = self.index(behind);
        if behind < self.count { self.places.get_mut(index) } else { None }
    }

    /// From the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (0..self.count).map(|behind| &self.places[self.index(behind)])
    }

    /// Lets the oldest go.
    #[inline]
    pub(super) fn drop_first(&mut self) {
        let Some(entry) = self.first_mut() else { return };
        entry.handle = None;
        let len = u64::from(entry.len);
        self.step(len);
    }

    /// Takes the oldest, with where its request begins in the send queue.
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
            let (mut in_flight, mut model) = (InFlight::default(), std::collections::VecDeque::new());
            let (mut appended, mut next) = (0u64, 1);
            for (pushes, takes) in steps {
                for _ in 0..pushes {
                    in_flight.push_own(next, Kind::Asking);
                    model.push_back((appended, next));
                    appended += next as u64;
                    next = next % 1000 + 1;
                }
                let lens: Vec<usize> = in_flight.iter().map(|entry| entry.len as usize).collect();
                prop_assert_eq!(lens, model.iter().map(|(_, len)| *len).collect::<Vec<_>>());
                for n in 0..takes {
                    prop_assert_eq!(in_flight.at(), model.front().map_or(appended, |(at, _)| *at));
                    prop_assert_eq!(in_flight.len(), model.len());
                    let expected = model.pop_front();
                    if n % 2 == 0 {
                        let taken = in_flight.take_first().map(|(at, entry)| (at, entry.len as usize));
                        prop_assert_eq!(taken, expected);
                    } else {
                        prop_assert_eq!(in_flight.first_mut().map(|entry| entry.len as usize), expected.map(|(_, len)| len));
                        in_flight.drop_first();
                    }
                }
            }
        }
    }

    #[test]
    fn an_entry_has_one_line_of_the_cache() {
        assert_eq!(size_of::<ReplyHandle>(), 56);
        assert_eq!(size_of::<Entry>(), 64);
    }

    #[test]
    fn what_a_reply_weighs_is_rounded_up() {
        assert!(Weight::of(0).is_none() && Weight::of(0).bytes() == 0);
        for (bytes, kib) in [(1, 1), (1024, 1), (1025, 2), (65_535 << 10, 65_535)] {
            assert_eq!(Weight::of(bytes).bytes(), kib * 1024);
        }
        assert_eq!(Weight::of(u32::MAX), Weight::of(64 << 20));
    }

    #[test]
    fn a_burst_leaves_little() {
        let mut in_flight = InFlight::default();
        for _ in 0..=KEPT_MAX {
            in_flight.push_own(1, Kind::Asking);
        }
        while !in_flight.is_empty() {
            in_flight.drop_first();
        }
        assert_eq!((in_flight.places.len(), in_flight.at()), (0, KEPT_MAX as u64 + 1));
    }
}
