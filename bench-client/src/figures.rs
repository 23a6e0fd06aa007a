//! How figures and times are written for people, and the middle of several.
//!
//! Owns number formats. Knows nothing of where the numbers come from.

/// `81,234`: rounded, in groups of three.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds with microseconds kept as long as they say something.
pub(crate) fn ms(milliseconds: f64) -> String {
    match milliseconds {
        value if value < 10.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    }
}

/// The middle of these; of the two in the middle, what lies between. None of none.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    if figures.len().is_multiple_of(2) {
        return Some((figures[middle - 1] + upper) / 2.0);
    }
    Some(upper)
}

/// `2026-11-21 09:48:14 UTC` of seconds since 1970.
pub(crate) fn utc(epoch_seconds: u64) -> String {
    let (year, month, day) = civil_date(epoch_seconds / 86_400);
    let second = epoch_seconds % 86_400;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// The Gregorian date of a day number, counted in eras of 400 years that begin on the first of March,
/// so that the leap day comes last.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let texts = [0.0, 999.4, 1_000.0, 81_234.4, 1_234_567.0].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "81,234", "1,234,567"]);
    }

    #[test]
    fn the_middle_of_two_lies_between_them() {
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn milliseconds_keep_what_matters() {
        assert_eq!(
            [0.041, 12.345, 1234.56].map(ms),
            ["0.041", "12.35", "1234.6"].map(String::from)
        );
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_254_494), "2026-11-21 09:48:14 UTC");
    }
}
