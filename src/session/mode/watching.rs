//! WATCH and UNWATCH: the client's part.
//!
//! Owns which slot a client watches, and that there is only one. The connection is the router's.

use std::rc::Rc;

use crate::command::positions;
use crate::resp::write;
use crate::router::watched::Watched;
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};
use crate::slot::Slot;

impl Session {
    /// WATCH: the keys' master watches them, on a connection that the client has for itself.
    pub(in crate::session) fn watch(&mut self, request: Request<'_>) -> Dispatch {
        let Request { id, command, args, frame } = request;
        if let Some(dispatch) = self.refuses_keys(id, command, args) {
            return dispatch;
        }
        let found = positions(command, args, &mut self.keys);
        debug_assert!(found.is_ok(), "every argument is a key");
        let mut slots = self.keys.iter().map(|&key| Slot::of(args.get(key as usize)));
        let Some(slot) = slots.next() else { return Dispatch::Done };
        let is_one = slots.all(|other| other == slot);
        if !is_one || self.mode.watched_slot().is_some_and(|watched| watched != slot) {
            self.refuse(id, self.cross_slot());
            return Dispatch::Done;
        }
        // A request of its own that is still under way might change what it watches.
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let meta = self.meta(id, command, slot);
        let seq = self.take_seq();
        let (asker, cell) = (self.asker(seq, meta), self.mode.watch_cell());
        self.state.info.note_watched(args.len() - 1);
        let router = Rc::clone(&self.env.router);
        self.errand = Some(Box::pin(router.watch(asker, slot, frame.to_vec(), cell)));
        Dispatch::Done
    }

    /// UNWATCH.
    pub(in crate::session) fn unwatch(&mut self) {
        self.forget_watched();
        self.deliver_own(write::OK);
    }

    /// The client speaks another protocol from now on, and the connection where it watches does not: as
    /// if something had been changed.
    pub(in crate::session) fn lose_watched(&mut self) {
        if let Some(watched) = self.mode.take_watched() {
            let slot = watched.slot();
            self.env.router.unwatch(watched);
            *self.mode.watch_cell().borrow_mut() = Some(Watched::Lost(slot));
        }
    }

    /// The client watches nothing any more.
    pub(in crate::session) fn forget_watched(&mut self) {
        if let Some(watched) = self.mode.take_watched() {
            self.env.router.unwatch(watched);
        }
        self.state.info.forget_watched();
    }
}
