//! Requests that must not wait behind others: they travel on leases, out of the pipelines' band.
//!
//! Owns the calls, each a question to one node in a task of its own. A node that is busy with a script
//! reads nothing more from the connection that brought it, and that is the one which all clients
//! share for scripts: what Redis takes even then, SCRIPT KILL and FUNCTION KILL, would come to it when there is
//! nothing left to kill. Must not know commands.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Client, Router};
use crate::backend::lease::URGENT_TIMEOUT;
use crate::backend::{Asked, BackendError, Lane, LeaseError, NodeAddress};
use crate::metrics::Outcome;
use crate::reply::handle::{Answered, RequestMeta};
use crate::reply::merge::Merge;
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::Protocol;

/// A request on its way to one node, over a connection that it has alone.
#[derive(Debug)]
pub(super) struct Call {
    /// Which part of which reply the answer is.
    pub(super) handle: ReplyHandle,
    /// Who is asked.
    pub(super) node: NodeAddress,
    /// Over which of the node's connections.
    pub(super) lane: Lane,
    /// The bytes of the request.
    pub(super) request: Rc<[u8]>,
    /// How long all of it may take, the wait for a turn included.
    pub(super) timeout: Duration,
}

impl Router {
    /// Sends the same request to every node, not behind what it has been sent already; the merged
    /// reply answers request `seq`. Replicas too: one that was a master when its script began goes on
    /// with it. Each is asked once, as its script does not outlive it.
    ///
    /// The caller sees to it that nothing else of the same client is under way, and that nothing
    /// comes to be before this has been answered: it would hit what came before or after it.
    pub fn ask_out_of_band(
        self: &Rc<Self>,
        client: Client<'_>,
        seq: u64,
        meta: RequestMeta,
        merge: Merge,
        request: &[u8],
    ) {
        let map = self.map();
        let nodes: Vec<NodeAddress> = map.nodes().map(|(node, ..)| node.clone()).collect();
        if nodes.is_empty() {
            return self.fail(client.writer, seq, meta.command, self.why_not_complete());
        }
        let request: Rc<[u8]> = request.into();
        let gather = Rc::new(Gather::new(nodes.len(), merge));
        for (index, node) in nodes.into_iter().enumerate() {
            let writer = Rc::clone(client.writer);
            self.call(Call {
                handle: ReplyHandle::part(writer, seq, meta, Rc::clone(&gather), index as u32),
                node,
                lane: Lane::Urgent,
                request: Rc::clone(&request),
                timeout: URGENT_TIMEOUT,
            });
        }
    }

    /// Makes a call in a task of its own, which answers the reply handle.
    pub(super) fn call(self: &Rc<Self>, call: Call) {
        let router = Rc::clone(self);
        tokio::task::spawn_local(async move { router.carry(call).await });
    }

    async fn carry(&self, mut call: Call) {
        let command = call.handle.command;
        let answer = timeout(call.timeout, self.answer_of(&call)).await;
        let answered = match answer.unwrap_or(Err(BackendError::Silent)) {
            Ok(frame) => call.handle.answer(&frame),
            Err(error) => call.handle.fail(&texts::not_asked(&error.to_string())),
        };
        match answered {
            Answered::Merged { is_error: true } => self.stats().command(command, Outcome::Error),
            Answered::Merged { .. } | Answered::Whole => self.stats().command(command, Outcome::Ok),
            Answered::NotYet => {}
        }
    }

    async fn answer_of(&self, call: &Call) -> Result<Vec<u8>, BackendError> {
        let writer = call.handle.writer();
        // The parts are read as RESP2, whatever the client speaks.
        let lease = self.pipelines().lease(&call.node, Protocol::Resp2, call.lane);
        let mut lease = lease.await.map_err(why)?;
        if writer.is_closed() {
            // Nobody waits for it any more.
            return Err(BackendError::Closed);
        }
        let bytes_max = writer.output_bytes_max();
        let asked =
            Asked { requests: &call.request, count: 1, bytes_max, ends_with_error_at: None };
        Ok(lease.ask(&asked).await.map_err(why)?.concat())
    }
}

/// A call is made once, so it does not matter whether the node has received it.
fn why(error: LeaseError) -> BackendError {
    error.error
}
