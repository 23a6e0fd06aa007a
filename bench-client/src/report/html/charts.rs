//! The charts of a report: which there are, and what is in each.
//!
//! Owns the choice of curves. Knows nothing of pixels. Figures by size are medians of repeats, with
//! whiskers from the smallest to the largest; spectra are of the repeat with the middle throughput.

use super::escape::escape;
use super::plot::{Curve, Plot, Point, legend};
use super::scale::{Scale, count_label, plain_label};
use crate::figures::{grouped, ms};
use crate::record::{Group, PhaseRecord, Record, groups};
use crate::size::short_label_of;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 240.0;
const Y_MARKS: usize = 4;

/// Sizes in one spectrum.
const SPECTRA_MAX: usize = 5;

type Figure = fn(&PhaseRecord) -> Option<f64>;

/// A chart with its title.
pub(super) struct Titled<'a> {
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
}

/// All charts beside the timeline.
pub(super) fn all(record: &Record) -> Vec<String> {
    let groups = groups(record);
    let mut charts = Vec::new();
    if record.sizes().len() > 1 {
        charts.push(throughput(record, &groups));
        charts.push(ratios(record));
        charts.push(megabytes(record, &groups));
        for op in record.ops() {
            charts.push(latency(record, &groups, op));
        }
    }
    for op in record.ops() {
        charts.push(spectrum(record, &groups, op));
    }
    charts.retain(|chart| !chart.is_empty());
    charts
}

/// A figure around a chart.
pub(super) fn figure(titled: &Titled<'_>, class: &str, legend: &str, svg: &str) -> String {
    format!(
        "<figure class=\"chart{class}\"><figcaption><b>{}</b> <span class=\"dim\">{}</span></figcaption>\
         {legend}{svg}</figure>\n",
        escape(titled.title),
        escape(titled.unit)
    )
}

fn places(record: &Record) -> Scale {
    Scale::Places { names: record.sizes().into_iter().map(short_label_of).collect() }
}

/// The name of a curve: the operation, and the target where there are several.
fn curve_name(record: &Record, group: &Group<'_>) -> String {
    if record.targets.len() > 1 {
        format!("{} {}", group.target, group.op)
    } else {
        group.op.to_owned()
    }
}

