//! Slots that move from node to node, as `redis-cli --cluster reshard` moves them.

use slotway::resp::Value;

use super::Site;
use crate::link::Link;
use crate::nodes::until;

/// How long a node may take to hand keys over, in milliseconds, as `MIGRATE` takes it.
const MIGRATE_MS: &str = "20000";
/// Slots that are opened and closed together.
const BATCH: usize = 50;

impl Site {
    fn link(&self, at: usize) -> Link {
        Link::connect(self.fleet.nodes[at].address).unwrap()
    }

    /// The first slots that a master serves.
    pub(crate) fn some_slots(&self, master: usize, count: usize) -> Vec<u16> {
        let view = self.view(master);
        let own = view.iter().find(|member| member.id == self.ids[master]).unwrap();
        let slots = own.ranges.iter().flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().unwrap()..=last.parse::<u16>().unwrap()
        });
        let slots: Vec<u16> = slots.take(count).collect();
        assert_eq!(slots.len(), count);
        slots
    }

    /// From now on these slots are on their way from one master to another.
    pub(crate) fn open_slots(&self, slots: &[u16], from: usize, to: usize) {
        for (at, state, other) in [(to, "IMPORTING", from), (from, "MIGRATING", to)] {
            self.set_slots(at, slots, state, other);
        }
    }

    /// Moves at most so many keys of a slot; `false` when none was left.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> bool {
        let mut link = self.link(from);
        let keys = link.line(&format!("CLUSTER GETKEYSINSLOT {slot} {count}"));
        let keys: Vec<String> =
            keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        if keys.is_empty() {
            return false;
        }
        let address = self.fleet.nodes[to].address;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut words = vec!["MIGRATE", &ip, &port, "", "0", MIGRATE_MS, "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        let said = link.call(&words).unwrap();
        assert!(!matches!(said, Value::Error(_)), "{said:?}");
        true
    }

    /// Moves what is left of these slots, and closes them.
    pub(crate) fn close_slots(&self, slots: &[u16], from: usize, to: usize) {
        for slot in slots {
            while self.move_keys(*slot, from, to, 10) {}
        }
        // The one that has given its last slot away is among the masters no more.
        let others = self.masters().into_iter().filter(|at| *at != to && *at != from);
        for at in [to, from].into_iter().chain(others) {
            self.set_slots(at, slots, "NODE", to);
        }
    }

    /// Moves slots under way, some at a time.
    pub(crate) fn move_slots(&self, slots: &[u16], from: usize, to: usize) {
        for slots in slots.chunks(BATCH) {
            self.open_slots(slots, from, to);
            self.close_slots(slots, from, to);
        }
        self.wait_until_owned();
    }

    fn set_slots(&self, at: usize, slots: &[u16], state: &str, node: usize) {
        let mut link = self.link(at);
        let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
        let id = &self.ids[node];
        let requests: Vec<Vec<&str>> =
            slots.iter().map(|slot| vec!["CLUSTER", "SETSLOT", slot, state, id]).collect();
        link.send(&requests).unwrap();
        for request in &requests {
            let said = link.reply().unwrap();
            assert_eq!(said, Value::Simple("OK".into()), "{request:?}");
        }
    }
}

impl Site {
    /// Whether a master serves a slot, as it says itself.
    pub(crate) fn serves(&self, master: usize, slot: u16) -> bool {
        let view = self.view(master);
        let own = view.iter().find(|member| member.id == self.ids[master]);
        own.is_some_and(|own| {
            own.ranges.iter().any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (first.parse().unwrap()..=last.parse().unwrap()).contains(&slot)
            })
        })
    }

    /// Starts a node on that address and brings it in, without slots; returns its number.
    pub(crate) fn add_node(&mut self, last: u8) -> usize {
        self.fleet.add(last);
        let new = self.fleet.nodes.len() - 1;
        self.ids.push(self.fleet.nodes[new].id());
        let address = self.fleet.nodes[0].address;
        self.say(new, &format!("CLUSTER MEET {} {}", address.ip(), address.port()));
        let count = self.ids.len();
        until("a node that all know", || self.up().iter().all(|at| self.view(*at).len() == count));
        self.wait_until_owned();
        new
    }

    /// Takes the last node, which serves nothing, away for good.
    pub(crate) fn remove_node(&mut self, at: usize) {
        self.fleet.kill(at);
        self.fleet.nodes.truncate(at);
        let id = self.ids.remove(at);
        for other in self.up() {
            // A node may have been told of it by another meanwhile: it is told again at the end.
            let _ = self.fleet.nodes[other].ask(&["CLUSTER", "FORGET", &id]);
        }
        self.wait_until_owned();
    }
}
