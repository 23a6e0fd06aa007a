//! A cluster on this machine: nodes, their folder, from start to end.
//!
//! Owns the processes and the folder. Must not know the gateway.
//! Invariant: when a `LocalCluster` is gone, so are its processes and its temporary folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::node::{Node, Server};
use super::{LocalError, LocalOptions, ports};
use crate::backend::{Connection, Identity};
use crate::keeper::{self, KeeperError};
use crate::resp::Value;

/// From nothing to a cluster; on an idle machine it takes about two seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Nodes that were asked to stop are killed after this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for one answer of a node that starts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at the processes.
const POLL: Duration = Duration::from_millis(50);
/// Another program may take a port between choosing it and using it.
const START_TRIES: usize = 3;
const NODE_FOLDER: &str = "node-";

/// A running cluster of `redis-server` processes on loopback ports.
#[derive(Debug)]
pub struct LocalCluster {
    nodes: Vec<Node>,
    /// Those whose end has been told.
    mourned: Vec<SocketAddr>,
    /// Removed when dropped, after the nodes: fields are dropped in order.
    folder: Folder,
}

/// Where the data is.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// A node that has exited.
#[derive(Debug)]
pub struct Exit {
    /// The address of the node.
    pub address: SocketAddr,
    /// How the process ended.
    pub status: String,
    /// The end of its log.
    pub last_words: String,
}

impl LocalCluster {
    /// Starts the nodes and makes them a cluster. When that fails nothing is left.
    pub async fn start(options: &LocalOptions) -> Result<LocalCluster, LocalError> {
        let server = Server::find()?;
        let mut tries = 1;
        loop {
            let error = match Self::try_start(&server, options).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => error,
            };
            let lost_a_port = matches!(&error, LocalError::NodeExited(exit)
                if exit.last_words.contains("Address already in use"));
            // The ports of a folder are those in its nodes.conf, and are not chosen again.
            if !lost_a_port || options.dir.is_some() || tries == START_TRIES {
                return Err(error);
            }
            tries += 1;
        }
    }

    async fn try_start(server: &Server, options: &LocalOptions) -> Result<Self, LocalError> {
        let folder = Folder::open(options.dir.as_deref())?;
        let ports = folder.ports(options.nodes)?;
        let mut cluster = LocalCluster { nodes: Vec::new(), mourned: Vec::new(), folder };
        info!(nodes = options.nodes, ?ports, folder = %cluster.folder.path().display(), "starting");
        for port in ports {
            let home = cluster.folder.path().join(format!("{NODE_FOLDER}{port}"));
            cluster.nodes.push(server.start(port, &home, cluster.keeps_data())?);
        }
        let nodes: Vec<(SocketAddr, u32)> =
            cluster.nodes.iter().map(|node| (node.address, node.process())).collect();
        tokio::select! {
            biased;
            exit = cluster.next_exit() => Err(LocalError::NodeExited(exit)),
            formed = form(&nodes, options.replicas_per_master) => {
                formed.map_err(LocalError::Forming)
            }
        }?;
        Ok(cluster)
    }

    /// Where the nodes are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// Whether the folder stays when the cluster ends, and which it is.
    pub fn kept_folder(&self) -> Option<&Path> {
        match &self.folder {
            Folder::Temporary(_) => None,
            Folder::Kept(path) => Some(path),
        }
    }

    fn keeps_data(&self) -> bool {
        self.kept_folder().is_some()
    }

    /// Waits until a node exits that has not been told of before.
    pub async fn next_exit(&mut self) -> Exit {
        loop {
            for node in &mut self.nodes {
                let Some(status) = node.exited() else { continue };
                if self.mourned.contains(&node.address) {
                    continue;
                }
                self.mourned.push(node.address);
                let last_words = node.last_words();
                return Exit { address: node.address, status: status.to_string(), last_words };
            }
            sleep(POLL).await;
        }
    }

    /// Stops the nodes, all at once, so that none takes over from another meanwhile.
    pub async fn stop(mut self) {
        self.nodes.iter_mut().for_each(Node::ask_to_stop);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.nodes.iter_mut().any(|node| node.exited().is_none()) && Instant::now() < deadline
        {
            sleep(POLL).await;
        }
        // What is left is killed when `self` is dropped here.
    }
}

/// Makes the nodes a cluster, once each port is seen to be our own process: two programs can choose
/// one port at the same moment, and the loser must not take the other's node into its cluster.
async fn form(nodes: &[(SocketAddr, u32)], replicas_per_master: usize) -> Result<(), KeeperError> {
    let identity = Identity::default();
    let deadline = Instant::now() + START_TIMEOUT;
    for (address, process) in nodes {
        while !answers_as(*address, *process, &identity).await {
            if Instant::now() > deadline {
                return Err(KeeperError::Deadline(format!("{address} does not answer")));
            }
            sleep(POLL).await;
        }
    }
    let addresses: Vec<SocketAddr> = nodes.iter().map(|(address, _)| *address).collect();
    keeper::form(&addresses, replicas_per_master, &identity, deadline).await.map(|_| ())
}

/// Whether that very process answers.
async fn answers_as(address: SocketAddr, process: u32, identity: &Identity) -> bool {
    let asked = async {
        let mut connection = Connection::open(address, identity, ANSWER_TIMEOUT).await?;
        connection.call(&[b"INFO", b"server"]).await
    };
    let own = format!("process_id:{process}");
    let info = asked.await.ok();
    info.as_ref().and_then(Value::as_str).is_some_and(|info| info.lines().any(|line| line == own))
}

// === impl Folder ===

impl Folder {
    fn open(dir: Option<&Path>) -> Result<Folder, LocalError> {
        let Some(dir) = dir else {
            let temporary = tempfile::Builder::new().prefix("slotway-local-").tempdir();
            let folder = temporary.map_err(|e| LocalError::Folder(std::env::temp_dir(), e))?;
            return Ok(Folder::Temporary(folder));
        };
        let made = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
        Ok(Folder::Kept(made.map_err(|e| LocalError::Folder(dir.to_owned(), e))?))
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(path) => path,
        }
    }

    /// The ports of the nodes that are here already, or new ones.
    fn ports(&self, nodes: usize) -> Result<Vec<u16>, LocalError> {
        let known = self.known_ports()?;
        if known.is_empty() {
            return ports::choose(nodes).ok_or(LocalError::NoPorts);
        }
        if known.len() != nodes {
            let path = self.path().to_owned();
            return Err(LocalError::OtherCount { path, found: known.len(), wanted: nodes });
        }
        match known.iter().find(|port| !ports::is_free(**port)) {
            Some(taken) => Err(LocalError::PortTaken(*taken, self.path().to_owned())),
            None => Ok(known),
        }
    }

    fn known_ports(&self) -> Result<Vec<u16>, LocalError> {
        let entries = fs::read_dir(self.path());
        let entries = entries.map_err(|e| LocalError::Folder(self.path().to_owned(), e))?;
        let mut ports: Vec<u16> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(NODE_FOLDER)?.parse().ok())
            .collect();
        // The order decides who is a master when a forming is finished that was interrupted.
        ports.sort_unstable();
        Ok(ports)
    }
}
