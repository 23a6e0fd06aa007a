//! Subscriptions: the client's part.
//!
//! Owns what a subscribed client may send, and the answers to its commands. Who gets which message is
//! the hub's. See <https://redis.io/docs/latest/develop/pubsub/>.

use std::rc::Rc;

use crate::builtin::state::ReplyMode;
use crate::command::{Command, CommandId, Handling, Local, Topic};
use crate::metrics::Outcome;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::Merge;
use crate::reply::{Gather, ReplyHandle, texts};
use crate::resp::{Args, Protocol, write};
use crate::router::hub::events::is_event_channel;
use crate::router::hub::message::write_confirmation;
use crate::router::hub::{Hub, Subscriber};
use crate::router::publishing::Place;
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};
use crate::slot::Slot;

/// Names that are subscribed to before others have their turn.
const NAMES_PER_TURN: usize = 512;

/// What a client is subscribed to, for as long as it is here.
#[derive(Debug)]
pub(super) struct Subscribed {
    hub: Rc<Hub>,
    subscriber: Rc<Subscriber>,
}

impl Subscribed {
    pub(super) fn is_idle(&self) -> bool {
        self.subscriber.is_idle() && self.subscriber.pending() == 0
    }

    /// Bytes kept for it.
    pub(super) fn bytes(&self) -> usize {
        self.subscriber.bytes()
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        if !self.is_idle() {
            self.hub.leave(Rc::clone(&self.subscriber));
        }
    }
}

