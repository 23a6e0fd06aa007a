//! How busy a worker is, and how late it comes to what is due.
//!
//! Owns the counting of both. Must not know what the worker does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::Builder;

use crate::metrics::WorkerStats;

/// For how many sweeps a lag is told: longer than the usual time between scrapes.
const LAG_SWEEPS: usize = 30;

/// Counts the time in which the worker does not wait for events.
#[derive(Debug)]
pub(super) struct BusyTime {
    start: Instant,
    since_us: AtomicU64,
    stats: Arc<WorkerStats>,
}

impl BusyTime {
    pub(super) fn watch(builder: &mut Builder, stats: &Arc<WorkerStats>) -> Arc<BusyTime> {
        let (start, stats) = (Instant::now(), Arc::clone(stats));
        let busy = Arc::new(BusyTime { start, since_us: AtomicU64::new(0), stats });
        let (woken, parking) = (Arc::clone(&busy), Arc::clone(&busy));
        builder.on_thread_unpark(move || {
            woken.since_us.store(woken.now_us(), Ordering::Relaxed);
        });
        builder.on_thread_park(move || parking.note());
        busy
    }

    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Counts up to now. A worker that always has something to do never parks, so this is called
    /// now and then too.
    pub(super) fn note(&self) {
        let now_us = self.now_us();
        self.stats
            .busy_us
            .add(now_us.saturating_sub(self.since_us.swap(now_us, Ordering::Relaxed)));
    }
}

/// The largest lags of the last sweeps.
#[derive(Debug, Default)]
pub(super) struct LagWindow {
    largest_us: [u64; LAG_SWEEPS],
    at: usize,
}

impl LagWindow {
    /// Takes in the largest lag since the last sweep; returns the largest of the window.
    pub(super) fn sweep(&mut self, largest_us: u64) -> u64 {
        self.largest_us[self.at] = largest_us;
        self.at = (self.at + 1) % LAG_SWEEPS;
        self.largest_us.iter().copied().max().unwrap_or(0)
    }
}
