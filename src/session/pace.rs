//! When a client's next request may be taken.
//!
//! Owns what one client may have under way and waiting: requests, bytes of replies, and its turn at a
//! node that has much to answer. Must not know what a request is.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{OWN_BYTES_MAX, Session};
use crate::clients::Overdue;
use crate::metrics::Wait;
use crate::reply::{CloseReason, texts};
use crate::resp::Args;

/// Bytes waiting for a client beyond which no more of its requests are taken.
pub(super) const OUTPUT_HIGH_WATER: usize = 1 << 20;
/// Requests that a client may have under way before its first reply. From then on as many more as it
/// has got replies: what it asks for is known by then.
const INFLIGHT_FIRST: usize = 4;
/// A client whose socket has taken nothing for so long does not read.
const NOT_READING_AFTER: Duration = Duration::from_millis(20);
/// Average size of replies, in bytes, up to which the full number of requests may be under way.
const REPLY_BYTES_PLANNED: u64 = 4096;

/// The time that a client has before others have their turn.
const SLICE: Duration = Duration::from_micros(200);

/// Of a client whose socket takes no more.
#[derive(Debug)]
pub(super) struct NotReading {
    /// Bytes written to it so far; when that grows, it reads.
    written: u64,
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

/// The time that a client has before others have their turn. Seldom looked at: most have little to
/// say, and looking costs as much as a tenth of a small request.
#[derive(Debug, Default)]
pub(super) struct Slice {
    turns: u32,
    began: Option<Instant>,
}

impl Slice {
    /// Whether it is over; called once for each buffer of requests.
    #[inline]
    pub(super) fn is_over(&mut self) -> bool {
        self.turns += 1;
        self.turns > 1 && self.began.get_or_insert_with(Instant::now).elapsed() > SLICE
    }
}

impl Session {
    /// Whether the client is to be served no longer, and why.
    pub(super) fn cut_off(&self) -> Option<CloseReason> {
        if let Some(why) = self.writer.close_reason() {
            return Some(why);
        }
        let info = &self.state.info;
        if info.is_killed() {
            return Some(CloseReason::Killed);
        }
        match info.overdue()? {
            Overdue::Password if !self.state.authenticated => return Some(CloseReason::NoAuth),
            Overdue::Idle if self.writer.unanswered() == 0 && !self.mode.is_restricted() => {
                return Some(CloseReason::Idle);
            }
            // It has said it meanwhile; or it is the client who waits.
            _ => info.spare(self.env.router.shared().clock.tick() / 1_000_000),
        }
        None
    }

    /// Why a large request is more than every node takes: one of them would end the connection, and
    /// with it the requests of others.
    #[cold]
    pub(super) fn is_too_large(&self, args: Args<'_>, len: usize) -> Option<String> {
        let (bulk_max, query_max) = self.env.router.topology().node_limits();
        let longest = args.iter().map(<[u8]>::len).max().unwrap_or(0);
        if longest > bulk_max {
            return Some(texts::too_large_for_nodes("proto-max-bulk-len", bulk_max));
        }
        (len > query_max)
            .then(|| texts::too_large_for_nodes("client-query-buffer-limit", query_max))
    }

    /// Whether requests that came with others must wait for something those brought about.
    #[inline]
    pub(super) fn is_held_up(&self) -> bool {
        self.own_bytes >= OWN_BYTES_MAX
            || self.full.is_some()
            || self.barrier.is_raised()
            || self.writer.has_returned()
            || self.writer.buffered() > self.output_mark
    }

    /// Whether no further request may be taken now. What ends the waiting wakes the session.
    #[inline]
    pub(super) fn must_wait(&mut self, cx: &mut Context<'_>) -> bool {
        self.env.router.catch_up();
        let unanswered = self.writer.unanswered();
        if !self.barrier.lets_pass(self.env.router.generation(), unanswered) {
            self.writer.wake_when_unanswered(Some(0));
            return true;
        }
        let most = self.inflight_max();
        let is_new = self.writer.answered() < self.limits.inflight_max;
        self.writer.hold(is_new && self.input.is_unread());
        if unanswered >= most {
            self.writer.wake_when_unanswered(Some(most / 2));
            return true;
        }
        if self.writer.buffered() > self.output_mark && self.output_is_full(cx) {
            return true;
        }
        if self.full.is_some() && self.waits_for_room(cx, unanswered) {
            return true;
        }
        self.writer.wake_when_unanswered(None);
        false
    }

