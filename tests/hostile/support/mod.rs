//! The harness: scripted nodes, the gateway as a process, a client that shows raw replies.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod gateway;
pub(crate) mod node;
pub(crate) mod wire;

use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use cluster::Cluster;
pub(crate) use gateway::Gateway;
pub(crate) use node::{Act, Call, Gate};

/// Far longer than anything here takes; only a broken program waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until `done` is true; `what` says what never came.
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two nodes, the gateway with one worker in front of them, and a client.
pub(crate) fn pair(settings: &str) -> (Cluster, Gateway, Client) {
    let cluster = Cluster::of(2);
    let gateway = Gateway::start(&cluster, settings);
    let client = gateway.client();
    (cluster, gateway, client)
}
