//! Streams that hand work on: one puts, one waits for it.
//!
//! Owns what is sent, and the last look at what is where. A consumer waits before there is something to
//! take, so that faults meet waiting clients. What it takes stays in the cluster: in a list of what is
//! done, or in the stream. So at the end each element must be there once, whoever has been told of it.

use slotway::resp::Value;

use super::Kind;
use super::ledger::{Fault, Missing};
use super::stream::{Outcome, Stream};
use crate::link::Link;

/// How long a consumer waits, in seconds and in milliseconds.
const WAIT: (&str, &str) = ("1", "1000");

/// What has been put, and what has been taken.
#[derive(Default)]
pub(super) struct Handed {
    /// The number put last.
    number: u64,
    sure: Vec<u64>,
    /// These may have been put.
    open: Vec<u64>,
    taken: Vec<u64>,
    /// The consumer's connection.
    link: Option<Link>,
    has_group: bool,
}

impl Handed {
    /// An element has been given to the consumer. A second time is the cluster's loss, if it lost that
    /// the element had been taken: that has to be proven.
    fn take(&mut self, key: &str, number: u64) -> Option<Fault> {
        let is_known = self.sure.contains(&number) || self.open.contains(&number);
        if !is_known {
            return Some(Fault::Extra(1));
        }
        let is_again = self.taken.contains(&number);
        self.taken.push(number);
        let missing = Missing { key: key.to_owned(), had: number, found: 0 };
        is_again.then_some(Fault::Missing(missing))
    }

    /// Holds what is in the cluster at the end against what has been put.
    pub(super) fn look_back(&self, key: &str, there: &[u64]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for number in there {
            let is_known = self.sure.contains(number) || self.open.contains(number);
            if !seen.insert(*number) || !is_known {
                faults.push(Fault::Extra(1));
            }
        }
        let missing = self.sure.iter().filter(|number| !seen.contains(number));
        faults.extend(
            missing.map(|number| {
                Fault::Missing(Missing { key: key.to_owned(), had: *number, found: 0 })
            }),
        );
        faults
    }
}

impl Stream {
    /// Puts an element into a list, from which another connection takes it, or is waiting to.
    pub(super) fn hand_on(&mut self) {
        let (list, done) = (self.keys[0].clone(), self.keys[1].clone());
        self.consume(&["BLMOVE", &list, &done, "RIGHT", "LEFT", WAIT.0]);
        self.put(|value| vec!["LPUSH".to_owned(), list.clone(), value]);
        if let Some(value) = self.consumed()
            && let Some(number) = value.as_str().and_then(|text| text.parse().ok())
        {
            let fault = self.handed.take(&list, number);
            self.tally.note(fault);
        }
    }

    /// Appends an entry to a stream, of which a group of one reads it, or is waiting to.
    pub(super) fn hand_to_group(&mut self) {
        let key = self.keys[0].clone();
        if !self.handed.has_group {
            let create = vec!["XGROUP", "CREATE", &key, "g", "0", "MKSTREAM"];
            self.handed.has_group = match self.ask(&[create]).pop() {
                Some(Outcome::Done(_)) => true,
                // It was created by one that came to no end.
                _ => self.tally.errors.keys().any(|text| text.starts_with("BUSYGROUP")),
            };
            return;
        }
        self.consume(&[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "COUNT",
            "10",
            "BLOCK",
            WAIT.1,
            "STREAMS",
            &key,
            ">",
        ]);
        self.put(|value| ["XADD", &key, "*", "n", &value].map(str::to_owned).to_vec());
        let Some(reply) = self.consumed() else { return };
        let mut ids = Vec::new();
        for (id, number) in entries_read(&reply) {
            ids.push(id);
            let fault = self.handed.take(&key, number);
            self.tally.note(fault);
        }
        if !ids.is_empty() {
            let words = ["XACK", &key, "g"].into_iter().chain(ids.iter().map(String::as_str));
            self.ask(&[words.collect()]);
        }
    }

