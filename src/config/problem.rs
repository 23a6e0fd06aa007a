//! What is wrong with a configuration, and whose hand wrote it.
//!
//! Owns the places a value can come from, the list of problems a user sees, and guessing what a
//! misspelt word should have been. Knows no option.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written. The order is the precedence: a later one wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nobody wrote it.
    Default,
    /// The configuration file, with the line when there is one.
    File(PathBuf, Option<usize>),
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name on the command line.
    Flag(&'static str),
}

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Who wrote it.
    pub place: Place,
    /// What is wrong, in one line.
    pub text: String,
}

/// Everything that is wrong with a configuration, found in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Never empty; in the order of file, environment, flags, then combinations.
    pub problems: Vec<Problem>,
}

impl Place {
    /// Whether both were written in the same kind of place, so that neither wins.
    pub(super) fn same_rank(&self, other: &Place) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default => f.write_str("default"),
            Place::File(path, None) => write!(f, "{}", path.display()),
            Place::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Place::Environment(name) => f.write_str(name),
            Place::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            // Something is missing: there is no place to point at.
            Place::Default => f.write_str(&self.text),
            _ => write!(f, "{}: {}", self.place, self.text),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that is a slip of the pen away from `name`.
pub(super) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let slips_max = (name.len() / 4).clamp(1, 3);
    let scored = candidates.iter().map(|candidate| (slips(name, candidate), *candidate));
    scored.filter(|(slips, _)| *slips <= slips_max).min().map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed or replaced to make `left` of `right`.
fn slips(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut previous = i;
        let mut next = vec![i + 1];
        for (r, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = previous + usize::from(!l.eq_ignore_ascii_case(r));
            let inserted = next.last().copied().unwrap_or(i) + 1;
            next.push(replaced.min(inserted).min(above + 1));
            previous = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (left, right, count) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(slips(left, right), count, "{left} {right}");
        }
        assert_eq!(nearest("client_max", &["clients_max", "held_bytes_max"]), Some("clients_max"));
        assert_eq!(nearest("colour", &["clients_max"]), None);
    }
}
