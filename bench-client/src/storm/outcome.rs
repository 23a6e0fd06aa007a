//! What came of a storm: how connections ended, how long they took, second by second.
//!
//! Owns the counters and the form of the JSON. Knows no socket.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::record::LatencyFigures;
use crate::tally::{ErrorTexts, Latencies};

const SECOND: Duration = Duration::from_secs(1);

/// How an attempt ended that was not good, or was dropped later.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The target's system refused it.
    ConnectRefused,
    /// Not connected in time.
    ConnectTimedOut,
    /// Connected, and no reply in time.
    ReplyTimedOut,
    /// The target closed it before it had replied.
    Closed,
    /// An error reply.
    Refused(String),
    /// Good, and closed by the target while it was held.
    Dropped(String),
    /// This machine has no port or no file for another.
    NoneLeftHere(String),
    /// As many are open as are allowed.
    TooManyOpen,
    /// Anything else.
    Failed(String),
}

impl Ending {
    /// What an error of a socket means.
    pub(super) fn of(error: &io::Error) -> Ending {
        // Too many open files, of this process and of the system.
        const FILES: [i32; 2] = [24, 23];
        match error.kind() {
            ErrorKind::ConnectionRefused => Ending::ConnectRefused,
            ErrorKind::TimedOut => Ending::ConnectTimedOut,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                Ending::Closed
            }
            ErrorKind::AddrNotAvailable => Ending::NoneLeftHere(error.to_string()),
            _ if error.raw_os_error().is_some_and(|code| FILES.contains(&code)) => {
                Ending::NoneLeftHere(error.to_string())
            }
            _ => Ending::Failed(error.to_string()),
        }
    }
}

/// Connections by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// That were due and begun.
    pub(super) attempts: u64,
    pub(super) connected: u64,
    /// That had all they wanted: a connection, and a reply where one was asked for.
    pub(super) good: u64,
    pub(super) connect_refused: u64,
    pub(super) connect_timed_out: u64,
    pub(super) reply_timed_out: u64,
    /// By the target, before a reply.
    pub(super) closed: u64,
    pub(super) error_replies: u64,
    /// For want of a port or a file on this machine, or of room below the limit.
    pub(super) none_left_here: u64,
    pub(super) other_failures: u64,
    /// Good ones that the target closed while they were held.
    pub(super) dropped: u64,
}

impl Counts {
    /// Attempts that were not good, or not for as long as they should.
    pub(super) fn bad(&self) -> u64 {
        self.attempts - self.good.min(self.attempts) + self.dropped
    }

    fn since(&self, before: &Counts) -> (u64, u64, u64) {
        (
            self.attempts - before.attempts,
            self.good - before.good,
            self.failures() - before.failures(),
        )
    }

    fn failures(&self) -> u64 {
        self.connect_refused
            + self.connect_timed_out
            + self.reply_timed_out
            + self.closed
            + self.error_replies
            + self.none_left_here
            + self.other_failures
            + self.dropped
    }
}

/// A second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Second {
    pub(super) end_s: f64,
    pub(super) attempts: u64,
    pub(super) good: u64,
    pub(super) failed: u64,
    pub(super) connect_p50_ms: Option<f64>,
    pub(super) connect_p99_ms: Option<f64>,
    pub(super) connect_max_ms: Option<f64>,
}

/// What is counted while a storm lasts.
pub(super) struct Tally {
    counts: Counts,
    seen: Counts,
    connect: Latencies,
    connect_of_second: Latencies,
    reply: Latencies,
    texts: ErrorTexts,
    seconds: Vec<Second>,
    start: Instant,
    cut: Instant,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) counts: Counts,
    pub(super) connect: LatencyFigures,
    pub(super) reply: LatencyFigures,
    pub(super) texts: ErrorTexts,
    pub(super) seconds: Vec<Second>,
}

impl Tally {
    /// Nothing counted.
    pub(super) fn new() -> Result<Tally> {
        let now = Instant::now();
        Ok(Tally {
            counts: Counts::default(),
            seen: Counts::default(),
            connect: Latencies::new()?,
            connect_of_second: Latencies::new()?,
            reply: Latencies::new()?,
            texts: ErrorTexts::default(),
            seconds: Vec::new(),
            start: now,
            cut: now,
        })
    }

