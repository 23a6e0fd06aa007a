//! How many workers are needed, judged by what each uses of its core.
//!
//! Owns the measure of one worker's load, and the judgement. How much of its core a worker has used
//! is `core_time`'s to say, which client belongs to which worker the assigner's.
//!
//! One worker that has much to do does it more cheaply than two that have half of it each: it finds
//! more requests at a time, and writes to each node once for all of them. So another one takes part
//! only when those in use are full. Large replies are another matter: while one is passed on all
//! others wait, and nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core_time::{Core, Used};
use crate::clients::Assigner;
use crate::metrics::WorkerStats;

/// How often it is judged. A load is taken over two looks and may be one look old.
const EVERY: Duration = Duration::from_millis(350);
/// How long after a change, so that only what came of it is seen, also where a worker that is full
/// comes late to its looks: by up to an eighth of a second.
const AFTER_CHANGE: Duration = Duration::from_millis(700);
/// Looks over which a worker's load is taken.
const LOOKS: usize = 2;
/// Judgements in a row that must find the same before places are given anew for it: about five
/// seconds. What came to nothing is waited for twice as long the next time, up to three minutes.
const STREAK: u32 = 15;
const STREAK_MAX: u32 = 32 * STREAK;
/// How many times as long as it was waited for something must last for not having come to nothing.
const LASTING: u32 = 4;
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
    core: Core,
    /// The last looks, the oldest at `at`.
    looks: [Look; LOOKS],
    at: usize,
}

/// What a worker has used and done so far.
#[derive(Clone, Copy, Debug)]
struct Look {
    time: Instant,
    used: Used,
    commands: u64,
    sent_bytes: u64,
}

impl Look {
    fn now(stats: &WorkerStats, core: &Core) -> Look {
        Look {
            time: Instant::now(),
            used: core.used(stats),
            commands: stats.commands().map(|outcomes| outcomes.iter().sum::<u64>()).sum(),
            sent_bytes: stats.sent_bytes.get(),
        }
    }

    /// The load since an earlier look.
    fn percent_since(&self, then: &Look) -> u64 {
        let elapsed_us = self.time.duration_since(then.time).as_micros().max(1);
        let used_us = self.used.since(&then.used).as_micros();
        let replies = self.commands.wrapping_sub(then.commands).max(1);
        let is_large = self.sent_bytes.wrapping_sub(then.sent_bytes) / replies >= LARGE_BYTES;
        (used_us * 100 / elapsed_us) as u64 * if is_large { LARGE_WEIGHT } else { 1 }
    }
}

impl Load {
    /// Begins now.
    pub(super) fn begin(stats: &WorkerStats) -> Load {
        let core = Core::of_this_thread();
        Load { looks: [Look::now(stats, &core); LOOKS], core, at: 0 }
    }

    /// Looks again; returns the percentage of its core that the worker has used since the oldest
    /// look, more when that went into large replies.
    pub(super) fn percent(&mut self, stats: &WorkerStats) -> u64 {
        let now = Look::now(stats, &self.core);
        let then = std::mem::replace(&mut self.looks[self.at], now);
        self.at = (self.at + 1) % LOOKS;
        now.percent_since(&then)
    }
}

/// The judgement on how many workers should be in use.
#[derive(Debug)]
struct Scaler {
    workers: usize,
    percent_max: u64,
    /// Fewer workers are enough.
    calm: Streak,
    /// The work of all workers is spread badly.
    uneven: Streak,
}

/// Judgements in a row that found the same.
#[derive(Debug)]
struct Streak {
    len: u32,
    /// So many are enough for something to be done.
    enough: u32,
    /// Judgements since then, until what it was done for is there again.
    since: Option<u32>,
}

impl Default for Streak {
    fn default() -> Self {
        Streak { len: 0, enough: STREAK, since: None }
    }
}

impl Streak {
    fn passes(&mut self) {
        self.since = self.since.map(|judgements| judgements.saturating_add(1));
    }

    /// Adds a judgement; whether there are enough of them now. Then it is counted anew.
    fn grows(&mut self, found: bool) -> bool {
        self.len = if found { self.len + 1 } else { 0 };
        let is_enough = self.len >= self.enough;
        if is_enough {
            (self.len, self.since) = (0, Some(0));
        }
        is_enough
    }

