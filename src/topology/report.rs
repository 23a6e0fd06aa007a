//! The map as it is told to people and programs: a table, and JSON.
//!
//! Owns the names of the JSON's fields, which are a promise, and the layout of the table. Pure: a
//! map and what is known of its keeping go in. Must not know who asks.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{ClusterMap, DatabaseSize, State, TRIGGERS};
use crate::backend::NodeAddress;
use crate::resp::shown;
use crate::slot::{SLOTS, Slot};

/// Ranges of one shard that the table shows; the JSON has all.
const RANGES_SHOWN: usize = 4;

/// The cluster as the gateway sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterReport {
    /// The map as a whole.
    pub topology: TopologyReport,
    /// Its shards, in the order of their first slots; those without slots come last.
    pub shards: Vec<ShardReport>,
    /// The databases other than 0, in order; none before they have been looked at.
    pub databases: Vec<DatabaseSize>,
}

/// The map as a whole, and how it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct TopologyReport {
    /// The cluster's epoch when the map was taken.
    pub epoch: u64,
    /// How often the map has changed in this gateway; 0 before the first.
    pub version: u64,
    /// Seconds since a node last told its map; null while none has.
    pub age_s: Option<f64>,
    /// How many of the 16384 slots have a master.
    pub slots_assigned: usize,
    /// Whether the cluster calls itself ok.
    pub cluster_ok: bool,
    /// Why the last refresh failed; null when it did not.
    pub problem: Option<String>,
    /// What is wrong with single nodes, each in a sentence.
    pub troubles: Vec<String>,
    /// Replicas that became master of a shard.
    pub failovers: u64,
    /// Refreshes by what asked for them.
    pub refreshes: Vec<RefreshReport>,
}

/// The refreshes that one cause has asked for.
#[derive(Clone, Debug, Serialize)]
pub struct RefreshReport {
    /// What asked: timer, moved, node_trouble or no_master.
    pub trigger: &'static str,
    /// How many were answered.
    pub ok: u64,
    /// How many no node answered.
    pub error: u64,
}

/// One shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardReport {
    /// The slots it serves.
    pub slots: SlotsReport,
    /// The node that takes writes.
    pub master: NodeReport,
    /// The nodes that would take its place.
    pub replicas: Vec<NodeReport>,
}

/// The slots of a shard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SlotsReport {
    /// How many.
    pub count: usize,
    /// First and last of each range.
    pub ranges: Vec<[u16; 2]>,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Its id in the cluster; empty while it is not known.
    pub id: String,
    /// Its announced host name or address, and port.
    pub name: String,
    /// Where it is dialled.
    pub address: SocketAddr,
    /// Whether it answered when it was last asked for its map; null before.
    pub up: Option<bool>,
}

impl ClusterReport {
    /// The report of a map.
    pub fn new(map: &ClusterMap, state: &State, now: Instant) -> ClusterReport {
        let node = |node: &NodeAddress| NodeReport {
            id: node.id.to_string(),
            name: node.name.to_string(),
            address: node.address,
            up: state.nodes_up.get(&node.name).copied(),
        };
        let shards = map.shards().iter().zip(slots_of(map)).map(|(shard, slots)| ShardReport {
            slots,
            master: node(&shard.master),
            replicas: shard.replicas.iter().map(node).collect(),
        });
        let mut shards: Vec<ShardReport> = shards.collect();
        shards.sort_by_key(|shard| shard.slots.ranges.first().map_or(u16::MAX, |range| range[0]));
        let databases = state.databases.clone();
        ClusterReport { shards, databases, topology: TopologyReport::new(map, state, now) }
    }
}

