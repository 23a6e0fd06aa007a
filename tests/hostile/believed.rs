//! Nodes that tell a map which is not the cluster's: cut off with an old one, or of another cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::cluster::{id, key};
use crate::support::wire::bulk;
use crate::support::{Act, Client, Cluster, Gate, Gateway, wait_for};

const OFTEN: &str = "[topology]\nrefresh_interval = \"100ms\"\n";

/// What `CLUSTER SLOTS` says of two nodes that share the slots.
fn halves(ports: [u16; 2], ids: [String; 2]) -> String {
    let half = |n: usize, (first, last): (usize, usize)| {
        let node = format!("*3\r\n{}:{}\r\n{}", bulk("127.0.0.1"), ports[n], bulk(&ids[n]));
        format!("*3\r\n:{first}\r\n:{last}\r\n{node}")
    };
    format!("*2\r\n{}{}", half(0, (0, 8191)), half(1, (8192, 16383)))
}

fn epoch(number: u64) -> String {
    bulk(&format!("cluster_state:ok\r\ncluster_current_epoch:{number}\r\n"))
}

/// Two nodes, the second of which has taken over everything, which the gateway knows.
fn taken_over(settings: &str) -> (Cluster, Gateway, Client) {
    let cluster = Cluster::of(2);
    let gateway = Gateway::start(&cluster, settings);
    cluster.give_all_to(1);
    let mut client = gateway.client();
    let word = format!("GET {}", key(0, 2, 0));
    wait_for("the new map", || {
        client.ask(&word);
        cluster.count(1, &word) > 0
    });
    (cluster, gateway, client)
}

#[test]
fn the_old_map_of_a_minority_is_not_believed_though_all_others_are_silent() {
    let (cluster, _gateway, mut client) = taken_over(OFTEN);
    // The first node has been cut off from the others before it could hear of that.
    let old = halves([cluster.port(0), cluster.port(1)], [id(0), id(1)]);
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
    let (count, silence) = (Arc::clone(&asked), gate.clone());
    cluster.answers(move |call| match (call.node, call.text.as_str()) {
        (0, "CLUSTER SLOTS") => {
            count.fetch_add(1, Ordering::SeqCst);
            Some(Act::say(&old))
        }
        (0, "CLUSTER INFO") => Some(Act::say(epoch(1))),
        (0, "CLUSTER NODES") => Some(Act::say("-NOPERM no\r\n")),
        (1, "CLUSTER SLOTS" | "CLUSTER INFO" | "CLUSTER NODES") => {
            Some(vec![Act::Wait(silence.clone()), Act::Close])
        }
        _ => None,
    });
    wait_for("ten looks at the old map", || asked.load(Ordering::SeqCst) >= 10);
    let word = format!("SET {} 1", key(0, 2, 0));
    assert_eq!(client.ask(&word), "+OK\r\n");
    assert_eq!((cluster.count(0, &word), cluster.count(1, &word)), (0, 1));
    gate.open();
}

/// Higher epoch, all slots, well by its own account: and yet nobody that the gateway knows.
#[test]
fn foreign_nodes_are_not_believed_while_a_known_node_answers() {
    let (cluster, _gateway, mut client) = taken_over(OFTEN);
    let ids = || ["a", "b"].map(|letter| letter.repeat(40));
    let theirs = halves([cluster.port(0), cluster.port(0)], ids());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    cluster.answers(move |call| match (call.node, call.text.as_str()) {
        (0, "CLUSTER SLOTS") => {
            count.fetch_add(1, Ordering::SeqCst);
            Some(Act::say(&theirs))
        }
        (0, "CLUSTER INFO") => Some(Act::say(epoch(1000))),
        (0, "CLUSTER MYID") => Some(Act::say(bulk(&ids()[0]))),
        _ => None,
    });
    wait_for("ten looks at the foreign nodes' map", || asked.load(Ordering::SeqCst) >= 10);
    let word = format!("SET {} 1", key(0, 2, 0));
    assert_eq!(client.ask(&word), "+OK\r\n");
    assert_eq!((cluster.count(0, &word), cluster.count(1, &word)), (0, 1));
}

/// All nodes come back as others, and but for the one that the seed leads to at other addresses:
/// nobody is left who could contradict.
#[test]
fn a_cluster_that_was_made_anew_is_believed_in_the_end() {
    let settings = format!("{OFTEN}[timeouts]\nfailover_wait = \"30s\"\n");
    let mut cluster = Cluster::of(2);
    let other = cluster.add("127.0.0.1:0");
    let gateway = Gateway::start(&cluster, &settings);
    let mut client = gateway.client();
    let ids = || ["a", "b"].map(|letter| letter.repeat(40));
    let theirs = halves([cluster.port(0), cluster.port(other)], ids());
    cluster.answers(move |call| match call.text.as_str() {
        "CLUSTER SLOTS" => Some(Act::say(&theirs)),
        "CLUSTER INFO" => Some(Act::say(epoch(1))),
        "CLUSTER MYID" => Some(Act::say(bulk(&ids()[usize::from(call.node != 0)]))),
        _ => None,
    });
    cluster.take_down(1);
    cluster.nodes[0].cut();
    wait_for("another map", || gateway.log().contains("version=2 "));
    for (half, node) in [(0, 0), (1, other)] {
        let word = format!("SET {} 1", key(half, 2, 0));
        assert_eq!(client.ask(&word), "+OK\r\n");
        assert_eq!(cluster.count(node, &word), 1);
    }
}
