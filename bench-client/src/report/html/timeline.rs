//! The run second by second: throughput and the 99th percentile, with what failed and what stood
//! still.
//!
//! Owns how a run is laid out over time. Knows nothing of pixels.

use super::charts::{Titled, figure};
use super::plot::{Curve, Plot, legend};
use super::scale::{Scale, count_label, plain_label, seconds_label};
use crate::figures::grouped;
use crate::record::{IntervalRecord, PhaseRecord, Record};
use crate::size::short_label_of;

/// Two drawings: one for wide screens and paper, one for phones.
const BROAD: (f64, f64) = (1180.0, 210.0);
const NARROW: (f64, f64) = (400.0, 220.0);
const HEAD: f64 = 16.0;
const MARKS: usize = 8;

/// Both charts; nothing where nothing ran.
pub(super) fn charts(record: &Record) -> Vec<String> {
    let (mut last, mut rate, mut any) = (0.0_f64, 0.0_f64, false);
    let mut latencies = Vec::new();
    for phase in &record.phases {
        for interval in &phase.timeline {
            any = true;
            last = last.max(start_of(record, phase) + interval.end_s);
            rate = rate.max(interval.ops_per_s);
            latencies.extend(interval.p99_ms);
        }
    }
    if !any {
        return Vec::new();
    }
    let time = Time { max: last };
    let rates = Scale::linear(rate, 4, count_label);
    let p99 = Scale::log(latencies.into_iter(), plain_label);
    let titles = [
        (
            Titled {
                title: "Requests per second over the run",
                unit: "time since the start; warm-up is pale, seconds with failures or without any answer are red",
            },
            &rates,
            (|interval| Some(interval.ops_per_s)) as fn(&IntervalRecord) -> Option<f64>,
        ),
        (
            Titled {
                title: "99th percentile over the run, ms",
                unit: "of each second, log scale; a gap is a second without an answer",
            },
            &p99,
            |interval| interval.p99_ms,
        ),
    ];
    titles
        .into_iter()
        .map(|(titled, y, value)| {
            let svgs = [(BROAD, "broad"), (NARROW, "narrow")].map(|(size, class)| {
                let svg = draw(record, &titled, (&time.scale(), y), value, size);
                format!("<div class=\"{class}\">{svg}</div>")
            });
            figure(&titled, " wide", &legend(&names(record)), &svgs.concat())
        })
        .collect()
}

struct Time {
    max: f64,
}

impl Time {
    /// Steps that are round in seconds, minutes or hours.
    fn scale(&self) -> Scale {
        let steps = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0,
            1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0,
        ];
        let rough = self.max / MARKS as f64;
        let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
        // The axis ends with the run, not with a mark.
        Scale::Time { max: self.max.max(0.1), step, label: seconds_label }
    }
}

fn start_of(record: &Record, phase: &PhaseRecord) -> f64 {
    (phase.started_epoch_s - record.started_epoch_s as f64).max(0.0)
}

/// Colours tell operations apart, or targets where there are several.
fn colour(record: &Record, phase: &PhaseRecord) -> usize {
    let place = if record.targets.len() > 1 {
        record.targets.iter().position(|target| target.name == phase.target)
    } else {
        record.ops().iter().position(|op| *op == phase.op)
    };
    place.unwrap_or(0)
}

fn names(record: &Record) -> Vec<Curve> {
    let curve = |(colour, name): (usize, String)| Curve {
        name,
        colour,
        dash: 0,
        points: Vec::new(),
        dots: false,
    };
    if record.targets.len() > 1 {
        let names = record.targets.iter().map(|target| target.name.clone());
        return names.enumerate().map(curve).collect();
    }
    record.ops().into_iter().map(str::to_owned).enumerate().map(curve).collect()
}

fn draw(
    record: &Record,
    titled: &Titled<'_>,
    (x, y): (&Scale, &Scale),
    value: fn(&IntervalRecord) -> Option<f64>,
    (width, height): (f64, f64),
) -> String {
    let plot = Plot { width, height, x, y, label: titled.title, head: HEAD };
    let mut canvas = plot.begin();
    canvas.names(&size_names(record));
    for phase in &record.phases {
        let start = start_of(record, phase);
        for interval in &phase.timeline {
            if let Some(title) = trouble(interval) {
                let end = start + interval.end_s;
                canvas.failed(end - interval.length_s, end, &title);
            }
        }
        for (is_warm_up, pieces) in runs(start, &phase.timeline, value) {
            canvas.steps(colour(record, phase), is_warm_up, &pieces);
        }
    }
    canvas.end()
}

/// Where a size begins.
fn size_names(record: &Record) -> Vec<(f64, String)> {
    let mut names: Vec<(f64, String)> = Vec::new();
    let mut last = None;
    for phase in &record.phases {
        if last != Some(phase.bytes) {
            last = Some(phase.bytes);
            names.push((start_of(record, phase), short_label_of(phase.bytes)));
        }
    }
    names
}

fn trouble(interval: &IntervalRecord) -> Option<String> {
    let bad = interval.errors + interval.misses + interval.wrong;
    if bad > 0 {
        return Some(format!("{} failed requests", grouped(bad as f64)));
    }
    (interval.ops == 0).then(|| "nothing was answered".to_owned())
}

/// A start, an end and a height; several in a row.
type Pieces = Vec<(f64, f64, f64)>;

/// Pieces that are drawn as one line: warm-up and measured time apart, with a gap where there is no
/// value.
fn runs(
    start: f64,
    timeline: &[IntervalRecord],
    value: fn(&IntervalRecord) -> Option<f64>,
) -> Vec<(bool, Pieces)> {
    let mut runs: Vec<(bool, Pieces)> = Vec::new();
    let mut is_open = false;
    for interval in timeline {
        let Some(y) = value(interval) else {
            is_open = false;
            continue;
        };
        let end = start + interval.end_s;
        let piece = (end - interval.length_s, end, y);
        match runs.last_mut() {
            Some((is_warm_up, pieces)) if is_open && *is_warm_up == interval.warm_up => {
                pieces.push(piece);
            }
            _ => runs.push((interval.warm_up, vec![piece])),
        }
        is_open = true;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn a_second_without_an_answer_is_a_gap_and_told() {
        let mut record = sample::record();
        let timeline = &mut record.phases[0].timeline;
        (timeline[4].ops, timeline[4].ops_per_s, timeline[4].p99_ms) = (0, 0.0, None);
        let drawn = |value| runs(0.0, &record.phases[0].timeline, value);
        let lengths = |runs: &[(bool, Pieces)]| {
            runs.iter().map(|(warm_up, pieces)| (*warm_up, pieces.len())).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&drawn(|i| i.p99_ms)), [(true, 1), (false, 3), (false, 6)]);
        assert_eq!(lengths(&drawn(|i| Some(i.ops_per_s))), [(true, 1), (false, 10)]);
        let html = charts(&record).concat();
        assert!(html.contains("nothing was answered"));
        assert_eq!(html.matches("<svg viewBox=\"0 0 1180").count(), 2);
    }

    #[test]
    fn a_run_that_measured_nothing_has_no_timeline() {
        let mut record = sample::record();
        record.phases.clear();
        assert!(charts(&record).is_empty());
    }
}
