//! One connection to a node, shared by all sessions of a worker, with many requests in flight.
//!
//! Owns the batching of writes, the matching of replies to requests, and what happens to both when
//! the connection ends. Must not know slots, retries or what a reply means beyond "the cluster
//! redirects or refuses". Invariants: replies come in the order of the requests; every request
//! ends in its reply handle: with a reply or as a returned request.

mod behind_script;
pub(super) mod block;
mod ending;
mod fence;
mod life;
mod line;
mod replies;
mod tracked;
mod window;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::in_flight::{Entry, InFlight, Kind, Weight};
use super::large::{LARGE_MIN, LargeValues};
use super::message_stream::MessageStream;
use super::send_queue::{ChunkPool, SendQueue};
use super::tracking::Tracker;
use super::{BackendError, LeaseLimits, MemoryShortage, NodeAddress, TurnedAway, Upstream};
use crate::clock::Clock;
use crate::memory::Ledger;
use crate::metrics::{NodeStats, Wait, WorkerStats};
use crate::net::{ReadHalf, WriteHalf};
use crate::reply::{ClientWriter, ReplyHandle, ReturnReason};
use crate::resp::ReplyScanner;

use window::Window;

/// Most chunks given to the kernel in one write.
const SLICES: usize = 16;
/// Requests at least this long keep their buffer instead of being copied.
pub const OWNED_BYTES_MIN: usize = 32 * 1024;
/// Wait after a first failed connect, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The wait while a script keeps the node busy: it answers at once then, and may be there again at any
/// moment.
const SCRIPT_BACKOFF: Duration = Duration::from_millis(10);
/// Connecting and the whole greeting may take as long as so many connects.
const GREETING_TIMEOUTS: u32 = 3;
/// How long a node may still answer what it was sent as a master when it is one no more. After a
/// planned failover it answers at once; one that was failed over because it is frozen never does.
const HANDOVER_US: u64 = 500_000;
/// A node that has owed an answer for so long may have been failed over: the map is worth a look.
const SUSPECT_US: u64 = 300_000;
/// What precedes a request after `-ASK`.
pub const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// What the pipelines of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// The buffer that sockets are read into; borrowed within one poll only.
    pub scratch: RefCell<Box<[u8]>>,
    /// The worker's time.
    pub clock: Clock,
    /// The worker's counters.
    pub stats: Arc<WorkerStats>,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long a reply may take.
    pub response_timeout_us: u64,
    /// Bytes kept for one node before its clients are paused.
    pub queue_bytes_max: usize,
    /// Bytes of replies that one node may owe, as far as can be told before.
    pub owed_bytes_max: usize,
    /// Where buffers are added up.
    pub ledger: Rc<Ledger>,
    /// How many connections clients may keep for themselves.
    pub lease_limits: Arc<LeaseLimits>,
    /// Whether nodes may be short of memory.
    pub shortage: Arc<MemoryShortage>,
    /// Slots whose replies are large.
    pub large: LargeValues,
    /// What the system may buffer on the way to a node; 0 lets it decide.
    pub send_buffer_bytes: usize,
    /// Buffers for requests, between two uses.
    pub chunk_pool: Rc<ChunkPool>,
    /// Command class of each row of the command table, for the latency histograms.
    pub classes: RefCell<Vec<u8>>,
}

