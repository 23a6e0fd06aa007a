//! Accepting clients, placing them on workers, and the end of it all.
//!
//! Owns listeners, the limit on clients, and the order of a shutdown. Must not know RESP beyond the
//! lines that a client is told who is turned away.

pub mod memory;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clients::{Assigner, Clients, Rejected};
use crate::config::Config;
use crate::memory::Budget;
use crate::net::{DetachedStream, Listener, Stream};
use crate::reply::texts;
use crate::router::ClusterHandle;
use crate::worker::{Arrival, Parts, Worker};

/// Pause when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A worker gives a sign of life every second; one that has not for so long is stuck.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What the gateway is asked to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    #[default]
    No,
    /// Finish and end.
    Drain,
    /// End now.
    Now,
}

/// The gateway as the admin port sees it.
#[derive(Debug)]
pub struct Gateway {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The cluster.
    pub cluster: ClusterHandle,
    /// All clients.
    pub clients: Arc<Clients>,
    /// The workers.
    pub workers: Vec<Worker>,
    /// Which of them a client belongs to.
    pub assigner: Arc<Assigner>,
    /// What all buffers draw on.
    pub budget: Arc<Budget>,
    /// When it started.
    pub started: Instant,
    /// Whether it is about to end.
    draining: AtomicBool,
}

/// One thing that must be well for the gateway to get clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// What is worth knowing, and keeps no client away.
    pub notes: Vec<String>,
}

impl Gateway {
    /// A gateway of workers that are made from these parts.
    pub fn new(parts: Parts, workers: Vec<Worker>) -> Gateway {
        Gateway {
            config: parts.config,
            cluster: parts.cluster,
            clients: parts.clients,
            workers,
            assigner: parts.assigner,
            budget: parts.budget,
            started: Instant::now(),
            draining: AtomicBool::new(false),
        }
    }

    /// Whether it is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Why it should get no clients now; `None` when it is ready.
    pub fn not_ready(&self) -> Option<String> {
        self.checks().into_iter().find_map(|check| check.problem)
    }

    /// All that must be well for it to get clients.
    pub fn checks(&self) -> [Check; 3] {
        let draining = self.is_draining().then(|| "draining: the gateway is about to stop".into());
        [
            Check { name: "serving", problem: draining, notes: Vec::new() },
            Check { name: "workers", problem: self.stuck_worker(), notes: Vec::new() },
            Check {
                name: "topology",
                problem: self.missing_map(),
                notes: self.cluster.topology.state().troubles.sentences(),
            },
        ]
    }

    /// Which worker has ended or gives no sign of life.
    pub fn stuck_worker(&self) -> Option<String> {
        let mut workers = self.workers.iter().enumerate();
        workers.find_map(|(index, worker)| {
            let what = what_is_wrong(worker.is_alive(), worker.stats.pulse.silence())?;
            Some(format!("worker {index} {what}"))
        })
    }

    fn missing_map(&self) -> Option<String> {
        if !self.cluster.topology.map().load().shards().is_empty() {
            // Another gateway may know the names; this one will not get there.
            return self.cluster.topology.state().troubles.unreachable_names();
        }
        let problem = self.cluster.topology.state().problem.clone();
        let problem = problem.unwrap_or_else(|| "no node has answered yet".into());
        Some(format!("no map of the cluster: {problem}"))
    }

