//! Connection storms: so many new connections a second, each of which says PING or nothing.
//!
//! Owns what a storm is asked to be, and what is said of it. `attempts` opens the connections,
//! `outcome` counts what becomes of them.

mod attempts;
mod outcome;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use self::attempts::Storm;
use self::outcome::{Counted, Counts, Second, Tally};
use crate::connection::Target;
use crate::figures::{grouped, ms};
use crate::host;
use crate::options::StormArgs;
use crate::record::LatencyFigures;

const SCHEMA: &str = "slotway-bench/storm";
const SCHEMA_VERSION: u32 = 1;
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

const EXIT_BAD: u8 = 2;
const EXIT_INTERRUPTED: u8 = 130;
/// Open files that are not connections.
const FILES_KEPT: usize = 100;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    schema_version: u32,
    target: String,
    rate_per_s: u64,
    duration_s: f64,
    hold_s: f64,
    pings: bool,
    open_max: usize,
    took_s: f64,
    client_cpu_pct: Option<f64>,
    interrupted: bool,
    counts: Counts,
    /// From the moment a connection was due until it was there.
    connect_ms: LatencyFigures,
    /// From then until its reply.
    reply_ms: LatencyFigures,
    errors_by_text: BTreeMap<String, u64>,
    seconds: Vec<Second>,
}

/// Carries out a storm and prints what came of it.
pub(crate) fn run(args: StormArgs, stop: &AtomicBool) -> Result<u8> {
    ensure!((0.0..=100.0).contains(&args.max_error_pct), "--max-error-pct is 0 to 100");
    let (username, password) = args.credentials.clone().read()?;
    let target = Target { address: args.target.clone(), username, password, timeout: args.timeout };
    let addresses = args.target.to_socket_addrs();
    let addresses: Vec<_> =
        addresses.with_context(|| format!("no address of {}", args.target))?.collect();
    ensure!(!addresses.is_empty(), "{} has no address", args.target);
    let files = usize::try_from(host::raise_open_files()).unwrap_or(usize::MAX);
    let mut request = target.greeting(false).unwrap_or_default();
    let mut replies = usize::from(!request.is_empty());
    if !args.silent {
        request.extend_from_slice(PING);
        replies += 1;
    }
    let storm = Storm {
        addresses,
        rate: args.rate,
        duration: args.duration,
        timeout: args.timeout,
        hold: args.hold,
        open_max: args.open_max.min(files.saturating_sub(FILES_KEPT)).max(1),
        request,
        replies,
    };
    let mut tally = Tally::new()?;
    let (began, cpu) = (Instant::now(), host::cpu_time());
    attempts::run(&storm, &mut tally, stop)?;
    let took_s = began.elapsed().as_secs_f64();
    let used = host::cpu_time().zip(cpu).map(|(after, before)| after.saturating_sub(before));
    let Counted { counts, connect, reply, texts, seconds } = tally.counted();
    let report = Report {
        schema: SCHEMA,
        schema_version: SCHEMA_VERSION,
        target: args.target,
        rate_per_s: args.rate,
        duration_s: args.duration.as_secs_f64(),
        hold_s: args.hold.as_secs_f64(),
        pings: !args.silent,
        open_max: storm.open_max,
        took_s,
        client_cpu_pct: used.map(|used| used.as_secs_f64() * 100.0 / took_s),
        interrupted: stop.load(Ordering::Relaxed),
        counts,
        connect_ms: connect,
        reply_ms: reply,
        errors_by_text: texts.counts().clone(),
        seconds,
    };
    let shown = match args.json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => text(&report),
    };
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Ok(report.exit_code(args.max_error_pct))
}

impl Report {
    fn exit_code(&self, max_error_pct: f64) -> u8 {
        let all = self.counts.attempts as f64;
        let is_bad = all == 0.0 || self.counts.bad() as f64 * 100.0 / all > max_error_pct;
        match (self.interrupted, is_bad) {
            (true, _) => EXIT_INTERRUPTED,
            (false, true) => EXIT_BAD,
            (false, false) => 0,
        }
    }
}

fn text(report: &Report) -> String {
    let counts = &report.counts;
    let mut text = format!(
        "{} connections to {} at {}/s, each {}: {} good, {} not\n",
        grouped(counts.attempts as f64),
        report.target,
        grouped(report.rate_per_s as f64),
        if report.pings { "with a PING" } else { "without a request" },
        grouped(counts.good as f64),
        grouped(counts.bad() as f64)
    );
    for (name, figures) in [("connect", &report.connect_ms), ("reply", &report.reply_ms)] {
        if figures.samples > 0 {
            let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), ms);
            text += &format!(
                "{name:<8} p50 {}  p99 {}  p99.9 {}  max {} ms\n",
                figure(figures.p50),
                figure(figures.p99),
                figure(figures.p99_9),
                figure(figures.max)
            );
        }
    }
    let failures = [
        ("refused", counts.connect_refused),
        ("connects that timed out", counts.connect_timed_out),
        ("replies that timed out", counts.reply_timed_out),
        ("closed before a reply", counts.closed),
        ("error replies", counts.error_replies),
        ("dropped while held", counts.dropped),
        ("none left on this machine", counts.none_left_here),
        ("other failures", counts.other_failures),
    ];
    for (name, count) in failures.into_iter().filter(|(_, count)| *count > 0) {
        text += &format!("{name}: {}\n", grouped(count as f64));
    }
    for (error, count) in &report.errors_by_text {
        text += &format!("  {} times: {error}\n", grouped(*count as f64));
    }
    if counts.none_left_here > 0 {
        text += "note: This machine ran out of ports, of open files or of --open-max: those attempts say \
                 nothing of the target.\n";
    }
    if report.client_cpu_pct.is_some_and(|percent| percent > 85.0) {
        text += "note: The client was the limit, or close to it: it used nearly all of its core.\n";
    }
    text += "second  attempts  good  failed  connect p50  p99  max ms\n";
    for second in &report.seconds {
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), ms);
        text += &format!(
            "{:>6.1}  {:>8}  {:>4}  {:>6}  {:>11}  {}  {}\n",
            second.end_s,
            second.attempts,
            second.good,
            second.failed,
            figure(second.connect_p50_ms),
            figure(second.connect_p99_ms),
            figure(second.connect_max_ms)
        );
    }
    text
}
