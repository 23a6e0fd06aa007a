//! Which events of the keyspace the nodes tell of (`notify-keyspace-events`).
//!
//! Owns what clients have last set through the gateway, and that nodes which join later, or were not
//! there, get it too: to its clients there is one server, whose setting holds for all keys. Must not
//! know what is done with events.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::backend::{Asked, Lane, NodeAddress};
use crate::resp::{Protocol, write};
use crate::router::Router;

/// The option's name.
pub const OPTION: &[u8] = b"notify-keyspace-events";
/// Wait before a node that could not be told is told again.
const PAUSE: Duration = Duration::from_millis(500);

/// What was last set; nothing before the first time.
type Value = Option<Arc<[u8]>>;

/// The setting of the whole cluster.
#[derive(Debug)]
pub struct EventClasses {
    value: watch::Sender<Value>,
}

impl Default for EventClasses {
    fn default() -> EventClasses {
        EventClasses { value: watch::Sender::new(None) }
    }
}

impl EventClasses {
    /// A client has set it at all nodes that were there.
    pub fn set(&self, value: &[u8]) {
        self.value.send_replace(Some(value.into()));
    }

    /// Tells it every node that joins, for ever. One worker does it for all.
    pub async fn keep(self: Arc<Self>, router: Rc<Router>) {
        let (mut values, mut maps) = (self.value.subscribe(), router.topology().changes());
        let mut told: HashMap<NodeAddress, Arc<[u8]>> = HashMap::new();
        loop {
            let value = values.borrow_and_update().clone();
            router.catch_up();
            let is_done = match &value {
                Some(value) => tell_missing(&router, value, &mut told).await,
                None => true,
            };
            tokio::select! {
                changed = values.changed() => if changed.is_err() { return },
                changed = maps.changed() => if changed.is_err() { return },
                () = sleep(PAUSE), if !is_done => {}
            }
        }
    }
}

/// Tells those that have not been told this. Says whether all have been.
async fn tell_missing(
    router: &Router,
    value: &Arc<[u8]>,
    told: &mut HashMap<NodeAddress, Arc<[u8]>>,
) -> bool {
    let map = router.map();
    let nodes: Vec<NodeAddress> =
        map.nodes().map(|(node, ..)| node).chain(map.spares()).cloned().collect();
    told.retain(|node, _| nodes.contains(node));
    let mut is_done = true;
    for node in nodes {
        if told.get(&node) == Some(value) {
            continue;
        }
        match tell(router, &node, value).await {
            true => drop(told.insert(node, Arc::clone(value))),
            false => is_done = false,
        }
    }
    is_done
}

async fn tell(router: &Router, node: &NodeAddress, value: &[u8]) -> bool {
    let mut request = Vec::new();
    write::request(&mut request, &[b"CONFIG", b"SET", OPTION, value]);
    let asked = Asked { requests: &request, count: 1, bytes_max: 4096, ends_with_error_at: None };
    let leasing = router.pipelines().lease(node, Protocol::Resp2, Lane::Quick);
    let answer = match leasing.await {
        Ok(mut lease) => lease.ask(&asked).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(frames) if frames.first().is_some_and(|frame| frame == write::OK) => true,
        Ok(frames) => {
            let said = frames.first().map(|frame| String::from_utf8_lossy(frame).into_owned());
            tracing::warn!(node = %node.name, ?said, "a node does not take notify-keyspace-events");
            // It would say the same again.
            true
        }
        Err(error) => {
            tracing::debug!(node = %node.name, ?error, "notify-keyspace-events not set yet");
            false
        }
    }
}
