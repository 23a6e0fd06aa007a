//! Redis Cluster as a source of the map: one node's view of it.
//!
//! Owns the questions that are asked of a node and what its answers become. Must not decide which
//! node is believed.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::slots_reply::{self, NamedNode, SlotRange};
use super::{Unresolved, View};
use crate::backend::{BackendError, Connection, NodeAddress};
use crate::resp::{Value, shown};
use crate::topology::map::{ClusterMap, Range, Shard};
use crate::topology::names::Resolver;
use crate::topology::nodes_reply;

/// Asks the node behind `connection`, which was dialled as `host`.
pub(super) async fn ask(
    connection: &mut Connection,
    host: &str,
    resolver: &Resolver,
) -> Result<View, BackendError> {
    let my_id = connection.call(&[b"CLUSTER", b"MYID"]).await?;
    let slots = connection.call(&[b"CLUSTER", b"SLOTS"]).await?;
    let info = connection.call(&[b"CLUSTER", b"INFO"]).await?;
    let info = slots_reply::parse_info(info.as_str().unwrap_or(""));
    let mut ranges = slots_reply::parse(&slots, host, my_id.as_str().unwrap_or(""))
        .map_err(BackendError::Refused)?;
    // An old server or a careful ACL may not tell: then slots that move to an empty node are found
    // by the redirects alone.
    let nodes = match connection.ask(&[b"CLUSTER", b"NODES"]).await? {
        Value::Bulk(text) => nodes_reply::read(&String::from_utf8_lossy(&text)),
        _ => Vec::new(),
    };
    slots_reply::add_new_replicas(&mut ranges, &nodes, host);
    let epoch = nodes_reply::highest_config_epoch(&nodes).unwrap_or(info.epoch);
    let spares = slots_reply::masters_without_slots(&nodes, host);
    let all = ranges.iter().flat_map(|range| &range.nodes).chain(&spares);
    let found = resolver.resolve_all(all.map(|node| node.host.as_str()).collect()).await;
    let mut places = Places { asked_at: connection.peer(), found, unresolved: BTreeMap::new() };
    let ranges = places.locate(ranges);
    let spares = places.locate_all(&spares);
    let map = ClusterMap::from_ranges(ranges, epoch).with_spares(spares);
    Ok(View { map, ok: info.ok, unresolved: places.unresolved })
}

/// Where the nodes of one view are.
struct Places {
    asked_at: Option<SocketAddr>,
    found: HashMap<String, IpAddr>,
    unresolved: Unresolved,
}

impl Places {
    /// A range whose master cannot be located is left out.
    fn locate(&mut self, ranges: Vec<SlotRange>) -> Vec<Range> {
        let mut located = Vec::with_capacity(ranges.len());
        for SlotRange { first, last, nodes } in ranges {
            let Some((master, replicas)) = nodes.split_first() else { continue };
            let master = self.locate_one(master);
            let replicas = self.locate_all(replicas);
            if let Some(master) = master {
                located.push(Range { first, last, shard: Shard { master, replicas } });
            }
        }
        located
    }

    /// The nodes that can be located.
    fn locate_all(&mut self, nodes: &[NamedNode]) -> Vec<NodeAddress> {
        nodes.iter().filter_map(|node| self.locate_one(node)).collect()
    }

    fn locate_one(&mut self, node: &NamedNode) -> Option<NodeAddress> {
        Some(NodeAddress {
            id: node.id.as_str().into(),
            address: self.address_of(node)?,
            name: format!("{}:{}", shown(&node.host), node.port).into(),
        })
    }

    /// By its name or, when that does not resolve here, by the address that is told beside it.
    fn address_of(&mut self, node: &NamedNode) -> Option<SocketAddr> {
        let asked_at = self.asked_at.filter(|_| node.is_asked);
        let found = self.found.get(&node.host).copied();
        let ip = found.or_else(|| {
            let ip = node.ip.or(asked_at.map(|address| address.ip()));
            self.unresolved.insert(shown(&node.host), ip);
            ip
        });
        asked_at.or_else(|| Some(SocketAddr::new(ip?, node.port)))
    }
}
