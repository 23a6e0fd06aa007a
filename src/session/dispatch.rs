//! What happens to one request: looked up, planned, sent on or answered.
//!
//! Owns the choice of who answers. After the look-up nobody reads the command's name again.

use std::rc::Rc;

use super::Session;
use super::wide_start::WideStart;
use crate::backend::large::LARGE_MIN;
use crate::backend::{Band, Pipeline};
use crate::builtin::state::ReplyMode;
use crate::builtin::{self, config};
use crate::command::guarded::Denied;
use crate::command::handling::Way;
use crate::command::{
    Class, Client, Command, CommandId, CommandTable, Flags, Handling, Local, LookupError, ReplyKeys,
};
use crate::metrics::Outcome;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::{CloseReason, ReplyHandle, texts};
use crate::resp::{Args, ProtocolError, RequestFault, write};
use crate::router::fanout::proof::Kind;
use crate::router::wide::WORDS_MIN;
use crate::router::{self, Plan, Router};
use crate::slot::Slot;

/// A request that the command table knows.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) id: CommandId,
    pub(super) command: &'a Command,
    /// Its words.
    pub(super) args: Args<'a>,
    /// All its bytes.
    pub(super) frame: &'a [u8],
}

/// What came of a request.
pub(super) enum Dispatch {
    /// It is on its way or answered.
    Done,
    /// It is large and alone in its buffer: the caller sends it with this reply handle.
    SendOwned(ReplyHandle),
    /// It has very many keys: the caller begins an errand with its bytes.
    Wide(Box<WideStart>),
    /// Nothing: it has to come again, when all before it has been answered or its time has come.
    NotYet,
}

impl Session {
    /// Deals with one request, `frame` being its bytes. With `own` it may be sent with its buffer.
    #[inline]
    pub(super) fn dispatch(
        &mut self,
        table: &CommandTable,
        args: Args<'_>,
        frame: &[u8],
        own: bool,
    ) -> Dispatch {
        if self.is_special
            && self.mode.is_queuing()
            && let Some(dispatch) = self.queue(table, args, frame)
        {
            self.note_special();
            return dispatch;
        }
        let (id, command) = match table.lookup(args) {
            Ok(found) => found,
            Err(error) => {
                self.object(&error, args);
                return Dispatch::Done;
            }
        };
        if self.writer.is_deaf() && !command.may_matter_to_others() {
            // Its client hears nothing any more: only what changes data still runs.
            return Dispatch::Done;
        }
        if self.too_large.is_some() {
            let text = self.too_large.take().unwrap_or_default();
            self.refuse(id, &text);
            return Dispatch::Done;
        }
        self.state.info.touch(self.router().shared().clock.now_us() / 1_000_000, id);
        if !self.state.authenticated && !command.flags.contains(Flags::NO_AUTH) {
            self.refuse(id, texts::NO_AUTH);
            return Dispatch::Done;
        }
        if self.is_special
            && let Some(dispatch) = self.dispatch_specially(Request { id, command, args, frame })
        {
            return dispatch;
        }
        if !command.is_routed() {
            let dispatch = self.handle(Request { id, command, args, frame });
            self.note_special();
            if let Some(dispatch) = dispatch {
                return dispatch;
            }
        }
        // The only call of it, or it would not be inlined: 64 instructions more of 1,530 per GET.
        self.route(id, command, args, frame, own)
    }

    /// Deals with a request of a client that is in something: one that it must not send there, or one
    /// that is another in its database. `None`: it is one like any other.
    #[inline(never)]
    fn dispatch_specially(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let Request { id, command, args, .. } = request;
        if self.sends_scripts && command.class != Class::Script && self.waits_for_scripts() {
            return Some(Dispatch::NotYet);
        }
        if self.mode.is_subscribed()
            && let Some(dispatch) = self.objects_as_subscribed(id, command, args)
        {
            return Some(dispatch);
        }
        if self.mode.is_monitoring()
            && let Some(dispatch) = self.objects_as_monitor(id, command)
        {
            return Some(dispatch);
        }
        if self.state.database.is_some() { self.dispatch_in_database(request) } else { None }
    }

