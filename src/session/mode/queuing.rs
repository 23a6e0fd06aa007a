//! MULTI, EXEC, DISCARD: requests kept until EXEC, then sent to one node as one block.
//!
//! Owns what is queued, and every objection that can be made before a node is asked: a transaction that
//! met one is not run, as with a server. What the node says of the block is the pipeline's to read.
//! Commands that the gateway answers itself are answered at EXEC, and put where they belong in the
//! node's reply.

use std::cell::Cell;
use std::rc::Rc;

use super::exec_reply::{put_together, renamed};
use crate::backend::Band;
use crate::clients::monitors::Shown;
use crate::command::{
    Class, Client, Command, CommandId, CommandTable, Flags, Handling, Local, Script, Transaction,
};
use crate::config::CrossSlot;
use crate::metrics::Outcome;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::{Make, Merge};
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::number::parse_integer;
use crate::resp::request::RequestLimits;
use crate::resp::{Args, RequestScanner, write};
use crate::router::watched::{Watched, WatchedBlock};
use crate::router::{self, Plan, Router, ScriptCache};
use crate::session::Session;
use crate::session::database::Rename;
use crate::session::database::tagged::Translation;
use crate::session::dispatch::{Dispatch, Request};
use crate::slot::Slot;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
pub(super) const QUEUED: &[u8] = b"+QUEUED\r\n";

/// A transaction that has not been executed.
#[derive(Default)]
pub(super) struct Queuing {
    /// MULTI and what follows for a node, ready to be sent.
    block: Vec<u8>,
    /// Requests in it behind MULTI.
    for_node: usize,
    /// Requests that the gateway answers, by their place in the transaction.
    pub(super) for_gateway: Vec<(usize, Vec<u8>)>,
    /// Bytes of these.
    gateway_bytes: usize,
    /// The slot of all keys so far.
    slot: Option<Slot>,
    /// Something was objected to: EXEC will say so.
    is_aborted: bool,
    /// A node has objected to something.
    is_declined: Rc<Cell<bool>>,
    changes_data: bool,
    has_scripts: bool,
    /// The requests as those who monitor are to see them when they are executed.
    shown: Vec<Shown>,
    /// What is done with the replies to some of the node's requests, by their place among these.
    renames: Vec<(usize, Rename)>,
    reads: bool,
}

/// What is to be done with a request in a transaction.
enum Fate {
    /// A node runs it; its keys are in this slot, if it has any.
    Node(Option<Slot>),
    /// The gateway answers it.
    Gateway,
    /// It cannot be in a transaction.
    Object(String),
}

impl std::fmt::Debug for Queuing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queuing({} requests, {} bytes)", self.len(), self.bytes())
    }
}

impl Queuing {
    fn begin() -> Queuing {
        Queuing { block: MULTI.to_vec(), ..Queuing::default() }
    }

    /// Bytes kept.
    pub(super) fn bytes(&self) -> usize {
        self.block.capacity() + self.gateway_bytes
    }

    /// Keeps a request as it is shown. Not MULTI itself, which is shown at once.
    pub(super) fn keep_shown(&mut self, shown: &Shown) -> bool {
        let is_queued = self.len() > 0;
        if is_queued {
            self.gateway_bytes += shown.len();
            self.shown.push(shown.clone());
        }
        is_queued
    }

    fn len(&self) -> usize {
        self.for_node + self.for_gateway.len()
    }

    /// EXEC will be refused; nothing of it is kept any longer.
    fn abort(&mut self) {
        *self = Queuing { is_aborted: true, ..Queuing::default() };
    }

    fn add_for_node(&mut self, command: &Command, slot: Option<Slot>, frame: &[u8]) {
        self.block.extend_from_slice(frame);
        self.for_node += 1;
        self.slot = self.slot.or(slot);
        let is_script = command.class == Class::Script;
        self.has_scripts |= is_script;
        self.changes_data |= !command.flags.is_readonly();
        self.reads |= is_script || (slot.is_some() && command.flags.is_readonly());
    }

    fn add_for_gateway(&mut self, frame: &[u8]) {
        self.for_gateway.push((self.len(), frame.to_vec()));
        self.gateway_bytes += frame.len();
    }

    fn on_failure(&self) -> OnFailure {
        match (self.has_scripts, self.changes_data) {
            (true, _) => OnFailure::ScriptBlock,
            (false, true) => OnFailure::Block,
            (false, false) => OnFailure::ReadOnlyBlock,
        }
    }
}

