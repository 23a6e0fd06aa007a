//! The command line: what a person types, turned into what the program is to do.
//!
//! Owns the subcommands and flags. Knows of the configuration only which flag is which option; does
//! not print, does not exit, does nothing.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, FlagValue, Given, Loaded, Purpose, load};
use crate::local::LocalOptions;

/// What the program is to do, everything checked.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Serve in front of the cluster.
    Run(Config),
    /// Start a cluster on this machine and serve in front of it.
    Local(LocalOptions, Config),
    /// Show the map of slots.
    Topology {
        /// Where the cluster is.
        config: Config,
        /// For machines.
        json: bool,
    },
    /// Print this page: the configuration in effect.
    CheckConfig(String),
    /// Ask a running gateway how it is.
    Healthcheck {
        /// Its admin port.
        admin: SocketAddr,
        /// Ask whether it should get clients, not only whether it lives.
        ready: bool,
    },
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum CliError {
    /// The person typed something else than a command, or asked for help.
    Usage(clap::Error),
    /// The configuration is not one.
    Config(ConfigError),
    /// The numbers of `slotway local` make no cluster.
    Nodes(String),
    /// A health check that has nobody to ask. It fails as one that gets no answer, because
    /// container platforms know no third outcome.
    Unaskable(String),
}

/// One TCP port in front of a Redis Cluster: plain clients see a single, very large Redis.
#[derive(Parser)]
#[command(name = "slotway", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Every option can be given in a file (--config), as a variable SLOTWAY_<SECTION>_<KEY> and, the most
common ones, as a flag. A flag wins over a variable, a variable over the file.
`slotway check-config` prints all of them with the values in effect.";

const LOCAL_AFTER_HELP: &str = "\
It needs redis-server (or valkey-server) in PATH. Ctrl-C, SIGTERM and SIGHUP stop everything. When
slotway itself is killed (SIGKILL), its nodes end with it where setpriv (util-linux) is installed;
the temporary folder /tmp/slotway-local-… stays then.";

#[derive(Subcommand)]
enum Command {
    /// Serve in front of a cluster
    Run(RunFlags),
    /// Start a cluster on this machine and serve in front of it; stops and removes it at the end
    #[command(after_help = LOCAL_AFTER_HELP)]
    Local(LocalFlags),
    /// Show which node serves which slots
    Topology(TopologyFlags),
    /// Check a configuration and print the values in effect; exit code 2 when something is wrong
    CheckConfig(CheckFlags),
    /// Ask a running gateway how it is; exit code 0 when it is well
    Healthcheck(HealthFlags),
}

#[derive(Args)]
struct RunFlags {
    #[command(flatten)]
    seeds: SeedFlags,
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Args)]
struct LocalFlags {
    /// Keep the data here, and find it again next time; without it a temporary folder is used
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many nodes: an even number from 6 on (every master has a replica), or 3 to 5 masters
    #[arg(long, value_name = "N", default_value_t = 6)]
    nodes: usize,
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Args)]
struct TopologyFlags {
    #[command(flatten)]
    seeds: SeedFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Args)]
struct CheckFlags {
    /// The file to check; without it, the environment alone
    #[arg(value_name = "FILE", env = "SLOTWAY_CONFIG")]
    file: Option<PathBuf>,
}

