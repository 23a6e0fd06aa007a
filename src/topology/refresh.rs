//! Keeps the map true: asks several nodes, takes the highest epoch, publishes what changed.
//!
//! Owns when and whom to ask. Runs on the control thread, never on a worker. Invariants: at most
//! one refresh at a time; wishes that come meanwhile become one more; not more often than
//! [`PAUSE_MIN`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{self, sleep};

use super::names::{self, Resolver};
use super::node_limits::NodeLimits;
use super::source::{Source, View};
use super::troubles::{Failures, Told, no_seed};
use super::{TRIGGERS, Topology, Trigger};
use crate::backend::{BackendError, Connection, Identity};
use crate::command::LiveCommand;
use crate::config::HostPort;

/// Least time between two refreshes.
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// Time between refreshes while the cluster cannot be reached at all.
const PAUSE_UNREACHED: Duration = Duration::from_millis(250);
/// The same while no seed can even be resolved: a name server is asked each time.
const PAUSE_UNRESOLVED_MAX: Duration = Duration::from_secs(5);
/// Most nodes asked at once.
const ASKED_MAX: usize = 9;
/// Once one node has answered, how long the others' answers are waited for.
const OTHERS_TIMEOUT: Duration = Duration::from_millis(100);
/// A silent node is asked again only after this: each question is a connection to it.
const SILENT_PAUSE: Duration = Duration::from_secs(1);
/// A view older than the map in force is taken when so many of its masters share it, or a
/// majority of them: then the cluster has been made anew.
const OLDER_ACCEPTED_FROM: usize = 5;
/// Nodes of another cluster are taken, under the same condition, once no node that is known has
/// answered for so long: a cluster may have been made anew, but an address may also have been
/// taken over while all of its own nodes are starting again.
const FOREIGN_ACCEPTED_AFTER: Duration = Duration::from_secs(10);

/// The task that refreshes the map.
#[derive(Debug)]
pub struct Refresher {
    topology: Arc<Topology>,
    source: Source,
    seeds: Vec<HostPort>,
    identity: Identity,
    interval: Duration,
    timeout: Duration,
    connections: HashMap<SocketAddr, Connection>,
    /// Nodes that have not answered in time.
    silent: HashMap<SocketAddr, Silence>,
    /// Since when no look has found a node of the cluster whose map is in force.
    cluster_missed: Option<Instant>,
    /// Masters that foreign nodes have named: whether these say the same decides.
    named: Vec<SocketAddr>,
    resolver: Resolver,
    /// The pause after a look without a view that could be taken.
    pause_unreached: Duration,
    told: Told,
    /// The limit on output that the log has told of.
    output_limit: usize,
}

/// Since when a node has not answered, and when it was asked last.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    asked: Instant,
}

/// A node to be asked: how it is called and where it is.
type Candidate = (String, SocketAddr);

/// What came of asking one node.
struct Answer {
    candidate: Candidate,
    result: Result<(Connection, View), BackendError>,
}

impl Refresher {
    /// Refreshes `topology` from `seeds` and whatever nodes they lead to.
    pub fn new(
        topology: Arc<Topology>,
        seeds: Vec<HostPort>,
        identity: Identity,
        interval: Duration,
        timeout: Duration,
    ) -> Refresher {
        let (connections, silent) = (HashMap::new(), HashMap::new());
        let (cluster_missed, named) = (None, Vec::new());
        Refresher {
            topology,
            source: Source::default(),
            seeds,
            identity,
            interval,
            timeout,
            connections,
            silent,
            cluster_missed,
            named,
            resolver: Resolver::default(),
            pause_unreached: PAUSE_UNREACHED,
            told: Told::default(),
            output_limit: usize::MAX,
        }
    }

    /// Refreshes for ever.
    pub async fn run(mut self) {
        let mut due = Trigger::Timer;
        loop {
            let has_view = self.refresh(due).await;
            sleep(if has_view { PAUSE_MIN } else { self.pause_unreached }).await;
            due = self.wait(has_view).await;
        }
    }

    /// Waits until a refresh is due; says why.
    async fn wait(&self, has_view: bool) -> Trigger {
        // Several gateways started together should not ask together for ever.
        let interval = self.interval.mul_f64(0.8 + 0.4 * fastrand::f64());
        let complete = self.topology.map.load().is_complete();
        let pause = match (has_view, complete) {
            (false, _) => self.pause_unreached,
            (true, false) => Duration::from_millis(100),
            (true, true) => interval,
        };
        let _ = time::timeout(pause, self.topology.wanted.notified()).await;
        let waiting = self.topology.triggers.swap(0, Ordering::Relaxed);
        let trigger = [Trigger::Moved, Trigger::NodeTrouble, Trigger::NoMaster]
            .into_iter()
            .find(|trigger| waiting & (1 << *trigger as u64) != 0);
        trigger.unwrap_or(Trigger::Timer)
    }

