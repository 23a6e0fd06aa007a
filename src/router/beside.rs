//! Requests that must not wait behind others: they travel beside the pipelines.
//!
//! Owns the connections of their own, each for one question to one node. A node that is busy with a
//! script reads nothing more from the connection that brought it, and that is the one which all
//! clients share: what Redis takes even then, SCRIPT KILL and FUNCTION KILL, would come to it when
//! there is nothing left to kill. Must not know commands.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Client, Router};
use crate::backend::{BackendError, Connection, Identity};
use crate::metrics::{Outcome, WorkerStats};
use crate::reply::merge::Merge;
use crate::reply::ticket::{About, Answered};
use crate::reply::{Gather, Ticket, texts};

/// How long a node may take for each answer: one that is busy with a script talks to nobody for
/// the first 5 s, unless its `busy-reply-threshold` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions of one worker that are asked at a time; the others wait for their turn.
const AT_A_TIME: usize = 32;

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Turns(Rc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Turns(Rc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Router {
    /// Sends the same request to every master, not behind what it has been sent already; the merged
    /// reply answers request `seq`. It is asked once: a master that is lost meanwhile answers with
    /// an error, as its script does not outlive it.
    pub fn ask_beside(
        &self,
        client: Client<'_>,
        seq: u64,
        about: About,
        merge: Merge,
        request: &[u8],
    ) {
        let map = self.map();
        let masters: Vec<_> = map.nodes().filter(|(.., master)| *master).collect();
        if masters.is_empty() {
            return self.fail(client.outlet, seq, about.command, texts::NOT_COMPLETE);
        }
        let request: Rc<[u8]> = request.into();
        let gather = Rc::new(Gather::new(masters.len(), merge));
        for (index, (node, ..)) in masters.into_iter().enumerate() {
            let outlet = Rc::clone(client.outlet);
            let question = Question {
                ticket: Ticket::part(outlet, seq, about, Rc::clone(&gather), index as u32),
                node: node.address,
                identity: self.pipelines().identity().clone(),
                request: Rc::clone(&request),
            };
            let (turns, shared) = (self.beside.clone(), Rc::clone(self.shared()));
            tokio::task::spawn_local(async move { question.ask(&turns, &shared.stats).await });
        }
    }
}

/// A request on its way to one node.
#[derive(Debug)]
struct Question {
    ticket: Ticket,
    node: SocketAddr,
    identity: Identity,
    request: Rc<[u8]>,
}

impl Question {
    async fn ask(mut self, turns: &Turns, stats: &WorkerStats) {
        let command = self.ticket.command;
        let answered = {
            // Nobody closes it: without a turn it would not be asked at all.
            let Ok(_turn) = turns.0.acquire().await else { return };
            match self.answer().await {
                Ok(frame) => self.ticket.answer(&frame),
                Err(error) => self.ticket.fail(&texts::not_asked(&error.to_string())),
            }
        };
        match answered {
            Answered::Merged { is_error: true } => stats.command(command, Outcome::Error),
            Answered::Merged { .. } | Answered::Whole => stats.command(command, Outcome::Ok),
            Answered::NotYet => {}
        }
    }

    /// The node's id is not asked for: one that is busy does not tell it.
    async fn answer(&self) -> Result<Vec<u8>, BackendError> {
        Connection::open(self.node, &self.identity, PATIENCE).await?.ask_frame(&self.request).await
    }
}
