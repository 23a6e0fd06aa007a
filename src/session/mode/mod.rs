//! What a client is in: a transaction, a watch, a wait, subscriptions, MONITOR, the tracking of keys.
//!
//! Owns the state that a client has at the gateway beyond one request, a file for each kind. Must not
//! know sockets, nor nodes: what a mode needs of them it asks of the router.

mod blocking;
mod exec_reply;
mod monitoring;
mod own_answers;
mod queuing;
mod subscribed;
mod tracking;
mod watching;

use std::rc::Rc;

use crate::clients::monitors::Shown;
use crate::router::watched::{WatchCell, Watched};
use monitoring::Monitor;
use queuing::Queuing;
use subscribed::Subscribed;
use tracking::TrackingClient;

/// The modes of one client.
#[derive(Debug, Default)]
pub(super) struct Mode {
    /// From MULTI to EXEC.
    queuing: Option<Box<Queuing>>,
    /// From WATCH to EXEC; made when first needed.
    watching: Option<WatchCell>,
    /// While its request waits at a node.
    is_blocked: bool,
    /// While it is subscribed to something.
    subscribed: Option<Subscribed>,
    /// While it sees what others ask.
    monitoring: Option<Monitor>,
    /// While it tracks keys.
    tracking: Option<Box<TrackingClient>>,
}

impl Mode {
    /// Whether its requests are kept for EXEC.
    #[inline(always)]
    pub(super) fn is_queuing(&self) -> bool {
        self.queuing.is_some()
    }

    /// Whether it may be sent messages that it does not ask for one by one.
    #[inline(always)]
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed.is_some()
    }

    /// Whether there are requests that it must not send now.
    #[inline(always)]
    pub(super) fn is_restricted(&self) -> bool {
        self.is_subscribed() || self.monitoring.is_some()
    }

    /// Whether it sees what others ask.
    pub(super) fn is_monitoring(&self) -> bool {
        self.monitoring.is_some()
    }

    /// Keeps a request, as it is shown, until EXEC, when it is part of a transaction.
    pub(super) fn keep_shown(&mut self, shown: &Shown) -> bool {
        self.queuing.as_mut().is_some_and(|queuing| queuing.keep_shown(shown))
    }

    /// Whether its request waits at a node.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Whether it watches keys.
    pub(super) fn is_watching(&self) -> bool {
        self.watched_slot().is_some()
    }

    /// Whether nodes track what it reads.
    pub(super) fn is_tracking(&self) -> bool {
        self.tracking.is_some()
    }

    /// Whether it must stay with this worker: what it has here cannot be taken along.
    pub(super) fn is_pinned(&self) -> bool {
        self.is_queuing()
            || self.is_blocked
            || self.is_watching()
            || self.is_restricted()
            || self.tracking.is_some()
    }

    /// Bytes kept for it.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.queuing.as_ref().map_or(0, |queuing| queuing.bytes())
            + self.subscribed.as_ref().map_or(0, Subscribed::bytes)
    }

    /// Its wait is over.
    pub(super) fn end_wait(&mut self) {
        self.is_blocked = false;
    }

    fn watch_cell(&mut self) -> WatchCell {
        Rc::clone(self.watching.get_or_insert_default())
    }

    fn take_watched(&mut self) -> Option<Watched> {
        self.watching.as_ref()?.take()
    }

    fn watched_slot(&self) -> Option<crate::slot::Slot> {
        self.watching.as_ref()?.borrow().as_ref().map(Watched::slot)
    }
}
