//! What the gateway is told: plain values, with a default for each.
//!
//! Owns the meaning and the default of every option. Must not know who uses a value: each part of
//! the gateway is handed its section, and there is no global.
//! `keys.rs` is the list of options, `field.rs` their kinds, `value.rs` their words; `file.rs` and
//! `environment.rs` read, `load.rs` puts file, environment and flags together in a draft
//! (`draft.rs`) for a purpose (`purpose.rs`), `renamed.rs` knows the names of before, `check.rs`
//! refuses combinations, `problem.rs` says what is wrong, `report.rs` shows the result, `secret.rs`
//! keeps passwords from view.

mod check;
mod draft;
mod environment;
mod field;
mod file;
mod keys;
mod load;
mod problem;
mod purpose;
mod renamed;
mod report;
mod secret;
#[cfg(test)]
mod tests;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use keys::{DocumentedKey, documented_keys};
pub use load::{FlagValue, Given, Loaded, load};
pub use problem::{ConfigError, Place, Problem};
pub use purpose::Purpose;
pub use secret::Secret;
pub use value::{DEFAULT_NODE_PORT, HostPort};

/// Where the password of the nodes is set, in words for people.
pub const NODE_PASSWORD_SETTINGS: &str = "--password-file, or password or password_file in \
    [topology] (SLOTWAY_TOPOLOGY_PASSWORD, SLOTWAY_TOPOLOGY_PASSWORD_FILE), and where the nodes have \
    users --username (SLOTWAY_TOPOLOGY_USERNAME)";

/// Most databases: the slots are divided among as many.
pub const DATABASES_MAX: usize = 1024;
/// How the tags of databases begin, unless the configuration says otherwise.
pub const DATABASE_PREFIX: &str = "db";
/// Longest prefix of the tags.
pub const DATABASE_PREFIX_LEN_MAX: usize = 32;

/// Fewer masters cannot agree that one of them is gone.
pub const MASTERS_MIN: usize = 3;

/// The whole configuration. `Config::default()` is a gateway without seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from, if there is one.
    pub file: Option<PathBuf>,
    /// Options that were given by their old names, each with the name to write instead.
    pub warnings: Vec<Problem>,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// Percentage of its core that a worker uses before another one takes part; with 0 all do.
    pub worker_scale_up_percent: usize,
    /// Whether a worker that wakes lets the program go on that has the core (`SCHED_BATCH`).
    pub sched_batch: bool,
    /// Where the cluster is.
    pub topology: TopologyConfig,
    /// Where clients connect; never empty.
    pub listeners: Vec<ListenerConfig>,
    /// The operators' port.
    pub admin: AdminConfig,
    /// What nobody may exceed.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// What is done with commands that do not fit one slot.
    pub routing: Routing,
    /// What `slotway keeper` keeps.
    pub keeper: KeeperConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// `[topology]`: where the cluster is and how to log in to its nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopologyConfig {
    /// Nodes that are asked first; one is enough.
    pub seeds: Vec<HostPort>,
    /// The ACL user of the nodes; without it, `AUTH password`.
    pub username: Option<String>,
    /// The password of the nodes.
    pub password: Option<Secret>,
    /// How often the map of slots is read again when nothing happens.
    pub refresh_interval: Duration,
}

/// `[[listener]]`: one port for clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// The address and port clients connect to.
    pub bind: SocketAddr,
    /// What clients must AUTH with.
    pub password: Option<Secret>,
    /// Whether, as long as there is no password, only clients of this machine are served.
    pub protected_mode: bool,
    /// The database that its clients are in at first.
    pub database: usize,
}

impl ListenerConfig {
    /// Whether only clients of this machine are served.
    pub fn is_protected(&self) -> bool {
        self.protected_mode && self.password.is_none()
    }

    /// Whether a client from there is turned away, as Redis's protected mode does.
    pub fn denies(&self, peer: IpAddr) -> bool {
        self.is_protected() && !peer.to_canonical().is_loopback()
    }
}

