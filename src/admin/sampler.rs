//! Rates and percentiles of the last seconds, and of the last hour: made of the counters.
//!
//! Owns the time between two samples, and how many are kept. Must not know who looks at them. It only
//! reads counters that are there anyway, so it costs the workers nothing; its memory is bounded by the
//! length of the hour, the number of nodes and the rows of the command table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::collect::command_counts;
use crate::command::Class;
use crate::metrics::Count;
use crate::metrics::exposition::BucketCounts;
use crate::metrics::stats::{BUCKETS_US, CLASSES, OUTCOMES, Outcome};
use crate::metrics::{NodeStats, WorkerStats};
use crate::server::Gateway;

/// Samples of an hour, at [`super::UPKEEP_EVERY`].
pub(super) const SAMPLES_MAX: usize = 720;
/// Nodes that are told of by themselves.
const NODES_MAX: usize = 1024;

/// What happened a second, and how long it took, between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// Requests answered a second.
    pub requests_per_s: f64,
    /// Of these, with an error.
    pub errors_per_s: f64,
    /// Bytes a second from clients.
    pub received_per_s: f64,
    /// Bytes a second to clients.
    pub sent_per_s: f64,
    /// Messages a second to subscribers.
    pub messages_per_s: f64,
    /// Milliseconds that half of the requests took at most, but for those that wait; null without any.
    pub p50_ms: Option<f64>,
    /// The same of 99 in a hundred.
    pub p99_ms: Option<f64>,
    /// Clients connected.
    pub clients: usize,
    /// Bytes in all buffers that can grow.
    pub memory_bytes: usize,
}

/// One of many that are told apart: a node, a command, a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rate {
    /// Requests answered a second.
    pub requests_per_s: f64,
    /// Errors a second.
    pub errors_per_s: f64,
    /// Milliseconds that half of them took at most; null without any.
    pub p50_ms: Option<f64>,
    /// The same of 99 in a hundred.
    pub p99_ms: Option<f64>,
}

/// The counters at one moment.
#[derive(Debug, Default)]
struct Totals {
    commands: Vec<[u64; OUTCOMES]>,
    classes: [BucketCounts; CLASSES],
    received: u64,
    sent: u64,
    messages: u64,
    nodes: HashMap<Arc<str>, NodeTotals>,
}

#[derive(Clone, Copy, Debug, Default)]
struct NodeTotals {
    requests: u64,
    errors: u64,
    latencies: BucketCounts,
}

/// Looks at the counters again and again.
#[derive(Debug)]
pub(super) struct Sampler {
    /// The last look.
    then: (Instant, Totals),
    /// The latest last.
    hour: VecDeque<Sample>,
    nodes: HashMap<Arc<str>, Rate>,
    /// By row of the command table: requests and errors a second.
    commands: Vec<(f64, f64)>,
    classes: [Rate; CLASSES],
}

impl Sampler {
    /// Begins with the counters as they are.
    pub(super) fn new(gateway: &Gateway, now: Instant) -> Sampler {
        Sampler {
            then: (now, Totals::of(gateway)),
            hour: VecDeque::new(),
            nodes: HashMap::new(),
            commands: Vec::new(),
            classes: Default::default(),
        }
    }

    /// Takes a sample.
    pub(super) fn sample(&mut self, gateway: &Gateway, now: Instant) {
        let elapsed = now.saturating_duration_since(self.then.0);
        if elapsed < Duration::from_millis(100) {
            return;
        }
        let totals = Totals::of(gateway);
        let per_s = PerSecond(elapsed);
        let before = &self.then.1;
        self.commands = per_s.commands(&before.commands, &totals.commands);
        self.classes = std::array::from_fn(|class| {
            per_s.latencies(&before.classes[class], &totals.classes[class])
        });
        self.nodes = totals
            .nodes
            .iter()
            .map(|(name, node)| {
                let before = before.nodes.get(name).copied().unwrap_or_default();
                (Arc::clone(name), per_s.node(&before, node))
            })
            .collect();
        let sample = Sample {
            clients: gateway.clients.count(),
            memory_bytes: gateway.budget.used(),
            ..per_s.all(before, &totals)
        };
        if self.hour.len() >= SAMPLES_MAX {
            self.hour.pop_front();
        }
        self.hour.push_back(sample);
        self.then = (now, totals);
    }

    /// The samples of the last hour, the latest last.
    pub(super) fn hour(&self) -> impl DoubleEndedIterator<Item = &Sample> {
        self.hour.iter()
    }

    /// What one node did.
    pub(super) fn node(&self, name: &str) -> Rate {
        self.nodes.get(name).copied().unwrap_or_default()
    }

    /// What came of one class of commands.
    pub(super) fn class(&self, class: Class) -> Rate {
        self.classes[class as usize]
    }

    /// Requests and errors a second, by row of the command table; the last row is that of all others.
    pub(super) fn commands(&self) -> &[(f64, f64)] {
        &self.commands
    }
}

