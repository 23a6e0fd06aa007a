//! Requests that must not wait behind others: they travel beside the pipelines.
//!
//! Owns the connections of their own, each for one question to one node. A node that is busy with a
//! script reads nothing more from the connection that brought it, and that is the one which all
//! clients share: what Redis takes even then, SCRIPT KILL and FUNCTION KILL, would come to it when
//! there is nothing left to kill. Must not know commands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Client, Router};
use crate::backend::{BackendError, Connection, Identity, Shared};
use crate::metrics::{Outcome, WorkerStats};
use crate::reply::merge::Merge;
use crate::reply::ticket::{About, Answered};
use crate::reply::{Gather, Ticket, texts};
use crate::topology::ClusterMap;

/// How long a question may take in all, its wait for a turn included. A node that is busy with a
/// script talks to nobody for the first 5 s, unless its `busy-reply-threshold` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that a worker asks one node at a time; the others wait for their turn.
const AT_A_TIME: usize = 8;

/// Whose turn it is at each node. One that does not answer keeps nobody from asking another.
#[derive(Debug, Default)]
pub(super) struct Turns(RefCell<HashMap<SocketAddr, Rc<Semaphore>>>);

impl Turns {
    pub(super) fn at(&self, node: SocketAddr) -> Rc<Semaphore> {
        let mut nodes = self.0.borrow_mut();
        Rc::clone(nodes.entry(node).or_insert_with(|| Rc::new(Semaphore::new(AT_A_TIME))))
    }

    /// Forgets nodes that are in the map no more. The others keep their count.
    pub(super) fn retain(&self, map: &ClusterMap) {
        let stays = |node: SocketAddr| map.nodes().any(|(known, ..)| known.address == node);
        self.0.borrow_mut().retain(|node, _| stays(*node));
    }
}

impl Router {
    /// Sends the same request to every node, not behind what it has been sent already; the merged
    /// reply answers request `seq`. Replicas too: one that was a master when its script began goes on
    /// with it. Each is asked once, as its script does not outlive it.
    ///
    /// The caller sees to it that nothing else of the same client is under way, and that nothing
    /// comes to be before this has been answered: it would hit what came before or after it.
    pub fn ask_beside(
        &self,
        client: Client<'_>,
        seq: u64,
        about: About,
        merge: Merge,
        request: &[u8],
    ) {
        let map = self.map();
        let nodes: Vec<SocketAddr> = map.nodes().map(|(node, ..)| node.address).collect();
        if nodes.is_empty() {
            return self.fail(client.outlet, seq, about.command, self.why_not_complete());
        }
        let request: Rc<[u8]> = request.into();
        let gather = Rc::new(Gather::new(nodes.len(), merge));
        for (index, node) in nodes.into_iter().enumerate() {
            let outlet = Rc::clone(client.outlet);
            let question = Question {
                ticket: Ticket::part(outlet, seq, about, Rc::clone(&gather), index as u32),
                node,
                // One that is busy does not tell its id.
                node_id: "".into(),
                turn: self.beside.at(node),
                identity: self.pipelines().identity().clone(),
                request: Rc::clone(&request),
                connect_patience: PATIENCE,
                patience: PATIENCE,
            };
            question.spawn(self.shared());
        }
    }
}

/// A request on its way to one node, over a connection of its own.
#[derive(Debug)]
pub(super) struct Question {
    /// Which part of which reply the answer is.
    pub(super) ticket: Ticket,
    /// Who is asked.
    pub(super) node: SocketAddr,
    /// The id that the node must say it has. Empty: it is not asked for.
    pub(super) node_id: Box<str>,
    /// Whose turn it is at that node.
    pub(super) turn: Rc<Semaphore>,
    /// As whom the gateway comes.
    pub(super) identity: Identity,
    /// The bytes of the request.
    pub(super) request: Rc<[u8]>,
    /// How long opening the connection may take.
    pub(super) connect_patience: Duration,
    /// How long all of it may take, the wait for a turn included.
    pub(super) patience: Duration,
}

impl Question {
    /// Asks in a task of its own, which answers the ticket.
    pub(super) fn spawn(self, shared: &Rc<Shared>) {
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move { self.ask(&shared.stats).await });
    }

    async fn ask(mut self, stats: &WorkerStats) {
        let command = self.ticket.command;
        let answer = timeout(self.patience, self.answer()).await;
        let answered = match answer.unwrap_or(Err(BackendError::Silent)) {
            Ok(frame) => self.ticket.answer(&frame),
            Err(error) => self.ticket.fail(&texts::not_asked(&error.to_string())),
        };
        match answered {
            Answered::Merged { is_error: true } => stats.command(command, Outcome::Error),
            Answered::Merged { .. } | Answered::Whole => stats.command(command, Outcome::Ok),
            Answered::NotYet => {}
        }
    }

    async fn answer(&self) -> Result<Vec<u8>, BackendError> {
        let _turn = self.turn.acquire().await;
        if self.ticket.outlet().is_closed() {
            // Nobody waits for it any more.
            return Err(BackendError::Closed);
        }
        let (node, patience) = (self.node, self.connect_patience);
        let mut connection = Connection::open(node, &self.identity, patience).await?;
        if !self.node_id.is_empty() {
            connection.expect_node(&self.node_id).await?;
        }
        let answer = connection.ask_frame(&self.request).await?;
        connection.close_at_once();
        Ok(answer)
    }
}
