//! What each master says it owns, and whether all of that is the whole of the slots.
//!
//! Owns what of `CLUSTER NODES` says that, and the proof that a set of nodes were all the masters at one
//! time. Pure: no socket, no time. Must not know what is done with the proof.
//!
//! A map is what nodes said some time ago. A node's own line is what it serves by at the moment when
//! it says it: nobody else decides which keys it takes. When the lines of some nodes name every slot
//! once, those nodes are all masters there are, whatever any map says.

use std::ops::RangeInclusive;

use super::nodes_reply::{self, NodeLine};
use crate::slot::SLOTS;

/// A node's own line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Its id.
    pub id: String,
    /// Whether it is a master.
    pub is_master: bool,
    /// Its config epoch. It grows when the node takes a slot from another one.
    pub epoch: u64,
    /// The highest config epoch of all masters with slots that it knows.
    pub highest_epoch: u64,
    /// Ranges of slots that it owns: first and last.
    pub slots: Vec<(u16, u16)>,
    /// Slots that are about to leave it, and the id of the node that they go to.
    pub migrating: Vec<(u16, String)>,
    /// Slots that are about to come to it, and the id of the node that they come from.
    pub importing: Vec<(u16, String)>,
    /// The ids of its replicas that are not gone.
    pub replicas: Vec<String>,
}

impl Ownership {
    /// Reads the reply of `CLUSTER NODES`; `None` when it has no own line or makes no sense.
    pub fn read(text: &str) -> Option<Ownership> {
        let mut lines = nodes_reply::read(text);
        let highest_epoch = nodes_reply::highest_config_epoch(&lines).unwrap_or(0);
        let own = lines.remove(lines.iter().position(|line| line.is_myself)?);
        let follows = |line: &&NodeLine| {
            !line.is_master && line.master.as_ref() == Some(&own.id) && line.is_reachable()
        };
        Some(Ownership {
            replicas: lines.iter().filter(follows).map(|line| line.id.clone()).collect(),
            id: own.id,
            is_master: own.is_master,
            epoch: own.epoch,
            highest_epoch,
            slots: own.slots.into_iter().map(RangeInclusive::into_inner).collect(),
            migrating: own.migrating,
            importing: own.importing,
        })
    }

    /// Whether the slot is its own, or about to be.
    pub fn takes(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
            || self.importing.iter().any(|(coming, _)| *coming == slot)
    }
}

/// All slots and their masters, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Says which master has which slots, by which epoch: see [`mark_of`].
    pub mark: u64,
    /// Slots that are moving: some of their keys are at the one node, some at the other.
    pub open: Vec<OpenSlot>,
}

/// A slot between `SETSLOT … MIGRATING` or `IMPORTING` and `SETSLOT … NODE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenSlot {
    /// The slot.
    pub slot: u16,
    /// The id of the node that its keys go to.
    pub to: String,
}

impl Partition {
    /// What these nodes own, when it is every slot, each once; `None` when the nodes are not all
    /// masters there are, or do not agree.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Ownership>) -> Option<Partition> {
        let (mut ranges, mut open, mut epoch) = (Vec::new(), Vec::new(), 0);
        for node in nodes.into_iter().filter(|node| node.is_master) {
            epoch = epoch.max(node.highest_epoch);
            ranges.extend(node.slots.iter().map(|(first, last)| (*first, *last, &*node.id)));
            open.extend(node.migrating.iter().map(|(slot, to)| (*slot, to.clone())));
            open.extend(node.importing.iter().map(|(slot, _)| (*slot, node.id.clone())));
        }
        ranges.sort_unstable();
        let mut next = 0;
        for (first, last, _) in &ranges {
            if usize::from(*first) != next {
                return None;
            }
            next = usize::from(*last) + 1;
        }
        let mut open: Vec<OpenSlot> =
            open.into_iter().map(|(slot, to)| OpenSlot { slot, to }).collect();
        open.sort_unstable();
        open.dedup();
        (next == SLOTS).then(|| Partition { mark: mark_of(&ranges, epoch), open })
    }
}

