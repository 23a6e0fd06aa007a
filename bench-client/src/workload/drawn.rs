//! The work of a comparison: the same kind of request with keys drawn anew from all.
//!
//! Owns what a load is made of, its key names and its value. Knows no socket and no time.

use super::{Asked, COPIED_VALUE_BYTES_MAX, Workload, push_word, write_digits};
use crate::resp::{Reply, Want};
use crate::tally::Outcome;

/// Every key ends in so many digits.
const DIGITS: usize = 9;
/// One of so many requests of a mix is a SET.
const MIX_PERIOD: u64 = 5;
const VALUE_SEED: u64 = 0x5107_3A4B;
const DRAW_SEED: u64 = 1;

const MISSING: &str = "a key is not there";
const OTHER_LENGTH: &str = "a value is not of the length that was written";

/// What every client of a load asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `GET key`.
    Get,
    /// `SET key value`.
    Set,
    /// `MGET` of so many keys.
    Mget(usize),
    /// `MSET` of so many keys.
    Mset(usize),
    /// Four GETs, then a SET, and so on.
    Mix,
}

/// A load: the same requests with keys drawn anew, from many clients at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// What is asked.
    pub(crate) verb: Verb,
    /// The length of every value.
    pub(crate) bytes: usize,
    /// Keys drawn from; a GET counts on all of them being there.
    pub(crate) keys: u64,
    /// Requests that a client sends before it waits for their replies.
    pub(crate) pipeline: usize,
    /// Connections.
    pub(crate) clients: usize,
}

/// The name of key `number` among those with values of `bytes`.
pub(crate) fn key(bytes: usize, number: u64) -> String {
    format!("bench:{bytes}:{number:0DIGITS$}")
}

/// A value that cannot be compressed.
pub(crate) fn value(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(VALUE_SEED);
    (0..bytes).map(|_| random.alphanumeric() as u8).collect()
}

/// The requests of all clients of a load.
pub(crate) struct Drawn {
    keys: u64,
    random: fastrand::Rng,
    /// One after the other, over and over.
    forms: Vec<Form>,
    next: u64,
    value: Vec<u8>,
}

/// A request whose keys are written over each time, and what is wanted in reply.
struct Form {
    bytes: Vec<u8>,
    /// Where the digits of its keys are.
    digits: Vec<usize>,
    value_follows: bool,
    want: Want<'static>,
}

impl Form {
    fn new(load: &Load, name: &str, (keys, with_value): (usize, bool), value: &[u8]) -> Form {
        let words = 1 + keys * (1 + usize::from(with_value));
        let (mut bytes, mut digits) = (format!("*{words}\r\n").into_bytes(), Vec::new());
        push_word(&mut bytes, name.as_bytes());
        // Only one value can follow; an MSET has all of its own copied.
        let value_follows = with_value && keys == 1 && load.bytes > COPIED_VALUE_BYTES_MAX;
        for _ in 0..keys {
            push_word(&mut bytes, key(load.bytes, 0).as_bytes());
            digits.push(bytes.len() - b"\r\n".len() - DIGITS);
            if value_follows {
                bytes.extend_from_slice(format!("${}\r\n", load.bytes).as_bytes());
            } else if with_value {
                push_word(&mut bytes, value);
            }
        }
        let want = match (with_value, load.verb) {
            (true, _) => Want::Keep(0),
            (false, Verb::Mget(count)) => Want::Lengths { count, length: load.bytes, first: None },
            (false, _) => Want::Length(load.bytes),
        };
        Form { bytes, digits, value_follows, want }
    }
}

impl Drawn {
    /// The requests of `load`.
    pub(crate) fn new(load: &Load) -> Drawn {
        let value = value(load.bytes);
        let form = |name, shape| Form::new(load, name, shape, &value);
        let (get, set) = (|| form("GET", (1, false)), || form("SET", (1, true)));
        let forms = match load.verb {
            Verb::Get => vec![get()],
            Verb::Set => vec![set()],
            Verb::Mget(keys) => vec![form("MGET", (keys, false))],
            Verb::Mset(keys) => vec![form("MSET", (keys, true))],
            Verb::Mix => (1..MIX_PERIOD).map(|_| get()).chain([set()]).collect(),
        };
        let random = fastrand::Rng::with_seed(DRAW_SEED);
        Drawn { keys: load.keys.max(1), random, forms, next: 0, value }
    }
}

