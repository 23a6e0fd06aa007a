//! One connection of a load: connects, sends pipelines, takes the replies, connects anew.
//!
//! Owns a socket that never blocks, and how far its pipeline is. Knows nothing of other connections,
//! of the poll that wakes it, or of what requests mean. Invariants: nothing is sent after the end;
//! a broken connection costs the requests that are under way and a bounded wait, never the run; every
//! stage that waits for the peer has a deadline.

mod shared;

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::connection::Failure;
use crate::lookup::Addresses;
use crate::outbox::Outbox;
use crate::pace::Schedule;
use crate::pipeline::Pipeline;
use crate::recorder::Moments;
use crate::resp::{Decoder, Want};
use crate::tally::Outcome;
use crate::workload::Workload;

pub(crate) use shared::{Manners, Ready, Shared};

const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Stage {
    /// Not connected, and not to be until then.
    Down { until: Instant },
    /// Waits for the addresses of the target.
    LookingUp { deadline: Instant },
    /// Waits for one of the addresses; the next to be tried is `next`.
    Connecting { deadline: Instant, addresses: Addresses, next: usize },
    /// Waits for the reply to HELLO or AUTH.
    Authenticating { deadline: Instant },
    /// Connected, with nothing under way.
    Idle,
    /// Waits for replies.
    Busy { deadline: Instant },
}

/// One connection.
pub(crate) struct ConnectionDriver {
    number: usize,
    /// Which of the nodes it belongs to, and whether it is to be connected to another.
    node: usize,
    is_to_move: bool,
    stage: Stage,
    stream: Option<TcpStream>,
    decoder: Decoder,
    outbox: Outbox,
    pipeline: Pipeline,
    schedule: Option<Schedule>,
    back_off: Duration,
    /// Something has arrived, or the end, while nothing was under way.
    unread: bool,
    /// A reply was read that nobody had asked for.
    unasked: bool,
    /// It was connected before, and lost.
    was_lost: bool,
}

impl ConnectionDriver {
    /// The connection that events call `number`; with a schedule, it keeps to that.
    pub(crate) fn new(number: usize, schedule: Option<Schedule>) -> ConnectionDriver {
        ConnectionDriver {
            number,
            node: 0,
            is_to_move: false,
            stage: Stage::Down { until: Instant::now() },
            stream: None,
            decoder: Decoder::new(),
            outbox: Outbox::default(),
            pipeline: Pipeline::new(),
            schedule,
            back_off: BACK_OFF_MIN,
            unread: false,
            unasked: false,
            was_lost: false,
        }
    }

    /// From now on it belongs to this node. Where that is at another address than what it was connected
    /// to, it is connected anew when its pipeline is done.
    pub(crate) fn assign(&mut self, node: usize, is_moved: bool) {
        self.node = node;
        if is_moved {
            match self.stage {
                Stage::Busy { .. } => self.is_to_move = true,
                _ => self.leave(Instant::now()),
            }
        }
    }

    /// Closes the connection where nothing is lost by that.
    fn leave(&mut self, now: Instant) {
        self.hang_up();
        self.stage = Stage::Down { until: now };
    }

    fn hang_up(&mut self) {
        self.stream = None;
        self.outbox.clear();
        self.pipeline.clear();
        self.decoder = Decoder::new();
        (self.unread, self.unasked, self.is_to_move) = (false, false, false);
    }

    /// Whether it is on its way to be connected.
    pub(crate) fn is_connecting(&self) -> bool {
        !matches!(self.stage, Stage::Down { .. } | Stage::Idle | Stage::Busy { .. })
    }

