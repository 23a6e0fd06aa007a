//! Connections to nodes that one user has to itself for a while.
//!
//! Owns the pool of them: how many there are to a node, whose turn it is, and when one can be used
//! again. Must not know what is asked. Invariant: a connection on which something is still owed is
//! closed and never given to anybody else; closing it has the node drop what it owes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use super::connection::Asked;
use super::{BackendError, Connection, NodeAddress, Upstream};
use crate::clock::Clock;
use crate::metrics::{NodeStats, Wait};
use crate::resp::Value;

/// A connection that nobody has used for so long is closed.
const IDLE_US_MAX: u64 = 30_000_000;
/// Most connections of one lane to one node that are kept while nobody uses them.
const IDLE_MAX: usize = 256;
/// How long an urgent question may take, and the greeting before it. A node that is busy with a script
/// talks to nobody for the first 5 s, unless its `busy-reply-threshold` says otherwise.
pub const URGENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which connections of a pool are meant. Each lane has its own turns, so that nobody waits for
/// others who ask for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// For what a node answers at once.
    Quick,
    /// For what takes a node as long as it has keys, or has long answers.
    Long,
    /// For what a node takes while a script keeps it busy. It does not tell its id then, so it is
    /// not asked for it.
    Urgent,
    /// For clients that watch keys, each for as long as it likes.
    Watching,
    /// For clients that are blocked, each for as long as it has asked for.
    Blocked,
}

impl Lane {
    /// Connections of one worker to one node, at most. A node answers one question at a time: more
    /// connections would only have it answer in smaller pieces.
    fn leases_max(self) -> Option<usize> {
        match self {
            Lane::Quick => Some(4),
            Lane::Long => Some(2),
            Lane::Urgent => Some(2),
            Lane::Watching | Lane::Blocked => None,
        }
    }
}

/// How many connections of all workers clients may keep for themselves at one node.
#[derive(Debug)]
pub struct LeaseLimits {
    /// For clients that watch keys.
    watching_max: usize,
    /// For clients that are blocked.
    blocked_max: usize,
    /// Of the nodes to which there are some.
    turns: Mutex<HashMap<(SocketAddr, Lane), Weak<Semaphore>>>,
}

impl LeaseLimits {
    /// So many connections to each node for clients that watch, and for blocked ones.
    pub fn new(watching_max: usize, blocked_max: usize) -> LeaseLimits {
        LeaseLimits { watching_max, blocked_max, turns: Mutex::default() }
    }

    /// The turns of a lane to this node: one worker's own, or those that all workers share.
    fn turns(&self, upstream: &Upstream, lane: Lane) -> Arc<Semaphore> {
        if let Some(leases_max) = lane.leases_max() {
            return Arc::new(Semaphore::new(leases_max));
        }
        let most = if lane == Lane::Watching { self.watching_max } else { self.blocked_max };
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turns| turns.strong_count() > 0);
        let known = all.get(&(upstream.node.address, lane)).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turns = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
            all.insert((upstream.node.address, lane), Arc::downgrade(&turns));
            turns
        })
    }
}

impl Default for LeaseLimits {
    /// As many as anybody wants.
    fn default() -> LeaseLimits {
        LeaseLimits::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS)
    }
}

/// How long a lease may take.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimeouts {
    /// Opening a connection; the same again for each answer of the greeting.
    pub connect: Duration,
    /// The wait for a turn, and then for each answer.
    pub answer: Duration,
}

/// What went wrong with a lease, and whether the request may be sent again.
#[derive(Debug)]
pub struct LeaseError {
    /// What happened.
    pub error: BackendError,
    /// Whether the node may have received the request: if so, it may have run, and only what
    /// [may run twice](crate::reply::handle::OnFailure::may_run_twice) is sent again.
    pub was_sent: bool,
}

impl LeaseError {
    fn unsent(error: BackendError) -> LeaseError {
        LeaseError { error, was_sent: false }
    }
}

