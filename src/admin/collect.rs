//! The figures of one scrape: read from all parts, added up over the workers, set under their
//! names.
//!
//! Owns which figure is which metric, and which series there are. Must not know the text format.
//! It only reads: a scrape costs the workers nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{NAMES_MAX, NodeAddress};
use crate::command::Class;
use crate::memory::{KINDS, Kind};
use crate::metrics::exposition::{BucketCounts, seconds_of};
use crate::metrics::stats::{
    BUCKETS_US, CLASSES, DISCONNECTS, NODE_ERRORS, OUTCOMES, REJECTIONS, RESULTS,
};
use crate::metrics::{Count, Exposition, NodeStats, Scrape, Waits, WorkerStats, names};
use crate::server::Gateway;
use crate::topology::{ClusterMap, State, TRIGGERS};
use crate::version;

/// For how long a node that has left is still told of.
const NODE_REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Commands that get series of their own.
const COMMANDS_MAX: usize = 150;
/// Commands that have them from the start, so that a rate begins with the first.
const COMMANDS_AT_START: [&str; 6] = ["get", "set", "del", "mget", "mset", "ping"];

const _: () = assert!(Class::ALL.len() == CLASSES, "a histogram for every class");

/// Makes scrapes of a gateway.
#[derive(Debug, Default)]
pub(super) struct Collector {
    exposition: Exposition,
    /// Rows of the command table that have series; none ever leaves, or a counter would go down.
    rows: BTreeSet<usize>,
    /// When each node was last in the map or connected.
    seen: HashMap<Arc<str>, Instant>,
}

impl Collector {
    /// The text of a scrape.
    pub(super) fn collect(&mut self, gateway: &Gateway, now: Instant) -> String {
        let map = gateway.cluster.topology.map().load_full();
        let state = gateway.cluster.topology.state().clone();
        let mut scrape = self.exposition.scrape();
        set_build(&mut scrape);
        set_gateway(&mut scrape, gateway);
        set_clients(&mut scrape, gateway);
        set_commands(&mut scrape, gateway, &mut self.rows);
        set_latencies(&mut scrape, gateway);
        let known = known_nodes(&mut self.seen, gateway, (&map, &state), now);
        set_nodes(&mut scrape, gateway, &known);
        set_roles(&mut scrape, &map);
        set_up(&mut scrape, &known, &map, &state);
        set_topology(&mut scrape, gateway, &map, &state, now);
        set_databases(&mut scrape, &state);
        set_workers(&mut scrape, gateway);
        set_memory(&mut scrape, gateway);
        set_process(&mut scrape);
        scrape.finish()
    }

    /// To be called now and then.
    pub(super) fn upkeep(&self) {
        self.exposition.upkeep();
    }
}

/// The sum of a figure over all workers.
fn sum(gateway: &Gateway, figure: impl Fn(&WorkerStats) -> &Count) -> u64 {
    gateway.workers.iter().map(|worker| figure(&worker.stats).get()).sum()
}

/// By row of the command table, how often and with which outcome; the last row is that of all others.
pub(super) fn command_counts(gateway: &Gateway) -> Vec<[u64; OUTCOMES]> {
    let mut counts: Vec<[u64; OUTCOMES]> = Vec::new();
    for worker in &gateway.workers {
        for (row, outcomes) in worker.stats.commands().enumerate() {
            if counts.len() <= row {
                counts.push([0; OUTCOMES]);
            }
            counts[row].iter_mut().zip(outcomes).for_each(|(sum, count)| *sum += count);
        }
    }
    counts
}

pub(super) fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

pub(super) fn set_build(scrape: &mut Scrape<'_>) {
    let build = [version::VERSION, version::COMMIT, version::RUSTC];
    scrape.gauge(&names::BUILD_INFO, &build, 1.0);
}

fn set_gateway(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    scrape.gauge(&names::READY, &[], flag(gateway.not_ready().is_none()));
    scrape.gauge(&names::DRAINING, &[], flag(gateway.is_draining()));
}

