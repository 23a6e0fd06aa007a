//! What a client sees when the cluster behind the gateway breaks: real nodes, the real program,
//! real faults, and a load that holds every reply against the cluster's own data.
//!
//! Nothing here depends on how fast a machine is: a test waits for conditions, reports the pauses
//! that it saw, and bounds them by far more than they should be. `cargo test --test faults --
//! --nocapture` shows the figures; `make soak` runs the last one for long.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod addresses;
mod crowd;
mod cut;
mod deaths;
mod everywhere;
mod firewall;
mod gateway;
#[allow(dead_code)] // shared with the admin port's tests
#[path = "../admin/http.rs"]
mod http;
mod leaving;
mod link;
mod load;
mod messages;
#[allow(dead_code)] // shared with the keeper's tests
#[path = "../keeper/nodes.rs"]
mod nodes;
mod planned;
mod site;
mod slots;
mod slow;
mod soak;
#[allow(dead_code)] // shared with the tests of hostile nodes
#[path = "../hostile/support/wire.rs"]
mod wire;

use std::time::Duration;

/// Far longer than anything here takes; only a broken program waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Every stream goes on so soon after the cluster itself has recovered. On an idle machine it is a
/// tenth of a second; the rest is for machines that are not.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
