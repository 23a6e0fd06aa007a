//! How words of the command line are read and shown, whichever subcommand they are of.
//!
//! Owns the form of a time and what is hidden. Knows no option beside the password's.

use std::time::Duration;

const LATENCY_MAX: Duration = Duration::from_secs(60);
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// `60s`, `500ms`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "must begin with a whole number".to_owned())?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("the unit is ms, s, m or h".to_owned()),
    };
    let time = number.checked_mul(millis_per_unit).map(Duration::from_millis);
    time.filter(|time| *time <= DURATION_MAX).ok_or_else(|| "24 hours at most".to_owned())
}

/// `5ms`, `500us`, `1s`: the unit has to be there.
pub(crate) fn parse_latency(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "must begin with a whole number".to_owned())?;
    let micros_per_unit = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return Err("the unit is us, ms or s".to_owned()),
    };
    let time = number.checked_mul(micros_per_unit).map(Duration::from_micros);
    let fits = |time: &Duration| !time.is_zero() && *time <= LATENCY_MAX;
    time.filter(fits).ok_or_else(|| "more than nothing, and a minute at most".to_owned())
}

/// As `parse_time`, for what takes no time at all if it is zero.
pub(crate) fn parse_time_of_run(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time.is_zero() { Err("must not be zero".to_owned()) } else { Ok(time) }
}

/// The command line as it may be shown: the password's value is hidden.
pub(crate) fn shown_command_line(words: impl Iterator<Item = String>) -> String {
    let mut hide_next = false;
    let shown: Vec<String> = words
        .map(|word| {
            if std::mem::replace(&mut hide_next, word == "--password") {
                "***".to_owned()
            } else if word.starts_with("--password=") {
                "--password=***".to_owned()
            } else if word.contains(char::is_whitespace) || word.is_empty() {
                format!("'{word}'")
            } else {
                word
            }
        })
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, millis) in
            [("60", 60_000), ("60s", 60_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1.5", "5 minutes", "-1", "25h", "1d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert_eq!(parse_latency("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(parse_latency("5ms"), Ok(Duration::from_millis(5)));
        for text in ["5", "0ms", "61s", "ms", "1m"] {
            assert!(parse_latency(text).is_err(), "{text}");
        }
        assert!(parse_time("0").is_ok() && parse_time_of_run("0s").is_err());
    }

    #[test]
    fn the_password_is_never_shown() {
        let words = ["b", "sweep", "--password", "s3cret", "--password=s3cret", "--out", "a b"];
        let shown = shown_command_line(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(shown, "b sweep --password *** --password=*** --out 'a b'");
    }
}