/// A shared connection to one node.
#[derive(Debug)]
pub struct Pipeline {
    upstream: Upstream,
    stats: Arc<NodeStats>,
    shared: Rc<Shared>,
    state: RefCell<State>,
    /// The way out of the open connection.
    writer: RefCell<Option<WriteHalf>>,
    /// Something waits to be written, or the connection is wanted.
    dirty: Cell<bool>,
    task: RefCell<Option<Waker>>,
    window: Window,
    retired: Cell<bool>,
    /// Since when the node is no master any more, by the worker's clock.
    deposed_us: Cell<Option<u64>>,
    /// Set from outside the task to end the connection.
    fault: Cell<bool>,
    /// Why the node turned the gateway away the last time, if it did.
    turned_away: Cell<Option<TurnedAway>>,
    /// A script kept the node from letting the gateway in the last time.
    is_busy: Cell<bool>,
    /// It is being asked whether the node is busy with the script that this one waits for.
    is_asked: Cell<bool>,
    /// It is one client's, whose keys the node tracks.
    tracker: Option<Rc<Tracker>>,
    /// The number behind the latest request of that client that has been answered here.
    answered: Cell<u64>,
    /// Where the node says which keys have changed, when it cannot say so here.
    messages: RefCell<Option<MessageStream>>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    send_queue: SendQueue,
    in_flight: InFlight,
    scanner: ReplyScanner,
    /// Half a header line, until the rest comes.
    kept: Vec<u8>,
    fences: fence::Fences,
    /// What has come of a message that nobody asked for.
    push: Vec<u8>,
    /// Type byte of the reply under way.
    kind: u8,
    /// Pieces of the reply under way have gone to its reply handle.
    passed_on: bool,
    /// Bytes of them.
    passed_bytes: usize,
    /// Failed connects in a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not connected; the next request connects.
    #[default]
    Idle,
    Connecting,
    Open,
    /// The last connect failed; none is tried before this time of the worker's clock.
    Down(u64),
}

impl Pipeline {
    /// A pipeline to this node; connects with its first request. [`Self::run`] must be spawned.
    pub fn new(
        upstream: Upstream,
        stats: Arc<NodeStats>,
        shared: Rc<Shared>,
        tracker: Option<Rc<Tracker>>,
    ) -> Rc<Self> {
        let send_queue = SendQueue::new(Rc::clone(&shared.chunk_pool));
        let window = Window::new(shared.owed_bytes_max);
        Rc::new(Pipeline {
            upstream,
            stats,
            shared,
            state: RefCell::new(State { send_queue, ..State::default() }),
            writer: RefCell::default(),
            dirty: Cell::new(false),
            task: RefCell::new(None),
            window,
            retired: Cell::new(false),
            deposed_us: Cell::new(None),
            fault: Cell::new(false),
            turned_away: Cell::new(None),
            is_busy: Cell::new(false),
            is_asked: Cell::new(false),
            tracker,
            answered: Cell::new(0),
            messages: RefCell::default(),
        })
    }

    /// The node it leads to.
    pub fn node(&self) -> &NodeAddress {
        &self.upstream.node
    }

    /// Appends a request. Its reply, or the request itself when it comes back unanswered, goes to the
    /// reply handle that `make` makes. `weight` is how many bytes the reply may have, when that is
    /// known to be much.
    #[inline(always)]
    pub fn send(&self, request: &[u8], weight: u32, make: impl FnOnce() -> ReplyHandle) {
        let mut state = self.state.borrow_mut();
        if self.is_down(&state) {
            drop(state);
            return make().returned(request.to_vec(), ReturnReason::Unsent);
        }
        if self.tracker.is_some() {
            return self.send_tracked(&mut state, (request, weight), make);
        }
        state.send_queue.append(request);
        self.enter(&mut state, (request.len(), weight), make);
    }

    /// Appends a request whose buffer may be kept.
    pub fn send_owned(&self, handle: ReplyHandle, request: Vec<u8>) {
        let mut state = self.state.borrow_mut();
        if self.is_down(&state) {
            drop(state);
            return handle.returned(request, ReturnReason::Unsent);
        }
        let len = request.len();
        let is_one = !handle.on_failure.is_block();
        if len >= LARGE_MIN && is_one && !handle.on_failure.may_run_twice() {
            self.shared.large.note(handle.slot, len);
        }
        let weight = if len < LARGE_MIN { self.shared.large.of(handle.slot) } else { 0 };
        self.precede(&mut state, handle.seq);
        state.send_queue.append_owned(request);
        self.enter(&mut state, (len, weight), || handle);
    }

    /// Appends ASKING and the request, one right behind the other.
    pub fn send_asking(&self, handle: ReplyHandle, request: Vec<u8>) {
        if let Some(tracker) = &self.tracker {
            // Each of the two holds for the request right behind it.
            tracker.forgo_prefix(handle.seq);
        }
        let mut state = self.state.borrow_mut();
        if !self.is_down(&state) {
            state.send_queue.append(ASKING);
            state.in_flight.push_own(ASKING.len(), Kind::Asking);
            self.stats.inflight.add(1);
        }
        drop(state);
        self.send_owned(handle, request);
    }