/// `[admin]`: metrics and health.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    /// The address and port of the HTTP server; without it there is none.
    pub bind: Option<SocketAddr>,
    /// What people must give to look at the page; without it everybody may.
    pub password: Option<Secret>,
}

/// `[limits]`: every bound, in bytes or in pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Clients connected at once.
    pub clients_max: usize,
    /// Bytes of one request, like `client-query-buffer-limit`.
    pub request_bytes_max: usize,
    /// Bytes of one argument, like `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// Arguments of one request.
    pub arguments_max: usize,
    /// Bytes of one inline request.
    pub inline_bytes_max: usize,
    /// Bytes of replies waiting for one client.
    pub client_output_bytes_max: usize,
    /// Bytes waiting for one client that is sent messages, which end it at once.
    pub pubsub_output_bytes_max: usize,
    /// Bytes waiting for such a client, which end it after `timeouts.pubsub_output_soft`.
    pub pubsub_output_soft_bytes_max: usize,
    /// Channels and patterns that one client may subscribe to.
    pub subscriptions_max: usize,
    /// Clients that may track keys (CLIENT TRACKING).
    pub tracking_clients_max: usize,
    /// Requests of one client that are not answered yet.
    pub client_inflight_max: usize,
    /// Bytes waiting for one node on one worker before its clients are paused.
    pub node_queue_bytes_max: usize,
    /// Bytes that the system may buffer on the way to a node, per connection; 0 lets it decide.
    pub node_send_buffer_bytes: usize,
    /// Bytes of requests held for slots without a master, in the whole gateway.
    pub held_bytes_max: usize,
    /// Bytes of all buffers that can grow, in the whole gateway; 0 is 60 % of the memory that the
    /// container or the machine has.
    pub memory_max: usize,
    /// Bytes of replies that one node may owe to one worker, as far as can be told before.
    pub node_owed_bytes_max: usize,
    /// Bytes of one client's transaction between MULTI and EXEC.
    pub transaction_bytes_max: usize,
    /// Bytes of the scripts that are remembered.
    pub script_cache_bytes_max: usize,
    /// Connections to one node that clients with WATCH have for themselves.
    pub watching_clients_max: usize,
    /// Connections to one node that blocked clients have for themselves.
    pub blocked_clients_max: usize,
    /// Redirects that one request follows.
    pub redirects_max: u32,
}

/// `[timeouts]`: every wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// A client that says nothing for so long is disconnected; `None` is never.
    pub idle: Option<Duration>,
    /// For AUTH, from the connection on; `None` is for ever.
    pub auth: Option<Duration>,
    /// Longest that an AUTH waits because others of the same address have failed.
    pub auth_delay: Duration,
    /// For a connection to a node.
    pub connect: Duration,
    /// For a master, when a slot has none.
    pub failover_wait: Duration,
    /// For the reply of a node.
    pub response_timeout: Duration,
    /// For the rest of the replies to requests that came together, before the first are written.
    pub reply_coalesce_delay: Duration,
    /// For a client that is sent messages, to read what is above its soft limit.
    pub pubsub_output_soft: Duration,
    /// Between reporting "not ready" and closing the listeners, when shutting down.
    pub drain_delay: Duration,
    /// For everything, when shutting down.
    pub drain: Duration,
}

/// `[routing]`: choices that change what a client sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// What is done with a command whose keys are in several slots.
    pub cross_slot: CrossSlot,
    /// What is not denied, though it acts on nodes behind the gateway's back: names of commands.
    pub allow_commands: Vec<String>,
    /// What is done with a script or function that names no key.
    pub keyless_scripts: KeylessScripts,
    /// How many databases clients can SELECT, 0 among them.
    pub databases: usize,
    /// How the tags of databases begin at the nodes; `None` is [`DATABASE_PREFIX`].
    pub database_prefix: Option<String>,
}

/// What is done with a script or function that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeylessScripts {
    /// It runs at one node, and sees that node's part of the keyspace.
    OneNode,
    /// It is refused.
    Refuse,
}

/// What is done with a command whose keys are in several slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSlot {
    /// It is split where the result is exactly that of one Redis, and refused otherwise.
    Split,
    /// It is always refused with `-CROSSSLOT`, as a cluster does.
    Refuse,
}

