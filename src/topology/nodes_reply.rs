//! Reading `CLUSTER NODES`, as any version of any node may write it.
//!
//! Owns what a line says, what of it makes sense, and when a node of it can be reached: the map, the
//! proof of who owns which slots and the keeper all read it here. Pure. Must not know who asks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::slot::SLOTS;

/// Most lines that are read: a cluster has no more masters than slots.
const LINES_MAX: usize = SLOTS;
/// Longest id of a node that is believed; Redis has 40 digits.
const ID_BYTES_MAX: usize = 64;

/// A line: what a node says of itself or of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLine {
    /// Its id.
    pub id: String,
    /// What it is announced by, mostly an address; empty when that is not known.
    pub host: String,
    /// The host name beside it; empty without one.
    pub hostname: String,
    /// Its port; 0 when nobody knows where it is.
    pub port: u16,
    /// Host and port, when the host is an address.
    pub address: Option<SocketAddr>,
    /// Its port towards other nodes.
    pub bus: Option<u16>,
    /// It is the node that says this.
    pub is_myself: bool,
    /// It is a master, with slots or without.
    pub is_master: bool,
    /// The id of the master it follows.
    pub master: Option<String>,
    /// The two are just meeting; the id is not its own until they have.
    pub is_meeting: bool,
    /// All agree that it is gone.
    pub is_failed: bool,
    /// It does not answer the node that says this.
    pub is_suspected: bool,
    /// The node that says this has a connection to it, or makes one.
    pub is_connected: bool,
    /// Its config epoch.
    pub epoch: u64,
    /// The slots that it serves.
    pub slots: Vec<RangeInclusive<u16>>,
    /// Slots that are about to leave it, and the id of the node that they go to. A node tells that of
    /// itself only.
    pub migrating: Vec<(u16, String)>,
    /// Slots that are about to come to it, and the id of the node that they come from. A node tells that
    /// of itself only.
    pub importing: Vec<(u16, String)>,
}

/// The lines of a reply that make sense.
pub fn read(text: &str) -> Vec<NodeLine> {
    text.lines().take(LINES_MAX).filter_map(NodeLine::read).collect()
}

/// The highest config epoch of a master that serves slots. Unlike `cluster_current_epoch`, which a
/// replica raises with every election it loses, it grows only when slots change hands, so the view that
/// has the highest knows the latest owner.
pub fn highest_config_epoch(lines: &[NodeLine]) -> Option<u64> {
    lines.iter().filter(|line| line.is_master && line.has_slots()).map(|line| line.epoch).max()
}

impl NodeLine {
    /// `<id> <ip:port@bus,host> <flags> <master> <ping> <pong> <epoch> <link> <slot> …`; `None` when it
    /// makes no sense.
    pub fn read(line: &str) -> Option<NodeLine> {
        let mut words = line.split_whitespace();
        let (id, place, flags, master) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let (epoch, link) = (words.nth(2)?, words.next()?);
        if !is_id(id) || !is_id(master) {
            return None;
        }
        let has = |flag| flags.split(',').any(|word| word == flag);
        let mut node = NodeLine {
            id: id.to_owned(),
            is_myself: has("myself"),
            is_master: has("master"),
            master: (master != "-").then(|| master.to_owned()),
            is_meeting: has("handshake"),
            is_failed: has("fail"),
            is_suspected: has("fail?"),
            is_connected: link == "connected",
            epoch: epoch.parse().ok()?,
            ..NodeLine::default()
        };
        node.take_place(place, !has("noaddr"));
        for word in words {
            node.take_slots(word)?;
        }
        Some(node)
    }

    /// `ip:port@bus`, and more behind a comma: the name, and such as `shard-id=`. What is announced may
    /// be a name, which is no address.
    fn take_place(&mut self, place: &str, is_known: bool) {
        let (place, more) = place.split_once(',').unwrap_or((place, ""));
        more.split(',').next().unwrap_or("").clone_into(&mut self.hostname);
        let (address, bus) = place.split_once('@').unwrap_or((place, ""));
        self.bus = bus.parse().ok().filter(|bus| *bus != 0);
        let Some((host, port)) = address.rsplit_once(':').filter(|_| is_known) else { return };
        host.trim_matches(['[', ']']).clone_into(&mut self.host);
        self.port = port.parse().unwrap_or(0);
        let ip = self.host.parse::<IpAddr>().ok().filter(|_| self.port > 0);
        self.address = ip.map(|ip| SocketAddr::new(ip, self.port));
    }

    /// `5`, `0-99`, `[7->-ID]` or `[7-<-ID]`.
    fn take_slots(&mut self, word: &str) -> Option<()> {
        let slot =
            |digits: &str| digits.parse::<u16>().ok().filter(|slot| usize::from(*slot) < SLOTS);
        if let Some(moving) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
            if let Some((number, to)) = moving.split_once("->-") {
                self.migrating.push((slot(number)?, to.to_owned()));
            } else {
                let (number, from) = moving.split_once("-<-")?;
                self.importing.push((slot(number)?, from.to_owned()));
            }
            return Some(());
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (slot(first)?, slot(last)?);
        self.slots.push(first..=last);
        (first <= last).then_some(())
    }

    /// Whether it is thought to be gone.
    pub fn is_failing(&self) -> bool {
        self.is_failed || self.is_suspected
    }

