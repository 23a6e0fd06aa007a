//! `CLUSTER SLOTS`, `CLUSTER NODES` and `CLUSTER INFO`: what a node says of its cluster.

use slotway::resp::Value;
use slotway::topology::Ownership;
use slotway::topology::nodes_reply;
use slotway::topology::source::slots_reply::{self, NamedNode, SlotRange};

use super::reply;

/// The host that was asked.
const DIALLED: &str = "seed";
/// The id of the node that was asked.
const MY_ID: &str = "aa";

/// Reads the bytes as a reply of `CLUSTER SLOTS`, and as the text of `CLUSTER NODES` and
/// `CLUSTER INFO` about it, and checks that:
/// - what is believed makes sense: slots that exist, nodes at a port, ids that are ids;
/// - there are no more ranges and nodes than the reply has values, or the text lines;
/// - the ranges, written as a reply again, are read as the same;
/// - what `CLUSTER NODES` adds is added once.
///
/// Returns how many ranges were accepted.
pub fn drive(data: &[u8]) -> usize {
    let (value, used) = match Value::decode(data) {
        Ok(Some(decoded)) => decoded,
        _ => (Value::Array(Vec::new()), 0),
    };
    let Ok(mut ranges) = slots_reply::parse(&value, DIALLED, MY_ID) else { return 0 };
    let nodes: usize = ranges.iter().map(|range| range.nodes.len()).sum();
    assert!(ranges.len() + nodes < reply::count(&value).max(1));
    for range in &ranges {
        assert!(range.first <= range.last && range.last < 16_384, "{range:?}");
        range.nodes.iter().for_each(makes_sense);
    }
    assert_eq!(slots_reply::parse(&as_reply(&ranges), DIALLED, MY_ID), Ok(known(&ranges)));
    let accepted = ranges.len();
    nodes_text(&mut ranges, &String::from_utf8_lossy(&data[used..]));
    accepted
}

/// Reads a text of `CLUSTER NODES` about these ranges.
fn nodes_text(ranges: &mut [SlotRange], text: &str) {
    let nodes = nodes_reply::read(text);
    let lines = nodes.len();
    assert!(lines <= text.lines().count());
    let spares = slots_reply::masters_without_slots(&nodes, DIALLED);
    assert!(spares.len() <= lines);
    spares.iter().for_each(makes_sense);
    if let Some(own) = Ownership::read(text) {
        assert!(own.replicas.len() < lines && nodes.iter().any(|line| line.id == own.id));
        assert!(own.slots.iter().all(|(first, last)| first <= last && *last < 16_384));
    }
    let before: Vec<usize> = ranges.iter().map(|range| range.nodes.len()).collect();
    slots_reply::add_new_replicas(ranges, &nodes, DIALLED);
    for (range, before) in ranges.iter().zip(before) {
        let added = &range.nodes[before..];
        assert!(added.len() <= lines && (before > 0 || added.is_empty()));
        added.iter().for_each(makes_sense);
    }
    let once = ranges.to_vec();
    slots_reply::add_new_replicas(ranges, &nodes, DIALLED);
    assert_eq!(ranges, once);
    let masters = |line: &str| line.contains("master");
    assert!(nodes_reply::highest_config_epoch(&nodes).is_none() || text.lines().any(masters));
    let info = slots_reply::parse_info(text);
    assert!(!info.ok || text.contains("cluster_state:ok"));
    assert!(info.epoch == 0 || text.contains("cluster_current_epoch:"));
}

fn makes_sense(node: &NamedNode) {
    assert!(node.port > 0 && !node.host.is_empty(), "{node:?}");
    assert!(node.id.len() <= 64 && node.id.bytes().all(|byte| byte.is_ascii_graphic()), "{node:?}");
}

/// The ranges whose master is known: a reply cannot tell one without.
fn known(ranges: &[SlotRange]) -> Vec<SlotRange> {
    ranges.iter().filter(|range| !range.nodes.is_empty()).cloned().collect()
}

/// The reply of a node that knows these ranges.
fn as_reply(ranges: &[SlotRange]) -> Value {
    let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
    let node = |node: &NamedNode| {
        let ip = node.ip.map(|ip| ip.to_string());
        let metadata = ip.iter().flat_map(|ip| [bulk("ip"), bulk(ip)]).collect();
        let port = Value::Int(node.port.into());
        Value::Array(vec![bulk(&node.host), port, bulk(&node.id), Value::Array(metadata)])
    };
    let entry = |range: &SlotRange| {
        let ends = [range.first, range.last].map(|slot| Value::Int(slot.into()));
        Value::Array(ends.into_iter().chain(range.nodes.iter().map(node)).collect())
    };
    Value::Array(known(ranges).iter().map(entry).collect())
}
