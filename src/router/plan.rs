//! A request and the place of its keys become a plan: where it goes, in how many parts.
//!
//! Owns the decision. Pure: no socket, no time, no map. Invariant: every part of a plan lies in
//! one slot, so a node can never answer CROSSSLOT to it.

use crate::command::{Command, Flags, RequestPolicy, ResponsePolicy, positions};
use crate::config::CrossSlot;
use crate::reply::{merge::Merge, texts};
use crate::resp::{Args, write};
use crate::slot::{SLOTS, Slot};

/// Where a request goes.
#[derive(Debug)]
pub enum Plan {
    /// As it is, to the shard of this slot.
    Slot(Slot),
    /// As it is, to any one shard.
    Any,
    /// In parts, one per slot.
    Split(Split),
    /// As it is, to every master, and with `true` to the replicas too.
    All(Merge, bool),
    /// As it is, to every node that may be busy with a script, past that.
    OutOfBand(Merge),
    /// Nowhere: this error is the answer.
    Refuse(String),
}

/// A request taken apart by the slots of its keys.
#[derive(Debug)]
pub struct Split {
    /// Each key's slot and the index of its argument, part by part, in the request's order within
    /// a part.
    keys: Vec<(Slot, u32)>,
    /// Where each part ends in `keys`.
    ends: Vec<u32>,
    /// Arguments per key, the key included.
    group_len: u32,
    /// How the parts' replies become one.
    merge: Merge,
}

/// Plans a request of the command's row; `keys` is scratch space.
///
/// Always inlined: as a function of its own it costs a GET some 40 of 1,760 instructions.
#[inline(always)]
pub fn plan(command: &Command, args: Args<'_>, cross_slot: CrossSlot, keys: &mut Vec<u32>) -> Plan {
    if let Some(index) = command.only_key()
        && command.is_routed()
    {
        return Plan::Slot(Slot::of(args.get(index as usize)));
    }
    plan_by_keys(command, args, cross_slot, keys)
}

fn plan_by_keys(
    command: &Command,
    args: Args<'_>,
    cross_slot: CrossSlot,
    keys: &mut Vec<u32>,
) -> Plan {
    match positions(command, args, keys) {
        Ok(()) => {}
        Err(error) => {
            return error.text(command).map_or(Plan::Any, Plan::Refuse);
        }
    }
    let Some(&first) = keys.first() else { return without_keys(command) };
    let slot = Slot::of(args.get(first as usize));
    if keys[1..].iter().all(|&key| Slot::of(args.get(key as usize)) == slot) {
        return Plan::Slot(slot);
    }
    match (cross_slot, command.group_len(), merge_of_parts(command)) {
        (CrossSlot::Split, Some(group_len), Some(merge)) => {
            Plan::Split(split(args, keys, group_len, merge))
        }
        _ => Plan::Refuse(texts::CROSS_SLOT.to_owned()),
    }
}

fn without_keys(command: &Command) -> Plan {
    let merge = match command.response {
        ResponsePolicy::None => Some(Merge::Concatenate),
        response => merge_by(response),
    };
    let may_be_busy = command.flags.contains(Flags::ALLOW_BUSY);
    match (command.request, merge) {
        (RequestPolicy::AllShards, Some(merge)) if may_be_busy => Plan::OutOfBand(merge),
        (RequestPolicy::AllShards, Some(merge)) => Plan::All(merge, false),
        (RequestPolicy::AllNodes, Some(merge)) => Plan::All(merge, true),
        _ => Plan::Any,
    }
}

fn merge_by(response: ResponsePolicy) -> Option<Merge> {
    Some(match response {
        ResponsePolicy::OneSucceeded => Merge::OneSucceeded,
        ResponsePolicy::AllSucceeded => Merge::AllSucceeded,
        ResponsePolicy::AggLogicalAnd => Merge::And,
        ResponsePolicy::AggLogicalOr => Merge::Or,
        ResponsePolicy::AggMin => Merge::Min,
        ResponsePolicy::AggMax => Merge::Max,
        ResponsePolicy::AggSum => Merge::Sum,
        ResponsePolicy::None | ResponsePolicy::Special => return None,
    })
}

