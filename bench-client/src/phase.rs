//! One operation at one size: spreads the connections over threads, starts them together, reports
//! progress and merges what they counted.
//!
//! Owns the threads and the phase's clock. Knows nothing of other phases or of files.
//! Invariant: every connection has been tried before the clock starts, and every thread is joined
//! before a phase returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use crate::admin;
use crate::batches::{Batch, BatchCounter};
use crate::connection::Target;
use crate::connection_driver::Manners;
use crate::engine::{Engine, Share};
use crate::host;
use crate::payload::Payload;
use crate::recorder::{ClassTally, Common, Live, Recorder, Tally};
use crate::searched::Searched;
use crate::size::Size;
use crate::slot_map::Routes;
use crate::tally::Counts;
use crate::timeline::{Cuts, Interval, Meter};
use crate::workload::{Commands, KeyOrder, Mix, OnKeys, Op, Replay, Work, Workload};

/// The name of a target that is alone: it needs none in sentences.
pub(crate) const ONLY_TARGET: &str = "target";

/// How long a phase warms up and measures, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Sent but not counted.
    pub(crate) warmup: Duration,
    /// Counted.
    pub(crate) duration: Duration,
    /// Load threads.
    pub(crate) threads: usize,
}

/// What progress is told about once a second.
pub(crate) struct Snapshot {
    /// What runs.
    pub(crate) op: Op,
    /// At which size.
    pub(crate) size: Size,
    /// Since the phase began.
    pub(crate) elapsed: Duration,
    /// Good requests per second since the last snapshot.
    pub(crate) per_second: f64,
    /// Median and 99th percentile since the last snapshot, if anything was answered.
    pub(crate) p50_p99_ms: Option<(f64, f64)>,
    /// Everything so far, warm-up included.
    pub(crate) counts: Counts,
}

impl Snapshot {
    fn new(job: &Job<'_>, interval: &Interval, counts: Counts) -> Snapshot {
        Snapshot {
            op: job.op,
            size: job.size,
            elapsed: interval.end,
            per_second: interval.per_second(),
            p50_p99_ms: interval.p50_p99_max_ms.map(|(p50, p99, _)| (p50, p99)),
            counts,
        }
    }
}

/// What one phase measured.
pub(crate) struct PhaseResult {
    /// On which target, and which repeat it is, from 1.
    pub(crate) target: String,
    pub(crate) round: usize,
    /// What ran.
    pub(crate) op: Op,
    /// At which size.
    pub(crate) size: Size,
    /// Keys it went over.
    pub(crate) keys: usize,
    /// Outcomes, latencies and errors of all connections.
    pub(crate) tally: Tally,
    /// The same by the commands of a mix; of one command, none.
    pub(crate) commands: Vec<(Op, ClassTally)>,
    /// Keys of each MGET and MSET.
    pub(crate) batch: usize,
    /// The search of which this is the last run.
    pub(crate) searched: Option<Searched>,
    /// The old client's batches.
    pub(crate) batches: Vec<Batch>,
    /// When the phase's clock started, in seconds of Unix time.
    pub(crate) started_epoch_s: f64,
    /// What throughput is counted over: the measured time, up to the last answer.
    pub(crate) elapsed: Duration,
    /// Open loop: requests per second asked for, and reached.
    pub(crate) offered_achieved: Option<(f64, f64)>,
    /// This program's CPU time over the phase, in percent of one core.
    pub(crate) client_cpu_percent: Option<f64>,
    /// The gateway's, as far as it tells.
    pub(crate) gateway_cpu_percent: Option<f64>,
    /// Threads that drove the connections.
    pub(crate) threads: usize,
    /// What happened when.
    pub(crate) timeline: Vec<Interval>,
}

impl PhaseResult {
    /// What a sentence calls it.
    pub(crate) fn name(&self) -> String {
        let mut name = format!("{} at {}", self.op.name(), self.size);
        if self.target != ONLY_TARGET {
            name = format!("{} {name}", self.target);
        }
        if self.round > 1 { format!("{name}, round {}", self.round) } else { name }
    }

