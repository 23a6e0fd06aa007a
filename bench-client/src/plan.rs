//! What a sweep is to do, checked.
//!
//! Owns what options are together, and what is refused of it. Knows nothing of how a plan is carried
//! out. Invariant: a `Plan` can be run as it is; everything that can be refused is refused here.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::address::Address;
use crate::connection::Target;
use crate::options::{OpName, SweepArgs};
use crate::phase::{ONLY_TARGET, Timing};
use crate::rate_search::{self, Limits};
use crate::size::{PAYLOAD_BYTES_MAX, Size, Units};
use crate::workload::{Commands, KeyOrder, Mix, Op};

/// It is kept in memory.
const REPLAY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Colours of a chart, and the time that it all takes.
const TARGETS_MAX: usize = 5;
/// Rounds of a comparison, unless told otherwise: ratios without a spread say little.
const COMPARED_ROUNDS: usize = 3;
const DURATION_DEFAULT: Duration = Duration::from_secs(60);
const WARMUP_DEFAULT: Duration = Duration::from_secs(5);
const QUICK_DURATION: Duration = Duration::from_secs(1);

/// Something to measure.
pub(crate) struct Endpoint {
    /// How reports call it.
    pub(crate) name: String,
    /// Where to, as whom.
    pub(crate) target: Target,
    /// Whether that is a node of a cluster, and each key is to be sent to the master that has it.
    pub(crate) is_cluster: bool,
    /// The admin address, where it is a gateway that has one.
    pub(crate) admin: Option<String>,
}

/// What a sweep is to do.
pub(crate) struct Plan {
    /// What is measured.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Times that all is done.
    pub(crate) repeat: usize,
    /// Payload sizes, ascending.
    pub(crate) sizes: Vec<Size>,
    /// Operations per size, in order.
    pub(crate) ops: Vec<Op>,
    /// The mix, where that is the operation.
    pub(crate) mix: Option<Mix>,
    /// Keys of each MGET and MSET.
    pub(crate) batch: usize,
    /// Which key is next.
    pub(crate) key_order: KeyOrder,
    /// Whether the measured connections speak RESP3.
    pub(crate) resp3: bool,
    /// Time per phase, and threads.
    pub(crate) timing: Timing,
    /// Connections to the target.
    pub(crate) connections: usize,
    /// Requests in flight per connection.
    pub(crate) pipeline: usize,
    /// Requests per second; without one, a closed loop.
    pub(crate) rate: Option<u64>,
    /// What to look for in place of a rate.
    pub(crate) rate_search: Option<Limits>,
    /// The commands to send in place of a sweep, and the file that they are from.
    pub(crate) replay: Option<(PathBuf, Commands)>,
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
        let (from, to) = bounds(&args)?;
        let ops = ops(&args)?;
        let mixed: Vec<Op> = args.mix.iter().flat_map(Mix::ops).collect();
        let (batch, has_batches) =
            (usize::from(args.batch), ops.iter().chain(&mixed).any(|op| op.is_batch()));
        ensure!(
            !has_batches || (batch * to.bytes()) as u64 <= PAYLOAD_BYTES_MAX,
            "--batch {batch} of values of {to} is more than 64 MiB in one command"
        );
        check(&args)?;
        let (username, password) = args.credentials.read()?;
        let (duration, warmup) = match args.quick {
            true => (QUICK_DURATION, Duration::ZERO),
            false => (DURATION_DEFAULT, WARMUP_DEFAULT),
        };
        let target = |address| Target {
            address,
            username: username.clone(),
            password: password.clone(),
            timeout: args.timeout,
        };
        let alone = args.target.map(|address| (ONLY_TARGET.to_owned(), address));
        let is_compared = !args.compare.is_empty();
        let endpoints = endpoints(alone.into_iter().chain(args.compare), args.admin, target)?;
        ensure!(!is_compared || endpoints.len() > 1, "--compare needs two targets at least");
        ensure!(
            !has_batches || !endpoints.iter().any(|endpoint| endpoint.is_cluster),
            "a cluster takes no MGET or MSET over several slots: not with a target cluster:HOST:PORT"
        );
        let replay = match args.replay {
            Some(path) => Some(read_commands(path, usize::from(args.connections))?),
            None => None,
        };
        ensure!(
            replay.is_none() || !endpoints.iter().any(|endpoint| endpoint.is_cluster),
            "the keys of a --replay are not known: not with a target cluster:HOST:PORT"
        );
        let limits = Limits { p99: args.p99_limit, max_error_pct: args.max_error_pct };
        Ok(Plan {
            endpoints,
            repeat: args.repeat.map_or(if is_compared { COMPARED_ROUNDS } else { 1 }, usize::from),
            sizes: if replay.is_some() { vec![Size::NONE] } else { Size::doubling(from, to) },
            ops,
            mix: args.mix,
            batch,
            key_order: args.key_distribution,
            resp3: args.protocol == 3,
            timing: Timing {
                warmup: args.warmup.unwrap_or(warmup),
                duration: args.duration.unwrap_or(duration),
                threads: usize::from(args.threads),
            },
            connections: usize::from(args.connections),
            pipeline: usize::from(args.pipeline),
            rate: args.rate,
            rate_search: args.rate_search.then_some(limits),
            replay,
            keys: args.keys,
            units: args.units,
            max_error_pct: args.max_error_pct,
            client_id: args.client_id,
            out: args.out,
            seed: args.seed,
            keep: args.keep,
        })
    }

    /// Whether an operation counts on its keys being there.
    pub(crate) fn reads(&self, op: Op) -> bool {
        match op {
            Op::Mix => self.mix.iter().any(|mix| mix.ops().any(Op::is_read)),
            op => op.is_read(),
        }
    }

    /// How many keys a size gets.
    pub(crate) fn keys_of(&self, size: Size) -> u64 {
        if self.replay.is_some() {
            return 0;
        }
        self.keys.unwrap_or_else(|| size.default_keys())
    }

    /// The time all phases take together, connecting and filling aside.
    pub(crate) fn total_time(&self) -> Duration {
        let rounds = self.endpoints.len() * self.repeat;
        let phases = u32::try_from(self.sizes.len() * self.ops.len() * rounds).unwrap_or(u32::MAX);
        let phase = match self.rate_search {
            Some(_) => rate_search::usual_time(self.timing),
            None => self.timing.warmup + self.timing.duration,
        };
        phase * phases
    }
}