    /// Whether it has failed, or has not been tried.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.stage, Stage::Down { .. })
    }

    /// Begins to connect.
    pub(crate) fn dial<W: Workload>(&mut self, now: Instant, shared: &mut Shared<'_, W>) {
        let deadline = now + shared.manners.connect_timeout;
        shared.unsettled = true;
        self.stage = Stage::LookingUp { deadline };
        let Some(lookup) = shared.lookups.get_mut(self.node) else { return };
        match lookup.start() {
            Ok(Some(addresses)) => self.found(&addresses, shared),
            Ok(None) => {}
            Err(error) => self.fail(Failure::Connect(error), shared),
        }
    }

    /// The lookup of a node has ended that it may have waited for.
    pub(crate) fn looked_up<W: Workload>(
        &mut self,
        node: usize,
        answer: &io::Result<Addresses>,
        shared: &mut Shared<'_, W>,
    ) {
        if node != self.node {
            return;
        }
        match answer {
            Ok(addresses) => self.found(addresses, shared),
            Err(error) if matches!(self.stage, Stage::LookingUp { .. }) => {
                let error = io::Error::new(error.kind(), error.to_string());
                self.fail(Failure::Connect(error), shared);
            }
            Err(_) => {}
        }
    }

    fn found<W: Workload>(&mut self, addresses: &Addresses, shared: &mut Shared<'_, W>) {
        if let Stage::LookingUp { deadline } = self.stage {
            self.stage = Stage::Connecting { deadline, addresses: addresses.clone(), next: 0 };
            let none = io::Error::new(ErrorKind::NotFound, "the name has no address");
            if let Err(failure) = self.connect_to_next(none, &shared.registry) {
                self.fail(failure, shared);
            }
        }
    }

    /// Tries the addresses that are left; `last` is why the one before did not do.
    fn connect_to_next(&mut self, mut last: io::Error, registry: &Registry) -> Result<(), Failure> {
        self.stream = None;
        let Stage::Connecting { addresses, next, .. } = &mut self.stage else { return Ok(()) };
        while let Some(address) = addresses.get(*next) {
            *next += 1;
            let connecting = TcpStream::connect(*address).and_then(|mut stream| {
                let both = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut stream, Token(self.number), both)?;
                Ok(stream)
            });
            match connecting {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::Connect(last))
    }

    /// Does what the socket is ready for.
    pub(crate) fn on_ready<W: Workload>(&mut self, ready: Ready, shared: &mut Shared<'_, W>) {
        let done = match self.stage {
            Stage::Connecting { deadline, .. } => self.on_connected(ready, deadline, shared),
            Stage::Authenticating { .. } => self.authenticate(ready, shared),
            Stage::Busy { .. } => self.exchange(ready, shared),
            Stage::Idle => {
                self.unread |= ready.readable;
                Ok(())
            }
            Stage::Down { .. } | Stage::LookingUp { .. } => Ok(()),
        };
        if let Err(failure) = done {
            self.fail(failure, shared);
        }
    }

    fn on_connected<W: Workload>(
        &mut self,
        ready: Ready,
        deadline: Instant,
        shared: &mut Shared<'_, W>,
    ) -> Result<(), Failure> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let error = match (stream.take_error(), stream.peer_addr()) {
            (Ok(None), Ok(_)) => stream.set_nodelay(true).err(),
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected && !ready.closed => {
                return Ok(());
            }
            (Ok(Some(error)) | Err(error), _) | (Ok(None), Err(error)) => Some(error),
        };
        if let Some(error) = error {
            return self.connect_to_next(error, &shared.registry);
        }
        self.unread = ready.readable;
        match &shared.greeting {
            Some(greeting) => {
                self.stage = Stage::Authenticating { deadline };
                self.outbox.put(greeting);
                self.outbox.write(stream, |_| b"").map_err(Failure::Broken).map(|_| ())
            }
            None => self.begin(Instant::now(), shared),
        }
    }

    fn authenticate<W: Workload>(
        &mut self,
        ready: Ready,
        shared: &mut Shared<'_, W>,
    ) -> Result<(), Failure> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        self.outbox.write(stream, |_| b"").map_err(Failure::Broken)?;
        if !ready.readable && !self.unread {
            return Ok(());
        }
        self.unread = false;
        loop {
            let Some(length) = read(stream, &mut shared.buffer)? else { return Ok(()) };
            let arrived = &shared.buffer[..length];
            let (used, reply) = self.decoder.feed(arrived, Want::Any).map_err(Failure::Protocol)?;
            if let Some(reply) = reply {
                Failure::of_greeting(reply, shared.manners.resp3)?;
                self.unasked = used < length;
                self.unread = ready.closed;
                return self.begin(Instant::now(), shared);
            }
        }
    }

    /// Sends the next pipeline if it has one to send.
    pub(crate) fn take_turn<W: Workload>(&mut self, now: Instant, shared: &mut Shared<'_, W>) {
        if matches!(self.stage, Stage::Idle)
            && let Err(failure) = self.begin(now, shared)
        {
            self.fail(failure, shared);
        }
    }

    fn begin<W: Workload>(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_, W>,
    ) -> Result<(), Failure> {
        self.stage = Stage::Idle;
        if self.is_to_move {
            self.leave(now);
            shared.unsettled = true;
            return Ok(());
        }
        if std::mem::take(&mut self.was_lost) {
            shared.recorder.reconnected(now);
        }
        let Some(until) = shared.until.filter(|until| now < *until) else { return Ok(()) };
        let size = shared.manners.pipeline;
        match &mut self.schedule {
            None => self.pipeline.begin(now, size),
            Some(schedule) => {
                let due = schedule.due(shared.start, now, until).take(size);
                self.pipeline.begin_scheduled(now, due);
            }
        }
        if self.pipeline.is_done() {
            return Ok(());
        }
        self.stage = Stage::Busy { deadline: now + shared.manners.timeout };
        shared.busy += 1;
        if self.unasked {
            return Err(Failure::Unasked);
        }
        if std::mem::take(&mut self.unread)
            && let Some(stream) = &mut self.stream
            && read(stream, &mut shared.buffer)?.is_some()
        {
            return Err(Failure::Unasked);
        }
        self.send(shared)
    }

    /// Writes as much of the pipeline as the socket takes. Requests are put into words as there is
    /// room, so what is not sent yet is bounded whatever the pipeline's length.
    fn send<W: Workload>(&mut self, shared: &mut Shared<'_, W>) -> Result<(), Failure> {
        let Some(stream) = &self.stream else { return Ok(()) };
        loop {
            if self.outbox.is_empty()
                && !self.pipeline.ask(self.node, &mut self.outbox, &mut shared.workload)
            {
                return Ok(());
            }
            let workload = &shared.workload;
            let written = self.outbox.write(stream, |ticket| workload.value(ticket));
            if !written.map_err(Failure::Broken)? {
                return Ok(());
            }
        }
    }

    fn exchange<W: Workload>(
        &mut self,
        ready: Ready,
        shared: &mut Shared<'_, W>,
    ) -> Result<(), Failure> {
        if ready.writable {
            self.send(shared)?;
        }
        if !ready.readable {
            return Ok(());
        }
        // Events come when something has changed, so all there is has to be read.
        while let (Stage::Busy { .. }, Some(stream)) = (&self.stage, &mut self.stream) {
            let Some(length) = read(stream, &mut shared.buffer)? else { return Ok(()) };
            let now = Instant::now();
            let buffer = std::mem::take(&mut shared.buffer);
            let taken = self.take_replies(&buffer[..length], now, shared);
            let is_full = length == buffer.len();
            shared.buffer = buffer;
            taken?;
            if self.pipeline.is_done() {
                shared.busy -= 1;
                self.back_off = BACK_OFF_MIN;
                self.begin(now, shared)?;
            }
            if !is_full && !ready.closed {
                return Ok(());
            }
        }
        // Not busy any more: what has not been read is looked at before the next pipeline.
        self.unread = true;
        Ok(())
    }

    /// Counts the replies in `arrived`. One clock reading serves all of them.
    fn take_replies<W: Workload>(
        &mut self,
        mut arrived: &[u8],
        done: Instant,
        shared: &mut Shared<'_, W>,
    ) -> Result<(), Failure> {
        let sent = self.pipeline.sent();
        // Good replies of one class that were due at the same time are counted together.
        let mut good = ((self.pipeline.intended(), 0), 0);
        let mut result = Ok(());
        while !arrived.is_empty() {
            let Some(ticket) = self.pipeline.awaited() else {
                self.unasked = true;
                if !self.pipeline.is_done() {
                    result = Err(Failure::Unasked);
                }
                break;
            };
            let (used, reply) = match self.decoder.feed(arrived, shared.workload.want(ticket)) {
                Ok(fed) => fed,
                Err(error) => {
                    result = Err(Failure::Protocol(error));
                    break;
                }
            };
            arrived = &arrived[used..];
            let Some(reply) = reply else { break };
            let intended = self.pipeline.answered();
            let class = shared.workload.class(ticket);
            let moments = |intended| Moments { intended, sent, done };
            match shared.workload.outcome(ticket, reply) {
                Outcome::Good if good.0 == (intended, class) => good.1 += 1,
                Outcome::Good => {
                    shared.recorder.good(moments(good.0.0), good.0.1, good.1);
                    good = ((intended, class), 1);
                }
                Outcome::Redirected => {
                    shared.recorder.redirected(done);
                    shared.doubt_routes();
                }
                other => shared.recorder.bad(moments(intended), Some(class), &other),
            }
        }
        let ((intended, class), times) = good;
        shared.recorder.good(Moments { intended, sent, done }, class, times);
        result
    }

    /// Ends what has taken too long, and connects anew what has waited long enough.
    pub(crate) fn look_at_clock<W: Workload>(&mut self, now: Instant, shared: &mut Shared<'_, W>) {
        let failure = match self.stage {
            Stage::Idle => return,
            Stage::Busy { deadline } => {
                if now < deadline {
                    return;
                }
                Failure::TimedOut
            }
            Stage::Down { until } => {
                shared.unsettled = true;
                if now >= until && !shared.is_over(now) {
                    self.dial(now, shared);
                }
                return;
            }
            Stage::LookingUp { deadline }
            | Stage::Connecting { deadline, .. }
            | Stage::Authenticating { deadline } => {
                shared.unsettled = true;
                if now < deadline {
                    return;
                }
                Failure::Connect(ErrorKind::TimedOut.into())
            }
        };
        self.fail(failure, shared);
    }

    /// Counts what is lost. The connection will be made anew after a while.
    fn fail<W: Workload>(&mut self, failure: Failure, shared: &mut Shared<'_, W>) {
        let now = Instant::now();
        let outcome = Outcome::Failed(failure.to_string());
        if let Stage::Busy { .. } = self.stage {
            shared.busy -= 1;
            let sent = self.pipeline.sent();
            while !self.pipeline.is_done() {
                let class = self.pipeline.awaited().map(|ticket| shared.workload.class(ticket));
                let intended = self.pipeline.answered();
                shared.recorder.bad(Moments { intended, sent, done: now }, class, &outcome);
            }
        } else if !shared.is_over(now) {
            // Nothing was lost but an attempt to connect.
            let moments = Moments { intended: now, sent: now, done: now };
            shared.recorder.bad(moments, None, &outcome);
        }
        self.was_lost |= matches!(self.stage, Stage::Busy { .. } | Stage::Idle);
        shared.doubt_routes();
        self.hang_up();
        self.stage = Stage::Down { until: now + self.back_off };
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
        shared.unsettled = true;
        if !shared.manners.reconnects {
            shared.failed.get_or_insert((self.number, failure));
        }
    }
}

/// How much was read; `None` when there is nothing now.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(Failure::Broken(ErrorKind::UnexpectedEof.into())),
            Ok(length) => return Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Broken(error)),
        }
    }
}
