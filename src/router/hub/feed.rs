//! One node's messages for one worker: the connection that is subscribed there.
//!
//! Owns the connection, made again when it is lost, and which of the names that are wanted the node has
//! confirmed. Must not know who wants them, nor why at this node.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::message::words;
use super::{Hub, Name};
use crate::backend::message_stream::{MessageStream, Outbox};
use crate::backend::{BackendError, NodeAddress};
use crate::command::Topic;
use crate::resp::write;

/// Names in one command.
const NAMES_PER_COMMAND: usize = 256;
/// Wait after a failed or lost connection: the first time, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// A node that says nothing for longer is asked whether it is there.
const PING_EVERY_MAX: Duration = Duration::from_secs(15);
/// Messages given to clients before others have their turn.
const DELIVERIES_PER_TURN: usize = 4096;

/// Where a feed's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has never been open.
    New,
    Open,
    /// It was lost, or could not be made, and has not been open since.
    Failing,
}

/// The connection to one node, and what is wanted of it.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) node: NodeAddress,
    outbox: Outbox,
    /// What is wanted, and whether the node has confirmed it.
    names: RefCell<[HashMap<Name, bool>; 3]>,
    /// Commands that the node has not answered in full, the oldest first.
    awaited: RefCell<VecDeque<Awaited>>,
    /// What the node could not do at the moment.
    declined: RefCell<Vec<(Topic, Name)>>,
    phase: Cell<Phase>,
    is_closed: Cell<bool>,
}

/// A command under way.
#[derive(Debug)]
struct Awaited {
    topic: Topic,
    subscribes: bool,
    names: VecDeque<Name>,
}

impl Feed {
    pub(super) fn new(node: NodeAddress) -> Rc<Feed> {
        Rc::new(Feed {
            node,
            outbox: Outbox::default(),
            names: RefCell::default(),
            awaited: RefCell::default(),
            declined: RefCell::default(),
            phase: Cell::new(Phase::New),
            is_closed: Cell::new(false),
        })
    }

    /// Wants messages of this name.
    pub(super) fn want(&self, topic: Topic, name: &Name) {
        let mut names = self.names.borrow_mut();
        if names[topic as usize].contains_key(name) {
            return;
        }
        names[topic as usize].insert(Rc::clone(name), false);
        drop(names);
        self.send((topic, true), [Rc::clone(name)].into());
    }

