//! The old client's batches: where each thousand of measured requests began and ended.
//!
//! Owns how threads count them together. Knows nothing of latencies or files. Invariant: batches
//! follow each other, each of a thousand requests; an incomplete last one is dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests in one batch of the raw result files.
pub(crate) const BATCH_REQUESTS: u64 = 1000;

/// The most batches kept per phase: a thousand million requests.
const BATCHES_MAX: u64 = 1_000_000;

/// One batch, as the raw result files have it; times count from the phase's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Requests of the phase so far, this batch included.
    pub(crate) cumulative: u64,
    /// How many of this batch failed, missed or were wrong.
    pub(crate) errors: u64,
    /// Where the batch began.
    pub(crate) start: Duration,
    /// Where its last request ended.
    pub(crate) end: Duration,
}

/// Measured requests of all threads of a phase.
#[derive(Debug, Default)]
pub(crate) struct BatchCounter {
    seen: AtomicU64,
    bad: AtomicU64,
}

/// Where batches ended, as far as one thread completed them.
#[derive(Debug, Default)]
pub(crate) struct BatchEnds {
    ends: Vec<BatchEnd>,
}

#[derive(Clone, Copy, Debug)]
struct BatchEnd {
    cumulative: u64,
    /// Bad requests of the phase so far.
    bad: u64,
    end: Duration,
}

impl BatchEnds {
    /// Counts `times` requests that ended at `end`, `bad` of them bad.
    pub(crate) fn add(&mut self, counter: &BatchCounter, times: u64, bad: u64, end: Duration) {
        if bad > 0 {
            counter.bad.fetch_add(bad, Ordering::Relaxed);
        }
        let before = counter.seen.fetch_add(times, Ordering::Relaxed);
        let full = (before / BATCH_REQUESTS, (before + times) / BATCH_REQUESTS);
        for batch in full.0 + 1..=full.1.min(BATCHES_MAX) {
            let (cumulative, bad) = (batch * BATCH_REQUESTS, counter.bad.load(Ordering::Relaxed));
            self.ends.push(BatchEnd { cumulative, bad, end });
        }
    }

    /// Adds another thread's to these.
    pub(crate) fn merge(&mut self, other: BatchEnds) {
        self.ends.extend(other.ends);
    }

    /// The batches, of which the first begins at `start`.
    pub(crate) fn into_batches(mut self, mut start: Duration) -> Vec<Batch> {
        self.ends.sort_unstable_by_key(|end| end.cumulative);
        let mut bad_before = 0;
        let batch = |BatchEnd { cumulative, bad, end }| {
            // Threads that counted at the same time may have read their clocks in another order.
            let (bad, end) = (bad.max(bad_before), end.max(start));
            let errors = (bad - bad_before).min(BATCH_REQUESTS);
            let batch = Batch { cumulative, errors, start, end };
            (bad_before, start) = (bad, end);
            batch
        };
        self.ends.into_iter().map(batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_complete_and_follow_each_other() {
        let (counter, mut ends) = (BatchCounter::default(), BatchEnds::default());
        for number in 0..2_500u64 {
            let end = Duration::from_secs(5) + Duration::from_millis(number + 1);
            ends.add(&counter, 1, u64::from(number == 1_200), end);
        }
        let batches = ends.into_batches(Duration::from_secs(5));
        assert_eq!(batches.len(), 2);
        assert_eq!((batches[0].cumulative, batches[0].errors), (1000, 0));
        assert_eq!((batches[1].cumulative, batches[1].errors), (2000, 1));
        assert_eq!(batches[0].start, Duration::from_secs(5));
        assert_eq!(
            (batches[0].end, batches[1].end),
            (Duration::from_secs(6), Duration::from_secs(7))
        );
        assert_eq!(batches[1].start, batches[0].end);
    }

    #[test]
    fn threads_count_together() {
        let (counter, at) = (BatchCounter::default(), Duration::from_millis);
        let (mut one, mut other) = (BatchEnds::default(), BatchEnds::default());
        one.add(&counter, 900, 5, at(1));
        other.add(&counter, 300, 0, at(9));
        one.add(&counter, 1900, 0, at(8));
        one.merge(other);
        let batches = one.into_batches(at(0));
        let shape = |batch: &Batch| (batch.cumulative, batch.errors, batch.start, batch.end);
        let expected = [(1000, 5, at(0), at(9)), (2000, 0, at(9), at(9)), (3000, 0, at(9), at(9))];
        assert_eq!(batches.iter().map(shape).collect::<Vec<_>>(), expected);
    }
}
