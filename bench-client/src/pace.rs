//! When each request of an open-loop phase should start, and the thread that wakes the senders.
//!
//! Owns the schedule. Knows nothing of sockets or counting.
//! Invariant: intended times depend on the rate alone, never on how fast replies come; that is what
//! keeps a stalled server visible in the latencies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The longest the pacer sleeps before it looks whether the phase was stopped.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// One connection's share of a constant rate: every `connections`-th request of the common schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    rate: u64,
    connections: u64,
    next: u64,
}

impl Schedule {
    /// The schedule of one of `connections`, the one called `number`, at `rate` over all.
    pub(crate) fn new(rate: u64, number: u64, connections: u64) -> Schedule {
        Schedule { rate, connections, next: number }
    }

    /// When the next request should start, counted from the phase's start.
    pub(crate) fn next(&self) -> Duration {
        offset(self.next, self.rate)
    }

    /// Moves on to the request after it.
    pub(crate) fn advance(&mut self) {
        self.next += self.connections;
    }
}

/// When request `number` of the common schedule should start.
fn offset(number: u64, rate: u64) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Wakes each connection at its intended times until `end`, on the calling thread.
///
/// A thread of its own, because the runtime's timers are a millisecond coarse: several times the
/// latency of a Redis on the same network.
pub(crate) fn wake_on_schedule(
    connections: &[Arc<Notify>],
    rate: u64,
    start: Instant,
    end: Instant,
    stop: &AtomicBool,
) {
    let total = (end - start).as_nanos() * u128::from(rate) / 1_000_000_000;
    for number in 0..=u64::try_from(total).unwrap_or(u64::MAX) {
        let due = start + offset(number, rate);
        loop {
            let now = Instant::now();
            if now >= end || stop.load(Ordering::Relaxed) {
                return;
            }
            if now >= due {
                break;
            }
            std::thread::sleep((due - now).min(SLEEP_MAX));
        }
        // A permit that is not taken yet stays: the connection reads the clock itself.
        connections[(number % connections.len() as u64) as usize].notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_rate_evenly() {
        let mut times = Vec::new();
        for number in 0..3 {
            let mut schedule = Schedule::new(300, number, 3);
            while schedule.next() < Duration::from_secs(1) {
                times.push(schedule.next());
                schedule.advance();
            }
        }
        times.sort_unstable();
        assert_eq!(times.len(), 300);
        assert_eq!(times[150], Duration::from_millis(500));
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_stopped_phase_ends_the_pacer_at_once() {
        let start = Instant::now();
        let connections = [Arc::new(Notify::new())];
        let end = start + Duration::from_secs(3600);
        wake_on_schedule(&connections, 1, start, end, &AtomicBool::new(true));
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
