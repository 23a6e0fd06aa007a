//! The connections of one thread: whichever is ready is read, counted and given its next pipeline.
//!
//! Owns the poll and the clock of a thread. Knows nothing of what requests mean, or why they are
//! sent. Invariants: no wait is longer than `LOOK`; nothing is shared with other threads for each
//! request.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::{Events, Poll, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::connection::Target;
use crate::connection_driver::{ConnectionDriver, Manners, Ready, Shared};
use crate::lookup::Lookup;
use crate::pace::{Schedule, Turns};
use crate::recorder::{Recorder, Tally};
use crate::slot_map::Routes;
use crate::workload::Workload;

const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const WAKER: Token = Token(usize::MAX);
/// Between two looks whether to stop, and at deadlines.
const LOOK: Duration = Duration::from_millis(50);
/// The same while a connection is down or not yet up.
const LOOK_UNSETTLED: Duration = Duration::from_millis(10);
/// What a target has to accept at once.
const CONNECTING_MAX: usize = 128;

/// Which of a load's connections a thread has: each `step`-th from the one called `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Connections of the load.
    pub(crate) connections: usize,
    /// The first of this thread.
    pub(crate) first: usize,
    /// From one to the next, which is how many threads there are.
    pub(crate) step: usize,
    /// Requests per second over all connections of the load; without one, as fast as replies come.
    pub(crate) rate: Option<u64>,
}

/// The connections of one thread.
pub(crate) struct Engine<'a, W> {
    poll: Poll,
    events: Events,
    drivers: Vec<ConnectionDriver>,
    shared: Shared<'a, W>,
    turns: Option<Turns>,
    looked: Instant,
    share: Share,
    waker: Arc<Waker>,
    /// Addresses of the target's nodes, and the map that they are from.
    nodes: Vec<String>,
    routes_version: u64,
}

impl<'a, W: Workload> Engine<'a, W> {
    /// Nothing is connected yet. With `routes`, the target is a cluster: each connection belongs to one
    /// of the masters that have a key, all of them in turn.
    pub(crate) fn new(
        (target, routes): (&Target, Option<&'a Routes>),
        share: Share,
        manners: Manners,
        workload: W,
        recorder: Recorder<'a>,
    ) -> Result<Engine<'a, W>> {
        let poll = Poll::new().context("cannot wait for sockets")?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let registry = poll.registry().try_clone()?;
        let (first, step) = (share.first as u64, share.step.max(1) as u64);
        let all = share.connections as u64;
        let drivers = (first..all).step_by(share.step.max(1)).enumerate().map(|(place, number)| {
            ConnectionDriver::new(place, share.rate.map(|rate| Schedule::new(rate, number, all)))
        });
        let mut engine = Engine {
            poll,
            events: Events::with_capacity(EVENTS),
            drivers: drivers.collect(),
            shared: Shared {
                workload,
                recorder,
                manners,
                greeting: target.greeting(manners.resp3),
                registry,
                lookups: vec![Lookup::new(&target.address, Arc::clone(&waker))],
                routes,
                buffer: vec![0; READ_BYTES],
                start: Instant::now(),
                until: None,
                busy: 0,
                unsettled: false,
                failed: None,
            },
            turns: share.rate.map(|rate| Turns::new(rate, all, first, step)),
            looked: Instant::now(),
            share,
            waker,
            nodes: vec![target.address.clone()],
            routes_version: 0,
        };
        engine.reroute();
        Ok(engine)
    }

    /// Goes by the map as it is now. Connections whose node has another address go there.
    fn reroute(&mut self) {
        let Some(routes) = self.shared.routes else { return };
        let (version, map) = routes.current();
        self.routes_version = version;
        let nodes = self.shared.workload.reroute(&map);
        // Nothing to go by: what there is stays until the next map.
        if nodes.is_empty() {
            return;
        }
        let look_up = |node: &String| Lookup::new(node, Arc::clone(&self.waker));
        self.shared.lookups = nodes.iter().map(look_up).collect();
        for (place, driver) in self.drivers.iter_mut().enumerate() {
            let number = self.share.first + place * self.share.step.max(1);
            let before = self.nodes.get(number % self.nodes.len());
            let node = number % nodes.len();
            driver.assign(node, before != nodes.get(node));
        }
        self.nodes = nodes;
        self.shared.unsettled = true;
    }

