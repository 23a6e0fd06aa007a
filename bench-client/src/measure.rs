//! One run: a load on one proxy, with what the proxy and the machine did meanwhile.
//!
//! Owns which figures are taken and when. Must not know other runs.
//! CPU time is that of the proxy's process, user and system, all threads, between the same two
//! moments that bound the counted requests.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::figures;
use crate::host;
use crate::load::{self, Edge, Pace};
use crate::testbed::{Front, Proxy};
use crate::workload::Load;

const PATIENCE: Duration = Duration::from_secs(10);
/// Memory is looked at when those that do housekeeping once a second have done it.
const IDLE_FOR: Duration = Duration::from_millis(1500);

/// Open files that are not clients.
const FILES_KEPT: usize = 1_000;

/// What one run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// Requests answered per second.
    pub(crate) requests_per_s: f64,
    /// CPU microseconds of the proxy per request.
    pub(crate) cpu_us: Option<f64>,
    /// Latencies in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// The most memory the proxy had during the run.
    pub(crate) peak_mib: Option<f64>,
    /// Replies that were not what they should be.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) example: Option<String>,
    /// What others had of this machine's cores, in percent of all.
    pub(crate) others_percent: Option<f64>,
    /// How busy the thread was that made the load.
    pub(crate) client_percent: Option<f64>,
}

/// What idle clients cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// How many were connected.
    pub(crate) clients: usize,
    /// The proxy's memory before them.
    pub(crate) before_kib: u64,
    /// And with them.
    pub(crate) after_kib: u64,
}

/// CPU times at one moment.
#[derive(Clone, Copy, Default)]
struct Clocks {
    proxy: Option<Duration>,
    client: Option<Duration>,
    /// All processes of the comparison, this one included.
    ours: Option<Duration>,
    all: Option<Duration>,
}

impl Clocks {
    fn read(proxy: u32, ours: &[u32]) -> Clocks {
        let client = host::cpu_time();
        let others: Option<Duration> = ours.iter().map(|pid| host::cpu_time_of(*pid)).sum();
        Clocks {
            proxy: host::cpu_time_of(proxy),
            client,
            ours: client.zip(others).map(|(client, others)| client + others),
            all: host::busy_time(),
        }
    }
}

/// Puts `load` on `proxy`; `ours` are the processes that belong to the comparison.
pub(crate) fn measure(
    proxy: &Proxy,
    load: &Load,
    pace: Pace,
    ours: &[u32],
    stop: &AtomicBool,
) -> Result<Sample> {
    host::forget_peak_of(proxy.pid);
    let (mut start, mut end) = (Clocks::default(), Clocks::default());
    let counted = load::run(proxy.address, load, pace, stop, |edge| match edge {
        Edge::Start => start = Clocks::read(proxy.pid, ours),
        Edge::End => end = Clocks::read(proxy.pid, ours),
    })?;
    let (requests, seconds) = (counted.requests as f64, counted.took.as_secs_f64());
    let between = |clock: fn(&Clocks) -> Option<Duration>| {
        Some(clock(&end)?.saturating_sub(clock(&start)?).as_secs_f64())
    };
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let others = between(|c| c.all).zip(between(|c| c.ours));
    // A Redis itself is no proxy: its CPU time would be another figure.
    let proxied = proxy.front != Front::Direct;
    Ok(Sample {
        requests_per_s: requests / seconds,
        cpu_us: between(|c| c.proxy).filter(|_| proxied).map(|cpu| cpu * 1e6 / requests),
        p50_ms: counted.latencies.percentile_ms(50.0),
        p99_ms: counted.latencies.percentile_ms(99.0),
        p999_ms: counted.latencies.percentile_ms(99.9),
        peak_mib: host::memory_kib_of(proxy.pid)
            .filter(|_| proxied)
            .map(|(_, peak)| peak as f64 / 1024.0),
        wrong: counted.wrong,
        example: counted.example,
        others_percent: others.map(|(all, ours)| (all - ours).max(0.0) * 100.0 / (seconds * cores)),
        client_percent: between(|c| c.client).map(|cpu| cpu * 100.0 / seconds),
    })
}

/// Connects `clients`, each of which says PING once, and looks at the proxy's memory. A proxy that
/// needs two sockets for each gets as many as the limit on open files lets it have.
pub(crate) fn idle(proxy: &Proxy, clients: usize, stop: &AtomicBool) -> Result<Idle> {
    let files = usize::try_from(host::raise_open_files()).unwrap_or(usize::MAX);
    let clients = match proxy.front {
        Front::Lone => clients.min(files.saturating_sub(FILES_KEPT) / 2),
        _ => clients,
    };
    let memory = || host::memory_kib_of(proxy.pid).context("its memory cannot be read");
    let (before_kib, _) = memory()?;
    let mut connected = Vec::with_capacity(clients);
    for number in 0..clients {
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let client = hello(proxy).with_context(|| format!("client {} of {clients}", number + 1))?;
        connected.push(client);
    }
    std::thread::sleep(IDLE_FOR);
    let (after_kib, _) = memory()?;
    Ok(Idle { clients: connected.len(), before_kib, after_kib })
}

fn hello(proxy: &Proxy) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&proxy.address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    ensure!(&reply == b"+PONG\r\n", "PING is answered with another reply");
    Ok(stream)
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9}/s", figures::grouped(self.requests_per_s))?;
        if let Some(cpu) = self.cpu_us {
            write!(f, "  {cpu:7.2} us CPU")?;
        }
        write!(f, "  p50 {}  p99 {} ms", figures::ms(self.p50_ms), figures::ms(self.p99_ms))?;
        if let Some(percent) = self.client_percent {
            write!(f, "  (client {percent:.0} %")?;
        }
        if let Some(percent) = self.others_percent {
            write!(f, ", others {percent:.0} %)")?;
        }
        match &self.example {
            Some(example) => write!(f, "  {} WRONG: {example}", self.wrong),
            None => Ok(()),
        }
    }
}
