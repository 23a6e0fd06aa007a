//! Figures as people read them.
//!
//! Owns the forms of numbers, sizes, times. The functions of the upper part are filters of the
//! templates.
#![allow(unreachable_pub, reason = "what the macro makes of a filter is `pub`")]

use std::fmt::Display;

use askama::{Result, Values};

use crate::topology::EventKind;

/// `1,234` or `0.25`.
#[askama::filter_fn]
pub(super) fn rate(value: &f64, _: &dyn Values) -> Result<String> {
    Ok(number(*value))
}

/// Milliseconds, or a dash.
#[askama::filter_fn]
pub(super) fn ms(value: &Option<f64>, _: &dyn Values) -> Result<String> {
    Ok(value.map_or("–".to_owned(), number))
}

/// `1,234`.
#[askama::filter_fn]
pub(super) fn count(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(grouped(value.to_string().parse().unwrap_or_default()))
}

/// `1.5 MiB`.
#[askama::filter_fn]
pub(super) fn bytes(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(size(value.to_string().parse().unwrap_or_default()))
}

/// `3 d 4 h`.
#[askama::filter_fn]
pub(super) fn duration(value: &u64, _: &dyn Values) -> Result<String> {
    Ok(span(*value))
}

/// `09:41:22`.
#[askama::filter_fn]
pub(super) fn clock(value: &u64, _: &dyn Values) -> Result<String> {
    Ok(time_of_day(*value))
}

/// `11-27 09:41:22`.
#[askama::filter_fn]
pub(super) fn stamp(value: &u64, _: &dyn Values) -> Result<String> {
    let (month, day) = date(*value);
    Ok(format!("{month:02}-{day:02} {}", time_of_day(*value)))
}

/// The label of a metric in words.
#[askama::filter_fn]
pub(super) fn words(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(value.to_string().replace('_', " "))
}

/// How serious an event is.
#[askama::filter_fn]
pub(super) fn class(value: &EventKind, _: &dyn Values) -> Result<&'static str> {
    Ok(match value {
        EventKind::Down | EventKind::Left => "bad",
        EventKind::Failover | EventKind::Slots => "warn",
        EventKind::Up | EventKind::Joined => "good",
        EventKind::Start | EventKind::Migration => "",
    })
}

/// Two digits behind the point below ten, one below a hundred, none above.
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 0.01 => "<0.01".to_owned(),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => grouped(v.round() as u64),
    }
}

/// With a comma every three digits.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In the largest unit of which there is one.
pub fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let value = bytes as f64 / (1_u64 << shift) as f64;
            if value < 100.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
        }
        None => format!("{bytes} B"),
    }
}

/// The two largest units of a time.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `0-5460, 7`, as far as it is short.
pub fn ranges(ranges: &[[u16; 2]], most: usize) -> String {
    let words = ranges.iter().take(most).map(|[first, last]| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    let more = ranges.len().saturating_sub(most);
    let more = (more > 0).then(|| format!("and {more} more ranges"));
    words.chain(more).collect::<Vec<_>>().join(", ")
}

/// UTC.
pub fn time_of_day(time_ms: u64) -> String {
    let seconds = time_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Month and day of the month, UTC: years of 400 begin on the first of March here, so that the day
/// that some years lack is their last.
fn date(time_ms: u64) -> (u64, u64) {
    let days = time_ms / 86_400_000 + 719_468;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_true() {
        for (value, text) in [
            (0.0, "0"),
            (0.001, "<0.01"),
            (0.256, "0.26"),
            (9.99, "9.99"),
            (81_234.4, "81,234"),
            (1_000_000.0, "1,000,000"),
        ] {
            assert_eq!(number(value), text);
        }
        let sizes = [0, 1023, 1024, 1 << 20, (1 << 30) * 150].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "150 GiB"]);
        let spans = [5, 65, 3700, 90_000].map(span);
        assert_eq!(spans, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
        assert_eq!(ranges(&[[0, 5], [7, 7], [9, 9]], 2), "0-5, 7, and 1 more ranges");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = |days: u64| date(days * 86_400_000);
        assert_eq!(days(0), (1, 1));
        // 2024-02-29, 2024-03-01, 2026-11-27, 2100-02-28, 2100-03-01.
        assert_eq!([days(19_782), days(19_783)], [(2, 29), (3, 1)]);
        assert_eq!(days(20_784), (11, 27));
        assert_eq!([days(47_540), days(47_541)], [(2, 28), (3, 1)]);
        assert_eq!(time_of_day(1_795_772_482_000), "09:41:22");
    }
}
