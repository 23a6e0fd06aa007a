//! What ten thousand idle connections cost, and that large values leave nothing behind.

use std::net::TcpStream;

use crate::support::cluster::{key, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Cluster, Gateway, pair, wait_for};

const CLIENTS: usize = 10_000;
const LIMIT_MIB: usize = 60;
const LARGE_BYTES: usize = 64 << 20;
/// What may stay after a large value.
const KEPT_MIB: usize = 16;

#[test]
fn ten_thousand_idle_clients_fit() {
    let files = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(files);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(files, raised).unwrap();
    let room = limit.maximum.unwrap_or(u64::MAX);
    assert!(room >= 12_000, "this test needs 12000 open files, {room} are allowed");
    let cluster = Cluster::of(2);
    let settings = format!("[limits]\nclients_max = {}\n", CLIENTS + 100);
    let gateway = Gateway::launch(cluster.port(0), 0, &settings);
    let mut probe = gateway.client();
    wait_for("a map of the cluster", || probe.ask("DBSIZE").starts_with(':'));
    let before = gateway.memory_mib();
    let clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    wait_for("all are in", || gateway.clients() > CLIENTS);
    let value = bulk(&value_of(&key(0, 2, 0)));
    assert_eq!(probe.ask(&format!("GET {}", key(0, 2, 0))), value);
    let idle = gateway.memory_mib();
    // Each has said something and is idle again.
    for client in &clients {
        let mut client = client;
        std::io::Write::write_all(&mut client, b"PING\r\n").unwrap();
    }
    for client in &clients {
        let (mut client, mut pong) = (client, [0; 7]);
        std::io::Read::read_exact(&mut client, &mut pong).unwrap();
        assert_eq!(&pong, b"+PONG\r\n");
    }
    let used = gateway.memory_mib();
    println!("{CLIENTS} clients: {before} -> {idle} MiB, after a command of each {used} MiB");
    assert!(idle.max(used) <= LIMIT_MIB, "{before} -> {idle} -> {used} MiB");
    drop(clients);
    wait_for("every socket is given back", || gateway.clients() == 1);
    assert_eq!(probe.ask(&format!("GET {}", key(0, 2, 0))), value);
    println!("after all have gone: {} MiB", gateway.memory_mib());
}

#[test]
fn what_large_values_took_is_given_back() {
    let (cluster, gateway, mut client) = pair("");
    let (large, small) = (key(0, 2, 0), key(1, 2, 0));
    let value = "v".repeat(LARGE_BYTES);
    let reply = bulk(&value);
    let said = reply.clone();
    cluster.script(move |call| {
        let is_get = call.node == 0 && call.text.starts_with("GET ");
        is_get.then(|| Act::say(&said))
    });
    let mut other = gateway.client();
    let mut is_small = |limit_mib| {
        // Others go on meanwhile, with nothing large.
        assert_eq!(other.ask(&format!("GET {small}")), bulk(&value_of(&small)));
        gateway.memory_mib() <= limit_mib
    };
    assert!(is_small(usize::MAX));
    let before = gateway.memory_mib();
    assert_eq!(client.ask(&format!("SET {large} {value}")), "+OK\r\n");
    wait_for("what a request took is given back", || is_small(before + KEPT_MIB));
    client.send(&[&format!("GET {large}")]);
    // Nobody reads it yet, so the gateway has most of it.
    wait_for("a reply in memory", || gateway.memory_mib() > before + KEPT_MIB);
    assert!(client.reply() == reply);
    wait_for("what a reply took is given back", || is_small(before + KEPT_MIB));
}
