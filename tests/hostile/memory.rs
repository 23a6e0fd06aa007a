//! What ten thousand idle connections cost.

use std::net::TcpStream;

use crate::support::cluster::{key, value_of};
use crate::support::wire::bulk;
use crate::support::{Cluster, Gateway, wait_for};

const CLIENTS: usize = 10_000;
const LIMIT_MIB: usize = 60;

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
