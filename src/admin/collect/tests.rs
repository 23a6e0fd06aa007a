//! That a scrape tells of everything, and of no more series than it may. Owns cases only.

use std::net::SocketAddr;

use super::*;
use crate::backend::NodeAddress;
use crate::clients::{Assigner, Clients};
use crate::config::Config;
use crate::metrics::format_check::Exposed;
use crate::metrics::{Outcome, documented};
use crate::router::{ClusterHandle, HoldBudget};
use crate::topology::{DatabaseSize, Shard, map::Range};
use crate::worker::{self, Parts};

/// A gateway of two workers, without clients and without a cluster.
fn gateway() -> Gateway {
    let config = Arc::new(Config::default());
    let cluster = ClusterHandle::new(&config.limits);
    let rows = cluster.topology.table().load().len();
    let parts = Parts {
        config: Arc::clone(&config),
        clients: Arc::new(Clients::new(10, config.timeouts.auth_delay)),
        stats: (0..2).map(|_| Arc::new(WorkerStats::new(rows))).collect(),
        cluster,
        assigner: Arc::new(Assigner::new(2, 1)),
        held: Arc::new(HoldBudget::new(config.limits.held_bytes_max)),
        budget: Arc::new(crate::memory::Budget::new(usize::MAX)),
        allowed: Arc::default(),
        databases: Arc::new(crate::database::Databases::new(16, "db")),
        monitors: Arc::default(),
    };
    let workers = worker::start_all(&parts).unwrap();
    Gateway::new(parts, workers)
}

fn node(name: &str, port: u16) -> NodeAddress {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    NodeAddress { id: format!("{port:040}").into(), address, name: name.into() }
}

/// Puts a map of three shards in force, with a replica each.
fn publish(gateway: &Gateway, names: [&str; 6]) {
    let nodes: Vec<_> = names.iter().zip(1..).map(|(name, port)| node(name, port)).collect();
    let ranges = (0..3).map(|n| Range {
        first: n * 5000,
        last: n * 5000 + 4999,
        shard: Shard {
            master: nodes[usize::from(n)].clone(),
            replicas: vec![nodes[usize::from(n) + 3].clone()],
        },
    });
    let map = ClusterMap::from_ranges(ranges.collect(), 1).at_version(1);
    gateway.cluster.topology.map().store(Arc::new(map));
}

const NODES: [&str; 6] = ["n1:1", "n2:2", "n3:3", "n4:4", "n5:5", "n6:6"];

fn scrape(collector: &mut Collector, gateway: &Gateway, now: Instant) -> Exposed {
    Exposed::read(&collector.collect(gateway, now))
}

#[test]
fn a_scrape_has_every_metric_and_grows_only() {
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    let empty = scrape(&mut collector, &gateway, now);
    assert_eq!(empty.get("slotway_ready", &[]), Some(0.0));
    assert_eq!(empty.get("slotway_slots_assigned", &[]), Some(0.0));
    publish(&gateway, NODES);
    gateway.cluster.topology.state().nodes_up.insert("n1:1".into(), true);
    gateway.cluster.topology.state().databases = vec![DatabaseSize {
        database: 3,
        tag: "{db3.1318}".into(),
        slot: 12_299,
        master: "n3:3".into(),
        keys: 7,
        memory_bytes: 500,
        is_estimate: false,
    }];
    let full = scrape(&mut collector, &gateway, now);
    let told: Vec<&str> = full.kinds.keys().map(String::as_str).collect();
    let own = documented().iter().filter(|metric| !metric.name.starts_with("slotway_keeper_"));
    let own: Vec<&str> = own.map(|metric| metric.name).collect();
    for name in &own {
        assert!(told.contains(name), "not told: {name}");
    }
    assert_eq!(told.len(), own.len());
    assert!(full.series.len() < 700, "{} series", full.series.len());
    empty.assert_only_grown(&full);
    full.assert_only_grown(&scrape(&mut collector, &gateway, now));
    assert_eq!(full.get("slotway_ready", &[]), Some(1.0));
    assert_eq!(full.get("slotway_slots_assigned", &[]), Some(15_000.0));
    assert_eq!(full.get("slotway_shard_replicas", &[]), Some(3.0));
    assert_eq!(full.get("slotway_database_keys", &[("database", "3")]), Some(7.0));
    assert_eq!(full.get("slotway_node_up", &[("node", "n1:1")]), Some(1.0));
    let id = format!("{:040}", 5);
    let labels = [
        ("node", "n5:5"),
        ("id", &id),
        ("shard", "1"),
        ("role", "replica"),
        ("addr", "127.0.0.1:5"),
    ];
    assert_eq!(full.get("slotway_node_info", &labels), Some(1.0));
}

#[test]
fn names_of_nodes_may_be_anything() {
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    let hostile = ["a\"b:1", "a\\b:2", "a\nb:3", "} 1\nx 2:4", "\\", "\""];
    publish(&gateway, hostile);
    let exposed = scrape(&mut collector, &gateway, now);
    for name in hostile {
        let requests = exposed.get("slotway_upstream_requests_total", &[("node", name)]);
        assert_eq!(requests, Some(0.0), "{name:?}");
    }
}

#[test]
fn a_node_that_left_before_anybody_asked_is_down() {
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    publish(&gateway, ["n7:7", "n2:2", "n3:3", "n4:4", "n5:5", "n6:6"]);
    gateway.cluster.topology.state().nodes_up.insert("n1:1".into(), false);
    let up = |collector: &mut Collector, after: u64| {
        let exposed = scrape(collector, &gateway, now + Duration::from_secs(after));
        exposed.get("slotway_node_up", &[("node", "n1:1")])
    };
    assert_eq!(up(&mut collector, 0), Some(0.0));
    assert_eq!(up(&mut collector, 299), Some(0.0));
    assert_eq!(up(&mut collector, 301), None);
    assert_eq!(up(&mut collector, 302), None);
}