/// A number for which master has which slots, and by which epoch. Ranges in the order of their slots;
/// where one begins that belongs to the node of the one before does not matter.
///
/// The epoch tells a slot that went away and came back from one that stayed: a node takes a higher
/// epoch when it gets a slot and does not have the highest already, and of two nodes that take a slot
/// from each other only one can.
pub fn mark_of(ranges: &[(u16, u16, &str)], epoch: u64) -> u64 {
    let mut joined: Vec<(u16, u16, &str)> = Vec::with_capacity(ranges.len());
    for (first, last, id) in ranges {
        match joined.last_mut() {
            Some((_, end, owner)) if owner == id && end.checked_add(1) == Some(*first) => {
                *end = *last;
            }
            _ => joined.push((*first, *last, *id)),
        }
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    mix(&epoch.to_le_bytes());
    for (first, last, id) in joined {
        mix(&first.to_le_bytes());
        mix(&last.to_le_bytes());
        mix(id.as_bytes());
    }
    // The last bytes of such a hash change little in its upper bits.
    let spread = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ (spread >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Ownership {
        Ownership::read(text).expect("an own line")
    }

    fn node(id: &str, slots: &str) -> Ownership {
        own(&format!("{id} 10.0.0.1:1@2 myself,master - 0 0 3 connected {slots}\n"))
    }

    #[test]
    fn an_own_line_is_read() {
        let text = "\
            bb 10.0.0.2:1@2,host master - 0 1 9 connected 1-2\n\
            aa 10.0.0.1:1@2,host myself,master - 0 0 7 connected 0 3-5 16383 [6->-bb] [7-<-cc]\n\
            dd 10.0.0.4:1@2 slave aa 0 0 7 connected\n\
            ee 10.0.0.5:1@2 slave,fail aa 0 0 7 disconnected\n\
            ff 10.0.0.6:1@2 slave bb 0 0 7 connected\n";
        let want = Ownership {
            id: "aa".into(),
            is_master: true,
            epoch: 7,
            highest_epoch: 9,
            slots: vec![(0, 0), (3, 5), (16383, 16383)],
            migrating: vec![(6, "bb".into())],
            importing: vec![(7, "cc".into())],
            replicas: vec!["dd".into()],
        };
        assert_eq!(Ownership::read(text), Some(want));
        let replica = own("aa 10.0.0.1:1@2 myself,slave bb 0 0 7 connected\n");
        assert!(!replica.is_master && replica.slots.is_empty());
        assert!(own("aa :0@0 myself,master - 0 0 7 connected 3 [7-<-cc]").takes(7));
    }

    #[test]
    fn nonsense_is_no_line() {
        for text in [
            "",
            "aa 10.0.0.1:1@2 master - 0 0 7 connected 0-5\n",
            "aa 10.0.0.1:1@2 myself,master - 0 0 x connected 0-5\n",
            "aa 10.0.0.1:1@2 myself,master - 0 0 7 connected 0-16384\n",
            "aa 10.0.0.1:1@2 myself,master - 0 0 7 connected 5-0\n",
            "aa 10.0.0.1:1@2 myself,master - 0 0 7 connected [5-x-aa]\n",
            "myself\n",
        ] {
            assert_eq!(Ownership::read(text), None, "{text}");
        }
    }

    #[test]
    fn only_all_slots_and_each_once_are_a_partition() {
        let of = |nodes: &[(&str, &str)]| {
            let nodes: Vec<Ownership> = nodes.iter().map(|(id, slots)| node(id, slots)).collect();
            Partition::of(&nodes)
        };
        assert!(of(&[("aa", "0-99"), ("bb", "100-16383")]).is_some());
        assert!(of(&[("aa", "0-99 200-16383"), ("bb", "100-199"), ("cc", "")]).is_some());
        assert_eq!(of(&[("aa", "0-99"), ("bb", "101-16383")]), None);
        assert_eq!(of(&[("aa", "0-100"), ("bb", "100-16383")]), None);
        assert_eq!(of(&[("aa", "0-16383"), ("bb", "16383")]), None);
        assert_eq!(of(&[("aa", "0-16382")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_slot_that_moves_is_open_whoever_says_so() {
        let nodes = [node("aa", "0-99 [5->-bb]"), node("bb", "100-16383 [5-<-aa] [6-<-aa]")];
        let open = Partition::of(&nodes).expect("a partition").open;
        let want = [5, 6].map(|slot| OpenSlot { slot, to: "bb".into() });
        assert_eq!(open, want);
    }

    #[test]
    fn a_mark_tells_owners_and_epochs() {
        let mark = |ranges: &[(u16, u16, &str)]| mark_of(ranges, 1);
        let all = mark(&[(0, 99, "aa"), (100, 16383, "bb")]);
        assert_eq!(mark(&[(0, 50, "aa"), (51, 99, "aa"), (100, 16383, "bb")]), all);
        for other in [
            mark(&[(0, 98, "aa"), (99, 16383, "bb")]),
            mark(&[(0, 99, "bb"), (100, 16383, "aa")]),
            mark(&[(0, 99, "aa"), (101, 16383, "bb")]),
            mark_of(&[(0, 99, "aa"), (100, 16383, "bb")], 2),
        ] {
            assert_ne!(other, all);
        }
    }
}
