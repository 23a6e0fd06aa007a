//! One number that is counted.
//!
//! Owns how it is added to and read. Must not know what it counts. Invariant: one worker writes it, so an
//! addition is a load and a store without a lock prefix; anybody may read it at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or a gauge, with a single writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it. Only its owner may.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Takes off it; for gauges.
    #[inline]
    pub fn sub(&self, less: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(less), Ordering::Relaxed);
    }

    /// Sets it; for gauges.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
