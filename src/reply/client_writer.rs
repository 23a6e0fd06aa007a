//! One client's way out: its reply queue and the writing half of its socket.
//!
//! Owns what is written to a client, and the marks by which its session is woken. A node's
//! pipeline delivers here directly; the session itself need not wake for it. Must not know where
//! replies come from. Invariant: bytes held for a client stay below `output_bytes_max`, or the
//! client is cut off.

mod writing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::{CloseReason, FlushList, ReplyQueue};
use crate::memory::{Budget, Kind, Share};
use crate::net::WriteHalf;
use crate::slot::Slot;

/// Pieces at least this long are written straight from the buffer they were read into.
const THROUGH_BYTES_MIN: usize = 16 * 1024;

/// The side of a client that replies go to. Belongs to one worker. `R` is what comes back unanswered: it
/// is kept for the client's session, unread.
#[derive(Debug)]
pub struct Writer<R> {
    queue: RefCell<ReplyQueue>,
    /// `None` once the client is cut off: what is still under way for it must not keep it open.
    socket: RefCell<Option<WriteHalf>>,
    /// What is held for the client, and of its requests that have come in part.
    output: Share,
    input: Share,
    /// Small replies are not written yet: see [`Writer::hold`].
    held_back: Cell<bool>,
    /// The client has closed its side and hears no more: its replies are dropped.
    deaf: Cell<bool>,
    flush_list: Rc<FlushList<Writer<R>>>,
    output_bytes_max: usize,
    /// In the flusher's list already.
    pub(super) listed: Cell<bool>,
    /// Where it is among those that the flusher lets wait for the rest.
    pub(super) delayed_at: Cell<Option<usize>>,
    /// Number after the last of the requests that came together last.
    batch_end: Cell<u64>,
    /// Replies before this one wait for no other: earlier ones, and what has been written in part.
    may_wait_from: Cell<u64>,
    /// All replies before this one have been written.
    written_to: Cell<u64>,
    /// The socket takes no more at the moment; the session waits until it does.
    stuck: Cell<bool>,
    /// Set once: the client is to be dropped, and why.
    end: Cell<Option<CloseReason>>,
    returned: RefCell<Vec<R>>,
    /// While something is in trouble: what has been answered meanwhile, slot and sequence number.
    answered: RefCell<Option<Vec<(Slot, u64)>>>,
    /// Bytes in gatherings under way.
    gathered: Cell<usize>,
    /// The session wants to wake when at most so many requests are unanswered.
    wake_at: Cell<Option<usize>>,
    session: RefCell<Option<Waker>>,
    bytes_written: Cell<u64>,
    /// Since when more waits for it than a client that is sent messages may leave for long.
    over_soft_since: Cell<Option<u64>>,
    /// Bytes written when it was last looked whether the client has gone.
    looked_at: Cell<u64>,
    /// Replies finished since the average was last taken, and the bytes written then.
    replies: Cell<(u64, u64)>,
}

impl<R> Writer<R> {
    /// A way out through `socket`.
    pub fn new(
        socket: WriteHalf,
        flush_list: Rc<FlushList<Self>>,
        output_bytes_max: usize,
    ) -> Rc<Self> {
        Rc::new(Writer {
            queue: RefCell::default(),
            socket: RefCell::new(Some(socket)),
            output: Share::new(flush_list.ledger(), Kind::Output),
            input: Share::new(flush_list.ledger(), Kind::Input),
            held_back: Cell::new(false),
            deaf: Cell::new(false),
            flush_list,
            output_bytes_max,
            listed: Cell::new(false),
            delayed_at: Cell::new(None),
            batch_end: Cell::new(0),
            may_wait_from: Cell::new(0),
            written_to: Cell::new(0),
            stuck: Cell::new(false),
            end: Cell::new(None),
            returned: RefCell::default(),
            answered: RefCell::default(),
            gathered: Cell::new(0),
            wake_at: Cell::new(None),
            session: RefCell::new(None),
            bytes_written: Cell::new(0),
            over_soft_since: Cell::new(None),
            looked_at: Cell::new(0),
            replies: Cell::new((0, 0)),
        })
    }

    /// The socket's half, for another client writer.
    pub fn into_socket(self) -> Option<WriteHalf> {
        self.socket.into_inner()
    }

    /// Takes the next place in the client's line.
    #[inline]
    pub fn take_seq(&self) -> u64 {
        self.queue.borrow_mut().take_seq()
    }

    /// Takes a place whose reply nobody will read.
    pub fn take_muted_seq(&self) -> u64 {
        self.queue.borrow_mut().take_muted_seq()
    }

    /// The number of the next reply handle.
    #[inline]
    pub fn next_seq(&self) -> u64 {
        self.queue.borrow().next_seq()
    }