    /// Whether the node that the client's next request goes to has no room for it yet.
    #[cold]
    fn waits_for_room(&mut self, cx: &mut Context<'_>, unanswered: usize) -> bool {
        let Some(pipeline) = self.full.take() else { return false };
        if pipeline.has_room_for(&self.writer, unanswered, self.weight) {
            self.weight = 0;
            self.in_line = None;
            // It may have left while it waited: then nobody wants what it has asked for.
            if self.input.is_reset() {
                self.writer.cut(CloseReason::Client);
                return true;
            }
            return false;
        }
        pipeline.wake_when_room(&self.writer, (unanswered, self.weight), cx.waker());
        self.in_line.get_or_insert_with(|| pipeline.begin_wait());
        self.full = Some(pipeline);
        true
    }

    /// Whether so much memory is in use that the rest of a large request may not come yet.
    #[cold]
    pub(super) fn waits_for_memory(&mut self, cx: &mut Context<'_>, held: usize) -> bool {
        let ledger = &self.env.router.shared().ledger;
        let (budget, client) = (ledger.budget(), Rc::as_ptr(&self.writer).addr());
        let may_go_on = !budget.is_tight_for_input()
            || budget.is_fair_input(held)
            || ledger.may_grow(client, self.input.missing());
        if may_go_on {
            self.paused = None;
            return false;
        }
        ledger.pause(client, self.input.missing(), cx.waker());
        if self.input.is_forsaken() {
            ledger.let_go(client);
            self.writer.cut(CloseReason::Client);
        }
        self.note_paused();
        true
    }

    fn note_paused(&mut self) {
        let stats = self.env.router.stats();
        self.paused.get_or_insert_with(|| Wait::begin(stats, |stats| &stats.memory_waits));
    }

    /// Whether too much still waits for the client after writing what its socket takes.
    #[cold]
    fn output_is_full(&mut self, cx: &mut Context<'_>) -> bool {
        self.writer.flush();
        let buffered = self.writer.buffered();
        if buffered <= OUTPUT_HIGH_WATER {
            (self.output_mark, self.not_reading) = (OUTPUT_HIGH_WATER, None);
            self.paused = None;
            return false;
        }
        if self.writer.poll_flush(cx).is_pending() {
            let reads_on = self.reads_on(cx);
            if reads_on {
                self.paused = None;
                self.output_mark = buffered + OUTPUT_HIGH_WATER;
            }
            return !reads_on;
        }
        // What is left waits for earlier replies: the next one that comes may let it go.
        let unanswered = self.writer.unanswered();
        self.writer.wake_when_unanswered(Some(unanswered.saturating_sub(1)));
        unanswered > 0
    }

    /// Whether requests are taken of a client that does not read its replies. One that reads slowly has
    /// to wait; one that does not read at all may want to send everything first, as with a server,
    /// and would never read if it had to wait.
    fn reads_on(&mut self, cx: &mut Context<'_>) -> bool {
        let written = self.writer.bytes_written();
        let waiting = match &mut self.not_reading {
            Some(waiting) if waiting.written == written => waiting,
            other => {
                let timer = Box::pin(tokio::time::sleep(NOT_READING_AFTER));
                other.insert(NotReading { written, timer, is_over: false })
            }
        };
        waiting.is_over = waiting.is_over || waiting.timer.as_mut().poll(cx).is_ready();
        if waiting.is_over && self.writer.budget().is_tight() {
            // Looks again when there may be more room.
            waiting.timer.as_mut().reset(Instant::now() + NOT_READING_AFTER);
            waiting.is_over = false;
            let _ = waiting.timer.as_mut().poll(cx);
            self.note_paused();
            return false;
        }
        waiting.is_over
    }

    /// How many requests may be under way: fewer for a client whose replies are large, so that
    /// what is on its way to it stays bounded.
    #[inline]
    pub(super) fn inflight_max(&mut self) -> usize {
        let most = self.limits.inflight_max;
        let written = self.writer.bytes_written();
        let (seen_bytes, average) = self.replies_seen;
        let most = most.min(INFLIGHT_FIRST + self.writer.answered());
        if written - seen_bytes > OUTPUT_HIGH_WATER as u64 {
            let recent = self.writer.take_reply_average();
            self.replies_seen = (written, recent);
        }
        if average <= REPLY_BYTES_PLANNED {
            return most;
        }
        let planned = REPLY_BYTES_PLANNED * most as u64;
        usize::try_from(planned / average).unwrap_or(most).clamp(1, most)
    }
}
