//! The words a person types: subcommands, flags and their help.
//!
//! Owns them, and which flag is which option of the configuration. Knows nothing else of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::FlagValue;

/// One TCP port in front of a Redis Cluster: plain clients see a single, very large Redis.
#[derive(Parser)]
#[command(name = "slotway", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Every option can be given in a file (--config), as a variable SLOTWAY_<SECTION>_<KEY> and, the most
common ones, as a flag. A flag wins over a variable, a variable over the file.
`slotway check-config` prints all of them with the values in effect.";

const LOCAL_AFTER_HELP: &str = "\
It needs redis-server (or valkey-server) in PATH. Ctrl-C, SIGTERM and SIGHUP stop everything. When
slotway itself is killed (SIGKILL), its nodes end with it where setpriv (util-linux) is installed;
the temporary folder /tmp/slotway-local-… stays then.";

const KEEPER_AFTER_HELP: &str = "\
The nodes are named once and for all, each under a name or an address of its own; their order is
that of the first masters and then of their replicas. A name is resolved again in every look, so it
may move. A node that holds or serves anything is never emptied, reset or given away. The password
of the nodes is that of the gateway: SLOTWAY_TOPOLOGY_PASSWORD or password in [topology], or a file.
Exit codes: 0 stopped, or whole with --once; 1 it did not work; 2 it was not asked properly.";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Serve in front of a cluster
    Run(RunFlags),
    /// Start a cluster on this machine and serve in front of it; stops and removes it at the end
    #[command(after_help = LOCAL_AFTER_HELP)]
    Local(LocalFlags),
    /// Form a cluster of empty nodes, once, and keep it whole, for ever
    #[command(after_help = KEEPER_AFTER_HELP)]
    Keeper(KeeperFlags),
    /// Show which node serves which slots
    Topology(TopologyFlags),
    /// Check a configuration and print the values in effect; exit code 2 when something is wrong
    CheckConfig(CheckFlags),
    /// Ask a running gateway or keeper how it is; exit code 0 when it is well
    Healthcheck(HealthFlags),
    /// Show what a running gateway does, again and again; as a page it is on its admin port
    Top(TopFlags),
    /// Print the tables of all settings, metrics and commands, as the pages in docs/ have them
    Docs(DocsFlags),
}

#[derive(Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub(super) seeds: SeedFlags,
    #[command(flatten)]
    pub(super) login: LoginFlags,
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

#[derive(Args)]
pub(super) struct LocalFlags {
    /// Keep the data here, and find it again next time; without it a temporary folder is used
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// How many nodes: an even number from 6 on (every master has a replica), or 3 to 5 masters
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(super) nodes: usize,
    /// Log what happens and not only what is wrong; -vv logs everything
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "log_level")]
    pub(super) verbose: u8,
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

