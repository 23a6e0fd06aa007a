//! Redis nodes: one alone, or a cluster.
//!
//! Owns their arguments and how they become a cluster. Must not know what is in front of them.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::child::{self, Child, Ports};
use super::{Nodes, fill::SLOTS, local, wait_until, wire};

/// A failover of a node that had to wait for a core would spoil the figures.
const NODE_TIMEOUT_MS: &str = "10000";
/// More than any load has clients.
const CLIENTS_MAX: &str = "15000";

/// A formed cluster.
pub(super) struct Cluster {
    nodes: Vec<Child>,
    masters: Vec<(SocketAddr, Range<usize>)>,
}

impl Cluster {
    /// Starts the nodes and forms the cluster.
    pub(super) fn start(
        folder: &Path,
        ports: &mut Ports,
        Nodes { masters, replicas, .. }: Nodes,
        stop: &AtomicBool,
    ) -> Result<Cluster> {
        let count = if replicas { 2 * masters } else { masters };
        let (mut nodes, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let port = ports.next()?;
            nodes.push(node(folder, port, true)?);
            addresses.push(local(port));
        }
        for (address, node) in addresses.iter().zip(&nodes) {
            until_it_answers(*address, node, stop)?;
        }
        let (of_masters, of_replicas) = addresses.split_at(masters);
        let share = |n: usize| n * SLOTS / masters..(n + 1) * SLOTS / masters;
        let masters: Vec<(SocketAddr, Range<usize>)> =
            of_masters.iter().enumerate().map(|(n, address)| (*address, share(n))).collect();
        form(&masters, &addresses, stop)?;
        follow(of_masters, of_replicas, stop)?;
        Ok(Cluster { nodes, masters })
    }

    /// Each master with its slots.
    pub(super) fn masters(&self) -> &[(SocketAddr, Range<usize>)] {
        &self.masters
    }

    /// Where a proxy may ask first.
    pub(super) fn seed(&self) -> Option<SocketAddr> {
        self.masters.first().map(|(address, _)| *address)
    }

    /// The processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(Child::pid)
    }
}

/// A Redis alone.
pub(super) fn lone(folder: &Path, port: u16, stop: &AtomicBool) -> Result<Child> {
    let node = node(folder, port, false)?;
    until_it_answers(local(port), &node, stop)?;
    Ok(node)
}

/// Another program may have taken the port since it was chosen, and may answer there.
fn until_it_answers(address: SocketAddr, node: &Child, stop: &AtomicBool) -> Result<()> {
    let own = format!("process_id:{}\r", node.pid());
    let is_ours = || Ok(wire::ask(address, "INFO server")?.contains(&own));
    wait_until(&format!("our own Redis at {address}"), stop, is_ours)
        .with_context(|| format!("the end of its log:\n{}", node.last_words()))
}

fn node(folder: &Path, port: u16, in_cluster: bool) -> Result<Child> {
    let program: PathBuf = ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| child::find(name, &[]))
        .context("there is no redis-server in PATH")?;
    Child::start(folder, &format!("redis-{port}"), &program, |command, home| {
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--maxclients", CLIENTS_MAX])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--cluster-enabled", if in_cluster { "yes" } else { "no" }])
            .args(["--cluster-node-timeout", NODE_TIMEOUT_MS])
            .arg("--dir")
            .arg(home);
        Ok(())
    })
}

/// Gives out the slots and introduces every node to every other, which is quicker than rumour.
fn form(
    masters: &[(SocketAddr, Range<usize>)],
    all: &[SocketAddr],
    stop: &AtomicBool,
) -> Result<()> {
    for (epoch, (address, slots)) in masters.iter().enumerate() {
        wire::ask(*address, &format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1))?;
        let range = format!("CLUSTER ADDSLOTSRANGE {} {}", slots.start, slots.end - 1);
        wire::ask(*address, &range).context("a Redis of 7.0 or later is needed")?;
    }
    for one in all {
        for other in all.iter().filter(|other| *other != one) {
            wire::ask(*one, &format!("CLUSTER MEET 127.0.0.1 {}", other.port()))?;
        }
    }
    let known = format!("cluster_known_nodes:{}\r", all.len());
    for address in all {
        wait_until(&format!("{address} to know the whole cluster"), stop, || {
            let info = wire::ask(*address, "CLUSTER INFO")?;
            Ok(info.contains("cluster_state:ok") && info.contains(&known))
        })?;
    }
    Ok(())
}

fn follow(masters: &[SocketAddr], replicas: &[SocketAddr], stop: &AtomicBool) -> Result<()> {
    for (replica, master) in replicas.iter().zip(masters) {
        let id = wire::ask(*master, "CLUSTER MYID")?;
        wire::ask(*replica, &format!("CLUSTER REPLICATE {id}"))?;
    }
    for replica in replicas {
        wait_until(&format!("{replica} to follow its master"), stop, || {
            Ok(wire::ask(*replica, "INFO replication")?.contains("master_link_status:up"))
        })?;
    }
    Ok(())
}
