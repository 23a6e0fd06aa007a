//! Redirects in every form, sensible and not: followed, bounded, and never fatal.

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Client, Cluster, Gateway, pair};

/// A connection that answers is alive.
fn assert_alive(client: &mut Client) {
    let other = key(1, 2, 7);
    assert_eq!(client.ask(&format!("GET {other}")), bulk(&value_of(&other)));
}

/// Node 0 says this to every request for its first key.
fn always(cluster: &Cluster, line: String) -> String {
    let mine = key(0, 2, 0);
    let word = mine.clone();
    cluster
        .script(move |call| (call.node == 0 && call.text.contains(&word)).then(|| Act::say(&line)));
    mine
}

#[test]
fn two_nodes_that_point_at_each_other_are_given_up() {
    let (cluster, _gateway, mut client) = pair("[limits]\nredirects_max = 5\n");
    let mine = key(0, 2, 0);
    let ports = [cluster.port(0), cluster.port(1)];
    let word = format!("SET {mine} 1");
    let (text, number) = (word.clone(), slot(&mine));
    cluster.script(move |call| {
        let other = ports[1 - call.node];
        (call.text == text).then(|| Act::say(format!("-MOVED {number} 127.0.0.1:{other}\r\n")))
    });
    let reply = client.ask(&word);
    assert!(reply.starts_with("-CLUSTERDOWN Too many redirections"), "{reply}");
    assert_eq!(cluster.count(0, &word) + cluster.count(1, &word), 6);
    assert_alive(&mut client);
}

#[test]
fn two_nodes_that_ask_of_each_other_are_given_up() {
    let (cluster, _gateway, mut client) = pair("[limits]\nredirects_max = 5\n");
    let mine = key(0, 2, 0);
    let ports = [cluster.port(0), cluster.port(1)];
    let (word, number) = (format!("SET {mine} 1"), slot(&mine));
    let text = word.clone();
    cluster.script(move |call| {
        let other = ports[1 - call.node];
        (call.text == text).then(|| Act::say(format!("-ASK {number} 127.0.0.1:{other}\r\n")))
    });
    let reply = client.ask(&word);
    assert!(reply.starts_with("-CLUSTERDOWN Too many redirections"), "{reply}");
    assert_eq!(cluster.count(0, &word) + cluster.count(1, &word), 6);
    assert_alive(&mut client);
}

#[test]
fn a_node_that_points_at_itself_is_given_up() {
    for host in ["127.0.0.1", "", "?"] {
        let (cluster, _gateway, mut client) = pair("[limits]\nredirects_max = 4\n");
        let own = format!("-MOVED {} {host}:{}\r\n", slot(&key(0, 2, 0)), cluster.port(0));
        let mine = always(&cluster, own);
        let reply = client.ask(&format!("GET {mine}"));
        assert!(reply.starts_with("-CLUSTERDOWN Too many redirections"), "{host:?}: {reply}");
        assert_eq!(cluster.count(0, &format!("GET {mine}")), 5);
        assert_alive(&mut client);
    }
}

#[test]
fn hosts_in_every_form_are_found() {
    for host in ["127.0.0.1", "", "?", "localhost"] {
        let (cluster, _gateway, mut client) = pair("");
        let line = format!("-MOVED {} {host}:{}\r\n", slot(&key(0, 2, 0)), cluster.port(1));
        let mine = always(&cluster, line);
        assert_eq!(client.ask(&format!("GET {mine}")), bulk(&value_of(&mine)), "{host:?}");
        assert_eq!(cluster.count(1, &format!("GET {mine}")), 1);
    }
}

