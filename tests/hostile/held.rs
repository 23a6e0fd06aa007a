//! A slot that nobody serves at the moment: requests are held for a while, within bounds.

use crate::support::cluster::{id, key, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Client, Cluster, Gateway, pair, wait_for};

const WAIT_SHORT: &str = "[timeouts]\nfailover_wait = \"500ms\"\n";
const HALF: (usize, usize) = (8192, 16383);

#[test]
fn a_slot_without_a_master_is_an_error_after_the_wait() {
    let cluster = Cluster::of(2);
    cluster.remap(vec![Vec::new(), vec![HALF]]);
    let gateway = Gateway::launch(cluster.port(0), 1, WAIT_SHORT);
    let (mut client, mut other) = (gateway.client(), gateway.client());
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    wait_for("the served half answers", || {
        other.ask(&format!("GET {there}")) == bulk(&value_of(&there))
    });
    client.send(&[&format!("SET {here} 1"), &format!("GET {there}")]);
    assert_eq!(client.reply(), "-CLUSTERDOWN Hash slot not served\r\n");
    assert_eq!(client.reply(), bulk(&value_of(&there)));
    let reply = client.ask("DBSIZE");
    assert!(reply.starts_with("-CLUSTERDOWN "), "{reply}");
}

#[test]
fn a_held_request_goes_out_when_the_map_names_a_master() {
    let cluster = Cluster::of(2);
    cluster.remap(vec![Vec::new(), vec![HALF]]);
    let gateway = Gateway::launch(cluster.port(0), 1, "[timeouts]\nfailover_wait = \"60s\"\n");
    let (mut client, mut other) = (gateway.client(), gateway.client());
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let sets: Vec<String> = (0..10).map(|n| format!("SET {here} {n}")).collect();
    client.send(&sets.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(other.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    assert_eq!(cluster.seen(0), Vec::<String>::new());
    cluster.give_all_to(0);
    assert_eq!(client.replies(10), vec!["+OK\r\n"; 10]);
    assert_eq!(
        cluster.seen(0).into_iter().filter(|s| s.starts_with("SET")).collect::<Vec<_>>(),
        sets
    );
}

#[test]
fn a_node_that_refuses_connections_is_waited_for() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"60s\"\n");
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    gateway.take_down(&cluster, 0);
    client.send(&[&format!("SET {here} 1"), &format!("GET {there}")]);
    assert_eq!(cluster.count(0, &format!("SET {here} 1")), 0);
    // A replica takes over: the map changes while the old master stays down.
    cluster.give_all_to(1);
    assert_eq!(client.replies(2), ["+OK\r\n".to_owned(), bulk(&value_of(&there))]);
    assert_eq!(cluster.count(1, &format!("SET {here} 1")), 1);
}

#[test]
fn a_node_that_comes_back_is_used_again() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"60s\"\n");
    let here = key(0, 2, 0);
    gateway.take_down(&cluster, 0);
    client.send(&[&format!("SET {here} 1")]);
    cluster.bring_up(0);
    assert_eq!(client.reply(), "+OK\r\n");
}

#[test]
fn a_node_that_stays_away_is_an_error_after_the_wait() {
    let (cluster, gateway, mut client) = pair(WAIT_SHORT);
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    gateway.take_down(&cluster, 0);
    client.send(&[&format!("SET {here} 1"), &format!("GET {there}")]);
    let reply = client.reply();
    assert!(reply.starts_with("-CLUSTERDOWN The node that serves this slot cannot"), "{reply}");
    assert_eq!(client.reply(), bulk(&value_of(&there)));
}