    /// Whether the next request is to be looked at more closely. Called behind whatever may have changed
    /// what the client is in; most clients are in nothing, and pay for one look at one flag.
    pub(super) fn note_special(&mut self) {
        self.is_special = self.mode.is_queuing()
            || self.mode.is_restricted()
            || self.mode.is_tracking()
            || self.state.database.is_some()
            || self.state.tracking.is_some()
            || self.sends_scripts;
    }

    /// The pipeline that a request travels on, if it goes to one node that is there. `None`: it has to
    /// wait for others of its client.
    #[inline(always)]
    fn pipeline_for(
        &mut self,
        plan: &Plan,
        command: &Command,
        slot: Slot,
    ) -> Option<Option<Rc<Pipeline>>> {
        if !matches!(plan, Plan::Slot(_) | Plan::Any) {
            return Some(None);
        }
        let is_script = command.class == Class::Script;
        if is_script && self.must_wait_for_band() {
            return None;
        }
        let band = if is_script { Band::Scripts } else { Band::Common };
        Some(self.env.router.master_of(slot, self.state.protocol, band))
    }

    /// Notes that a script is to be sent; `true`: not yet, because requests of the same client are under way
    /// that are none, and travel on another connection.
    #[cold]
    #[inline(never)]
    pub(super) fn must_wait_for_band(&mut self) -> bool {
        if self.sends_scripts {
            return false;
        }
        if self.writer.unanswered() > 0 {
            self.barrier.raise();
            return true;
        }
        self.sends_scripts = true;
        self.note_special();
        false
    }

    /// The other way round: notes that something else is to be sent; `true`: not yet, because scripts are
    /// under way.
    #[cold]
    fn waits_for_scripts(&mut self) -> bool {
        if self.writer.unanswered() > 0 {
            self.barrier.raise();
            return true;
        }
        self.sends_scripts = false;
        self.note_special();
        false
    }

    /// Deals with a request that is not just sent on. `None`: it is to be sent on after all.
    #[inline(never)]
    fn handle(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let Request { id, command, args, .. } = request;
        match command.handling {
            Handling::Route => return None,
            Handling::Transaction(what) => return Some(self.transaction(what, request)),
            Handling::Script(what) => return self.note_script(what, request),
            Handling::Block(timeout_at) => {
                return self
                    .refuses_keys(id, command, args)
                    .or_else(|| self.block(request, timeout_at, ReplyKeys::None));
            }
            Handling::Subscribe(topic) => return Some(self.subscribe(request, topic)),
            Handling::Unsubscribe(topic) => return Some(self.unsubscribe(request, topic)),
            Handling::Publish(topic) => return self.publish(request, topic),
            Handling::Monitor => return Some(self.monitor(id)),
            Handling::Wait(timeout_at) => return Some(self.wait(request, timeout_at)),
            Handling::ConfigResetStat => {
                self.env.clients.reset_totals();
                return None;
            }
            Handling::ConfigSet | Handling::Guarded(_) => {
                return self.carry_out_if_allowed(request);
            }
            Handling::Local(what) if self.tries_too_soon(what, args) => {
                return Some(Dispatch::NotYet);
            }
            Handling::Local(Local::Client(Client::Tracking)) => return Some(self.track(request)),
            Handling::Local(Local::Hello | Local::Reset) if self.leaves_tracked_requests() => {
                return Some(Dispatch::NotYet);
            }
            Handling::Local(what) => {
                if what == Local::Reset {
                    self.forget_watched();
                    self.forget_subscriptions();
                    self.stop_monitoring();
                    self.end_tracking();
                }
                self.answer(id, what, args);
                if matches!(what, Local::Client(_)) {
                    self.keep_caching();
                }
            }
            Handling::Refuse(why) => {
                self.refuse(id, &texts::refused(&command.name, why.text()));
            }
            Handling::Keyspace(what) => return self.keyspace(request, what),
            Handling::Scan => return Some(self.scan(request)),
            Handling::KeyScan => {
                return self.refuses_keys(id, command, args).or_else(|| self.key_scan(request));
            }
            Handling::Info => return Some(self.info(request)),
            Handling::RandomKey if self.env.databases.is_one() => {
                return Some(self.random_key(request));
            }
            Handling::RandomKey => return Some(self.random_own_key(request)),
            Handling::ConfigGet => return Some(self.config_get(request)),
            Handling::SlowlogGet => return Some(self.slowlog_get(request)),
        }
        Some(Dispatch::Done)
    }

