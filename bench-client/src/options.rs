//! The command line, and the checked plan made from it.
//!
//! Owns option names, defaults and limits. Knows nothing of how a plan is carried out.
//! Invariant: a `Plan` can be run as it is; everything that can be refused is refused here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command_line::{parse_time, parse_time_of_run};
use crate::compare::CompareArgs;
use crate::connection::Target;
use crate::isolation::IsolationArgs;
use crate::phase::Timing;
use crate::size::{KEYS_MAX, Size, Units};
use crate::workload::Op;

/// A password file that is longer is the wrong file.
const PASSWORD_BYTES_MAX: u64 = 4096;
/// The name of a target that is alone.
const ONLY_TARGET: &str = "target";
const DURATION_DEFAULT: Duration = Duration::from_secs(60);
const WARMUP_DEFAULT: Duration = Duration::from_secs(5);
const QUICK_DURATION: Duration = Duration::from_secs(1);

/// Measures Redis endpoints: one by a sweep over payload sizes, proxies side by side.
#[derive(Debug, Parser)]
#[command(name = "slotway-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run set, then get, for payload sizes doubling from 128 bits to 4 Mbits, and report.
    ///
    /// Exit codes: 0 good; 1 could not run; 2 more errors, misses or wrong values than
    /// --max-error-pct; 3 --rate was not held; 64 the command line is wrong; 130 interrupted.
    Sweep(Box<SweepArgs>),
    /// Make the report of a run anew from its summary.json.
    ///
    /// Exit codes: 0 the report is made, whatever it says; 1 there is no record to make it from; 64
    /// the command line is wrong.
    Report(ReportArgs),
    /// Hold two runs side by side: throughput, p50 and p99 of each operation at each size, and what is
    /// beyond noise.
    ///
    /// Reads summary.json of both. Noise is how far the rounds of a run lie apart, so both need
    /// --repeat; of runs with one round it gives ratios alone. Exit codes: 0 compared, whatever came of
    /// it; 1 a record is missing or they have nothing in common; 64 the command line is wrong.
    Diff(DiffArgs),
    /// Run the same work through this gateway and through other proxies, in turn, and compare.
    ///
    /// Starts Redis nodes, the gateway, and what there is of HAProxy and Envoy, all on this machine;
    /// ends all of them at the end, by Ctrl-C too. Exit codes: 0 measured, whatever the figures say;
    /// 1 could not run; 64 the command line is wrong; 130 interrupted, with the report of what was
    /// measured.
    #[command(visible_alias = "peers")]
    Compare(Box<CompareArgs>),
    /// Measure what very slow clients with large values cost everybody else.
    ///
    /// Starts what `compare` starts, or takes --target. Exit codes as those of `compare`.
    Isolation(Box<IsolationArgs>),
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Directory of the run, as given to --out.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Directory of the first run, as given to --out: what the other is held against.
    #[arg(value_name = "A")]
    pub(crate) first: PathBuf,
    /// Directory of the second run.
    #[arg(value_name = "B")]
    pub(crate) second: PathBuf,
    /// Print JSON in place of the text; its form is bench-client/schema/diff.schema.json.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which operations to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OpName {
    Set,
    Get,
}

