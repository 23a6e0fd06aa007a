//! Keys of the few commands whose key specs do not tell them exactly.
//!
//! Owns, for each of these commands, the search that a node does. Knows nothing of the table.

use super::key_spec::KeyFlags;
use crate::resp::Args;

/// Keys that key specs do not tell exactly; for each, what Redis's own code does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySearch {
    /// BITFIELD: what happens to the key depends on the arguments.
    BitField,
    /// GEORADIUS and GEORADIUSBYMEMBER: a second key after the last STORE or STOREDIST.
    GeoRadius,
    /// MIGRATE: one key, or those after KEYS.
    Migrate,
    /// SET: what happens to the key depends on the arguments.
    Set,
    /// SORT: a second key after the last STORE.
    Sort,
    /// SORT_RO: one key, whatever else the specs say.
    SortReadOnly,
    /// XREAD and XREADGROUP: the first half of what follows STREAMS.
    Streams,
}

/// Adds the arguments that are keys. Without any, the node will find none either.
pub(super) fn keys(search: KeySearch, args: Args<'_>, out: &mut Vec<u32>) {
    match search {
        KeySearch::Set | KeySearch::BitField | KeySearch::SortReadOnly => out.push(1),
        KeySearch::Sort => {
            out.push(1);
            out.extend(sort_store(args));
        }
        KeySearch::GeoRadius => {
            out.push(1);
            out.extend(georadius_store(args));
        }
        KeySearch::Migrate => migrate_keys(args, out),
        KeySearch::Streams => stream_keys(args, out),
    }
}

/// The arguments that are patterns of keys: those of SORT behind BY and GET.
pub fn key_patterns(command: &super::Command, args: Args<'_>) -> Vec<u32> {
    if !matches!(command.search, Some(KeySearch::Sort | KeySearch::SortReadOnly)) {
        return Vec::new();
    }
    let (mut patterns, mut at) = (Vec::new(), 2);
    while at + 1 < args.len() {
        let is = |name: &[u8]| args.get(at).eq_ignore_ascii_case(name);
        let value = args.get(at + 1);
        if is(b"limit") {
            at += 2;
        } else if is(b"by") || is(b"get") || is(b"store") {
            // Without a star BY means no order, and a lone # the element itself.
            let is_pattern = if is(b"by") { value.contains(&b'*') } else { value != b"#" };
            if is_pattern && !is(b"store") {
                patterns.push(at as u32 + 1);
            }
            at += 1;
        }
        at += 1;
    }
    patterns
}

/// What the command does with the `nth` key that was found.
pub(super) fn flags(search: KeySearch, args: Args<'_>, nth: usize) -> KeyFlags {
    match search {
        KeySearch::Set => set_flags(args),
        KeySearch::BitField => bitfield_flags(args),
        KeySearch::Sort if nth > 0 => KeyFlags::of("OW update"),
        KeySearch::Sort | KeySearch::SortReadOnly => KeyFlags::of("RO access"),
        KeySearch::Migrate => KeyFlags::of("RW access delete"),
        KeySearch::GeoRadius | KeySearch::Streams => KeyFlags::EMPTY,
    }
}

/// The key after the last STORE of SORT; the arguments of other options are skipped.
fn sort_store(args: Args<'_>) -> Option<u32> {
    let mut store = None;
    let mut i = 2;
    while i < args.len() {
        let word = args.get(i);
        if word.eq_ignore_ascii_case(b"limit") {
            i += 2;
        } else if word.eq_ignore_ascii_case(b"get") || word.eq_ignore_ascii_case(b"by") {
            i += 1;
        } else if word.eq_ignore_ascii_case(b"store") && i + 1 < args.len() {
            // The word after it is looked at again, as Redis does.
            store = Some(i as u32 + 1);
        }
        i += 1;
    }
    store
}

fn georadius_store(args: Args<'_>) -> Option<u32> {
    let mut store = None;
    let mut i = 5;
    while i + 1 < args.len() {
        let word = args.get(i);
        if word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist") {
            i += 1;
            store = Some(i as u32);
        }
        i += 1;
    }
    store
}

fn migrate_keys(args: Args<'_>, out: &mut Vec<u32>) {
    let mut i = 6;
    while i < args.len() {
        let word = args.get(i);
        if word.eq_ignore_ascii_case(b"keys") {
            // With KEYS the third argument has to be empty; else the node answers the mistake.
            if args.get(3).is_empty() {
                out.extend(i as u32 + 1..args.len() as u32);
            }
            return;
        } else if word.eq_ignore_ascii_case(b"auth") {
            i += 1;
        } else if word.eq_ignore_ascii_case(b"auth2") {
            i += 2;
        }
        i += 1;
    }
    out.push(3);
}

fn stream_keys(args: Args<'_>, out: &mut Vec<u32>) {
    let Some(options) = stream_options(args) else { return };
    let first = options.streams + 1;
    let after = args.len() - first;
    if after.is_multiple_of(2) {
        out.extend(first as u32..(first + after / 2) as u32);
    }
}

/// The options of XREAD and XREADGROUP that matter here.
struct StreamOptions {
    /// Where STREAMS is.
    streams: usize,
    /// Where the time-out behind BLOCK is, if that was among the options.
    block: Option<usize>,
}

/// Reads the options up to STREAMS, which may also be the name of a group or of a stream.
/// `None` when the node will answer a syntax error.
fn stream_options(args: Args<'_>) -> Option<StreamOptions> {
    let mut block = None;
    let mut i = 1;
    while i < args.len() {
        let word = args.get(i);
        let is = |option: &[u8]| word.eq_ignore_ascii_case(option);
        if is(b"streams") {
            return Some(StreamOptions { streams: i, block });
        } else if is(b"block") {
            i += 1;
            block = Some(i);
        } else if is(b"count") || is(b"claim") {
            i += 1;
        } else if is(b"group") {
            i += 2;
        } else if !is(b"noack") {
            return None;
        }
        i += 1;
    }
    None
}

/// Where the time-out of an XREAD or XREADGROUP with the option BLOCK is, and where its streams begin.
/// A request without STREAMS does not wait: the node answers a syntax error.
pub fn block_option(args: Args<'_>) -> Option<(usize, usize)> {
    let options = stream_options(args)?;
    Some((options.block?, options.streams + 1))
}

fn set_flags(args: Args<'_>) -> KeyFlags {
    if (3..args.len()).any(|i| args.get(i).eq_ignore_ascii_case(b"get")) {
        KeyFlags::of("RW access update")
    } else {
        KeyFlags::of("OW update")
    }
}

fn bitfield_flags(args: Args<'_>) -> KeyFlags {
    let mut i = 2;
    while i < args.len() {
        let word = args.get(i);
        let left = args.len() - i - 1;
        if word.eq_ignore_ascii_case(b"get") && left >= 2 {
            i += 3;
        } else if word.eq_ignore_ascii_case(b"overflow") && left >= 1 {
            i += 2;
        } else {
            return KeyFlags::of("RW access update");
        }
    }
    KeyFlags::of("RO access")
}
