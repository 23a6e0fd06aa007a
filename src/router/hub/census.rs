//! How many clients of the whole gateway are subscribed to what.
//!
//! Owns the counts, which all workers share, and what PUBLISH answers: a node counts the gateway's
//! subscriptions, of which there is one per worker, where clients are to be counted. Must not know
//! clients, nor nodes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::command::Topic;
use crate::glob::{self, Case};
use crate::resp::number::{Line, integer_line};
use crate::resp::write;

/// The subscriptions to one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Of clients.
    clients: usize,
    /// Of workers, at the node to which is published.
    workers: usize,
}

type Counts = HashMap<Box<[u8]>, Count>;

/// The counts.
#[derive(Debug, Default)]
pub struct Census {
    counts: Mutex<[Counts; 3]>,
    names: AtomicUsize,
}

impl Census {
    fn counts(&self) -> MutexGuard<'_, [Counts; 3]> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, topic: Topic, name: &[u8], change: impl FnOnce(&mut Count)) {
        let mut counts = self.counts();
        let counts = &mut counts[topic as usize];
        if let Some(count) = counts.get_mut(name) {
            change(count);
            if *count == Count::default() {
                counts.remove(name);
                self.names.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        let mut count = Count::default();
        change(&mut count);
        if count != Count::default() {
            counts.insert(name.into(), count);
            self.names.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn add_client(&self, topic: Topic, name: &[u8]) {
        self.change(topic, name, |count| count.clients += 1);
    }

    pub(super) fn remove_client(&self, topic: Topic, name: &[u8]) {
        self.change(topic, name, |count| count.clients = count.clients.saturating_sub(1));
    }

    /// A worker is subscribed where the name's messages are published, or is not any more.
    pub(super) fn note_worker(&self, topic: Topic, name: &[u8], is_subscribed: bool) {
        self.change(topic, name, |count| match is_subscribed {
            true => count.workers += 1,
            false => count.workers = count.workers.saturating_sub(1),
        });
    }

    /// Whether nobody is subscribed to anything.
    pub fn is_empty(&self) -> bool {
        self.names.load(Ordering::Relaxed) == 0
    }

    /// Names with subscribed clients, those that fit the pattern if there is one.
    pub fn names(&self, topic: Topic, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let fits = |name: &[u8]| pattern.is_none_or(|p| glob::matches(p, name, Case::Matters));
        let counts = self.counts();
        let known = counts[topic as usize].iter().filter(|(_, count)| count.clients > 0);
        known.filter(|(name, _)| fits(name)).map(|(name, _)| name.clone()).collect()
    }

    /// How many clients are subscribed to a name.
    pub fn clients(&self, topic: Topic, name: &[u8]) -> usize {
        self.counts()[topic as usize].get(name).map_or(0, |count| count.clients)
    }

    /// Names with subscribed clients, of each kind.
    pub fn sizes(&self) -> [usize; 3] {
        let counts = self.counts();
        [0, 1, 2]
            .map(|topic: usize| counts[topic].values().filter(|count| count.clients > 0).count())
    }

    /// How many clients have received what was published on a channel, when a node tells that
    /// `receivers` of its own have.
    fn receivers(&self, topic: Topic, channel: &[u8], receivers: i64) -> i64 {
        let counts = self.counts();
        let (mut clients, mut workers) = (0, 0);
        let mut add = |count: &Count| {
            clients += count.clients;
            workers += count.workers;
        };
        if let Some(count) = counts[topic as usize].get(channel) {
            add(count);
        }
        if topic == Topic::Channel {
            let patterns = counts[Topic::Pattern as usize].iter();
            let fits = |name: &[u8]| glob::matches(name, channel, Case::Matters);
            patterns.filter(|(name, _)| fits(name)).for_each(|(_, count)| add(count));
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        (receivers - number(workers)).max(0).saturating_add(number(clients))
    }

    /// A node's reply to PUBLISH, made right.
    pub fn corrected(&self, topic: Topic, channel: &[u8], reply: &[u8]) -> Vec<u8> {
        let Line::Integer { value, .. } = integer_line(reply) else { return reply.to_vec() };
        let mut out = Vec::new();
        write::integer(&mut out, self.receivers(topic, channel, value));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_clients_and_not_workers() {
        let census = Census::default();
        assert!(census.is_empty());
        assert_eq!(census.corrected(Topic::Channel, b"news", b":3\r\n"), b":3\r\n");
        for _ in 0..5 {
            census.add_client(Topic::Channel, b"news");
        }
        census.add_client(Topic::Pattern, b"ne*");
        census.add_client(Topic::Pattern, b"xe*");
        for (topic, name) in [(Topic::Channel, "news"), (Topic::Channel, "news")] {
            census.note_worker(topic, name.as_bytes(), true);
        }
        census.note_worker(Topic::Pattern, b"ne*", true);
        // Three of ours, and one client that is at the node itself.
        assert_eq!(census.corrected(Topic::Channel, b"news", b":4\r\n"), b":7\r\n");
        // One of ours has just gone.
        assert_eq!(census.corrected(Topic::Channel, b"news", b":2\r\n"), b":6\r\n");
        assert_eq!(census.corrected(Topic::Shard, b"news", b":1\r\n"), b":1\r\n");
        assert_eq!(census.corrected(Topic::Channel, b"news", b"-ERR x\r\n"), b"-ERR x\r\n");
        assert_eq!(census.sizes(), [1, 2, 0]);
        assert_eq!(census.names(Topic::Channel, Some(b"n*")), [Box::from(&b"news"[..])]);
        assert!(census.names(Topic::Channel, Some(b"N*")).is_empty());
        assert_eq!(census.clients(Topic::Channel, b"news"), 5);
        for _ in 0..5 {
            census.remove_client(Topic::Channel, b"news");
        }
        census.note_worker(Topic::Channel, b"news", false);
        census.note_worker(Topic::Channel, b"news", false);
        assert!(census.names(Topic::Channel, None).is_empty());
        assert!(!census.is_empty(), "the patterns");
    }
}
