//! How many workers are needed, judged by what each uses of its core.
//!
//! Owns the measure of one worker's load, and the judgement. Which client belongs to which worker
//! is the seating's.
//!
//! One worker that has much to do does it more cheaply than two that have half of it each: it finds
//! more requests at a time, and writes to each node once for all of them. So another one takes part
//! only when those in use are full. Large replies are another matter: while one is passed on all
//! others wait, and nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::metrics::WorkerStats;
use crate::session::seating::Seating;

/// How often it is judged: a load is taken over two looks and may be one look old, so that each
/// judgement sees only what came of the one before.
const EVERY: Duration = Duration::from_millis(350);
/// Looks over which a worker's load is taken.
const LOOKS: usize = 2;
/// Judgements in a row that must find the same before places are given anew for it: about five
/// seconds. What came to nothing is waited for twice as long the next time, up to three minutes.
const PATIENCE: u32 = 15;
const PATIENCE_MAX: u32 = 32 * PATIENCE;
/// A worker that uses so much of its core is full whatever the limit says: one that never waits was
/// seen to have 91 to 100 %.
const FULL_PERCENT: u64 = 90;
/// What part of the limit fewer workers may be expected to reach.
const CALM_PERCENT: u64 = 90;
/// Replies are large when their average is.
const LARGE_BYTES: u64 = 128 * 1024;
/// How many times over the work of passing on large replies counts. GETs of 512 KiB from 8 clients,
/// which used half a core, took 18 % less of two workers than of one, those of 64 KiB 13 % more
/// (7 pairs).
const LARGE_WEIGHT: u64 = 3;

/// What the calling thread, a worker's, has to do.
#[derive(Debug)]
pub(super) struct Load {
    /// The last looks, the oldest at `at`.
    looks: [Look; LOOKS],
    at: usize,
}

/// What a worker has used and done so far.
#[derive(Clone, Copy, Debug)]
struct Look {
    time: Instant,
    used: Duration,
    commands: u64,
    sent_bytes: u64,
}

impl Look {
    fn now(stats: &WorkerStats) -> Look {
        Look {
            time: Instant::now(),
            used: thread_time(),
            commands: stats.commands().map(|outcomes| outcomes.iter().sum::<u64>()).sum(),
            sent_bytes: stats.sent_bytes.get(),
        }
    }

    /// The load since an earlier look.
    fn percent_since(&self, then: &Look) -> u64 {
        let elapsed_us = self.time.duration_since(then.time).as_micros().max(1);
        let used_us = self.used.saturating_sub(then.used).as_micros();
        let replies = self.commands.wrapping_sub(then.commands).max(1);
        let is_large = self.sent_bytes.wrapping_sub(then.sent_bytes) / replies >= LARGE_BYTES;
        (used_us * 100 / elapsed_us) as u64 * if is_large { LARGE_WEIGHT } else { 1 }
    }
}

impl Load {
    /// Begins now.
    pub(super) fn begin(stats: &WorkerStats) -> Load {
        Load { looks: [Look::now(stats); LOOKS], at: 0 }
    }

    /// Looks again; returns the percentage of its core that the worker has used since the oldest
    /// look, more when that went into large replies.
    pub(super) fn percent(&mut self, stats: &WorkerStats) -> u64 {
        let now = Look::now(stats);
        let then = std::mem::replace(&mut self.looks[self.at], now);
        self.at = (self.at + 1) % LOOKS;
        now.percent_since(&then)
    }
}

/// Processor time of the calling thread so far.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The judgement on how many workers should be in use.
#[derive(Debug)]
struct Staffing {
    workers: usize,
    percent_max: u64,
    /// Fewer workers are enough.
    calm: Streak,
    /// The work of all workers is spread badly.
    uneven: Streak,
    /// Judgements since workers were let go, until others take part again.
    let_go: Option<u32>,
}

/// Judgements in a row that found the same.
#[derive(Debug)]
struct Streak {
    len: u32,
    /// So many are enough.
    patience: u32,
}

impl Default for Streak {
    fn default() -> Self {
        Streak { len: 0, patience: PATIENCE }
    }
}

impl Streak {
    /// Adds a judgement; whether there are enough of them now. Then it is counted anew.
    fn grows(&mut self, found: bool) -> bool {
        self.len = if found { self.len + 1 } else { 0 };
        let is_enough = self.len >= self.patience;
        if is_enough {
            self.len = 0;
        }
        is_enough
    }

    /// What was done when there were enough has changed nothing.
    fn was_in_vain(&mut self) {
        self.patience = (self.patience * 2).min(PATIENCE_MAX);
    }
}

impl Staffing {
    fn new(workers: usize, percent_max: u64) -> Staffing {
        let percent_max = percent_max.min(FULL_PERCENT);
        let (calm, uneven) = (Streak::default(), Streak::default());
        Staffing { workers, percent_max, calm, uneven, let_go: None }
    }

