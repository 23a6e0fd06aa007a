//! Those who wait for something: how many now, how many before, and how long they did.
//!
//! Owns the counting of it. Must not know what is waited for. Invariant: whoever stops waiting is
//! counted, however the waiting ends: with what was waited for, or with the end of who waited.

use std::sync::Arc;
use std::time::Instant;

use super::count::Count;

/// The waits for one thing.
#[derive(Debug, Default)]
pub struct Waits {
    /// Those who wait now.
    pub now: Count,
    /// Waits that have ended.
    pub ended: Count,
    /// Microseconds that they took.
    pub waited_us: Count,
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub struct Wait<S> {
    stats: Arc<S>,
    waits: fn(&S) -> &Waits,
    since: Instant,
}

impl<S> Wait<S> {
    /// Somebody begins to wait for what `waits` counts. Only the owner of the block may.
    #[cold]
    pub fn begin(stats: &Arc<S>, waits: fn(&S) -> &Waits) -> Wait<S> {
        waits(stats).now.add(1);
        Wait { stats: Arc::clone(stats), waits, since: Instant::now() }
    }
}

impl<S> Drop for Wait<S> {
    fn drop(&mut self) {
        let waits = (self.waits)(&self.stats);
        waits.now.sub(1);
        waits.ended.add(1);
        waits.waited_us.add(self.since.elapsed().as_micros() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_ends_and_is_counted() {
        let waits = Arc::<Waits>::default();
        let mut both = [0, 1].map(|_| Wait::begin(&waits, |all: &Waits| all));
        assert_eq!((waits.now.get(), waits.ended.get()), (2, 0));
        both.iter_mut().for_each(|wait| wait.since -= std::time::Duration::from_millis(2));
        let [first, second] = both;
        drop(first);
        assert_eq!((waits.now.get(), waits.ended.get()), (1, 1));
        assert!(waits.waited_us.get() >= 2000);
        drop(second);
        assert_eq!((waits.now.get(), waits.ended.get()), (0, 2));
        assert!(waits.waited_us.get() >= 4000);
    }
}