fn set_clients(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    scrape.gauge(&names::CLIENT_CONNECTIONS, &[], gateway.clients.count() as f64);
    let most = gateway.clients.clients_max();
    scrape.gauge(&names::CLIENT_CONNECTIONS_MAX, &[], most as f64);
    let (accepted, _) = gateway.clients.totals();
    scrape.counter(&names::CLIENT_CONNECTIONS_TOTAL, &[], accepted);
    for (reason, count) in REJECTIONS.into_iter().zip(gateway.clients.rejections()) {
        scrape.counter(&names::REJECTED_CONNECTIONS, &[reason], count);
    }
    let (failed, delayed) = gateway.clients.attempts().totals();
    scrape.counter(&names::FAILED_AUTHS, &[], failed);
    scrape.counter(&names::DELAYED_AUTHS, &[], delayed);
    for (index, reason) in DISCONNECTS.into_iter().enumerate() {
        let count = sum(gateway, |stats| &stats.disconnects[index]);
        scrape.counter(&names::CLIENT_DISCONNECTS, &[reason], count);
    }
    let mut counter = |metric, figure: fn(&WorkerStats) -> &Count| {
        scrape.counter(metric, &[], sum(gateway, figure));
    };
    counter(&names::CLIENT_RECEIVED_BYTES, |stats| &stats.received_bytes);
    counter(&names::CLIENT_SENT_BYTES, |stats| &stats.sent_bytes);
    counter(&names::PROTOCOL_ERRORS, |stats| &stats.protocol_errors);
    counter(&names::SPLIT_COMMANDS, |stats| &stats.split);
    counter(&names::CROSSSLOT_REJECTED, |stats| &stats.cross_slot);
    counter(&names::UNPROVED_ROUNDS, |stats| &stats.unproved);
    counter(&names::KEYLESS_SCRIPTS, |stats| &stats.keyless_scripts);
    counter(&names::BACKPRESSURE_PAUSES, |stats| &stats.pauses);
    let mut labelled = |metric, value, figure: fn(&WorkerStats) -> &Count| {
        scrape.counter(metric, &[value], sum(gateway, figure));
    };
    labelled(&names::REDIRECTS, "moved", |stats| &stats.moved);
    labelled(&names::REDIRECTS, "ask", |stats| &stats.asked);
    labelled(&names::RETRIES, "not_now", |stats| &stats.retried_unavailable);
    labelled(&names::RETRIES, "lost", |stats| &stats.retried_lost);
}

fn set_commands(scrape: &mut Scrape<'_>, gateway: &Gateway, rows: &mut BTreeSet<usize>) {
    let table = gateway.cluster.topology.table().load();
    let counts = command_counts(gateway);
    // The last row is that of everything without a row.
    let named = counts.len().saturating_sub(1);
    let at_start = COMMANDS_AT_START.iter().filter_map(|name| table.by_name(name));
    let used = (0..named).filter(|row| counts[*row].iter().any(|count| *count > 0));
    for row in at_start.map(usize::from).chain(used) {
        if rows.len() < COMMANDS_MAX && row < named {
            rows.insert(row);
        }
    }
    let mut other = [0; OUTCOMES];
    for (row, outcomes) in counts.iter().enumerate() {
        let command = u16::try_from(row).ok().and_then(|id| table.get(id));
        match command.filter(|_| rows.contains(&row)) {
            Some(command) => {
                for (result, count) in RESULTS.iter().zip(outcomes) {
                    scrape.counter(&names::COMMANDS, &[&command.name, result], *count);
                }
            }
            None => other.iter_mut().zip(outcomes).for_each(|(sum, count)| *sum += count),
        }
    }
    for (result, count) in RESULTS.iter().zip(other) {
        scrape.counter(&names::COMMANDS, &["other", result], count);
    }
    let inflight = sum(gateway, |stats| &stats.inflight);
    scrape.gauge(&names::INFLIGHT_COMMANDS, &[], inflight as f64);
    let (bytes, sent) = gateway.cluster.scripts.figures();
    scrape.counter(&names::SCRIPTS_SENT, &[], sent);
    scrape.gauge(&names::SCRIPT_CACHE_BYTES, &[], bytes as f64);
    for (mode, clients) in gateway.clients.modes().by_name() {
        scrape.gauge(&names::CLIENT_MODES, &[mode], clients as f64);
    }
    set_pubsub(scrape, gateway);
}