    /// What acts at nodes behind the gateway's back, where the configuration allows it. `None`: it
    /// is to be sent on.
    fn carry_out_if_allowed(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let Request { id, command, args, .. } = request;
        let allowed = &self.env.allowed;
        let denied = match command.handling {
            Handling::ConfigSet => allowed.denies_config_set(args),
            _ => allowed.denies(args),
        };
        if let Some(Denied { name, why }) = denied {
            self.refuse(id, &texts::refused(&name, &why));
            return Some(Dispatch::Done);
        }
        let masters = self.router().map().shards().len();
        if command.handling == Handling::ConfigSet
            && let Some(frame) = config::with_shares(args, masters)
        {
            self.router().shared().shortage.suspect();
            return Some(self.tell_all(Request { frame: &frame, ..request }));
        }
        if command.handling == Handling::ConfigSet
            && let Some(classes) = config::event_classes(args)
        {
            return Some(self.set_event_classes(request, classes));
        }
        let by_all = command.handling == Handling::Guarded(Way::AllNodes);
        by_all.then(|| self.tell_all(request))
    }

    /// Says why a request is none.
    pub(super) fn object(&mut self, error: &LookupError, args: Args<'_>) {
        let is = |name: &[u8]| args.get(0).eq_ignore_ascii_case(name);
        if is(b"POST") || is(b"HOST:") {
            // A browser, sent here by a page that wants its text to be taken for commands. Redis
            // closes the connection without a word too.
            self.router().stats().protocol_errors.add(1);
            tracing::debug!(client = self.state.info.id, "a client speaks HTTP");
            self.finished = Some(CloseReason::Protocol);
            return;
        }
        self.refuse(CommandId::MAX, &error.text(args));
    }

    /// Says what is wrong, as Redis does, and closes.
    pub(super) fn protocol_error(&mut self, fault: RequestFault) {
        let stats = self.env.router.stats();
        stats.protocol_errors.add(1);
        let seq = self.writer.take_seq();
        let mut line = Vec::new();
        write::error(&mut line, &format!("ERR Protocol error: {}", ProtocolError::Request(fault)));
        self.writer.deliver(seq, &line, true);
        self.finished = Some(CloseReason::Protocol);
    }

    /// Answers with an error of the gateway's.
    pub(super) fn refuse(&mut self, id: CommandId, text: &str) {
        self.was_refused = true;
        let seq = self.take_seq();
        self.router().fail(&self.writer, seq, id, text);
    }

    fn answer(&mut self, id: CommandId, what: Local, args: Args<'_>) {
        let protocol = self.state.protocol;
        let mut out = Vec::new();
        let table = self.router().table();
        builtin::answer(what, args, &mut self.state, &self.env.local(&table), &mut out);
        let error = out.first() == Some(&b'-');
        let outcome = if error { Outcome::GatewayError } else { Outcome::Ok };
        self.router().stats().command(id, outcome);
        if self.state.protocol != protocol {
            self.barrier.raise();
            self.lose_watched();
            self.tell_subscriber_protocol();
        }
        self.deliver_own(&out);
        if self.state.protocol != protocol {
            self.change_tracked_protocol(id);
        }
        if self.state.closing {
            self.finished = Some(CloseReason::Client);
        }
    }

    /// Sends the gateway's own answer, when the client wants answers. CLIENT REPLY OFF and SKIP
    /// have an empty one, which is none.
    pub(super) fn deliver_own(&mut self, out: &[u8]) {
        match self.state.replies {
            _ if out.is_empty() => {}
            ReplyMode::On => {
                let seq = self.writer.take_seq();
                self.writer.deliver(seq, out, true);
                self.own_bytes += out.len();
            }
            ReplyMode::Off => {}
            ReplyMode::SkipNext => self.state.replies = ReplyMode::On,
        }
    }

    pub(super) fn meta(&self, id: CommandId, command: &Command, slot: Slot) -> RequestMeta {
        RequestMeta {
            slot,
            command: id,
            on_failure: OnFailure::of(command.flags.is_readonly(), command.class == Class::Script),
            begun_us: self.router().shared().clock.now_us(),
        }
    }

