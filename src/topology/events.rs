//! What has happened in the cluster of late, for people.
//!
//! Owns the list of events, which is bounded, and what two maps, one after the other, say has happened.
//! Must not know who reads it. No event decides anything.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::ClusterMap;
use crate::backend::NodeAddress;
use crate::resp::shown;
use crate::slot::{SLOTS, Slot};

/// Events that are kept.
const EVENTS_MAX: usize = 100;
/// Of one change of the map; a cluster made anew would tell of nothing else.
const EVENTS_OF_CHANGE_MAX: usize = 20;
/// Slots that go the same way within this time are one migration.
const ONE_MIGRATION: Duration = Duration::from_secs(120);

/// What kind of thing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The first map of the cluster has been read.
    Start,
    /// A replica has become master.
    Failover,
    /// Slots have gone from one shard to another.
    Migration,
    /// Slots have no master any more, or have one again.
    Slots,
    /// A node has come into the map.
    Joined,
    /// A node has left the map.
    Left,
    /// A node does not answer.
    Down,
    /// It answers again.
    Up,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What kind of thing.
    pub kind: EventKind,
    /// What has happened, in a sentence.
    pub text: String,
    /// Of a migration: from whom, to whom, how many slots.
    #[serde(skip)]
    migration: Option<(Arc<str>, Arc<str>, usize)>,
}

/// The latest events.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// The latest last.
    ring: VecDeque<Event>,
    /// The map that the last events were found in.
    map: Option<Arc<ClusterMap>>,
}

impl Events {
    /// The latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Event> {
        self.ring.iter().rev()
    }

    /// A node has begun to answer, or has ceased to.
    pub(super) fn note_up(&mut self, name: &str, up: bool) {
        let name = shown(name);
        self.push(match up {
            true => event(EventKind::Up, format!("{name} answers again")),
            false => event(EventKind::Down, format!("{name} does not answer")),
        });
    }

    /// The cluster has told this map. What redirects have told meanwhile is in it as well. Returns how
    /// many replicas have become masters.
    pub(super) fn note_map(&mut self, map: &Arc<ClusterMap>) -> u64 {
        let before = self.map.replace(Arc::clone(map));
        let found = match before {
            None => vec![first(map)],
            Some(before) => changes(&before, map),
        };
        let failovers = found.iter().filter(|event| event.kind == EventKind::Failover).count();
        for event in found {
            self.push(event);
        }
        failovers as u64
    }

    fn push(&mut self, mut event: Event) {
        if let Some((from, to, slots)) = &event.migration {
            let since = event.time_ms.saturating_sub(ONE_MIGRATION.as_millis() as u64);
            let same = self.ring.iter().rposition(|earlier| {
                let same_way = |(of, at, _): &(Arc<str>, Arc<str>, usize)| of == from && at == to;
                earlier.time_ms >= since && earlier.migration.as_ref().is_some_and(same_way)
            });
            if let Some((_, _, earlier)) = same.and_then(|at| self.ring.remove(at)?.migration) {
                event = migration(from, to, slots + earlier);
            }
        }
        if self.ring.len() >= EVENTS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }
}

fn event(kind: EventKind, text: String) -> Event {
    let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_millis());
    Event { time_ms: time_ms as u64, kind, text, migration: None }
}

fn migration(from: &Arc<str>, to: &Arc<str>, slots: usize) -> Event {
    let text = format!("{} moved from {} to {}", counted(slots, "slot"), shown(from), shown(to));
    let migration = Some((Arc::clone(from), Arc::clone(to), slots));
    Event { migration, ..event(EventKind::Migration, text) }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn first(map: &ClusterMap) -> Event {
    let masters = counted(map.shards().len(), "master");
    let replicas = counted(map.nodes().count() - map.shards().len(), "replica");
    let text = format!("first map: {masters}, {replicas}, {} of {SLOTS} slots", map.assigned());
    event(EventKind::Start, text)
}

/// What has happened between two maps.
fn changes(before: &ClusterMap, after: &ClusterMap) -> Vec<Event> {
    let mut found = successions(before, after);
    let failovers = found.len();
    found.extend(moves(before, after));
    let names = |map: &ClusterMap| -> BTreeMap<Arc<str>, Arc<str>> {
        let known = map.nodes().map(|(node, ..)| node).chain(map.spares());
        known.filter(|node| !node.id.is_empty()).map(|n| (n.id.clone(), n.name.clone())).collect()
    };
    let (old, new) = (names(before), names(after));
    for (_, name) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        let text = format!("{} is in the cluster", shown(name));
        found.push(event(EventKind::Joined, text));
    }
    for (_, name) in old.iter().filter(|(id, _)| !new.contains_key(*id)) {
        let text = format!("{} is not in the cluster's map any more", shown(name));
        found.push(event(EventKind::Left, text));
    }
    found.truncate(EVENTS_OF_CHANGE_MAX.max(failovers));
    found
}

