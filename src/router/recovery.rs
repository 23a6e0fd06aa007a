//! Requests that came back unanswered, and what becomes of them: the one loop for redirects,
//! nodes that cannot serve, and lost connections.
//!
//! Owns the order of retries, the waiting and the giving up. Invariants: requests of one client
//! are sent again in the order in which they came, one at a time (the parts of one request
//! together), after everything else under way has been answered, and one that was refused never
//! behind a later one on its slot; a request is sent again only when it did not run, or only reads;
//! none waits longer than `failover_wait`.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Router;
use super::held::Share;
use crate::backend::NodeAddress;
use crate::metrics::Outcome;
use crate::reply::ticket::Pinned;
use crate::reply::trouble::NotNow;
use crate::reply::{Answered, Outlet, Ticket, Trouble, Why, texts};
use crate::resp::Protocol;
use crate::topology::Trigger;

/// Longest pause before a held request is tried again without news of the map.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause after TRYAGAIN, and while a redirect's host name is being resolved.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// How often a request that only reads is sent again because its connection was lost. What it asks
/// for may be what the node does not survive, and others have their requests on that connection.
const LOSSES_MAX: u16 = 4;

/// The recovery of one client.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Unanswered requests, by sequence number.
    held: Vec<Held>,
    /// The request sent again last, until it is answered.
    under_way: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Held {
    trouble: Trouble,
    /// Its bytes, counted as held.
    share: Share,
    /// Map version when it came back: a newer one is worth a try at once.
    version: u64,
    /// Not tried again before this time, unless the map changes.
    not_before_us: u64,
    /// What has gone wrong has not been told to the topology yet.
    is_new: bool,
    /// The map has been changed as a redirect said.
    patched: bool,
}

/// What to do with a held request now.
enum Step {
    /// Send it where its slot is served.
    Send,
    /// Send it to this node, though the map names another.
    At(NodeAddress),
    /// Send it to this node, after ASKING.
    Ask(NodeAddress),
    /// Keep it for so long or until the map changes.
    Wait(Duration),
    /// Answer with this error.
    Fail(String),
}

