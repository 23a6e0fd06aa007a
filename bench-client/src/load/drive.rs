//! All clients of a load on one thread: what is ready is read, counted and answered by the next batch.
//!
//! Owns sockets, clock and the measured time. Must not know what requests mean.
//! Invariants: a wait has a limit; one clock reading serves all replies of one read; nothing is
//! allocated while counting.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::scanner::{Scanner, Seen};
use super::script::Script;
use super::{Address, Counted, Edge, Load};
use crate::tally::Latencies;

/// What is read at once, by whichever client has something to read.
const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// For replies to what was sent before the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// The times of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Run and not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) counted: Duration,
}

/// Puts `load` on `address`. `at_edge` is called when counting starts and when it ends, so that what
/// is measured elsewhere has the same edges.
pub(crate) fn run(
    address: Address,
    load: &Load,
    pace: Pace,
    stop: &AtomicBool,
    mut at_edge: impl FnMut(Edge),
) -> Result<Counted> {
    let mut drive = Drive::new(address, load)?;
    drive.turns_until(Instant::now() + pace.warm_up, stop)?;
    drive.forget()?;
    at_edge(Edge::Start);
    let start = Instant::now();
    drive.turns_until(start + pace.counted, stop)?;
    at_edge(Edge::End);
    let took = start.elapsed();
    let (requests, wrong) = (drive.seen.replies, drive.seen.wrong);
    let (latencies, example) = (drive.latencies.clone(), drive.seen.example.take());
    drive.drain(stop)?;
    ensure!(requests > 0, "no request was answered in {:.1} s", took.as_secs_f64());
    Ok(Counted { requests, took, latencies, wrong, example })
}

struct Drive {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    seen: Seen,
    latencies: Latencies,
    bulk: usize,
    /// Whether a client whose batch is answered sends the next one.
    sending: bool,
}

struct Client {
    stream: TcpStream,
    script: Script,
    scanner: Scanner,
    /// What of the batch is not written yet.
    unsent: (usize, usize),
    /// Replies of the batch that are to come.
    awaited: u64,
    began: Instant,
    pipeline: u64,
}

impl Drive {
    /// Connects all clients and sends the first batch of each.
    fn new(address: Address, load: &Load) -> Result<Drive> {
        let mut drive = Drive {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            clients: Vec::with_capacity(load.clients),
            buffer: vec![0; READ_BYTES],
            seen: Seen::default(),
            latencies: Latencies::new()?,
            bulk: load.bytes,
            sending: true,
        };
        for number in 0..load.clients {
            let mut client = Client::connect(address, load, number)
                .with_context(|| format!("client {} of {}", number + 1, load.clients))?;
            let both = Interest::READABLE | Interest::WRITABLE;
            drive.poll.registry().register(&mut client.stream, Token(number), both)?;
            drive.clients.push(client);
        }
        for client in &mut drive.clients {
            client.begin()?;
        }
        Ok(drive)
    }

    fn turns_until(&mut self, deadline: Instant, stop: &AtomicBool) -> Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            self.turn(left.min(LOOK))?;
        }
    }

    fn turn(&mut self, wait: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let Some(client) = self.clients.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                client.write()?;
            }
            if !event.is_readable() {
                continue;
            }
            // Events come when something has changed, so all there is has to be read.
            while client.awaited > 0 {
                let before = self.seen.replies;
                let all = client.read(&mut self.buffer, self.bulk, &mut self.seen)?;
                let replies = self.seen.replies - before;
                if replies > 0 {
                    self.latencies.record_many(client.began.elapsed(), replies);
                    ensure!(replies <= client.awaited, "more replies than requests");
                    client.awaited -= replies;
                }
                if client.awaited == 0 && self.sending {
                    client.begin()?;
                }
                if all {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Starts counting anew.
    fn forget(&mut self) -> Result<()> {
        if let Some(example) = self.seen.example.take() {
            bail!("wrong replies: {example}");
        }
        self.seen = Seen::default();
        self.latencies.clear();
        Ok(())
    }

    /// Waits for what is still to come, so that it does not burden whoever is next.
    fn drain(&mut self, stop: &AtomicBool) -> Result<()> {
        self.sending = false;
        let deadline = Instant::now() + DRAIN_PATIENCE;
        while self.clients.iter().any(|client| client.awaited > 0) && Instant::now() < deadline {
            self.turns_until(deadline.min(Instant::now() + LOOK / 10), stop)?;
        }
        Ok(())
    }
}

impl Client {
    fn connect(address: Address, load: &Load, number: usize) -> Result<Client> {
        let stream = StdStream::connect_timeout(&address, CONNECT_PATIENCE)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Client {
            stream: TcpStream::from_std(stream),
            script: Script::new(load, number),
            scanner: Scanner::default(),
            unsent: (0, 0),
            awaited: 0,
            began: Instant::now(),
            pipeline: load.pipeline as u64,
        })
    }

    /// Sends the next batch.
    fn begin(&mut self) -> Result<()> {
        self.unsent = self.script.next();
        self.awaited = self.pipeline;
        self.began = Instant::now();
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while self.unsent.0 < self.unsent.1 {
            let piece = &self.script.bytes()[self.unsent.0..self.unsent.1];
            match self.stream.write(piece) {
                Ok(0) => bail!("a connection takes nothing any more"),
                Ok(written) => self.unsent.0 += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a connection broke while sending"),
            }
        }
        Ok(())
    }

    /// Reads once. Returns whether that was all there was.
    fn read(&mut self, buffer: &mut [u8], bulk: usize, seen: &mut Seen) -> Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("a connection was closed"),
            Ok(length) => {
                let fed = self.scanner.feed(&buffer[..length], bulk, seen);
                ensure!(fed.is_ok(), "a reply is not RESP2");
                Ok(length < buffer.len())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error).context("a connection broke while reading"),
        }
    }
}
