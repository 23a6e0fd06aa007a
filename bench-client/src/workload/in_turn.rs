//! The work of a sweep: one operation on the keys of one size, one after the other.
//!
//! Owns the form of those requests and what their replies mean. Knows no socket and no time.
//! Invariant: a key is marked as written only after the target acknowledged it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Asked, COPIED_VALUE_BYTES_MAX, Workload, push_word, write_digits};
use crate::payload::Payload;
use crate::resp::{Reply, Want};
use crate::tally::Outcome;

/// A key number has no more digits.
const DIGITS_MAX: usize = 20;

/// What a phase asks of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Write values.
    Set,
    /// Read them back and check them.
    Get,
}

impl Op {
    /// The command's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Set => "SET",
            Op::Get => "GET",
        }
    }

    /// The same in names of files.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Op::Set => "set",
            Op::Get => "get",
        }
    }
}

/// The requests of one thread of a phase.
pub(crate) struct InTurn<'a> {
    op: Op,
    bytes: usize,
    payload: &'a Payload,
    written: &'a [AtomicBool],
    /// Counts up over all threads; taken modulo the number of keys, it chooses the next key.
    next: &'a AtomicU64,
    /// A request up to the digits of its key, by how many those are.
    heads: Vec<Vec<u8>>,
    /// What comes after the digits and before the value.
    middle: Vec<u8>,
}

impl<'a> InTurn<'a> {
    /// `op` at a size of `bytes` on as many keys as there are flags in `written`.
    pub(crate) fn new(
        op: Op,
        bytes: usize,
        payload: &'a Payload,
        written: &'a [AtomicBool],
        next: &'a AtomicU64,
    ) -> InTurn<'a> {
        let heads = (1..=DIGITS_MAX).map(|digits| head(op, &payload.prefix(bytes), digits));
        let middle = match op {
            Op::Set => format!("\r\n${bytes}\r\n").into_bytes(),
            Op::Get => b"\r\n".to_vec(),
        };
        InTurn { op, bytes, payload, written, next, heads: heads.collect(), middle }
    }
}

fn head(op: Op, prefix: &str, digits: usize) -> Vec<u8> {
    let words = match op {
        Op::Set => 3,
        Op::Get => 2,
    };
    let mut head = format!("*{words}\r\n").into_bytes();
    push_word(&mut head, op.name().as_bytes());
    head.extend_from_slice(format!("${}\r\n{prefix}", prefix.len() + digits).as_bytes());
    head
}

impl Workload for InTurn<'_> {
    fn ask(&mut self, out: &mut Vec<u8>) -> Asked {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let number = turn % (self.written.len() as u64).max(1);
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        if let Some(head) = self.heads.get(digits - 1) {
            out.extend_from_slice(head);
        }
        let start = out.len();
        out.resize(start + digits, b'0');
        write_digits(&mut out[start..], number);
        out.extend_from_slice(&self.middle);
        let value_follows = self.op == Op::Set && self.bytes > COPIED_VALUE_BYTES_MAX;
        if self.op == Op::Set && !value_follows {
            out.extend_from_slice(self.payload.value(self.bytes, number));
            out.extend_from_slice(b"\r\n");
        }
        Asked { ticket: number, value_follows }
    }

    fn value(&self, ticket: u64) -> &[u8] {
        self.payload.value(self.bytes, ticket)
    }

    fn want(&self, ticket: u64) -> Want<'_> {
        match self.op {
            Op::Set => Want::Keep(0),
            Op::Get => Want::Value(self.payload.value(self.bytes, ticket)),
        }
    }

    fn outcome(&mut self, ticket: u64, reply: Reply) -> Outcome {
        match (self.op, reply) {
            (Op::Set, Reply::Ok) => {
                if let Some(flag) = self.written.get(ticket as usize) {
                    flag.store(true, Ordering::Relaxed);
                }
                Outcome::Good
            }
            (Op::Get, Reply::Compared { same: true, .. }) => Outcome::Good,
            (Op::Get, Reply::Compared { .. }) => Outcome::Wrong,
            (Op::Get, Reply::Nil) => Outcome::Miss,
            (_, Reply::Error(text)) => Outcome::Failed(text),
            (op, other) => Outcome::Failed(format!("unexpected reply to {op:?}: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    fn flags(count: usize) -> Vec<AtomicBool> {
        (0..count).map(|_| AtomicBool::new(false)).collect()
    }

    #[test]
    fn requests_are_those_of_the_keys_in_turn() {
        let (payload, written) = (Payload::new(1, 16, "r".into()), flags(12));
        for op in [Op::Set, Op::Get] {
            let next = AtomicU64::new(8);
            let mut work = InTurn::new(op, 16, &payload, &written, &next);
            for number in [8, 9, 10, 11, 0] {
                let (mut out, mut expected, mut name) = (Vec::new(), Vec::new(), String::new());
                payload.write_key(16, number, &mut name);
                match op {
                    Op::Set => Request::set(&name, payload.value(16, number)).encode(&mut expected),
                    Op::Get => Request::keep("GET", Some(&name), 0).encode(&mut expected),
                }
                assert_eq!(work.ask(&mut out), Asked { ticket: number, value_follows: false });
                assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
            }
        }
    }

    #[test]
    fn a_large_value_is_left_where_it_lies() {
        let (payload, written) = (Payload::new(1, 100_000, "r".into()), flags(1));
        let next = AtomicU64::new(0);
        let mut work = InTurn::new(Op::Set, 100_000, &payload, &written, &next);
        let mut out = Vec::new();
        let asked = work.ask(&mut out);
        assert!(asked.value_follows && out.ends_with(b"\r\n$100000\r\n"));
        assert_eq!(work.value(asked.ticket), payload.value(100_000, 0));
    }

    #[test]
    fn only_what_was_acknowledged_is_marked_as_written() {
        let (payload, written) = (Payload::new(1, 16, "r".into()), flags(2));
        let next = AtomicU64::new(0);
        let mut work = InTurn::new(Op::Set, 16, &payload, &written, &next);
        assert!(matches!(work.outcome(0, Reply::Error("no".into())), Outcome::Failed(_)));
        assert_eq!(work.outcome(1, Reply::Ok), Outcome::Good);
        assert_eq!([0, 1].map(|n: usize| written[n].load(Ordering::Relaxed)), [false, true]);
    }
}
