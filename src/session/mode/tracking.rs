//! A client that tracks keys: the connections it has for itself, and where the nodes' words go.
//!
//! Owns the beginning and the end of it, and the form in which a client is told which keys have changed.
//! What a node tracks is the node's; its connections are the router's. Invariant: whenever it cannot be
//! said any more which keys have changed, the client is told that all may have.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::{Invalidation, Invalidations, Tracker, TrackingMode};
use crate::builtin::tracking::{self, Wanted};
use crate::clients::mailbox::Letter;
use crate::clients::{ClientInfo, Clients, TrackingPlace};
use crate::command::CommandId;
use crate::database::Databases;
use crate::metrics::{Outcome, WorkerStats};
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::{ClientWriter, texts};
use crate::resp::{Protocol, write};
use crate::router::Router;
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};
use crate::session::env::ListenerEnv;

/// Connections of one client from before a change that are kept, for each node.
const PREVIOUS_MAX: usize = 3;
/// The channel on which RESP2 has the messages.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What a client has while it tracks.
#[derive(Debug)]
pub(super) struct TrackingClient {
    /// What it goes back to.
    shared: Rc<ListenerEnv>,
    tracker: Rc<Tracker>,
    invalidations: Rc<InvalidationWriter>,
    /// A request reads what no node tracks: the client must not keep it.
    untracked: bool,
    /// The connections from before the options or the protocol changed, the latest last: the nodes still
    /// track there what had been read.
    previous: Vec<Connections>,
    _place: TrackingPlace,
}

/// The connections of a client that tracks: the way there, and what the nodes have been told.
type Connections = (Rc<ListenerEnv>, Rc<Tracker>);

/// Where the nodes' messages go: to the client, or to the one that it has named.
#[derive(Debug)]
struct InvalidationWriter {
    writer: Rc<ClientWriter>,
    info: Arc<ClientInfo>,
    stats: Arc<WorkerStats>,
    /// Others read the keys too.
    broadcasts: bool,
    databases: Arc<Databases>,
    /// The client that gets the messages instead.
    target: RefCell<Option<Arc<ClientInfo>>>,
    /// How many requests had been answered when the client was last told that all may have changed.
    flushed_at: Cell<Option<usize>>,
}

impl InvalidationWriter {
    /// Whether the client knows already that all may have changed, and has read nothing since.
    fn knows(&self, not_before: u64) -> bool {
        if self.broadcasts {
            return false;
        }
        let answered = self.writer.answered();
        let is_now = not_before <= answered as u64;
        let knows = is_now && self.flushed_at.get() == Some(answered);
        self.flushed_at.set(is_now.then_some(answered));
        knows
    }

    fn tell(&self, what: Invalidation<'_>, not_before: u64) {
        if self.info.protocol() != 3 {
            // RESP2 has no such messages, and nobody else is to get them.
            return;
        }
        let mut out = Vec::new();
        write_push(&mut out, what);
        self.writer.push_beside_replies(&out, not_before);
    }

    /// The client that was to get the messages has gone.
    fn tell_broken(&self, not_before: u64) {
        let redirect = self.info.tracking().redirect;
        self.info.note_redirect_broken();
        if self.info.protocol() == 3 {
            let mut out = b">2\r\n".to_vec();
            write::bulk(&mut out, b"tracking-redir-broken");
            write::integer(&mut out, redirect as i64);
            self.writer.push_beside_replies(&out, not_before);
        }
    }
}

impl Invalidations for InvalidationWriter {
    fn take(&self, what: Invalidation<'_>, not_before: u64) {
        if what == Invalidation::All && self.knows(not_before) {
            return;
        }
        self.stats.invalidations.add(1);
        let shown;
        let what = match what {
            Invalidation::Keys(keys) => {
                shown = tracking::shown_keys(keys, &self.databases);
                Invalidation::Keys(shown.as_deref().unwrap_or(keys))
            }
            Invalidation::All => what,
        };
        let target = self.target.borrow();
        match target.as_ref() {
            None => self.tell(what, not_before),
            Some(target) if target.send(what) => {}
            Some(_) => self.tell_broken(not_before),
        }
    }
}

fn write_push(out: &mut Vec<u8>, what: Invalidation<'_>) {
    out.extend_from_slice(b">2\r\n");
    write::bulk(out, b"invalidate");
    match what {
        Invalidation::Keys(keys) => out.extend_from_slice(keys),
        Invalidation::All => write::null(out, Protocol::Resp3),
    }
}

fn write_message(out: &mut Vec<u8>, what: Invalidation<'_>) {
    write::array_len(out, 3);
    write::bulk(out, b"message");
    write::bulk(out, CHANNEL);
    match what {
        Invalidation::Keys(keys) => out.extend_from_slice(keys),
        Invalidation::All => write::null(out, Protocol::Resp2),
    }
}

