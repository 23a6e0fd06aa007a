//! How a session leaves for another worker: nothing of its client is under way, and what it takes
//! along.
//!
//! Owns the question whether now is the moment. Where a client belongs is the seating's to say. A
//! client that always has something under way is not read from until all of that is answered, or
//! the busiest would stay for ever where they are.

use std::net::TcpStream;
use std::rc::Rc;
use std::task::Context;

use super::Session;
use super::state::State;

/// How often a session lets others run first so that they let go of its client's way out.
const YIELDS_MAX: u8 = 16;

/// A client between two workers.
#[derive(Debug)]
pub struct Moving {
    /// Its socket, registered with nobody.
    pub stream: TcpStream,
    /// What it has said about its connection.
    pub state: State,
    /// What has been read of it and is no request yet.
    pub unread: Vec<u8>,
}

/// Whether a session stays where it is.
#[derive(Debug, Default)]
pub(super) struct Stay {
    /// It was to go, and no other worker took it.
    pub(super) settled: bool,
    yields: u8,
}

impl Session {
    #[inline]
    fn belongs_elsewhere(&self) -> bool {
        let around = &self.around;
        around.seating.home(self.state.info.id) != around.worker && !self.stay.settled
    }

    /// Whether the client goes to another worker now. All that is under way holds its outlet.
    #[inline]
    pub(super) fn moves(&self) -> bool {
        self.belongs_elsewhere() && self.is_at_rest()
    }

    #[cold]
    fn is_at_rest(&self) -> bool {
        self.outlet.unanswered() == 0
            && self.outlet.is_flushed()
            && Rc::strong_count(&self.outlet) == 1
            && self.full.is_none()
    }

    /// Whether no request may be taken because the client is about to go.
    #[inline]
    pub(super) fn prepares_to_move(&mut self, cx: &mut Context<'_>) -> bool {
        self.belongs_elsewhere() && self.waits_for_rest(cx)
    }

    #[cold]
    fn waits_for_rest(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outlet.unanswered() > 0 {
            self.outlet.wake_when_unanswered(Some(0));
            return true;
        }
        // Its replies leave when this turn ends. Should they not, for the client does not read, it
        // is served on: another moment will come.
        self.stay.yields = (self.stay.yields + 1) % YIELDS_MAX;
        if self.stay.yields > 0 {
            cx.waker().wake_by_ref();
        }
        self.stay.yields > 0
    }

    /// Takes the client away from this worker. `None`: its socket is of no use any more.
    pub(super) fn depart(self) -> Option<Moving> {
        let (reader, unread) = self.input.into_parts();
        let writer = Rc::into_inner(self.outlet)?.into_socket();
        let stream = reader.reunite(writer).ok()?.into_std().ok()?;
        Some(Moving { stream, state: self.state, unread })
    }
}
