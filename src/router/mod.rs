//! From a plan to the nodes: which pipeline takes a request now.
//!
//! Owns one worker's view of the map and the pipelines of its masters, and the carrying out of
//! plans. What comes back unanswered is [`recovery`]'s. Must not know clients beyond their writers.

pub mod acknowledged;
mod apart;
pub mod blocked;
mod busy_node;
mod cluster_handle;
pub mod fanout;
pub mod hold_budget;
pub mod hub;
pub mod key_cursor;
mod living;
pub mod monitor;
mod out_of_band;
pub mod plan;
pub mod publishing;
mod pursuit;
pub mod queue_check;
mod reason;
pub mod recovery;
pub mod scan;
pub mod script_cache;
pub mod watched;
pub mod wide;

pub use cluster_handle::ClusterHandle;
pub use fanout::{Asker, Fanout, ScanPage};
pub use hold_budget::HoldBudget;
pub use hub::Hub;
pub use plan::{Plan, plan};
pub use recovery::Recovery;
pub use script_cache::ScriptCache;
pub use wide::Wide;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use arc_swap::{ArcSwap, Cache};

use crate::backend::pipeline::OWNED_BYTES_MIN;
use crate::backend::{Band, NodeAddress, Pipeline, Pipelines, Shared};
use crate::command::CommandTable;
use crate::config::{CrossSlot, Limits, Timeouts};
use crate::metrics::WorkerStats;
use crate::reply::handle::RequestMeta;
use crate::reply::{ClientWriter, Gather, ReplyHandle, ReturnReason};
use crate::resp::{Args, Protocol};
use crate::slot::{SLOTS, Slot};
use crate::topology::{ClusterMap, Topology, Trigger};

/// Room for a part of a request that is taken apart; one that is longer makes its own.
const PART_BYTES: usize = 256;

/// A slot without a large value for so long, or twice as long, has none.
const LARGE_US: u64 = 30_000_000;

type MapCache = Cache<Arc<ArcSwap<ClusterMap>>, Arc<ClusterMap>>;
type TableCache = Cache<Arc<ArcSwap<CommandTable>>, Arc<CommandTable>>;

/// What the router is configured with.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What becomes of keys in several slots.
    pub cross_slot: CrossSlot,
    /// How long a request may wait for a slot to be served, in microseconds.
    pub failover_wait_us: u64,
    /// How often one request may be sent again because of redirects.
    pub redirects_max: u16,
    /// What the whole gateway holds for slots without a master.
    pub held: Arc<HoldBudget>,
    /// The scripts that clients have sent.
    pub scripts: Arc<ScriptCache>,
}

impl Rules {
    /// The rules of a worker of a gateway that holds requests in `held`.
    pub fn new(
        cross_slot: CrossSlot,
        limits: &Limits,
        timeouts: &Timeouts,
        held: Arc<HoldBudget>,
        scripts: Arc<ScriptCache>,
    ) -> Self {
        Rules {
            cross_slot,
            failover_wait_us: timeouts.failover_wait.as_micros() as u64,
            redirects_max: u16::try_from(limits.redirects_max).unwrap_or(u16::MAX),
            held,
            scripts,
        }
    }
}

/// Who a request comes from, as far as routing needs it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Where replies go.
    pub writer: &'a Rc<ClientWriter>,
    /// Which RESP it speaks.
    pub protocol: Protocol,
    /// The slot to whose shard its requests without keys go, so that they stay in order.
    pub home: Slot,
}

/// One worker's way to the nodes.
#[expect(clippy::redundant_allocation, reason = "an `Rc` is cloned without touching other cores")]
pub struct Router {
    topology: Arc<Topology>,
    map_cache: RefCell<MapCache>,
    table_cache: RefCell<TableCache>,
    /// Behind an `Rc`, so that a turn's use of it touches no counter that workers share.
    map: RefCell<Rc<Arc<ClusterMap>>>,
    table: RefCell<Rc<Arc<CommandTable>>>,
    /// Sessions compare it.
    generation: Cell<u64>,
    /// Per protocol and band, the pipeline of each shard's master, made when first needed.
    masters: [RefCell<Vec<Option<Rc<Pipeline>>>>; 4],
    pipelines: Pipelines,
    rules: Rules,
    /// When it was last looked which slots have large values no more.
    looked_us: Cell<u64>,
    published: publishing::Published,
    /// Those of clients that have connections for themselves.
    apart: RefCell<Vec<Weak<Router>>>,
    /// Sessions that wait for the map to change, by the address of their client writer.
    waiting: RefCell<HashMap<usize, Waker>>,
}