/// The smallest and the largest size.
fn bounds(args: &SweepArgs) -> Result<(Size, Size)> {
    let size = |text| Size::parse(text, args.units).map_err(anyhow::Error::msg);
    let (from, to) = match &args.size {
        Some(only) => (size(only)?, size(only)?),
        None => (size(&args.from)?, size(&args.to)?),
    };
    ensure!(from <= to, "--from {} is larger than --to {}", args.from, args.to);
    Ok((from, to))
}

/// What has a form that is not known to the command line.
fn check(args: &SweepArgs) -> Result<()> {
    ensure!(
        (0.0..=100.0).contains(&args.max_error_pct),
        "--max-error-pct must be between 0 and 100"
    );
    let name_ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(
        (1..=32).contains(&args.client_id.len()) && args.client_id.bytes().all(name_ok),
        "--client-id becomes part of file names: 1 to 32 letters, digits, '-' or '_'"
    );
    Ok(())
}

/// The targets by name; the admin address is that of the first.
fn endpoints(
    named: impl Iterator<Item = (String, Address)>,
    mut admin: Option<String>,
    target: impl Fn(String) -> Target,
) -> Result<Vec<Endpoint>> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (name, Address { address, is_cluster }) in named {
        ensure!(!endpoints.iter().any(|known| known.name == name), "--compare has {name} twice");
        let (target, admin) = (target(address), admin.take());
        endpoints.push(Endpoint { name, target, is_cluster, admin });
    }
    ensure!(endpoints.len() <= TARGETS_MAX, "--compare takes {TARGETS_MAX} targets at most");
    Ok(endpoints)
}

