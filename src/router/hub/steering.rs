//! Where each name is asked for, and how it gets from one node to another.
//!
//! Owns the choice of nodes: by the map, and by which of them can be reached. A name that moves is asked
//! for at the new node first, and for a moment taken from both (see [`super::handover`]). What a client
//! does not notice is counted: each time that messages may have been missed.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::feed::Feed;
use super::handover::Handover;
use super::{Entry, Hub, Name, Wanted, events};
use crate::backend::NodeAddress;
use crate::command::Topic;
use crate::slot::Slot;

/// How long a message may take from node to node.
const LINGER: Duration = Duration::from_millis(500);
/// How often it is looked at what waits.
const TICK: Duration = Duration::from_millis(20);
/// Names of one leaving client that are left before others have their turn.
const LEFT_PER_TURN: usize = 1000;

/// The slot whose master is the home of all channels and patterns when there was none before.
pub fn home_slot() -> Slot {
    Slot::of(b"")
}

impl Hub {
    /// An entry that nobody wants yet.
    pub(super) fn new_entry(&self, topic: Topic, name: &Name) -> Entry {
        let source = events::source_of(topic, name, &self.databases);
        let has_messages = source.as_ref().is_none_or(|source| !source.is_all);
        let wanted = source.map(|source| (source.topic, Name::from(source.name)));
        if let Some(wanted) = &wanted {
            let mut events = self.events.borrow_mut();
            let source = events.entry(wanted.clone()).or_default();
            source.names.push((topic, Rc::clone(name)));
        }
        Entry {
            subscribers: Default::default(),
            waiting: Vec::new(),
            source: None,
            handover: None,
            at: Vec::new(),
            has_messages,
            events: wanted,
            is_counted: false,
        }
    }

    /// A name's events are wanted no more.
    pub(super) fn leave_events(&self, wanted: Wanted, name: &Wanted) {
        let mut events = self.events.borrow_mut();
        let Some(source) = events.get_mut(&wanted) else { return };
        source.names.retain(|known| known != name);
        if source.names.is_empty() {
            let at = std::mem::take(&mut source.at);
            events.remove(&wanted);
            drop(events);
            self.unwant(&at, wanted.0, &wanted.1);
        }
    }

    /// These nodes are asked for a name no more.
    pub(super) fn unwant(&self, nodes: &[NodeAddress], topic: Topic, name: &Name) {
        let feeds = self.feeds.borrow();
        for feed in nodes.iter().filter_map(|node| feeds.get(node)) {
            feed.unwant(topic, name);
        }
    }

    /// Has every master bring these events, and no other node.
    fn place_events(self: &Rc<Self>, wanted: &Wanted) {
        let masters: Vec<NodeAddress> = self.masters.borrow().iter().cloned().collect();
        let before = match self.events.borrow_mut().get_mut(wanted) {
            Some(source) => std::mem::replace(&mut source.at, masters.clone()),
            None => return,
        };
        let (topic, name) = wanted;
        for node in masters.iter().filter(|node| !before.contains(node)) {
            self.feed(node).want(*topic, name);
        }
        let gone: Vec<NodeAddress> =
            before.into_iter().filter(|node| !masters.contains(node)).collect();
        self.unwant(&gone, *topic, name);
    }

