//! The clients as people look at them: how many, in what, and which of them are the busiest.
//!
//! Owns what is told of a client: what CLIENT LIST says as well, and nothing that it has sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clients::ClientInfo;
use crate::metrics::stats::{DISCONNECTS, REJECTIONS};
use crate::server::Gateway;

/// Clients that are told by themselves.
const BUSIEST_MAX: usize = 10;

/// All of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientsOverview {
    /// Connected now.
    pub connected: usize,
    /// That may be.
    pub max: usize,
    /// Between MULTI and EXEC, waiting at a node, subscribed and so on.
    pub modes: BTreeMap<String, usize>,
    /// Connections that have ended, by reason.
    pub disconnected: BTreeMap<String, u64>,
    /// Clients turned away, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// AUTHs with a wrong user or password.
    pub failed_auths: u64,
    /// Those with most memory or requests, for as long as they have been connected.
    pub busiest: Vec<ClientOverview>,
}

/// One client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientOverview {
    /// Its number.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO: library and its version.
    pub library: String,
    /// The database that it is in.
    pub database: usize,
    /// The last command.
    pub command: String,
    /// Requests since it connected.
    pub requests: u64,
    /// The same a second.
    pub requests_per_s: f64,
    /// Bytes kept of its requests and for it to read.
    pub memory_bytes: usize,
    /// Seconds since it connected.
    pub age_s: u64,
    /// Seconds since it last sent something.
    pub idle_s: u64,
}

impl ClientsOverview {
    /// All of them, now.
    pub(super) fn of(gateway: &Gateway) -> ClientsOverview {
        let clients = &gateway.clients;
        let modes = clients.modes().by_name();
        let mut disconnected = BTreeMap::new();
        for (at, reason) in DISCONNECTS.into_iter().enumerate() {
            let workers = gateway.workers.iter();
            let count = workers.map(|worker| worker.stats.disconnects[at].get()).sum();
            disconnected.insert(reason.to_owned(), count);
        }
        let rejected = REJECTIONS.into_iter().map(str::to_owned).zip(clients.rejections());
        ClientsOverview {
            connected: clients.count(),
            max: clients.clients_max(),
            modes: modes.into_iter().map(|(mode, count)| (mode.to_owned(), count)).collect(),
            disconnected,
            rejected: rejected.collect(),
            failed_auths: clients.attempts().totals().0,
            busiest: busiest(gateway),
        }
    }
}

/// Half of them for their memory, the others for their requests.
fn busiest(gateway: &Gateway) -> Vec<ClientOverview> {
    let mut clients = gateway.clients.list();
    let memory = |client: &Arc<ClientInfo>| client.memory().iter().sum::<usize>();
    let rate = |client: &Arc<ClientInfo>| {
        client.requests() as f64 / client.since.elapsed().as_secs_f64().max(1.0)
    };
    clients.sort_by_key(|client| std::cmp::Reverse(memory(client)));
    let by_rate = clients.split_off(clients.len().min(BUSIEST_MAX / 2));
    let (mut told, mut by_rate) = (clients, by_rate);
    by_rate.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    told.extend(by_rate.into_iter().take(BUSIEST_MAX / 2));
    told.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
    let (table, now_s) = (gateway.cluster.topology.table().load(), gateway.clients.now_s());
    told.iter()
        .map(|client| {
            let texts = client.texts().clone();
            let row = client.last_command.load(std::sync::atomic::Ordering::Relaxed);
            ClientOverview {
                id: client.id,
                address: client.peer.to_string(),
                name: texts.name,
                library: format!("{} {}", texts.lib_name, texts.lib_ver).trim().to_owned(),
                database: client.database(),
                command: table.get(row).map(|command| command.name.to_string()).unwrap_or_default(),
                requests: client.requests(),
                requests_per_s: rate(client),
                memory_bytes: memory(client),
                age_s: client.since.elapsed().as_secs(),
                idle_s: client.idle_s(now_s),
            }
        })
        .collect()
}
