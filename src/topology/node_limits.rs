//! What the nodes themselves take: an argument, a request, an answer that waits.
//!
//! Owns the reading of those of their settings by which a node closes a connection. Clients share
//! connections: one whose request a node closes the connection for would take the requests of others
//! along. So what is larger than the smallest limit of all nodes is refused before it is sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time;

use crate::backend::Connection;
use crate::resp::Value;

/// The settings that are asked for; a server before Redis 7 takes one at a time.
const ASKED: [&[u8]; 3] =
    [b"proto-max-bulk-len", b"client-query-buffer-limit", b"client-output-buffer-limit"];

/// The limits of one node; `usize::MAX` where it has none, or does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Bytes of an argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Bytes of a request (`client-query-buffer-limit`).
    pub query_bytes_max: usize,
    /// Bytes of answers that wait for an ordinary client (`client-output-buffer-limit normal`).
    pub output_bytes_max: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        let none = usize::MAX;
        NodeLimits { bulk_bytes_max: none, query_bytes_max: none, output_bytes_max: none }
    }
}

impl NodeLimits {
    /// The smaller of each.
    pub fn and(self, other: NodeLimits) -> NodeLimits {
        NodeLimits {
            bulk_bytes_max: self.bulk_bytes_max.min(other.bulk_bytes_max),
            query_bytes_max: self.query_bytes_max.min(other.query_bytes_max),
            output_bytes_max: self.output_bytes_max.min(other.output_bytes_max),
        }
    }

    /// Asks a node. One that does not tell has none.
    pub async fn ask(connection: &mut Connection, timeout: Duration) -> Option<NodeLimits> {
        let asked = async {
            let mut words = Vec::with_capacity(ASKED.len());
            for name in ASKED {
                let reply = connection.ask(&[b"CONFIG", b"GET", name]).await.ok()?;
                words.push(value_of(&reply));
            }
            Some(NodeLimits::of(&words))
        };
        time::timeout(timeout, asked).await.ok()?
    }

    fn of(words: &[Option<String>]) -> NodeLimits {
        let word = |index: usize| words.get(index).and_then(Option::as_deref).unwrap_or("");
        let bytes = |word: &str| word.parse::<usize>().ok().filter(|bytes| *bytes > 0);
        // `normal HARD SOFT SECONDS slave …`: either of the two ends a connection, 0 is none.
        let mut classes = word(2).split_whitespace().skip_while(|word| *word != "normal").skip(1);
        let output = [classes.next(), classes.next()].into_iter().flatten().filter_map(bytes).min();
        NodeLimits {
            bulk_bytes_max: bytes(word(0)).unwrap_or(usize::MAX),
            query_bytes_max: bytes(word(1)).unwrap_or(usize::MAX),
            output_bytes_max: output.unwrap_or(usize::MAX),
        }
    }
}

/// The value in the reply of `CONFIG GET` for one setting.
fn value_of(reply: &Value) -> Option<String> {
    reply.as_array()?.get(1)?.as_str().map(str::to_owned)
}

/// The limits of all nodes, for readers on any thread.
#[derive(Debug)]
pub struct SharedLimits {
    bulk_bytes_max: AtomicUsize,
    query_bytes_max: AtomicUsize,
}

impl Default for SharedLimits {
    fn default() -> Self {
        let none = || AtomicUsize::new(usize::MAX);
        SharedLimits { bulk_bytes_max: none(), query_bytes_max: none() }
    }
}

impl SharedLimits {
    /// These are the limits now.
    pub fn set(&self, limits: NodeLimits) {
        self.bulk_bytes_max.store(limits.bulk_bytes_max, Ordering::Relaxed);
        self.query_bytes_max.store(limits.query_bytes_max, Ordering::Relaxed);
    }

    /// Bytes of an argument, and of a request, that every node takes.
    pub fn get(&self) -> (usize, usize) {
        let (bulk, query) = (&self.bulk_bytes_max, &self.query_bytes_max);
        (bulk.load(Ordering::Relaxed), query.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(words: [&str; 3]) -> [usize; 3] {
        let words = words.map(|word| Some(word.to_owned()));
        let limits = NodeLimits::of(&words);
        [limits.bulk_bytes_max, limits.query_bytes_max, limits.output_bytes_max]
    }

    #[test]
    fn settings_are_read() {
        let none = usize::MAX;
        let usual = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(limits(["536870912", "1073741824", usual]), [536_870_912, 1 << 30, none]);
        assert_eq!(limits(["1000", "0", "slave 1 2 3 normal 5000 0 0"]), [1000, none, 5000]);
        assert_eq!(limits(["", "x", "normal 5000 3000 60"]), [none, none, 3000]);
        assert_eq!(limits(["-1", "-1", "normal"]), [none, none, none]);
        assert_eq!(NodeLimits::of(&[None]), NodeLimits::default());
    }

    #[test]
    fn the_smallest_counts() {
        let one = NodeLimits { bulk_bytes_max: 5, ..NodeLimits::default() };
        let other = NodeLimits { bulk_bytes_max: 9, query_bytes_max: 7, output_bytes_max: 3 };
        let both = NodeLimits { bulk_bytes_max: 5, query_bytes_max: 7, output_bytes_max: 3 };
        assert_eq!(one.and(other), both);
        let shared = SharedLimits::default();
        assert_eq!(shared.get(), (usize::MAX, usize::MAX));
        shared.set(both);
        assert_eq!(shared.get(), (5, 7));
    }
}
