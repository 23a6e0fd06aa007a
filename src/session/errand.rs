//! A client's commands over all masters: begun, waited for, and left when the client goes.
//!
//! Owns the errand of a session, at most one at a time: what came before it has been answered when it
//! begins, and what comes behind it waits. How nodes are asked is the router's. What differs from
//! command to command is only how the replies become one.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Session;
use super::dispatch::{Dispatch, Request};
use super::wide_start::WideStart;
use crate::backend::Pipeline;
use crate::builtin::slowlog;
use crate::command::{Command, CommandId};
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::Merge;
use crate::reply::{CloseReason, texts};
use crate::resp::Args;
use crate::router::fanout::proof::Kind;
use crate::router::{self, Asker, Fanout, Router, ScanPage, Wide, plan};

impl Session {
    /// Goes on with the errand; ready when there is none.
    #[inline(always)]
    pub(super) fn poll_errand(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.errand.is_none() { Poll::Ready(()) } else { self.go_on_with_errand(cx) }
    }

    #[inline(never)]
    fn go_on_with_errand(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(errand) = &mut self.errand else { return Poll::Ready(()) };
        if errand.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        (self.errand, self.errand_bytes) = (None, 0);
        self.mode.end_wait();
        self.end_untracked();
        if !self.mode.is_watching() {
            self.state.info.forget_watched();
        }
        Poll::Ready(())
    }

    /// While an errand is under way: whether its client has gone meanwhile. One that is blocked goes
    /// as soon as it has closed its side: nothing may be popped for nobody.
    pub(super) fn poll_beside_errand(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.mode.is_blocked() {
            if self.state.info.is_draining() {
                return Poll::Ready(CloseReason::Drained);
            }
            let gone = self.input.poll_gone(cx).map(|()| CloseReason::Client);
            self.writer.note_input(self.input.held() + self.errand_bytes);
            return gone;
        }
        let is_gone = self.finished.is_none() && self.input.poll_broken(cx).is_ready();
        if is_gone { Poll::Ready(CloseReason::Client) } else { Poll::Pending }
    }

