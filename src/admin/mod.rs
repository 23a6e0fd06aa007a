//! The operators' port: metrics, health and status over HTTP.
//!
//! Owns the HTTP server and its bounds. Must not know sessions or routing. It runs on the control
//! thread, so it answers while workers are stuck, and while the gateway drains. Invariant: no
//! client of this port, slow or hostile, keeps another one from being answered: a connection gets
//! one request and [`connections::CONNECTION_MAX`], and a new one takes the place of the oldest.
//!
//! `connections.rs` has the bounds; `routes.rs` has the endpoints of the gateway, `collect.rs` the figures of a scrape, `status.rs`
//! the JSON; `keeper.rs` has all three of the keeper.

mod collect;
mod connections;
mod keeper;
mod routes;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::keeper::Status;
use crate::server::Gateway;
use collect::Collector;
use connections::Connections;

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
pub async fn serve_keeper(status: Arc<Status>, listener: TcpListener) {
    let keeper = Arc::new(keeper::Keeper::new(status));
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
