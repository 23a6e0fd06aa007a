//! Slotway: one TCP port in front of a Redis Cluster. Any plain Redis client connects and sees a
//! single, very large Redis.
//!
//! # The map of the house
//!
//! Layers; a module uses only modules of lower layers (`tests/tidy.rs` checks it).
//!
//! ```text
//! 7  main, cli          the command line           lib.rs       run(), keep(): all put together
//!    topology_report    `slotway topology`         docs         `slotway docs`
//!    healthcheck        `slotway healthcheck`      top          `slotway top`
//! 6  server             accept, place, drain       worker       one core: its clients, its connections
//!    admin              the page, metrics, health  keeper       forms and heals    local   one on this machine
//!    admin_port         asking another's admin port
//! 5  session            one client: read -> classify -> dispatch -> write; what it can be in
//!    builtin            the commands that the gateway answers itself, a file each
//!    clients            who is connected, and to which worker each belongs
//! 4  router             request + map -> plan; a plan carried out; the one redirect and retry loop
//! 3  topology           slots -> shards -> nodes, and how that is kept true
//! 2  backend            connection, send queue, pipeline (shared), lease (for one user): the sockets towards nodes
//! 1  command            THE TABLE, where keys are  reply        order, merging, the way out to a client
//!    database           the tags of databases
//! 0  resp               scanners and frames        slot, clock, config, glob, metrics, version
//!    net                streams and their halves, whatever they go over
//!    memory             one budget for all that can grow
//! ```
//!
//! # The life of a request
//!
//! [`session`] reads bytes into the worker's scratch buffer; [`resp::RequestScanner`] finds the
//! request in it; [`command::CommandTable`] says what it is; [`router::plan()`] decides where it goes;
//! [`router::Router`] appends it to the node's [`backend::Pipeline`], which writes once for all
//! sessions of this turn. The reply is found by [`resp::ReplyScanner`], goes to its
//! [`reply::ReplyHandle`], waits in the client's [`reply::ReplyQueue`] for its turn, and is written by
//! the [`reply::Flusher`] when the turn ends. What comes back as a redirect or with a lost
//! connection goes through [`router::Recovery`].

pub mod admin;
pub mod admin_port;
pub mod backend;
pub mod builtin;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod command;
pub mod config;
pub mod database;
pub mod docs;
pub mod glob;
pub mod healthcheck;
pub mod keeper;
pub mod local;
pub mod memory;
pub mod metrics;
pub mod net;
pub mod reply;
pub mod resp;
pub mod router;
pub mod server;
pub mod session;
pub mod slot;
pub mod top;
pub mod topology;
pub mod topology_report;
pub mod version;
pub mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use backend::Identity;
use clients::{Assigner, Clients};
use command::guarded::Allowed;
use config::{Config, ListenerConfig};
use database::Databases;
use keeper::{Keeper, KeeperError};
use memory::Budget;
use metrics::WorkerStats;
use net::Listener;
use router::{ClusterHandle, HoldBudget};
use server::{Gateway, Stop};
use topology::{DatabaseWatch, NodeInfoWatch, Refresher};
use worker::Parts;

/// File descriptors that are not clients: listeners, node connections, logs.
const DESCRIPTORS_KEPT: u64 = 256;

/// Why the gateway could not start.
#[derive(Debug)]
pub enum RunError {
    /// An address cannot be listened on; the flag that gives another one.
    Listen(SocketAddr, &'static str, io::Error),
    /// A worker thread cannot be started.
    Worker(io::Error),
    /// What is to be allowed cannot be.
    Allow(String),
    /// The cluster is not kept.
    Keeper(KeeperError),
    /// It was told to stop before the cluster was whole.
    Stopped(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, flag, error) => write!(
                f,
                "cannot listen on {address}: {error}; choose another address with {flag} ADDR:PORT"
            ),
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            Self::Allow(why) => write!(f, "routing.allow_commands: {why}"),
            Self::Keeper(error) => write!(f, "{error}"),
            Self::Stopped(why) => write!(f, "stopped before the cluster was whole: {why}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, _, error) | Self::Worker(error) => Some(error),
            Self::Keeper(error) => Some(error),
            Self::Allow(_) | Self::Stopped(_) => None,
        }
    }
}

