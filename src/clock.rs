//! One worker's time: read once per batch of events, not once per request.
//!
//! Owns "what time is it in this turn". Microseconds since the worker began.

use std::cell::Cell;
use std::time::Instant;

/// A clock that stands still within a turn.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    now_us: Cell<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { start: Instant::now(), now_us: Cell::new(0) }
    }
}

impl Clock {
    /// Looks at the time.
    #[inline]
    pub fn tick(&self) -> u64 {
        let now = self.start.elapsed().as_micros() as u64;
        self.now_us.set(now);
        now
    }

    /// The time of the last look.
    #[inline]
    pub fn now_us(&self) -> u64 {
        self.now_us.get()
    }
}
