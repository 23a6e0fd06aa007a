//! A pipeline of one client that tracks keys: what goes out with its requests, and what the node says
//! of changes.
//!
//! Owns the order of both beside the client's requests and replies. What is said of a change is passed
//! on behind the replies that came before it on this connection, and waits for no other node's. Must not
//! know what becomes of it.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::replies::PUSH;
use super::{Kind, Phase, Pipeline, State};
use crate::backend::message_stream::Outbox;
use crate::backend::tracking::{PUSH_BYTES_MAX, Tracker};
use crate::backend::{BackendError, Connection};
use crate::reply::ReplyHandle;
use crate::resp::ProtocolError;

/// Messages of a node's second connection that are taken before others have their turn.
const MESSAGES_PER_TURN: usize = 256;
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl Pipeline {
    /// As [`Pipeline::send`], for a client that tracks.
    #[cold]
    #[inline(never)]
    pub(super) fn send_tracked(
        &self,
        state: &mut State,
        (request, weight): (&[u8], u32),
        make: impl FnOnce() -> ReplyHandle,
    ) {
        let handle = make();
        self.precede(state, handle.seq);
        state.send_queue.append(request);
        self.enter(state, (request.len(), weight), || handle);
    }

    /// Appends what precedes request `seq`, if anything does.
    pub(super) fn precede(&self, state: &mut State, seq: u64) {
        let prefix = self.tracker.as_ref().and_then(|tracker| tracker.prefix_of(seq));
        if let Some(request) = prefix {
            self.append_own(state, request);
        }
    }

    fn append_own(&self, state: &mut State, request: &[u8]) {
        state.send_queue.append(request);
        state.in_flight.push_own(request.len(), Kind::Asking);
        self.stats.inflight.add(1);
    }

    /// Opens the connection again, when it has ended and may be tried.
    pub fn keep_open(&self) {
        let mut state = self.state.borrow_mut();
        let is_closed = matches!(state.phase, Phase::Idle | Phase::Down(_));
        if !is_closed || self.is_down(&state) || !state.in_flight.is_empty() {
            return;
        }
        self.append_own(&mut state, PING);
        self.dirty.set(true);
        self.wake();
    }

    /// Its client has gone, and nobody waits for an answer: ends at once.
    pub fn abandon(&self) {
        self.fault.set(true);
        self.retire();
    }

    /// Has the node track what is read over this new connection.
    pub(super) async fn begin_tracking(
        &self,
        tracker: &Tracker,
        connection: &mut Connection,
    ) -> Result<(), BackendError> {
        let at = (&self.upstream, &self.stats);
        let messages = tracker.greet(connection, at, self.shared.connect_timeout).await?;
        *self.messages.borrow_mut() = messages;
        Ok(())
    }

    /// The connection is gone, and with it what the node knew of the client.
    pub(super) fn end_tracking(&self, was_open: bool) {
        *self.messages.borrow_mut() = None;
        if let Some(tracker) = self.tracker.as_ref().filter(|_| was_open) {
            tracker.flush(self.answered.get());
        }
    }

    /// Whether the next bytes belong to something that nobody asked for, which may come between any
    /// two replies.
    pub(super) fn is_at_push(&self, state: &State, bytes: &[u8]) -> bool {
        self.tracker.is_some()
            && match state.scanner.at_start() {
                true => bytes.first() == Some(&PUSH),
                false => state.kind == PUSH,
            }
    }

    /// Takes a piece of such a message; `whole` says that it ends with it.
    #[cold]
    pub(super) fn take_push_piece(&self, state: &mut State, piece: &[u8], whole: bool) {
        let Some(tracker) = &self.tracker else { return };
        let is_too_long = state.push.len() + piece.len() > PUSH_BYTES_MAX;
        if !is_too_long {
            state.push.extend_from_slice(piece);
        } else {
            // Nothing that could be read is left of it.
            state.push.clear();
            state.push.push(b'.');
            tracker.take_too_long(self.answered.get());
        }
        if whole {
            let frame = std::mem::take(&mut state.push);
            tracker.take_push(&frame, self.answered.get());
        }
    }

    /// Takes what has come with the answers to the greeting.
    pub(super) fn take_early(&self, bytes: &[u8]) -> Result<(), BackendError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        self.take_replies(&mut state, bytes).map_err(BackendError::Protocol)
    }

    /// Takes what the node says on its second connection, if there is one.
    pub(super) fn poll_messages(&self, cx: &mut Context<'_>) -> Result<(), BackendError> {
        let Some(tracker) = &self.tracker else { return Ok(()) };
        let mut messages = self.messages.borrow_mut();
        let Some(messages) = messages.as_mut() else { return Ok(()) };
        let outbox = Outbox::default();
        for _ in 0..MESSAGES_PER_TURN {
            let mut next = std::pin::pin!(messages.next(&outbox));
            match next.as_mut().poll(cx) {
                Poll::Ready(Ok(frame)) if frame.len() > PUSH_BYTES_MAX => {
                    tracker.take_too_long(self.answered.get());
                }
                Poll::Ready(Ok(frame)) if frame.first() == Some(&PUSH) => {
                    tracker.take_push(frame, self.answered.get());
                }
                Poll::Ready(Ok(_)) => {
                    let odd = "something else than a message";
                    return Err(BackendError::Protocol(ProtocolError::Reply(odd)));
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// The number behind the latest request of its client that has been answered here.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Whose keys are tracked over it, if anybody's are.
    pub(super) fn tracker(&self) -> Option<Rc<Tracker>> {
        self.tracker.clone()
    }
}
