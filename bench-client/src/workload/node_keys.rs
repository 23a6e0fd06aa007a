//! The keys of a size by the master that has them, for connections that each belong to one.
//!
//! Owns which key is whose, and what has to be asked again elsewhere. Knows no socket and no time.
//! Invariant: every node in it has a key, so its connections always have something to ask.

use std::collections::VecDeque;

use crate::payload::Payload;
use crate::slot_map::SlotMap;

/// Draws of a key that is another node's, before the next of this node's is taken.
const TRIES_MAX: usize = 64;
/// Requests that wait to be asked again; more are not made up for.
const AGAIN_MAX: usize = 10_000;

/// One master's share.
struct Node {
    address: String,
    /// Its key numbers, ascending.
    keys: Vec<u64>,
    /// Whose turn is next.
    next: usize,
    /// Tickets of requests that were sent elsewhere.
    again: VecDeque<u64>,
}

/// The keys of a size by the master that has them.
pub(crate) struct NodeKeys {
    nodes: Vec<Node>,
}

impl NodeKeys {
    /// The shares of `count` keys by this map; threads with another `seed` begin elsewhere.
    pub(crate) fn new(
        map: &SlotMap,
        payload: &Payload,
        (bytes, count): (usize, usize),
        seed: u64,
    ) -> NodeKeys {
        let mut nodes: Vec<Node> = map
            .masters()
            .iter()
            .map(|address| Node {
                address: address.clone(),
                keys: Vec::new(),
                next: 0,
                again: VecDeque::new(),
            })
            .collect();
        let mut name = String::new();
        for number in 0..count as u64 {
            payload.write_key(bytes, number, &mut name);
            let owner = map.owner_of(name.as_bytes());
            if let Some(node) = owner.and_then(|owner| nodes.get_mut(owner)) {
                node.keys.push(number);
            }
        }
        nodes.retain(|node| !node.keys.is_empty());
        let mut random = fastrand::Rng::with_seed(seed);
        nodes.iter_mut().for_each(|node| node.next = random.usize(..node.keys.len()));
        NodeKeys { nodes }
    }

    /// The addresses of those that have a key.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Each address with its keys.
    pub(crate) fn shares(self) -> impl Iterator<Item = (String, Vec<u64>)> {
        self.nodes.into_iter().map(|node| (node.address, node.keys))
    }

    /// What was sent elsewhere before and belongs here.
    pub(crate) fn again(&mut self, node: usize) -> Option<u64> {
        self.nodes.get_mut(node)?.again.pop_front()
    }

    /// The next of the node's keys in turn.
    pub(crate) fn in_turn(&mut self, node: usize) -> u64 {
        let Some(node) = self.nodes.get_mut(node) else { return 0 };
        node.next = (node.next + 1) % node.keys.len();
        node.keys[node.next]
    }

    /// A key of the node's by a law that draws among all.
    pub(crate) fn drawn(&self, node: usize, mut draw: impl FnMut() -> u64) -> u64 {
        let Some(node) = self.nodes.get(node) else { return 0 };
        let mut number = 0;
        for _ in 0..TRIES_MAX {
            number = draw();
            if node.keys.binary_search(&number).is_ok() {
                return number;
            }
        }
        let place = node.keys.partition_point(|key| *key < number);
        node.keys[place % node.keys.len()]
    }

    /// The key of this request is at another address by now: that node's connections ask it, or those
    /// of whoever had it until the map is there that names the other.
    pub(crate) fn moved(&mut self, ticket: u64, number: u64, address: &str) {
        let holds = |node: &Node| node.keys.binary_search(&number).is_ok();
        let Some(from) = self.nodes.iter().position(holds) else { return };
        let to = self.nodes.iter().position(|node| node.address == address).unwrap_or(from);
        // The last key stays: its connections have nothing else to ask until the next map.
        if to != from && self.nodes[from].keys.len() > 1 {
            self.nodes[from].keys.retain(|key| *key != number);
            self.nodes[from].next = 0;
            let place = self.nodes[to].keys.partition_point(|key| *key < number);
            self.nodes[to].keys.insert(place, number);
        }
        if self.nodes[to].again.len() < AGAIN_MAX {
            self.nodes[to].again.push_back(ticket);
        }
    }

    /// What waits to be asked again, with the map that comes next.
    pub(crate) fn take_again(&mut self) -> Vec<u64> {
        self.nodes.iter_mut().flat_map(|node| node.again.drain(..)).collect()
    }

    /// Has this asked by whoever has its key.
    pub(crate) fn ask_again(&mut self, ticket: u64, number: u64) {
        let holds = |node: &&mut Node| node.keys.binary_search(&number).is_ok();
        if let Some(node) = self.nodes.iter_mut().find(holds) {
            node.again.push_back(ticket);
        }
    }
}
