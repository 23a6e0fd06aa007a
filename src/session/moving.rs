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
use super::seating::Place;
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
    /// Where it belongs.
    pub place: Place,
}

/// Where a session belongs, and why one that is to go elsewhere is still here.
#[derive(Debug)]
pub(super) struct Stay {
    place: Place,
    /// The worker it belongs to has ended: it stays until places are given anew.
    refused: bool,
    yields: u8,
}

impl Stay {
    pub(super) fn new(place: Place) -> Stay {
        Stay { place, refused: false, yields: 0 }
    }
}

impl Session {
    /// The worker that the client belongs to has ended.
    pub fn was_refused(&mut self) {
        self.stay.refused = true;
    }

    /// Whether the client is to go to another worker, as soon as it can.
    #[inline]
    pub(super) fn belongs_elsewhere(&mut self) -> bool {
        let around = &self.around;
        if !around.seating.is_current(self.stay.place) {
            (self.stay.place, self.stay.refused) = (around.seating.give(), false);
        }
        self.stay.place.worker() != around.worker && !self.stay.refused
    }

    /// Whether the client can go now. All that is under way holds its outlet.
    #[cold]
    pub(super) fn is_at_rest(&self) -> bool {
        self.outlet.unanswered() == 0
            && self.outlet.is_flushed()
            && Rc::strong_count(&self.outlet) == 1
            && self.full.is_none()
    }

    /// Whether no request may be taken because the client is about to go.
    #[cold]
    pub(super) fn waits_for_rest(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outlet.unanswered() > 0 {
            self.outlet.wake_when_unanswered(Some(0));
            return true;
        }
        // What its client does not read keeps it here; it is served on, another moment will come.
        if self.outlet.is_stuck() {
            return false;
        }
        // Its replies leave when this turn ends.
        self.stay.yields = (self.stay.yields + 1) % YIELDS_MAX;
        if self.stay.yields > 0 {
            cx.waker().wake_by_ref();
        }
        self.stay.yields > 0
    }

    /// Takes the client away from this worker. `None`: its socket is of no use any more.
    pub fn depart(self) -> Option<Moving> {
        let (reader, unread) = self.input.into_parts();
        let writer = Rc::into_inner(self.outlet)?.into_socket()?;
        let stream = reader.reunite(writer).ok()?.into_std().ok()?;
        Some(Moving { stream, state: self.state, unread, place: self.stay.place })
    }
}
