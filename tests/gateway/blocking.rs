//! Requests that wait: first come, first served, and nothing is taken for nobody.

use std::time::{Duration, Instant};

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, client, shared};
use crate::support::until;
use testkit::server::RedisServer;

/// Waits until so many clients of the gateway are blocked.
fn until_blocked(looker: &mut Client, count: usize) {
    until("they are blocked", || {
        let listed = looker.line("CLIENT LIST").text().to_owned();
        // The client is told to be blocked when its node has been asked.
        listed.lines().filter(|line| line.contains(" flags=b ")).count() == count
    });
}

/// Waits until so many connections of the nodes are blocked.
fn until_nodes_block(site: &Site, count: usize) {
    until("they wait at their nodes", || {
        let of = |n| {
            let said = site.cluster.node(n).line("INFO clients").text().to_owned();
            let line = said.lines().find(|line| line.starts_with("blocked_clients:")).unwrap();
            line["blocked_clients:".len()..].trim().parse::<usize>().unwrap()
        };
        (0..site.cluster.nodes.len()).map(of).sum::<usize>() == count
    });
}

/// What is there already, what is no time, and what is out of time: a lone server's answers.
const AS_A_SERVER: &[&str] = &[
    "RPUSH {b}l 1 2 3|BLPOP {b}none {b}l 0|BRPOP {b}l 0|LLEN {b}l",
    "BLPOP {b}none 0.05",
    "BRPOP {b}none {b}none2 0.05",
    "BLMOVE {b}none {b}l LEFT RIGHT 0.05",
    "RPUSH {b}l 1|BLMOVE {b}l {b}m LEFT RIGHT 0|LRANGE {b}m 0 -1",
    "BRPOPLPUSH {b}none {b}l 0.05",
    "RPUSH {b}l 1|BRPOPLPUSH {b}l {b}m 0",
    "BLMPOP 0.05 2 {b}none {b}none2 LEFT",
    "RPUSH {b}l 1 2 3|BLMPOP 0 2 {b}none {b}l LEFT COUNT 2",
    "BZPOPMIN {b}none 0.05",
    "ZADD {b}z 1 a 2 b|BZPOPMIN {b}z 0|BZPOPMAX {b}z 0",
    "BZMPOP 0.05 1 {b}none MIN",
    "ZADD {b}z 1 a 2 b|BZMPOP 0 1 {b}z MAX",
    "XREAD BLOCK 50 STREAMS {b}none $",
    "XADD {b}x 1-1 f v|XREAD BLOCK 0 STREAMS {b}x 0",
    "XADD {b}x 1-1 f v|XREAD COUNT 1 BLOCK 50 STREAMS {b}x $",
    "XADD {b}x 1-1 f v|XGROUP CREATE {b}x g 0|XREADGROUP GROUP g c BLOCK 0 STREAMS {b}x >",
    "XGROUP CREATE {b}x g $ MKSTREAM|XREADGROUP GROUP g c BLOCK 50 STREAMS {b}x >",
    "XREADGROUP GROUP none c BLOCK 0 STREAMS {b}x >",
    "SET {b}s x|BLPOP {b}s 0|XREAD BLOCK 0 STREAMS {b}s $",
    "BLPOP {b}l -1",
    "BLPOP {b}l x",
    "BLPOP {b}l inf",
    "XREAD BLOCK -1 STREAMS {b}x $",
    "XREAD BLOCK 10 {b}x $",
    "BLMPOP 0 0 LEFT",
    "WAIT 0 0",
    "WAIT x 0",
    "WAIT 0 -1",
];

#[test]
fn what_does_not_wait_for_long_is_answered_as_by_a_lone_server() {
    let lone = RedisServer::start(&[]);
    let site = shared();
    for protocol in [2, 3] {
        for script in AS_A_SERVER {
            let said = |mut client: Client| {
                client.line(&format!("HELLO {protocol}"));
                client.line("DEL {b}l {b}m {b}z {b}x {b}s");
                let bytes = script.split('|').map(request).collect::<Vec<_>>().concat();
                let replies = client.exchange(&bytes, script.split('|').count());
                replies.into_iter().map(|(reply, _)| format!("{reply:?}")).collect::<Vec<_>>()
            };
            let of_a_server = said(Client::connect(lone.address()));
            assert_eq!(said(site.gateway.client()), of_a_server, "RESP{protocol}: {script}");
        }
    }
}

#[test]
fn first_come_first_served() {
    let site = Site::start(3, &[]);
    let mut looker = site.gateway.client();
    let mut clients: Vec<Client> = (0..20).map(|_| site.gateway.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&request("BLPOP block:q 0"));
        until_nodes_block(&site, n + 1);
    }
    until_blocked(&mut looker, clients.len());
    let info = looker.line("INFO clients").text().to_owned();
    assert!(info.contains("blocked_clients:20\r\n"), "{info}");
    for (n, client) in clients.iter_mut().enumerate() {
        looker.line(&format!("RPUSH block:q {n}"));
        let want = ["block:q".to_owned(), n.to_string()].map(Reply::bulk).to_vec();
        assert_eq!(client.reply(), Reply::Array(want));
    }
    until_blocked(&mut looker, 0);
    assert!(looker.line("INFO clients").text().contains("blocked_clients:0\r\n"));
}

