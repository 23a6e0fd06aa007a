//! Reading `CLUSTER SLOTS` and `CLUSTER INFO`, as any version of any node may write them.
//!
//! Owns the forms an endpoint can have: address, host name, empty, `?`, null. Pure. What a node
//! says is believed only as far as it makes sense.

use std::net::IpAddr;

use crate::resp::{Value, shown};
use crate::slot::SLOTS;
use crate::topology::nodes_reply::{NodeLine, is_id};

/// Most entries of one reply. None has less than a slot; that some overlap is borne.
const RANGES_MAX: usize = 2 * SLOTS;
/// Most replicas that are added to all ranges together. A replica is added to each range of its master,
/// so their number may be that of the ranges times that of the lines.
const ADDED_MAX: usize = 4 * SLOTS;

/// A node as a reply names it, before its host is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNode {
    /// The node's id; empty from servers that do not tell it.
    pub id: String,
    /// Address or host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The address that is told beside a host name.
    pub ip: Option<IpAddr>,
    /// The node that was asked: whatever it believes, it is where it was dialled.
    pub is_asked: bool,
}

/// One entry of the reply: a range and its nodes, the master first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// First slot.
    pub first: u16,
    /// Last slot, included.
    pub last: u16,
    /// Master, then replicas; never empty. Empty when nobody knows where the master is.
    pub nodes: Vec<NamedNode>,
}

/// Reads the reply of `CLUSTER SLOTS`. `dialled` is the host that was asked, which stands for an
/// endpoint that the node does not know; `my_id` is the id of the node that was asked.
pub fn parse(reply: &Value, dialled: &str, my_id: &str) -> Result<Vec<SlotRange>, String> {
    let entries = reply.as_array().ok_or("CLUSTER SLOTS is not an array")?;
    if entries.len() > RANGES_MAX {
        return Err(format!("CLUSTER SLOTS has {} entries for {SLOTS} slots", entries.len()));
    }
    entries.iter().map(|entry| range(entry, dialled, my_id)).collect()
}

fn range(entry: &Value, dialled: &str, my_id: &str) -> Result<SlotRange, String> {
    let [first, last, nodes @ ..] = entry.as_array().unwrap_or(&[]) else {
        return Err("an entry of CLUSTER SLOTS is too short".into());
    };
    let slot = |value: &Value| {
        let number = value.as_int().and_then(|number| u16::try_from(number).ok());
        number.filter(|number| usize::from(*number) < SLOTS).ok_or("not a slot number")
    };
    let (first, last) = (slot(first)?, slot(last)?);
    if first > last || nodes.is_empty() {
        return Err(format!("the entry of slots {first}-{last} makes no sense"));
    }
    let nodes: Vec<NamedNode> =
        nodes.iter().map(|node| named_node(node, dialled, my_id)).collect::<Result<_, String>>()?;
    // A node whose address is not known is listed at port 0: there it is not.
    let has_master = nodes.first().is_some_and(is_somewhere);
    let nodes = nodes.into_iter().filter(|node| has_master && is_somewhere(node)).collect();
    Ok(SlotRange { first, last, nodes })
}

fn is_somewhere(node: &NamedNode) -> bool {
    node.port > 0
}

fn named_node(node: &Value, dialled: &str, my_id: &str) -> Result<NamedNode, String> {
    let [endpoint, port, rest @ ..] = node.as_array().unwrap_or(&[]) else {
        return Err("a node of CLUSTER SLOTS is too short".into());
    };
    let port = port.as_int().and_then(|port| u16::try_from(port).ok()).ok_or("not a port")?;
    let id = rest.first().and_then(Value::as_str).unwrap_or("");
    if !is_id(id) {
        return Err(format!("{:?} is not the id of a node", shown(id)));
    }
    let ip = metadata_ip(rest.get(1));
    let host = match endpoint.as_str().unwrap_or("") {
        "" | "?" => ip.unwrap_or(dialled),
        host => host,
    };
    let is_asked = !id.is_empty() && id == my_id;
    let ip = ip.and_then(|ip| ip.parse().ok());
    Ok(NamedNode { id: id.to_owned(), host: host.to_owned(), port, ip, is_asked })
}

/// The `ip` of a node's metadata, which Redis adds when the endpoint is not the address.
fn metadata_ip(metadata: Option<&Value>) -> Option<&str> {
    let words = metadata?.as_array()?;
    let at = words.iter().step_by(2).position(|word| word.as_str() == Some("ip"))?;
    words.get(at * 2 + 1)?.as_str().filter(|ip| !ip.is_empty())
}

/// The masters of `CLUSTER NODES` that serve no slot: slots may be on their way to them, and
/// `CLUSTER SLOTS` does not name them.
pub fn masters_without_slots(lines: &[NodeLine], dialled: &str) -> Vec<NamedNode> {
    let is_spare = |line: &&NodeLine| line.is_master && !line.has_slots();
    lines.iter().filter(is_spare).filter_map(|line| node_of_line(line, dialled, true)).collect()
}

