//! The admin port of a keeper: its endpoints, the figures of a scrape, the JSON.
//!
//! Owns what is told of a keeper and under which path. Must not know how the keeper decides. The
//! names of the JSON's fields are a promise: fields may come, none may go or change its meaning.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::{Json, Response};
use axum::routing::get;
use serde::Serialize;

use super::collect::{flag, set_build, set_process};
use super::routes::{everywhere, exposed, list, verdict};
use crate::keeper::{self, STATES, acts};
use crate::metrics::{Exposition, names};
use crate::version;

/// Every path, and what is there: the page at `/`.
const ENDPOINTS: [(&str, &str); 7] = [
    ("/", "this list"),
    ("/metrics", "figures for Prometheus"),
    ("/livez", "200 while the keeper looks at the nodes again and again"),
    ("/healthz", "the same as /livez"),
    ("/readyz", "200 when the cluster is formed and whole, else 503 with the reason"),
    ("/version", "what runs, as JSON"),
    ("/api/v1/status", "the nodes of the list and what is not as it should be, as JSON"),
];

/// What the endpoints answer from.
#[derive(Debug)]
pub(super) struct Keeper {
    status: Arc<keeper::Status>,
    exposition: Mutex<Exposition>,
}

impl Keeper {
    pub(super) fn new(status: Arc<keeper::Status>) -> Keeper {
        Keeper { status, exposition: Mutex::default() }
    }

    /// To be called now and then.
    pub(super) fn upkeep(&self) {
        self.exposition.lock().unwrap_or_else(PoisonError::into_inner).upkeep();
    }
}

/// The endpoints as a service.
pub(super) fn router(keeper: Arc<Keeper>) -> axum::Router {
    let own = axum::Router::new()
        .route("/", get(|| async { list(&ENDPOINTS) }))
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .with_state(keeper);
    everywhere(own, &ENDPOINTS)
}

async fn live(State(keeper): State<Arc<Keeper>>) -> Response {
    verdict(keeper.status.is_stuck())
}

async fn ready(State(keeper): State<Arc<Keeper>>) -> Response {
    verdict(keeper.status.not_ready())
}

async fn metrics(State(keeper): State<Arc<Keeper>>) -> Response {
    let status = &keeper.status;
    let report = status.report();
    let exposition = keeper.exposition.lock().unwrap_or_else(PoisonError::into_inner);
    let mut scrape = exposition.scrape();
    set_build(&mut scrape);
    scrape.gauge(&names::KEEPER_WHOLE, &[], flag(status.not_ready().is_none()));
    scrape.gauge(&names::KEEPER_CLUSTER_OK, &[], flag(report.is_ok));
    scrape.gauge(&names::KEEPER_PROBLEMS, &[], report.problems.len() as f64);
    for state in STATES {
        let count = report.nodes.iter().filter(|node| node.state == state).count();
        scrape.gauge(&names::KEEPER_NODES, &[state], count as f64);
    }
    for (act, (done, failed)) in acts().into_iter().zip(report.actions) {
        scrape.counter(&names::KEEPER_ACTIONS, &[act, "ok"], done);
        scrape.counter(&names::KEEPER_ACTIONS, &[act, "error"], failed);
    }
    scrape.counter(&names::KEEPER_ROUNDS, &[], report.rounds);
    scrape.gauge(&names::KEEPER_LAST_ROUND, &[], report.took.as_secs_f64());
    scrape.gauge(&names::KEEPER_SILENCE, &[], status.silence().as_secs_f64());
    set_process(&mut scrape);
    exposed(scrape.finish())
}

/// The answer of `/api/v1/status`.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    uptime_s: u64,
    /// Whether the cluster is whole.
    ready: bool,
    /// Why not; null when it is.
    reason: Option<String>,
    /// Whether there is a cluster, whole or not.
    formed: bool,
    /// Whether all its nodes that were reached call it ok.
    cluster_ok: bool,
    problems: Vec<String>,
    nodes: Vec<NodeStatus>,
    /// How often each act was done.
    actions: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    address: Option<String>,
    id: Option<String>,
    state: &'static str,
    problem: Option<String>,
}

async fn status(State(keeper): State<Arc<Keeper>>) -> Json<Status> {
    let report = keeper.status.report();
    let reason = keeper.status.not_ready();
    let node = |keeper::NodeStatus { name, address, id, state, problem }| NodeStatus {
        name,
        address,
        id,
        state,
        problem,
    };
    Json(Status {
        version: version::VERSION,
        uptime_s: keeper.status.uptime().as_secs(),
        ready: reason.is_none(),
        reason,
        formed: report.is_formed,
        cluster_ok: report.is_ok,
        problems: report.problems,
        nodes: report.nodes.into_iter().map(node).collect(),
        actions: acts().into_iter().zip(report.actions.map(|(done, _)| done)).collect(),
    })
}
