//! The connections of one worker: a shared pipeline per node, protocol version and band, and
//! leases.
//!
//! Owns making and retiring them, and the book in which every worker's counters of a node can be
//! found by a scrape. Must not know slots.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::lease::LeaseTimeouts;
use super::pipeline::{Pipeline, Shared};
use super::tracking::Tracker;
use super::upstream::Identities;
use super::{
    BackendError, Band, Connection, Identity, Lane, Lease, LeaseError, LeasePool, MessageStream,
    NodeAddress, Upstream,
};
use crate::metrics::NodeStats;
use crate::resp::Protocol;

/// Node names that get counters of their own; further ones are counted under [`OTHER`].
pub const NAMES_MAX: usize = 1024;
/// The name of nodes that have none of their own: those that only a redirect has named, which may
/// be ever new ones, and those beyond [`NAMES_MAX`].
pub const OTHER: &str = "other";

/// Where the counters of every node are: one block per worker.
#[derive(Debug, Default)]
pub struct NodeStatsRegistry {
    blocks: Mutex<BTreeMap<Arc<str>, Vec<Arc<NodeStats>>>>,
}

/// Whether nobody counts in it any more; only the book has it.
fn is_unused(block: &Arc<NodeStats>) -> bool {
    Arc::strong_count(block) == 1
}

impl NodeStatsRegistry {
    pub(crate) fn open(&self, name: &Arc<str>) -> Arc<NodeStats> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= NAMES_MAX && !blocks.contains_key(name) {
            blocks.retain(|_, blocks| !blocks.iter().all(is_unused));
        }
        let full = blocks.len() >= NAMES_MAX && !blocks.contains_key(name);
        let name = if full { Arc::from(OTHER) } else { Arc::clone(name) };
        let of_name = blocks.entry(name).or_default();
        // A node that comes back goes on counting where it was.
        if let Some(unused) = of_name.iter().find(|block| is_unused(block)) {
            return Arc::clone(unused);
        }
        let block = Arc::new(NodeStats::default());
        of_name.push(Arc::clone(&block));
        block
    }

    /// Forgets the names that nobody counts under any more, but for those that are to stay.
    pub fn forget(&self, stays: impl Fn(&str) -> bool) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.retain(|name, blocks| stays(name) || !blocks.iter().all(is_unused));
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
    identities: Identities,
    registry: Arc<NodeStatsRegistry>,
    open: RefCell<HashMap<(Upstream, Band), Rc<Pipeline>>>,
    /// Retired ones that still wait for answers.
    leaving: RefCell<Vec<Rc<Pipeline>>>,
    stats: Rc<RefCell<HashMap<Arc<str>, Arc<NodeStats>>>>,
    leases: Rc<LeasePool>,
    /// They are one client's, whose keys the nodes track.
    tracker: Option<Rc<Tracker>>,
}

impl Pipelines {
    /// No pipelines yet; `identity` is who the gateway is towards every node.
    pub fn new(
        shared: Rc<Shared>,
        identity: &Identity,
        registry: Arc<NodeStatsRegistry>,
    ) -> Pipelines {
        let leases = Rc::new(LeasePool::new(Arc::clone(&shared.lease_limits)));
        Pipelines {
            shared,
            identities: Identities::new(identity),
            registry,
            open: RefCell::default(),
            leaving: RefCell::default(),
            stats: Rc::default(),
            leases,
            tracker: None,
        }
    }

    /// Other pipelines to the same nodes, for one client whose keys the nodes track. They end with what
    /// is returned. Leases and counters are shared.
    pub fn apart(&self, tracker: Rc<Tracker>) -> Pipelines {
        Pipelines {
            shared: Rc::clone(&self.shared),
            identities: self.identities.clone(),
            registry: Arc::clone(&self.registry),
            open: RefCell::default(),
            leaving: RefCell::default(),
            stats: Rc::clone(&self.stats),
            leases: Rc::clone(&self.leases),
            tracker: Some(tracker),
        }
    }

    /// Whose keys the nodes track, when they are one client's.
    pub fn tracker(&self) -> Option<&Rc<Tracker>> {
        self.tracker.as_ref()
    }

    /// The pipeline to a node; it connects when it is first used. A client whose keys the nodes track has
    /// one for everything: what the node says of keys and what it answers must stay in order.
    pub fn get(&self, node: &NodeAddress, protocol: Protocol, band: Band) -> Rc<Pipeline> {
        let upstream = self.identities.towards(node, protocol);
        let band = if self.tracker.is_some() { Band::Common } else { band };
        let mut open = self.open.borrow_mut();
        if let Some(known) = open.get(&(upstream.clone(), band)) {
            return Rc::clone(known);
        }
        let shared = Rc::clone(&self.shared);
        let pipeline =
            Pipeline::new(upstream.clone(), self.stats_of(node), shared, self.tracker.clone());
        tokio::task::spawn_local(Rc::clone(&pipeline).run());
        open.insert((upstream, band), Rc::clone(&pipeline));
        pipeline
    }

    fn stats_of(&self, node: &NodeAddress) -> Arc<NodeStats> {
        let name = if node.id.is_empty() { Arc::from(OTHER) } else { Arc::clone(&node.name) };
        let mut stats = self.stats.borrow_mut();
        Arc::clone(stats.entry(Arc::clone(&name)).or_insert_with(|| self.registry.open(&name)))
    }

