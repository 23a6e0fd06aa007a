//! A real cluster: this program's own cluster client, and comparisons with it.

use testkit::client::Client;
use testkit::server::RedisServer;
use testkit::until;

use crate::run::{Run, sweep, sweep_of};
use crate::schema::{summary_schema, violations};

const SLOTS: usize = 16_384;

/// Masters that share all slots.
struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    fn start(masters: usize) -> Cluster {
        let options = ["--cluster-enabled", "yes", "--cluster-allow-replica-migration", "no"];
        let nodes: Vec<RedisServer> = (0..masters).map(|_| RedisServer::start(&options)).collect();
        for (place, node) in nodes.iter().enumerate() {
            let (first, last) = (place * SLOTS / masters, (place + 1) * SLOTS / masters - 1);
            let mut client = node.client();
            client.line(&format!("CLUSTER SET-CONFIG-EPOCH {}", place + 1));
            client.line(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            for other in &nodes {
                client.line(&format!("CLUSTER MEET 127.0.0.1 {}", other.address().port()));
            }
        }
        for node in &nodes {
            until("a node that knows all of the cluster", || {
                let mut client = node.client();
                let known = client.line("CLUSTER SLOTS").items().len();
                client.line("CLUSTER INFO").text().contains("cluster_state:ok") && known == masters
            });
        }
        Cluster { nodes }
    }

    fn address(&self, place: usize) -> String {
        self.nodes[place].address().to_string()
    }

    fn client(&self, place: usize) -> Client {
        self.nodes[place].client()
    }

    fn keys(&self) -> i64 {
        (0..self.nodes.len()).map(|place| self.client(place).line("DBSIZE").int()).sum()
    }

    /// How often a command was called, over all nodes.
    fn calls(&self, place: usize, command: &str) -> u64 {
        let stats = self.client(place).line("INFO commandstats").text();
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// Gives the first `count` slots of the first master to the second, whatever keys are in them.
    fn move_slots(&self, count: usize) {
        let (mut from, mut to) = (self.client(0), self.client(1));
        let (from_id, to_id) = (from.line("CLUSTER MYID").text(), to.line("CLUSTER MYID").text());
        for slot in 0..count {
            to.line(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
            assert_eq!(to.line(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).text(), "OK");
        }
        from.line("MULTI");
        from.line("FLUSHALL");
        for slot in 0..count {
            from.line(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
        }
        assert!(from.line("EXEC").texts().iter().all(|text| text == "OK"));
    }
}

fn of_cluster(cluster: &Cluster, options: &[&str]) -> Run {
    sweep(&format!("cluster:{}", cluster.address(1)), options)
}

#[test]
fn each_key_goes_to_its_master_whatever_the_order_of_keys() {
    let cluster = Cluster::start(3);
    for order in ["sequential", "uniform", "zipf"] {
        let load = ["--size", "32B", "--keys", "500", "--connections", "7", "--threads", "2"];
        let more = ["--key-distribution", order, "--mix", "get:50,set:50", "--duration", "500ms"];
        let run = of_cluster(&cluster, &[&load[..], &more].concat());
        run.expect_code(0);
        let phase = run.phases().remove(0);
        for counter in ["errors", "misses", "wrong", "redirects"] {
            assert_eq!(phase[counter], 0, "{order} {counter}");
        }
        let summary = run.json("summary.json");
        assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
        assert_eq!(summary["targets"][0]["client"], "cluster client");
    }
    // Each of the nodes had requests, and all keys are gone.
    for place in 0..3 {
        assert!(cluster.calls(place, "get") > 0 && cluster.calls(place, "set") > 0, "{place}");
    }
    assert_eq!(cluster.keys(), 0);
}

#[test]
fn in_turn_every_key_of_every_master_is_reached() {
    let cluster = Cluster::start(3);
    let load = ["--size", "32B", "--keys", "300", "--connections", "6", "--ops", "set", "--keep"];
    let run = of_cluster(&cluster, &[&load[..], &["--duration", "1s"]].concat());
    run.expect_code(0);
    assert!(run.sum("SET", "ops") > 3_000);
    assert_eq!(cluster.keys(), 300);
}

#[test]
fn slots_that_move_are_followed_and_their_redirects_counted() {
    let cluster = Cluster::start(3);
    let load = ["--size", "32B", "--keys", "2000", "--connections", "6", "--ops", "set"];
    let run = std::thread::scope(|scope| {
        let running =
            scope.spawn(|| of_cluster(&cluster, &[&load[..], &["--duration", "5s"]].concat()));
        until("keys on the first master", || cluster.client(0).line("DBSIZE").int() > 0);
        cluster.move_slots(300);
        running.join().unwrap()
    });
    run.expect_code(0);
    assert!(run.sum("SET", "redirects") > 0, "{:?}", run.phases());
    assert_eq!((run.sum("SET", "errors"), cluster.keys()), (0, 0));
    assert!(run.sum("SET", "redirects") < run.sum("SET", "ops") / 10, "{:?}", run.phases());
}

#[test]
fn targets_are_compared_round_by_round_with_the_first() {
    let (cluster, lone) = (Cluster::start(3), RedisServer::start(&[]));
    let list = format!("lone={},direct=cluster:{}", lone.address(), cluster.address(0));
    let load = ["--from", "16B", "--to", "32B", "--duration", "200ms", "--connections", "6"];
    let run = sweep_of(&[&["--compare", &list][..], &load].concat());
    run.expect_code(0);
    let summary = run.json("summary.json");
    assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
    // Three rounds, two sizes, two operations; each target first in some round.
    let phases = run.phases();
    assert_eq!(phases.len(), 3 * 2 * 2 * 2);
    let target = |place: usize| phases[place]["target"].as_str().unwrap();
    assert_eq!([target(0), target(2), target(8)], ["lone", "direct", "direct"]);
    let comparison = summary["comparison"].as_array().unwrap();
    assert_eq!(comparison.len(), 4);
    for ratio in comparison {
        assert_eq!((&ratio["target"], &ratio["to"]), (&"direct".into(), &"lone".into()));
        let spread = &ratio["ops_per_s"];
        let figure = |name: &str| spread[name].as_f64().unwrap();
        assert_eq!(spread["count"], 3);
        assert!(0.0 < figure("min") && figure("min") <= figure("median"), "{ratio}");
        assert!(figure("median") <= figure("max"), "{ratio}");
    }
    for name in ["report.md", "report.html"] {
        assert!(run.file(name).contains("By lone"), "{name}");
    }
    assert!(run.stdout().contains("By lone, round by round:"), "{}", run.stdout());
    let hdr: Vec<_> = std::fs::read_dir(run.path().join("hdr")).unwrap().collect();
    assert_eq!(hdr.len(), phases.len() + 1);
    // The records of such a run can be held side by side too.
    let rebuilt = crate::run::exit_code(&["diff", run.directory(), run.directory()]);
    assert_eq!((rebuilt, cluster.keys()), (Some(0), 0));
}

#[test]
fn a_node_without_a_cluster_is_refused_as_one() {
    let lone = RedisServer::start(&[]);
    let run = sweep(&format!("cluster:{}", lone.address()), &[]);
    run.expect_code(1);
    assert!(run.stderr().contains("no Redis Cluster to measure"), "{}", run.stderr());
}
