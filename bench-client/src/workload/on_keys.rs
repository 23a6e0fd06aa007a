//! The work of a sweep: one command, or a mix of several, on the keys of one size.
//!
//! Owns the form of those requests and what their replies mean. Knows no socket and no time.
//! Invariants: a key is marked as written only after the target acknowledged it; what a request was
//! follows from its ticket alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{
    Asked, COPIED_VALUE_BYTES_MAX, Draw, KeyOrder, Mix, NodeKeys, Op, Workload, push_word,
    write_digits,
};
use crate::payload::Payload;
use crate::resp::{Reply, Want};
use crate::slot_map::SlotMap;
use crate::tally::Outcome;

/// A key number has no more digits.
const DIGITS_MAX: usize = 20;

/// Where in a ticket the command of a mix is; below it is the key, or the turn of several.
const PLACE_SHIFT: u32 = 60;

/// What is asked, whichever thread asks it.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// One command, or the mix.
    pub(crate) op: Op,
    /// The mix, where it is one.
    pub(crate) mix: Option<&'a Mix>,
    /// Keys of each MGET and MSET.
    pub(crate) batch: usize,
    /// Which key is next.
    pub(crate) order: KeyOrder,
    /// The length of every value.
    pub(crate) bytes: usize,
    /// Keys and values.
    pub(crate) payload: &'a Payload,
    /// One flag per key: whether it is known to be written.
    pub(crate) written: &'a [AtomicBool],
    /// Counts up over all threads; chooses the next key where they come in turn.
    pub(crate) next: &'a AtomicU64,
}

impl Work<'_> {
    /// The commands that it has.
    pub(crate) fn commands(&self) -> Vec<Op> {
        self.mix.map_or_else(|| vec![self.op], |mix| mix.ops().collect())
    }
}

/// The requests of one thread of a phase.
pub(crate) struct OnKeys<'a> {
    work: Work<'a>,
    draw: Draw<'a>,
    random: fastrand::Rng,
    forms: Vec<Form>,
    seed: u64,
    /// Whose keys are whose, where connections belong to the nodes of a cluster.
    nodes: Option<NodeKeys>,
}

/// A command up to the digits of a key, and what follows them.
struct Form {
    op: Op,
    keys: usize,
    /// Up to the digits of the first key, by how many those are.
    heads: Vec<Vec<u8>>,
    /// From one key to the digits of the next, by how many those are.
    others: Vec<Vec<u8>>,
    /// What comes after the digits and before the value.
    middle: Vec<u8>,
    writes: bool,
    value_follows: bool,
}

impl Form {
    fn new(op: Op, work: &Work<'_>) -> Form {
        let (keys, writes) = (if op.is_batch() { work.batch } else { 1 }, !op.is_read());
        let (bytes, prefix) = (work.bytes, work.payload.prefix(work.bytes));
        let key_head = |digits: usize| format!("${}\r\n{prefix}", prefix.len() + digits);
        let words = 1 + keys * (1 + usize::from(writes));
        let mut command = format!("*{words}\r\n").into_bytes();
        push_word(&mut command, op.name().as_bytes());
        let head = |digits| [&command[..], key_head(digits).as_bytes()].concat();
        let middle = if writes { format!("\r\n${bytes}\r\n") } else { "\r\n".to_owned() };
        Form {
            op,
            keys,
            heads: (1..=DIGITS_MAX).map(head).collect(),
            others: (1..=DIGITS_MAX).map(|digits| key_head(digits).into_bytes()).collect(),
            middle: middle.into_bytes(),
            writes,
            // Of several values, all are copied.
            value_follows: writes && keys == 1 && bytes > COPIED_VALUE_BYTES_MAX,
        }
    }

