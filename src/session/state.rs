//! What a client has said about its connection: protocol, name, password, reply mode.
//!
//! Owns the state that commands answered by the gateway change. Must not know sockets or nodes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::assigner::Assigner;
use super::client_info::ClientInfo;
use super::clients::Clients;
use super::database::script::Scripts;
use super::info::{self, GatewayInfo};
use super::monitors::Monitors;
use super::settings::Settings;
use super::tracking::Tracking;
use crate::command::guarded::Allowed;
use crate::database::{Database, Databases};
use crate::metrics::WorkerStats;
use crate::resp::Protocol;
use crate::router::hub::EventClasses;
use crate::router::{Hub, Router};

/// The state of one client's connection.
#[derive(Debug)]
pub struct State {
    /// Which RESP it speaks.
    pub protocol: Protocol,
    /// Whether it may send commands.
    pub authenticated: bool,
    /// What becomes of its replies.
    pub replies: ReplyMode,
    /// The connection ends when everything sent has been answered.
    pub closing: bool,
    /// The database that it is in; `None` is 0.
    pub database: Option<Arc<Database>>,
    /// Its entry in the register.
    pub info: Arc<ClientInfo>,
    /// While it tracks keys: what it has asked for.
    pub tracking: Option<Box<Tracking>>,
}

impl State {
    /// Of a client that has said nothing yet.
    pub fn new(authenticated: bool, info: Arc<ClientInfo>) -> State {
        let (protocol, replies) = (Protocol::Resp2, ReplyMode::On);
        State {
            protocol,
            authenticated,
            replies,
            closing: false,
            database: None,
            info,
            tracking: None,
        }
    }
}

impl State {
    /// It may send commands.
    pub(super) fn let_in(&mut self) {
        self.authenticated = true;
        self.info.welcome();
    }

    /// It is in this database from now on; none is 0.
    pub(super) fn choose(&mut self, database: Option<Arc<Database>>) {
        self.info.note_database(database.as_ref().map_or(0, |database| database.number));
        self.database = database;
    }

    /// Begins in the database of its listener.
    pub fn begin_in(mut self, env: &ListenerEnv) -> State {
        self.choose(env.databases.get(env.database).cloned());
        self
    }

    /// It has to say its password again.
    pub(super) fn put_out(&mut self, now_s: u64) {
        self.authenticated = false;
        self.info.expect_password(now_s);
    }
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// No reply is sent until `CLIENT REPLY ON`.
    Off,
    /// No reply is sent to the next command.
    SkipNext,
}

/// What a session needs to know of the rest of the gateway.
#[derive(Clone, Debug)]
pub struct ListenerEnv {
    /// The worker's way to the nodes.
    pub router: Rc<Router>,
    /// What the worker's clients are subscribed to.
    pub hub: Rc<Hub>,
    /// The databases there are.
    pub databases: Arc<Databases>,
    /// The database that clients of this listener are in at first; 0 or one that there is.
    pub database: usize,
    /// What becomes of clients' scripts in databases other than 0.
    pub scripts: Rc<RefCell<Scripts>>,
    /// Which events of the keyspace the nodes tell of.
    pub event_classes: Arc<EventClasses>,
    /// Those who see what all clients ask.
    pub monitors: Arc<Monitors>,
    /// All clients.
    pub clients: Arc<Clients>,
    /// The password clients must give on this listener.
    pub password: Option<String>,
    /// Where its listener listens.
    pub port: u16,
    /// The file that the gateway's settings come from; empty without one.
    pub config_file: String,
    /// What the configuration allows of what is denied else.
    pub allowed: Arc<Allowed>,
    /// What else of the gateway's settings its clients may read.
    pub settings: Settings,
    /// The counters of all workers.
    pub stats: Arc<[Arc<WorkerStats>]>,
    /// Which worker a client belongs to.
    pub assigner: Arc<Assigner>,
    /// Which worker this is.
    pub worker: usize,
}

impl ListenerEnv {
    /// The same with another way to the nodes.
    pub(super) fn with_router(&self, router: Rc<Router>) -> ListenerEnv {
        ListenerEnv { router, ..self.clone() }
    }

    /// The gateway's own figures, as INFO tells them.
    pub fn own_figures(&self) -> GatewayInfo {
        let map = self.router.map();
        let (total_connections, rejected_connections) = self.clients.totals_since_reset();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let commands = |stats: &Arc<WorkerStats>| {
            stats.commands().map(|outcomes| outcomes.iter().sum::<u64>()).sum::<u64>()
        };
        let largest = |side: usize| {
            let all = self.stats.iter().map(|stats| stats.largest_buffers[side].get());
            all.max().unwrap_or(0)
        };
        let budget = self.router.shared().ledger.budget();
        GatewayInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: info::run_id().to_owned(),
            process_id: std::process::id(),
            tcp_port: self.port,
            executable: std::env::current_exe().unwrap_or_default().display().to_string(),
            config_file: self.config_file.clone(),
            uptime_s: self.clients.now_s(),
            server_time_us: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
            workers: self.stats.len(),
            modes: self.clients.modes(),
            subscribed: self.hub.census().sizes(),
            connected_clients: self.clients.count(),
            clients_max: self.clients.clients_max(),
            total_connections,
            rejected_connections,
            total_commands: self.stats.iter().map(commands).sum(),
            largest_buffers: [0, 1].map(largest),
            memory: [budget.used(), budget.bytes_max()],
            shards: map.shards().len(),
            nodes: map.nodes().count(),
            slots_assigned: map.assigned(),
            ..GatewayInfo::default()
        }
    }
}