    /// Wants them no more.
    pub(super) fn unwant(&self, topic: Topic, name: &Name) {
        if self.names.borrow_mut()[topic as usize].remove(name).is_some() {
            self.send((topic, false), [Rc::clone(name)].into());
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.names.borrow().iter().all(HashMap::is_empty)
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    pub(super) fn is_failing(&self) -> bool {
        self.phase.get() == Phase::Failing
    }

    /// Whether the node sends messages of this name.
    pub(super) fn is_confirmed(&self, topic: Topic, name: &[u8]) -> bool {
        self.names.borrow()[topic as usize].get(name).copied().unwrap_or(false)
    }

    /// Nobody wants it any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.outbox.wake();
    }

    /// The node has confirmed a command, for one name. `None`: nobody had asked for that, or it is not
    /// wanted any more; else the name.
    pub(super) fn confirmed(&self, topic: Topic, subscribed: bool, name: &[u8]) -> Option<Name> {
        let mut awaited = self.awaited.borrow_mut();
        let is_answer = awaited.front().is_some_and(|first| {
            (first.topic, first.subscribes) == (topic, subscribed)
                && first.names.front().is_some_and(|first| **first == *name)
        });
        if is_answer && let Some(first) = awaited.front_mut() {
            first.names.pop_front();
            if first.names.is_empty() {
                awaited.pop_front();
            }
        }
        drop(awaited);
        let mut names = self.names.borrow_mut();
        let known = names[topic as usize].get_key_value(name).map(|(name, _)| Rc::clone(name))?;
        if subscribed {
            names[topic as usize].insert(Rc::clone(&known), true);
            return Some(known);
        }
        if !is_answer {
            // The slot has left the node. Asked again, it says where to.
            names[topic as usize].insert(Rc::clone(&known), false);
            drop(names);
            self.send((topic, true), [Rc::clone(&known)].into());
            return Some(known);
        }
        None
    }

    /// The node has answered a command with an error: for these names, when it was to subscribe.
    pub(super) fn failed(&self) -> Option<(Topic, Vec<Name>)> {
        let Awaited { topic, subscribes, names } = self.awaited.borrow_mut().pop_front()?;
        subscribes.then(|| (topic, names.into()))
    }

    /// These will be asked for again.
    pub(super) fn decline(&self, topic: Topic, names: Vec<Name>) {
        self.declined.borrow_mut().extend(names.into_iter().map(|name| (topic, name)));
    }

    /// Asks again for what the node could not do before. Says whether there was something.
    pub(super) fn ask_again(&self) -> bool {
        let declined = self.declined.take();
        let is_any = !declined.is_empty();
        for (topic, name) in declined {
            let is_wanted = self.names.borrow()[topic as usize].get(&name) == Some(&false);
            if is_wanted {
                self.send((topic, true), [name].into());
            }
        }
        is_any
    }

    /// Whether something has been declined and not asked for again.
    pub(super) fn has_declined(&self) -> bool {
        !self.declined.borrow().is_empty()
    }

    /// Sends a command, if there is a connection; what is wanted is asked for when there is one.
    fn send(&self, (topic, subscribes): (Topic, bool), names: VecDeque<Name>) {
        if !self.is_open() {
            return;
        }
        let (subscribe, unsubscribe) = words(topic);
        self.outbox.append(|out| {
            write::array_len(out, names.len() + 1);
            write::bulk(out, if subscribes { subscribe } else { unsubscribe });
            names.iter().for_each(|name| write::bulk(out, name));
        });
        self.awaited.borrow_mut().push_back(Awaited { topic, subscribes, names });
    }

    fn open(&self) {
        self.phase.set(Phase::Open);
        self.outbox.clear();
        self.awaited.borrow_mut().clear();
        self.declined.borrow_mut().clear();
        for topic in Topic::ALL {
            let names: Vec<Name> = {
                let mut names = self.names.borrow_mut();
                names[topic as usize].values_mut().for_each(|confirmed| *confirmed = false);
                names[topic as usize].keys().cloned().collect()
            };
            // Names in different slots cannot be asked for at once.
            let most = if topic == Topic::Shard { 1 } else { NAMES_PER_COMMAND };
            for names in names.chunks(most) {
                self.send((topic, true), names.to_vec().into());
            }
        }
    }

    /// Nothing is confirmed any more. Says whether something was.
    fn lose(&self) -> bool {
        let was_open = self.phase.replace(Phase::Failing) == Phase::Open;
        let mut names = self.names.borrow_mut();
        let mut had_something = false;
        for confirmed in names.iter_mut().flat_map(HashMap::values_mut) {
            had_something |= std::mem::take(confirmed);
        }
        had_something && was_open
    }

    /// Connects, passes messages on, and starts again, until nobody wants it.
    pub(super) async fn run(self: Rc<Feed>, hub: Rc<Hub>) {
        let mut failures = 0;
        while !self.is_closed.get() {
            let error = match hub.router.pipelines().messages(&self.node).await {
                Ok(mut stream) => {
                    failures = 0;
                    self.open();
                    hub.feed_opened();
                    self.serve(&mut stream, &hub).await
                }
                Err(error) => Some(error),
            };
            let Some(error) = error else { return };
            let had_something = self.lose();
            tracing::debug!(node = %self.node.name, %error, "no messages from a node");
            hub.feed_lost(&self, had_something);
            failures += 1;
            let pause = BACKOFF.0 * 2u32.saturating_pow(failures.min(10) - 1);
            sleep(pause.min(BACKOFF.1)).await;
        }
    }

    /// Passes messages on. Returns why no more come; without an error: nobody wants them.
    async fn serve(&self, stream: &mut MessageStream, hub: &Hub) -> Option<BackendError> {
        let silence = Duration::from_micros(hub.router.shared().response_timeout_us);
        let ping_every = (silence / 2).min(PING_EVERY_MAX);
        let (mut deliveries, mut silent_for) = (0, Duration::ZERO);
        let closed =
            || poll_fn(|_| if self.is_closed.get() { Poll::Ready(()) } else { Poll::Pending });
        loop {
            let next = tokio::select! {
                biased;
                () = closed() => return None,
                next = timeout(ping_every, stream.next(&self.outbox)) => next,
            };
            match next {
                Ok(Ok(frame)) => {
                    silent_for = Duration::ZERO;
                    deliveries += hub.take(self, frame);
                }
                Ok(Err(error)) => return Some(error),
                Err(_) => {
                    silent_for += ping_every;
                    if silent_for > silence {
                        return Some(BackendError::Silent);
                    }
                    self.outbox.append(|out| write::request(out, &[b"PING"]));
                }
            }
            if deliveries > DELIVERIES_PER_TURN {
                deliveries = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}
