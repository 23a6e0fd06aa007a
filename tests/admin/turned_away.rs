//! Nodes that do not let the gateway in, and names that lead nowhere: whoever asks is told what is
//! wrong, and what mends it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use slotway::local::{LocalCluster, LocalOptions};
use slotway::slot::{SLOTS, Slot};

use crate::PATIENCE;
use crate::format_check::Exposed;
use crate::gateway::{Gateway, slotway};
use crate::http::get;

/// A connection that says one line after the other.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn to(address: SocketAddr) -> Lines {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Lines(BufReader::new(stream))
    }

    /// The first line of the answer.
    fn ask(&mut self, request: &str) -> String {
        self.0.get_mut().write_all(format!("{request}\r\n").as_bytes()).unwrap();
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn say(node: SocketAddr, request: &str) {
    assert_eq!(Lines::to(node).ask(request), "+OK", "{request}");
}

/// Three masters without replicas, for one test.
fn with_cluster(test: fn(&[SocketAddr])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = LocalOptions { dir: None, nodes: 3, replicas_per_master: 0 };
        let cluster = LocalCluster::start(&options).await.unwrap();
        let nodes = cluster.addresses();
        let outcome = tokio::task::spawn_blocking(move || test(&nodes)).await;
        cluster.stop().await;
        outcome.unwrap();
    });
}

/// A key of the nth third of the slots, and so of the nth node.
fn key_of(nth: usize) -> String {
    let is_there = |key: &String| Slot::of(key.as_bytes()).index() * 3 / SLOTS == nth;
    (0..).map(|n| format!("key-{n}")).find(is_there).unwrap()
}

/// Long enough to be noticed, short enough to be waited for.
const WAIT: (&str, &str) = ("SLOTWAY_TIMEOUTS_FAILOVER_WAIT", "200ms");

#[test]
fn a_wrong_password_of_the_nodes_is_told_with_what_mends_it() {
    with_cluster(|nodes| {
        for node in nodes {
            say(*node, "CONFIG SET requirepass s3cret-right");
        }
        let wrong = ("SLOTWAY_TOPOLOGY_PASSWORD", "s3cret-wrong");
        let cases = [
            (vec![WAIT, wrong], "A node refuses the credentials", "refused the credentials"),
            (vec![WAIT], "A node wants a password", "wants a password"),
        ];
        for (variables, answer, reason) in cases {
            let mut gateway = Gateway::start(nodes[0], &variables);
            let admin = gateway.admin;
            gateway.wait_for("a reason", || get(admin, "/readyz").body.contains(reason));
            let ready = get(admin, "/readyz");
            assert_eq!(ready.status, 503);
            let mut client = Lines::to(gateway.clients);
            for request in ["GET a", "DBSIZE", "MSET a 1 b 2", "SCAN 0", "KEYS *"] {
                let said = client.ask(request);
                assert!(said.starts_with(&format!("-CLUSTERDOWN {answer}")), "{request}: {said}");
                assert!(said.contains("password_file"), "{said}");
            }
            let mut command = slotway();
            command.args(["topology", "--seed", &nodes[0].to_string()]);
            let output = command.envs(variables.iter().copied()).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let log = gateway.said();
            for text in [&ready.body, &said, &log] {
                assert!(text.contains(reason), "{text}");
                assert!(text.contains("SLOTWAY_TOPOLOGY_PASSWORD_FILE"), "{text}");
                assert!(!text.contains("s3cret"), "{text}");
            }
            // Again and again the same: told once.
            assert_eq!(log.matches("the cluster cannot be reached").count(), 1, "{log}");
        }
    });
}

/// Clears the way for a test of new connections: those there were would stay.
fn drop_clients(node: &mut Lines) {
    assert!(node.ask("CLIENT KILL TYPE normal SKIPME yes").starts_with(':'));
}

