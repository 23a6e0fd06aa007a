//! Clusters and gateways.
//!
//! Owns how they are started, and those that several tests share.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) use testkit::server::{free_address, owned, start};

use super::client::Client;
use super::guard::{EndBy, Guarded};
use super::reply::Reply;
use super::until;

pub(crate) const SLOTWAY: &str = env!("CARGO_BIN_EXE_slotway");

/// A cluster of real nodes.
pub(crate) struct Cluster {
    _process: Guarded,
    /// Where its nodes are.
    pub(crate) nodes: Vec<SocketAddr>,
}

/// A gateway, the real program.
pub(crate) struct Gateway {
    _process: Guarded,
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
}

/// A cluster with a gateway in front of it.
pub(crate) struct Site {
    // Dropped in this order.
    pub(crate) gateway: Gateway,
    pub(crate) cluster: Cluster,
}

/// The cluster of three masters with a replica each that most tests share. Their keys begin with
/// a name of their own.
pub(crate) fn shared() -> &'static Site {
    static SHARED: OnceLock<Site> = OnceLock::new();
    SHARED.get_or_init(|| Site::start(6, &[]))
}

/// A cluster of three masters for tests that look at the whole keyspace: one at a time, each
/// without the keys that the one before has left.
pub(crate) fn alone() -> MutexGuard<'static, Site> {
    static ALONE: OnceLock<Mutex<Site>> = OnceLock::new();
    let site = ALONE.get_or_init(|| Mutex::new(Site::start(3, &[])));
    let site = site.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(site.gateway.client().line("FLUSHALL"), Reply::ok());
    site
}

/// A client of the shared gateway.
pub(crate) fn client() -> Client {
    shared().gateway.client()
}

impl Site {
    /// A cluster of so many nodes, six or more with a replica per master.
    pub(crate) fn start(nodes: usize, variables: &[(&str, &str)]) -> Site {
        let cluster = Cluster::start(nodes);
        Site { gateway: cluster.gateway(variables), cluster }
    }
}

impl Cluster {
    /// `slotway local` makes it, and takes its folder away at the end; its own gateway is idle.
    fn start(nodes: usize) -> Cluster {
        let count = nodes.to_string();
        let (mut process, _, line) = start(EndBy::Term, "behind it a cluster of", &[], |address| {
            let listen = address.to_string();
            owned(&[SLOTWAY, "local", "--nodes", &count, "--listen", &listen, "--admin", "off"])
        });
        process.wait_for("Ctrl-C").expect("a whole guide");
        // "… a cluster of 6 nodes, 127.0.0.1:20001 to 20006."
        let first = line.split("nodes, ").nth(1).and_then(|rest| rest.split(' ').next());
        let first: SocketAddr = first.and_then(|text| text.parse().ok()).expect(&line);
        let ports = (0..nodes as u16).map(|nth| first.port() + nth);
        let nodes = ports.map(|port| SocketAddr::new(first.ip(), port)).collect();
        Cluster { _process: process, nodes }
    }

    /// A gateway in front of it, with these options in its environment.
    pub(crate) fn gateway(&self, variables: &[(&str, &str)]) -> Gateway {
        let seed = self.nodes[0].to_string();
        let sign = "accepting clients";
        let (mut process, address, _) = start(EndBy::Kill, sign, variables, |address| {
            let listen = address.to_string();
            let words = [SLOTWAY, "run", "--seed", &seed, "--listen", &listen, "--admin", "off"];
            owned(&words)
        });
        // Until then it has a table of its own, with the arities of a newer Redis.
        process.wait_for("read the cluster's command table").expect("the nodes' commands");
        let gateway = Gateway { _process: process, address };
        until("the gateway knows its cluster", || {
            !matches!(gateway.client().line("EXISTS warm"), Reply::Error(_))
        });
        gateway
    }

    /// A client of one node.
    pub(crate) fn node(&self, index: usize) -> Client {
        Client::connect(self.nodes[index])
    }
}

/// A gateway whose seed nobody is at.
pub(crate) fn nowhere() -> Gateway {
    let seed = free_address().to_string();
    let (process, address, _) = start(EndBy::Kill, "accepting clients", &[], |address| {
        let listen = address.to_string();
        owned(&[SLOTWAY, "run", "--seed", &seed, "--listen", &listen, "--admin", "off"])
    });
    Gateway { _process: process, address }
}

impl Gateway {
    /// A new client of it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Its port, as client programs are told it.
    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }
}
