//! Nodes that do not speak RESP, say too much, or tell nonsense about the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Client, Cluster, Gateway, pair, wait_for};

/// The other node's clients are served, and so is the hostile one's once it behaves.
fn assert_well(cluster: &Cluster, gateway: &Gateway) {
    let (here, there) = (key(0, 2, 5), key(1, 2, 5));
    let mut client = gateway.client();
    assert_eq!(client.ask(&format!("GET {there}")), bulk(&value_of(&there)));
    cluster.script(|_| None);
    assert_eq!(client.ask(&format!("GET {here}")), bulk(&value_of(&here)));
}

/// The first answer to a write is `bytes`; returns what the client gets.
fn answered_with(bytes: &[u8], settings: &str) -> (Cluster, Gateway, String) {
    let (cluster, gateway, mut client) = pair(settings);
    let word = format!("SET {} 1", key(0, 2, 0));
    let (text, bytes) = (word.clone(), bytes.to_vec());
    cluster.script(move |call| {
        (call.text == text && call.before == 0).then(|| Act::say(bytes.clone()))
    });
    client.send(&[&word]);
    let got = client.reply_or_end();
    assert_eq!(cluster.count(0, &word), 1);
    (cluster, gateway, got)
}

#[test]
fn garbage_makes_the_write_indeterminate() {
    let cases = [
        "garbage\r\n",
        "\r\n",
        "\0\0\0\0",
        "$-7\r\n",
        "$abc\r\n",
        "$99999999999999999999\r\n",
        "*99999999999\r\n",
        "*-2\r\n",
    ];
    for case in cases {
        let (cluster, gateway, got) = answered_with(case.as_bytes(), "");
        let shown: String = case.chars().take(30).collect();
        assert!(got.starts_with("-INDETERMINATE "), "{shown:?}: {got}");
        assert_well(&cluster, &gateway);
    }
}

#[test]
fn announced_sizes_are_not_believed() {
    let endless = "+".to_owned() + &"x".repeat(1 << 17);
    for header in [
        "$2147483647\r\n",
        "$9223372036854775807\r\n",
        "*2147483647\r\n",
        "%4294967296\r\n",
        &endless,
    ] {
        let settings = "[timeouts]\nresponse_timeout = \"500ms\"\n";
        let (cluster, gateway, mut client) = pair(settings);
        let word = format!("SET {} 1", key(0, 2, 0));
        let (text, said) = (word.clone(), header.to_owned());
        cluster
            .script(move |call| (call.text == text && call.before == 0).then(|| Act::say(&said)));
        client.send(&[&word]);
        // The node never sends the rest; its connection is given up, and so is the client that
        // has half a reply.
        assert_eq!(client.rest(), header);
        let memory = gateway.memory_mib();
        assert!(memory < 100, "{memory} MiB for {header:?}");
        assert_well(&cluster, &gateway);
    }
}

#[test]
fn deep_nesting_goes_through() {
    let deep = "*1\r\n".repeat(50_000) + ":1\r\n";
    let (cluster, gateway, got) = answered_with(deep.as_bytes(), "");
    assert!(got == deep);
    assert_well(&cluster, &gateway);
}

#[test]
fn deep_nesting_in_parts_of_a_split_request_is_harmless() {
    let (cluster, gateway, mut client) = pair("");
    let (a, b) = (key(0, 2, 0), key(1, 2, 0));
    let text = format!("MGET {a}");
    let deep = "*1\r\n".repeat(50_000) + "*0\r\n";
    cluster.script(move |call| (call.text == text).then(|| Act::say(&deep)));
    let reply = client.ask(&format!("MGET {a} {b}"));
    assert!(reply.starts_with("*2\r\n*1\r\n"), "{}", reply.len());
    assert_well(&cluster, &gateway);
}

#[test]
fn replies_that_nobody_asked_for_end_the_connection() {
    let (cluster, gateway, mut client) = pair("");
    let word = format!("SET {} 1", key(0, 2, 0));
    let text = word.clone();
    cluster.script(move |call| (call.text == text).then(|| Act::say("+OK\r\n+extra\r\n+more\r\n")));
    assert_eq!(client.ask(&word), "+OK\r\n");
    wait_for("the connection is given up", || gateway.log().contains("lost a node connection"));
    // Nothing of what was too much reaches anybody.
    assert_eq!(client.ask(&format!("GET {}", key(0, 2, 3))), bulk(&value_of(&key(0, 2, 3))));
    assert_well(&cluster, &gateway);
}

#[test]
fn pushes_are_dropped() {
    let (cluster, gateway, mut client) = pair("");
    let word = format!("SET {} 1", key(0, 2, 0));
    let text = word.clone();
    cluster.script(move |call| {
        let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
        (call.text == text).then(|| Act::say(format!("{push}+OK\r\n{push}{push}")))
    });
    client.send(&[&word, &word, &word]);
    assert_eq!(client.replies(3), vec!["+OK\r\n"; 3]);
    assert_well(&cluster, &gateway);
}

