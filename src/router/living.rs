//! Questions about the whole cluster while a part of it cannot answer.
//!
//! Owns the asking of those masters that live, each by a call of its own and without
//! waiting for anybody to take over: what is asked here is how things stand, and that is needed
//! most when they stand badly. Must not know what is asked, nor what becomes of the answers. A part
//! that does not come is an error among the parts.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::Router;
use super::out_of_band::Call;
use crate::backend::{Lane, NodeAddress};
use crate::reply::handle::RequestMeta;
use crate::reply::merge::Merge;
use crate::reply::{ClientWriter, Gather, ReplyHandle, texts};

/// A master has as many times the timeout for a connection to answer.
const TIMEOUTS: u32 = 2;
/// How often it is looked whether a master has been missed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Router {
    /// Whether every slot has a master, and each has answered when it was last asked.
    pub fn is_whole(&self) -> bool {
        let map = self.map();
        let state = self.topology.state();
        let is_down = |node: &NodeAddress| state.nodes_up.get(&node.name) == Some(&false);
        map.is_complete() && !map.shards().iter().any(|shard| is_down(&shard.master))
    }

    /// Returns when the cluster is not whole any more.
    pub(super) async fn until_broken(&self) {
        while self.is_whole() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks all masters of the map that can be reached; the merged reply answers request `seq`. Behind
    /// their parts stands one that says that nothing is proved. There must be a master.
    pub fn ask_living(
        self: &Rc<Self>,
        writer: &Rc<ClientWriter>,
        (seq, meta): (u64, RequestMeta),
        merge: Merge,
        request: &[u8],
    ) {
        let map = self.map();
        let request: Rc<[u8]> = request.into();
        let (count, timeout) = (map.shards().len(), self.shared().connect_timeout);
        let gather = Rc::new(Gather::new(count + 1, merge));
        // Nothing proves that these were all masters.
        gather.finish(count as u32, &texts::frame(texts::SLOTS_MOVING));
        for (index, shard) in map.shards().iter().enumerate() {
            let writer = Rc::clone(writer);
            self.call(Call {
                handle: ReplyHandle::part(writer, seq, meta, Rc::clone(&gather), index as u32),
                node: shard.master.clone(),
                lane: Lane::Quick,
                request: Rc::clone(&request),
                timeout: timeout * TIMEOUTS,
            });
        }
    }
}