/// The leased connections of one worker.
#[derive(Debug, Default)]
pub struct LeasePool {
    limits: Arc<LeaseLimits>,
    places: RefCell<HashMap<(Upstream, Lane), Rc<Places>>>,
}

/// The connections of one lane to one node.
#[derive(Debug)]
struct Places {
    turns: Arc<Semaphore>,
    /// Those that nobody uses, and since when.
    idle: RefCell<Vec<(Connection, u64)>>,
    stats: Arc<NodeStats>,
    /// The node left the map: nothing is kept any more.
    retired: Cell<bool>,
}

impl LeasePool {
    /// No connections yet.
    pub fn new(limits: Arc<LeaseLimits>) -> LeasePool {
        LeasePool { limits, places: RefCell::default() }
    }

    /// Waits for a turn and returns a connection, one that is open already if there is one.
    pub async fn lease(
        &self,
        (upstream, lane): (Upstream, Lane),
        stats: Arc<NodeStats>,
        timeouts: LeaseTimeouts,
        clock: &Clock,
    ) -> Result<Lease, LeaseError> {
        let places = self.places_of((upstream.clone(), lane), stats);
        let turn = places.turn(timeouts.answer).await?;
        let open = places.take_idle();
        let mut connection = match open {
            Some(connection) => connection,
            None => {
                let opened = open_in(lane, &upstream, timeouts.connect).await;
                let connection = opened.map_err(|error| {
                    places.stats.error(error.kind());
                    LeaseError::unsent(error)
                })?;
                places.stats.connects.add(1);
                places.stats.connections.add(1);
                connection
            }
        };
        connection.set_timeout(timeouts.answer);
        places.stats.leased.add(1);
        let since_us = clock.now_us();
        Ok(Lease { connection: Some(connection), places, is_clean: true, since_us, _turn: turn })
    }

    fn places_of(&self, key: (Upstream, Lane), stats: Arc<NodeStats>) -> Rc<Places> {
        let mut places = self.places.borrow_mut();
        let places = places.entry(key).or_insert_with_key(|(upstream, lane)| {
            Rc::new(Places {
                turns: self.limits.turns(upstream, *lane),
                idle: RefCell::default(),
                stats,
                retired: Cell::new(false),
            })
        });
        Rc::clone(places)
    }

    /// Closes connections to nodes for which `stays` is false: those in use when they are given back.
    pub fn retain(&self, stays: impl Fn(&NodeAddress) -> bool) {
        self.places.borrow_mut().retain(|(upstream, _), places| {
            let stays = stays(&upstream.node);
            if !stays {
                places.retired.set(true);
                places.close_idle(|_| true);
            }
            stays
        });
    }

    /// Closes connections that nobody has used for long; called now and then.
    pub fn close_unused(&self, now_us: u64) {
        for places in self.places.borrow().values() {
            places.close_idle(|since_us| now_us.saturating_sub(since_us) > IDLE_US_MAX);
        }
    }
}

async fn open_in(
    lane: Lane,
    upstream: &Upstream,
    connect: Duration,
) -> Result<Connection, BackendError> {
    match lane {
        Lane::Quick | Lane::Long | Lane::Watching | Lane::Blocked => {
            Connection::to_node(upstream, connect).await
        }
        Lane::Urgent => {
            let address = upstream.node.address;
            Connection::open(address, &upstream.identity, URGENT_TIMEOUT).await
        }
    }
}

impl Places {
    async fn turn(&self, timeout: Duration) -> Result<OwnedSemaphorePermit, LeaseError> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let _wait = Wait::begin(&self.stats, |stats| &stats.lease_waits);
        match time::timeout(timeout, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(LeaseError::unsent(BackendError::Busy)),
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        loop {
            let (connection, _) = self.idle.borrow_mut().pop()?;
            if !connection.is_spent() {
                return Some(connection);
            }
            self.stats.connections.sub(1);
        }
    }