fn set_pubsub(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    for (kind, count) in ["channel", "pattern", "shard"].iter().zip(gateway.cluster.census.sizes())
    {
        scrape.gauge(&names::PUBSUB_NAMES, &[kind], count as f64);
    }
    let subscriptions = sum(gateway, |stats| &stats.subscriptions);
    scrape.gauge(&names::PUBSUB_SUBSCRIPTIONS, &[], subscriptions as f64);
    let mut counter = |metric, figure: fn(&WorkerStats) -> &Count| {
        scrape.counter(metric, &[], sum(gateway, figure));
    };
    counter(&names::PUBSUB_MESSAGES, |stats| &stats.messages);
    counter(&names::PUBSUB_DELIVERIES, |stats| &stats.deliveries);
    counter(&names::PUBSUB_GAPS, |stats| &stats.message_gaps);
    counter(&names::PUBSUB_HANDOVERS, |stats| &stats.handovers);
    counter(&names::TRACKING_INVALIDATIONS, |stats| &stats.invalidations);
}

fn set_latencies(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    for class in Class::ALL {
        let (mut counts, mut sum_us): (BucketCounts, u64) = Default::default();
        for worker in &gateway.workers {
            worker.stats.latencies[class as usize].add_to(&mut counts, &mut sum_us);
        }
        scrape.latencies(&names::COMMAND_DURATION, &[class.name()], &counts, sum_us);
    }
}

/// The nodes to tell of: those of the map, those with a connection, and for a while those that
/// were, also when nobody has scraped meanwhile.
fn known_nodes(
    seen: &mut HashMap<Arc<str>, Instant>,
    gateway: &Gateway,
    (map, state): (&ClusterMap, &State),
    now: Instant,
) -> BTreeSet<Arc<str>> {
    for (node, ..) in named_nodes(map) {
        seen.insert(Arc::clone(&node.name), now);
    }
    let recent = |then: Instant| now.saturating_duration_since(then) <= NODE_REMEMBERED;
    gateway.cluster.registry.forget(|name| seen.get(name).is_none_or(|then| recent(*then)));
    let mut booked = BTreeSet::<Arc<str>>::new();
    gateway.cluster.registry.for_each(|name, blocks| {
        if blocks.iter().any(|block| block.connections.get() > 0) || !seen.contains_key(name) {
            seen.insert(name.into(), now);
        }
        booked.insert(name.into());
    });
    for name in state.nodes_up.keys() {
        seen.entry(Arc::clone(name)).or_insert(now);
        booked.insert(Arc::clone(name));
    }
    // A name in the book is kept, or it would seem to be new the next time.
    seen.retain(|name, then| recent(*then) || booked.contains(name));
    seen.iter().filter(|(_, then)| recent(**then)).map(|(name, _)| Arc::clone(name)).collect()
}

/// The nodes of the map but for those that only a redirect has named, which may be ever new ones.
fn named_nodes(map: &ClusterMap) -> impl Iterator<Item = (&NodeAddress, usize, bool)> {
    map.nodes().filter(|(node, ..)| !node.id.is_empty()).take(NAMES_MAX)
}

fn set_nodes(scrape: &mut Scrape<'_>, gateway: &Gateway, known: &BTreeSet<Arc<str>>) {
    let mut blocks_of: HashMap<Arc<str>, Vec<Arc<NodeStats>>> = HashMap::new();
    gateway.cluster.registry.for_each(|name, blocks| {
        if known.contains(name) {
            blocks_of.insert(name.into(), blocks.to_vec());
        }
    });
    for name in known {
        let blocks = blocks_of.remove(name).unwrap_or_default();
        set_node(scrape, name, &blocks);
    }
}

