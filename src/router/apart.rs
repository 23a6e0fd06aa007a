//! The way to the nodes of one client whose keys they track: connections of its own.
//!
//! Owns that such a router follows the worker's, and what a change of the map means to the client: who
//! served a slot knew what it had read there, so it is told that everything may have changed. Must not
//! know how it is told.

use std::rc::Rc;
use std::sync::Arc;

use super::Router;
use crate::backend::{Band, NodeAddress, Tracker};
use crate::reply::{ClientWriter, texts};
use crate::reply::{Gather, ReplyHandle, handle::RequestMeta, merge::Merge};
use crate::resp::write;
use crate::slot::Slot;
use crate::topology::ClusterMap;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl Router {
    /// A router over the same map by the same rules, for one client; its connections end with it.
    pub fn apart(&self, tracker: Rc<Tracker>) -> Rc<Router> {
        let pipelines = self.pipelines.apart(tracker);
        let router = Router::new(Arc::clone(&self.topology), pipelines, self.rules.clone());
        let router = Rc::new(router);
        let mut apart = self.apart.borrow_mut();
        apart.retain(|router| router.strong_count() > 0);
        apart.push(Rc::downgrade(&router));
        router
    }

    fn all_apart(&self) -> Vec<Rc<Router>> {
        self.apart.borrow().iter().filter_map(std::rc::Weak::upgrade).collect()
    }

    /// There is a new map, or a new command table.
    pub(super) fn have_others_catch_up(&self) {
        for router in self.all_apart() {
            router.catch_up();
        }
    }

    /// Looks after the connections of clients that have some for themselves. Says whether a node owes an
    /// answer for so long that the map is worth a look.
    pub(super) fn check_others(&self) -> bool {
        let mut is_silent = false;
        for router in self.all_apart() {
            is_silent |= router.pipelines.check_silence();
            router.keep_open();
        }
        is_silent
    }

    /// The map has changed from this one: what the client has cached may be out of date.
    pub(super) fn note_other_masters(&self, before: &ClusterMap) {
        let Some(tracker) = self.pipelines.tracker() else { return };
        // With the first map nothing has been read yet.
        if before.version > 0 && !self.map.borrow().has_masters_of(before) {
            tracker.flush(self.pipelines.answered());
        }
        self.keep_open();
    }

    /// Has a connection to every master, where a client wants to hear of keys that others read.
    fn keep_open(&self) {
        let Some(tracker) = self.pipelines.tracker() else { return };
        if !tracker.broadcasts() || !tracker.is_wanted() {
            return;
        }
        let map = self.map();
        let masters = map.shards().iter().map(|shard| &shard.master);
        let open = |node: &NodeAddress| {
            self.pipelines.get(node, tracker.protocol(), Band::Common).keep_open()
        };
        masters.chain(map.spares()).for_each(open);
    }

    /// Answers request `seq` when every master is connected, and so sends word of what changes; then
    /// `done` is called.
    pub fn broadcast(
        &self,
        tracker: &Rc<Tracker>,
        writer: &Rc<ClientWriter>,
        (seq, meta): (u64, RequestMeta),
        done: Box<dyn FnOnce()>,
    ) {
        let map = self.map();
        let count = map.shards().len();
        if count == 0 {
            tracker.set_standing(false);
            return self.fail(writer, seq, meta.command, self.why_not_served());
        }
        let begun = Rc::clone(tracker);
        let answer = move |parts: &[&[u8]]| {
            let refused = parts.iter().find(|part| part.starts_with(b"-"));
            begun.set_standing(refused.is_none());
            done();
            refused.map_or_else(|| write::OK.to_vec(), |part| part.to_vec())
        };
        let gather = Rc::new(Gather::new(count, Merge::WithErrors(Box::new(answer))));
        for index in 0..count {
            let slot =
                map.ranges_of(index).first().and_then(|(first, _)| Slot::new((*first).into()));
            let meta = RequestMeta { slot: slot.unwrap_or(meta.slot), ..meta };
            let (writer, gather) = (Rc::clone(writer), Rc::clone(&gather));
            let make = || ReplyHandle::part(writer, seq, meta, gather, index as u32);
            match slot {
                Some(slot) => drop(self.send((slot, tracker.protocol()), PING, make)),
                None => drop(make().fail(texts::NOT_SERVED)),
            }
        }
        self.keep_open();
    }
}