impl Workload for Drawn {
    fn ask(&mut self, _node: usize, out: &mut Vec<u8>) -> Asked {
        let ticket = self.next % self.forms.len() as u64;
        self.next += 1;
        let form = &self.forms[ticket as usize];
        let start = out.len();
        out.extend_from_slice(&form.bytes);
        for at in &form.digits {
            let digits = &mut out[start + at..start + at + DIGITS];
            write_digits(digits, self.random.u64(..self.keys));
        }
        Asked { ticket, value_follows: form.value_follows }
    }

    fn value(&self, _ticket: u64) -> &[u8] {
        &self.value
    }

    fn want(&self, ticket: u64) -> Want<'_> {
        self.forms.get(ticket as usize).map_or(Want::Keep(0), |form| form.want)
    }

    /// Everything bad has a text: a comparison shows one of them.
    fn outcome(&mut self, ticket: u64, reply: Reply) -> Outcome {
        let failed = |text: &str| Outcome::Failed(text.to_owned());
        match (self.want(ticket), reply) {
            (Want::Keep(_), Reply::Ok)
            | (Want::Length(_), Reply::Compared { same: true, .. })
            | (Want::Lengths { .. }, Reply::Array { missing: false, same: true }) => Outcome::Good,
            (_, Reply::Nil | Reply::Array { missing: true, .. }) => failed(MISSING),
            (_, Reply::Compared { .. } | Reply::Array { .. }) => failed(OTHER_LENGTH),
            (_, Reply::Error(text)) => Outcome::Failed(format!("-{text}")),
            (_, other) => Outcome::Failed(format!("unexpected reply: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(verb: Verb) -> Load {
        Load { verb, bytes: 3, keys: 1, pipeline: 1, clients: 1 }
    }

    fn asked(work: &mut Drawn) -> String {
        let mut out = Vec::new();
        work.ask(0, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn requests_are_whole() {
        let get = "*2\r\n$3\r\nGET\r\n$17\r\nbench:3:000000000\r\n";
        assert_eq!(asked(&mut Drawn::new(&load(Verb::Get))), get);
        let value = String::from_utf8(value(3)).unwrap();
        let pair = format!("$17\r\nbench:3:000000000\r\n$3\r\n{value}\r\n");
        let set = format!("*3\r\n$3\r\nSET\r\n{pair}");
        assert_eq!(asked(&mut Drawn::new(&load(Verb::Set))), set);
        let mset = format!("*5\r\n$4\r\nMSET\r\n{pair}{pair}");
        assert_eq!(asked(&mut Drawn::new(&load(Verb::Mset(2)))), mset);
    }

    #[test]
    fn keys_are_drawn_from_all() {
        let mut work = Drawn::new(&Load { keys: 1_000_000_000, ..load(Verb::Mget(2)) });
        let (first, second) = (asked(&mut work), asked(&mut work));
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
        assert_eq!(first.matches("bench:3:").count(), 2);
    }

    #[test]
    fn a_fifth_of_a_mix_is_written() {
        let mut work = Drawn::new(&load(Verb::Mix));
        let all: String = (0..10).map(|_| asked(&mut work)).collect();
        assert_eq!((all.matches("GET").count(), all.matches("SET").count()), (8, 2));
    }

    #[test]
    fn replies_are_judged_by_what_was_asked() {
        let mut work = Drawn::new(&load(Verb::Mget(2)));
        let mut array = |missing, same| work.outcome(0, Reply::Array { missing, same });
        assert_eq!(array(false, true), Outcome::Good);
        assert_eq!(array(true, true), Outcome::Failed(MISSING.into()));
        assert_eq!(array(false, false), Outcome::Failed(OTHER_LENGTH.into()));
        let mut work = Drawn::new(&load(Verb::Get));
        let error = Reply::Error("MOVED 1 a:1".into());
        assert_eq!(work.outcome(0, error), Outcome::Failed("-MOVED 1 a:1".into()));
        assert!(matches!(work.outcome(0, Reply::Ok), Outcome::Failed(_)));
    }
}
