//! The cluster as people look at it: shards, their nodes, and what each node does.
//!
//! Owns what is told of a node. What a node says of itself and what the gateway has counted are both
//! there, by different names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::super::sampler::{Rate, Sampler};
use crate::backend::NodeAddress;
use crate::metrics::NodeStats;
use crate::metrics::stats::NODE_ERRORS;
use crate::server::Gateway;
use crate::slot::{SLOTS, Slot};
use crate::topology::report::{SlotsReport, TopologyReport, slots_of};
use crate::topology::{ClusterMap, NodeInfo, Shard, State};

/// Ranges of slots that nobody serves which are told.
const UNSERVED_MAX: usize = 64;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClusterOverview {
    /// Whether it calls itself ok.
    pub is_ok: bool,
    /// Its epoch.
    pub epoch: u64,
    /// Seconds since a node last told the map; null while none has.
    pub age_s: Option<f64>,
    /// How many of the 16384 slots have a master.
    pub slots_assigned: usize,
    /// First and last of ranges of slots that have none; 64 ranges at most.
    pub unserved: Vec<[u16; 2]>,
    /// Why the map could not be read at the last attempt; null when it could.
    pub problem: Option<String>,
    /// What is wrong with single nodes, each in a sentence.
    pub troubles: Vec<String>,
    /// Replicas that have become masters.
    pub failovers: u64,
    /// In the order of their first slots.
    pub shards: Vec<ShardOverview>,
    /// Masters without slots.
    pub spares: Vec<NodeOverview>,
}

/// One shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShardOverview {
    /// Its slots.
    pub slots: SlotsReport,
    /// The node that takes writes.
    pub master: NodeOverview,
    /// The nodes that would take its place.
    pub replicas: Vec<NodeOverview>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeOverview {
    /// Its announced host name or address, and port.
    pub name: String,
    /// Its id in the cluster.
    pub id: String,
    /// Where it is dialled.
    pub address: String,
    /// Whether it answered when it was last asked; null before.
    pub is_up: Option<bool>,
    /// What it says of itself; null while it is silent.
    pub info: Option<NodeInfo>,
    /// Of a replica: bytes of changes that it has not read from its master; null where unknown.
    pub lag_bytes: Option<u64>,
    /// What the gateway had of it in the last seconds.
    pub rate: Rate,
    /// Requests it has answered since the start.
    pub requests: u64,
    /// Requests it has not answered yet.
    pub inflight: u64,
    /// Clients that wait for their turn to send it a request.
    pub waiting: u64,
    /// The gateway's connections to it.
    pub connections: u64,
    /// Of these, those that one client has for itself.
    pub leased: u64,
    /// Failures since the start, by kind; only kinds that have happened.
    pub errors: BTreeMap<String, u64>,
}

impl ClusterOverview {
    /// All of it, now.
    pub(super) fn of(
        gateway: &Gateway,
        (map, state): (&ClusterMap, &State),
        sampler: &Sampler,
        now: Instant,
    ) -> ClusterOverview {
        let report = TopologyReport::new(map, state, now);
        let mut blocks: HashMap<Arc<str>, Vec<Arc<NodeStats>>> = HashMap::new();
        gateway.cluster.registry.for_each(|name, of_node| {
            blocks.insert(name.into(), of_node.to_vec());
        });
        let sight = Sight { state, sampler, blocks };
        let shards = map.shards().iter().zip(slots_of(map));
        let mut shards: Vec<ShardOverview> =
            shards.map(|(shard, slots)| ShardOverview::of(shard, slots, &sight)).collect();
        shards.sort_by_key(|shard| shard.slots.ranges.first().map_or(u16::MAX, |range| range[0]));
        ClusterOverview {
            is_ok: report.cluster_ok,
            epoch: map.epoch,
            age_s: report.age_s,
            slots_assigned: map.assigned(),
            unserved: unserved(map),
            problem: report.problem,
            troubles: report.troubles,
            failovers: state.failovers,
            shards,
            spares: map.spares().iter().map(|node| sight.node(node, None)).collect(),
        }
    }
}

impl ShardOverview {
    fn of(shard: &Shard, slots: SlotsReport, sight: &Sight<'_>) -> ShardOverview {
        let master = sight.node(&shard.master, None);
        let offset = master.info.as_ref().map(|info| info.replication_offset);
        ShardOverview {
            slots,
            replicas: shard.replicas.iter().map(|node| sight.node(node, offset)).collect(),
            master,
        }
    }
}

/// Where the figures of a node are found.
struct Sight<'a> {
    state: &'a State,
    sampler: &'a Sampler,
    blocks: HashMap<Arc<str>, Vec<Arc<NodeStats>>>,
}

impl Sight<'_> {
    /// One node; `offset` is that of its master.
    fn node(&self, node: &NodeAddress, offset: Option<u64>) -> NodeOverview {
        let info = self.state.node_infos.get(&node.name).cloned();
        let blocks = self.blocks.get(&node.name).map_or(&[][..], Vec::as_slice);
        let sum = |figure: fn(&NodeStats) -> u64| blocks.iter().map(|block| figure(block)).sum();
        let mut errors = BTreeMap::new();
        for (at, kind) in NODE_ERRORS.into_iter().enumerate() {
            let count: u64 = blocks.iter().map(|block| block.errors[at].get()).sum();
            if count > 0 {
                errors.insert(kind.to_owned(), count);
            }
        }
        // Of two answers a moment apart, so a replica may seem to be ahead.
        let lag = offset.zip(info.as_ref());
        NodeOverview {
            name: node.name.to_string(),
            id: node.id.to_string(),
            address: node.address.to_string(),
            is_up: self.state.nodes_up.get(&node.name).copied(),
            lag_bytes: lag.map(|(offset, info)| offset.saturating_sub(info.replication_offset)),
            info,
            rate: self.sampler.node(&node.name),
            requests: sum(|stats| stats.requests.get()),
            inflight: sum(|stats| stats.inflight.get()),
            waiting: sum(|stats| stats.turns.now.get()),
            connections: sum(|stats| stats.connections.get()),
            leased: sum(|stats| stats.leased.get()),
            errors,
        }
    }
}

fn unserved(map: &ClusterMap) -> Vec<[u16; 2]> {
    let mut ranges: Vec<[u16; 2]> = Vec::new();
    let free = |number: &u16| {
        Slot::new(u64::from(*number)).is_some_and(|slot| map.shard_of(slot).is_none())
    };
    for number in (0..SLOTS as u16).filter(free) {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            _ => ranges.push([number, number]),
        }
    }
    ranges.truncate(UNSERVED_MAX);
    ranges
}