impl TopologyReport {
    /// The report of a map.
    pub fn new(map: &ClusterMap, state: &State, now: Instant) -> TopologyReport {
        let refreshes = TRIGGERS.iter().zip(&state.refreshes);
        let age = state.refreshed.map(|then| now.saturating_duration_since(then).as_secs_f64());
        TopologyReport {
            epoch: map.epoch,
            version: map.version,
            age_s: age,
            slots_assigned: map.assigned(),
            cluster_ok: state.cluster_ok,
            problem: state.problem.clone(),
            troubles: state.troubles.sentences(),
            failovers: state.failovers,
            refreshes: refreshes
                .map(|(&trigger, &(ok, error))| RefreshReport { trigger, ok, error })
                .collect(),
        }
    }
}

/// The slots of every shard, in one pass over the map.
pub fn slots_of(map: &ClusterMap) -> Vec<SlotsReport> {
    let mut slots = vec![SlotsReport::default(); map.shards().len()];
    for number in 0..SLOTS as u16 {
        let shard = Slot::new(u64::from(number)).and_then(|slot| map.shard_of(slot));
        let Some(shard) = shard.and_then(|shard| slots.get_mut(shard)) else { continue };
        shard.count += 1;
        match shard.ranges.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            _ => shard.ranges.push([number, number]),
        }
    }
    slots
}

// === the table ===

/// A table of the shards, and a line about the whole above it.
impl fmt::Display for ClusterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopologyReport { epoch, slots_assigned, cluster_ok, .. } = self.topology;
        let state = if cluster_ok { "ok" } else { "not ok" };
        let shards = self.shards.len();
        writeln!(f, "epoch {epoch}, {shards} shards, {slots_assigned} of {SLOTS} slots served")?;
        writeln!(f, "the cluster calls itself {state}")?;
        for trouble in &self.topology.troubles {
            writeln!(f, "{trouble}")?;
        }
        writeln!(f)?;
        let head = ["SHARD", "SLOTS", "RANGES", "MASTER", "ID", "REPLICAS"].map(str::to_owned);
        let rows = self.shards.iter().enumerate().map(|(index, shard)| shard.row(index));
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
        write_table(f, &rows, [true, true, false, false, false, false])?;
        self.write_databases(f)
    }
}

impl ClusterReport {
    /// Those that have keys.
    fn write_databases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.databases.iter().filter(|one| one.keys > 0).map(|one| {
            let about = if one.is_estimate { "about " } else { "" };
            [
                one.database.to_string(),
                one.slot.to_string(),
                format!("{about}{}", one.keys),
                memory(one.memory_bytes),
                shown(&one.master),
                one.tag.clone(),
            ]
        });
        let used: Vec<[String; 6]> = used.collect();
        if used.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let head = ["DATABASE", "SLOT", "KEYS", "MEMORY", "MASTER", "TAG"].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(used).collect();
        write_table(f, &rows, [true, true, true, true, false, false])
    }
}

fn memory(bytes: u64) -> String {
    let unit = |shift: u32| bytes as f64 / f64::from(1 << shift);
    match bytes {
        0..0x10_0000 => format!("{:.1} KiB", unit(10)),
        _ => format!("{:.1} MiB", unit(20)),
    }
}

