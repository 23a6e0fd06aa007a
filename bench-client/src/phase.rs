//! One operation at one size: spreads the connections over threads, starts them together, reports
//! progress and merges what they counted.
//!
//! Owns the threads and the phase's clock. Knows nothing of other phases or of files.
//! Invariant: every connection has been tried before the clock starts, and every thread is joined
//! before a phase returns.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::connection_driver::{ConnectionDriver, DriverTally, Job, Live, Op, Window};
use crate::host;
use crate::pace;
use crate::size::Size;
use crate::tally::{Batch, BatchLog, Counts, Latencies};

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

/// What one phase measured.
pub(crate) struct PhaseResult {
    /// What ran.
    pub(crate) op: Op,
    /// At which size.
    pub(crate) size: Size,
    /// Keys it went over.
    pub(crate) keys: usize,
    /// Outcomes, latencies and errors of all connections.
    pub(crate) tally: DriverTally,
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
}

impl PhaseResult {
    /// Good requests per second.
    pub(crate) fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.tally.counts.good as f64 / seconds } else { 0.0 }
    }

    /// Payload megabytes (10^6 bytes) per second.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.per_second() * self.size.bytes() as f64 / 1e6
    }

    /// Reached rate in percent of the offered one; `None` in a closed loop.
    pub(crate) fn achieved_percent(&self) -> Option<f64> {
        self.offered_achieved.map(|(offered, achieved)| achieved * 100.0 / offered)
    }
}

/// A job's shared notes, before it starts.
pub(crate) fn live(timing: Timing) -> Result<Live> {
    let batches = BatchLog::new(timing.warmup);
    Ok(Live { recent: Latencies::new()?, counts: Counts::default(), batches })
}

/// Runs `job` at `size`; `watch_progress` is told about it once a second.
pub(crate) async fn run(
    job: Arc<Job>,
    size: Size,
    timing: Timing,
    mut watch_progress: impl FnMut(&Snapshot),
) -> Result<PhaseResult> {
    let wakes: Vec<Arc<Notify>> = (0..job.connections).map(|_| Arc::default()).collect();
    let (start_sender, start_receiver) = watch::channel(None);
    let threads = timing.threads.min(job.connections);
    // Each thread sends twice: ready, then done.
    let (sender, mut receiver) = mpsc::channel(2 * threads);
    let mut handles = Vec::with_capacity(threads);
    for thread in 0..threads {
        let drivers = (thread..job.connections)
            .step_by(threads)
            .map(|number| {
                ConnectionDriver::new(Arc::clone(&job), number, Arc::clone(&wakes[number]))
            })
            .collect::<Result<Vec<_>, _>>()?;
        handles.push(spawn_thread(drivers, start_receiver.clone(), sender.clone())?);
    }
    drop(sender);
    for _ in 0..threads {
        receiver.recv().await.ok_or_else(|| anyhow!("a load thread ended before it started"))?;
    }
    let started_epoch_s = epoch_seconds();
    let cpu_before = host::cpu_time();
    let start = Instant::now();
    let (measure, end) = (start + timing.warmup, start + timing.warmup + timing.duration);
    let window = Window { start, measure, end };
    let pacer = job.rate.map(|rate| spawn_pacer(wakes, rate, window, &job)).transpose()?;
    start_sender.send_replace(Some(window));

    let mut tally = DriverTally::new(job.rate.is_some())?;
    let mut meter = Meter { size, start, last: start, good: 0 };
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let mut running = threads;
    while running > 0 {
        tokio::select! {
            message = receiver.recv() => {
                let done = message.flatten();
                tally.merge(&done.ok_or_else(|| anyhow!("a load thread ended early"))?);
                running -= 1;
            }
            _ = ticks.tick() => watch_progress(&meter.read(&job)),
        }
    }
    let cpu_time = host::cpu_time().zip(cpu_before).map(|(after, before)| after - before);
    let client_cpu_percent =
        cpu_time.map(|time| time.as_secs_f64() * 100.0 / start.elapsed().as_secs_f64());
    for handle in handles.into_iter().chain(pacer) {
        handle.join().map_err(|_| anyhow!("a load thread panicked"))?;
    }
    let stopped = job.stop.load(Ordering::Relaxed);
    let (elapsed, sending) = measured_time(window, tally.last, stopped);
    let achieved = tally.counts.good as f64 / sending.as_secs_f64().max(f64::MIN_POSITIVE);
    Ok(PhaseResult {
        op: job.op,
        size,
        keys: job.written.len(),
        offered_achieved: job.rate.map(|rate| (rate as f64, achieved)),
        batches: std::mem::take(&mut locked(&job).batches).into_batches(),
        tally,
        started_epoch_s,
        elapsed,
        client_cpu_percent,
    })
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

fn locked(job: &Job) -> MutexGuard<'_, Live> {
    job.live.lock().unwrap_or_else(PoisonError::into_inner)
}

