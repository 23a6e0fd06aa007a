//! One connection's share of a phase: what to send, when, and what became of it.
//!
//! Owns the request loop and reconnecting. Knows nothing of other phases, progress or files.
//! Invariants: nothing is sent after the phase's end; a broken connection costs its outstanding
//! requests and a bounded wait, never the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::connection::{Connection, Failure, Target};
use crate::pace::Schedule;
use crate::payload::Payload;
use crate::resp::{Reply, Request};
use crate::tally::{BatchLog, Counts, ErrorTexts, Latencies, Outcome};

const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// What a phase asks of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Write values.
    Set,
    /// Read them back and check them.
    Get,
}

impl Op {
    /// The command's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Set => "SET",
            Op::Get => "GET",
        }
    }
}

/// What all connections of a phase share.
pub(crate) struct Job {
    /// Where to.
    pub(crate) target: Target,
    /// What to do.
    pub(crate) op: Op,
    /// The payload's length.
    pub(crate) bytes: usize,
    /// Keys and values.
    pub(crate) payload: Arc<Payload>,
    /// One flag per key of this size: whether it is known to be written.
    pub(crate) written: Arc<[AtomicBool]>,
    /// Requests in flight per connection.
    pub(crate) pipeline: usize,
    /// Connections of the phase.
    pub(crate) connections: usize,
    /// Requests per second over all connections; without one, as fast as replies come.
    pub(crate) rate: Option<u64>,
    /// Counts up; taken modulo the number of keys, it chooses the next key.
    pub(crate) next_key: AtomicU64,
    /// Set to end the phase early.
    pub(crate) stop: Arc<AtomicBool>,
    /// What progress and the batches are made from.
    pub(crate) live: Mutex<Live>,
}

/// What all connections note together while the phase runs.
pub(crate) struct Live {
    /// Latencies since progress last looked.
    pub(crate) recent: Latencies,
    /// All outcomes so far, warm-up included.
    pub(crate) counts: Counts,
    /// The old client's batches, of measured requests only.
    pub(crate) batches: BatchLog,
}

/// The phase's times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// When sending starts.
    pub(crate) start: Instant,
    /// When warm-up ends and counting starts.
    pub(crate) measure: Instant,
    /// When sending ends.
    pub(crate) end: Instant,
}

/// What one connection counted, and after merging, all of them.
pub(crate) struct DriverTally {
    /// Outcomes of measured requests.
    pub(crate) counts: Counts,
    /// Open loop: from the intended start to the reply. Closed loop: from the actual start.
    pub(crate) response: Latencies,
    /// Open loop only: from the actual start to the reply, and how late the start was.
    pub(crate) service_and_lag: Option<(Latencies, Latencies)>,
    /// Failures by text.
    pub(crate) errors: ErrorTexts,
    /// When the last measured request was sent and answered.
    pub(crate) last: Option<(Instant, Instant)>,
}

impl DriverTally {
    /// Nothing counted.
    pub(crate) fn new(open_loop: bool) -> Result<DriverTally, hdrhistogram::CreationError> {
        let service_and_lag =
            if open_loop { Some((Latencies::new()?, Latencies::new()?)) } else { None };
        Ok(DriverTally {
            counts: Counts::default(),
            response: Latencies::new()?,
            service_and_lag,
            errors: ErrorTexts::default(),
            last: None,
        })
    }

    /// Adds another connection's to these.
    pub(crate) fn merge(&mut self, other: &DriverTally) {
        self.counts.merge(other.counts);
        self.response.add(&other.response);
        if let (Some((service, lag)), Some((more_service, more_lag))) =
            (&mut self.service_and_lag, &other.service_and_lag)
        {
            service.add(more_service);
            lag.add(more_lag);
        }
        self.errors.merge(&other.errors);
        if let Some((sent, done)) = other.last {
            self.note_last(sent, done);
        }
    }

    fn note_last(&mut self, sent: Instant, done: Instant) {
        let (last_sent, last_done) = self.last.unwrap_or((sent, done));
        self.last = Some((last_sent.max(sent), last_done.max(done)));
    }
}

/// One connection of a phase.
pub(crate) struct ConnectionDriver {
    job: Arc<Job>,
    schedule: Option<Schedule>,
    wake: Arc<Notify>,
    connection: Option<Connection>,
    back_off: Duration,
    tally: DriverTally,
    keys: Vec<(u64, String)>,
}

impl ConnectionDriver {
    /// Connection `number` of the job; `wake` is notified at its intended times.
    pub(crate) fn new(
        job: Arc<Job>,
        number: usize,
        wake: Arc<Notify>,
    ) -> Result<ConnectionDriver, hdrhistogram::CreationError> {
        let drivers = job.connections as u64;
        let schedule = job.rate.map(|rate| Schedule::new(rate, number as u64, drivers));
        let tally = DriverTally::new(schedule.is_some())?;
        let keys = vec![(0, String::new()); job.pipeline];
        Ok(ConnectionDriver {
            job,
            schedule,
            wake,
            connection: None,
            back_off: BACK_OFF_MIN,
            tally,
            keys,
        })
    }

    /// Tries to connect before the phase starts; a failure is met again, and counted, in `run`.
    pub(crate) async fn prepare(&mut self) {
        self.connection = Connection::open(&self.job.target).await.ok();
    }