    /// Whether a request with so many words is taken apart a little at a time, and how it begins.
    #[cold]
    pub(super) fn begins_wide(
        &mut self,
        id: CommandId,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Dispatch> {
        let group_len = command.group_len()?;
        let merge = plan::merge_of_parts(command)?;
        if !(args.len() - 1).is_multiple_of(group_len as usize) {
            return None;
        }
        if let Some(dispatch) = self.refuses_keys(id, command, args) {
            return Some(dispatch);
        }
        if self.waits_for_earlier() {
            return Some(Dispatch::NotYet);
        }
        let meta = self.meta(id, command, Router::home_of(self.state.info.id));
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        Some(Dispatch::Wide(Box::new(WideStart { asker, group_len, merge })))
    }

    /// Begins with a request that owns its bytes.
    pub(super) fn begin_wide(
        &mut self,
        start: WideStart,
        request: Vec<u8>,
        ranges: Vec<(u32, u32)>,
    ) {
        let WideStart { asker, group_len, merge } = start;
        self.errand_bytes = request.len() + size_of_val(&*ranges);
        let wide = Wide { asker, request, ranges, group_len, merge };
        self.errand = Some(Box::pin(Rc::clone(&self.env.router).send_wide(wide)));
    }

    /// What becomes of a request to a node that has much to answer already: it waits for its turn.
    /// `None`: it may be sent.
    #[cold]
    pub(super) fn waits_in_line(
        &mut self,
        pipeline: &Rc<Pipeline>,
        weight: u32,
    ) -> Option<Dispatch> {
        if pipeline.has_room_for(&self.writer, self.writer.unanswered(), weight) {
            pipeline.use_turn(&self.writer);
            return None;
        }
        self.full = Some(Rc::clone(pipeline));
        self.weight = weight;
        Some(Dispatch::NotYet)
    }

    /// Whether a request that travels beside the pipelines has to wait for those before it. Those
    /// behind it wait for it in any case.
    pub(super) fn waits_for_earlier(&mut self) -> bool {
        self.barrier.raise();
        self.writer.unanswered() > 0
    }

    pub(super) fn asker(&self, seq: u64, meta: RequestMeta) -> Asker {
        Asker { writer: Rc::clone(&self.writer), seq, meta, protocol: self.state.protocol }
    }

    /// [`Session::about`] a request that no slot stands for.
    pub(super) fn meta_of_all(&self, request: Request<'_>) -> RequestMeta {
        self.meta(request.id, request.command, Router::home_of(self.state.info.id))
    }

    /// Begins to ask all masters.
    pub(super) fn fan_out(
        &mut self,
        asker: Asker,
        request: Request<'_>,
        (kind, with_replicas): (Kind, bool),
        merge: Merge,
    ) {
        let Request { command, args, frame, .. } = request;
        let lane = router::fanout::lane_of(command, args.len());
        let fanout = Fanout { asker, request: frame.into(), kind, lane, with_replicas, merge };
        self.errand = Some(Box::pin(Rc::clone(&self.env.router).fan_out(fanout)));
    }

    /// SCAN: the next page of one master, with a cursor that says which.
    pub(super) fn scan(&mut self, request: Request<'_>) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let meta = self.meta_of_all(request);
        let seq = self.take_seq();
        let is_shown = (!self.env.databases.is_one()).then(|| self.own_keys());
        let page = ScanPage::of(request.args, self.asker(seq, meta), is_shown);
        self.errand = Some(Box::pin(Rc::clone(&self.env.router).scan_page(page)));
        Dispatch::Done
    }

    /// Asks all masters, and with `replicas` those too, and makes one reply of theirs.
    pub(super) fn ask_all(
        &mut self,
        request: Request<'_>,
        (kind, with_replicas, merge): (Kind, bool, Merge),
    ) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..self.meta_of_all(request) };
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        self.fan_out(asker, request, (kind, with_replicas), merge);
        Dispatch::Done
    }

    /// Has all nodes do the same, replicas too.
    pub(super) fn tell_all(&mut self, request: Request<'_>) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let meta = self.meta_of_all(request);
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        self.fan_out(asker, request, (Kind::PerNode, true), Merge::AllSucceeded);
        Dispatch::Done
    }

    /// CONFIG SET of the events that nodes tell of: at all nodes, and at those that come later.
    pub(super) fn set_event_classes(&mut self, request: Request<'_>, classes: &[u8]) -> Dispatch {
        let (known, classes) = (Arc::clone(&self.env.event_classes), Vec::from(classes));
        // Only called when no node has answered with an error.
        let remember = move |parts: &[&[u8]]| {
            known.set(&classes);
            parts.first().map_or_else(Vec::new, |part| part.to_vec())
        };
        self.ask_all(request, (Kind::PerNode, true, Merge::With(Box::new(remember))))
    }

    /// SLOWLOG GET: of all nodes, replicas too.
    pub(super) fn slowlog_get(&mut self, request: Request<'_>) -> Dispatch {
        let count = slowlog::count_of(request.args);
        let databases = Arc::clone(&self.env.databases);
        let merge = move |parts: &[&[u8]]| {
            let merged = slowlog::merge(parts, count, &databases);
            merged.unwrap_or_else(|| texts::frame(texts::SLOWLOG_REPLY))
        };
        self.ask_all(request, (Kind::PerNode, true, Merge::With(Box::new(merge))))
    }

    /// RANDOMKEY: one of the keys that the shards draw.
    pub(super) fn random_key(&mut self, request: Request<'_>) -> Dispatch {
        let draw = Box::new(|parts: &[&[u8]]| {
            let some = |part: &&&[u8]| !part.starts_with(b"$-1") && !part.starts_with(b"_");
            let keys: Vec<&&[u8]> = parts.iter().filter(some).collect();
            let drawn = fastrand::choice(&keys).copied().or(parts.first());
            drawn.map_or_else(Vec::new, |key| key.to_vec())
        });
        self.ask_all(request, (Kind::Collect, false, Merge::With(draw)))
    }
}