/// The commands of a file.
fn read_commands(path: PathBuf, connections: usize) -> Result<(PathBuf, Commands)> {
    let cannot = || format!("--replay {}", path.display());
    let mut text = Vec::new();
    let file = File::open(&path).with_context(cannot)?;
    file.take(REPLAY_BYTES_MAX + 1).read_to_end(&mut text).with_context(cannot)?;
    ensure!(text.len() as u64 <= REPLAY_BYTES_MAX, "--replay: a file of more than 256 MiB");
    let commands = Commands::parse(&text, connections).map_err(anyhow::Error::msg);
    let commands = commands.with_context(cannot)?;
    Ok((path, commands))
}

fn ops(args: &SweepArgs) -> Result<Vec<Op>> {
    if args.replay.is_some() {
        return Ok(vec![Op::Replay]);
    }
    if args.mix.is_some() {
        return Ok(vec![Op::Mix]);
    }
    let ops: Vec<Op> = args
        .ops
        .iter()
        .map(|name| match name {
            OpName::Set => Op::Set,
            OpName::Get => Op::Get,
            OpName::Mset => Op::Mset,
            OpName::Mget => Op::Mget,
        })
        .collect();
    ensure!(!ops.is_empty(), "--ops names no operation");
    let twice = |(place, op): (usize, &Op)| ops[..place].contains(op);
    ensure!(!ops.iter().enumerate().any(twice), "--ops names an operation twice");
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::{Cli, Command};

    fn plan(words: &[&str]) -> Result<Plan> {
        let target = if words.contains(&"--target") { &[][..] } else { &["--target", "h:1"] };
        let base = ["slotway-bench", "sweep"];
        match Cli::try_parse_from(base.iter().chain(target).chain(words))?.command {
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
    fn a_comparison_has_names_rounds_and_one_admin_address() {
        let compare = |list| {
            let words = ["slotway-bench", "sweep", "--compare", list, "--admin", "h:9"];
            match Cli::try_parse_from(words)?.command {
                Command::Sweep(args) => Plan::from_args(*args),
                other => panic!("sweep was asked for, not {other:?}"),
            }
        };
        let plan = compare("gateway=h:1,direct=cluster:h:2").unwrap();
        let found: Vec<_> = plan
            .endpoints
            .iter()
            .map(|e| (e.name.as_str(), e.target.address.as_str(), e.is_cluster, e.admin.is_some()))
            .collect();
        assert_eq!(found, [("gateway", "h:1", false, true), ("direct", "h:2", true, false)]);
        assert_eq!(plan.repeat, 3);
        for list in [
            "gateway=h:1",
            "target=h:1",
            "a=h:1,a=h:2",
            "h:1,h:2",
            "a=h:1,b=h:1,c=h:1,d=h:1,e=h:1,f=h:1",
        ] {
            assert!(compare(list).is_err(), "{list}");
        }
        assert!(self::plan(&["--compare", "a=h:1,b=h:2"]).is_err(), "--target is there too");
    }

    #[test]
    fn a_single_size_and_a_mix_are_one_row() {
        let plan = plan(&["--size", "1KiB", "--mix", "get:80,set:20"]).unwrap();
        assert_eq!((plan.sizes.len(), plan.ops.as_slice()), (1, &[Op::Mix][..]));
        assert_eq!(plan.sizes[0].bytes(), 1024);
        assert!(plan.reads(Op::Mix) && !plan.resp3);
        let plan = self::plan(&["--mix", "set:1,mset:1", "--protocol", "3"]).unwrap();
        assert!(!plan.reads(Op::Mix) && plan.resp3);
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
            &["--size", "1KiB", "--from", "16B"],
            &["--size", "0"],
            &["--mix", "get:80,set:20", "--ops", "set"],
            &["--mix", "get"],
            &["--mix", "get:1,get:2"],
            &["--mix", "del:1"],
            &["--mix", "get:0"],
            &["--mix", ""],
            &["--batch", "0"],
            &["--batch", "1001"],
            &["--ops", "mset", "--batch", "1000", "--to", "1MiB"],
            &["--protocol", "1"],
            &["--rate-search", "--rate", "10"],
            &["--p99-limit", "5"],
            &["--replay", "/nowhere"],
            &["--replay", "/dev/null"],
            &["--replay", "/dev/null", "--size", "16B"],
            &["--target", "cluster:h:1", "--ops", "mget"],
            &["--key-distribution", "normal"],
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
