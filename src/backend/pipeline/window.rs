//! How many requests a node may have to answer at once, and whose turn it is to send the next one.
//!
//! Owns the estimate of what the node owes, and the line of those who wait. Pure but for the wakers it
//! keeps. Must not know what a request is.
//!
//! A node writes its answers to a buffer of its own that has no limit for ordinary clients. What it
//! owes is therefore limited here: by the average of its replies of late, as nobody knows the size of a
//! reply before it comes. A client with few requests under way is let in up to a second limit, so that
//! small requests do not wait in line behind those who ask for much.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::task::Waker;

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
    waiting: RefCell<HashMap<usize, Waker>>,
    /// Those that wait, the first to come first; some may have gone.
    line: RefCell<VecDeque<usize>>,
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
            waiting: RefCell::default(),
            line: RefCell::default(),
        }
    }

    /// Whether more requests are under way than may be.
    #[inline]
    pub(super) fn is_exceeded(&self, requests: usize) -> bool {
        requests > self.requests_max.get()
    }

    /// Whether a client that has `own` of these requests under way may send another one.
    #[inline]
    pub(super) fn has_room(&self, requests: usize, own: usize) -> bool {
        let most = self.requests_max.get();
        requests <= most || own < FEW && requests <= most * HARD
    }

    /// Whether a reply of so many bytes may be asked for: one always may.
    pub(super) fn has_room_for_weight(&self, weight: u32) -> bool {
        self.weight.get() == 0 || self.weight.get() + weight as usize <= self.owed_bytes_max
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

    /// Puts a client in the line, where it is not there yet.
    pub(super) fn wait(&self, client: usize, waker: &Waker) {
        if self.waiting.borrow_mut().insert(client, waker.clone()).is_none() {
            self.line.borrow_mut().push_back(client);
        }
    }

    /// Wakes those whose turn it is when so many requests are under way.
    #[inline]
    pub(super) fn wake_some(&self, requests: usize) {
        let has_room = !self.is_exceeded(requests) && self.weight.get() < self.owed_bytes_max;
        if has_room && !self.line.borrow().is_empty() {
            self.wake_next(requests);
        }
    }

    #[cold]
    fn wake_next(&self, requests: usize) {
        let line = self.line.borrow().len();
        // Each may send several; what they leave is the next one's.
        let count = if requests <= self.requests_max.get() / 2 { line.div_ceil(4) } else { 1 };
        let all = requests == 0;
        for _ in 0..if all { line } else { count } {
            let Some(client) = self.line.borrow_mut().pop_front() else { return };
            if let Some(waker) = self.waiting.borrow_mut().remove(&client) {
                waker.wake();
            }
        }
    }

    /// Wakes everybody: the connection is gone.
    pub(super) fn wake_all(&self) {
        self.line.borrow_mut().clear();
        for (_, waker) in self.waiting.borrow_mut().drain() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(woken: &Arc<Woken>) -> usize {
        woken.0.load(Ordering::Relaxed)
    }

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
        assert!(window.has_room(130, 1) && !window.has_room(130, FEW));
        assert!(!window.has_room(129 * HARD, 1));
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
    fn who_came_first_is_let_in_first() {
        let window = Window::new(8 << 20);
        for _ in 0..10 {
            window.note_read(1 << 20, 1);
        }
        let wokens: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
        for (client, woken) in wokens.iter().enumerate() {
            let waker = Waker::from(Arc::clone(woken));
            window.wait(client, &waker);
            window.wait(client, &waker);
        }
        let all = || wokens.iter().map(count).collect::<Vec<_>>();
        window.wake_some(9);
        assert_eq!(all(), [0, 0, 0]);
        window.wake_some(8);
        assert_eq!(all(), [1, 0, 0]);
        // Back in the line, behind the others.
        window.wait(0, &Waker::from(Arc::clone(&wokens[0])));
        window.wake_some(7);
        assert_eq!(all(), [1, 1, 0]);
        window.wake_some(0);
        assert_eq!(all(), [2, 1, 1]);
    }

    #[test]
    fn a_lost_connection_leaves_nobody_waiting() {
        let (window, woken) = (Window::new(1), Arc::<Woken>::default());
        (0..5).for_each(|client| window.wait(client, &Waker::from(Arc::clone(&woken))));
        window.wake_all();
        assert_eq!(count(&woken), 5);
    }
}
