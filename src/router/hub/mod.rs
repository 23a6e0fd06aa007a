//! What the clients of one worker are subscribed to, and who gets a message.
//!
//! Owns names -> clients, and from which node a name's messages are taken. A name is asked for once,
//! however many clients want it. Channels and patterns are all asked for at one node, the *home*: the
//! cluster's bus brings every message to every node, and one node's connection keeps messages of
//! different channels in order. PUBLISH goes there too, so that a message reaches the gateway without
//! the bus, and its receivers can be counted. Sharded channels are asked for at their slot's master,
//! and names that may mean events of the keyspace at every master. Must not know sockets of clients.
//! Invariant: of each message a client gets one copy, also while subscriptions move.

mod census;
pub mod event_classes;
pub mod events;
mod feed;
mod handover;
pub mod message;
mod steering;
mod subscriber;

pub use census::Census;
pub use event_classes::EventClasses;
pub use steering::home_slot;
pub use subscriber::{Pending, Subscriber};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Router;
use crate::backend::NodeAddress;
use crate::command::Topic;
use crate::database::Databases;
use crate::glob::{self, Case};
use crate::reply::{ReturnReason, returned, texts};
use crate::resp::Protocol;
use crate::slot::Slot;
use crate::topology::Trigger;
use events::is_event_channel;
use feed::Feed;
use handover::{Handover, Message};
use message::{Frame, write_confirmation, write_message};

/// A channel or a pattern.
pub type Name = Rc<[u8]>;

/// One name, and those who want its messages.
#[derive(Debug)]
struct Entry {
    /// By the order in which they came.
    subscribers: BTreeMap<u64, Rc<Subscriber>>,
    /// Commands that are answered when the nodes have confirmed it.
    waiting: Vec<Rc<Pending>>,
    /// From where its messages are taken.
    source: Option<NodeAddress>,
    /// To where it is on its way.
    handover: Option<Handover>,
    /// Where it has been asked for.
    at: Vec<NodeAddress>,
    /// It may mean messages, which come from one node.
    has_messages: bool,
    /// What brings the events of the keyspace that it means; asked of every master.
    events: Option<Wanted>,
    /// Counted in the census as subscribed where its messages are published.
    is_counted: bool,
}

/// What is asked of nodes, or of the hub.
type Wanted = (Topic, Name);

/// What brings events, and who wants them.
#[derive(Debug, Default)]
struct EventSource {
    /// Channels and patterns of clients.
    names: Vec<Wanted>,
    /// Where it has been asked for.
    at: Vec<NodeAddress>,
}

/// The subscriptions of one worker.
#[derive(Debug)]
pub struct Hub {
    router: Rc<Router>,
    databases: Arc<Databases>,
    census: Arc<Census>,
    entries: [RefCell<HashMap<Name, Entry>>; 3],
    events: RefCell<HashMap<Wanted, EventSource>>,
    feeds: RefCell<HashMap<NodeAddress, Rc<Feed>>>,
    masters: RefCell<HashSet<NodeAddress>>,
    next_number: Cell<u64>,
    /// Commands that nodes have not confirmed.
    pending: RefCell<Vec<Rc<Pending>>>,
    /// Handovers, and when they are over.
    ending: RefCell<Vec<(Instant, Topic, Name)>>,
    /// Clients that have left, with the names that they have not left yet.
    leaving: RefCell<Vec<Rc<Subscriber>>>,
    /// It must be looked where each name is asked for.
    is_stale: Cell<bool>,
    news: Notify,
}

impl Hub {
    /// Nobody is subscribed. [`Self::run`] must be spawned.
    pub fn new(router: Rc<Router>, census: Arc<Census>, databases: Arc<Databases>) -> Hub {
        Hub {
            router,
            databases,
            census,
            entries: Default::default(),
            events: RefCell::default(),
            feeds: RefCell::default(),
            masters: RefCell::default(),
            next_number: Cell::new(0),
            pending: RefCell::default(),
            ending: RefCell::default(),
            leaving: RefCell::default(),
            is_stale: Cell::new(false),
            news: Notify::new(),
        }
    }

    /// How many clients of the whole gateway are subscribed to what.
    pub fn census(&self) -> &Arc<Census> {
        &self.census
    }

    /// Begins with a command of a client, whose answer is reply `seq`.
    pub fn begin(&self, subscriber: &Rc<Subscriber>, topic: Topic, seq: u64) -> Rc<Pending> {
        Pending::new(subscriber, topic, seq)
    }