impl Session {
    /// CLIENT TRACKING.
    pub(in crate::session) fn track(&mut self, request: Request<'_>) -> Dispatch {
        // From now on requests travel over other connections.
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let clients = &self.env.clients;
        let exists = |id| clients.get(id).is_some();
        match tracking::read(request.args, self.state.tracking.as_deref(), exists) {
            Err(text) => self.refuse(request.id, &text),
            Ok(Wanted::Off) => {
                self.end_tracking();
                self.router().stats().command(request.id, Outcome::Ok);
                self.deliver_own(write::OK);
            }
            Ok(Wanted::On(wanted)) => return self.begin_tracking(request, wanted),
        }
        self.keep_caching();
        Dispatch::Done
    }

    fn begin_tracking(&mut self, request: Request<'_>, wanted: tracking::Tracking) -> Dispatch {
        let Request { id, command, .. } = request;
        let target = match wanted.redirect {
            0 => None,
            redirect => self.env.clients.get(redirect),
        };
        let before = self.state.tracking.take();
        let is_same = before.as_ref().is_some_and(|before| {
            before.options == wanted.options && (before.redirect == 0) == (wanted.redirect == 0)
        });
        let broadcasts = wanted.options.mode == TrackingMode::Broadcast;
        self.state.info.note_tracking(wanted.redirect, broadcasts);
        self.state.tracking = Some(Box::new(wanted));
        self.keep_caching();
        if is_same {
            if let Some(mode) = &self.mode.tracking {
                *mode.invalidations.target.borrow_mut() = target;
            }
        } else if !self.open_tracking(target) {
            self.end_tracking();
            self.refuse(id, texts::TOO_MANY_TRACKING);
            return Dispatch::Done;
        }
        if broadcasts && !is_same {
            let home = Router::home_of(self.state.info.id);
            let meta = self.meta(id, command, home);
            let seq = self.take_seq();
            self.keep_caching();
            self.await_broadcast((seq, meta));
        } else {
            self.router().stats().command(id, Outcome::Ok);
            self.deliver_own(write::OK);
        }
        Dispatch::Done
    }

    /// Gives the client connections of its own, by what its state says. Those that it has had are kept
    /// for what has been read there; where they cannot say what changes, or there are too many of them,
    /// all may have changed. `false`: too many clients have some.
    fn open_tracking(&mut self, target: Option<Arc<ClientInfo>>) -> bool {
        let Some(wanted) = &self.state.tracking else { return false };
        let (mut is_unknown, mut previous) = (false, Vec::new());
        let (shared, place, invalidations) = match self.mode.tracking.take() {
            Some(before) => {
                let TrackingClient { shared, tracker, invalidations, _place: place, .. } = *before;
                *invalidations.target.borrow_mut() = target;
                previous = before.previous;
                let has_read = self.env.router.pipelines().answered() > 0;
                is_unknown = has_read && !tracker.can_tell();
                previous.push((Rc::clone(&self.env), tracker));
                (shared, place, invalidations)
            }
            None => match Clients::begin_tracking(&self.env.clients, self.limits.tracking_max) {
                Some(place) => (Rc::clone(&self.env), place, self.new_invalidation_writer(target)),
                None => return false,
            },
        };
        let how = (self.state.protocol, wanted.redirect != 0);
        let options = tracking::for_nodes(&wanted.options, &shared.databases);
        let same = previous.iter().position(|(_, tracker)| tracker.is_for(&options, how));
        let (env, tracker) = match same {
            Some(at) => previous.remove(at),
            None => {
                let messages: Rc<dyn Invalidations> = Rc::clone(&invalidations) as _;
                let tracker = Rc::new(Tracker::new(options, how, messages));
                let router = shared.router.apart(Rc::clone(&tracker));
                (Rc::new(shared.with_router(router)), tracker)
            }
        };
        self.env = env;
        if previous.len() > PREVIOUS_MAX {
            previous.remove(0);
            is_unknown = true;
        }
        let (untracked, _place) = (false, place);
        let client = TrackingClient { shared, tracker, invalidations, untracked, previous, _place };
        self.mode.tracking = Some(Box::new(client));
        if is_unknown {
            self.flush_tracked();
        }
        true
    }

    fn new_invalidation_writer(&self, target: Option<Arc<ClientInfo>>) -> Rc<InvalidationWriter> {
        let options = self.state.tracking.as_ref().map(|wanted| wanted.options.mode);
        Rc::new(InvalidationWriter {
            writer: Rc::clone(&self.writer),
            info: Arc::clone(&self.state.info),
            stats: Arc::clone(self.env.router.stats()),
            broadcasts: options == Some(TrackingMode::Broadcast),
            databases: Arc::clone(&self.env.databases),
            target: RefCell::new(target),
            flushed_at: Cell::new(None),
        })
    }

