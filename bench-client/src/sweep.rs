//! The list of steps: in each round, for each size and target: set, fill, get, remove.
//!
//! Owns the order of phases and the keys' life. Knows nothing of result files.
//! Invariant: whatever happens to a phase, the keys of its size are removed, unless they are to
//! stay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::host::{self, Host};
use crate::keys::{KeySet, PassResult};
use crate::payload::Payload;
use crate::phase::{self, Job, PhaseResult, Snapshot};
use crate::plan::{Endpoint, Plan};
use crate::progress::Progress;
use crate::rate_search;
use crate::size::Size;
use crate::slot_map::Routes;
use crate::tally::ErrorTexts;
use crate::target::{self, Identity};
use crate::workload::{NodeKeys, Op};

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
    /// How busy it was at the start.
    pub(crate) load_average: Option<String>,
    /// What was measured, in the order it was given.
    pub(crate) contacts: Vec<Contact>,
    /// The phases, in the order they ran.
    pub(crate) phases: Vec<PhaseResult>,
    /// What happened outside the measured phases.
    pub(crate) unmeasured: Unmeasured,
    /// Whether it was stopped before its end.
    pub(crate) interrupted: bool,
}

/// What a target said of itself.
pub(crate) struct Contact {
    /// Its name in reports.
    pub(crate) name: String,
    /// Where it is, as given, and whether the load went to the masters of that cluster.
    pub(crate) address: String,
    pub(crate) is_cluster: bool,
    /// Before the first phase.
    pub(crate) before: Identity,
    /// After the last.
    pub(crate) after: Identity,
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
    let (host, load_average) = (Host::read(), host::load_average());
    let mut contacts = Vec::new();
    let mut routes = Vec::new();
    for endpoint in &plan.endpoints {
        contacts.push(first_contact(endpoint)?);
        routes.push(match endpoint.is_cluster {
            true => Some(Routes::open(&endpoint.target).with_context(|| {
                format!("no Redis Cluster to measure at {}", endpoint.target.address)
            })?),
            false => None,
        });
    }
    let bytes_max = plan.sizes.iter().map(|size| size.bytes()).max().unwrap_or(0);
    let payload = Payload::new(plan.seed, bytes_max, run);
    let timing = plan.timing;
    let progress = Progress::new(plan.total_time(), timing.warmup + timing.duration);
    let mut sweep = Sweep {
        plan,
        routes: &routes,
        payload,
        stop,
        progress,
        phases: Vec::new(),
        unmeasured: Unmeasured::default(),
    };
    sweep.all_rounds()?;
    sweep.progress.finish();
    for (contact, endpoint) in contacts.iter_mut().zip(&plan.endpoints) {
        contact.after = target::last_contact(&endpoint.target, endpoint.admin.as_deref());
    }
    Ok(SweepResult {
        run: sweep.payload.run().to_owned(),
        started_epoch_s: since_epoch.as_secs(),
        took_s: began.elapsed().as_secs_f64(),
        host,
        load_average,
        contacts,
        interrupted: sweep.stopped(),
        phases: sweep.phases,
        unmeasured: sweep.unmeasured,
    })
}

fn first_contact(endpoint: &Endpoint) -> Result<Contact> {
    let address = endpoint.target.address.clone();
    let before = target::first_contact(&endpoint.target, endpoint.admin.as_deref())
        .with_context(|| format!("no Redis to measure at {address}"))?;
    Ok(Contact {
        name: endpoint.name.clone(),
        address,
        is_cluster: endpoint.is_cluster,
        before,
        after: Identity::default(),
    })
}

/// Which part of a sweep.
#[derive(Clone, Copy)]
struct Place<'a> {
    endpoint: &'a Endpoint,
    /// Who has which slots, of a cluster.
    routes: Option<&'a Routes>,
    size: Size,
    /// From 1.
    round: usize,
}

