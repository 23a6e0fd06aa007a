//! Which worker a client belongs to.
//!
//! Owns the number of workers in use and the rule by which clients are spread over them. Must not
//! know how many are needed: that is the workers' own matter. Invariant: at least one is in use.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The workers in use: the first of all that there are.
#[derive(Debug)]
pub struct Seating {
    workers: usize,
    in_use: AtomicUsize,
}

impl Seating {
    /// A seating for so many workers, of which the first `in_use` take part.
    pub fn new(workers: usize, in_use: usize) -> Seating {
        let seating = Seating { workers: workers.max(1), in_use: AtomicUsize::new(1) };
        seating.set_in_use(in_use);
        seating
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How many of them clients belong to.
    #[inline]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// From now on clients belong to the first so many workers.
    pub fn set_in_use(&self, count: usize) {
        self.in_use.store(count.clamp(1, self.workers), Ordering::Relaxed);
    }

    /// The worker to which the client with this number belongs. Clients that came one after the
    /// other, as those of a pool do, belong to different ones.
    #[inline]
    pub fn home(&self, client: u64) -> usize {
        match self.in_use() {
            1 => 0,
            count => (client % count as u64) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_over_those_in_use() {
        let seating = Seating::new(6, 1);
        for in_use in [1, 2, 4, 6] {
            seating.set_in_use(in_use);
            let mut clients = [0; 6];
            (1..=120).for_each(|id| clients[seating.home(id)] += 1);
            assert!(clients[..in_use].iter().all(|count| *count == 120 / in_use), "{clients:?}");
        }
    }

    #[test]
    fn there_is_always_one_and_never_one_too_many() {
        for (asked, got) in [(0, 1), (9, 3)] {
            assert_eq!(Seating::new(3, asked).in_use(), got);
        }
        assert_eq!(Seating::new(0, 0).home(u64::MAX), 0);
    }
}
