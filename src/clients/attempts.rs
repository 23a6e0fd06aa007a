//! Failed AUTHs by the address they came from, and how long further ones of that address wait.
//!
//! Owns the rule and its memory, which is bounded. Must not know passwords, sockets or clocks: the
//! time is handed in. It is locked for an AUTH, never for another request.
//!
//! An address may fail [`FREE`] times. After that every AUTH of it, right or wrong, is looked at
//! only after a delay that doubles with each failure: if right ones were looked at once, not to
//! wait for an answer would be all that it takes to go on guessing. So a client that knows the
//! password waits once, for its own AUTH, behind nobody else's, and for as long as one delay at
//! most. A right password forgives nothing: whoever shares an address with it would be free to
//! guess again. Failures are forgotten when there has been none for [`REMEMBERED`] to twice that.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures of an address that make nothing slower.
pub const FREE: u32 = 5;
/// The first delay.
const DELAY_FIRST: Duration = Duration::from_millis(10);
/// For how long failures count, at least.
pub const REMEMBERED: Duration = Duration::from_secs(60);
/// Addresses in one generation; with more, the older generation is forgotten sooner.
pub const ADDRESSES_MAX: usize = 4096;
/// Between two lines of the log.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The failed AUTHs of late.
#[derive(Debug)]
pub struct Attempts {
    delay_max: Duration,
    recent: Mutex<Recent>,
    failed: AtomicU64,
    delayed: AtomicU64,
}

/// Failures per address in two generations: what is not renewed in the younger one is forgotten
/// with the older one, without anybody looking for it.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<IpAddr, u32>,
    old: HashMap<IpAddr, u32>,
    turned: Option<Instant>,
    told: Option<Instant>,
}

impl Attempts {
    /// A memory of no failures; nobody ever waits longer than `delay_max`.
    pub fn new(delay_max: Duration) -> Attempts {
        let (failed, delayed) = (AtomicU64::new(0), AtomicU64::new(0));
        Attempts { delay_max, recent: Mutex::default(), failed, delayed }
    }

    /// How long an AUTH that came from there at `now` waits before it is looked at.
    pub fn delay(&self, peer: IpAddr, now: Instant) -> Duration {
        // Nobody has failed yet: the usual case, and no lock.
        if self.failed.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        let delay = delay_after(self.recent(now).failures(origin(peer))).min(self.delay_max);
        if !delay.is_zero() {
            self.delayed.fetch_add(1, Ordering::Relaxed);
        }
        delay
    }

    /// Notes an AUTH that failed. `true`: it is time for a line in the log.
    pub fn note_failed(&self, peer: IpAddr, now: Instant) -> bool {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent(now);
        let failures = recent.add(origin(peer));
        let is_due = recent.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY);
        if failures < FREE || !is_due {
            return false;
        }
        recent.told = Some(now);
        true
    }

    /// How many have failed, and how many had to wait.
    pub fn totals(&self) -> (u64, u64) {
        (self.failed.load(Ordering::Relaxed), self.delayed.load(Ordering::Relaxed))
    }

    fn recent(&self, now: Instant) -> MutexGuard<'_, Recent> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.age(now);
        recent
    }
}

impl Recent {
    fn age(&mut self, now: Instant) {
        let since = now.duration_since(*self.turned.get_or_insert(now));
        if since < REMEMBERED {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if since >= 2 * REMEMBERED {
            self.old = HashMap::new();
        }
        self.turned = Some(now);
    }

    fn failures(&self, origin: IpAddr) -> u32 {
        self.young.get(&origin).or_else(|| self.old.get(&origin)).copied().unwrap_or(0)
    }

    fn add(&mut self, origin: IpAddr) -> u32 {
        let failures = self.failures(origin).saturating_add(1);
        if self.young.len() >= ADDRESSES_MAX && !self.young.contains_key(&origin) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(origin, failures);
        failures
    }
}

fn delay_after(failures: u32) -> Duration {
    let Some(beyond) = failures.checked_sub(FREE) else { return Duration::ZERO };
    DELAY_FIRST.saturating_mul(1 << beyond.min(20))
}

/// Who an address stands for: in IPv6 whoever has one has the 64 bits behind its network.
fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The delays of that many further AUTHs that fail.
    fn fail(attempts: &Attempts, peer: &str, now: Instant, times: usize) -> Vec<u128> {
        let mut delays = Vec::new();
        for _ in 0..times {
            delays.push(attempts.delay(ip(peer), now).as_millis());
            attempts.note_failed(ip(peer), now);
        }
        delays
    }

