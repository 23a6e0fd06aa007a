//! A comparison of two runs as text for a terminal.
//!
//! Owns the words and columns. Every figure comes from the comparison.

use super::rows::{Change, Diff, Row, RunOf, Verdict};
use crate::figures::{grouped, ms};
use crate::report::Table;

/// Marks a change that is beyond noise.
const MARK: &str = "*";

/// All of it.
pub(super) fn of(diff: &Diff) -> String {
    let mut text = run("A", &diff.a) + &run("B", &diff.b);
    for warning in &diff.warnings {
        text += &format!("note: {warning}\n");
    }
    for (name, only) in [("A", &diff.only_in_a), ("B", &diff.only_in_b)] {
        if !only.is_empty() {
            text += &format!("note: Only {name} has: {}.\n", only.join(", "));
        }
    }
    text.push('\n');
    text += &table(&diff.rows).aligned();
    text.push('\n');
    text + &verdict(diff)
}

fn run(name: &str, run: &RunOf) -> String {
    let rounds =
        if run.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", run.rounds) };
    format!("{name}: {}, started {}, {rounds}\n", run.directory, run.started)
}

fn table(rows: &[Row]) -> Table {
    let mut header = vec!["op", "size"];
    let several = rows.iter().any(|row| row.target.is_some());
    if several {
        header.push("target");
    }
    header.extend(["ops/s A", "B", "B by A", "p50 ms A", "B", "B by A", "p99 ms A", "B", "B by A"]);
    let cells = |row: &Row| {
        let mut cells = vec![row.op.clone(), crate::size::label_of(row.bytes)];
        if several {
            cells.push(row.target.clone().unwrap_or_default());
        }
        for (place, (_, change)) in row.figures().into_iter().enumerate() {
            let shown = if place == 0 { grouped } else { ms };
            match change {
                Some(change) => {
                    cells.extend([shown(change.a.median), shown(change.b.median), by(&change)])
                }
                None => cells.extend(["-"; 3].map(str::to_owned)),
            }
        }
        cells
    };
    Table { header, rows: rows.iter().map(cells).collect() }
}

fn by(change: &Change) -> String {
    let ratio = ratio(change);
    match change.verdict {
        Verdict::Better | Verdict::Worse => ratio + MARK,
        Verdict::WithinNoise | Verdict::NoiseUnknown => ratio,
    }
}

fn ratio(change: &Change) -> String {
    change.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"))
}

fn verdict(diff: &Diff) -> String {
    let Some(chance) = diff.chance_pct.filter(|_| diff.noise_known) else {
        return "The noise is not known: a run of one round does not tell how far rounds lie apart, so \
                these are ratios and no more. Run both with --repeat 3 or more.\n"
            .to_owned();
    };
    let mut lines = Vec::new();
    let mut figures = 0;
    for row in &diff.rows {
        for (name, change) in row.figures() {
            let Some(change) = change else { continue };
            figures += 1;
            let word = match change.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::WithinNoise | Verdict::NoiseUnknown => continue,
            };
            lines.push(format!("  {} {name}: {word}, {} of A\n", row.name(), ratio(&change)));
        }
    }
    let rule = format!(
        "Beyond noise is what no round of the other run reaches, by more than the rounds of either lie \
         apart. Of two runs of the same, at most one figure in {:.0} is so by chance.\n",
        100.0 / chance
    );
    if lines.is_empty() {
        return format!("None of {figures} figures is beyond noise.\n{rule}");
    }
    format!(
        "Beyond noise ({MARK}), {} of {figures} figures:\n{}{rule}",
        lines.len(),
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, sample};

    fn text(change: impl Fn(&mut Record)) -> String {
        let (a, mut b) = (sample::record(), sample::record());
        change(&mut b);
        of(&Diff::of(("one", &a), ("two", &b)))
    }

    #[test]
    fn the_same_is_within_noise() {
        let text = text(|_| ());
        assert!(text.contains("None of 18 figures is beyond noise."), "{text}");
        assert!(text.contains("one figure in 10 is so by chance"), "{text}");
        assert!(!text.contains("note:") && !text.contains(MARK), "{text}");
    }

    #[test]
    fn what_is_beyond_noise_is_named() {
        let text = text(|b| {
            for phase in b.phases.iter_mut().filter(|phase| phase.op == "GET" && phase.bytes == 16)
            {
                phase.ops_per_s *= 0.5;
            }
        });
        assert!(text.contains("Beyond noise (*), 1 of 18 figures:"), "{text}");
        assert!(text.contains("  GET 128 bit (16 B) ops/s: worse, 0.500 of A"), "{text}");
        assert!(text.contains("0.500*"), "{text}");
    }

    #[test]
    fn one_round_gives_ratios_and_says_why() {
        let text = text(|b| {
            b.phases.retain(|phase| phase.round == 1);
            b.options.repeat = 1;
        });
        assert!(text.contains("The noise is not known"), "{text}");
        assert!(text.contains("differ in rounds: 3 and 1."), "{text}");
        assert!(!text.contains("Beyond noise"), "{text}");
    }
}
