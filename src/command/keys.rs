//! Where in a request its keys are.
//!
//! Owns the arithmetic on key specs. Knows nothing of slots, of nodes or of what a key is for.
//! Pure: a request's words in, argument indices out.
//!
//! A node of a cluster looks for keys before it looks at anything else, and answers `MOVED` by
//! what it finds. So what is found here has to be what the node will find, in malformed requests
//! too; where the node finds none it answers the client's mistake itself, wherever it is asked.

use super::Command;
use super::columns::Flags;
use super::key_search::{self, KeySearch};
pub use super::key_search::{block_option, key_patterns};
pub use super::key_spec::{BeginSearch, FindKeys, KeyFlags, KeySpec, Keyword};
use crate::resp::Args;

/// How a command's keys are found; decided once for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finder {
    /// It has none.
    Nothing,
    /// One range at a known place.
    Range { first: u32, last: i32, step: u32 },
    /// The specs, one after the other.
    Specs,
    /// Its own way.
    Search(KeySearch),
}

/// Why a request's keys are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The request is malformed and a node finds no key in it either: whichever node is asked
    /// answers with the right error.
    LetNodeAnswer,
    /// Keys and their values do not come out even (`MSET a 1 b`). A node would still act on the
    /// keys it finds, so such a request must not be taken apart, nor sent.
    UnevenGroups,
}

impl KeyError {
    /// The error for the client, unless a node is to give it.
    pub fn text(self, command: &Command) -> Option<String> {
        match self {
            KeyError::LetNodeAnswer => None,
            KeyError::UnevenGroups => {
                Some(format!("ERR wrong number of arguments for '{}' command", command.name))
            }
        }
    }
}

/// Why `COMMAND GETKEYS` has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetKeysError {
    /// The command never has keys.
    NoKeyArguments,
    /// It should have keys, and none are found.
    InvalidArguments,
}

impl GetKeysError {
    /// Redis's text.
    pub fn text(self) -> &'static str {
        match self {
            GetKeysError::NoKeyArguments => "ERR The command has no key arguments",
            GetKeysError::InvalidArguments => "ERR Invalid arguments specified for command",
        }
    }
}

/// Replaces what is in `out` with the indices of the arguments that decide where the request is
/// sent: its keys, and shard channels. Ascending, no duplicates. Expects the arity to be checked.
pub fn positions(cmd: &Command, args: Args<'_>, out: &mut Vec<u32>) -> Result<(), KeyError> {
    out.clear();
    match cmd.finder {
        Finder::Nothing => return Ok(()),
        Finder::Range { first, last, step } => range(args, (first, last, step), out)?,
        Finder::Specs => {
            if !cmd.keys.iter().all(|spec| spec_keys(spec, args, atoi, out)) {
                out.clear();
            }
            out.sort_unstable();
            out.dedup();
        }
        Finder::Search(search) => key_search::keys(search, args, out),
    }
    if out.is_empty() && !cmd.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(KeyError::LetNodeAnswer);
    }
    Ok(())
}

/// What `COMMAND GETKEYS` and `GETKEYSANDFLAGS` answer: the keys with their flags, in Redis's
/// order. Expects the arity to be checked.
pub fn reported(cmd: &Command, args: Args<'_>) -> Result<Vec<(u32, KeyFlags)>, GetKeysError> {
    let has_keys = cmd.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
    if !has_keys {
        return Err(GetKeysError::NoKeyArguments);
    }
    let varies = |spec: &KeySpec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS);
    let by_specs = if cmd.keys.iter().any(varies) { None } else { keys_by_specs(cmd, args) };
    let keys = by_specs.unwrap_or_else(|| keys_by_search(cmd, args));
    if keys.is_empty() && !cmd.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(GetKeysError::InvalidArguments);
    }
    Ok(keys)
}

// === one range: the hot path ===

