//! `slotway local`, the real program: what it says when it cannot start, and that nothing stays.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use slotway::backend::{Connection, Identity};
use slotway::local::{LocalCluster, LocalOptions};
use slotway::resp::Value;

/// Far longer than anything here takes; only a broken program waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// `slotway local` whose temporary files go to `temporary`, on ports nobody else has.
fn slotway_local(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWAY_") {
            command.env_remove(name);
        }
    }
    command.args(["local", "--listen", "127.0.0.1:0", "--admin", "off"]).env("TMPDIR", temporary);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// A folder with an executable `redis-server` of this text.
fn fake_server(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis-server");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_missing_server_is_told_with_the_cure() {
    let (temporary, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = slotway_local(temporary.path()).env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("there is no redis-server on this machine"), "{said}");
    assert!(said.contains("apt-get install redis-server") && said.contains("brew install"));
    assert_empty(temporary.path());
}

#[test]
fn a_server_that_does_not_start_is_shown_with_its_last_words() {
    for (script, said) in [
        ("#!/bin/sh\necho 'no such library' >&2\nexit 127\n", "cannot be run: no such library"),
        (
            "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'the disk is on fire'\nexit 3\n",
            "the end of its log:\nthe disk is on fire",
        ),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let folder = fake_server(script);
        let output = slotway_local(temporary.path()).env("PATH", folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        assert_empty(temporary.path());
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_is_started() {
    let temporary = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut command = slotway_local(temporary.path());
    let output = command.args(["--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("the gateway cannot listen on {address}");
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("make up FLAGS=\"--listen ADDR:PORT\""),
        "{}",
        stderr(&output)
    );
    assert_empty(temporary.path());
}

/// `make up` asks this before it builds, which takes minutes.
#[test]
fn a_port_that_is_taken_is_told_before_the_build() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let everywhere = format!("--listen=0.0.0.0:{}", held.local_addr().unwrap().port());
    let ports = |flags: &[&str]| {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/ports"));
        command.args(flags).env_remove("SLOTWAY_CONFIG").output().unwrap()
    };
    for (flags, flag) in [
        (vec!["--admin", "off", "--listen", &address], "--listen"),
        (vec!["-v", &everywhere, "--admin", "off"], "--listen"),
        (vec!["--listen", "127.0.0.1:0", "--admin", &address], "--admin"),
    ] {
        let output = ports(&flags);
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        let advice = format!("make up FLAGS=\"{flag} 127.0.0.1:PORT\"");
        assert!(stderr(&output).contains(&advice), "{}", stderr(&output));
    }
    // Which ports a file names is for the program to find out.
    let free = ["--listen", "127.0.0.1:0", "--admin", "off"];
    let in_file = ["--config", "slotway.toml", "--listen", &address];
    for flags in [free, in_file] {
        let output = ports(&flags);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    }
}

/// The processes are looked for where they listen.
fn assert_gone(addresses: &[SocketAddr]) {
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is still there");
    }
}

async fn call(address: SocketAddr, words: &[&[u8]]) -> Value {
    let identity = Identity::default();
    let mut connection = Connection::open(address, &identity, PATIENCE).await.unwrap();
    connection.ask(words).await.unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_cluster_with_a_folder_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let options = LocalOptions { dir: Some(dir.clone()), nodes: 3, replicas_per_master: 0 };
    let cluster = LocalCluster::start(&options).await.unwrap();
    let addresses = cluster.addresses();
    // "a" is in the last third of the slots.
    assert_eq!(call(addresses[2], &[b"SET", b"a", b"1"]).await, Value::Simple("OK".to_owned()));
    cluster.stop().await;
    assert_gone(&addresses);

    let cluster = LocalCluster::start(&options).await.unwrap();
    assert_eq!(cluster.addresses(), addresses);
    assert_eq!(call(addresses[2], &[b"GET", b"a"]).await, Value::Bulk(b"1".to_vec()));
    // The same folder twice at a time, or with another number of nodes, is a mistake.
    let error = LocalCluster::start(&options).await.unwrap_err().to_string();
    assert!(error.contains("is it running already?"), "{error}");
    let other = LocalOptions { nodes: 4, ..options };
    let error = LocalCluster::start(&other).await.unwrap_err().to_string();
    assert!(error.contains("holds a cluster of 3 nodes, not 4"), "{error}");
    assert_eq!(cluster.kept_folder(), Some(dir.canonicalize().unwrap().as_path()));
    cluster.stop().await;
    assert_gone(&addresses);
}

#[tokio::test]
async fn a_node_that_exits_is_told_once_and_dropping_leaves_nothing() {
    let options = LocalOptions { dir: None, nodes: 3, replicas_per_master: 0 };
    let mut cluster = LocalCluster::start(&options).await.unwrap();
    let addresses = cluster.addresses();
    call(addresses[1], &[b"SHUTDOWN", b"NOSAVE"]).await;
    let exit = tokio::time::timeout(PATIENCE, cluster.next_exit()).await.unwrap();
    assert_eq!(exit.address, addresses[1]);
    assert!(exit.last_words.contains("Redis is now ready to exit"), "{}", exit.last_words);
    let start = Instant::now();
    let second = tokio::time::timeout(Duration::from_millis(200), cluster.next_exit()).await;
    assert!(second.is_err(), "told again after {:?}: {second:?}", start.elapsed());
    drop(cluster);
    assert_gone(&addresses);
}

/// A whole `slotway local`, up to the moment it says that it is ready.
struct Started {
    slotway: Child,
    nodes: Vec<SocketAddr>,
    temporary: tempfile::TempDir,
}

impl Started {
    fn start() -> Started {
        Started::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Started {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::create_dir(temporary.path().join("nodes")).unwrap();
        let log = File::create(temporary.path().join("log")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut slotway = Command::new(env!("CARGO_BIN_EXE_slotway"))
            .args(["local", "--listen", &free, "--admin", "off"])
            .args(more)
            .env("TMPDIR", temporary.path().join("nodes"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut guide = String::new();
        for line in BufReader::new(slotway.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            guide += &format!("{line}\n");
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let port = free.rsplit(':').next().unwrap();
        assert!(guide.contains(&format!("redis-cli -p {port} set greeting hello")), "{guide}");
        // "… a cluster of 6 nodes, 127.0.0.1:20001 to 20006."
        let first = guide.split("nodes, 127.0.0.1:").nth(1).and_then(|rest| rest.get(..5));
        let first: u16 = first.unwrap().parse().unwrap();
        let nodes = (first..first + 6).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Started { slotway, nodes: nodes.collect(), temporary }
    }

    /// Its log.
    fn said(&self) -> String {
        std::fs::read_to_string(self.temporary.path().join("log")).unwrap()
    }

    fn signal(&mut self, signal: rustix::process::Signal) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.slotway);
        rustix::process::kill_process(pid, signal).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.slotway.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.slotway.kill();
        let _ = self.slotway.wait();
    }
}

#[test]
fn a_signal_stops_everything_and_leaves_nothing() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut started = Started::start();
        assert_eq!(started.signal(signal).code(), Some(0));
        assert_gone(&started.nodes);
        assert_empty(&started.temporary.path().join("nodes"));
    }
}

/// What to type next is not lost among the lines of a cluster that comes up.
#[test]
fn it_is_quiet_unless_it_is_asked_to_speak() {
    let mut started = Started::start();
    assert_eq!(started.signal(rustix::process::Signal::INT).code(), Some(0));
    assert!(!started.said().contains("INFO"), "{}", started.said());
    let mut started = Started::start_with(&["-v"]);
    assert_eq!(started.signal(rustix::process::Signal::INT).code(), Some(0));
    let said = started.said();
    assert!(said.contains("CLUSTER MEET") && said.contains("INFO"), "{said}");
    let both = slotway_local(started.temporary.path()).args(["-v", "--log-level", "warn"]).output();
    assert_eq!(both.unwrap().status.code(), Some(2));
}

/// By `setpriv`; a system without it keeps the nodes, as the help says.
#[test]
fn no_node_survives_a_slotway_that_is_killed() {
    let has_setpriv = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).status();
    if !has_setpriv.is_ok_and(|status| status.success()) {
        return;
    }
    let mut started = Started::start();
    started.signal(rustix::process::Signal::KILL);
    let start = Instant::now();
    while started.nodes.iter().any(|node| TcpStream::connect(node).is_ok()) {
        assert!(start.elapsed() < PATIENCE, "a node is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
