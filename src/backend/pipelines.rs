//! The connections of one worker: a shared pipeline per node and protocol version, and leases.
//!
//! Owns making and retiring them, and the book in which every worker's counters of a node can be
//! found by a scrape. Must not know slots.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pipeline::{Pipeline, Shared};
use super::{Identity, Lease, LeaseError, LeasePool, NodeAddress};
use crate::metrics::NodeStats;
use crate::resp::Protocol;

/// Node names that get counters of their own; a map with more is counted under "other".
const NAMES_MAX: usize = 4096;

/// Where the counters of every node are: one block per worker.
#[derive(Debug, Default)]
pub struct NodeBook {
    blocks: Mutex<BTreeMap<Arc<str>, Vec<Arc<NodeStats>>>>,
}

impl NodeBook {
    fn open(&self, name: &Arc<str>) -> Arc<NodeStats> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let full = blocks.len() >= NAMES_MAX && !blocks.contains_key(name);
        let name = if full { Arc::from("other") } else { Arc::clone(name) };
        let block = Arc::new(NodeStats::default());
        blocks.entry(name).or_default().push(Arc::clone(&block));
        block
    }

    /// Calls `read` with every node's name and its blocks.
    pub fn for_each(&self, mut read: impl FnMut(&str, &[Arc<NodeStats>])) {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, blocks) in blocks.iter() {
            read(name, blocks);
        }
    }
}

/// The pipelines of one worker.
#[derive(Debug)]
pub struct Pipelines {
    shared: Rc<Shared>,
    identity: Identity,
    book: Arc<NodeBook>,
    open: RefCell<HashMap<(NodeAddress, Protocol), Rc<Pipeline>>>,
    /// Retired ones that still wait for answers.
    leaving: RefCell<Vec<Rc<Pipeline>>>,
    stats: RefCell<HashMap<Arc<str>, Arc<NodeStats>>>,
    leases: LeasePool,
}

impl Pipelines {
    /// No pipelines yet; `identity` is who the gateway is towards every node.
    pub fn new(shared: Rc<Shared>, identity: Identity, book: Arc<NodeBook>) -> Pipelines {
        let (open, leaving, stats) = (RefCell::default(), RefCell::default(), RefCell::default());
        let leases = LeasePool::default();
        Pipelines { shared, identity, book, open, leaving, stats, leases }
    }

    /// The pipeline to a node; it connects when it is first used.
    pub fn get(&self, node: &NodeAddress, protocol: Protocol) -> Rc<Pipeline> {
        let mut open = self.open.borrow_mut();
        if let Some(known) = open.get(&(node.clone(), protocol)) {
            return Rc::clone(known);
        }
        let identity = Identity { protocol, ..self.identity.clone() };
        let shared = Rc::clone(&self.shared);
        let pipeline = Pipeline::new(node.clone(), identity, self.stats_of(node), shared);
        tokio::task::spawn_local(Rc::clone(&pipeline).run());
        open.insert((node.clone(), protocol), Rc::clone(&pipeline));
        pipeline
    }

    fn stats_of(&self, node: &NodeAddress) -> Arc<NodeStats> {
        let mut stats = self.stats.borrow_mut();
        let stats =
            stats.entry(Arc::clone(&node.name)).or_insert_with(|| self.book.open(&node.name));
        Arc::clone(stats)
    }

    /// A connection to a node for one user alone, when it is its turn.
    pub async fn lease(&self, node: &NodeAddress, protocol: Protocol) -> Result<Lease, LeaseError> {
        let identity = Identity { protocol, ..self.identity.clone() };
        let patience = Duration::from_micros(self.shared.silence_us);
        let patiences = (self.shared.connect_patience, patience);
        let stats = self.stats_of(node);
        self.leases.lease(node, (identity, stats), patiences, &self.shared.clock).await
    }

    /// Retires the pipelines to nodes for which `stays` is false.
    pub fn retain(&self, stays: impl Fn(&NodeAddress) -> bool) {
        self.leases.retain(&stays);
        self.open.borrow_mut().retain(|(node, _), pipeline| {
            let stays = stays(node);
            if !stays {
                pipeline.retire();
                self.leaving.borrow_mut().push(Rc::clone(pipeline));
            }
            stays
        });
    }

    /// Tells the pipelines for which `changed` says so whether their nodes are masters.
    pub fn set_masters(&self, changed: impl Fn(&NodeAddress) -> Option<bool>) {
        for ((node, _), pipeline) in self.open.borrow().iter() {
            if let Some(is_master) = changed(node) {
                pipeline.set_master(is_master);
            }
        }
    }

    /// Ends connections whose oldest request has waited too long. Says whether a node owes an
    /// answer for so long that the map is worth a look.
    pub fn check_silence(&self) -> bool {
        let now_us = self.shared.clock.tick();
        self.leases.close_unused(now_us);
        let mut leaving = self.leaving.borrow_mut();
        leaving.retain(|pipeline| !pipeline.is_over());
        let open = self.open.borrow();
        let all = open.values().chain(leaving.iter());
        all.filter(|pipeline| pipeline.check_silence(now_us)).count() > 0
    }

    /// Who the gateway is towards the nodes, in RESP2.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the pipelines share.
    pub fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}