fn range(
    args: Args<'_>,
    (first, last, step): (u32, i32, u32),
    out: &mut Vec<u32>,
) -> Result<(), KeyError> {
    let count = args.len() as i64;
    let first = i64::from(first);
    let last = if last < 0 { count + i64::from(last) } else { first + i64::from(last) };
    if first >= count || last < first || last >= count {
        return Ok(());
    }
    if step > 1 && (last - first + 1) % i64::from(step) != 0 {
        return Err(KeyError::UnevenGroups);
    }
    out.extend((first as u32..=last as u32).step_by(step as usize));
    Ok(())
}

// === key specs ===

/// Adds the keys of one spec; `false` when the request does not fit it.
fn spec_keys(
    spec: &KeySpec,
    args: Args<'_>,
    number: fn(&[u8]) -> Option<i64>,
    out: &mut Vec<u32>,
) -> bool {
    let count = args.len() as i64;
    let first = match spec.begin {
        BeginSearch::Index(index) => i64::from(index),
        BeginSearch::Keyword { keyword, from } => match find_keyword(keyword, from, args) {
            Some(first) => first,
            None => return true,
        },
        BeginSearch::Unknown => return false,
    };
    let (first, last, step) = match spec.find {
        FindKeys::Range { last, step, limit } => {
            let last = i64::from(last);
            let last = match (last, limit) {
                (0.., _) => first + last,
                (_, 0) => count + last,
                (_, limit) => first + (count - first) / i64::from(limit) + last,
            };
            (first, last, i64::from(step))
        }
        FindKeys::KeyNum { index, first: first_key, step } => {
            let at = first + i64::from(index);
            if at >= count {
                return false;
            }
            let Some(keys) = number(args.get(at as usize)).filter(|n| (1..=count).contains(n))
            else {
                return false;
            };
            let step = i64::from(step);
            let first = first + i64::from(first_key);
            // The last key's group has to be whole.
            if first + keys * step > count {
                return false;
            }
            (first, first + (keys - 1) * step, step)
        }
        FindKeys::Unknown => return false,
    };
    if first >= count || last < first || last >= count || step < 1 {
        return false;
    }
    out.extend((first as u32..=last as u32).step_by(step as usize));
    true
}

/// The argument after a keyword. As in Redis, a keyword that is the last argument is none, and
/// so is one that is the first when the search runs backwards.
fn find_keyword(keyword: Keyword, from: i32, args: Args<'_>) -> Option<i64> {
    let count = args.len() as i64;
    let is_keyword = |i: &i64| args.get(*i as usize).eq_ignore_ascii_case(keyword.as_bytes());
    let from = i64::from(from);
    let found = if from > 0 {
        (from..count - 1).find(is_keyword)
    } else {
        (2..=(count + from).min(count - 1)).rev().find(is_keyword)
    };
    found.map(|i| i + 1)
}

/// The keys with the flags of their specs; `None` when a spec does not fit or may leave keys out.
fn keys_by_specs(cmd: &Command, args: Args<'_>) -> Option<Vec<(u32, KeyFlags)>> {
    let mut keys = Vec::new();
    let mut indices = Vec::new();
    for spec in cmd.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY)) {
        indices.clear();
        let fits = spec_keys(spec, args, strict_number, &mut indices);
        // A keyword that is not there leaves nothing out.
        if !fits || (!indices.is_empty() && spec.flags.contains(KeyFlags::INCOMPLETE)) {
            return None;
        }
        keys.extend(indices.iter().map(|&index| (index, spec.flags)));
    }
    Some(keys)
}

/// What Redis's own code for the command finds; there is such code only for some.
fn keys_by_search(cmd: &Command, args: Args<'_>) -> Vec<(u32, KeyFlags)> {
    let mut indices = Vec::new();
    let counted = |spec: &KeySpec| matches!(spec.find, FindKeys::KeyNum { .. });
    let search = match cmd.finder {
        Finder::Search(search) => Some(search),
        _ if cmd.keys.iter().any(counted) => None,
        _ => return Vec::new(),
    };
    if positions(cmd, args, &mut indices).is_err() {
        return Vec::new();
    }
    let flags = |nth| search.map_or(KeyFlags::EMPTY, |search| key_search::flags(search, args, nth));
    indices.iter().enumerate().map(|(nth, &index)| (index, flags(nth))).collect()
}

