//! A phase second by second: what was answered in each, how fast, and how long nothing was.
//!
//! Owns how the time is cut and what is kept of each piece. Knows nothing of threads' lives or of
//! files. Invariants: a phase has a bounded number of intervals, however long it is; none of them
//! has both warm-up and measured time; figures that threads show every 50 ms may be off by that.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::CreationError;

use crate::hdr;
use crate::recorder::Live;
use crate::tally::{Counts, Latencies};

/// Above so many seconds intervals are longer than one.
const INTERVALS_MAX: u32 = 3600;
const SECOND: Duration = Duration::from_secs(1);

/// One second of a phase, most often.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Its end, counted from the phase's start.
    pub(crate) end: Duration,
    /// How long it is.
    pub(crate) length: Duration,
    /// Whether it lies before the measured time.
    pub(crate) warm_up: bool,
    /// What ended in it.
    pub(crate) counts: Counts,
    /// Median, 99th percentile and largest latency, if anything was answered.
    pub(crate) p50_p99_max_ms: Option<(f64, f64, f64)>,
    /// The longest time without any good reply that was seen in it; it may have begun before.
    pub(crate) pause: Duration,
    /// Its latencies as HdrHistogram writes them.
    pub(crate) encoded: String,
}

impl Interval {
    /// Good replies per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.counts.good as f64 / self.length.as_secs_f64().max(0.001)
    }
}

/// When a phase's time is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts {
    every: Duration,
    next: Instant,
    measure: Instant,
    end: Instant,
}

impl Cuts {
    /// Cuts for a phase that starts at `start`, is measured from `measure` on and ends at `end`.
    pub(crate) fn new(start: Instant, measure: Instant, end: Instant) -> Cuts {
        let every = SECOND.max((end - measure) / INTERVALS_MAX);
        let warm_up = (measure - start).as_nanos() % every.as_nanos();
        let first = Duration::from_nanos(u64::try_from(warm_up).unwrap_or(0));
        let mut cuts = Cuts { every, next: start + first, measure, end };
        if first.is_zero() {
            cuts.advance();
        }
        cuts
    }

    /// The next cut.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Goes on to the cut after it. There is none shortly before or at the end: what is left is one
    /// interval with the last replies, not two of which one is a splinter.
    pub(crate) fn advance(&mut self) {
        self.next += self.every;
        if self.next + self.every / 2 > self.end && self.next < self.end + self.every {
            self.next = (self.end + self.every).max(self.measure + self.every);
        }
    }
}

/// Turns what threads show into intervals.
pub(crate) struct Meter {
    start: Instant,
    measure: Instant,
    last: Instant,
    seen: Counts,
    intervals: Vec<Interval>,
}

impl Meter {
    /// Nothing seen of a phase that starts at `start` and is measured from `measure` on.
    pub(crate) fn new(start: Instant, measure: Instant) -> Meter {
        Meter { start, measure, last: start, seen: Counts::default(), intervals: Vec::new() }
    }

    /// What has happened since the last time, now the last interval. It was to end at `cut`, however
    /// late that is noticed; without one, it ends with the phase.
    pub(crate) fn read(
        &mut self,
        lives: &[Mutex<Live>],
        cut: Option<Instant>,
    ) -> Result<&Interval, CreationError> {
        let (mut recent, mut counts, mut until) = (Latencies::new()?, Counts::default(), self.last);
        let mut pause: Option<Duration> = None;
        for live in lives {
            let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
            recent.add(&live.recent);
            live.recent.clear();
            counts.merge(live.counts);
            until = until.max(live.until);
            // While one thread is answered, not all wait.
            let of_thread = std::mem::take(&mut live.pause);
            pause = Some(pause.map_or(of_thread, |pause| pause.min(of_thread)));
        }
        let figures = || {
            let (.., max) = recent.min_mean_max_ms();
            (recent.percentile_ms(50.0), recent.percentile_ms(99.0), max)
        };
        let is_any = recent.count() > 0;
        let interval = Interval {
            end: until - self.start,
            length: until - self.last,
            warm_up: cut.map_or(until < self.measure, |cut| cut <= self.measure),
            counts: counts.since(self.seen),
            p50_p99_max_ms: is_any.then(figures),
            pause: pause.unwrap_or_default(),
            encoded: if is_any { hdr::encoded(recent.histogram()) } else { String::new() },
        };
        (self.last, self.seen) = (until, counts);
        self.intervals.push(interval);
        Ok(&self.intervals[self.intervals.len() - 1])
    }

    /// Everything so far, warm-up included.
    pub(crate) fn counts(&self) -> Counts {
        self.seen
    }

    /// All intervals.
    pub(crate) fn into_intervals(self) -> Vec<Interval> {
        self.intervals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(warm_up: u64, duration: u64) -> Vec<u128> {
        let start = Instant::now();
        let measure = start + Duration::from_millis(warm_up);
        let end = measure + Duration::from_millis(duration);
        let mut cuts = Cuts::new(start, measure, end);
        let mut found = Vec::new();
        while cuts.next() <= end + Duration::from_secs(2) {
            found.push((cuts.next() - start).as_millis());
            cuts.advance();
        }
        found
    }

    #[test]
    fn warm_up_ends_with_an_interval_and_the_end_leaves_no_splinter() {
        assert_eq!(cut(0, 3000), [1000, 2000, 4000, 5000]);
        assert_eq!(cut(1500, 2000), [500, 1500, 2500, 4500, 5500]);
        assert_eq!(cut(0, 300), [1300, 2300]);
        assert_eq!(cut(0, 2700), [1000, 2000, 3700, 4700]);
    }

    #[test]
    fn a_day_has_a_bounded_number_of_intervals() {
        let start = Instant::now();
        let cuts = Cuts::new(start, start, start + Duration::from_secs(24 * 3600));
        assert_eq!(cuts.every, Duration::from_secs(24));
    }

    #[test]
    fn an_interval_has_what_came_since_the_last() {
        let (live, other) = (Live::new().unwrap(), Live::new().unwrap());
        let lives = [live, other];
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(start, at(1));
        let show = |place: usize, good, until, pause| {
            let mut live = lives[place].lock().unwrap();
            live.counts.good = good;
            live.recent.record_many(Duration::from_millis(3), good);
            (live.until, live.pause) = (until, Duration::from_millis(pause));
        };
        show(0, 10, at(1) + Duration::from_millis(100), 900);
        show(1, 20, at(1), 7);
        // A cut that is noticed late is one of the warm-up all the same.
        let first = meter.read(&lives, Some(at(1))).unwrap();
        assert!(first.warm_up && first.pause == Duration::from_millis(7));
        assert_eq!((first.counts.good, first.length), (30, Duration::from_millis(1100)));
        show(0, 10, at(2), 1000);
        show(1, 24, at(2), 1000);
        let second = meter.read(&lives, Some(at(2))).unwrap();
        assert_eq!((second.warm_up, second.counts.good), (false, 4));
        assert_eq!(second.pause, Duration::from_secs(1));
        assert_eq!(meter.into_intervals().len(), 2);
    }
}