#[test]
fn a_single_node_that_turns_the_gateway_away_says_why() {
    with_cluster(|nodes| {
        let mut gateway = Gateway::start(nodes[0], &[WAIT]);
        let admin = gateway.admin;
        gateway.wait_for("ready", || get(admin, "/readyz").status == 200);
        let (key, other) = (key_of(1), key_of(2));
        let mut client = Lines::to(gateway.clients);
        assert_eq!(client.ask(&format!("SET {key} 1")), "+OK");

        let mut node = Lines::to(nodes[1]);
        assert_eq!(node.ask("CONFIG SET maxclients 1"), "+OK");
        drop_clients(&mut node);
        let full = "-CLUSTERDOWN A node takes no connection of the gateway: its own maxclients";
        gateway.wait_for("a word on maxclients", || {
            client.ask(&format!("SET {key} 2")).starts_with(full)
        });
        assert_eq!(client.ask(&format!("SET {other} 2")), "+OK");
        let exposed = Exposed::read(&get(admin, "/metrics").body);
        let name = nodes[1].to_string();
        let labels = [("node", name.as_str()), ("kind", "maxclients")];
        assert!(exposed.get("slotway_upstream_errors_total", &labels).unwrap() > 0.0);
        gateway.wait_for("a note", || {
            let page = get(admin, "/readyz?verbose");
            page.status == 200 && page.body.contains("by its own maxclients")
        });
        assert!(gateway.said().contains("turned away by a node"), "{}", gateway.said());

        assert_eq!(node.ask("CONFIG SET maxclients 1000"), "+OK");
        gateway.wait_for("room again", || client.ask(&format!("SET {key} 3")) == "+OK");
        assert_eq!(node.ask("CONFIG SET requirepass s3cret"), "+OK");
        drop_clients(&mut node);
        let closed = "-CLUSTERDOWN A node wants a password and the gateway has none";
        gateway.wait_for("a word on the password", || {
            client.ask(&format!("SET {key} 4")).starts_with(closed)
        });
        assert_eq!(client.ask(&format!("SET {other} 4")), "+OK");
        gateway.wait_for("a note", || {
            let status = get(admin, "/api/v1/status").json();
            status["topology"]["troubles"].to_string().contains("wants a password")
        });
        assert_eq!(node.ask("CONFIG SET requirepass \"\""), "+OK");
        gateway.wait_for("the node again", || client.ask(&format!("SET {key} 5")) == "+OK");
        gateway.wait_for("no note", || !get(admin, "/readyz?verbose").body.contains("[!]"));
    });
}

#[test]
fn a_name_that_does_not_resolve_is_replaced_by_its_address() {
    with_cluster(|nodes| {
        for (n, node) in nodes.iter().enumerate() {
            say(*node, &format!("CONFIG SET cluster-announce-hostname node-{n}.invalid"));
            say(*node, "CONFIG SET cluster-preferred-endpoint-type hostname");
        }
        let knows_all = |node: &SocketAddr| {
            let mut lines = Lines::to(*node);
            lines.ask("CLUSTER NODES");
            (0..3).filter(|_| lines.line().contains(".invalid")).count() == 3
        };
        let start = std::time::Instant::now();
        while !nodes.iter().all(knows_all) {
            assert!(start.elapsed() < PATIENCE, "the names do not go round");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let often = ("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "100ms");
        let mut gateway = Gateway::start(nodes[0], &[WAIT, often]);
        let admin = gateway.admin;
        gateway.wait_for("ready", || get(admin, "/readyz").status == 200);
        let mut client = Lines::to(gateway.clients);
        for nth in 0..3 {
            assert_eq!(client.ask(&format!("SET {} 1", key_of(nth))), "+OK");
        }
        let refreshes = || {
            let status = get(admin, "/api/v1/status").json();
            status["topology"]["refreshes"][0]["ok"].as_u64().unwrap()
        };
        gateway.wait_for("several looks", || refreshes() > 5);
        let page = get(admin, "/readyz?verbose");
        let told = "the name node-2.invalid does not resolve here: its address 127.0.0.1 is used";
        assert!(page.status == 200 && page.body.contains(told), "{}", page.body);
        let output =
            slotway().args(["topology", "--seed", &nodes[0].to_string()]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains(told));
        let log = gateway.said();
        assert!(log.matches("name=\"node-2.invalid\"").count() == 1, "{log}");
    });
}

#[test]
fn seeds_that_have_no_address_are_named_and_left_in_peace() {
    let mut gateway = Gateway::start_at("nobody.invalid:6379", &[]);
    let admin = gateway.admin;
    let told = "no map of the cluster: no seed could be resolved: nobody.invalid:6379";
    gateway.wait_for("a reason", || get(admin, "/readyz").body.starts_with(told));
    let looks = || {
        let status = get(admin, "/api/v1/status").json();
        let refreshes = status["topology"]["refreshes"].as_array().unwrap().clone();
        refreshes.iter().map(|of| of["error"].as_u64().unwrap()).sum::<u64>()
    };
    gateway.wait_for("a third look", || looks() >= 3);
    let log = gateway.said();
    assert_eq!(log.matches("no seed could be resolved").count(), 1, "{log}");
}