/// Adds the replicas that `CLUSTER SLOTS` leaves out and `CLUSTER NODES` has: those that have received
/// nothing of their master yet. What is for every node is for them too.
pub fn add_new_replicas(ranges: &mut [SlotRange], lines: &[NodeLine], dialled: &str) {
    let mut added = 0;
    for line in lines.iter().filter(|line| !line.is_master) {
        let Some(master) = &line.master else { continue };
        let of_it =
            |range: &&mut SlotRange| range.nodes.first().is_some_and(|first| first.id == *master);
        for range in ranges.iter_mut().filter(of_it) {
            let by_name = range.nodes[0].host.parse::<IpAddr>().is_err();
            let Some(replica) = node_of_line(line, dialled, by_name) else { continue };
            if added == ADDED_MAX {
                return;
            }
            if range.nodes.iter().all(|node| node.id != replica.id) {
                range.nodes.push(replica);
                added += 1;
            }
        }
    }
}

/// The node of a line, when it can be reached. `by_name` says whether its name is preferred to its
/// address.
fn node_of_line(line: &NodeLine, dialled: &str, by_name: bool) -> Option<NamedNode> {
    let hostname = if by_name { line.hostname.as_str() } else { "" };
    let host = [hostname, &line.host, dialled].into_iter().find(|host| !host.is_empty())?;
    line.is_reachable().then(|| NamedNode {
        id: line.id.clone(),
        host: host.to_owned(),
        port: line.port,
        ip: line.host.parse().ok(),
        is_asked: line.is_myself,
    })
}

/// What is read from `CLUSTER INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// `cluster_current_epoch`.
    pub epoch: u64,
    /// `cluster_state:ok`.
    pub ok: bool,
}