    /// All is again as if nothing had been done. When that is soon, it would be done for ever.
    fn relapses(&mut self) {
        match self.since.take() {
            Some(judgements) if judgements <= LASTING * self.enough => {
                self.enough = (self.enough * 2).min(STREAK_MAX);
            }
            Some(_) => self.enough = STREAK,
            None => {}
        }
    }
}

impl Scaler {
    fn new(workers: usize, percent_max: u64) -> Scaler {
        let percent_max = percent_max.min(FULL_PERCENT);
        let (calm, uneven) = (Streak::default(), Streak::default());
        Scaler { workers, percent_max, calm, uneven }
    }

    /// How many are to be in use, and places given anew, when `in_use` are and each worker's load
    /// is so much. `None`: it is well as it is.
    fn judge(&mut self, in_use: usize, percents: &[u64]) -> Option<usize> {
        self.calm.passes();
        self.uneven.passes();
        let busiest = percents.iter().copied().max().unwrap_or(0);
        // What large replies weigh may be more than a core; they need no more than one.
        let sum: u64 = percents.iter().map(|percent| percent.min(&100)).sum();
        let could = |workers: usize| sum * 100 <= self.percent_max * CALM_PERCENT * workers as u64;
        let fewer = (in_use.next_power_of_two() / 2).max(1);
        if busiest < self.percent_max {
            let enough = could(fewer) && fewer < in_use;
            self.uneven.grows(false);
            return self.calm.grows(enough).then_some(fewer);
        }
        let more = (in_use * 2).min(self.workers);
        // Where half could do it all, more are of no use: a worker may be full of one client. Where
        // as many have been brought in for something else, they go when half of half could.
        let (too_few, too_many) = (!could(fewer), could(fewer / 2));
        if more > in_use && too_few {
            return Some(self.grow(more));
        }
        if self.calm.grows(too_many) {
            // That has places given anew too.
            self.uneven.grows(false);
            return Some(fewer);
        }
        self.judge_spread(in_use, busiest, percents)
    }

    /// Others take part again. Together the loads may fit, and those that share a worker not.
    fn grow(&mut self, more: usize) -> usize {
        self.calm.grows(false);
        self.calm.relapses();
        self.uneven = Streak::default();
        more
    }

    /// The same when no others are to take part. Where one is full and another has less than half
    /// as much to do, the clients that are busy now may be better off with other places; not where
    /// one client is all that a worker can do.
    fn judge_spread(&mut self, in_use: usize, busiest: u64, percents: &[u64]) -> Option<usize> {
        let idlest = percents.iter().take(in_use).copied().min().unwrap_or(0);
        let is_uneven = idlest * 2 < busiest;
        if is_uneven {
            self.uneven.relapses();
        }
        self.uneven.grows(is_uneven).then_some(in_use)
    }
}

