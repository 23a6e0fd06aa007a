//! Who is connected: the list behind CLIENT LIST, CLIENT KILL and the limit on clients.
//!
//! Owns the process-wide register of clients. It is locked when a client comes, goes or is asked
//! about, never for a request. Must not know what clients send.

mod assigner;
pub mod attempts;
pub mod info;
pub mod mailbox;
pub mod monitors;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::stats::REJECTIONS;
pub use assigner::{Assigner, Assignment};
use attempts::Attempts;
pub use info::{ClientInfo, Overdue};
pub use monitors::Monitors;

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
    /// Clients that track keys.
    tracking: AtomicUsize,
}

/// One of the places for clients that track keys; given back when it is dropped.
#[derive(Debug)]
pub struct TrackingPlace(Arc<Clients>);

impl Drop for TrackingPlace {
    fn drop(&mut self) {
        self.0.tracking.fetch_sub(1, Ordering::Relaxed);
    }
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
        self.info.mailbox.close();
    }
}

/// How many clients are in what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Clients whose requests wait at a node.
    pub blocked: usize,
    /// Clients between MULTI and EXEC.
    pub queuing: usize,
    /// Clients with subscriptions.
    pub subscribed: usize,
    /// Clients that see what others ask.
    pub monitoring: usize,
    /// Clients that watch keys.
    pub watching: usize,
    /// Keys that they watch.
    pub watched_keys: usize,
    /// Clients that track keys.
    pub tracking: usize,
}

impl Modes {
    /// The clients in each mode, by the label values of their metric.
    pub fn by_name(&self) -> [(&'static str, usize); 6] {
        [
            ("transaction", self.queuing),
            ("watching", self.watching),
            ("blocked", self.blocked),
            ("subscribed", self.subscribed),
            ("monitor", self.monitoring),
            ("tracking", self.tracking),
        ]
    }
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
            tracking: AtomicUsize::new(0),
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
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let info = Arc::new(ClientInfo::new(id, (peer, local), self.now_s()));
        open.insert(info.id, Arc::clone(&info));
        Some(Registration { clients: Arc::clone(self), info })
    }

    /// A place among at most so many clients that track keys.
    pub fn begin_tracking(self: &Arc<Self>, most: usize) -> Option<TrackingPlace> {
        let order = Ordering::Relaxed;
        let more = |count| (count < most).then_some(count + 1);
        let entered = self.tracking.fetch_update(order, order, more).is_ok();
        entered.then(|| TrackingPlace(Arc::clone(self)))
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
            modes.monitoring += usize::from(client.monitors());
            modes.subscribed += usize::from(client.is_subscribed());
            modes.blocked += usize::from(client.is_blocked());
            modes.queuing += usize::from(client.queued() >= 0);
            modes.tracking += usize::from(client.tracking().is_on);
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

    /// Has it be the second of its beginning for an hour: what tests compare has no time in it.
    #[cfg(test)]
    pub(crate) fn stop_clock(&mut self) {
        self.start = Instant::now() + Duration::from_secs(3600);
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
    pub fn kill_unauthenticated(&self, now_s: u64, seconds: u64) -> usize {
        // All clients are looked at every second, so nothing is copied of those that are welcome.
        let open = self.open();
        let overdue = open.values().filter(|client| client.owes_password_s(now_s) > seconds);
        overdue.map(|client| client.expire(Overdue::Password)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_owes_a_password_for_too_long_is_ended() {
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
        assert_eq!(clients.kill_unauthenticated(110, 10), 0);
        assert_eq!(overdue(), [None; 4]);
        assert_eq!(clients.kill_unauthenticated(111, 10), 1);
        assert_eq!(overdue(), [None, None, Some(Overdue::Password), None]);
        late.spare(111);
        assert_eq!(clients.kill_unauthenticated(118, 10), 2);
        assert_eq!(overdue(), [None, None, Some(Overdue::Password), Some(Overdue::Password)]);
    }
}
