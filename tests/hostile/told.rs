//! What is told of nodes: names and texts that they choose themselves.

use std::collections::BTreeSet;

use crate::support::cluster::{id, key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Cluster, Gateway, pair, wait_for};

/// The map names a host that does not resolve, and no address beside it.
#[test]
fn a_name_that_leads_nowhere_is_told() {
    let cluster = Cluster::of(2);
    cluster.name(1, "nobody.invalid");
    let settings = "[timeouts]\nfailover_wait = \"200ms\"\n";
    let gateway = Gateway::launch(cluster.port(0), 1, settings);
    let mut client = gateway.client();
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    wait_for("the shard that can be found", || {
        client.ask(&format!("GET {here}")) == bulk(&value_of(&here))
    });
    let said = client.ask(&format!("GET {there}"));
    assert!(said.starts_with("-CLUSTERDOWN Hash slot not served"), "{said}");
    let (status, page) = gateway.page("/readyz");
    let reason = "names of nodes do not resolve here, and they tell no address: nobody.invalid\n";
    assert_eq!((status, page.as_str()), (503, reason));
    wait_for("several looks", || gateway.page("/metrics").1.contains("_topology_epoch 1"));
    assert_eq!(gateway.log().matches("name=\"nobody.invalid\"").count(), 1);
    assert!(gateway.log().contains("WARN slotway::topology::troubles: the name of a node"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slotway"));
    let seed = format!("127.0.0.1:{}", cluster.port(0));
    let output = command.args(["topology", "--seed", &seed]).output().unwrap();
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(page.contains("nobody.invalid does not resolve here, and it tells no"), "{page}");
}

/// A node's own words in the log, on pages and in metrics: tamed, short, and few.
#[test]
fn what_a_node_says_is_tamed_wherever_it_is_told() {
    let cluster = Cluster::of(2);
    let long = format!("-ERR evil\x1b[2J\x07 {}\r\n", "y".repeat(3 << 20));
    cluster.answers(move |call| (call.text == "CLUSTER SLOTS").then(|| Act::say(long.clone())));
    let gateway = Gateway::launch(cluster.port(0), 1, "");
    wait_for("a reason", || gateway.page("/readyz").1.contains("evil"));
    for path in ["/readyz", "/readyz?verbose", "/api/v1/status", "/metrics"] {
        let page = gateway.page(path).1;
        assert!(!page.contains('\x1b') && !page.contains('\x07'), "{path}");
        assert!(!page.contains(&"y".repeat(300)), "{path}");
    }
    let log = gateway.log();
    assert!(log.contains("evil?[2J? yyy") && log.len() < 20_000, "{} bytes", log.len());
    assert!(!log.contains('\x1b'), "{log}");
}

/// The names that a scrape and the status have for nodes.
fn nodes_told(gateway: &Gateway) -> BTreeSet<String> {
    let metrics = gateway.page("/metrics").1;
    let labels = metrics.split("node=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut names: BTreeSet<String> = labels.map(str::to_owned).collect();
    let status: serde_json::Value =
        serde_json::from_str(&gateway.page("/api/v1/status").1).unwrap();
    names.extend(status["nodes"].as_object().unwrap().keys().cloned());
    names
}

#[test]
fn redirects_to_ever_new_places_leave_no_names_behind() {
    let settings = "[timeouts]\nfailover_wait = \"0s\"\nconnect = \"50ms\"\n";
    let (cluster, gateway, mut client) = pair(settings);
    let mine = key(0, 2, 0);
    let (number, mut place) = (slot(&mine), 0u16);
    cluster.script(move |call| {
        call.text.starts_with("SET").then(|| {
            place += 1;
            let [high, low] = place.to_be_bytes();
            // Nobody listens there.
            Act::say(format!("-MOVED {number} 127.99.{high}.{low}:{}\r\n", 10_000 + place))
        })
    });
    for n in 0..300 {
        let said = client.ask(&format!("SET {mine} {n}"));
        assert!(said.starts_with("-CLUSTERDOWN"), "{said}");
    }
    let names = nodes_told(&gateway);
    let known: BTreeSet<String> =
        [0, 1].map(|node| format!("127.0.0.1:{}", cluster.port(node))).into();
    assert!(names.is_superset(&known), "{names:?}");
    assert!(names.difference(&known).all(|name| name == "other"), "{names:?}");
}

/// A map whose nodes have other names in every look.
#[test]
fn a_map_of_ever_new_names_is_forgotten() {
    let cluster = Cluster::of(2);
    let (port, mut look) = (cluster.port(0), 0);
    cluster.answers(move |call| {
        (call.text == "CLUSTER SLOTS").then(|| {
            look += 1;
            let node = |n: usize| {
                let id = format!("{:040x}", look * 1000 + n);
                format!("*3\r\n{}:{port}\r\n{}", bulk(&format!("127.0.9.{n}")), bulk(&id))
            };
            let entry = |n: usize| format!("*3\r\n:{n}\r\n:{n}\r\n{}", node(n));
            let entries: String = (0..50).map(entry).collect();
            let own = format!("*3\r\n{}:{port}\r\n{}", bulk("127.0.0.1"), bulk(&id(0)));
            let rest = format!("*3\r\n:50\r\n:16383\r\n{own}");
            Act::say(format!("*51\r\n{entries}{rest}"))
        })
    });
    let often = "[topology]\nrefresh_interval = \"100ms\"\n";
    let gateway = Gateway::launch(cluster.port(0), 1, often);
    wait_for("forty maps", || {
        let status = gateway.page("/api/v1/status").1;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["topology"]["version"].as_u64().unwrap() > 40
    });
    let names = nodes_told(&gateway);
    assert!(names.len() < 400, "{} names", names.len());
}

#[test]
fn a_redirect_that_cannot_be_read_is_told_as_one() {
    let settings = "[timeouts]\nfailover_wait = \"100ms\"\n";
    let (cluster, gateway, mut client) = pair(settings);
    let mine = key(0, 2, 0);
    let long = format!("-MOVED 1 {}:1", "a".repeat(5000));
    let lines =
        ["-MOVED", "-MOVED x a:1", "-MOVED 99999 a:1", "-ASK 1 127.0.0.1:0", "-ASK 1 a b:1"];
    for line in lines {
        let line = format!("{line}\r\n");
        cluster.script(move |call| call.text.starts_with("SET").then(|| Act::say(&line)));
        let said = client.ask(&format!("SET {mine} 1"));
        assert_eq!(said, "-CLUSTERDOWN A node redirects to a place that cannot be read\r\n");
    }
    // One that is longer than any redirect, and comes in pieces, is no reply at all.
    cluster.script(move |call| {
        let pieces = [long.clone().into_bytes(), b"\r\n".to_vec()].map(Act::Say);
        let [first, last] = pieces;
        call.text.starts_with("SET").then(|| vec![first, Act::Pause, last])
    });
    let said = client.ask(&format!("SET {mine} 1"));
    assert!(["-INDETERMINATE", "-CLUSTERDOWN"].iter().any(|word| said.starts_with(word)), "{said}");
    assert!(!said.contains("aaa"), "{said}");
    cluster.script(|_| None);
    assert_eq!(client.ask(&format!("SET {mine} 1")), "+OK\r\n");
    let metrics = gateway.page("/metrics").1;
    let counted = metrics.lines().find(|line| {
        line.contains("kind=\"bad_redirect\"") && line.contains(&cluster.port(0).to_string())
    });
    assert!(!counted.unwrap().ends_with(" 0"), "{counted:?}");
}
