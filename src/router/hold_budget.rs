//! What the gateway holds while slots have no master, and how much that may be.
//!
//! Owns the sum over all workers: few of them may have all the clients, so that none has a share of
//! its own. Changed when a request is held or let go, never otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::WorkerStats;

/// Bytes of requests held for slots without a master, by all workers together.
#[derive(Debug)]
pub struct HoldBudget {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl HoldBudget {
    /// Nothing is held, and never more than so many bytes.
    pub fn new(bytes_max: usize) -> HoldBudget {
        HoldBudget { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Takes so many more, which a worker's counters show; `None` when that is too much.
    pub(super) fn take(self: &Arc<Self>, bytes: usize, stats: &Arc<WorkerStats>) -> Option<Share> {
        if !self.add(bytes) {
            return None;
        }
        stats.held_bytes.add(bytes as u64);
        Some(Share { held: Arc::clone(self), stats: Arc::clone(stats), bytes })
    }

    fn add(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Bytes that one request holds; given back when this is dropped, however its client ends.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<HoldBudget>,
    stats: Arc<WorkerStats>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.stats.held_bytes.sub(self.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_up_to_its_limit_and_no_more() {
        let (held, stats) = (Arc::new(HoldBudget::new(10)), Arc::new(WorkerStats::new(0)));
        let take = |bytes| held.take(bytes, &stats);
        let six = take(6).unwrap();
        assert!(take(5).is_none());
        let _four = take(4).unwrap();
        assert!(take(1).is_none() && take(0).is_some());
        assert_eq!(stats.held_bytes.get(), 10);
        drop(six);
        assert_eq!(stats.held_bytes.get(), 4);
        assert!(take(7).is_none() && take(usize::MAX).is_none() && take(6).is_some());
        assert!(Arc::new(HoldBudget::new(0)).take(1, &stats).is_none());
    }

    #[test]
    fn workers_that_hold_at_once_do_not_exceed_it() {
        let held = HoldBudget::new(1000);
        let took = |_| (0..10_000).filter(|_| held.add(1)).count();
        let sum: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || took(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 1000);
    }

    #[test]
    fn what_a_failed_task_held_is_given_back() {
        let (held, stats) = (Arc::new(HoldBudget::new(10)), Arc::new(WorkerStats::new(0)));
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _share = held.take(10, &stats).unwrap();
            std::panic::resume_unwind(Box::new("a fault"));
        }));
        assert!(failed.is_err());
        assert!(held.take(10, &stats).is_some());
    }
}
