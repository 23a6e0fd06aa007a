//! The rows of the command table: what Redis and Valkey know, and what the gateway does with it.
//!
//! Owns the form of a row and the list of groups. Every file below it is data only, one file for
//! each group of Redis's documentation, sorted by name with
//! subcommands behind their container. The columns of a row, in order: name,
//! arity (the command's name counts; negative: at least so many), flags, categories of access
//! control beyond those that follow from flags. After them, where there is something to say:
//! key specs, tips, where replies name keys, and who answers when the command is not simply sent on.
//!
//! The rows say what the newest stable Redis and Valkey say. `tests/command_table.rs` compares
//! them with a running server.

mod arrays;
mod bitmaps;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hashes;
mod hyperloglog;
mod lists;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;
mod vector_sets;

use super::columns::{Categories, Flags, Tips};
use super::handling::{Handling, Local, Refusal, ReplyKeys, Way};
use super::key_search::KeySearch;
use super::key_spec::{BeginSearch, FindKeys, KeyFlags, KeySpec, Keyword};

/// All rows, group by group.
pub(super) const GROUPS: [&[Row]; 18] = [
    arrays::ROWS,
    bitmaps::ROWS,
    cluster::ROWS,
    connection::ROWS,
    generic::ROWS,
    geo::ROWS,
    hashes::ROWS,
    hyperloglog::ROWS,
    lists::ROWS,
    pubsub::ROWS,
    scripting::ROWS,
    server::ROWS,
    sets::ROWS,
    sorted_sets::ROWS,
    streams::ROWS,
    strings::ROWS,
    transactions::ROWS,
    vector_sets::ROWS,
];

/// One row, as written down.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) arity: i16,
    pub(super) flags: Flags,
    pub(super) categories: Categories,
    pub(super) keys: &'static [KeySpec],
    pub(super) search: Option<KeySearch>,
    pub(super) tips: Tips,
    pub(super) handling: Handling,
    pub(super) reply_keys: ReplyKeys,
}

/// A row without keys that is sent on.
const fn cmd(name: &'static str, arity: i16, flags: &str, categories: &str) -> Row {
    Row {
        name,
        arity,
        flags: Flags::of(flags),
        categories: Categories::of(categories),
        keys: &[],
        search: None,
        tips: Tips::EMPTY,
        handling: Handling::Route,
        reply_keys: ReplyKeys::None,
    }
}

impl Row {
    const fn keys(mut self, keys: &'static [KeySpec]) -> Row {
        self.keys = keys;
        self
    }

    /// Keys that the specs do not tell exactly.
    const fn search(mut self, search: KeySearch) -> Row {
        self.search = Some(search);
        self
    }

    const fn tips(mut self, tips: &str) -> Row {
        self.tips = Tips::of(tips);
        self
    }

    const fn handled(mut self, handling: Handling) -> Row {
        self.handling = handling;
        self
    }

    /// The reply names keys.
    const fn names(mut self, keys: ReplyKeys) -> Row {
        self.reply_keys = keys;
        self
    }

    const fn local(self, local: Local) -> Row {
        self.handled(Handling::Local(local))
    }

    /// Refused unless the configuration allows it.
    const fn guarded(self, way: Way) -> Row {
        self.handled(Handling::Guarded(way))
    }

    const fn refuse(self, refusal: Refusal) -> Row {
        self.handled(Handling::Refuse(refusal))
    }
}

/// One key, at argument `index`.
const fn at(flags: &str, index: u32) -> KeySpec {
    range(flags, index, 0, 1)
}

/// Keys from argument `index` to `last` (counted from `index`, or from the end when negative),
/// every `step` arguments.
const fn range(flags: &str, index: u32, last: i32, step: u32) -> KeySpec {
    KeySpec {
        flags: KeyFlags::of(flags),
        begin: BeginSearch::Index(index),
        find: FindKeys::Range { last, step, limit: 0 },
    }
}

/// The number of keys at argument `index`, then the keys, every `step` arguments.
const fn counted(flags: &str, index: u32, step: u32) -> KeySpec {
    KeySpec {
        flags: KeyFlags::of(flags),
        begin: BeginSearch::Index(index),
        find: FindKeys::KeyNum { index: 0, first: 1, step },
    }
}

/// Keys after a keyword, which is looked for from argument `from` on (from the end, backwards,
/// when negative); with a `limit` of 2, the first half of what follows.
const fn after(flags: &str, keyword: &str, from: i32, last: i32, limit: u32) -> KeySpec {
    KeySpec {
        flags: KeyFlags::of(flags),
        begin: BeginSearch::Keyword { keyword: Keyword::of(keyword), from },
        find: FindKeys::Range { last, step: 1, limit },
    }
}

/// Keys that a spec cannot tell.
const fn unknown(flags: &str) -> KeySpec {
    KeySpec { flags: KeyFlags::of(flags), begin: BeginSearch::Unknown, find: FindKeys::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        for group in GROUPS {
            for pair in group.windows(2) {
                let [a, b] = [pair[0].name, pair[1].name];
                assert!(a.split('|').lt(b.split('|')), "{a} {b}");
            }
        }
        let mut names: Vec<_> = GROUPS.iter().flat_map(|g| g.iter()).map(|row| row.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn names_are_lower_case_and_every_container_is_a_row() {
        let names: std::collections::HashSet<_> =
            GROUPS.iter().flat_map(|g| g.iter()).map(|row| row.name).collect();
        for name in &names {
            assert_eq!(**name, name.to_ascii_lowercase());
            if let Some((container, _)) = name.split_once('|') {
                assert!(names.contains(container), "{name}");
            }
        }
    }
}
