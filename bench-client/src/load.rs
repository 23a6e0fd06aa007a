//! A load on one thread for a given time, for comparing proxies that share its cores.
//!
//! Owns the measured time. Must not know who is measured, or why. The first connection that breaks
//! ends it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::connection::Target;
use crate::connection_driver::Manners;
use crate::engine::{Engine, Share};
use crate::recorder::{Recorder, Tally};
use crate::tally::Latencies;
use crate::workload::{Drawn, Load};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
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

/// What was counted between the two edges of a measurement.
pub(crate) struct Counted {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Between the edges.
    pub(crate) took: Duration,
    /// From sending a pipeline to having each of its replies, of those that were as they should be.
    pub(crate) latencies: Latencies,
    /// Replies that were not what they should be, among them keys that were not there.
    pub(crate) wrong: u64,
    /// One of them.
    pub(crate) example: Option<String>,
}

/// Which end of the measured time is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Counting starts.
    Start,
    /// Counting ends; clients are still busy.
    End,
}

/// Puts `load` on `address`. `at_edge` is called when counting starts and when it ends, so that what
/// is measured elsewhere has the same edges.
pub(crate) fn run(
    address: SocketAddr,
    load: &Load,
    pace: Pace,
    stop: &AtomicBool,
    mut at_edge: impl FnMut(Edge),
) -> Result<Counted> {
    let longest = pace.warm_up + pace.counted + DRAIN_PATIENCE;
    let target =
        Target { address: address.to_string(), username: None, password: None, timeout: longest };
    let share = Share { connections: load.clients, first: 0, step: 1, rate: None };
    let manners = Manners {
        pipeline: load.pipeline,
        connect_timeout: CONNECT_PATIENCE,
        timeout: longest,
        reconnects: false,
        resp3: false,
    };
    let (work, recorder) = (Drawn::new(load), Recorder::new(false, None, 1)?);
    let mut engine = Engine::new((&target, None), share, manners, work, recorder)?;
    engine.connect(stop)?;
    let now = Instant::now();
    engine.start(now, now, now + longest);
    run_until(&mut engine, now + pace.warm_up, stop)?;
    if let Some(example) = example(&engine.take_tally()?) {
        bail!("wrong replies: {example}");
    }
    at_edge(Edge::Start);
    let start = Instant::now();
    run_until(&mut engine, start + pace.counted, stop)?;
    at_edge(Edge::End);
    let took = start.elapsed();
    let tally = engine.take_tally()?;
    // What is still to come must not burden whoever is next.
    engine.drain(Some(Instant::now() + DRAIN_PATIENCE))?;
    let requests = tally.counts.total();
    ensure!(requests > 0, "no request was answered in {:.1} s", took.as_secs_f64());
    let (wrong, example) = (tally.counts.bad(), example(&tally));
    Ok(Counted { requests, took, latencies: tally.response, wrong, example })
}

fn run_until(engine: &mut Engine<'_, Drawn>, deadline: Instant, stop: &AtomicBool) -> Result<()> {
    engine.turns_until(deadline, stop)?;
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

fn example(tally: &Tally) -> Option<String> {
    tally.errors.counts().keys().next().cloned()
}