#[derive(Args)]
struct HealthFlags {
    /// The admin port of the gateway [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Ask whether it should get clients (/readyz), not only whether it lives (/livez)
    #[arg(long)]
    ready: bool,
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE", env = "SLOTWAY_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct SeedFlags {
    /// A node of the cluster; may be repeated [env: SLOTWAY_SEED]
    #[arg(long = "seed", value_name = "HOST:PORT")]
    seeds: Vec<String>,
}

#[derive(Args)]
struct ServerFlags {
    /// Where clients connect; may be repeated [default: 127.0.0.1:7010] [env: SLOTWAY_LISTENER_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Metrics and health, or "off" [default: 127.0.0.1:7020] [env: SLOTWAY_ADMIN_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Worker threads; 0 is one per core [default: 0] [env: SLOTWAY_WORKERS]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

#[derive(Args)]
struct ConfigFlags {
    /// A TOML file with any of the options
    #[arg(long, value_name = "FILE", env = "SLOTWAY_CONFIG")]
    config: Option<PathBuf>,
    /// error, warn, info or debug [default: info] [env: SLOTWAY_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [default: text] [env: SLOTWAY_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Reads a command line and the environment; the first argument is the program's name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(OsString, OsString)>,
) -> Result<Invocation, CliError> {
    let cli = Cli::try_parse_from(arguments).map_err(CliError::Usage)?;
    let read = |file, flags, purpose| {
        load(&Given { file, environment, flags }, purpose).map_err(CliError::Config)
    };
    match cli.command {
        Command::Run(RunFlags { seeds, server, config }) => {
            let flags = [seeds.given(), server.given(), config.given()].concat();
            Ok(Invocation::Run(read(config.config, flags, Purpose::Cluster)?.config))
        }
        Command::Local(LocalFlags { dir, nodes, server, config }) => {
            let flags = [server.given(), config.given()].concat();
            let options = local_options(dir, nodes)?;
            let loaded = read(config.config, flags, Purpose::OwnNodes)?;
            Ok(Invocation::Local(options, loaded.config))
        }
        Command::Topology(TopologyFlags { seeds, json, config }) => {
            let flags = [seeds.given(), config.given()].concat();
            let loaded = read(config.config, flags, Purpose::Cluster)?;
            Ok(Invocation::Topology { config: loaded.config, json })
        }
        Command::CheckConfig(CheckFlags { file }) => {
            Ok(Invocation::CheckConfig(checked(&read(file, Vec::new(), Purpose::Inspect)?)))
        }
        Command::Healthcheck(HealthFlags { admin, ready, config }) => {
            let flags = one("--admin", "admin.bind", admin);
            let loaded = read(config, flags, Purpose::Inspect)
                .map_err(|error| CliError::Unaskable(error.to_string()))?;
            Ok(Invocation::Healthcheck { admin: reachable(&loaded.config)?, ready })
        }
    }
}

impl SeedFlags {
    fn given(&self) -> Vec<FlagValue> {
        several("--seed", "topology.seeds", &self.seeds)
    }
}

impl ServerFlags {
    fn given(&self) -> Vec<FlagValue> {
        [
            several("--listen", "listener.bind", &self.listen),
            one("--admin", "admin.bind", self.admin.clone()),
            one("--workers", "workers", self.workers.clone()),
        ]
        .concat()
    }
}

impl ConfigFlags {
    fn given(&self) -> Vec<FlagValue> {
        [
            one("--log-level", "log.level", self.log_level.clone()),
            one("--log-format", "log.format", self.log_format.clone()),
        ]
        .concat()
    }
}

fn one(flag: &'static str, option: &'static str, word: Option<String>) -> Vec<FlagValue> {
    word.into_iter().map(|word| FlagValue { flag, option, words: vec![word] }).collect()
}

fn several(flag: &'static str, option: &'static str, words: &[String]) -> Vec<FlagValue> {
    if words.is_empty() {
        return Vec::new();
    }
    vec![FlagValue { flag, option, words: words.to_vec() }]
}

/// A file may leave the seeds to the command line, so their absence is told and not refused.
fn checked(loaded: &Loaded) -> String {
    let mut page = loaded.report();
    if loaded.config.topology.seeds.is_empty() {
        page.push_str("\n# There is no seed here: `slotway run` will need --seed HOST:PORT.\n");
    }
    page
}

fn local_options(dir: Option<PathBuf>, nodes: usize) -> Result<LocalOptions, CliError> {
    let replicas_per_master = match nodes {
        3..=5 => 0,
        6..=60 if nodes.is_multiple_of(2) => 1,
        _ => {
            let text = format!(
                "--nodes: {nodes} nodes cannot be shared out evenly; write 3, 4 or 5 for masters \
                 alone, or an even number from 6 to 60 for masters with a replica each"
            );
            return Err(CliError::Nodes(text));
        }
    };
    Ok(LocalOptions { dir, nodes, replicas_per_master })
}

/// Where a gateway that binds the admin address of `config` can be reached from its own machine.
fn reachable(config: &Config) -> Result<SocketAddr, CliError> {
    let Some(mut admin) = config.admin.bind else {
        let text = "the admin port is off, so nobody can be asked; give it with --admin ADDR:PORT";
        return Err(CliError::Unaskable(text.to_owned()));
    };
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => admin.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => admin.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(admin)
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CliError::Usage(error) => error.fmt(f),
            CliError::Config(error) => error.fmt(f),
            CliError::Nodes(text) | CliError::Unaskable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::documented_keys;
    use clap::CommandFactory;

    fn parsed(line: &str, environment: &[(&str, &str)]) -> Result<Invocation, CliError> {
        let environment = environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
        parse(line.split(' ').map(OsString::from), environment)
    }

    fn run(line: &str, environment: &[(&str, &str)]) -> Config {
        match parsed(line, environment) {
            Ok(Invocation::Run(config)) => config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_flags_are_well_formed_and_each_is_an_option() {
        Cli::command().debug_assert();
        let keys = documented_keys();
        let all = "slotway run --seed a --listen 127.0.0.1:1 --admin off --workers 1 \
                   --log-level warn --log-format json";
        let cli = Cli::try_parse_from(all.split_whitespace()).unwrap();
        let Command::Run(flags) = cli.command else { panic!() };
        let given = [flags.seeds.given(), flags.server.given(), flags.config.given()].concat();
        assert_eq!(given.len(), 6);
        for flag in given {
            let (section, key) = flag.option.split_once('.').unwrap_or(("", flag.option));
            assert!(keys.iter().any(|k| k.section == section && k.key == key), "{}", flag.flag);
        }
    }

    #[test]
    fn variables_named_in_help_exist() {
        let keys = documented_keys();
        for name in ["run", "local", "topology", "check-config", "healthcheck"] {
            let mut cli = Cli::command();
            let help = cli.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            for word in help.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
                let known = keys.iter().any(|k| k.environment == word)
                    || ["SLOTWAY_SEED", "SLOTWAY_CONFIG"].contains(&word);
                assert!(!word.starts_with("SLOTWAY_") || known, "{name}: {word}");
            }
        }
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let config = run(
            "slotway run --seed a:1 --seed b:2,c --workers 3 --listen 127.0.0.1:0 --listen [::1]:5",
            &[
                ("SLOTWAY_SEED", "z:9"),
                ("SLOTWAY_WORKERS", "8"),
                ("SLOTWAY_LISTENER_BIND", "0.0.0.0:1"),
                ("SLOTWAY_ADMIN_BIND", "off"),
            ],
        );
        let seeds: Vec<String> = config.topology.seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["a:1", "b:2", "c:6379"]);
        assert_eq!(config.workers, 3);
        let binds: Vec<String> = config.listeners.iter().map(|l| l.bind.to_string()).collect();
        assert_eq!(binds, ["127.0.0.1:0", "[::1]:5"]);
        assert_eq!(config.admin.bind, None);
    }

    #[test]
    fn problems_of_flags_and_variables_come_together() {
        let error = parsed(
            "slotway run --workers many --listen here --log-level loud",
            &[("SLOTWAY_LIMITS_CLIENTS_MAX", "0"), ("SLOTWAY_CLIENTS_MAX", "1")],
        );
        let expected = "\
SLOTWAY_CLIENTS_MAX: unknown variable: did you mean SLOTWAY_LIMITS_CLIENTS_MAX?
SLOTWAY_LIMITS_CLIENTS_MAX: \"0\": must be at least 1
--listen: \"here\": \"here\" is not an address; write ip:port, for example \"127.0.0.1:7010\"
--workers: \"many\": not a whole number, at least 0 is needed
--log-level: \"loud\": write \"error\", \"warn\", \"info\" or \"debug\"
no seed: name at least one node of the cluster with --seed HOST:PORT, SLOTWAY_SEED or seeds in [topology]";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_admin_port_is_asked_where_it_can_be_reached() {
        for (line, variable, admin) in [
            ("slotway healthcheck", None, "127.0.0.1:7020"),
            ("slotway healthcheck", Some("0.0.0.0:9"), "127.0.0.1:9"),
            ("slotway healthcheck", Some("[::]:9"), "[::1]:9"),
            ("slotway healthcheck --admin 10.0.0.1:8", Some("0.0.0.0:9"), "10.0.0.1:8"),
        ] {
            let environment: Vec<_> =
                variable.map(|value| ("SLOTWAY_ADMIN_BIND", value)).into_iter().collect();
            match parsed(line, &environment).unwrap() {
                Invocation::Healthcheck { admin: found, ready: false } => {
                    assert_eq!(found.to_string(), admin);
                }
                other => panic!("{other:?}"),
            }
        }
        let error = parsed("slotway healthcheck --admin off", &[]).unwrap_err();
        assert!(error.to_string().starts_with("the admin port is off"));
    }

    #[test]
    fn a_local_cluster_is_even_and_its_own() {
        for (line, replicas) in
            [("slotway local", 1), ("slotway local --nodes 8", 1), ("slotway local --nodes 3", 0)]
        {
            match parsed(line, &[]).unwrap() {
                Invocation::Local(options, _) => assert_eq!(options.replicas_per_master, replicas),
                other => panic!("{other:?}"),
            }
        }
        for nodes in [0, 2, 7, 62] {
            let error = parsed(&format!("slotway local --nodes {nodes}"), &[]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("--nodes: {nodes} nodes")));
        }
        let error = parsed("slotway local", &[("SLOTWAY_SEED", "a:1")]).unwrap_err();
        assert!(error.to_string().starts_with("SLOTWAY_SEED: a local cluster is started"));
    }
}
