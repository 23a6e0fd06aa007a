//! `slotway-bench compare`: the same work through this gateway and through other proxies, in turn.
//!
//! Owns the order: stages, cases, rounds, proxies. Read top-down: `options` (what to do), `cases`
//! (what the names mean), `outcome` (medians and ratios), `report` (files).
//! It measures and judges nothing: a run that fails is a line in the report.

mod cases;
mod options;
mod outcome;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::host::{self, Host};
use crate::measure::{self, measure};
use crate::testbed::{Proxy, Testbed};
use cases::{Case, Work};
use options::Stage;
use outcome::{Comparison, Row};

pub(crate) use options::{CompareArgs, Plan};

/// Between two runs, so that the sockets of one do not burden the next.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_PER_CLIENT: Duration = Duration::from_micros(200);

/// Runs a comparison; what was measured when `stop` is set is still reported.
pub(crate) fn run(plan: &Plan, stop: &AtomicBool) -> Result<()> {
    let out = &plan.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let files = host::raise_open_files();
    let mut comparison = Comparison {
        started_epoch_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        command_line: crate::command_line::shown_command_line(
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()),
        ),
        host: Host::read(),
        load_average_before: host::load_average(),
        rounds: plan.rounds,
        counted_ms: plan.pace.counted.as_millis() as u64,
        open_files: files,
        rows: Vec::new(),
    };
    for stage in &plan.stages {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        run_stage(plan, stage, &mut comparison, stop)?;
    }
    report::write(out, &comparison)?;
    println!("{}\nReport: {}", report::markdown(&comparison), out.join("peers.md").display());
    Ok(())
}

fn run_stage(
    plan: &Plan,
    stage: &Stage,
    comparison: &mut Comparison,
    stop: &AtomicBool,
) -> Result<()> {
    eprintln!("starting Redis with {} masters, and the proxies", stage.nodes.masters);
    let testbed = match Testbed::start(&plan.testbed, stage.nodes, stop) {
        Ok(testbed) => testbed,
        Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut filled = Vec::new();
    for case in &stage.cases {
        if let Work::Load(load) = case.work
            && !filled.contains(&load.bytes)
        {
            testbed.fill(load.bytes, load.keys).context("cannot write the keys")?;
            filled.push(load.bytes);
        }
        let mut rows: Vec<Row> =
            testbed.proxies.iter().map(|proxy| Row::new(stage.nodes, case, proxy)).collect();
        for round in 0..plan.rounds {
            // Each is the first in some round: what comes first may be better or worse off.
            let count = rows.len();
            for turn in 0..count {
                let at = (turn + usize::from(round)) % count;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                one_run(plan, case, &testbed, &testbed.proxies[at], &mut rows[at], stop);
            }
        }
        rows.retain(|row| !row.is_empty());
        comparison.rows.extend(rows);
    }
    Ok(())
}

fn one_run(
    plan: &Plan,
    case: &Case,
    testbed: &Testbed,
    proxy: &Proxy,
    row: &mut Row,
    stop: &AtomicBool,
) {
    let (said, clients) = match case.work {
        Work::Load(load) => {
            let sample = measure(proxy, &load, plan.pace, &testbed.pids(), stop);
            let said = sample.map(|sample| {
                let said = sample.to_string();
                row.samples.push(sample);
                said
            });
            (said, load.clients)
        }
        Work::Idle(clients) => {
            let said = measure::idle(proxy, clients, stop).map(|idle| {
                let said = format!("{} MiB with {} clients", idle.after_kib / 1024, idle.clients);
                row.idle.push(idle);
                said
            });
            (said, clients)
        }
    };
    match said {
        Ok(said) => eprintln!("{:12} {:10} {said}", case.name, proxy.name),
        Err(_) if stop.load(Ordering::Relaxed) => return,
        Err(error) => {
            eprintln!("{:12} {:10} failed: {error:#}", case.name, proxy.name);
            row.failures.push(format!("{error:#}"));
        }
    }
    std::thread::sleep(SETTLE + SETTLE_PER_CLIENT * u32::try_from(clients).unwrap_or(0));
}
