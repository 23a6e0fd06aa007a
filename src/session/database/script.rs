//! Clients' scripts in a database with a tag.
//!
//! Owns the prelude that stands before a script's text: it makes redis.call and redis.pcall add the tag to
//! keys, where the command table says that they are, and take it from replies, so that the script sees
//! what it would see at a lone server. It is one line, so that a script's lines keep their numbers. To a
//! client its script has the SHA1 that it always has.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::reply::by_client_digest;
use super::tagged::{Tagged, Translation};
use super::whole;
use crate::builtin::answer::NOT_AN_INTEGER;
use crate::command::CommandTable;
use crate::command::lua_keys::LuaKeys;
use crate::database::Database;
use crate::reply::handle::OnFailure;
use crate::resp::number::parse_integer;
use crate::resp::{Args, write};
use crate::router::ScriptCache;

const PRELUDE: &str = include_str!("prelude.lua");
/// Scripts that a worker remembers in their other form.
const KNOWN_MAX: usize = 4096;
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The scripts of a worker's clients.
#[derive(Debug, Default)]
pub struct Scripts {
    /// The SHA1 of a script behind the prelude, by database, the SHA1 that clients know, and the node
    /// that has been sent its text. A node that has not is sent it at once: told the SHA1 alone it
    /// would decline, and what the client has sent behind the script would run before it.
    known: HashMap<(usize, String, Arc<str>), Rc<str>>,
    preludes: HashMap<usize, Rc<str>>,
    keys: Option<Rc<LuaKeys>>,
}

impl Scripts {
    /// EVAL or EVALSHA.
    pub(super) fn eval(
        &mut self,
        (database, node): (&Arc<Database>, &Arc<str>),
        args: Args<'_>,
        cache: &ScriptCache,
        by_digest: bool,
    ) -> Translation {
        let count = match parse_integer(args.get(2)) {
            None => return Translation::Refuse(NOT_AN_INTEGER.to_owned()),
            Some(count) if count < 0 => {
                return Translation::Refuse("ERR Number of keys can't be negative".to_owned());
            }
            Some(count) => count as usize,
        };
        if count > args.len() - 3 {
            let text = "ERR Number of keys can't be greater than number of args";
            return Translation::Refuse(text.to_owned());
        }
        let words: Vec<&[u8]> = args.iter().collect();
        let (text, digest) = match by_digest {
            true => match cache.text(args.get(1)) {
                None => return Translation::Refuse(NO_SCRIPT.to_owned()),
                Some(text) => (text, String::from_utf8_lossy(args.get(1)).to_ascii_lowercase()),
            },
            false => {
                cache.learn(args.get(1));
                (args.get(1).into(), digest_of(args.get(1)))
            }
        };
        self.run((database, node), (&text, digest), (&words, count), cache)
    }

    /// A call of the function that this script stands for: the words of FCALL.
    pub(super) fn call(
        &mut self,
        place: (&Arc<Database>, &Arc<str>),
        text: &[u8],
        words: &[&[u8]],
        cache: &ScriptCache,
    ) -> Translation {
        let count = match parse_integer(words.get(2).copied().unwrap_or_default()) {
            None => return Translation::Refuse("ERR Bad number of keys provided".to_owned()),
            Some(count) if count < 0 => {
                return Translation::Refuse("ERR Number of keys can't be negative".to_owned());
            }
            Some(count) => count as usize,
        };
        if count > words.len() - 3 {
            let text = "ERR Number of keys can't be greater than number of args";
            return Translation::Refuse(text.to_owned());
        }
        self.run(place, (text, digest_of(text)), (words, count), cache)
    }

