//! Streams of requests, each with keys of its own, one after the other, that check every reply.
//!
//! Owns the kinds of streams, starting and ending them, and the last look at the cluster's own
//! data. Must not know which fault is under way.

pub(crate) mod ledger;
pub(crate) mod queue;
pub(crate) mod report;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway::resp::Value;

use crate::nodes::until;
pub(crate) use report::{Allowed, Report};
use stream::Stream;

/// What a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `INCR`, one at a time.
    Counter,
    /// `INCR` of one key, eight in a write.
    Pipeline,
    /// `MSET`, then `MGET`, of keys all over the slots.
    Split,
    /// The same with keys of one slot.
    Tagged,
    /// `SET`, then `GET`, of 512 KiB.
    Large,
    /// `GET` and `MGET` of keys that nobody writes any more.
    Reader,
    /// `MULTI`, `INCR` of two keys, `EXEC` in one write: the two must agree.
    Transaction,
    /// `WATCH` and `GET`, then `MULTI`, `SET`, `EXEC`.
    Watch,
    /// `LPUSH`, while another connection waits in `BLMOVE`.
    Queue,
    /// `XADD`, while another connection waits in `XREADGROUP`; then `XACK`.
    Group,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Counter,
        Kind::Pipeline,
        Kind::Split,
        Kind::Tagged,
        Kind::Large,
        Kind::Reader,
        Kind::Transaction,
        Kind::Watch,
        Kind::Queue,
        Kind::Group,
    ];

    /// How many requests of it are under way at once.
    pub(crate) fn depth(self) -> usize {
        match self {
            Kind::Pipeline => stream::DEPTH,
            Kind::Queue | Kind::Group => 2,
            _ => 1,
        }
    }
}

/// How many streams of each kind, in the order of [`Kind::ALL`].
#[derive(Clone, Copy)]
pub(crate) struct Mix(pub(crate) [usize; 10]);

impl Mix {
    pub(crate) const ALL: Mix = Mix([12, 2, 3, 3, 2, 6, 6, 4, 6, 4]);
    /// Without the large ones, for clusters that are busy otherwise.
    pub(crate) const SMALL: Mix = Mix([10, 2, 2, 2, 0, 4, 4, 2, 4, 0]);
}

/// Running streams; they end with it.
pub(crate) struct Load {
    ending: Arc<AtomicBool>,
    streams: Vec<(Kind, Arc<AtomicU64>, JoinHandle<Stream>)>,
}

impl Load {
    /// Starts the streams and waits until each of them has been answered.
    pub(crate) fn start(gateway: SocketAddr, mix: Mix) -> Load {
        let ending = Arc::new(AtomicBool::new(false));
        let mut streams = Vec::new();
        for (kind, count) in Kind::ALL.into_iter().zip(mix.0) {
            for number in 0..count {
                let (acked, ending) = (Arc::new(AtomicU64::new(0)), Arc::clone(&ending));
                let stream = Stream::new(kind, number, gateway, Arc::clone(&acked));
                streams.push((kind, acked, std::thread::spawn(move || stream.run(&ending))));
            }
        }
        let load = Load { ending, streams };
        load.wait_for_progress(10);
        load
    }

    /// Waits until every stream has had so many answers more; how long that took, and what the last
    /// one does.
    pub(crate) fn wait_for_progress(&self, answers: u64) -> (Duration, Kind) {
        let start = Instant::now();
        let counts = || self.streams.iter().map(|(_, acked, _)| acked.load(Ordering::Relaxed));
        let aims: Vec<u64> = counts().map(|count| count + answers).collect();
        let mut last = Kind::Counter;
        until("an answer to every stream", || {
            let behind = counts().zip(&aims).position(|(count, aim)| count < *aim);
            last = behind.map_or(last, |at| self.streams[at].0);
            behind.is_none()
        });
        (start.elapsed(), last)
    }

    /// Answers so far.
    pub(crate) fn acked(&self) -> u64 {
        self.streams.iter().map(|(_, acked, _)| acked.load(Ordering::Relaxed)).sum()
    }

    /// Ends the streams; `ask` is answered by whoever serves the key.
    pub(crate) fn stop(mut self, mut ask: impl FnMut(&[&str]) -> Value) -> Report {
        self.ending.store(true, Ordering::Relaxed);
        let streams = self.streams.drain(..).map(|(.., stream)| stream.join().unwrap());
        let mut streams: Vec<Stream> = streams.collect();
        streams.iter_mut().for_each(|stream| stream.look_back(&mut ask));
        Report { streams: streams.into_iter().map(|stream| stream.tally).collect() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}
