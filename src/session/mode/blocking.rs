//! Requests that wait: BLPOP and its like, XREAD with BLOCK, WAIT.
//!
//! Owns the client's part: what is read of the request, and that the client can be told to go on. The
//! wait is the router's.

use std::rc::Rc;
use std::sync::Arc;

use crate::clients::ClientInfo;
use crate::command::{ReplyKeys, TimeoutAt, block_option, positions};
use crate::router::acknowledged::Acknowledged;
use crate::router::blocked::{Blocked, WaitTime};
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};
use crate::slot::Slot;

impl Session {
    /// Waits at the keys' master. `None`: the request does not wait, and is sent on.
    pub(in crate::session) fn block(
        &mut self,
        request: Request<'_>,
        timeout_at: TimeoutAt,
        names: ReplyKeys,
    ) -> Option<Dispatch> {
        let Request { id, command, args, .. } = request;
        let (at, in_ms, streams_at) = match timeout_at {
            TimeoutAt::Seconds(at) => (at as usize, false, None),
            TimeoutAt::LastSeconds => (args.len() - 1, false, None),
            TimeoutAt::Milliseconds(at) => (at as usize, true, None),
            TimeoutAt::Option => {
                let (at, streams_at) = block_option(args)?;
                (at, true, Some(streams_at))
            }
        };
        // Without keys that can be told, a node says what is wrong.
        positions(command, args, &mut self.keys).ok()?;
        let first = *self.keys.first()?;
        let slot = Slot::of(args.get(first as usize));
        if self.keys.iter().any(|&key| Slot::of(args.get(key as usize)) != slot) {
            self.refuse(id, self.cross_slot());
            return Some(Dispatch::Done);
        }
        if self.waits_for_earlier() {
            return Some(Dispatch::NotYet);
        }
        let meta = self.meta(id, command, slot);
        let seq = self.take_seq();
        if command.flags.is_readonly() {
            self.note_untracked(seq);
        }
        self.errand_bytes = request.frame.len();
        let info = Arc::clone(&self.state.info);
        let blocked = Blocked {
            asker: self.asker(seq, meta),
            slot,
            words: args.iter().map(<[u8]>::to_vec).collect(),
            wait: WaitTime::read(args.get(at), at, in_ms),
            streams_at,
            unblock: Box::new(move || info.unblock_wanted()),
            rename: self.rename_of(names),
        };
        self.begin_wait(Rc::clone(&self.env.router).block(blocked));
        Some(Dispatch::Done)
    }

    /// WAIT and WAITAOF: every master tells how many replicas have what it has been sent.
    pub(in crate::session) fn wait(
        &mut self,
        request: Request<'_>,
        timeout_at: TimeoutAt,
    ) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let TimeoutAt::Milliseconds(at) = timeout_at else { return Dispatch::Done };
        let meta = self.meta_of_all(request);
        let seq = self.take_seq();
        let wait = Acknowledged {
            asker: self.asker(seq, meta),
            request: request.frame.to_vec(),
            wait: WaitTime::read(request.args.get(at as usize), at as usize, true),
        };
        self.begin_wait(Rc::clone(&self.env.router).acknowledged(wait));
        Dispatch::Done
    }

    fn begin_wait(&mut self, wait: impl Future<Output = ()> + 'static) {
        self.mode.is_blocked = true;
        let waiting = BlockedClient::new(&self.state.info);
        self.errand = Some(Box::pin(async move {
            let _waiting = waiting;
            wait.await;
        }));
    }
}

/// A client that is blocked, for as long as this is there.
struct BlockedClient(Arc<ClientInfo>);

impl BlockedClient {
    fn new(info: &Arc<ClientInfo>) -> BlockedClient {
        info.begin_block();
        BlockedClient(Arc::clone(info))
    }
}

impl Drop for BlockedClient {
    fn drop(&mut self) {
        self.0.end_block();
    }
}
