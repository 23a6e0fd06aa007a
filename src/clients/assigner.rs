//! Which worker a client belongs to.
//!
//! Owns the number of workers in use and the rule by which clients are spread over them. Must not
//! know how many are needed: that is the workers' own matter. Invariant: at least one is in use.
//!
//! Places are given in turn, to a client that comes and, when they are given anew, to each that
//! then has something to do. So those that are busy at the same time belong to different workers,
//! whichever of an application's connections they are.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The workers in use: the first of all that there are.
#[derive(Debug)]
pub struct Assigner {
    workers: usize,
    /// How many are in use and, above that, how often places have been given anew.
    now: AtomicU64,
    /// Places given so far.
    given: AtomicUsize,
}

/// Bits of [`Assigner::now`] that say how many are in use.
const IN_USE_BITS: u32 = 32;
const IN_USE_MASK: u64 = (1 << IN_USE_BITS) - 1;

/// Where a client belongs, until places are given anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    worker: u32,
    round: u32,
}

impl Assignment {
    /// The number of the worker.
    #[inline]
    pub fn worker(self) -> usize {
        self.worker as usize
    }
}

impl Assigner {
    /// An assigner for so many workers, of which the first `in_use` take part.
    pub fn new(workers: usize, in_use: usize) -> Assigner {
        let workers = workers.clamp(1, IN_USE_MASK as usize);
        let now = AtomicU64::new(in_use.clamp(1, workers) as u64);
        Assigner { workers, now, given: AtomicUsize::new(0) }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How many of them clients belong to.
    #[inline]
    pub fn in_use(&self) -> usize {
        (self.now.load(Ordering::Relaxed) & IN_USE_MASK) as usize
    }

    /// From now on clients belong to the first so many workers; places are given anew.
    pub fn set_in_use(&self, count: usize) {
        let count = count.clamp(1, self.workers) as u64;
        let again = |now: u64| ((now >> IN_USE_BITS).wrapping_add(1) << IN_USE_BITS) | count;
        self.now.update(Ordering::Relaxed, Ordering::Relaxed, again);
    }

    /// A place for a client.
    pub fn give(&self) -> Assignment {
        let now = self.now.load(Ordering::Relaxed);
        let nth = self.given.fetch_add(1, Ordering::Relaxed) as u64;
        let worker = (nth % (now & IN_USE_MASK)) as u32;
        Assignment { worker, round: (now >> IN_USE_BITS) as u32 }
    }

    /// Whether places have not been given anew since this one was.
    #[inline]
    pub fn is_current(&self, place: Assignment) -> bool {
        (self.now.load(Ordering::Relaxed) >> IN_USE_BITS) as u32 == place.round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_over_those_in_use() {
        let assigner = Assigner::new(6, 1);
        for in_use in [1, 2, 4, 6] {
            assigner.set_in_use(in_use);
            let mut clients = [0; 6];
            (0..120).for_each(|_| clients[assigner.give().worker()] += 1);
            assert!(clients[..in_use].iter().all(|count| *count == 120 / in_use), "{clients:?}");
        }
    }

    #[test]
    fn a_place_holds_until_places_are_given_anew() {
        let assigner = Assigner::new(3, 2);
        let places = [assigner.give(), assigner.give()];
        assert!(places.iter().all(|place| assigner.is_current(*place)));
        assert_ne!(places[0].worker(), places[1].worker());
        assigner.set_in_use(2);
        assert!(!places.iter().any(|place| assigner.is_current(*place)));
        assert!(assigner.is_current(assigner.give()));
    }

    #[test]
    fn there_is_always_one_and_never_one_too_many() {
        for (asked, got) in [(0, 1), (9, 3)] {
            assert_eq!(Assigner::new(3, asked).in_use(), got);
            let assigner = Assigner::new(3, 2);
            assigner.set_in_use(asked);
            assert_eq!(assigner.in_use(), got);
        }
        assert_eq!(Assigner::new(0, 0).give().worker(), 0);
    }

    #[test]
    fn rounds_and_places_go_on_beyond_their_last_number() {
        let assigner = Assigner::new(3, 3);
        assigner.now.store((u64::from(u32::MAX) << IN_USE_BITS) | 3, Ordering::Relaxed);
        assigner.given.store(usize::MAX, Ordering::Relaxed);
        let place = assigner.give();
        assigner.set_in_use(2);
        assert_eq!((assigner.in_use(), assigner.is_current(place)), (2, false));
        assert!(assigner.is_current(assigner.give()));
    }
}
