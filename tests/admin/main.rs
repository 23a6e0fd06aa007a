//! The admin port of the real program: without a cluster, with one, and under bad clients.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod bad_clients;
mod cluster;
mod format_check;
mod gateway;
mod http;
mod page;
mod turned_away;
mod unreached;

use std::time::Duration;

/// Far longer than anything here takes; only a broken program waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