#[derive(Args)]
pub(super) struct KeeperFlags {
    #[command(flatten)]
    pub(super) nodes: NodeFlags,
    #[command(flatten)]
    pub(super) login: LoginFlags,
    #[command(flatten)]
    pub(super) keeping: KeepingFlags,
    /// Metrics and health, or "off" [default: 127.0.0.1:7020] [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<String>,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

#[derive(Args)]
pub(super) struct NodeFlags {
    /// All nodes; a comma separated list, may be repeated [env: SLOTWAY_KEEPER_NODES]
    #[arg(long, value_name = "HOST:PORT,…")]
    nodes: Vec<String>,
    /// Replicas of each master when the cluster is formed [default: 1] [env: SLOTWAY_KEEPER_REPLICAS]
    #[arg(long, value_name = "N")]
    replicas: Option<String>,
}

#[derive(Args)]
pub(super) struct LoginFlags {
    /// ACL user of the nodes [env: SLOTWAY_TOPOLOGY_USERNAME]
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File that holds the password of the nodes [env: SLOTWAY_TOPOLOGY_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
}

#[derive(Args)]
pub(super) struct KeepingFlags {
    /// End as soon as the cluster is whole [env: SLOTWAY_KEEPER_ONCE]
    #[arg(long)]
    once: bool,
    /// With --once: how long at most, 0 for ever [default: 2m] [env: SLOTWAY_KEEPER_WAIT]
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// Tell what would be done, and end [env: SLOTWAY_KEEPER_DRY_RUN]
    #[arg(long)]
    dry_run: bool,
    /// Time between two looks when nothing happens [default: 1s] [env: SLOTWAY_KEEPER_INTERVAL]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// Longest time for one node to answer [default: 2s] [env: SLOTWAY_KEEPER_TIMEOUT]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// The old name of --timeout
    #[arg(long, hide = true, value_name = "TIME", conflicts_with = "timeout")]
    patience: Option<String>,
    /// Forget nodes that are none of the list and have failed for so long, 0 never [default: 0s]
    /// [env: SLOTWAY_KEEPER_FORGET_AFTER]
    #[arg(long, value_name = "TIME")]
    forget_after: Option<String>,
    /// Make replicas masters when most masters have been gone for so long, 0 never [default: 0s]
    /// [env: SLOTWAY_KEEPER_TAKEOVER_AFTER]
    #[arg(long, value_name = "TIME")]
    takeover_after: Option<String>,
}

#[derive(Args)]
pub(super) struct TopologyFlags {
    #[command(flatten)]
    pub(super) seeds: SeedFlags,
    #[command(flatten)]
    pub(super) login: LoginFlags,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

#[derive(Args)]
pub(super) struct CheckFlags {
    /// The file to check; without it, the environment alone
    #[arg(value_name = "FILE", env = "SLOTWAY_CONFIG")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct HealthFlags {
    /// The admin port of the gateway [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<String>,
    /// Ask whether it should get clients, or its cluster is whole (/readyz), not only whether it
    /// lives (/livez)
    #[arg(long)]
    pub(super) ready: bool,
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", env = "SLOTWAY_CONFIG")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct TopFlags {
    /// The admin port of the gateway [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<String>,
    /// File that holds the password of the page [env: SLOTWAY_ADMIN_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    pub(super) admin_password_file: Option<String>,
    /// Seconds between two looks
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) interval: u64,
    /// Print it once, and end; so it is without a terminal, too
    #[arg(long)]
    pub(super) once: bool,
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", env = "SLOTWAY_CONFIG")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct DocsFlags {
    /// Print nothing, and bring the tables in the pages of this folder up to date
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct SeedFlags {
    /// A node of the cluster; may be repeated [env: SLOTWAY_SEED]
    #[arg(long = "seed", value_name = "HOST:PORT")]
    pub(super) seeds: Vec<String>,
}

#[derive(Args)]
pub(super) struct ServerFlags {
    /// Where clients connect; may be repeated [default: 127.0.0.1:7010] [env: SLOTWAY_LISTENER_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Metrics and health, or "off" [default: 127.0.0.1:7020] [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<String>,
    /// File that holds what clients must AUTH with [env: SLOTWAY_LISTENER_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    client_password_file: Option<String>,
    /// Without a password, serve clients of this machine only: true or false [default: true]
    /// [env: SLOTWAY_LISTENER_PROTECTED_MODE]
    #[arg(long, value_name = "BOOL")]
    protected_mode: Option<String>,
    /// Worker threads; 0 is one per core [default: 0] [env: SLOTWAY_WORKERS]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

#[derive(Args)]
pub(super) struct ConfigFlags {
    /// A TOML file with any of the options
    #[arg(long, value_name = "FILE", env = "SLOTWAY_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// error, warn, info or debug [default: info, and warn for local] [env: SLOTWAY_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [default: text] [env: SLOTWAY_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SeedFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        several("--seed", "topology.seeds", &self.seeds)
    }
}

impl ServerFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        [
            several("--listen", "listener.bind", &self.listen),
            one("--admin", "admin.bind", self.admin.clone()),
            one(
                "--client-password-file",
                "listener.password_file",
                self.client_password_file.clone(),
            ),
            one("--protected-mode", "listener.protected_mode", self.protected_mode.clone()),
            one("--workers", "workers", self.workers.clone()),
        ]
        .concat()
    }
}

impl LocalFlags {
    /// As `--log-level`.
    pub(super) fn verbosity(&self) -> Vec<FlagValue> {
        let level = match self.verbose {
            0 => return Vec::new(),
            1 => "info",
            _ => "debug",
        };
        one("--verbose", "log.level", Some(level.to_owned()))
    }
}

impl NodeFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        [
            several("--nodes", "keeper.nodes", &self.nodes),
            one("--replicas", "keeper.replicas", self.replicas.clone()),
        ]
        .concat()
    }
}

impl LoginFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        [
            one("--username", "topology.username", self.username.clone()),
            one("--password-file", "topology.password_file", self.password_file.clone()),
        ]
        .concat()
    }
}

impl KeepingFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        let switch = |is_on: bool| is_on.then(|| "true".to_owned());
        [
            one("--once", "keeper.once", switch(self.once)),
            one("--wait", "keeper.wait", self.wait.clone()),
            one("--dry-run", "keeper.dry_run", switch(self.dry_run)),
            one("--interval", "keeper.interval", self.interval.clone()),
            one("--timeout", "keeper.timeout", self.timeout.clone()),
            one("--patience", "keeper.patience", self.patience.clone()),
            one("--forget-after", "keeper.forget_after", self.forget_after.clone()),
            one("--takeover-after", "keeper.takeover_after", self.takeover_after.clone()),
        ]
        .concat()
    }
}

impl ConfigFlags {
    pub(super) fn given(&self) -> Vec<FlagValue> {
        [
            one("--log-level", "log.level", self.log_level.clone()),
            one("--log-format", "log.format", self.log_format.clone()),
        ]
        .concat()
    }
}

pub(super) fn one(
    flag: &'static str,
    option: &'static str,
    word: Option<String>,
) -> Vec<FlagValue> {
    word.into_iter().map(|word| FlagValue { flag, option, words: vec![word] }).collect()
}

fn several(flag: &'static str, option: &'static str, words: &[String]) -> Vec<FlagValue> {
    if words.is_empty() {
        return Vec::new();
    }
    vec![FlagValue { flag, option, words: words.to_vec() }]
}