    fn put_key(&self, out: &mut Vec<u8>, number: u64, is_first: bool) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let heads = if is_first { &self.heads } else { &self.others };
        if let Some(head) = heads.get(digits - 1) {
            out.extend_from_slice(head);
        }
        let start = out.len();
        out.resize(start + digits, b'0');
        write_digits(&mut out[start..], number);
        out.extend_from_slice(&self.middle);
    }

    fn put_value(&self, out: &mut Vec<u8>, value: &[u8]) {
        if self.writes && !self.value_follows {
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl<'a> OnKeys<'a> {
    /// The requests of one thread; `seed` sets it apart from the others.
    pub(crate) fn new(work: Work<'a>, seed: u64) -> OnKeys<'a> {
        let forms = work.commands().into_iter().map(|op| Form::new(op, &work)).collect();
        let draw = Draw::new(work.order, work.written.len(), work.next, seed);
        let random = fastrand::Rng::with_seed(!seed);
        OnKeys { work, draw, random, forms, seed, nodes: None }
    }

    fn form(&self, ticket: u64) -> (Option<&Form>, u64) {
        let (place, rest) = (ticket >> PLACE_SHIFT, ticket & ((1 << PLACE_SHIFT) - 1));
        (self.forms.get(place as usize), rest)
    }

    /// Puts the request of one key into words that a ticket stands for.
    fn put_one(&self, ticket: u64, out: &mut Vec<u8>) -> Asked {
        let (form, number) = self.form(ticket);
        if let Some(form) = form {
            form.put_key(out, number, true);
            form.put_value(out, self.payload(number));
        }
        Asked { ticket, value_follows: form.is_some_and(|form| form.value_follows) }
    }

    fn payload(&self, number: u64) -> &'a [u8] {
        self.work.payload.value(self.work.bytes, number)
    }

    fn mark(&self, number: u64) {
        if let Some(flag) = self.work.written.get(number as usize) {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

impl Workload for OnKeys<'_> {
    fn ask(&mut self, node: usize, out: &mut Vec<u8>) -> Asked {
        if let Some(ticket) = self.nodes.as_mut().and_then(|nodes| nodes.again(node)) {
            return self.put_one(ticket, out);
        }
        let place = self.work.mix.map_or(0, |mix| mix.place_of(self.random.u32(..mix.total())));
        let form = &self.forms[place];
        let of_place = (place as u64) << PLACE_SHIFT;
        if form.keys == 1 {
            let number = match &mut self.nodes {
                Some(nodes) => self.draw.key_of(nodes, node),
                None => self.draw.key(),
            };
            return self.put_one(of_place | number, out);
        }
        let turn = self.draw.turn(form.keys);
        for (nth, number) in self.draw.keys_of(turn).take(form.keys).enumerate() {
            form.put_key(out, number, nth == 0);
            form.put_value(out, self.payload(number));
        }
        Asked { ticket: of_place | turn, value_follows: false }
    }

    fn value(&self, ticket: u64) -> &[u8] {
        self.payload(self.form(ticket).1)
    }

    fn want(&self, ticket: u64) -> Want<'_> {
        match self.form(ticket) {
            (Some(Form { op: Op::Get, .. }), number) => Want::Value(self.payload(number)),
            (Some(Form { op: Op::Mget, keys, .. }), turn) => Want::Lengths {
                count: *keys,
                length: self.work.bytes,
                first: self.draw.keys_of(turn).next().map(|number| self.payload(number)),
            },
            _ => Want::Keep(0),
        }
    }

    fn reroute(&mut self, map: &SlotMap) -> Vec<String> {
        let size = (self.work.bytes, self.work.written.len());
        let mut nodes = NodeKeys::new(map, self.work.payload, size, self.seed);
        let left = self.nodes.as_mut().map_or_else(Vec::new, NodeKeys::take_again);
        for ticket in left {
            nodes.ask_again(ticket, self.form(ticket).1);
        }
        let addresses = nodes.addresses();
        self.nodes = Some(nodes);
        addresses
    }

    fn class(&self, ticket: u64) -> usize {
        (ticket >> PLACE_SHIFT) as usize
    }

    fn outcome(&mut self, ticket: u64, reply: Reply) -> Outcome {
        let (form, rest) = self.form(ticket);
        let op = form.map(|form| form.op);
        match (op, reply) {
            (Some(Op::Set), Reply::Ok) => {
                self.mark(rest);
                Outcome::Good
            }
            (Some(Op::Mset), Reply::Ok) => {
                let keys = form.map_or(0, |form| form.keys);
                self.draw.keys_of(rest).take(keys).for_each(|number| self.mark(number));
                Outcome::Good
            }
            (Some(Op::Get), Reply::Compared { same: true, .. })
            | (Some(Op::Mget), Reply::Array { missing: false, same: true }) => Outcome::Good,
            (Some(Op::Get), Reply::Nil) => Outcome::Miss,
            (Some(Op::Mget), Reply::Array { same: true, .. }) => Outcome::Miss,
            (Some(Op::Get), Reply::Compared { .. }) | (Some(Op::Mget), Reply::Array { .. }) => {
                Outcome::Wrong
            }
            (_, Reply::Error(text)) => match &mut self.nodes {
                Some(nodes) if text.starts_with("MOVED ") => {
                    let address = text.rsplit(' ').next().unwrap_or_default();
                    nodes.moved(ticket, rest, address);
                    Outcome::Redirected
                }
                _ => Outcome::Failed(text),
            },
            (op, other) => {
                let name = op.map_or("", Op::name);
                Outcome::Failed(format!("unexpected reply to {name}: {other:?}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    struct Keys {
        payload: Payload,
        written: Vec<AtomicBool>,
        next: AtomicU64,
    }

    impl Keys {
        fn new(bytes: usize, count: usize, next: u64) -> Keys {
            let written = (0..count).map(|_| AtomicBool::new(false)).collect();
            Keys {
                payload: Payload::new(1, bytes, "r".into()),
                written,
                next: AtomicU64::new(next),
            }
        }

        fn work<'a>(&'a self, op: Op, bytes: usize, mix: Option<&'a Mix>) -> OnKeys<'a> {
            let work = Work {
                op,
                mix,
                batch: 3,
                order: KeyOrder::Sequential,
                bytes,
                payload: &self.payload,
                written: &self.written,
                next: &self.next,
            };
            OnKeys::new(work, 1)
        }

        fn marked(&self) -> Vec<bool> {
            self.written.iter().map(|flag| flag.load(Ordering::Relaxed)).collect()
        }
    }

    #[test]
    fn requests_are_those_of_the_keys_in_turn() {
        let keys = Keys::new(16, 12, 0);
        for op in [Op::Set, Op::Get] {
            keys.next.store(8, Ordering::Relaxed);
            let mut work = keys.work(op, 16, None);
            for number in [8, 9, 10, 11, 0] {
                let (mut out, mut expected, mut name) = (Vec::new(), Vec::new(), String::new());
                keys.payload.write_key(16, number, &mut name);
                let value = keys.payload.value(16, number);
                match op {
                    Op::Set => Request::set(&name, value).encode(&mut expected),
                    _ => Request::keep("GET", Some(&name), 0).encode(&mut expected),
                }
                assert_eq!(work.ask(0, &mut out), Asked { ticket: number, value_follows: false });
                assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
            }
        }
    }

    #[test]
    fn batches_have_their_keys_in_one_request() {
        let keys = Keys::new(1, 12, 8);
        let mut work = keys.work(Op::Mget, 1, None);
        let mut out = Vec::new();
        let asked = work.ask(0, &mut out);
        let key = |number: &str| format!("${}\r\nbench:r:1:{number}\r\n", 10 + number.len());
        let expected = format!("*4\r\n$4\r\nMGET\r\n{}{}{}", key("8"), key("9"), key("10"));
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let first = keys.payload.value(1, 8);
        assert!(matches!(work.want(asked.ticket),
            Want::Lengths { count: 3, length: 1, first: Some(value) } if value == first));
        let mut mset = keys.work(Op::Mset, 1, None);
        out.clear();
        let asked = mset.ask(0, &mut out);
        assert!(out.starts_with(b"*7\r\n$4\r\nMSET\r\n$12\r\nbench:r:1:11\r\n$1\r\n"));
        assert_eq!(mset.outcome(asked.ticket, Reply::Ok), Outcome::Good);
        let marked = keys.marked();
        assert_eq!((0..12).filter(|n| marked[*n]).collect::<Vec<_>>(), [0, 1, 11]);
    }

    #[test]
    fn a_mix_asks_by_shares_and_judges_each_by_its_command() {
        let (keys, mix) = (Keys::new(16, 12, 0), Mix::parse("get:80,mset:20").unwrap());
        let mut work = keys.work(Op::Mix, 16, Some(&mix));
        let mut classes = [0, 0];
        for _ in 0..10_000 {
            let mut out = Vec::new();
            let asked = work.ask(0, &mut out);
            let class = work.class(asked.ticket);
            classes[class] += 1;
            assert_eq!(out.starts_with(b"*2\r\n$3\r\nGET"), class == 0);
            let (good, other) = match class {
                0 => (Reply::Compared { length: 16, same: true }, Reply::Ok),
                _ => (Reply::Ok, Reply::Nil),
            };
            assert_eq!(work.outcome(asked.ticket, good), Outcome::Good);
            assert!(matches!(work.outcome(asked.ticket, other), Outcome::Failed(_)));
        }
        assert!((7_800..8_200).contains(&classes[0]), "{classes:?}");
    }

    #[test]
    fn replies_to_several_keys_are_judged_together() {
        let keys = Keys::new(16, 12, 0);
        let mut work = keys.work(Op::Mget, 16, None);
        let mut judged = |missing, same| work.outcome(0, Reply::Array { missing, same });
        assert_eq!(judged(false, true), Outcome::Good);
        assert_eq!(judged(true, true), Outcome::Miss);
        assert_eq!(judged(true, false), Outcome::Wrong);
    }

    #[test]
    fn a_large_value_is_left_where_it_lies() {
        let keys = Keys::new(100_000, 1, 0);
        let mut work = keys.work(Op::Set, 100_000, None);
        let mut out = Vec::new();
        let asked = work.ask(0, &mut out);
        assert!(asked.value_follows && out.ends_with(b"\r\n$100000\r\n"));
        assert_eq!(work.value(asked.ticket), keys.payload.value(100_000, 0));
    }

    #[test]
    fn only_what_was_acknowledged_is_marked_as_written() {
        let keys = Keys::new(16, 2, 0);
        let mut work = keys.work(Op::Set, 16, None);
        assert!(matches!(work.outcome(0, Reply::Error("no".into())), Outcome::Failed(_)));
        assert_eq!(work.outcome(1, Reply::Ok), Outcome::Good);
        assert_eq!(keys.marked(), [false, true]);
    }
}