    /// Subscribes the client to these names too.
    pub fn subscribe<'n>(
        self: &Rc<Self>,
        pending: &Rc<Pending>,
        names: impl IntoIterator<Item = &'n [u8]>,
    ) {
        let (subscriber, topic) = (&pending.subscriber, pending.topic);
        for name in names {
            let is_new = !subscriber.names.borrow()[topic as usize].contains_key(name);
            if is_new {
                self.add(pending, name);
            }
            let (protocol, count) = (subscriber.protocol(), subscriber.told_count(topic));
            pending.tell(|out| {
                write_confirmation(out, protocol, (topic, true), Some(name), count);
            });
        }
    }

    /// All names have been named: it is answered when all are confirmed.
    pub fn end(&self, pending: Rc<Pending>) {
        pending.came();
        if !pending.is_over() {
            self.pending.borrow_mut().push(pending);
            self.news.notify_one();
        }
    }

    fn add(self: &Rc<Self>, pending: &Rc<Pending>, name: &[u8]) {
        let topic = pending.topic;
        let number = self.next_number.replace(self.next_number.get() + 1);
        let mut entries = self.entries[topic as usize].borrow_mut();
        let name = match entries.get_key_value(name) {
            Some((name, _)) => Rc::clone(name),
            None => {
                let name: Name = name.into();
                let mut entry = self.new_entry(topic, &name);
                self.place(topic, &name, &mut entry);
                entries.insert(Rc::clone(&name), entry);
                name
            }
        };
        let Some(entry) = entries.get_mut(&name) else { return };
        entry.subscribers.insert(number, Rc::clone(&pending.subscriber));
        if !self.is_live(topic, &name, entry) {
            pending.await_one();
            entry.waiting.push(Rc::clone(pending));
        }
        drop(entries);
        self.census.add_client(topic, &name);
        self.router.stats().subscriptions.add(1);
        pending.added.borrow_mut().push(Rc::clone(&name));
        pending.subscriber.add(topic, name, number);
    }

    /// The client wants messages of this name no more. Says whether it did.
    pub fn unsubscribe(&self, subscriber: &Subscriber, topic: Topic, name: &[u8]) -> bool {
        let Some((name, number)) = subscriber.remove(topic, name) else { return false };
        self.census.remove_client(topic, &name);
        self.router.stats().subscriptions.sub(1);
        let mut entries = self.entries[topic as usize].borrow_mut();
        let Some(entry) = entries.get_mut(&name) else { return true };
        entry.subscribers.remove(&number);
        if !entry.subscribers.is_empty() {
            return true;
        }
        let Some(mut entry) = entries.remove(&name) else { return true };
        drop(entries);
        entry.waiting.drain(..).for_each(|pending| pending.came());
        self.count(topic, &name, &mut entry, false);
        self.unwant(&entry.at, topic, &name);
        if let Some(source) = entry.events.take() {
            self.leave_events(source, &(topic, name));
        }
        if self.entries.iter().all(|entries| entries.borrow().is_empty()) {
            self.is_stale.set(true);
            self.news.notify_one();
        }
        true
    }

    /// The client has gone. It may be subscribed to very much, which is left a little at a time.
    pub fn leave(&self, subscriber: Rc<Subscriber>) {
        self.leaving.borrow_mut().push(subscriber);
        self.news.notify_one();
    }

    /// Whether the nodes send messages of this name.
    fn is_live(&self, topic: Topic, name: &[u8], entry: &Entry) -> bool {
        let feeds = self.feeds.borrow();
        let confirmed =
            |node: &NodeAddress| feeds.get(node).is_some_and(|feed| feed.is_confirmed(topic, name));
        let failing = |node: &NodeAddress| feeds.get(node).is_some_and(|feed| feed.is_failing());
        let brings = |(topic, name): &Wanted| {
            let confirmed = |node: &NodeAddress| {
                feeds.get(node).is_some_and(|feed| feed.is_confirmed(*topic, name))
            };
            self.masters.borrow().iter().all(|node| confirmed(node) || failing(node))
        };
        (!entry.has_messages || entry.source.as_ref().is_some_and(confirmed))
            && entry.events.as_ref().is_none_or(brings)
    }

    /// Answers the commands that wait for this name, when the nodes send its messages.
    fn resolve(&self, topic: Topic, name: &[u8], entry: &mut Entry) {
        if !entry.waiting.is_empty() && self.is_live(topic, name, entry) {
            entry.waiting.drain(..).for_each(|pending| pending.came());
        }
    }

    /// Notes in the census whether this worker is subscribed where the name's messages are published.
    fn count(&self, topic: Topic, name: &[u8], entry: &mut Entry, is_subscribed: bool) {
        if entry.is_counted != is_subscribed {
            entry.is_counted = is_subscribed;
            self.census.note_worker(topic, name, is_subscribed);
        }
    }

    /// Takes a frame of a node. Says to how many clients it has been given.
    fn take(&self, feed: &Feed, frame: &[u8]) -> usize {
        match Frame::read(frame) {
            Frame::Message { topic, name, channel, payload } => {
                self.router.stats().messages.add(1);
                self.take_message(feed, topic, (name, channel, payload))
            }
            Frame::Confirmed { topic, subscribed, name } => {
                if let Some(name) = feed.confirmed(topic, subscribed, name) {
                    self.note_confirmed(feed, topic, &name);
                }
                1
            }
            Frame::Error(_) => {
                if let Some((topic, names)) = feed.failed() {
                    self.note_declined(feed, (topic, names), frame);
                }
                1
            }
            Frame::Other => 0,
        }
    }

    fn take_message(
        &self,
        feed: &Feed,
        topic: Topic,
        (name, channel, payload): (&[u8], Option<&[u8]>, &[u8]),
    ) -> usize {
        if topic != Topic::Shard && is_event_channel(channel.unwrap_or(name)) {
            return self.take_event(feed, topic, (name, channel, payload));
        }
        let mut entries = self.entries[topic as usize].borrow_mut();
        let Some(entry) = entries.get_mut(name) else { return 0 };
        let message = || -> Message { (channel.map(Box::from), payload.into()) };
        if entry.source.as_ref() == Some(&feed.node) {
            if let Some(handover) = &mut entry.handover {
                handover.see(message());
            }
            return self.deliver(topic, entry, (name, channel, payload));
        }
        if let Some(handover) = &mut entry.handover
            && handover.node == feed.node
            && handover.has_begun()
        {
            handover.keep(message());
            if handover.is_full() {
                return self.end_handover(topic, name, entry);
            }
        }
        0
    }

    /// Gives an event to those whose channel or pattern means it.
    fn take_event(
        &self,
        feed: &Feed,
        topic: Topic,
        (name, channel, payload): (&[u8], Option<&[u8]>, &[u8]),
    ) -> usize {
        // Every node tells of what happens to its own keys; a replica of the same keys does too.
        if !self.masters.borrow().contains(&feed.node) {
            return 0;
        }
        let (told, payload) = events::told(channel.unwrap_or(name), payload, &self.databases);
        let sources = self.events.borrow();
        let Some(source) = sources.get(&(topic, Rc::from(name))) else { return 0 };
        let mut given = 0;
        for (topic, name) in &source.names {
            let is_meant = match topic {
                Topic::Pattern => glob::matches(name, &told, Case::Matters),
                _ => **name == *told,
            };
            let entries = self.entries[*topic as usize].borrow();
            if let Some(entry) = entries.get(name).filter(|_| is_meant) {
                let channel = (*topic == Topic::Pattern).then_some(&*told);
                given += self.deliver(*topic, entry, (name, channel, payload));
            }
        }
        given
    }

    /// Gives a message to everybody who wants it.
    fn deliver(
        &self,
        topic: Topic,
        entry: &Entry,
        message: (&[u8], Option<&[u8]>, &[u8]),
    ) -> usize {
        let now_us = self.router.shared().clock.now_us();
        let mut frames: [Vec<u8>; 2] = Default::default();
        for subscriber in entry.subscribers.values() {
            let protocol = subscriber.protocol();
            let frame = &mut frames[usize::from(protocol == Protocol::Resp3)];
            if frame.is_empty() {
                write_message(frame, protocol, topic, message);
            }
            subscriber.send(frame, now_us);
        }
        self.router.stats().deliveries.add(entry.subscribers.len() as u64);
        entry.subscribers.len()
    }

    /// A node cannot subscribe to these names.
    fn note_declined(&self, feed: &Feed, (topic, names): (Topic, Vec<Name>), frame: &[u8]) {
        match returned::classify(frame) {
            Some(mut why) => {
                why.said_by(feed.node.address.ip());
                if let ReturnReason::Moved(redirect) = &why {
                    self.router.topology().moved(redirect);
                } else {
                    self.router.topology().want_refresh(Trigger::NodeTrouble);
                }
                feed.decline(topic, names);
                self.news.notify_one();
            }
            None => {
                let text = String::from_utf8_lossy(frame);
                tracing::warn!(node = %feed.node.name, error = text.trim(), "a node does not subscribe the gateway");
                for name in names {
                    self.refuse(topic, &name, frame);
                }
            }
        }
    }

    /// Those who wait for this name are told that it cannot be.
    fn refuse(&self, topic: Topic, name: &[u8], frame: &[u8]) {
        let waiting = match self.entries[topic as usize].borrow_mut().get_mut(name) {
            Some(entry) => std::mem::take(&mut entry.waiting),
            None => return,
        };
        for pending in waiting {
            self.give_up(&pending, frame);
        }
    }

    /// Answers a command with an error, and takes back what it has subscribed its client to.
    fn give_up(&self, pending: &Rc<Pending>, frame: &[u8]) {
        for name in pending.added.take() {
            self.unsubscribe(&pending.subscriber, pending.topic, &name);
        }
        pending.fail(frame);
    }

    /// A command has waited for nodes for as long as it may.
    fn time_out(&self, pending: &Rc<Pending>) {
        let home = match pending.topic {
            Topic::Shard => pending.added.borrow().first().map(|name| Slot::of(name)),
            _ => None,
        };
        let text = self.router.why_unreachable(home.unwrap_or_else(home_slot)).to_owned();
        self.give_up(pending, &texts::frame(&text));
    }
}