impl Session {
    /// MULTI, EXEC, DISCARD, WATCH or UNWATCH, when no transaction has begun.
    pub(in crate::session) fn transaction(
        &mut self,
        what: Transaction,
        request: Request<'_>,
    ) -> Dispatch {
        match what {
            Transaction::Multi => {
                self.mode.queuing = Some(Box::new(Queuing::begin()));
                self.state.info.note_queued(Some(0));
                self.router().stats().command(request.id, Outcome::Ok);
                self.deliver_own(write::OK);
            }
            Transaction::Exec => self.refuse(request.id, texts::EXEC_WITHOUT_MULTI),
            Transaction::Discard => self.refuse(request.id, texts::DISCARD_WITHOUT_MULTI),
            Transaction::Watch => return self.watch(request),
            Transaction::Unwatch => {
                self.router().stats().command(request.id, Outcome::Ok);
                self.unwatch();
            }
        }
        Dispatch::Done
    }

    /// Deals with a request in a transaction. `None`: it ends the transaction, or the connection, and is
    /// one like any other.
    #[cold]
    pub(in crate::session) fn queue(
        &mut self,
        table: &CommandTable,
        args: Args<'_>,
        frame: &[u8],
    ) -> Option<Dispatch> {
        let too_large = self.too_large.take();
        let (id, command) = match table.lookup(args) {
            Ok(found) => found,
            Err(error) => {
                self.abort_transaction();
                self.object(&error, args);
                return Some(Dispatch::Done);
            }
        };
        self.state.info.touch(self.router().shared().clock.now_us() / 1_000_000, id);
        match command.handling {
            Handling::Transaction(Transaction::Exec) => return Some(self.exec(id)),
            Handling::Transaction(Transaction::Discard) => {
                self.leave_transaction();
                self.router().stats().command(id, Outcome::Ok);
                self.deliver_own(write::OK);
                return Some(Dispatch::Done);
            }
            Handling::Transaction(Transaction::Multi) => {
                self.refuse(id, texts::MULTI_NESTED);
                return Some(Dispatch::Done);
            }
            Handling::Transaction(Transaction::Watch) => {
                self.refuse(id, texts::WATCH_IN_MULTI);
                return Some(Dispatch::Done);
            }
            Handling::Local(Local::Quit | Local::Reset) => {
                self.leave_transaction();
                return None;
            }
            _ => {}
        }
        if too_large.is_none()
            && let Some(translation) = self.translated(command, args)
        {
            self.add_translated(id, command, (args, frame), translation);
            return Some(Dispatch::Done);
        }
        let fate = match too_large {
            Some(text) => Fate::Object(text),
            None => self.fate(command, args),
        };
        self.add(id, command, fate, frame);
        Some(Dispatch::Done)
    }

