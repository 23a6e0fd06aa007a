//! Connections that are opened at a rate, whatever becomes of those before them.
//!
//! Owns the schedule, the sockets and their deadlines. Knows nothing of how figures are shown.
//! Invariants: an attempt is due at a time that depends on the rate alone; each has a deadline; there
//! are never more open at once than allowed.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::outcome::{Ending, Tally};
use crate::resp::{Decoder, Reply, Want};

const EVENTS: usize = 1024;
const READ_BYTES: usize = 4096;
/// Between two looks at deadlines and the schedule.
const LOOK: Duration = Duration::from_millis(1);
const LOOK_AT_ALL: Duration = Duration::from_millis(10);

/// What a storm is.
pub(super) struct Storm {
    /// Tried in turn, one for each connection.
    pub(super) addresses: Vec<SocketAddr>,
    /// Connections a second.
    pub(super) rate: u64,
    /// How long they are opened.
    pub(super) duration: Duration,
    /// The longest a connect, or a reply, may take.
    pub(super) timeout: Duration,
    /// How long a connection is kept after that.
    pub(super) hold: Duration,
    /// The most that are open at once.
    pub(super) open_max: usize,
    /// What each sends, and how many replies that has.
    pub(super) request: Vec<u8>,
    pub(super) replies: usize,
}

enum Stage {
    Connecting,
    /// Waits for replies, with so many to come.
    Waiting {
        connected: Instant,
        left: usize,
        decoder: Decoder,
    },
    /// Has had all it wanted.
    Holding,
}

struct Attempt {
    due: Instant,
    deadline: Instant,
    stream: TcpStream,
    stage: Stage,
}

/// What an event has led to.
enum Step {
    GoOn,
    Close,
    End(Ending),
}

/// Carries out a storm, and waits for what it began.
pub(super) fn run(storm: &Storm, tally: &mut Tally, stop: &AtomicBool) -> Result<()> {
    let mut poll = Poll::new().context("cannot wait for sockets")?;
    let mut events = Events::with_capacity(EVENTS);
    let mut open = Open { attempts: Vec::new(), free: Vec::new(), count: 0 };
    let start = Instant::now();
    tally.start(start);
    let (mut next, mut looked) = (0_u64, start);
    loop {
        let now = Instant::now();
        let is_over = now >= start + storm.duration || stop.load(Ordering::Relaxed);
        if is_over && (open.count == 0 || stop.load(Ordering::Relaxed)) {
            tally.end(now);
            return Ok(());
        }
        let due = |number: u64| {
            start + Duration::from_nanos(number.saturating_mul(1_000_000_000) / storm.rate)
        };
        let until = now.min(start + storm.duration);
        while due(next) < until && !stop.load(Ordering::Relaxed) {
            open.begin(storm, (due(next), next), poll.registry(), tally);
            next += 1;
        }
        match poll.poll(&mut events, Some(LOOK)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        let now = Instant::now();
        for event in &events {
            open.on_event(storm, event.token().0, now, tally);
        }
        if now.duration_since(looked) >= LOOK_AT_ALL {
            looked = now;
            open.look_at_clock(now, tally);
        }
        tally.cut(now);
    }
}

/// The attempts that are under way.
struct Open {
    attempts: Vec<Option<Attempt>>,
    free: Vec<usize>,
    count: usize,
}

impl Open {
    fn begin(
        &mut self,
        storm: &Storm,
        (due, number): (Instant, u64),
        registry: &Registry,
        tally: &mut Tally,
    ) {
        tally.begun();
        if self.count >= storm.open_max {
            return tally.ended(Ending::TooManyOpen);
        }
        let address = storm.addresses[(number % storm.addresses.len() as u64) as usize];
        let place = self.free.pop().unwrap_or_else(|| {
            self.attempts.push(None);
            self.attempts.len() - 1
        });
        let connecting = TcpStream::connect(address).and_then(|mut stream| {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(place), both)?;
            Ok(stream)
        });
        match connecting {
            Ok(stream) => {
                let deadline = due + storm.timeout;
                self.attempts[place] =
                    Some(Attempt { due, deadline, stream, stage: Stage::Connecting });
                self.count += 1;
            }
            Err(error) => {
                self.free.push(place);
                tally.ended(Ending::of(&error));
            }
        }
    }

    fn on_event(&mut self, storm: &Storm, place: usize, now: Instant, tally: &mut Tally) {
        let Some(Some(attempt)) = self.attempts.get_mut(place) else { return };
        let mut step = Step::GoOn;
        if matches!(attempt.stage, Stage::Connecting) {
            step = attempt.on_connected(storm, now, tally);
        }
        // What came with the connection, an error or its end, makes no other event.
        if matches!(step, Step::GoOn) && !matches!(attempt.stage, Stage::Connecting) {
            step = attempt.on_readable(storm, now, tally);
        }
        match step {
            Step::GoOn => return,
            Step::Close => {}
            Step::End(ending) => tally.ended(ending),
        }
        self.close(place);
    }

    fn close(&mut self, place: usize) {
        self.attempts[place] = None;
        self.free.push(place);
        self.count -= 1;
    }

    /// Ends what has taken too long, and what was held long enough.
    fn look_at_clock(&mut self, now: Instant, tally: &mut Tally) {
        for place in 0..self.attempts.len() {
            let Some(attempt) = self.attempts[place].as_ref().filter(|a| now >= a.deadline) else {
                continue;
            };
            match attempt.stage {
                Stage::Connecting => tally.ended(Ending::ConnectTimedOut),
                Stage::Waiting { .. } => tally.ended(Ending::ReplyTimedOut),
                Stage::Holding => {}
            }
            self.close(place);
        }
    }
}

