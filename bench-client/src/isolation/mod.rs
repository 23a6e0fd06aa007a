//! `slotway-bench isolation`: what two very slow clients with large values cost everybody else.
//!
//! Owns the order: each proxy alone, then with the slow ones, round by round. `slow` is those two.
//! It measures and judges nothing.

mod slow;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::command_line::parse_time_of_run;
use crate::figures::{self, median};
use crate::host::{self, Host};
use crate::load::Pace;
use crate::measure::{Sample, measure};
use crate::testbed::{Nodes, Proxy, Testbed, TestbedArgs};
use crate::workload::{Load, Verb};
use slow::Slow;

const NODES: Nodes = Nodes { masters: 3, replicas: true, lone: true };
const WARM_UP: Duration = Duration::from_millis(300);
/// For the slow ones to be in the midst of it.
const SLOW_LEAD: Duration = Duration::from_millis(500);
const SETTLE: Duration = Duration::from_millis(300);
/// Everybody else: 50 clients, four GETs for each SET, no pipelining.
const LOAD: Load = Load { verb: Verb::Mix, bytes: 16, keys: 100_000, pipeline: 1, clients: 50 };

/// Options of `isolation`.
#[derive(Debug, Args)]
pub(crate) struct IsolationArgs {
    /// What is started and measured; without --target.
    #[command(flatten)]
    testbed: TestbedArgs,
    /// Something that runs already, and nothing else. It gets 100,000 small keys and two large ones,
    /// which stay.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<SocketAddr>,
    /// Times each is measured, alone and with the slow clients in turn; the medians are reported.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Counted time of each run.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse_time_of_run)]
    duration: Duration,
    /// Directory for isolation.md and isolation.json; those of an earlier run there are replaced.
    #[arg(long, value_name = "DIR", default_value = "target/bench-peers")]
    out: PathBuf,
}

/// What was found for one proxy.
#[derive(Debug, Serialize)]
struct Row {
    proxy: String,
    alone: Vec<Sample>,
    beside_slow: Vec<Sample>,
    /// Rounds in which a slow client was cut off or done before its time.
    slow_ended: u16,
}

/// Runs the measurement; what was measured when `stop` is set is still reported.
pub(crate) fn run(args: IsolationArgs, stop: &AtomicBool) -> Result<()> {
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    host::raise_open_files();
    let testbed = match args.target {
        Some(address) => Testbed::running(address)?,
        None => Testbed::start(&args.testbed, NODES, stop)?,
    };
    testbed.fill(LOAD.bytes, LOAD.keys).context("cannot write the keys")?;
    let mut rows: Vec<Row> = testbed.proxies.iter().map(Row::new).collect();
    for (proxy, row) in testbed.proxies.iter().zip(&mut rows) {
        slow::prepare(proxy.address)
            .with_context(|| format!("{}: cannot write the large value", row.proxy))?;
    }
    let pace = Pace { warm_up: WARM_UP, counted: args.duration };
    for _ in 0..args.rounds {
        for (proxy, row) in testbed.proxies.iter().zip(&mut rows) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match one_round(proxy, row, &testbed, pace, stop) {
                Err(error) if !stop.load(Ordering::Relaxed) => {
                    eprintln!("{:10} failed: {error:#}", row.proxy);
                }
                _ => {}
            }
        }
    }
    let page = markdown(&rows, &args);
    let json = serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "rows": rows }))?;
    for (name, text) in [("isolation.md", &page), ("isolation.json", &json)] {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{page}\nReport: {}", out.join("isolation.md").display());
    Ok(())
}

fn one_round(
    proxy: &Proxy,
    row: &mut Row,
    testbed: &Testbed,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<()> {
    let pids = testbed.pids();
    let alone = measure(proxy, &LOAD, pace, &pids, stop)?;
    eprintln!("{:10} alone       {alone}", proxy.name);
    row.alone.push(alone);
    std::thread::sleep(SETTLE);
    let slow = Slow::start(proxy.address)?;
    std::thread::sleep(SLOW_LEAD);
    let beside = measure(proxy, &LOAD, pace, &pids, stop)?;
    row.slow_ended += u16::from(!slow.end());
    eprintln!("{:10} beside slow {beside}", proxy.name);
    row.beside_slow.push(beside);
    std::thread::sleep(SETTLE);
    Ok(())
}

impl Row {
    fn new(proxy: &Proxy) -> Row {
        let proxy = proxy.name.clone();
        Row { proxy, alone: Vec::new(), beside_slow: Vec::new(), slow_ended: 0 }
    }
}

fn markdown(rows: &[Row], args: &IsolationArgs) -> String {
    let host = Host::read();
    let mut page = format!(
        "50 clients (GET and SET, 4 to 1, 16 B, no pipelining) alone, and beside one client that \
         uploads a value of 4 MB at 10 KB/s and one that reads a value of 64 MB at 10 KB/s, on the \
         same nodes. Medians of {} rounds of {} s. {}, {} cores, shared by all. Load average at \
         the end: {}; others used up to {:.0} % of the cores.\n\n\
         | proxy | requests/s alone | beside | p99 ms alone | beside | p99 ÷ alone | peak MiB alone \
         | beside |\n|---|---|---|---|---|---|---|---|\n",
        args.rounds,
        args.duration.as_secs_f64(),
        host.cpu_model.unwrap_or_default(),
        host.cores,
        host::load_average().unwrap_or_default(),
        rows.iter()
            .flat_map(|row| row.alone.iter().chain(&row.beside_slow))
            .filter_map(|sample| sample.others_percent)
            .fold(0.0, f64::max),
    );
    for row in rows {
        let of = |samples: &[Sample], figure: fn(&Sample) -> f64| {
            median(samples.iter().map(figure).collect()).unwrap_or(f64::NAN)
        };
        let rate = |samples| figures::grouped(of(samples, |s| s.requests_per_s));
        let (alone, beside) = (of(&row.alone, |s| s.p99_ms), of(&row.beside_slow, |s| s.p99_ms));
        let peak = |samples| of(samples, |s| s.peak_mib.unwrap_or(f64::NAN));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {:.2} | {:.0} | {:.0} |",
            row.proxy,
            rate(&row.alone),
            rate(&row.beside_slow),
            figures::ms(alone),
            figures::ms(beside),
            beside / alone,
            peak(&row.alone),
            peak(&row.beside_slow),
        );
    }
    for row in rows.iter().filter(|row| row.slow_ended > 0) {
        let _ = writeln!(
            page,
            "\n{}: in {} rounds a slow client was cut off before the end, so its cost is not in all \
             of the figures.",
            row.proxy, row.slow_ended
        );
    }
    page
}
