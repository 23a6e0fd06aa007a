//! What the connections of one thread count, without sharing anything for each request.
//!
//! Owns which counter a request goes into, and what the thread shows to others now and then. Knows
//! nothing of sockets or keys. Invariant: a lock is taken about twenty times a second, never for a
//! request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::CreationError;

use crate::batches::{BatchCounter, BatchEnds};
use crate::tally::{Counts, ErrorTexts, Latencies, Outcome};

/// Between two times that figures are shown to others.
const SHOW_EVERY: Duration = Duration::from_millis(50);

/// The times of a request, or of several that have them in common.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    /// When it should have been sent.
    pub(crate) intended: Instant,
    /// When it was.
    pub(crate) sent: Instant,
    /// When its reply was there, or its failure.
    pub(crate) done: Instant,
}

/// What came of one of the commands of a mix.
#[derive(Clone)]
pub(crate) struct ClassTally {
    /// Outcomes of measured requests.
    pub(crate) counts: Counts,
    /// Their response times, as those of all.
    pub(crate) response: Latencies,
}

/// What one thread counted, and after merging, all of them.
pub(crate) struct Tally {
    /// Outcomes of measured requests.
    pub(crate) counts: Counts,
    /// Open loop: from the intended start to the reply. Closed loop: from the actual start.
    pub(crate) response: Latencies,
    /// Open loop only: from the actual start to the reply, and how late the start was.
    pub(crate) service_and_lag: Option<(Latencies, Latencies)>,
    /// Connections that were made anew, and requests that were sent on to another node.
    pub(crate) reconnects: u64,
    pub(crate) redirects: u64,
    /// The same by the commands of a mix; of one command, none.
    pub(crate) classes: Vec<ClassTally>,
    /// Failures by text.
    pub(crate) errors: ErrorTexts,
    /// When the last measured request was sent and answered.
    pub(crate) last: Option<(Instant, Instant)>,
    /// Where batches of measured requests ended.
    pub(crate) batch_ends: BatchEnds,
}

impl Tally {
    /// Nothing counted.
    pub(crate) fn new(open_loop: bool) -> Result<Tally, CreationError> {
        let service_and_lag =
            if open_loop { Some((Latencies::new()?, Latencies::new()?)) } else { None };
        Ok(Tally {
            counts: Counts::default(),
            response: Latencies::new()?,
            service_and_lag,
            reconnects: 0,
            redirects: 0,
            classes: Vec::new(),
            errors: ErrorTexts::default(),
            last: None,
            batch_ends: BatchEnds::default(),
        })
    }

    /// Adds another thread's to these.
    pub(crate) fn merge(&mut self, other: Tally) {
        self.counts.merge(other.counts);
        self.response.add(&other.response);
        if let (Some((service, lag)), Some((more_service, more_lag))) =
            (&mut self.service_and_lag, &other.service_and_lag)
        {
            service.add(more_service);
            lag.add(more_lag);
        }
        if self.classes.is_empty() {
            self.classes = other.classes;
        } else {
            for (class, more) in self.classes.iter_mut().zip(&other.classes) {
                class.counts.merge(more.counts);
                class.response.add(&more.response);
            }
        }
        self.errors.merge(&other.errors);
        self.reconnects += other.reconnects;
        self.redirects += other.redirects;
        if let Some((sent, done)) = other.last {
            self.note_last(sent, done);
        }
        self.batch_ends.merge(other.batch_ends);
    }

    fn note_last(&mut self, sent: Instant, done: Instant) {
        let (last_sent, last_done) = self.last.unwrap_or((sent, done));
        self.last = Some((last_sent.max(sent), last_done.max(done)));
    }
}

/// What a thread shows of itself while it runs.
pub(crate) struct Live {
    /// Latencies since somebody last looked.
    pub(crate) recent: Latencies,
    /// All outcomes so far, warm-up included.
    pub(crate) counts: Counts,
    /// How far that is.
    pub(crate) until: Instant,
    /// The longest time without any good reply since somebody last looked.
    pub(crate) pause: Duration,
}