    /// Sends until the window ends or the job is stopped.
    pub(crate) async fn run(mut self, window: Window) -> DriverTally {
        let mut starts = Vec::with_capacity(self.job.pipeline);
        while Instant::now() < window.end && !self.job.stop.load(Ordering::Relaxed) {
            let Some(mut connection) = self.connected(window).await else { continue };
            starts.clear();
            self.wait_for_starts(window, &mut starts).await;
            if starts.is_empty() {
                self.connection = Some(connection);
                continue;
            }
            match self.send(&mut connection, window, &starts).await {
                Ok(()) => self.connection = Some(connection),
                // The connection is dropped: the next turn makes a new one.
                Err(_) => self.wait_back_off(window).await,
            }
        }
        self.tally
    }

    /// The connection, made anew if need be; `None` when it could not be made.
    async fn connected(&mut self, window: Window) -> Option<Connection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        match Connection::open(&self.job.target).await {
            Ok(connection) => Some(connection),
            Err(failure) => {
                let now = Instant::now();
                let outcome = Outcome::Failed(failure.to_string());
                self.note(window, Timing { intended: now, sent: now, done: now }, outcome);
                self.wait_back_off(window).await;
                None
            }
        }
    }

    async fn wait_back_off(&mut self, window: Window) {
        let left = window.end.saturating_duration_since(Instant::now());
        tokio::time::sleep(self.back_off.min(left)).await;
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }

    /// Fills `starts` with the intended times of the next pipeline: in a closed loop now, in an open
    /// loop those that are due. Empty when the phase ended meanwhile.
    async fn wait_for_starts(&mut self, window: Window, starts: &mut Vec<Instant>) {
        let pipeline = self.job.pipeline;
        let Some(schedule) = &mut self.schedule else {
            starts.resize(pipeline, Instant::now());
            return;
        };
        let next = window.start + schedule.next();
        if next > Instant::now() {
            let end = tokio::time::Instant::from_std(window.end);
            // Stopping is looked at after this wait, so the wait is short.
            let limit = end.min(tokio::time::Instant::now() + Duration::from_millis(50));
            let _ = tokio::time::timeout_at(limit, self.wake.notified()).await;
        }
        let now = Instant::now();
        while starts.len() < pipeline {
            let next = window.start + schedule.next();
            if next > now || next >= window.end {
                return;
            }
            starts.push(next);
            schedule.advance();
        }
    }

    /// Sends one pipeline and counts what became of each request.
    async fn send(
        &mut self,
        connection: &mut Connection,
        window: Window,
        starts: &[Instant],
    ) -> Result<(), Failure> {
        let job = Arc::clone(&self.job);
        let mut keys = std::mem::take(&mut self.keys);
        for (number, name) in keys.iter_mut().take(starts.len()) {
            let turn = job.next_key.fetch_add(1, Ordering::Relaxed);
            *number = turn % job.written.len() as u64;
            job.payload.write_key(job.bytes, *number, name);
        }
        let requests: Vec<Request<'_>> = keys
            .iter()
            .take(starts.len())
            .map(|(number, name)| job.request(*number, name))
            .collect();
        let sent = Instant::now();
        let mut answered = 0;
        let result = connection
            .exchange(&requests, |place, reply| {
                answered = place + 1;
                let outcome = job.outcome(keys[place].0, reply);
                let timing = Timing { intended: starts[place], sent, done: Instant::now() };
                self.note(window, timing, outcome);
            })
            .await;
        match &result {
            Ok(()) => self.back_off = BACK_OFF_MIN,
            Err(failure) => {
                let done = Instant::now();
                for intended in &starts[answered..] {
                    let timing = Timing { intended: *intended, sent, done };
                    self.note(window, timing, Outcome::Failed(failure.to_string()));
                }
            }
        }
        drop(requests);
        self.keys = keys;
        result
    }

    fn note(&mut self, window: Window, timing: Timing, outcome: Outcome) {
        let Timing { intended, sent, done } = timing;
        let good = outcome == Outcome::Good;
        let measured = intended >= window.measure;
        {
            let mut live = self.job.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.counts.add(&outcome);
            if good {
                live.recent.record(done - intended);
            }
            if measured {
                live.batches.add(good, done.saturating_duration_since(window.start));
            }
        }
        if !measured {
            return;
        }
        self.tally.counts.add(&outcome);
        self.tally.note_last(sent, done);
        if good {
            self.tally.response.record(done - intended);
            if let Some((service, lag)) = &mut self.tally.service_and_lag {
                service.record(done - sent);
                lag.record(sent - intended);
            }
        }
        if let Outcome::Failed(text) = outcome {
            self.tally.errors.add(&text, 1);
        }
    }
}

#[derive(Clone, Copy)]
struct Timing {
    intended: Instant,
    sent: Instant,
    done: Instant,
}

impl Job {
    fn request<'a>(&'a self, number: u64, name: &'a str) -> Request<'a> {
        let value = self.payload.value(self.bytes, number);
        match self.op {
            Op::Set => Request::set(name, value),
            Op::Get => Request::get(name, value),
        }
    }

    fn outcome(&self, number: u64, reply: Reply) -> Outcome {
        match (self.op, reply) {
            (Op::Set, Reply::Ok) => {
                if let Some(flag) = self.written.get(number as usize) {
                    flag.store(true, Ordering::Relaxed);
                }
                Outcome::Good
            }
            (Op::Get, Reply::Compared { same: true, .. }) => Outcome::Good,
            (Op::Get, Reply::Compared { .. }) => Outcome::Wrong,
            (Op::Get, Reply::Nil) => Outcome::Miss,
            (_, Reply::Error(text)) => Outcome::Failed(text),
            (op, other) => Outcome::Failed(format!("unexpected reply to {op:?}: {other:?}")),
        }
    }
}