    /// Asks, selects a view and publishes it, once; returns whether there was one.
    pub async fn refresh(&mut self, trigger: Trigger) -> bool {
        self.resolve_wanted_names().await;
        let candidates = self.candidates().await;
        let is_resolved = !candidates.is_empty();
        let (views, failures) = self.ask_all(candidates).await;
        let best = self.select_view(&views);
        let reached = !views.is_empty();
        self.pause_unreached = match is_resolved {
            true => PAUSE_UNREACHED,
            false => (self.pause_unreached * 2).min(PAUSE_UNRESOLVED_MAX),
        };
        let problem = match reached {
            true => None,
            false if is_resolved => Some(failures.words().unwrap_or("no answer in time".into())),
            false => Some(no_seed(&self.seeds)),
        };
        match (&problem, &best) {
            (Some(problem), _) => self.told.unreached(problem),
            (None, Some(view)) => {
                self.told.reached();
                self.told.names(&view.unresolved);
            }
            (None, None) => self.told.reached(),
        }
        {
            let mut state = self.topology.state();
            let (succeeded, failed) = &mut state.refreshes[trigger as usize];
            *if reached { succeeded } else { failed } += 1;
            if let Some(view) = &best {
                state.refreshed = Some(Instant::now());
                state.cluster_ok = view.ok;
                state.troubles.set_unresolved(view.unresolved.clone());
            }
            state.turned_away = if reached { None } else { failures.turned_away() };
            state.problem = problem;
        }
        let Some(view) = best else { return false };
        if self.topology.publish(view.map) {
            let map = self.topology.map.load();
            tracing::info!(
                version = map.version,
                epoch = map.epoch,
                shards = map.shards().len(),
                slots = map.assigned(),
                trigger = TRIGGERS[trigger as usize],
                "the cluster's map has changed"
            );
        }
        self.read_commands().await;
        if trigger == Trigger::Timer {
            self.read_limits().await;
        }
        true
    }

    /// The view with the highest epoch, of nodes of the cluster whose map is in force. One that is
    /// older than that map is a node's that has been cut off, and one of foreign nodes is that of nodes
    /// which have taken over an address; unless most masters of the cluster it describes say the
    /// same, and in the case of foreign nodes nobody else has said anything for long.
    fn select_view(&mut self, views: &[(SocketAddr, View)]) -> Option<View> {
        let in_force = self.topology.map.load_full();
        let is_same = |(_, view): &&(SocketAddr, View)| view.map.is_same_cluster(&in_force);
        let is_foreign = !views.iter().any(|heard| is_same(&heard));
        let missed_since = *self.cluster_missed.get_or_insert_with(Instant::now);
        if !is_foreign {
            self.cluster_missed = None;
            self.named.clear();
        }
        let rank = |view: &View| (view.map.epoch, view.ok, view.map.assigned());
        let of_one_cluster = views.iter().filter(|heard| is_foreign || is_same(heard));
        let (_, best) = of_one_cluster.max_by_key(|(_, view)| rank(view))?;
        if is_foreign {
            let masters = best.map.shards().iter().map(|shard| shard.master.address);
            self.named = masters.take(OLDER_ACCEPTED_FROM).collect();
        }
        if is_foreign && missed_since.elapsed() < FOREIGN_ACCEPTED_AFTER {
            tracing::debug!(epoch = best.map.epoch, "the map of another cluster is not taken");
            return None;
        }
        if is_foreign || best.map.epoch < in_force.epoch {
            let masters = best.map.shards();
            let is_master =
                |address: &SocketAddr| masters.iter().any(|shard| shard.master.address == *address);
            let same = |(address, view): &&(SocketAddr, View)| {
                is_master(address) && view.map.epoch == best.map.epoch
            };
            let agreed = views.iter().filter(same).count();
            if agreed < OLDER_ACCEPTED_FROM.min(masters.len() / 2 + 1) {
                tracing::debug!(epoch = best.map.epoch, agreed, "an old map is not taken");
                return None;
            }
        }
        Some(best.clone())
    }

    async fn resolve_wanted_names(&self) {
        let wanted = self.topology.take_wanted_names();
        if wanted.is_empty() {
            return;
        }
        let hosts = wanted.iter().map(String::as_str).collect();
        for (host, ip) in self.resolver.resolve_all(hosts).await {
            self.topology.learn_name(host, ip);
        }
    }

    /// The nodes of the map in force, and the seeds; a random choice when there are many.
    async fn candidates(&self) -> Vec<Candidate> {
        let is_due = |address: &SocketAddr| {
            self.silent.get(address).is_none_or(|silence| silence.asked.elapsed() > SILENT_PAUSE)
        };
        let candidates = self.candidates_that(&is_due).await;
        if candidates.is_empty() { self.candidates_that(&|_| true).await } else { candidates }
    }

