//! Redis Cluster as a source of the map: one node's view of it.
//!
//! Owns the questions that are asked of a node and what its answers become. Must not decide which
//! node is believed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::map::{ClusterMap, Range, Shard};
use super::slots_reply::{self, NamedNode, SlotRange};
use crate::backend::{BackendError, Connection, NodeAddress};
use crate::resp::Value;

/// How long a host name may take to resolve.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(2);

/// What one node says of the cluster.
#[derive(Clone, Debug)]
pub struct View {
    /// The map as this node sees it.
    pub map: ClusterMap,
    /// Whether it calls the cluster ok.
    pub ok: bool,
}

/// Asks the node behind `connection`, which was dialled as `host`.
pub async fn ask(connection: &mut Connection, host: &str) -> Result<View, BackendError> {
    let my_id = connection.call(&[b"CLUSTER", b"MYID"]).await?;
    let slots = connection.call(&[b"CLUSTER", b"SLOTS"]).await?;
    let info = connection.call(&[b"CLUSTER", b"INFO"]).await?;
    let info = slots_reply::parse_info(info.as_str().unwrap_or(""));
    let ranges = slots_reply::parse(&slots, host, my_id.as_str().unwrap_or(""))
        .map_err(BackendError::Refused)?;
    let asked_at = connection.peer();
    let mut known = HashMap::new();
    let ranges = locate(ranges, asked_at, &mut known).await;
    // An old server or a careful ACL may not tell: then slots that move to an empty node are found
    // by the redirects alone.
    let nodes = match connection.ask(&[b"CLUSTER", b"NODES"]).await? {
        Value::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    };
    let epoch = slots_reply::highest_config_epoch(&nodes).unwrap_or(info.epoch);
    let spares = slots_reply::parse_masters_without_slots(&nodes, host);
    let spares = locate_all(&spares, asked_at, &mut known).await;
    Ok(View { map: ClusterMap::from_ranges(ranges, epoch).with_spares(spares), ok: info.ok })
}

/// Hosts that have been resolved for this view.
type Known = HashMap<String, Option<IpAddr>>;

/// Resolves the hosts of all nodes. A range whose master cannot be resolved is left out.
async fn locate(
    ranges: Vec<SlotRange>,
    asked_at: Option<SocketAddr>,
    known: &mut Known,
) -> Vec<Range> {
    let mut located = Vec::with_capacity(ranges.len());
    for SlotRange { first, last, nodes } in ranges {
        let Some((master, replicas)) = nodes.split_first() else { continue };
        let mut found = locate_all(std::slice::from_ref(master), asked_at, known).await;
        if let Some(master) = found.pop() {
            let replicas = locate_all(replicas, asked_at, known).await;
            located.push(Range { first, last, shard: Shard { master, replicas } });
        }
    }
    located
}

/// The nodes whose hosts can be resolved.
async fn locate_all(
    nodes: &[NamedNode],
    asked_at: Option<SocketAddr>,
    known: &mut Known,
) -> Vec<NodeAddress> {
    let mut found = Vec::with_capacity(nodes.len());
    for node in nodes {
        if let Some(address) = address_of(node, asked_at, known).await {
            found.push(NodeAddress {
                id: node.id.as_str().into(),
                address,
                name: format!("{}:{}", node.host, node.port).into(),
            });
        }
    }
    found
}

async fn address_of(
    node: &NamedNode,
    asked_at: Option<SocketAddr>,
    known: &mut Known,
) -> Option<SocketAddr> {
    if node.is_asked && asked_at.is_some() {
        return asked_at;
    }
    if let Some(ip) = known.get(&node.host) {
        return ip.map(|ip| SocketAddr::new(ip, node.port));
    }
    let ip = resolve(&node.host).await.first().copied();
    known.insert(node.host.clone(), ip);
    ip.map(|ip| SocketAddr::new(ip, node.port))
}

/// The addresses of a host. In Swarm `tasks.NAME` has those of a service's tasks, where `NAME`
/// may be a virtual one.
pub async fn resolve(host: &str) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    if !host.contains('.') && host != "localhost" {
        let tasks = look_up(&format!("tasks.{host}")).await;
        if !tasks.is_empty() {
            return tasks;
        }
    }
    look_up(host).await
}

async fn look_up(host: &str) -> Vec<IpAddr> {
    let found = tokio::time::timeout(RESOLVE_PATIENCE, tokio::net::lookup_host((host, 0))).await;
    match found {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