    #[inline(always)]
    fn enter(
        &self,
        state: &mut State,
        (len, weight): (usize, u32),
        make: impl FnOnce() -> ReplyHandle,
    ) {
        let weight = Weight::of(weight);
        let is_special = state.in_flight.push(len, weight, make).is_special();
        if !weight.is_none() {
            self.window.add_weight(weight.bytes());
        }
        self.stats.inflight.add(1);
        if is_special {
            self.attend(state, len);
        }
        if len >= OWNED_BYTES_MIN && state.phase == Phase::Open {
            self.write_at_once(state);
        }
        if !state.send_queue.is_sent() && !self.dirty.replace(true) {
            self.wake();
        }
    }

    /// Writes a large request while the processor still has it in its caches: at the end of the
    /// turn it would have been displaced by what other clients have sent meanwhile.
    #[cold]
    fn write_at_once(&self, state: &mut State) {
        let writer = self.writer.borrow();
        // An error shows again when the pipeline's task writes.
        let _ = writer.as_ref().map(|writer| write_out(writer, &mut state.send_queue));
    }

    #[inline]
    fn is_down(&self, state: &State) -> bool {
        match state.phase {
            Phase::Down(until) => self.shared.clock.now_us() < until,
            _ => false,
        }
    }

    /// Whether so much is under way to this node, or owed by it, that clients may have to wait for
    /// their turn: see [`Self::has_room_for`].
    #[inline]
    pub fn is_crowded(&self) -> bool {
        let state = self.state.borrow();
        state.send_queue.bytes() > self.shared.queue_bytes_max
            || self.window.is_exceeded(state.in_flight.len())
    }

    /// Whether this client, which has so many requests under way, may send another one now, whose
    /// reply may have `weight` bytes.
    #[inline]
    pub fn has_room_for(
        &self,
        client_writer: &Rc<ClientWriter>,
        under_way: usize,
        weight: u32,
    ) -> bool {
        let (state, client) = (self.state.borrow(), Rc::as_ptr(client_writer).addr());
        if self.retired.get() {
            // The request goes elsewhere, where it may have to wait again.
            return true;
        }
        state.send_queue.bytes() <= self.shared.queue_bytes_max
            && self.window.has_room(state.in_flight.len(), under_way, client)
            && (weight == 0 || self.window.has_room_for_weight(weight, client))
    }

    /// The client that [had room](Self::has_room_for) sends its request.
    pub fn use_turn(&self, client_writer: &Rc<ClientWriter>) {
        self.window.use_turn(Rc::as_ptr(client_writer).addr());
    }

    /// A client begins to wait for its turn, until it drops this.
    pub fn begin_wait(&self) -> Wait<NodeStats> {
        Wait::begin(&self.stats, |stats| &stats.turns)
    }

    /// Wakes this client when it is its turn for what there [was no room for](Self::has_room_for).
    pub fn wake_when_room(
        &self,
        client_writer: &Rc<ClientWriter>,
        (under_way, weight): (usize, u32),
        waker: &Waker,
    ) {
        let client = Rc::as_ptr(client_writer).addr();
        let requests = self.state.borrow().in_flight.len();
        let lacks_weight = weight > 0 && self.window.has_room(requests, under_way, client);
        self.window.wait(client, lacks_weight, waker);
    }

    /// The node left the map: ends when everything sent has been answered.
    pub fn retire(&self) {
        self.retired.set(true);
        self.window.call_all();
        self.wake();
    }

    /// Whether it has been retired and has nothing left to do.
    pub fn is_over(&self) -> bool {
        self.retired.get() && self.state.borrow().in_flight.is_empty()
    }

    /// The node has become a master, or is none any more. What it was sent as one must then be
    /// answered soon.
    pub fn set_master(&self, is_master: bool) {
        let since_us = self.deposed_us.get().unwrap_or_else(|| self.shared.clock.tick());
        self.deposed_us.set((!is_master).then_some(since_us));
    }