    /// The client tracks nothing any more.
    pub(in crate::session) fn end_tracking(&mut self) {
        self.state.tracking = None;
        self.state.info.forget_tracking();
        if let Some(mode) = self.mode.tracking.take() {
            self.env = mode.shared;
        }
    }

    /// The client speaks another protocol from now on, and so do its connections.
    pub(in crate::session) fn change_tracked_protocol(&mut self, id: CommandId) {
        let Some(mode) = &self.mode.tracking else { return };
        let target = mode.invalidations.target.borrow().clone();
        if !self.open_tracking(target) || !self.broadcasts() {
            return;
        }
        let home = Router::home_of(self.state.info.id);
        let begun_us = self.router().shared().clock.now_us();
        let on_failure = OnFailure::Resend;
        let meta = RequestMeta { slot: home, command: id, on_failure, begun_us };
        let seq = self.writer.take_muted_seq();
        self.await_broadcast((seq, meta));
    }

    fn broadcasts(&self) -> bool {
        self.mode.tracking.as_ref().is_some_and(|mode| mode.tracker.broadcasts())
    }

    /// Answers when all masters broadcast what is wanted now. Until then the connections from before tell
    /// what was, and the client's requests wait.
    fn await_broadcast(&mut self, (seq, meta): (u64, RequestMeta)) {
        let Some(mode) = self.mode.tracking.as_mut() else { return };
        let (tracker, previous) = (Rc::clone(&mode.tracker), std::mem::take(&mut mode.previous));
        self.barrier.raise();
        let done = Box::new(move || drop(previous));
        self.router().broadcast(&tracker, &self.writer, (seq, meta), done);
    }

    /// Whether requests are under way on connections that the client is about to lose.
    pub(in crate::session) fn leaves_tracked_requests(&mut self) -> bool {
        self.mode.tracking.is_some() && self.waits_for_earlier()
    }

    fn flush_tracked(&self) {
        if let Some(mode) = &self.mode.tracking {
            mode.tracker.flush(self.writer.next_seq());
        }
    }

    /// Notes that CLIENT CACHING precedes request `seq`, if it does.
    #[cold]
    pub(in crate::session) fn note_opted(&self, seq: u64) {
        if let (Some(state), Some(mode)) = (&self.state.tracking, &self.mode.tracking)
            && state.caching
        {
            mode.tracker.opt(seq, self.writer.answered() as u64);
        }
    }

    /// CLIENT CACHING holds on behind this command.
    pub(in crate::session) fn keep_caching(&mut self) {
        if let Some(state) = &mut self.state.tracking {
            state.keeps_caching = true;
        }
    }

    /// A command has been dealt with: CLIENT CACHING held for that one, or holds until EXEC.
    #[inline(always)]
    pub(in crate::session) fn end_caching(&mut self) {
        if !self.is_special {
            return;
        }
        if let Some(state) = &mut self.state.tracking {
            let holds = std::mem::take(&mut state.keeps_caching) || self.mode.is_queuing();
            state.caching &= holds;
        }
    }

    /// Request `seq` reads over a connection where nothing is tracked.
    pub(super) fn note_untracked(&mut self, seq: u64) {
        if let Some(mode) = &mut self.mode.tracking {
            mode.untracked = mode.tracker.tracks(seq);
        }
    }

    /// What was read over such a connection has been answered, and must not be kept.
    pub(in crate::session) fn end_untracked(&mut self) {
        if let Some(mode) = &mut self.mode.tracking
            && std::mem::take(&mut mode.untracked)
        {
            self.flush_tracked();
        }
    }

    /// Gives the client what others have left for it, and looks whether nodes have refused to track.
    #[inline]
    pub(in crate::session) fn take_mail(&mut self) {
        if self.state.info.mailbox.has_mail() {
            self.deliver_mail();
        }
        if let Some(mode) = &self.mode.tracking
            && mode.tracker.has_failed()
            && self.writer.unanswered() == 0
        {
            self.end_tracking();
            self.barrier.raise();
        }
    }

    #[cold]
    fn deliver_mail(&self) {
        let now_us = self.router().shared().clock.now_us();
        let is_subscribed = self.state.info.is_subscribed();
        // A client is told that it is subscribed before it gets a message; a wait has no end.
        let not_before = if self.mode.is_blocked() { 0 } else { self.writer.next_seq() };
        for letter in self.state.info.mailbox.take() {
            let what = match &letter {
                Letter::Some(keys) => Invalidation::Keys(keys),
                Letter::None => Invalidation::All,
            };
            let mut out = Vec::new();
            match self.state.protocol {
                Protocol::Resp3 => write_push(&mut out, what),
                Protocol::Resp2 if is_subscribed => write_message(&mut out, what),
                Protocol::Resp2 => continue,
            }
            if is_subscribed {
                self.writer.push(&out, not_before, now_us);
            } else {
                self.writer.push_beside_replies(&out, not_before);
            }
        }
    }
}