    /// Whether the node that says this thinks that it is there, and knows where.
    pub fn is_reachable(&self) -> bool {
        self.port > 0 && !self.is_meeting && !self.is_failing()
    }

    /// Whether there is no connection to it, or nobody knows where it is. `seen` is where the list
    /// leads to it: a network may swallow what is sent to an address that nobody has any more, and
    /// then a connection is being made for ever, which is told as one.
    pub fn is_lost(&self, seen: Option<SocketAddr>) -> bool {
        let moved = self.is_failing() && seen.is_some_and(|seen| self.address != Some(seen));
        !self.is_meeting && (self.address.is_none() || !self.is_connected || moved)
    }

    /// Whether slots are on their way to it or from it.
    pub fn moves_slots(&self) -> bool {
        !self.migrating.is_empty() || !self.importing.is_empty()
    }

    /// Whether it serves slots, or some are on their way to it.
    pub fn has_slots(&self) -> bool {
        !self.slots.is_empty() || self.moves_slots()
    }
}

impl fmt::Display for NodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.id.get(..8).unwrap_or(&self.id);
        match self.address {
            Some(address) => write!(f, "{short} at {address}"),
            None => f.write_str(short),
        }
    }
}

/// Whether a word may be the id of a node. The empty one stands for that of an old server, which tells
/// none.
pub(super) fn is_id(id: &str) -> bool {
    id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> NodeLine {
        NodeLine::read(text).expect("a line")
    }

    #[test]
    fn a_line_is_read() {
        let own = "aa 10.0.0.1:7@17,one,shard-id=x myself,master - 0 0 7 connected 0 3-5 [6->-bb] [7-<-cc]";
        let want = NodeLine {
            id: "aa".into(),
            host: "10.0.0.1".into(),
            hostname: "one".into(),
            port: 7,
            address: "10.0.0.1:7".parse().ok(),
            bus: Some(17),
            is_myself: true,
            is_master: true,
            is_connected: true,
            epoch: 7,
            slots: vec![0..=0, 3..=5],
            migrating: vec![(6, "bb".into())],
            importing: vec![(7, "cc".into())],
            ..NodeLine::default()
        };
        assert_eq!(line(own), want);
        assert!(want.is_reachable() && want.moves_slots() && want.has_slots());
        let replica = line("bb ::1:7@17 slave,fail? aa 0 1 4 disconnected");
        assert_eq!(
            (replica.master.as_deref(), replica.address),
            (Some("aa"), "[::1]:7".parse().ok())
        );
        assert!(replica.is_suspected && replica.is_failing() && !replica.is_failed);
        assert!(!replica.is_master && !replica.is_connected && !replica.has_slots());
    }

    #[test]
    fn a_node_is_reachable_when_it_is_thought_to_be_there_and_somebody_knows_where() {
        for (place, flags, is_reachable) in [
            ("10.0.0.1:7@17", "master", true),
            ("redis-1:7@17", "slave", true),
            (":7@17", "myself,master", true),
            ("10.0.0.1:7@17", "master,fail", false),
            ("10.0.0.1:7@17", "master,fail?", false),
            ("10.0.0.1:7@17", "handshake", false),
            ("10.0.0.1:7@17", "master,noaddr", false),
            ("10.0.0.1:0@17,redis-1", "master", false),
            (":0@0", "master", false),
            ("x", "master", false),
        ] {
            let line = line(&format!("aa {place} {flags} - 0 1 1 connected"));
            assert_eq!(line.is_reachable(), is_reachable, "{place} {flags}");
        }
    }

    #[test]
    fn nonsense_is_no_line() {
        let good = "aa 10.0.0.1:7@17 master - 0 0 7 connected";
        assert!(NodeLine::read(good).is_some());
        let id = "a".repeat(ID_BYTES_MAX + 1);
        for text in [
            "",
            "myself",
            "aa 10.0.0.1:7@17 master -",
            "aa 10.0.0.1:7@17 master - 0 0 x connected",
            "a\u{7} 10.0.0.1:7@17 master - 0 0 7 connected",
            &good.replace("aa", &id),
            &good.replace('-', &id),
            &format!("{good} 0-16384"),
            &format!("{good} 5-4"),
            &format!("{good} x-y"),
            &format!("{good} [5-x-aa]"),
        ] {
            assert_eq!(NodeLine::read(text), None, "{text}");
        }
        assert_eq!(read(&format!("{good}\nrubbish\n\n{good}")), [line(good), line(good)]);
    }

    #[test]
    fn the_highest_epoch_is_that_of_a_master_with_slots() {
        let text = "aa 1.1.1.1:1@2 master - 0 1 7 connected 0-5460\n\
                    bb 1.1.1.2:1@2 myself,master - 0 1 9 connected 5461-9000 [5->-aa]\n\
                    cc 1.1.1.3:1@2 slave bb 0 1 12 connected\n\
                    dd 1.1.1.4:1@2 master - 0 1 15 connected\n\
                    ee 1.1.1.4:1@2 master - 0 1 x connected 1-2\nrubbish\n";
        assert_eq!(highest_config_epoch(&read(text)), Some(9));
        assert_eq!(highest_config_epoch(&[]), None);
    }
}
