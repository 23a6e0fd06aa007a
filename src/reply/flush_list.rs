//! The clients of a worker that have something to be written, until it is.
//!
//! Owns that list, and what all client writers of a worker share. Must not know when it is looked at, nor
//! what a client writer is: `W` stands for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::memory::Ledger;
use crate::metrics::WorkerStats;

/// What may wait for a client that is sent messages which it did not ask for: Redis's
/// `client-output-buffer-limit pubsub`.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// More bytes than this end the client at once.
    pub hard_bytes: usize,
    /// More bytes than this, for longer than `soft_us`, end it too.
    pub soft_bytes: usize,
    /// Microseconds.
    pub soft_us: u64,
}

impl PushLimits {
    /// Whether so many waiting bytes are too many; `since` remembers when there were too many for long.
    pub(super) fn is_exceeded(&self, bytes: usize, since: &Cell<Option<u64>>, now_us: u64) -> bool {
        if bytes <= self.soft_bytes {
            since.set(None);
            return false;
        }
        let since_us = since.get().unwrap_or(now_us);
        since.set(Some(since_us));
        bytes > self.hard_bytes || now_us.saturating_sub(since_us) > self.soft_us
    }
}

impl Default for PushLimits {
    /// None.
    fn default() -> PushLimits {
        PushLimits { hard_bytes: usize::MAX, soft_bytes: usize::MAX, soft_us: u64::MAX }
    }
}

/// The clients of one worker that have something to be written.
#[derive(Debug)]
pub struct FlushList<W> {
    /// Those that are looked at when this turn ends.
    list: RefCell<Vec<Rc<W>>>,
    task: RefCell<Option<Waker>>,
    push_limits: PushLimits,
    stats: Arc<WorkerStats>,
    ledger: Rc<Ledger>,
}

impl<W> FlushList<W> {
    pub(super) fn new(
        stats: Arc<WorkerStats>,
        ledger: Rc<Ledger>,
        push_limits: PushLimits,
    ) -> Rc<FlushList<W>> {
        let (list, task) = (RefCell::default(), RefCell::default());
        Rc::new(FlushList { list, task, push_limits, stats, ledger })
    }

    /// What may wait for clients that are sent messages.
    pub(super) fn push_limits(&self) -> &PushLimits {
        &self.push_limits
    }

    /// Where this worker's buffers are added up.
    pub(super) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Looks at this client when the turn ends.
    #[inline]
    pub(super) fn add(&self, client_writer: Rc<W>) {
        let mut list = self.list.borrow_mut();
        list.push(client_writer);
        if list.len() == 1
            && let Some(task) = self.task.borrow().as_ref()
        {
            task.wake_by_ref();
        }
    }

    /// So many bytes have been written to a client.
    pub(super) fn note_sent(&self, count: usize) {
        self.stats.sent_bytes.add(count as u64);
    }

    /// Takes the listed clients, and leaves an empty list in their place.
    pub(super) fn swap(&self, turn: &mut Vec<Rc<W>>) {
        std::mem::swap(turn, &mut self.list.borrow_mut());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Whoever polls with this context is woken when there is somebody to look at.
    pub(super) fn set_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
}
