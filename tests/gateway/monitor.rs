//! MONITOR: everything that clients ask, once, with the address of who asks.

use crate::support::client::{Client, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, shared};
use crate::support::until;

/// The lines up to one that has this word in it, that one included.
fn lines_until(monitor: &mut Client, word: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.contains(word)) {
        match monitor.reply() {
            Reply::Simple(line) => lines.push(line),
            other => panic!("{other:?}"),
        }
    }
    lines
}

/// A line without its time and address.
fn shown(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, shown)| shown)
}

#[test]
fn every_request_is_shown_once_with_its_clients_address() {
    let site =
        Site::start(3, &[("SLOTWAY_WORKERS", "2"), ("SLOTWAY_WORKER_SCALE_UP_PERCENT", "0")]);
    let mut monitor = site.gateway.client();
    assert_eq!(monitor.line("MONITOR"), Reply::ok());
    let mut clients: Vec<Client> = (0..4).map(|_| site.gateway.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.line(&format!("SET mon:{n} x"));
        client.line("MGET mon:0 mon:1 mon:2 mon:3");
        client.line("CONFIG GET maxmemory");
        client.line("NOSUCH command");
        client.line("GET");
        client.line("HELLO 2 AUTH default secret");
    }
    clients[0].line("MULTI");
    clients[0].line("INCR mon:n");
    clients[0].line("PING");
    clients[0].line("DISCARD");
    clients[0].line("MULTI");
    clients[0].line("INCR mon:n");
    clients[0].line("PING");
    clients[0].line("EXEC");
    clients[0].send(b"GET inline\r\n");
    clients[0].reply();
    clients[0].line("ECHO the-end");
    let lines = lines_until(&mut monitor, "the-end");
    let all: Vec<&str> = lines.iter().map(|line| shown(line)).collect();
    let count = |word: &str| all.iter().filter(|line| line.contains(word)).count();
    assert_eq!(count("\"SET\""), 4, "{all:#?}");
    assert_eq!(count("\"MGET\" \"mon:0\" \"mon:1\" \"mon:2\" \"mon:3\""), 4);
    assert_eq!((count("maxmemory"), count("NOSUCH"), count("secret")), (0, 0, 0));
    assert_eq!(count("\"AUTH\" \"(redacted)\" \"(redacted)\""), 4);
    let last = ["\"MULTI\"", "\"INCR\" \"mon:n\"", "\"PING\"", "\"EXEC\"", "\"GET\" \"inline\""];
    assert_eq!(all[all.len() - 6..all.len() - 1], last);
    assert_eq!(count("\"INCR\""), 1, "what is discarded is not run");
    let addresses: std::collections::HashSet<&str> =
        lines.iter().map(|line| line.split(['[', ']']).nth(1).expect(line)).collect();
    assert_eq!(addresses.len(), 4);
    assert!(addresses.iter().all(|address| address.starts_with("0 127.0.0.1:")));
}

#[test]
fn others_and_scripts_are_shown_too() {
    let site = Site::start(3, &[]);
    let mut monitor = site.gateway.client();
    monitor.line("MONITOR");
    let (mut client, mut direct) = (site.gateway.client(), site.cluster.node(1));
    // Until all masters have been asked.
    until("what happens at the node is shown", || {
        direct.line("ECHO direct");
        client.line("ECHO mark");
        lines_until(&mut monitor, "\"mark\"").iter().any(|line| line.contains("\"direct\""))
    });
    client.line("EVAL redis.call('set',KEYS[1],'v') 1 mon:script");
    let mut lines = lines_until(&mut monitor, "lua]");
    client.line("ECHO the-end");
    lines.extend(lines_until(&mut monitor, "the-end"));
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("\"EVAL\""), count("lua] \"set\" \"mon:script\" \"v\"")), (1, 1));
    // Nothing of what the gateway asks the nodes by itself.
    assert_eq!((count("CLUSTER"), count("HELLO"), count("MYID")), (0, 0, 0), "{lines:#?}");
}

#[test]
fn a_client_that_monitors_asks_for_no_keys_until_it_resets() {
    let site = shared();
    let mut monitor = site.gateway.client();
    monitor.line("MULTI");
    assert!(monitor.line("MONITOR").error().contains("DENY BLOCKING"));
    monitor.line("DISCARD");
    let id = monitor.line("CLIENT ID").int();
    monitor.line("MONITOR");
    monitor.send(&request("GET k"));
    until("it is told that it may not", || match monitor.reply() {
        Reply::Error(text) => {
            assert_eq!(text, "ERR Replica can't interact with the keyspace");
            true
        }
        _ => false,
    });
    let listed = site.gateway.client().line("CLIENT LIST").text();
    let line = listed.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
    assert!(line.contains(" flags=O "), "{line}");
    monitor.send(&request("RESET"));
    until("it has reset", || monitor.reply() == Reply::Simple("RESET".to_owned()));
    assert_eq!(monitor.line("GET mon:none"), Reply::Null);
    monitor.assert_in_step();
}
