//! Requests that came back unanswered, and what becomes of them: the one loop for redirects,
//! nodes that cannot serve, and lost connections.
//!
//! Owns the order of retries and the waiting; what becomes of one request is [`decide`]'s. Invariants:
//! requests of one client are sent again in the order in which they came, one at a time (the parts of
//! one request together), after everything else under way has been answered, and one that was refused
//! never behind a later one on its slot; a request is sent again only when it did not run, or only
//! reads; none waits longer than `failover_wait`.

mod decide;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Router;
use super::hold_budget::Share;
use crate::backend::Band;
use crate::metrics::Outcome;
use crate::reply::returned::{NO_SCRIPT, Unavailable};
use crate::reply::{Answered, ClientWriter, ReplyHandle, ReturnReason, ReturnedRequest, texts};
use crate::resp::Protocol;
use crate::topology::Trigger;
use decide::{Case, GiveUp, Limits, Next, Situation, is_redirect};

/// The recovery of one client.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Unanswered requests, by sequence number.
    held: Vec<HeldRequest>,
    /// The request sent again last, until it is answered.
    under_way: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct HeldRequest {
    returned: ReturnedRequest,
    /// Its bytes, counted as held.
    share: Share,
    /// The router's generation when it came back: a newer one is worth a try at once.
    generation: u64,
    /// Not tried again before this time, unless the map changes.
    not_before_us: u64,
    /// What has gone wrong has not been told to the topology yet.
    is_new: bool,
    /// The map has been changed as a redirect said.
    patched: bool,
}

