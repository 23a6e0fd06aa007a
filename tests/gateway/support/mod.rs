//! What these tests stand on beside the workspace's testkit: clusters and gateways.

pub(crate) mod inside;
pub(crate) mod site;

pub(crate) use testkit::{PATIENCE, client, guard, reply, until};

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