    /// Tries each connection once, some at a time, before anything is sent.
    pub(crate) fn connect(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut tried = 0;
        while !stop.load(Ordering::Relaxed) {
            let connecting = self.drivers.iter().filter(|driver| driver.is_connecting()).count();
            if connecting == 0 && tried == self.drivers.len() {
                return self.failure();
            }
            let room = CONNECTING_MAX.saturating_sub(connecting);
            for driver in self.drivers.iter_mut().skip(tried).take(room) {
                driver.dial(Instant::now(), &mut self.shared);
                tried += 1;
            }
            self.turn(LOOK_UNSETTLED)?;
        }
        Ok(())
    }

    /// Sends from `start` until `until`; what is due from `measure` on is measured.
    pub(crate) fn start(&mut self, start: Instant, measure: Instant, until: Instant) {
        self.shared.recorder.start(start, measure);
        (self.shared.start, self.shared.until) = (start, Some(until));
        let now = Instant::now();
        for driver in &mut self.drivers {
            if driver.is_down() {
                driver.dial(now, &mut self.shared);
            } else {
                driver.take_turn(now, &mut self.shared);
            }
        }
    }

    /// Keeps connections busy until then, or until `stop` is set.
    pub(crate) fn turns_until(&mut self, deadline: Instant, stop: &AtomicBool) -> Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Sends nothing more and waits for the replies to come, which has an end: that of a pipeline's
    /// patience, or `deadline`.
    pub(crate) fn drain(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.shared.until = None;
        while self.shared.busy > 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            self.turn(LOOK)?;
        }
        Ok(())
    }

    /// Shows others everything that was counted, as after the last reply.
    pub(crate) fn show_all(&mut self) {
        self.shared.recorder.show_all(Instant::now());
    }

    /// Hands out what was counted so far, and counts anew.
    pub(crate) fn take_tally(&mut self) -> Result<Tally> {
        Ok(self.shared.recorder.take()?)
    }

    fn failure(&mut self) -> Result<()> {
        match self.shared.failed.take() {
            Some((place, failure)) => Err(failure)
                .with_context(|| format!("client {} of {}", place + 1, self.drivers.len())),
            None => Ok(()),
        }
    }

    /// One wait, and what is to do after it.
    fn turn(&mut self, longest: Duration) -> Result<()> {
        self.wait(longest)?;
        for event in &self.events {
            if event.token() == WAKER {
                continue;
            }
            let Some(driver) = self.drivers.get_mut(event.token().0) else { continue };
            let closed = event.is_read_closed() || event.is_error();
            let (readable, writable) = (event.is_readable() || closed, event.is_writable());
            driver.on_ready(Ready { readable, writable, closed }, &mut self.shared);
        }
        let now = Instant::now();
        for node in 0..self.shared.lookups.len() {
            if let Some(answer) = self.shared.lookups[node].answer() {
                for driver in &mut self.drivers {
                    driver.looked_up(node, &answer, &mut self.shared);
                }
            }
        }
        if let (Some(turns), Some(until)) = (&mut self.turns, self.shared.until) {
            let elapsed = now.min(until).saturating_duration_since(self.shared.start);
            for place in turns.due(elapsed) {
                if let Some(driver) = self.drivers.get_mut(place) {
                    driver.take_turn(now, &mut self.shared);
                }
            }
        }
        if now.saturating_duration_since(self.looked) >= LOOK_UNSETTLED {
            self.looked = now;
            if self.shared.routes.is_some_and(|routes| routes.is_newer_than(self.routes_version)) {
                self.reroute();
            }
            self.shared.unsettled = false;
            for driver in &mut self.drivers {
                driver.look_at_clock(now, &mut self.shared);
            }
        }
        self.shared.recorder.show(now);
        self.failure()
    }

    /// Waits until something is ready or somebody's turn has come.
    fn wait(&mut self, longest: Duration) -> Result<()> {
        let look = if self.shared.unsettled { LOOK_UNSETTLED } else { LOOK };
        let mut wait = longest.min(look);
        if let (Some(turns), Some(_)) = (&self.turns, self.shared.until) {
            let next = self.shared.start + turns.next();
            wait = wait.min(next.saturating_duration_since(Instant::now()));
            if !wait.is_zero() {
                self.wait_exactly(wait);
            }
            // What is ready by now is asked for below.
            wait = Duration::ZERO;
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => Ok(polled?),
        }
    }

    /// The poll's own waits are a millisecond coarse: several times the latency of a Redis on the
    /// same network.
    fn wait_exactly(&self, wait: Duration) {
        let Ok(wait) = Timespec::try_from(wait) else { return };
        // An interrupted wait is a short one.
        let _ = rustix::event::poll(
            &mut [PollFd::new(self.poll.registry(), PollFlags::IN)],
            Some(&wait),
        );
    }
}
