//! What ten thousand idle connections cost, and that large values leave nothing behind.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A node that begins an error, and never ends it: what is given on of it is bounded, and so is the
/// patience with it.
#[test]
fn an_error_without_an_end_takes_no_memory() {
    let (cluster, gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(1, 2, 0));
    let said = Arc::new(AtomicUsize::new(0));
    let (word, counted) = (mine.clone(), Arc::clone(&said));
    cluster.script(move |call| {
        let flood = Act::Flood(vec![b'x'; 1 << 20], Arc::clone(&counted));
        call.text.contains(&word).then(|| vec![Act::Say(b"-ERR ".to_vec()), flood])
    });
    let before = gateway.memory_mib();
    let mut reader = gateway.client();
    client.send(&[&format!("SET {mine} 1")]);
    let mut most = 0;
    wait_for("a node that is given up", || {
        most = most.max(gateway.memory_mib());
        assert_eq!(reader.ask(&format!("GET {other}")), bulk(&value_of(&other)));
        gateway.log().contains("a line without an end")
    });
    assert!(most < before + 100, "{before} MiB before, {most} MiB with {said:?} bytes");
    // It has been sent the beginning of an answer that cannot be taken back.
    let rest = client.rest();
    assert!(rest.starts_with("-ERR xxx") && rest.len() < 20 << 20, "{} bytes", rest.len());
}

/// An answer in countless small values keeps its worker busy, but not for long at a time.
#[test]
fn an_array_without_an_end_holds_up_nobody_else() {
    let (cluster, gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(1, 2, 0));
    let said = Arc::new(AtomicUsize::new(0));
    let (word, counted) = (mine.clone(), Arc::clone(&said));
    cluster.script(move |call| {
        let flood = Act::Flood(b":1\r\n".repeat(1 << 18), Arc::clone(&counted));
        call.text.contains(&word).then(|| vec![Act::Say(b"*4000000000\r\n".to_vec()), flood])
    });
    client.send(&[&format!("LRANGE {mine} 0 -1")]);
    let reading = std::thread::spawn(move || {
        let mut taken = 0;
        while let Some(count) = client.take_some() {
            taken += count;
        }
        taken
    });
    let bytes = || said.load(Ordering::SeqCst);
    wait_for("a flood", || bytes() > 20 << 20);
    let mut reader = gateway.client();
    let mut most = 0;
    for _ in 0..20 {
        let before = bytes();
        assert_eq!(reader.ask("PING"), "+PONG\r\n");
        assert_eq!(reader.ask(&format!("GET {other}")), bulk(&value_of(&other)));
        most = most.max(bytes() - before);
    }
    eprintln!("at most {most} bytes were read before others had their turn");
    assert!(most < 64 << 20, "{most} bytes");
    drop(gateway);
    drop(cluster);
    assert!(reading.join().unwrap() > 0);
}