    fn close_idle(&self, is_due: impl Fn(u64) -> bool) {
        self.idle.borrow_mut().retain(|(_, since_us)| {
            let stays = !is_due(*since_us);
            if !stays {
                self.stats.connections.sub(1);
            }
            stays
        });
    }
}

/// A connection for one user. Given back when it is dropped, or closed when an answer is still owed.
#[derive(Debug)]
pub struct Lease {
    connection: Option<Connection>,
    places: Rc<Places>,
    is_clean: bool,
    since_us: u64,
    _turn: OwnedSemaphorePermit,
}

impl Lease {
    /// Whether the node has closed the connection, or has said something that nobody asked for.
    pub fn is_spent(&self) -> bool {
        self.connection.as_ref().is_none_or(Connection::is_spent)
    }

    /// How long to wait for each answer from now on, until it is given back.
    pub fn set_timeout(&mut self, timeout: Duration) {
        if let Some(connection) = &mut self.connection {
            connection.set_timeout(timeout);
        }
    }

    /// What the node calls this connection (CLIENT ID); asked for once. `None`: it does not say.
    pub async fn client_id(&mut self) -> Result<Option<u64>, LeaseError> {
        if let Some(known) = self.connection.as_ref().and_then(|connection| connection.client_id) {
            return Ok(known);
        }
        let requests = b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n";
        let asked = Asked { requests, count: 1, bytes_max: 1024, ends_with_error_at: None };
        let frames = self.ask(&asked).await?;
        let id = match frames.first().map(|frame| Value::decode(frame)) {
            Some(Ok(Some((Value::Int(id), _)))) => u64::try_from(id).ok(),
            _ => None,
        };
        if let Some(connection) = &mut self.connection {
            connection.client_id = Some(id);
        }
        Ok(id)
    }

    /// It must not be used by anybody else, unless a later question is answered in full.
    pub fn spoil(&mut self) {
        self.is_clean = false;
    }

    /// Asks several questions at once and waits for the answers.
    pub async fn ask(&mut self, asked: &Asked<'_>) -> Result<Vec<Vec<u8>>, LeaseError> {
        let Some(connection) = &mut self.connection else {
            return Err(LeaseError::unsent(BackendError::Closed));
        };
        // Whoever stops waiting leaves answers behind.
        self.is_clean = false;
        let stats = &self.places.stats;
        stats.inflight.add(1);
        let under_way = UnderWay(stats);
        let answered = connection.ask_several(asked).await;
        drop(under_way);
        match answered {
            Ok(frames) => {
                self.is_clean = frames.len() == asked.count;
                stats.requests.add(1);
                Ok(frames)
            }
            Err(error) => {
                stats.error(error.kind());
                Err(LeaseError { error, was_sent: true })
            }
        }
    }
}