    /// Runs a script that clients know by this SHA1, with so many keys from the fourth word on.
    fn run(
        &mut self,
        (database, node): (&Arc<Database>, &Arc<str>),
        (text, digest): (&[u8], String),
        (words, count): (&[&[u8]], usize),
        cache: &ScriptCache,
    ) -> Translation {
        let key = (database.number, digest, Arc::clone(node));
        let is_kept = self.known.get(&key).is_some_and(|sent| cache.knows(sent.as_bytes()));
        let (sent, with_text) = match self.known.get(&key).filter(|_| is_kept) {
            Some(sent) => (Rc::clone(sent), None),
            None => {
                let behind = self.behind_prelude(database, text);
                let sent: Rc<str> = digest_of(&behind).into();
                cache.learn(&behind);
                if self.known.len() >= KNOWN_MAX {
                    self.known.clear();
                }
                self.known.insert(key.clone(), Rc::clone(&sent));
                (sent, Some(behind))
            }
        };
        let (_, digest, _) = key;
        let is_read_only = words[0].to_ascii_lowercase().ends_with(b"_ro");
        let mut frame = Vec::new();
        write::array_len(&mut frame, words.len() + 1);
        match &with_text {
            Some(text) => {
                write::bulk(&mut frame, if is_read_only { b"EVAL_RO" } else { b"EVAL" });
                write::bulk(&mut frame, text);
            }
            None => {
                write::bulk(&mut frame, if is_read_only { b"EVALSHA_RO" } else { b"EVALSHA" });
                write::bulk(&mut frame, sent.as_bytes());
            }
        }
        write::bulk(&mut frame, (count + 1).to_string().as_bytes());
        write::bulk(&mut frame, &whole::sentinel(database));
        for (at, word) in words.iter().enumerate().skip(3) {
            match at < 3 + count {
                true => write::bulk(&mut frame, &database.key(word)),
                false => write::bulk(&mut frame, word),
            }
        }
        let on_failure =
            if is_read_only { OnFailure::ReadOnlyWholeSlot } else { OnFailure::WholeSlot };
        let rename = Some(by_client_digest(&sent, &digest));
        Translation::Tagged(Tagged { frame, on_failure: Some(on_failure), rename })
    }

    /// The script behind the prelude of a database. A first line that says how it is to run stays first.
    fn behind_prelude(&mut self, database: &Database, text: &[u8]) -> Vec<u8> {
        let keys = Rc::clone(
            self.keys.get_or_insert_with(|| Rc::new(LuaKeys::new(&CommandTable::builtin()))),
        );
        let prelude =
            self.preludes.entry(database.number).or_insert_with(|| prelude(database, &keys).into());
        let first = match text.starts_with(b"#!") {
            true => text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1),
            false => 0,
        };
        let (head, body) = text.split_at(first);
        [head, prelude.as_bytes(), body].concat()
    }
}

fn digest_of(text: &[u8]) -> String {
    sha1_smol::Sha1::from(text).digest().to_string()
}

/// The prelude of a database, in one line.
fn prelude(database: &Database, keys: &LuaKeys) -> String {
    let mut line = String::with_capacity(PRELUDE.len());
    for part in PRELUDE.lines().filter(|part| !part.starts_with("--")) {
        line.push_str(part);
        line.push(' ');
    }
    let tag = format!("'{}'", String::from_utf8_lossy(&database.tag));
    line.replace("@TAG@", &tag)
        .replace("@SLOT@", &database.slot.index().to_string())
        .replace("@NUMBER@", &database.number.to_string())
        .replace("@ONE@", &keys.one)
        .replace("@NONE@", &keys.none)
        .replace("@MORE@", &keys.more)
        .replace("@FIRST@", &keys.named[0])
        .replace("@ITEMS@", &keys.named[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Databases;

    #[test]
    fn a_script_keeps_its_lines() {
        let databases = Databases::new(16, "db");
        let mut scripts = Scripts::default();
        let mut behind = |text: &str| {
            let bytes = scripts.behind_prelude(databases.get(3).unwrap(), text.as_bytes());
            String::from_utf8(bytes).unwrap()
        };
        let plain = behind("return 1\nreturn 2");
        assert_eq!(plain.lines().count(), 2);
        assert!(plain.lines().next().unwrap().ends_with(" return 1"), "{plain}");
        assert!(!plain.contains('@') && plain.contains("{db3.1318}"));
        let flagged = behind("#!lua flags=no-writes\nreturn 1");
        assert!(flagged.starts_with("#!lua flags=no-writes\nlocal redis,KEYS="));
        assert!(flagged.ends_with(" return 1"));
        assert_eq!(flagged.lines().count(), 2);
    }
}