/// `None` when the parts of this command do not add up to the whole (MSETNX).
pub fn merge_of_parts(command: &Command) -> Option<Merge> {
    match command.response {
        // The order is filled in when the parts are known.
        ResponsePolicy::None if command.flags.is_readonly() => Some(Merge::InKeyOrder(Vec::new())),
        ResponsePolicy::AllSucceeded | ResponsePolicy::AggSum => merge_by(command.response),
        _ => None,
    }
}

fn split(args: Args<'_>, positions: &[u32], group_len: u32, merge: Merge) -> Split {
    let slot_of = |&key: &u32| (Slot::of(args.get(key as usize)), key);
    let mut keys: Vec<(Slot, u32)> = positions.iter().map(slot_of).collect();
    keys.sort_unstable();
    let mut ends = Vec::with_capacity(keys.len().min(SLOTS));
    let in_order = matches!(merge, Merge::InKeyOrder(_));
    let mut order = vec![0u16; if in_order { keys.len() } else { 0 }];
    for (at, part) in keys.chunk_by(|(one, _), (other, _)| one == other).enumerate() {
        ends.push(ends.last().unwrap_or(&0) + part.len() as u32);
        for (_, key) in part {
            // Keys of a command that can be taken apart follow each other: the n-th is at 1 + n groups.
            if let Some(place) = order.get_mut(((key - 1) / group_len) as usize) {
                *place = at as u16;
            }
        }
    }
    let merge = if in_order { Merge::InKeyOrder(order) } else { merge };
    Split { keys, ends, group_len, merge }
}

impl Split {
    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none; a split has at least two.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The slot of a part.
    pub fn slot(&self, part: usize) -> Slot {
        self.keys[self.start(part)].0
    }

