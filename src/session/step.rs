//! What happens to one request: looked up, planned, sent on or answered.
//!
//! Owns the choice of who answers. After the look-up nobody reads the command's name again.

use std::rc::Rc;

use super::state::ReplyMode;
use super::transaction::Transaction;
use super::{End, Session, config_get, config_set, info, local, slowlog};
use crate::command::{
    Class, Command, CommandId, CommandTable, Flags, Handling, Local, LookupError, Refusal,
};
use crate::metrics::Outcome;
use crate::reply::merge::{Make, Merge};
use crate::reply::ticket::About;
use crate::reply::{Ticket, texts};
use crate::resp::{Args, write};
use crate::router::{self, Client, Plan, Router, scan};
use crate::slot::Slot;

/// What came of a request.
pub(super) enum Step {
    /// It is on its way or answered.
    Done,
    /// It is large and alone in its buffer: the caller sends it with this ticket.
    SendOwned(Ticket),
    /// Nothing: it has to come again when all before it has been answered.
    NotYet,
}

impl Session {
    /// Deals with one request, `frame` being its bytes. With `own` it may be sent with its buffer.
    #[inline]
    pub(super) fn step(
        &mut self,
        table: &CommandTable,
        args: Args<'_>,
        frame: &[u8],
        own: bool,
    ) -> Step {
        if self.state.transaction != Transaction::Outside && self.is_of_refused_transaction(args) {
            return Step::Done;
        }
        let (id, command) = match table.lookup(args) {
            Ok(found) => found,
            Err(error) => {
                self.object(&error, args);
                return Step::Done;
            }
        };
        self.state.info.touch(self.router().shared().clock.now_us() / 1_000_000, id);
        if !self.state.authenticated && !command.flags.contains(Flags::NO_AUTH) {
            self.refuse(id, texts::NO_AUTH);
            return Step::Done;
        }
        let is_sent_on =
            matches!(command.handling, Handling::Route | Handling::RouteUnlessBlocking)
                || !self.handle(id, command, args, frame);
        if !is_sent_on {
            return Step::Done;
        }
        // The only call of it, or it would not be inlined: 64 instructions more of 1,530 per GET.
        self.route(id, command, args, frame, own)
    }

    /// Deals with a request that is not just sent on. `false`: it is to be sent on after all.
    #[inline(never)]
    fn handle(&mut self, id: CommandId, command: &Command, args: Args<'_>, frame: &[u8]) -> bool {
        match command.handling {
            Handling::Route | Handling::RouteUnlessBlocking => return false,
            Handling::ConfigSet => match config_set::of_the_nodes(args) {
                None => return false,
                Some(option) => {
                    let name = format!("config set {option}");
                    self.refuse(id, &texts::refused(&name, Refusal::ServerAdmin.text()));
                }
            },
            Handling::Local(what) => self.answer(id, what, args),
            Handling::Refuse(why) => {
                if why == Refusal::Multi {
                    self.state.transaction = Transaction::Refused;
                }
                self.refuse(id, &texts::refused(&command.name, why.text()));
            }
            Handling::Scan => self.scan(id, args),
            Handling::Info => self.info(id, args, frame),
            Handling::RandomKey => self.random_key(id, frame),
            Handling::ConfigGet => self.config_get(id, frame),
            Handling::SlowlogGet => self.slowlog_get(id, args, frame),
        }
        true
    }

    /// Says why a request is none.
    fn object(&mut self, error: &LookupError, args: Args<'_>) {
        let is = |name: &[u8]| args.get(0).eq_ignore_ascii_case(name);
        if is(b"POST") || is(b"HOST:") {
            // A browser, sent here by a page that wants its text to be taken for commands. Redis
            // closes the connection without a word too.
            self.router().stats().protocol_errors.add(1);
            tracing::debug!(client = self.state.info.id, "a client speaks HTTP");
            self.finished = Some(End::Protocol);
            return;
        }
        self.refuse(CommandId::MAX, &error.text(args));
    }

    /// Answers with an error of the gateway's.
    pub(super) fn refuse(&mut self, id: CommandId, text: &str) {
        let seq = self.ticket();
        self.router().fail(&self.outlet, seq, id, text);
    }

