//! Repeats of the same work: their middle, and how far they lie apart.
//!
//! Owns which phases belong together. Knows nothing of how they are shown.

use serde::{Deserialize, Serialize};

use super::{PhaseRecord, Record};
use crate::figures::median;

/// The smallest, the middle and the largest of several figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// The spread of these; none of none.
    pub(crate) fn of(figures: Vec<f64>) -> Option<Spread> {
        let count = figures.len();
        let min = figures.iter().copied().min_by(f64::total_cmp)?;
        let max = figures.iter().copied().max_by(f64::total_cmp)?;
        Some(Spread { min, median: median(figures)?, max, count })
    }
}

/// The repeats of one operation at one size on one target.
pub(crate) struct Group<'a> {
    pub(crate) target: &'a str,
    pub(crate) op: &'a str,
    pub(crate) bytes: u64,
    pub(crate) phases: Vec<&'a PhaseRecord>,
}

impl<'a> Group<'a> {
    /// The spread of a figure that repeats have.
    pub(crate) fn spread(&self, figure: impl Fn(&PhaseRecord) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.phases.iter().filter_map(|phase| figure(phase)).collect())
    }

    /// The middle of a figure that repeats have.
    pub(crate) fn median(&self, figure: impl Fn(&PhaseRecord) -> Option<f64>) -> Option<f64> {
        self.spread(figure).map(|spread| spread.median)
    }

    /// A count over all repeats.
    pub(crate) fn sum(&self, count: impl Fn(&PhaseRecord) -> u64) -> u64 {
        self.phases.iter().map(|phase| count(phase)).sum()
    }

    /// The repeat whose throughput is in the middle.
    pub(crate) fn typical(&self) -> Option<&'a PhaseRecord> {
        let mut phases = self.phases.clone();
        phases.sort_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s));
        phases.get(phases.len().saturating_sub(1) / 2).copied()
    }
}

/// All groups, in the order in which their first phases ran.
pub(crate) fn groups(record: &Record) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for phase in &record.phases {
        let own = groups.iter_mut().find(|group| {
            group.op == phase.op && group.bytes == phase.bytes && group.target == phase.target
        });
        match own {
            Some(group) => group.phases.push(phase),
            None => groups.push(Group {
                target: &phase.target,
                op: &phase.op,
                bytes: phase.bytes,
                phases: vec![phase],
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_ends_and_a_middle() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max, spread.count), (1.0, 2.0, 3.0, 3));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