    /// Good requests per second.
    pub(crate) fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.tally.counts.good as f64 / seconds } else { 0.0 }
    }

    /// Payload megabytes (10^6 bytes) per second.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        let keys = |op: Op| if op.is_batch() { self.batch } else { 1 } as f64;
        let (good, of_mix) = (self.tally.counts.good as f64, &self.commands);
        let values = match of_mix.as_slice() {
            [] => good * keys(self.op),
            commands => commands.iter().map(|(op, c)| c.counts.good as f64 * keys(*op)).sum(),
        };
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { values * self.size.bytes() as f64 / 1e6 / seconds } else { 0.0 }
    }

    /// Reached rate in percent of the offered one; `None` in a closed loop.
    pub(crate) fn achieved_percent(&self) -> Option<f64> {
        self.offered_achieved.map(|(offered, achieved)| achieved * 100.0 / offered)
    }
}

/// What a phase is to do.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    /// Where to.
    pub(crate) target: &'a Target,
    /// Who has which slots, where connections go to the masters of a cluster.
    pub(crate) routes: Option<&'a Routes>,
    /// How the target is called, and which repeat this is.
    pub(crate) name: &'a str,
    pub(crate) round: usize,
    /// What to do.
    pub(crate) op: Op,
    /// The commands of a replay, where that is it.
    pub(crate) replay: Option<&'a Commands>,
    /// The mix, where that is it, and the keys of each MGET and MSET.
    pub(crate) mix: Option<&'a Mix>,
    pub(crate) batch: usize,
    /// Which key is next, and what makes it so each time.
    pub(crate) key_order: KeyOrder,
    pub(crate) seed: u64,
    /// Whether connections speak RESP3.
    pub(crate) resp3: bool,
    /// At which size.
    pub(crate) size: Size,
    /// Keys and values.
    pub(crate) payload: &'a Payload,
    /// One flag per key of this size: whether it is known to be written.
    pub(crate) written: &'a [AtomicBool],
    /// Requests in flight per connection.
    pub(crate) pipeline: usize,
    /// Connections of the phase.
    pub(crate) connections: usize,
    /// Requests per second over all connections; without one, as fast as replies come.
    pub(crate) rate: Option<u64>,
    /// The admin address of the gateway, which tells its CPU time.
    pub(crate) admin: Option<&'a str>,
    /// Set to end the phase early.
    pub(crate) stop: &'a AtomicBool,
}

impl<'a> Job<'a> {
    fn work(&self, next: &'a AtomicU64) -> Work<'a> {
        Work {
            op: self.op,
            mix: self.mix.filter(|_| self.op == Op::Mix),
            batch: self.batch,
            order: self.key_order,
            bytes: self.size.bytes(),
            payload: self.payload,
            written: self.written,
            next,
        }
    }
}

/// The phase's times.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// When sending starts.
    start: Instant,
    /// When warm-up ends and counting starts.
    measure: Instant,
    /// When sending ends.
    end: Instant,
}