impl Session {
    /// What becomes of a request that a subscribed client must not send. `None`: it may.
    pub(in crate::session) fn objects_as_subscribed(
        &mut self,
        id: CommandId,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Dispatch> {
        if self.state.protocol != Protocol::Resp2 {
            return None;
        }
        match command.handling {
            Handling::Subscribe(_) | Handling::Unsubscribe(_) => return None,
            Handling::Local(Local::Quit | Local::Reset) => return None,
            Handling::Local(Local::Ping) if args.len() > 2 => return None,
            Handling::Local(Local::Ping) => {
                let word = if args.len() == 2 { args.get(1) } else { b"" };
                let mut out = Vec::new();
                write::array_len(&mut out, 2);
                write::bulk(&mut out, b"pong");
                write::bulk(&mut out, word);
                self.router().stats().command(id, Outcome::Ok);
                self.deliver_own(&out);
            }
            _ => self.refuse(id, &texts::not_while_subscribed(&command.name)),
        }
        Some(Dispatch::Done)
    }

    /// SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE.
    pub(in crate::session) fn subscribe(&mut self, request: Request<'_>, topic: Topic) -> Dispatch {
        let Request { id, args, .. } = request;
        let pending = self.subscriber().map_or(0, |subscriber| subscriber.pending());
        // Earlier replies go first, but for those to commands of this kind: they are many at times.
        if self.writer.unanswered() != pending && self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let count = self.subscriber().map_or(0, |s| Topic::ALL.iter().map(|t| s.count(*t)).sum());
        if count + args.len() - 1 > self.limits.subscriptions_max {
            self.refuse(id, texts::TOO_MANY_SUBSCRIPTIONS);
            return Dispatch::Done;
        }
        let (hub, subscriber) = self.begin_subscribed();
        let seq = self.take_told_seq();
        let pending = hub.begin(&subscriber, topic, seq);
        self.router().stats().command(id, Outcome::Ok);
        if args.len() <= NAMES_PER_TURN {
            hub.subscribe(&pending, args.iter().skip(1));
            hub.end(pending);
            self.note_subscribed();
            return Dispatch::Done;
        }
        let names: Vec<Vec<u8>> = args.iter().skip(1).map(<[u8]>::to_vec).collect();
        self.errand_bytes = names.iter().map(Vec::len).sum();
        let info = std::sync::Arc::clone(&self.state.info);
        self.barrier.raise();
        self.errand = Some(Box::pin(async move {
            for names in names.chunks(NAMES_PER_TURN) {
                hub.subscribe(&pending, names.iter().map(Vec::as_slice));
                tokio::task::yield_now().await;
            }
            hub.end(pending);
            info.note_subscribed(topic, subscriber.count(topic));
        }));
        Dispatch::Done
    }

    /// UNSUBSCRIBE, PUNSUBSCRIBE, SUNSUBSCRIBE.
    pub(in crate::session) fn unsubscribe(
        &mut self,
        request: Request<'_>,
        topic: Topic,
    ) -> Dispatch {
        let Request { id, args, .. } = request;
        let protocol = self.state.protocol;
        let mut out = Vec::new();
        let subscriber = self.subscriber().cloned();
        let count = || subscriber.as_ref().map_or(0, |subscriber| subscriber.told_count(topic));
        let all =
            || subscriber.as_ref().map_or_else(Vec::new, |subscriber| subscriber.names(topic));
        let names: Vec<Rc<[u8]>> =
            if args.len() == 1 { all() } else { args.iter().skip(1).map(Rc::from).collect() };
        if names.is_empty() {
            write_confirmation(&mut out, protocol, (topic, false), None, count());
        }
        for name in &names {
            if let Some(subscriber) = &subscriber {
                self.env.hub.unsubscribe(subscriber, topic, name);
            }
            write_confirmation(&mut out, protocol, (topic, false), Some(name), count());
        }
        self.router().stats().command(id, Outcome::Ok);
        let seq = self.take_told_seq();
        self.writer.deliver(seq, &out, true);
        self.own_bytes += out.len();
        self.note_subscribed();
        Dispatch::Done
    }

    /// A place for a reply that the client gets whatever it has said with CLIENT REPLY: what a
    /// subscriber is told is a message, also in Redis.
    fn take_told_seq(&mut self) -> u64 {
        if self.state.replies == ReplyMode::SkipNext {
            self.state.replies = ReplyMode::On;
        }
        self.writer.take_seq()
    }

    /// PUBLISH, SPUBLISH: to the node where the gateway is subscribed.
    pub(in crate::session) fn publish(
        &mut self,
        request: Request<'_>,
        topic: Topic,
    ) -> Option<Dispatch> {
        let Request { id, command, args, frame } = request;
        let channel = args.get(1);
        if topic == Topic::Channel && is_event_channel(channel) {
            // Every master would tell of it, as if it were an event of its own.
            self.refuse(id, &texts::refused(&command.name, texts::EVENTS_ARE_NODES));
            return Some(Dispatch::Done);
        }
        let place = match topic {
            Topic::Shard => Place::Slot(Slot::of(channel)),
            Topic::Channel | Topic::Pattern => Place::Home,
        };
        let protocol = self.state.protocol;
        let publisher = self.router().publisher(place, protocol);
        if let Some(pipeline) = &publisher
            && pipeline.is_crowded()
            && let Some(dispatch) = self.waits_in_line(pipeline, 0)
        {
            return Some(dispatch);
        }
        let wait = self.router().wait_to_publish(place);
        if wait.is_some() && self.waits_for_earlier() {
            return Some(Dispatch::NotYet);
        }
        let mut meta = self.meta(id, command, place.slot());
        // A message must not come twice.
        meta.on_failure = OnFailure::ResendIfUnsent;
        let seq = self.take_seq();
        let Some(wait) = wait else {
            let make = || self.counted(topic, channel, (seq, meta));
            self.env.router.send_by(publisher, (frame, 0), make);
            return Some(Dispatch::Done);
        };
        let handle = self.counted(topic, channel, (seq, meta));
        let (router, frame) = (Rc::clone(&self.env.router), frame.to_vec());
        self.errand_bytes = frame.len();
        self.errand = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            while let Some(wait) = router.wait_to_publish(place) {
                tokio::time::sleep(wait).await;
            }
            router.send_by(router.publisher(place, protocol), (&frame, 0), || handle);
        }));
        Some(Dispatch::Done)
    }

    /// Where the answer to PUBLISH comes, which is corrected where clients of the gateway are
    /// subscribed.
    fn counted(
        &self,
        topic: Topic,
        channel: &[u8],
        (seq, meta): (u64, RequestMeta),
    ) -> ReplyHandle {
        let census = std::sync::Arc::clone(self.env.hub.census());
        let writer = Rc::clone(&self.writer);
        if census.is_empty() {
            return ReplyHandle::new(writer, seq, meta);
        }
        let channel: Box<[u8]> = channel.into();
        let correct = move |parts: &[&[u8]]| {
            census.corrected(topic, &channel, parts.first().copied().unwrap_or_default())
        };
        let gather = Rc::new(Gather::new(1, Merge::With(Box::new(correct))));
        ReplyHandle::part(writer, seq, meta, gather, 0)
    }

    /// The client is subscribed to nothing any more (RESET).
    pub(in crate::session) fn forget_subscriptions(&mut self) {
        self.mode.subscribed = None;
        for topic in Topic::ALL {
            self.state.info.note_subscribed(topic, 0);
        }
    }

    /// The client speaks another protocol from now on.
    pub(in crate::session) fn tell_subscriber_protocol(&self) {
        if let Some(subscriber) = self.subscriber() {
            subscriber.set_protocol(self.state.protocol);
        }
    }

    fn subscriber(&self) -> Option<&Rc<Subscriber>> {
        self.mode.subscribed.as_ref().map(|subscribed| &subscribed.subscriber)
    }

    fn begin_subscribed(&mut self) -> (Rc<Hub>, Rc<Subscriber>) {
        let hub = &self.env.hub;
        let subscribed = self.mode.subscribed.get_or_insert_with(|| Subscribed {
            hub: Rc::clone(hub),
            subscriber: Rc::new(Subscriber::new(Rc::clone(&self.writer), self.state.protocol)),
        });
        (Rc::clone(hub), Rc::clone(&subscribed.subscriber))
    }

    /// Tells others to how much it is subscribed.
    fn note_subscribed(&mut self) {
        let Some(subscribed) = &self.mode.subscribed else { return };
        for topic in Topic::ALL {
            self.state.info.note_subscribed(topic, subscribed.subscriber.count(topic));
        }
        if subscribed.is_idle() {
            self.mode.subscribed = None;
        }
    }
}
