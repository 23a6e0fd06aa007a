//! A cluster of real nodes, each on an address of its own, with the gateway in front of it.
//!
//! Owns which nodes are up, what the cluster thinks of itself, and the end of every test: errors,
//! order, lost, extra, and a gateway at rest.

mod evidence;
mod slots;
mod view;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use slotway::backend::Identity;
use slotway::resp::Value;

use crate::gateway::Gateway;
use crate::link::Link;
use crate::load::{Allowed, Load, Report};
use crate::nodes::{Fleet, until};
use crate::{PATIENCE, RECOVERY_MAX};

/// Nodes write down what they do before they answer, and lose that only with the machine: so the
/// file of a node that was killed proves what it had done.
pub(crate) const NODES: [&str; 8] = [
    "--appendfsync",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
    "--cluster-node-timeout",
    "2000",
    "--enable-debug-command",
    "yes",
];

/// A cluster with a gateway. Dropped in this order.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) fleet: Fleet,
    /// The nodes' ids.
    pub(crate) ids: Vec<String>,
    /// Nodes that do not answer at the moment.
    down: Vec<usize>,
    evidence: Vec<evidence::Evidence>,
    fds: f64,
}

impl Site {
    /// Three masters, the nodes 0 to 2, with a replica each.
    pub(crate) fn start() -> Site {
        Site::start_with(&[], &[])
    }

    /// With more options for the nodes, and settings for the gateway.
    pub(crate) fn start_with(options: &[&str], settings: &[(&str, &str)]) -> Site {
        let fleet = Fleet::start_with(6, &[&NODES, options].concat());
        form(&fleet.addresses());
        let seeds = [fleet.nodes[0].address, fleet.nodes[4].address];
        Site::behind(fleet, &seeds, settings)
    }

    /// A gateway in front of nodes that are a cluster.
    pub(crate) fn behind(fleet: Fleet, seeds: &[SocketAddr], settings: &[(&str, &str)]) -> Site {
        let ids = fleet.nodes.iter().map(|node| node.id()).collect();
        let gateway = Gateway::start(fleet.folder.path(), seeds, settings);
        let mut site =
            Site { gateway, fleet, ids, down: Vec::new(), evidence: Vec::new(), fds: 0.0 };
        site.wait_until_whole();
        site.gateway.wait_for_looks();
        site.fds = site.gateway.metric("process_open_fds", "");
        site
    }

    /// Asks a node something that it must do.
    pub(crate) fn say(&self, at: usize, line: &str) -> String {
        self.fleet.nodes[at].say(line)
    }

    /// The nodes that answer.
    pub(crate) fn up(&self) -> Vec<usize> {
        (0..self.fleet.nodes.len()).filter(|at| !self.down.contains(at)).collect()
    }

    fn goes_down(&mut self, at: usize) {
        self.down.push(at);
        self.keep_evidence(at);
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, at: usize) {
        self.fleet.kill(at);
        self.goes_down(at);
    }

    /// Starts a node again where it was, with what is in its folder.
    pub(crate) fn run(&mut self, at: usize) {
        let SocketAddr::V4(address) = self.fleet.nodes[at].address else { unreachable!() };
        self.run_at(at, address.ip().octets()[3]);
    }

    /// Starts a node again on another address.
    pub(crate) fn run_at(&mut self, at: usize, last: u8) {
        self.fleet.run(at, last);
        self.down.retain(|down| *down != at);
    }

    /// Takes a node's data away, which must be down; it stays the node that it is.
    pub(crate) fn empty(&self, at: usize) {
        std::fs::remove_dir_all(self.fleet.nodes[at].home.join("appendonlydir")).unwrap();
    }

    /// Stops a node in its tracks; its connections stay.
    pub(crate) fn freeze(&mut self, at: usize) {
        self.fleet.nodes[at].signal(Signal::STOP);
        self.goes_down(at);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self, at: usize) {
        self.fleet.nodes[at].signal(Signal::CONT);
        self.down.retain(|down| *down != at);
    }