    #[test]
    fn a_few_are_free_and_then_the_delay_doubles_up_to_its_limit() {
        let (attempts, now) = (Attempts::new(MAX), Instant::now());
        assert_eq!(
            fail(&attempts, "10.0.0.1", now, 14),
            [0, 0, 0, 0, 0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]
        );
        assert_eq!(attempts.totals(), (14, 9));
        let many = fail(&attempts, "10.0.0.1", now, 100);
        assert!(many.iter().all(|delay| *delay == 1000), "{many:?}");
        // Others pay nothing.
        assert_eq!(attempts.delay(ip("10.0.0.2"), now), Duration::ZERO);
        let never = Attempts::new(Duration::ZERO);
        assert_eq!(fail(&never, "10.0.0.1", now, 50), [0; 50]);
    }

    #[test]
    fn failures_are_forgotten_in_time() {
        let (attempts, now) = (Attempts::new(MAX), Instant::now());
        fail(&attempts, "10.0.0.1", now, 6);
        let delay = |later: Duration| attempts.delay(ip("10.0.0.1"), now + later).as_millis();
        assert_eq!(delay(REMEMBERED - Duration::from_millis(1)), 20);
        assert_eq!(delay(REMEMBERED), 20);
        assert_eq!(delay(REMEMBERED * 2), 0);
        // One that goes on is not forgotten.
        for minute in 3..9 {
            fail(&attempts, "10.0.0.3", now + REMEMBERED * minute, 2);
        }
        let after = attempts.delay(ip("10.0.0.3"), now + REMEMBERED * 8);
        assert_eq!(after.as_millis(), 1000);
        // Nor is one remembered for longer because nobody asked meanwhile.
        assert_eq!(attempts.delay(ip("10.0.0.3"), now + REMEMBERED * 60), Duration::ZERO);
    }

    #[test]
    fn an_address_is_one_however_it_is_written() {
        let (attempts, now) = (Attempts::new(MAX), Instant::now());
        fail(&attempts, "::ffff:10.0.0.1", now, 6);
        assert!(!attempts.delay(ip("10.0.0.1"), now).is_zero());
        for last in 0..6 {
            fail(&attempts, &format!("2001:db8:0:1::{last:x}"), now, 1);
        }
        assert!(!attempts.delay(ip("2001:db8:0:1:ffff::9"), now).is_zero());
        assert!(attempts.delay(ip("2001:db8:0:2::1"), now).is_zero());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_kept() {
        let (attempts, now) = (Attempts::new(MAX), Instant::now());
        for n in 0..50_000u32 {
            attempts.note_failed(std::net::Ipv4Addr::from(n).into(), now);
        }
        {
            let recent = attempts.recent(now);
            assert!(recent.young.len() + recent.old.len() <= 2 * ADDRESSES_MAX);
            assert!(recent.failures(std::net::Ipv4Addr::from(49_999).into()) == 1);
        }
        assert_eq!(attempts.totals(), (50_000, 0));
    }

    #[test]
    fn the_log_is_told_now_and_then() {
        let (attempts, now) = (Attempts::new(MAX), Instant::now());
        let told = |later: Duration, peer: &str| attempts.note_failed(ip(peer), now + later);
        let first = (0..20).filter(|_| told(Duration::ZERO, "10.0.0.1")).count();
        let more = (0..20).filter(|_| told(TOLD_EVERY / 2, "10.0.0.2")).count();
        assert_eq!((first, more), (1, 0));
        assert!(told(TOLD_EVERY, "10.0.0.2"));
    }
}
