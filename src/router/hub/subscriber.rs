//! One client as the hub knows it: what it is subscribed to, and how it is sent messages.
//!
//! Owns the client's side of its subscriptions. Must not know nodes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::time::Instant;

use super::Name;
use crate::command::Topic;
use crate::reply::ClientWriter;
use crate::resp::Protocol;

/// What a name costs beside its bytes.
const NAME_BYTES: usize = 160;

/// A client with subscriptions.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) writer: Rc<ClientWriter>,
    protocol: Cell<Protocol>,
    /// What it is subscribed to, and under which number it is known there.
    pub(super) names: RefCell<[HashMap<Name, u64>; 3]>,
    bytes: Cell<usize>,
    /// Messages come behind all replies before this one: a client is told that it is subscribed before
    /// it gets a message.
    pub(super) not_before: Cell<u64>,
    /// Commands of its that wait for a node's confirmation.
    pub(super) pending: Cell<usize>,
}

impl Subscriber {
    /// A client that is subscribed to nothing yet.
    pub fn new(writer: Rc<ClientWriter>, protocol: Protocol) -> Subscriber {
        Subscriber {
            writer,
            protocol: Cell::new(protocol),
            names: RefCell::default(),
            bytes: Cell::new(0),
            not_before: Cell::new(0),
            pending: Cell::new(0),
        }
    }

    /// Which RESP it speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// It speaks another RESP from now on.
    pub fn set_protocol(&self, protocol: Protocol) {
        self.protocol.set(protocol);
    }

    /// To how many names of a kind it is subscribed.
    pub fn count(&self, topic: Topic) -> usize {
        self.names.borrow()[topic as usize].len()
    }

    /// The number that confirmations tell: channels and patterns are counted together.
    pub fn told_count(&self, topic: Topic) -> usize {
        match topic {
            Topic::Shard => self.count(Topic::Shard),
            _ => self.count(Topic::Channel) + self.count(Topic::Pattern),
        }
    }

    /// Whether it is subscribed to nothing.
    pub fn is_idle(&self) -> bool {
        self.names.borrow().iter().all(HashMap::is_empty)
    }

    /// All names of a kind.
    pub fn names(&self, topic: Topic) -> Vec<Name> {
        self.names.borrow()[topic as usize].keys().cloned().collect()
    }

    /// At most so many names of a kind.
    pub(super) fn some_names(&self, topic: Topic, most: usize) -> Vec<Name> {
        self.names.borrow()[topic as usize].keys().take(most).cloned().collect()
    }

    /// How many of its commands wait for a node.
    pub fn pending(&self) -> usize {
        self.pending.get()
    }

    /// Bytes kept for its subscriptions.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(super) fn add(&self, topic: Topic, name: Name, number: u64) {
        self.bytes.set(self.bytes.get() + name.len() + NAME_BYTES);
        self.names.borrow_mut()[topic as usize].insert(name, number);
    }

    pub(super) fn remove(&self, topic: Topic, name: &[u8]) -> Option<(Name, u64)> {
        let removed = self.names.borrow_mut()[topic as usize].remove_entry(name)?;
        self.bytes.set(self.bytes.get().saturating_sub(name.len() + NAME_BYTES));
        Some(removed)
    }

    pub(super) fn send(&self, bytes: &[u8], now_us: u64) {
        self.writer.push(bytes, self.not_before.get(), now_us);
    }
}

/// A client's command that is answered when nodes have confirmed it.
#[derive(Debug)]
pub struct Pending {
    pub(super) subscriber: Rc<Subscriber>,
    pub(super) topic: Topic,
    seq: u64,
    frames: RefCell<Vec<u8>>,
    /// Names that are not confirmed yet, and one more until all have been named.
    missing: Cell<usize>,
    /// What has come of it anew.
    pub(super) added: RefCell<Vec<Name>>,
    pub(super) since: Instant,
}

impl Pending {
    pub(super) fn new(subscriber: &Rc<Subscriber>, topic: Topic, seq: u64) -> Rc<Pending> {
        subscriber.pending.set(subscriber.pending.get() + 1);
        subscriber.not_before.set(subscriber.not_before.get().max(seq + 1));
        Rc::new(Pending {
            subscriber: Rc::clone(subscriber),
            topic,
            seq,
            frames: RefCell::default(),
            missing: Cell::new(1),
            added: RefCell::default(),
            since: Instant::now(),
        })
    }

    pub(super) fn tell(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.frames.borrow_mut());
    }

    pub(super) fn await_one(&self) {
        self.missing.set(self.missing.get() + 1);
    }

    /// One of what it waits for has come.
    pub(super) fn came(&self) {
        let missing = self.missing.get();
        self.missing.set(missing.saturating_sub(1));
        if missing == 1 {
            let frames = self.frames.take();
            self.finish(&frames);
        }
    }

    /// It cannot be: an error answers it.
    pub(super) fn fail(&self, frame: &[u8]) {
        if self.missing.replace(0) > 0 {
            self.finish(frame);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.missing.get() == 0
    }

    fn finish(&self, frame: &[u8]) {
        let subscriber = &self.subscriber;
        subscriber.pending.set(subscriber.pending.get().saturating_sub(1));
        subscriber.writer.deliver(self.seq, frame, true);
    }
}