    /// The node cannot be reached by the others.
    pub(crate) fn cut_off(&mut self, at: usize) {
        self.goes_down(at);
    }

    /// The node can be reached again.
    pub(crate) fn cut_in(&mut self, at: usize) {
        self.down.retain(|down| *down != at);
    }

    /// A planned failover: this replica becomes master; waits until all nodes know.
    pub(crate) fn promote(&self, replica: usize) {
        // Who has not heard yet whom it follows does not help it.
        until("nodes that know the replica", || {
            let view = self.view(replica);
            let Some(own) = view.iter().find(|member| member.id == self.ids[replica]) else {
                return false;
            };
            let knows = |m: &view::Member| m.id == own.id && m.master == own.master;
            own.master != "-" && self.up().iter().all(|at| self.view(*at).iter().any(knows))
        });
        let (start, mut told) = (Instant::now(), 0);
        // One whose election comes to nothing gives up after five seconds, during which its master
        // lets writes wait. It is told again.
        until("a replica that takes over", || {
            told += 1;
            let _ = self.fleet.nodes[replica].ask(&["CLUSTER", "FAILOVER"]);
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(6) {
                if self.say(replica, "INFO replication").contains("role:master") {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            false
        });
        if told > 1 || start.elapsed() > Duration::from_secs(1) {
            let log = std::fs::read_to_string(self.fleet.nodes[replica].home.join("redis.log"));
            let log = log.unwrap_or_default();
            let lines = log.lines().rev().take(12).collect::<Vec<_>>().join("\n  ");
            eprintln!("the nodes took {:.1?} over a planned failover:\n  {lines}", start.elapsed());
        }
        self.wait_until_whole();
    }

    /// The cluster itself has recovered when it is whole; then every stream goes on.
    pub(crate) fn wait_for_recovery(&self, fault: &str, load: &Load) {
        let took = self.wait_until_owned();
        let (streams, last) = load.wait_for_progress(1);
        eprintln!("{fault}: cluster whole after {took:.2?}, every stream {streams:.2?} later");
        assert!(streams < RECOVERY_MAX, "{last:?}: {streams:?} after the cluster had recovered");
    }

    /// Ends the load and holds what it saw against what may be.
    pub(crate) fn finish(&mut self, fault: &str, load: Load, allowed: Allowed) -> Report {
        self.wait_until_whole();
        let mut links = HashMap::new();
        let report = load.stop(|words| self.answer(&mut links, words));
        eprint!("{fault}: longest gap {:.2} s\n{report}", report.gap().as_secs_f64());
        report.assert(allowed);
        self.account_for(fault, &report);
        self.gateway.wait_for_rest();
        let fds = self.gateway.metric("process_open_fds", "");
        let connections = 3.0 * self.fleet.nodes.len() as f64;
        assert!(fds <= self.fds + connections, "{fds} descriptors, {} before", self.fds);
        let said = self.gateway.said();
        assert!(!said.contains("panicked") && !said.contains("task failed"), "{said}");
        report
    }

    /// What whoever serves the key of a request says.
    fn answer(&self, links: &mut HashMap<usize, Link>, words: &[&str]) -> Value {
        let start = Instant::now();
        loop {
            for at in self.up() {
                let address = self.fleet.nodes[at].address;
                let link = links.entry(at).or_insert_with(|| Link::connect(address).unwrap());
                match link.call(words) {
                    Ok(Value::Error(_)) => {}
                    Ok(value) => return value,
                    Err(_) => drop(links.remove(&at)),
                }
            }
            assert!(start.elapsed() < PATIENCE, "nobody answers {words:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Makes the nodes a cluster with a replica for each master.
pub(crate) fn form(addresses: &[SocketAddr]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let formed = async {
        let identity = Identity::default();
        slotway::keeper::form(addresses, 1, &identity, deadline.into()).await
    };
    runtime.block_on(formed).map_err(|error| format!("{error:?}")).unwrap();
}
