//! One stream: a connection, its keys, and what it does with them, again and again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use slotway::resp::Value;

use super::Kind;
use super::ledger::{Counter, Register};
use super::queue::Handed;
use super::report::Tally;
use crate::link::Link;

/// Requests of a pipeline in one write.
pub(super) const DEPTH: usize = 8;
/// Bytes of a large value.
const LARGE: usize = 512 * 1024;
/// A number as it is written: as long for all of them, so that large values are as long too.
const STAMP: usize = 16;

/// A stream.
pub(super) struct Stream {
    pub(super) kind: Kind,
    pub(super) keys: Vec<String>,
    counter: Counter,
    /// Of the second key of transactions.
    second: Counter,
    registers: Vec<Register>,
    /// Of streams that hand work on.
    pub(super) handed: Handed,
    /// The number written last.
    number: u64,
    pub(super) gateway: SocketAddr,
    link: Option<Link>,
    acked: Arc<AtomicU64>,
    pub(super) tally: Tally,
}

/// What became of a request.
pub(super) enum Outcome {
    Done(Value),
    /// It may have run.
    Unknown,
    /// It did not run.
    Refused,
}

impl Stream {
    pub(super) fn new(
        kind: Kind,
        number: usize,
        gateway: SocketAddr,
        acked: Arc<AtomicU64>,
    ) -> Stream {
        let name = format!("{kind:?}-{number}");
        let keys: Vec<String> = match kind {
            Kind::Counter | Kind::Pipeline | Kind::Large | Kind::Watch | Kind::Group => {
                vec![name]
            }
            Kind::Queue => ["waiting", "done"].map(|end| format!("{{{name}}}-{end}")).to_vec(),
            Kind::Transaction => (0..2).map(|n| format!("{{{name}}}-{n}")).collect(),
            Kind::Split | Kind::Reader => (0..6).map(|n| format!("{name}-{n}")).collect(),
            Kind::Tagged => (0..4).map(|n| format!("{{{name}}}-{n}")).collect(),
        };
        let registers = keys.iter().map(|_| Register::default()).collect();
        Stream {
            kind,
            keys,
            counter: Counter::default(),
            second: Counter::default(),
            registers,
            handed: Handed::default(),
            number: 0,
            gateway,
            link: None,
            acked,
            tally: Tally::new(kind),
        }
    }

    /// Runs until it is told to end.
    pub(super) fn run(mut self, ending: &AtomicBool) -> Stream {
        while !ending.load(Ordering::Relaxed) {
            match self.kind {
                Kind::Counter | Kind::Pipeline => self.count(),
                Kind::Reader => self.read_only(),
                Kind::Transaction => self.transact(),
                Kind::Watch => self.watch(),
                Kind::Queue => self.hand_on(),
                Kind::Group => self.hand_to_group(),
                _ => self.write_and_read(),
            }
            std::thread::sleep(self.pace());
        }
        // A pause that has not ended counts.
        if self.tally.acked > 0 {
            self.tally.pause_ends();
        }
        self
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(match self.kind {
            Kind::Counter => 2,
            Kind::Large => 100,
            _ => 5,
        })
    }

    /// Increments, one or a pipeline of them.
    fn count(&mut self) {
        let key = self.keys[0].clone();
        let depth = self.kind.depth();
        for outcome in self.ask(&vec![vec!["INCR", &key]; depth]) {
            match outcome {
                Outcome::Done(Value::Int(number)) => {
                    let fault = self.counter.counted(&key, number as u64);
                    self.tally.note(fault);
                }
                Outcome::Done(other) => self.tally.wrong.push(format!("INCR: {other:?}")),
                Outcome::Unknown => self.counter.unknown(),
                Outcome::Refused => {}
            }
        }
    }

    /// Increments two keys in one transaction.
    fn transact(&mut self) {
        let keys = self.keys.clone();
        let [first, second] = [keys[0].as_str(), keys[1].as_str()];
        let requests = [vec!["MULTI"], vec!["INCR", first], vec!["INCR", second], vec!["EXEC"]];
        match self.ask(&requests).pop() {
            Some(Outcome::Done(Value::Array(numbers))) => match numbers[..] {
                [Value::Int(a), Value::Int(b)] => {
                    if a != b {
                        self.tally.wrong.push(format!("half a transaction: {a} and {b}"));
                    }
                    let faults = [
                        self.counter.counted(first, a as u64),
                        self.second.counted(second, b as u64),
                    ];
                    faults.into_iter().for_each(|fault| self.tally.note(fault));
                }
                _ => self.tally.wrong.push(format!("EXEC: {numbers:?}")),
            },
            Some(Outcome::Done(other)) => self.tally.wrong.push(format!("EXEC: {other:?}")),
            Some(Outcome::Refused) => {}
            Some(Outcome::Unknown) | None => {
                self.counter.unknown();
                self.second.unknown();
            }
        }
    }

