//! Who is connected: the list behind CLIENT LIST, CLIENT KILL and the limit on clients.
//!
//! Owns the process-wide register of clients. It is locked when a client comes, goes or is asked
//! about, never for a request. Must not know what clients send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::attempts::Attempts;
use crate::metrics::stats::REJECTIONS;
use crate::reply::ClientWriter;
use crate::resp::Protocol;
use crate::router::blocked::Unblock;

/// All clients of the gateway.
#[derive(Debug)]
pub struct Clients {
    next_id: AtomicU64,
    clients_max: usize,
    open: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    start: Instant,
    rejected: [AtomicU64; REJECTIONS.len()],
    /// What the totals were when they were last reset.
    forgotten: [AtomicU64; 2],
    attempts: Attempts,
}

/// Why a client was turned away before it was one: an index into
/// [`crate::metrics::stats::REJECTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// There are as many as there may be.
    ClientsMax = 0,
    /// It comes from elsewhere, and the listener has no password.
    Denied = 1,
    /// No worker could take it.
    Failed = 2,
}

/// A client's entry in the register: it is there until this is dropped, whoever has it then.
#[derive(Debug)]
pub struct Registration {
    clients: Arc<Clients>,
    info: Arc<ClientInfo>,
}

impl Registration {
    /// What is known of the client.
    pub fn info(&self) -> &Arc<ClientInfo> {
        &self.info
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.clients.open().remove(&self.info.id);
    }
}

/// What a client has not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Send something.
    Idle = 1,
    /// Say its password.
    Password = 2,
}

const NOT_OVERDUE: u8 = 0;
const NOT_BLOCKED: u8 = 0;
const BLOCKED: u8 = 1;
const UNBLOCK_TIMEOUT: u8 = 2;
const UNBLOCK_ERROR: u8 = 3;
/// Later than any second there is: nobody has owed a password since then.
const WELCOME: u64 = u64::MAX;

/// What others may know and change of one client.
#[derive(Debug)]
pub struct ClientInfo {
    /// Its number; grows with every client.
    pub id: u64,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came in.
    pub local: SocketAddr,
    /// When it came.
    pub since: Instant,
    /// Seconds since the register began at which it last sent something.
    last_active_s: AtomicU64,
    /// Row of its last command; `u16::MAX` before the first.
    pub last_command: AtomicU16,
    protocol: AtomicU8,
    killed: AtomicBool,
    /// An [`Overdue`], or [`NOT_OVERDUE`].
    overdue: AtomicU8,
    /// Seconds since the register began at which it should have begun to say its password;
    /// [`WELCOME`] when it has, or needs none.
    stranger_since_s: AtomicU64,
    draining: AtomicBool,
    /// Whether it is blocked, and whether somebody wants it not to be.
    block: AtomicU8,
    /// Requests queued since MULTI; -1 outside a transaction.
    queued: AtomicI32,
    /// Keys that it watches.
    watched: AtomicUsize,
    /// Bytes of its input and output, when they were last looked at.
    memory: [AtomicUsize; 2],
    texts: Mutex<Texts>,
    waker: Mutex<Option<Waker>>,
}

/// How many clients are in what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Clients whose requests wait at a node.
    pub blocked: usize,
    /// Clients between MULTI and EXEC.
    pub queuing: usize,
    /// Clients that watch keys.
    pub watching: usize,
    /// Keys that they watch.
    pub watched_keys: usize,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

impl Clients {
    /// A register for at most `clients_max` clients, none of whom waits longer than `auth_delay`
    /// for an AUTH to be looked at.
    pub fn new(clients_max: usize, auth_delay: Duration) -> Clients {
        let (next_id, open) = (AtomicU64::new(1), Mutex::default());
        Clients {
            next_id,
            clients_max,
            open,
            start: Instant::now(),
            rejected: Default::default(),
            forgotten: Default::default(),
            attempts: Attempts::new(auth_delay),
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientInfo>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a client; `None` when there are as many as there may be.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr, local: SocketAddr) -> Option<Registration> {
        let mut open = self.open();
        if open.len() >= self.clients_max {
            self.note_rejected(Rejected::ClientsMax);
            return None;
        }
        let info = Arc::new(ClientInfo {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            peer,
            local,
            since: Instant::now(),
            last_active_s: AtomicU64::new(self.now_s()),
            last_command: AtomicU16::new(u16::MAX),
            protocol: AtomicU8::new(2),
            killed: AtomicBool::new(false),
            overdue: AtomicU8::new(NOT_OVERDUE),
            stranger_since_s: AtomicU64::new(WELCOME),
            draining: AtomicBool::new(false),
            block: AtomicU8::new(NOT_BLOCKED),
            queued: AtomicI32::new(-1),
            watched: AtomicUsize::new(0),
            memory: Default::default(),
            texts: Mutex::default(),
            waker: Mutex::new(None),
        });
        open.insert(info.id, Arc::clone(&info));
        Some(Registration { clients: Arc::clone(self), info })
    }

    /// The failed AUTHs of late.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open().len()
    }

