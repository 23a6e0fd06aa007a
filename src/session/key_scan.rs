//! HSCAN, SSCAN and ZSCAN: by the slot of the key, with a cursor that says which node gave it.
//!
//! Owns the rewriting of the request and the reply. What a cursor looks like is the router's.

use std::rc::Rc;

use super::Session;
use super::dispatch::{Dispatch, Request};
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::{Make, Merge};
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::{Args, write};
use crate::router::key_cursor::KeyCursor;
use crate::router::{Router, scan};
use crate::slot::Slot;
use crate::topology::ClusterMap;

impl Session {
    /// Sends the request to the key's master. `None`: it is to be sent on as it is.
    pub(super) fn key_scan(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let Request { id, command, args, frame } = request;
        let cursor = KeyCursor::read(args.get(2))?;
        let slot = Slot::of(args.get(1));
        let master = master_in(&self.router().map(), slot)?;
        if !cursor.is_of(&master) {
            self.refuse(id, texts::CURSOR_OF_ANOTHER);
            return Some(Dispatch::Done);
        }
        let goes_on = cursor.own != 0;
        let on_failure = if goes_on { OnFailure::ContinueCursor } else { OnFailure::BeginCursor };
        let meta = RequestMeta { on_failure, ..self.meta(id, command, slot) };
        let seq = self.take_seq();
        let router = Rc::clone(&self.env.router);
        let make = told(&router, slot, goes_on.then_some(master));
        let gather = Rc::new(Gather::new(1, Merge::With(make)));
        let handle = || ReplyHandle::part(Rc::clone(&self.writer), seq, meta, gather, 0);
        let route = (slot, self.state.protocol);
        let full = match cursor.mark {
            0 => router.send(route, frame, handle),
            _ => router.send(route, &with_cursor(args, cursor.own), handle),
        };
        self.full = full.or(self.full.take());
        Some(Dispatch::Done)
    }
}

/// The id of the slot's master.
fn master_in(map: &ClusterMap, slot: Slot) -> Option<Rc<str>> {
    let shard = map.shards().get(map.shard_of(slot)?)?;
    Some(Rc::from(&*shard.master.id))
}

/// The same request with the node's own cursor.
fn with_cursor(args: Args<'_>, own: u64) -> Vec<u8> {
    let mut request = Vec::new();
    write::array_len(&mut request, args.len());
    for (index, word) in args.iter().enumerate() {
        match index {
            2 => write::bulk(&mut request, own.to_string().as_bytes()),
            _ => write::bulk(&mut request, word),
        }
    }
    request
}

/// Makes the client's reply of a node's. A cursor that goes on was given by the master that the slot
/// must still have.
fn told(router: &Rc<Router>, slot: Slot, goes_on_at: Option<Rc<str>>) -> Make {
    let router = Rc::clone(router);
    Box::new(move |parts: &[&[u8]]| {
        let reply = parts.first().copied().unwrap_or_default();
        let master = master_in(&router.topology().map().load(), slot).unwrap_or_default();
        if goes_on_at.is_some_and(|before| before != master) {
            return texts::frame(texts::CURSOR_OF_ANOTHER);
        }
        // A node that the slot is on its way to has answered, this once: nobody can go on there.
        let node = if parts.len() > 1 { "" } else { &master };
        match scan::open(reply) {
            Some((own, items)) => scan::close(KeyCursor::tell(own, node), items),
            None => texts::frame(texts::SCAN_REPLY),
        }
    })
}
