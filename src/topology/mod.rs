//! What the gateway knows of the cluster, and how it keeps knowing it.
//!
//! Owns the published map, the wish for a fresh one, and where a redirect's target is. Readers
//! never lock. Must not know requests in flight.

pub mod database_sizes;
pub mod events;
pub mod map;
pub mod names;
pub mod node_info;
pub mod node_limits;
pub mod nodes_reply;
pub mod ownership;
pub mod refresh;
pub mod report;
pub mod source;
mod troubles;

pub use database_sizes::{DatabaseSize, DatabaseWatch};
pub use events::{Event, EventKind, Events};
pub use map::{ClusterMap, Shard};
pub use node_info::{NodeInfo, NodeInfoWatch};
pub use ownership::{Ownership, Partition};
pub use refresh::Refresher;
pub use report::ClusterReport;
pub use troubles::Troubles;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use node_limits::SharedLimits;
use tokio::sync::{Notify, watch};

use crate::backend::{NodeAddress, TurnedAway};
use crate::command::CommandTable;
use crate::reply::returned::Redirect;
use crate::slot::Slot;

/// Nodes that have left the map of which it is remembered that they are down, and for how long.
const LEFT_MAX: usize = 256;
const LEFT_REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Host names of redirects that are remembered or waited for.
const NAMES_MAX: usize = 1024;

/// Why a fresh map was asked for: the label values of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The clock.
    Timer,
    /// A node redirected a request.
    Moved,
    /// A node's connection was lost or refused, or a node could not serve.
    NodeTrouble,
    /// A slot has no master.
    NoMaster,
}

/// All [`Trigger`]s as label values, in order.
pub const TRIGGERS: [&str; 4] = ["timer", "moved", "node_trouble", "no_master"];

/// The gateway's knowledge of the cluster, shared by all threads.
#[derive(Debug)]
pub struct Topology {
    map: Arc<ArcSwap<ClusterMap>>,
    table: Arc<ArcSwap<CommandTable>>,
    /// Version of the published map.
    changed: watch::Sender<u64>,
    wanted: Notify,
    /// Bit `n` set: trigger `n` is waiting.
    triggers: AtomicU64,
    names: Mutex<Names>,
    state: Mutex<State>,
    limits: SharedLimits,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<String, IpAddr>,
    wanted: HashSet<String>,
}

/// What is told about the keeping of the map.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// When the cluster last answered.
    pub refreshed: Option<Instant>,
    /// Why the last attempt failed, when it did.
    pub problem: Option<String>,
    /// Why no node lets the gateway in, when it is that.
    pub turned_away: Option<TurnedAway>,
    /// What is wrong with single nodes.
    pub troubles: Troubles,
    /// Refreshes per trigger: succeeded, failed.
    pub refreshes: [(u64, u64); TRIGGERS.len()],
    /// Maps that differed from the one before.
    pub changes: u64,
    /// Shards whose master changed.
    pub failovers: u64,
    /// Whether the cluster calls itself ok.
    pub cluster_ok: bool,
    /// By name, whether a node answered when it was last asked; not, when it has left the map since.
    pub nodes_up: HashMap<Arc<str>, bool>,
    /// Nodes that have left the map, the latest last, and when.
    left: VecDeque<(Arc<str>, Instant)>,
    /// Whether the live command table has been laid over the built-in one.
    pub commands_read: bool,
    /// What the nodes say they are: `redis_version`.
    pub server_version: Option<String>,
    /// The databases other than 0, as they were a moment ago.
    pub databases: Vec<DatabaseSize>,
    /// What has happened of late.
    pub events: Events,
    /// By name, what each node said of itself a moment ago; those that are silent are not there.
    pub node_infos: HashMap<Arc<str>, NodeInfo>,
}

impl State {
    /// A node has answered, or not, or has left the map.
    fn note_up(&mut self, name: &Arc<str>, up: bool) {
        if self.nodes_up.len() > map::SHARDS_MAX {
            self.nodes_up.clear();
        }
        if self.nodes_up.insert(Arc::clone(name), up) == Some(!up) {
            self.events.note_up(name, up);
        }
    }

    /// A node has left the map. Nobody asks about those that left long ago, or before many others.
    fn note_left(&mut self, name: &Arc<str>, map: &ClusterMap) {
        self.nodes_up.insert(Arc::clone(name), false);
        self.left.push_back((Arc::clone(name), Instant::now()));
        let is_old = |when: Instant| when.elapsed() > LEFT_REMEMBERED;
        while self.left.len() > LEFT_MAX || self.left.front().is_some_and(|(_, when)| is_old(*when))
        {
            let Some((name, _)) = self.left.pop_front() else { break };
            let is_back = map.nodes().any(|(node, ..)| node.name == name);
            if !is_back && !self.left.iter().any(|(other, _)| *other == name) {
                self.nodes_up.remove(&name);
            }
        }
    }
}

impl Default for Topology {
    fn default() -> Self {
        Topology {
            map: Arc::default(),
            table: Arc::new(ArcSwap::from_pointee(CommandTable::builtin())),
            changed: watch::Sender::new(0),
            wanted: Notify::new(),
            triggers: AtomicU64::new(0),
            names: Mutex::default(),
            state: Mutex::default(),
            limits: SharedLimits::default(),
        }
    }
}

impl Topology {
    /// The published map, for readers that keep a cache of it.
    pub fn map(&self) -> &Arc<ArcSwap<ClusterMap>> {
        &self.map
    }

    /// The command table in force.
    pub fn table(&self) -> &Arc<ArcSwap<CommandTable>> {
        &self.table
    }