    /// Queues a request of a client that is in a database with a tag.
    fn add_translated(
        &mut self,
        id: CommandId,
        command: &Command,
        (args, frame): (Args<'_>, &[u8]),
        translation: Translation,
    ) {
        let Translation::Tagged(tagged) = translation else {
            let fate = match translation {
                Translation::Refuse(text) => Fate::Object(text),
                _ => self.fate(command, args),
            };
            return self.add(id, command, fate, frame);
        };
        let slot = self.state.database.as_ref().map(|database| database.slot);
        let is_whole = tagged.on_failure.is_some();
        let fate = match command.flags.contains(Flags::NO_MULTI) {
            true => Fate::Object(texts::NO_MULTI.to_owned()),
            false if matches!(command.handling, Handling::KeyScan) => {
                Fate::Object(texts::refused(&command.name, texts::CURSOR_IN_MULTI))
            }
            false => Fate::Node(slot),
        };
        // Within EXEC's reply a node's word that it does not know a script comes too late.
        let scripts = self.env.router.scripts();
        let with_text = is_whole.then(|| with_text(scripts, &tagged.frame)).flatten();
        self.add(id, command, fate, with_text.as_deref().unwrap_or(&tagged.frame));
        if let Some(queuing) = &mut self.mode.queuing {
            queuing.has_scripts |= is_whole;
            if let Some(rename) = tagged.rename
                && !queuing.is_aborted
            {
                queuing.renames.push((queuing.for_node - 1, rename));
            }
        }
    }

    /// What becomes of a command in a transaction.
    fn fate(&mut self, command: &Command, args: Args<'_>) -> Fate {
        if command.flags.contains(Flags::NO_MULTI) {
            return Fate::Object(texts::NO_MULTI.to_owned());
        }
        let refused = |why: &str| Fate::Object(texts::refused(&command.name, why));
        match command.handling {
            Handling::Route | Handling::Block(_) | Handling::Script(_) | Handling::Publish(_) => {}
            Handling::Subscribe(_) | Handling::Unsubscribe(_) => {
                return refused(texts::SUBSCRIBE_IN_MULTI);
            }
            Handling::Transaction(_) => return Fate::Gateway,
            Handling::Local(Local::Hello | Local::Auth | Local::Client(Client::Reply)) => {
                return refused(texts::OF_THE_CONNECTION);
            }
            // What is queued behind it would be in another database, and has been sent on as of this one.
            Handling::Local(Local::Select) if self.selects_another(args) => {
                return refused(texts::SELECT_IN_MULTI);
            }
            Handling::Local(Local::Client(Client::Tracking)) => {
                return refused(texts::TRACKING_IN_MULTI);
            }
            // The node that runs the transaction tracks the keys.
            Handling::Local(Local::Client(Client::Caching)) => {
                return match self.mode.is_watching() {
                    true => refused(texts::CACHING_WHILE_WATCHING),
                    false => Fate::Node(None),
                };
            }
            // An error of CONFIG SET is one of its own, within EXEC's reply, as in Redis.
            Handling::Local(_) | Handling::ConfigSet => return Fate::Gateway,
            Handling::KeyScan => return refused(texts::CURSOR_IN_MULTI),
            Handling::Monitor => return Fate::Object(texts::MONITOR_IN_MULTI.to_owned()),
            Handling::Refuse(why) => return refused(why.text()),
            _ => return refused(texts::NOT_ONE_NODES),
        }
        match router::plan(command, args, CrossSlot::Refuse, &mut self.keys) {
            Plan::Slot(slot) => {
                if self.env.databases.has_slot(slot)
                    && self.state.database.is_none()
                    && let Some(text) = self.objects_to_keys(command, args)
                {
                    return Fate::Object(text);
                }
                let before = self.mode.queuing.as_ref().and_then(|queuing| queuing.slot);
                let before = before.or_else(|| self.mode.watched_slot());
                if before.is_some_and(|before| before != slot) {
                    return Fate::Object(self.cross_slot().to_owned());
                }
                Fate::Node(Some(slot))
            }
            Plan::Any => match self.note_keyless(command, args) {
                Some(text) => Fate::Object(text),
                None => Fate::Node(None),
            },
            Plan::Refuse(text) => Fate::Object(text),
            Plan::Split(_) | Plan::All(..) | Plan::OutOfBand(_) => refused(texts::NOT_ONE_NODES),
        }
    }

    fn selects_another(&self, args: Args<'_>) -> bool {
        let number = parse_integer(args.get(1)).and_then(|number| usize::try_from(number).ok());
        number.is_some_and(|number| number != self.state.info.database())
    }

    fn add(&mut self, id: CommandId, command: &Command, fate: Fate, frame: &[u8]) {
        let bytes_max = self.limits.transaction_bytes_max;
        let Some(queuing) = &mut self.mode.queuing else { return };
        let is_too_long = queuing.bytes() + frame.len() > bytes_max && !queuing.is_aborted;
        let fate = match fate {
            Fate::Node(_) | Fate::Gateway if is_too_long => {
                Fate::Object(texts::TRANSACTION_TOO_LARGE.to_owned())
            }
            fate => fate,
        };
        // Within EXEC's reply a node's word that it does not know a script comes too late.
        let with_text = match command.handling {
            Handling::Script(Script::EvalSha) => with_text(self.env.router.scripts(), frame),
            _ => None,
        };
        let frame = with_text.as_deref().unwrap_or(frame);
        match fate {
            Fate::Object(text) => {
                queuing.abort();
                return self.refuse(id, &text);
            }
            // It is not run, but it is answered as if it might be.
            _ if queuing.is_aborted => {}
            Fate::Node(slot) => queuing.add_for_node(command, slot, frame),
            Fate::Gateway => queuing.add_for_gateway(frame),
        }
        let queued = queuing.len();
        let is_declined = Rc::clone(&queuing.is_declined);
        self.state.info.note_queued(Some(queued));
        match fate {
            Fate::Node(Some(slot)) if self.is_worth_asking(command) => {
                self.ask_whether_queued((slot, id), frame, is_declined);
            }
            _ => self.deliver_own(QUEUED),
        }
    }

    fn abort_transaction(&mut self) {
        if let Some(queuing) = &mut self.mode.queuing {
            queuing.abort();
        }
    }

    /// The transaction is over, and nothing is watched any more.
    fn leave_transaction(&mut self) {
        self.mode.queuing = None;
        self.state.info.note_queued(None);
        self.forget_watched();
    }

    /// EXEC.
    fn exec(&mut self, id: CommandId) -> Dispatch {
        let Some(queuing) = self.mode.queuing.take() else { return Dispatch::Done };
        if queuing.is_aborted || queuing.is_declined.get() {
            self.leave_transaction();
            self.refuse(id, texts::EXEC_ABORT);
            return Dispatch::Done;
        }
        let slot = queuing.slot.unwrap_or_else(|| Router::home_of(self.state.info.id));
        let is_watched = self.mode.watched_slot().is_some();
        if is_watched && self.waits_for_earlier() {
            self.mode.queuing = Some(queuing);
            return Dispatch::NotYet;
        }
        if !is_watched && queuing.for_node > 0 {
            let band = Band::of(queuing.on_failure());
            if band == Band::Scripts && self.must_wait_for_band() {
                self.mode.queuing = Some(queuing);
                return Dispatch::NotYet;
            }
            let master = self.router().master_of(slot, self.state.protocol, band);
            if let Some(pipeline) = master.filter(|pipeline| pipeline.is_crowded())
                && let Some(dispatch) = self.waits_in_line(&pipeline, 0)
            {
                self.mode.queuing = Some(queuing);
                return dispatch;
            }
        }
        self.state.info.note_queued(None);
        queuing.shown.iter().for_each(|shown| self.env.monitors.show(shown));
        let watched = self.mode.take_watched();
        self.state.info.forget_watched();
        let seq = self.take_seq();
        let begun_us = self.router().shared().clock.now_us();
        let on_failure = queuing.on_failure();
        let meta = RequestMeta { slot, command: id, on_failure, begun_us };
        match watched {
            Some(watched) => self.exec_watched(*queuing, watched, (seq, meta)),
            None if queuing.for_node == 0 => {
                let reply = self.with_own_answers(&queuing, b"*0\r\n");
                self.router().stats().command(id, Outcome::Ok);
                self.writer.deliver(seq, &reply, true);
                self.own_bytes += reply.len();
            }
            None => self.exec_shared(*queuing, (seq, meta)),
        }
        Dispatch::Done
    }

    /// Sends the transaction over the connection that all clients share.
    fn exec_shared(&mut self, mut queuing: Queuing, (seq, meta): (u64, RequestMeta)) {
        let make = self.maker(&mut queuing);
        let mut block = queuing.block;
        block.extend_from_slice(EXEC);
        let writer = Rc::clone(&self.writer);
        let handle = match make {
            None => ReplyHandle::new(writer, seq, meta),
            Some(make) => {
                let gather = Rc::new(Gather::new(1, Merge::With(make)));
                ReplyHandle::part(writer, seq, meta, gather, 0)
            }
        };
        let full = self.env.router.send_owned(handle, self.state.protocol, block);
        self.full = full.or(self.full.take());
    }

    /// Sends the transaction over the connection where the client watches.
    fn exec_watched(
        &mut self,
        mut queuing: Queuing,
        watched: Watched,
        (seq, meta): (u64, RequestMeta),
    ) {
        let make = self.maker(&mut queuing);
        let has_scripts = queuing.has_scripts;
        if queuing.reads {
            self.note_untracked(seq);
        }
        let count = queuing.for_node + 2;
        let mut block = queuing.block;
        block.extend_from_slice(EXEC);
        self.errand_bytes = block.len();
        let asker = self.asker(seq, meta);
        let exec = WatchedBlock { asker, block, count, has_scripts, make };
        self.errand = Some(Box::pin(Rc::clone(&self.env.router).exec_watched(exec, watched)));
    }

    /// Puts the gateway's own answers where they belong, if there are any.
    fn maker(&mut self, queuing: &mut Queuing) -> Option<Make> {
        if queuing.for_gateway.is_empty() && queuing.renames.is_empty() {
            return None;
        }
        let own = self.own_answers(queuing);
        let renames = std::mem::take(&mut queuing.renames);
        Some(Box::new(move |parts: &[&[u8]]| {
            let reply = parts.first().copied().unwrap_or_default();
            let renamed = renamed(reply, renames);
            let reply = renamed.as_deref().unwrap_or(reply);
            put_together(reply, &own).unwrap_or_else(|| reply.to_vec())
        }))
    }
}

/// The request of an EVALSHA with the script's text, when that is known.
fn with_text(scripts: &ScriptCache, frame: &[u8]) -> Option<Vec<u8>> {
    let mut scanner = RequestScanner::default();
    scanner.scan(frame, &RequestLimits::NONE, true).ok()?;
    scripts.with_text(scanner.args(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_objected_to_keeps_nothing() {
        let mut queuing = Queuing::begin();
        queuing.add_for_gateway(b"*1\r\n$4\r\nPING\r\n");
        assert!(queuing.bytes() > 0 && queuing.len() == 1);
        queuing.abort();
        assert_eq!((queuing.bytes(), queuing.len(), queuing.is_aborted), (0, 0, true));
    }
}
