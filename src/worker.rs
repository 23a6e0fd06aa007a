//! One core: a thread with its own runtime, its clients and its connections to the nodes.
//!
//! Owns the putting together of one worker, and its clients' tasks. Nothing on a request's path is
//! shared with another worker. A panic in one client's task ends that client only.

mod budget;
mod busy_time;
mod core_time;
pub mod scaling;
mod scheduling;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, mpsc};

use crate::backend::send_queue::ChunkPool;
use crate::backend::{Identity, LargeValues, Pipelines, Shared};
use crate::builtin::settings::Settings;
use crate::builtin::state::State;
use crate::clients::{Assigner, Assignment, ClientInfo, Clients, Monitors, Registration};
use crate::clock::Clock;
use crate::command::guarded::Allowed;
use crate::config::Config;
use crate::database::Databases;
use crate::memory::{Budget, Ledger};
use crate::metrics::WorkerStats;
use crate::net::DetachedStream;
use crate::reply::{ClientWriter, CloseReason, Flusher, PushLimits};
use crate::resp::request::RequestLimits;
use crate::router::{ClusterHandle, HoldBudget, Hub, Router, Rules};
use crate::session::env::ListenerEnv;
use crate::session::{ClientMigration, Session, SessionLimits};
use busy_time::{BusyTime, LagWindow};
use scaling::Load;

/// The buffer that sockets are read into: large values are passed on in pieces of this size.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How many tasks run before new events are looked for. Sessions, pipelines and the flusher should
/// all run in one turn, so that each node and each client is written to once.
const EVENT_INTERVAL: u32 = 512;
/// How often it is looked how late a timer fires.
const LAG_EVERY: Duration = Duration::from_millis(100);
/// How often slow matters are looked at: silent nodes, buffer sizes; in looks at the lag.
const SWEEP_EVERY: usize = 10;
/// Clients may wait so long for room for the rest of their requests, in looks at the lag, before those
/// that have held most for longest have to go.
const PAUSED_LOOKS_MAX: u32 = 20;
/// A look at which nobody waits takes back so many: room that only the last cut has made is soon full
/// again, and the others would have to wait as long for the next one.
const PAUSED_LOOKS_BACK: u32 = 5;

/// A client that a worker is to serve: it has been accepted, or comes from another worker.
#[derive(Debug)]
pub struct Arrival {
    /// Its entry in the register, which it loses when nobody takes it.
    registration: Registration,
    handoff: Handoff,
}

/// What a worker needs to serve a client.
#[derive(Debug)]
struct Handoff {
    stream: DetachedStream,
    /// Which listener it came to.
    listener: usize,
    /// Where it belongs.
    place: Assignment,
    /// What another worker knows of it.
    known: Option<(State, Vec<u8>)>,
}

impl Arrival {
    /// A client that has just been accepted by this listener.
    pub fn new(
        stream: DetachedStream,
        registration: Registration,
        listener: usize,
        place: Assignment,
    ) -> Arrival {
        Arrival { registration, handoff: Handoff { stream, listener, place, known: None } }
    }

    /// The number of the worker it belongs to.
    pub fn worker(&self) -> usize {
        self.handoff.place.worker()
    }
}

/// A worker as others see it.
#[derive(Debug)]
pub struct Worker {
    arrivals: mpsc::Sender<Arrival>,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    thread: Option<JoinHandle<()>>,
}

/// What all workers are made from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The cluster.
    pub cluster: ClusterHandle,
    /// All clients.
    pub clients: Arc<Clients>,
    /// The counters of all workers.
    pub stats: Arc<[Arc<WorkerStats>]>,
    /// Which worker a client belongs to.
    pub assigner: Arc<Assigner>,
    /// What the whole gateway holds for slots without a master.
    pub held: Arc<HoldBudget>,
    /// What all buffers of the whole gateway draw on.
    pub budget: Arc<Budget>,
    /// What the configuration allows of what is denied else.
    pub allowed: Arc<Allowed>,
    /// The databases there are.
    pub databases: Arc<Databases>,
    /// Who sees what all clients ask.
    pub monitors: Arc<Monitors>,
}

/// The ways to all workers; they do not keep a worker from ending.
type Doors = Arc<[mpsc::WeakSender<Arrival>]>;

