//! Targets by the first of them, round by round.
//!
//! Owns what is divided by what. Knows nothing of how it is shown. A round is compared with the same
//! round of the first target, which ran beside it, so that what drifts meanwhile is in neither ratio.

use super::{PhaseRecord, RatioRecord, Record, Spread, groups};

type Figure = fn(&PhaseRecord) -> Option<f64>;

/// The ratios of all targets but the first; of one target, none.
pub(super) fn of(record: &Record) -> Vec<RatioRecord> {
    let Some(first) = record.targets.first() else { return Vec::new() };
    let groups = groups(record);
    let mut ratios = Vec::new();
    for group in groups.iter().filter(|group| group.target != first.name) {
        let is_same = |phase: &&PhaseRecord| {
            phase.target == first.name && phase.op == group.op && phase.bytes == group.bytes
        };
        let base: Vec<&PhaseRecord> = record.phases.iter().filter(is_same).collect();
        let spread = |figure: Figure| {
            let ratio = |phase: &&PhaseRecord| {
                let beside = base.iter().find(|other| other.round == phase.round)?;
                let divisor = figure(beside).filter(|divisor| *divisor > 0.0)?;
                Some(figure(phase)? / divisor)
            };
            Spread::of(group.phases.iter().filter_map(ratio).collect())
        };
        ratios.push(RatioRecord {
            target: group.target.to_owned(),
            to: first.name.clone(),
            op: group.op.to_owned(),
            bytes: group.bytes,
            ops_per_s: spread(|phase| Some(phase.ops_per_s)),
            p50: spread(|phase| phase.latency_ms.p50),
            p99: spread(|phase| phase.latency_ms.p99),
        });
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn each_round_is_compared_with_the_one_beside_it() {
        let mut record = sample::comparison();
        assert_eq!(record.comparison.len(), 6);
        for ratio in &record.comparison {
            let half = Spread { min: 0.5, median: 0.5, max: 0.5, count: 3 };
            assert_eq!(ratio.ops_per_s, Some(half));
            assert_eq!((ratio.target.as_str(), ratio.to.as_str()), ("other", "gateway"));
            assert_eq!(ratio.p99.map(|spread| spread.median), Some(2.0));
        }
        // The third round of the first target is missing, and the first of the other was slow.
        record.phases.retain(|phase| phase.target == "other" || phase.round < 3);
        for phase in record.phases.iter_mut().filter(|p| p.target == "other" && p.round == 1) {
            phase.ops_per_s /= 2.0;
        }
        let spread = of(&record)[0].ops_per_s.unwrap();
        assert_eq!((spread.count, spread.min, spread.max), (2, 0.25, 0.5));
        assert!(of(&sample::record()).is_empty());
    }
}