    /// A connection to a node for one user alone, when it is its turn in this lane.
    pub async fn lease(
        &self,
        node: &NodeAddress,
        protocol: Protocol,
        lane: Lane,
    ) -> Result<Lease, LeaseError> {
        let upstream = self.identities.towards(node, protocol);
        let timeouts = LeaseTimeouts {
            connect: self.shared.connect_timeout,
            answer: Duration::from_micros(self.shared.response_timeout_us),
        };
        let stats = self.stats_of(node);
        self.leases.lease((upstream, lane), stats, timeouts, &self.shared.clock).await
    }

    /// A new connection to a node for the messages that it sends to subscribers. It speaks RESP2.
    pub async fn messages(&self, node: &NodeAddress) -> Result<MessageStream, BackendError> {
        let upstream = self.identities.towards(node, Protocol::Resp2);
        let opening = Connection::to_node(&upstream, self.shared.connect_timeout);
        let stats = self.stats_of(node);
        match opening.await {
            Ok(connection) => Ok(MessageStream::new(connection, stats)),
            Err(error) => {
                stats.error(error.kind());
                Err(error)
            }
        }
    }

    /// Retires the pipelines to nodes for which `stays` is false.
    pub fn retain(&self, stays: impl Fn(&NodeAddress) -> bool) {
        self.leases.retain(&stays);
        self.open.borrow_mut().retain(|(upstream, _), pipeline| {
            let stays = stays(&upstream.node);
            if !stays {
                pipeline.retire();
                self.leaving.borrow_mut().push(Rc::clone(pipeline));
            }
            stays
        });
    }

    /// Tells the pipelines for which `changed` says so whether their nodes are masters.
    pub fn set_masters(&self, changed: impl Fn(&NodeAddress) -> Option<bool>) {
        for pipeline in self.open.borrow().values().chain(self.leaving.borrow().iter()) {
            if let Some(is_master) = changed(pipeline.node()) {
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
        // One is here, one in the book; any more are in use.
        self.stats.borrow_mut().retain(|_, block| Arc::strong_count(block) > 2);
        let open = self.open.borrow();
        let all = open.values().chain(leaving.iter());
        all.filter(|pipeline| pipeline.check_silence(now_us)).count() > 0
    }

    /// The number behind the latest request of a tracking client that has been answered.
    pub fn answered(&self) -> u64 {
        self.open.borrow().values().map(|pipeline| pipeline.answered()).max().unwrap_or(0)
    }

    /// Those that a script has kept waiting for so long that their node may be answering others that
    /// it is busy.
    pub fn that_may_be_busy(&self) -> Vec<Rc<Pipeline>> {
        let now_us = self.shared.clock.tick();
        let open = self.open.borrow();
        open.values().filter(|pipeline| pipeline.may_be_busy(now_us)).map(Rc::clone).collect()
    }

    /// Has another one in the place of this pipeline, whose node is busy with a script; it ends with
    /// what is under way. `false` when it is not in use any more.
    pub fn replace(&self, before: &Rc<Pipeline>) -> bool {
        let is_open = |_: &(Upstream, Band), open: &mut Rc<Pipeline>| Rc::ptr_eq(open, before);
        let mut taken = self.open.borrow_mut().extract_if(is_open).collect::<Vec<_>>();
        let Some(((upstream, band), before)) = taken.pop() else { return false };
        self.leaving.borrow_mut().push(Rc::clone(&before));
        // Made now, so that what is given back finds it.
        drop(self.get(&upstream.node, upstream.identity.protocol, band));
        before.give_back_reads();
        before.retire();
        true
    }

    /// What the pipelines share.
    pub fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let Some(tracker) = &self.tracker else { return };
        tracker.end();
        for pipeline in self.open.borrow().values().chain(self.leaving.borrow().iter()) {
            pipeline.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(registry: &NodeStatsRegistry) -> Vec<(String, usize)> {
        let mut names = Vec::new();
        registry.for_each(|name, blocks| names.push((name.to_owned(), blocks.len())));
        names
    }

    #[test]
    fn a_node_that_comes_back_goes_on_counting() {
        let registry = NodeStatsRegistry::default();
        let name: Arc<str> = "a:1".into();
        let (first, second) = (registry.open(&name), registry.open(&name));
        first.requests.add(5);
        drop(first);
        assert_eq!(registry.open(&name).requests.get(), 5);
        assert_eq!(names(&registry), [("a:1".to_owned(), 2)]);
        registry.forget(|_| false);
        assert_eq!(names(&registry).len(), 1, "it is in use");
        drop(second);
        registry.forget(|name| name == "a:1");
        assert_eq!(names(&registry).len(), 1, "it is to stay");
        registry.forget(|_| false);
        assert!(names(&registry).is_empty());
    }

    #[test]
    fn names_are_bounded() {
        let registry = NodeStatsRegistry::default();
        let name = |n: usize| Arc::from(format!("a:{n}"));
        let used: Vec<_> = (0..NAMES_MAX + 9).map(|n| registry.open(&name(n))).collect();
        assert_eq!(names(&registry).len(), NAMES_MAX + 1);
        let other = names(&registry).into_iter().find(|(name, _)| name == OTHER);
        assert_eq!(other, Some((OTHER.to_owned(), 9)));
        // Those that nobody uses make room.
        drop(used);
        let _one = registry.open(&name(5000));
        assert_eq!(names(&registry), [("a:5000".to_owned(), 1)]);
    }
}
