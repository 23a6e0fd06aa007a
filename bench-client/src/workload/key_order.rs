//! Which key is next: all in turn, any with the same chance, or few of them very often.
//!
//! Owns the distributions. Knows nothing of key names or requests. Invariant: which keys a request
//! has follows from its turn alone, so it can be told again when the reply is there.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;

use super::NodeKeys;

/// The usual exponent of load generators (YCSB): of 10,000 keys the first gets a tenth of all
/// requests.
const ZIPF_EXPONENT: f64 = 0.99;

/// So many bits of a ticket are a turn.
const TURN_BITS: u32 = 60;

/// Which key is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyOrder {
    /// One after the other, over and over.
    Sequential,
    /// Any, with the same chance.
    Uniform,
    /// The n-th with a chance of 1 by n to the power of 0.99.
    Zipf,
}

impl KeyOrder {
    /// The word used on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            KeyOrder::Sequential => "sequential",
            KeyOrder::Uniform => "uniform",
            KeyOrder::Zipf => "zipf",
        }
    }
}

/// Draws keys for one thread.
pub(crate) struct Draw<'a> {
    keys: u64,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// Counts up over all threads.
    Sequential(&'a AtomicU64),
    Uniform(fastrand::Rng),
    Zipf(fastrand::Rng, Zipf),
}

impl<'a> Draw<'a> {
    /// Keys below `keys` in this order; `next` is common to all threads, `seed` this thread's own.
    pub(crate) fn new(order: KeyOrder, keys: usize, next: &'a AtomicU64, seed: u64) -> Draw<'a> {
        let keys = (keys as u64).max(1);
        let random = fastrand::Rng::with_seed(seed);
        let kind = match order {
            KeyOrder::Sequential => Kind::Sequential(next),
            KeyOrder::Uniform => Kind::Uniform(random),
            KeyOrder::Zipf => Kind::Zipf(random, Zipf::new(keys, ZIPF_EXPONENT)),
        };
        Draw { keys, kind }
    }

    /// The key of a request that has one.
    pub(crate) fn key(&mut self) -> u64 {
        match &mut self.kind {
            Kind::Sequential(next) => next.fetch_add(1, Ordering::Relaxed) % self.keys,
            Kind::Uniform(random) => random.u64(..self.keys),
            Kind::Zipf(random, zipf) => zipf.draw(random),
        }
    }

    /// A key that one node has, for a connection to that node.
    pub(crate) fn key_of(&mut self, nodes: &mut NodeKeys, node: usize) -> u64 {
        match &mut self.kind {
            // Each node's keys by themselves: a common count would pass over some for ever.
            Kind::Sequential(_) => nodes.in_turn(node),
            Kind::Uniform(random) => nodes.drawn(node, || random.u64(..self.keys)),
            Kind::Zipf(random, zipf) => nodes.drawn(node, || zipf.draw(random)),
        }
    }

    /// The turn of a request of `count` keys; `keys_of` tells which those are.
    pub(crate) fn turn(&mut self, count: usize) -> u64 {
        match &mut self.kind {
            Kind::Sequential(next) => {
                next.fetch_add(count as u64, Ordering::Relaxed) % (1 << TURN_BITS)
            }
            Kind::Uniform(random) | Kind::Zipf(random, _) => random.u64(..1 << TURN_BITS),
        }
    }

    /// The keys of a request by its turn, without end.
    pub(crate) fn keys_of(&self, turn: u64) -> impl Iterator<Item = u64> + '_ {
        let mut random = fastrand::Rng::with_seed(turn);
        (0..).map(move |place: u64| match &self.kind {
            Kind::Sequential(_) => turn.wrapping_add(place) % self.keys,
            Kind::Uniform(_) => random.u64(..self.keys),
            Kind::Zipf(_, zipf) => zipf.draw(&mut random),
        })
    }
}

/// Zipf's law by rejection-inversion (Hörmann and Derflinger 1996): no table, and a bounded number
/// of tries in the mean, whatever the number of keys.
struct Zipf {
    keys: f64,
    exponent: f64,
    integral_first: f64,
    integral_last: f64,
    squeeze: f64,
}

impl Zipf {
    fn new(keys: u64, exponent: f64) -> Zipf {
        let keys = keys as f64;
        let mut zipf =
            Zipf { keys, exponent, integral_first: 0.0, integral_last: 0.0, squeeze: 0.0 };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_last = zipf.integral(keys + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// A key, from 0.
    fn draw(&self, random: &mut fastrand::Rng) -> u64 {
        loop {
            let at = self.integral_last + random.f64() * (self.integral_first - self.integral_last);
            let exact = self.inverse(at);
            let rank = exact.round().clamp(1.0, self.keys);
            if rank - exact <= self.squeeze || at >= self.integral(rank + 0.5) - self.density(rank)
            {
                return rank as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the density; the logarithm where the exponent is 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let scaled = (1.0 - self.exponent) * log;
        if scaled.abs() > 1e-8 { scaled.exp_m1() / scaled * log } else { log }
    }

    fn inverse(&self, x: f64) -> f64 {
        let scaled = (x * (1.0 - self.exponent)).max(-1.0);
        let factor = if scaled.abs() > 1e-8 { scaled.ln_1p() / scaled } else { 1.0 };
        (factor * x).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(order: KeyOrder, keys: usize, draws: usize) -> Vec<f64> {
        let next = AtomicU64::new(0);
        let mut draw = Draw::new(order, keys, &next, 7);
        let mut counts = vec![0.0; keys];
        for _ in 0..draws {
            counts[draw.key() as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn in_turn_every_key_has_the_same_share() {
        let shares = shares(KeyOrder::Sequential, 4, 400);
        assert!(shares.iter().all(|share| (share - 0.25).abs() < 1e-9), "{shares:?}");
    }

    #[test]
    fn uniform_is_even() {
        let shares = shares(KeyOrder::Uniform, 10, 100_000);
        assert!(shares.iter().all(|share| (share - 0.1).abs() < 0.005), "{shares:?}");
    }

    #[test]
    fn zipf_has_the_shares_of_its_law() {
        for keys in [1, 2, 3, 100, 10_000] {
            let found = shares(KeyOrder::Zipf, keys, 200_000);
            let weight = |n: usize| 1.0 / ((n + 1) as f64).powf(ZIPF_EXPONENT);
            let all: f64 = (0..keys).map(weight).sum();
            for n in [0, 1, 2, 9, 99].into_iter().filter(|n| *n < keys) {
                let expected = weight(n) / all;
                // Five times the deviation of so many draws.
                let slack = 5.0 * (expected / 200_000.0).sqrt();
                assert!((found[n] - expected).abs() < slack, "{keys} {n}: {} {expected}", found[n]);
            }
        }
    }

    #[test]
    fn the_keys_of_a_turn_can_be_told_again() {
        let next = AtomicU64::new(8);
        for order in [KeyOrder::Sequential, KeyOrder::Uniform, KeyOrder::Zipf] {
            let mut draw = Draw::new(order, 10, &next, 1);
            let turn = draw.turn(5);
            let keys = |turn| draw.keys_of(turn).take(5).collect::<Vec<u64>>();
            assert_eq!(keys(turn), keys(turn));
            assert!(turn < 1 << TURN_BITS && keys(turn).iter().all(|key| *key < 10));
        }
        let mut draw = Draw::new(KeyOrder::Sequential, 10, &next, 1);
        let turn = draw.turn(5);
        assert_eq!(draw.keys_of(turn).take(5).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert_eq!(draw.key(), 8);
    }
}
