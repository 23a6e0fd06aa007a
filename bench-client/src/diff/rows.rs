//! Figure against figure: operations at sizes that both runs have, and what is beyond noise.
//!
//! Owns the rule of what is beyond noise, and the form of the JSON. Knows nothing of how it is shown.
//!
//! Noise is how far the rounds of one run lie apart. A figure is beyond it when no round of one run
//! reaches into those of the other, and the middles lie further apart than the rounds of either. Runs
//! of one round do not tell their noise, so nothing is said of them but a ratio.

use serde::Serialize;

use super::conditions;
use crate::record::{Group, PhaseRecord, Record, Spread, groups};

const SCHEMA: &str = "slotway-bench/diff";
const SCHEMA_VERSION: u32 = 1;

/// With fewer, a run does not tell its noise.
const ROUNDS_MIN: usize = 2;

/// Two runs, compared.
#[derive(Debug, Serialize)]
pub(super) struct Diff {
    schema: &'static str,
    schema_version: u32,
    pub(super) a: RunOf,
    pub(super) b: RunOf,
    /// In what the runs differ beside their figures, and what else a reader has to know.
    pub(super) warnings: Vec<String>,
    /// Whether both runs have rounds enough to tell their noise.
    pub(super) noise_known: bool,
    /// How likely it is that the rounds of two runs of the same lie apart by chance, in percent: of
    /// one figure.
    pub(super) chance_pct: Option<f64>,
    pub(super) rows: Vec<Row>,
    /// What only one of the runs has.
    pub(super) only_in_a: Vec<String>,
    pub(super) only_in_b: Vec<String>,
}

/// One of the two runs.
#[derive(Debug, Serialize)]
pub(super) struct RunOf {
    pub(super) directory: String,
    pub(super) started: String,
    pub(super) rounds: usize,
    pub(super) valid: bool,
    pub(super) command_line: String,
}

/// One operation at one size.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) target: Option<String>,
    pub(super) op: String,
    pub(super) bytes: u64,
    pub(super) ops_per_s: Option<Change>,
    pub(super) p50_ms: Option<Change>,
    pub(super) p99_ms: Option<Change>,
}

/// One figure in both runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) a: Spread,
    pub(super) b: Spread,
    /// The middle of B by that of A; null where that of A is zero.
    pub(super) ratio: Option<f64>,
    pub(super) verdict: Verdict,
}

/// What can be said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Beyond noise, and for the better.
    Better,
    /// Beyond noise, and for the worse.
    Worse,
    /// Rounds of the same run lie as far apart.
    WithinNoise,
    /// One of the runs has too few rounds.
    NoiseUnknown,
}

impl Change {
    fn of(a: Spread, b: Spread, more_is_better: bool) -> Change {
        let ratio = (a.median > 0.0).then(|| b.median / a.median);
        let verdict = if a.count < ROUNDS_MIN || b.count < ROUNDS_MIN {
            Verdict::NoiseUnknown
        } else {
            let apart = b.min > a.max || b.max < a.min;
            let noise = (a.max - a.min).max(b.max - b.min);
            match apart && (b.median - a.median).abs() > noise {
                false => Verdict::WithinNoise,
                true if (b.median > a.median) == more_is_better => Verdict::Better,
                true => Verdict::Worse,
            }
        };
        Change { a, b, ratio, verdict }
    }
}

