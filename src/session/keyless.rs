//! Scripts that name no key: they run at one node, and see its part of the keyspace only.
//!
//! Owns what is done about them: whether they run at all, how they are counted, and which of them
//! the log has named. A script is named by its SHA1, as EVALSHA does; its text is its author's, and
//! is never told. Must not know where they are sent.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Session;
use crate::command::{Class, Command};
use crate::config::KeylessScripts;
use crate::reply::texts;
use crate::resp::Args;

/// Scripts that are remembered. When there are as many, no further one is looked at.
const REMEMBERED_MAX: usize = 512;
/// Commands that look at, or change, all that a node has.
const OF_THE_KEYSPACE: [&str; 7] =
    ["keys", "scan", "dbsize", "randomkey", "flushall", "flushdb", "info"];
/// Digits of a SHA1.
const SHA1_DIGITS: usize = 40;
/// Longest name of a function that is told.
const NAME_BYTES_MAX: usize = 128;

/// The scripts that have been looked at: one memory for all clients.
static LOOKED_AT: LazyLock<Mutex<LookedAt>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct LookedAt {
    keys: RandomState,
    /// Hashes of texts and names as they came, so that each is looked at once.
    words: HashSet<u64>,
    /// SHA1s, and names of functions.
    names: HashSet<String>,
}

/// What is told of a script.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Its text has a command of [`OF_THE_KEYSPACE`].
    Names(String, &'static str),
    /// Its text is not there to be looked at.
    Unseen(String),
}

impl Session {
    /// Deals with a request without keys before it goes to one node. Returns the error to answer
    /// with instead, if it is a script and those are refused.
    pub(super) fn note_keyless(&self, command: &Command, args: Args<'_>) -> Option<String> {
        let runs_a_script = command.class == Class::Script && !command.keys.is_empty();
        if !runs_a_script {
            return None;
        }
        if self.env.settings.keyless_scripts == KeylessScripts::Refuse {
            return Some(texts::refused(&command.name, texts::KEYLESS_SCRIPT));
        }
        self.router().stats().keyless_scripts.add(1);
        let finding = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner).look(args.get(1));
        match finding {
            None => {}
            Some(Finding::Names(script, what)) => tracing::warn!(
                script,
                command = what,
                "a script without keys asks for the whole keyspace and sees one node's part of it"
            ),
            Some(Finding::Unseen(script)) => tracing::warn!(
                script,
                "a script or function without keys runs at one node: what it does with the whole \
                 keyspace, if it does, it does with that node's part of it"
            ),
        }
        None
    }
}

impl LookedAt {
    /// What there is to tell of a script, once.
    fn look(&mut self, word: &[u8]) -> Option<Finding> {
        if self.words.len() >= REMEMBERED_MAX || self.names.len() >= REMEMBERED_MAX {
            return None;
        }
        if !self.words.insert(self.keys.hash_one(word)) {
            return None;
        }
        if let Some(name) = name(word) {
            return self.names.insert(name.clone()).then_some(Finding::Unseen(name));
        }
        let sha1 = sha1_smol::Sha1::from(word).digest().to_string();
        self.names.insert(sha1.clone());
        named_in(word).map(|what| Finding::Names(sha1, what))
    }
}

/// A SHA1 or a function's name, if it is one: these are words, and no script is.
fn name(word: &[u8]) -> Option<String> {
    let is_word = word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let text =
        std::str::from_utf8(word).ok().filter(|_| is_word && word.len() <= NAME_BYTES_MAX)?;
    // Redis takes a SHA1 in either case.
    Some(if text.len() == SHA1_DIGITS { text.to_lowercase() } else { text.to_owned() })
}

/// The first command of the keyspace that stands in quotes in a script's text; `KEYS[1]` does not.
fn named_in(text: &[u8]) -> Option<&'static str> {
    let quotes = memchr::memchr2_iter(b'\'', b'"', text);
    quotes.into_iter().find_map(|at| {
        let rest = text.get(at + 1..)?;
        OF_THE_KEYSPACE.into_iter().find(|word| {
            let found = rest.get(..word.len()).unwrap_or_default();
            found.eq_ignore_ascii_case(word.as_bytes()) && rest.get(word.len()) == text.get(at)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_keyspace_are_seen() {
        for (text, want) in [
            ("return redis.call('keys', '*')", Some("keys")),
            ("return #redis.call(\"KEYS\",\"*\")", Some("keys")),
            ("redis.pcall( 'FlushAll' )", Some("flushall")),
            ("return redis.call('SCAN', 0)", Some("scan")),
            ("return KEYS[1]", None),
            ("return redis.call('GET', 'keyspace')", None),
            ("return redis.call('sscan', 'a', 0)", None),
            ("'", None),
            ("'keys", None),
            ("", None),
        ] {
            assert_eq!(named_in(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn a_script_is_told_of_once_by_its_sha1() {
        let mut looked_at = LookedAt::default();
        let text = "return redis.call('DBSIZE')";
        let found = looked_at.look(text.as_bytes());
        let Some(Finding::Names(name, "dbsize")) = found else { panic!("{found:?}") };
        assert_eq!(name, sha1_smol::Sha1::from(text).digest().to_string());
        assert_eq!(looked_at.look(text.as_bytes()), None);
        // The same script by its name.
        assert_eq!(looked_at.look(name.to_uppercase().as_bytes()), None);
        assert_eq!(looked_at.look(b"return 1"), None);
        assert_eq!(looked_at.look(b"my_function"), Some(Finding::Unseen("my_function".to_owned())));
        assert_eq!(looked_at.look(b"my_function"), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut looked_at = LookedAt::default();
        let told = (0..3 * REMEMBERED_MAX)
            .filter(|n| looked_at.look(format!("'keys' {n}").as_bytes()).is_some());
        assert_eq!(told.count(), REMEMBERED_MAX);
        assert_eq!(looked_at.names.len(), REMEMBERED_MAX);
    }
}