#[test]
fn a_name_means_the_node_that_is_known_by_its_address() {
    let (cluster, _gateway, mut client) = pair("");
    let (mine, there) = (key(0, 2, 0), key(1, 2, 0));
    let line = format!("-MOVED {} localhost:{}\r\n", slot(&mine), cluster.port(1));
    always(&cluster, line);
    assert_eq!(client.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    cluster.freeze_map();
    // The first one asks for the name; from then on nothing may change any more.
    for _ in 0..3 {
        assert_eq!(client.ask(&format!("GET {mine}")), bulk(&value_of(&mine)));
    }
    // One node is one shard: nothing is counted twice.
    assert_eq!(client.ask("DBSIZE"), ":2\r\n");
    let calls = cluster.calls();
    let gets = calls.iter().filter(|call| call.node == 1 && call.text.starts_with("GET"));
    let connections: std::collections::HashSet<usize> = gets.map(|call| call.connection).collect();
    assert_eq!(connections.len(), 1, "the node is connected to under two names");
}

#[test]
fn an_ipv6_literal_is_found() {
    for form in ["::1", "[::1]"] {
        let mut cluster = Cluster::of(2);
        let sixth = cluster.add("[::1]:0");
        let gateway = Gateway::start(&cluster, "");
        let mut client = gateway.client();
        let line = format!("-MOVED {} {form}:{}\r\n", slot(&key(0, 2, 0)), cluster.port(sixth));
        let mine = always(&cluster, line);
        assert_eq!(client.ask(&format!("GET {mine}")), bulk(&value_of(&mine)), "{form}");
        assert_eq!(cluster.count(sixth, &format!("GET {mine}")), 1);
    }
}

#[test]
fn the_map_is_patched_at_once() {
    let (cluster, gateway, mut client) = pair("");
    let line = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&key(0, 2, 0)), cluster.port(1));
    let mine = always(&cluster, line);
    cluster.freeze_map();
    let get = format!("GET {mine}");
    assert_eq!(client.ask(&get), bulk(&value_of(&mine)));
    assert_eq!(gateway.client().ask(&get), bulk(&value_of(&mine)));
    assert_eq!(client.ask(&get), bulk(&value_of(&mine)));
    assert_eq!((cluster.count(0, &get), cluster.count(1, &get)), (1, 3));
}

#[test]
fn nonsense_is_an_error_for_its_client_only() {
    let lines = [
        "-MOVED",
        "-MOVED \r\n",
        "-MOVED x",
        "-MOVED 99999 127.0.0.1:1",
        "-MOVED -1 127.0.0.1:1",
        "-MOVED 5 127.0.0.1",
        "-MOVED 5 127.0.0.1:99999",
        "-MOVED 5 :",
        "-ASK",
        "-ASK 5 127.0.0.1:x",
    ];
    let (cluster, _gateway, mut client) = pair("");
    for line in lines {
        let mine = always(&cluster, format!("{}\r\n", line.trim_end()));
        let reply = client.ask(&format!("GET {mine}"));
        assert!(reply.starts_with('-'), "{line}: {reply}");
        assert_alive(&mut client);
    }
}

#[test]
fn a_port_where_nobody_listens_ends_in_an_error() {
    for kind in ["MOVED", "ASK"] {
        let settings = "[timeouts]\nfailover_wait = \"700ms\"\n";
        let (cluster, _gateway, mut client) = pair(settings);
        let nobody = crate::support::gateway::free_address().port();
        let line = format!("-{kind} {} 127.0.0.1:{nobody}\r\n", slot(&key(0, 2, 0)));
        let mine = always(&cluster, line);
        let reply = client.ask(&format!("GET {mine}"));
        assert!(reply.starts_with("-CLUSTERDOWN"), "{kind}: {reply}");
        assert_alive(&mut client);
    }
}

#[test]
fn a_name_that_does_not_resolve_ends_in_an_error() {
    let (cluster, _gateway, mut client) = pair("[timeouts]\nfailover_wait = \"700ms\"\n");
    let line = format!("-MOVED {} no-such-host.invalid:7000\r\n", slot(&key(0, 2, 0)));
    let mine = always(&cluster, line);
    let reply = client.ask(&format!("GET {mine}"));
    assert!(reply.starts_with("-CLUSTERDOWN"), "{reply}");
    assert_alive(&mut client);
}

#[test]
fn ask_leads_to_a_node_that_is_in_no_map() {
    let mut cluster = Cluster::of(2);
    let new = cluster.add("127.0.0.1:0");
    let gateway = Gateway::start(&cluster, "");
    let mut client = gateway.client();
    let line = format!("-ASK {} 127.0.0.1:{}\r\n", slot(&key(0, 2, 0)), cluster.port(new));
    let mine = always(&cluster, line);
    for _ in 0..3 {
        assert_eq!(client.ask(&format!("SET {mine} 1")), "+OK\r\n");
    }
    assert_eq!(cluster.seen(new), ["ASKING", &format!("SET {mine} 1")].repeat(3));
    assert_eq!(cluster.count(0, &format!("SET {mine} 1")), 3);
}

#[test]
fn a_long_wait_does_not_use_up_the_redirects() {
    let (cluster, _gateway, mut client) = pair("[limits]\nredirects_max = 3\n");
    let mine = key(0, 2, 0);
    let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let word = format!("SET {mine} 1");
    let text = word.clone();
    cluster.script(move |call| {
        let is_here = call.node == 0 && call.text == text;
        let line = if call.before < 10 { "-TRYAGAIN not yet\r\n" } else { &moved };
        is_here.then(|| Act::say(line))
    });
    assert_eq!(client.ask(&word), "+OK\r\n");
    assert_eq!((cluster.count(0, &word), cluster.count(1, &word)), (11, 1));
}