    /// The requests from this one on came together: the client waits for all of their replies. For
    /// earlier ones it does not wait alone any more.
    #[inline]
    pub fn begin_batch(self: &Rc<Self>, first: u64) {
        self.wait_for_nothing_before(first);
        self.batch_end.set(self.next_seq());
        if self.delayed_at.get().is_some() {
            self.flush_later();
        }
    }

    fn wait_for_nothing_before(&self, seq: u64) {
        self.may_wait_from.set(self.may_wait_from.get().max(seq));
    }

    /// Whether what is ready is small, and nothing but the first replies to requests that came
    /// together.
    #[inline]
    pub(super) fn expects_rest(&self) -> bool {
        let queue = self.queue.borrow();
        queue.front() < self.batch_end.get()
            && self.written_to.get() >= self.may_wait_from.get()
            && queue.front() > self.written_to.get()
            && queue.ready_len() < THROUGH_BYTES_MIN
            && self.end.get().is_none()
    }

    /// Takes a piece of reply `seq`.
    #[inline]
    pub fn deliver(self: &Rc<Self>, seq: u64, bytes: &[u8], whole: bool) {
        if self.end.get().is_some() {
            return;
        }
        if whole {
            let (count, before) = self.replies.get();
            self.replies.set((count + 1, before));
        }
        if !whole || bytes.len() >= THROUGH_BYTES_MIN {
            self.wait_for_nothing_before(seq + 1);
        }
        let mut queue = self.queue.borrow_mut();
        let is_large = bytes.len() >= THROUGH_BYTES_MIN;
        let through = is_large && queue.is_front(seq) && !self.deaf.get();
        if through && self.write_before(&mut queue) {
            let count = self.write_through(bytes);
            queue.deliver(seq, &bytes[count..], whole);
        } else {
            queue.deliver(seq, bytes, whole);
        }
        let ready = !queue.ready().is_empty();
        if !ready {
            self.written_to.set(queue.front());
        }
        let (buffered, unanswered) = (queue.buffered(), queue.unanswered());
        drop(queue);
        let held = buffered + self.gathered.get();
        self.output.set(held);
        if held > self.output_bytes_max {
            return self.cut(CloseReason::OutputLimit);
        }
        if ready && !self.stuck.get() {
            self.flush_later();
        }
        if whole && self.wake_at.get().is_some_and(|at| unanswered <= at) {
            self.wake_session();
        }
    }

    /// Takes a message that nobody asked for, at `now_us` of the worker's clock. It is written behind all
    /// replies before `not_before`, never within a reply. A client that does not read such messages is
    /// cut off at limits of their own.
    pub fn push(self: &Rc<Self>, bytes: &[u8], not_before: u64, now_us: u64) {
        let limits = self.flush_list.push_limits();
        let is_too_much = |held| limits.is_exceeded(held, &self.over_soft_since, now_us);
        self.push_within(bytes, not_before, is_too_much);
    }

    /// As [`Self::push`], at the limits of replies: what it tells belongs to them.
    pub fn push_beside_replies(self: &Rc<Self>, bytes: &[u8], not_before: u64) {
        self.push_within(bytes, not_before, |held| held > self.output_bytes_max);
    }

    fn push_within(
        self: &Rc<Self>,
        bytes: &[u8],
        not_before: u64,
        is_too_much: impl FnOnce(usize) -> bool,
    ) {
        if self.end.get().is_some() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        queue.push(bytes, not_before);
        let (buffered, is_ready) = (queue.buffered(), !queue.ready().is_empty());
        drop(queue);
        let held = buffered + self.gathered.get();
        self.output.set(held);
        if is_too_much(held) {
            return self.cut(CloseReason::OutputLimit);
        }
        if is_ready && !self.stuck.get() {
            self.flush_later();
        }
    }

    /// Puts this client into the list that is looked at when the worker's turn ends.
    #[inline]
    pub fn flush_later(self: &Rc<Self>) {
        if !self.listed.replace(true) {
            self.flush_list.add(Rc::clone(self));
        }
    }

    /// Whether the client hears nothing any more.
    #[inline]
    pub fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    /// So many bytes of its requests have come in part.
    #[inline]
    pub fn note_input(&self, bytes: usize) {
        self.input.set(bytes);
    }

    /// Bytes that are kept for the client, on either side, as the budget knows them.
    pub fn held(&self) -> usize {
        self.output.bytes() + self.input.bytes()
    }

    /// Bytes that are kept of its requests.
    pub fn held_input(&self) -> usize {
        self.input.bytes()
    }

    /// The budget that its buffers draw on.
    pub fn budget(&self) -> &Arc<Budget> {
        self.output.budget()
    }

