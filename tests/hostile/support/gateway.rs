//! The gateway as a process of its own: started, watched, killed.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;

use super::cluster::key;
use super::{Client, Cluster, PATIENCE, wait_for};

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// In front of `cluster` with one worker; `settings` are lines of the configuration file.
    pub(crate) fn start(cluster: &Cluster, settings: &str) -> Gateway {
        let gateway = Gateway::launch(cluster.port(0), 1, settings);
        let mut client = gateway.client();
        // The map has come when keys of all nodes are answered, over the connections that requests
        // with keys share.
        let count = cluster.nodes.len();
        let keys: Vec<String> = (0..count).map(|node| key(node, count, 0)).collect();
        let word = format!("MGET {}", keys.join(" "));
        wait_for("a map of the cluster", || client.ask(&word).starts_with('*'));
        cluster.forget_calls();
        gateway
    }

    /// With a seed on this port, which need not answer.
    pub(crate) fn launch(seed: u16, workers: usize, settings: &str) -> Gateway {
        // A free port may be taken before the gateway has it: then another is tried.
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("slotway.toml"), settings).unwrap();
            let [address, admin] = two_free_addresses();
            let mut command = command(&folder, address, seed, workers);
            let child = command.env("SLOTWAY_ADMIN_BIND", admin.to_string()).spawn().unwrap();
            let mut gateway = Gateway { address, admin, child, folder };
            wait_for("the gateway listens or ends", || {
                gateway.log().contains("accepting clients") || gateway.ended().is_some()
            });
            if gateway.ended().is_none() {
                return gateway;
            }
            assert!(gateway.log().contains("cannot listen on"), "{}", gateway.log());
        }
        panic!("no free port")
    }

    /// A new client.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A page of its admin port: the status, and the text.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned())
    }

    /// The sum of a metric's series that have all of these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let (_, page) = self.page("/metrics");
        let of_it = page.lines().filter_map(|line| line.strip_prefix(name));
        let series = of_it.filter(|rest| rest.starts_with(['{', ' ']));
        let fitting = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
        let values = fitting.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum::<f64>() as u64
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Cuts a node's connections and waits until this gateway has noticed: a request that
    /// comes later is not sent on a connection whose end is still on its way.
    pub(crate) fn cut(&self, cluster: &Cluster, node: usize) {
        let lost = format!("lost a node connection node=127.0.0.1:{} ", cluster.port(node));
        let before = self.log().matches(&lost).count();
        cluster.nodes[node].cut();
        wait_for("the gateway misses a node", || self.log().matches(&lost).count() > before);
    }

    /// [`Cluster::take_down`], and waits until this gateway has noticed.
    pub(crate) fn take_down(&self, cluster: &Cluster, node: usize) {
        cluster.nodes[node].refusing.store(true, Ordering::SeqCst);
        self.cut(cluster, node);
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// How it has ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end; returns its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait_for("the end of the gateway", || self.ended().is_some());
        self.ended().unwrap().code()
    }

    /// Resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    }

    /// The scheduling policy of each worker, as the system numbers them (sched(7)).
    pub(crate) fn worker_policies(&self) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let stats = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
        let workers = stats.filter_map(Result::ok).filter(|stat| stat.contains("(worker-"));
        workers.map(|stat| policy(&stat)).collect()
    }

    /// How many sockets of clients it holds, also those it no longer lists anywhere. Its own
    /// connections to nodes, which come and go as they like, do not count.
    pub(crate) fn clients(&self) -> usize {
        self.holds(&self.client_sockets())
    }

    /// The inodes of the sockets of clients that are connected now.
    pub(crate) fn client_sockets(&self) -> Vec<String> {
        let local = format!(":{:04X}", self.address.port());
        // Columns as proc(5) has them: 1 the local address, 3 the state (0A: listening), 9 the inode.
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid())).unwrap();
        let inode_of_client = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let is_client = columns.len() > 9 && columns[1].ends_with(&local) && columns[3] != "0A";
            is_client.then(|| columns[9].to_owned())
        };
        table.lines().skip(1).filter_map(inode_of_client).collect()
    }

    /// How many of these sockets it holds. One whose connection was reset is in no table any more,
    /// but is held as long as nobody closes it.
    pub(crate) fn holds(&self, inodes: &[String]) -> usize {
        let held: HashSet<String> = fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| {
                Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
            })
            .collect();
        inodes.iter().filter(|inode| held.contains(*inode)).count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log:\n{}", self.log());
        }
    }
}

/// An address nobody listens on at the moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Two of them, which differ: the first is held until the second is known.
fn two_free_addresses() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

/// `slotway run`, its log in `folder`.
pub(crate) fn command(
    folder: &tempfile::TempDir,
    address: SocketAddr,
    seed: u16,
    workers: usize,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWAY_") {
            command.env_remove(name);
        }
    }
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let config = folder.path().join("slotway.toml");
    command
        .env("SLOTWAY_ADMIN_BIND", "off")
        .args(["run", "--seed", &format!("127.0.0.1:{seed}")])
        .args(["--listen", &address.to_string(), "--workers", &workers.to_string()])
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

/// The scheduling policy in a `/proc/…/stat`: its 41st field, the 39th behind the name.
pub(crate) fn policy(stat: &str) -> u32 {
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(38).unwrap().parse().unwrap()
}