#[test]
fn a_node_that_left_is_told_of_for_a_while() {
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    publish(&gateway, NODES);
    scrape(&mut collector, &gateway, now);
    publish(&gateway, ["n7:7", "n2:2", "n3:3", "n4:4", "n5:5", "n6:6"]);
    let told = |collector: &mut Collector, now: Instant| {
        let exposed = scrape(collector, &gateway, now);
        let has = |name: &str, node| exposed.get(name, &[("node", node)]).is_some();
        let counted = has("slotway_upstream_requests_total", "n1:1");
        assert_eq!(counted, has("slotway_upstream_request_duration_seconds_count", "n1:1"));
        assert!(has("slotway_upstream_requests_total", "n7:7"));
        let up = exposed.get("slotway_node_up", &[("node", "n1:1")]);
        assert_eq!(up, counted.then_some(0.0));
        assert!(
            !exposed
                .series
                .keys()
                .any(|(name, labels)| { name == "slotway_node_info" && labels["node"] == "n1:1" })
        );
        counted
    };
    assert!(told(&mut collector, now + Duration::from_secs(299)));
    assert!(!told(&mut collector, now + Duration::from_secs(301)));
    publish(&gateway, NODES);
    let exposed = scrape(&mut collector, &gateway, now + Duration::from_secs(400));
    assert!(exposed.get("slotway_upstream_requests_total", &[("node", "n1:1")]).is_some());
}

#[test]
fn commands_are_counted_by_name_up_to_a_bound() {
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    let table = gateway.cluster.topology.table().load_full();
    let hget = table.by_name("hget").unwrap();
    for worker in &gateway.workers {
        worker.stats.command(hget, Outcome::Ok);
        worker.stats.command(hget, Outcome::GatewayError);
        worker.stats.command(u16::MAX, Outcome::GatewayError);
    }
    let count = |exposed: &Exposed, cmd, result| {
        exposed.get("slotway_commands_total", &[("cmd", cmd), ("result", result)])
    };
    let few = scrape(&mut collector, &gateway, now);
    assert_eq!(count(&few, "hget", "ok"), Some(2.0));
    assert_eq!(count(&few, "hget", "error"), Some(0.0));
    assert_eq!(count(&few, "hget", "slotway_error"), Some(2.0));
    assert_eq!(count(&few, "get", "error"), Some(0.0));
    assert_eq!(count(&few, "other", "slotway_error"), Some(2.0));
    assert_eq!(count(&few, "hset", "ok"), None);

    // Somebody calls everything there is.
    let all: Vec<u16> = table.iter().map(|(id, _)| id).collect();
    assert!(all.len() > COMMANDS_MAX);
    for id in &all {
        gateway.workers[0].stats.command(*id, Outcome::Ok);
    }
    let many = scrape(&mut collector, &gateway, now);
    few.assert_only_grown(&many);
    let series = many.series.iter().filter(|((name, _), _)| name == "slotway_commands_total");
    let series: Vec<_> = series.collect();
    assert_eq!(series.len(), (COMMANDS_MAX + 1) * OUTCOMES);
    let total: f64 = series.iter().map(|(_, count)| **count).sum();
    assert_eq!(total, 6.0 + all.len() as f64);
}

#[test]
fn memory_is_told_by_kind_and_in_all() {
    use crate::memory::{Ledger, Share};
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    let ledger = Ledger::new(Arc::clone(&gateway.budget));
    let shares = Kind::ALL.map(|kind| Share::new(&ledger, kind));
    shares.iter().zip(1..).for_each(|(share, mib)| share.set(mib << 20));
    let exposed = scrape(&mut collector, &gateway, now);
    for (kind, mib) in KINDS.into_iter().zip(1u32..) {
        let told = exposed.get("slotway_memory_bytes", &[("kind", kind)]);
        assert_eq!(told, Some(f64::from(mib << 20)), "{kind}");
    }
    assert_eq!(exposed.get("slotway_memory_used_bytes", &[]), Some(f64::from(6 << 20)));
    assert_eq!(exposed.get("slotway_memory_max_bytes", &[]), Some(usize::MAX as f64));
}

#[test]
fn waits_at_nodes_are_told() {
    use crate::metrics::Wait;
    let (gateway, mut collector, now) = (gateway(), Collector::default(), Instant::now());
    publish(&gateway, NODES);
    let block = gateway.cluster.registry.open(&"n1:1".into());
    let waiting = Wait::begin(&block, |stats| &stats.turns);
    drop(Wait::begin(&block, |stats| &stats.lease_waits));
    block.lease_waits.waited_us.add(1_500_000);
    let exposed = scrape(&mut collector, &gateway, now);
    let told = |name: &str| exposed.get(name, &[("node", "n1:1")]).unwrap();
    assert_eq!(told("slotway_upstream_waiting_clients"), 1.0);
    assert_eq!(told("slotway_upstream_waits_total"), 0.0);
    assert_eq!(told("slotway_upstream_lease_waiting"), 0.0);
    assert_eq!(told("slotway_upstream_lease_waits_total"), 1.0);
    let seconds = told("slotway_upstream_lease_wait_seconds_total");
    assert!((1.5..2.5).contains(&seconds), "{seconds}");
    drop(waiting);
    let exposed = scrape(&mut collector, &gateway, now);
    let labels = [("node", "n1:1")];
    assert_eq!(exposed.get("slotway_upstream_waits_total", &labels), Some(1.0));
}