    /// How many are to be in use, and places given anew, when `in_use` are and each worker's load
    /// is so much. `None`: it is well as it is.
    fn judge(&mut self, in_use: usize, percents: &[u64]) -> Option<usize> {
        self.let_go = self.let_go.map(|judgements| judgements.saturating_add(1));
        let busiest = percents.iter().copied().max().unwrap_or(0);
        let fewer = (in_use.next_power_of_two() / 2).max(1);
        let enough = self.percent_max * CALM_PERCENT * fewer as u64 / 100;
        let fewer_could = percents.iter().sum::<u64>() <= enough;
        if busiest >= self.percent_max {
            self.calm.grows(false);
            let more = (in_use * 2).min(self.workers);
            // Where fewer could do it all, more are of no use: a worker may be full of one client.
            if more > in_use && !fewer_could {
                return self.grow(more);
            }
            return self.judge_spread(in_use, busiest, percents);
        }
        self.uneven.grows(false);
        if !self.calm.grows(fewer_could && fewer < in_use) {
            return None;
        }
        self.let_go = Some(0);
        Some(fewer)
    }

    /// Others take part again. When that is soon after they were let go, they would come and go for
    /// ever: together the loads fit, and those that share a worker do not.
    fn grow(&mut self, more: usize) -> Option<usize> {
        match self.let_go.take() {
            Some(judgements) if judgements <= PATIENCE => self.calm.was_in_vain(),
            Some(_) => self.calm = Streak::default(),
            None => {}
        }
        self.uneven = Streak::default();
        Some(more)
    }

    /// The same when no others are to take part. Where one is full and another has less than half
    /// as much to do, the clients that are busy now may be better off with other places.
    fn judge_spread(&mut self, in_use: usize, busiest: u64, percents: &[u64]) -> Option<usize> {
        let idlest = percents.iter().take(in_use).copied().min().unwrap_or(0);
        if !self.uneven.grows(idlest * 2 < busiest) {
            return None;
        }
        // Unless it helps, as it does not where one client is all that a worker can do.
        self.uneven.was_in_vain();
        Some(in_use)
    }
}

