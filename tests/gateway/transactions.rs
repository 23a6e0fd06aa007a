//! Transactions: what a lone Redis answers, the gateway answers, byte for byte.

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, alone, client, shared};
use crate::support::until;
use testkit::server::RedisServer;

/// Each is sent to a lone server and to the gateway, on a connection of its own. `|` ends a request.
const AS_A_SERVER: &[&str] = &[
    "MULTI|SET {t}a 1|INCR {t}a|EXPIRE {t}a 100|GET {t}a|EXEC|GET {t}a",
    "MULTI|EXEC",
    "MULTI|PING|PING hello|ECHO x|EXEC",
    "MULTI|SET {t}a 1|PING|GET {t}a|ECHO y|EXEC",
    "EXEC",
    "DISCARD",
    "MULTI|SET {t}b 1|DISCARD|GET {t}b|EXEC",
    "MULTI|MULTI|EXEC",
    "MULTI|SET {t}a 1|MULTI|GET {t}a|EXEC",
    "MULTI|WATCH {t}a|SET {t}a 2|EXEC|GET {t}a",
    "MULTI|NOSUCH|SET {t}c 1|EXEC|GET {t}c",
    "MULTI|GET|SET {t}c 1|EXEC|GET {t}c",
    "MULTI|SUBSCRIBE|EXEC",
    "RPUSH {t}list 1 2|MULTI|INCR {t}list|LLEN {t}list|EXEC",
    "MULTI|SET {t}e x|LPUSH {t}e y|GET {t}e|EXEC",
    "WATCH {t}a|MULTI|SET {t}a 3|EXEC|GET {t}a",
    "WATCH {t}a {t}b|SET {t}b x|MULTI|SET {t}a 4|EXEC|GET {t}a",
    "WATCH {t}a|SET {t}a x|UNWATCH|MULTI|SET {t}a 5|EXEC",
    "WATCH {t}a|SET {t}a x|MULTI|DISCARD|MULTI|SET {t}a 6|EXEC",
    "WATCH {t}a|MULTI|NOSUCH|EXEC|MULTI|GET {t}a|EXEC",
    "WATCH {t}a|WATCH {t}b|MULTI|PING|EXEC",
    "WATCH {t}a|MULTI|EXEC",
    "WATCH {t}a|SET {t}a x|MULTI|EXEC|EXEC",
    "WATCH {t}a|SET {t}a x|MULTI|PING|GET {t}a|EXEC",
    "WATCH",
    "UNWATCH",
    "MULTI|UNWATCH|GET {t}a|EXEC",
    "MULTI|SET {t}a 1|RESET|GET {t}a|EXEC",
    "WATCH {t}a|SET {t}a x|RESET|MULTI|SET {t}a 7|EXEC",
    "MULTI|HSET {t}h f v g w|HGETALL {t}h|SMEMBERS {t}none|ZADD {t}z 1.5 m|ZSCORE {t}z m|EXEC",
    "MULTI|EVAL return{1,redis.call('incr',KEYS[1]),'x'} 1 {t}n|GET {t}n|EXEC",
    "MULTI|EVAL return(redis.error_reply('MOVED')) 1 {t}n|EXEC",
    "MULTI|PUBLISH {t}channel x|EXEC",
    "MULTI|BLPOP {t}none 0|BRPOPLPUSH {t}none {t}other 0|EXEC",
    "MULTI|XREAD BLOCK 0 STREAMS {t}none $|EXEC",
    "MULTI|MGET {t}a {t}b {t}none|DEL {t}a {t}b|EXISTS {t}a|EXEC",
    "CLIENT REPLY SKIP|MULTI|SET {t}a 1|EXEC|GET {t}a",
    "CLIENT REPLY OFF|MULTI|SET {t}a 9|EXEC|CLIENT REPLY ON|GET {t}a",
    "MULTI|CLIENT REPLY SKIP|EXEC|PING",
    "MULTI|SET {t}a 1|QUIT",
];

fn bytes_of(script: &str) -> Vec<u8> {
    script.split('|').map(request).collect::<Vec<_>>().concat()
}

