//! What was counted: outcomes, latencies and error texts.
//!
//! Owns the counters and their bounds. Knows nothing of sockets, keys or files.
//! Invariant: a latency is recorded only for a request that did what it should; every other outcome
//! has a counter of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

/// Different error texts kept per phase; what comes after is counted together.
const ERROR_TEXTS_MAX: usize = 20;
const ERROR_TEXT_LENGTH_MAX: usize = 160;
const OTHER_ERRORS: &str = "(other errors)";

const LATENCY_MAX_US: u64 = 60_000_000;

/// Latencies in microseconds, 1 µs to 60 s, three significant digits.
#[derive(Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u32>,
}

impl Latencies {
    /// Nothing recorded.
    pub(crate) fn new() -> Result<Latencies, CreationError> {
        Ok(Latencies { histogram: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)? })
    }

    /// Records one; longer than 60 s counts as 60 s.
    #[cfg(test)]
    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Records the same latency `times` over; longer than 60 s counts as 60 s.
    pub(crate) fn record_many(&mut self, latency: Duration, times: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
        let micros = micros.clamp(1, LATENCY_MAX_US);
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        self.histogram.saturating_record_n(micros, times);
    }

    /// Adds another's to these. Both have the same bounds, so nothing is lost.
    pub(crate) fn add(&mut self, other: &Latencies) {
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "all histograms have the same bounds");
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.histogram.clear();
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency at a percentile, in milliseconds.
    pub(crate) fn percentile_ms(&self, percentile: f64) -> f64 {
        ms(self.histogram.value_at_percentile(percentile) as f64)
    }

    /// What they are in microseconds, for other ways of writing them.
    pub(crate) fn histogram(&self) -> &Histogram<u32> {
        &self.histogram
    }

    /// The percentile that there would have been, in milliseconds, had requests been sent every
    /// median latency and not only when the reply before them was there: an estimate.
    pub(crate) fn corrected_percentile_ms(&self, percentile: f64) -> f64 {
        let micros = self.histogram.value_at_percentile(50.0).max(1);
        ms(self.histogram.clone_correct(micros).value_at_percentile(percentile) as f64)
    }

    /// Smallest, mean and largest, in milliseconds.
    pub(crate) fn min_mean_max_ms(&self) -> (f64, f64, f64) {
        let histogram = &self.histogram;
        (ms(histogram.min() as f64), ms(histogram.mean()), ms(histogram.max() as f64))
    }
}

fn ms(micros: f64) -> f64 {
    micros / 1000.0
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A SET was acknowledged, or a GET returned the value that was written.
    Good,
    /// A GET found no key.
    Miss,
    /// A GET returned another value than was written.
    Wrong,
    /// A node of a cluster said that the key is another's: it will be asked there. In no count.
    Redirected,
    /// An error reply, an unexpected reply or a broken connection, with its text.
    Failed(String),
}

/// Error texts with how often each was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorTexts {
    counts: BTreeMap<String, u64>,
}

impl ErrorTexts {
    /// Counts a text `times` over.
    pub(crate) fn add(&mut self, text: &str, times: u64) {
        let text = presentable(text);
        if let Some(count) = self.counts.get_mut(&text) {
            *count += times;
        } else if self.counts.len() < ERROR_TEXTS_MAX {
            self.counts.insert(text, times);
        } else {
            *self.counts.entry(OTHER_ERRORS.to_owned()).or_default() += times;
        }
    }

    /// Adds another's counts to these.
    pub(crate) fn merge(&mut self, other: &ErrorTexts) {
        other.counts.iter().for_each(|(text, times)| self.add(text, *times));
    }

