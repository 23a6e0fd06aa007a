//! A client that never reads costs what it may cost, and only itself.

use std::io::{ErrorKind, Write};

use crate::support::cluster::{key, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Client, Cluster, Gateway, pair, wait_for};

const LIMIT: &str = "[limits]\nclient_output_bytes_max = \"8MB\"\n";

/// Node 0 answers with this much.
fn large_values(cluster: &Cluster, bytes: usize) {
    let frame = bulk(&"v".repeat(bytes));
    cluster.script(move |call| (call.node == 0).then(|| Act::say(&frame)));
}

/// Sends requests as long as the gateway takes them or until it closes.
fn flood(client: &Client, request: &[u8], times: usize) {
    client.stream.set_write_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    let mut stream = &client.stream;
    for _ in 0..times {
        match stream.write_all(request) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return,
        }
    }
}

/// The most memory the gateway has while another client is served, until that is the only one left.
fn peak(gateway: &Gateway) -> usize {
    let (there, mut other, mut most) = (key(1, 2, 0), gateway.client(), 0);
    wait_for("the end of the flood", || {
        for _ in 0..10 {
            assert_eq!(other.ask(&format!("GET {there}")), bulk(&value_of(&there)));
        }
        most = most.max(gateway.memory_mib());
        gateway.clients() == 1
    });
    most
}

#[test]
fn a_client_that_never_reads_is_cut_at_its_limit() {
    let (cluster, gateway, client) = pair(LIMIT);
    large_values(&cluster, 1 << 20);
    // All of it at once: then all of it is under way before the first reply comes.
    flood(&client, &request(&["GET", &key(0, 2, 0)]).repeat(400), 1);
    let most = peak(&gateway);
    println!("a client that never reads, limit 8 MB: peak {most} MiB");
    assert!(most < 80, "{most} MiB");
    let mut rest = Vec::new();
    let mut stream = &client.stream;
    // What had been written may be read, then it is over.
    let end = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(rest.len() < 400 << 20);
}

#[test]
fn many_clients_that_never_read_are_all_cut() {
    let (cluster, gateway, probe) = pair(LIMIT);
    drop(probe);
    large_values(&cluster, 256 << 10);
    let clients: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    let get = request(&["GET", &key(0, 2, 0)]).repeat(300);
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| flood(client, &get, 1));
        }
        let most = peak(&gateway);
        println!("ten clients that never read, limit 8 MB each: peak {most} MiB");
        assert!(most < 200, "{most} MiB");
    });
}

#[test]
fn a_large_reply_within_the_limit_passes() {
    let (cluster, _gateway, mut client) = pair("[limits]\nclient_output_bytes_max = \"33MB\"\n");
    large_values(&cluster, 32 << 20);
    let reply = client.ask(&format!("GET {}", key(0, 2, 0)));
    assert_eq!(reply.len(), (32 << 20) + "$33554432\r\n\r\n".len());
}

#[test]
fn parts_of_a_split_reply_count_towards_the_limit() {
    let (cluster, gateway, mut client) = pair(LIMIT);
    let frame = format!("*1\r\n{}", bulk(&"v".repeat(6 << 20)));
    cluster.script(move |call| call.text.starts_with("MGET").then(|| Act::say(&frame)));
    client.send(&[&format!("MGET {} {}", key(0, 2, 0), key(1, 2, 0))]);
    assert_eq!(client.rest(), "");
    let mut other = gateway.client();
    assert_eq!(other.ask("DBSIZE"), ":2\r\n");
}

#[test]
fn a_node_that_does_not_read_pauses_its_clients_only() {
    let settings = "[limits]\nnode_queue_bytes_max = \"4MB\"\n";
    let (cluster, gateway, stuck) = pair(settings);
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let gate = crate::support::Gate::default();
    let wait = gate.clone();
    cluster.script(move |call| {
        let acts = vec![Act::Wait(wait.clone()), Act::Say(b"+OK\r\n".to_vec())];
        (call.node == 0).then_some(acts)
    });
    let set = request(&["SET", &here, &"v".repeat(100_000)]);
    flood(&stuck, &set, 600);
    let mut other = gateway.client();
    for _ in 0..100 {
        assert_eq!(other.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    }
    let memory = gateway.memory_mib();
    println!("a node that does not read, 60 MB sent to it: {memory} MiB");
    assert!(memory < 60, "{memory} MiB");
    gate.open();
}

/// A node closes the connection over which such a request comes, and clients share it.
#[test]
fn what_a_node_would_close_the_connection_for_is_not_sent() {
    for (setting, limit) in
        [("proto-max-bulk-len", 1_000_000), ("client-query-buffer-limit", 999_999)]
    {
        let cluster = Cluster::of(2);
        let answer = format!("*2\r\n{}{}", bulk(setting), bulk(&limit.to_string()));
        let question = format!("CONFIG GET {setting}");
        cluster.answers(move |call| (call.text == question).then(|| Act::say(&answer)));
        let gateway = Gateway::start(&cluster, "");
        let (mut client, here) = (gateway.client(), key(0, 2, 0));
        let (large, small) = ("v".repeat(1_000_001), "v".repeat(900_000));
        wait_for("the node's limit", || {
            let reply = client.ask(&format!("SET {here} {large}"));
            assert!(reply == "+OK\r\n" || reply.contains(setting), "{reply}");
            reply.starts_with("-ERR gateway: a request is larger than the nodes take")
        });
        cluster.forget_calls();
        client.send(&[&format!("SET {here} {large}"), &format!("SET {here} {small}")]);
        let replies = client.replies(2);
        assert!(replies[0].contains(setting), "{replies:?}");
        assert_eq!(replies[1], "+OK\r\n");
        assert_eq!(cluster.seen(0), [format!("SET {here} {small}")]);
    }
}

#[test]
fn a_client_that_talks_and_never_listens_to_the_gateway_itself_is_cut() {
    let (_cluster, gateway, client) = pair(LIMIT);
    let echo = request(&["ECHO", &"v".repeat(100_000)]);
    flood(&client, &echo, 2000);
    let memory = gateway.memory_mib();
    assert!(memory < 80, "{memory} MiB");
    let mut other = gateway.client();
    assert_eq!(other.ask("PING"), "+PONG\r\n");
}
