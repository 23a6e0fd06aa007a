//! Tells a person how a sweep goes: a bar on a terminal, a line per second elsewhere.
//!
//! Owns standard error. Knows nothing of connections or result files.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::{grouped, ms};
use crate::phase::{PhaseResult, Snapshot};
use crate::tally::Counts;

/// The teller.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: Duration,
    phase: Duration,
    before: Duration,
}

impl Progress {
    /// For a sweep of `total`, in phases of `phase` each.
    pub(crate) fn new(total: Duration, phase: Duration) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(millis(total));
            // The template is a constant; were it wrong, the plain bar would do.
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3}%  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, total, phase, before: Duration::ZERO }
    }

    /// A phase is under way.
    pub(crate) fn show(&self, snapshot: &Snapshot) {
        let passed = snapshot.elapsed.min(self.phase);
        let done = self.before + passed;
        let line = format!(
            "{}  ETA {}",
            phase_line(snapshot, passed, self.phase),
            minutes(self.total.saturating_sub(done))
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(millis(done));
                bar.set_message(line);
            }
            None => tell(&line),
        }
    }

    /// A phase has ended.
    pub(crate) fn phase_done(&mut self, result: &PhaseResult) {
        self.before += self.phase;
        let line = format!(
            "{}  ETA {}",
            done_line(result),
            minutes(self.total.saturating_sub(self.before))
        );
        if let Some(bar) = &self.bar {
            bar.set_position(millis(self.before));
        }
        self.note(&line);
    }

    /// Something a person should know.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => tell(text),
        }
    }

    /// The sweep is over.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A closed standard error must not end a sweep.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn done_line(result: &PhaseResult) -> String {
    let (op, size, tally) = (result.op.name(), result.size, &result.tally);
    let mut line = format!("{op} {size} done  {} op/s", grouped(result.per_second()));
    if tally.response.count() > 0 {
        let (p50, p99) = (tally.response.percentile_ms(50.0), tally.response.percentile_ms(99.0));
        line += &format!("  p50 {} p99 {} ms", ms(p50), ms(p99));
    }
    line + &bad_counts(tally.counts)
}

fn bad_counts(counts: Counts) -> String {
    let mut text = format!("  err {}", counts.errors);
    if counts.misses + counts.wrong > 0 {
        text += &format!(" miss {} wrong {}", counts.misses, counts.wrong);
    }
    text
}

fn phase_line(snapshot: &Snapshot, passed: Duration, phase: Duration) -> String {
    let latency = match snapshot.p50_p99_ms {
        Some((p50, p99)) => format!("p50 {} p99 {} ms", ms(p50), ms(p99)),
        None => "p50 - p99 - ms".to_owned(),
    };
    let decimals = usize::from(phase.as_secs() < 10);
    format!(
        "{} {} {:.decimals$}/{:.decimals$} s  {} op/s  {latency}{}",
        snapshot.op.name(),
        snapshot.size,
        passed.as_secs_f64(),
        phase.as_secs_f64(),
        grouped(snapshot.per_second),
        bad_counts(snapshot.counts)
    )
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::{Size, Units};
    use crate::workload::Op;

    #[test]
    fn a_line_has_what_a_person_waits_for() {
        let snapshot = Snapshot {
            op: Op::Get,
            size: Size::parse("4096", Units::Bits).unwrap(),
            elapsed: Duration::from_secs(12),
            per_second: 81_234.4,
            p50_p99_ms: Some((0.41, 1.2)),
            counts: Counts { good: 5, misses: 1, wrong: 0, errors: 2 },
        };
        assert_eq!(
            phase_line(&snapshot, Duration::from_secs(12), Duration::from_secs(60)),
            "GET 4 Kbit (512 B) 12/60 s  81,234 op/s  p50 0.410 p99 1.200 ms  err 2 miss 1 wrong 0"
        );
    }

    #[test]
    fn remaining_time_is_readable() {
        let texts: Vec<String> =
            [5, 65, 7_500].into_iter().map(|s| minutes(Duration::from_secs(s))).collect();
        assert_eq!(texts, ["5 s", "1 min 5 s", "2 h 5 min"]);
    }
}