    /// How many there may be.
    pub fn clients_max(&self) -> usize {
        self.clients_max
    }

    /// Notes a client that was turned away.
    pub fn note_rejected(&self, why: Rejected) {
        self.rejected[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many have been turned away, per reason of [`REJECTIONS`].
    pub fn rejections(&self) -> [u64; REJECTIONS.len()] {
        self.rejected.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// How many have been accepted, and how many turned away.
    pub fn totals(&self) -> (u64, u64) {
        let accepted = self.next_id.load(Ordering::Relaxed) - 1;
        (accepted, self.rejections().iter().sum())
    }

    /// The same since CONFIG RESETSTAT, as INFO tells them. Metrics only grow.
    pub fn totals_since_reset(&self) -> (u64, u64) {
        let (accepted, rejected) = self.totals();
        let [accepted_then, rejected_then] = &self.forgotten;
        let since = |now: u64, then: &AtomicU64| now.saturating_sub(then.load(Ordering::Relaxed));
        (since(accepted, accepted_then), since(rejected, rejected_then))
    }

    /// CONFIG RESETSTAT.
    pub fn reset_totals(&self) {
        let (accepted, rejected) = self.totals();
        self.forgotten[0].store(accepted, Ordering::Relaxed);
        self.forgotten[1].store(rejected, Ordering::Relaxed);
    }

    /// How many of them are in what.
    pub fn modes(&self) -> Modes {
        let mut modes = Modes::default();
        for client in self.open().values() {
            modes.blocked += usize::from(client.is_blocked());
            modes.queuing += usize::from(client.queued() >= 0);
            modes.watching += usize::from(client.watched() > 0);
            modes.watched_keys += client.watched();
        }
        modes
    }

    /// The one with this number.
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.open().get(&id).cloned()
    }

    /// All of them, by number.
    pub fn list(&self) -> Vec<Arc<ClientInfo>> {
        self.open().values().cloned().collect()
    }

    /// Seconds since the register began.
    pub fn now_s(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// Asks every client that has been idle for longer than `seconds` to end; returns how many.
    pub fn kill_idle(&self, seconds: u64) -> usize {
        let now_s = self.now_s();
        let idle = |client: &&Arc<ClientInfo>| client.idle_s(now_s) > seconds;
        self.list().iter().filter(idle).map(|client| client.expire(Overdue::Idle)).count()
    }

    /// Asks every client to end that has owed its password for longer than `seconds` at `now_s`;
    /// returns how many.
    pub fn kill_strangers(&self, now_s: u64, seconds: u64) -> usize {
        // All clients are looked at every second, so nothing is copied of those that are welcome.
        let open = self.open();
        let strangers = open.values().filter(|client| client.stranger_s(now_s) > seconds);
        strangers.map(|client| client.expire(Overdue::Password)).count()
    }
}

impl ClientInfo {
    /// Notes how much is kept for it: of its requests, and for it to read.
    pub fn note_memory(&self, writer: &ClientWriter) {
        let [input, output] = &self.memory;
        input.store(writer.held_input(), Ordering::Relaxed);
        output.store(writer.buffered(), Ordering::Relaxed);
    }

    /// Bytes kept of its requests, and of replies for it to read; looked at once a second.
    pub fn memory(&self) -> [usize; 2] {
        [0, 1].map(|side| self.memory[side].load(Ordering::Relaxed))
    }

    /// Notes that it has sent something, be it half a request.
    #[inline]
    pub fn stir(&self, now_s: u64) {
        self.last_active_s.store(now_s, Ordering::Relaxed);
    }

    /// Notes that it has sent a command.
    #[inline]
    pub fn touch(&self, now_s: u64, command: u16) {
        self.stir(now_s);
        self.last_command.store(command, Ordering::Relaxed);
    }

    /// For how long it has sent nothing.
    pub fn idle_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.last_active_s.load(Ordering::Relaxed))
    }

    /// Notes which RESP it speaks.
    pub fn set_protocol(&self, protocol: Protocol) {
        self.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
    }

    /// Which RESP it speaks: 2 or 3.
    pub fn protocol(&self) -> u8 {
        self.protocol.load(Ordering::Relaxed)
    }

    /// What it says of itself.
    pub fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks its session to end.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Its request waits from now on, and may be told not to.
    pub fn begin_block(&self) {
        self.block.store(BLOCKED, Ordering::Relaxed);
    }

    /// Its request does not wait any more.
    pub fn end_block(&self) {
        self.block.store(NOT_BLOCKED, Ordering::Relaxed);
    }

    /// Whether its request waits.
    pub fn is_blocked(&self) -> bool {
        self.block.load(Ordering::Relaxed) != NOT_BLOCKED
    }

    /// CLIENT UNBLOCK. Says whether it was blocked, and nobody had asked before.
    pub fn unblock(&self, how: Unblock) -> bool {
        let wanted = if how == Unblock::Error { UNBLOCK_ERROR } else { UNBLOCK_TIMEOUT };
        let order = Ordering::Relaxed;
        let was_blocked = self.block.compare_exchange(BLOCKED, wanted, order, order).is_ok();
        if was_blocked {
            self.wake();
        }
        was_blocked
    }

    /// How its wait is to end, if somebody wants it to.
    pub fn unblock_wanted(&self) -> Option<Unblock> {
        match self.block.load(Ordering::Relaxed) {
            UNBLOCK_TIMEOUT => Some(Unblock::Timeout),
            UNBLOCK_ERROR => Some(Unblock::Error),
            _ => None,
        }
    }

    /// So many requests wait for its EXEC; `None` outside a transaction.
    pub fn note_queued(&self, requests: Option<usize>) {
        let requests = requests.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
        self.queued.store(requests, Ordering::Relaxed);
    }

    /// Requests that wait for its EXEC; -1 outside a transaction.
    pub fn queued(&self) -> i32 {
        self.queued.load(Ordering::Relaxed)
    }

    /// It watches so many keys more.
    pub fn note_watched(&self, keys: usize) {
        self.watched.fetch_add(keys, Ordering::Relaxed);
    }

    /// It watches nothing any more.
    pub fn forget_watched(&self) {
        self.watched.store(0, Ordering::Relaxed);
    }

    /// Keys that it watches.
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }

    /// Asks its session to end because something of it is overdue.
    fn expire(&self, what: Overdue) {
        self.overdue.store(what as u8, Ordering::Relaxed);
        self.wake();
    }

    /// Notes that it owes its password from now on.
    pub fn expect_password(&self, now_s: u64) {
        self.stranger_since_s.store(now_s, Ordering::Relaxed);
    }

    /// Notes that it owes no password any more.
    pub fn welcome(&self) {
        self.stranger_since_s.store(WELCOME, Ordering::Relaxed);
    }

    /// For how long it has owed its password.
    fn stranger_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.stranger_since_s.load(Ordering::Relaxed))
    }

    /// It was not idle after all.
    pub fn spare(&self, now_s: u64) {
        self.stir(now_s);
        self.overdue.store(NOT_OVERDUE, Ordering::Relaxed);
    }

    /// What is overdue of it.
    #[inline]
    pub fn overdue(&self) -> Option<Overdue> {
        match self.overdue.load(Ordering::Relaxed) {
            NOT_OVERDUE => None,
            what if what == Overdue::Password as u8 => Some(Overdue::Password),
            _ => Some(Overdue::Idle),
        }
    }

    /// Asks its session to end at the next boundary between requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Whether its session is to end at the next boundary.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = waker.as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether its session is to end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// How to wake its session.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_owes_a_password_for_too_long_is_a_stranger() {
        let clients = Arc::new(Clients::new(10, Duration::ZERO));
        let address = "127.0.0.1:1".parse().unwrap();
        let entries: Vec<_> = (0..4).map(|_| clients.enter(address, address).unwrap()).collect();
        let [open, said, late, again] = [0, 1, 2, 3].map(|at: usize| entries[at].info());
        for client in [said, late, again] {
            client.expect_password(100);
        }
        said.welcome();
        // It has said RESET.
        again.welcome();
        again.expect_password(107);
        let overdue = || [open, said, late, again].map(|client| client.overdue());
        assert_eq!(clients.kill_strangers(110, 10), 0);
        assert_eq!(overdue(), [None; 4]);
        assert_eq!(clients.kill_strangers(111, 10), 1);
        assert_eq!(overdue(), [None, None, Some(Overdue::Password), None]);
        late.spare(111);
        assert_eq!(clients.kill_strangers(118, 10), 2);
        assert_eq!(overdue(), [None, None, Some(Overdue::Password), Some(Overdue::Password)]);
    }
}