/// Starts as many workers as `parts` has counters for.
pub fn start_all(parts: &Parts) -> io::Result<Vec<Worker>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        parts.stats.iter().map(|_| way_in(parts.config.limits.clients_max)).unzip();
    let doors: Doors = senders.iter().map(mpsc::Sender::downgrade).collect();
    let ends = senders.into_iter().zip(receivers).enumerate();
    ends.map(|(index, ends)| Worker::start(index, parts, &doors, ends)).collect()
}

/// The way to a worker. All clients that may be registered have room in it: all may come at once, and
/// all may have to move to the same worker, which has something else to do at that moment.
fn way_in(clients_max: usize) -> (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>) {
    mpsc::channel(clients_max.clamp(1, Semaphore::MAX_PERMITS))
}

impl Worker {
    fn start(
        index: usize,
        parts: &Parts,
        doors: &Doors,
        (arrivals, receiver): (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>),
    ) -> io::Result<Worker> {
        let stats = Arc::clone(&parts.stats[index]);
        let (parts, doors) = (parts.clone(), Arc::clone(doors));
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || work(index, parts, doors, receiver))?;
        Ok(Worker { arrivals, stats, thread: Some(thread) })
    }

    /// Whether its thread still runs.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Hands it a client; gives it back when the worker has ended.
    pub fn place(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.arrivals.try_send(arrival).map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// The thread of a worker: ends when its [`Worker`] is dropped.
fn work(index: usize, parts: Parts, doors: Doors, arrivals: mpsc::Receiver<Arrival>) {
    if parts.config.sched_batch {
        scheduling::wait_for_the_core();
    }
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().event_interval(EVENT_INTERVAL);
    let busy = BusyTime::watch(&mut builder, &parts.stats[index]);
    let runtime = match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a worker cannot start"),
    };
    runtime.block_on(async {
        let core = WorkerCore::new(index, &parts, doors, busy);
        if index == 0 {
            let classes = Arc::clone(&parts.cluster.event_classes);
            tokio::task::spawn_local(classes.keep(Rc::clone(&core.router)));
        }
        core.run(arrivals).await;
    });
}

/// A client that is here: its way out, and its entry in the register.
type Present = (Weak<ClientWriter>, Arc<ClientInfo>);

/// Everything of one worker.
struct WorkerCore {
    router: Rc<Router>,
    hub: Rc<Hub>,
    flusher: Rc<Flusher>,
    stats: Arc<WorkerStats>,
    busy: Arc<BusyTime>,
    doors: Doors,
    limits: Rc<SessionLimits>,
    output_bytes_max: usize,
    /// Per listener, what its sessions need to know.
    listener_envs: Vec<Rc<ListenerEnv>>,
    /// Those clients that are here.
    present: RefCell<HashMap<u64, Present>>,
}

impl WorkerCore {
    fn new(index: usize, parts: &Parts, doors: Doors, busy: Arc<BusyTime>) -> Rc<WorkerCore> {
        let (config, stats) = (&parts.config, Arc::clone(&parts.stats[index]));
        let ledger = Ledger::new(Arc::clone(&parts.budget));
        let shared = shared(parts, &stats, &ledger);
        let identity = Identity::of(&config.topology);
        let pipelines = Pipelines::new(shared, &identity, Arc::clone(&parts.cluster.registry));
        let rules = Rules::new(
            config.routing.cross_slot,
            &config.limits,
            &config.timeouts,
            Arc::clone(&parts.held),
            Arc::clone(&parts.cluster.scripts),
        );
        let router = Rc::new(Router::new(Arc::clone(&parts.cluster.topology), pipelines, rules));
        let scripts = Rc::default();
        let hub = Rc::new(Hub::new(
            Rc::clone(&router),
            Arc::clone(&parts.cluster.census),
            Arc::clone(&parts.databases),
        ));
        let env = |listener: &crate::config::ListenerConfig| {
            Rc::new(ListenerEnv {
                router: Rc::clone(&router),
                hub: Rc::clone(&hub),
                databases: Arc::clone(&parts.databases),
                database: listener.database,
                scripts: Rc::clone(&scripts),
                event_classes: Arc::clone(&parts.cluster.event_classes),
                monitors: Arc::clone(&parts.monitors),
                clients: Arc::clone(&parts.clients),
                password: listener.password.as_ref().map(|secret| secret.expose().to_owned()),
                port: listener.bind.port(),
                config_file: config_file(config),
                allowed: Arc::clone(&parts.allowed),
                settings: Settings::of(config, listener),
                stats: Arc::clone(&parts.stats),
                assigner: Arc::clone(&parts.assigner),
                worker: index,
            })
        };
        Rc::new(WorkerCore {
            listener_envs: config.listeners.iter().map(env).collect(),
            router,
            hub,
            flusher: Flusher::new(
                Arc::clone(&stats),
                ledger,
                config.timeouts.reply_coalesce_delay,
                push_limits(config),
            ),
            stats,
            busy,
            doors,
            limits: Rc::new(session_limits(config)),
            output_bytes_max: config.limits.client_output_bytes_max,
            present: RefCell::default(),
        })
    }