/// Reads the reply of `CLUSTER INFO`.
pub fn parse_info(text: &str) -> ClusterInfo {
    let field = |name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
    };
    ClusterInfo {
        epoch: field("cluster_current_epoch").and_then(|n| n.parse().ok()).unwrap_or(0),
        ok: field("cluster_state") == Some("ok"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::nodes_reply;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn node(endpoint: Value, port: i64, id: &str, metadata: &[&str]) -> Value {
        let metadata = metadata.iter().map(|word| bulk(word)).collect();
        Value::Array(vec![endpoint, Value::Int(port), bulk(id), Value::Array(metadata)])
    }

    fn reply(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let mut entry = vec![Value::Int(first), Value::Int(last)];
        entry.extend(nodes);
        Value::Array(vec![Value::Array(entry)])
    }

    fn hosts(nodes: Vec<Value>) -> Vec<(String, u16)> {
        let ranges = parse(&reply(0, 5, nodes), "seed", "me").expect("sense");
        ranges[0].nodes.iter().map(|node| (node.host.clone(), node.port)).collect()
    }

    #[test]
    fn endpoints_in_every_form() {
        let cases = [
            (node(bulk("10.0.0.1"), 7001, "a", &[]), ("10.0.0.1", 7001)),
            (node(bulk("redis-1"), 7001, "a", &["ip", "10.0.0.1"]), ("redis-1", 7001)),
            (node(bulk("::1"), 7001, "a", &[]), ("::1", 7001)),
            (node(bulk(""), 7001, "a", &[]), ("seed", 7001)),
            (node(Value::Null, 7001, "a", &[]), ("seed", 7001)),
            (node(bulk("?"), 7001, "a", &["ip", "10.0.0.9"]), ("10.0.0.9", 7001)),
            (node(bulk("?"), 7001, "a", &["hostname", ""]), ("seed", 7001)),
        ];
        for (node, (host, port)) in cases {
            assert_eq!(hosts(vec![node.clone()]), [(host.to_owned(), port)], "{node:?}");
        }
    }

    #[test]
    fn the_asked_node_is_marked() {
        let nodes = vec![node(bulk("h"), 1, "me", &[]), node(bulk("h"), 2, "you", &[])];
        let ranges = parse(&reply(0, 5, nodes), "seed", "me").expect("sense");
        assert!(ranges[0].nodes[0].is_asked && !ranges[0].nodes[1].is_asked);
        let unnamed = vec![node(bulk("h"), 1, "", &[])];
        let ranges = parse(&reply(0, 5, unnamed), "seed", "").expect("sense");
        assert!(!ranges[0].nodes[0].is_asked);
    }

    /// `:0@0 noaddr`: nobody knows where it is, so it is not where the asked node is.
    #[test]
    fn a_node_at_port_zero_is_nowhere() {
        let nodes = |first: i64, second: i64| {
            vec![node(bulk(""), first, "a", &[]), node(bulk("h"), second, "b", &[])]
        };
        assert_eq!(hosts(nodes(7, 0)), [("seed".to_owned(), 7)]);
        assert_eq!(hosts(nodes(0, 7)), []);
    }

    #[test]
    fn the_address_beside_a_name_is_kept() {
        let ip = |metadata: &[&str]| {
            let nodes = vec![node(bulk("redis-1"), 7001, "a", metadata)];
            parse(&reply(0, 5, nodes), "seed", "me").expect("sense")[0].nodes[0].ip
        };
        assert_eq!(ip(&["ip", "10.0.0.1"]), Some([10, 0, 0, 1].into()));
        assert_eq!(ip(&["hostname", "x", "ip", "::1"]), "::1".parse().ok());
        assert_eq!(ip(&["ip", "nonsense"]), None);
        assert_eq!(ip(&[]), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        let good = || vec![node(bulk("h"), 1, "a", &[])];
        let cases = [
            Value::Int(1),
            Value::Array(vec![Value::Int(1)]),
            reply(5, 1, good()),
            reply(-1, 1, good()),
            reply(0, 16384, good()),
            reply(0, 1, vec![]),
            reply(0, 1, vec![Value::Int(3)]),
            reply(0, 1, vec![node(bulk("h"), 70000, "a", &[])]),
            reply(0, 1, vec![node(bulk("h"), 1, "a\nb", &[])]),
            reply(0, 1, vec![node(bulk("h"), 1, &"a".repeat(65), &[])]),
        ];
        for value in cases {
            assert!(parse(&value, "seed", "me").is_err(), "{value:?}");
        }
    }

    #[test]
    fn masters_without_slots_are_found() {
        let text = "\
            aa 10.0.0.1:6379@16379 master - 0 1 1 connected 0-5460\n\
            bb 10.0.0.2:6379@16379,redis-2 master - 0 1 2 connected\n\
            cc ::1:6379@16379 myself,master - 0 1 3 connected\n\
            dd 10.0.0.4:6379@16379 slave aa 0 1 1 connected\n\
            ee 10.0.0.5:6379@16379 master,fail - 0 1 5 disconnected\n\
            ff :0@0 master,noaddr - 0 1 5 disconnected\n\
            gg :0@0 master - 0 1 5 connected\n\
            hh 10.0.0.8:0@16379,redis-8 master - 0 1 5 connected\n\
            garbage\n";
        let found = masters_without_slots(&nodes_reply::read(text), "seed");
        let shown: Vec<_> = found.iter().map(|n| (&*n.id, &*n.host, n.port, n.is_asked)).collect();
        assert_eq!(shown, [("bb", "redis-2", 6379, false), ("cc", "::1", 6379, true)]);
    }

    #[test]
    fn replicas_that_have_received_nothing_are_added() {
        let entry = reply(0, 5, vec![node(bulk("10.0.0.1"), 1, "aa", &[])]);
        let mut ranges = parse(&entry, "seed", "aa").expect("sense");
        let text = "\
            aa 10.0.0.1:1@2,one myself,master - 0 1 1 connected 0-5\n\
            bb 10.0.0.2:1@2,two slave aa 0 1 1 connected\n\
            cc 10.0.0.3:1@2 slave,fail aa 0 1 1 disconnected\n\
            dd 10.0.0.4:1@2 slave xx 0 1 1 connected\n";
        for _ in 0..2 {
            add_new_replicas(&mut ranges, &nodes_reply::read(text), "seed");
            let shown: Vec<_> = ranges[0].nodes.iter().map(|n| (&*n.id, &*n.host)).collect();
            assert_eq!(shown, [("aa", "10.0.0.1"), ("bb", "10.0.0.2")]);
        }
    }

    /// 128 ranges of one master and 16,384 replicas of it would be two million nodes.
    #[test]
    fn what_is_added_is_bounded() {
        let master = node(bulk("10.0.0.1"), 1, "aa", &[]);
        let entry =
            |slot: i64| Value::Array(vec![Value::Int(slot), Value::Int(slot), master.clone()]);
        let entries = Value::Array((0..128).map(entry).collect());
        let mut ranges = parse(&entries, "seed", "aa").expect("sense");
        let text: String = (0..SLOTS)
            .map(|replica| format!("b{replica} 10.0.0.2:1@2 slave aa 0 1 1 connected\n"))
            .collect();
        add_new_replicas(&mut ranges, &nodes_reply::read(&text), "seed");
        let added: usize = ranges.iter().map(|range| range.nodes.len() - 1).sum();
        assert_eq!(added, ADDED_MAX);
        assert!(ranges.iter().all(|range| range.nodes.len() > 1));
    }

    #[test]
    fn far_more_entries_than_slots_make_no_sense() {
        let entry =
            Value::Array(vec![Value::Int(0), Value::Int(0), node(bulk("10.0.0.1"), 1, "aa", &[])]);
        assert!(parse(&Value::Array(vec![entry.clone(); RANGES_MAX]), "seed", "aa").is_ok());
        assert!(parse(&Value::Array(vec![entry; RANGES_MAX + 1]), "seed", "aa").is_err());
    }

    #[test]
    fn info() {
        let text = "cluster_state:ok\r\ncluster_slots_ok:5\r\ncluster_current_epoch:12\r\n";
        assert_eq!(parse_info(text), ClusterInfo { epoch: 12, ok: true });
        assert_eq!(parse_info("garbage"), ClusterInfo::default());
    }
}