    fn answer(&mut self, id: CommandId, what: Local, args: Args<'_>) {
        let protocol = self.state.protocol;
        let mut out = Vec::new();
        local::answer(what, args, &mut self.state, &self.around, &mut out);
        let error = out.first() == Some(&b'-');
        let outcome = if error { Outcome::GatewayError } else { Outcome::Ok };
        self.router().stats().command(id, outcome);
        if self.state.protocol != protocol {
            self.sent_version = None;
        }
        self.deliver_own(&out);
        if self.state.closing {
            self.finished = Some(End::Client);
        }
    }

    /// Sends the gateway's own answer, when the client wants answers. CLIENT REPLY OFF and SKIP
    /// have an empty one, which is none.
    fn deliver_own(&mut self, out: &[u8]) {
        match self.state.replies {
            _ if out.is_empty() => {}
            ReplyMode::On => {
                let seq = self.outlet.ticket();
                self.outlet.deliver(seq, out, true);
            }
            ReplyMode::Off => {}
            ReplyMode::SkipNext => self.state.replies = ReplyMode::On,
        }
    }

    fn about(&self, id: CommandId, command: &Command, slot: Slot) -> About {
        About {
            slot,
            command: id,
            repeatable: command.flags.is_readonly(),
            scripted: command.class == Class::Script,
            begun_us: self.router().shared().clock.now_us(),
        }
    }

    #[inline]
    fn route(
        &mut self,
        id: CommandId,
        command: &Command,
        args: Args<'_>,
        frame: &[u8],
        own: bool,
    ) -> Step {
        let home = Router::home_of(self.state.info.id);
        let plan = router::plan(command, args, self.router().cross_slot(), &mut self.keys);
        if matches!(plan, Plan::Beside(_)) {
            // What comes after it must not travel beside it, nor it beside what came before.
            self.sent_version = None;
            if self.outlet.unanswered() > 0 {
                return Step::NotYet;
            }
        }
        let seq = self.ticket();
        let slot = match &plan {
            Plan::Slot(slot) => *slot,
            // It may touch keys all the same, and should find the same ones on every connection.
            Plan::Any if command.class == Class::Script => Slot::of(b""),
            _ => home,
        };
        let about = self.about(id, command, slot);
        let router = Rc::clone(&self.around.router);
        let client = Client { outlet: &self.outlet, protocol: self.state.protocol, home };
        let full = match plan {
            Plan::Slot(_) | Plan::Any if own => {
                return Step::SendOwned(Ticket::new(Rc::clone(&self.outlet), seq, about));
            }
            Plan::Slot(_) | Plan::Any => {
                let make = || Ticket::new(Rc::clone(&self.outlet), seq, about);
                router.send((slot, client.protocol), frame, make)
            }
            Plan::Split(split) => router.send_split(client, seq, about, split, args),
            Plan::AllShards(merge) => router.send_to_all(client, seq, (about, false), merge, frame),
            Plan::AllNodes(merge) => router.send_to_all(client, seq, (about, true), merge, frame),
            Plan::Beside(merge) => {
                router.ask_beside(client, seq, about, merge, frame);
                None
            }
            Plan::Refuse(text) => {
                if text == texts::CROSS_SLOT {
                    router.stats().cross_slot.add(1);
                }
                router.fail(&self.outlet, seq, id, &text);
                None
            }
        };
        if full.is_some() {
            self.full = full;
        }
        Step::Done
    }

    /// SCAN: the next page of one shard, with a cursor that says which.
    fn scan(&mut self, id: CommandId, args: Args<'_>) {
        let map = self.router().map();
        let (mark, shards) = (map.mark(), map.shards().len());
        let position = scan::read(args.get(1), mark, shards);
        let seq = self.ticket();
        let text = match position {
            _ if !map.is_complete() || shards > scan::SHARDS_MAX => texts::NOT_COMPLETE,
            None => texts::SCAN_CURSOR,
            Some(position) => {
                let mut request = Vec::new();
                write::array_len(&mut request, args.len());
                write::bulk(&mut request, args.get(0));
                let cursor = position.cursor.to_string();
                write::bulk(&mut request, cursor.as_bytes());
                for word in args.iter().skip(2) {
                    write::bulk(&mut request, word);
                }
                let shard = position.shard;
                let make = Box::new(move |parts: &[&[u8]]| {
                    let reply = parts.first().copied().unwrap_or_default();
                    scan::rewrite(reply, shard, shards, mark)
                        .unwrap_or_else(|| texts::frame(texts::SCAN_REPLY))
                });
                return self.send_made(id, seq, shard, &request, make);
            }
        };
        self.router().fail(&self.outlet, seq, id, text);
    }