#[test]
fn another_node_at_the_address_gets_no_requests() {
    let (cluster, gateway, mut client) = pair(WAIT_SHORT);
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    // Node 0 has gone and its address belongs to a foreign node.
    cluster.answers(|call| match (call.node, call.text.as_str()) {
        (0, "CLUSTER MYID") => Some(Act::say(bulk(&"f".repeat(40)))),
        (0, "CLUSTER SLOTS") => Some(Act::say("-ERR not in a cluster\r\n")),
        _ => None,
    });
    gateway.cut(&cluster, 0);
    let reply = client.ask(&format!("SET {here} 1"));
    assert!(reply.starts_with("-CLUSTERDOWN "), "{reply}");
    assert_eq!(cluster.count(0, &format!("SET {here} 1")), 0);
    assert_eq!(client.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    cluster.answers(|call| (call.text == "CLUSTER MYID").then(|| Act::say(bulk(&id(call.node)))));
    wait_for("the right node is used again", || client.ask(&format!("SET {here} 1")) == "+OK\r\n");
}

#[test]
fn held_bytes_are_bounded() {
    let settings = "[timeouts]\nfailover_wait = \"60s\"\n[limits]\nheld_bytes_max = \"1MB\"\n";
    let (cluster, gateway, mut probe) = pair(settings);
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    assert_eq!(probe.ask(&format!("GET {here}")), bulk(&value_of(&here)));
    gateway.take_down(&cluster, 0);
    let value = "v".repeat(300_000);
    let mut clients: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(&[&format!("SET {here} {value}")]);
    }
    // Three fit; the others are told so at once, though the wait is long.
    let mut refused = 0;
    for client in &mut clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    wait_for("five refusals", || {
        let mut byte = [0; 1];
        refused = clients.iter().filter(|c| c.stream.peek(&mut byte).is_ok_and(|n| n > 0)).count();
        refused == 5
    });
    assert_eq!(probe.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    cluster.bring_up(0);
    let mut replies = Vec::new();
    for client in &mut clients {
        client.stream.set_nonblocking(false).unwrap();
        replies.push(client.reply());
    }
    assert_eq!(replies.iter().filter(|reply| *reply == "+OK\r\n").count(), 3, "{replies:?}");
    assert_eq!(replies.iter().filter(|r| r.starts_with("-CLUSTERDOWN ")).count(), 5);
}

#[test]
fn without_a_wait_the_error_comes_at_once() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"0s\"\n");
    gateway.take_down(&cluster, 0);
    let reply = client.ask(&format!("SET {} 1", key(0, 2, 0)));
    assert!(reply.starts_with("-CLUSTERDOWN "), "{reply}");
}

#[test]
fn a_request_that_was_held_for_long_has_its_full_time_at_the_node() {
    let settings = "[timeouts]\nfailover_wait = \"60s\"\nresponse_timeout = \"5s\"\n";
    let (cluster, gateway, mut client) = pair(settings);
    let (word, silent) = (format!("INCR {}", key(0, 2, 0)), format!("GET {}", key(1, 2, 0)));
    let slow = format!("GET {}", key(1, 2, 1));
    let [gate, never, later] = [0, 1, 2].map(|_| crate::support::Gate::default());
    let gates = [(&word, &gate), (&silent, &never), (&slow, &later)];
    let waits = gates.map(|(word, gate)| (word.clone(), gate.clone()));
    cluster.script(move |call| {
        let (_, gate) = waits.iter().find(|(word, _)| *word == call.text && call.before == 0)?;
        Some(vec![Act::Wait(gate.clone()), Act::Say(b":1\r\n".to_vec())])
    });
    gateway.take_down(&cluster, 0);
    client.send(&[&word]);
    // For longer than a node may be silent: one that is meanwhile is asked anew.
    let mut other = gateway.client();
    assert_eq!(other.ask(&silent), bulk(&value_of(&key(1, 2, 0))));
    assert_eq!(cluster.count(1, &silent), 2);
    cluster.bring_up(0);
    cluster.wait_for(0, &word, 1);
    // Silence is looked for several times a second, and once a second how much is under way.
    let under_way = || gateway.metric("slotway_inflight_commands", &[]);
    other.send(&[&slow]);
    wait_for("a look at what is under way", || under_way() == 2);
    later.open();
    assert_eq!(other.reply(), ":1\r\n");
    wait_for("another look", || under_way() == 1);
    gate.open();
    assert_eq!(client.reply(), ":1\r\n");
    never.open();
}

#[test]
fn a_write_that_may_have_run_says_so_even_when_nothing_more_can_be_held() {
    let settings = "[limits]\nheld_bytes_max = \"0B\"\n";
    let (cluster, _gateway, mut client) = pair(settings);
    let word = format!("INCR {}", key(0, 2, 0));
    let text = word.clone();
    cluster.script(move |call| (call.text == text).then(|| vec![Act::Close]));
    let reply = client.ask(&word);
    assert!(reply.starts_with("-INDETERMINATE "), "{reply}");
}
