//! The operators' port: metrics, health and status over HTTP.
//!
//! Owns the HTTP server and its bounds. Must not know sessions or routing. It runs on the control
//! thread, so it answers while workers are stuck, and while the gateway drains. Invariant: no
//! client of this port, slow or hostile, keeps another one from being answered: a connection gets
//! one request and [`CONNECTION_MAX`], and a new one takes the place of the oldest.
//!
//! `routes.rs` has the endpoints of the gateway, `collect.rs` the figures of a scrape, `status.rs`
//! the JSON; `keeper.rs` has all three of the keeper.

mod collect;
mod keeper;
mod routes;
mod status;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::keeper::Board;
use crate::server::Gateway;
use collect::Collector;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 64;
/// For the whole of a connection: its request, and its taking of the answer.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// For the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request's head, and of what is read from a connection at once.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the recorder is looked after.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the endpoints answer from.
#[derive(Debug)]
struct Admin {
    gateway: Arc<Gateway>,
    collector: Mutex<Collector>,
}

impl Admin {
    fn new(gateway: Arc<Gateway>) -> Admin {
        Admin { gateway, collector: Mutex::default() }
    }

    fn collector(&self) -> MutexGuard<'_, Collector> {
        self.collector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the operators of a gateway, for ever.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let admin = Arc::new(Admin::new(gateway));
    let router = routes::router(Arc::clone(&admin));
    accept(listener, router, || admin.collector().upkeep()).await;
}

/// Answers the operators of a keeper, for ever.
pub async fn serve_keeper(board: Arc<Board>, listener: TcpListener) {
    let keeper = Arc::new(keeper::Keeper::new(board));
    accept(listener, keeper::router(Arc::clone(&keeper)), || keeper.upkeep()).await;
}

async fn accept(listener: TcpListener, router: axum::Router, look_after: impl Fn()) {
    let mut connections = Connections::default();
    let mut upkeep = interval(UPKEEP_EVERY);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.serve(stream, router.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin port");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = upkeep.tick() => look_after(),
        }
    }
}

/// The connections being served.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// Oldest first.
    open: VecDeque<AbortHandle>,
}

impl Connections {
    /// Serves one more, in the place of the oldest when there are too many.
    fn serve(&mut self, stream: TcpStream, router: axum::Router) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
        }
        self.open.push_back(self.tasks.spawn(answer(stream, router)));
    }
}

/// One request and its answer.
async fn answer(stream: TcpStream, router: axum::Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_MAX, Box::pin(connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin port failed"),
        Err(_) => tracing::debug!("a connection to the admin port took too long"),
    }
}