/// Has as many workers take part as are needed for none to have a load above `percent_max`, for
/// ever. With 0 all of them do, from the start.
pub async fn keep(stats: Arc<[Arc<WorkerStats>]>, assigner: Arc<Assigner>, percent_max: usize) {
    if percent_max == 0 {
        return;
    }
    let mut scaling = Scaler::new(assigner.workers(), percent_max as u64);
    let mut wait = EVERY;
    loop {
        tokio::time::sleep(wait).await;
        let percents: Vec<u64> = stats.iter().map(|worker| worker.load_percent.get()).collect();
        let before = assigner.in_use();
        let judgement = scaling.judge(before, &percents);
        if let Some(now) = judgement {
            tracing::debug!(before, now, ?percents, "workers in use");
            assigner.set_in_use(now);
        }
        wait = if judgement.is_some() { AFTER_CHANGE } else { EVERY };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaling(workers: usize) -> Scaler {
        Scaler::new(workers, 80)
    }

    #[test]
    fn a_full_worker_brings_in_as_many_again() {
        let mut six = scaling(6);
        for (in_use, then) in [(1, Some(2)), (2, Some(4)), (4, Some(6)), (6, None)] {
            assert_eq!(six.judge(in_use, &[40, 80, 40, 40, 40, 40]), then);
            assert_eq!(six.judge(in_use, &[79; 6]), None);
        }
    }

    #[test]
    fn where_one_stays_full_beside_an_idle_one_places_are_given_anew() {
        let mut two = scaling(2);
        let uneven =
            |two: &mut Scaler, times| (0..times).any(|_| two.judge(2, &[39, 80]).is_some());
        assert!(!uneven(&mut two, STREAK - 1));
        assert_eq!(two.judge(2, &[40, 80]), None, "the other has half as much");
        assert!(!uneven(&mut two, STREAK - 1));
        assert_eq!(two.judge(2, &[39, 79]), None, "none is full");
        assert!(!uneven(&mut two, STREAK - 1));
        assert_eq!(two.judge(2, &[39, 80]), Some(2));
        assert!(!uneven(&mut two, 2 * STREAK - 1), "counts anew, and longer");
        assert_eq!(two.judge(2, &[39, 80]), Some(2));
        // Ever more seldom, and not for ever more so.
        (0..20).for_each(|_| while two.judge(2, &[39, 80]).is_none() {});
        assert!(!uneven(&mut two, STREAK_MAX - 1) && uneven(&mut two, 1));
        // When it has been another number, it is a new matter.
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert!(!uneven(&mut two, STREAK - 1) && uneven(&mut two, 1));
        let mut one = scaling(1);
        assert!((0..3 * STREAK).all(|_| one.judge(1, &[100]).is_none()));
    }

    #[test]
    fn one_client_does_not_bring_in_all_workers() {
        let mut eight = scaling(8);
        let alone = [3, 0, 99, 0, 0, 0, 0, 0];
        assert_eq!(eight.judge(1, &[99, 0, 0, 0, 0, 0, 0, 0]), Some(2));
        assert_eq!(eight.judge(2, &[3, 99, 0, 0, 0, 0, 0, 0]), Some(4));
        // Two could do it all. The others may get away from it, which helps little.
        assert!((1..STREAK).all(|_| eight.judge(4, &alone).is_none()));
        assert_eq!(eight.judge(4, &alone), Some(4));
        assert!((1..2 * STREAK).all(|_| eight.judge(4, &alone).is_none()));
        // Four have more to do than two could.
        assert_eq!(eight.judge(4, &[20, 20, 99, 10, 0, 0, 0, 0]), Some(8));
    }

    #[test]
    fn fewer_have_to_be_enough_for_a_while() {
        for (in_use, fewer, calm, busy) in [(6, 4, 288, 292), (4, 2, 144, 147), (2, 1, 72, 73)] {
            let mut six = scaling(6);
            let spread = |sum: usize| (0..6).map(|n| ((sum + n) / 6) as u64).collect::<Vec<u64>>();
            assert_eq!(spread(calm).iter().sum::<u64>(), calm as u64);
            for _ in 0..3 * STREAK {
                assert_eq!(six.judge(in_use, &spread(busy)), None);
            }
            for _ in 1..STREAK {
                assert_eq!(six.judge(in_use, &spread(calm)), None);
            }
            assert_eq!(six.judge(in_use, &spread(calm)), Some(fewer));
            assert_eq!(six.judge(fewer, &spread(calm)), None, "counts anew");
        }
    }

    /// Judgements until workers are let go.
    fn calm_for(scaling: &mut Scaler) -> u32 {
        1 + (0..).take_while(|_| scaling.judge(2, &[30, 30]).is_none()).count() as u32
    }

    #[test]
    fn workers_do_not_come_and_go_for_ever() {
        let mut two = scaling(2);
        assert_eq!(calm_for(&mut two), STREAK);
        // Full at once, and soon after once more.
        for factor in [2, 4] {
            assert_eq!(two.judge(1, &[80, 0]), Some(2));
            assert_eq!(calm_for(&mut two), factor * STREAK);
        }
        for _ in 0..20 {
            assert_eq!(two.judge(1, &[80, 0]), Some(2));
            calm_for(&mut two);
        }
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert_eq!(calm_for(&mut two), STREAK_MAX);
        // This time one was enough for a long while.
        let long = LASTING * STREAK_MAX;
        assert!((0..long).all(|_| two.judge(1, &[60, 0]).is_none()));
        assert_eq!(two.judge(1, &[80, 0]), Some(2));
        assert_eq!(calm_for(&mut two), STREAK);
    }

    /// How often the number in use changes, when the load of each moment is what `loads` makes of the
    /// moment and of the number in use.
    fn changes(workers: usize, mut in_use: usize, loads: impl Fn(u32, usize) -> Vec<u64>) -> usize {
        let mut scaling = scaling(workers);
        let judgements = (0..20_000).filter_map(|at| {
            let now = scaling.judge(in_use, &loads(at, in_use))?;
            Some(now != std::mem::replace(&mut in_use, now))
        });
        judgements.filter(|changed| *changed).count()
    }

    #[test]
    fn a_burst_now_and_then_does_not_have_them_come_and_go() {
        for every in [STREAK + 1, 2 * STREAK, 3 * STREAK, 4 * STREAK] {
            let seen = changes(2, 1, |at, in_use| match (at % every, in_use) {
                (0, 1) => vec![80, 0],
                (0, _) => vec![40, 40],
                (_, 1) => vec![40, 0],
                _ => vec![20, 20],
            });
            assert!((1..10).contains(&seen), "{seen} changes with a burst every {every}");
        }
    }

    #[test]
    fn one_client_alone_leaves_the_number_as_it_is_sooner_or_later() {
        for (load, other) in [(80, 0), (99, 0), (99, 3), (100 * LARGE_WEIGHT, 1)] {
            for from in [1, 2, 4, 8, 16] {
                let seen = changes(16, from, |at, in_use| {
                    let mut loads = vec![0; 16];
                    loads[..in_use].fill(other);
                    loads[at as usize % in_use] = load;
                    loads
                });
                // From one to four, or from sixteen to four.
                assert!(seen <= 2, "{load} beside {other}, from {from}: {seen} changes");
            }
        }
    }

    #[test]
    fn those_brought_in_for_others_go_also_where_one_client_fills_a_worker() {
        let mut sixteen = scaling(16);
        let mut loads = [0; 16];
        loads[3] = 95;
        for (in_use, then) in [(16, 8), (8, 4)] {
            assert!((1..STREAK).all(|_| sixteen.judge(in_use, &loads).is_none()));
            assert_eq!(sixteen.judge(in_use, &loads), Some(then));
        }
        assert!((0..9 * STREAK).all(|_| sixteen.judge(4, &loads).unwrap_or(4) == 4));
    }

    #[test]
    fn places_that_helped_are_given_as_soon_the_next_time() {
        let mut two = scaling(2);
        let judgements = |two: &mut Scaler| {
            1 + (0..).take_while(|_| two.judge(2, &[30, 95]).is_none()).count() as u32
        };
        for _ in 0..5 {
            assert_eq!(judgements(&mut two), STREAK);
            assert!((0..=LASTING * STREAK).all(|_| two.judge(2, &[75, 75]).is_none()));
        }
        assert_eq!(judgements(&mut two), STREAK);
        assert_eq!(judgements(&mut two), 2 * STREAK, "it helped nobody");
    }

    #[test]
    fn a_worker_that_never_waits_is_full_at_any_limit() {
        for (limit, load, then) in [(100, 91, Some(2)), (91, 90, Some(2)), (90, 89, None)] {
            assert_eq!(Scaler::new(2, limit).judge(1, &[load, 0]), then);
        }
    }

    #[test]
    fn one_is_the_fewest() {
        let mut two = scaling(2);
        assert!((0..3 * STREAK).all(|_| two.judge(1, &[0, 0]).is_none()));
    }

    #[test]
    fn large_replies_weigh_more() {
        let then = Look { time: Instant::now(), used: Used::default(), commands: 7, sent_bytes: 9 };
        let later = |commands, sent_bytes| Look {
            time: then.time + Duration::from_millis(100),
            used: Used::of_processor(Duration::from_millis(30)),
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