struct Sweep<'a> {
    plan: &'a Plan,
    /// Of each target, in order.
    routes: &'a [Option<Routes>],
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

    /// Rounds go over all sizes, and a size over all targets, so that what drifts meanwhile burdens
    /// all of them. Each target is the first in some round.
    fn all_rounds(&mut self) -> Result<()> {
        let plan = self.plan;
        let count = plan.endpoints.len();
        for round in 0..plan.repeat {
            for size in &plan.sizes {
                for turn in 0..count {
                    if self.stopped() {
                        return Ok(());
                    }
                    let place = (turn + round) % count;
                    let (endpoint, routes) = (&plan.endpoints[place], self.routes[place].as_ref());
                    self.one_size(Place { endpoint, routes, size: *size, round: round + 1 })?;
                }
            }
        }
        Ok(())
    }

    fn one_size(&mut self, place: Place<'_>) -> Result<()> {
        let keys = self.plan.keys_of(place.size);
        let written: Vec<AtomicBool> = (0..keys).map(|_| AtomicBool::new(false)).collect();
        let mut result = Ok(());
        for op in &self.plan.ops {
            if self.plan.reads(*op) && !self.stopped() {
                self.fill(place, &written);
            }
            if result.is_ok() && !self.stopped() {
                result = self.one_phase(*op, place, &written);
            }
        }
        if !self.plan.keep {
            self.unlink(place, &written);
        }
        result
    }

    fn one_phase(&mut self, op: Op, place: Place<'_>, written: &[AtomicBool]) -> Result<()> {
        let plan = self.plan;
        let job = Job {
            target: &place.endpoint.target,
            routes: place.routes,
            name: &place.endpoint.name,
            round: place.round,
            op,
            replay: plan.replay.as_ref().map(|(_, commands)| commands),
            mix: plan.mix.as_ref(),
            batch: plan.batch,
            key_order: plan.key_order,
            seed: plan.seed,
            resp3: plan.resp3,
            size: place.size,
            payload: &self.payload,
            written,
            pipeline: plan.pipeline,
            connections: plan.connections,
            rate: plan.rate,
            admin: place.endpoint.admin.as_deref(),
            stop: self.stop,
        };
        let progress = &self.progress;
        let show = |snapshot: &Snapshot| progress.show(snapshot);
        let result = match plan.rate_search {
            Some(limits) => {
                let note = |text: &str| progress.note(text);
                rate_search::run(&job, plan.timing, limits, show, note)?
            }
            None => phase::run(&job, plan.timing, show)?,
        };
        self.progress.phase_done(&result);
        self.phases.push(result);
        Ok(())
    }

    fn fill(&mut self, place: Place<'_>, written: &[AtomicBool]) {
        let pass = self.pass(place, written, |keys| keys.fill(self.stop));
        self.unmeasured.filled += pass.done;
        self.unmeasured.fill_failed += pass.failed;
        self.note_failures(&pass, place.size, "could not be written before they were read");
    }

    fn unlink(&mut self, place: Place<'_>, written: &[AtomicBool]) {
        let pass = self.pass(place, written, |keys| keys.unlink());
        self.unmeasured.unlink_failed += pass.failed;
        self.note_failures(&pass, place.size, "could not be removed");
    }

    /// Does something with every key: at the target, or of a cluster at each master with its own.
    fn pass(
        &self,
        place: Place<'_>,
        written: &[AtomicBool],
        act: impl Fn(&KeySet<'_>) -> PassResult,
    ) -> PassResult {
        let (payload, bytes) = (&self.payload, place.size.bytes());
        let Some(routes) = place.routes else {
            let target = &place.endpoint.target;
            return act(&KeySet { target, payload, bytes, written, numbers: None });
        };
        routes.ask_again();
        let (_, map) = routes.current();
        let mut result = PassResult::default();
        for (address, keys) in NodeKeys::new(&map, payload, (bytes, written.len()), 0).shares() {
            let (target, numbers) = (routes.target(&address), Some(keys.as_slice()));
            result.merge(&act(&KeySet { target: &target, payload, bytes, written, numbers }));
        }
        result
    }

    fn note_failures(&mut self, pass: &PassResult, size: Size, what: &str) {
        self.unmeasured.errors.merge(&pass.errors);
        if pass.failed > 0 {
            self.progress.note(&format!("{} keys of {size} {what}", pass.failed));
        }
    }
}