    /// Tells of every new version of the map or the command table.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is told about the keeping of the map.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of Redis that clients are told: the nodes' own once it is known, and until then
    /// the one whose commands the built-in table knows.
    pub fn server_version(&self) -> String {
        self.state().server_version.clone().unwrap_or_else(|| "7.4.0".to_owned())
    }

    /// Why no node lets the gateway in, when it is that.
    pub fn turned_away(&self) -> Option<TurnedAway> {
        self.state().turned_away
    }

    /// Bytes of an argument, and of a request, that every node takes.
    pub fn node_limits(&self) -> (usize, usize) {
        self.limits.get()
    }

    /// Asks for a fresh map. Many wishes become one refresh.
    pub fn want_refresh(&self, trigger: Trigger) {
        self.triggers.fetch_or(1 << trigger as u64, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// Publishes a map when it routes differently, or the same by another epoch; returns whether it
    /// did. The epoch is a part of what a scan's cursor is checked by.
    fn publish(&self, map: ClusterMap) -> bool {
        let before = self.map.load_full();
        if before.routes_like(&map) && before.epoch == map.epoch && before.version > 0 {
            return false;
        }
        let mut version = 0;
        self.map.rcu(|current| {
            version = current.version + 1;
            map.at_version(version).with_home_of(current)
        });
        let mut state = self.state();
        state.changes += 1;
        // A redirect may have told of it before, so the map in force does not say it.
        state.failovers += state.events.note_map(&self.map.load_full());
        let present: HashSet<&str> = map.nodes().map(|(node, ..)| &*node.name).collect();
        let has_left = |node: &NodeAddress| !node.id.is_empty() && !present.contains(&*node.name);
        for (node, ..) in before.nodes().filter(|(node, ..)| has_left(node)) {
            state.note_left(&node.name, &map);
        }
        drop(state);
        self.changed.send_replace(version);
        true
    }

    /// Puts the live command table in force.
    pub fn publish_table(&self, table: CommandTable) {
        self.table.store(Arc::new(table));
        self.changed.send_modify(|_| {});
    }

    /// A node said that `slot` is served elsewhere: the map is patched at once, and a fresh one
    /// wanted. Returns whether the new owner could be located.
    pub fn moved(&self, redirect: &Redirect) -> bool {
        self.want_refresh(Trigger::Moved);
        let (Some(node), Some(slot)) = (self.locate(redirect), Slot::new(u64::from(redirect.slot)))
        else {
            return false;
        };
        let mut version = None;
        self.map.rcu(|current| match current.with_slot_at(slot, node.clone()) {
            Some(map) => {
                version = Some(current.version + 1);
                Arc::new(map.at_version(current.version + 1).with_home_of(current))
            }
            None => {
                version = None;
                Arc::clone(current)
            }
        });
        if let Some(version) = version {
            self.changed.send_replace(version);
        }
        true
    }

    /// The node a redirect means: one that is known, or one that is not known yet. `None` while its
    /// host name is not resolved.
    pub fn locate(&self, redirect: &Redirect) -> Option<NodeAddress> {
        if let Some(node) = self.locate_known(redirect) {
            return Some(node);
        }
        let ip = redirect.host.parse().ok().or_else(|| self.resolved(&redirect.host))?;
        let name = format!("{}:{}", redirect.host, redirect.port).into();
        Some(NodeAddress { id: "".into(), address: SocketAddr::new(ip, redirect.port), name })
    }

    /// The node a redirect means, when it is one that the cluster itself has told of. For redirects
    /// that somebody else may have made up: a script can return any error text.
    pub fn locate_known(&self, redirect: &Redirect) -> Option<NodeAddress> {
        let map = self.map.load();
        let known = |is_meant: &dyn Fn(&NodeAddress) -> bool| {
            let nodes = map.nodes().map(|(node, ..)| node).chain(map.spares());
            nodes.into_iter().find(|node| is_meant(node)).cloned()
        };
        let name = format!("{}:{}", redirect.host, redirect.port);
        if let Some(node) = known(&|node| *node.name == *name) {
            return Some(node);
        }
        // Maps may tell addresses where redirects tell names: it is one node all the same.
        let ip = redirect.host.parse().ok().or_else(|| self.resolved(&redirect.host))?;
        let address = SocketAddr::new(ip, redirect.port);
        known(&|node| node.address == address)
    }

    fn resolved(&self, host: &str) -> Option<IpAddr> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.known.get(host).copied();
        if names.wanted.len() < NAMES_MAX {
            names.wanted.insert(host.to_owned());
        }
        known
    }

    /// The host names that redirects need.
    fn take_wanted_names(&self) -> HashSet<String> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut names.wanted)
    }

    fn learn_name(&self, host: String, ip: IpAddr) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.known.len() >= NAMES_MAX {
            names.known.clear();
        }
        names.known.insert(host, ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_leaves_the_map_is_not_up() {
        let map_of = |names: [&str; 2]| {
            let [master, replica] = names.map(|name| NodeAddress {
                id: name.into(),
                address: ([127, 0, 0, 1], 7).into(),
                name: name.into(),
            });
            let shard = Shard { master, replicas: vec![replica] };
            ClusterMap::from_ranges(vec![map::Range { first: 0, last: 9, shard }], 1)
        };
        let topology = Topology::default();
        let up = |name: &str| topology.state().nodes_up.get(name).copied();
        topology.publish(map_of(["a:1", "b:2"]));
        assert_eq!((up("a:1"), up("b:2")), (None, None));
        topology.publish(map_of(["a:1", "c:3"]));
        assert_eq!((up("a:1"), up("b:2"), up("c:3")), (None, Some(false), None));
    }
}
