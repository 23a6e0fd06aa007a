//! Axes: where a value lies, which values are marked, and how those are written.
//!
//! Owns scales and their marks. Knows nothing of pixels or of what is drawn.

/// A mark on an axis: where, between 0 and 1, and what stands at it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: String,
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    /// From zero.
    Linear { max: f64, step: f64, label: fn(f64) -> String },
    /// From zero to the end of a run, which need not be round.
    Time { max: f64, step: f64, label: fn(f64) -> String },
    /// Powers of ten, ends included.
    Log { min: f64, max: f64, label: fn(f64) -> String },
    /// Places at equal distances with names.
    Places { names: Vec<String> },
    /// Percentiles, by how few are above: 0, 90, 99, 99.9 % and so on.
    Percentiles { nines: f64 },
}

impl Scale {
    /// From zero to a round number above `largest`, with about `marks` marks.
    pub(super) fn linear(largest: f64, marks: usize, label: fn(f64) -> String) -> Scale {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let rough = largest / marks.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(10.0 * power);
        Scale::Linear { max: (largest / step - 1e-9).ceil() * step, step, label }
    }

    /// From a round number below the smallest to one above the largest of positive values.
    pub(super) fn log(values: impl Iterator<Item = f64>, label: fn(f64) -> String) -> Scale {
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (min, max) = (min.min(value), max.max(value));
        }
        if max <= 0.0 {
            (min, max) = (1.0, 10.0);
        }
        let round_down = |value: f64| {
            let power = 10_f64.powf(value.log10().floor());
            let factors = [5.0, 2.0, 1.0].into_iter().map(|factor| factor * power);
            factors.into_iter().find(|round| *round <= value * 1.000_001).unwrap_or(power)
        };
        let round_up = |value: f64| {
            let power = 10_f64.powf(value.log10().floor());
            let mut factors = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power);
            factors.find(|round| *round >= value * 0.999_999).unwrap_or(10.0 * power)
        };
        let (low, mut high) = (round_down(min), round_up(max));
        if high / low < 5.0 {
            high = low * 10.0;
        }
        Scale::Log { min: low, max: high, label }
    }

    /// Where a value lies, between 0 and 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self {
            Scale::Linear { max, .. } | Scale::Time { max, .. } => value / max,
            Scale::Log { min, max, .. } => (value.max(*min) / min).log10() / (max / min).log10(),
            Scale::Places { names } => (value + 0.5) / names.len().max(1) as f64,
            Scale::Percentiles { nines } => nines_of(value) / nines,
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// What is marked; of places at most `most`, the ends among them.
    pub(super) fn marks(&self, most: usize) -> Vec<Mark> {
        match self {
            Scale::Linear { max, step, label } | Scale::Time { max, step, label } => {
                let count = (max / step + 1e-6).floor() as usize;
                let values = (0..=count).map(|number| number as f64 * step);
                values.map(|value| self.mark(value, label(value))).collect()
            }
            Scale::Log { min, max, label } => {
                let values = log_values(*min, *max);
                values.into_iter().map(|value| self.mark(value, label(value))).collect()
            }
            Scale::Places { names } => {
                let step = names.len().saturating_sub(1).div_ceil(most.saturating_sub(1).max(1));
                let last = names.len().saturating_sub(1);
                let is_marked = |place: usize| (last - place).is_multiple_of(step.max(1));
                let marked = names.iter().enumerate().filter(|(place, _)| is_marked(*place));
                marked.map(|(place, name)| self.mark(place as f64, name.clone())).collect()
            }
            Scale::Percentiles { nines } => {
                let count = nines.floor() as usize;
                let step = count.div_ceil(most.max(1)).max(1);
                let marked = (0..=count).step_by(step);
                marked.map(|number| self.mark(percent(number), percent_label(number))).collect()
            }
        }
    }

    fn mark(&self, value: f64, label: String) -> Mark {
        Mark { at: self.place(value), label }
    }
}