/// `[keeper]`: which nodes are to be a cluster, and what `slotway keeper` may do for it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeeperConfig {
    /// All nodes of the cluster, each under a name of its own.
    pub nodes: Vec<HostPort>,
    /// How many replicas each master gets when the cluster is formed.
    pub replicas: usize,
    /// Between two looks at the nodes when nothing happens.
    pub interval: Duration,
    /// For all that one node is asked in one look, and for its answer to one command.
    pub timeout: Duration,
    /// How long a node must have failed to be forgotten by the others; `None` is never.
    pub forget_after: Option<Duration>,
    /// How long the majority of masters must be gone for a replica to be made master without a
    /// vote; `None` is never.
    pub takeover_after: Option<Duration>,
    /// End as soon as the cluster is whole.
    pub once: bool,
    /// How long `once` waits; `None` is for ever.
    pub wait: Option<Duration>,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// The least severe events that are logged.
    pub level: Level,
    /// The form of a line.
    pub format: LogFormat,
}

/// How severe an event must be to be logged. Release builds have nothing below `Debug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is odd, and the gateway carries on.
    Warn,
    /// What an operator wants to read afterwards.
    Info,
    /// What a developer wants to read afterwards.
    Debug,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line, for machines.
    Json,
}

// === defaults ===

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;
const GB: usize = 1 << 30;

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Config {
    fn default() -> Self {
        Config {
            file: None,
            warnings: Vec::new(),
            workers: 0,
            worker_scale_up_percent: 80,
            sched_batch: true,
            topology: TopologyConfig::default(),
            listeners: vec![ListenerConfig::default()],
            admin: AdminConfig::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            routing: Routing::default(),
            keeper: KeeperConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for TopologyConfig {
    fn default() -> Self {
        TopologyConfig {
            seeds: Vec::new(),
            username: None,
            password: None,
            refresh_interval: Duration::from_secs(10),
        }
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        ListenerConfig { bind: local(7010), password: None, protected_mode: true, database: 0 }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig { bind: Some(local(7020)), password: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            clients_max: 10_000,
            request_bytes_max: GB,
            bulk_bytes_max: 512 * MB,
            // As in Redis 7: the bytes of a request are what is limited.
            arguments_max: i32::MAX as usize,
            inline_bytes_max: 64 * KB,
            client_output_bytes_max: GB,
            pubsub_output_bytes_max: 32 * MB,
            pubsub_output_soft_bytes_max: 8 * MB,
            subscriptions_max: 200_000,
            tracking_clients_max: 1000,
            client_inflight_max: 1024,
            node_queue_bytes_max: 64 * MB,
            node_send_buffer_bytes: 512 * KB,
            held_bytes_max: 256 * MB,
            memory_max: 0,
            node_owed_bytes_max: 8 * MB,
            transaction_bytes_max: 64 * MB,
            script_cache_bytes_max: 16 * MB,
            watching_clients_max: 1000,
            blocked_clients_max: 6000,
            redirects_max: 16,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            idle: None,
            auth: Some(Duration::from_secs(10)),
            auth_delay: Duration::from_secs(1),
            connect: Duration::from_secs(1),
            failover_wait: Duration::from_secs(10),
            response_timeout: Duration::from_secs(60),
            reply_coalesce_delay: Duration::from_millis(2),
            pubsub_output_soft: Duration::from_secs(60),
            drain_delay: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Routing {
    fn default() -> Self {
        Routing {
            cross_slot: CrossSlot::Split,
            allow_commands: Vec::new(),
            keyless_scripts: KeylessScripts::OneNode,
            databases: 16,
            database_prefix: None,
        }
    }
}

impl Default for KeeperConfig {
    fn default() -> Self {
        KeeperConfig {
            nodes: Vec::new(),
            replicas: 1,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            forget_after: None,
            takeover_after: None,
            once: false,
            wait: Some(Duration::from_secs(120)),
            dry_run: false,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { level: Level::Info, format: LogFormat::Text }
    }
}
