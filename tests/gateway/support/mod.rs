//! What the tests stand on: processes that never outlive them, clusters, gateways, a client.

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod inside;
pub(crate) mod reply;
pub(crate) mod site;

use std::time::{Duration, Instant};

/// Far longer than anything here takes; only a broken program waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes in which every value of a byte occurs, and that no seed has twice.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes: Vec<u8> = (0..=255u8).cycle().take(len.min(256)).collect();
    random.shuffle(&mut bytes);
    while bytes.len() < len {
        let block: [u8; 64] = std::array::from_fn(|_| random.u8(..));
        bytes.extend_from_slice(&block[..block.len().min(len - bytes.len())]);
        // Cheap beyond the first pages: what matters is that a shifted or lost block is seen.
        if bytes.len() >= 64 * 1024 {
            let page = bytes.clone();
            while bytes.len() < len {
                let stamp = bytes.len().to_le_bytes();
                bytes.extend_from_slice(&stamp[..stamp.len().min(len - bytes.len())]);
                let rest = len - bytes.len();
                bytes.extend_from_slice(&page[..page.len().min(rest)]);
            }
        }
    }
    bytes
}