    async fn run(self: Rc<Self>, mut arrivals: mpsc::Receiver<Arrival>) {
        tokio::task::spawn_local(Rc::clone(&self.flusher).run());
        tokio::task::spawn_local(Rc::clone(&self.router).follow());
        tokio::task::spawn_local(Rc::clone(&self.hub).run());
        tokio::task::spawn_local(Rc::clone(&self).sweep());
        tokio::task::spawn_local(Rc::clone(&self).keep_to_the_budget());
        while let Some(arrival) = arrivals.recv().await {
            let task = ClientTask::new(arrival.registration.info().id, &self);
            tokio::task::spawn_local(async move { task.serve(arrival).await });
        }
    }

    /// Looks at slow matters now and then, for ever, and at how late it comes to that.
    async fn sweep(self: Rc<Self>) {
        let (mut lags, mut load) = (LagWindow::default(), Load::begin(&self.stats));
        let mut paused = 0;
        loop {
            let mut largest_us = 0;
            for _ in 0..SWEEP_EVERY {
                let due = Instant::now() + LAG_EVERY;
                tokio::time::sleep_until(due.into()).await;
                largest_us = largest_us.max(due.elapsed().as_micros() as u64);
                self.busy.note();
                self.stats.load_percent.set(load.percent(&self.stats));
                self.router.check_silence();
                self.router.look_after_scripts();
                paused = if self.router.shared().ledger.resume() {
                    PAUSED_LOOKS_MAX.min(paused + 1)
                } else {
                    paused.saturating_sub(PAUSED_LOOKS_BACK)
                };
                if paused == PAUSED_LOOKS_MAX {
                    paused -= PAUSED_LOOKS_BACK;
                    // Whoever waits for the rest of large requests keeps others from sending theirs.
                    self.cut_largest();
                }
            }
            self.stats.loop_lag_us.set(lags.sweep(largest_us));
            self.stats.pulse.beat();
            self.note_buffers();
        }
    }

    fn session(&self, info: &Arc<ClientInfo>, handoff: Handoff) -> io::Result<Session> {
        let Handoff { stream, listener, place, known } = handoff;
        let (reader, writer) = stream.attach()?.into_split();
        let client_writer =
            ClientWriter::new(writer, Rc::clone(self.flusher.list()), self.output_bytes_max);
        let present = (Rc::downgrade(&client_writer), Arc::clone(info));
        self.present.borrow_mut().insert(info.id, present);
        let env = Rc::clone(&self.listener_envs[listener.min(self.listener_envs.len() - 1)]);
        let (state, unread) = known.unwrap_or_else(|| {
            let state = State::new(env.password.is_none(), Arc::clone(info));
            (state.begin_in(env.first_database()), Vec::new())
        });
        Ok(Session::new(
            (reader, unread),
            client_writer,
            (state, place),
            env,
            Rc::clone(&self.limits),
        ))
    }

    /// Hands a client to the worker it belongs to; gives it back when that one has ended.
    fn hand_over(&self, arrival: Arrival) -> Result<(), Arrival> {
        match self.doors.get(arrival.worker()).and_then(mpsc::WeakSender::upgrade) {
            Some(door) => door.try_send(arrival).map_err(mpsc::error::TrySendError::into_inner),
            None => Err(arrival),
        }
    }
}

