//! Several scripted nodes and the map of slots they tell.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use slotway::slot::{SLOTS, Slot};

use super::node::{Act, Call, Node};
use super::wire::bulk;

type Script = Box<dyn FnMut(&Call) -> Option<Vec<Act>> + Send>;

/// What all nodes of a cluster share.
pub(crate) struct Shared {
    state: Mutex<State>,
}

struct State {
    /// Ports by node.
    ports: Vec<u16>,
    /// Slots a node serves: first and last. One that serves none is not in the map.
    slots: Vec<Vec<(usize, usize)>>,
    /// Replicas of a node, as the map names them.
    replicas: Vec<Vec<usize>>,
    calls: Vec<Call>,
    /// How often each node has seen each request.
    times: HashMap<(usize, String), usize>,
    /// Of requests as they are.
    script: Script,
    /// What the map calls the host of a node.
    hosts: Vec<String>,
    /// Of the gateway's own questions; `None` leaves them to the harness.
    answers: Script,
    epoch: u64,
}

/// The nodes; they stop when it is dropped.
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    /// A cluster of `count` nodes that share all slots.
    pub(crate) fn of(count: usize) -> Cluster {
        let cluster = Cluster::without_slots(count);
        for node in 0..count {
            let range = (node * SLOTS / count, (node + 1) * SLOTS / count - 1);
            cluster.shared.state.lock().unwrap().slots[node] = vec![range];
        }
        cluster
    }

    /// As many nodes, in no map.
    pub(crate) fn without_slots(count: usize) -> Cluster {
        let state = State {
            ports: Vec::new(),
            slots: Vec::new(),
            replicas: Vec::new(),
            calls: Vec::new(),
            times: HashMap::new(),
            script: Box::new(|_| None),
            hosts: Vec::new(),
            answers: Box::new(|_| None),
            epoch: 1,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let mut cluster = Cluster { shared, nodes: Vec::new() };
        for _ in 0..count {
            cluster.add("127.0.0.1:0");
        }
        cluster
    }

    /// One node more, without slots; returns its number.
    pub(crate) fn add(&mut self, bind: &str) -> usize {
        let listener = TcpListener::bind(bind).unwrap();
        let index = self.nodes.len();
        let mut state = self.shared.state.lock().unwrap();
        state.ports.push(listener.local_addr().unwrap().port());
        state.slots.push(Vec::new());
        state.replicas.push(Vec::new());
        state.hosts.push("127.0.0.1".into());
        drop(state);
        self.nodes.push(Node::start(index, listener, Arc::clone(&self.shared)));
        index
    }

    /// The port of a node.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.nodes[node].address.port()
    }

    /// What the nodes do with requests; what it leaves (`None`) is answered amiably.
    pub(crate) fn script(&self, script: impl FnMut(&Call) -> Option<Vec<Act>> + Send + 'static) {
        self.shared.state.lock().unwrap().script = Box::new(script);
    }

    /// What the nodes do with the gateway's own questions (`CLUSTER …`, `COMMAND`).
    pub(crate) fn answers(&self, answers: impl FnMut(&Call) -> Option<Vec<Act>> + Send + 'static) {
        self.shared.state.lock().unwrap().answers = Box::new(answers);
    }

    /// The cluster's map stays as the gateway knows it: its next questions are not answered.
    pub(crate) fn freeze_map(&self) {
        self.answers(|call| (call.text == "CLUSTER SLOTS").then(Vec::new));
    }

    /// From now on the map calls the host of this node so.
    pub(crate) fn name(&self, node: usize, host: &str) {
        self.shared.state.lock().unwrap().hosts[node] = host.into();
    }

    /// From now on the map says that `replica` is one of node `master`.
    pub(crate) fn add_replica(&self, master: usize, replica: usize) {
        self.shared.state.lock().unwrap().replicas[master].push(replica);
    }

    /// From now on no node is a replica.
    pub(crate) fn forget_replicas(&self) {
        self.shared.state.lock().unwrap().replicas.iter_mut().for_each(Vec::clear);
    }

    /// From now on the map says that these nodes serve these slots.
    pub(crate) fn remap(&self, slots: Vec<Vec<(usize, usize)>>) {
        let mut state = self.shared.state.lock().unwrap();
        state.slots = slots;
        state.epoch += 1;
    }

    /// From now on the map says that `node` serves every slot.
    pub(crate) fn give_all_to(&self, node: usize) {
        let mut slots = vec![Vec::new(); self.nodes.len()];
        slots[node] = vec![(0, SLOTS - 1)];
        self.remap(slots);
    }

    /// The requests seen so far, by all nodes.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.state.lock().unwrap().calls.clone()
    }

    /// What has been seen so far counts no more.
    pub(crate) fn forget_calls(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.calls.clear();
        state.times.clear();
    }

    /// The requests a node has seen so far.
    pub(crate) fn seen(&self, node: usize) -> Vec<String> {
        let calls = self.calls();
        calls.into_iter().filter(|call| call.node == node).map(|call| call.text).collect()
    }

    /// How often a node has seen a request.
    pub(crate) fn count(&self, node: usize, text: &str) -> usize {
        let state = self.shared.state.lock().unwrap();
        state.times.get(&(node, text.to_owned())).copied().unwrap_or(0)
    }

    /// Waits until a node has seen a request that often.
    pub(crate) fn wait_for(&self, node: usize, text: &str, times: usize) {
        let what = format!("{times} x {text:?} at node {node}");
        super::wait_for(&what, || self.count(node, text) >= times);
    }

    /// Refuses new connections to a node and closes those there are.
    pub(crate) fn take_down(&self, node: usize) {
        self.nodes[node].refusing.store(true, Ordering::SeqCst);
        self.nodes[node].cut();
    }

    /// Undoes [`Self::take_down`].
    pub(crate) fn bring_up(&self, node: usize) {
        self.nodes[node].refusing.store(false, Ordering::SeqCst);
    }
}