/// Everything that comes until an ECHO's answer, or the end.
fn said(client: &mut Client, script: &str, protocol: u8) -> String {
    client.line(&format!("HELLO {protocol}"));
    client.line("DEL {t}a {t}b {t}c {t}e {t}list {t}h {t}z {t}n");
    let mut bytes = bytes_of(script);
    if !script.ends_with("QUIT") {
        put(&mut bytes, &["ECHO", "the end"]);
    }
    client.send(&bytes);
    let mut all = Vec::new();
    loop {
        let (reply, raw) = client.reply_and_bytes();
        let is_last = reply == Reply::bulk("the end")
            || script.ends_with("QUIT") && all.ends_with(b"+QUEUED\r\n");
        all.extend_from_slice(&raw);
        if is_last {
            return String::from_utf8(all).unwrap();
        }
    }
}

#[test]
fn transactions_are_answered_as_by_a_lone_server() {
    let lone = RedisServer::start(&[]);
    let site = shared();
    for protocol in [2, 3] {
        for script in AS_A_SERVER {
            // What would change how the reply itself is sent is refused.
            if script.contains("MULTI|CLIENT REPLY") {
                continue;
            }
            let of_a_server = said(&mut Client::connect(lone.address()), script, protocol);
            let ours = said(&mut site.gateway.client(), script, protocol);
            if script.contains("SUBSCRIBE") {
                assert!(ours.contains("-ERR") && ours.contains("-EXECABORT"), "{ours}");
                continue;
            }
            assert_eq!(ours, of_a_server, "RESP{protocol}: {script}");
        }
    }
}

#[test]
fn keys_in_several_slots_are_objected_to_when_they_are_queued() {
    let mut client = client();
    client.line("DEL tx:a tx:b");
    for script in [
        "MULTI|SET tx:a 1|SET tx:b 1|EXEC",
        "MULTI|MSET tx:a 1 tx:b 1|EXEC",
        "WATCH tx:a|MULTI|SET tx:b 1|EXEC",
    ] {
        let replies = client.exchange(&bytes_of(script), script.split('|').count());
        let errors: Vec<&str> = replies
            .iter()
            .filter_map(|(reply, _)| match reply {
                Reply::Error(text) => Some(text.split(' ').next().unwrap()),
                _ => None,
            })
            .collect();
        assert_eq!(errors, ["CROSSSLOT", "EXECABORT"], "{script}");
    }
    assert_eq!(client.line("EXISTS tx:a tx:b"), Reply::Int(0));
    assert!(client.line("WATCH tx:a tx:b").error().starts_with("CROSSSLOT"));
    assert_eq!(client.line("WATCH tx:a"), Reply::ok());
    assert!(client.line("WATCH tx:b").error().starts_with("CROSSSLOT"));
}

#[test]
fn what_is_not_one_nodes_cannot_be_in_a_transaction() {
    let mut client = client();
    for (line, reason) in [
        ("KEYS *", "several"),
        ("FLUSHALL", "several"),
        ("SCAN 0", "several"),
        ("HSCAN tx:h 0", "cursors"),
        ("INFO", "several"),
        ("CONFIG GET maxmemory", "several"),
        ("WAIT 0 0", "several"),
        ("SCRIPT LOAD x", "several"),
        ("HELLO 3", "own reply"),
        ("CLIENT REPLY OFF", "own reply"),
        ("SUBSCRIBE a", "another number"),
        ("SAVE", "not allowed inside"),
    ] {
        assert_eq!(client.line("MULTI"), Reply::ok());
        let error = client.line(line);
        assert!(error.error().contains(reason), "{line}: {error:?}");
        assert!(client.line("EXEC").error().starts_with("EXECABORT"), "{line}");
    }
    client.assert_in_step();
}

#[test]
fn a_large_transaction_is_whole_and_a_too_large_one_is_refused() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_TRANSACTION_BYTES_MAX", "1mb")]);
    let mut client = site.gateway.client();
    let count = 20_000;
    let mut bytes = request("MULTI");
    for n in 0..count {
        bytes.extend(request(&format!("RPUSH tx:many {n}")));
    }
    bytes.extend(request("EXEC"));
    let replies = client.exchange(&bytes, count + 2);
    let want = (1..=count as i64).map(Reply::Int).collect();
    assert_eq!(replies[count + 1].0, Reply::Array(want));
    assert_eq!(client.line("MULTI"), Reply::ok());
    let (mut bytes, value) = (Vec::new(), "x".repeat(600 << 10));
    put(&mut bytes, &["SET", "tx:long", &value]);
    assert_eq!(client.exchange(&bytes, 1)[0].0, Reply::Simple("QUEUED".into()));
    let error = client.exchange(&bytes, 1)[0].0.clone();
    assert!(error.error().contains("transaction_bytes_max"), "{error:?}");
    assert!(client.line("EXEC").error().starts_with("EXECABORT"));
    assert_eq!(client.line("EXISTS tx:long"), Reply::Int(0));
    // One that is as long as may be.
    let script = [request("MULTI"), bytes, request("EXEC")].concat();
    let ran = client.exchange(&script, 3)[2].0.clone();
    assert_eq!(ran, Reply::Array(vec![Reply::ok()]));
    assert_eq!(client.line("STRLEN tx:long"), Reply::Int(600 << 10));
}

