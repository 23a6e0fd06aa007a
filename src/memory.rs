//! One budget for all buffers that can grow: clients' input and output, and requests on their way.
//!
//! Owns the sums: how much is in use, of which kind, and how much may be. Must not know whose a buffer
//! is, nor what becomes of its owner when there is too much. A buffer tells of itself in steps, and a
//! worker adds its buffers up by itself, so that a request that changes little costs nothing here:
//! what all workers share is touched once for [`GRAIN`] bytes.

mod machine;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use tokio::sync::Notify;

pub use machine::default_budget;

/// What a worker has not told the others yet, at most, of one kind.
const GRAIN: isize = 256 * 1024;
/// A buffer tells of a change of at least so many bytes.
pub const STEP: usize = 16 * 1024;
/// From so many percent of the budget on, clients that hold much are not read from.
const TIGHT_PERCENT: usize = 75;
/// So many percent of the budget may be requests that have come in part.
const INPUT_PERCENT: usize = 50;
/// So many percent more of it are shared out among the clients whose requests have come in part.
const FAIR_PERCENT: usize = 20;
/// A client that holds less may always send the rest of its request.
pub const PAUSED_MIN: usize = 64 * 1024;
/// After so many looks at those that wait for room all of them are woken.
const LOOKS_MAX: u32 = 10;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests that have come in part.
    Input = 0,
    /// Requests on their way to nodes, kept until they are answered.
    Requests = 1,
    /// Replies for clients that have not read them, and parts of replies.
    Output = 2,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Kind; KINDS.len()] = [Kind::Input, Kind::Requests, Kind::Output];
}

/// All [`Kind`]s as label values, in order.
pub const KINDS: [&str; 3] = ["input", "requests", "output"];

