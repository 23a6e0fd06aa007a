//! Whether nodes may be short of memory (OOM).
//!
//! Owns the suspicion, which all workers share. A node refuses what is queued in a transaction at once
//! when it has no memory for it, and the gateway queues without asking, unless there is a reason to.

use std::sync::atomic::{AtomicBool, Ordering};

/// The suspicion.
#[derive(Debug, Default)]
pub struct MemoryShortage(AtomicBool);

impl MemoryShortage {
    /// A node has said so, or its limit has been changed.
    pub fn suspect(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A node has room.
    pub fn dispel(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it is worth asking.
    pub fn is_suspected(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether an error says that a node has no memory for a command.
pub(super) fn is_out_of_memory(reply: &[u8]) -> bool {
    reply.starts_with(b"-OOM ")
}
