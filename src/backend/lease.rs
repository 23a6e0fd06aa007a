//! Connections to nodes that one user has to itself for a while.
//!
//! Owns the pool of them: how many there are to a node, whose turn it is, and when one can be used
//! again. Must not know what is asked. Invariant: a connection on which something is still owed is
//! closed and never given to anybody else; closing it has the node drop what it owes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::Asked;
use super::{BackendError, Connection, Identity, NodeAddress};
use crate::clock::Clock;
use crate::metrics::{NodeStats, Wait};
use crate::resp::Protocol;

/// Leased connections of a worker to one node, at most. They are for questions that a node answers
/// one at a time anyway: more would only have it answer them in smaller pieces.
const LEASES_MAX: usize = 4;
/// A connection that nobody has used for so long is closed.
const IDLE_US_MAX: u64 = 30_000_000;

/// What went wrong with a lease, and whether the request may have run.
#[derive(Debug)]
pub struct LeaseError {
    /// What happened.
    pub error: BackendError,
    /// Whether the node may have received the request.
    pub was_sent: bool,
}

impl LeaseError {
    fn unsent(error: BackendError) -> LeaseError {
        LeaseError { error, was_sent: false }
    }
}

/// The leased connections of one worker, by node and protocol.
#[derive(Debug, Default)]
pub struct LeasePool {
    places: RefCell<HashMap<(NodeAddress, Protocol), Rc<Places>>>,
}

/// The connections to one node.
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
    /// Waits for a turn and returns a connection to `node`, one that is open already if there is one.
    /// `patience` bounds the wait, and then the wait for each answer.
    pub async fn lease(
        &self,
        node: &NodeAddress,
        (identity, stats): (Identity, Arc<NodeStats>),
        (connect_patience, patience): (Duration, Duration),
        clock: &Clock,
    ) -> Result<Lease, LeaseError> {
        let places = self.places_of(node, identity.protocol, stats);
        let turn = places.turn(patience).await?;
        let open = places.take_idle();
        let mut connection = match open {
            Some(connection) => connection,
            None => {
                let opened = Connection::to_node(node, &identity, connect_patience).await;
                let connection = opened.map_err(|error| {
                    places.stats.error(error.kind());
                    LeaseError::unsent(error)
                })?;
                places.stats.connects.add(1);
                places.stats.connections.add(1);
                connection
            }
        };
        connection.set_patience(patience);
        places.stats.leased.add(1);
        let since_us = clock.now_us();
        Ok(Lease { connection: Some(connection), places, is_clean: true, since_us, _turn: turn })
    }

    fn places_of(
        &self,
        node: &NodeAddress,
        protocol: Protocol,
        stats: Arc<NodeStats>,
    ) -> Rc<Places> {
        let mut places = self.places.borrow_mut();
        let places = places.entry((node.clone(), protocol)).or_insert_with(|| {
            Rc::new(Places {
                turns: Arc::new(Semaphore::new(LEASES_MAX)),
                idle: RefCell::default(),
                stats,
                retired: Cell::new(false),
            })
        });
        Rc::clone(places)
    }

    /// Closes connections to nodes for which `stays` is false: those in use when they are given back.
    pub fn retain(&self, stays: impl Fn(&NodeAddress) -> bool) {
        self.places.borrow_mut().retain(|(node, _), places| {
            let stays = stays(node);
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

impl Places {
    async fn turn(&self, patience: Duration) -> Result<OwnedSemaphorePermit, LeaseError> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let _wait = Wait::begin(&self.stats, |stats| &stats.lease_waits);
        match timeout(patience, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(LeaseError::unsent(BackendError::Silent)),
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
        if self.is_clean && !self.places.retired.get() {
            self.places.idle.borrow_mut().push((connection, self.since_us));
        } else {
            self.places.stats.connections.sub(1);
        }
    }
}
