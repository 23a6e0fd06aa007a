//! The list of steps: for each size set, fill, get, remove.
//!
//! Owns the order of phases and the keys' life. Knows nothing of result files.
//! Invariant: whatever happens to a phase, the keys of its size are removed, unless they are to
//! stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::host::Host;
use crate::keys::{KeySet, PassResult};
use crate::options::Plan;
use crate::payload::Payload;
use crate::phase::{self, Job, PhaseResult};
use crate::progress::Progress;
use crate::size::Size;
use crate::tally::ErrorTexts;
use crate::target::{self, Identity};
use crate::workload::Op;

/// Everything a sweep found out.
pub(crate) struct SweepResult {
    /// This run's name, part of its keys.
    pub(crate) run: String,
    /// When it began, in seconds of Unix time.
    pub(crate) started_epoch_s: u64,
    /// How long it took, everything included.
    pub(crate) took_s: f64,
    /// The client's machine.
    pub(crate) host: Host,
    /// The target at the start.
    pub(crate) target: Identity,
    /// Its INFO at the end.
    pub(crate) info_after: BTreeMap<String, String>,
    /// The phases, in the order they ran.
    pub(crate) phases: Vec<PhaseResult>,
    /// What happened outside the measured phases.
    pub(crate) unmeasured: Unmeasured,
    /// Whether it was stopped before its end.
    pub(crate) interrupted: bool,
}

/// Traffic that is not part of any figure.
#[derive(Debug, Default)]
pub(crate) struct Unmeasured {
    /// Keys written because no SET phase had.
    pub(crate) filled: u64,
    /// Keys that could not be written; GETs of them miss.
    pub(crate) fill_failed: u64,
    /// Keys that may still be there.
    pub(crate) unlink_failed: u64,
    /// Why.
    pub(crate) errors: ErrorTexts,
}

/// Carries out `plan`; `stop` ends it early, with what was measured so far.
pub(crate) fn run(plan: &Plan, stop: &AtomicBool) -> Result<SweepResult> {
    let began = std::time::Instant::now();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("{:x}-{:x}", since_epoch.as_millis(), std::process::id());
    let identity = target::first_contact(&plan.target)
        .with_context(|| format!("no Redis to measure at {}", plan.target.address))?;
    let bytes_max = plan.sizes.iter().map(|size| size.bytes()).max().unwrap_or(0);
    let payload = Payload::new(plan.seed, bytes_max, run);
    let timing = plan.timing;
    let progress = Progress::new(plan.total_time(), timing.warmup + timing.duration);
    let mut sweep = Sweep {
        plan,
        payload,
        stop,
        progress,
        phases: Vec::new(),
        unmeasured: Unmeasured::default(),
    };
    for size in &plan.sizes {
        if sweep.stopped() {
            break;
        }
        sweep.one_size(*size)?;
    }
    sweep.progress.finish();
    Ok(SweepResult {
        run: sweep.payload.run().to_owned(),
        started_epoch_s: since_epoch.as_secs(),
        took_s: began.elapsed().as_secs_f64(),
        host: Host::read(),
        target: identity,
        info_after: target::info_after(&plan.target),
        interrupted: sweep.stopped(),
        phases: sweep.phases,
        unmeasured: sweep.unmeasured,
    })
}

struct Sweep<'a> {
    plan: &'a Plan,
    payload: Payload,
    stop: &'a AtomicBool,
    progress: Progress,
    phases: Vec<PhaseResult>,
    unmeasured: Unmeasured,
}

impl Sweep<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn one_size(&mut self, size: Size) -> Result<()> {
        let keys = self.plan.keys_of(size);
        let written: Vec<AtomicBool> = (0..keys).map(|_| AtomicBool::new(false)).collect();
        let mut result = Ok(());
        for op in &self.plan.ops {
            if *op == Op::Get && !self.stopped() {
                self.fill(size, &written);
            }
            if result.is_ok() && !self.stopped() {
                result = self.one_phase(*op, size, &written);
            }
        }
        if !self.plan.keep {
            self.unlink(size, &written);
        }
        result
    }

    fn one_phase(&mut self, op: Op, size: Size, written: &[AtomicBool]) -> Result<()> {
        let plan = self.plan;
        let job = Job {
            target: &plan.target,
            op,
            size,
            payload: &self.payload,
            written,
            pipeline: plan.pipeline,
            connections: plan.connections,
            rate: plan.rate,
            stop: self.stop,
        };
        let progress = &self.progress;
        let result = phase::run(&job, plan.timing, |snapshot| progress.show(snapshot))?;
        self.progress.phase_done(&result);
        self.phases.push(result);
        Ok(())
    }

    fn fill(&mut self, size: Size, written: &[AtomicBool]) {
        let pass = self.key_set(size, written).fill(self.stop);
        self.unmeasured.filled += pass.done;
        self.unmeasured.fill_failed += pass.failed;
        self.note_failures(&pass, size, "could not be written before the GETs");
    }

    fn unlink(&mut self, size: Size, written: &[AtomicBool]) {
        let pass = self.key_set(size, written).unlink();
        self.unmeasured.unlink_failed += pass.failed;
        self.note_failures(&pass, size, "could not be removed");
    }

    fn key_set<'a>(&'a self, size: Size, written: &'a [AtomicBool]) -> KeySet<'a> {
        KeySet { target: &self.plan.target, payload: &self.payload, bytes: size.bytes(), written }
    }

    fn note_failures(&mut self, pass: &PassResult, size: Size, what: &str) {
        self.unmeasured.errors.merge(&pass.errors);
        if pass.failed > 0 {
            self.progress.note(&format!("{} keys of {size} {what}", pass.failed));
        }
    }
}
