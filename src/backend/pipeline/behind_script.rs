//! A connection that waits for a script.
//!
//! A node reads nothing more from the connection that brought a script before the script has ended, and
//! that is the one which all clients of a worker share for scripts. On any other it answers `-BUSY` once
//! the script has run for `busy-reply-threshold`. So the pipeline is replaced by another one then, where new
//! requests are answered as a lone server would answer them, and the old connection is left to what is
//! under way on it: what only reads is given back, to be sent anew, and what may change data waits for the
//! script, as it may run behind it.
//!
//! Owns what is given back. Must not know how it is found that a node is busy, nor who may use the new
//! connection when. While the script runs the node lets no other connection in, so no more are replaced.

use std::collections::HashSet;
use std::rc::Rc;

use super::{Phase, Pipeline, SUSPECT_US};
use crate::metrics::Outcome;
use crate::reply::handle::OnFailure;
use crate::reply::{Answered, ReplyHandle, ReturnReason, texts};

/// Whether a request may be sent anew although it has been sent: it only reads, and has one reply.
fn may_be_given_back(on_failure: OnFailure) -> bool {
    on_failure.may_run_twice() && !on_failure.is_block()
}

impl Pipeline {
    /// Whether a script has kept this connection waiting for so long that the node may be answering
    /// others that it is busy. Says so once, until [`Self::note_asked`].
    pub fn may_be_busy(&self, now_us: u64) -> bool {
        let state = self.state.borrow();
        let oldest = state.in_flight.iter().find_map(|entry| entry.handle.as_ref());
        let is_late = oldest.is_some_and(|handle| {
            let sent_us = handle.retry().map_or(0, |retry| retry.sent_us).max(handle.begun_us);
            handle.on_failure.is_script() && now_us.saturating_sub(sent_us) > SUSPECT_US
        });
        is_late
            && state.phase == Phase::Open
            && self.tracker.is_none()
            && !self.retired.get()
            && !self.is_asked.replace(true)
    }

    /// It has been asked whether the node is busy.
    pub fn note_asked(&self) {
        self.is_asked.set(false);
    }

    /// Gives back what only reads and waits behind a script, but for that of clients which have something
    /// else under way here: the two must not change places. The first script may be the one that runs.
    pub(in crate::backend) fn give_back_reads(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let of = |handle: &ReplyHandle| Rc::as_ptr(handle.writer()).addr();
        let mut is_behind = false;
        let handles = state.in_flight.iter().filter_map(|entry| entry.handle.as_ref());
        let stays = |handle: &&ReplyHandle| {
            let stays = !is_behind || !may_be_given_back(handle.on_failure);
            is_behind |= handle.on_failure.is_script();
            stays
        };
        let stay: HashSet<usize> = handles.filter(stays).map(of).collect();
        let (mut at, mut given) = (state.in_flight.at(), Vec::new());
        for nth in 0..state.in_flight.len() {
            let Some(entry) = state.in_flight.nth_mut(nth) else { break };
            let (begin, len) = (at, entry.len as usize);
            at += u64::from(entry.len);
            if let Some(handle) = entry.handle.take_if(|handle| !stay.contains(&of(handle))) {
                given.push((handle, state.send_queue.get(begin, len).to_vec()));
            }
        }
        for (handle, request) in given {
            handle.returned(request, ReturnReason::BehindScript);
        }
    }

    /// Answers with what the node says while a script keeps it busy.
    #[cold]
    pub(super) fn answer_busy(&self, handle: ReplyHandle, text: &str) {
        let (command, is_block) = (handle.command, handle.on_failure.is_block());
        let answered = match is_block {
            true => handle.fail(&texts::exec_abort(text)),
            false => handle.fail(text),
        };
        if answered != Answered::NotYet {
            self.shared.stats.command(command, Outcome::Error);
        }
    }
}