    /// Ends the client at once: nothing more is taken for it, its socket is closed, its session wakes.
    pub fn cut(&self, why: CloseReason) {
        if self.take_no_more(why) {
            self.close();
        }
    }

    /// The session has ended: nothing more is taken for the client, and what is ready is written.
    pub fn finish(&self) {
        self.take_no_more(CloseReason::Client);
    }

    /// Says whether this is the end, and there has been none before.
    fn take_no_more(&self, why: CloseReason) -> bool {
        if self.end.get().is_some() {
            return false;
        }
        self.end.set(Some(why));
        self.wake_session();
        // Each holds this writer: kept any longer, they would keep it, and its socket, for ever.
        drop(self.take_returned());
        true
    }

    /// Why the client was cut off, when it was.
    #[inline]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.end.get()
    }

    /// Whether nobody reads replies any more.
    pub fn is_closed(&self) -> bool {
        self.end.get().is_some()
    }

    /// Takes a request that came back unanswered and wakes the session for it. When the client has
    /// gone there is none, and the request goes too.
    pub fn add_returned(&self, returned: R) {
        if self.is_closed() {
            return;
        }
        self.answered.borrow_mut().get_or_insert_default();
        self.returned.borrow_mut().push(returned);
        self.wake_session();
    }

    /// A request was answered; noted while an earlier one is in trouble.
    #[inline]
    pub fn note_answered(&self, slot: Slot, seq: u64) {
        if let Some(answered) = self.answered.borrow_mut().as_mut() {
            answered.push((slot, seq));
        }
    }

    /// Whether a later request on the same slot has been answered since something was in trouble.
    pub fn was_overtaken(&self, slot: Slot, seq: u64) -> bool {
        let later = |&(other, after): &(Slot, u64)| other == slot && after > seq;
        self.answered.borrow().as_ref().is_some_and(|answered| answered.iter().any(later))
    }

    /// Nothing is in trouble any more.
    pub fn forget_answered(&self) {
        *self.answered.borrow_mut() = None;
    }

    /// The requests that came back since the last call.
    pub fn take_returned(&self) -> Vec<R> {
        std::mem::take(&mut self.returned.borrow_mut())
    }

    /// Whether a request came back.
    #[inline]
    pub fn has_returned(&self) -> bool {
        !self.returned.borrow().is_empty()
    }

    /// How many requests have been answered in full, in their turn.
    #[inline]
    pub fn answered(&self) -> usize {
        usize::try_from(self.queue.borrow().front()).unwrap_or(usize::MAX)
    }

    /// How many requests have not been answered, each in its turn.
    #[inline]
    pub fn unanswered(&self) -> usize {
        self.queue.borrow().unanswered()
    }

    /// How many requests have no full answer yet, whether or not its turn has come.
    pub fn under_way(&self) -> usize {
        self.queue.borrow().under_way()
    }

    /// Whether this request has been answered in full.
    pub fn is_answered(&self, seq: u64) -> bool {
        self.queue.borrow().is_answered(seq)
    }

    /// Bytes held for this client.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.queue.borrow().buffered() + self.gathered.get()
    }

    /// Bytes that may be held for this client.
    pub fn output_bytes_max(&self) -> usize {
        self.output_bytes_max
    }

    /// Whether everything that could be written has been.
    pub fn is_flushed(&self) -> bool {
        self.queue.borrow().ready().is_empty()
    }

    /// Whether the socket took no more the last time.
    pub fn is_stuck(&self) -> bool {
        self.stuck.get()
    }

    /// Bytes written to the client so far.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.get()
    }

    /// Average bytes of the replies written since the last call.
    pub fn take_reply_average(&self) -> u64 {
        let (count, before) = self.replies.replace((0, self.bytes_written.get()));
        (self.bytes_written.get() - before) / count.max(1)
    }

    /// A part of a gathering has grown.
    pub fn note_gathered(&self, count: usize) {
        self.gathered.set(self.gathered.get() + count);
        self.output.set(self.buffered());
        if self.gathered.get() > self.output_bytes_max {
            self.cut(CloseReason::OutputLimit);
        }
    }

    /// A gathering of that many bytes has been merged.
    pub fn note_merged(&self, count: usize) {
        self.gathered.set(self.gathered.get().saturating_sub(count));
        self.output.set(self.buffered());
    }

    /// From now on the session wakes when at most `count` requests are unanswered.
    pub fn wake_when_unanswered(&self, count: Option<usize>) {
        self.wake_at.set(count);
    }

    /// The session's waker, kept as long as its task lives.
    pub fn set_session(&self, waker: &Waker) {
        let mut session = self.session.borrow_mut();
        if !session.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *session = Some(waker.clone());
        }
    }

    fn wake_session(&self) {
        if let Some(waker) = self.session.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
