//! Forming a Redis Cluster from empty nodes.
//!
//! Owns the order of the steps and the judgement that nothing is lost by them: a node that holds or
//! serves anything is left alone. Must not know how nodes are started, nor clients.
//! Invariant: every step can be repeated, so a forming that was interrupted is finished by the next.

mod plan;
mod view;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::backend::{BackendError, Connection, Identity};
use crate::resp::Value;
pub use plan::Taken;
use plan::{MASTERS_MIN, Plan, Standing};
use view::{View, field, parse_nodes};

/// Between two looks at what is being waited for.
const POLL: Duration = Duration::from_millis(50);
/// Longest wait for one answer. While nodes are waited for, a silent one is asked again; later it
/// ends the forming, which can be begun again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Slots per `ADDSLOTS`, for servers without ranges.
const SLOTS_PER_COMMAND: usize = 1024;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormReport {
    /// Whether anything had to be done.
    pub outcome: FormOutcome,
    /// How many masters the cluster has.
    pub masters: usize,
    /// How many replicas the cluster has.
    pub replicas: usize,
}

/// Whether anything had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormOutcome {
    /// The nodes were empty and are a cluster now.
    Formed,
    /// Somebody had begun, and the rest is done now.
    Finished,
    /// The nodes were this cluster already.
    WasFormed,
}

/// Why there is no cluster.
#[derive(Debug)]
pub enum KeeperError {
    /// Fewer than three masters would come of so many nodes: the caller's mistake.
    TooFew {
        /// How many nodes there are.
        nodes: usize,
        /// How many replicas each master should have.
        replicas_per_master: usize,
    },
    /// Two addresses lead to one node, or one address is given twice: the caller's mistake.
    Twice(SocketAddr),
    /// The node holds or serves something that forming would destroy.
    Taken(SocketAddr, Taken),
    /// The node was started without `cluster-enabled yes`.
    NoCluster(SocketAddr),
    /// The node does not do what it must: refused credentials, no Redis, an unknown command.
    Node(SocketAddr, BackendError),
    /// The time is up; what was still waited for.
    Deadline(String),
}

/// Forms a cluster of `nodes`: the first ones become masters with even shares of the slots, the
/// others their replicas. Nodes that are still starting are waited for. Nodes that are this cluster
/// already are left as they are; nodes that are anything else are refused before anything is done.
pub async fn form(
    nodes: &[SocketAddr],
    replicas_per_master: usize,
    identity: &Identity,
    deadline: Instant,
) -> Result<FormReport, KeeperError> {
    let too_few = KeeperError::TooFew { nodes: nodes.len(), replicas_per_master };
    let plan = Plan::new(nodes.len(), replicas_per_master).ok_or(too_few)?;
    let mut former = Former { plan, nodes: Vec::new(), ids: Vec::new(), deadline };
    for address in nodes {
        former.connect(*address, identity).await?;
    }
    let views = former.look_around().await?;
    let outcome = match plan.judge(&views) {
        Standing::Taken(index, why) => {
            let address = nodes.get(index).copied().unwrap_or_else(|| former.nodes[0].address);
            return Err(KeeperError::Taken(address, why));
        }
        Standing::Formed => FormOutcome::WasFormed,
        Standing::Empty => FormOutcome::Formed,
        Standing::Begun => FormOutcome::Finished,
    };
    if outcome != FormOutcome::WasFormed {
        info!(nodes = nodes.len(), masters = plan.masters, "forming a cluster");
        former.assign_slots(&views).await?;
        former.set_epochs(&views).await?;
        former.meet().await?;
        former.replicate(&views).await?;
    }
    former.wait_until_whole().await?;
    info!(nodes = nodes.len(), masters = plan.masters, ?outcome, "the cluster is whole");
    Ok(FormReport { outcome, masters: plan.masters, replicas: nodes.len() - plan.masters })
}

/// A cluster while it is formed.
struct Former {
    plan: Plan,
    nodes: Vec<Node>,
    /// Of the nodes, in their order.
    ids: Vec<String>,
    deadline: Instant,
}

/// A connection to a node, and where it leads.
struct Node {
    address: SocketAddr,
    connection: Connection,
}

