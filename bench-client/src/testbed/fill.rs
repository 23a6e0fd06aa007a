//! Writes the keys that will be asked for, straight to the node that has them.
//!
//! Owns that traffic and the slot of a key. Knows nothing of who will read them.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Result, ensure};

use super::wire;
use crate::workload;

/// How many slots a cluster has.
pub(super) const SLOTS: usize = 16_384;
/// Those of a Redis without a cluster.
pub(super) const ALL_SLOTS: Range<usize> = 0..SLOTS;
const BATCH_BYTES: usize = 1 << 20;
const BATCH_REQUESTS: usize = 1000;
const OK: &[u8] = b"+OK\r\n";

/// Writes those of `keys` keys with values of `bytes` whose slot is in `slots`.
pub(super) fn fill(
    address: SocketAddr,
    bytes: usize,
    keys: u64,
    slots: Range<usize>,
) -> Result<()> {
    let mut stream = wire::connect(address)?;
    let value = workload::value(bytes);
    let (mut batch, mut replies) = (Vec::new(), Vec::new());
    let mut requests = 0;
    for number in 0..keys {
        let key = workload::key(bytes, number);
        if slots.contains(&slot(key.as_bytes())) {
            batch.extend_from_slice(b"*3\r\n");
            for word in [b"SET", key.as_bytes(), &value] {
                batch.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                batch.extend_from_slice(word);
                batch.extend_from_slice(b"\r\n");
            }
            requests += 1;
        }
        if requests == BATCH_REQUESTS || batch.len() > BATCH_BYTES || number + 1 == keys {
            stream.write_all(&batch)?;
            replies.resize(requests * OK.len(), 0);
            stream.read_exact(&mut replies)?;
            let said = || String::from_utf8_lossy(&replies[..replies.len().min(100)]).into_owned();
            ensure!(replies.chunks(OK.len()).all(|reply| reply == OK), "{address}: {}", said());
            batch.clear();
            requests = 0;
        }
    }
    Ok(())
}

/// CRC16 of the key, as Redis Cluster counts it. Keys here have no hash tag.
fn slot(key: &[u8]) -> usize {
    let crc = key.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    usize::from(crc) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
    }
}