/// Powers of ten; where there are few, 2 and 5 times these too.
fn log_values(min: f64, max: f64) -> Vec<f64> {
    let decades = (max / min).log10();
    let factors: &[f64] = if decades <= 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let first = min.log10().floor() as i32;
    let last = max.log10().ceil() as i32;
    let all = (first..=last).flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power)));
    all.filter(|value| *value >= min * 0.999 && *value <= max * 1.001).collect()
}

/// How many nines a percentage begins with, in fractions.
fn nines_of(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).max(1e-9).log10()
}

fn percent(nines: usize) -> f64 {
    100.0 * (1.0 - 0.1_f64.powi(i32::try_from(nines).unwrap_or(9)))
}

fn percent_label(nines: usize) -> String {
    match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        nines => format!("99.{} %", "9".repeat(nines - 2)),
    }
}

/// `0`, `250`, `60k`, `1.5M`.
pub(super) fn count_label(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text.is_empty() { "0" } else { text })
}

/// `0.05`, `1`, `2,000`.
pub(super) fn plain_label(value: f64) -> String {
    if value >= 1.0 {
        let text = format!("{value:.1}");
        return match text.strip_suffix(".0") {
            Some(whole) => crate::figures::grouped(whole.parse().unwrap_or(value)),
            None => text,
        };
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// Seconds as `0`, `30 s`, `5 min`, `1.5 h`.
pub(super) fn seconds_label(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 120.0 => format!("{} s", plain_label(value)),
        value if value < 7200.0 => format!("{} min", plain_label(value / 60.0)),
        value => format!("{} h", plain_label(value / 3600.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, most: usize) -> Vec<String> {
        scale.marks(most).into_iter().map(|mark| mark.label).collect()
    }

    #[test]
    fn linear_axes_begin_at_zero_and_end_round() {
        let scale = Scale::linear(61_234.0, 4, count_label);
        assert_eq!(labels(&scale, 9), ["0", "20k", "40k", "60k", "80k"]);
        assert!((scale.place(40_000.0) - 0.5).abs() < 1e-9);
        assert_eq!(labels(&Scale::linear(0.0, 2, count_label), 9), ["0", "0.5", "1"]);
        assert_eq!(labels(&Scale::linear(f64::NAN, 2, count_label), 9), ["0", "0.5", "1"]);
    }

    #[test]
    fn log_axes_enclose_their_values() {
        let scale = Scale::log([0.06, 700.0].into_iter(), plain_label);
        assert_eq!(labels(&scale, 9), ["0.1", "1", "10", "100", "1,000"]);
        assert!(scale.place(0.06) > 0.0 && scale.place(700.0) < 1.0);
        let scale = Scale::log([1.3, 1.5].into_iter(), plain_label);
        assert_eq!(labels(&scale, 9), ["1", "2", "5", "10"]);
        assert_eq!(Scale::log([].into_iter(), plain_label).place(0.0), 0.0);
    }

    #[test]
    fn of_places_the_last_is_marked() {
        let names = (0..16).map(|number| number.to_string()).collect();
        assert_eq!(labels(&Scale::Places { names }, 6), ["0", "3", "6", "9", "12", "15"]);
        let names = vec!["one".to_owned()];
        assert_eq!(labels(&Scale::Places { names }, 6), ["one"]);
    }

    #[test]
    fn percentiles_are_marked_by_nines() {
        let scale = Scale::Percentiles { nines: 4.2 };
        assert_eq!(labels(&scale, 6), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert!((scale.place(99.0) - 2.0 / 4.2).abs() < 1e-6);
        assert_eq!(scale.place(100.0), 1.0);
    }

    #[test]
    fn times_have_units() {
        let texts = [0.0, 30.0, 90.0, 300.0, 5400.0, 7200.0].map(seconds_label);
        assert_eq!(texts, ["0", "30 s", "90 s", "5 min", "90 min", "2 h"]);
    }
}