impl Recovery {
    /// Whether nothing of this client is in trouble.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.under_way.is_none()
    }

    /// Whether a request is kept until a node can serve it, which may take as long as a failover.
    pub fn waits_for_a_node(&self) -> bool {
        let why = self.held.first().map(|held| &held.trouble.why);
        why.is_some_and(|why| !is_redirect(why) && !matches!(why, Why::NotNow(NotNow::TryAgain, _)))
    }

    /// Goes on as far as possible. Ready when nothing of this client is in trouble any more; until
    /// then no further request of it may be sent.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        router: &Router,
        outlet: &Rc<Outlet>,
        protocol: Protocol,
    ) -> Poll<()> {
        outlet.wake_when_unanswered(Some(usize::MAX));
        loop {
            self.absorb(router, outlet);
            if self.under_way.is_some_and(|seq| outlet.is_answered(seq)) {
                self.under_way = None;
            }
            let Some(first) = self.held.first() else {
                if self.under_way.is_some() {
                    return Poll::Pending;
                }
                outlet.wake_when_unanswered(None);
                outlet.forget_answered();
                self.timer = None;
                return Poll::Ready(());
            };
            if self.under_way.is_some_and(|seq| first.trouble.ticket.seq > seq) {
                return Poll::Pending;
            }
            router.catch_up();
            match self.step(router, outlet) {
                Step::Wait(pause) => {
                    if self.poll_timer(cx, pause).is_pending() {
                        router.wake_on_change(outlet, cx.waker());
                        return Poll::Pending;
                    }
                }
                step => self.carry_out(step, router, protocol),
            }
        }
    }

    /// The client has gone: nothing of it is held any longer.
    pub fn abandon(&mut self) {
        self.held.clear();
        self.under_way = None;
        self.timer = None;
    }

    /// Takes in what has come back since the last call.
    fn absorb(&mut self, router: &Router, outlet: &Rc<Outlet>) {
        if !outlet.has_troubles() {
            return;
        }
        for trouble in outlet.take_troubles() {
            // A redirect is followed at once: only what has to wait counts as held.
            let bytes = if is_redirect(&trouble.why) { 0 } else { trouble.request.len() };
            let Some(share) = router.hold(bytes) else {
                let may_have_run = trouble.why == Why::Indeterminate && !trouble.ticket.repeatable;
                let text = if may_have_run { texts::INDETERMINATE } else { texts::HOLD_FULL };
                finish(router, trouble.ticket, text);
                continue;
            };
            let held = Held {
                trouble,
                share,
                version: router.version(),
                not_before_us: 0,
                is_new: true,
                patched: false,
            };
            let seq = held.trouble.ticket.seq;
            let at = self.held.partition_point(|other| other.trouble.ticket.seq <= seq);
            self.held.insert(at, held);
        }
        self.timer = None;
    }

    /// What to do with the first held request.
    fn step(&mut self, router: &Router, outlet: &Rc<Outlet>) -> Step {
        let now_us = router.shared().clock.tick();
        let others = outlet.under_way() > self.requests_held();
        let Some(held) = self.held.first_mut() else { return Step::Send };
        if let Some(text) = held.gives_up(router, now_us) {
            return Step::Fail(text);
        }
        if std::mem::take(&mut held.is_new) {
            let pause = held.tell(router);
            held.not_before_us = now_us + pause.as_micros() as u64;
            if router.rules.failover_wait_us == 0 && !pause.is_zero() {
                return Step::Fail(last_word(router, &held.trouble));
            }
        }
        if others {
            // What was sent after it may still run before it: wait and see.
            return Step::Wait(PAUSE);
        }
        // A redirect is one for all commands on the key: later ones on it come back too.
        let ticket = &held.trouble.ticket;
        let refused = matches!(held.trouble.why, Why::NotNow(..));
        if refused && outlet.was_overtaken(ticket.slot, ticket.seq) {
            return Step::Fail(last_word(router, &held.trouble));
        }
        if router.version() == held.version && now_us < held.not_before_us {
            return Step::Wait(Duration::from_micros(held.not_before_us - now_us));
        }
        held.where_to(router)
    }

    /// How many requests of the client have something in trouble.
    fn requests_held(&self) -> usize {
        let mut seqs = self.held.iter().map(|held| held.trouble.ticket.seq).collect::<Vec<_>>();
        seqs.dedup();
        seqs.len()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, pause: Duration) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pause)));
        let due = Instant::now() + pause;
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        let polled = timer.as_mut().poll(cx);
        if polled.is_ready() {
            self.timer = None;
        }
        polled
    }

    fn carry_out(&mut self, step: Step, router: &Router, protocol: Protocol) {
        let Held { trouble, share, .. } = self.held.remove(0);
        drop(share);
        let Trouble { mut ticket, request, why } = trouble;
        self.timer = None;
        if let Step::Fail(text) = step {
            return finish(router, ticket, &text);
        }
        let retry = ticket.retry_mut();
        retry.tries = retry.tries.saturating_add(1);
        retry.losses = retry.losses.saturating_add(u16::from(why == Why::Indeterminate));
        retry.sent_us = router.shared().clock.now_us();
        // A slot that moves back and forth is waited for; only redirects in a row are a loop.
        retry.redirects = if is_redirect(&why) { retry.redirects.saturating_add(1) } else { 0 };
        self.under_way = Some(ticket.seq);
        match step {
            Step::Ask(node) => {
                router.stats().asked.add(1);
                ticket.note_elsewhere();
                router.pipelines.get(&node, protocol).send_asking(ticket, request);
            }
            Step::At(node) => router.pipelines.get(&node, protocol).send_owned(ticket, request),
            _ => drop(router.send_owned(ticket, protocol, request)),
        }
    }
}