#[test]
fn an_open_migration_that_says_try_again_at_both_ends_is_waited_for() {
    let (cluster, _gateway, mut client) = pair("[limits]\nredirects_max = 3\n");
    let mine = key(0, 2, 0);
    let ask = format!("-ASK {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let word = format!("SET {mine} 1");
    let text = word.clone();
    cluster.script(move |call| {
        if call.text != text {
            return None;
        }
        match call.node {
            0 => Some(Act::say(&ask)),
            _ => (call.before < 10).then(|| Act::say("-TRYAGAIN not yet\r\n")),
        }
    });
    assert_eq!(client.ask(&word), "+OK\r\n");
    assert_eq!((cluster.count(0, &word), cluster.count(1, &word)), (11, 11));
}

#[test]
fn a_redirect_that_comes_late_is_followed_all_the_same() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"300ms\"\n");
    let (mine, held) = (key(0, 2, 0), format!("SET {} 1", key(1, 2, 0)));
    let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let (word, gate) = (format!("SET {mine} 1"), crate::support::Gate::default());
    let (text, never, wait) = (word.clone(), held.clone(), gate.clone());
    cluster.script(move |call| {
        if call.text == never {
            return Some(Act::say("-TRYAGAIN not yet\r\n"));
        }
        let acts = vec![Act::Wait(wait.clone()), Act::Say(moved.clone().into_bytes())];
        (call.node == 0 && call.text == text).then_some(acts)
    });
    client.send(&[&word]);
    cluster.wait_for(0, &word, 1);
    // Longer than a request may be held, as the others see; this one is not held but slow.
    let mut other = gateway.client();
    assert_eq!([&held; 2].map(|held| other.ask(held)), ["-TRYAGAIN not yet\r\n"; 2]);
    gate.open();
    assert_eq!(client.reply(), "+OK\r\n");
}

#[test]
fn a_replica_that_has_taken_over_is_not_counted_beside_its_old_master() {
    let mut cluster = Cluster::of(2);
    let replica = cluster.add("127.0.0.1:0");
    cluster.add_replica(0, replica);
    let gateway = Gateway::start(&cluster, "");
    let mut client = gateway.client();
    assert_eq!(client.ask("DBSIZE"), ":2\r\n");
    cluster.freeze_map();
    // The nodes themselves know.
    cluster.remap(vec![Vec::new(), vec![(8192, 16383)], vec![(0, 8191)]]);
    cluster.forget_replicas();
    let line = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&key(0, 2, 0)), cluster.port(replica));
    let mine = always(&cluster, line);
    assert_eq!(client.ask(&format!("SET {mine} 1")), "+OK\r\n");
    assert_eq!(client.ask("DBSIZE"), ":2\r\n");
    // Its other slots go there as well, without a redirect each.
    assert_eq!(client.ask(&format!("SET {} 1", key(0, 2, 1))), "+OK\r\n");
    assert_eq!(cluster.count(replica, &format!("SET {} 1", key(0, 2, 1))), 1);
}

/// A script can return any error text, so it could lead everybody's requests, and the gateway's
/// password, to a server of its author's.
#[test]
fn a_script_cannot_lead_anybody_astray() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"500ms\"\n");
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let (mine, port) = (key(0, 2, 0), trap.local_addr().unwrap().port());
    for word in ["MOVED", "ASK"] {
        let forged = format!("-{word} {} 127.0.0.1:{port}\r\n", slot(&mine));
        let said = forged.clone();
        cluster.script(move |call| call.text.starts_with("EVAL").then(|| Act::say(&said)));
        assert_eq!(client.ask(&format!("EVAL script 1 {mine}")), forged);
        let mut other = gateway.client();
        assert_eq!(other.ask(&format!("GET {mine}")), bulk(&value_of(&mine)));
    }
    let caught = trap.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(caught, Err(std::io::ErrorKind::WouldBlock), "somebody was led astray");
}

/// A script whose slot has really moved is sent where the cluster says.
#[test]
fn a_script_follows_the_cluster() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    for word in ["MOVED", "ASK"] {
        let line = format!("-{word} {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
        cluster.script(move |call| {
            let node = call.node;
            let is_script = call.text.starts_with("EVAL");
            is_script.then(|| Act::say(if node == 0 { line.as_str() } else { ":1\r\n" }))
        });
        assert_eq!(client.ask(&format!("EVAL script 1 {mine}")), ":1\r\n", "{word}");
    }
}
