//! What a reply is wanted for, and what came.
//!
//! Owns these types. Knows no bytes of the protocol.

use std::fmt;

/// What to do with the bytes of a bulk reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want<'a> {
    /// Compare with this value, and store nothing.
    Value(&'a [u8]),
    /// Look at the length alone.
    Length(usize),
    /// The reply is an array of so many; look at the length of each.
    Lengths {
        /// How many.
        count: usize,
        /// How long each of them is.
        length: usize,
        /// What the first of them is, where that is looked at too.
        first: Option<&'a [u8]>,
    },
    /// Any reply at all, of RESP2 or RESP3: look at what it begins with, and store nothing.
    Any,
    /// Store up to so many bytes; drop the rest.
    Keep(usize),
}

impl Want<'_> {
    /// Whether a bulk may be of this length.
    pub(super) fn is_length(self, found: usize) -> bool {
        match self {
            Want::Value(value) => value.len() == found,
            Want::Length(length) | Want::Lengths { length, .. } => length == found,
            Want::Keep(_) | Want::Any => true,
        }
    }
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`, the reply of every good SET: told apart so that it costs no allocation.
    Ok,
    /// Any other status line.
    Status(String),
    /// An error reply's text.
    Error(String),
    /// An integer.
    Integer(i64),
    /// The null bulk: no such key.
    Nil,
    /// A compared bulk: whether length and every byte were as expected.
    Compared {
        /// Its length.
        length: usize,
        /// Whether it was the expected value.
        same: bool,
    },
    /// A kept bulk, cut at the limit.
    Kept(Vec<u8>),
    /// An array whose lengths were wanted.
    Array {
        /// Whether a key was not there.
        missing: bool,
        /// Whether there were as many as wanted, those that were there of the wanted length.
        same: bool,
    },
    /// Several elements of which nothing was wanted.
    Skipped,
}

/// The peer does not speak RESP2 as expected; the connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(pub(super) &'static str);

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "protocol error: {}", self.0)
    }
}

impl std::error::Error for ProtocolError {}
