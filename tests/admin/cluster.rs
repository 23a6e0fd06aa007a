//! With a real cluster: what is told of it is true.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use slotway::backend::{Connection, Identity};
use slotway::local::{LocalCluster, LocalOptions};
use slotway::topology::names::Resolver;
use slotway::topology::source::{Source, View};

use crate::PATIENCE;
use crate::format_check::Exposed;
use crate::gateway::{Gateway, slotway};
use crate::http::get;
use crate::page::assert_shown;

/// Sends a request that has a short answer, and reads it.
fn call(clients: SocketAddr, request: &str, answer: &str) {
    let mut stream = TcpStream::connect(clients).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut found = vec![0; answer.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(String::from_utf8_lossy(&found), answer);
}

fn topology(seed: SocketAddr, more: &[&str]) -> String {
    let output =
        slotway().args(["topology", "--seed", &seed.to_string()]).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Three shards with a replica each and all slots, whoever tells it.
fn assert_whole(report: &serde_json::Value, nodes: &[SocketAddr]) {
    assert_eq!(report["topology"]["slots_assigned"], 16_384);
    assert_eq!(report["topology"]["cluster_ok"], true);
    assert_eq!(report["topology"]["problem"], serde_json::Value::Null);
    let shards = report["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 3);
    let slots: u64 = shards.iter().map(|shard| shard["slots"]["count"].as_u64().unwrap()).sum();
    assert_eq!(slots, 16_384);
    for shard in shards {
        let master = &shard["master"];
        assert_eq!(master["id"].as_str().unwrap().len(), 40);
        assert!(nodes.iter().any(|node| master["address"] == node.to_string()), "{master}");
        let replicas = shard["replicas"].as_array().unwrap();
        assert_eq!(replicas.len(), 1, "{shard}");
        assert_ne!(replicas[0]["id"], master["id"]);
    }
}

/// The cluster was formed a moment ago: word goes round among its nodes.
async fn until_it_knows_all(node: SocketAddr) {
    let identity = Identity::default();
    let mut connection = Connection::open(node, &identity, PATIENCE).await.unwrap();
    let start = Instant::now();
    loop {
        let resolver = Resolver::default();
        let View { map, ok, .. } =
            Source::Cluster.ask(&mut connection, "127.0.0.1", &resolver).await.unwrap();
        if ok && map.is_complete() && map.nodes().count() == 6 {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{node} knows {map:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_cluster_is_told_as_it_is() {
    let options = LocalOptions { dir: None, nodes: 6, replicas_per_master: 1 };
    let cluster = LocalCluster::start(&options).await.unwrap();
    let nodes = cluster.addresses();
    for node in &nodes {
        until_it_knows_all(*node).await;
    }
    let outcome = tokio::task::spawn_blocking(move || tell(&nodes)).await;
    cluster.stop().await;
    outcome.unwrap();
}

fn tell(nodes: &[SocketAddr]) {
    let mut gateway = Gateway::start(nodes[0], &[("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "1s")]);
    let (admin, clients) = (gateway.admin, gateway.clients);
    gateway.wait_for("ready", || get(admin, "/readyz").status == 200);
    assert_eq!(get(admin, "/readyz").body, "ok\n");
    let checks = get(admin, "/readyz?verbose").body;
    assert!(checks.lines().all(|line| line.starts_with("[+] ")), "{checks}");
    assert_whole(&get(admin, "/api/v1/status").json(), nodes);

    let json = topology(nodes[1], &["--json"]);
    assert_whole(&serde_json::from_str(&json).unwrap(), nodes);
    let table = topology(nodes[2], &[]);
    assert!(table.contains("3 shards, 16384 of 16384 slots served"), "{table}");
    assert_eq!(table.lines().filter(|line| line.contains("127.0.0.1:")).count(), 3, "{table}");

    assert_commands_are_counted(clients, admin);
    gateway.wait_for("a node that is up", || {
        let exposed = Exposed::read(&get(admin, "/metrics").body);
        let name = nodes[0].to_string();
        exposed.get("slotway_node_up", &[("node", &name)]) == Some(1.0)
    });
    assert_shown(&mut gateway, nodes);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.end().code(), Some(0));
}

fn assert_commands_are_counted(clients: SocketAddr, admin: SocketAddr) {
    let count = |exposed: &Exposed, cmd: &str, result: &str| {
        exposed.get("slotway_commands_total", &[("cmd", cmd), ("result", result)])
    };
    let answered = |exposed: &Exposed| -> f64 {
        let by_node = exposed.series.iter();
        let by_node = by_node.filter(|((name, _), _)| name == "slotway_upstream_requests_total");
        by_node.map(|(_, count)| count).sum()
    };
    let before = Exposed::read(&get(admin, "/metrics").body);
    assert_eq!(count(&before, "set", "ok"), Some(0.0));
    assert_eq!(before.get("slotway_ready", &[]), Some(1.0));
    assert_eq!(before.get("slotway_slots_assigned", &[]), Some(16_384.0));
    assert_eq!(before.get("slotway_shard_masters", &[]), Some(3.0));
    assert_eq!(before.get("slotway_shard_replicas", &[]), Some(3.0));
    for _ in 0..5 {
        call(clients, "SET a 1\r\n", "+OK\r\n");
    }
    call(clients, "GET a\r\n", "$1\r\n1\r\n");
    call(clients, "MSET a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
    call(clients, "LPUSH a 1\r\n", "-WRONGTYPE ");
    call(clients, "NOSUCHTHING\r\n", "-ERR unknown command");
    call(clients, "EVAL 'return 7' 1 a\r\n", ":7\r\n");
    // Too long to come in one piece.
    let long = format!("-ERR {}\r\n", "x".repeat(300_000));
    call(clients, "EVAL \"return {err='ERR '..string.rep('x',300000)}\" 1 a\r\n", &long);
    // What comes in pieces is counted when the last one has left.
    let start = std::time::Instant::now();
    let after = loop {
        let after = Exposed::read(&get(admin, "/metrics").body);
        if count(&after, "eval", "error") == Some(1.0) {
            break after;
        }
        assert!(start.elapsed() < crate::PATIENCE, "the error is not counted");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    before.assert_only_grown(&after);
    assert_eq!(count(&after, "set", "ok"), Some(5.0));
    assert_eq!(count(&after, "get", "ok"), Some(1.0));
    assert_eq!(count(&after, "lpush", "error"), Some(1.0));
    assert_eq!(
        (count(&after, "eval", "ok"), count(&after, "eval", "error")),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(count(&after, "other", "slotway_error"), Some(1.0));
    // However many nodes it took.
    assert_eq!(count(&after, "mset", "ok"), Some(1.0));
    assert_eq!(after.get("slotway_split_commands_total", &[]), Some(1.0));
    let writes = after.get("slotway_command_duration_seconds_count", &[("class", "write")]);
    assert_eq!(writes, Some(7.0));
    // One for each, the four parts of MSET included; what went behind the scripts is nobody's.
    assert_eq!(answered(&after) - answered(&before), 13.0);
    assert!(after.series.len() < 1500, "{} series", after.series.len());
}
