//! How a session leaves for another worker: nothing of its client is under way, and what it takes
//! along.
//!
//! Owns the question whether now is the moment. Where a client belongs is the assigner's to say. A
//! client that always has something under way is not read from until all of that is answered, or
//! the busiest would stay for ever where they are.

use std::rc::Rc;
use std::task::Context;

use super::Session;
use crate::builtin::state::State;
use crate::clients::Assignment;
use crate::net::DetachedStream;

/// How often a session lets others run first so that they let go of its client's way out.
const YIELDS_MAX: u8 = 16;

/// A client between two workers.
#[derive(Debug)]
pub struct ClientMigration {
    /// Its socket, registered with nobody.
    pub stream: DetachedStream,
    /// What it has said about its connection.
    pub state: State,
    /// What has been read of it and is no request yet.
    pub unread: Vec<u8>,
    /// Where it belongs.
    pub place: Assignment,
}

/// Where a session belongs, and why one that is to go elsewhere is still here.
#[derive(Debug)]
pub(super) struct Migration {
    place: Assignment,
    /// The worker it belongs to has ended: it stays until places are given anew.
    refused: bool,
    yields: u8,
}

impl Migration {
    pub(super) fn new(place: Assignment) -> Migration {
        Migration { place, refused: false, yields: 0 }
    }
}

impl Session {
    /// The worker that the client belongs to has ended.
    pub fn was_refused(&mut self) {
        self.migration.refused = true;
    }

    /// Whether the client is to go to another worker, as soon as it can.
    #[inline]
    pub(super) fn belongs_elsewhere(&mut self) -> bool {
        let env = &self.env;
        if !env.assigner.is_current(self.migration.place) {
            (self.migration.place, self.migration.refused) = (env.assigner.give(), false);
        }
        self.migration.place.worker() != env.worker && !self.migration.refused
    }

    /// Whether the client can go now. All that is under way holds its client writer.
    #[cold]
    pub(super) fn is_at_rest(&self) -> bool {
        self.writer.unanswered() == 0
            && self.writer.is_flushed()
            && Rc::strong_count(&self.writer) == 1
            && self.full.is_none()
    }

    /// Whether no request may be taken because the client is about to go.
    #[cold]
    pub(super) fn waits_for_rest(&mut self, cx: &mut Context<'_>) -> bool {
        if self.writer.unanswered() > 0 {
            self.writer.wake_when_unanswered(Some(0));
            return true;
        }
        // What its client does not read keeps it here; it is served on, another moment will come.
        if self.writer.is_stuck() {
            return false;
        }
        // Its replies leave when this turn ends.
        self.migration.yields = (self.migration.yields + 1) % YIELDS_MAX;
        if self.migration.yields > 0 {
            cx.waker().wake_by_ref();
        }
        self.migration.yields > 0
    }

    /// Takes the client away from this worker. `None`: its socket is of no use any more.
    pub fn depart(self) -> Option<ClientMigration> {
        let (reader, unread) = self.input.into_parts();
        let writer = Rc::into_inner(self.writer)?.into_socket()?;
        let stream = reader.reunite(writer)?.detach().ok()?;
        Some(ClientMigration { stream, state: self.state, unread, place: self.migration.place })
    }
}
