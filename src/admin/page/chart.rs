//! A chart of the last hour, as SVG with its labels in HTML: lines are stretched to whatever width
//! there is, and text is not.
//!
//! Owns scales and shapes. Must not know what is drawn.

use std::fmt::Write;

use super::super::sampler::SAMPLES_MAX;
use super::super::words;

/// The height of the drawing, in its own units; its width is one unit a sample.
const HEIGHT: f64 = 100.0;
/// How many samples it is wide: the first of these that has room for all.
const WIDTHS: [usize; 3] = [SAMPLES_MAX / 6, SAMPLES_MAX / 2, SAMPLES_MAX];

/// What is drawn, with its labels.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    pub(super) series: Vec<Series>,
}

/// How values are spoken of.
pub(super) struct Scale {
    /// Seconds from one value to the next.
    pub(super) interval_s: u64,
    /// `B` for bytes, `ms`, or nothing for what is counted.
    pub(super) unit: &'static str,
}

/// One line; the latest value last.
pub(super) struct Series {
    name: &'static str,
    values: Vec<Option<f64>>,
}

impl Series {
    pub(super) fn new(name: &'static str, values: Vec<Option<f64>>) -> Series {
        Series { name, values }
    }
}

impl Chart {
    /// The chart as a `figure` element.
    pub(super) fn figure(&self) -> String {
        let values = self.series.iter().flat_map(|series| series.values.iter().flatten());
        let top = round_up(values.fold(0.0_f64, |most, value| most.max(*value)), self.scale.unit);
        let label = |value: f64| match self.scale.unit {
            "B" => words::size(value as u64),
            _ => words::number(value),
        };
        let longest = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let width = WIDTHS.into_iter().find(|width| *width >= longest).unwrap_or(SAMPLES_MAX);
        let mut html = format!("<figure class=\"chart\"><figcaption>{}", self.title);
        if self.series.len() > 1 {
            for (at, series) in self.series.iter().enumerate() {
                let _ = write!(html, "<span class=\"key k{}\">{}</span>", at + 1, series.name);
            }
        }
        let _ = write!(
            html,
            "</figcaption><div class=\"y\"><span>{}</span><span>{}</span><span>0</span></div>\
             <svg viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{}\">",
            label(top),
            label(top / 2.0),
            width - 1,
            self.title,
        );
        for y in [0.0, HEIGHT / 2.0, HEIGHT] {
            let _ = write!(html, "<line x1=\"0\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>", width - 1);
        }
        for (series, class) in self.series.iter().zip(["one", "two"]) {
            html += &paths(&series.values, (width, top), class);
        }
        let minutes = width as u64 * self.scale.interval_s / 60;
        let _ = writeln!(
            html,
            "</svg><div class=\"x\"><span>{minutes} min ago</span><span>{} min</span>\
             <span>now</span></div></figure>",
            minutes / 2
        );
        html
    }
}

/// A line through the values, broken where there is none, and the shade below the first one.
fn paths(values: &[Option<f64>], (width, top): (usize, f64), class: &str) -> String {
    let first = width.saturating_sub(values.len());
    let (mut line, mut area) = (String::new(), String::new());
    let mut run: Option<usize> = None;
    for (at, value) in values.iter().enumerate() {
        let x = first + at;
        match value {
            Some(value) => {
                let y = HEIGHT - (value / top * HEIGHT).clamp(0.0, HEIGHT);
                let _ = write!(line, "{}{x} {y:.1}", if run.is_some() { 'L' } else { 'M' });
                if run.is_none() {
                    run = Some(x);
                    let _ = write!(area, "M{x} {HEIGHT}");
                }
                let _ = write!(area, "L{x} {y:.1}");
            }
            None => {
                if run.take().is_some() {
                    let _ = write!(area, "L{} {HEIGHT}Z", x - 1);
                }
            }
        }
    }
    if run.is_some() {
        let _ = write!(area, "L{} {HEIGHT}Z", first + values.len() - 1);
    }
    let area =
        if class == "one" { format!("<path class=\"area\" d=\"{area}\"/>") } else { String::new() };
    format!("{area}<path class=\"{class}\" d=\"{line}\"/>")
}

/// The next of 1, 2, 5, 10 and so on; of bytes, the next power of two.
fn round_up(value: f64, unit: &str) -> f64 {
    if unit == "B" {
        return (value.max(1024.0) as u64).next_power_of_two() as f64;
    }
    let value = value.max(if unit == "ms" { 0.1 } else { 1.0 });
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value * 0.999_999).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_the_right_and_break_where_nothing_is() {
        let drawn = paths(&[Some(5.0), Some(10.0), None, Some(0.0)], (720, 10.0), "one");
        let expected = "<path class=\"area\" d=\"M716 100L716 50.0L717 0.0L717 100ZM719 100L719 \
            100.0L719 100Z\"/><path class=\"one\" d=\"M716 50.0L717 0.0M719 100.0\"/>";
        assert_eq!(drawn, expected);
        assert_eq!(paths(&[], (720, 1.0), "two"), "<path class=\"two\" d=\"\"/>");
    }

    #[test]
    fn scales_are_round() {
        let tops = [0.0, 0.3, 1.0, 1.01, 700.0, 81_234.0].map(|value| round_up(value, "ms"));
        let expected: [f64; 6] = [0.1, 0.5, 1.0, 2.0, 1000.0, 100_000.0];
        for (top, expected) in tops.into_iter().zip(expected) {
            assert!((top - expected).abs() < expected / 1e6, "{top} {expected}");
        }
        assert!((round_up(0.0, "") - 1.0).abs() < 1e-9);
        assert_eq!(round_up(1_500_000.0, "B"), f64::from(1 << 21));
    }
}
