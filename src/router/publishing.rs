//! Where messages are published, and when the next one may be.
//!
//! Owns the order of messages while the node changes to which they go. A message that is published at
//! the new node must not come before one that is still on its way there from the old one: the nodes
//! tell each other of messages, but wait for nobody. So the first message for another node than the
//! one before waits a moment. Must not know who is subscribed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Router, hub};
use crate::backend::{Band, NodeAddress, Pipeline};
use crate::resp::Protocol;
use crate::slot::Slot;

/// How long messages may be on their way from node to node.
const TRAVEL: Duration = Duration::from_millis(200);

/// To which messages go by the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// All channels: the home, see [`crate::topology::ClusterMap::home`].
    Home,
    /// The sharded channels of a slot.
    Slot(Slot),
}

impl Place {
    /// The slot whose master takes the messages when nobody else does.
    pub fn slot(self) -> Slot {
        match self {
            Place::Home => hub::home_slot(),
            Place::Slot(slot) => slot,
        }
    }
}

/// What one worker has published, by place: at most as many as there are slots.
#[derive(Debug, Default)]
pub(super) struct Published(RefCell<HashMap<Place, Last>>);

/// The last message of a place.
#[derive(Debug)]
struct Last {
    node: NodeAddress,
    at: Instant,
}

impl Published {
    /// How long the next message waits that goes to `node`; when it does not, it is noted.
    fn wait(&self, place: Place, node: NodeAddress, now: Instant) -> Option<Duration> {
        let mut all = self.0.borrow_mut();
        match all.get_mut(&place) {
            Some(last) if last.node == node => last.at = now,
            Some(last) => {
                let wait = (last.at + TRAVEL).saturating_duration_since(now);
                if !wait.is_zero() {
                    return Some(wait);
                }
                *last = Last { node, at: now };
            }
            None => drop(all.insert(place, Last { node, at: now })),
        }
        None
    }
}

impl Router {
    /// The node that takes the messages of a place.
    fn publisher_node(&self, place: Place) -> Option<NodeAddress> {
        match place {
            Place::Home => self.map().home().cloned(),
            Place::Slot(slot) => self.master_node(slot),
        }
    }

    /// The pipeline over which messages of a place are published. `None`: there is no such node now.
    pub fn publisher(&self, place: Place, protocol: Protocol) -> Option<Rc<Pipeline>> {
        let node = self.publisher_node(place)?;
        match self.master_of(place.slot(), protocol, Band::Common) {
            Some(master) if *master.node() == node => Some(master),
            _ => Some(self.pipelines.get(&node, protocol, Band::Common)),
        }
    }

    /// How long the next message of a place has to wait; `None`: it may be sent now, and will be.
    pub fn wait_to_publish(&self, place: Place) -> Option<Duration> {
        self.published.wait(place, self.publisher_node(place)?, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> NodeAddress {
        let id = format!("node {port}");
        let address = ([127, 0, 0, 1], port).into();
        NodeAddress { id: id.as_str().into(), address, name: id.as_str().into() }
    }

    #[test]
    fn what_goes_to_another_node_waits_until_the_one_before_has_arrived() {
        let (published, start) = (Published::default(), Instant::now());
        let wait = |place, port, after_ms| {
            published.wait(place, node(port), start + Duration::from_millis(after_ms))
        };
        assert_eq!(wait(Place::Home, 1, 0), None);
        assert_eq!(wait(Place::Home, 1, 100), None);
        assert_eq!(wait(Place::Home, 2, 150), Some(Duration::from_millis(150)));
        // It is not the one before yet.
        assert_eq!(wait(Place::Home, 2, 299), Some(Duration::from_millis(1)));
        assert_eq!(wait(Place::Home, 2, 300), None);
        assert_eq!(wait(Place::Home, 2, 301), None);
        assert_eq!(wait(Place::Home, 1, 501), None);
        // Places are apart from each other.
        assert_eq!(wait(Place::Slot(hub::home_slot()), 3, 502), None);
        assert_eq!(wait(Place::Home, 1, 503), None);
    }
}
