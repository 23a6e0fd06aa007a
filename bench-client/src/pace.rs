//! When each request of an open-loop phase should start, and whose turn it is.
//!
//! Owns the schedule. Knows nothing of sockets or counting.
//! Invariant: intended times depend on the rate alone, never on how fast replies come; that is what
//! keeps a stalled server visible in the latencies.

use std::time::{Duration, Instant};

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

    /// When the requests that are due should have started, from the first that was not taken yet.
    pub(crate) fn due(
        &mut self,
        start: Instant,
        now: Instant,
        until: Instant,
    ) -> impl Iterator<Item = Instant> {
        std::iter::from_fn(move || {
            let next = start + offset(self.next, self.rate);
            if next > now || next >= until {
                return None;
            }
            self.next += self.connections;
            Some(next)
        })
    }
}

/// Whose turn it is among the connections of one thread, which has each `step`-th of all.
#[derive(Debug)]
pub(crate) struct Turns {
    rate: u64,
    connections: u64,
    first: u64,
    step: u64,
    /// How often all had their turn, and whose it is now.
    round: u64,
    place: u64,
}

impl Turns {
    /// The turns of the connections `first`, `first + step`, and so on, of `connections`.
    pub(crate) fn new(rate: u64, connections: u64, first: u64, step: u64) -> Turns {
        Turns { rate, connections, first, step: step.max(1), round: 0, place: 0 }
    }

    /// When it is somebody's turn, counted from the phase's start.
    pub(crate) fn next(&self) -> Duration {
        let number = self.round * self.connections + self.first + self.place * self.step;
        offset(number, self.rate)
    }

    /// The place of somebody whose turn it is, `elapsed` after the start. Who has missed several
    /// turns takes them all at once, so nobody is told more than twice, however late it is.
    pub(crate) fn due(&mut self, elapsed: Duration) -> impl Iterator<Item = usize> {
        let passed = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        let round = u64::try_from(passed).unwrap_or(u64::MAX) / self.connections.max(1);
        if round > self.round + 1 {
            (self.round, self.place) = (round - 1, 0);
        }
        std::iter::from_fn(move || {
            if self.next() > elapsed {
                return None;
            }
            let place = self.place;
            self.place += 1;
            if self.first + self.place * self.step >= self.connections {
                (self.round, self.place) = (self.round + 1, 0);
            }
            Some(place as usize)
        })
    }
}

/// When request `number` of the common schedule should start.
fn offset(number: u64, rate: u64) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_rate_evenly() {
        let start = Instant::now();
        let end = start + Duration::from_secs(1);
        let mut times = Vec::new();
        for number in 0..3 {
            times.extend(Schedule::new(300, number, 3).due(start, end, end));
        }
        times.sort_unstable();
        assert_eq!(times.len(), 300);
        assert_eq!(times[150], start + Duration::from_millis(500));
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn every_connection_has_its_turn_in_time() {
        // Connections 1, 4 and 7 of 8, a request each millisecond.
        let mut turns = Turns::new(1000, 8, 1, 3);
        let mut told = Vec::new();
        for millis in 0..20 {
            let elapsed = Duration::from_millis(millis);
            told.extend(turns.due(elapsed).map(|place| (millis, place)));
        }
        let rounds = [(1, 0), (4, 1), (7, 2), (9, 0), (12, 1), (15, 2), (17, 0)];
        assert_eq!(told, rounds);
        assert_eq!(turns.next(), Duration::from_millis(20));
    }

    #[test]
    fn turns_that_were_missed_are_not_told_one_by_one() {
        let mut turns = Turns::new(10_000_000, 5, 0, 1);
        let told: Vec<usize> = turns.due(Duration::from_secs(3600)).collect();
        assert!(told.len() <= 11 && (0..5).all(|place| told.contains(&place)), "{told:?}");
        assert!(turns.next() > Duration::from_secs(3600));
    }
}