// === numbers ===

/// A number as C's `atoi` reads it: what a node uses to find keys, though it then refuses the
/// request for the same argument.
fn atoi(word: &[u8]) -> Option<i64> {
    let word = word.trim_ascii_start();
    let (negative, digits) = match word.first() {
        Some(b'-') => (true, &word[1..]),
        Some(b'+') => (false, &word[1..]),
        _ => (false, word),
    };
    let mut number: i64 = 0;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    // `atoi` keeps the low half of what it read.
    Some(i64::from((if negative { -number } else { number }) as i32))
}

/// A number as Redis reads an argument: digits only, no leading zero.
fn strict_number(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

// === impl Finder ===

impl Finder {
    /// How keys are found by these specs; `None` when the specs do not tell.
    pub(crate) fn of(specs: &[KeySpec], search: Option<KeySearch>) -> Option<Finder> {
        if let Some(search) = search {
            return Some(Finder::Search(search));
        }
        let partial = |spec: &KeySpec| {
            spec.begin == BeginSearch::Unknown
                || spec.find == FindKeys::Unknown
                || spec.flags.contains(KeyFlags::INCOMPLETE)
        };
        let limited = |spec: &KeySpec| matches!(spec.find, FindKeys::Range { limit: 1.., .. });
        if specs.is_empty() {
            return Some(Finder::Nothing);
        }
        if specs.iter().any(partial) {
            return None;
        }
        // Ranges that follow each other are one, as for a node: PFMERGE with its first key alone
        // does not fit its second spec.
        match legacy_range(specs) {
            ([first, last, step], false) if first > 0 && step > 0 && !specs.iter().any(limited) => {
                let last = if last < 0 { last } else { last - first };
                Some(Finder::Range { first: first as u32, last, step: step as u32 })
            }
            _ => Some(Finder::Specs),
        }
    }

    /// The argument that is the one key, when that never changes.
    pub(crate) fn only_key(self, arity: i16) -> Option<u32> {
        let index = match self {
            Finder::Range { first, last: 0, .. } => first,
            Finder::Search(KeySearch::Set | KeySearch::BitField | KeySearch::SortReadOnly) => 1,
            _ => return None,
        };
        // The arity has to promise that the argument is there.
        (index < u32::from(arity.unsigned_abs())).then_some(index)
    }
}

/// First key, last key and step as `COMMAND` gave them before there were key specs, and whether
/// they leave keys out (`movablekeys`).
pub(crate) fn legacy_range(specs: &[KeySpec]) -> ([i32; 3], bool) {
    let incomplete = |spec: &KeySpec| spec.flags.contains(KeyFlags::INCOMPLETE);
    let plain = |spec: &KeySpec| match (spec.begin, spec.find) {
        (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) => {
            let first = first as i32;
            Some((first, if last < 0 { last } else { first + last }, step as i32))
        }
        _ => None,
    };
    if let [spec] = specs {
        return match plain(spec) {
            Some((first, last, step)) => ([first, last, step], incomplete(spec)),
            None => ([0, 0, 0], true),
        };
    }
    let mut movable = false;
    let mut found: Option<(i32, i32)> = None;
    for spec in specs {
        match (plain(spec), found) {
            (Some((first, last, 1)), None) => found = Some((first, last)),
            // Ranges that follow each other are one.
            (Some((first, last, 1)), Some((start, end))) if end == first - 1 => {
                found = Some((start, last));
            }
            _ => {
                movable = true;
                continue;
            }
        }
        movable |= incomplete(spec);
    }
    match found {
        Some((first, last)) => ([first, last, 1], movable),
        None => ([0, 0, 0], movable),
    }
}

#[cfg(test)]
mod tests;
