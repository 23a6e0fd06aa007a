//! A second connection to a node that a script keeps busy on the first.
//!
//! A node reads nothing more from the connection that brought a script before the script has ended, and
//! that is the one which all clients share for scripts. On any other it answers `-BUSY` once the script has
//! run for `busy-reply-threshold`. So the pipeline gets a successor then, where new requests are answered as
//! a lone server would answer them, and the old connection is left to what is under way on it: what only
//! reads is sent anew, what may change data waits for the script, as it may run behind it.
//!
//! Owns who may not use the successor yet, because of what they have under way on the old connection: a
//! client's requests must not overtake each other. Must not know how it is found that a node is busy.
//! At most one old connection per node waits for a script: a node runs one at a time.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::task::Waker;

use super::line::Line;
use super::{Phase, Pipeline, SUSPECT_US};
use crate::metrics::Outcome;
use crate::reply::handle::OnFailure;
use crate::reply::{Answered, ReplyHandle, ReturnReason, texts};

/// What a pipeline has to do with a connection that waits for a script.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// It is being asked whether the node is busy with the script that this one waits for.
    is_asked: Cell<bool>,
    predecessor: RefCell<Option<Predecessor>>,
    has_predecessor: Cell<bool>,
}

/// The connection before this one.
#[derive(Debug)]
struct Predecessor {
    pipeline: Rc<Pipeline>,
    /// The clients that have requests under way there, by the address of their client writers.
    clients: HashSet<usize>,
    /// Those of them that wait here.
    line: Line,
}

impl Succession {
    #[inline]
    pub(super) fn has_predecessor(&self) -> bool {
        self.has_predecessor.get()
    }

    /// Whether this client has requests under way on the connection before.
    #[inline]
    pub(super) fn is_behind(&self, client: usize) -> bool {
        self.has_predecessor.get() && self.is_among(client)
    }

    #[cold]
    fn is_among(&self, client: usize) -> bool {
        let predecessor = self.predecessor.borrow();
        predecessor.as_ref().is_some_and(|before| before.clients.contains(&client))
    }

    /// Wakes a client that [is behind](Self::is_behind) when the connection before is done.
    #[cold]
    pub(super) fn wait(&self, client: usize, waker: &Waker) {
        if let Some(before) = self.predecessor.borrow().as_ref() {
            before.line.wait(client, waker);
        }
    }
}

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
            && !self.succession.has_predecessor()
            && !self.succession.is_asked.replace(true)
    }

    /// It has been asked whether the node is busy.
    pub fn note_asked(&self) {
        self.succession.is_asked.set(false);
    }

    /// Makes this the pipeline for what comes after `before`, which ends with what is under way.
    pub(in crate::backend) fn succeed(&self, before: Rc<Pipeline>) {
        let clients = before.give_back_reads();
        before.retire();
        let predecessor = Predecessor { pipeline: before, clients, line: Line::default() };
        *self.succession.predecessor.borrow_mut() = Some(predecessor);
        self.succession.has_predecessor.set(true);
    }

    /// Lets those go on whom the connection before has kept waiting, when that is over; called now and
    /// then.
    pub(in crate::backend) fn forget_predecessor(&self) {
        let is_over = |before: &mut Predecessor| before.pipeline.is_over();
        let before = self.succession.predecessor.borrow_mut().take_if(is_over);
        if let Some(before) = before {
            self.succession.has_predecessor.set(false);
            before.line.call_next(usize::MAX);
        }
    }

    /// Gives back what only reads and waits behind a script. Returns the clients that have something
    /// else under way here; what those only read stays too, as it comes after that.
    fn give_back_reads(&self) -> HashSet<usize> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let of = |handle: &ReplyHandle| Rc::as_ptr(handle.writer()).addr();
        let handles = state.in_flight.iter().filter_map(|entry| entry.handle.as_ref());
        let stay = handles.filter(|handle| !may_be_given_back(handle.on_failure));
        let stay: HashSet<usize> = stay.map(of).collect();
        let (mut at, mut given) = (state.in_flight.at(), Vec::new());
        for behind in 0..state.in_flight.len() {
            let Some(entry) = state.in_flight.nth_mut(behind) else { break };
            let (begin, len) = (at, entry.len as usize);
            at += u64::from(entry.len);
            // The reply to the oldest may be under way.
            let goes = |handle: &mut ReplyHandle| behind > 0 && !stay.contains(&of(handle));
            if let Some(handle) = entry.handle.take_if(goes) {
                given.push((handle, state.send_queue.get(begin, len).to_vec()));
            }
        }
        for (handle, request) in given {
            handle.returned(request, ReturnReason::Indeterminate);
        }
        stay
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
