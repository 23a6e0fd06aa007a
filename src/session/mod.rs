//! One client: its requests are read, classified and sent on, its replies leave in order.
//!
//! Owns the reading side of a client's connection and the question when to read: never more than
//! its limits allow. What happens to one request is [`dispatch`]'s. Must not know nodes, nor who owns a
//! slot. Invariants: requests are taken in the order in which they came; none is taken while an
//! earlier one is in trouble, nor while earlier ones travel by an older map.

mod barrier;
pub mod database;
mod dispatch;
pub mod env;
mod errand;
mod input;
mod key_scan;
mod keyless;
mod migration;
mod mode;
mod pace;
mod script;
mod trying;
mod whole;
mod wide_start;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::backend::{Pipeline, pipeline::OWNED_BYTES_MIN};
use crate::builtin::state::{ReplyMode, State};
use crate::clients::Assignment;
use crate::command::CommandTable;
use crate::memory::PAUSED_MIN;
use crate::metrics::{NodeStats, Wait, WorkerStats};
use crate::net::ReadHalf;
use crate::reply::{ClientWriter, CloseReason, ReplyHandle};
use crate::resp::request::{RequestLimits, Scan};
use crate::resp::{Args, RequestScanner, inline};
use crate::router::{Recovery, Router};
use barrier::Barrier;
use dispatch::Dispatch;
use env::ListenerEnv;
use input::{Input, Read, SLACK_BYTES};
pub use migration::ClientMigration;
use migration::Migration;
use mode::Mode;
use pace::{NotReading, OUTPUT_HIGH_WATER, Slice};
use trying::Trying;

/// Bytes of the gateway's own answers to one client before others have their turn.
const OWN_BYTES_MAX: usize = 64 * 1024;
/// Requests taken from one buffer before it is looked whether others should have their turn.
const TAKEN_MAX: usize = 256;
/// Buffers of requests taken from one client before others have their turn.
const TURNS_MAX: usize = 8;
/// What a session is limited by.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Limits on one request.
    pub request: RequestLimits,
    /// Requests under way at once.
    pub inflight_max: usize,
    /// Bytes of a transaction that is not executed yet.
    pub transaction_bytes_max: usize,
    /// Channels and patterns it may subscribe to.
    pub subscriptions_max: usize,
    /// Bytes of what others ask, on their way to a client that monitors.
    pub monitor_bytes_max: usize,
    /// Clients that may track keys, of the whole gateway.
    pub tracking_max: usize,
}

/// Something that is done for one client alone, and dropped with its session. It answers the client.
type Errand = Pin<Box<dyn Future<Output = ()>>>;

/// One client's session.
pub struct Session {
    input: Input,
    writer: Rc<ClientWriter>,
    state: State,
    env: Rc<ListenerEnv>,
    limits: Rc<SessionLimits>,
    scanner: RequestScanner,
    recovery: Recovery,
    /// Whether the next request waits until all before it have been answered.
    barrier: Barrier,
    /// A pipeline without room: nothing is read until it has some.
    full: Option<Rc<Pipeline>>,
    /// Bytes that the reply to the request that waits for it may have, when that is known to be much.
    weight: u32,
    /// While it waits for room at a pipeline, or for memory.
    in_line: Option<Wait<NodeStats>>,
    paused: Option<Wait<WorkerStats>>,
    /// A command that travels beside the pipelines; nothing else of the client is under way.
    errand: Option<Errand>,
    /// Bytes of the request that it keeps.
    errand_bytes: usize,
    /// Bytes of the gateway's own answers in this turn.
    own_bytes: usize,
    /// Why the nodes would not take the next request, which is large.
    too_large: Option<String>,
    /// Bytes that may wait for the client before it is seen to whether it reads.
    output_mark: usize,
    not_reading: Option<NotReading>,
    /// The client closed its side or broke the protocol: nothing more is read.
    finished: Option<CloseReason>,
    /// Scratch for the places of keys.
    keys: Vec<u32>,
    replies_seen: (u64, u64),
    migration: Migration,
    trying: Trying,
    mode: Mode,
    /// The last request was refused: those who monitor do not see it.
    was_refused: bool,
    /// The client is in something, or in another database than 0: see `note_special`.
    is_special: bool,
    /// What is under way to nodes are scripts, which travel on a connection of their own.
    sends_scripts: bool,
}

