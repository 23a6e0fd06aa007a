//! A gateway within the test, so that the test can say which workers take part.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use slotway::config::{Config, ListenerConfig, Secret};
use slotway::server::{Gateway, Stop};
use tokio::sync::watch;

use super::client::Client;
use super::reply::Reply;
use super::until;

/// Its workers.
pub(crate) const WORKERS: usize = 3;
const PASSWORD: &str = "let me in";

/// A gateway in this process; ends with the test.
pub(crate) struct Inside {
    /// The gateway's own view of itself.
    pub(crate) gateway: Arc<Gateway>,
    address: SocketAddr,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// Starts one in front of this node's cluster. Its workers take part as the test says or, with a
    /// percentage, as they see fit; it waits long for slots between two nodes.
    pub(crate) fn start(seed: SocketAddr, worker_scale_up_percent: usize) -> Inside {
        for _ in 0..20 {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            drop(socket);
            let mut config =
                Config { workers: WORKERS, worker_scale_up_percent, ..Config::default() };
            config.topology.seeds = vec![seed.to_string().parse().unwrap()];
            config.timeouts.failover_wait = Duration::from_secs(60);
            let password = Some(Secret::new(PASSWORD));
            config.listeners =
                vec![ListenerConfig { bind: address, password, ..ListenerConfig::default() }];
            config.admin.bind = None;
            if let Some(inside) = Inside::run(config, address) {
                return inside;
            }
        }
        panic!("no free port");
    }

    /// `None` when somebody else has taken the port meanwhile.
    fn run(config: Config, address: SocketAddr) -> Option<Inside> {
        let (stop, stopped) = watch::channel(Stop::No);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            let started = move |gateway: &Arc<Gateway>| tell.send(Arc::clone(gateway)).unwrap();
            let _ = runtime.block_on(slotway::run(config, stopped, started));
        });
        let gateway = told.recv().ok()?;
        let inside = Inside { gateway, address, stop, thread: Some(thread) };
        until("the gateway knows its cluster", || inside.gateway.not_ready().is_none());
        Some(inside)
    }

    /// A client of it that has said its password.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(self.address);
        assert_eq!(client.ask(&["AUTH", PASSWORD]), Reply::ok());
        client
    }

    /// Clients of each worker.
    pub(crate) fn placed(&self) -> Vec<u64> {
        self.gateway.workers.iter().map(|worker| worker.stats.connections.get()).collect()
    }

    /// Bytes that the workers have read of clients.
    pub(crate) fn received(&self) -> u64 {
        self.gateway.workers.iter().map(|worker| worker.stats.received_bytes.get()).sum()
    }

    /// Whether these are all clients, and are spread evenly over the workers in use.
    pub(crate) fn are_spread(&self, clients: usize) -> bool {
        let (placed, in_use) = (self.placed(), self.gateway.assigner.in_use());
        let (each, more) = ((clients / in_use) as u64, clients % in_use);
        let (used, idle) = placed.split_at(in_use);
        used.iter().all(|count| (each..=each + 1).contains(count))
            && used.iter().filter(|count| **count > each).count() == more
            && idle.iter().all(|count| *count == 0)
    }

    /// Has ever other workers take part until it is over, and counts how often all have followed.
    pub(crate) fn shuffle(&self, over: &AtomicBool, moves: &AtomicUsize) {
        let takes_part = |in_use| {
            let placed = self.placed();
            placed.iter().enumerate().all(|(at, clients)| (*clients > 0) == (at < in_use))
        };
        for in_use in [1, 3, 2, 3, 1, 2].into_iter().cycle() {
            self.gateway.assigner.set_in_use(in_use);
            while !takes_part(in_use) && !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            if over.load(Ordering::Relaxed) {
                return;
            }
            moves.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.stop.send(Stop::Now);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends what goes on until it is over, also when the test has failed.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
