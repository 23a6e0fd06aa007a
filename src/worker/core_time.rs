//! How much of its core a thread has used.
//!
//! Owns the reading of the system's clocks for one thread. Must not know what a worker does with it.
//!
//! The system's own measure is the thread's processor time. Where a kernel keeps account of
//! interrupts (`CONFIG_IRQ_TIME_ACCOUNTING`), it leaves out what the network did meanwhile, also when
//! it was the thread itself that sent: a thread that never waits may seem to have time left for
//! ever. What it had of its core is then told by when it had something to do, less how long it
//! waited for the core. That counts also what a hypervisor gave to others.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::metrics::WorkerStats;

/// Where Linux tells how long the calling thread has had its core, how long it has waited for it,
/// both in nanoseconds, and how often it came to it.
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// The calling thread, as far as its core is concerned.
#[derive(Debug)]
pub(super) struct Core {
    /// `None` where the system does not tell how long a thread waits.
    waits: Option<File>,
}

/// What a thread has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    processor: Duration,
    /// While it had something to do; with how long it waited for the core.
    busy: Option<(Duration, Duration)>,
}

impl Core {
    pub(super) fn of_this_thread() -> Core {
        Core { waits: File::open(SCHEDSTAT).ok() }
    }

    /// What this thread, whose counters these are, has used by now.
    pub(super) fn used(&self, stats: &WorkerStats) -> Used {
        let busy = Duration::from_micros(stats.busy_us.get());
        let processor = clock_gettime(ClockId::ThreadCPUTime);
        Used {
            processor: Duration::try_from(processor).unwrap_or_default(),
            busy: self.waited().map(|waited| (busy, waited)),
        }
    }

    fn waited(&self) -> Option<Duration> {
        let mut text = [0; 80];
        let len = self.waits.as_ref()?.read_at(&mut text, 0).ok()?;
        waited_in(std::str::from_utf8(text.get(..len)?).ok()?)
    }
}

fn waited_in(schedstat: &str) -> Option<Duration> {
    let mut fields = schedstat.split_whitespace();
    // A kernel that keeps no account says 0 of everything.
    fields.next().filter(|had| *had != "0")?;
    fields.next()?.parse().ok().map(Duration::from_nanos)
}

impl Used {
    /// So much processor time, and no word of anything else.
    #[cfg(test)]
    pub(super) fn of_processor(processor: Duration) -> Used {
        Used { processor, busy: None }
    }

    /// How much of its core the thread has used since then.
    pub(super) fn since(&self, then: &Used) -> Duration {
        let processor = self.processor.saturating_sub(then.processor);
        let (Some(now), Some(then)) = (self.busy, then.busy) else { return processor };
        let (busy, waited) = (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1));
        processor.max(busy.saturating_sub(waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_thread_knows_what_it_uses_of_its_core() {
        let stats = WorkerStats::new(0);
        let core = Core::of_this_thread();
        let before = core.used(&stats);
        while core.used(&stats).since(&before) < ms(20) {
            std::hint::black_box(0);
        }
        let worked = core.used(&stats);
        std::thread::sleep(ms(50));
        assert!(core.used(&stats).since(&worked) < ms(50), "asleep it uses next to none");
        let told = std::fs::read_to_string(SCHEDSTAT).is_ok_and(|text| !text.starts_with("0 "));
        assert_eq!(core.waited().is_some(), told);
    }

    #[test]
    fn what_the_network_did_meanwhile_counts_and_waiting_does_not() {
        let used = |processor, busy, waited| Used {
            processor: ms(processor),
            busy: Some((ms(busy), ms(waited))),
        };
        let then = used(1000, 2000, 700);
        for (now, so_much) in [
            // As told by processor time, which has all of it.
            (used(1095, 2098, 703), 95),
            // Without interrupts: it never waited, neither for events nor for its core.
            (used(1070, 2100, 700), 100),
            // Others had its core for half of the time.
            (used(1048, 2100, 750), 50),
            // It woke, and others had the core then.
            (used(1010, 2012, 790), 10),
            (used(1000, 2000, 700), 0),
        ] {
            assert_eq!(now.since(&then), ms(so_much), "{now:?}");
        }
        assert_eq!(Used { busy: None, ..used(1070, 0, 0) }.since(&then), ms(70));
    }

    #[test]
    fn what_the_system_tells_of_waiting() {
        assert_eq!(waited_in("123456 7890 12\n"), Some(Duration::from_nanos(7890)));
        for text in ["", "12", "1 x 3", "1 -2 3", "0 0 0\n"] {
            assert_eq!(waited_in(text), None, "{text:?}");
        }
    }
}