impl Session {
    /// A session over a client's socket, of which `unread` has been read already. The client
    /// belongs to the worker that its place says.
    pub fn new(
        (reader, unread): (ReadHalf, Vec<u8>),
        writer: Rc<ClientWriter>,
        (state, place): (State, Assignment),
        env: Rc<ListenerEnv>,
        limits: Rc<SessionLimits>,
    ) -> Session {
        Session {
            input: Input::new(reader, unread),
            writer,
            state,
            env,
            limits,
            scanner: RequestScanner::default(),
            recovery: Recovery::default(),
            barrier: Barrier::new(),
            full: None,
            weight: 0,
            in_line: None,
            paused: None,
            errand: None,
            errand_bytes: 0,
            own_bytes: 0,
            too_large: None,
            output_mark: OUTPUT_HIGH_WATER,
            not_reading: None,
            finished: None,
            keys: Vec::new(),
            replies_seen: (0, 0),
            migration: Migration::new(place),
            trying: Trying::default(),
            mode: Mode::default(),
            was_refused: false,
            // Looked at when the first request has come.
            is_special: true,
            sends_scripts: false,
        }
    }

    /// Serves the client until its connection ends. Without an end, another worker is to serve it:
    /// the session has to [`depart`](Self::depart).
    pub async fn run(&mut self) -> Option<CloseReason> {
        let info = std::sync::Arc::clone(&self.state.info);
        std::future::poll_fn(|cx| {
            info.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        let end = std::future::poll_fn(|cx| self.poll(cx)).await?;
        self.writer.finish();
        // Replies that wait for others have nobody to wait for.
        self.writer.flush_later();
        self.recovery.abandon();
        Some(end)
    }

    /// What a session does each time something has happened. Ready without an end: it moves.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseReason>> {
        self.writer.set_session(cx.waker());
        let mut slice = Slice::default();
        for _ in 0..TURNS_MAX {
            if let Some(end) = self.cut_off() {
                return Poll::Ready(Some(end));
            }
            self.take_mail();
            let flushed = self.writer.poll_flush(cx).is_ready();
            if self.recover(cx).is_pending() {
                // Nobody waits for what is held: it must not run later, behind the client's back.
                let may_leave = self.finished.is_none() && self.recovery.waits_for_a_node();
                if may_leave && self.input.poll_closed(cx).is_ready() {
                    return Poll::Ready(Some(CloseReason::Client));
                }
                return Poll::Pending;
            }
            if self.waits_to_try(cx) {
                return Poll::Pending;
            }
            if self.poll_errand(cx).is_pending() {
                return self.poll_beside_errand(cx).map(Some);
            }
            if self.state.info.is_draining() && self.input.is_at_boundary() {
                self.finished.get_or_insert(CloseReason::Drained);
            }
            if let Some(end) = self.finished {
                return self.poll_end(end, flushed).map(Some);
            }
            if self.belongs_elsewhere() && !self.mode.is_pinned() {
                if self.is_at_rest() {
                    return Poll::Ready(None);
                }
                if self.waits_for_rest(cx) {
                    return Poll::Pending;
                }
            }
            if self.must_wait(cx) {
                self.env.router.stats().pauses.add(1);
                if self.input.poll_broken(cx).is_ready() {
                    return Poll::Ready(Some(CloseReason::Client));
                }
                return Poll::Pending;
            }
            let taken = self.turn(cx);
            let held =
                self.input.held() + self.scanner.held() + self.errand_bytes + self.mode.bytes();
            self.writer.note_input(held);
            if taken.is_pending() {
                return Poll::Pending;
            }
            if slice.is_over() || self.own_bytes >= OWN_BYTES_MAX {
                break;
            }
        }
        // A client that never pauses lets others have their turn, those too that the system has not
        // told of yet.
        self.own_bytes = 0;
        let mut others = std::pin::pin!(tokio::task::yield_now());
        let _ = others.as_mut().poll(cx);
        Poll::Pending
    }

    /// Goes on with what came back unanswered; ready when nothing is in trouble.
    #[inline]
    fn recover(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.recovery.is_idle() && !self.writer.has_returned() {
            return Poll::Ready(());
        }
        loop {
            let (router, protocol) = (&self.env.router, self.state.protocol);
            let recovered = self.recovery.poll(cx, router, &self.writer, protocol);
            // A request in parts is answered when the errand that sends and merges them has ended,
            // so the errand must not wait for the part in trouble.
            let goes_on = recovered.is_pending() && self.errand.is_some();
            if !goes_on || self.poll_errand(cx).is_pending() {
                return recovered;
            }
        }
    }

    /// Nothing more is read: ends when everything has been answered and written.
    fn poll_end(&self, end: CloseReason, flushed: bool) -> Poll<CloseReason> {
        if self.writer.unanswered() > 0 {
            self.writer.wake_when_unanswered(Some(0));
            return Poll::Pending;
        }
        self.writer.flush();
        if flushed && self.writer.is_flushed() { Poll::Ready(end) } else { Poll::Pending }
    }

    /// Takes what has been read already, or reads more. Pending when there is nothing.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.input.is_unread() {
            let kept = self.input.take_kept();
            match self.take_requests(&kept, true) {
                Taken::Bytes(used) => self.input.give_back(kept, used),
                Taken::Whole(handle, len) => self.send_owned(handle, kept, len),
            }
            return Poll::Ready(());
        }
        let shared = Rc::clone(self.env.router.shared());
        let held = self.input.held() + self.mode.bytes();
        if held >= PAUSED_MIN && self.waits_for_memory(cx, held) {
            return Poll::Pending;
        }
        let mut scratch = shared.scratch.borrow_mut();
        match self.input.poll_read(cx, &mut scratch) {
            Poll::Ready(Read::Scratch(count)) => {
                self.note_received(count);
                if let Taken::Bytes(used) = self.take_requests(&scratch[..count], false) {
                    self.input.keep(&scratch[used..count]);
                }
            }
            Poll::Ready(Read::Kept(count)) => self.note_received(count),
            Poll::Ready(Read::End) => self.finished = Some(CloseReason::Client),
            Poll::Ready(Read::Broken) => self.writer.cut(CloseReason::Client),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Sends on the request that `bytes` begins with, in this buffer.
    fn send_owned(&mut self, handle: ReplyHandle, mut bytes: Vec<u8>, len: usize) {
        let rest = bytes.split_off(len);
        if bytes.capacity() > 2 * len {
            bytes.shrink_to_fit();
        }
        let (router, protocol) = (&self.env.router, self.state.protocol);
        router.shared().ledger.let_go(Rc::as_ptr(&self.writer).addr());
        self.full = router.send_owned(handle, protocol, bytes);
        self.scanner.next();
        self.end_caching();
        if !rest.is_empty() {
            self.input.give_back(rest, 0);
            self.input.mark_unread();
        }
    }

    fn note_received(&mut self, count: usize) {
        let router = &self.env.router;
        router.stats().received_bytes.add(count as u64);
        if self.input.held() + self.mode.bytes() >= PAUSED_MIN {
            router.shared().ledger.note_grown();
        }
        self.state.info.stir(router.shared().clock.tick() / 1_000_000);
    }

    /// Takes requests from `bytes` until there is none in full, or none may be taken. `kept` says
    /// that `bytes` is a buffer of its own, which a large request may take along.
    fn take_requests(&mut self, bytes: &[u8], kept: bool) -> Taken {
        let first = self.writer.next_seq();
        let mut scanner = std::mem::take(&mut self.scanner);
        let table = self.env.router.table();
        let is_watched = self.env.monitors.is_any();
        self.note_special();
        let most = self.inflight_max().saturating_sub(self.writer.unanswered()).min(TAKEN_MAX);
        let (mut at, mut taken, mut large, mut whole) = (0, 0, 0, None);
        while at < bytes.len() && self.finished.is_none() {
            if taken >= most || self.is_held_up() {
                self.input.mark_unread();
                break;
            }
            let rest = &bytes[at..];
            match scanner.scan(rest, &self.limits.request, self.state.authenticated) {
                Ok(Scan::Request(len)) => {
                    taken += 1;
                    let mut own = false;
                    if len >= OWNED_BYTES_MIN {
                        large = len;
                        self.too_large = self.is_too_large(scanner.args(&rest[..len]), len);
                        own = kept && at == 0 && bytes.len() - len <= SLACK_BYTES;
                    }
                    let args = scanner.args(&rest[..len]);
                    match self.take(&table, args, &rest[..len], (own, is_watched)) {
                        Dispatch::Done => {}
                        Dispatch::Wide(start) => {
                            self.begin_wide(*start, rest[..len].to_vec(), scanner.take_ranges());
                        }
                        Dispatch::SendOwned(handle) => {
                            whole = Some((handle, len));
                            break;
                        }
                        Dispatch::NotYet => {
                            self.input.mark_unread();
                            break;
                        }
                    }
                    self.end_caching();
                    scanner.next();
                    at += len;
                }
                Ok(Scan::Inline(len)) => {
                    taken += 1;
                    if let Dispatch::NotYet = self.take_inline(&table, &rest[..len]) {
                        self.input.mark_unread();
                        break;
                    }
                    self.end_caching();
                    at += len;
                }
                Ok(Scan::Nothing(len)) => at += len,
                Ok(Scan::Partial { missing, look_after }) => {
                    self.input.needs(missing, look_after);
                    break;
                }
                Err(fault) => self.protocol_error(fault),
            }
        }
        self.scanner = scanner;
        if self.state.replies == ReplyMode::On {
            self.writer.begin_batch(first);
        }
        if large > 0 {
            self.input.expect_another_of(large);
        }
        match whole {
            Some((handle, len)) => Taken::Whole(handle, len),
            // After the end nothing more is read: what is left is dropped.
            None if self.finished.is_some() => Taken::Bytes(bytes.len()),
            None => Taken::Bytes(at),
        }
    }

    /// Deals with one request, and shows it to those who monitor.
    #[inline(always)]
    fn take(
        &mut self,
        table: &CommandTable,
        args: Args<'_>,
        frame: &[u8],
        (own, is_watched): (bool, bool),
    ) -> Dispatch {
        if is_watched {
            return self.dispatch_and_show(table, args, frame, own);
        }
        self.dispatch(table, args, frame, own)
    }

    /// An inline request becomes an ordinary one.
    fn take_inline(&mut self, table: &CommandTable, line: &[u8]) -> Dispatch {
        let is_watched = self.env.monitors.is_any();
        let mut request = Vec::new();
        let mut scanner = RequestScanner::default();
        let limits = self.limits.request;
        let scan = inline::to_request(line, &mut request)
            .and_then(|()| scanner.scan(&request, &limits, true));
        match scan {
            Ok(Scan::Request(len)) => {
                let args = scanner.args(&request[..len]);
                match self.take(table, args, &request[..len], (false, is_watched)) {
                    Dispatch::Wide(start) => {
                        let ranges = scanner.take_ranges();
                        self.begin_wide(*start, request, ranges);
                    }
                    dispatch => return dispatch,
                }
            }
            Ok(_) => {}
            Err(fault) => self.protocol_error(fault),
        }
        Dispatch::Done
    }

    /// Takes the next place in line, or a muted one when the client wants no reply.
    #[inline(always)]
    fn take_seq(&mut self) -> u64 {
        let seq = match self.state.replies {
            ReplyMode::On => self.writer.take_seq(),
            ReplyMode::Off => self.writer.take_muted_seq(),
            ReplyMode::SkipNext => {
                self.state.replies = ReplyMode::On;
                self.writer.take_muted_seq()
            }
        };
        if self.is_special {
            self.note_opted(seq);
        }
        seq
    }

    /// The router of this session's worker.
    fn router(&self) -> &Router {
        &self.env.router
    }
}

/// What came of a buffer of requests.
enum Taken {
    /// So many bytes of it have been dealt with.
    Bytes(usize),
    /// It begins with a large request of so many bytes, to be sent with its buffer; little follows.
    Whole(ReplyHandle, usize),
}
