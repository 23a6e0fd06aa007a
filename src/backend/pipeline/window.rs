//! How many requests a node may have to answer at once, and whose turn it is to send the next one.
//!
//! Owns the estimate of what the node owes, and the line of those who wait. Pure but for the wakers it
//! keeps. Must not know what a request is.
//!
//! A node writes its answers to a buffer of its own that has no limit for ordinary clients. What it
//! owes is therefore limited here: by the average of its replies of late, as nobody knows the size of a
//! reply before it comes. A client with few requests under way is let in up to a second limit, so that
//! small requests do not wait in line behind those who ask for much.

use std::cell::Cell;
use std::task::Waker;

use super::line::Line;

/// Requests that may be under way whatever the size of replies.
const WINDOW_MIN: usize = 1;
/// A client with at most so many requests under way is let in up to the second limit.
const FEW: usize = 8;
/// The second limit, in first ones.
const HARD: usize = 4;
/// The average is taken anew after so many replies, or bytes of them.
const SAMPLE_REPLIES: usize = 64;
const SAMPLE_BYTES: usize = 1 << 20;

/// The window of one node connection.
#[derive(Debug)]
pub(super) struct Window {
    owed_bytes_max: usize,
    /// Requests that may be under way.
    requests_max: Cell<usize>,
    /// Average bytes of a reply; 0 before the first sample.
    average: Cell<usize>,
    /// Bytes and replies since then.
    sample: Cell<(usize, usize)>,
    /// Bytes of replies under way that are known to be large.
    weight: Cell<usize>,
    /// Those that wait because many requests are under way.
    line: Line,
    /// Those that wait for room for a large reply.
    large_line: Line,
}

impl Window {
    /// For a node that may owe so many bytes.
    pub(super) fn new(owed_bytes_max: usize) -> Window {
        Window {
            owed_bytes_max,
            requests_max: Cell::new(usize::MAX / HARD),
            average: Cell::new(0),
            sample: Cell::new((0, 0)),
            weight: Cell::new(0),
            line: Line::default(),
            large_line: Line::default(),
        }
    }

    /// Whether more requests are under way than may be, or somebody waits: a client may have to wait.
    #[inline]
    pub(super) fn is_exceeded(&self, requests: usize) -> bool {
        requests > self.requests_max.get() || !self.line.is_empty()
    }

    /// Whether a client that has `own` of these requests under way may send another one. Nobody
    /// overtakes those who wait.
    pub(super) fn has_room(&self, requests: usize, own: usize, client: usize) -> bool {
        let most = self.requests_max.get();
        let is_in_turn = self.line.is_empty() && own < FEW || self.line.has_turn(client);
        requests == 0
            || requests <= most && self.line.is_empty()
            || requests <= most * HARD && is_in_turn
    }

    /// Whether a reply of so many bytes may be asked for by this client: one always may.
    pub(super) fn has_room_for_weight(&self, weight: u32, client: usize) -> bool {
        let is_in_turn = self.large_line.is_empty() || self.large_line.has_turn(client);
        let sum = self.weight.get() + weight as usize;
        self.weight.get() == 0 || is_in_turn && sum <= self.owed_bytes_max
    }

    /// A client that had its turn sends its request.
    pub(super) fn use_turn(&self, client: usize) {
        self.line.use_turn(client);
        self.large_line.use_turn(client);
        if self.weight.get() < self.owed_bytes_max {
            // The next one may fit too.
            self.large_line.call_next(1);
        }
    }

    /// A reply of so many bytes is asked for.
    pub(super) fn add_weight(&self, weight: u32) {
        self.weight.set(self.weight.get() + weight as usize);
    }

    /// A reply that was taken for so long has come.
    pub(super) fn take_weight(&self, weight: u32) {
        self.weight.set(self.weight.get().saturating_sub(weight as usize));
    }

    /// No reply will come any more.
    pub(super) fn forget_weights(&self) {
        self.weight.set(0);
    }

    /// So many bytes have come, and so many replies ended with them.
    #[inline]
    pub(super) fn note_read(&self, bytes: usize, replies: usize) {
        let (bytes, replies) = (self.sample.get().0 + bytes, self.sample.get().1 + replies);
        self.sample.set((bytes, replies));
        if replies >= SAMPLE_REPLIES || bytes >= SAMPLE_BYTES {
            self.take_sample();
        }
    }

