//! What the gateway holds while slots have no master, and how much that may be.
//!
//! Owns the sum over all workers: few of them may have all the clients, so that none has a share of
//! its own. Changed when a request is held or let go, never otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of requests held for slots without a master, by all workers together.
#[derive(Debug)]
pub struct Held {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Held {
    /// Nothing is held, and never more than so many bytes.
    pub fn new(bytes_max: usize) -> Held {
        Held { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Takes so many more; false when that is too much.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Lets go of so many that were taken.
    pub(super) fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_up_to_its_limit_and_no_more() {
        let held = Held::new(10);
        assert!(held.add(6) && !held.add(5) && held.add(4) && !held.add(1) && held.add(0));
        held.sub(6);
        assert!(!held.add(7) && !held.add(usize::MAX) && held.add(6));
        assert!(!Held::new(0).add(1));
    }

    #[test]
    fn workers_that_hold_at_once_do_not_exceed_it() {
        let held = Held::new(1000);
        let took = |_| (0..10_000).filter(|_| held.add(1)).count();
        let sum: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || took(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 1000);
    }
}
