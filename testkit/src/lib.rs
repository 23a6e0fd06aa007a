//! What the tests of the whole workspace stand on.
//!
//! Owns processes that end with the tests, servers on free ports of loopback, a client with a reading
//! of replies of its own, and waiting for a condition. Knows no code of the gateway's: what checks a
//! program shares nothing with it.

pub mod client;
pub mod guard;
pub mod reply;
pub mod server;

use std::time::{Duration, Instant};

/// Far longer than anything in a test takes; only a broken program waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
