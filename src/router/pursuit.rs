//! The master of one slot, followed wherever it goes, for those who ask it over a lease.
//!
//! Owns where the next try goes, and how long there is for tries that fail: what
//! [`recovery`](super::recovery) is for requests on the shared connections. Must not know what is asked,
//! nor whether it may be asked twice.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Router, reason};
use crate::backend::{BackendError, Lane, Lease, LeaseError, NodeAddress};
use crate::reply::{ReturnReason, texts};
use crate::resp::Protocol;
use crate::slot::Slot;
use crate::topology::Trigger;

/// Longest pause before the next try without news of the map.
const PAUSE: Duration = Duration::from_millis(100);
/// The same while a slot is on its way to another node.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// How long a node may still answer when it is a master no more.
const HANDOVER: Duration = Duration::from_millis(500);

/// A connection to the node that serves a slot now.
#[derive(Debug)]
pub(super) struct Place {
    /// The node.
    pub(super) node: NodeAddress,
    /// The connection.
    pub(super) lease: Lease,
    /// The node serves the slot only for those who say ASKING.
    pub(super) asking: bool,
}

/// The pursuit of one slot for one request.
#[derive(Debug)]
pub(super) struct Pursuit {
    slot: Slot,
    protocol: Protocol,
    lane: Lane,
    /// Since when every try has failed.
    since: Option<Instant>,
    redirects: u16,
    /// Where an ASK has sent it.
    ask: Option<NodeAddress>,
}

impl Pursuit {
    pub(super) fn new(slot: Slot, protocol: Protocol, lane: Lane) -> Pursuit {
        Pursuit { slot, protocol, lane, since: None, redirects: 0, ask: None }
    }

    /// A connection to the slot's master, when it is this one's turn. An error is the client's answer.
    pub(super) async fn place(&mut self, router: &Router) -> Result<Place, String> {
        loop {
            router.catch_up();
            let asked = self.ask.take();
            let asking = asked.is_some();
            let Some(node) = asked.or_else(|| router.master_node(self.slot)) else {
                self.fails(router, &ReturnReason::NoMaster).await?;
                continue;
            };
            let leasing = router.pipelines().lease(&node, self.protocol, self.lane);
            match router.unless_deposed(&node, leasing).await {
                Ok(lease) => {
                    // It may have been replaced while this one waited for its turn.
                    router.catch_up();
                    if asking || router.master_node(self.slot).as_ref() == Some(&node) {
                        return Ok(Place { node, lease, asking });
                    }
                }
                Err(error) => self.note_lost(router, &error).await?,
            }
        }
    }

    /// No connection came to be, or it broke.
    pub(super) async fn note_lost(
        &mut self,
        router: &Router,
        LeaseError { error, .. }: &LeaseError,
    ) -> Result<(), String> {
        if let Some(text) = error.answer() {
            return Err(text.to_owned());
        }
        if matches!(error, BackendError::Busy) {
            return Err(texts::NO_LEASE.to_owned());
        }
        match (error.turned_away(), self.fails(router, &ReturnReason::Unsent).await) {
            (Some(why), Err(_)) => Err(reason::text(why).to_owned()),
            (_, failed) => failed,
        }
    }

    /// The node that was asked serves the slot: what comes is a new story.
    pub(super) fn note_served(&mut self) {
        (self.since, self.redirects) = (None, 0);
    }

    /// A try has come to nothing. Returns when the next one is due, or the client's answer.
    pub(super) async fn fails(
        &mut self,
        router: &Router,
        why: &ReturnReason,
    ) -> Result<(), String> {
        let topology = router.topology();
        let since = *self.since.get_or_insert_with(Instant::now);
        let is_over = since.elapsed() >= Duration::from_micros(router.rules.failover_wait_us);
        let (pause, text) = match why {
            ReturnReason::Moved(redirect) | ReturnReason::Ask(redirect) => {
                self.redirects += 1;
                if self.redirects > router.rules.redirects_max {
                    return Err(texts::REDIRECTS.to_owned());
                }
                let is_known = match why {
                    ReturnReason::Ask(_) => {
                        router.stats().asked.add(1);
                        self.ask = topology.locate(redirect);
                        self.ask.is_some()
                    }
                    _ => {
                        router.stats().moved.add(1);
                        topology.moved(redirect)
                    }
                };
                if is_known && !is_over {
                    return Ok(());
                }
                (SHORT_PAUSE, texts::REDIRECTS.to_owned())
            }
            ReturnReason::Unavailable(kind, text) => {
                self.redirects = 0;
                let is_moving = *kind == crate::reply::returned::Unavailable::TryAgain;
                (if is_moving { SHORT_PAUSE } else { PAUSE }, text.clone())
            }
            ReturnReason::NoMaster => (PAUSE, router.why_not_served().to_owned()),
            ReturnReason::Unsent
            | ReturnReason::Indeterminate
            | ReturnReason::NoScript
            | ReturnReason::BehindScript => (PAUSE, router.why_unreachable(self.slot).to_owned()),
        };
        topology.want_refresh(Trigger::NodeTrouble);
        if is_over {
            return Err(text);
        }
        let mut changes = topology.changes();
        // An error means that there will be no other map.
        let _ = timeout(pause, changes.changed()).await;
        Ok(())
    }
}

impl Router {
    /// The master of a slot, as the map has it.
    pub(super) fn master_node(&self, slot: Slot) -> Option<NodeAddress> {
        let map = self.map();
        let shard = map.shards().get(map.shard_of(slot)?)?;
        Some(shard.master.clone())
    }

    /// Does something that takes an answer of this node, unless it is replaced as a master meanwhile: a
    /// frozen one would not be found to be silent for long.
    pub(super) async fn unless_deposed<T>(
        &self,
        node: &NodeAddress,
        work: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.until_deposed(node) => {
                Err(LeaseError { error: BackendError::Silent, was_sent: true })
            }
        }
    }

    /// Returns when a node has had its time to answer after it was replaced as a master. Unlike what
    /// waits for a command over all masters, it does not have the map looked at: a wait may be long.
    pub(super) async fn until_deposed(&self, node: &NodeAddress) {
        let mut changes = self.topology().changes();
        while !self.is_deposed(node) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
        tokio::time::sleep(HANDOVER).await;
    }

    /// Whether another node has taken this one's place, or it has left the cluster.
    pub(super) fn is_deposed(&self, node: &NodeAddress) -> bool {
        let map = self.topology().map().load_full();
        match map.nodes().find(|(known, ..)| *known == node) {
            Some((.., is_master)) => !is_master,
            None => !map.spares().contains(node),
        }
    }
}