impl Totals {
    fn of(gateway: &Gateway) -> Totals {
        let mut totals = Totals { commands: command_counts(gateway), ..Totals::default() };
        for worker in &gateway.workers {
            totals.add(&worker.stats);
        }
        gateway.cluster.registry.for_each(|name, blocks| {
            if totals.nodes.len() < NODES_MAX {
                totals.nodes.insert(name.into(), NodeTotals::of(blocks));
            }
        });
        totals
    }

    fn add(&mut self, stats: &WorkerStats) {
        for (counts, latencies) in self.classes.iter_mut().zip(&stats.latencies) {
            latencies.add_to(counts, &mut 0);
        }
        self.received += stats.received_bytes.get();
        self.sent += stats.sent_bytes.get();
        self.messages += stats.deliveries.get();
    }
}

impl NodeTotals {
    fn of(blocks: &[Arc<NodeStats>]) -> NodeTotals {
        let mut totals = NodeTotals::default();
        for block in blocks {
            totals.requests += block.requests.get();
            totals.errors += block.errors.iter().map(Count::get).sum::<u64>();
            block.latencies.add_to(&mut totals.latencies, &mut 0);
        }
        totals
    }
}

/// Counters at both ends of a time, as rates.
struct PerSecond(Duration);

impl PerSecond {
    fn rate(&self, before: u64, after: u64) -> f64 {
        after.saturating_sub(before) as f64 / self.0.as_secs_f64()
    }

    fn commands(&self, before: &[[u64; OUTCOMES]], after: &[[u64; OUTCOMES]]) -> Vec<(f64, f64)> {
        let none = [0; OUTCOMES];
        let rows = after.iter().enumerate();
        rows.map(|(row, now)| {
            let then = before.get(row).unwrap_or(&none);
            let errors = |counts: &[u64; OUTCOMES]| {
                counts.iter().sum::<u64>() - counts[Outcome::Ok as usize]
            };
            (self.rate(then.iter().sum(), now.iter().sum()), self.rate(errors(then), errors(now)))
        })
        .collect()
    }

    fn latencies(&self, before: &BucketCounts, after: &BucketCounts) -> Rate {
        let between = difference(before, after);
        Rate {
            requests_per_s: self.rate(0, between.iter().sum()),
            errors_per_s: 0.0,
            p50_ms: percentile_ms(&between, 0.5),
            p99_ms: percentile_ms(&between, 0.99),
        }
    }

    fn node(&self, before: &NodeTotals, after: &NodeTotals) -> Rate {
        Rate {
            requests_per_s: self.rate(before.requests, after.requests),
            errors_per_s: self.rate(before.errors, after.errors),
            ..self.latencies(&before.latencies, &after.latencies)
        }
    }

    fn all(&self, before: &Totals, after: &Totals) -> Sample {
        let sums = self.commands(&before.commands, &after.commands);
        let mut latencies = BucketCounts::default();
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Blocking) {
            let between =
                difference(&before.classes[class as usize], &after.classes[class as usize]);
            latencies.iter_mut().zip(between).for_each(|(sum, count)| *sum += count);
        }
        Sample {
            requests_per_s: sums.iter().map(|(requests, _)| requests).sum(),
            errors_per_s: sums.iter().map(|(_, errors)| errors).sum(),
            received_per_s: self.rate(before.received, after.received),
            sent_per_s: self.rate(before.sent, after.sent),
            messages_per_s: self.rate(before.messages, after.messages),
            p50_ms: percentile_ms(&latencies, 0.5),
            p99_ms: percentile_ms(&latencies, 0.99),
            clients: 0,
            memory_bytes: 0,
        }
    }
}

fn difference(before: &BucketCounts, after: &BucketCounts) -> BucketCounts {
    std::array::from_fn(|at| after[at].saturating_sub(before[at]))
}

/// Estimated as if latencies were spread evenly within their bucket; those beyond the last bound count
/// as that bound.
fn percentile_ms(counts: &BucketCounts, quantile: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let wanted = (total as f64 * quantile).max(1.0);
    let mut below = 0.0;
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= wanted {
            let low = if at == 0 { 0 } else { BUCKETS_US[at - 1] };
            let high = BUCKETS_US.get(at).copied().unwrap_or(low);
            let us = low as f64 + (high - low) as f64 * (wanted - below) / count;
            return Some(us / 1000.0);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_their_bucket() {
        let mut counts = BucketCounts::default();
        assert_eq!(percentile_ms(&counts, 0.5), None);
        counts[1] = 100;
        assert_eq!(percentile_ms(&counts, 0.5), Some(0.075));
        counts[4] = 1;
        assert_eq!(percentile_ms(&counts, 0.99), Some((50.0 + 50.0 * 0.9999) / 1000.0));
        assert_eq!(percentile_ms(&counts, 1.0), Some(1.0));
        counts[BUCKETS_US.len()] = 1000;
        assert_eq!(percentile_ms(&counts, 0.99), Some(10_000.0));
    }

    #[test]
    fn rates_are_of_the_time_between_and_never_negative() {
        let per_s = PerSecond(Duration::from_secs(2));
        let rates = per_s.commands(&[[4, 1, 0]], &[[8, 1, 2], [2, 0, 0]]);
        assert_eq!(rates, [(3.0, 1.0), (1.0, 0.0)]);
        assert_eq!(per_s.rate(5, 3), 0.0);
    }
}
