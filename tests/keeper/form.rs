//! Forming a cluster from real nodes, and refusing to when they are not empty.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slotway::backend::{Connection, Identity};
use slotway::keeper::{FormOutcome, FormReport, KeeperError, Taken, form};
use slotway::resp::Value;
use tokio::time::Instant;

/// Far longer than anything here takes; only a broken program waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `redis-server` that ends with the test.
struct Node {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts a node on a free port; a port that is lost to another program is given up.
    fn start(cluster_enabled: &str) -> Node {
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        for _ in 0..50 {
            let port = fastrand::u16(19_001..22_700);
            if !free(port) || !free(port + 10_000) {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let mut child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .args(["--cluster-enabled", cluster_enabled, "--repl-diskless-sync-delay", "0"])
                .args(["--cluster-node-timeout", "2000"])
                .arg("--dir")
                .arg(folder.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let start = std::time::Instant::now();
            while child.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE {
                if answers_as(address, child.id()) {
                    return Node { child, address, _folder: folder };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("no node could be started");
    }

    async fn call(&self, line: &str) -> Value {
        let identity = Identity::default();
        let mut connection = Connection::open(self.address, &identity, PATIENCE).await.unwrap();
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        connection.call(&words).await.unwrap()
    }
}

/// Whether that very process answers, and not one that another test has started on the same port.
fn answers_as(address: SocketAddr, process: u32) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"INFO server\r\nQUIT\r\n");
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok()
        && answer.contains(&format!("process_id:{process}\r\n"))
}

fn start(count: usize) -> Vec<Node> {
    (0..count).map(|_| Node::start("yes")).collect()
}

async fn formed(nodes: &[Node], replicas: usize) -> Result<FormReport, KeeperError> {
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    form(&addresses, replicas, &Identity::default(), Instant::now() + PATIENCE).await
}

#[tokio::test]
async fn empty_nodes_become_a_cluster_once() {
    let nodes = start(6);
    let report = formed(&nodes, 1).await.unwrap();
    assert_eq!(report, FormReport { outcome: FormOutcome::Formed, masters: 3, replicas: 3 });

    // Every node sees the same: who serves what, and a replica for each.
    for node in &nodes {
        let reply = node.call("CLUSTER NODES").await;
        let lines: Vec<Vec<&str>> =
            reply.as_str().unwrap().lines().map(|line| line.split(' ').collect()).collect();
        let mut ranges: Vec<&str> = lines.iter().filter_map(|line| line.get(8).copied()).collect();
        ranges.sort_unstable();
        assert_eq!(ranges, ["0-5460", "10922-16383", "5461-10921"]);
        let mut followed: Vec<&str> =
            lines.iter().filter(|line| line[2].contains("slave")).map(|line| line[3]).collect();
        followed.sort_unstable();
        followed.dedup();
        assert_eq!(followed.len(), 3);
    }

    // Data in it changes nothing: it is this cluster already.
    nodes[2].call("SET foo bar").await;
    let again = formed(&nodes, 1).await.unwrap();
    assert_eq!(again.outcome, FormOutcome::WasFormed);
    assert_eq!(nodes[2].call("GET foo").await, Value::Bulk(b"bar".to_vec()));

    // Of another shape it is not.
    let error = formed(&nodes, 0).await.unwrap_err();
    assert!(matches!(error, KeeperError::Taken(_, Taken::OtherShape(3))), "{error}");
    // And a part of it is no cluster to form.
    let error = formed(&nodes[..3], 0).await.unwrap_err();
    assert!(matches!(error, KeeperError::Taken(_, Taken::Stranger(_))), "{error}");
}

#[tokio::test]
async fn a_forming_that_was_interrupted_is_finished() {
    let nodes = start(4);
    nodes[0].call("CLUSTER ADDSLOTS 0 1 2 3").await;
    nodes[1].call("CLUSTER ADDSLOTSRANGE 4096 8191").await;
    let port = nodes[2].address.port();
    nodes[0].call(&format!("CLUSTER MEET 127.0.0.1 {port}")).await;
    let report = formed(&nodes, 0).await.unwrap();
    assert_eq!(report, FormReport { outcome: FormOutcome::Finished, masters: 4, replicas: 0 });
}

#[tokio::test]
async fn nodes_that_hold_anything_are_left_alone() {
    let nodes = start(3);
    // Served elsewhere by the plan, so it is not a forming that was interrupted.
    nodes[1].call("CLUSTER ADDSLOTSRANGE 0 99").await;
    let error = formed(&nodes, 0).await.unwrap_err();
    let address = nodes[1].address;
    assert_eq!(
        error.to_string(),
        format!(
            "node {address} is not empty: it already serves 100 slots. Nothing was changed; a \
             cluster is only formed of nodes without data"
        )
    );
    // A key is only writable when all slots are served.
    nodes[1].call("CLUSTER ADDSLOTSRANGE 100 16383").await;
    let start = Instant::now();
    while nodes[1].call("CLUSTER INFO").await.as_str().unwrap().contains("cluster_state:fail") {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nodes[1].call("SET a b").await;
    let error = formed(&nodes, 0).await.unwrap_err();
    assert!(matches!(error, KeeperError::Taken(found, Taken::Keys(1)) if found == address));
    for node in [&nodes[0], &nodes[2]] {
        let lines = node.call("CLUSTER NODES").await;
        assert_eq!(lines.as_str().unwrap().lines().count(), 1, "nothing was changed");
    }
}

#[tokio::test]
async fn what_cannot_be_a_cluster_is_refused() {
    let mut nodes = start(2);
    assert!(matches!(formed(&nodes, 0).await, Err(KeeperError::TooFew { nodes: 2, .. })));
    nodes.push(Node::start("no"));
    let error = formed(&nodes, 0).await.unwrap_err().to_string();
    let address = nodes[2].address;
    assert_eq!(
        error,
        format!("node {address} is not in cluster mode; start it with `cluster-enabled yes`")
    );
    let twice = [nodes[0].address, nodes[1].address, nodes[0].address];
    let deadline = Instant::now() + PATIENCE;
    let error = form(&twice, 0, &Identity::default(), deadline).await.unwrap_err();
    assert!(matches!(error, KeeperError::Twice(found) if found == nodes[0].address), "{error}");
    // Nobody there: the deadline ends the waiting.
    nodes.truncate(2);
    let gone = [nodes[0].address, nodes[1].address, address];
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = form(&gone, 0, &Identity::default(), deadline).await.unwrap_err();
    assert!(matches!(error, KeeperError::Deadline(_)), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