impl Live {
    /// Nothing to show yet.
    pub(crate) fn new() -> Result<Mutex<Live>, CreationError> {
        let (recent, counts) = (Latencies::new()?, Counts::default());
        let (until, pause) = (Instant::now(), Duration::ZERO);
        Ok(Mutex::new(Live { recent, counts, until, pause }))
    }
}

/// What is counted together with other threads, or shown to them.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    /// The old client's batches.
    pub(crate) batches: &'a BatchCounter,
    /// What progress is told.
    pub(crate) live: &'a Mutex<Live>,
}

/// The counters of one thread.
pub(crate) struct Recorder<'a> {
    common: Option<Common<'a>>,
    open_loop: bool,
    start: Instant,
    measure: Instant,
    tally: Tally,
    warm_up: Counts,
    /// Latencies that are not shown yet, of measured requests and of others. The first are not in
    /// the tally either.
    measured_unshown: Latencies,
    warm_up_unshown: Latencies,
    shown: Instant,
    /// When a reply was last good, and the longest time between two since that was shown.
    last_good: Instant,
    pause: Duration,
}

impl<'a> Recorder<'a> {
    /// Nothing counted; without `common`, this thread is the only one. Of several `classes`, each is
    /// counted by itself too.
    pub(crate) fn new(
        open_loop: bool,
        common: Option<Common<'a>>,
        classes: usize,
    ) -> Result<Recorder<'a>, CreationError> {
        let now = Instant::now();
        let mut tally = Tally::new(open_loop)?;
        if classes > 1 {
            let class = ClassTally { counts: Counts::default(), response: Latencies::new()? };
            tally.classes = vec![class; classes];
        }
        Ok(Recorder {
            common,
            open_loop,
            start: now,
            measure: now,
            tally,
            warm_up: Counts::default(),
            measured_unshown: Latencies::new()?,
            warm_up_unshown: Latencies::new()?,
            shown: now,
            last_good: now,
            pause: Duration::ZERO,
        })
    }

    /// From now on: times count from `start`, and what is due from `measure` on is measured.
    pub(crate) fn start(&mut self, start: Instant, measure: Instant) {
        (self.start, self.measure, self.shown, self.last_good) = (start, measure, start, start);
    }

    /// Counts requests that did what they should, all of one class.
    pub(crate) fn good(&mut self, moments: Moments, class: usize, times: u64) {
        let Moments { intended, sent, done } = moments;
        if times == 0 {
            return;
        }
        self.pause = self.pause.max(done.saturating_duration_since(self.last_good));
        self.last_good = done;
        if intended < self.measure {
            self.warm_up.good += times;
            self.warm_up_unshown.record_many(done - intended, times);
            return;
        }
        self.tally.counts.good += times;
        self.tally.note_last(sent, done);
        self.measured_unshown.record_many(done - intended, times);
        if let Some(class) = self.tally.classes.get_mut(class) {
            class.counts.good += times;
            class.response.record_many(done - intended, times);
        }
        if let Some((service, lag)) = &mut self.tally.service_and_lag {
            service.record_many(done - sent, times);
            lag.record_many(sent - intended, times);
        }
        self.batch(times, 0, done);
    }

    /// Counts a request that ended in another way; its class is not known where it was never asked.
    pub(crate) fn bad(&mut self, moments: Moments, class: Option<usize>, outcome: &Outcome) {
        if moments.intended < self.measure {
            self.warm_up.add(outcome, 1);
            return;
        }
        self.tally.counts.add(outcome, 1);
        if let Some(class) = class.and_then(|class| self.tally.classes.get_mut(class)) {
            class.counts.add(outcome, 1);
        }
        self.tally.note_last(moments.sent, moments.done);
        if let Outcome::Failed(text) = outcome {
            self.tally.errors.add(text, 1);
        }
        self.batch(1, 1, moments.done);
    }

    /// Counts a request that was sent on to another node.
    pub(crate) fn redirected(&mut self, now: Instant) {
        self.tally.redirects += u64::from(now >= self.measure);
    }

    /// Counts a connection that was lost and is there again.
    pub(crate) fn reconnected(&mut self, now: Instant) {
        self.tally.reconnects += u64::from(now >= self.measure);
    }

    fn batch(&mut self, times: u64, bad: u64, done: Instant) {
        if let Some(common) = self.common {
            let end = done.saturating_duration_since(self.start);
            self.tally.batch_ends.add(common.batches, times, bad, end);
        }
    }

    /// Shows others what there is, if it is time.
    pub(crate) fn show(&mut self, now: Instant) {
        if now.saturating_duration_since(self.shown) >= SHOW_EVERY {
            self.show_all(now);
        }
    }

    /// Shows others what there is, as after the last reply.
    pub(crate) fn show_all(&mut self, now: Instant) {
        self.shown = now;
        let Some(common) = self.common else { return };
        let mut live = common.live.lock().unwrap_or_else(PoisonError::into_inner);
        for unshown in [&self.measured_unshown, &self.warm_up_unshown] {
            if unshown.count() > 0 {
                live.recent.add(unshown);
            }
        }
        live.counts = self.warm_up;
        live.counts.merge(self.tally.counts);
        live.until = now;
        let pause = now.saturating_duration_since(self.last_good).max(self.pause);
        (live.pause, self.pause) = (live.pause.max(pause), Duration::ZERO);
        drop(live);
        self.settle();
    }

    fn settle(&mut self) {
        if self.measured_unshown.count() > 0 {
            self.tally.response.add(&self.measured_unshown);
            self.measured_unshown.clear();
        }
        if self.warm_up_unshown.count() > 0 {
            self.warm_up_unshown.clear();
        }
    }

    /// Hands out what was counted, and starts anew.
    pub(crate) fn take(&mut self) -> Result<Tally, CreationError> {
        self.settle();
        let mut anew = Tally::new(self.open_loop)?;
        for _ in &self.tally.classes {
            let class = ClassTally { counts: Counts::default(), response: Latencies::new()? };
            anew.classes.push(class);
        }
        Ok(std::mem::replace(&mut self.tally, anew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_before_the_measured_time_is_shown_and_not_counted() {
        let (batches, live) = (BatchCounter::default(), Live::new().unwrap());
        let common = Common { batches: &batches, live: &live };
        let mut recorder = Recorder::new(true, Some(common), 2).unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        recorder.start(start, at(5));
        let moments = |intended, sent, done| Moments {
            intended: at(intended),
            sent: at(sent),
            done: at(done),
        };
        recorder.good(moments(4, 6, 7), 0, 10);
        recorder.good(moments(5, 7, 8), 1, 999);
        recorder.bad(moments(6, 7, 9), Some(0), &Outcome::Failed("no".into()));
        (0..3).for_each(|_| recorder.bad(moments(4, 4, 9), Some(1), &Outcome::Miss));
        recorder.show(at(20));
        let shown = live.lock().unwrap();
        assert_eq!((shown.counts.good, shown.counts.errors, shown.counts.misses), (1009, 1, 3));
        assert_eq!(shown.recent.count(), 1009);
        // Nothing was answered from the eighth second on.
        assert_eq!(shown.pause, Duration::from_secs(12));
        let tally = recorder.take().unwrap();
        assert_eq!((tally.counts.good, tally.counts.bad(), tally.response.count()), (999, 1, 999));
        let classes: Vec<(u64, u64)> =
            tally.classes.iter().map(|class| (class.counts.good, class.counts.errors)).collect();
        assert_eq!(classes, [(0, 1), (999, 0)]);
        let (service, lag) = tally.service_and_lag.unwrap();
        assert!((service.percentile_ms(50.0) - 1000.0).abs() < 1.0);
        assert!((lag.percentile_ms(50.0) - 2000.0).abs() < 2.0);
        assert_eq!(tally.last, Some((at(7), at(9))));
        let batches = tally.batch_ends.into_batches(Duration::from_secs(5));
        assert_eq!((batches.len(), batches[0].errors), (1, 1));
        assert_eq!(batches[0].end, Duration::from_secs(9));
    }
}