    async fn candidates_that(&self, is_due: &impl Fn(&SocketAddr) -> bool) -> Vec<Candidate> {
        let map = self.topology.map.load_full();
        let mut candidates: Vec<Candidate> = map
            .nodes()
            .filter(|(node, ..)| is_due(&node.address))
            .map(|(node, ..)| {
                let host = node.name.rsplit_once(':').map_or("", |(host, _)| host);
                (host.to_owned(), node.address)
            })
            .collect();
        fastrand::shuffle(&mut candidates);
        candidates.truncate(ASKED_MAX - 2 - self.named.len());
        for address in &self.named {
            if is_due(address) && !candidates.iter().any(|(_, known)| known == address) {
                candidates.push((address.ip().to_string(), *address));
            }
        }
        let mut seeds = self.seeds.clone();
        // A seed is for the beginning and for when all known nodes are gone.
        fastrand::shuffle(&mut seeds);
        seeds.truncate(if candidates.is_empty() { ASKED_MAX } else { 2 });
        for seed in seeds {
            for ip in names::resolve(&seed.host).await {
                let address = SocketAddr::new(ip, seed.port);
                if is_due(&address) && !candidates.iter().any(|(_, known)| *known == address) {
                    candidates.push((seed.host.clone(), address));
                }
            }
        }
        candidates.truncate(ASKED_MAX);
        candidates
    }

    /// Asks all candidates at once. Nobody waits for a silent node longer than for the others.
    async fn ask_all(&mut self, candidates: Vec<Candidate>) -> (Vec<(SocketAddr, View)>, Failures) {
        let mut asked = JoinSet::new();
        let mut unheard: Vec<SocketAddr> = candidates.iter().map(|(_, address)| *address).collect();
        for candidate in candidates {
            let open = self.connections.remove(&candidate.1);
            let (identity, timeout) = (self.identity.clone(), self.timeout);
            let (source, resolver) = (self.source, self.resolver.clone());
            asked.spawn(async move {
                let how = (source, &identity, &resolver);
                let result = ask_one(open, &candidate, how, timeout).await;
                Answer { candidate, result }
            });
        }
        let (mut views, mut failures) = (Vec::new(), Failures::default());
        let first_timeout = self.timeout * 4 + names::RESOLVE_TIMEOUT;
        loop {
            let timeout = if views.is_empty() { first_timeout } else { OTHERS_TIMEOUT };
            let Ok(Some(joined)) = time::timeout(timeout, asked.join_next()).await else { break };
            let Ok(Answer { candidate: (host, address), result }) = joined else { continue };
            unheard.retain(|other| *other != address);
            self.silent.remove(&address);
            self.note_up(address, result.is_ok());
            self.note_trouble(&host, address, result.as_ref().err());
            match result {
                Ok((connection, view)) => {
                    self.connections.insert(address, connection);
                    views.push((address, view));
                }
                Err(error) => {
                    tracing::debug!(%host, %address, %error, "a node did not tell its view");
                    failures.note(&host, address, &error);
                }
            }
        }
        self.note_silent(unheard);
        let map = self.topology.map.load();
        let is_of_use = |address: &SocketAddr| {
            views.iter().any(|(heard, _)| heard == address)
                || map.nodes().any(|(node, ..)| node.address == *address)
        };
        self.connections.retain(|address, _| is_of_use(address));
        self.topology.state().troubles.retain(is_of_use);
        (views, failures)
    }

    /// Whether this node turns the gateway away.
    fn note_trouble(&mut self, host: &str, address: SocketAddr, error: Option<&BackendError>) {
        // While no node lets it in, that is told of all of them together.
        let is_known = self.topology.map.load().nodes().any(|(node, ..)| node.address == address);
        self.told.node(host, address, error.filter(|_| is_known));
        self.topology.state().troubles.set_node(host, address, error.filter(|_| is_known));
    }

    /// A node that was asked and has not answered is not up once that has gone on for longer than
    /// a connection may take: answers are not waited for so long each time.
    fn note_silent(&mut self, unheard: Vec<SocketAddr>) {
        let map = self.topology.map.load_full();
        self.silent.retain(|address, _| map.nodes().any(|(node, ..)| node.address == *address));
        let now = Instant::now();
        for address in unheard {
            let silence = self.silent.entry(address).or_insert(Silence { since: now, asked: now });
            silence.asked = now;
            let since = silence.since;
            if since.elapsed() > self.timeout {
                self.note_up(address, false);
            }
        }
    }

