//! The form of a key spec, in Redis's words.
//!
//! Owns what `COMMAND` can say of where keys are. Knows nothing of requests.

use super::words::word_set;

word_set! {
    /// What a command does with a key.
    KeyFlags {
        RO = 0 "RO",
        RW = 1 "RW",
        OW = 2 "OW",
        RM = 3 "RM",
        ACCESS = 4 "access",
        UPDATE = 5 "update",
        INSERT = 6 "insert",
        DELETE = 7 "delete",
        NOT_KEY = 8 "not_key",
        INCOMPLETE = 9 "incomplete",
        VARIABLE_FLAGS = 10 "variable_flags",
    }
}

/// Some of a command's keys: where they begin, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What the command does with them.
    pub flags: KeyFlags,
    /// How the first argument of the spec is found.
    pub begin: BeginSearch,
    /// How the keys are found from there.
    pub find: FindKeys,
}

/// Redis's `begin_search`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument.
    Index(u32),
    /// After a keyword, looked for from argument `from` on; from the end backwards when negative.
    Keyword {
        /// The keyword.
        keyword: Keyword,
        /// Where the search starts.
        from: i32,
    },
    /// The server does not say.
    Unknown,
}

/// Redis's `find_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// From the first argument of the spec to the last.
    Range {
        /// The last: counted from the first, or from the request's end when negative.
        last: i32,
        /// A key, then so many arguments less one that are not.
        step: u32,
        /// With `last` -1: only one part in so many of what follows; 0 and 1 mean all.
        limit: u32,
    },
    /// As many as an argument says.
    KeyNum {
        /// Where the number is, counted from the first argument of the spec.
        index: u32,
        /// Where the first key is, counted likewise.
        first: u32,
        /// As in a range.
        step: u32,
    },
    /// The server does not say.
    Unknown,
}

/// A keyword of at most 15 bytes, kept in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keyword {
    bytes: [u8; 15],
    len: u8,
}

// === impl Keyword ===

impl Keyword {
    /// The keyword, unless it is too long.
    pub const fn new(text: &str) -> Option<Keyword> {
        let from = text.as_bytes();
        let mut bytes = [0; 15];
        if from.len() > bytes.len() {
            return None;
        }
        let mut i = 0;
        while i < from.len() {
            bytes[i] = from[i];
            i += 1;
        }
        Some(Keyword { bytes, len: from.len() as u8 })
    }

    /// For rows of the table: a keyword that is too long stops the compiler.
    pub(crate) const fn of(text: &str) -> Keyword {
        match Keyword::new(text) {
            Some(keyword) => keyword,
            None => panic!("a row of the command table has a keyword that is too long"),
        }
    }

    /// The keyword's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Keyword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.as_bytes()))
    }
}