/// What a node finds out only when it is asked to queue a command: nothing runs, and its words are told.
#[test]
fn what_a_node_objects_to_is_told() {
    let site = alone();
    let mut client = site.gateway.client();
    client.line("SET tx:full x");
    for n in 0..site.cluster.nodes.len() {
        site.cluster.node(n).line("CONFIG SET maxmemory 1");
    }
    let replies = client.exchange(&bytes_of("MULTI|GET tx:full|SET tx:full y|EXEC"), 4);
    for n in 0..site.cluster.nodes.len() {
        site.cluster.node(n).line("CONFIG SET maxmemory 0");
    }
    let error = replies[3].0.error();
    assert!(error.starts_with("EXECABORT Transaction discarded because of: OOM"), "{error}");
    assert_eq!(client.line("GET tx:full"), Reply::bulk("x"));
}

#[test]
fn others_changes_are_seen_by_those_who_watch() {
    let site = shared();
    let (mut client, mut other) = (site.gateway.client(), site.gateway.client());
    client.line("SET tx:watched 1");
    for (change, ran) in [("SET tx:watched 2", false), ("SET tx:else 2", true)] {
        assert_eq!(client.line("WATCH tx:watched"), Reply::ok());
        other.line(change);
        assert_eq!(client.line("MULTI"), Reply::ok());
        client.line("INCR {tx:watched}:n");
        let reply = client.line("EXEC");
        assert_eq!(matches!(reply, Reply::Array(_)), ran, "{change}: {reply:?}");
    }
    let listed = |client: &mut Client| client.line("CLIENT INFO").text().to_owned();
    assert!(listed(&mut client).contains(" multi=-1 watch=0 "));
    client.line("WATCH tx:watched {tx:watched}:n");
    assert!(listed(&mut client).contains(" multi=-1 watch=2 "));
    client.line("MULTI");
    client.line("GET tx:watched");
    let of_all = other.line("CLIENT LIST").text().to_owned();
    assert!(of_all.lines().any(|line| line.contains("flags=x ") && line.contains(" multi=1 ")));
    client.line("DISCARD");
    assert!(listed(&mut client).contains(" multi=-1 watch=0 "));
}

#[test]
fn who_changes_the_protocol_while_watching_tries_again() {
    let mut client = client();
    client.line("WATCH tx:hello");
    client.line("HELLO 3");
    client.line("MULTI");
    client.line("HSET tx:hello f v");
    assert_eq!(client.line("EXEC"), Reply::Null);
    let script = "WATCH tx:hello|MULTI|DEL tx:hello|HGETALL tx:hello|EXEC";
    let reply = client.exchange(&bytes_of(script), 5)[4].0.clone();
    assert_eq!(reply.items()[1], Reply::Map(Vec::new()));
}

/// Where keys are watched nobody can say: the client is told, and not listed as one that watches.
#[test]
fn a_watch_that_is_refused_is_none() {
    let mut client = client();
    assert!(client.line("WATCH tx:a tx:b").error().starts_with("CROSSSLOT"));
    assert!(client.line("CLIENT INFO").text().contains(" watch=0 "));
}

