//! The counters of the data path: plain blocks of numbers, one writer each.
//!
//! Owns the counting itself. Must not know names, labels or scrapes. Invariant: a block is written
//! by one worker only, so an addition is a load and a store without a lock prefix; a scrape may
//! read at any time and adds the workers up.

use std::time::{Duration, Instant};

use super::count::Count;
use super::waits::Waits;

/// Upper bounds of the latency buckets in microseconds; a last one takes the rest.
pub const BUCKETS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// A latency, and which of [`BUCKETS_US`] it is in: found once for all blocks that count it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    us: u64,
    at: usize,
}

impl Bucket {
    /// A latency of that many microseconds.
    #[inline]
    pub fn of(us: u64) -> Bucket {
        let at = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        Bucket { us, at }
    }
}

/// Latencies, counted in [`BUCKETS_US`].
#[derive(Debug, Default)]
pub struct Latencies {
    buckets: [Count; BUCKETS_US.len() + 1],
    sum_us: Count,
}

impl Latencies {
    /// Counts one latency.
    #[inline]
    pub fn record(&self, Bucket { us, at }: Bucket) {
        self.buckets[at].add(1);
        self.sum_us.add(us);
    }

    /// Adds this block to a sum: counts per bucket, and the sum of all latencies.
    pub fn add_to(&self, counts: &mut [u64; BUCKETS_US.len() + 1], sum_us: &mut u64) {
        for (total, bucket) in counts.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        *sum_us += self.sum_us.get();
    }
}

/// Signs of life of one worker.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    last_us: Count,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { start: Instant::now(), last_us: Count::default() }
    }
}

impl Pulse {
    /// Gives a sign. Only its owner may.
    pub fn beat(&self) {
        self.last_us.set(self.start.elapsed().as_micros() as u64);
    }

    /// How long ago the last sign was; since the beginning before the first.
    pub fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_micros(self.last_us.get()))
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a reply that is no error.
    Ok = 0,
    /// With an error that a node gave.
    Error = 1,
    /// With an error that the gateway gave.
    GatewayError = 2,
}

/// Number of [`Outcome`]s.
pub const OUTCOMES: usize = 3;
/// All [`Outcome`]s as label values, in order.
pub const RESULTS: [&str; OUTCOMES] = ["ok", "error", "slotway_error"];
/// Number of command classes that have a latency histogram.
pub const CLASSES: usize = 7;

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Per row of the command table and outcome.
    commands: Vec<[Count; OUTCOMES]>,
    /// From reading a request to having its reply, per command class.
    pub latencies: [Latencies; CLASSES],
    /// Clients at the moment.
    pub connections: Count,
    /// Bytes read from clients.
    pub received_bytes: Count,
    /// Bytes written to clients.
    pub sent_bytes: Count,
    /// Bytes that wait for clients to read them, and half-read requests.
    pub client_buffered_bytes: Count,
    /// Requests on their way; looked at now and then.
    pub inflight: Count,
    /// Protocol errors of clients.
    pub protocol_errors: Count,
    /// `-MOVED` replies followed.
    pub moved: Count,
    /// `-ASK` replies followed.
    pub asked: Count,
    /// Requests sent again because a node could not serve them.
    pub retried_unavailable: Count,
    /// Requests sent again because a connection was lost.
    pub retried_lost: Count,
    /// Requests split over several slots.
    pub split: Count,
    /// Requests refused because their keys are in several slots.
    pub cross_slot: Count,
    /// Rounds of commands over all masters that did not show that all had been asked.
    pub unproved: Count,
    /// Scripts and functions without keys that were sent to one node.
    pub keyless_scripts: Count,
    /// Subscriptions of clients at the moment.
    pub subscriptions: Count,
    /// Messages that nodes have sent to the gateway.
    pub messages: Count,
    /// Copies of messages given to clients.
    pub deliveries: Count,
    /// Times that messages may have been missed.
    pub message_gaps: Count,
    /// Subscriptions that have gone from one node to another without a gap.
    pub handovers: Count,
    /// Messages for clients that track keys.
    pub invalidations: Count,
    /// Bytes of requests held for a slot without a master.
    pub held_bytes: Count,
    /// Times a client was not read from because something of it was full.
    pub pauses: Count,
    /// Clients that are not read from because too much memory is in use.
    pub memory_waits: Waits,
    /// The most that is kept of one client's requests, and for one client to read; looked at now
    /// and then.
    pub largest_buffers: [Count; 2],
    /// Clients whose connection ended, per reason of [`DISCONNECTS`].
    pub disconnects: [Count; DISCONNECTS.len()],
    /// Microseconds this worker was not waiting for events.
    pub busy_us: Count,
    /// What it used of its core of late, in percent; more when that went into large replies.
    pub load_percent: Count,
    /// The latest that a timer fired within the last half minute, in microseconds.
    pub loop_lag_us: Count,
    /// That it still runs.
    pub pulse: Pulse,
}