impl Held {
    /// The error to answer with, when it is not to be tried again.
    fn gives_up(&mut self, router: &Router, now_us: u64) -> Option<String> {
        let (ticket, why) = (&mut self.trouble.ticket, &self.trouble.why);
        if is_redirect(why)
            && ticket.retry().map_or(0, |retry| retry.redirects) >= router.rules.redirects_max
        {
            return Some(texts::REDIRECTS.to_owned());
        }
        if is_redirect(why) && ticket.pinned == Pinned::GoesOn {
            router.topology.want_refresh(Trigger::Moved);
            return Some(texts::CURSOR_OF_ANOTHER.to_owned());
        }
        if *why == Why::Indeterminate && !ticket.repeatable {
            router.topology.want_refresh(Trigger::NodeTrouble);
            return Some(texts::INDETERMINATE.to_owned());
        }
        let losses = ticket.retry().map_or(0, |retry| retry.losses);
        if *why == Why::Indeterminate && losses >= LOSSES_MAX {
            return Some(router.why_unreachable(ticket.slot).to_owned());
        }
        // What counts is how long it has been in trouble, not how long a slow node took to say so.
        let retry = ticket.retry_mut();
        if retry.troubled_us == 0 {
            retry.troubled_us = now_us;
        }
        let waited_us = now_us - retry.troubled_us;
        (waited_us > router.rules.failover_wait_us).then(|| last_word(router, &self.trouble))
    }

    /// Tells the topology what has just gone wrong; returns how long to wait before the next try,
    /// unless the map changes.
    fn tell(&mut self, router: &Router) -> Duration {
        let (topology, stats) = (&router.topology, router.stats());
        match &self.trouble.why {
            Why::Moved(redirect) if !self.trouble.ticket.scripted => {
                stats.moved.add(1);
                self.patched = topology.moved(redirect);
                router.catch_up();
                Duration::ZERO
            }
            Why::Moved(_) | Why::Ask(_) => {
                topology.want_refresh(Trigger::Moved);
                Duration::ZERO
            }
            Why::NotNow(NotNow::TryAgain, _) => {
                stats.retried_not_now.add(1);
                SHORT_PAUSE
            }
            Why::NotNow(..) => {
                stats.retried_not_now.add(1);
                topology.want_refresh(Trigger::NodeTrouble);
                PAUSE
            }
            Why::Unsent | Why::Indeterminate => {
                stats.retried_lost.add(1);
                topology.want_refresh(Trigger::NodeTrouble);
                if self.trouble.ticket.retry().is_none_or(|retry| retry.tries == 0) {
                    SHORT_PAUSE
                } else {
                    PAUSE
                }
            }
            Why::NoMaster => {
                topology.want_refresh(Trigger::NoMaster);
                PAUSE
            }
        }
    }

    /// Where it is to be sent now. A redirect that a script may have made up is followed only to a
    /// node that the cluster itself has told of, and never changes the map for others.
    fn where_to(&mut self, router: &Router) -> Step {
        let topology = &router.topology;
        let locate = |redirect| match self.trouble.ticket.scripted {
            true => topology.locate_known(redirect),
            false => topology.locate(redirect),
        };
        let node = match &self.trouble.why {
            Why::Moved(redirect) | Why::Ask(redirect) => locate(redirect),
            _ => return Step::Send,
        };
        match (node, &self.trouble.why) {
            (Some(node), Why::Ask(_)) => Step::Ask(node),
            (Some(node), _) if self.trouble.ticket.scripted => Step::At(node),
            (Some(_), Why::Moved(redirect)) if !self.patched => {
                // Its host name has been resolved only now.
                self.patched = topology.moved(redirect);
                router.catch_up();
                Step::Send
            }
            (Some(_), _) => Step::Send,
            (None, _) => {
                topology.want_refresh(Trigger::Moved);
                Step::Wait(SHORT_PAUSE)
            }
        }
    }
}

/// Whether a node has named another one.
fn is_redirect(why: &Why) -> bool {
    matches!(why, Why::Moved(_) | Why::Ask(_))
}

fn last_word(router: &Router, trouble: &Trouble) -> String {
    match &trouble.why {
        Why::NotNow(_, text) => text.clone(),
        Why::NoMaster => router.why_not_served().to_owned(),
        // What a script made up is its reply.
        Why::Moved(redirect) if trouble.ticket.scripted => redirect.text("MOVED"),
        Why::Ask(redirect) if trouble.ticket.scripted => redirect.text("ASK"),
        Why::Moved(_) | Why::Ask(_) => texts::REDIRECTS.to_owned(),
        Why::Unsent | Why::Indeterminate => router.why_unreachable(trouble.ticket.slot).to_owned(),
    }
}

fn finish(router: &Router, ticket: Ticket, text: &str) {
    let command = ticket.command;
    if ticket.fail(text) != Answered::NotYet {
        router.stats().command(command, Outcome::GatewayError);
    }
}