/// Columns below each other; `to_right` says which are aligned there.
fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; N]],
    to_right: [bool; N],
) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in rows {
        let mut line = String::new();
        for (column, word) in row.iter().enumerate() {
            let space = " ".repeat(widths[column].saturating_sub(word.chars().count()));
            let gap = if column == 0 { "" } else { "  " };
            line += gap;
            line += &if to_right[column] { space + word } else { format!("{word}{space}") };
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

impl ShardReport {
    fn row(&self, index: usize) -> [String; 6] {
        let replicas: Vec<String> = self.replicas.iter().map(NodeReport::words).collect();
        let replicas = if replicas.is_empty() { "none".to_owned() } else { replicas.join(", ") };
        [
            index.to_string(),
            self.slots.count.to_string(),
            self.slots.words(),
            self.master.words(),
            self.master.id.clone(),
            replicas,
        ]
    }
}

impl SlotsReport {
    /// The first ranges, and how many more there are.
    pub fn words(&self) -> String {
        let shown = self.ranges.iter().take(RANGES_SHOWN).map(|[first, last]| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        });
        let more = self.ranges.len().saturating_sub(RANGES_SHOWN);
        let more = (more > 0).then(|| format!("and {more} more"));
        shown.chain(more).collect::<Vec<_>>().join(" ")
    }
}

impl NodeReport {
    fn words(&self) -> String {
        // A node chooses its name itself; a terminal must not obey it.
        let mut words = shown(&self.name);
        if self.name != self.address.to_string() {
            words += &format!(" ({})", self.address);
        }
        if self.up == Some(false) {
            words += " down";
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shard;
    use super::super::map::Range;
    use super::*;

    fn node(name: &str, port: u16) -> NodeAddress {
        let address = ([127, 0, 0, 1], port).into();
        NodeAddress { id: format!("{port:06}").into(), address, name: name.into() }
    }

    fn report() -> ClusterReport {
        let range = |first, last, master: &NodeAddress, replicas| Range {
            first,
            last,
            shard: Shard { master: master.clone(), replicas },
        };
        let (a, b) = (node("127.0.0.1:1", 1), node("evil\u{1b}[2J:2", 2));
        let mut ranges = vec![range(0, 16_000, &a, vec![node("127.0.0.1:3", 3)])];
        ranges.extend((0..6).map(|n| range(n * 10, n * 10, &b, vec![])));
        let map = ClusterMap::from_ranges(ranges, 7);
        let mut state = State { cluster_ok: true, ..State::default() };
        let size = |database, keys| DatabaseSize {
            database,
            tag: "{db2.160}".into(),
            slot: 5461,
            master: "evil\u{1b}[2J:2".into(),
            keys,
            memory_bytes: 3 << 19,
            is_estimate: keys > 1000,
        };
        state.databases = vec![size(1, 0), size(2, 70), size(3, 5000)];
        state.nodes_up.insert("127.0.0.1:3".into(), false);
        ClusterReport::new(&map, &state, Instant::now())
    }

    #[test]
    fn the_table_is_aligned_and_harmless() {
        let expected = "\
epoch 7, 2 shards, 16001 of 16384 slots served
the cluster calls itself ok

SHARD  SLOTS  RANGES                         MASTER                       ID      REPLICAS
    0      6  0 10 20 30 and 2 more          evil?[2J:2 (127.0.0.1:2)  000002  none
    1  15995  1-9 11-19 21-29 31-39 and 2 more  127.0.0.1:1               000001  127.0.0.1:3 down

DATABASE  SLOT        KEYS   MEMORY  MASTER      TAG
       2  5461          70  1.5 MiB  evil?[2J:2  {db2.160}
       3  5461  about 5000  1.5 MiB  evil?[2J:2  {db2.160}
";
        let squeezed = |text: &str| {
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.map(|words| words.join(" ")).collect::<Vec<_>>()
        };
        let table = report().to_string();
        assert_eq!(squeezed(&table), squeezed(expected), "{table}");
        let masters: Vec<_> =
            table.lines().skip(3).take(3).map(|line| line.find("  0000")).collect();
        assert_eq!(masters[1], masters[2], "{table}");
    }

    #[test]
    fn the_json_keeps_its_names() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["topology"]["slots_assigned"], 16_001);
        assert_eq!(json["topology"]["age_s"], serde_json::Value::Null);
        assert_eq!(json["topology"]["refreshes"][1]["trigger"], "moved");
        assert_eq!(json["shards"][0]["slots"]["count"], 6);
        assert_eq!(json["databases"][1]["memory_bytes"], 3 << 19);
        assert_eq!(json["databases"][2]["is_estimate"], true);
        assert_eq!(json["shards"][1]["slots"]["ranges"][1], serde_json::json!([11, 19]));
        assert_eq!(json["shards"][1]["master"]["address"], "127.0.0.1:1");
        assert_eq!(json["shards"][1]["master"]["up"], serde_json::Value::Null);
        assert_eq!(json["shards"][1]["replicas"][0]["up"], false);
    }
}
