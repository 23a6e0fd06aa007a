//! The command line: what a person types, turned into what the program is to do.
//!
//! Owns what each subcommand needs and what is refused. `flags.rs` has the words a person types.
//! Does not print, does not exit, does nothing.

mod flags;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::command::guarded::Allowed;
use crate::config::{Config, ConfigError, Given, Loaded, Purpose, Secret, load};
use crate::local::LocalOptions;
use flags::{
    CheckFlags, Cli, Command, DocsFlags, HealthFlags, KeeperFlags, LocalFlags, RunFlags, TopFlags,
    TopologyFlags, one,
};

/// What the program is to do, everything checked.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Serve in front of the cluster.
    Run(Config),
    /// Start a cluster on this machine and serve in front of it.
    Local(LocalOptions, Config),
    /// Form a cluster and keep it whole.
    Keeper(Config),
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
    /// Show what a running gateway does.
    Top {
        /// Its admin port.
        admin: SocketAddr,
        /// Of the page.
        password: Option<Secret>,
        /// Between two looks; `None` to look once.
        interval: Option<Duration>,
    },
    /// Print the generated parts of the documentation, or write them into the pages of a folder.
    Docs {
        /// The folder.
        write: Option<PathBuf>,
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

/// Reads a command line and the environment; the first argument is the program's name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(OsString, OsString)>,
) -> Result<Invocation, CliError> {
    let cli = Cli::try_parse_from(arguments).map_err(CliError::Usage)?;
    let read = |file, flags, purpose| {
        let loaded = load(&Given { file, environment, flags }, purpose)?;
        // Which commands there are the configuration does not know.
        match Allowed::of(&loaded.config.routing.allow_commands) {
            Ok(_) => Ok(loaded),
            Err(why) => Err(loaded.objection("routing.allow_commands", &why)),
        }
    };
    let read = |file, flags, purpose| read(file, flags, purpose).map_err(CliError::Config);
    match cli.command {
        Command::Run(RunFlags { seeds, login, server, config }) => {
            let flags = [seeds.given(), login.given(), server.given(), config.given()].concat();
            Ok(Invocation::Run(read(config.config, flags, Purpose::Cluster)?.config))
        }
        Command::Local(local) => {
            let verbosity = local.verbosity();
            let LocalFlags { dir, nodes, server, config, .. } = local;
            let flags = [server.given(), config.given(), verbosity].concat();
            let options = local_options(dir, nodes)?;
            let loaded = read(config.config, flags, Purpose::OwnNodes)?;
            Ok(Invocation::Local(options, loaded.config))
        }
        Command::Keeper(KeeperFlags { nodes, login, keeping, admin, config }) => {
            let admin = one("--admin", "admin.bind", admin);
            let flags =
                [nodes.given(), login.given(), keeping.given(), admin, config.given()].concat();
            Ok(Invocation::Keeper(read(config.config, flags, Purpose::Keeper)?.config))
        }
        Command::Topology(TopologyFlags { seeds, login, json, config }) => {
            let flags = [seeds.given(), login.given(), config.given()].concat();
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
        Command::Top(TopFlags { admin, admin_password_file, interval, once, config }) => {
            let password = one("--admin-password-file", "admin.password_file", admin_password_file);
            let flags = [one("--admin", "admin.bind", admin), password].concat();
            let config = read(config, flags, Purpose::Inspect)?.config;
            let interval = (!once).then(|| Duration::from_secs(interval));
            let admin = reachable(&config)?;
            Ok(Invocation::Top { admin, password: config.admin.password, interval })
        }
        Command::Docs(DocsFlags { write }) => Ok(Invocation::Docs { write }),
    }
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

impl std::error::Error for CliError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Nodes(_) | Self::Unaskable(_) => None,
        }
    }
}