/// Runs `job`; `watch_progress` is told about it once a second.
pub(crate) fn run(
    job: &Job<'_>,
    timing: Timing,
    mut watch_progress: impl FnMut(&Snapshot),
) -> Result<PhaseResult> {
    let threads = timing.threads.min(job.connections);
    let lives = (0..threads).map(|_| Live::new()).collect::<Result<Vec<_>, _>>()?;
    let (batches, next_key) = (BatchCounter::default(), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let counted = std::thread::scope(|scope| {
        let (mut starts, mut handles) = (Vec::new(), Vec::new());
        let (sender, receiver) = sync_channel(2 * threads);
        for (first, live) in lives.iter().enumerate() {
            let common = Common { batches: &batches, live };
            let share =
                Share { connections: job.connections, first, step: threads, rate: job.rate };
            let (start, started) = sync_channel(1);
            let (sender, next_key) = (sender.clone(), &next_key);
            let body = move || {
                let life = || drive(job, share, (common, next_key), &sender, &started);
                // The others wait for the start, and whoever starts them for all: a thread that
                // just ended would have them wait for ever.
                let result = catch_unwind(AssertUnwindSafe(life))
                    .unwrap_or_else(|_| Err(anyhow!("a load thread panicked")));
                // Nobody listens any more where the phase was given up.
                let _ = sender.send(result.map(Message::Done));
            };
            let thread = std::thread::Builder::new().name("load".to_owned());
            handles.push(thread.spawn_scoped(scope, body).context("cannot start a load thread")?);
            starts.push(start);
        }
        drop(sender);
        let keep_up = job.routes.map(|routes| scope.spawn(|| routes.keep_up(&done)));
        let counted = conduct(job, timing, &lives, (&starts, &receiver), &mut watch_progress);
        done.store(true, Ordering::Relaxed);
        // Without a start, threads that wait for it end.
        drop((starts, receiver));
        for handle in handles {
            handle.join().map_err(|_| anyhow!("a load thread panicked"))?;
        }
        if let Some(keeper) = keep_up {
            keeper.join().map_err(|_| anyhow!("the thread that asks for the map panicked"))?;
        }
        counted
    })?;
    Ok(counted.into_result(job, timing))
}

/// What a load thread says to the one that started it.
enum Message {
    /// All its connections have been tried.
    Ready,
    /// It has ended.
    Done(Box<Tally>),
}

/// The life of one load thread: connects, waits for the start, sends, and waits for what is to come.
fn drive(
    job: &Job<'_>,
    share: Share,
    (common, next_key): (Common<'_>, &AtomicU64),
    sender: &SyncSender<Result<Message>>,
    started: &Receiver<Window>,
) -> Result<Box<Tally>> {
    let manners = Manners {
        pipeline: job.pipeline,
        connect_timeout: job.target.timeout,
        timeout: job.target.timeout,
        reconnects: true,
        resp3: job.resp3,
    };
    if let Some(commands) = job.replay {
        let recorder = Recorder::new(job.rate.is_some(), Some(common), 1)?;
        let work = Replay::new(commands, next_key);
        return carry_out(job, (share, manners), work, recorder, (sender, started));
    }
    let work = job.work(next_key);
    let recorder = Recorder::new(job.rate.is_some(), Some(common), work.commands().len())?;
    // Threads with the same seed would draw the same keys.
    let work = OnKeys::new(work, job.seed.wrapping_add((share.first as u64) << 32));
    carry_out(job, (share, manners), work, recorder, (sender, started))
}

/// The same with what is to be asked.
fn carry_out<W: Workload>(
    job: &Job<'_>,
    (share, manners): (Share, Manners),
    work: W,
    recorder: Recorder<'_>,
    (sender, started): (&SyncSender<Result<Message>>, &Receiver<Window>),
) -> Result<Box<Tally>> {
    let mut engine = Engine::new((job.target, job.routes), share, manners, work, recorder)?;
    engine.connect(job.stop)?;
    sender.send(Ok(Message::Ready)).map_err(|_| anyhow!("the phase was given up"))?;
    let window = started.recv().context("the phase was given up")?;
    engine.start(window.start, window.measure, window.end);
    engine.turns_until(window.end, job.stop)?;
    engine.drain(None)?;
    engine.show_all();
    Ok(Box::new(engine.take_tally()?))
}

/// What was counted, and the clocks beside it.
struct Conducted {
    window: Window,
    tally: Tally,
    started_epoch_s: f64,
    client_cpu_percent: Option<f64>,
    gateway_cpu_percent: Option<f64>,
    timeline: Vec<Interval>,
}

/// Starts all threads together, tells of progress, and gathers what they have counted.
fn conduct(
    job: &Job<'_>,
    timing: Timing,
    lives: &[Mutex<Live>],
    (starts, receiver): (&[SyncSender<Window>], &Receiver<Result<Message>>),
    watch_progress: &mut impl FnMut(&Snapshot),
) -> Result<Conducted> {
    for _ in starts {
        receiver.recv().context("a load thread ended before it started")??;
    }
    let started_epoch_s = epoch_seconds();
    let gateway_cpu = || job.admin.and_then(admin::cpu_time);
    let gateway_before = gateway_cpu();
    let cpu_before = host::cpu_time();
    let start = Instant::now();
    let (measure, end) = (start + timing.warmup, start + timing.warmup + timing.duration);
    let window = Window { start, measure, end };
    for thread in starts {
        thread.send(window).map_err(|_| anyhow!("a load thread ended before it started"))?;
    }
    let mut tally = Tally::new(job.rate.is_some())?;
    let (mut meter, mut cuts) = (Meter::new(start, measure), Cuts::new(start, measure, end));
    let mut running = starts.len();
    while running > 0 {
        match receiver.recv_timeout(cuts.next().saturating_duration_since(Instant::now())) {
            Ok(message) => {
                if let Message::Done(done) = message? {
                    tally.merge(*done);
                    running -= 1;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let cut = cuts.next();
                cuts.advance();
                let interval = meter.read(lives, Some(cut))?.clone();
                watch_progress(&Snapshot::new(job, &interval, meter.counts()));
            }
            Err(RecvTimeoutError::Disconnected) => bail!("a load thread ended early"),
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let percent = |before: Option<Duration>, after: Option<Duration>| {
        after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before).as_secs_f64() * 100.0 / elapsed)
    };
    let client_cpu_percent = percent(cpu_before, host::cpu_time());
    let gateway_cpu_percent = percent(gateway_before, gateway_cpu());
    meter.read(lives, None)?;
    let timeline = meter.into_intervals();
    Ok(Conducted {
        window,
        tally,
        started_epoch_s,
        client_cpu_percent,
        gateway_cpu_percent,
        timeline,
    })
}

impl Conducted {
    fn into_result(mut self, job: &Job<'_>, timing: Timing) -> PhaseResult {
        let stopped = job.stop.load(Ordering::Relaxed);
        let (elapsed, sending) = measured_time(self.window, self.tally.last, stopped);
        let good = self.tally.counts.good as f64;
        let achieved = good / sending.as_secs_f64().max(f64::MIN_POSITIVE);
        let batch_ends = std::mem::take(&mut self.tally.batch_ends);
        let of_mix = job.mix.filter(|_| job.op == Op::Mix).into_iter().flat_map(Mix::ops);
        let commands = of_mix.zip(std::mem::take(&mut self.tally.classes)).collect();
        PhaseResult {
            target: job.name.to_owned(),
            round: job.round,
            op: job.op,
            size: job.size,
            keys: job.written.len(),
            offered_achieved: job.rate.map(|rate| (rate as f64, achieved)),
            batches: batch_ends.into_batches(timing.warmup),
            tally: self.tally,
            commands,
            batch: job.batch,
            searched: None,
            started_epoch_s: self.started_epoch_s,
            elapsed,
            client_cpu_percent: self.client_cpu_percent,
            gateway_cpu_percent: self.gateway_cpu_percent,
            threads: timing.threads.min(job.connections),
            timeline: self.timeline,
        }
    }
}

/// The time throughput is counted over, and the time requests were started in. An interrupted phase
/// ends with its last request.
fn measured_time(
    window: Window,
    last: Option<(Instant, Instant)>,
    stopped: bool,
) -> (Duration, Duration) {
    let floor = if stopped { window.measure } else { window.end };
    let (sent, done) = last.unwrap_or((floor, floor));
    let since = |instant: Instant| instant.max(floor).saturating_duration_since(window.measure);
    (since(done), since(sent))
}

fn epoch_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_counted_up_to_the_last_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let window = Window { start, measure: at(5), end: at(65) };
        let seconds = |last, stopped| {
            let (elapsed, sending) = measured_time(window, last, stopped);
            (elapsed.as_secs(), sending.as_secs())
        };
        assert_eq!(seconds(None, false), (60, 60));
        assert_eq!(seconds(Some((at(64), at(64))), false), (60, 60));
        assert_eq!(seconds(Some((at(64), at(70))), false), (65, 60));
        assert_eq!(seconds(Some((at(20), at(21))), true), (16, 15));
        assert_eq!(seconds(None, true), (0, 0));
    }
}