fn set_node(scrape: &mut Scrape<'_>, name: &str, blocks: &[Arc<NodeStats>]) {
    let sum = |figure: fn(&NodeStats) -> &Count| -> u64 {
        blocks.iter().map(|block| figure(block).get()).sum()
    };
    scrape.counter(&names::UPSTREAM_REQUESTS, &[name], sum(|stats| &stats.requests));
    scrape.counter(&names::UPSTREAM_CONNECTS, &[name], sum(|stats| &stats.connects));
    scrape.gauge(&names::UPSTREAM_INFLIGHT, &[name], sum(|stats| &stats.inflight) as f64);
    scrape.gauge(&names::UPSTREAM_CONNECTIONS, &[name], sum(|stats| &stats.connections) as f64);
    scrape.gauge(&names::UPSTREAM_LEASES, &[name], sum(|stats| &stats.leased) as f64);
    type Figures = (fn(&NodeStats) -> &Waits, [&'static names::Metric; 3]);
    const WAITS: [Figures; 2] = [
        (
            |stats| &stats.turns,
            [&names::UPSTREAM_WAITING, &names::UPSTREAM_WAITS, &names::UPSTREAM_WAIT_TIME],
        ),
        (
            |stats| &stats.lease_waits,
            [
                &names::UPSTREAM_LEASE_WAITING,
                &names::UPSTREAM_LEASE_WAITS,
                &names::UPSTREAM_LEASE_WAIT_TIME,
            ],
        ),
    ];
    for (waits, [now, ended, time]) in WAITS {
        let sum = |figure: fn(&Waits) -> &Count| -> u64 {
            blocks.iter().map(|block| figure(waits(block)).get()).sum()
        };
        scrape.gauge(now, &[name], sum(|waits| &waits.now) as f64);
        scrape.counter(ended, &[name], sum(|waits| &waits.ended));
        scrape.seconds(time, &[name], seconds_of(sum(|waits| &waits.waited_us)));
    }
    for (index, kind) in NODE_ERRORS.into_iter().enumerate() {
        let count = blocks.iter().map(|block| block.errors[index].get()).sum();
        scrape.counter(&names::UPSTREAM_ERRORS, &[name, kind], count);
    }
    let (mut counts, mut sum_us) = ([0; BUCKETS_US.len() + 1], 0);
    blocks.iter().for_each(|block| block.latencies.add_to(&mut counts, &mut sum_us));
    scrape.latencies(&names::UPSTREAM_DURATION, &[name], &counts, sum_us);
}

/// What each node of the map is at the moment.
fn set_roles(scrape: &mut Scrape<'_>, map: &ClusterMap) {
    let (mut masters, mut replicas) = (0u32, 0u32);
    for (.., is_master) in map.nodes() {
        *if is_master { &mut masters } else { &mut replicas } += 1;
    }
    for (node, shard, is_master) in named_nodes(map) {
        let role = if is_master { "master" } else { "replica" };
        let (shard, address) = (shard.to_string(), node.address.to_string());
        scrape.gauge(&names::NODE_INFO, &[&node.name, &node.id, &shard, role, &address], 1.0);
    }
    scrape.gauge(&names::SHARD_MASTERS, &[], f64::from(masters));
    scrape.gauge(&names::SHARD_REPLICAS, &[], f64::from(replicas));
}

/// Nodes do not tell of a node that has failed, so one that has left is down for a while. One that
/// has not been asked yet is neither up nor down.
fn set_up(scrape: &mut Scrape<'_>, known: &BTreeSet<Arc<str>>, map: &ClusterMap, state: &State) {
    let present: HashSet<&str> = map.nodes().map(|(node, ..)| &*node.name).collect();
    for name in known {
        let up = state.nodes_up.get(name).copied();
        let up = if present.contains(&**name) { up } else { Some(false) };
        if let Some(up) = up {
            scrape.gauge(&names::NODE_UP, &[name], flag(up));
        }
    }
}

fn set_databases(scrape: &mut Scrape<'_>, state: &State) {
    for size in &state.databases {
        let number = size.database.to_string();
        scrape.gauge(&names::DATABASE_KEYS, &[&number], size.keys as f64);
        scrape.gauge(&names::DATABASE_MEMORY, &[&number], size.memory_bytes as f64);
    }
}

fn set_topology(
    scrape: &mut Scrape<'_>,
    gateway: &Gateway,
    map: &ClusterMap,
    state: &State,
    now: Instant,
) {
    scrape.gauge(&names::SLOTS_ASSIGNED, &[], map.assigned() as f64);
    scrape.gauge(&names::CLUSTER_OK, &[], flag(state.cluster_ok));
    scrape.gauge(&names::TOPOLOGY_EPOCH, &[], map.epoch as f64);
    let age = now.saturating_duration_since(state.refreshed.unwrap_or(gateway.started));
    scrape.gauge(&names::TOPOLOGY_AGE, &[], age.as_secs_f64());
    for (trigger, (succeeded, failed)) in TRIGGERS.into_iter().zip(state.refreshes) {
        scrape.counter(&names::TOPOLOGY_REFRESHES, &[trigger, "ok"], succeeded);
        scrape.counter(&names::TOPOLOGY_REFRESHES, &[trigger, "error"], failed);
    }
    scrape.counter(&names::TOPOLOGY_CHANGES, &[], state.changes);
    scrape.counter(&names::FAILOVERS, &[], state.failovers);
}

fn set_workers(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    scrape.gauge(&names::WORKERS_IN_USE, &[], gateway.assigner.in_use() as f64);
    let mut lag_us = 0;
    for (index, worker) in gateway.workers.iter().enumerate() {
        let (name, stats) = (index.to_string(), &worker.stats);
        scrape.seconds(&names::WORKER_BUSY, &[&name], seconds_of(stats.busy_us.get()));
        let connections = stats.connections.get();
        scrape.gauge(&names::WORKER_CONNECTIONS, &[&name], connections as f64);
        let silence = stats.pulse.silence();
        scrape.gauge(&names::WORKER_SILENCE, &[&name], silence.as_secs_f64());
        lag_us = lag_us.max(stats.loop_lag_us.get());
    }
    scrape.gauge(&names::LOOP_LAG, &[], seconds_of(lag_us));
    let client = sum(gateway, |stats| &stats.client_buffered_bytes);
    let held = sum(gateway, |stats| &stats.held_bytes);
    scrape.gauge(&names::BUFFERED_BYTES, &["client"], client as f64);
    scrape.gauge(&names::BUFFERED_BYTES, &["held"], held as f64);
}

/// What is in use of the memory that all buffers share.
fn set_memory(scrape: &mut Scrape<'_>, gateway: &Gateway) {
    let budget = &gateway.budget;
    for (kind, name) in Kind::ALL.into_iter().zip(KINDS) {
        scrape.gauge(&names::MEMORY_BYTES, &[name], budget.used_by(kind) as f64);
    }
    scrape.gauge(&names::MEMORY_USED, &[], budget.used() as f64);
    scrape.gauge(&names::MEMORY_MAX, &[], budget.bytes_max() as f64);
    let waiting = sum(gateway, |stats| &stats.memory_waits.now);
    scrape.gauge(&names::MEMORY_WAITING, &[], waiting as f64);
    let pauses = sum(gateway, |stats| &stats.memory_waits.ended);
    scrape.counter(&names::MEMORY_PAUSES, &[], pauses);
}

/// What the operating system says of the process; what it does not say is left out.
pub(super) fn set_process(scrape: &mut Scrape<'_>) {
    let process = metrics_process::collector::collect();
    if let Some(seconds) = process.cpu_seconds_total {
        scrape.seconds(&names::PROCESS_CPU, &[], seconds);
    }
    for (metric, figure) in [
        (&names::PROCESS_OPEN_FDS, process.open_fds),
        (&names::PROCESS_MAX_FDS, process.max_fds),
        (&names::PROCESS_VIRTUAL_MEMORY, process.virtual_memory_bytes),
        (&names::PROCESS_VIRTUAL_MEMORY_MAX, process.virtual_memory_max_bytes),
        (&names::PROCESS_RESIDENT_MEMORY, process.resident_memory_bytes),
        (&names::PROCESS_START_TIME, process.start_time_seconds),
        (&names::PROCESS_THREADS, process.threads),
    ] {
        if let Some(figure) = figure {
            scrape.gauge(metric, &[], figure as f64);
        }
    }
}

#[cfg(test)]
mod tests;
