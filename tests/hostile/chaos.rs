//! Nodes that do anything at any time, and clients that pipeline through it: whatever happens, a
//! write runs at most once and its reply does not lie about it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::support::cluster::{key, slot};
use crate::support::wire::request;
use crate::support::{Act, Call, Client, Cluster, Gateway};

const CLIENTS: usize = 8;
const ROUNDS: usize = 40;
const DEPTH: usize = 16;

/// How often each write has run.
type Runs = Arc<Mutex<HashMap<String, usize>>>;

/// A node's mood for one write; notes in `runs` when it runs.
fn mood(call: &Call, ports: [u16; 2], random: &mut fastrand::Rng, runs: &Runs) -> Vec<Act> {
    let number = slot(call.text.split(' ').nth(1).unwrap_or_default());
    let other = ports[1 - call.node];
    let refusal = match random.u32(0..100) {
        0..4 => Some(format!("-MOVED {number} 127.0.0.1:{other}\r\n")),
        4..8 => Some(format!("-ASK {number} 127.0.0.1:{other}\r\n")),
        8..11 => Some("-TRYAGAIN not yet\r\n".to_owned()),
        11..12 => Some("-CLUSTERDOWN not yet\r\n".to_owned()),
        12..13 => Some(">2\r\n+some\r\n+push\r\n-LOADING not yet\r\n".to_owned()),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Act::say(refusal);
    }
    *runs.lock().unwrap().entry(call.text.clone()).or_default() += 1;
    match random.u32(0..100) {
        0 => vec![Act::Close],
        1 => vec![Act::Say(b"+O".to_vec()), Act::Close],
        2 => vec![Act::Say(b"!!".to_vec()), Act::Close],
        3 => vec![Act::Say(b"+OK\r\n".to_vec()), Act::Close],
        _ => Act::say("+OK\r\n"),
    }
}

/// Pipelines writes, each of them unique, and holds the replies against what the nodes have run.
fn write_through_it(gateway: &Gateway, me: usize, runs: &Runs) -> HashMap<String, usize> {
    let mut client = Client::connect(gateway.address);
    let mut told: HashMap<String, usize> = HashMap::new();
    for round in 0..ROUNDS {
        let writes: Vec<String> =
            (0..DEPTH).map(|n| format!("SET {} {me}.{round}.{n}", key(n % 2, 2, n % 5))).collect();
        let split = |text: &String| request(&text.split(' ').collect::<Vec<_>>());
        client.send_raw(&writes.iter().flat_map(split).collect::<Vec<u8>>());
        for write in &writes {
            let reply = client.reply();
            let ran = runs.lock().unwrap().get(write).copied().unwrap_or(0);
            let word = reply.split([' ', '\r']).next().unwrap_or_default();
            let fits = match word {
                "+OK" => ran == 1,
                "-INDETERMINATE" => ran <= 1,
                "-CLUSTERDOWN" | "-TRYAGAIN" | "-LOADING" => ran == 0,
                _ => false,
            };
            assert!(fits, "{write} ran {ran} times and was answered {reply:?}");
            *told.entry(word.to_owned()).or_default() += 1;
        }
    }
    told
}

#[test]
fn a_write_runs_at_most_once_and_its_reply_does_not_lie() {
    let cluster = Cluster::of(2);
    let gateway = Gateway::start(&cluster, "[timeouts]\nfailover_wait = \"5s\"\n");
    let runs = Runs::default();
    let (ports, counted) = ([cluster.port(0), cluster.port(1)], Arc::clone(&runs));
    let mut random = fastrand::Rng::with_seed(7);
    cluster.script(move |call| {
        call.text.starts_with("SET").then(|| mood(call, ports, &mut random, &counted))
    });
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|me| {
                scope.spawn({
                    let (gateway, runs) = (&gateway, &runs);
                    move || write_through_it(gateway, me, runs)
                })
            })
            .collect();
        for client in clients {
            println!("replies in chaos: {:?}", client.join().unwrap());
        }
    });
    let log = gateway.log();
    assert!(!log.contains("panicked") && !log.contains("task failed"), "{log}");
}