impl Recovery {
    /// Whether nothing of this client is in trouble.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.under_way.is_none()
    }

    /// Whether a request is kept until a node can serve it, which may take as long as a failover.
    pub fn waits_for_a_node(&self) -> bool {
        let why = self.held.first().map(|held| &held.returned.why);
        why.is_some_and(|why| {
            !is_redirect(why) && !matches!(why, ReturnReason::Unavailable(Unavailable::TryAgain, _))
        })
    }

    /// Goes on as far as possible. Ready when nothing of this client is in trouble any more; until
    /// then no further request of it may be sent.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        router: &Router,
        writer: &Rc<ClientWriter>,
        protocol: Protocol,
    ) -> Poll<()> {
        writer.wake_when_unanswered(Some(usize::MAX));
        loop {
            self.absorb(router, writer);
            if self.under_way.is_some_and(|seq| writer.is_answered(seq)) {
                self.under_way = None;
            }
            let Some(first) = self.held.first() else {
                if self.under_way.is_some() {
                    return Poll::Pending;
                }
                writer.wake_when_unanswered(None);
                writer.forget_answered();
                self.timer = None;
                return Poll::Ready(());
            };
            if self.under_way.is_some_and(|seq| first.returned.handle.seq > seq) {
                return Poll::Pending;
            }
            router.catch_up();
            match self.next(router, writer) {
                Next::Wait(pause) => {
                    if self.poll_timer(cx, pause).is_pending() {
                        router.wake_on_change(writer, cx.waker());
                        return Poll::Pending;
                    }
                }
                next => self.carry_out(next, router, protocol),
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
    fn absorb(&mut self, router: &Router, writer: &Rc<ClientWriter>) {
        if !writer.has_returned() {
            return;
        }
        for mut returned in writer.take_returned() {
            if returned.why == ReturnReason::NoScript {
                match router.scripts().mended(&returned.request) {
                    Some(request) => returned.request = request,
                    None => {
                        answer_no_script(router, returned.handle);
                        continue;
                    }
                }
            }
            // A redirect is followed at once: only what has to wait counts as held.
            let goes_at_once = is_redirect(&returned.why)
                || matches!(returned.why, ReturnReason::NoScript | ReturnReason::BehindScript);
            let bytes = if goes_at_once { 0 } else { returned.request.len() };
            let Some(share) = router.hold(bytes) else {
                let may_have_run = returned.why == ReturnReason::Indeterminate
                    && !returned.handle.on_failure.may_run_twice();
                let text = if may_have_run { texts::INDETERMINATE } else { texts::HOLD_FULL };
                finish(router, returned.handle, text);
                continue;
            };
            let held = HeldRequest {
                returned,
                share,
                generation: router.generation(),
                not_before_us: 0,
                is_new: true,
                patched: false,
            };
            let seq = held.returned.handle.seq;
            let at = self.held.partition_point(|other| other.returned.handle.seq <= seq);
            self.held.insert(at, held);
        }
        self.timer = None;
    }

    /// What to do with the first held request.
    fn next(&mut self, router: &Router, writer: &Rc<ClientWriter>) -> Next {
        let now_us = router.shared().clock.tick();
        let others_under_way = writer.under_way() > self.requests_held();
        let Some(held) = self.held.first_mut() else { return Next::Send };
        if let Some(give_up) = decide::gives_up(&held.case(now_us), &limits_of(router)) {
            return Next::Fail(give_up);
        }
        if std::mem::take(&mut held.is_new) {
            held.tell(router);
            let pause = decide::pause_after(&held.returned.why, held.tries());
            held.not_before_us = now_us + pause.as_micros() as u64;
            if router.rules.failover_wait_us == 0 && !pause.is_zero() {
                return Next::Fail(GiveUp::LastWord);
            }
        }
        let handle = &held.returned.handle;
        let situation = Situation {
            others_under_way,
            has_new_map: router.generation() != held.generation,
            is_patched: held.patched,
            pause_left_us: held.not_before_us.saturating_sub(now_us),
        };
        let (topology, is_script) = (&router.topology, handle.on_failure.is_script());
        let (slot, seq) = (handle.slot, handle.seq);
        let was_overtaken = || writer.was_overtaken(slot, seq);
        let locate = |redirect: &_| match is_script {
            true => topology.locate_known(redirect),
            false => topology.locate(redirect),
        };
        let next = decide::next(&held.case(now_us), &situation, was_overtaken, locate);
        match next {
            Next::Refresh(pause) => {
                topology.want_refresh(Trigger::Moved);
                Next::Wait(pause)
            }
            Next::PatchAndSend => {
                held.patch(router);
                Next::Send
            }
            next => next,
        }
    }

    /// How many requests of the client have something in trouble.
    fn requests_held(&self) -> usize {
        let mut seqs = self.held.iter().map(|held| held.returned.handle.seq).collect::<Vec<_>>();
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

    fn carry_out(&mut self, next: Next, router: &Router, protocol: Protocol) {
        let HeldRequest { returned, share, .. } = self.held.remove(0);
        drop(share);
        self.timer = None;
        if let Next::Fail(give_up) = next {
            let text = text_of(give_up, router, &returned);
            return finish(router, returned.handle, &text);
        }
        let ReturnedRequest { mut handle, request, why } = returned;
        let retry = handle.retry_mut();
        retry.tries = retry.tries.saturating_add(1);
        retry.losses = retry.losses.saturating_add(u16::from(why == ReturnReason::Indeterminate));
        retry.sent_us = router.shared().clock.now_us();
        // A slot that moves back and forth is waited for; only redirects in a row are a loop.
        retry.redirects = if is_redirect(&why) { retry.redirects.saturating_add(1) } else { 0 };
        self.under_way = Some(handle.seq);
        let band = Band::of(handle.on_failure);
        match next {
            Next::Ask(node) => {
                router.stats().asked.add(1);
                handle.note_elsewhere();
                router.pipelines.get(&node, protocol, band).send_asking(handle, request);
            }
            Next::SendTo(node) => {
                router.pipelines.get(&node, protocol, band).send_owned(handle, request);
            }
            _ => drop(router.send_owned(handle, protocol, request)),
        }
    }
}

impl HeldRequest {
    /// What came back, as far as the decision depends on it.
    fn case(&mut self, now_us: u64) -> Case<'_> {
        let handle = &mut self.returned.handle;
        let retry = handle.retry_mut();
        if retry.first_returned_us == 0 {
            retry.first_returned_us = now_us;
        }
        let retry = *retry;
        Case {
            why: &self.returned.why,
            on_failure: handle.on_failure,
            redirects: retry.redirects,
            losses: retry.losses,
            waited_us: now_us - retry.first_returned_us,
        }
    }

    fn tries(&self) -> u16 {
        self.returned.handle.retry().map_or(0, |retry| retry.tries)
    }

    /// Tells the topology what has just gone wrong, and counts it.
    fn tell(&mut self, router: &Router) {
        let (topology, stats) = (&router.topology, router.stats());
        match &self.returned.why {
            ReturnReason::Moved(_) if !self.returned.handle.on_failure.is_script() => {
                stats.moved.add(1);
                self.patch(router);
            }
            ReturnReason::Moved(_) | ReturnReason::Ask(_) => topology.want_refresh(Trigger::Moved),
            ReturnReason::Unavailable(Unavailable::TryAgain, _) => stats.retried_unavailable.add(1),
            ReturnReason::Unavailable(..) => {
                stats.retried_unavailable.add(1);
                topology.want_refresh(Trigger::NodeTrouble);
            }
            ReturnReason::Unsent | ReturnReason::Indeterminate => {
                stats.retried_lost.add(1);
                topology.want_refresh(Trigger::NodeTrouble);
            }
            ReturnReason::NoMaster => topology.want_refresh(Trigger::NoMaster),
            ReturnReason::NoScript | ReturnReason::BehindScript => {}
        }
    }

    /// Changes the map as the redirect says.
    fn patch(&mut self, router: &Router) {
        if let ReturnReason::Moved(redirect) = &self.returned.why {
            self.patched = router.topology.moved(redirect);
            router.catch_up();
        }
    }
}

fn limits_of(router: &Router) -> Limits {
    let rules = &router.rules;
    Limits { redirects_max: rules.redirects_max, failover_wait_us: rules.failover_wait_us }
}

/// The error for the client. Has the map looked at where that is the likely cause.
fn text_of(give_up: GiveUp, router: &Router, returned: &ReturnedRequest) -> String {
    match give_up {
        GiveUp::Indeterminate => {
            router.topology.want_refresh(Trigger::NodeTrouble);
            texts::INDETERMINATE.to_owned()
        }
        GiveUp::Redirects => texts::REDIRECTS.to_owned(),
        GiveUp::CursorOfAnother => {
            router.topology.want_refresh(Trigger::Moved);
            texts::CURSOR_OF_ANOTHER.to_owned()
        }
        GiveUp::Unreachable => router.why_unreachable(returned.handle.slot).to_owned(),
        GiveUp::LastWord => last_word(router, returned),
    }
}

fn last_word(router: &Router, returned: &ReturnedRequest) -> String {
    let on_failure = returned.handle.on_failure;
    let is_script = on_failure.is_script() && !on_failure.is_block();
    match &returned.why {
        ReturnReason::Unavailable(_, text) => text.clone(),
        ReturnReason::NoMaster => router.why_not_served().to_owned(),
        // What a script made up is its reply.
        ReturnReason::Moved(redirect) if is_script => redirect.text("MOVED"),
        ReturnReason::Ask(redirect) if is_script => redirect.text("ASK"),
        ReturnReason::Moved(_) | ReturnReason::Ask(_) => texts::REDIRECTS.to_owned(),
        ReturnReason::Unsent
        | ReturnReason::Indeterminate
        | ReturnReason::NoScript
        | ReturnReason::BehindScript => router.why_unreachable(returned.handle.slot).to_owned(),
    }
}

/// The gateway does not know the script either: the node's words are the answer.
fn answer_no_script(router: &Router, mut handle: ReplyHandle) {
    if handle.answer(NO_SCRIPT) != Answered::NotYet {
        router.stats().command(handle.command, Outcome::Error);
    }
}

fn finish(router: &Router, handle: ReplyHandle, text: &str) {
    let command = handle.command;
    if handle.fail(text) != Answered::NotYet {
        router.stats().command(command, Outcome::GatewayError);
    }
}