/// The `n`-th key whose slot is in the share of node `node` of `nodes`.
pub(crate) fn key(node: usize, nodes: usize, n: usize) -> String {
    let range = node * SLOTS / nodes..(node + 1) * SLOTS / nodes;
    let is_there = |key: &String| range.contains(&Slot::of(key.as_bytes()).index());
    (0..).map(|n| format!("key:{n}")).filter(is_there).nth(n).unwrap()
}

/// The slot of a key.
pub(crate) fn slot(key: &str) -> usize {
    Slot::of(key.as_bytes()).index()
}

/// The id of a node.
pub(crate) fn id(node: usize) -> String {
    format!("{node:040}")
}

impl Shared {
    /// Notes a request and says what is to be done about it.
    pub(crate) fn acts(&self, node: usize, connection: usize, text: String) -> Vec<Act> {
        let mut state = self.state.lock().unwrap();
        let before = state.times.get(&(node, text.clone())).copied().unwrap_or(0);
        let call = Call { node, connection, text, before };
        if is_fence(&call.text) {
            let acts = (state.script)(&call);
            return acts.unwrap_or_else(|| Act::say(unknown(&call.text)));
        }
        let word = call.text.split(' ').next().unwrap_or_default();
        let is_of_limits = call.text.starts_with("CONFIG GET proto-")
            || call.text.starts_with("CONFIG GET client-");
        let is_the_gateways =
            matches!(word, "CLUSTER" | "COMMAND" | "AUTH" | "HELLO" | "INFO") || is_of_limits;
        if is_the_gateways {
            let acts = (state.answers)(&call);
            return acts.unwrap_or_else(|| Act::say(state.answer(&call)));
        }
        state.calls.push(call.clone());
        *state.times.entry((node, call.text.clone())).or_default() += 1;
        (state.script)(&call).unwrap_or_else(|| Act::say(amiable(&call.text)))
    }
}

impl State {
    fn answer(&self, call: &Call) -> String {
        match call.text.as_str() {
            "CLUSTER MYID" => bulk(&id(call.node)),
            "CLUSTER SLOTS" => self.slots_reply(),
            "CLUSTER NODES" => bulk(&self.nodes_text(call.node)),
            "CLUSTER INFO" => {
                bulk(&format!("cluster_state:ok\r\ncluster_current_epoch:{}\r\n", self.epoch))
            }
            "COMMAND" => "*0\r\n".into(),
            "INFO server" => bulk("# Server\r\nredis_version:7.0.0\r\n"),
            _ => "+OK\r\n".into(),
        }
    }

    fn slots_reply(&self) -> String {
        let mut entries = Vec::new();
        for (node, ranges) in self.slots.iter().enumerate() {
            let nodes: Vec<usize> =
                std::iter::once(node).chain(self.replicas[node].clone()).collect();
            let texts: String = nodes.iter().map(|node| self.node_entry(*node)).collect();
            for (first, last) in ranges {
                entries.push(format!("*{}\r\n:{first}\r\n:{last}\r\n{texts}", 2 + nodes.len()));
            }
        }
        format!("*{}\r\n{}", entries.len(), entries.concat())
    }

    /// The list of nodes as node `own` tells it.
    fn nodes_text(&self, own: usize) -> String {
        let is_replica = |node: usize| self.replicas.iter().any(|of| of.contains(&node));
        let lines = self.slots.iter().enumerate().map(|(node, ranges)| {
            let myself = if node == own { "myself," } else { "" };
            let role = if is_replica(node) { "slave" } else { "master" };
            let slots = ranges.iter().map(|(first, last)| format!(" {first}-{last}"));
            let place = format!("127.0.0.1:{}@1", self.ports[node]);
            let epoch = self.epoch;
            format!(
                "{} {place} {myself}{role} - 0 0 {epoch} connected{}\n",
                id(node),
                slots.collect::<String>()
            )
        });
        lines.collect()
    }

    fn node_entry(&self, node: usize) -> String {
        format!("*3\r\n{}:{}\r\n{}", bulk(&self.hosts[node]), self.ports[node], bulk(&id(node)))
    }
}

/// Whether this is what the gateway sends behind a script: a command with a name of chance.
pub(crate) fn is_fence(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a node says to a command it does not know.
pub(crate) fn unknown(command: &str) -> String {
    format!("-ERR unknown command '{command}', with args beginning with: \r\n")
}

/// What a node says that has nothing against anybody.
fn amiable(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["GET" | "get", key] => bulk(&value_of(key)),
        ["MGET", ref keys @ ..] => {
            let values: Vec<String> = keys.iter().map(|key| bulk(&value_of(key))).collect();
            format!("*{}\r\n{}", values.len(), values.concat())
        }
        ["DEL", ref keys @ ..] => format!(":{}\r\n", keys.len()),
        ["DBSIZE"] => ":1\r\n".into(),
        // How many keys another database has, and how many of them expire: the gateway asks.
        ["EVAL", ..] if text.contains("'countkeysinslot'") => "*2\r\n:0\r\n:0\r\n".into(),
        _ => "+OK\r\n".into(),
    }
}

/// What `GET` answers for a key.
pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}
