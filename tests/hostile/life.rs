//! How the gateway starts and ends.

use std::net::{TcpListener, TcpStream};

use crate::support::cluster::{key, value_of};
use crate::support::gateway::{command, free_address, policy};
use crate::support::wire::bulk;
use crate::support::{Act, Client, Cluster, Gate, Gateway, pair, wait_for};

const DRAIN: &str = "[timeouts]\ndrain_delay = \"300ms\"\ndrain = \"60s\"\n";

/// Node 0 answers `SET key slow` when the gate is open.
fn slow_set(cluster: &Cluster, gate: &Gate) -> String {
    let word = format!("SET {} slow", key(0, 2, 0));
    let (text, wait) = (word.clone(), gate.clone());
    cluster.script(move |call| {
        (call.text == text).then(|| vec![Act::Wait(wait.clone()), Act::Say(b"+late\r\n".to_vec())])
    });
    word
}

#[test]
fn the_first_signal_finishes_what_is_under_way() {
    let (cluster, mut gateway, mut busy) = pair(DRAIN);
    let gate = Gate::default();
    let word = slow_set(&cluster, &gate);
    let mut idle = gateway.client();
    assert_eq!(idle.ask("PING"), "+PONG\r\n");
    busy.send(&[&word]);
    cluster.wait_for(0, &word, 1);
    gateway.terminate();
    wait_for("draining", || gateway.log().contains("draining"));
    // Idle ones are closed, new ones refused, and the busy one is waited for.
    assert_eq!(idle.rest(), "");
    wait_for("new clients are refused", || TcpStream::connect(gateway.address).is_err());
    assert!(gateway.ended().is_none(), "it ends with a request under way");
    gate.open();
    assert_eq!(busy.rest(), "+late\r\n");
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn clients_are_accepted_until_the_delay_is_over() {
    let settings = "[timeouts]\ndrain_delay = \"60s\"\ndrain = \"120s\"\n";
    let (_cluster, mut gateway, _client) = pair(settings);
    gateway.terminate();
    wait_for("draining", || gateway.log().contains("draining"));
    let mut late = gateway.client();
    assert_eq!(late.ask(&format!("GET {}", key(0, 2, 0))), bulk(&value_of(&key(0, 2, 0))));
    assert!(gateway.ended().is_none());
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let settings = "[timeouts]\ndrain_delay = \"0s\"\ndrain = \"300s\"\n";
    let (cluster, mut gateway, mut busy) = pair(settings);
    let word = slow_set(&cluster, &Gate::default());
    busy.send(&[&word]);
    cluster.wait_for(0, &word, 1);
    gateway.terminate();
    wait_for("draining", || gateway.log().contains("draining"));
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(gateway.log().contains("stopping at once"));
}

#[test]
fn the_deadline_ends_clients_that_never_finish() {
    let settings = "[timeouts]\ndrain_delay = \"0s\"\ndrain = \"1s\"\n";
    let (cluster, mut gateway, mut busy) = pair(settings);
    let word = slow_set(&cluster, &Gate::default());
    busy.send(&[&word]);
    let mut half = gateway.client();
    half.send_raw(b"*2\r\n$3\r\nGET\r\n");
    cluster.wait_for(0, &word, 1);
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_pipeline_that_never_ends_loses_nothing_that_was_answered() {
    let (_cluster, mut gateway, _client) = pair(DRAIN);
    let address = gateway.address;
    let streams: Vec<_> =
        (0..4).map(|n| std::thread::spawn(move || ask_for_ever(address, n))).collect();
    wait_for("some replies", || !gateway.log().is_empty());
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
    for stream in streams {
        assert!(stream.join().unwrap() > 0);
    }
}

/// Asks one question after the other until the gateway closes; every reply must be whole.
fn ask_for_ever(address: std::net::SocketAddr, n: usize) -> usize {
    let mut client = Client::connect(address);
    let key = key(n % 2, 2, n);
    let want = bulk(&value_of(&key));
    let request = crate::support::wire::request(&["GET", &key]);
    let mut count = 0;
    while std::io::Write::write_all(&mut client.stream, &request).is_ok() {
        match client.reply_or_end() {
            reply if reply == want => count += 1,
            end => {
                assert_eq!(end, "", "half a reply");
                return count;
            }
        }
    }
    count
}

#[test]
fn it_starts_without_a_cluster_and_works_when_there_is_one() {
    let settings = "[timeouts]\nfailover_wait = \"400ms\"\n";
    let cluster = Cluster::of(2);
    cluster.take_down(0);
    cluster.take_down(1);
    let mut gateway = Gateway::launch(cluster.port(0), 2, settings);
    let mut client = gateway.client();
    let get = format!("GET {}", key(1, 2, 0));
    assert_eq!(client.ask("PING"), "+PONG\r\n");
    assert_eq!(client.ask(&get), "-CLUSTERDOWN Hash slot not served\r\n");
    assert!(gateway.ended().is_none());
    cluster.bring_up(0);
    cluster.bring_up(1);
    wait_for("the cluster is found", || client.ask(&get) == bulk(&value_of(&key(1, 2, 0))));
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slotway.toml"), "").unwrap();
    let status = command(&folder, address, free_address().port(), 1).status().unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("slotway: cannot listen on {address}: ")), "{log}");
}

#[test]
fn workers_wait_for_their_turn_unless_told_otherwise() {
    const OTHER: u32 = 0;
    const BATCH: u32 = 3;
    let cluster = Cluster::of(1);
    let ours = policy(&std::fs::read_to_string("/proc/thread-self/stat").unwrap());
    let waits = if ours == OTHER { BATCH } else { ours };
    for (settings, want) in [("", waits), ("sched_batch = false\n", ours)] {
        let gateway = Gateway::launch(cluster.port(0), 2, settings);
        // One client on each: a worker that answers has settled its scheduling.
        let mut clients = [gateway.client(), gateway.client()];
        for client in &mut clients {
            assert_eq!(client.ask("PING"), "+PONG\r\n");
        }
        assert_eq!(gateway.worker_policies(), [want, want]);
    }
}