    fn start(&self, part: usize) -> usize {
        part.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Writes the request of a part to `out`, with the words as the client sent them.
    pub fn write_part(&self, part: usize, args: Args<'_>, out: &mut Vec<u8>) {
        let keys = &self.keys[self.start(part)..self.ends[part] as usize];
        let group_len = self.group_len as usize;
        write::array_len(out, 1 + keys.len() * group_len);
        out.extend_from_slice(args.as_sent(0, 1));
        for (_, key) in keys {
            out.extend_from_slice(args.as_sent(*key as usize, *key as usize + group_len));
        }
    }

    /// How the parts' replies become one; asked for once.
    pub fn take_merge(&mut self) -> Merge {
        std::mem::replace(&mut self.merge, Merge::AllSucceeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    fn planned(line: &str, cross_slot: CrossSlot) -> (Plan, Vec<String>) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = Vec::new();
        write::array_len(&mut bytes, words.len());
        let ranges: Vec<(u32, u32)> = words
            .iter()
            .map(|word| {
                write::bulk(&mut bytes, word.as_bytes());
                let end = bytes.len() as u32 - 2;
                (end - word.len() as u32, end)
            })
            .collect();
        let args = Args::new(&bytes, &ranges);
        let table = CommandTable::builtin();
        let (_, command) = table.lookup(args).expect("a known command");
        let plan = plan(command, args, cross_slot, &mut Vec::new());
        let mut parts = Vec::new();
        if let Plan::Split(split) = &plan {
            for part in 0..split.len() {
                let mut out = Vec::new();
                split.write_part(part, args, &mut out);
                let text = String::from_utf8(out).expect("text");
                let words: Vec<&str> =
                    text.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
                let mut whole = Vec::new();
                let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
                write::request(&mut whole, &bytes);
                assert_eq!(text.as_bytes(), whole, "no request of these words");
                parts.push(words.join(" "));
            }
        }
        (plan, parts)
    }

    fn slot(key: &str) -> Slot {
        Slot::of(key.as_bytes())
    }

    #[test]
    fn one_slot() {
        for (line, key) in [
            ("GET foo", "foo"),
            ("SET {foo}1 x", "foo"),
            ("MGET {a}1 {a}2", "a"),
            ("MSETNX {a}1 x {a}2 y", "a"),
            ("EVAL return 2 {a}1 {a}2 b", "a"),
            ("XREAD COUNT 1 STREAMS {a}1 {a}2 0 0", "a"),
            ("SPUBLISH foo x", "foo"),
            ("OBJECT ENCODING foo", "foo"),
        ] {
            let (plan, _) = planned(line, CrossSlot::Split);
            assert!(matches!(plan, Plan::Slot(at) if at == slot(key)), "{line}: {plan:?}");
        }
    }

    #[test]
    fn split_by_slot_in_key_order() {
        // Slots: a 15495, b 3300, c 7365.
        let (plan, parts) = planned("MGET a b a c {b}", CrossSlot::Split);
        assert_eq!(parts, ["MGET b {b}", "MGET c", "MGET a a"]);
        let Plan::Split(mut split) = plan else { panic!("{plan:?}") };
        assert_eq!(
            (split.slot(0), split.slot(1), split.slot(2)),
            (slot("b"), slot("c"), slot("a"))
        );
        let Merge::InKeyOrder(order) = split.take_merge() else { panic!("another merge") };
        assert_eq!(order, [2, 0, 2, 1, 0]);
        let (_, parts) = planned("MSET a 1 b 2 c 3 a 4", CrossSlot::Split);
        assert_eq!(parts, ["MSET b 2", "MSET c 3", "MSET a 1 a 4"]);
        for line in ["DEL a b", "UNLINK a b", "EXISTS a b a", "TOUCH a b"] {
            let (plan, _) = planned(line, CrossSlot::Split);
            let Plan::Split(mut split) = plan else { panic!("{line}") };
            assert!(matches!(split.take_merge(), Merge::Sum), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_split_is_refused_as_a_cluster_does() {
        let split = CrossSlot::Split;
        for line in ["MSETNX a 1 b 2", "RENAME a b", "PFCOUNT a b", "SINTER a b", "EVAL x 2 a b"] {
            assert!(
                matches!(planned(line, split).0, Plan::Refuse(text) if text == texts::CROSS_SLOT)
            );
        }
        let refused = planned("MGET a b", CrossSlot::Refuse).0;
        assert!(matches!(refused, Plan::Refuse(text) if text == texts::CROSS_SLOT));
    }

    #[test]
    fn without_keys() {
        let split = CrossSlot::Split;
        for line in ["TIME", "PUBLISH c x", "EVAL return 0", "LOLWUT", "CONFIG GET save"] {
            assert!(matches!(planned(line, split).0, Plan::Any), "{line}");
        }
        assert!(matches!(planned("DBSIZE", split).0, Plan::All(Merge::Sum, false)));
        assert!(matches!(planned("FLUSHALL", split).0, Plan::All(Merge::AllSucceeded, false)));
        assert!(matches!(planned("KEYS *", split).0, Plan::All(Merge::Concatenate, false)));
        assert!(matches!(planned("SCRIPT EXISTS a", split).0, Plan::All(Merge::And, false)));
        let set = planned("CONFIG SET save x", split).0;
        assert!(matches!(set, Plan::All(Merge::AllSucceeded, true)));
        assert!(matches!(planned("SCRIPT KILL", split).0, Plan::OutOfBand(Merge::OneSucceeded)));
    }

    #[test]
    fn what_waits_goes_by_its_keys_too() {
        for (line, key) in
            [("XREAD BLOCK 0 STREAMS a 0", "a"), ("BLPOP {a}1 {a}2 0", "a"), ("WATCH {b}1 b", "b")]
        {
            let plan = planned(line, CrossSlot::Split).0;
            assert!(matches!(plan, Plan::Slot(at) if at == slot(key)), "{line}: {plan:?}");
        }
        let plan = planned("BLPOP a b 0", CrossSlot::Split).0;
        assert!(matches!(plan, Plan::Refuse(text) if text == texts::CROSS_SLOT));
    }
}
