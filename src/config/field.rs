//! The kinds of options: numbers, sizes, durations, addresses, passwords, words.
//!
//! Owns reading, bounding and showing the value of each kind. Knows no option: where a value goes is
//! told by the list in `keys.rs`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::secret::{Secret, read_secret};
use super::value::{HostPort, parse_bind, parse_duration, parse_size, show_duration, show_size};
use super::{CrossSlot, KeylessScripts, Level, LogFormat};

/// Finds an option's place in its section.
pub(super) type At<C, T> = fn(&mut C) -> &mut T;

/// The kind of an option, its bounds, and where its value goes.
pub(super) enum Field<C: 'static> {
    Count(At<C, usize>, RangeInclusive<usize>),
    SmallCount(At<C, u32>, RangeInclusive<u32>),
    Size(At<C, usize>, RangeInclusive<usize>),
    Time(At<C, Duration>, Duration),
    TimeOrNever(At<C, Option<Duration>>),
    Seeds(At<C, Vec<HostPort>>),
    Names(At<C, Vec<String>>),
    Bind(At<C, SocketAddr>),
    BindOrOff(At<C, Option<SocketAddr>>),
    Switch(At<C, bool>),
    Text(At<C, Option<String>>),
    Password(At<C, Option<Secret>>),
    PasswordFile(At<C, Option<Secret>>),
    CrossSlot(At<C, CrossSlot>),
    KeylessScripts(At<C, KeylessScripts>),
    Level(At<C, Level>),
    LogFormat(At<C, LogFormat>),
}

/// The words of an option that is one of a few.
trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}

impl Choice for CrossSlot {
    const WORDS: &'static [(&'static str, Self)] =
        &[("split", Self::Split), ("refuse", Self::Refuse)];
}

impl Choice for KeylessScripts {
    const WORDS: &'static [(&'static str, Self)] =
        &[("one-node", Self::OneNode), ("refuse", Self::Refuse)];
}

impl Choice for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl<C> Field<C> {
    /// What is written, in a few words.
    pub(super) fn kind(&self) -> String {
        match self {
            Field::Count(..) | Field::SmallCount(..) => "number".to_owned(),
            Field::Size(..) => "size".to_owned(),
            Field::Time(..) | Field::TimeOrNever(..) => "duration".to_owned(),
            Field::Seeds(..) => "list of host:port".to_owned(),
            Field::Names(..) => "list of text".to_owned(),
            Field::Bind(..) => "ip:port".to_owned(),
            Field::BindOrOff(..) => "ip:port or \"off\"".to_owned(),
            Field::Switch(..) => "true or false".to_owned(),
            Field::Text(..) | Field::Password(..) => "text".to_owned(),
            Field::PasswordFile(..) => "path".to_owned(),
            Field::CrossSlot(..) => words::<CrossSlot>(),
            Field::KeylessScripts(..) => words::<KeylessScripts>(),
            Field::Level(..) => words::<Level>(),
            Field::LogFormat(..) => words::<LogFormat>(),
        }
    }

