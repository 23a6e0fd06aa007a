//! The operators' port: metrics, health and status over HTTP.
//!
//! Owns the HTTP server and its bounds. Must not know sessions or routing. It runs on the control
//! thread, so it answers while workers are stuck, and while the gateway drains. Invariant: no
//! client of this port, slow or hostile, keeps another one from being answered: a connection gets
//! one request and [`connections::CONNECTION_MAX`], and a new one takes the place of the oldest.
//!
//! `connections.rs` has the bounds, `door.rs` the password; `routes.rs` has the endpoints of the gateway, `collect.rs` the
//! figures of a scrape, `status.rs` the JSON for programs; `sampler.rs` keeps the last hour, `overview.rs` is all that people
//! look at and `page/` how it is shown; `keeper.rs` has the endpoints of the keeper.

mod collect;
mod connections;
mod door;
mod keeper;
pub mod overview;
mod page;
mod routes;
pub mod sampler;
pub mod status;
pub mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::keeper::Status;
use crate::net::Listener;
use crate::server::Gateway;
use collect::Collector;
use connections::Connections;
use sampler::Sampler;

/// Pause when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the recorder is looked after, and a sample taken.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the endpoints answer from.
#[derive(Debug)]
struct Admin {
    gateway: Arc<Gateway>,
    collector: Mutex<Collector>,
    sampler: Mutex<Sampler>,
}

impl Admin {
    fn new(gateway: Arc<Gateway>) -> Admin {
        let sampler = Mutex::new(Sampler::new(&gateway, Instant::now()));
        Admin { gateway, collector: Mutex::default(), sampler }
    }

    fn sampler(&self) -> MutexGuard<'_, Sampler> {
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upkeep(&self) {
        self.collector().upkeep();
        self.sampler().sample(&self.gateway, Instant::now());
    }

    fn collector(&self) -> MutexGuard<'_, Collector> {
        self.collector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the operators of a gateway, for ever.
pub async fn serve(gateway: Arc<Gateway>, listener: Listener) {
    let admin = Arc::new(Admin::new(gateway));
    let router = routes::router(Arc::clone(&admin));
    accept(listener, router, || admin.upkeep()).await;
}

/// Answers the operators of a keeper, for ever.
pub async fn serve_keeper(status: Arc<Status>, listener: Listener) {
    let keeper = Arc::new(keeper::Keeper::new(status));
    accept(listener, keeper::router(Arc::clone(&keeper)), || keeper.upkeep()).await;
}

async fn accept(listener: Listener, router: axum::Router, look_after: impl Fn()) {
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
