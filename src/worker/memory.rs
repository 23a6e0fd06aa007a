//! Memory that a worker has done with goes back to the system, also when nothing more is asked for.
//!
//! Owns the one thing that sets it off. Knows nothing of who had the memory.

use std::hint::black_box;

/// A block of its own in every allocator, not carved out of a larger one.
const BLOCK_BYTES: usize = 4 << 20;

/// Gives back what has been free for a while. The allocator does so by itself only when this thread
/// asks for a large block or lets one go: after one value of 64 MiB a gateway that has only small
/// requests from then on would keep twice that for ever. So one is asked for and let go; none of it
/// is touched, so it costs no memory.
pub(super) fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(BLOCK_BYTES))));
}
