//! Who serves which slot: one immutable picture of the cluster.
//!
//! Owns slots -> shards -> nodes and the comparison of two pictures. Pure: no socket, no time. A
//! node is known by its id; its address is only where it is dialled at the moment.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::ownership::mark_of;
use crate::backend::NodeAddress;
use crate::slot::{SLOTS, Slot};

/// No shard serves the slot.
const NOBODY: u16 = u16::MAX;
/// The slots of a block do not all have the same shard.
const MIXED: u16 = NOBODY - 1;
/// How many slots make a block.
const BLOCK: usize = 64;
const _: () = assert!(SLOTS.is_multiple_of(BLOCK), "no slot is left out");
/// Most shards a map may have; Redis Cluster's own bound is 16,384 masters.
pub const SHARDS_MAX: usize = SLOTS;
const _: () = assert!(SHARDS_MAX <= MIXED as usize, "no shard is taken for a mark");

/// One shard: a master and the replicas that would take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The node that takes writes.
    pub master: NodeAddress,
    /// Its replicas.
    pub replicas: Vec<NodeAddress>,
}

/// A range of slots and the nodes that serve it, as one entry of `CLUSTER SLOTS` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First slot.
    pub first: u16,
    /// Last slot, included.
    pub last: u16,
    /// Its shard.
    pub shard: Shard,
}

/// The picture.
#[derive(Clone)]
pub struct ClusterMap {
    /// Grows with every change of what is routed where. Set by the one who publishes the map.
    pub version: u64,
    /// The highest config epoch of a master in the picture; `cluster_current_epoch` where the node
    /// does not tell config epochs.
    pub epoch: u64,
    shard_of: Box<[u16]>,
    /// The shard of each block of slots. Shards have long ranges, so most look-ups end here: in 512
    /// bytes that stay in the processor's nearest cache, where the 32 KiB of all slots do not.
    blocks: [u16; SLOTS / BLOCK],
    shards: Vec<Shard>,
    /// How many slots have a shard.
    assigned: usize,
    /// Masters that serve no slot: slots may be on their way to them.
    spares: Vec<NodeAddress>,
    /// See [`ClusterMap::home`].
    home: Option<NodeAddress>,
    /// See [`ClusterMap::mark`].
    mark: u64,
}

impl fmt::Debug for ClusterMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterMap(v{}, epoch {}, ", self.version, self.epoch)?;
        write!(f, "{} shards, {} slots)", self.shards.len(), self.assigned())
    }
}

impl Default for ClusterMap {
    /// The map before any node has answered: nobody serves anything.
    fn default() -> Self {
        let shard_of = vec![NOBODY; SLOTS].into_boxed_slice();
        ClusterMap {
            version: 0,
            epoch: 0,
            shard_of,
            blocks: [NOBODY; SLOTS / BLOCK],
            shards: Vec::new(),
            assigned: 0,
            spares: Vec::new(),
            home: None,
            mark: 0,
        }
    }
}

impl ClusterMap {
    /// A map of these ranges; later ranges win where they overlap.
    pub fn from_ranges(ranges: Vec<Range>, epoch: u64) -> ClusterMap {
        let mut map = ClusterMap { epoch, ..ClusterMap::default() };
        let mut index_of: HashMap<NodeAddress, u16> = HashMap::new();
        for Range { first, last, shard } in ranges {
            let index = match index_of.get(&shard.master) {
                Some(&index) => index,
                None if map.shards.len() >= SHARDS_MAX => continue,
                None => {
                    let index = map.shards.len() as u16;
                    index_of.insert(shard.master.clone(), index);
                    map.shards.push(shard);
                    index
                }
            };
            let range = usize::from(first)..(usize::from(last) + 1).min(SLOTS);
            if let Some(slots) = map.shard_of.get_mut(range) {
                slots.fill(index);
            }
        }
        map.sort_shards();
        map
    }

