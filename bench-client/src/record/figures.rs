//! Latency figures of a histogram, as far as it has samples enough for them.
//!
//! Owns how many samples a percentile needs. Knows nothing of phases.

use serde::{Deserialize, Serialize};

use crate::tally::Latencies;

/// Samples below which a percentile would be a handful of requests at most.
const P999_SAMPLES_MIN: u64 = 1_000;
const P9999_SAMPLES_MIN: u64 = 10_000;

/// Latency figures in milliseconds; absent where there are too few samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencyFigures {
    pub(crate) samples: u64,
    pub(crate) min: Option<f64>,
    pub(crate) avg: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p99_9: Option<f64>,
    pub(crate) p99_99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl LatencyFigures {
    /// The figures of a histogram.
    pub(crate) fn of(latencies: &Latencies) -> LatencyFigures {
        let samples = latencies.count();
        let (min, avg, max) = latencies.min_mean_max_ms();
        let from = |samples_min: u64, value: f64| (samples >= samples_min.max(1)).then_some(value);
        let percentile = |at: f64, samples_min| from(samples_min, latencies.percentile_ms(at));
        LatencyFigures {
            samples,
            min: from(1, min),
            avg: from(1, avg),
            p50: percentile(50.0, 1),
            p90: percentile(90.0, 1),
            p95: percentile(95.0, 1),
            p99: percentile(99.0, 1),
            p99_9: percentile(99.9, P999_SAMPLES_MIN),
            p99_99: percentile(99.99, P9999_SAMPLES_MIN),
            max: from(1, max),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_wait_for_enough_samples() {
        let mut latencies = Latencies::new().unwrap();
        assert!(LatencyFigures::of(&latencies).p50.is_none());
        (0..9_999).for_each(|_| latencies.record(Duration::from_millis(1)));
        let figures = LatencyFigures::of(&latencies);
        assert!(figures.p99_9.is_some() && figures.p99_99.is_none());
        latencies.record(Duration::from_millis(1));
        assert!(LatencyFigures::of(&latencies).p99_99.is_some());
    }
}
