//! One cluster as the whole process has it.
//!
//! Owns what belongs to one cluster and all workers share: a gateway has one of these for each cluster
//! it stands in front of, which today is one. What a worker has of its own towards it, connections
//! first, is its [`Router`](super::Router). Must not know clients.

use std::sync::Arc;

use super::ScriptCache;
use super::hub::{Census, EventClasses};
use crate::backend::{LeaseLimits, MemoryShortage, NodeStatsRegistry};
use crate::config::Limits;
use crate::topology::Topology;

/// What all workers share of one cluster. A clone is the same cluster.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    /// What is known of it.
    pub topology: Arc<Topology>,
    /// Where counters of its nodes are found.
    pub registry: Arc<NodeStatsRegistry>,
    /// How many connections to it clients keep for themselves.
    pub lease_limits: Arc<LeaseLimits>,
    /// Whether its nodes may be short of memory.
    pub shortage: Arc<MemoryShortage>,
    /// The scripts that clients have sent to it.
    pub scripts: Arc<ScriptCache>,
    /// Who is subscribed to what there.
    pub census: Arc<Census>,
    /// Which events of the keyspace its nodes tell of.
    pub event_classes: Arc<EventClasses>,
}

impl ClusterHandle {
    /// Of a cluster of which nothing is known yet.
    pub fn new(limits: &Limits) -> ClusterHandle {
        ClusterHandle {
            topology: Arc::default(),
            registry: Arc::default(),
            lease_limits: Arc::new(LeaseLimits::new(
                limits.watching_clients_max,
                limits.blocked_clients_max,
            )),
            shortage: Arc::default(),
            scripts: Arc::new(ScriptCache::new(limits.script_cache_bytes_max)),
            census: Arc::default(),
            event_classes: Arc::default(),
        }
    }
}