/// A curve over sizes for each operation and target.
fn by_size(record: &Record, groups: &[Group<'_>], value: Figure, unit: &str) -> Vec<Curve> {
    let (sizes, ops) = (record.sizes(), record.ops());
    let mut curves: Vec<Curve> = Vec::new();
    for group in groups {
        let name = curve_name(record, group);
        let Some(x) = sizes.iter().position(|size| *size == group.bytes) else { continue };
        let Some(spread) = group.spread(value) else { continue };
        let point = Point {
            x: x as f64,
            y: spread.median,
            ends: (spread.count > 1).then_some((spread.min, spread.max)),
            title: format!("{name} {}: {} {unit}", group_size(group), figures(spread.median)),
        };
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => {
                let target = record.targets.iter().position(|target| target.name == group.target);
                let op = ops.iter().position(|op| *op == group.op).unwrap_or(0);
                let several = record.targets.len() > 1;
                let (colour, dash) = if several { (target.unwrap_or(0), op) } else { (op, op) };
                curves.push(Curve { name, colour, dash, points: vec![point], dots: true });
            }
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    curves
}

fn group_size(group: &Group<'_>) -> String {
    short_label_of(group.bytes)
}

fn figures(value: f64) -> String {
    if value >= 100.0 { grouped(value) } else { format!("{value:.2}") }
}

fn largest(curves: &[Curve]) -> f64 {
    let points = curves.iter().flat_map(|curve| &curve.points);
    points.map(|point| point.ends.map_or(point.y, |(_, max)| max)).fold(0.0, f64::max)
}

fn throughput(record: &Record, groups: &[Group<'_>]) -> String {
    let curves = by_size(record, groups, |phase| Some(phase.ops_per_s), "requests/s");
    let titled = Titled { title: "Requests per second", unit: "by value size" };
    linear_chart(record, &titled, &curves)
}

fn megabytes(record: &Record, groups: &[Group<'_>]) -> String {
    let curves = by_size(record, groups, |phase| Some(phase.megabytes_per_s), "MB/s");
    let titled = Titled { title: "Payload, MB/s", unit: "by value size" };
    linear_chart(record, &titled, &curves)
}

/// Throughput of each target but the first by that of the first.
fn ratios(record: &Record) -> String {
    let (Some(first), sizes, ops) = (record.targets.first(), record.sizes(), record.ops()) else {
        return String::new();
    };
    let mut curves: Vec<Curve> = Vec::new();
    for ratio in &record.comparison {
        let name = format!("{} {}", ratio.target, ratio.op);
        let (Some(x), Some(spread)) =
            (sizes.iter().position(|size| *size == ratio.bytes), ratio.ops_per_s)
        else {
            continue;
        };
        let title = format!("{name} {}: {:.3}", short_label_of(ratio.bytes), spread.median);
        let ends = (spread.count > 1).then_some((spread.min, spread.max));
        let point = Point { x: x as f64, y: spread.median, ends, title };
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => {
                let colour = record.targets.iter().position(|target| target.name == ratio.target);
                let dash = ops.iter().position(|op| *op == ratio.op).unwrap_or(0);
                let (colour, points) = (colour.unwrap_or(0), vec![point]);
                curves.push(Curve { name, colour, dash, points, dots: true });
            }
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    let title = format!("Requests per second, by {}", first.name);
    let titled = Titled { title: &title, unit: "by value size; 1 is as many" };
    let y = Scale::linear(largest(&curves), Y_MARKS, plain_label);
    draw(&titled, &places(record), &y, &curves)
}

fn linear_chart(record: &Record, titled: &Titled<'_>, curves: &[Curve]) -> String {
    let y = Scale::linear(largest(curves), Y_MARKS, count_label);
    draw(titled, &places(record), &y, curves)
}

fn draw(titled: &Titled<'_>, x: &Scale, y: &Scale, curves: &[Curve]) -> String {
    if curves.iter().all(|curve| curve.points.is_empty()) {
        return String::new();
    }
    let label = format!("{} {}", titled.title, titled.unit);
    let plot = Plot { width: WIDTH, height: HEIGHT, x, y, label: &label, head: 0.0 };
    let mut canvas = plot.begin();
    curves.iter().for_each(|curve| canvas.curve(curve));
    figure(titled, "", &legend(curves), &canvas.end())
}

const PERCENTILES: [(&str, Figure); 5] = [
    ("p50", |phase| phase.latency_ms.p50),
    ("p90", |phase| phase.latency_ms.p90),
    ("p99", |phase| phase.latency_ms.p99),
    ("p99.9", |phase| phase.latency_ms.p99_9),
    ("max", |phase| phase.latency_ms.max),
];

/// Percentiles of one operation by size; of several targets the median and the 99th only.
fn latency(record: &Record, groups: &[Group<'_>], op: &str) -> String {
    let several = record.targets.len() > 1;
    let mut curves = Vec::new();
    for (place, target) in record.targets.iter().enumerate() {
        for (number, (name, value)) in PERCENTILES.iter().enumerate() {
            if several && !matches!(*name, "p50" | "p99") {
                continue;
            }
            let own = groups.iter().filter(|group| group.op == op && group.target == target.name);
            let points = latency_points(record, own, name, *value);
            let name = if several { format!("{} {name}", target.name) } else { (*name).to_owned() };
            let colour = if several { place } else { number };
            let dash = if several { usize::from(number == 0) } else { number };
            curves.push(Curve { name, colour, dash, points, dots: true });
        }
    }
    curves.retain(|curve| !curve.points.is_empty());
    let title = format!("{op} latency, ms");
    let titled = Titled { title: &title, unit: "by value size, log scale" };
    draw(&titled, &places(record), &log_scale(&curves), &curves)
}

fn latency_points<'a>(
    record: &Record,
    groups: impl Iterator<Item = &'a Group<'a>>,
    name: &str,
    value: Figure,
) -> Vec<Point> {
    let sizes = record.sizes();
    let point = |group: &Group<'_>| {
        let x = sizes.iter().position(|size| *size == group.bytes)?;
        let y = group.median(value)?;
        let title = format!("{name} {}: {} ms", group_size(group), ms(y));
        Some(Point { x: x as f64, y, ends: None, title })
    };
    let mut points: Vec<Point> = groups.filter_map(point).collect();
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    points
}

fn log_scale(curves: &[Curve]) -> Scale {
    let values = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.y));
    Scale::log(values, plain_label)
}

/// The percentile spectrum of one operation, at a few sizes or of all targets at one.
fn spectrum(record: &Record, groups: &[Group<'_>], op: &str) -> String {
    let several = record.targets.len() > 1;
    let sizes = record.sizes();
    let shown = match several {
        true => sizes.first().copied().into_iter().collect(),
        false => spread_out(&sizes, SPECTRA_MAX),
    };
    let own = groups.iter().filter(|group| group.op == op && shown.contains(&group.bytes));
    let mut curves: Vec<Curve> = Vec::new();
    let mut nines = 1.0_f64;
    for group in own {
        let Some(phase) = group.typical() else { continue };
        nines = nines.max((phase.latency_ms.samples.max(10) as f64).log10());
        let colour = curves.len();
        let name = if several { group.target.to_owned() } else { group_size(group) };
        let points = spectrum_points(phase);
        curves.push(Curve { name, colour, dash: colour, points, dots: false });
    }
    curves.retain(|curve| !curve.points.is_empty());
    let title = format!("{op} percentile spectrum, ms");
    let unit = match (several, shown.first()) {
        (true, Some(size)) => {
            format!("{}, by share of requests that were faster", short_label_of(*size))
        }
        _ => "by share of requests that were faster".to_owned(),
    };
    let titled = Titled { title: &title, unit: &unit };
    draw(&titled, &Scale::Percentiles { nines }, &log_scale(&curves), &curves)
}

fn spectrum_points(phase: &PhaseRecord) -> Vec<Point> {
    let point = |[percentile, ms]: &[f64; 2]| Point {
        x: *percentile,
        y: *ms,
        ends: None,
        title: String::new(),
    };
    phase.spectrum.iter().map(point).collect()
}

/// At most `most` of these, the ends among them.
fn spread_out(sizes: &[u64], most: usize) -> Vec<u64> {
    if sizes.len() <= most {
        return sizes.to_vec();
    }
    let last = sizes.len() - 1;
    (0..most).map(|number| sizes[number * last / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn few_of_many_sizes_have_both_ends() {
        let sizes: Vec<u64> = (0..16).collect();
        assert_eq!(spread_out(&sizes, 5), [0, 3, 7, 11, 15]);
        assert_eq!(spread_out(&sizes[..3], 5), [0, 1, 2]);
    }

    #[test]
    fn a_sweep_has_six_charts_and_a_single_size_its_spectra() {
        let mut record = sample::record();
        assert_eq!(all(&record).len(), 6);
        record.phases.retain(|phase| phase.bytes == 16);
        assert_eq!(all(&record).len(), 2);
        record.phases.clear();
        assert!(all(&record).is_empty());
    }

    #[test]
    fn repeats_have_whiskers() {
        let record = sample::record();
        let curves = by_size(&record, &groups(&record), |phase| Some(phase.ops_per_s), "");
        assert_eq!(curves.len(), 2);
        let ends = curves[0].points[0].ends.unwrap();
        assert!(ends.0 < curves[0].points[0].y && curves[0].points[0].y < ends.1);
    }
}