    /// Follows the map and the nodes' connections, for ever.
    pub async fn run(self: Rc<Self>) {
        let mut changes = self.router.topology().changes();
        loop {
            self.router.catch_up();
            self.note_masters();
            if self.is_stale.take() {
                self.place_all();
            }
            self.end_handovers();
            self.time_out_pending();
            if self.leave_some() {
                tokio::task::yield_now().await;
                continue;
            }
            let is_busy = self.is_busy();
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => self.is_stale.set(true),
                    Err(_) => return,
                },
                () = self.news.notified() => {}
                () = sleep(TICK), if is_busy => self.ask_again(),
            }
        }
    }

    fn note_masters(&self) {
        let map = self.router.map();
        let masters = map.shards().iter().map(|shard| shard.master.clone()).collect();
        let before = self.masters.replace(masters);
        if before != *self.masters.borrow() {
            self.is_stale.set(true);
        }
    }

    fn is_busy(&self) -> bool {
        !self.ending.borrow().is_empty()
            || !self.pending.borrow().is_empty()
            || self.feeds.borrow().values().any(|feed| feed.has_declined())
    }

    fn ask_again(&self) {
        for feed in self.feeds.borrow().values() {
            feed.ask_again();
        }
    }

    /// The home as the map has it.
    fn mapped_home(&self) -> Option<NodeAddress> {
        self.router.map().home().cloned()
    }

    /// Where channels and patterns are asked for: at the home, or while it cannot be reached at
    /// another node, to which the bus brings all messages too.
    fn home(&self) -> Option<NodeAddress> {
        let mapped = self.mapped_home()?;
        let feeds = self.feeds.borrow();
        let is_failing = |node: &NodeAddress| feeds.get(node).is_some_and(|feed| feed.is_failing());
        if !is_failing(&mapped) {
            return Some(mapped);
        }
        let map = self.router.map();
        let own = map.shard_of(home_slot());
        let mut nodes: Vec<_> = map.nodes().collect();
        // Replicas of the home first: one of them is the next home.
        nodes.sort_by_key(|(_, shard, _)| Some(*shard) != own);
        let other = nodes.into_iter().map(|(node, ..)| node).find(|node| !is_failing(node));
        other.cloned().or(Some(mapped))
    }

    /// Where a name belongs.
    fn desired(
        &self,
        topic: Topic,
        name: &[u8],
        home: Option<&NodeAddress>,
    ) -> Option<NodeAddress> {
        match topic {
            Topic::Shard => self.router.master_node(Slot::of(name)),
            Topic::Channel | Topic::Pattern => home.cloned(),
        }
    }

    /// Asks for a new name where it belongs.
    pub(super) fn place(self: &Rc<Self>, topic: Topic, name: &Name, entry: &mut Entry) {
        if let Some(wanted) = &entry.events {
            self.note_masters();
            self.place_events(wanted);
        }
        let home = if topic == Topic::Shard { None } else { self.home() };
        self.place_at(topic, name, entry, home.as_ref());
    }

    /// Looks where every name is asked for.
    fn place_all(self: &Rc<Self>) {
        let wanted: Vec<Wanted> = self.events.borrow().keys().cloned().collect();
        wanted.iter().for_each(|wanted| self.place_events(wanted));
        let home = self.home();
        for topic in Topic::ALL {
            let mut entries = self.entries[topic as usize].borrow_mut();
            for (name, entry) in entries.iter_mut() {
                self.place_at(topic, name, entry, home.as_ref());
                self.recount(topic, name, entry);
                self.resolve(topic, name, entry);
            }
        }
        // The home is watched even while it cannot be reached.
        let classic = [Topic::Channel, Topic::Pattern];
        let is_used =
            classic.iter().any(|topic| !self.entries[*topic as usize].borrow().is_empty());
        let mapped = self.mapped_home().filter(|_| is_used);
        if let Some(mapped) = &mapped {
            self.feed(mapped);
        }
        self.feeds.borrow_mut().retain(|node, feed| {
            let stays = !feed.is_idle() || mapped.as_ref() == Some(node);
            if !stays {
                feed.close();
            }
            stays
        });
    }

    fn place_at(
        self: &Rc<Self>,
        topic: Topic,
        name: &Name,
        entry: &mut Entry,
        home: Option<&NodeAddress>,
    ) {
        if !entry.has_messages {
            return;
        }
        let Some(desired) = self.desired(topic, name, home) else { return };
        let still_sends = entry.source.as_ref().is_some_and(|source| {
            self.feeds.borrow().get(source).is_some_and(|feed| feed.is_confirmed(topic, name))
        });
        if entry.source.as_ref() == Some(&desired) {
            entry.handover = None;
        } else if still_sends {
            if entry.handover.as_ref().is_none_or(|handover| handover.node != desired) {
                entry.handover = Some(Handover::to(desired));
            }
        } else {
            if entry.handover.as_ref().is_some_and(|handover| handover.has_begun()) {
                self.end_handover(topic, name, entry);
            }
            if entry.source.as_ref() != Some(&desired) {
                (entry.source, entry.handover) = (Some(desired), None);
            }
        }
        self.ask_where_wanted(topic, name, entry);
        // The node may have confirmed it before the move began.
        self.begin_handover(topic, name, entry);
    }

    /// Asks the nodes that should send a name's messages, and no other.
    fn ask_where_wanted(self: &Rc<Self>, topic: Topic, name: &Name, entry: &mut Entry) {
        let mut wanted: Vec<NodeAddress> = entry.source.iter().cloned().collect();
        wanted.extend(entry.handover.as_ref().map(|handover| handover.node.clone()));
        for node in &wanted {
            if !entry.at.contains(node) {
                self.feed(node).want(topic, name);
            }
        }
        let feeds = self.feeds.borrow();
        for node in entry.at.iter().filter(|node| !wanted.contains(node)) {
            if let Some(feed) = feeds.get(node) {
                feed.unwant(topic, name);
            }
        }
        entry.at = wanted;
    }

    /// The connection to a node, made when there is none.
    fn feed(self: &Rc<Self>, node: &NodeAddress) -> Rc<Feed> {
        let mut feeds = self.feeds.borrow_mut();
        if let Some(feed) = feeds.get(node) {
            return Rc::clone(feed);
        }
        let feed = Feed::new(node.clone());
        feeds.insert(node.clone(), Rc::clone(&feed));
        tokio::task::spawn_local(Rc::clone(&feed).run(Rc::clone(self)));
        feed
    }

    /// A connection is there: its node may be where names belong.
    pub(super) fn feed_opened(&self) {
        self.is_stale.set(true);
        self.news.notify_one();
    }

    /// A connection is lost, or could not be made; `had_something`: messages may have been missed.
    pub(super) fn feed_lost(&self, feed: &Feed, had_something: bool) {
        if had_something {
            self.router.stats().message_gaps.add(1);
            tracing::info!(node = %feed.node.name, "messages of a node may have been missed");
        }
        self.router.topology().want_refresh(crate::topology::Trigger::NodeTrouble);
        self.is_stale.set(true);
        self.news.notify_one();
    }

    /// A node has confirmed a name, or has ended it by itself.
    pub(super) fn note_confirmed(&self, feed: &Feed, topic: Topic, name: &Name) {
        self.resolve_events(&(topic, Rc::clone(name)));
        let mut entries = self.entries[topic as usize].borrow_mut();
        let Some(entry) = entries.get_mut(name) else { return };
        if !feed.is_confirmed(topic, name) {
            self.router.stats().message_gaps.add(1);
            self.leave_source(feed, topic, name, entry);
        }
        self.begin_handover(topic, name, entry);
        self.recount(topic, name, entry);
        self.resolve(topic, name, entry);
    }

    /// A node has ended a name. It may be asked again and send later messages than another node, whose
    /// earlier ones are kept: so these are passed on at once.
    fn leave_source(&self, feed: &Feed, topic: Topic, name: &Name, entry: &mut Entry) {
        let has_begun = entry.handover.as_ref().is_some_and(|handover| handover.has_begun());
        if entry.source.as_ref() == Some(&feed.node) && has_begun {
            self.end_handover(topic, name, entry);
        }
    }

    /// A node brings events: those who wait for them may be answered.
    fn resolve_events(&self, wanted: &Wanted) {
        let names = match self.events.borrow().get(wanted) {
            Some(source) => source.names.clone(),
            None => return,
        };
        for (topic, name) in names {
            if let Some(entry) = self.entries[topic as usize].borrow_mut().get_mut(&name) {
                self.resolve(topic, &name, entry);
            }
        }
    }

    fn begin_handover(&self, topic: Topic, name: &Name, entry: &mut Entry) {
        let feeds = self.feeds.borrow();
        let Some(handover) = &mut entry.handover else { return };
        let is_confirmed =
            feeds.get(&handover.node).is_some_and(|feed| feed.is_confirmed(topic, name));
        if is_confirmed && !handover.has_begun() {
            handover.begin();
            self.ending.borrow_mut().push((Instant::now() + LINGER, topic, Rc::clone(name)));
            self.news.notify_one();
        }
    }

    /// Notes whether this worker is subscribed where the name's messages are published.
    fn recount(&self, topic: Topic, name: &Name, entry: &mut Entry) {
        let published_at = match topic {
            Topic::Shard => self.router.master_node(Slot::of(name)),
            Topic::Channel | Topic::Pattern => self.mapped_home(),
        };
        let feeds = self.feeds.borrow();
        let feed = published_at.and_then(|node| feeds.get(&node).cloned());
        drop(feeds);
        let is_subscribed = feed.is_some_and(|feed| feed.is_confirmed(topic, name));
        self.count(topic, name, entry, is_subscribed);
    }

    fn end_handovers(self: &Rc<Self>) {
        let now = Instant::now();
        let mut due = Vec::new();
        self.ending.borrow_mut().retain(|(at, topic, name)| {
            let is_due = *at <= now;
            if is_due {
                due.push((*topic, Rc::clone(name)));
            }
            !is_due
        });
        for (topic, name) in due {
            let mut entries = self.entries[topic as usize].borrow_mut();
            let Some(entry) = entries.get_mut(&name) else { continue };
            if entry.handover.as_ref().is_some_and(|handover| handover.has_begun()) {
                self.end_handover(topic, &name, entry);
                self.ask_where_wanted(topic, &name, entry);
            }
        }
        if self.ending.borrow().is_empty() {
            // Connections that nobody needs any more are closed.
            self.close_idle();
        }
    }

    fn close_idle(&self) {
        let mapped = self.mapped_home();
        let is_idle = |feed: &Rc<Feed>| feed.is_idle() && mapped.as_ref() != Some(&feed.node);
        if self.feeds.borrow().values().any(is_idle) {
            self.is_stale.set(true);
            self.news.notify_one();
        }
    }

    /// What only the new node has sent is passed on, and it is the source from now on. Says to how many
    /// clients something was given.
    pub(super) fn end_handover(&self, topic: Topic, name: &[u8], entry: &mut Entry) -> usize {
        let Some(handover) = entry.handover.take() else { return 0 };
        entry.source = Some(handover.node.clone());
        self.router.stats().handovers.add(1);
        let rest = handover.end();
        let given = rest.iter().map(|(channel, payload)| {
            self.deliver(topic, entry, (name, channel.as_deref(), payload))
        });
        given.sum()
    }

    fn time_out_pending(&self) {
        let most = Duration::from_micros(self.router.rules.failover_wait_us);
        let mut late = Vec::new();
        self.pending.borrow_mut().retain(|pending| {
            let is_late = !pending.is_over() && pending.since.elapsed() > most;
            if is_late {
                late.push(Rc::clone(pending));
            }
            !is_late && !pending.is_over()
        });
        late.iter().for_each(|pending| self.time_out(pending));
    }

    /// Leaves what clients that have gone were subscribed to. Says whether there is more.
    fn leave_some(&self) -> bool {
        let mut left = 0;
        let next = || self.leaving.borrow_mut().pop();
        while let Some(subscriber) = next() {
            for topic in Topic::ALL {
                let names = subscriber.some_names(topic, LEFT_PER_TURN - left);
                left += names.len();
                for name in names {
                    self.unsubscribe(&subscriber, topic, &name);
                }
            }
            if !subscriber.is_idle() {
                self.leaving.borrow_mut().push(subscriber);
                return true;
            }
        }
        false
    }
}
