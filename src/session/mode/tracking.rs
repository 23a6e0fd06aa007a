//! A client that tracks keys: the connections it has for itself, and where the nodes' words go.
//!
//! Owns the beginning and the end of it, and the form in which a client is told which keys have changed.
//! What a node tracks is the node's; its connections are the router's. Invariant: whenever it cannot be
//! said any more which keys have changed, the client is told that all may have.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::{Invalidation, Invalidations, Tracker, TrackingMode};
use crate::database::Databases;
use crate::metrics::{Outcome, WorkerStats};
use crate::reply::{ClientWriter, texts};
use crate::resp::{Protocol, write};
use crate::router::Router;
use crate::session::Session;
use crate::session::client_info::ClientInfo;
use crate::session::clients::{Clients, TrackingPlace};
use crate::session::dispatch::{Dispatch, Request};
use crate::session::mailbox::Letter;
use crate::session::state::ListenerEnv;
use crate::session::tracking::{self, Wanted};

/// The channel on which RESP2 has the messages.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What a client has while it tracks.
#[derive(Debug)]
pub(super) struct TrackingClient {
    /// What it goes back to.
    shared: Rc<ListenerEnv>,
    tracker: Rc<Tracker>,
    outlet: Rc<Outlet>,
    /// A request reads what no node tracks: the client must not keep it.
    untracked: bool,
    _place: TrackingPlace,
}

/// Where the nodes' words go.
#[derive(Debug)]
struct Outlet {
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

impl Outlet {
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

impl Invalidations for Outlet {
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
                *mode.outlet.target.borrow_mut() = target;
            }
        } else if !self.open_tracking(target) {
            self.end_tracking();
            self.refuse(id, texts::TOO_MANY_TRACKING);
            return Dispatch::Done;
        }
        let tracker = self.mode.tracking.as_ref().map(|mode| Rc::clone(&mode.tracker));
        if let Some(tracker) = tracker.filter(|_| broadcasts && !is_same) {
            self.barrier.raise();
            let home = Router::home_of(self.state.info.id);
            let meta = self.meta(id, command, home);
            let seq = self.take_seq();
            self.keep_caching();
            self.router().broadcast(&tracker, &self.writer, (seq, meta));
        } else {
            self.router().stats().command(id, Outcome::Ok);
            self.deliver_own(write::OK);
        }
        if before.is_some() && !is_same {
            self.flush_tracked();
        }
        Dispatch::Done
    }

    /// Gives the client connections of its own, by what its state says. `false`: too many have some.
    fn open_tracking(&mut self, target: Option<Arc<ClientInfo>>) -> bool {
        let Some(wanted) = &self.state.tracking else { return false };
        let (shared, place) = match self.mode.tracking.take() {
            Some(before) => {
                let TrackingClient { shared, _place: place, .. } = *before;
                (shared, place)
            }
            None => match Clients::begin_tracking(&self.env.clients, self.limits.tracking_max) {
                Some(place) => (Rc::clone(&self.env), place),
                None => return false,
            },
        };
        let outlet = Rc::new(Outlet {
            writer: Rc::clone(&self.writer),
            info: Arc::clone(&self.state.info),
            stats: Arc::clone(shared.router.stats()),
            broadcasts: wanted.options.mode == TrackingMode::Broadcast,
            databases: Arc::clone(&shared.databases),
            target: RefCell::new(target),
            flushed_at: Cell::new(None),
        });
        let sink: Rc<dyn Invalidations> = Rc::clone(&outlet) as _;
        let how = (self.state.protocol, wanted.redirect != 0);
        let options = tracking::for_nodes(&wanted.options, &shared.databases);
        let tracker = Rc::new(Tracker::new(options, how, sink));
        let router = shared.router.apart(Rc::clone(&tracker));
        self.env = Rc::new(shared.with_router(router));
        let client = TrackingClient { shared, tracker, outlet, untracked: false, _place: place };
        self.mode.tracking = Some(Box::new(client));
        true
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
    pub(in crate::session) fn change_tracked_protocol(&mut self) {
        let Some(mode) = &self.mode.tracking else { return };
        let target = mode.outlet.target.borrow().clone();
        if self.open_tracking(target)
            && let Some(mode) = &self.mode.tracking
        {
            mode.tracker.set_standing(true);
            self.flush_tracked();
        }
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