/// Runs the gateway on the current runtime, which becomes its control thread's, until told to
/// stop. `started` is called with the gateway once it listens.
pub async fn run(
    config: Config,
    mut stop: watch::Receiver<Stop>,
    started: impl FnOnce(&Arc<Gateway>),
) -> Result<(), RunError> {
    let mut config = config;
    config.limits.clients_max = clients_that_fit(config.limits.clients_max);
    // All of them, before a client is let in and anything is said of it.
    let sockets = Sockets::bind(&config)?;
    let gateway = build(config)?;
    let config = &gateway.config;
    let mut tasks = tokio::task::JoinSet::new();
    let mut accepting = tokio::task::JoinSet::new();
    for (index, (listener, socket)) in config.listeners.iter().zip(sockets.listeners).enumerate() {
        accepting.spawn(Arc::clone(&gateway).accept(index, socket));
        tracing::info!(address = %listener.bind, "accepting clients");
        warn_if_protected(listener);
    }
    if let Some((address, socket)) = sockets.admin {
        tasks.spawn(admin::serve(Arc::clone(&gateway), socket));
        let watch = NodeInfoWatch::new(Identity::of(&config.topology), config.timeouts.connect);
        tasks.spawn(watch.run(Arc::clone(&gateway.cluster.topology)));
        tracing::info!(%address, "metrics and health are served");
    }
    tasks.spawn(Arc::clone(&gateway).end_overdue());
    tasks.spawn(server::memory::give_back());
    tasks.spawn(worker::scaling::keep(
        gateway.workers.iter().map(|worker| Arc::clone(&worker.stats)).collect(),
        Arc::clone(&gateway.assigner),
        config.worker_scale_up_percent,
    ));
    let refresher = Refresher::new(
        Arc::clone(&gateway.cluster.topology),
        config.topology.seeds.clone(),
        Identity::of(&config.topology),
        config.topology.refresh_interval,
        config.timeouts.connect,
    );
    tasks.spawn(refresher.run());
    let watch = DatabaseWatch::new(
        Arc::new(Databases::of(&config.routing)),
        Identity::of(&config.topology),
        config.timeouts.connect,
    );
    tasks.spawn(watch.run(Arc::clone(&gateway.cluster.topology)));
    started(&gateway);
    // An error means that nobody can ask for a stop any more, which is one.
    let _ = stop.wait_for(|stop| *stop != Stop::No).await;
    gateway.drain(&mut stop, || accepting.abort_all()).await;
    Ok(())
}

