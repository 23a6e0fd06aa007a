//! Matching a node's replies to the requests that wait for them.
//!
//! Owns the reading side of a pipeline: which bytes belong to which reply handle, and which replies are
//! no answers. Must not know what becomes of either.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Pipeline, State};
use crate::backend::BackendError;
use crate::backend::large::LARGE_MIN;
use crate::backend::shortage::is_out_of_memory;
use crate::metrics::{Bucket, Outcome};
use crate::net::ReadHalf;
use crate::reply::returned::Unavailable;
use crate::reply::{Answered, ReplyHandle, ReturnReason, returned, texts};
use crate::resp::reply::LeftOut;
use crate::resp::{ProtocolError, ReplyScanner};

/// Type byte of a frame that nobody asked for.
pub(super) const PUSH: u8 = b'>';
/// Reads of one connection in a turn before others get theirs.
const READS_PER_TURN: usize = 16;
/// The same as time: what a node says in small pieces takes far longer per byte.
const TURN_US: u64 = 1000;

impl Pipeline {
    /// Reads what there is; says whether there was something.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        reader: &mut ReadHalf,
    ) -> Result<bool, BackendError> {
        let mut scratch = self.shared.scratch.borrow_mut();
        let mut first_us = 0;
        for read in 0..READS_PER_TURN {
            match self.read_once(cx, reader, &mut scratch) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(read > 0),
            }
            let now_us = self.shared.clock.now_us();
            if read == 0 {
                first_us = now_us;
            } else if now_us.saturating_sub(first_us) > TURN_US {
                break;
            }
        }
        go_on_later(cx);
        Ok(true)
    }

    fn read_once(
        &self,
        cx: &mut Context<'_>,
        reader: &mut ReadHalf,
        scratch: &mut [u8],
    ) -> Poll<Result<(), BackendError>> {
        let mut state = self.state.borrow_mut();
        let kept = state.kept.len();
        let room = scratch.get_mut(kept..).unwrap_or_default();
        let mut buffer = ReadBuf::new(room);
        let count = match ready!(Pin::new(reader).poll_read(cx, &mut buffer)) {
            Ok(()) => buffer.filled().len(),
            Err(error) => return Poll::Ready(Err(BackendError::Io(error))),
        };
        if count == 0 {
            return Poll::Ready(Err(BackendError::Closed));
        }
        if kept > 0 {
            scratch[..kept].copy_from_slice(&state.kept);
            state.kept.clear();
        }
        let before = state.in_flight.len();
        let taken = self.take_replies(&mut state, &scratch[..kept + count]);
        let under_way = state.in_flight.len();
        let replies = before.saturating_sub(under_way);
        self.window.note_read(count, replies);
        if under_way == 0 {
            self.window.forget_weights();
        }
        let has_room = state.send_queue.bytes() <= self.shared.queue_bytes_max / 2;
        drop(state);
        if has_room {
            self.window.call(under_way, replies);
        }
        Poll::Ready(taken.map_err(BackendError::Protocol))
    }

    /// Hands every reply, and every piece of one, in `bytes` to its reply handle.
    pub(super) fn take_replies(
        &self,
        state: &mut State,
        bytes: &[u8],
    ) -> Result<(), ProtocolError> {
        let now_us = self.shared.clock.tick();
        let mut at = 0;
        while at < bytes.len() {
            if state.in_flight.first_mut().is_some_and(|entry| entry.is_special())
                && !self.is_at_push(state, &bytes[at..])
            {
                let (used, goes_on) = self.take_special(state, &bytes[at..], now_us)?;
                at += used;
                if goes_on {
                    continue;
                }
                state.kept.extend_from_slice(&bytes[at..]);
                break;
            }
            let begins = state.scanner.at_start();
            let progress = state.scanner.advance(&bytes[at..])?;
            let piece = progress.piece(&bytes[at..]);
            at += progress.used;
            if begins && !piece.is_empty() {
                state.kind = piece[0];
            }
            if state.kind != PUSH {
                if progress.whole {
                    self.redeem(state, piece, begins, now_us)?;
                } else if !piece.is_empty() {
                    if begins && returned::is_redirect(piece) {
                        // It must not reach a client in pieces either.
                        return Err(ProtocolError::Reply("a redirect without an end"));
                    }
                    self.pass_on(state, piece)?;
                }
            } else if self.tracker.is_some() {
                self.take_push_piece(state, piece, progress.whole);
            }
            let stops = !progress.whole && progress.left_out != LeftOut::LineToEnd;
            if stops && at < bytes.len() {
                if begins && piece.is_empty() {
                    state.scanner = ReplyScanner::default();
                }
                state.kept.extend_from_slice(&bytes[at..]);
                break;
            }
        }
        if state.in_flight.at() > state.send_queue.sent_to() {
            // The answer is the client's; what is left of its request must not go out.
            return Err(ProtocolError::Reply("an answer before all of the request was sent"));
        }
        state.send_queue.release_before(state.in_flight.at());
        Ok(())
    }

    pub(super) fn pass_on(&self, state: &mut State, piece: &[u8]) -> Result<(), ProtocolError> {
        let entry =
            state.in_flight.first_mut().ok_or(ProtocolError::Reply("a reply nobody asked for"))?;
        state.passed_on = true;
        state.passed_bytes += piece.len();
        if let Some(handle) = &entry.handle {
            handle.piece(piece);
        }
        Ok(())
    }

    /// `piece` ends the reply to the oldest request; `begins` says it is all of it.
    #[inline]
    pub(super) fn redeem(
        &self,
        state: &mut State,
        piece: &[u8],
        begins: bool,
        now_us: u64,
    ) -> Result<(), ProtocolError> {
        let entry =
            state.in_flight.first_mut().ok_or(ProtocolError::Reply("a reply nobody asked for"))?;
        state.passed_on = false;
        self.stats.requests.add(1);
        self.stats.inflight.sub(1);
        if !entry.weight.is_none() {
            self.window.take_weight(entry.weight.bytes());
        }
        let bytes = std::mem::take(&mut state.passed_bytes) + piece.len();
        if let Some(handle) = &mut entry.handle {
            if bytes >= LARGE_MIN {
                self.shared.large.note(handle.slot, bytes);
            } else if !entry.weight.is_none() {
                self.shared.large.note_small(handle.slot);
            }
            let is_error = state.kind == b'-';
            // What is too long to come in one piece is no matter of the cluster.
            if is_error
                && begins
                && let Some(why) = self.reason_in(handle, piece)
            {
                give_back_first(state, why);
                return Ok(());
            }
            if self.tracker.is_some() {
                self.answered.set(self.answered.get().max(handle.seq + 1));
            }
            self.answer(handle, piece, is_error, now_us);
        }
        state.in_flight.drop_first();
        Ok(())
    }

    /// Whether this error reply is a matter of the cluster, and not the answer.
    #[cold]
    fn reason_in(&self, handle: &ReplyHandle, reply: &[u8]) -> Option<ReturnReason> {
        if is_out_of_memory(reply) {
            self.shared.shortage.suspect();
        }
        let on_failure = handle.on_failure;
        let mut why = match on_failure.is_block() {
            true => returned::classify_exec(reply)?,
            false if on_failure.is_script() && reply == returned::NO_SCRIPT => {
                return Some(ReturnReason::NoScript);
            }
            false => returned::classify(reply)?,
        };
        // A script that has run must not run again for what it says. Of a transaction its words are
        // within the reply, and an error for the whole is the node's.
        let may_be_a_scripts = on_failure.is_script() && !on_failure.is_block();
        if may_be_a_scripts && !why.is_a_nodes_own(handle.slot) {
            return None;
        }
        if matches!(why, ReturnReason::Ask(_)) && on_failure.wants_whole_slot() {
            // The node that the slot is on its way to has a part of it too.
            let text = texts::SLOT_MOVING.to_owned();
            why = ReturnReason::Unavailable(Unavailable::TryAgain, text);
        }
        why.said_by(self.upstream.node.address.ip());
        if let ReturnReason::Unavailable(unavailable, _) = &why {
            self.stats.error(unavailable.kind());
        }
        Some(why)
    }

    #[inline]
    fn answer(&self, handle: &mut ReplyHandle, piece: &[u8], is_error: bool, now_us: u64) {
        let latency = now_us.saturating_sub(handle.begun_us);
        let bucket = Bucket::of(latency);
        self.stats.latencies.record(bucket);
        let command = handle.command;
        let is_error = match handle.answer(piece) {
            Answered::Whole => is_error,
            Answered::Merged { is_error } => is_error,
            Answered::NotYet => return,
        };
        let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
        self.shared.stats.command(command, outcome);
        let class = self.shared.classes.borrow().get(usize::from(command)).copied();
        if let Some(block) = self.shared.stats.latencies.get(usize::from(class.unwrap_or(0))) {
            block.record(bucket);
        }
    }
}

/// Has the task polled again once the worker has looked for events: a node that never stops would
/// keep everybody else waiting for as many turns as there are between two looks.
fn go_on_later(cx: &mut Context<'_>) {
    let mut turn = std::pin::pin!(tokio::task::yield_now());
    if turn.as_mut().poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}

/// The reply to the oldest request is no answer: the request goes back.
fn give_back_first(state: &mut State, why: ReturnReason) {
    let Some((at, entry)) = state.in_flight.take_first() else { return };
    let Some(handle) = entry.handle else { return };
    handle.returned(state.send_queue.get(at, entry.len as usize).to_vec(), why);
}