    /// The texts and their counts.
    pub(crate) fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

/// One line of printable characters, cut to a bounded length; redirections lose their address, for
/// they would otherwise be as many texts as there are slots.
fn presentable(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    if word == "MOVED" || word == "ASK" {
        return format!("{word} (the target is a cluster node; aim at a gateway in front of it)");
    }
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(ERROR_TEXT_LENGTH_MAX).map(printable).collect()
}

/// Outcomes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that did what they should.
    pub(crate) good: u64,
    /// GETs that found no key.
    pub(crate) misses: u64,
    /// GETs that returned another value.
    pub(crate) wrong: u64,
    /// Requests and connection attempts that failed.
    pub(crate) errors: u64,
}

impl Counts {
    /// Counts an outcome `times` over.
    pub(crate) fn add(&mut self, outcome: &Outcome, times: u64) {
        match outcome {
            Outcome::Good => self.good += times,
            Outcome::Miss => self.misses += times,
            Outcome::Wrong => self.wrong += times,
            Outcome::Failed(_) => self.errors += times,
            Outcome::Redirected => {}
        }
    }

    /// Adds another's counts to these.
    pub(crate) fn merge(&mut self, other: Counts) {
        self.good += other.good;
        self.misses += other.misses;
        self.wrong += other.wrong;
        self.errors += other.errors;
    }

    /// What was counted since it was `before`.
    pub(crate) fn since(self, before: Counts) -> Counts {
        Counts {
            good: self.good.saturating_sub(before.good),
            misses: self.misses.saturating_sub(before.misses),
            wrong: self.wrong.saturating_sub(before.wrong),
            errors: self.errors.saturating_sub(before.errors),
        }
    }

    /// Everything tried.
    pub(crate) fn total(self) -> u64 {
        self.good + self.bad()
    }

    /// Everything that did not do what it should.
    pub(crate) fn bad(self) -> u64 {
        self.misses + self.wrong + self.errors
    }

    /// `bad` in percent of `total`; 0 when nothing was tried.
    pub(crate) fn bad_percent(self) -> f64 {
        if self.total() == 0 { 0.0 } else { self.bad() as f64 * 100.0 / self.total() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_are_bounded_in_number_and_length() {
        let mut texts = ErrorTexts::default();
        (0..100).for_each(|number| texts.add(&format!("ERR {number}\r\n{}", "x".repeat(500)), 2));
        assert_eq!(texts.counts().len(), ERROR_TEXTS_MAX + 1);
        assert_eq!(texts.counts()[OTHER_ERRORS], 160);
        assert!(texts.counts().keys().all(|text| text.chars().count() <= ERROR_TEXT_LENGTH_MAX));
        assert!(texts.counts().keys().all(|text| !text.contains('\r')));
    }

    #[test]
    fn redirections_are_one_text() {
        let mut texts = ErrorTexts::default();
        texts.add("MOVED 1 10.0.0.1:6379", 1);
        texts.add("MOVED 2 10.0.0.2:6379", 1);
        assert_eq!(texts.counts().values().copied().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn merged_histograms_keep_every_sample() {
        let (mut one, mut two) = (Latencies::new().unwrap(), Latencies::new().unwrap());
        one.record(Duration::from_nanos(10));
        two.record(Duration::from_millis(5));
        two.record(Duration::from_secs(600));
        one.add(&two);
        assert_eq!(one.count(), 3);
        assert!((one.percentile_ms(50.0) - 5.0).abs() < 0.01);
        let (min, _, max) = one.min_mean_max_ms();
        assert!((min - 0.001).abs() < 1e-9 && (max - 60_000.0).abs() < 60.0);
    }

    #[test]
    fn counts_add_up() {
        let mut counts = Counts::default();
        for outcome in [Outcome::Good, Outcome::Miss, Outcome::Wrong, Outcome::Failed("x".into())] {
            counts.add(&outcome, 1);
        }
        assert_eq!((counts.total(), counts.bad()), (4, 3));
        assert!((counts.bad_percent() - 75.0).abs() < 1e-9);
        assert!(Counts::default().bad_percent() < f64::EPSILON);
    }
}
