//! What came of a search for the highest rate, as it is kept.
//!
//! Owns these fields. Knows nothing of how rates are chosen.

use serde::{Deserialize, Serialize};

/// A search: the phase that has it is its last run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Searched {
    /// What the 99th percentile of response times has to stay under.
    pub(crate) p99_limit_ms: f64,
    /// Whether the last run, of the full duration, held its rate.
    pub(crate) confirmed: bool,
    /// All runs, in their order.
    pub(crate) tries: Vec<Try>,
}

/// One run of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Try {
    pub(crate) rate_per_s: u64,
    pub(crate) achieved_pct: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Whether the rate was reached, with few errors, and the percentile under its limit.
    pub(crate) held: bool,
    /// Whether it was of the full duration.
    pub(crate) full: bool,
}

impl Searched {
    /// The highest rate that a run of the full duration held.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.tries.last().filter(|_| self.confirmed).map(|last| last.rate_per_s)
    }
}
