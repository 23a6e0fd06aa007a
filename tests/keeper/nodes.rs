//! Real nodes, each on a loopback address of its own, and the real keeper; all of them end with
//! the test.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slotway::backend::{BackendError, Connection, Identity};
use slotway::resp::Value;

use crate::PATIENCE;
use crate::http::{self, Answer};

/// A field of INFO; empty when it is not there.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
}

/// Looks again and again until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// A command whose process the kernel ends with this one, where `setpriv` is installed.
pub(crate) fn guarded(program: &str) -> Command {
    let has_guard = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).status();
    if !has_guard.is_ok_and(|status| status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A process that ends with its value.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        Process(command.spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        until("the end of a process", || self.ended().is_some());
        self.ended().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nodes with one port, each on its own address of a network that no other test has.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    network: [u8; 3],
    port: u16,
    more: Vec<String>,
    pub(crate) folder: tempfile::TempDir,
}

/// A `redis-server`, running or not.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) home: PathBuf,
    process: Option<Process>,
}

impl Fleet {
    /// A fleet of that many nodes on the addresses from .11 on.
    pub(crate) fn start(count: u8) -> Fleet {
        Fleet::start_with(count, &[])
    }

    /// With more options for every node.
    pub(crate) fn start_with(count: u8, more: &[&str]) -> Fleet {
        let network = [127, fastrand::u8(1..=254), fastrand::u8(..)];
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let port = (0..100).map(|_| fastrand::u16(19_001..22_700));
        let port = port.into_iter().find(|port| free(*port) && free(port + 10_000)).unwrap();
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Fleet { nodes: Vec::new(), network, port, more, folder };
        for number in 0..count {
            fleet.add(11 + number);
        }
        fleet
    }

    /// Starts another node, on that address.
    pub(crate) fn add(&mut self, last: u8) {
        let home = self.folder.path().join(format!("node-{}", self.nodes.len() + 1));
        let address = self.address(last);
        self.nodes.push(Node { address, home, process: None });
        self.run(self.nodes.len() - 1, last);
    }

    pub(crate) fn address(&self, last: u8) -> SocketAddr {
        let [a, b, c] = self.network;
        SocketAddr::new(IpAddr::from([a, b, c, last]), self.port)
    }

    /// Starts a node, with what is in its folder, on that address.
    pub(crate) fn run(&mut self, at: usize, last: u8) {
        let address = self.address(last);
        let (ip, port) = (address.ip().to_string(), self.port.to_string());
        let node = &mut self.nodes[at];
        node.process = None;
        std::fs::create_dir_all(&node.home).unwrap();
        let log = File::create(node.home.join("redis.log")).unwrap();
        let process = Process::start(
            guarded("redis-server")
                .args(["--port", &port, "--bind", &ip, "--bind-source-addr", &ip])
                .args(["--protected-mode", "no", "--save", "", "--appendonly", "yes"])
                // Nodes are killed here, and what they have answered must be there afterwards.
                .args(["--appendfsync", "always"])
                .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"])
                .args(["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"])
                .args(["--cluster-allow-replica-migration", "no", "--daemonize", "no"])
                .args(&self.more)
                .arg("--dir")
                .arg(&node.home)
                .current_dir(&node.home)
                .stdin(Stdio::null())
                .stdout(log),
        );
        node.address = address;
        node.process = Some(process);
        until("a node that listens", || TcpStream::connect(address).is_ok());
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, at: usize) {
        self.nodes[at].process = None;
    }