    /// Ends the connection when its oldest request has waited too long; called now and then. Says
    /// whether the node owes an answer for so long that the map is worth a look.
    pub fn check_silence(&self, now_us: u64) -> bool {
        let state = self.state.borrow();
        let Some(handle) = state.in_flight.iter().find_map(|entry| entry.handle.as_ref()) else {
            if self.retired.get() && !state.in_flight.is_empty() {
                // A fence is still to come, and nobody waits for it.
                self.fault.set(true);
                self.wake();
            }
            return false;
        };
        let sent_us = handle.begun_us.max(handle.retry().map_or(0, |retry| retry.sent_us));
        let waited_us = now_us.saturating_sub(sent_us);
        let handed_over = self.deposed_us.get().is_some_and(|deposed_us| {
            sent_us <= deposed_us && now_us.saturating_sub(deposed_us) > HANDOVER_US
        });
        let too_long = state.phase == Phase::Open && waited_us > self.shared.response_timeout_us;
        if handed_over || too_long {
            self.fault.set(true);
            self.wake();
        }
        waited_us > SUSPECT_US
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    fn set_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// Serves until the connection ends; returns why.
    async fn serve(&self, mut reader: ReadHalf) -> BackendError {
        let mut put_off = false;
        std::future::poll_fn(|cx| {
            self.set_task(cx);
            match self.poll_both(cx, &mut reader, &mut put_off) {
                Ok(()) if self.fault.get() => Poll::Ready(BackendError::Silent),
                Ok(()) if self.retired.get() && self.state.borrow().in_flight.is_empty() => {
                    Poll::Ready(BackendError::Closed)
                }
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(error),
            }
        })
        .await
    }

    /// Reads, then writes. A turn in which the node has said something may have sessions behind
    /// this pipeline: writing is put off, once, to the end of the turn, or they would be written
    /// for a second time.
    fn poll_both(
        &self,
        cx: &mut Context<'_>,
        reader: &mut ReadHalf,
        put_off: &mut bool,
    ) -> Result<(), BackendError> {
        self.poll_messages(cx)?;
        let has_read = self.poll_read(cx, reader)?;
        *put_off = has_read && !*put_off && !self.state.borrow().send_queue.is_sent();
        if *put_off {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        self.poll_write(cx)
    }

    /// Writes what sessions have appended since the last turn, until the socket is full.
    fn poll_write(&self, cx: &mut Context<'_>) -> Result<(), BackendError> {
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref().filter(|_| self.dirty.get()) else { return Ok(()) };
        let mut state = self.state.borrow_mut();
        while let Err(error) = write_out(writer, &mut state.send_queue) {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(BackendError::Io(error));
            }
            match writer.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(BackendError::Io(error)),
                Poll::Pending => return Ok(()),
            }
        }
        self.dirty.set(false);
        Ok(())
    }
}

/// Writes all that is unsent, or as much as the socket takes.
fn write_out(writer: &WriteHalf, send_queue: &mut SendQueue) -> io::Result<()> {
    while !send_queue.is_sent() {
        match write_some(writer, send_queue) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => send_queue.note_sent(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_some(writer: &WriteHalf, send_queue: &SendQueue) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    match send_queue.unsent(&mut slices) {
        1 => writer.try_write(&slices[0]),
        count => writer.try_write_vectored(&slices[..count]),
    }
}

/// Gives the unanswered request at this position back to its session: what was written in full may
/// have run.
fn give_back(
    entry: Entry,
    at: u64,
    (send_queue, sent_to): (&SendQueue, u64),
    (passed_on, declined): (bool, Option<ReturnReason>),
) {
    let Some(mut handle) = entry.handle else { return };
    if passed_on {
        match handle.broke_off() {
            Some(whole_again) => handle = whole_again,
            None => return,
        }
    }
    let written = at + u64::from(entry.len) <= sent_to;
    let why = match declined {
        Some(declined) => declined,
        None if written => ReturnReason::Indeterminate,
        None => ReturnReason::Unsent,
    };
    handle.returned(send_queue.get(at, entry.len as usize).to_vec(), why);
}