    /// Shards in the order of their masters' ids, so that every gateway counts them alike; then
    /// what follows from the slots' shards. Ends every change of them.
    fn sort_shards(&mut self) {
        self.assigned = self.shard_of.iter().filter(|shard| **shard != NOBODY).count();
        let mut order: Vec<usize> = (0..self.shards.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |n: usize| (&self.shards[n].master.id, self.shards[n].master.address);
            key(a).cmp(&key(b))
        });
        let mut place = vec![NOBODY; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new as u16;
        }
        for slot in self.shard_of.iter_mut().filter(|slot| **slot != NOBODY) {
            *slot = place[usize::from(*slot)];
        }
        self.shards = order.into_iter().map(|old| self.shards[old].clone()).collect();
        for (block, slots) in self.blocks.iter_mut().zip(self.shard_of.as_chunks::<BLOCK>().0) {
            let all_alike = slots.iter().all(|shard| *shard == slots[0]);
            *block = if all_alike { slots[0] } else { MIXED };
        }
    }

    /// The same map with these masters that serve no slot.
    #[must_use]
    pub fn with_spares(self, mut spares: Vec<NodeAddress>) -> ClusterMap {
        spares.sort_by(|one, other| one.id.cmp(&other.id));
        ClusterMap { spares, ..self }
    }

    /// Masters that serve no slot.
    pub fn spares(&self) -> &[NodeAddress] {
        &self.spares
    }

    /// The same map under another version, ready to be published.
    #[must_use]
    pub fn at_version(&self, version: u64) -> ClusterMap {
        ClusterMap { version, mark: self.find_mark(), ..self.clone() }
    }

    /// The node that has the messages of all channels and patterns. Any node would do: the cluster
    /// brings each message to all of them. So it stays the same one for as long as it is here, also
    /// as a replica, and messages keep their order in a planned failover.
    pub fn home(&self) -> Option<&NodeAddress> {
        self.home.as_ref().or_else(|| self.default_home())
    }

    fn default_home(&self) -> Option<&NodeAddress> {
        let shard = self.shard_of(Slot::of(b""))?;
        self.shards.get(shard).map(|shard| &shard.master)
    }

    /// The same map with the home of the one before, if that node is still here.
    #[must_use]
    pub fn with_home_of(mut self, before: &ClusterMap) -> ClusterMap {
        let known = |home: &&NodeAddress| self.nodes().any(|(node, ..)| node == *home);
        self.home = before.home().filter(known).or_else(|| self.default_home()).cloned();
        self
    }

    /// Whether every slot has a shard.
    pub fn is_complete(&self) -> bool {
        self.assigned == SLOTS
    }

    /// The shard that serves a slot.
    #[inline]
    pub fn shard_of(&self, slot: Slot) -> Option<usize> {
        let shard = match self.blocks[slot.index() / BLOCK] {
            MIXED => self.shard_of[slot.index()],
            shard => shard,
        };
        (shard != NOBODY).then_some(usize::from(shard))
    }

    /// All shards, in the order of their masters' ids.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// How many slots have a shard.
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// Every node, masters first within their shard.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeAddress, usize, bool)> {
        self.shards.iter().enumerate().flat_map(|(index, shard)| {
            let replicas = shard.replicas.iter().map(move |node| (node, index, false));
            std::iter::once((&shard.master, index, true)).chain(replicas)
        })
    }

    /// The slots of each shard as ranges.
    pub fn ranges_of(&self, shard: usize) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (slot, &owner) in self.shard_of.iter().enumerate() {
            if usize::from(owner) != shard || owner == NOBODY {
                continue;
            }
            let slot = slot as u16;
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    /// Whether both route every slot to the same masters and know the same replicas.
    pub fn routes_like(&self, other: &ClusterMap) -> bool {
        self.shards == other.shards
            && self.shard_of == other.shard_of
            && self.spares == other.spares
    }

    /// Whether every slot has the same master in both.
    pub fn has_masters_of(&self, other: &ClusterMap) -> bool {
        self.shards.len() == other.shards.len()
            && self.shard_of == other.shard_of
            && self.shards.iter().zip(&other.shards).all(|(one, two)| one.master == two.master)
    }

    /// Whether both know a node in common, so that they are maps of one cluster. Nodes without ids
    /// cannot be told apart, and a map of nobody is one of any cluster.
    pub fn is_same_cluster(&self, other: &ClusterMap) -> bool {
        let ids: HashSet<&str> = other.nodes().map(|(node, ..)| &*node.id).collect();
        let is_known =
            |id: &str| id.is_empty() || ids.is_empty() || ids.contains(id) || ids.contains("");
        self.nodes().any(|(node, ..)| is_known(&node.id))
            || self.spares.iter().any(|node| is_known(&node.id))
    }

    /// The same map with one slot served by `node`; `None` when it already is. A replica that
    /// serves a slot has taken its master's place: its shard goes on with it as the master, or it
    /// would be counted as two.
    pub fn with_slot_at(&self, slot: Slot, node: NodeAddress) -> Option<ClusterMap> {
        let known = self.shards.iter().position(|shard| shard.master == node);
        if known.is_some() && known == self.shard_of(slot) {
            return None;
        }
        let mut map = self.clone();
        let index = match known.or_else(|| map.promote(&node)) {
            Some(index) => index,
            None if map.shards.len() >= SHARDS_MAX => return None,
            None => {
                map.shards.push(Shard { master: node, replicas: Vec::new() });
                map.shards.len() - 1
            }
        };
        map.shard_of[slot.index()] = index as u16;
        map.drop_empty_shards();
        map.sort_shards();
        Some(map)
    }

    /// Makes a replica the master of its shard, when it is one; returns which shard.
    fn promote(&mut self, node: &NodeAddress) -> Option<usize> {
        let of_node = |shard: &Shard| shard.replicas.iter().position(|replica| replica == node);
        let (index, replica) =
            self.shards.iter().enumerate().find_map(|(n, shard)| Some((n, of_node(shard)?)))?;
        let shard = &mut self.shards[index];
        std::mem::swap(&mut shard.master, &mut shard.replicas[replica]);
        Some(index)
    }

    fn drop_empty_shards(&mut self) {
        let mut used = vec![false; self.shards.len()];
        for &shard in self.shard_of.iter().filter(|shard| **shard != NOBODY) {
            used[usize::from(shard)] = true;
        }
        let mut place = Vec::with_capacity(used.len());
        let mut next = 0u16;
        for keep in &used {
            place.push(next);
            next += u16::from(*keep);
        }
        for slot in self.shard_of.iter_mut().filter(|slot| **slot != NOBODY) {
            *slot = place[usize::from(*slot)];
        }
        let mut used = used.into_iter();
        self.shards.retain(|_| used.next().unwrap_or(false));
    }

    /// Says which master has which slots, by which epoch: the same number as that of the masters'
    /// own [`super::Partition`], while this map is true.
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// As [`Self::mark`], and which masters serve no slot.
    pub fn mark_with_spares(&self) -> u64 {
        let mix = |mark: u64, byte: u8| (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.spares.iter().flat_map(|node| node.id.bytes()).fold(self.mark, mix)
    }

    fn find_mark(&self) -> u64 {
        let mut ranges: Vec<(u16, u16, &str)> = Vec::new();
        for (slot, &owner) in (0u16..).zip(self.shard_of.iter()) {
            let Some(shard) = self.shards.get(usize::from(owner)) else { continue };
            let id: &str = &shard.master.id;
            match ranges.last_mut() {
                Some((_, last, of)) if *of == id && *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot, id)),
            }
        }
        mark_of(&ranges, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ownership, Partition};
    use super::*;

    fn node(n: u16) -> NodeAddress {
        NodeAddress {
            id: format!("{n:040}").into(),
            address: ([127, 0, 0, 1], n).into(),
            name: format!("127.0.0.1:{n}").into(),
        }
    }

    fn range(first: u16, last: u16, master: u16) -> Range {
        let shard = Shard { master: node(master), replicas: vec![node(master + 100)] };
        Range { first, last, shard }
    }

    fn slot(n: u64) -> Slot {
        Slot::new(n).expect("a slot")
    }

    #[test]
    fn the_home_stays_while_it_is_in_the_cluster() {
        let map = |ranges: Vec<Range>| ClusterMap::from_ranges(ranges, 1);
        let first = map(vec![range(0, 99, 1), range(100, 200, 2)]).with_home_of(&map(vec![]));
        assert_eq!(first.home(), Some(&node(1)));
        // A planned failover: it is a replica now.
        let shard = Shard { master: node(101), replicas: vec![node(1)] };
        let swapped = map(vec![Range { first: 0, last: 200, shard }]).with_home_of(&first);
        assert_eq!(swapped.home(), Some(&node(1)));
        let gone = map(vec![range(0, 99, 3), range(100, 200, 2)]).with_home_of(&swapped);
        assert_eq!(gone.home(), Some(&node(3)));
        // Nobody serves the slot that would say which one.
        assert_eq!(map(vec![range(100, 200, 2)]).with_home_of(&gone).home(), None);
    }

    /// Borders at any place, single slots within the range of another shard, and slots of nobody.
    #[test]
    fn every_slot_has_the_shard_of_its_range() {
        let ranges =
            [(0, 5000, 1), (5001, 9983, 2), (9984, 16000, 3), (100, 100, 2), (640, 703, 3)];
        let of_range = |&(first, last, master): &(u16, u16, u16)| range(first, last, master);
        let map = ClusterMap::from_ranges(ranges.iter().map(of_range).collect(), 1);
        let moved = map.with_slot_at(slot(9983), node(3)).unwrap();
        let moved = moved.with_slot_at(slot(16_383), node(1)).unwrap();
        for n in 0..SLOTS as u16 {
            let of = |map: &ClusterMap| {
                let shard = map.shard_of(slot(u64::from(n)))?;
                Some(map.shards()[shard].master.clone())
            };
            let found = ranges.iter().rfind(|(first, last, _)| (*first..=*last).contains(&n));
            let master = found.map(|(.., master)| node(*master));
            assert_eq!(of(&map), master, "slot {n}");
            let master = match n {
                9983 => Some(node(3)),
                16_383 => Some(node(1)),
                _ => master,
            };
            assert_eq!(of(&moved), master, "slot {n}");
        }
    }

    #[test]
    fn ranges_become_shards_in_id_order() {
        let map = ClusterMap::from_ranges(
            vec![range(0, 99, 7003), range(100, 16383, 7001), range(50, 60, 7002)],
            5,
        );
        let masters: Vec<u16> = map.shards().iter().map(|s| s.master.address.port()).collect();
        assert_eq!(masters, [7001, 7002, 7003]);
        assert_eq!(map.shard_of(slot(0)), Some(2));
        assert_eq!(map.shard_of(slot(55)), Some(1));
        assert_eq!(map.shard_of(slot(16383)), Some(0));
        assert_eq!(map.ranges_of(2), [(0, 49), (61, 99)]);
        assert_eq!(map.assigned(), SLOTS);
        assert_eq!(map.nodes().count(), 6);
    }

    #[test]
    fn slots_without_a_shard() {
        let map = ClusterMap::from_ranges(vec![range(10, 10, 7001)], 1);
        assert_eq!(map.shard_of(slot(9)), None);
        assert_eq!(map.shard_of(slot(10)), Some(0));
        assert_eq!(ClusterMap::default().assigned(), 0);
    }

    #[test]
    fn a_moved_slot_changes_only_itself() {
        let map = ClusterMap::from_ranges(vec![range(0, 99, 7001), range(100, 100, 7002)], 1);
        assert!(map.with_slot_at(slot(5), node(7001)).is_none());
        let moved = map.with_slot_at(slot(5), node(7002)).expect("a change");
        assert_eq!(moved.ranges_of(0), [(0, 4), (6, 99)]);
        assert_eq!(moved.ranges_of(1), [(5, 5), (100, 100)]);
        assert!(!moved.routes_like(&map) && moved.find_mark() != map.find_mark());
        // A master without slots is no shard any more; a new one becomes a shard.
        let third = moved.with_slot_at(slot(100), node(7003)).expect("a change");
        let third = third.with_slot_at(slot(5), node(7003)).expect("a change");
        assert_eq!(third.shards().len(), 2);
        assert_eq!(third.ranges_of(1), [(5, 5), (100, 100)]);
        assert_eq!(third.shards()[1].master, node(7003));
    }

    #[test]
    fn a_replica_that_serves_a_slot_is_the_master_of_its_shard() {
        let map = ClusterMap::from_ranges(vec![range(0, 99, 7001), range(100, 200, 7002)], 1);
        let moved = map.with_slot_at(slot(5), node(7101)).expect("a change");
        let shards: Vec<(u16, u16)> = moved
            .shards()
            .iter()
            .map(|shard| (shard.master.address.port(), shard.replicas[0].address.port()))
            .collect();
        assert_eq!(shards, [(7002, 7102), (7101, 7001)]);
        assert_eq!((moved.ranges_of(0), moved.ranges_of(1)), (vec![(100, 200)], vec![(0, 99)]));
        assert!(moved.with_slot_at(slot(5), node(7101)).is_none());
    }

    #[test]
    fn maps_of_one_cluster_have_a_node_in_common() {
        let of = |master| ClusterMap::from_ranges(vec![range(0, 99, master)], 1);
        let both = ClusterMap::from_ranges(vec![range(0, 9, 7001), range(10, 99, 7002)], 2);
        assert!(of(7001).is_same_cluster(&both) && both.is_same_cluster(&of(7002)));
        assert!(!of(7003).is_same_cluster(&both));
        // A replica that has become the master is known as well.
        assert!(of(7101).is_same_cluster(&both));
        // A master that has no slots yet, and the beginning.
        assert!(of(7003).with_spares(vec![node(7002)]).is_same_cluster(&both));
        assert!(of(7003).is_same_cluster(&ClusterMap::default()));
    }

    #[test]
    fn equal_pictures_have_equal_marks() {
        let ranges = || vec![range(0, 99, 7001), range(100, 16383, 7002)];
        let turned = || ranges().into_iter().rev().collect::<Vec<_>>();
        let (a, b) = (ClusterMap::from_ranges(ranges(), 1), ClusterMap::from_ranges(turned(), 1));
        assert!(a.routes_like(&b));
        assert_eq!(a.at_version(1).mark(), b.at_version(2).mark());
        let later = ClusterMap::from_ranges(ranges(), 2).at_version(1);
        assert_ne!(a.at_version(1).mark(), later.mark());
        let spare = a.with_spares(vec![node(7003)]).at_version(1);
        assert_eq!(spare.mark(), b.at_version(1).mark());
        assert_ne!(spare.mark_with_spares(), spare.mark());
    }

    /// What the masters say of themselves is compared with the map.
    #[test]
    fn the_mark_is_that_of_the_masters_own_partition() {
        let map = ClusterMap::from_ranges(vec![range(0, 99, 1), range(100, 16383, 2)], 9);
        let own = |n: u16, slots: &str| {
            let line = format!("{n:040} h:1@2 myself,master - 0 0 9 connected {slots}");
            Ownership::read(&line).unwrap()
        };
        let nodes = [own(2, "100-16383"), own(1, "0-99")];
        assert_eq!(Partition::of(&nodes).unwrap().mark, map.at_version(1).mark());
    }
}