    /// Has the consumer wait.
    fn consume(&mut self, words: &[&str]) {
        let mut link = self.handed.link.take().or_else(|| Link::connect(self.gateway).ok());
        let is_sent = link.as_mut().is_some_and(|link| link.send(&[words.to_vec()]).is_ok());
        self.handed.link = link.filter(|_| is_sent);
        if !is_sent {
            self.tally.error("socket: the consumer's");
        }
    }

    /// What the consumer has got. `None`: nothing, or nobody can tell.
    fn consumed(&mut self) -> Option<Value> {
        let mut link = self.handed.link.take()?;
        let reply = match link.reply() {
            Ok(reply) => reply,
            Err(error) => {
                self.tally.error(&format!("socket: {error}"));
                return None;
            }
        };
        self.handed.link = Some(link);
        match reply {
            Value::Error(text) => {
                self.tally.error(&text);
                None
            }
            Value::Null => None,
            reply => Some(reply),
        }
    }

    fn put(&mut self, words: impl FnOnce(String) -> Vec<String>) {
        self.handed.number += 1;
        let number = self.handed.number;
        let words = words(number.to_string());
        match self.ask(&[words.iter().map(String::as_str).collect()]).pop() {
            Some(Outcome::Done(_)) => self.handed.sure.push(number),
            Some(Outcome::Refused) => {}
            Some(Outcome::Unknown) | None => self.handed.open.push(number),
        }
    }

    /// Looks at all that is there.
    pub(super) fn look_at_handed(&mut self, ask: &mut impl FnMut(&[&str]) -> Value) {
        let keys = self.keys.clone();
        let there: Vec<u64> = match self.kind {
            Kind::Group => entries(&ask(&["XRANGE", &keys[0], "-", "+"])),
            _ => keys.iter().flat_map(|key| numbers(&ask(&["LRANGE", key, "0", "-1"]))).collect(),
        };
        for fault in self.handed.look_back(&keys[0], &there) {
            self.tally.note(Some(fault));
        }
    }
}

fn numbers(reply: &Value) -> Vec<u64> {
    let Value::Array(items) = reply else { return Vec::new() };
    items.iter().filter_map(|item| item.as_str()?.parse().ok()).collect()
}

fn entry(entry: &Value) -> Option<(String, u64)> {
    let Value::Array(entry) = entry else { return None };
    let [id, Value::Array(fields)] = entry.as_slice() else { return None };
    Some((id.as_str()?.to_owned(), fields.get(1)?.as_str()?.parse().ok()?))
}

/// The numbers in the entries of a stream.
pub(crate) fn entries(reply: &Value) -> Vec<u64> {
    let Value::Array(items) = reply else { return Vec::new() };
    items.iter().filter_map(entry).map(|(_, number)| number).collect()
}

/// The entries of the one stream of an XREADGROUP.
fn entries_read(reply: &Value) -> Vec<(String, u64)> {
    let Value::Array(streams) = reply else { return Vec::new() };
    let Some(Value::Array(stream)) = streams.first() else { return Vec::new() };
    let Some(Value::Array(items)) = stream.get(1) else { return Vec::new() };
    items.iter().filter_map(entry).collect()
}

#[test]
fn what_is_handed_on_is_there_once() {
    let mut handed = Handed { number: 3, sure: vec![1, 2], open: vec![3], ..Handed::default() };
    let missing = |number| Fault::Missing(Missing { key: "k".into(), had: number, found: 0 });
    assert_eq!(handed.look_back("k", &[2, 1]), []);
    assert_eq!(handed.look_back("k", &[3, 1, 2]), []);
    assert_eq!(handed.look_back("k", &[1]), [missing(2)]);
    assert_eq!(handed.look_back("k", &[1, 2, 2, 9]), [Fault::Extra(1), Fault::Extra(1)]);
    assert_eq!(handed.take("k", 1), None);
    assert_eq!(handed.take("k", 1), Some(missing(1)));
    assert_eq!(handed.take("k", 9), Some(Fault::Extra(1)));
}
