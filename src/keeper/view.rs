//! What one node says of itself and of the cluster.
//!
//! Owns reading `CLUSTER NODES` and the fields of `CLUSTER INFO` and `INFO`. Pure: knows no socket.

use std::fmt;
use std::ops::RangeInclusive;

use crate::slot::SLOTS;

/// One node, as it sees itself and the others.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) id: String,
    /// All it knows, itself among them.
    pub(super) nodes: Vec<NodeLine>,
    pub(super) keys: i64,
}

/// A line of `CLUSTER NODES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeLine {
    pub(super) id: String,
    /// As the node announces it; for people.
    pub(super) address: String,
    /// The id of the master it follows.
    pub(super) master: Option<String>,
    /// Whether the two have met: no handshake is under way and the address is known.
    pub(super) is_settled: bool,
    /// Whether they are just meeting; its id is not its own until they have.
    pub(super) is_meeting: bool,
    /// Whether it is thought to be gone.
    pub(super) is_failing: bool,
    pub(super) is_myself: bool,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl View {
    fn own(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.is_myself)
    }

    pub(super) fn own_slots(&self) -> &[RangeInclusive<u16>] {
        self.own().map_or(&[], |own| &own.slots)
    }

    pub(super) fn own_master(&self) -> Option<&str> {
        self.own().and_then(|own| own.master.as_deref())
    }

    /// Knows nobody, serves nothing, holds nothing.
    pub(super) fn is_blank(&self) -> bool {
        let is_alone = self.nodes.iter().all(|node| node.is_myself);
        is_alone && self.own_slots().is_empty() && self.own_master().is_none() && self.keys == 0
    }

    /// What is missing for it to see a whole cluster of this many masters and replicas.
    pub(super) fn lack(&self, masters: usize, replicas: usize) -> Option<String> {
        if let Some(gone) = self.nodes.iter().find(|node| node.is_failing) {
            return Some(format!("thinks that {gone} is gone"));
        }
        let seen = self.nodes.iter().filter(|node| !node.slots.is_empty()).count();
        let served: usize = self.nodes.iter().map(|node| count(&node.slots)).sum();
        if seen != masters || served != SLOTS {
            return Some(format!("sees {seen} of {masters} masters and {served} slots"));
        }
        let seen = self.nodes.iter().filter(|node| node.master.is_some()).count();
        (seen != replicas).then(|| format!("sees {seen} of {replicas} replicas"))
    }

    /// Somebody it is just meeting.
    pub(super) fn meeting(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.is_meeting)
    }

    /// Whether it has met every node of `ids`.
    pub(super) fn has_met(&self, ids: &[String]) -> bool {
        ids.iter().all(|id| self.nodes.iter().any(|node| node.id == *id && node.is_settled))
    }
}

impl fmt::Display for NodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.address)
    }
}

/// How many slots `ranges` have.
pub(super) fn count(ranges: &[RangeInclusive<u16>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// The reply of `CLUSTER NODES`; None when it is not one.
pub(super) fn parse_nodes(text: &str) -> Option<Vec<NodeLine>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(parse_node).collect()
}

/// `<id> <ip:port@bus,host> <flags> <master> <ping> <pong> <epoch> <link> <slot> …`
fn parse_node(line: &str) -> Option<NodeLine> {
    let mut words = line.split_whitespace();
    let (id, address, flags, master) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let slots = words.skip(4).filter(|word| !word.starts_with('[')).map(parse_range);
    let has = |flag| flags.split(',').any(|f| f == flag);
    Some(NodeLine {
        id: id.to_owned(),
        address: address.split('@').next().unwrap_or(address).to_owned(),
        master: (master != "-").then(|| master.to_owned()),
        is_settled: !has("handshake") && !has("noaddr"),
        is_meeting: has("handshake"),
        is_failing: has("fail") || has("fail?"),
        is_myself: has("myself"),
        slots: slots.collect::<Option<_>>()?,
    })
}

fn parse_range(word: &str) -> Option<RangeInclusive<u16>> {
    let (start, end) = word.split_once('-').unwrap_or((word, word));
    Some(start.parse().ok()?..=end.parse().ok()?)
}

/// The value of `field` in a reply of `name:value` lines.
pub(super) fn field<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(field)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_nodes_is_read() {
        let text = "\
07c3 127.0.0.1:30004@31004,host-4 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002,host-2,shard-id=69 master - 0 1426238316232 2 connected 5461-10922 16000
292f :0@0 master,noaddr - 1426238318243 1426238317741 3 disconnected
8a1c 127.0.0.1:30009@31009 handshake - 0 0 0 disconnected
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [93-<-292f] [77->-67ed]
";
        let nodes = parse_nodes(text).unwrap();
        let ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["07c3", "67ed", "292f", "8a1c", "e7d1"]);
        assert_eq!(nodes[0].master.as_deref(), Some("e7d1"));
        assert_eq!(nodes[1].slots, [5461..=10922, 16000..=16000]);
        assert_eq!(nodes[1].to_string(), "67ed at 127.0.0.1:30002");
        let settled: Vec<bool> = nodes.iter().map(|node| node.is_settled).collect();
        assert_eq!(settled, [true, true, false, false, true]);
        let view = View { id: "e7d1".to_owned(), nodes, keys: 0 };
        assert_eq!(count(view.own_slots()), 5461);
        assert!(!view.is_blank() && view.own_master().is_none());
        assert!(view.has_met(&["67ed".to_owned()]) && !view.has_met(&["292f".to_owned()]));
        for bad in ["nonsense", "a b c - 0 0 1 connected x-y"] {
            assert_eq!(parse_nodes(bad), None);
        }
    }

    #[test]
    fn fields_are_found() {
        let info = "# Cluster\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n";
        assert_eq!(field(info, "cluster_state"), Some("ok"));
        assert_eq!(field(info, "cluster_slots"), None);
    }
}