/// A question under way, for as long as somebody waits.
struct UnderWay<'s>(&'s NodeStats);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.inflight.sub(1);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.places.stats.leased.sub(1);
        let has_room = self.places.idle.borrow().len() < IDLE_MAX;
        if self.is_clean && has_room && !self.places.retired.get() {
            self.places.idle.borrow_mut().push((connection, self.since_us));
        } else {
            self.places.stats.connections.sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::Identity;

    /// A node that says nothing, and what leads there.
    async fn node() -> (TcpListener, Upstream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let node = NodeAddress { id: "".into(), address, name: "node".into() };
        (listener, Upstream { node, identity: Rc::new(Identity::default()) })
    }

    /// A lease, if it can be had at once.
    async fn try_lease(pool: &LeasePool, upstream: &Upstream, lane: Lane) -> Option<Lease> {
        let (stats, timeouts) = (Arc::default(), LeaseTimeouts::of_a_test());
        let clock = Clock::default();
        let lease = pool.lease((upstream.clone(), lane), stats, timeouts, &clock);
        tokio::select! {
            biased;
            lease = lease => Some(lease.expect("a connection")),
            // Nobody gives a lease back meanwhile: one that waits now waits on.
            () = until_it_waits(pool, upstream, lane) => None,
        }
    }

    /// How many connections have been opened, over all lanes.
    fn connects(pool: &LeasePool) -> u64 {
        pool.places.borrow().values().map(|places| places.stats.connects.get()).sum()
    }

    async fn until_it_waits(pool: &LeasePool, upstream: &Upstream, lane: Lane) {
        let waits = || {
            let places = pool.places.borrow();
            let places = places.get(&(upstream.clone(), lane));
            places.is_some_and(|places| places.stats.lease_waits.now.get() > 0)
        };
        while !waits() {
            tokio::task::yield_now().await;
        }
    }

    impl LeaseTimeouts {
        fn of_a_test() -> LeaseTimeouts {
            let timeout = Duration::from_secs(60);
            LeaseTimeouts { connect: timeout, answer: timeout }
        }
    }

    #[tokio::test]
    async fn one_lane_does_not_wait_for_another_and_connections_are_used_again() {
        let (listener, upstream) = node().await;
        let pool = LeasePool::default();
        let mut leases = Vec::new();
        while let Some(lease) = try_lease(&pool, &upstream, Lane::Long).await {
            leases.push(lease);
        }
        assert_eq!(Some(leases.len()), Lane::Long.leases_max());
        for lane in [Lane::Quick, Lane::Urgent] {
            assert!(try_lease(&pool, &upstream, lane).await.is_some());
        }
        // Both ends stay open while the other is: a connection whose node has gone is not used.
        let mut accepted = Vec::new();
        while accepted.len() < leases.len() + 2 {
            accepted.push(listener.accept().await.expect("a connection"));
        }
        assert_eq!(connects(&pool), leases.len() as u64 + 2);
        leases.pop();
        for _ in 0..10 {
            assert!(try_lease(&pool, &upstream, Lane::Long).await.is_some());
        }
        assert_eq!(connects(&pool), leases.len() as u64 + 3, "an idle connection was at hand");
    }

    #[tokio::test]
    async fn workers_share_the_turns_of_clients_that_stay() {
        let (_listener, upstream) = node().await;
        let limits = Arc::new(LeaseLimits::new(2, 1));
        let pools = [0, 1].map(|_| LeasePool::new(Arc::clone(&limits)));
        let lease = |worker: usize, lane| try_lease(&pools[worker], &upstream, lane);
        let one = lease(0, Lane::Watching).await.expect("a lease");
        let other = lease(1, Lane::Watching).await.expect("a lease");
        assert!(lease(0, Lane::Watching).await.is_none());
        assert!(lease(1, Lane::Watching).await.is_none());
        let blocked = lease(1, Lane::Blocked).await.expect("a lease");
        assert!(lease(0, Lane::Blocked).await.is_none());
        drop((one, blocked));
        assert!(lease(1, Lane::Watching).await.is_some());
        assert!(lease(0, Lane::Blocked).await.is_some());
        drop(other);
    }

    #[tokio::test]
    async fn a_connection_that_owes_an_answer_is_not_used_again() {
        let (listener, upstream) = node().await;
        let pool = LeasePool::default();
        let mut lease = try_lease(&pool, &upstream, Lane::Quick).await.expect("a lease");
        let (first, _) = listener.accept().await.expect("a connection");
        let request = b"*1\r\n$4\r\nPING\r\n";
        let asked = Asked { requests: request, count: 1, bytes_max: 100, ends_with_error_at: None };
        {
            let mut asking = std::pin::pin!(lease.ask(&asked));
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        drop(lease);
        let lease = try_lease(&pool, &upstream, Lane::Quick).await;
        assert!(lease.is_some());
        assert_eq!(connects(&pool), 2);
        drop(first);
    }
}
