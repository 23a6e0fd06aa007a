//! Memory that the workers have done with goes back to the system, also when nothing more is asked
//! for.
//!
//! Owns when that happens, and what sets it off. Knows nothing of who had the memory.

use std::hint::black_box;
use std::time::Duration;

/// How often memory is given back.
const EVERY: Duration = Duration::from_secs(1);
/// More than the allocator carves out of a larger block: 512 KiB.
const BLOCK_BYTES: usize = 1 << 20;

/// Gives back, now and then, what has been free for a while; never ends. The allocator does so when
/// some thread asks for a large block or lets go of one: after one value of 64 MiB, a gateway that
/// had only small requests kept twice that. So a block is asked for and let go, here, for it is the
/// memory of all threads, and to give much back takes a time that no request should wait for.
pub async fn give_back() {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut block = Vec::<u8>::new();
        // Where there is none to be had, nothing more is needed of it.
        let _ = black_box(&mut block).try_reserve_exact(BLOCK_BYTES);
        drop(black_box(block));
    }
}