    /// Seconds count from now on.
    pub(super) fn start(&mut self, now: Instant) {
        (self.start, self.cut) = (now, now);
    }

    /// An attempt was due.
    pub(super) fn begun(&mut self) {
        self.counts.attempts += 1;
    }

    /// One is connected, so long after it was due.
    pub(super) fn connected(&mut self, after: Duration) {
        self.counts.connected += 1;
        self.connect.record_many(after, 1);
        self.connect_of_second.record_many(after, 1);
    }

    /// One has its replies, so long after it was connected.
    pub(super) fn answered(&mut self, after: Duration) {
        self.reply.record_many(after, 1);
    }

    /// One has all that it wanted.
    pub(super) fn good(&mut self) {
        self.counts.good += 1;
    }

    /// One has ended in another way.
    pub(super) fn ended(&mut self, ending: Ending) {
        let counts = &mut self.counts;
        let (count, text) = match ending {
            Ending::ConnectRefused => (&mut counts.connect_refused, None),
            Ending::ConnectTimedOut => (&mut counts.connect_timed_out, None),
            Ending::ReplyTimedOut => (&mut counts.reply_timed_out, None),
            Ending::Closed => (&mut counts.closed, None),
            Ending::Refused(text) => (&mut counts.error_replies, Some(text)),
            Ending::Dropped(text) => (&mut counts.dropped, Some(text)),
            Ending::NoneLeftHere(text) => (&mut counts.none_left_here, Some(text)),
            Ending::TooManyOpen => (&mut counts.none_left_here, Some("--open-max".to_owned())),
            Ending::Failed(text) => (&mut counts.other_failures, Some(text)),
        };
        *count += 1;
        if let Some(text) = text {
            self.texts.add(&text, 1);
        }
    }

    /// Ends a second if it is over.
    pub(super) fn cut(&mut self, now: Instant) {
        if now.saturating_duration_since(self.cut) >= SECOND {
            self.end(now);
        }
    }

    /// Ends a second, whole or not.
    pub(super) fn end(&mut self, now: Instant) {
        let (attempts, good, failed) = self.counts.since(&self.seen);
        let recent = &self.connect_of_second;
        let figure = |value: f64| (recent.count() > 0).then_some(value);
        if attempts + good + failed > 0 {
            self.seconds.push(Second {
                end_s: now.saturating_duration_since(self.start).as_secs_f64(),
                attempts,
                good,
                failed,
                connect_p50_ms: figure(recent.percentile_ms(50.0)),
                connect_p99_ms: figure(recent.percentile_ms(99.0)),
                connect_max_ms: figure(recent.min_mean_max_ms().2),
            });
        }
        self.connect_of_second.clear();
        (self.seen, self.cut) = (self.counts, now);
    }

    /// What it came to.
    pub(super) fn counted(self) -> Counted {
        Counted {
            counts: self.counts,
            connect: LatencyFigures::of(&self.connect),
            reply: LatencyFigures::of(&self.reply),
            texts: self.texts,
            seconds: self.seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_counted_once_and_told_apart() {
        let mut tally = Tally::new().unwrap();
        let error = |code| Ending::of(&io::Error::from_raw_os_error(code));
        // Connection refused, reset, no address left, too many files.
        for ending in [
            error(111),
            error(104),
            error(99),
            error(24),
            Ending::ConnectTimedOut,
            Ending::ReplyTimedOut,
            Ending::TooManyOpen,
            Ending::Refused("ERR max number of clients reached".into()),
            Ending::Failed("x".into()),
        ] {
            tally.begun();
            tally.ended(ending);
        }
        tally.begun();
        tally.connected(Duration::from_millis(3));
        tally.answered(Duration::from_millis(2));
        tally.good();
        tally.ended(Ending::Dropped("closed".into()));
        tally.end(Instant::now());
        let counted = tally.counted();
        let counts = counted.counts;
        assert_eq!((counts.attempts, counts.good, counts.bad()), (10, 1, 10));
        assert_eq!((counts.connect_refused, counts.closed, counts.none_left_here), (1, 1, 3));
        assert_eq!((counts.error_replies, counts.other_failures, counts.dropped), (1, 1, 1));
        assert_eq!((counted.seconds.len(), counted.seconds[0].failed), (1, 10));
        assert_eq!((counted.connect.samples, counted.reply.samples), (1, 1));
    }
}