/// A client's place on a worker; given up when dropped, however its task ends.
struct ClientTask {
    id: u64,
    core: Rc<WorkerCore>,
}

impl ClientTask {
    fn new(id: u64, core: &Rc<WorkerCore>) -> ClientTask {
        core.stats.connections.add(1);
        ClientTask { id, core: Rc::clone(core) }
    }

    /// Serves the client until its connection ends or another worker takes it.
    async fn serve(&self, mut arrival: Arrival) {
        let mut was_refused = false;
        loop {
            let Arrival { registration, handoff } = arrival;
            let listener = handoff.listener;
            let mut session = match self.core.session(registration.info(), handoff) {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(%error, "a client's socket cannot be used");
                    return self.note_closed(CloseReason::Failed);
                }
            };
            if was_refused {
                session.was_refused();
            }
            if let Some(end) = session.run().await {
                return self.note_closed(end);
            }
            let Some(moving) = session.depart() else {
                return self.note_closed(CloseReason::Client);
            };
            let ClientMigration { stream, state, unread, place } = moving;
            let handoff = Handoff { stream, listener, place, known: Some((state, unread)) };
            match self.core.hand_over(Arrival { registration, handoff }) {
                Ok(()) => return,
                Err(refused) => (arrival, was_refused) = (refused, true),
            }
        }
    }

    fn note_closed(&self, end: CloseReason) {
        self.core.stats.disconnects[end as usize].add(1);
    }
}

impl Drop for ClientTask {
    fn drop(&mut self) {
        let core = &self.core;
        if std::thread::panicking() {
            core.stats.disconnects[CloseReason::Failed as usize].add(1);
            tracing::error!(client = self.id, "a client's task failed; its connection is closed");
        }
        let present = core.present.borrow_mut().remove(&self.id);
        if let Some(client_writer) = present.and_then(|(client_writer, _)| client_writer.upgrade())
        {
            client_writer.finish();
        }
        core.stats.connections.sub(1);
    }
}

/// What all pipelines of one worker have in common.
fn shared(parts: &Parts, stats: &Arc<WorkerStats>, ledger: &Rc<Ledger>) -> Rc<Shared> {
    let config = &parts.config;
    Rc::new(Shared {
        scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        clock: Clock::default(),
        stats: Arc::clone(stats),
        connect_timeout: config.timeouts.connect,
        response_timeout_us: config.timeouts.response_timeout.as_micros() as u64,
        queue_bytes_max: config.limits.node_queue_bytes_max,
        owed_bytes_max: config.limits.node_owed_bytes_max,
        send_buffer_bytes: config.limits.node_send_buffer_bytes,
        chunk_pool: Rc::new(ChunkPool::new(Rc::clone(ledger))),
        ledger: Rc::clone(ledger),
        lease_limits: Arc::clone(&parts.cluster.lease_limits),
        shortage: Arc::clone(&parts.cluster.shortage),
        large: LargeValues::default(),
        classes: RefCell::default(),
    })
}

fn config_file(config: &Config) -> String {
    config.file.as_deref().map_or(String::new(), |file| file.display().to_string())
}

fn push_limits(config: &Config) -> PushLimits {
    PushLimits {
        hard_bytes: config.limits.pubsub_output_bytes_max,
        soft_bytes: config.limits.pubsub_output_soft_bytes_max,
        soft_us: config.timeouts.pubsub_output_soft.as_micros() as u64,
    }
}

fn session_limits(config: &Config) -> SessionLimits {
    let limits = &config.limits;
    SessionLimits {
        request: RequestLimits {
            request_bytes_max: limits.request_bytes_max,
            bulk_bytes_max: limits.bulk_bytes_max,
            arguments_max: limits.arguments_max,
            inline_bytes_max: limits.inline_bytes_max,
        },
        inflight_max: limits.client_inflight_max,
        transaction_bytes_max: limits.transaction_bytes_max,
        subscriptions_max: limits.subscriptions_max,
        monitor_bytes_max: limits.pubsub_output_bytes_max,
        tracking_max: limits.tracking_clients_max,
    }
}

#[cfg(test)]
mod tests;