/// Node connections are used again and again, whoever watches.
#[test]
fn watching_takes_few_connections() {
    let site = Site::start(3, &[]);
    let connections = || {
        let of = |n| {
            let said = site.cluster.node(n).line("INFO stats").text().to_owned();
            let line = said.lines().find(|line| line.starts_with("total_connections_received"));
            line.and_then(|line| line.split(':').nth(1)?.trim().parse::<u64>().ok()).unwrap()
        };
        (0..site.cluster.nodes.len()).map(of).sum::<u64>()
    };
    let before = connections();
    let clients: Vec<_> = (0..10)
        .map(|n| {
            let mut client = site.gateway.client();
            std::thread::spawn(move || {
                for round in 0..200 {
                    let key = format!("tx:few:{n}:{round}");
                    let script = format!("WATCH {key}|GET {key}|MULTI|SET {key} 1|EXEC");
                    let replies = client.exchange(&bytes_of(&script), 5);
                    assert_eq!(replies[4].0, Reply::Array(vec![Reply::ok()]));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // Each looks at the nodes once, and the map is read meanwhile.
    let made = connections() - before;
    assert!(made < 60, "{made} connections for 2,000 transactions");
}

#[test]
fn a_client_that_leaves_watches_nothing_any_more() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_WATCHING_CLIENTS_MAX", "2")]);
    let mut clients: Vec<Client> = (0..3).map(|_| site.gateway.client()).collect();
    for client in &mut clients[..2] {
        assert_eq!(client.line("WATCH tx:k"), Reply::ok());
    }
    clients[2].send(&request("WATCH tx:k"));
    let mut looker = site.gateway.client();
    until("all three have asked", || {
        let listed = looker.line("CLIENT LIST").text().to_owned();
        listed.lines().filter(|line| line.contains(" cmd=watch ")).count() == 3
    });
    let at_nodes = || {
        let of = |n| {
            let listed = site.cluster.node(n).line("CLIENT LIST").text().to_owned();
            listed.lines().filter(|line| line.contains(" cmd=watch ")).count()
        };
        (0..site.cluster.nodes.len()).map(of).sum::<usize>()
    };
    assert_eq!(at_nodes(), 2, "one waits for its turn");
    drop(clients.remove(0));
    assert_eq!(clients[1].reply(), Reply::ok());
    assert_eq!(at_nodes(), 2);
}

/// What a client watched that has gone is nobody else's: their transactions run.
#[test]
fn what_a_client_watched_that_has_left_is_forgotten() {
    let site = Site::start(3, &[]);
    let mut other = site.gateway.client();
    for round in 0..20 {
        let mut leaver = site.gateway.client();
        assert_eq!(leaver.line("WATCH {tx}left"), Reply::ok());
        match round % 3 {
            0 => drop(leaver),
            1 => drop((leaver.line("RESET"), leaver)),
            _ => drop((leaver.line("UNWATCH"), leaver)),
        }
        other.line("SET {tx}left x");
        let script = "WATCH {tx}other|MULTI|SET {tx}other 1|EXEC";
        let replies = other.exchange(&bytes_of(script), 4);
        assert_eq!(replies[3].0, Reply::Array(vec![Reply::ok()]), "{round}");
    }
}

/// Where nodes may have no memory, a node is asked before EXEC, and objects as a lone server does.
#[test]
fn a_write_without_memory_is_objected_to_when_it_is_queued() {
    let site = alone();
    let (mut client, mut other) = (site.gateway.client(), site.gateway.client());
    client.line("SET tx:full x");
    let queues =
        |client: &mut Client, line: &str| client.line(line) == Reply::Simple("QUEUED".into());
    assert_eq!(other.line("CONFIG SET maxmemory 1"), Reply::ok());
    assert_eq!(client.line("MULTI"), Reply::ok());
    assert!(queues(&mut client, "GET tx:full"));
    let error = client.line("SET tx:full y");
    assert!(error.error().starts_with("OOM "), "{error:?}");
    assert!(queues(&mut client, "GET tx:full"));
    assert_eq!(other.line("CONFIG SET maxmemory 0"), Reply::ok());
    assert!(client.line("EXEC").error().starts_with("EXECABORT "));
    assert_eq!(client.line("GET tx:full"), Reply::bulk("x"));
    // Nothing stands in the way any more, and nothing is left behind at the node.
    let script = "MULTI|SET tx:full z|SET tx:full y|EXEC|GET tx:full";
    let replies = client.exchange(&bytes_of(script), 5);
    assert_eq!(replies[3].0, Reply::Array(vec![Reply::ok(), Reply::ok()]));
    assert_eq!(replies[4].0, Reply::bulk("y"));
}

#[test]
fn config_set_fails_within_the_reply() {
    let mut client = client();
    let replies = client.exchange(&bytes_of("MULTI|SET tx:c 1|CONFIG SET maxmemory x|EXEC"), 4);
    let Reply::Array(items) = &replies[3].0 else { panic!("{replies:?}") };
    assert_eq!(items[0], Reply::ok());
    assert!(items[1].error().starts_with("ERR CONFIG SET failed"), "{items:?}");
}