fn epoch_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Runs `drivers` on a thread with a runtime of its own: no work moves between threads.
fn spawn_thread(
    drivers: Vec<ConnectionDriver>,
    start: watch::Receiver<Option<Window>>,
    sender: mpsc::Sender<Option<DriverTally>>,
) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a load thread's runtime")?;
    let body = move || {
        runtime.block_on(async move {
            let (drivers, ready) = prepare_all(drivers).await;
            // A closed channel means that the phase was given up.
            if !ready || sender.send(None).await.is_err() {
                return;
            }
            if let Some(tally) = run_all(drivers, start).await {
                let _ = sender.send(Some(tally)).await;
            }
        });
    };
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(body)
        .context("cannot start a load thread")
}

async fn prepare_all(drivers: Vec<ConnectionDriver>) -> (Vec<ConnectionDriver>, bool) {
    let expected = drivers.len();
    let mut preparing = JoinSet::new();
    for mut driver in drivers {
        preparing.spawn(async move {
            driver.prepare().await;
            driver
        });
    }
    let mut prepared = Vec::with_capacity(expected);
    while let Some(Ok(driver)) = preparing.join_next().await {
        prepared.push(driver);
    }
    let ready = prepared.len() == expected;
    (prepared, ready)
}

async fn run_all(
    drivers: Vec<ConnectionDriver>,
    mut start: watch::Receiver<Option<Window>>,
) -> Option<DriverTally> {
    let window = (*start.wait_for(Option::is_some).await.ok()?)?;
    let mut running = JoinSet::new();
    for driver in drivers {
        running.spawn(driver.run(window));
    }
    let mut merged: Option<DriverTally> = None;
    while let Some(tally) = running.join_next().await {
        let tally = tally.ok()?;
        match &mut merged {
            Some(merged) => merged.merge(&tally),
            None => merged = Some(tally),
        }
    }
    merged
}

fn spawn_pacer(
    wakes: Vec<Arc<Notify>>,
    rate: u64,
    window: Window,
    job: &Arc<Job>,
) -> Result<JoinHandle<()>> {
    let stop = Arc::clone(&job.stop);
    std::thread::Builder::new()
        .name("pace".to_owned())
        .spawn(move || pace::wake_on_schedule(&wakes, rate, window.start, window.end, &stop))
        .context("cannot start the pacing thread")
}

/// Turns the shared notes into figures of the time since it last looked.
struct Meter {
    size: Size,
    start: Instant,
    last: Instant,
    good: u64,
}

impl Meter {
    fn read(&mut self, job: &Job) -> Snapshot {
        let now = Instant::now();
        let mut live = locked(job);
        let recent = &live.recent;
        let p50_p99_ms =
            (recent.count() > 0).then(|| (recent.percentile_ms(50.0), recent.percentile_ms(99.0)));
        let seconds = (now - self.last).as_secs_f64().max(0.001);
        let per_second = (live.counts.good - self.good) as f64 / seconds;
        live.recent.clear();
        self.last = now;
        self.good = live.counts.good;
        let (op, size, elapsed) = (job.op, self.size, now - self.start);
        Snapshot { op, size, elapsed, per_second, p50_p99_ms, counts: live.counts }
    }
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