// === impl Former ===

impl Former {
    /// Connects to a node that may be starting or loading its data, and asks for its id.
    async fn connect(
        &mut self,
        address: SocketAddr,
        identity: &Identity,
    ) -> Result<(), KeeperError> {
        loop {
            let error = match self.greet(address, identity).await {
                Ok((node, id)) if !self.ids.contains(&id) => {
                    self.nodes.push(node);
                    self.ids.push(id);
                    return Ok(());
                }
                Ok(_) => return Err(KeeperError::Twice(address)),
                Err(error) => error,
            };
            if !may_pass(&error) {
                return Err(node_error(address, error));
            }
            debug!(%address, %error, "waiting for the node");
            self.pause(|| format!("{address}: {error}")).await?;
        }
    }

    async fn greet(
        &self,
        address: SocketAddr,
        identity: &Identity,
    ) -> Result<(Node, String), BackendError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let patience = left.clamp(POLL, ANSWER_PATIENCE);
        let connection = Connection::open(address, identity, patience).await?;
        let mut node = Node { address, connection };
        let id = node.text(&[b"CLUSTER", b"MYID"]).await?;
        // A node that loads its data answers the above, but not this.
        node.number(&[b"DBSIZE"]).await?;
        Ok((node, id))
    }

    /// What every node sees, once nobody is just meeting somebody: that ends soon, well or not, and
    /// until then it cannot be said who it is.
    async fn look_around(&mut self) -> Result<Vec<View>, KeeperError> {
        loop {
            let mut views = Vec::with_capacity(self.nodes.len());
            for (node, id) in self.nodes.iter_mut().zip(&self.ids) {
                let view = node.view(id).await;
                views.push(view.map_err(|error| node_error(node.address, error))?);
            }
            let meeting = views.iter().find_map(|view| Some((&view.id, view.meeting()?)));
            let Some((id, other)) = meeting else { return Ok(views) };
            let waiting_for = format!("node {id} is just meeting {other}");
            self.pause(|| waiting_for.clone()).await?;
        }
    }

    async fn assign_slots(&mut self, views: &[View]) -> Result<(), KeeperError> {
        for (index, (node, view)) in self.nodes.iter_mut().zip(views).enumerate() {
            let Some(range) = self.plan.slots(index) else { break };
            let has = |slot: &u16| view.own_slots().iter().any(|own| own.contains(slot));
            let missing: Vec<u16> = range.clone().filter(|slot| !has(slot)).collect();
            let done = if missing.len() == range.len() {
                node.add_range(*range.start(), *range.end()).await
            } else {
                node.add_slots(&missing).await
            };
            done.map_err(|error| node_error(node.address, error))?;
            debug!(address = %node.address, ?range, "slots assigned");
        }
        Ok(())
    }

    /// Distinct epochs from the start spare the nodes from settling collisions one by one.
    async fn set_epochs(&mut self, views: &[View]) -> Result<(), KeeperError> {
        for (index, (node, view)) in self.nodes.iter_mut().zip(views).enumerate() {
            // A node that knows others refuses; then they settle it among themselves.
            if view.nodes.len() > 1 {
                continue;
            }
            let epoch = (index + 1).to_string();
            let words: [&[u8]; 3] = [b"CLUSTER", b"SET-CONFIG-EPOCH", epoch.as_bytes()];
            match node.connection.call(&words).await {
                Ok(_) => {}
                // It has one from a forming that was interrupted.
                Err(BackendError::Refused(text)) => {
                    debug!(address = %node.address, text, "epoch kept");
                }
                Err(error) => return Err(node_error(node.address, error)),
            }
        }
        Ok(())
    }

    /// The first node meets all others; they learn of each other from it.
    async fn meet(&mut self) -> Result<(), KeeperError> {
        let others: Vec<SocketAddr> = self.nodes.iter().skip(1).map(|node| node.address).collect();
        loop {
            if let Some(first) = self.nodes.first_mut() {
                let view = first.view("").await.map_err(|e| node_error(first.address, e))?;
                for (address, id) in others.iter().zip(self.ids.iter().skip(1)) {
                    if !view.has_met(std::slice::from_ref(id)) {
                        first.meet(*address).await.map_err(|e| node_error(first.address, e))?;
                    }
                }
            }
            // A handshake that fails is forgotten by Redis, so all are looked at and met again.
            let Some(lonely) = self.find_lonely().await? else { return Ok(()) };
            self.pause(|| format!("{lonely} does not know all other nodes yet")).await?;
        }
    }

    async fn find_lonely(&mut self) -> Result<Option<SocketAddr>, KeeperError> {
        for (node, id) in self.nodes.iter_mut().zip(&self.ids) {
            let view = node.view(id).await.map_err(|error| node_error(node.address, error))?;
            if !view.has_met(&self.ids) {
                return Ok(Some(node.address));
            }
        }
        Ok(None)
    }

    async fn replicate(&mut self, views: &[View]) -> Result<(), KeeperError> {
        for (index, view) in views.iter().enumerate() {
            let master = self.plan.master_of(index).and_then(|master| self.ids.get(master));
            let Some(master) = master.cloned() else { continue };
            if view.own_master() == Some(&master) {
                continue;
            }
            self.follow(index, &master).await?;
        }
        Ok(())
    }

    /// Tries until the deadline: a node may not have learnt yet that the other is a master.
    async fn follow(&mut self, index: usize, master: &str) -> Result<(), KeeperError> {
        loop {
            let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
            let address = node.address;
            let words: [&[u8]; 3] = [b"CLUSTER", b"REPLICATE", master.as_bytes()];
            match node.connection.call(&words).await {
                Ok(_) => {
                    debug!(%address, master, "replica");
                    return Ok(());
                }
                Err(BackendError::Refused(text)) => {
                    self.pause(|| format!("{address} cannot follow {master}: {text}")).await?;
                }
                Err(error) => return Err(node_error(address, error)),
            }
        }
    }

    /// Until every node sees the whole cluster and every replica has its data.
    async fn wait_until_whole(&mut self) -> Result<(), KeeperError> {
        loop {
            let mut unready = None;
            let masters = self.plan.masters;
            for node in &mut self.nodes {
                let lack = node.lack(masters, self.plan.nodes - masters).await;
                let lack = lack.map_err(|error| node_error(node.address, error))?;
                if let Some(lack) = lack {
                    unready = Some(format!("{} {lack}", node.address));
                    break;
                }
            }
            let Some(unready) = unready else { return Ok(()) };
            debug!("waiting: {unready}");
            self.pause(|| unready.clone()).await?;
        }
    }

    /// Waits a moment, unless the time is up.
    async fn pause(&self, waiting_for: impl Fn() -> String) -> Result<(), KeeperError> {
        if Instant::now() + POLL >= self.deadline {
            return Err(KeeperError::Deadline(waiting_for()));
        }
        sleep(POLL).await;
        Ok(())
    }
}