impl Row {
    /// Its figures by their names.
    pub(super) fn figures(&self) -> [(&'static str, Option<Change>); 3] {
        [("ops/s", self.ops_per_s), ("p50", self.p50_ms), ("p99", self.p99_ms)]
    }

    /// What a sentence calls it.
    pub(super) fn name(&self) -> String {
        let name = format!("{} {}", self.op, crate::size::label_of(self.bytes));
        self.target.as_ref().map_or_else(|| name.clone(), |target| format!("{target} {name}"))
    }
}

impl Diff {
    /// Compares two records, each with the directory that it is from.
    pub(super) fn of(a: (&str, &Record), b: (&str, &Record)) -> Diff {
        let (groups_a, groups_b) = (groups(a.1), groups(b.1));
        // A target that is alone is compared with one that is alone, whatever they are called.
        let by_name = a.1.targets.len() > 1 || b.1.targets.len() > 1;
        let is_same = |one: &Group<'_>, other: &Group<'_>| {
            (one.op, one.bytes) == (other.op, other.bytes)
                && (!by_name || one.target == other.target)
        };
        let mut rows = Vec::new();
        for one in &groups_a {
            if let Some(other) = groups_b.iter().find(|other| is_same(one, other)) {
                rows.push(row(one, other, by_name));
            }
        }
        let only = |own: &[Group<'_>], others: &[Group<'_>]| {
            let alone = |one: &&Group<'_>| !others.iter().any(|other| is_same(one, other));
            own.iter().filter(alone).map(|group| name(group, by_name)).collect()
        };
        let rounds = [a.1, b.1].map(|record| record.options.repeat);
        let noise_known = rounds.iter().all(|rounds| *rounds >= ROUNDS_MIN);
        Diff {
            schema: SCHEMA,
            schema_version: SCHEMA_VERSION,
            a: run_of(a),
            b: run_of(b),
            warnings: conditions::differences(a.1, b.1),
            noise_known,
            chance_pct: noise_known.then(|| chance_percent(rounds[0], rounds[1])),
            rows,
            only_in_a: only(&groups_a, &groups_b),
            only_in_b: only(&groups_b, &groups_a),
        }
    }
}

fn run_of((directory, record): (&str, &Record)) -> RunOf {
    RunOf {
        directory: directory.to_owned(),
        started: record.started.clone(),
        rounds: record.options.repeat,
        valid: record.verdict.valid,
        command_line: record.command_line.clone(),
    }
}

fn name(group: &Group<'_>, by_name: bool) -> String {
    let name = format!("{} {}", group.op, crate::size::label_of(group.bytes));
    if by_name { format!("{} {name}", group.target) } else { name }
}

fn row(one: &Group<'_>, other: &Group<'_>, by_name: bool) -> Row {
    let change = |figure: fn(&PhaseRecord) -> Option<f64>, more_is_better| {
        let (a, b) = (one.spread(figure)?, other.spread(figure)?);
        Some(Change::of(a, b, more_is_better))
    };
    Row {
        target: by_name.then(|| one.target.to_owned()),
        op: one.op.to_owned(),
        bytes: one.bytes,
        ops_per_s: change(|phase| Some(phase.ops_per_s), true),
        p50_ms: change(|phase| phase.latency_ms.p50, false),
        p99_ms: change(|phase| phase.latency_ms.p99, false),
    }
}

/// Of all orders in which the rounds of two runs of the same can lie, two have one run's before all
/// of the other's.
fn chance_percent(one: usize, other: usize) -> f64 {
    let orders = (1..=one).fold(1.0, |product, k| product * (other + k) as f64 / k as f64);
    200.0 / orders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    fn spread(figures: &[f64]) -> Spread {
        Spread::of(figures.to_vec()).unwrap()
    }

    #[test]
    fn what_is_beyond_noise_lies_apart_and_further_than_rounds_do() {
        let verdict = |a: &[f64], b: &[f64]| Change::of(spread(a), spread(b), true).verdict;
        assert_eq!(verdict(&[100.0, 101.0, 102.0], &[110.0, 111.0, 112.0]), Verdict::Better);
        assert_eq!(verdict(&[110.0, 111.0, 112.0], &[100.0, 101.0, 102.0]), Verdict::Worse);
        assert_eq!(verdict(&[100.0, 101.0, 105.0], &[104.0, 106.0, 107.0]), Verdict::WithinNoise);
        // Apart, yet the rounds of one run lie further apart than the runs do.
        assert_eq!(verdict(&[100.0, 119.0, 120.0], &[121.0, 122.0, 123.0]), Verdict::WithinNoise);
        assert_eq!(verdict(&[100.0], &[900.0, 901.0]), Verdict::NoiseUnknown);
        let slower = Change::of(spread(&[1.0, 1.1]), spread(&[2.0, 2.1]), false);
        assert_eq!((slower.verdict, slower.ratio), (Verdict::Worse, Some(2.05 / 1.05)));
    }

    #[test]
    fn chance_is_that_of_orders() {
        assert!((chance_percent(3, 3) - 10.0).abs() < 1e-9);
        assert!((chance_percent(2, 2) - 100.0 / 3.0).abs() < 1e-9);
        assert!((chance_percent(5, 5) - 200.0 / 252.0).abs() < 1e-9);
    }

    #[test]
    fn rows_are_those_of_both_runs() {
        let (a, mut b) = (sample::record(), sample::record());
        b.phases.retain(|phase| phase.bytes != 1024);
        b.phases.iter_mut().for_each(|phase| phase.ops_per_s *= 2.0);
        b.targets[0].name = "another".into();
        b.phases.iter_mut().for_each(|phase| phase.target = "another".into());
        let diff = Diff::of(("a", &a), ("b", &b));
        assert_eq!((diff.rows.len(), diff.noise_known), (4, true));
        assert_eq!(diff.only_in_a, ["SET 8 Kbit (1 KiB)", "GET 8 Kbit (1 KiB)"]);
        assert!(diff.only_in_b.is_empty());
        assert!(diff.rows.iter().all(|row| row.ops_per_s.unwrap().verdict == Verdict::Better));
        assert!(diff.rows.iter().all(|row| row.p50_ms.unwrap().verdict == Verdict::WithinNoise));
    }
}
