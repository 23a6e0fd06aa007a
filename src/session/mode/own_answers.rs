//! What the gateway itself has to say in a transaction.
//!
//! Owns the answers to commands that are its own, given when EXEC comes, and the question to a node
//! whether it takes a command, where there is a reason to ask before EXEC.

use std::cell::Cell;
use std::rc::Rc;

use super::exec_reply::put_together;
use super::queuing::{QUEUED, Queuing};
use crate::builtin;
use crate::command::{Command, CommandId, Flags, Handling};
use crate::metrics::Outcome;
use crate::reply::texts;
use crate::resp::request::RequestLimits;
use crate::resp::{RequestScanner, write};
use crate::router::queue_check::QueueCheck;
use crate::session::Session;
use crate::slot::Slot;

impl Session {
    pub(super) fn with_own_answers(&mut self, queuing: &Queuing, reply: &[u8]) -> Vec<u8> {
        let own = self.own_answers(queuing);
        put_together(reply, &own).unwrap_or_else(|| reply.to_vec())
    }

    /// The answers of the gateway to those commands that are its own, each with its place.
    pub(super) fn own_answers(&mut self, queuing: &Queuing) -> Vec<(usize, Vec<u8>)> {
        let table = self.router().table();
        let env = self.env.local(&table);
        let mut answers = Vec::with_capacity(queuing.for_gateway.len());
        for (place, frame) in &queuing.for_gateway {
            let mut scanner = RequestScanner::default();
            let mut out = Vec::new();
            if scanner.scan(frame, &RequestLimits::NONE, true).is_ok() {
                let args = scanner.args(frame);
                match table.lookup(args).map(|(_, command)| command.handling) {
                    Ok(Handling::Local(what)) => {
                        builtin::answer(what, args, &mut self.state, &env, &mut out);
                    }
                    Ok(Handling::ConfigSet) => write::error(&mut out, texts::CONFIG_SET_IN_EXEC),
                    // UNWATCH: EXEC does it in any case.
                    _ => out.extend_from_slice(write::OK),
                }
            }
            answers.push((*place, out));
        }
        answers
    }

    /// Whether a node may have no memory for a command: then it is asked before EXEC, as Redis tells it
    /// before EXEC.
    pub(super) fn is_worth_asking(&self, command: &Command) -> bool {
        command.flags.contains(Flags::DENYOOM) && self.router().shared().shortage.is_suspected()
    }

    /// Answers when the node has been asked whether it takes a request.
    pub(super) fn ask_whether_queued(
        &mut self,
        (slot, id): (Slot, CommandId),
        frame: &[u8],
        is_declined: Rc<Cell<bool>>,
    ) {
        let seq = self.take_seq();
        let (router, writer) = (Rc::clone(&self.env.router), Rc::clone(&self.writer));
        let (protocol, frame) = (self.state.protocol, frame.to_vec());
        self.errand_bytes = frame.len();
        self.barrier.raise();
        self.errand = Some(Box::pin(async move {
            let answer = match router.check_queued(slot, protocol, &frame).await {
                QueueCheck::Objects(error) => {
                    router.stats().command(id, Outcome::Error);
                    is_declined.set(true);
                    error
                }
                QueueCheck::Takes => {
                    router.shared().shortage.dispel();
                    QUEUED.to_vec()
                }
                QueueCheck::Unknown => QUEUED.to_vec(),
            };
            writer.deliver(seq, &answer, true);
        }));
    }
}
