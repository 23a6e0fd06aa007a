//! INFO and CONFIG GET: what all masters say, made one.
//!
//! Owns who is asked: all masters or, while a part of the cluster cannot answer, those that live.
//! Must not know how their answers are made one.

use std::rc::Rc;
use std::sync::Arc;

use super::Session;
use super::database::hidden::{Size, sizes};
use super::dispatch::{Dispatch, Request};
use crate::builtin::config;
use crate::builtin::info::{self, Asked};
use crate::metrics::Outcome;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::{Make, Merge};
use crate::reply::texts;
use crate::router::Fanout;
use crate::router::fanout::lane_of;
use crate::router::fanout::proof::Kind;
use crate::slot::SLOTS;
use crate::topology::ClusterMap;

impl Session {
    /// INFO: the nodes' texts made into one, as a single Redis would tell it.
    pub(super) fn info(&mut self, request: Request<'_>) -> Dispatch {
        let args = request.args;
        let (mut own, asked) = (self.env.own_figures(), Asked::of(args));
        let (protocol, map) = (self.state.protocol, self.router().map());
        let base = info::base(args, &self.router().topology().server_version());
        own.slots_unserved = SLOTS - map.assigned();
        if info::wants_gateway_only(args) || map.shards().is_empty() {
            let parts = if asked == Asked::Gateway { Vec::new() } else { vec![base] };
            self.router().stats().command(request.id, Outcome::Ok);
            self.deliver_own(&info::merge(&parts, &own, protocol, asked));
            return Dispatch::Done;
        }
        let wants_sizes = !self.env.databases.is_one() && info::wants_keyspace(args);
        let unproved = texts::frame(texts::SLOTS_MOVING);
        let mut merge = move |parts: &[&[u8]], sizes: Vec<Size>| {
            own.databases = sizes;
            // It stands behind the masters' own parts.
            let (parts, is_proved) = match parts.split_last() {
                Some((last, parts)) if **last == *unproved => (parts, false),
                _ => (parts, true),
            };
            let is_there = |part: &&&[u8]| !part.starts_with(b"-");
            let mut there: Vec<&[u8]> = parts.iter().filter(is_there).copied().collect();
            if there.len() < parts.len() {
                own.masters_missing = parts.len() - there.len();
                own.slots_unserved += slots_of_missing(&map, parts);
            }
            own.keys_unknown = !is_proved && own.masters_missing == 0 && own.slots_unserved == 0;
            if there.is_empty() {
                there.push(&base);
            }
            info::merge(&there, &own, protocol, asked)
        };
        if wants_sizes && self.router().is_whole() {
            return self.ask_with_sizes(request, merge);
        }
        self.ask_whole(
            request,
            (Kind::Count, Box::new(move |parts: &[&[u8]]| merge(parts, Vec::new()))),
        )
    }

    /// Asks all masters, and each database with a tag for its size before.
    fn ask_with_sizes(
        &mut self,
        request: Request<'_>,
        merge: impl FnOnce(&[&[u8]], Vec<Size>) -> Vec<u8> + 'static,
    ) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..self.meta_of_all(request) };
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        let lane = lane_of(request.command, request.args.len());
        let (request, router) = (request.frame.into(), Rc::clone(&self.env.router));
        let databases = Arc::clone(&self.env.databases);
        self.errand = Some(Box::pin(async move {
            // Where a part of the cluster cannot answer, all keys are told as database 0's.
            let sizes = sizes(&router, &databases, &asker).await.unwrap_or_default();
            let make = Box::new(move |parts: &[&[u8]]| merge(parts, sizes));
            let (kind, merge) = (Kind::Count, Merge::WithErrors(make));
            let fanout = Fanout { asker, request, kind, lane, with_replicas: false, merge };
            router.fan_out(fanout).await;
        }));
        Dispatch::Done
    }

    /// CONFIG GET: what a single Redis would tell, passwords left out.
    pub(super) fn config_get(&mut self, request: Request<'_>) -> Dispatch {
        let (own, settings) = (self.env.own_figures(), self.env.settings);
        let merge = move |parts: &[&[u8]]| {
            config::merge(parts, &own, &settings)
                .or_else(|| parts.iter().find(|part| part.starts_with(b"-")).map(|e| e.to_vec()))
                .unwrap_or_else(|| texts::frame(texts::CONFIG_REPLY))
        };
        self.ask_whole(request, (Kind::PerNode, Box::new(merge)))
    }

    /// Asks all masters or, while some cannot answer, those that live.
    fn ask_whole(&mut self, request: Request<'_>, (kind, make): (Kind, Make)) -> Dispatch {
        let router = Rc::clone(&self.env.router);
        if router.is_whole() {
            return self.ask_all(request, (kind, false, Merge::WithErrors(make)));
        }
        let meta = RequestMeta { on_failure: OnFailure::Resend, ..self.meta_of_all(request) };
        let seq = self.take_seq();
        if router.map().shards().is_empty() {
            router.fail(&self.writer, seq, request.id, router.why_not_complete());
        } else {
            router.ask_living(&self.writer, (seq, meta), Merge::WithErrors(make), request.frame);
        }
        Dispatch::Done
    }
}

/// How many slots the masters have whose parts are errors.
fn slots_of_missing(map: &Arc<ClusterMap>, parts: &[&[u8]]) -> usize {
    let missing = parts.iter().enumerate().filter(|(_, part)| part.starts_with(b"-"));
    let ranges = missing.flat_map(|(shard, _)| map.ranges_of(shard));
    ranges.map(|(first, last)| usize::from(last - first) + 1).sum()
}
