//! Measures Redis endpoints: sweeps of set and get over payload sizes, and proxies side by side.
//!
//! Owns the exit code, standard output and signals. A sweep reads top-down as `options` and `plan` (what to do),
//! `sweep` (the order of phases), `phase` (threads and clock), then `tally`, `verdict` and `report`
//! (what came of it); `diff` holds two of those records side by side. `storm` is by itself. A comparison reads as `compare` or `isolation` (the order of runs), `testbed`
//! (what is started), `measure` and `load` (one run). Both send their requests in the same way:
//! `workload` (what is asked), `engine` (the connections of a thread), `connection_driver` (one of
//! them), `resp` (replies), `recorder` (what is counted). `connection` asks what is not measured.
//! This program talks to its targets over the wire alone and shares no code with them.

mod address;
mod admin;
mod batches;
mod command_line;
mod compare;
mod connection;
mod connection_driver;
mod credentials;
mod diff;
mod engine;
mod figures;
mod hdr;
mod host;
mod inquiry;
mod isolation;
mod keys;
mod load;
mod lookup;
mod measure;
mod options;
mod outbox;
mod pace;
mod payload;
mod phase;
mod pipeline;
mod plan;
mod progress;
mod rate_search;
mod record;
mod recorder;
mod report;
mod request;
mod resp;
mod searched;
mod size;
mod slot_map;
mod storm;
mod sweep;
mod tally;
mod target;
mod testbed;
mod timeline;
mod verdict;
mod workload;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{Cli, Command, ReportArgs, SweepArgs};
use crate::plan::Plan;
use crate::record::{Made, Record};

const EXIT_CANNOT_RUN: u8 = 1;
/// As sysexits.h has it; 2, which is usual, says that the figures are bad.
const EXIT_MISUSED: u8 = 64;
const EXIT_INTERRUPTED: u8 = 130;
const STOPPING_SWEEP: &str = "stopping: removing keys and writing the report";
const STOPPING_STORM: &str = "stopping: closing connections";
const STOPPING_COMPARISON: &str = "stopping: ending what was started and writing the report";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let done = match cli.command {
        Command::Sweep(args) => sweep(*args),
        Command::Report(args) => rebuild(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Storm(args) => stop_flag(STOPPING_STORM).and_then(|stop| storm::run(*args, &stop)),
        Command::Compare(args) => match compare::Plan::from_args(*args) {
            Ok(plan) => until_signal(|stop| compare::run(&plan, stop)),
            Err(error) => Ok(misused(&error)),
        },
        Command::Isolation(args) => until_signal(|stop| isolation::run(*args, stop)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("slotway-bench: {error:#}");
            ExitCode::from(EXIT_CANNOT_RUN)
        }
    }
}

/// Help and the version are errors to clap, and go to stdout with code 0.
fn refuse(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that the output is closed.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(EXIT_MISUSED) } else { ExitCode::SUCCESS }
}

/// What the command line asks for cannot be done, whatever is there to be measured.
fn misused(error: &anyhow::Error) -> u8 {
    eprintln!("slotway-bench: {error:#}");
    EXIT_MISUSED
}

fn sweep(args: SweepArgs) -> Result<u8> {
    let plan = match Plan::from_args(args) {
        Ok(plan) => plan,
        Err(error) => return Ok(misused(&error)),
    };
    report::prepare(&plan.out)?;
    let result = sweep::run(&plan, &*stop_flag(STOPPING_SWEEP)?)?;
    let verdict = verdict::judge(&plan, &result);
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let command_line = &command_line::shown_command_line(words);
    let record =
        report::write(&Made { plan: &plan, result: &result, verdict: &verdict, command_line })?;
    tell(&record, &plan.out);
    Ok(verdict.exit_code)
}

/// The figures in short, and where the report is.
fn tell(record: &Record, directory: &Path) {
    let (table, path) = (report::terminal_table(record), directory.join("report.html"));
    // The files are written; a reader that closed the pipe changes nothing about the verdict.
    let _ = writeln!(std::io::stdout(), "{table}Report: {}", path.display());
}

/// Makes a report anew, whatever it says.
fn rebuild(args: &ReportArgs) -> Result<u8> {
    let record = report::rebuild(&args.directory)?;
    tell(&record, &args.directory);
    Ok(0)
}

/// Does `work` on this thread, and sets its flag at the first signal; the second ends the program.
/// Programs that were started end with the thread that started them, so that must be this one.
fn until_signal(work: impl FnOnce(&AtomicBool) -> Result<()>) -> Result<u8> {
    let stop = stop_flag(STOPPING_COMPARISON)?;
    work(&stop)?;
    Ok(if stop.load(Ordering::Relaxed) { EXIT_INTERRUPTED } else { 0 })
}

/// A flag that the first signal sets, on a thread that waits for signals.
fn stop_flag(said: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || runtime.block_on(stop_on_signal(flag, said)));
    Ok(stop)
}

/// The first signal ends the sweep with what was measured so far, its keys removed; the second ends
/// the program.
async fn stop_on_signal(stop: Arc<AtomicBool>, said: &str) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers, signals end the program as they always do.
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
        eprintln!("{said}; once more to end at once");
    }
}