    fn note_up(&self, address: SocketAddr, up: bool) {
        let map = self.topology.map.load();
        let Some((node, ..)) = map.nodes().find(|(node, ..)| node.address == address) else {
            return;
        };
        // What only a redirect has named is told of when a map has it.
        if !node.id.is_empty() {
            self.topology.state().note_up(&node.name, up);
        }
    }

    /// Reads by which limits of their own the nodes would close connections.
    async fn read_limits(&mut self) {
        let mut limits = NodeLimits::default();
        let addresses: Vec<SocketAddr> = self.connections.keys().copied().collect();
        for address in addresses {
            // One that has not answered in time owes answers.
            let Some(mut connection) = self.connections.remove(&address) else { continue };
            if let Some(told) = NodeLimits::ask(&mut connection, self.timeout).await {
                self.connections.insert(address, connection);
                limits = limits.and(told);
            }
        }
        let output = limits.output_bytes_max;
        if output != usize::MAX && self.output_limit != output {
            tracing::warn!(
                output,
                "the nodes limit the output of ordinary clients (client-output-buffer-limit normal): \
                 an answer beyond that ends a connection that clients share"
            );
        }
        self.output_limit = output;
        self.topology.limits.set(limits);
    }

    /// Lays the live `COMMAND` over the table, and reads the nodes' version, once.
    async fn read_commands(&mut self) {
        if self.topology.state().commands_read {
            return;
        }
        let addresses: Vec<SocketAddr> = self.connections.keys().copied().collect();
        for address in addresses {
            let Some(mut connection) = self.connections.remove(&address) else { continue };
            // All of it has one timeout: the map must not wait for an answer that trickles.
            let asked = async {
                let reply = connection.call(&[b"COMMAND"]).await.ok()?;
                Some((reply, server_version(&mut connection).await))
            };
            let Ok(Some((reply, version))) = time::timeout(self.timeout * 4, asked).await else {
                continue;
            };
            self.connections.insert(address, connection);
            match LiveCommand::from_reply(&reply) {
                Ok(live) => {
                    let (table, report) = self.topology.table.load().overlay(&live);
                    tracing::info!("read the cluster's command table: {report}");
                    self.topology.publish_table(table);
                }
                Err(error) => tracing::warn!(%error, "the cluster's COMMAND makes no sense"),
            }
            let mut state = self.topology.state();
            state.commands_read = true;
            state.server_version = version;
            return;
        }
    }
}

/// The `redis_version` that a node tells.
async fn server_version(connection: &mut Connection) -> Option<String> {
    let info = connection.call(&[b"INFO", b"server"]).await.ok()?;
    let version = info.as_str()?.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    // It is told to clients: something hostile must not come through.
    let sane = version.len() <= 32 && version.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then(|| version.to_owned())
}

async fn ask_one(
    open: Option<Connection>,
    (host, address): &Candidate,
    (source, identity, resolver): (Source, &Identity, &Resolver),
    timeout: Duration,
) -> Result<(Connection, View), BackendError> {
    if let Some(mut connection) = open
        && let Ok(view) = source.ask(&mut connection, host, resolver).await
    {
        return Ok((connection, view));
    }
    let mut connection = Connection::open(*address, identity, timeout).await?;
    let view = source.ask(&mut connection, host, resolver).await?;
    Ok((connection, view))
}

#[cfg(test)]
mod tests {
    use super::super::Shard;
    use super::super::map::{ClusterMap, Range};
    use super::*;
    use crate::backend::NodeAddress;

    #[test]
    fn a_silent_node_is_down_only_after_a_while() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7));
        let master = NodeAddress { id: "a".into(), address, name: "a:7".into() };
        let shard = Shard { master, replicas: Vec::new() };
        let topology = Arc::new(Topology::default());
        let map = ClusterMap::from_ranges(vec![Range { first: 0, last: 9, shard }], 1);
        topology.publish(map);
        let interval = Duration::from_secs(1);
        let mut refresher = Refresher::new(
            Arc::clone(&topology),
            Vec::new(),
            Identity::default(),
            interval,
            Duration::from_secs(3600),
        );
        refresher.note_up(address, true);
        let up = || topology.state().nodes_up.get("a:7").copied();
        refresher.note_silent(vec![address]);
        refresher.note_silent(vec![address]);
        assert_eq!(up(), Some(true));
        refresher.timeout = Duration::from_millis(1);
        let silence = refresher.silent.get_mut(&address).expect("it is silent");
        silence.since -= Duration::from_millis(2);
        refresher.note_silent(vec![address]);
        assert_eq!(up(), Some(false));
        // Silence is remembered for nodes of the map only.
        refresher.note_silent(vec![SocketAddr::from(([127, 0, 0, 1], 8))]);
        topology.publish(ClusterMap::default());
        refresher.note_silent(Vec::new());
        assert!(refresher.silent.is_empty());
    }
}