    /// Sets a key to the next number, unless somebody else has changed it: nobody does.
    fn watch(&mut self) {
        let key = self.keys[0].clone();
        let watched = self.ask(&[vec!["WATCH", &key]]).pop();
        let Some(Outcome::Done(_)) = watched else { return };
        if let Some(Outcome::Done(value)) = self.ask(&[vec!["GET", &key]]).pop() {
            self.see(0, text(&value));
        }
        self.number += 1;
        let (number, value) = (self.number, self.value(self.number));
        let requests = [vec!["MULTI"], vec!["SET", &key, &value], vec!["EXEC"]];
        match self.ask(&requests).pop() {
            // That it may have been changed is said where nobody can tell.
            Some(Outcome::Done(Value::Null) | Outcome::Refused) => {}
            Some(Outcome::Done(Value::Array(_))) => self.registers[0].written(number),
            Some(Outcome::Done(other)) => self.tally.wrong.push(format!("EXEC: {other:?}")),
            Some(Outcome::Unknown) | None => self.registers[0].unknown(number),
        }
    }

    /// Writes the next number to all keys, and reads them.
    fn write_and_read(&mut self) {
        self.number += 1;
        let (number, value) = (self.number, self.value(self.number));
        let keys = self.keys.clone();
        let write: Vec<&str> = match self.kind {
            Kind::Large => vec!["SET", &keys[0], &value],
            _ => ["MSET"].into_iter().chain(keys.iter().flat_map(|k| [&**k, &*value])).collect(),
        };
        match self.ask(&[write]).pop() {
            Some(Outcome::Done(_)) => self.registers.iter_mut().for_each(|r| r.written(number)),
            // One part of a split command may have been refused while others have run.
            Some(Outcome::Refused) if self.kind != Kind::Split => {}
            _ => self.registers.iter_mut().for_each(|r| r.unknown(number)),
        }
        self.read();
    }

    fn read(&mut self) {
        let keys = self.keys.clone();
        let name = if self.kind == Kind::Large { "GET" } else { "MGET" };
        let words = [name].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let Some(Outcome::Done(reply)) = self.ask(&[words]).pop() else { return };
        let values: Vec<Option<String>> = match &reply {
            Value::Array(values) => values.iter().map(text).collect(),
            single => vec![text(single)],
        };
        for (at, value) in values.into_iter().enumerate() {
            self.see(at, value);
        }
    }

    /// Reads what was written once, in the beginning.
    fn read_only(&mut self) {
        if self.number == 0 {
            self.write_and_read();
            return;
        }
        self.read();
        let key = self.keys[0].clone();
        if let Some(Outcome::Done(value)) = self.ask(&[vec!["GET", &key]]).pop() {
            self.see(0, text(&value));
        }
    }

    /// A key's value, as a reply has shown it.
    fn see(&mut self, at: usize, value: Option<String>) {
        let number = value.as_deref().map_or(Some(0), |text| text.get(..STAMP)?.parse().ok());
        let whole = |number: u64| number == 0 || value.as_deref() == Some(&self.value(number));
        match number.filter(|number| whole(*number)) {
            Some(number) => {
                let fault = self.registers[at].seen(&self.keys[at], number);
                self.tally.note(fault);
            }
            None => {
                let begin: String = value.unwrap_or_default().chars().take(40).collect();
                self.tally.wrong.push(format!("{} holds {begin:?}", self.keys[at]));
            }
        }
    }

    fn value(&self, number: u64) -> String {
        let stamp = format!("{number:0STAMP$}");
        if self.kind == Kind::Large { stamp.repeat(LARGE / STAMP) } else { stamp }
    }

    /// Sends requests in one write; an outcome for each of them, in order.
    pub(super) fn ask(&mut self, requests: &[Vec<&str>]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(requests.len());
        if let Err(error) = self.try_ask(requests, &mut outcomes) {
            self.link = None;
            let left = requests.len() - outcomes.len();
            self.tally.error(&format!("socket: {error}"));
            outcomes.extend((0..left).map(|_| Outcome::Unknown));
            std::thread::sleep(Duration::from_millis(20));
        }
        outcomes
    }

    fn try_ask(&mut self, requests: &[Vec<&str>], outcomes: &mut Vec<Outcome>) -> io::Result<()> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::connect(self.gateway)?,
        };
        link.send(requests)?;
        for _ in requests {
            outcomes.push(match link.reply()? {
                Value::Error(text) => {
                    self.tally.error(&text);
                    let unknown = text.starts_with("INDETERMINATE ");
                    if unknown { Outcome::Unknown } else { Outcome::Refused }
                }
                value => {
                    // What the gateway says before EXEC is not the cluster's word.
                    if !matches!(&value, Value::Simple(text) if text == "QUEUED") {
                        self.tally.acked();
                        self.acked.fetch_add(1, Ordering::Relaxed);
                    }
                    Outcome::Done(value)
                }
            });
        }
        self.link = Some(link);
        Ok(())
    }

    /// Holds the cluster's own data against what was answered.
    pub(super) fn look_back(&mut self, ask: &mut impl FnMut(&[&str]) -> Value) {
        if matches!(self.kind, Kind::Queue | Kind::Group) {
            return self.look_at_handed(ask);
        }
        let mut value = |key: &str| text(&ask(&["GET", key]));
        for (at, key) in self.keys.clone().iter().enumerate() {
            let value = value(key);
            if self.kind == Kind::Transaction {
                let number = value.map_or(0, |text| text.parse().unwrap());
                let counter = if at == 0 { &mut self.counter } else { &mut self.second };
                let fault = counter.seen(key, number);
                self.tally.note(fault);
            } else if matches!(self.kind, Kind::Counter | Kind::Pipeline) {
                let number = value.map_or(0, |text| text.parse().unwrap());
                let fault = self.counter.seen(key, number);
                self.tally.note(fault);
            } else {
                self.see(at, value);
            }
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