/// Has as many workers take part as are needed for none to have a load above `percent_max`, for
/// ever. With 0 all of them do, from the start.
pub async fn keep(stats: Arc<[Arc<WorkerStats>]>, seating: Arc<Seating>, percent_max: usize) {
    if percent_max == 0 {
        return;
    }
    let mut staffing = Staffing::new(seating.workers(), percent_max as u64);
    loop {
        tokio::time::sleep(EVERY).await;
        let percents: Vec<u64> = stats.iter().map(|worker| worker.load_percent.get()).collect();
        let before = seating.in_use();
        if let Some(now) = staffing.judge(before, &percents) {
            tracing::debug!(before, now, ?percents, "workers in use");
            seating.set_in_use(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staffing(workers: usize) -> Staffing {
        Staffing::new(workers, 80)
    }

    #[test]
    fn a_full_worker_brings_in_as_many_again() {
        let mut six = staffing(6);
        for (in_use, then) in [(1, Some(2)), (2, Some(4)), (4, Some(6)), (6, None)] {
            assert_eq!(six.judge(in_use, &[40, 80, 40, 40, 40, 40]), then);
            assert_eq!(six.judge(in_use, &[79; 6]), None);
        }
    }

    #[test]
    fn where_one_stays_full_beside_an_idle_one_places_are_given_anew() {
        let mut two = staffing(2);
        let uneven =
            |two: &mut Staffing, times| (0..times).any(|_| two.judge(2, &[39, 80]).is_some());
        assert!(!uneven(&mut two, PATIENCE - 1));
        assert_eq!(two.judge(2, &[40, 80]), None, "the other has half as much");
        assert!(!uneven(&mut two, PATIENCE - 1));
        assert_eq!(two.judge(2, &[39, 79]), None, "none is full");
        assert!(!uneven(&mut two, PATIENCE - 1));
        assert_eq!(two.judge(2, &[39, 80]), Some(2));
        assert!(!uneven(&mut two, 2 * PATIENCE - 1), "counts anew, and longer");
        assert_eq!(two.judge(2, &[39, 80]), Some(2));
        // Ever more seldom, and not for ever more so.
        (0..20).for_each(|_| while two.judge(2, &[39, 80]).is_none() {});
        assert!(!uneven(&mut two, PATIENCE_MAX - 1) && uneven(&mut two, 1));
        // When it has been another number, it is a new matter.
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert!(!uneven(&mut two, PATIENCE - 1) && uneven(&mut two, 1));
        let mut one = staffing(1);
        assert!((0..3 * PATIENCE).all(|_| one.judge(1, &[100]).is_none()));
    }

    #[test]
    fn one_client_does_not_bring_in_all_workers() {
        let mut eight = staffing(8);
        let alone = [3, 0, 99, 0, 0, 0, 0, 0];
        assert_eq!(eight.judge(1, &[99, 0, 0, 0, 0, 0, 0, 0]), Some(2));
        assert_eq!(eight.judge(2, &[3, 99, 0, 0, 0, 0, 0, 0]), Some(4));
        // Two could do it all. The others may get away from it, which helps little.
        assert!((1..PATIENCE).all(|_| eight.judge(4, &alone).is_none()));
        assert_eq!(eight.judge(4, &alone), Some(4));
        assert!((1..2 * PATIENCE).all(|_| eight.judge(4, &alone).is_none()));
        // Four have more to do than two could.
        assert_eq!(eight.judge(4, &[20, 20, 99, 10, 0, 0, 0, 0]), Some(8));
    }

    #[test]
    fn fewer_have_to_be_enough_for_a_while() {
        for (in_use, fewer, calm, busy) in [(6, 4, 288, 292), (4, 2, 144, 147), (2, 1, 72, 73)] {
            let mut six = staffing(6);
            let spread = |sum: usize| (0..6).map(|n| ((sum + n) / 6) as u64).collect::<Vec<u64>>();
            assert_eq!(spread(calm).iter().sum::<u64>(), calm as u64);
            for _ in 0..3 * PATIENCE {
                assert_eq!(six.judge(in_use, &spread(busy)), None);
            }
            for _ in 1..PATIENCE {
                assert_eq!(six.judge(in_use, &spread(calm)), None);
            }
            assert_eq!(six.judge(in_use, &spread(calm)), Some(fewer));
            assert_eq!(six.judge(fewer, &spread(calm)), None, "counts anew");
        }
    }

    /// Judgements until workers are let go.
    fn calm_for(staffing: &mut Staffing) -> u32 {
        1 + (0..).take_while(|_| staffing.judge(2, &[30, 30]).is_none()).count() as u32
    }

    #[test]
    fn workers_do_not_come_and_go_for_ever() {
        let mut two = staffing(2);
        assert_eq!(calm_for(&mut two), PATIENCE);
        // Full at once, and soon after once more.
        for factor in [2, 4] {
            assert_eq!(two.judge(1, &[80, 0]), Some(2));
            assert_eq!(calm_for(&mut two), factor * PATIENCE);
        }
        for _ in 0..20 {
            assert_eq!(two.judge(1, &[80, 0]), Some(2));
            calm_for(&mut two);
        }
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert_eq!(calm_for(&mut two), PATIENCE_MAX);
        // This time one was enough for a while.
        assert!((0..PATIENCE).all(|_| two.judge(1, &[60, 0]).is_none()));
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert_eq!(calm_for(&mut two), PATIENCE);
    }

    #[test]
    fn a_worker_that_never_waits_is_full_at_any_limit() {
        for (limit, load, then) in [(100, 91, Some(2)), (91, 90, Some(2)), (90, 89, None)] {
            assert_eq!(Staffing::new(2, limit).judge(1, &[load, 0]), then);
        }
    }

    #[test]
    fn one_is_the_fewest() {
        let mut two = staffing(2);
        assert!((0..3 * PATIENCE).all(|_| two.judge(1, &[0, 0]).is_none()));
    }

    #[test]
    fn a_thread_knows_what_it_uses_of_its_core() {
        let stats = WorkerStats::new(0);
        let (mut load, before) = (Load::begin(&stats), thread_time());
        while thread_time() - before < Duration::from_millis(20) {
            std::hint::black_box(0);
        }
        let busy = load.percent(&stats);
        assert!((1..=105).contains(&busy), "{busy}");
        // Asleep it uses next to none; the busy time is forgotten with the looks before it.
        for _ in 0..LOOKS {
            std::thread::sleep(Duration::from_millis(50));
            load.percent(&stats);
        }
        assert!(load.percent(&stats) <= busy);
        assert!(thread_time() - before >= Duration::from_millis(20));
    }

    #[test]
    fn large_replies_weigh_more() {
        let then = Look { time: Instant::now(), used: Duration::ZERO, commands: 7, sent_bytes: 9 };
        let later = |commands, sent_bytes| Look {
            time: then.time + Duration::from_millis(100),
            used: Duration::from_millis(30),
            commands: then.commands + commands,
            sent_bytes: then.sent_bytes + sent_bytes,
        };
        assert_eq!(later(10, 10 * LARGE_BYTES - 1).percent_since(&then), 30);
        assert_eq!(later(10, 10 * LARGE_BYTES).percent_since(&then), 30 * LARGE_WEIGHT);
        // The first pieces of a reply that is not whole yet.
        assert_eq!(later(0, LARGE_BYTES).percent_since(&then), 30 * LARGE_WEIGHT);
        assert_eq!(later(0, 0).percent_since(&then), 30);
        // Two looks at the same moment.
        assert_eq!(then.percent_since(&then), 0);
    }
}
