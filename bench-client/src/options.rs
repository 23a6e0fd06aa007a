//! The command line.
//!
//! Owns option names, defaults, and limits that one option has by itself; `plan` checks what they are
//! together. Knows nothing of how anything is carried out.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::address::{Address, named_address};
use crate::command_line::{parse_latency, parse_time, parse_time_of_run};
use crate::compare::CompareArgs;
use crate::credentials::Credentials;
use crate::isolation::IsolationArgs;
use crate::size::{KEYS_MAX, Units};
use crate::workload::{KeyOrder, Mix};

/// The most keys of an MGET or MSET.
const BATCH_MAX: u16 = 1000;

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
    /// --max-error-pct; 3 --rate was not held, or --rate-search found none; 64 the command line is wrong; 130 interrupted.
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
    /// Open new connections at a rate, each of which says PING or nothing, and tell how long that took
    /// and how often it failed.
    ///
    /// Exit codes: 0 measured; 1 could not run; 2 more failed connections than --max-error-pct; 64 the
    /// command line is wrong; 130 interrupted.
    Storm(Box<StormArgs>),
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
    Mset,
    Mget,
}

/// Options of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Where to send the load: an address, or cluster: and the address of one node, for this program's
    /// own cluster client.
    #[arg(long, value_name = "HOST:PORT", value_parser = Address::parse)]
    pub(crate) target: Option<Address>,
    /// In place of --target, two or more to measure in turn, such as
    /// gateway=HOST:PORT,direct=cluster:HOST:PORT; the report has ratios to the first.
    #[arg(long, value_name = "NAME=ADDRESS,..", value_delimiter = ',', value_parser = named_address, conflicts_with = "target", required_unless_present = "target")]
    pub(crate) compare: Vec<(String, Address)>,
    /// The gateway's admin address: tells the topology behind it and the CPU time it used. Of several
    /// targets, it belongs to the first.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// Times that the whole sweep is run; the report shows the median, the smallest and the largest
    /// [default: 1; --compare: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    pub(crate) repeat: Option<u16>,
    /// Measured time per size and operation, such as 60s, 500ms or 2m; seconds without a unit [default: 60s; --quick: 1s].
    #[arg(long, value_name = "TIME", value_parser = parse_time_of_run)]
    pub(crate) duration: Option<Duration>,
    /// Time per size and operation that is run but not counted [default: 5s; --quick: 0s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) warmup: Option<Duration>,
    /// One second per size and operation and no warm-up: a whole sweep in under a minute.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Connections to the target. To a cluster: as many in all, each to one of its masters.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub(crate) connections: u16,
    /// Requests in flight per connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) pipeline: u16,
    /// Threads that drive the connections.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Operations to run, in this order at each size: set, get, mset, mget.
    #[arg(long, value_name = "OP,..", value_delimiter = ',', default_value = "set,get")]
    pub(crate) ops: Vec<OpName>,
    /// In place of --ops, one operation that is a mix of commands by their shares, such as
    /// get:80,set:20; of get, set, mget and mset.
    #[arg(long, value_name = "COMMAND:SHARE,..", conflicts_with = "ops", value_parser = Mix::parse)]
    pub(crate) mix: Option<Mix>,
    /// Keys of each MGET and MSET.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=i64::from(BATCH_MAX)))]
    pub(crate) batch: u16,
    /// Which key is next: all in turn, any with the same chance, or few very often (zipf, exponent
    /// 0.99).
    #[arg(long, value_name = "ORDER", default_value = "sequential")]
    pub(crate) key_distribution: KeyOrder,
    /// Version of RESP on the measured connections; 3 is asked for with HELLO.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(crate) protocol: u8,
    /// One size alone, in place of --from and --to.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["from", "to"])]
    pub(crate) size: Option<String>,
    /// Smallest size: a number in --units, or with its own unit such as 128b, 16B, 4Mb, 512KiB.
    #[arg(long, value_name = "SIZE", default_value = "128")]
    pub(crate) from: String,
    /// Largest size.
    #[arg(long, value_name = "SIZE", default_value = "4M")]
    pub(crate) to: String,
    /// What sizes and the old result files count. `bytes` repeats the old client's load, whose
    /// "128 bits" were 128 bytes.
    #[arg(long, value_name = "UNIT", default_value = "bits")]
    pub(crate) units: Units,
    /// Keys per size [default: as many as hold 64 MiB, between 16 and 10,000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    pub(crate) keys: Option<u64>,
    /// Open loop: requests per second over all connections, latency counted from the intended start.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,
    /// Look for the highest rate that is held with a p99 under --p99-limit, by doubling and halving; the
    /// figures are those of the run that confirms it. Open loop, as --rate.
    #[arg(long, conflicts_with = "rate")]
    pub(crate) rate_search: bool,
    /// What the p99 of response times has to stay under, such as 5ms or 800us.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_latency)]
    pub(crate) p99_limit: Duration,
    /// In place of the sweep, send the commands of this file, a command a line in redis-cli's quoting,
    /// over and over; keys are as they are, and stay.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ops", "mix", "size", "from", "to", "batch", "keys", "key_distribution"])]
    pub(crate) replay: Option<PathBuf>,
    /// Errors, misses and wrong values allowed in any phase, in percent of its requests.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub(crate) max_error_pct: f64,
    /// The N in results-set-clientN.txt.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) client_id: String,
    /// Directory for the result files; files of an earlier run there are replaced.
    #[arg(long, value_name = "DIR", default_value = "bench-results")]
    pub(crate) out: PathBuf,
    /// Chooses the random payload: the same seed sends the same values.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Leave the keys in place at the end.
    #[arg(long)]
    pub(crate) keep: bool,
    /// The longest a connect or a pipeline may take before it counts as failed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time_of_run)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
}

/// Options of `storm`.
#[derive(Debug, Args)]
pub(crate) struct StormArgs {
    /// Where to connect.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) target: String,
    /// Connections to open each second, whatever becomes of those before.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// How long they are opened.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time_of_run)]
    pub(crate) duration: Duration,
    /// Send nothing; without this, each says PING and waits for the reply.
    #[arg(long)]
    pub(crate) silent: bool,
    /// How long a connection is kept open after that.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    pub(crate) hold: Duration,
    /// The most that are open at once; more are counted as not opened.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) open_max: usize,
    /// The longest a connect, or a reply, may take before it counts as failed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time_of_run)]
    pub(crate) timeout: Duration,
    /// Failed connections allowed, in percent of all.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub(crate) max_error_pct: f64,
    /// Print JSON in place of the text; its form is bench-client/schema/storm.schema.json.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
}
