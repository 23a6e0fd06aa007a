//! `slotway local`: a cluster on this machine and a gateway in front of it, for trying things out.
//!
//! Owns the story: start the nodes, form the cluster, serve, stop, leave nothing. Must not know how
//! the gateway serves; that is handed in. `cluster.rs` has the processes, `node.rs` one of them.

mod cluster;
mod node;
mod ports;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, HostPort};
use crate::keeper::KeeperError;
use crate::net::Stream;
pub use cluster::{Exit, LocalCluster};

/// The cluster that is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// Where its data stays; a temporary folder otherwise.
    pub dir: Option<PathBuf>,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many of them follow each master.
    pub replicas_per_master: usize,
}

/// Nobody sends traffic elsewhere when this gateway drains, so its clients are not waited for long.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// The gateway ends within its own deadline; this is for one that does not.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether the gateway answers, and the longest wait for an answer.
const POLL: Duration = Duration::from_millis(50);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no local cluster any more, or never was.
#[derive(Debug)]
pub enum LocalError {
    /// There is no `redis-server` on this machine.
    NoServer,
    /// It is there and cannot be run; what it said.
    BrokenServer(PathBuf, String),
    /// A folder cannot be made or read.
    Folder(PathBuf, io::Error),
    /// No ports are free in the range that is used.
    NoPorts,
    /// A port that the cluster in this folder had before is taken.
    PortTaken(u16, PathBuf),
    /// The folder holds another number of nodes.
    OtherCount {
        /// The folder.
        path: PathBuf,
        /// How many nodes it has.
        found: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// The gateway cannot have an address; the flag that gives another one.
    AddressTaken(SocketAddr, &'static str, io::Error),
    /// A node exited before there was a cluster.
    NodeExited(Exit),
    /// The nodes run, and do not become a cluster.
    Forming(KeeperError),
    /// Signals cannot be listened to.
    Signals(io::Error),
    /// The gateway failed; its own words.
    Gateway(anyhow::Error),
}

/// Starts a cluster, serves in front of it until Ctrl-C, SIGTERM or SIGHUP, and stops everything.
/// `serve` runs the gateway until its token is cancelled; `announce` is told what to type next once
/// the gateway answers.
pub async fn run(
    options: LocalOptions,
    mut config: Config,
    serve: impl AsyncFnOnce(Config, CancellationToken) -> anyhow::Result<()>,
    announce: impl FnOnce(&str),
) -> Result<(), LocalError> {
    config.timeouts.drain = config.timeouts.drain.min(DRAIN_MAX);
    config.timeouts.drain_delay = Duration::ZERO;
    // Before anything is started: this is the most usual mistake.
    check_addresses(&config)?;
    let mut stop = pin!(stop_signal()?);
    let mut cluster = tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        started = LocalCluster::start(&options) => started?,
    };
    config.topology.seeds = cluster.addresses().into_iter().map(seed).collect();
    let guide = guide(&config, &cluster);
    let outcome = {
        let shutdown = CancellationToken::new();
        let mut gateway = pin!(serve(config.clone(), shutdown.clone()));
        let early = tokio::select! {
            ended = &mut gateway => Some(ended),
            () = &mut stop => None,
            () = announce_and_watch(&config, &mut cluster, || announce(&guide)) => None,
        };
        shutdown.cancel();
        match early {
            Some(ended) => ended,
            None => timeout(GATEWAY_TIMEOUT, gateway).await.unwrap_or(Ok(())),
        }
    };
    info!("stopping the nodes");
    cluster.stop().await;
    outcome.map_err(LocalError::Gateway)
}

/// Tells what to type once the gateway answers, then of every node that exits: that may be wanted,
/// to see a failover, so the others go on. Does not return.
async fn announce_and_watch(config: &Config, cluster: &mut LocalCluster, announce: impl FnOnce()) {
    until_ready(config).await;
    announce();
    loop {
        let Exit { address, status, last_words } = cluster.next_exit().await;
        warn!("node {address} has exited ({status}); the end of its log:\n{last_words}");
    }
}

/// Waits until the gateway answers a client. Bounded by the caller, who watches the gateway too.
async fn until_ready(config: &Config) {
    let Some(listener) = config.listeners.first() else { return };
    // Any answer will do: with a password it is an error.
    while !matches!(timeout(ANSWER_TIMEOUT, answers(listener.bind)).await, Ok(Ok(true))) {
        sleep(POLL).await;
    }
}

async fn answers(address: SocketAddr) -> io::Result<bool> {
    let mut stream = Stream::connect(reachable(address)).await?;
    stream.write_all(b"PING\r\n").await?;
    Ok(stream.read(&mut [0; 64]).await? > 0)
}

/// Where an address that is listened to is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn seed(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}

fn check_addresses(config: &Config) -> Result<(), LocalError> {
    let listeners = config.listeners.iter().map(|listener| (listener.bind, "--listen"));
    for (address, flag) in listeners.chain(config.admin.bind.map(|address| (address, "--admin"))) {
        TcpListener::bind(address)
            .map_err(|error| LocalError::AddressTaken(address, flag, error))?;
    }
    Ok(())
}

/// Listens from the moment it is called, not only once it is awaited.
fn stop_signal() -> Result<impl Future<Output = ()>, LocalError> {
    let listen = |kind| signal(kind).map_err(LocalError::Signals);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// What to type next.
fn guide(config: &Config, cluster: &LocalCluster) -> String {
    let nodes = cluster.addresses();
    let mut page = String::from("\nSlotway is ready");
    if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
        page += &format!(
            ": one Redis, and behind it a cluster of {} nodes, {first} to {}",
            nodes.len(),
            last.port()
        );
    }
    page += ".\n\n";
    if let Some(listener) = config.listeners.first() {
        let address = reachable(listener.bind);
        let host = match address.ip().to_string().as_str() {
            "127.0.0.1" => String::new(),
            ip => format!(" -h {ip}"),
        };
        let password = if listener.password.is_some() { " --askpass" } else { "" };
        let redis_cli = format!("redis-cli{host} -p {}{password}", address.port());
        page += &format!("  {redis_cli} set greeting hello\n  {redis_cli} get greeting\n");
    }
    if let Some(admin) = config.admin.bind {
        page += &format!("  curl {}/metrics\n", reachable(admin));
    }
    if let Some(listener) = config.listeners.first() {
        let target = reachable(listener.bind);
        page += &format!("  {} sweep --target {target} --quick\n", bench_program());
    }
    page += &match cluster.kept_folder() {
        Some(folder) => format!("\nCtrl-C stops everything; data stays in {}.\n", folder.display()),
        None => "\nCtrl-C stops everything and removes the data.\n".to_owned(),
    };
    page
}

/// How the bench client is called: it is built beside this program, and seldom in `PATH` there.
fn bench_program() -> String {
    const NAME: &str = "slotway-bench";
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| own.parent().map(|folder| folder.join(NAME)));
    match beside.filter(|program| program.is_file()) {
        Some(program) => {
            // Shorter, and the same, in the folder the person is in.
            let here = std::env::current_dir().unwrap_or_default();
            program.strip_prefix(here).unwrap_or(&program).display().to_string()
        }
        None => NAME.to_owned(),
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalError::NoServer => f.write_str(
                "there is no redis-server on this machine (looked along PATH). Install it:\n  \
                 Debian, Ubuntu:  sudo apt-get install redis-server\n  \
                 Fedora, RHEL:    sudo dnf install redis\n  \
                 Alpine:          sudo apk add redis\n  \
                 macOS:           brew install redis\n\
                 or, in the source folder of Slotway, `make up` does it for you.",
            ),
            LocalError::BrokenServer(program, said) => {
                write!(f, "{} cannot be run: {said}", program.display())
            }
            LocalError::Folder(path, error) => write!(f, "folder {}: {error}", path.display()),
            LocalError::NoPorts => f.write_str("no free ports on 127.0.0.1 for the nodes"),
            LocalError::PortTaken(port, path) => write!(
                f,
                "port {port} (or {port} + 10000) of the cluster in {} is taken; is it running \
                 already?",
                path.display()
            ),
            LocalError::OtherCount { path, found, wanted } => write!(
                f,
                "{} holds a cluster of {found} nodes, not {wanted}; write --nodes {found} or \
                 choose another folder",
                path.display()
            ),
            LocalError::AddressTaken(address, flag, error) => write!(
                f,
                "the gateway cannot listen on {address}: {error}; choose another address with \
                 {flag} ADDR:PORT (make up FLAGS=\"{flag} ADDR:PORT\")"
            ),
            LocalError::NodeExited(Exit { address, status, last_words }) => {
                write!(f, "node {address} has exited ({status}); the end of its log:\n{last_words}")
            }
            LocalError::Forming(error) => error.fmt(f),
            LocalError::Signals(error) => write!(f, "signals: {error}"),
            LocalError::Gateway(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LocalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::AddressTaken(_, _, error) | Self::Signals(error) => {
                Some(error)
            }
            Self::Forming(error) => Some(error),
            Self::Gateway(error) => error.source(),
            _ => None,
        }
    }
}
