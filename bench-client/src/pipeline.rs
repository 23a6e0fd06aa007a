//! The requests of a connection that are sent together: which of them are asked and answered.
//!
//! Owns their order and their times. Knows no socket and no reply. Invariant: answers belong to
//! requests in the order of these.

use std::collections::VecDeque;
use std::time::Instant;

use crate::outbox::{GATHERED_BYTES_MAX, Outbox};
use crate::workload::Workload;

/// One pipeline after the other.
#[derive(Debug)]
pub(crate) struct Pipeline {
    size: usize,
    asked: usize,
    answered: usize,
    sent: Instant,
    /// When each should have been sent, where that is not when they were.
    intended: Vec<Instant>,
    /// Tickets of what is asked and not answered.
    tickets: VecDeque<u64>,
}

impl Pipeline {
    /// Nothing to ask.
    pub(crate) fn new() -> Pipeline {
        Pipeline {
            size: 0,
            asked: 0,
            answered: 0,
            sent: Instant::now(),
            intended: Vec::new(),
            tickets: VecDeque::new(),
        }
    }

    /// The next `size` requests, due now.
    pub(crate) fn begin(&mut self, now: Instant, size: usize) {
        self.clear();
        (self.sent, self.size) = (now, size);
    }

    /// The next requests, one for each time at which one was due.
    pub(crate) fn begin_scheduled(&mut self, now: Instant, due: impl Iterator<Item = Instant>) {
        self.clear();
        self.intended.extend(due);
        (self.sent, self.size) = (now, self.intended.len());
    }

    /// Forgets all of it.
    pub(crate) fn clear(&mut self) {
        (self.size, self.asked, self.answered) = (0, 0, 0);
        self.intended.clear();
        self.tickets.clear();
    }

    /// Whether nothing is left to be answered.
    pub(crate) fn is_done(&self) -> bool {
        self.answered >= self.size
    }

    /// When it was sent.
    pub(crate) fn sent(&self) -> Instant {
        self.sent
    }

    /// When the next to be answered should have been sent.
    pub(crate) fn intended(&self) -> Instant {
        self.intended.get(self.answered).copied().unwrap_or(self.sent)
    }

    /// The ticket of the next to be answered, if it was asked.
    pub(crate) fn awaited(&self) -> Option<u64> {
        self.tickets.front().copied()
    }

    /// The next was answered, or is lost; returns when it should have been sent.
    pub(crate) fn answered(&mut self) -> Instant {
        let intended = self.intended();
        self.tickets.pop_front();
        self.answered += 1;
        intended
    }

    /// Puts more requests to `node` into words, as many as may be gathered. Returns whether there were any.
    pub(crate) fn ask(
        &mut self,
        node: usize,
        outbox: &mut Outbox,
        workload: &mut impl Workload,
    ) -> bool {
        let before = self.asked;
        while self.asked < self.size && outbox.bytes().len() < GATHERED_BYTES_MAX {
            let asked = workload.ask(node, outbox.bytes());
            self.asked += 1;
            self.tickets.push_back(asked.ticket);
            if asked.value_follows {
                outbox.value_follows(asked.ticket);
                break;
            }
        }
        self.asked > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Drawn, Load, Verb};

    fn load(verb: Verb, bytes: usize) -> Load {
        Load { verb, bytes, keys: 10, pipeline: 1, clients: 1 }
    }

    #[test]
    fn a_long_pipeline_is_asked_piece_by_piece() {
        let (mut pipeline, mut outbox) = (Pipeline::new(), Outbox::default());
        let mut work = Drawn::new(&load(Verb::Set, 10_000));
        pipeline.begin(Instant::now(), 100);
        let mut pieces = 0;
        while pipeline.ask(0, &mut outbox, &mut work) {
            assert!(outbox.bytes().len() < GATHERED_BYTES_MAX + 11_000);
            outbox.clear();
            pieces += 1;
        }
        assert_eq!((pieces, pipeline.is_done()), (15, false));
        for _ in 0..100 {
            pipeline.answered();
        }
        assert!(pipeline.is_done() && pipeline.awaited().is_none());
    }

    #[test]
    fn a_large_value_ends_a_piece() {
        let (mut pipeline, mut outbox) = (Pipeline::new(), Outbox::default());
        let mut work = Drawn::new(&load(Verb::Set, 100_000));
        pipeline.begin(Instant::now(), 2);
        assert!(pipeline.ask(0, &mut outbox, &mut work));
        assert!(outbox.bytes().ends_with(b"$100000\r\n"));
        outbox.clear();
        assert!(
            pipeline.ask(0, &mut outbox, &mut work) && !pipeline.ask(0, &mut outbox, &mut work)
        );
    }

    #[test]
    fn each_request_keeps_the_time_it_was_due() {
        let mut pipeline = Pipeline::new();
        let start = Instant::now();
        let at = |seconds| start + std::time::Duration::from_secs(seconds);
        pipeline.begin_scheduled(at(9), [at(1), at(2)].into_iter());
        assert_eq!((pipeline.answered(), pipeline.answered()), (at(1), at(2)));
        assert!(pipeline.is_done() && pipeline.sent() == at(9));
    }
}