/// Options of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Where to send the load.
    #[arg(long, value_name = "HOST:PORT")]
    target: String,
    /// The gateway's admin address: tells the topology behind it and the CPU time it used.
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Times that the whole sweep is run; the report shows the median, the smallest and the largest.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=99))]
    repeat: u16,
    /// Measured time per size and operation, such as 60s, 500ms or 2m; seconds without a unit [default: 60s; --quick: 1s].
    #[arg(long, value_name = "TIME", value_parser = parse_time_of_run)]
    duration: Option<Duration>,
    /// Time per size and operation that is run but not counted [default: 5s; --quick: 0s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    warmup: Option<Duration>,
    /// One second per size and operation and no warm-up: a whole sweep in under a minute.
    #[arg(long)]
    quick: bool,
    /// Connections to the target.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=5000))]
    connections: u16,
    /// Requests in flight per connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pipeline: u16,
    /// Threads that drive the connections.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Operations to run, in this order at each size.
    #[arg(long, value_name = "OP,..", value_delimiter = ',', default_value = "set,get")]
    ops: Vec<OpName>,
    /// Smallest size: a number in --units, or with its own unit such as 128b, 16B, 4Mb, 512KiB.
    #[arg(long, value_name = "SIZE", default_value = "128")]
    from: String,
    /// Largest size.
    #[arg(long, value_name = "SIZE", default_value = "4M")]
    to: String,
    /// What sizes and the old result files count. `bytes` repeats the old client's load, whose
    /// "128 bits" were 128 bytes.
    #[arg(long, value_name = "UNIT", default_value = "bits")]
    units: Units,
    /// Keys per size [default: as many as hold 64 MiB, between 16 and 10,000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: Option<u64>,
    /// Open loop: requests per second over all connections, latency counted from the intended start.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Errors, misses and wrong values allowed in any phase, in percent of its requests.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    max_error_pct: f64,
    /// The N in results-set-clientN.txt.
    #[arg(long, value_name = "N", default_value = "1")]
    client_id: String,
    /// Directory for the result files; files of an earlier run there are replaced.
    #[arg(long, value_name = "DIR", default_value = "bench-results")]
    out: PathBuf,
    /// Chooses the random payload: the same seed sends the same values.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Leave the keys in place at the end.
    #[arg(long)]
    keep: bool,
    /// The longest a connect or a pipeline may take before it counts as failed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time_of_run)]
    timeout: Duration,
    /// User for AUTH; needs a password.
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Password for AUTH. The environment keeps it out of the process list.
    #[arg(long, value_name = "PASSWORD", env = "SLOTWAY_BENCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File that holds the password for AUTH.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
}

/// Something to measure.
pub(crate) struct Endpoint {
    /// How reports call it.
    pub(crate) name: String,
    /// Where to, as whom.
    pub(crate) target: Target,
}

/// What a sweep is to do.
pub(crate) struct Plan {
    /// What is measured.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The gateway's admin address.
    pub(crate) admin: Option<String>,
    /// Times that all is done.
    pub(crate) repeat: usize,
    /// Payload sizes, ascending.
    pub(crate) sizes: Vec<Size>,
    /// Operations per size, in order.
    pub(crate) ops: Vec<Op>,
    /// Time per phase, and threads.
    pub(crate) timing: Timing,
    /// Connections to the target.
    pub(crate) connections: usize,
    /// Requests in flight per connection.
    pub(crate) pipeline: usize,
    /// Requests per second; without one, a closed loop.
    pub(crate) rate: Option<u64>,
    /// Keys per size, when not the default.
    pub(crate) keys: Option<u64>,
    /// What the old result files count.
    pub(crate) units: Units,
    /// Errors allowed, in percent of a phase.
    pub(crate) max_error_pct: f64,
    /// The N of the old result files.
    pub(crate) client_id: String,
    /// Where files go.
    pub(crate) out: PathBuf,
    /// Chooses the payload.
    pub(crate) seed: u64,
    /// Whether keys stay.
    pub(crate) keep: bool,
}

impl Plan {
    /// Checks what the command line asks for.
    pub(crate) fn from_args(args: SweepArgs) -> Result<Plan> {
        let bounds = |text| Size::parse(text, args.units).map_err(anyhow::Error::msg);
        let (from, to) = (bounds(&args.from)?, bounds(&args.to)?);
        ensure!(from <= to, "--from {} is larger than --to {}", args.from, args.to);
        ensure!(
            (0.0..=100.0).contains(&args.max_error_pct),
            "--max-error-pct must be between 0 and 100"
        );
        let name_ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ensure!(
            (1..=32).contains(&args.client_id.len()) && args.client_id.bytes().all(name_ok),
            "--client-id becomes part of file names: 1 to 32 letters, digits, '-' or '_'"
        );
        let password = match &args.password_file {
            Some(path) => Some(read_password(path)?),
            None => args.password,
        };
        if args.username.is_some() && password.is_none() {
            bail!("--username needs --password, --password-file or SLOTWAY_BENCH_PASSWORD");
        }
        let (duration, warmup) = match args.quick {
            true => (QUICK_DURATION, Duration::ZERO),
            false => (DURATION_DEFAULT, WARMUP_DEFAULT),
        };
        let (username, timeout) = (args.username, args.timeout);
        let target = Target { address: args.target, username, password, timeout };
        Ok(Plan {
            endpoints: vec![Endpoint { name: ONLY_TARGET.to_owned(), target }],
            admin: args.admin,
            repeat: usize::from(args.repeat),
            sizes: Size::doubling(from, to),
            ops: ops(&args.ops)?,
            timing: Timing {
                warmup: args.warmup.unwrap_or(warmup),
                duration: args.duration.unwrap_or(duration),
                threads: usize::from(args.threads),
            },
            connections: usize::from(args.connections),
            pipeline: usize::from(args.pipeline),
            rate: args.rate,
            keys: args.keys,
            units: args.units,
            max_error_pct: args.max_error_pct,
            client_id: args.client_id,
            out: args.out,
            seed: args.seed,
            keep: args.keep,
        })
    }

