//! What others may know and change of one client: its entry in the register.
//!
//! Owns what is read and set from other threads: all of it atomic, or behind a lock of its own. The
//! client's session alone decides what comes of it.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use super::mailbox::Mailbox;
use crate::backend::Invalidation;
use crate::command::Topic;
use crate::reply::ClientWriter;
use crate::resp::Protocol;
use crate::router::blocked::Unblock;

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
const TRACKS: u8 = 1;
const BROADCASTS: u8 = 2;
const REDIRECT_BROKEN: u8 = 4;
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
    /// Commands that it has sent. Only its own worker adds to it.
    requests: AtomicU64,
    protocol: AtomicU8,
    killed: AtomicBool,
    /// An [`Overdue`], or [`NOT_OVERDUE`].
    overdue: AtomicU8,
    /// Seconds since the register began at which it should have begun to say its password;
    /// [`WELCOME`] when it has, or needs none.
    password_due_since_s: AtomicU64,
    draining: AtomicBool,
    /// Whether it is blocked, and whether somebody wants it not to be.
    block: AtomicU8,
    /// Requests queued since MULTI; -1 outside a transaction.
    queued: AtomicI32,
    /// Keys that it watches.
    watched: AtomicUsize,
    /// The database that it is in.
    database: AtomicUsize,
    /// It sees what others ask.
    monitors: AtomicBool,
    /// What it is subscribed to, by kind.
    subscribed: [AtomicUsize; 3],
    /// Whether it tracks keys, as bits: [`TRACKS`] and others.
    tracking: AtomicU8,
    /// Which client gets what it is told of them; 0 for itself.
    redirect: AtomicU64,
    /// What clients that redirect to it have left.
    pub mailbox: Mailbox,
    /// Bytes of its input and output, when they were last looked at.
    memory: [AtomicUsize; 2],
    texts: Mutex<Texts>,
    waker: Mutex<Option<Waker>>,
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

/// An address in the form that clients compare it in.
pub(crate) fn shown_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How a client tracks keys, as others may know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingInfo {
    /// It does.
    pub is_on: bool,
    /// Keys with some prefixes, whoever reads them.
    pub broadcasts: bool,
    /// Which client gets what it is told; 0 for itself.
    pub redirect: u64,
    /// That one has gone.
    pub is_broken: bool,
}

impl ClientInfo {
    /// A client that has just come, from the first of these addresses to the second.
    pub(super) fn new(id: u64, (peer, local): (SocketAddr, SocketAddr), now_s: u64) -> ClientInfo {
        ClientInfo {
            id,
            peer,
            local,
            since: Instant::now(),
            last_active_s: AtomicU64::new(now_s),
            last_command: AtomicU16::new(u16::MAX),
            requests: AtomicU64::new(0),
            protocol: AtomicU8::new(2),
            killed: AtomicBool::new(false),
            overdue: AtomicU8::new(NOT_OVERDUE),
            password_due_since_s: AtomicU64::new(WELCOME),
            draining: AtomicBool::new(false),
            block: AtomicU8::new(NOT_BLOCKED),
            queued: AtomicI32::new(-1),
            watched: AtomicUsize::new(0),
            database: AtomicUsize::new(0),
            monitors: AtomicBool::new(false),
            subscribed: Default::default(),
            tracking: AtomicU8::new(0),
            redirect: AtomicU64::new(0),
            mailbox: Mailbox::default(),
            memory: Default::default(),
            texts: Mutex::default(),
            waker: Mutex::new(None),
        }
    }

    /// It is in this database from now on.
    pub fn note_database(&self, number: usize) {
        self.database.store(number, Ordering::Relaxed);
    }

    /// The database that it is in.
    pub fn database(&self) -> usize {
        self.database.load(Ordering::Relaxed)
    }

    /// It sees what others ask, or does no more.
    pub fn note_monitors(&self, monitors: bool) {
        self.monitors.store(monitors, Ordering::Relaxed);
    }

    /// Whether it sees what others ask.
    pub fn monitors(&self) -> bool {
        self.monitors.load(Ordering::Relaxed)
    }

    /// It is subscribed to so many names of a kind.
    pub fn note_subscribed(&self, topic: Topic, count: usize) {
        self.subscribed[topic as usize].store(count, Ordering::Relaxed);
    }

    /// To how many channels, patterns and sharded channels it is subscribed.
    pub fn subscribed(&self) -> [usize; 3] {
        self.subscribed.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Whether it is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed() != [0; 3]
    }

    /// It tracks keys from now on.
    pub fn note_tracking(&self, redirect: u64, broadcasts: bool) {
        self.redirect.store(redirect, Ordering::Relaxed);
        let bits = if broadcasts { TRACKS | BROADCASTS } else { TRACKS };
        self.tracking.store(bits, Ordering::Relaxed);
    }

    /// The client that was to be told of its keys has gone.
    pub fn note_redirect_broken(&self) {
        self.tracking.fetch_or(REDIRECT_BROKEN, Ordering::Relaxed);
    }

    /// It tracks no keys any more.
    pub fn forget_tracking(&self) {
        self.tracking.store(0, Ordering::Relaxed);
    }

    /// How it tracks keys.
    pub fn tracking(&self) -> TrackingInfo {
        let bits = self.tracking.load(Ordering::Relaxed);
        TrackingInfo {
            is_on: bits & TRACKS != 0,
            broadcasts: bits & BROADCASTS != 0,
            redirect: self.redirect.load(Ordering::Relaxed),
            is_broken: bits & REDIRECT_BROKEN != 0,
        }
    }

    /// Tells it, from any worker, which keys have changed. Says whether it is still there.
    pub fn send(&self, what: Invalidation<'_>) -> bool {
        let is_here = self.mailbox.post(what);
        if is_here {
            self.wake();
        }
        is_here
    }

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
        self.requests.store(self.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Commands that it has sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
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
    pub(super) fn expire(&self, what: Overdue) {
        self.overdue.store(what as u8, Ordering::Relaxed);
        self.wake();
    }

    /// Notes that it owes its password from now on.
    pub fn expect_password(&self, now_s: u64) {
        self.password_due_since_s.store(now_s, Ordering::Relaxed);
    }

    /// Notes that it owes no password any more.
    pub fn welcome(&self) {
        self.password_due_since_s.store(WELCOME, Ordering::Relaxed);
    }

    /// For how long it has owed its password.
    pub(super) fn owes_password_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.password_due_since_s.load(Ordering::Relaxed))
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