#[test]
fn a_connection_that_ends_in_the_greeting_is_tried_again() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"60s\"\n");
    let greetings = Arc::new(AtomicUsize::new(0));
    let greeted = Arc::clone(&greetings);
    cluster.answers(move |call| {
        if (call.node, call.text.as_str()) != (0, "CLUSTER MYID") {
            return None;
        }
        match greeted.fetch_add(1, Ordering::SeqCst) {
            0..3 => Some(vec![Act::Close]),
            3..6 => Some(vec![Act::Say(b"$40\r\nhalf".to_vec()), Act::Close]),
            6..9 => Some(Act::say("garbage")),
            _ => None,
        }
    });
    gateway.cut(&cluster, 0);
    assert_eq!(client.ask(&format!("SET {} 1", key(0, 2, 0))), "+OK\r\n");
    assert!(greetings.load(Ordering::SeqCst) > 9);
    assert_well(&cluster, &gateway);
}

#[test]
fn a_greeting_that_trickles_is_given_up() {
    let settings = "[timeouts]\nfailover_wait = \"2s\"\nconnect = \"300ms\"\n";
    let (cluster, gateway, mut client) = pair(settings);
    let there = key(1, 2, 0);
    cluster.answers(|call| {
        let is_greeting = (call.node, call.text.as_str()) == (0, "CLUSTER MYID");
        is_greeting.then(|| vec![Act::Trickle])
    });
    gateway.cut(&cluster, 0);
    let reply = client.ask(&format!("SET {} 1", key(0, 2, 0)));
    assert!(reply.starts_with("-CLUSTERDOWN "), "{reply}");
    assert_eq!(client.ask(&format!("GET {there}")), bulk(&value_of(&there)));
}

/// The gateway starts with a cluster whose second node answers `question` with `answer`.
fn told(question: &'static str, answer: String) -> (Cluster, Gateway, Client) {
    let cluster = Cluster::of(2);
    cluster.answers(move |call| {
        (call.node == 1 && call.text == question).then(|| Act::say(answer.clone()))
    });
    let gateway = Gateway::start(&cluster, "");
    let client = gateway.client();
    (cluster, gateway, client)
}

#[test]
fn nonsense_about_slots_is_not_believed() {
    let many: String = (0..16384).map(|n| format!("*2\r\n:{n}\r\n:{n}\r\n")).collect();
    let deep = "*1\r\n".repeat(100_000) + ":1\r\n";
    let cases = [
        "*-1\r\n".to_owned(),
        "$-1\r\n".to_owned(),
        ":5\r\n".to_owned(),
        "+OK\r\n".to_owned(),
        "*1\r\n:1\r\n".to_owned(),
        "*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\nh\r\n:1\r\n".to_owned(),
        "*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n".to_owned(),
        "*1\r\n*3\r\n:9\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n".to_owned(),
        "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:70000\r\n".to_owned(),
        format!("*16384\r\n{many}"),
        deep,
        "garbage\r\n".to_owned(),
        "*4294967296\r\n".to_owned(),
        "$2147483647\r\n".to_owned(),
    ];
    for case in cases {
        let shown: String = case.chars().take(40).collect();
        let (cluster, gateway, mut client) = told("CLUSTER SLOTS", case);
        for node in 0..2 {
            let key = key(node, 2, 0);
            assert_eq!(client.ask(&format!("GET {key}")), bulk(&value_of(&key)), "{shown:?}");
        }
        assert_well(&cluster, &gateway);
    }
}

#[test]
fn overlapping_and_countless_ranges_are_borne() {
    let cluster = Cluster::of(2);
    let whole: Vec<(usize, usize)> = vec![(0, 16383); 500];
    let each: Vec<(usize, usize)> = (0..16384).map(|n| (n, n)).collect();
    // Every slot is in many ranges of the first node, then alone in one of the second.
    cluster.remap(vec![whole, each]);
    let gateway = Gateway::start(&cluster, "");
    let mut client = gateway.client();
    for n in 0..20 {
        let key = format!("key:{n}");
        assert_eq!(client.ask(&format!("GET {key}")), bulk(&value_of(&key)));
        assert_eq!(cluster.count(1, &format!("GET {key}")), 1, "slot {}", slot(&key));
    }
}

#[test]
fn a_flood_of_slots_costs_no_more_memory_than_it_may() {
    let flood = format!("*4000000\r\n{}", ":1\r\n".repeat(4_000_000));
    let cluster = Cluster::of(2);
    let gateway = Gateway::start(&cluster, "[topology]\nrefresh_interval = \"100ms\"\n");
    let (key, floods) = (key(0, 2, 0), std::sync::Arc::new(AtomicUsize::new(0)));
    let counted = std::sync::Arc::clone(&floods);
    cluster.answers(move |call| {
        let is_flooded = call.text == "CLUSTER SLOTS";
        counted.fetch_add(usize::from(is_flooded), Ordering::SeqCst);
        is_flooded.then(|| Act::say(&flood))
    });
    let mut peak = 0;
    wait_for("some floods", || {
        assert_eq!(gateway.client().ask(&format!("GET {key}")), bulk(&value_of(&key)));
        peak = peak.max(gateway.memory_mib());
        floods.load(Ordering::SeqCst) > 2
    });
    println!("peak with a flood of slots: {peak} MiB");
    assert!(peak < 200, "{peak} MiB");
}

