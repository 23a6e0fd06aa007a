//! What one node says of itself and of the cluster.
//!
//! Owns reading `INFO` and `CLUSTER INFO`, and what of them and of `CLUSTER NODES` makes sense: a node
//! may be of any version, odd, or hostile. Pure: knows no socket.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::slot::SLOTS;
use crate::topology::nodes_reply::NodeLine;

/// More nodes than any cluster has; its own documentation advises against more than a thousand.
const LINES_MAX: usize = 4096;

/// One node, as it sees itself and the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) own: NodeLine,
    pub(super) others: Vec<NodeLine>,
    /// Keys in all its databases.
    pub(super) keys: u64,
    /// Whether it calls the cluster ok.
    pub(super) is_ok: bool,
    /// Of a replica: whether it has the data of its master.
    pub(super) is_linked: bool,
    /// Where it looks for the data of its master.
    pub(super) source: Option<IpAddr>,
    /// How much of the data's history it has.
    pub(super) offset: u64,
}

/// Why there is no view although the node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoView {
    /// It reads its data; soon there will be one.
    Loading,
    /// It was started without `cluster-enabled yes`.
    NoCluster,
    /// What it says makes no sense; in which respect.
    Odd(&'static str),
}

// === impl View ===

impl View {
    /// The three replies as one view.
    pub(super) fn read(info: &str, nodes: &str, cluster: &str) -> Result<View, NoView> {
        let odd = |what| NoView::Odd(what);
        match field(info, "cluster_enabled") {
            Some("1") => {}
            Some(_) => return Err(NoView::NoCluster),
            None => return Err(odd("INFO does not tell of a cluster")),
        }
        if field(info, "loading").is_some_and(|loading| loading != "0") {
            return Err(NoView::Loading);
        }
        let state = field(cluster, "cluster_state").ok_or(odd("CLUSTER INFO tells no state"))?;
        let (own, others) = parse_nodes(nodes).map_err(odd)?;
        let role = field(info, "role").ok_or(odd("INFO tells no role"))?;
        let number = |name| field(info, name).and_then(|word| word.parse::<u64>().ok());
        let offset = number("slave_repl_offset").or(number("master_repl_offset"));
        Ok(View {
            own,
            others,
            keys: keys(info).ok_or(odd("INFO does not tell how many keys there are"))?,
            is_ok: state == "ok",
            is_linked: role == "slave" && field(info, "master_link_status") == Some("up"),
            source: field(info, "master_host").and_then(|host| host.parse().ok()),
            offset: offset.unwrap_or(0),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.own.id
    }

    /// What it says of another node that it has met.
    pub(super) fn line(&self, id: &str) -> Option<&NodeLine> {
        self.others.iter().find(|line| line.id == id && !line.is_meeting)
    }

    /// Itself and all that it has met.
    pub(super) fn lines(&self) -> impl Iterator<Item = &NodeLine> {
        std::iter::once(&self.own).chain(self.others.iter().filter(|line| !line.is_meeting))
    }

    /// Whether it is just meeting somebody there.
    pub(super) fn is_meeting(&self, address: SocketAddr) -> bool {
        self.others.iter().any(|line| line.is_meeting && line.address == Some(address))
    }

    /// Knows nobody.
    pub(super) fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Serves nothing, holds nothing, follows nobody.
    pub(super) fn is_bare(&self) -> bool {
        self.keys == 0 && !self.own.has_slots() && self.own.master.is_none()
    }

    /// As a node is that was never used, or has lost its volume.
    pub(super) fn is_empty(&self) -> bool {
        self.is_alone() && self.is_bare()
    }

    /// How many slots have a master, living or not.
    pub(super) fn covered(&self) -> usize {
        let mut has = vec![false; SLOTS];
        for range in self.lines().flat_map(|line| &line.slots) {
            let (start, end) = (usize::from(*range.start()), usize::from(*range.end()));
            if let Some(places) = has.get_mut(start..=end) {
                places.fill(true);
            }
        }
        has.into_iter().filter(|has| *has).count()
    }

    /// How many nodes serve slots, living or not.
    pub(super) fn masters(&self) -> usize {
        self.lines().filter(|line| !line.slots.is_empty()).count()
    }
}

// === reading ===

/// How many slots `ranges` have.
pub(super) fn count(ranges: &[RangeInclusive<u16>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// The reply of `CLUSTER NODES`: the node itself, and the others.
fn parse_nodes(text: &str) -> Result<(NodeLine, Vec<NodeLine>), &'static str> {
    let mut own = None;
    let mut others: Vec<NodeLine> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let node = NodeLine::read(line).ok_or("CLUSTER NODES is not readable")?;
        if !node.is_myself {
            others.push(node);
        } else if own.replace(node).is_some() {
            return Err("CLUSTER NODES has the node itself twice");
        }
        if others.len() >= LINES_MAX {
            return Err("CLUSTER NODES has too many nodes");
        }
    }
    let own = own.ok_or("CLUSTER NODES lacks the node itself")?;
    let mut ids: Vec<&str> = others.iter().map(|line| line.id.as_str()).collect();
    ids.push(&own.id);
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("CLUSTER NODES has an id twice");
    }
    Ok((own, others))
}

/// The value of `name` in a reply of `name:value` lines.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// The keys of all databases; none when the reply has no such section.
fn keys(info: &str) -> Option<u64> {
    let mut lines = info.lines().map(str::trim_end);
    lines.find(|line| *line == "# Keyspace")?;
    let databases = lines.take_while(|line| line.starts_with("db"));
    let counts = databases.map(|line| {
        let (_, after) = line.split_once(":keys=")?;
        after.split(',').next()?.parse::<u64>().ok()
    });
    let counts: Option<Vec<u64>> = counts.collect();
    counts.map(|counts| counts.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Persistence\r\nloading:0\r\n# Replication\r\nrole:slave\r\n\
        master_host:10.0.0.9\r\nmaster_link_status:up\r\nslave_repl_offset:77\r\nmaster_repl_offset:12\r\n# Cluster\r\n\
        cluster_enabled:1\r\n# Keyspace\r\ndb0:keys=3,expires=0\r\ndb7:keys=2,expires=1\r\n";
    const CLUSTER: &str = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n";
    const NODES: &str = "\
07c3 127.0.0.1:30004@31004,host-4 slave e7d1 0 1426238317239 4 connected
67ed ::1:30002@31002,host-2,shard-id=69 master,fail? - 0 1426238316232 2 connected 5461-10922 16000
292f :0@0 master,noaddr,fail - 1426238318243 1426238317741 3 disconnected
8a1c 127.0.0.1:30009@31009 handshake - 0 0 0 disconnected
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [93-<-292f] [77->-67ed]
";

    #[test]
    fn a_node_is_read() {
        let view = View::read(INFO, NODES, CLUSTER).unwrap();
        assert_eq!((view.id(), view.keys, view.offset), ("e7d1", 5, 77));
        assert!(view.is_ok && view.is_linked && !view.is_alone() && !view.is_bare());
        assert_eq!(view.source, "10.0.0.9".parse().ok());
        assert_eq!((view.covered(), view.masters()), (5461 + 5462 + 1, 2));
        assert!(view.own.moves_slots());
        let replica = view.line("07c3").unwrap();
        assert_eq!(replica.master.as_deref(), Some("e7d1"));
        assert_eq!(
            (replica.to_string(), replica.bus),
            ("07c3 at 127.0.0.1:30004".into(), Some(31004))
        );
        let suspect = view.line("67ed").unwrap();
        assert!(suspect.is_failing() && !suspect.is_failed);
        assert_eq!(suspect.slots, [5461..=10922, 16000..=16000]);
        assert_eq!(suspect.address, "[::1]:30002".parse().ok());
        let lost = view.line("292f").unwrap();
        assert!(lost.is_failed && lost.address.is_none() && !lost.is_connected);
        assert_eq!(view.line("8a1c"), None);
        assert!(view.is_meeting("127.0.0.1:30009".parse().unwrap()));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let own = "a 1.1.1.1:1@2 myself,master - 0 0 0 connected";
        for (nodes, what) in [
            ("", "lacks the node itself"),
            ("b 1.1.1.1:1@2 master - 0 0 0 connected", "lacks the node itself"),
            ("nonsense", "is not readable"),
            ("a 1.1.1.1:1@2 myself - 0 0 0 connected x-y", "is not readable"),
            ("a 1.1.1.1:1@2 myself - 0 0 0 connected 5-4", "is not readable"),
            ("a 1.1.1.1:1@2 myself - 0 0 0 connected 0-16384", "is not readable"),
            ("a\u{7} 1.1.1.1:1@2 myself - 0 0 0 connected", "is not readable"),
            (&format!("{own}\n{own}"), "the node itself twice"),
            (&format!("{own}\na 1.1.1.1:1@2 master - 0 0 0 connected"), "an id twice"),
        ] {
            match View::read(INFO, nodes, CLUSTER) {
                Err(NoView::Odd(said)) => assert!(said.ends_with(what), "{nodes}: {said}"),
                other => panic!("{nodes}: {other:?}"),
            }
        }
        let many: String =
            (0..=LINES_MAX).map(|n| format!("{n} x master - 0 0 0 connected\n")).collect();
        assert!(View::read(INFO, &format!("{own}\n{many}"), CLUSTER).is_err());
        let without = |word| View::read(&INFO.replace(word, "x"), own, CLUSTER).unwrap_err();
        assert_eq!(without("cluster_enabled"), NoView::Odd("INFO does not tell of a cluster"));
        assert_eq!(without("role:slave"), NoView::Odd("INFO tells no role"));
        assert!(matches!(without("# Keyspace"), NoView::Odd(_)));
        assert!(matches!(without("keys=3"), NoView::Odd(_)));
        assert!(matches!(View::read(INFO, own, ""), Err(NoView::Odd(_))));
        let loading = INFO.replace("loading:0", "loading:1");
        assert_eq!(View::read(&loading, own, CLUSTER), Err(NoView::Loading));
        let single = INFO.replace("cluster_enabled:1", "cluster_enabled:0");
        assert_eq!(View::read(&single, own, CLUSTER), Err(NoView::NoCluster));
    }

    #[test]
    fn an_empty_node_is_told_from_a_used_one() {
        let own = "a 1.1.1.1:1@2 myself,master - 0 0 0 connected";
        let info = INFO.replace("db0:keys=3,expires=0\r\ndb7:keys=2,expires=1\r\n", "");
        assert!(View::read(&info, own, CLUSTER).unwrap().is_empty());
        for (info, more) in [
            (INFO, ""),
            (&info, " 7"),
            (&info, " [7-<-b]"),
            (&info, "\nb x master - 0 0 0 connected"),
        ] {
            let view = View::read(info, &format!("{own}{more}"), CLUSTER).unwrap();
            assert!(!view.is_empty(), "{more}");
        }
    }
}