impl Router {
    /// A router over the published map.
    pub fn new(topology: Arc<Topology>, pipelines: Pipelines, rules: Rules) -> Router {
        let router = Router {
            map_cache: RefCell::new(Cache::new(Arc::clone(topology.map()))),
            table_cache: RefCell::new(Cache::new(Arc::clone(topology.table()))),
            map: RefCell::default(),
            table: RefCell::new(Rc::new(topology.table().load_full())),
            generation: Cell::new(0),
            masters: Default::default(),
            pipelines,
            rules,
            looked_us: Cell::new(0),
            published: publishing::Published::default(),
            apart: RefCell::default(),
            waiting: RefCell::default(),
            topology,
        };
        router.learn_classes();
        router.catch_up();
        router
    }

    /// Takes a newly published map or command table into use; costs two pointer compares when
    /// nothing has changed.
    #[inline]
    pub fn catch_up(&self) {
        let mut cache = self.map_cache.borrow_mut();
        if !Arc::ptr_eq(cache.load(), self.map.borrow().as_ref()) {
            let map = Arc::clone(cache.load());
            drop(cache);
            self.take_map(map);
        }
        let mut cache = self.table_cache.borrow_mut();
        if !Arc::ptr_eq(cache.load(), self.table.borrow().as_ref()) {
            *self.table.borrow_mut() = Rc::new(Arc::clone(cache.load()));
            drop(cache);
            self.learn_classes();
            self.have_others_catch_up();
        }
    }

    fn take_map(&self, map: Arc<ClusterMap>) {
        for masters in &self.masters {
            let mut masters = masters.borrow_mut();
            masters.clear();
            masters.resize(map.shards().len(), None);
        }
        self.tell_pipelines(&map);
        self.begin_generation();
        let before = self.map.replace(Rc::new(map));
        self.note_other_masters(&before);
        self.have_others_catch_up();
        for (_, waker) in self.waiting.borrow_mut().drain() {
            waker.wake();
        }
    }

    /// Nodes that left the map, and masters that are none any more, answer what they were sent.
    fn tell_pipelines(&self, map: &ClusterMap) {
        let before = self.map.borrow();
        let masters_of = |map: &ClusterMap| -> HashSet<NodeAddress> {
            map.shards().iter().map(|shard| shard.master.clone()).collect()
        };
        let (were, are) = (masters_of(&before), masters_of(map));
        self.pipelines.set_masters(|node| match (were.contains(node), are.contains(node)) {
            (_, true) => Some(true),
            (true, false) => Some(false),
            (false, false) => None,
        });
        let nodes: HashSet<&NodeAddress> = map.nodes().map(|(node, ..)| node).collect();
        self.pipelines.retain(|node| nodes.contains(node));
    }

    /// Looks after nodes that owe answers; called now and then.
    pub fn check_silence(&self) {
        self.forget_large_values();
        let is_silent = self.pipelines.check_silence();
        if self.check_others() || is_silent {
            self.topology.want_refresh(Trigger::NodeTrouble);
        }
    }

    fn forget_large_values(&self) {
        let now_us = self.shared().clock.tick();
        if now_us.saturating_sub(self.looked_us.get()) > LARGE_US {
            self.looked_us.set(now_us);
            self.shared().large.forget();
        }
    }

    fn learn_classes(&self) {
        let table = self.table.borrow();
        let classes = table.iter().map(|(_, command)| command.class as u8).collect();
        *self.shared().classes.borrow_mut() = classes;
    }

    /// The command table in force.
    #[inline]
    pub fn table(&self) -> Rc<Arc<CommandTable>> {
        Rc::clone(&self.table.borrow())
    }

    /// The map in use.
    pub fn map(&self) -> Rc<Arc<ClusterMap>> {
        Rc::clone(&self.map.borrow())
    }