    /// Whether the value must never be repeated in a message.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Field::Password(..))
    }

    /// Whether several words may be given.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Field::Seeds(..) | Field::Names(..))
    }

    /// Whether a number without quotes is a natural way to write it.
    pub(super) fn takes_number(&self) -> bool {
        matches!(
            self,
            Field::Count(..)
                | Field::SmallCount(..)
                | Field::Size(..)
                | Field::Time(..)
                | Field::TimeOrNever(..)
        )
    }

    /// Puts the value that `words` mean into `target`, or says what would be right.
    pub(super) fn set(&self, target: &mut C, words: &[String]) -> Result<(), String> {
        if let Field::Seeds(at) = self {
            let seeds: Result<Vec<HostPort>, String> = words
                .iter()
                .map(|word| word.parse().map_err(|e| format!("\"{word}\" is {e}")))
                .collect();
            *at(target) = seeds?;
            return Ok(());
        }
        if let Field::Names(at) = self {
            words.clone_into(at(target));
            return Ok(());
        }
        let [word] = words else { return Err("takes one value, not a list".to_owned()) };
        if word.is_empty() && !matches!(self, Field::BindOrOff(..)) {
            return Err("is empty; give a value or leave it out".to_owned());
        }
        self.set_one(target, word)
    }

    fn set_one(&self, target: &mut C, word: &str) -> Result<(), String> {
        match self {
            Field::Count(at, range) => *at(target) = number(word, range)?,
            Field::SmallCount(at, range) => *at(target) = number(word, range)?,
            Field::Size(at, range) => {
                *at(target) = within(parse_size(word)?, range, |bytes| show_size(*bytes))?;
            }
            Field::Time(at, least) => *at(target) = at_least(parse_duration(word)?, *least)?,
            Field::TimeOrNever(at) => {
                *at(target) = Some(parse_duration(word)?).filter(|idle| !idle.is_zero());
            }
            // Lists have been dealt with.
            Field::Seeds(..) | Field::Names(..) => {}
            Field::Bind(at) => *at(target) = parse_bind(word)?,
            Field::BindOrOff(at) => {
                *at(target) = match word {
                    "" | "off" => None,
                    _ => Some(parse_bind(word).map_err(|e| format!("{e}, or \"off\" for none"))?),
                };
            }
            Field::Switch(at) => *at(target) = choice(word)?,
            Field::Text(at) => *at(target) = Some(word.to_owned()),
            Field::Password(at) => *at(target) = Some(Secret::new(word)),
            Field::PasswordFile(at) => *at(target) = Some(read_secret(word.as_ref())?),
            Field::CrossSlot(at) => *at(target) = choice(word)?,
            Field::KeylessScripts(at) => *at(target) = choice(word)?,
            Field::Level(at) => *at(target) = choice(word)?,
            Field::LogFormat(at) => *at(target) = choice(word)?,
        }
        Ok(())
    }

    /// The value as it would be written in a file; nothing when it is not set. Secrets stay hidden.
    pub(super) fn show(&self, target: &mut C) -> Option<String> {
        Some(match self {
            Field::Count(at, _) => at(target).to_string(),
            Field::SmallCount(at, _) => at(target).to_string(),
            Field::Size(at, _) => quoted(show_size(*at(target))),
            Field::Time(at, _) => quoted(show_duration(*at(target))),
            Field::TimeOrNever(at) => quoted(show_duration(at(target).unwrap_or_default())),
            Field::Seeds(at) => {
                let seeds: Vec<String> = at(target).iter().map(quoted).collect();
                format!("[{}]", seeds.join(", "))
            }
            Field::Names(at) => {
                let names: Vec<String> = at(target).iter().map(quoted).collect();
                format!("[{}]", names.join(", "))
            }
            Field::Bind(at) => quoted(*at(target)),
            Field::BindOrOff(at) => at(target).map_or_else(|| quoted("off"), quoted),
            Field::Switch(at) => at(target).to_string(),
            Field::Text(at) => quoted(at(target).as_deref()?),
            Field::Password(at) => quoted(at(target).as_ref()?),
            // It is the other way to give the password; shown there.
            Field::PasswordFile(_) => return None,
            Field::CrossSlot(at) => quoted(word_of(*at(target))),
            Field::KeylessScripts(at) => quoted(word_of(*at(target))),
            Field::Level(at) => quoted(word_of(*at(target))),
            Field::LogFormat(at) => quoted(word_of(*at(target))),
        })
    }
}

fn quoted(value: impl std::fmt::Display) -> String {
    format!("\"{}\"", value.to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

fn words<T: Choice>() -> String {
    let words: Vec<String> = T::WORDS.iter().map(|(word, _)| quoted(word)).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
        None => String::new(),
    }
}

fn word_of<T: Choice>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

fn choice<T: Choice>(word: &str) -> Result<T, String> {
    let found = T::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, value)| *value).ok_or_else(|| format!("write {}", words::<T>()))
}

fn number<T>(word: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + Copy + std::fmt::Display,
{
    match word.trim().parse() {
        Ok(value) => within(value, range, T::to_string),
        // Digits only, and yet no number: too large for the type.
        Err(_) if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("must be at most {}", range.end()))
        }
        Err(_) => Err(format!("not a whole number, at least {} is needed", range.start())),
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if value < *range.start() {
        return Err(format!("must be at least {}", show(range.start())));
    }
    if value > *range.end() {
        return Err(format!("must be at most {}", show(range.end())));
    }
    Ok(value)
}

fn at_least(value: Duration, least: Duration) -> Result<Duration, String> {
    if value < least {
        return Err(format!("must be at least \"{}\"", show_duration(least)));
    }
    Ok(value)
}