    fn send_made(&mut self, id: CommandId, seq: u64, shard: usize, request: &[u8], make: Make) {
        let router = Rc::clone(&self.around.router);
        let home = Router::home_of(self.state.info.id);
        let client = Client { outlet: &self.outlet, protocol: self.state.protocol, home };
        let begun_us = router.shared().clock.now_us();
        let about = About { slot: home, command: id, repeatable: true, scripted: false, begun_us };
        self.full = router.send_to_shard(client, seq, (about, shard), request, make);
    }

    /// Sends to all masters, and with `replicas` to those too, a command that only reads, and makes one
    /// reply of theirs.
    fn ask_all(&mut self, id: CommandId, frame: &[u8], merge: Merge, replicas: bool) {
        let seq = self.ticket();
        let router = Rc::clone(&self.around.router);
        let home = Router::home_of(self.state.info.id);
        let client = Client { outlet: &self.outlet, protocol: self.state.protocol, home };
        let begun_us = router.shared().clock.now_us();
        let about = About { slot: home, command: id, repeatable: true, scripted: false, begun_us };
        self.full = router.send_to_all(client, seq, (about, replicas), merge, frame);
    }

    /// SLOWLOG GET: of all nodes, replicas too.
    fn slowlog_get(&mut self, id: CommandId, args: Args<'_>, frame: &[u8]) {
        let count = slowlog::count_of(args);
        let merge = move |parts: &[&[u8]]| {
            slowlog::merge(parts, count).unwrap_or_else(|| texts::frame(texts::SLOWLOG_REPLY))
        };
        self.ask_all(id, frame, Merge::With(Box::new(merge)), true);
    }

    /// RANDOMKEY: one of the keys that the shards draw.
    fn random_key(&mut self, id: CommandId, frame: &[u8]) {
        let draw = Box::new(|parts: &[&[u8]]| {
            let some = |part: &&&[u8]| !part.starts_with(b"$-1") && !part.starts_with(b"_");
            let keys: Vec<&&[u8]> = parts.iter().filter(some).collect();
            let drawn = fastrand::choice(&keys).copied().or(parts.first());
            drawn.map_or_else(Vec::new, |key| key.to_vec())
        });
        self.ask_all(id, frame, Merge::With(draw), false);
    }

    /// CONFIG GET: one of the masters is asked, and its passwords are left out.
    fn config_get(&mut self, id: CommandId, frame: &[u8]) {
        let seq = self.ticket();
        let home = Router::home_of(self.state.info.id);
        let shard = self.router().map().shard_of(home).unwrap_or(0);
        let make = Box::new(|parts: &[&[u8]]| {
            let reply = parts.first().copied().unwrap_or_default();
            config_get::as_shown(reply).unwrap_or_else(|| texts::frame(texts::CONFIG_REPLY))
        });
        self.send_made(id, seq, shard, frame, make);
    }

    /// INFO: the nodes' texts made into one, as a single Redis would tell it.
    fn info(&mut self, id: CommandId, args: Args<'_>, frame: &[u8]) {
        let (own, asked) = (self.around.own_figures(), info::Asked::of(args));
        let protocol = self.state.protocol;
        if info::wants_gateway_only(args) || !self.router().map().is_complete() {
            self.router().stats().command(id, Outcome::Ok);
            return self.deliver_own(&info::merge(&[[]; 0], &own, protocol, asked));
        }
        let merge = move |parts: &[&[u8]]| info::merge(parts, &own, protocol, asked);
        self.ask_all(id, frame, Merge::With(Box::new(merge)), false);
    }
}