/// The master of a shard of `before` in which this node was a replica.
fn master_before<'a>(before: &'a ClusterMap, node: &NodeAddress) -> Option<&'a NodeAddress> {
    let shards = before.shards().iter();
    let mut was_its =
        shards.filter(|shard| shard.replicas.iter().any(|replica| replica.id == node.id));
    was_its.next().map(|shard| &shard.master)
}

fn successions(before: &ClusterMap, after: &ClusterMap) -> Vec<Event> {
    let masters = after.shards().iter().map(|shard| &shard.master);
    let replaced = masters.filter_map(|master| Some((master, master_before(before, master)?)));
    replaced
        .map(|(master, old)| {
            let text =
                format!("{} is master in place of {}", shown(&master.name), shown(&old.name));
            event(EventKind::Failover, text)
        })
        .collect()
}

/// Slots that have another shard, but for those whose shard has only another master.
fn moves(before: &ClusterMap, after: &ClusterMap) -> Vec<Event> {
    let mut moved: HashMap<(usize, usize), usize> = HashMap::new();
    let (mut lost, mut found_again) = (0, 0);
    for slot in (0..SLOTS as u64).filter_map(Slot::new) {
        match (before.shard_of(slot), after.shard_of(slot)) {
            (Some(old), Some(new)) => *moved.entry((old, new)).or_default() += 1,
            (Some(_), None) => lost += 1,
            (None, Some(_)) => found_again += 1,
            (None, None) => {}
        }
    }
    let mut found = Vec::new();
    for ((old, new), slots) in moved {
        let (old, new) = (&before.shards()[old].master, &after.shards()[new].master);
        let successor = master_before(before, new).is_some_and(|master| master.id == old.id);
        if old.id != new.id && !successor {
            found.push(migration(&old.name, &new.name, slots));
        }
    }
    found.sort_by(|one, other| one.text.cmp(&other.text));
    if lost > 0 {
        let text = format!("{} have no master any more", counted(lost, "slot"));
        found.push(event(EventKind::Slots, text));
    }
    if found_again > 0 {
        let text = format!("{} have a master again", counted(found_again, "slot"));
        found.push(event(EventKind::Slots, text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Shard;
    use super::super::map::Range;
    use super::*;

    fn node(n: u16) -> NodeAddress {
        NodeAddress {
            id: format!("id{n}").into(),
            address: ([127, 0, 0, 1], n).into(),
            name: format!("n:{n}").into(),
        }
    }

    /// Ranges as first, last, master, replica.
    fn map(ranges: &[(u16, u16, u16, u16)]) -> Arc<ClusterMap> {
        let ranges = ranges.iter().map(|&(first, last, master, replica)| Range {
            first,
            last,
            shard: Shard { master: node(master), replicas: vec![node(replica)] },
        });
        Arc::new(ClusterMap::from_ranges(ranges.collect(), 1))
    }

    fn texts(events: &Events) -> Vec<&str> {
        events.latest().map(|event| event.text.as_str()).collect()
    }

    #[test]
    fn two_maps_say_what_has_happened() {
        let mut events = Events::default();
        events.note_map(&map(&[(0, 999, 1, 11), (1000, 16383, 2, 12)]));
        assert_eq!(texts(&events), ["first map: 2 masters, 2 replicas, 16384 of 16384 slots"]);
        // A failover is no migration of slots.
        let told = map(&[(0, 999, 11, 1), (1000, 16383, 2, 12)]);
        assert_eq!([events.note_map(&told), events.note_map(&told)], [1, 0]);
        assert_eq!(texts(&events)[..1], ["n:11 is master in place of n:1"]);
        // Two steps of one migration are one event.
        events.note_map(&map(&[(0, 899, 11, 1), (900, 16383, 2, 12)]));
        events.note_map(&map(&[(0, 898, 11, 1), (899, 16383, 2, 12)]));
        assert_eq!(texts(&events)[..1], ["101 slots moved from n:11 to n:2"]);
        assert_eq!(texts(&events).len(), 3);
        // A master is gone together with its replica; another node comes.
        events.note_map(&map(&[(899, 16383, 2, 13)]));
        assert_eq!(
            texts(&events)[..5],
            [
                "n:12 is not in the cluster's map any more",
                "n:11 is not in the cluster's map any more",
                "n:1 is not in the cluster's map any more",
                "n:13 is in the cluster",
                "899 slots have no master any more",
            ]
        );
    }

    #[test]
    fn the_list_is_bounded_and_fit_to_be_shown() {
        let mut events = Events::default();
        for n in 0..1000 {
            events.note_up(&format!("evil\u{1b}[2J{n}"), n % 2 == 0);
        }
        assert_eq!(events.latest().count(), EVENTS_MAX);
        assert_eq!(texts(&events)[0], "evil?[2J999 does not answer");
        let many: Vec<_> = (0..16384).map(|n| (n, n, n, n + 20_000)).collect();
        events.note_map(&map(&[(0, 16383, 50_000, 50_001)]));
        events.note_map(&map(&many));
        assert_eq!(events.latest().filter(|e| e.kind == EventKind::Migration).count(), 20);
    }
}