    /// Grows when requests begin to travel over other connections than those before: with each map, and
    /// when a connection is replaced.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    fn begin_generation(&self) {
        self.generation.set(self.generation.get() + 1);
    }

    /// What the pipelines share: buffer, clock, counters.
    pub fn shared(&self) -> &Rc<Shared> {
        self.pipelines.shared()
    }

    /// This worker's counters.
    pub fn stats(&self) -> &Arc<WorkerStats> {
        &self.pipelines.shared().stats
    }

    /// The worker's pipelines.
    pub fn pipelines(&self) -> &Pipelines {
        &self.pipelines
    }

    /// The knowledge shared with the control thread.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The scripts that clients have sent.
    pub fn scripts(&self) -> &Arc<ScriptCache> {
        &self.rules.scripts
    }

    /// What becomes of keys in several slots.
    pub fn cross_slot(&self) -> CrossSlot {
        self.rules.cross_slot
    }

    /// The pipeline to the master of a slot, when the map names one.
    #[inline(always)]
    pub fn master_of(&self, slot: Slot, protocol: Protocol, band: Band) -> Option<Rc<Pipeline>> {
        let map = self.map.borrow();
        let shard = map.shard_of(slot)?;
        let mut masters = self.masters[protocol as usize + 2 * band as usize].borrow_mut();
        let master = masters.get_mut(shard)?;
        if let Some(pipeline) = master {
            return Some(Rc::clone(pipeline));
        }
        let pipeline = self.pipelines.get(&map.shards()[shard].master, protocol, band);
        *master = Some(Rc::clone(&pipeline));
        Some(pipeline)
    }

    /// The id of a slot's master; empty when the map names none.
    pub fn id_of_master(&self, slot: Slot) -> Arc<str> {
        let map = self.map.borrow();
        let shard = map.shard_of(slot).and_then(|shard| map.shards().get(shard));
        shard.map_or_else(|| "".into(), |shard| Arc::clone(&shard.master.id))
    }

    /// Sends a request that is no script to the master of a slot; `make` makes its reply handle, where
    /// that stays. Returns the pipeline when it is crowded: the client may have to wait before it sends another one.
    #[inline(always)]
    pub fn send(
        &self,
        (slot, protocol): (Slot, Protocol),
        request: &[u8],
        make: impl FnOnce() -> ReplyHandle,
    ) -> Option<Rc<Pipeline>> {
        match self.master_of(slot, protocol, Band::Common) {
            Some(pipeline) => {
                pipeline.send(request, self.shared().large.of(slot), make);
                pipeline.is_crowded().then_some(pipeline)
            }
            None => {
                make().returned(request.to_vec(), ReturnReason::NoMaster);
                None
            }
        }
    }

    /// Sends a request over this pipeline, which [`Self::master_of`] has named.
    #[inline(always)]
    pub fn send_by(
        &self,
        master: Option<Rc<Pipeline>>,
        (request, weight): (&[u8], u32),
        make: impl FnOnce() -> ReplyHandle,
    ) {
        match master {
            Some(pipeline) => pipeline.send(request, weight, make),
            None => make().returned(request.to_vec(), ReturnReason::NoMaster),
        }
    }

    /// As [`Self::send`], by the slot of its reply handle, for a request whose buffer may be kept. It may
    /// be a script.
    pub fn send_owned(
        &self,
        handle: ReplyHandle,
        protocol: Protocol,
        request: Vec<u8>,
    ) -> Option<Rc<Pipeline>> {
        match self.master_of(handle.slot, protocol, Band::of(handle.on_failure)) {
            Some(pipeline) => {
                pipeline.send_owned(handle, request);
                pipeline.is_crowded().then_some(pipeline)
            }
            None => {
                handle.returned(request, ReturnReason::NoMaster);
                None
            }
        }
    }

    /// Sends every part of a split request; their merged reply answers request `seq`.
    pub fn send_split(
        &self,
        client: Client<'_>,
        seq: u64,
        meta: RequestMeta,
        mut split: plan::Split,
        args: Args<'_>,
    ) -> Option<Rc<Pipeline>> {
        self.stats().split.add(1);
        let merge = split.take_merge();
        let gather = Rc::new(Gather::new(split.len(), merge));
        let (mut full, mut request) = (None, Vec::with_capacity(PART_BYTES));
        for part in 0..split.len() {
            split.write_part(part, args, &mut request);
            let meta = RequestMeta { slot: split.slot(part), ..meta };
            let writer = Rc::clone(client.writer);
            let make = || ReplyHandle::part(writer, seq, meta, Rc::clone(&gather), part as u32);
            if request.len() >= OWNED_BYTES_MIN {
                let request = std::mem::take(&mut request);
                full = self.send_owned(make(), client.protocol, request).or(full);
            } else {
                full = self.send((meta.slot, client.protocol), &request, make).or(full);
                request.clear();
            }
        }
        full
    }

    /// The slot for requests without keys of client number `id`: the same shard for all of them.
    pub fn home_of(id: u64) -> Slot {
        // Spread neighbours over the slots.
        let slot = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        Slot::new(slot % SLOTS as u64).unwrap_or_else(|| Slot::of(b""))
    }

    /// Answers a request with an error of the gateway.
    pub fn fail(&self, writer: &Rc<ClientWriter>, seq: u64, command: u16, text: &str) {
        self.stats().command(command, crate::metrics::Outcome::GatewayError);
        let mut line = Vec::with_capacity(text.len() + 3);
        crate::resp::write::error(&mut line, text);
        writer.deliver(seq, &line, true);
    }

    /// Wakes the session of this client when the map changes.
    pub fn wake_on_change(&self, writer: &Rc<ClientWriter>, waker: &Waker) {
        self.waiting.borrow_mut().insert(Rc::as_ptr(writer).addr(), waker.clone());
    }

    /// Follows the published map for ever, so that sessions which wait for it wake.
    pub async fn follow(self: Rc<Self>) {
        let mut changes = self.topology.changes();
        loop {
            self.catch_up();
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn hold(&self, bytes: usize) -> Option<hold_budget::Share> {
        self.rules.held.take(bytes, self.stats())
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Router({:?})", self.map.borrow())
    }
}
