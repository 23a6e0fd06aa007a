//! What every node says of itself, for people: role, lag, memory, keys.
//!
//! Owns the asking of all nodes of the map for INFO, now and then, and which of its fields are kept.
//! Runs on the control thread. No field decides anything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{ClusterMap, Topology};
use crate::backend::{BackendError, Connection, Identity, NodeAddress};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Nodes that are asked: more fit on no page.
const NODES_MAX: usize = 512;
/// Longest text of a node that is kept.
const TEXT_LEN_MAX: usize = 32;

/// What one node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeInfo {
    /// `redis_version`.
    pub version: String,
    /// `master` or `slave`.
    pub role: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// Keys of all its databases; a replica has those of its master.
    pub keys: u64,
    /// Bytes of memory that it uses.
    pub memory_bytes: u64,
    /// Bytes that it may use for data; 0 is all there are.
    pub memory_max_bytes: u64,
    /// Connections of its clients, the gateway's among them.
    pub clients: u64,
    /// Commands a second, by its own count.
    pub ops_per_s: u64,
    /// Keys that it has thrown away for want of memory.
    pub evicted_keys: u64,
    /// Bytes of the stream of changes that it has made, or has read from its master.
    pub replication_offset: u64,
    /// Of a replica: whether it is connected to its master; null for a master.
    pub is_linked: Option<bool>,
    /// Whether it still loads its data.
    pub is_loading: bool,
    /// Whether the last attempts to write its data to disk have succeeded.
    pub is_persistence_ok: bool,
}

impl NodeInfo {
    /// Reads INFO. What is missing is as if it were 0.
    fn of(info: &str) -> NodeInfo {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        let fields: HashMap<&str, &str> = lines.collect();
        let text = |name: &str| {
            let sane = |c: &char| c.is_ascii_graphic();
            let text = fields.get(name).copied().unwrap_or_default();
            text.chars().filter(sane).take(TEXT_LEN_MAX).collect::<String>()
        };
        let number = |name: &str| fields.get(name).and_then(|text| text.trim().parse().ok());
        let count = |name: &str| number(name).unwrap_or_default();
        let failed = ["rdb_last_bgsave_status", "aof_last_write_status"]
            .iter()
            .any(|name| fields.get(name).is_some_and(|status| status.trim() != "ok"));
        let link = fields.get("master_link_status").map(|status| status.trim() == "up");
        NodeInfo {
            version: text("redis_version"),
            role: text("role"),
            uptime_s: count("uptime_in_seconds"),
            keys: keys(info),
            memory_bytes: count("used_memory"),
            memory_max_bytes: count("maxmemory"),
            clients: count("connected_clients"),
            ops_per_s: count("instantaneous_ops_per_sec"),
            evicted_keys: count("evicted_keys"),
            replication_offset: number("slave_repl_offset")
                .unwrap_or_else(|| count("master_repl_offset")),
            is_linked: link,
            is_loading: count("loading") > 0,
            is_persistence_ok: !failed,
        }
    }
}

/// `db0:keys=7,…`, of all databases.
fn keys(info: &str) -> u64 {
    let of_database = info.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        number.parse::<u32>().ok()?;
        rest.split(',').next()?.parse::<u64>().ok()
    });
    of_database.fold(0, u64::saturating_add)
}

/// Who asks.
#[derive(Debug)]
pub struct NodeInfoWatch {
    identity: Identity,
    timeout: Duration,
    connections: HashMap<SocketAddr, Connection>,
}

impl NodeInfoWatch {
    /// Asks as `identity`; `timeout` bounds each connect and each answer.
    pub fn new(identity: Identity, timeout: Duration) -> NodeInfoWatch {
        NodeInfoWatch { identity, timeout, connections: HashMap::new() }
    }

    /// Looks for ever, and notes what it sees.
    pub async fn run(mut self, topology: Arc<Topology>) {
        loop {
            let map = topology.map().load_full();
            let infos = self.ask_all(&map).await;
            topology.state().node_infos = infos;
            sleep(INTERVAL).await;
        }
    }

    /// Asks all nodes at once. Those that do not answer are left out.
    async fn ask_all(&mut self, map: &ClusterMap) -> HashMap<Arc<str>, NodeInfo> {
        let nodes: Vec<&NodeAddress> = map
            .nodes()
            .map(|(node, ..)| node)
            .chain(map.spares())
            .filter(|node| !node.id.is_empty())
            .take(NODES_MAX)
            .collect();
        self.connections.retain(|address, _| nodes.iter().any(|node| node.address == *address));
        let mut asked = JoinSet::new();
        for node in nodes {
            let (name, address) = (Arc::clone(&node.name), node.address);
            let open = self.connections.remove(&address);
            let (identity, timeout) = (self.identity.clone(), self.timeout);
            asked.spawn(async move {
                let answer = ask(open, address, &identity, timeout).await;
                (name, address, answer)
            });
        }
        let mut reports = HashMap::new();
        while let Some(joined) = asked.join_next().await {
            if let Ok((name, address, Ok((connection, report)))) = joined {
                self.connections.insert(address, connection);
                reports.insert(name, report);
            }
        }
        reports
    }
}

async fn ask(
    open: Option<Connection>,
    address: SocketAddr,
    identity: &Identity,
    timeout: Duration,
) -> Result<(Connection, NodeInfo), BackendError> {
    let mut connection = match open {
        Some(connection) => connection,
        None => Connection::open(address, identity, timeout).await?,
    };
    let info = connection.call(&[b"INFO"]).await?;
    Ok((connection, NodeInfo::of(info.as_str().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_from_info_whatever_it_says() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrole:slave\r\nmaster_link_status:down\r\n\
            slave_repl_offset:41\r\nmaster_repl_offset:7\r\nused_memory:1024\r\nloading:0\r\n\
            rdb_last_bgsave_status:err\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb9:keys=4,expires=0\r\n\
            dbx:keys=9\r\ndbsize\r\n";
        let report = NodeInfo::of(info);
        assert_eq!((report.keys, report.memory_bytes, report.replication_offset), (7, 1024, 41));
        assert_eq!((report.is_linked, report.is_persistence_ok), (Some(false), false));
        assert_eq!((report.version.as_str(), report.role.as_str()), ("7.0.15", "slave"));
        let hostile = format!("redis_version:\u{1b}[2J{}\nused_memory:-1\n:\n\n", "9".repeat(1000));
        let report = NodeInfo::of(&hostile);
        assert_eq!(report.version.len(), TEXT_LEN_MAX);
        assert_eq!((report.memory_bytes, report.is_linked), (0, None));
    }
}