#[test]
fn what_is_sent_behind_a_wait_is_answered_behind_it() {
    let mut client = client();
    let mut other = crate::support::site::client();
    client.line("DEL block:order");
    let lines = ["SET block:x 1", "BLPOP block:order 0", "INCR block:x", "GET block:x"];
    client.send(&lines.map(request).concat());
    assert_eq!(client.reply(), Reply::ok());
    // What comes while it waits is kept, also when it is much.
    let mut long = Vec::new();
    put(&mut long, &["SET", "block:long", &"x".repeat(200_000)]);
    client.send(&long);
    assert_eq!(other.line("GET block:x"), Reply::bulk("1"));
    other.line("RPUSH block:order v");
    let popped = vec![Reply::bulk("block:order"), Reply::bulk("v")];
    assert_eq!(client.reply(), Reply::Array(popped));
    assert_eq!(client.reply(), Reply::Int(2));
    assert_eq!(client.reply(), Reply::bulk("2"));
    assert_eq!(client.reply(), Reply::ok());
    client.assert_in_step();
}

#[test]
fn nothing_is_popped_for_a_client_that_has_left() {
    let site = Site::start(3, &[]);
    let mut other = site.gateway.client();
    for ends in 0..3 {
        let mut clients: Vec<Client> = (0..10).map(|_| site.gateway.client()).collect();
        for client in &mut clients {
            client.send(&request("BLPOP block:left 0"));
        }
        until_nodes_block(&site, clients.len());
        match ends {
            0 => {}
            // With something behind it, and without closing the other side.
            1 => clients.iter_mut().for_each(|client| {
                client.send(&request("GET block:left"));
                client.end_sending();
            }),
            _ => {
                let killed = other.line("CLIENT KILL TYPE normal");
                assert_eq!(killed, Reply::Int(10));
            }
        }
        let kept = if ends == 0 {
            drop(clients);
            Vec::new()
        } else {
            clients
        };
        until_nodes_block(&site, 0);
        for n in 0..10 {
            other.line(&format!("RPUSH block:left {n}"));
        }
        assert_eq!(other.line("LLEN block:left"), Reply::Int(10), "{ends}");
        other.line("DEL block:left");
        drop(kept);
    }
}

#[test]
fn blocked_clients_can_be_told_to_go_on() {
    let site = Site::start(3, &[]);
    let mut other = site.gateway.client();
    let mut client = site.gateway.client();
    let id = client.line("CLIENT ID").int();
    assert_eq!(other.line(&format!("CLIENT UNBLOCK {id}")), Reply::Int(0));
    for (line, how, want) in [
        ("BLPOP block:go 0", "", Reply::Null),
        ("XREAD BLOCK 0 STREAMS block:go $", "TIMEOUT", Reply::Null),
        (
            "BLMOVE {block}a {block}b LEFT LEFT 0",
            "ERROR",
            Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()),
        ),
    ] {
        client.send(&request(line));
        until_nodes_block(&site, 1);
        let told = format!("CLIENT UNBLOCK {id} {how}");
        assert_eq!(other.line(told.trim_end()), Reply::Int(1), "{line}");
        assert_eq!(client.reply(), want, "{line}");
        assert_eq!(other.line(told.trim_end()), Reply::Int(0), "{line}");
    }
    client.assert_in_step();
}

/// A stream that goes away ends the wait of its readers.
#[test]
fn a_wait_ends_with_its_stream() {
    let site = Site::start(3, &[]);
    let (mut client, mut other) = (site.gateway.client(), site.gateway.client());
    other.line("XGROUP CREATE block:stream g $ MKSTREAM");
    client.send(&request("XREADGROUP GROUP g c BLOCK 0 STREAMS block:stream >"));
    until_nodes_block(&site, 1);
    other.line("DEL block:stream");
    let reply = client.reply();
    assert!(reply.error().starts_with("UNBLOCKED the stream key no longer exists"), "{reply:?}");
}

#[test]
fn a_time_out_is_exact() {
    let mut client = client();
    client.line("DEL block:time");
    for (line, ms) in [
        ("BLPOP block:time 1", 1000),
        ("BLPOP block:time 0.3", 300),
        ("XREAD BLOCK 250 STREAMS block:time $", 250),
    ] {
        let start = Instant::now();
        assert_eq!(client.line(line), Reply::Null);
        // How much later is the machine's; never too early is the gateway's.
        assert!(start.elapsed() >= Duration::from_millis(ms), "{line}: {:?}", start.elapsed());
    }
}

#[test]
fn many_blocked_clients_take_little() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_BLOCKED_CLIENTS_MAX", "500")]);
    let mut other = site.gateway.client();
    let mut clients: Vec<Client> = (0..600).map(|_| site.gateway.client()).collect();
    for client in &mut clients {
        client.send(&request("BLPOP block:many 0"));
    }
    // As many as may wait at one node at once; the others wait for their turn.
    until_nodes_block(&site, 500);
    until_blocked(&mut other, 600);
    let values: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    let push = ["RPUSH", "block:many"].into_iter().chain(values.iter().map(String::as_str));
    other.ask(&push.collect::<Vec<_>>());
    let mut got: Vec<String> =
        clients.iter_mut().map(|client| client.reply().texts()[1].clone()).collect();
    got.sort_by_key(|value| value.parse::<usize>().unwrap());
    assert_eq!(got, values);
}

/// The least number of replicas of any master: at a cluster without any, none.
#[test]
fn wait_asks_every_master() {
    let mut client = client();
    client.line("SET block:wait 1");
    let site = shared();
    let of = |n| {
        let said = site.cluster.node(n).line("INFO replication").text().to_owned();
        let line = said.lines().find(|line| line.starts_with("connected_slaves:")).unwrap();
        let replicas = line["connected_slaves:".len()..].trim().parse::<i64>().unwrap();
        said.contains("role:master").then_some(replicas)
    };
    let least = (0..site.cluster.nodes.len()).filter_map(of).min().unwrap();
    assert_eq!(client.line(&format!("WAIT {least} 0")), Reply::Int(least));
    let start = Instant::now();
    assert_eq!(client.line("WAIT 99 100"), Reply::Int(least));
    assert!(start.elapsed() >= Duration::from_millis(100));
    client.assert_in_step();
}