/// Why a client's connection ended: the label values of its counter.
pub const DISCONNECTS: [&str; 10] = [
    "client",
    "idle",
    "output_limit",
    "protocol",
    "killed",
    "drained",
    "failed",
    "half_reply",
    "memory",
    "no_auth",
];

/// Why a client was turned away before it was one: the label values of its counter.
pub const REJECTIONS: [&str; 3] = ["clients_max", "denied", "failed"];

impl WorkerStats {
    /// A block for that many command rows; rows beyond are counted in the last one.
    pub fn new(command_rows: usize) -> WorkerStats {
        WorkerStats {
            commands: (0..=command_rows).map(|_| Default::default()).collect(),
            latencies: Default::default(),
            connections: Count::default(),
            received_bytes: Count::default(),
            sent_bytes: Count::default(),
            client_buffered_bytes: Count::default(),
            inflight: Count::default(),
            protocol_errors: Count::default(),
            moved: Count::default(),
            asked: Count::default(),
            retried_unavailable: Count::default(),
            retried_lost: Count::default(),
            split: Count::default(),
            cross_slot: Count::default(),
            unproved: Count::default(),
            keyless_scripts: Count::default(),
            subscriptions: Count::default(),
            messages: Count::default(),
            deliveries: Count::default(),
            message_gaps: Count::default(),
            handovers: Count::default(),
            invalidations: Count::default(),
            held_bytes: Count::default(),
            pauses: Count::default(),
            memory_waits: Waits::default(),
            largest_buffers: Default::default(),
            disconnects: Default::default(),
            busy_us: Count::default(),
            load_percent: Count::default(),
            loop_lag_us: Count::default(),
            pulse: Pulse::default(),
        }
    }

    /// Counts one answered command.
    #[inline]
    pub fn command(&self, row: u16, outcome: Outcome) {
        let row = usize::from(row).min(self.commands.len() - 1);
        self.commands[row][outcome as usize].add(1);
    }

    /// The counts of every row; the last one is "other".
    pub fn commands(&self) -> impl Iterator<Item = [u64; OUTCOMES]> + '_ {
        self.commands.iter().map(|row| [row[0].get(), row[1].get(), row[2].get()])
    }
}

/// Why a node's connection failed, by which replies a node declined for the moment, and that its
/// reply to a script was not one reply: the label values of its counter.
pub const NODE_ERRORS: [&str; 16] = [
    "io",
    "timeout",
    "connect",
    "auth",
    "wrong_node",
    "protocol",
    "refused",
    "busy",
    "maxclients",
    "tryagain",
    "clusterdown",
    "loading",
    "readonly",
    "masterdown",
    "bad_redirect",
    "script_reply",
];

/// What one worker counts about one node.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct NodeStats {
    /// Requests answered.
    pub requests: Count,
    /// Requests without an answer yet.
    pub inflight: Count,
    /// Clients that wait for their turn to send it a request.
    pub turns: Waits,
    /// Connections that somebody has alone at the moment.
    pub leased: Count,
    /// Those who wait for one.
    pub lease_waits: Waits,
    /// Open connections.
    pub connections: Count,
    /// Connections made.
    pub connects: Count,
    /// Failures, by kind.
    pub errors: [Count; NODE_ERRORS.len()],
    /// From reading the client's request to having the node's reply.
    pub latencies: Latencies,
}

impl NodeStats {
    /// Counts a failure by its kind.
    pub fn error(&self, kind: &str) {
        if let Some(index) = NODE_ERRORS.iter().position(|known| *known == kind) {
            self.errors[index].add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_grows_until_the_next_beat() {
        let mut pulse = Pulse::default();
        pulse.start -= Duration::from_millis(2);
        assert!(pulse.silence() >= Duration::from_millis(2));
        let asked = Instant::now();
        pulse.beat();
        assert!(pulse.silence() <= asked.elapsed() + Duration::from_micros(1));
    }
}
