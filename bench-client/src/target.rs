//! What the target says of itself.
//!
//! Owns the questions before and after a sweep: INFO, settings, topology. Knows nothing of load or
//! figures. Invariant: only the first contact may fail the run; what is not answered is noted as
//! such.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::admin;
use crate::connection::{Connection, Target};
use crate::host;
use crate::inquiry::{Inquiry, Value};
use crate::request::Request;
use crate::resp::Reply;

const INFO_BYTES_MAX: usize = 64 * 1024;

/// The INFO fields worth keeping in a report, beside those of a gateway.
const FIELDS: [&str; 17] = [
    "aof_enabled",
    "cluster_enabled",
    "connected_slaves",
    "evicted_keys",
    "expired_keys",
    "maxmemory",
    "maxmemory_policy",
    "mem_fragmentation_ratio",
    "os",
    "redis_mode",
    "redis_version",
    "role",
    "server_name",
    "slotway_version",
    "uptime_in_seconds",
    "used_memory",
    "valkey_version",
];
const GATEWAY_FIELD: &str = "gateway_";

/// What changes from second to second by itself, and says nothing of a run.
const GATEWAY_FIELDS_LEFT_OUT: [&str; 3] =
    ["gateway_connected_clients", "gateway_total_", "gateway_uptime"];

/// Settings that decide what a write costs and what becomes of values.
const SETTINGS: [&str; 5] = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save"];

/// The target, as far as it tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// Selected INFO fields.
    pub(crate) info: BTreeMap<String, String>,
    /// Why there are none.
    pub(crate) silence: Option<String>,
    /// Where the target lies, seen from here.
    pub(crate) network_path: Option<&'static str>,
    /// The address that answered.
    pub(crate) peer: Option<String>,
    /// Settings for persistence and eviction, as far as they are told.
    pub(crate) settings: BTreeMap<String, String>,
    /// A line for each shard, where the target or its admin address tells.
    pub(crate) topology: Vec<String>,
}

/// Connects, checks that the target answers PING, and asks what it is. `admin` is the admin address
/// of a gateway.
pub(crate) fn first_contact(target: &Target, admin: Option<&str>) -> Result<Identity> {
    let mut connection = Connection::open(target)?;
    match connection.ask(Request::keep("PING", None, 64))? {
        Reply::Status(_) | Reply::Ok | Reply::Kept(_) => {}
        Reply::Error(text) => bail!("the target answers PING with: {text}"),
        other => bail!("the target answers PING with: {other:?}"),
    }
    let addresses = connection.addresses().ok();
    let (info, silence) = match connection.ask(Request::keep("INFO", None, INFO_BYTES_MAX)) {
        Ok(Reply::Kept(text)) => (select(&String::from_utf8_lossy(&text)), None),
        Ok(other) => (BTreeMap::new(), Some(format!("{other:?}"))),
        Err(failure) => (BTreeMap::new(), Some(failure.to_string())),
    };
    let mut inquiry = Inquiry::open(target).ok();
    let topology = topology(&info, inquiry.as_mut(), admin);
    Ok(Identity {
        settings: inquiry.as_mut().map(settings).unwrap_or_default(),
        topology,
        info,
        silence,
        network_path: addresses.map(|(local, peer)| host::network_path(local, peer)),
        peer: addresses.map(|(_, peer)| peer.to_string()),
    })
}

/// Asks again after a sweep; nothing when the target does not answer any more.
pub(crate) fn last_contact(target: &Target, admin: Option<&str>) -> Identity {
    first_contact(target, admin).unwrap_or_default()
}

fn settings(inquiry: &mut Inquiry) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in SETTINGS {
        // A target may refuse to tell.
        let Ok(reply) = inquiry.ask(&["CONFIG", "GET", name]) else { break };
        if let [_, Value::Text(value)] = reply.list() {
            let value = if value.is_empty() { "(none)".to_owned() } else { value.clone() };
            found.insert(name.to_owned(), value);
        }
    }
    found
}

/// From the admin address, else from a cluster node itself, else what INFO of a gateway counts.
fn topology(
    info: &BTreeMap<String, String>,
    inquiry: Option<&mut Inquiry>,
    admin: Option<&str>,
) -> Vec<String> {
    if let Some(lines) = admin.and_then(admin::topology) {
        return lines;
    }
    let is_node = info.get("cluster_enabled").is_some_and(|value| value == "1");
    let slots = inquiry.filter(|_| is_node).and_then(|i| i.ask(&["CLUSTER", "SLOTS"]).ok());
    if let Some(slots) = slots {
        return slot_lines(&slots);
    }
    let counts = ["shards", "nodes", "slots_assigned", "slots_unserved", "masters_missing"];
    let figure = |name: &str| {
        let value = info.get(&format!("gateway_cluster_{name}"))?;
        Some(format!("{value} {}", name.replace('_', " ")))
    };
    let counts: Vec<String> = counts.into_iter().filter_map(figure).collect();
    if counts.is_empty() { Vec::new() } else { vec![counts.join(", ")] }
}

/// The answer to CLUSTER SLOTS, a line for each range.
fn slot_lines(slots: &Value) -> Vec<String> {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for range in slots.list() {
        let [first, last, nodes @ ..] = range.list() else { continue };
        let (Some(first), Some(last)) = (first.number(), last.number()) else { continue };
        let address = |node: &Value| {
            let [host, port, ..] = node.list() else { return None };
            Some(format!("{}:{}", host.text()?, port.text()?))
        };
        let mut nodes: Vec<String> = nodes.iter().filter_map(address).collect();
        if let Some(replicas) = nodes.get_mut(1..) {
            replicas.sort();
        }
        if let Some((master, replicas)) = nodes.split_first() {
            let line = admin::shard_line(&format!("{first}-{last}"), master, replicas);
            lines.push((first, line));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn select(info: &str) -> BTreeMap<String, String> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .filter(|(name, _)| FIELDS.contains(name) || is_of_gateway(name))
        .map(|(name, value)| (name.to_owned(), value.chars().take(200).collect()))
        .collect()
}

fn is_of_gateway(name: &str) -> bool {
    let left_out = GATEWAY_FIELDS_LEFT_OUT.iter().any(|start| name.starts_with(start));
    name.starts_with(GATEWAY_FIELD) && !left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_map_is_told_by_slots() {
        let text = |text: &str| Value::Text(text.to_owned());
        let node = |host: &str| Value::List(vec![text(host), text("1"), text("id")]);
        let slots = Value::List(vec![
            Value::List(vec![text("9"), text("10"), node("b")]),
            Value::List(vec![text("0"), text("8"), node("a"), node("d"), node("c")]),
            Value::Nil,
        ]);
        assert_eq!(slot_lines(&slots), ["0-8: a:1 (replicas c:1, d:1)", "9-10: b:1"]);
        let info = [("gateway_cluster_shards".to_owned(), "3".to_owned())].into();
        assert_eq!(topology(&info, None, None), ["3 shards"]);
    }

    #[test]
    fn known_fields_are_kept() {
        let info =
            select("# Server\r\nredis_version:7.0.15\r\nsecret:x\r\n\r\nodd\r\nos:Linux\r\n");
        assert_eq!(info.len(), 2);
        assert_eq!(info["redis_version"], "7.0.15");
    }
}