#[test]
fn nonsense_about_commands_leaves_the_built_in_table() {
    let cases = [
        "*-1\r\n",
        "$-1\r\n",
        ":5\r\n",
        "-ERR unknown command\r\n",
        "*2\r\n:1\r\n*0\r\n",
        "*1\r\n*6\r\n$3\r\nget\r\n:0\r\n*0\r\n:0\r\n:0\r\n:0\r\n",
        "*1\r\n*6\r\n$3\r\nget\r\n:-9223372036854775808\r\n*0\r\n:-5\r\n:-7\r\n:-1\r\n",
        "*1\r\n*6\r\n$3\r\nset\r\n:99\r\n*1\r\n+readonly\r\n:5\r\n:1\r\n:0\r\n",
        "garbage",
    ];
    for case in cases {
        let cluster = Cluster::of(2);
        cluster.answers(move |call| (call.text == "COMMAND").then(|| Act::say(case)));
        let gateway = Gateway::start(&cluster, "");
        let mut client = gateway.client();
        for node in 0..2 {
            let key = key(node, 2, 0);
            assert_eq!(client.ask(&format!("GET {key}")), bulk(&value_of(&key)), "{case:?}");
            assert_eq!(cluster.count(node, &format!("GET {key}")), 1, "{case:?}");
        }
    }
}

#[test]
fn a_list_of_commands_that_trickles_does_not_stop_the_map() {
    let cluster = Cluster::of(2);
    cluster.answers(|call| (call.text == "COMMAND").then(|| vec![Act::Trickle]));
    let settings = "[timeouts]\nconnect = \"200ms\"\n[topology]\nrefresh_interval = \"100ms\"\n";
    let gateway = Gateway::start(&cluster, settings);
    let mut client = gateway.client();
    let get = format!("GET {}", key(0, 2, 0));
    cluster.give_all_to(1);
    wait_for("the new map", || {
        assert_eq!(client.ask(&get), bulk(&value_of(&key(0, 2, 0))));
        cluster.count(1, &get) > 0
    });
}

#[test]
fn an_answer_before_all_of_a_request_was_sent_is_its_answer() {
    let (cluster, gateway, mut client) = pair("");
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let gate = crate::support::Gate::default();
    let (get, wait) = (format!("GET {here}"), gate.clone());
    // It reads no further, so that most of the next request stays with the gateway.
    cluster.script(move |call| {
        let early = Act::Say(b"-ERR Protocol error: invalid bulk length\r\n".to_vec());
        let acts = vec![Act::Say(b"$1\r\na\r\n".to_vec()), Act::Wait(wait.clone()), early];
        (call.text == get && call.before == 0).then_some(acts)
    });
    assert_eq!(client.ask(&format!("GET {here}")), "$1\r\na\r\n");
    let large = "v".repeat(32 << 20);
    client.send(&[&format!("SET {here} {large}"), &format!("GET {there}")]);
    cluster.wait_for(1, &format!("GET {there}"), 1);
    gate.open();
    assert_eq!(client.reply(), "-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(client.reply(), bulk(&value_of(&there)));
    assert_eq!(client.ask(&format!("GET {here}")), bulk(&value_of(&here)));
    assert_well(&cluster, &gateway);
}

#[test]
fn lines_of_any_length_are_answers() {
    let (cluster, gateway, mut client) = pair("");
    let (get, next) = (format!("GET {}", key(0, 2, 0)), format!("GET {}", key(0, 2, 1)));
    for len in [4_000, 5_000, 70_000, 300_000, 3_000_000] {
        let line = format!("-ERR Unsupported option {}\r\n", "x".repeat(len));
        let (text, said) = (get.clone(), line.clone().into_bytes());
        cluster.script(move |call| (call.text == text).then(|| vec![Act::Say(said.clone())]));
        client.send(&[&get, &next]);
        let reply = client.reply();
        assert!(reply == line, "{len}: {} bytes", reply.len());
        assert_eq!(client.reply(), bulk(&value_of(&key(0, 2, 1))));
    }
    assert!(!gateway.log().contains("lost a node connection"), "{}", gateway.log());
    assert_well(&cluster, &gateway);
}

#[test]
fn passwords_of_nodes_are_not_told() {
    let (cluster, gateway, mut client) = pair("");
    let pairs = "$4\r\nsave\r\n$1\r\n7\r\n$10\r\nmasterauth\r\n";
    let told = format!("*4\r\n{pairs}$6\r\ns3cret\r\n");
    cluster.script(move |call| (call.text == "CONFIG GET *").then(|| Act::say(&told)));
    assert_eq!(client.ask("CONFIG GET *"), format!("*4\r\n{pairs}$0\r\n\r\n"));
    assert_well(&cluster, &gateway);
}