    #[cold]
    fn fail_plan(&self, seq: u64, id: CommandId, text: &str) {
        let text = if text == texts::CROSS_SLOT { self.cross_slot() } else { text };
        self.router().fail(&self.writer, seq, id, text);
    }

    /// Counts a request whose keys are in several slots, and says so.
    pub(super) fn cross_slot(&self) -> &'static str {
        self.router().stats().cross_slot.add(1);
        let is_one = self.env.databases.is_one();
        if is_one { texts::CROSS_SLOT } else { texts::CROSS_SLOT_IN_0 }
    }

    /// What becomes of a request some of whose keys would be those of another database.
    #[inline(always)]
    fn refuses_plan(
        &mut self,
        plan: &Plan,
        (id, command): (CommandId, &Command),
        args: Args<'_>,
    ) -> Option<Dispatch> {
        let databases = &self.env.databases;
        let may_be_anothers = match (plan, command.only_key()) {
            // Tags begin with a brace, and so do few keys.
            (Plan::Slot(_), Some(key)) => args.get(key as usize).first() == Some(&b'{'),
            (Plan::Slot(slot), None) => databases.has_slot(*slot),
            (Plan::Split(split), _) => {
                (0..split.len()).any(|part| databases.has_slot(split.slot(part)))
            }
            _ => false,
        };
        if may_be_anothers { self.refuses_keys(id, command, args) } else { None }
    }

    #[inline]
    fn route(
        &mut self,
        id: CommandId,
        command: &Command,
        args: Args<'_>,
        frame: &[u8],
        own: bool,
    ) -> Dispatch {
        if args.len() >= WORDS_MIN
            && let Some(dispatch) = self.begins_wide(id, command, args)
        {
            return dispatch;
        }
        let home = Router::home_of(self.state.info.id);
        let plan = router::plan(command, args, self.router().cross_slot(), &mut self.keys);
        if matches!(plan, Plan::OutOfBand(_) | Plan::All(..)) && self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        if let Some(dispatch) = self.refuses_plan(&plan, (id, command), args) {
            return dispatch;
        }
        let slot = match &plan {
            Plan::Slot(slot) => *slot,
            // It may touch keys all the same, and should find the same ones on every connection.
            Plan::Any if command.class == Class::Script => Slot::of(b""),
            _ => home,
        };
        let Some(master) = self.pipeline_for(&plan, command, slot) else {
            return Dispatch::NotYet;
        };
        let router = Rc::clone(&self.env.router);
        // What brings a large value is not answered with one.
        let weight = if frame.len() < LARGE_MIN { router.shared().large.of(slot) } else { 0 };
        if let Some(pipeline) = &master
            && (pipeline.is_crowded() || weight > 0)
            && let Some(dispatch) = self.waits_in_line(pipeline, weight)
        {
            return dispatch;
        }
        let seq = self.take_seq();
        if command.class == Class::Script
            && matches!(plan, Plan::Any)
            && let Some(text) = self.note_keyless(command, args)
        {
            router.fail(&self.writer, seq, id, &text);
            return Dispatch::Done;
        }
        let meta = self.meta(id, command, slot);
        let client = router::Client { writer: &self.writer, protocol: self.state.protocol, home };
        let full = match plan {
            Plan::Slot(_) | Plan::Any if own => {
                return Dispatch::SendOwned(ReplyHandle::new(Rc::clone(&self.writer), seq, meta));
            }
            Plan::Slot(_) | Plan::Any => {
                router.send_by(master, (frame, weight), || {
                    ReplyHandle::new(Rc::clone(&self.writer), seq, meta)
                });
                None
            }
            Plan::Split(split) => router.send_split(client, seq, meta, split, args),
            Plan::All(merge, with_replicas) => {
                let asker = self.asker(seq, meta);
                let request = Request { id, command, args, frame };
                self.fan_out(asker, request, (Kind::of(command), with_replicas), merge);
                None
            }
            Plan::OutOfBand(merge) => {
                router.ask_out_of_band(client, seq, meta, merge, frame);
                None
            }
            Plan::Refuse(text) => {
                self.fail_plan(seq, id, &text);
                None
            }
        };
        if full.is_some() {
            self.full = full;
        }
        Dispatch::Done
    }
}