// === impl Node ===

impl Node {
    async fn text(&mut self, words: &[&[u8]]) -> Result<String, BackendError> {
        let value = self.connection.call(words).await?;
        value.as_str().map(str::to_owned).ok_or_else(|| unexpected(words))
    }

    async fn number(&mut self, words: &[&[u8]]) -> Result<i64, BackendError> {
        let value: Value = self.connection.call(words).await?;
        value.as_int().ok_or_else(|| unexpected(words))
    }

    async fn view(&mut self, id: &str) -> Result<View, BackendError> {
        let words: [&[u8]; 2] = [b"CLUSTER", b"NODES"];
        let nodes = parse_nodes(&self.text(&words).await?).ok_or_else(|| unexpected(&words))?;
        let keys = self.number(&[b"DBSIZE"]).await?;
        Ok(View { id: id.to_owned(), nodes, keys })
    }

    async fn add_range(&mut self, start: u16, end: u16) -> Result<(), BackendError> {
        let (first, last) = (start.to_string(), end.to_string());
        let words: [&[u8]; 4] = [b"CLUSTER", b"ADDSLOTSRANGE", first.as_bytes(), last.as_bytes()];
        match self.connection.call(&words).await {
            Ok(_) => Ok(()),
            // Redis before 7.0 knows single slots only.
            Err(BackendError::Refused(text)) if text.to_ascii_lowercase().contains("unknown") => {
                self.add_slots(&(start..=end).collect::<Vec<u16>>()).await
            }
            Err(error) => Err(error),
        }
    }

