//! A line of clients that wait for their turn.
//!
//! Owns the order: the first to come is the first to be called, and one that is called and has to wait on
//! keeps its place. Pure but for the wakers it keeps. Must not know what they wait for.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::task::Waker;

/// Clients that may have been called and have not come, before they are forgotten: some have gone.
const CALLED_MAX: usize = 1024;

/// The line.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: RefCell<HashMap<usize, Waker>>,
    /// The first to come first; some may have gone.
    order: RefCell<VecDeque<usize>>,
    /// How many places `order` has, for a look that costs little.
    len: Cell<usize>,
    /// Those that have been called and have not used their turn.
    called: RefCell<HashSet<usize>>,
}

impl Line {
    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Puts a client in the line, where it is not there yet.
    pub(super) fn wait(&self, client: usize, waker: &Waker) {
        if self.waiting.borrow_mut().insert(client, waker.clone()).is_some() {
            return;
        }
        let mut order = self.order.borrow_mut();
        if self.called.borrow_mut().remove(&client) {
            order.push_front(client);
        } else {
            order.push_back(client);
        }
        self.len.set(order.len());
    }

    /// Calls the next clients, at most so many.
    pub(super) fn call_next(&self, count: usize) {
        for _ in 0..count {
            // Whoever has gone costs nobody a call.
            let waker = loop {
                let Some(client) = self.order.borrow_mut().pop_front() else {
                    return self.len.set(0);
                };
                if let Some(waker) = self.waiting.borrow_mut().remove(&client) {
                    self.note_called(client);
                    break waker;
                }
            };
            self.len.set(self.order.borrow().len());
            waker.wake();
        }
    }

    fn note_called(&self, client: usize) {
        let mut called = self.called.borrow_mut();
        if called.len() >= CALLED_MAX {
            called.clear();
        }
        called.insert(client);
    }

    /// Whether a client has been called.
    pub(super) fn has_turn(&self, client: usize) -> bool {
        self.called.borrow().contains(&client)
    }

    /// A client uses its turn.
    pub(super) fn use_turn(&self, client: usize) {
        self.called.borrow_mut().remove(&client);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    pub(crate) struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count(woken: &Arc<Woken>) -> usize {
        woken.0.load(Ordering::Relaxed)
    }

    #[test]
    fn who_came_first_is_called_first_and_keeps_its_place() {
        let line = Line::default();
        let wokens: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
        let wait = |client: usize| line.wait(client, &Waker::from(Arc::clone(&wokens[client])));
        let all = || wokens.iter().map(count).collect::<Vec<_>>();
        (0..3).for_each(wait);
        wait(0);
        line.call_next(1);
        assert_eq!(all(), [1, 0, 0]);
        assert!(line.has_turn(0) && !line.has_turn(1));
        // It has to wait on, before the others.
        wait(0);
        assert!(!line.has_turn(0));
        line.call_next(2);
        assert_eq!(all(), [2, 1, 0]);
        line.use_turn(0);
        // Now behind them.
        wait(0);
        line.call_next(1);
        assert_eq!(all(), [2, 1, 1]);
        line.call_next(usize::MAX);
        assert_eq!(all(), [3, 1, 1]);
        assert!(line.is_empty());
    }
}
