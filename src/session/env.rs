//! What the sessions of a listener's clients know of the rest of the gateway.
//!
//! Owns what of it those answers are given that need no node. Must not know sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Session;
use super::database::script::Scripts;
use crate::builtin::LocalEnv;
use crate::builtin::info::{self, GatewayInfo};
use crate::builtin::settings::Settings;
use crate::clients::{Assigner, ClientInfo, Clients, Monitors};
use crate::command::CommandTable;
use crate::command::guarded::Allowed;
use crate::database::{Database, Databases};
use crate::metrics::WorkerStats;
use crate::reply::ClientWriter;
use crate::router::hub::EventClasses;
use crate::router::{Hub, Router};

/// Bytes that every client takes, whatever it does.
const CLIENT_BYTES: usize =
    size_of::<Session>() + size_of::<ClientWriter>() + size_of::<ClientInfo>();

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
    /// The database that clients are in at first; `None` is 0.
    pub fn first_database(&self) -> Option<Arc<Database>> {
        self.databases.get(self.database).cloned()
    }

    /// What answers that need no node may know of it; `table` is the one in force.
    pub(super) fn local<'a>(&'a self, table: &'a CommandTable) -> LocalEnv<'a> {
        LocalEnv {
            table,
            clients: &self.clients,
            client_bytes: CLIENT_BYTES,
            password: self.password.as_deref(),
            topology: self.router.topology(),
            census: self.hub.census(),
            databases: &self.databases,
            database: self.database,
        }
    }

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