    async fn add_slots(&mut self, slots: &[u16]) -> Result<(), BackendError> {
        for chunk in slots.chunks(SLOTS_PER_COMMAND) {
            let numbers: Vec<String> = chunk.iter().map(u16::to_string).collect();
            let mut words: Vec<&[u8]> = vec![b"CLUSTER", b"ADDSLOTS"];
            words.extend(numbers.iter().map(String::as_bytes));
            self.connection.call(&words).await?;
        }
        Ok(())
    }

    async fn meet(&mut self, other: SocketAddr) -> Result<(), BackendError> {
        let (ip, port) = (other.ip().to_string(), other.port().to_string());
        let words: [&[u8]; 4] = [b"CLUSTER", b"MEET", ip.as_bytes(), port.as_bytes()];
        self.connection.call(&words).await.map(|_| ())
    }

    /// What this node still lacks to be a part of a whole cluster.
    async fn lack(
        &mut self,
        masters: usize,
        replicas: usize,
    ) -> Result<Option<String>, BackendError> {
        let view = self.view("").await?;
        if let Some(lack) = view.lack(masters, replicas) {
            return Ok(Some(lack));
        }
        let info = self.text(&[b"CLUSTER", b"INFO"]).await?;
        if field(&info, "cluster_state") != Some("ok") {
            return Ok(Some("does not see the cluster as ok yet".to_owned()));
        }
        let replication = self.text(&[b"INFO", b"replication"]).await?;
        let is_replica = field(&replication, "role") == Some("slave");
        if is_replica && field(&replication, "master_link_status") != Some("up") {
            return Ok(Some("does not have the data of its master yet".to_owned()));
        }
        Ok(None)
    }
}

/// Whether waiting may help: the node is starting, or loads its data.
fn may_pass(error: &BackendError) -> bool {
    match error {
        BackendError::Connect(_)
        | BackendError::Io(_)
        | BackendError::Closed
        | BackendError::Silent => true,
        BackendError::Refused(text) => text.starts_with("LOADING"),
        _ => false,
    }
}

fn node_error(address: SocketAddr, error: BackendError) -> KeeperError {
    match error {
        BackendError::Refused(text) if text.contains("cluster support disabled") => {
            KeeperError::NoCluster(address)
        }
        error => KeeperError::Node(address, error),
    }
}

fn unexpected(words: &[&[u8]]) -> BackendError {
    let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    BackendError::Refused(format!("something else than {} has", words.join(" ")))
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Keys(1) => f.write_str("it holds a key"),
            Taken::Keys(count) => write!(f, "it holds {count} keys"),
            Taken::Stranger(node) => write!(f, "it knows a node that is not named here: {node}"),
            Taken::Slots(count) => write!(f, "it already serves {count} slots"),
            Taken::Replica => f.write_str("it already follows another master"),
            Taken::OtherShape(masters) => {
                write!(f, "the nodes are a cluster already, of {masters} masters")
            }
        }
    }
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeeperError::TooFew { nodes, replicas_per_master } => write!(
                f,
                "{nodes} nodes are too few: a cluster needs {MASTERS_MIN} masters, each with \
                 {replicas_per_master} replicas"
            ),
            KeeperError::Twice(address) => {
                write!(f, "{address} is a node that was named before under another address")
            }
            KeeperError::Taken(address, why) => write!(
                f,
                "node {address} is not empty: {why}. Nothing was changed; a cluster is only formed \
                 of nodes without data"
            ),
            KeeperError::NoCluster(address) => write!(
                f,
                "node {address} is not in cluster mode; start it with `cluster-enabled yes`"
            ),
            KeeperError::Node(address, error) => write!(f, "node {address}: {error}"),
            KeeperError::Deadline(waiting_for) => {
                write!(f, "the cluster is not whole in time: {waiting_for}")
            }
        }
    }
}

impl std::error::Error for KeeperError {}
