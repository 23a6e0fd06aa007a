//! Writes the keys a GET phase will read, and removes them afterwards.
//!
//! Owns the unmeasured traffic of a sweep. Knows nothing of phases or figures.
//! Invariant: a key is marked as written only after the target acknowledged it; passes, pipelines and
//! patience have a limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Failure, Target};
use crate::payload::Payload;
use crate::request::Request;
use crate::resp::{Reply, Want};
use crate::tally::ErrorTexts;

/// Passes over the keys that are left, and how many of those may achieve nothing.
const PASSES_MAX: usize = 10;
const IDLE_PASSES_MAX: usize = 3;

/// How long the target may be out of reach before the rest is given up, and the pause between tries.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Commands, and about how many bytes of values, sent at once.
const PIPELINE_MAX: usize = 100;
const PIPELINE_BYTES: usize = 4 * 1024 * 1024;

/// The keys of one size and the way to the target.
pub(crate) struct KeySet<'a> {
    /// Where they live.
    pub(crate) target: &'a Target,
    /// Names and values.
    pub(crate) payload: &'a Payload,
    /// The size's payload length.
    pub(crate) bytes: usize,
    /// One flag per key: whether it is known to be written.
    pub(crate) written: &'a [AtomicBool],
    /// The keys that the target has; without them, all.
    pub(crate) numbers: Option<&'a [u64]>,
}

/// What an unmeasured pass over keys came to.
#[derive(Debug, Default)]
pub(crate) struct PassResult {
    /// Keys the target acknowledged.
    pub(crate) done: u64,
    /// Keys given up.
    pub(crate) failed: u64,
    /// Why tries failed; also those that succeeded later.
    pub(crate) errors: ErrorTexts,
}

impl PassResult {
    /// Adds another's to this.
    pub(crate) fn merge(&mut self, other: &PassResult) {
        self.done += other.done;
        self.failed += other.failed;
        self.errors.merge(&other.errors);
    }
}

impl KeySet<'_> {
    fn all(&self) -> Vec<u64> {
        self.numbers.map_or_else(|| (0..self.written.len() as u64).collect(), <[u64]>::to_vec)
    }

    /// Writes every key that is not known to be written, whatever a SET phase left out.
    pub(crate) fn fill(&self, stop: &AtomicBool) -> PassResult {
        let is_written = |number: &u64| self.written[*number as usize].load(Ordering::Relaxed);
        let missing = self.all().into_iter().filter(|number| !is_written(number));
        let batch = (PIPELINE_BYTES / self.bytes.max(1)).clamp(1, PIPELINE_MAX);
        let result = self.pass(missing.collect(), batch, Action::Fill, stop);
        debug_assert!(result.failed > 0 || self.all().iter().all(is_written));
        result
    }

    /// Removes every key of this size. One UNLINK per key, pipelined: a command over many keys would
    /// be refused by a target that does not split it over slots.
    pub(crate) fn unlink(&self) -> PassResult {
        self.pass(self.all(), PIPELINE_MAX, Action::Unlink, &AtomicBool::new(false))
    }

    fn pass(
        &self,
        mut left: Vec<u64>,
        batch: usize,
        action: Action,
        stop: &AtomicBool,
    ) -> PassResult {
        let mut result = PassResult::default();
        let all = left.len();
        let mut connection = None;
        let mut last_contact = Instant::now();
        let mut idle_passes = 0;
        for _ in 0..PASSES_MAX {
            let before = left.len();
            let mut again = Vec::new();
            for numbers in left.chunks(batch) {
                // Out of reach for so long, or stopped: what is left is not tried.
                if last_contact.elapsed() > PATIENCE || stop.load(Ordering::Relaxed) {
                    again.extend_from_slice(numbers);
                    continue;
                }
                again.extend(self.send(&mut connection, numbers, action, &mut result.errors));
                match connection {
                    Some(_) => last_contact = Instant::now(),
                    None => std::thread::sleep(PAUSE),
                }
            }
            left = again;
            let done = left.is_empty() || last_contact.elapsed() > PATIENCE;
            idle_passes += usize::from(left.len() == before);
            if done || idle_passes == IDLE_PASSES_MAX || stop.load(Ordering::Relaxed) {
                break;
            }
        }
        result.failed = left.len() as u64;
        result.done = all as u64 - result.failed;
        result
    }

    /// Sends one pipeline; returns the keys that were not acknowledged.
    fn send(
        &self,
        connection: &mut Option<Connection>,
        numbers: &[u64],
        action: Action,
        errors: &mut ErrorTexts,
    ) -> Vec<u64> {
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(self.target) {
                Ok(open) => open,
                Err(failure) => {
                    errors.add(&failure.to_string(), 1);
                    return numbers.to_vec();
                }
            },
        };
        let mut good = vec![false; numbers.len()];
        match self.exchange(&mut open, numbers, action, (&mut good, errors)) {
            Ok(()) => *connection = Some(open),
            Err(failure) => errors.add(&failure.to_string(), 1),
        }
        numbers.iter().zip(good).filter(|(_, good)| !good).map(|(number, _)| *number).collect()
    }

    fn exchange(
        &self,
        connection: &mut Connection,
        numbers: &[u64],
        action: Action,
        (good, errors): (&mut [bool], &mut ErrorTexts),
    ) -> Result<(), Failure> {
        let mut names = vec![String::new(); numbers.len()];
        for (name, number) in names.iter_mut().zip(numbers) {
            self.payload.write_key(self.bytes, *number, name);
        }
        let pairs = names.iter().zip(numbers);
        let requests: Vec<Request<'_>> =
            pairs.map(|(name, number)| self.request(name, *number, action)).collect();
        connection.exchange(&requests, |place, reply| match (action, reply) {
            (Action::Fill, Reply::Ok) => {
                good[place] = true;
                self.written[numbers[place] as usize].store(true, Ordering::Relaxed);
            }
            (Action::Unlink, Reply::Integer(_)) => good[place] = true,
            (_, Reply::Error(text)) => errors.add(&text, 1),
            (_, other) => errors.add(&format!("unexpected reply: {other:?}"), 1),
        })
    }

    fn request<'a>(&'a self, name: &'a str, number: u64, action: Action) -> Request<'a> {
        match action {
            Action::Fill => Request::set(name, self.payload.value(self.bytes, number)),
            Action::Unlink => Request {
                verb: "UNLINK",
                first: Some(name.as_bytes()),
                second: None,
                want: Want::Keep(0),
            },
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Fill,
    Unlink,
}