    /// Accepts clients until it is told to stop.
    pub async fn accept(self: Arc<Self>, index: usize, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.take_in(stream, peer, index),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take_in(&self, stream: Stream, peer: SocketAddr, listener: usize) {
        let config = &self.config.listeners[listener];
        if config.denies(peer.ip()) {
            self.clients.note_rejected(Rejected::Denied);
            tracing::debug!(%peer, "a client was turned away: protected mode");
            return say_and_close(stream, texts::DENIED);
        }
        let local = stream.local_addr().unwrap_or(config.bind);
        let Some(registration) = self.clients.enter(peer, local) else {
            return say_and_close(stream, texts::MAX_CLIENTS);
        };
        if config.password.is_some() {
            registration.info().expect_password(self.clients.now_s());
        }
        let placed = prepare(stream).and_then(|stream| {
            self.place(Arrival::new(stream, registration, listener, self.assigner.give()))
        });
        if let Err(error) = placed {
            self.clients.note_rejected(Rejected::Failed);
            tracing::warn!(%error, "a client could not be placed");
        }
    }

    /// Places a client on the worker it belongs to or, when that one cannot take it, on the next.
    fn place(&self, mut arrival: Arrival) -> io::Result<()> {
        let home = arrival.worker();
        for worker in self.workers.iter().cycle().skip(home).take(self.workers.len()) {
            match worker.place(arrival) {
                Ok(()) => return Ok(()),
                Err(refused) => arrival = refused,
            }
        }
        Err(io::Error::other("no worker can take it"))
    }

    /// Ends clients that are idle or owe their password, for ever, where there are limits.
    pub async fn end_overdue(self: Arc<Self>) {
        let idle = self.config.timeouts.idle;
        let has_password = self.config.listeners.iter().any(|listener| listener.password.is_some());
        let auth = self.config.timeouts.auth.filter(|_| has_password);
        let Some(least) = idle.into_iter().chain(auth).min() else { return };
        loop {
            sleep(Duration::from_secs(1).min(least)).await;
            if let Some(limit) = auth {
                let now_s = self.clients.now_s();
                let ended = self.clients.kill_unauthenticated(now_s, limit.as_secs());
                if ended > 0 {
                    tracing::debug!(ended, "closed clients that did not say the password in time");
                }
            }
            if let Some(limit) = idle {
                let ended = self.clients.kill_idle(limit.as_secs());
                if ended > 0 {
                    tracing::debug!(ended, "closed idle clients");
                }
            }
        }
    }

    /// Not ready, a while of grace, then every client ends at a boundary between requests.
    /// Returns when all have gone, or the deadline or a second stop has come.
    pub async fn drain(&self, stop: &mut watch::Receiver<Stop>, stop_accepting: impl FnOnce()) {
        let deadline = tokio::time::Instant::now() + self.config.timeouts.drain;
        self.draining.store(true, Ordering::Relaxed);
        let clients = self.clients.count();
        tracing::info!(clients, delay = ?self.config.timeouts.drain_delay, "draining");
        let now = stop.wait_for(|stop| *stop == Stop::Now);
        let gone = async {
            sleep(self.config.timeouts.drain_delay).await;
            stop_accepting();
            loop {
                let left = self.clients.list();
                if left.is_empty() {
                    return;
                }
                left.iter().for_each(|client| client.drain());
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = gone => tracing::info!("drained"),
            _ = now => tracing::warn!("stopping at once"),
            () = tokio::time::sleep_until(deadline) => {
                let left = self.clients.count();
                tracing::warn!(left, "the deadline has come; remaining clients are cut off");
            }
        }
    }
}

/// What is wrong with a worker by its signs of life.
fn what_is_wrong(is_alive: bool, silence: Duration) -> Option<String> {
    if !is_alive {
        return Some("has ended".into());
    }
    (silence >= SILENCE_MAX).then(|| format!("has been stuck for {} s", silence.as_secs()))
}

/// The line is short: what the socket does not take at once is not worth waiting for.
fn say_and_close(stream: Stream, line: &[u8]) {
    let _ = stream.detach().and_then(|stream| stream.try_write(line));
}

fn prepare(stream: Stream) -> io::Result<DetachedStream> {
    stream.set_nodelay()?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    stream.detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_silent_for_too_long_is_stuck() {
        let second = Duration::from_secs(1);
        assert_eq!(what_is_wrong(true, SILENCE_MAX - second), None);
        let stuck = what_is_wrong(true, SILENCE_MAX + second);
        assert_eq!(stuck.as_deref(), Some("has been stuck for 31 s"));
        assert_eq!(what_is_wrong(false, second).as_deref(), Some("has ended"));
    }
}