    /// As `--nodes` takes them.
    pub(crate) fn list(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        nodes.join(",")
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// Writes some keys all over the slots, or reads them back. What was written is on the replicas
    /// too: a node answers before they have it, and a test may kill that node next.
    pub(crate) fn data(&self, write: bool) {
        for number in 0..60 {
            let (key, value) = (format!("key-{number}"), format!("value-{number}"));
            let said = if write {
                self.anywhere(&["SET", &key, &value])
            } else {
                self.anywhere(&["GET", &key])
            };
            let expected = if write { "OK" } else { &value };
            assert_eq!(said.as_str(), Some(expected), "{key}");
        }
        if write {
            self.wait_for_replicas();
        }
    }

    /// Waits until every replica has what its master has now.
    fn wait_for_replicas(&self) {
        let running = || self.nodes.iter().filter(|node| node.process.is_some());
        let told: Vec<(String, u64)> = running()
            .map(|node| {
                let info = node.say("INFO replication");
                let offset = field(&info, "master_repl_offset").parse().unwrap();
                (node.address.ip().to_string(), offset)
            })
            .collect();
        until("replicas that have what their masters had", || {
            running().all(|node| {
                let info = node.say("INFO replication");
                if field(&info, "role") == "master" {
                    return true;
                }
                let master = field(&info, "master_host");
                let offset = told.iter().find(|(host, _)| host == master).map(|told| told.1);
                let own = field(&info, "slave_repl_offset").parse().ok();
                field(&info, "master_link_status") == "up" && offset.is_some() && own >= offset
            })
        });
    }

    /// Asks the nodes in turn until one answers that it is its business.
    fn anywhere(&self, words: &[&str]) -> Value {
        let start = Instant::now();
        loop {
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                match node.ask(words) {
                    Ok(Value::Error(_)) | Err(_) => {}
                    Ok(value) => return value,
                }
            }
            assert!(start.elapsed() < PATIENCE, "nobody does {words:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every node tells the same of all: three masters with even shares, a replica each, not
    /// beside its master.
    pub(crate) fn assert_whole(&self) {
        for node in &self.nodes {
            let text = node.table();
            let lines: Vec<Vec<&str>> =
                text.lines().map(|line| line.split(' ').collect()).collect();
            assert_eq!(lines.len(), 6, "{text}");
            let mut ranges: Vec<&str> =
                lines.iter().filter_map(|line| line.get(8).copied()).collect();
            ranges.sort_unstable();
            assert_eq!(ranges, ["0-5460", "10922-16383", "5461-10921"], "{text}");
            let mut followed: Vec<&str> =
                lines.iter().filter(|line| line[2].contains("slave")).map(|line| line[3]).collect();
            followed.sort_unstable();
            followed.dedup();
            assert_eq!(followed.len(), 3, "{text}");
            assert!(node.say("CLUSTER INFO").contains("cluster_state:ok"));
        }
    }
}

impl Node {
    /// What it knows of all nodes. A MEET that came beside the nodes' own reunion leaves an entry
    /// that Redis takes away by itself after the node timeout: that is waited for.
    fn table(&self) -> String {
        let start = Instant::now();
        loop {
            let text = self.say("CLUSTER NODES");
            if !text.contains("handshake") {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "a handshake without an end: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it; it may answer with an error.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Value, BackendError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let identity = Identity::default();
            let patience = Duration::from_secs(5);
            Connection::open(self.address, &identity, patience).await?.ask(&words).await
        })
    }

    /// Asks it something that it must do.
    pub(crate) fn say(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match self.ask(&words).unwrap() {
            Value::Error(text) => panic!("{line}: {text}"),
            value => value.as_str().map_or_else(|| format!("{value:?}"), str::to_owned),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.say("CLUSTER MYID")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }
}

/// The program with nothing of ours in the environment.
pub(crate) fn slotway(wrapper: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_slotway");
    let mut command = match wrapper {
        [] => guarded(program),
        [first, rest @ ..] => {
            let mut command = guarded(first);
            command.args(rest).arg(program);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// `slotway keeper`, running.
pub(crate) struct Keeper {
    pub(crate) process: Process,
    pub(crate) admin: SocketAddr,
    log: PathBuf,
}

impl Keeper {
    /// Starts it; its log is a file in that folder.
    pub(crate) fn start(fleet: &Fleet, list: &str, more: &[&str]) -> Keeper {
        Keeper::start_in(fleet, &[], list, more)
    }

    /// Starts it by way of another program.
    pub(crate) fn start_in(fleet: &Fleet, wrapper: &[&str], list: &str, more: &[&str]) -> Keeper {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fleet.folder.path().join(format!("keeper-{}.log", admin.port()));
        let process = Process::start(
            slotway(wrapper)
                .args(["keeper", "--nodes", list, "--admin", &admin.to_string()])
                .args(more)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&log).unwrap()),
        );
        Keeper { process, admin, log }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        until("the admin port", || {
            assert!(self.process.ended().is_none(), "the keeper has ended:\n{}", self.said());
            TcpStream::connect(self.admin).is_ok()
        });
        http::get(self.admin, path)
    }

    /// Waits until the cluster is whole; how long that took.
    pub(crate) fn wait_until_whole(&mut self) -> Duration {
        let start = Instant::now();
        loop {
            let answer = self.get("/readyz");
            if answer.status == 200 {
                return start.elapsed();
            }
            let (why, said) = (answer.body, self.said());
            assert!(start.elapsed() < PATIENCE, "not whole: {why}\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it says no, for a reason with these words.
    pub(crate) fn wait_for_reason(&mut self, words: &str) {
        let start = Instant::now();
        loop {
            let answer = self.get("/readyz");
            if answer.status == 503 && answer.body.contains(words) {
                return;
            }
            let said = self.said();
            assert!(start.elapsed() < PATIENCE, "{words:?} is not in {}\n{said}", answer.body);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its log.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

/// A file of that text, in place: whoever has it mounted sees the new text.
pub(crate) fn rewrite(path: &PathBuf, text: &str) {
    let mut file = File::options().write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