/// The budget of the whole gateway.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    used: [AtomicUsize; KINDS.len()],
    /// Clients of whose requests much has come, and not all.
    senders: AtomicUsize,
    /// Told when more is in use than may be: all workers, since others may hold what one asks for.
    exceeded: Notify,
    /// The heaviest client that a worker has claimed to hold since one was cut off.
    heaviest: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Budget {
        let (used, senders, exceeded, heaviest) = Default::default();
        Budget { bytes_max, used, senders, exceeded, heaviest }
    }

    /// How many bytes may be in use.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// How many bytes of a kind are in use, as far as the workers have told.
    pub fn used_by(&self, kind: Kind) -> usize {
        self.used[kind as usize].load(Ordering::Relaxed)
    }

    /// How many bytes are in use.
    pub fn used(&self) -> usize {
        self.used.iter().map(|used| used.load(Ordering::Relaxed)).sum()
    }

    /// How many bytes more than there may be are in use.
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.bytes_max)
    }

    /// Whether so much is in use that those who hold much should not take more.
    pub fn is_tight(&self) -> bool {
        self.used() >= self.bytes_max / 100 * TIGHT_PERCENT
    }

    /// Whether so many requests have come in part that large ones should not grow.
    pub fn is_tight_for_input(&self) -> bool {
        self.used_by(Kind::Input) >= self.bytes_max / 100 * INPUT_PERCENT || self.is_tight()
    }

    /// Whether this is no more than each client may send of a large request while there is little room:
    /// those who announce much and send it slowly must not keep others from sending less.
    pub fn is_fair_input(&self, bytes: usize) -> bool {
        let senders = self.senders.load(Ordering::Relaxed).max(1);
        bytes <= self.bytes_max / 100 * FAIR_PERCENT / senders
    }

    fn note_sender(&self, is_one: bool) {
        match is_one {
            true => self.senders.fetch_add(1, Ordering::Relaxed),
            false => self.senders.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Returns when more is in use than may be, whoever uses it.
    pub async fn exceeded(&self) {
        loop {
            let mut notified = pin!(self.exceeded.notified());
            // From here on it is not missed.
            notified.as_mut().enable();
            if self.excess() > 0 {
                return;
            }
            notified.await;
        }
    }

    /// A worker's heaviest client has this weight.
    pub fn claim_heaviest(&self, weight: u64) {
        self.heaviest.fetch_max(weight, Ordering::Relaxed);
    }

    /// Whether no worker has claimed a client of more than twice this weight.
    pub fn is_among_heaviest(&self, weight: u64) -> bool {
        weight.saturating_mul(2) >= self.heaviest.load(Ordering::Relaxed)
    }

    /// Forgets what was claimed: it has been cut off, or is not there any more.
    pub fn forget_heaviest(&self) {
        self.heaviest.store(0, Ordering::Relaxed);
    }

    fn change(&self, kind: Kind, by: isize) {
        let used = &self.used[kind as usize];
        match by {
            0.. => used.fetch_add(by.unsigned_abs(), Ordering::Relaxed),
            // A worker takes back only what it has told before.
            _ => used.fetch_sub(by.unsigned_abs(), Ordering::Relaxed),
        };
    }
}

/// A client that may not send the rest of a large request yet.
#[derive(Debug)]
struct Paused {
    client: usize,
    /// Bytes that it has to send before its request is whole, at least.
    missing: usize,
    waker: Waker,
}

/// What one worker uses of the budget.
#[derive(Debug)]
pub struct Ledger {
    budget: Arc<Budget>,
    untold: [Cell<isize>; KINDS.len()],
    /// Clients that may not send the rest of their large requests yet, those first that wait longest.
    paused: RefCell<Vec<Paused>>,
    /// The one that may, so that one after the other comes to its end, and what it lacked.
    front: Cell<Option<(usize, usize)>>,
    /// A large request has grown since the last look.
    grown: Cell<bool>,
    /// Looks since all were woken.
    looks: Cell<u32>,
}

impl Ledger {
    /// A worker's ledger.
    pub fn new(budget: Arc<Budget>) -> Rc<Ledger> {
        let (untold, paused, front, grown, looks) = Default::default();
        Rc::new(Ledger { budget, untold, paused, front, grown, looks })
    }

    /// The budget of the whole gateway.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Whether the large request of this client, which lacks so many bytes, may grow although there is
    /// little room: it may while nobody else's does.
    pub fn may_grow(&self, client: usize, missing: usize) -> bool {
        let is_front = self.front.get().is_none_or(|(front, _)| front == client);
        if is_front && self.budget.excess() == 0 {
            self.front.set(Some((client, missing)));
            return true;
        }
        false
    }

    /// The large request of this client is whole, or will never be.
    pub fn let_go(&self, client: usize) {
        if self.front.get().is_some_and(|(front, _)| front == client) {
            self.front.set(None);
            self.call_next();
        }
    }

    /// A large request has grown.
    pub fn note_grown(&self) {
        self.grown.set(true);
    }

    /// Wakes this client when there is room for the rest of its large request, which lacks so many
    /// bytes.
    pub fn pause(&self, client: usize, missing: usize, waker: &Waker) {
        let mut paused = self.paused.borrow_mut();
        match paused.iter_mut().find(|known| known.client == client) {
            Some(known) => {
                known.missing = missing;
                known.waker.clone_from(waker);
            }
            None => paused.push(Paused { client, missing, waker: waker.clone() }),
        }
    }

    /// Wakes the clients that wait for room when there is some; while there is little, the one of them
    /// that may go on. Called often. Says whether some wait and none goes on.
    pub fn resume(&self) -> bool {
        let (goes_on, is_tight) = (self.grown.take(), self.budget.is_tight_for_input());
        let waits = !self.paused.borrow().is_empty();
        let looks = self.looks.get() + 1;
        // Now and then all look whether their clients are still there, and who waits longest goes on.
        let is_due = looks >= LOOKS_MAX;
        self.looks.set(if is_due { 0 } else { looks });
        if !is_tight {
            self.front.set(None);
            self.paused.borrow_mut().drain(..).for_each(|paused| paused.waker.wake());
        } else if is_due {
            let longest = self.paused.borrow().first().map(|one| (one.client, one.missing));
            self.front.set(longest);
            self.paused.borrow_mut().drain(..).for_each(|paused| paused.waker.wake());
        } else if !goes_on || self.is_overtaken() {
            self.front.set(None);
            self.call_next();
        }
        is_tight && waits && !goes_on
    }

    /// Whether somebody waits who lacks less than the one that may go on.
    fn is_overtaken(&self) -> bool {
        let Some((_, lacked)) = self.front.get() else { return false };
        self.paused.borrow().iter().any(|paused| paused.missing < lacked)
    }

    /// Lets the one go on that lacks least: those who announce much and send it slowly must not keep
    /// others waiting.
    fn call_next(&self) {
        let mut paused = self.paused.borrow_mut();
        let least = (0..paused.len()).min_by_key(|&at| paused[at].missing);
        let Some(next) = least.map(|at| paused.remove(at)) else { return };
        self.front.set(Some((next.client, next.missing)));
        next.waker.wake();
    }

    /// So many bytes more, or fewer, are in use.
    pub fn change(&self, kind: Kind, by: isize) {
        let untold = &self.untold[kind as usize];
        let sum = untold.get() + by;
        untold.set(sum);
        if sum.abs() >= GRAIN {
            self.tell(kind);
        }
    }

    #[cold]
    fn tell(&self, kind: Kind) {
        self.budget.change(kind, self.untold[kind as usize].take());
        if self.budget.excess() > 0 {
            self.budget.exceeded.notify_waiters();
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for (kind, untold) in Kind::ALL.into_iter().zip(&self.untold) {
            self.budget.change(kind, untold.take());
        }
    }
}

/// What one buffer uses of the budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    ledger: Rc<Ledger>,
    kind: Kind,
    bytes: Cell<usize>,
}

impl Share {
    /// Of an empty buffer.
    pub fn new(ledger: &Rc<Ledger>, kind: Kind) -> Share {
        Share { ledger: Rc::clone(ledger), kind, bytes: Cell::new(0) }
    }

    /// How many bytes it has told of.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// The budget that it is a share of.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.ledger.budget
    }

    /// The buffer has this size now. Small changes are left for later.
    #[inline]
    pub fn set(&self, bytes: usize) {
        if bytes.abs_diff(self.bytes.get()) >= STEP {
            self.tell(bytes);
        }
    }

    /// The buffer is empty, or as good as.
    #[inline]
    pub fn clear(&self) {
        if self.bytes.get() > 0 {
            self.tell(0);
        }
    }

    #[cold]
    fn tell(&self, bytes: usize) {
        let before = self.bytes.replace(bytes);
        if self.kind == Kind::Input && (before > 0) != (bytes > 0) {
            self.ledger.budget.note_sender(bytes > 0);
        }
        self.ledger.change(self.kind, bytes as isize - before as isize);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes_max: usize) -> (Arc<Budget>, Rc<Ledger>) {
        let budget = Arc::new(Budget::new(bytes_max));
        let ledger = Ledger::new(Arc::clone(&budget));
        (budget, ledger)
    }

    #[test]
    fn what_is_given_back_is_free_again() {
        let (budget, ledger) = parts(10 << 20);
        let share = Share::new(&ledger, Kind::Output);
        share.set(3 << 20);
        assert_eq!((budget.used(), budget.used_by(Kind::Output)), (3 << 20, 3 << 20));
        share.set(1 << 20);
        assert_eq!(budget.used(), 1 << 20);
        drop(share);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn small_changes_are_told_together() {
        let (budget, ledger) = parts(10 << 20);
        let shares: Vec<Share> = (0..100).map(|_| Share::new(&ledger, Kind::Input)).collect();
        shares.iter().for_each(|share| share.set(STEP - 1));
        assert_eq!(budget.used(), 0);
        shares.iter().for_each(|share| share.set(STEP));
        let told = budget.used();
        assert!(told > 0 && told <= 100 * STEP && told + GRAIN as usize > 100 * STEP, "{told}");
        drop(shares);
        drop(ledger);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn it_is_tight_before_it_is_exceeded() {
        let (budget, ledger) = parts(8 << 20);
        let share = Share::new(&ledger, Kind::Requests);
        for (mib, is_tight, excess) in [(5, false, 0), (6, true, 0), (8, true, 0), (9, true, 1)] {
            share.set(mib << 20);
            assert_eq!((budget.is_tight(), budget.excess() >> 20), (is_tight, excess), "{mib}");
            assert_eq!(budget.is_tight_for_input(), is_tight);
        }
        share.clear();
        let input = Share::new(&ledger, Kind::Input);
        input.set(4 << 20);
        assert!(budget.is_tight_for_input() && !budget.is_tight());
        // One goes on, and another one when that does not, or is done.
        assert!(ledger.may_grow(1, 100) && !ledger.may_grow(2, 200));
        let pause = |client, missing| ledger.pause(client, missing, Waker::noop());
        pause(2, 200);
        ledger.note_grown();
        assert!(!ledger.resume());
        assert!(ledger.may_grow(1, 100) && !ledger.may_grow(2, 200));
        assert!(ledger.resume());
        assert!(ledger.may_grow(2, 200) && !ledger.may_grow(1, 100));
        pause(1, 100);
        ledger.let_go(1);
        assert!(!ledger.may_grow(1, 100));
        ledger.let_go(2);
        assert!(ledger.may_grow(1, 100) && !ledger.may_grow(2, 200));
        // Who lacks less goes first.
        pause(2, 200);
        pause(3, 50);
        ledger.note_grown();
        assert!(!ledger.resume());
        assert!(ledger.may_grow(3, 50) && !ledger.may_grow(1, 90));
        // But nobody waits for ever.
        let longest = (0..LOOKS_MAX).any(|_| {
            pause(2, 200);
            pause(3, 50);
            ledger.note_grown();
            ledger.resume();
            ledger.may_grow(2, 200)
        });
        assert!(longest);
        input.clear();
        assert!(!ledger.resume());
    }

    #[test]
    fn who_sends_little_does_not_wait_for_those_who_send_much() {
        let (budget, ledger) = parts(100 << 20);
        let shares: Vec<Share> = (0..10).map(|_| Share::new(&ledger, Kind::Input)).collect();
        shares.iter().for_each(|share| share.set(6 << 20));
        assert!(budget.is_tight_for_input());
        assert!(budget.is_fair_input(2 << 20) && !budget.is_fair_input((2 << 20) + 1));
        // A small share is none, and one that is gone counts no more.
        Share::new(&ledger, Kind::Input).set(STEP - 1);
        Share::new(&ledger, Kind::Output).set(1 << 20);
        drop(shares);
        assert!(budget.is_fair_input(20 << 20));
        // Those who hold most have to go then, not those who send little.
        let too_much = Share::new(&ledger, Kind::Output);
        too_much.set(101 << 20);
        assert!(budget.excess() > 0 && budget.is_fair_input(20 << 20));
    }

    #[test]
    fn who_waits_for_too_much_learns_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default());
        runtime.unwrap().block_on(async {
            let (budget, ledger) = parts(1 << 20);
            let share = Share::new(&ledger, Kind::Output);
            // Of several workers, every one.
            let waiting: Vec<_> = (0..3)
                .map(|_| Arc::clone(&budget))
                .map(|budget| tokio::task::spawn_local(async move { budget.exceeded().await }))
                .collect();
            tokio::task::yield_now().await;
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            share.set(2 << 20);
            for waiting in waiting {
                waiting.await.unwrap();
            }
        });
    }

    #[test]
    fn who_holds_little_is_spared_while_another_worker_has_who_holds_much() {
        let budget = Budget::new(1 << 20);
        [100, 900].into_iter().for_each(|weight| budget.claim_heaviest(weight));
        let spared = [100, 449, 450, 900].map(|weight| !budget.is_among_heaviest(weight));
        assert_eq!(spared, [true, true, false, false]);
        budget.forget_heaviest();
        assert!(budget.is_among_heaviest(100));
    }
}