/// The ports of a gateway.
struct Sockets {
    /// In the order of the listeners.
    listeners: Vec<Listener>,
    /// Of metrics and health, with its address.
    admin: Option<(SocketAddr, Listener)>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Sockets, RunError> {
        let listeners = config.listeners.iter().map(|listener| bind(listener.bind, "--listen"));
        let listeners = listeners.collect::<Result<_, _>>()?;
        let admin = config.admin.bind.map(|address| Ok((address, bind(address, "--admin")?)));
        Ok(Sockets { listeners, admin: admin.transpose()? })
    }
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<Listener, RunError> {
    Listener::bind(address).map_err(|error| RunError::Listen(address, flag, error))
}

fn warn_if_protected(listener: &ListenerConfig) {
    if listener.is_protected() && !listener.bind.ip().is_loopback() {
        tracing::warn!(
            address = %listener.bind,
            "protected mode: there is no client password, so only clients of this machine are \
             served; set one with --client-password-file or password_file in [[listener]], or \
             say protected_mode = false to serve everybody who reaches this port"
        );
    }
}

/// Keeps a cluster on the current runtime until told to stop or, with `once`, until it is whole.
pub async fn keep(config: &Config, mut stop: watch::Receiver<Stop>) -> Result<(), RunError> {
    let options = &config.keeper;
    let identity = Identity::of(&config.topology);
    let mut keeper = Keeper::new(options, identity).map_err(RunError::Keeper)?;
    let status = keeper.status();
    // Ends with this function.
    let mut tasks = tokio::task::JoinSet::new();
    // Who asks for `once` waits for the exit code, and may have a gateway on that port already.
    if let Some(address) = config.admin.bind.filter(|_| !options.once) {
        let socket = bind(address, "--admin")?;
        tasks.spawn(admin::serve_keeper(Arc::clone(&status), socket));
        tracing::info!(%address, "metrics and health are served");
    }
    let nodes = options.nodes.len();
    tracing::info!(nodes, replicas = options.replicas, version = version::VERSION, "keeper starts");
    let deadline = options.wait.map(|wait| std::time::Instant::now() + wait);
    let work = async {
        if options.once {
            return keeper.until_whole(deadline).await.map(|_| ()).map_err(RunError::Keeper);
        }
        keeper.keep().await;
        Ok(())
    };
    tokio::select! {
        ended = work => return ended,
        // An error means that nobody can ask for a stop any more, which is one.
        _ = stop.wait_for(|stop| *stop != Stop::No) => {}
    }
    // In the midst of a step, maybe: the next keeper finds it done or not done, and goes on.
    tracing::info!("keeper ends");
    match status.not_ready().filter(|_| options.once) {
        Some(why) => Err(RunError::Stopped(why)),
        None => Ok(()),
    }
}

/// What a keeper would do, in words.
pub async fn preview_keep(config: &Config) -> Result<String, RunError> {
    let identity = Identity::of(&config.topology);
    let mut keeper = Keeper::new(&config.keeper, identity).map_err(RunError::Keeper)?;
    keeper.preview().await.map_err(RunError::Keeper)
}

fn build(config: Config) -> Result<Arc<Gateway>, RunError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = if config.workers == 0 { cores } else { config.workers };
    let allowed = Allowed::of(&config.routing.allow_commands).map_err(RunError::Allow)?;
    let config = Arc::new(config);
    let cluster = ClusterHandle::new(&config.limits);
    // Rows that a live server adds to the table later are counted as "other".
    let rows = cluster.topology.table().load().len();
    // One is enough until it is full.
    let in_use = if config.worker_scale_up_percent == 0 { count } else { 1 };
    let stats = || Arc::new(WorkerStats::new(rows));
    let parts = Parts {
        config: Arc::clone(&config),
        clients: Arc::new(Clients::new(config.limits.clients_max, config.timeouts.auth_delay)),
        cluster,
        stats: (0..count).map(|_| stats()).collect(),
        assigner: Arc::new(Assigner::new(count, in_use)),
        held: Arc::new(HoldBudget::new(config.limits.held_bytes_max)),
        budget: Arc::new(Budget::new(memory_max(&config))),
        allowed: Arc::new(allowed),
        databases: Arc::new(Databases::of(&config.routing)),
        monitors: Arc::default(),
    };
    let workers = worker::start_all(&parts).map_err(RunError::Worker)?;
    tracing::info!(workers = count, version = version::VERSION, "slotway starts");
    Ok(Arc::new(Gateway::new(parts, workers)))
}

/// What all buffers may use.
fn memory_max(config: &Config) -> usize {
    match config.limits.memory_max {
        0 => memory::default_budget(),
        bytes => bytes,
    }
}

/// Raises the limit on open files as far as allowed, and lowers the number of clients to what it
/// lets in, as Redis does.
fn clients_that_fit(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let room = files.map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(DESCRIPTORS_KEPT).max(1)).unwrap_or(usize::MAX)
    });
    if room < wanted {
        tracing::warn!(wanted, room, "fewer open files are allowed than clients are configured");
    }
    wanted.min(room)
}
