//! How words of the command line are read and shown, whichever subcommand they are of.
//!
//! Owns the form of a time and what is hidden. Knows no option beside the password's.

use std::time::Duration;

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
    fn the_password_is_never_shown() {
        let words = ["b", "sweep", "--password", "s3cret", "--password=s3cret", "--out", "a b"];
        let shown = shown_command_line(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(shown, "b sweep --password *** --password=*** --out 'a b'");
    }
}