    /// How many keys a size gets.
    pub(crate) fn keys_of(&self, size: Size) -> u64 {
        self.keys.unwrap_or_else(|| size.default_keys())
    }

    /// The time all phases take together, connecting and filling aside.
    pub(crate) fn total_time(&self) -> Duration {
        let rounds = self.endpoints.len() * self.repeat;
        let phases = u32::try_from(self.sizes.len() * self.ops.len() * rounds).unwrap_or(u32::MAX);
        (self.timing.warmup + self.timing.duration) * phases
    }
}

/// The password in a file, without the line break at its end.
fn read_password(path: &Path) -> Result<String> {
    let cannot = || format!("--password-file {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).with_context(cannot)?;
    let password = text.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "--password-file {}: it is empty", path.display());
    Ok(password.to_owned())
}

fn ops(names: &[OpName]) -> Result<Vec<Op>> {
    let ops: Vec<Op> = names
        .iter()
        .map(|name| match name {
            OpName::Set => Op::Set,
            OpName::Get => Op::Get,
        })
        .collect();
    ensure!(!ops.is_empty() && ops.len() <= 2, "--ops takes set, get, or both");
    ensure!(ops.len() < 2 || ops[0] != ops[1], "--ops names an operation twice");
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan> {
        let base = ["slotway-bench", "sweep", "--target", "h:1"];
        match Cli::try_parse_from(base.iter().chain(words))?.command {
            Command::Sweep(args) => Plan::from_args(*args),
            other => panic!("sweep was asked for, not {other:?}"),
        }
    }

    #[test]
    fn the_default_plan_is_the_old_sweep_in_true_bits() {
        let plan = plan(&[]).unwrap();
        assert_eq!((plan.sizes.len(), plan.ops.len()), (16, 2));
        assert_eq!(plan.total_time(), Duration::from_secs(32 * 65));
        assert_eq!(plan.keys_of(plan.sizes[15]), 128);
    }

    #[test]
    fn the_old_name_of_a_comparison_is_understood() {
        for name in ["compare", "peers"] {
            let cli = Cli::try_parse_from(["slotway-bench", name, "--quick"]).unwrap();
            assert!(matches!(cli.command, Command::Compare(_)), "{name}");
        }
    }

    #[test]
    fn quick_is_under_a_minute_and_can_be_overridden() {
        assert_eq!(plan(&["--quick"]).unwrap().total_time(), Duration::from_secs(32));
        let plan = plan(&["--quick", "--duration", "100ms", "--warmup", "1"]).unwrap();
        assert_eq!(plan.timing.duration, Duration::from_millis(100));
        assert_eq!(plan.timing.warmup, Duration::from_secs(1));
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for words in [
            &["--from", "4M", "--to", "128"][..],
            &["--duration", "0"],
            &["--duration", "5 minutes"],
            &["--duration", "25h"],
            &["--timeout", "0"],
            &["--connections", "0"],
            &["--pipeline", "1001"],
            &["--ops", "set,set"],
            &["--ops", "set,get,set"],
            &["--ops", "del"],
            &["--client-id", "../1"],
            &["--client-id", ""],
            &["--max-error-pct", "101"],
            &["--max-error-pct", "NaN"],
            &["--rate", "0"],
            &["--keys", "0"],
            &["--repeat", "0"],
        ] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_password_may_be_in_a_file() {
        let file = std::env::temp_dir().join(format!("slotway-bench-{}", std::process::id()));
        let path = file.to_str().unwrap();
        std::fs::write(&file, "s3cret\n").unwrap();
        let found = plan(&["--password-file", path])
            .map(|mut plan| plan.endpoints.remove(0).target.password);
        let twice = plan(&["--password-file", path, "--password", "x"]).is_err();
        std::fs::write(&file, "\n").unwrap();
        let empty = plan(&["--password-file", path]).is_err();
        std::fs::remove_file(&file).unwrap();
        let none = plan(&["--password-file", path]).is_err();
        assert_eq!(found.unwrap().as_deref(), Some("s3cret"));
        assert!(twice && empty && none);
    }
}