impl Attempt {
    fn on_connected(&mut self, storm: &Storm, now: Instant, tally: &mut Tally) -> Step {
        match (self.stream.take_error(), self.stream.peer_addr()) {
            (Ok(None), Ok(_)) => {}
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => return Step::GoOn,
            (Ok(Some(error)) | Err(error), _) | (Ok(None), Err(error)) => {
                return Step::End(Ending::of(&error));
            }
        }
        tally.connected(now.saturating_duration_since(self.due));
        if storm.replies == 0 {
            return self.hold(storm, now, tally);
        }
        // A few bytes fit into the buffer of a socket that was never written to.
        match self.stream.write(&storm.request) {
            Ok(written) if written == storm.request.len() => {}
            Ok(_) => return Step::End(Ending::Failed("a request was not taken whole".to_owned())),
            Err(error) => return Step::End(Ending::of(&error)),
        }
        self.deadline = now + storm.timeout;
        let (left, decoder) = (storm.replies, Decoder::new());
        self.stage = Stage::Waiting { connected: now, left, decoder };
        Step::GoOn
    }

    fn hold(&mut self, storm: &Storm, now: Instant, tally: &mut Tally) -> Step {
        tally.good();
        if storm.hold.is_zero() {
            return Step::Close;
        }
        self.deadline = now + storm.hold;
        self.stage = Stage::Holding;
        Step::GoOn
    }

    fn on_readable(&mut self, storm: &Storm, now: Instant, tally: &mut Tally) -> Step {
        let mut buffer = [0; READ_BYTES];
        loop {
            let length = match self.stream.read(&mut buffer) {
                Ok(0) => return Step::End(self.closed()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::GoOn,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(self.stage, Stage::Holding) => {
                    return Step::End(Ending::Dropped(error.kind().to_string()));
                }
                Err(error) => return Step::End(Ending::of(&error)),
            };
            let Stage::Waiting { connected, left, decoder } = &mut self.stage else { continue };
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                match decoder.feed(rest, Want::Any) {
                    Err(error) => return Step::End(Ending::Failed(error.to_string())),
                    Ok((_, Some(Reply::Error(text)))) => return Step::End(Ending::Refused(text)),
                    Ok((used, reply)) => {
                        rest = &rest[used..];
                        *left = left.saturating_sub(usize::from(reply.is_some()));
                    }
                }
            }
            if *left == 0 {
                tally.answered(now.saturating_duration_since(*connected));
                return self.hold(storm, now, tally);
            }
        }
    }

    fn closed(&self) -> Ending {
        match self.stage {
            Stage::Holding => Ending::Dropped("closed by the target".to_owned()),
            _ => Ending::Closed,
        }
    }
}