    fn take_sample(&self) {
        let (bytes, replies) = self.sample.take();
        let sample = bytes / replies.max(1);
        // Half of it is the last sample: what has just begun to be asked for is soon known.
        let average = match self.average.get() {
            0 => sample,
            before => before.midpoint(sample),
        };
        self.average.set(average.max(1));
        let most = self.owed_bytes_max / average.max(1);
        self.requests_max.set(most.clamp(WINDOW_MIN, usize::MAX / HARD));
    }

    /// Puts a client in the line, where it is not there yet: for a large reply, or for any.
    pub(super) fn wait(&self, client: usize, is_large: bool, waker: &Waker) {
        if is_large {
            self.large_line.wait(client, waker);
        } else {
            self.line.wait(client, waker);
        }
    }

    /// So many requests are under way, after so many have been answered: calls those whose turn it is.
    #[inline]
    pub(super) fn call(&self, requests: usize, replies: usize) {
        if !self.line.is_empty() || !self.large_line.is_empty() {
            self.call_next(requests, replies);
        }
    }

    #[cold]
    fn call_next(&self, requests: usize, replies: usize) {
        if requests == 0 {
            self.line.call_next(usize::MAX);
        } else if requests <= self.requests_max.get().saturating_mul(HARD) {
            self.line.call_next(replies);
        }
        if (replies > 0 || requests == 0) && self.weight.get() < self.owed_bytes_max {
            self.large_line.call_next(1);
        }
    }

    /// Calls everybody: the connection is gone.
    pub(super) fn call_all(&self) {
        self.line.call_next(usize::MAX);
        self.large_line.call_next(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::pipeline::line::tests::{Woken, count};

    #[test]
    fn large_replies_make_it_narrow_and_small_ones_wide() {
        let window = Window::new(8 << 20);
        assert!(!window.is_exceeded(1_000_000));
        for _ in 0..10 {
            window.note_read(64 << 10, 1);
            window.note_read(1 << 20, 16);
        }
        assert!(window.is_exceeded(129) && !window.is_exceeded(120));
        // A client with few is let in, but not without end.
        assert!(window.has_room(130, 1, 0) && !window.has_room(130, FEW, 0));
        assert!(!window.has_room(129 * HARD, 1, 0));
        for _ in 0..100 {
            window.note_read(5 * 64, 64);
        }
        assert!(!window.is_exceeded(100_000));
    }

    #[test]
    fn one_endless_reply_leaves_a_few() {
        let window = Window::new(8 << 20);
        for _ in 0..100 {
            window.note_read(100 << 20, 0);
        }
        assert!(!window.is_exceeded(WINDOW_MIN) && window.is_exceeded(WINDOW_MIN + 1));
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let window = Window::new(8 << 20);
        for _ in 0..10 {
            window.note_read(1 << 20, 1);
        }
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(!window.has_room(9, FEW, 1));
        window.wait(1, false, &waker);
        // There is room up to the second limit, and it is the turn of the one that waits.
        assert!(window.is_exceeded(1) && !window.has_room(9, 1, 2));
        window.call(9, 1);
        assert_eq!(count(&woken), 1);
        assert!(window.has_room(9, FEW, 1) && window.has_room(0, FEW, 2));
        window.use_turn(1);
        assert!(!window.has_room(9, FEW, 1) && window.has_room(9, 1, 2));
    }

    #[test]
    fn large_replies_are_asked_for_in_turn_and_one_always_may() {
        let window = Window::new(8 << 20);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mib = |count: u32| count << 20;
        assert!(window.has_room_for_weight(mib(100), 1));
        window.add_weight(mib(6));
        assert!(!window.has_room_for_weight(mib(7), 1) && window.has_room_for_weight(mib(1), 2));
        window.wait(1, true, &waker);
        // Small ones do not overtake it, and it keeps its place when there is too little room.
        assert!(!window.has_room_for_weight(mib(1), 2));
        window.call(5, 1);
        assert_eq!(count(&woken), 1);
        assert!(!window.has_room_for_weight(mib(7), 1));
        window.wait(1, true, &waker);
        window.wait(2, true, &waker);
        window.take_weight(mib(6));
        window.call(4, 1);
        assert!(window.has_room_for_weight(mib(7), 1));
        window.use_turn(1);
        window.add_weight(mib(7));
        assert!(window.has_room_for_weight(mib(1), 2));
    }

    #[test]
    fn a_lost_connection_leaves_nobody_waiting() {
        let (window, woken) = (Window::new(1), Arc::<Woken>::default());
        (0..5).for_each(|client| {
            window.wait(client, client % 2 == 0, &Waker::from(Arc::clone(&woken)))
        });
        window.call_all();
        assert_eq!(count(&woken), 5);
    }
}
