//! Keys in replies, as the client of a database knows them.
//!
//! Owns the taking away of the tag where a reply names keys, and what becomes of lists of all keys. Pure:
//! frames in, frames out. A frame that is not as expected stays as it is.

use std::sync::Arc;

use crate::command::ReplyKeys;
use crate::database::Database;
use crate::glob::{self, Case};
use crate::reply::merge::{bulk_text, retain};
use crate::resp::frame::{open_array, split_frame};
use crate::resp::number::{Line, integer_line};
use crate::resp::write;

/// What is done with a reply before the client gets it.
pub(in crate::session) use crate::router::blocked::Rename;

/// What becomes of the reply to a command that names keys: in these places, or in its errors.
pub(super) fn rename(
    database: &Arc<Database>,
    keys: ReplyKeys,
    names_in_errors: bool,
) -> Option<Rename> {
    if keys == ReplyKeys::None && !names_in_errors {
        return None;
    }
    let database = Arc::clone(database);
    Some(Box::new(move |reply| {
        let told = match keys {
            ReplyKeys::None => None,
            ReplyKeys::First => first(&database, reply),
            ReplyKeys::OfItems => of_items(&database, reply),
        };
        told.or_else(|| error(&database, reply)).unwrap_or_else(|| reply.to_vec())
    }))
}

/// An error that says a key.
fn error(database: &Database, reply: &[u8]) -> Option<Vec<u8>> {
    let text = reply.first().filter(|kind| **kind == b'-').and(std::str::from_utf8(reply).ok())?;
    let tag = std::str::from_utf8(&database.tag).ok()?;
    Some(text.replace(tag, "").into_bytes())
}

/// An array whose first item is a key.
fn first(database: &Database, reply: &[u8]) -> Option<Vec<u8>> {
    let (_, items) = open_array(reply)?;
    let (key, rest) = split_frame(items)?;
    let mut out = reply[..reply.len() - items.len()].to_vec();
    write_shown(&mut out, database, key);
    out.extend_from_slice(rest);
    Some(out)
}

/// An array whose items begin with a key each, or a map of keys.
fn of_items(database: &Database, reply: &[u8]) -> Option<Vec<u8>> {
    let is_map = reply.first() == Some(&b'%');
    let (count, mut rest) = open_any(reply)?;
    let mut out = reply[..reply.len() - rest.len()].to_vec();
    for _ in 0..count {
        let (item, after) = split_frame(rest)?;
        if is_map {
            let (value, after) = split_frame(after)?;
            write_shown(&mut out, database, item);
            out.extend_from_slice(value);
            rest = after;
        } else {
            out.extend_from_slice(&first(database, item)?);
            rest = after;
        }
    }
    Some(out)
}

/// The number of items of an array, or of pairs of a map, and what they are.
fn open_any(reply: &[u8]) -> Option<(usize, &[u8])> {
    let Line::Integer { value, len } = integer_line(reply) else { return None };
    let count = usize::try_from(value).ok()?;
    matches!(reply.first(), Some(b'*' | b'%')).then(|| (count, &reply[len..]))
}

fn write_shown(out: &mut Vec<u8>, database: &Database, key: &[u8]) {
    match bulk_text(key) {
        Some(name) => write::bulk(out, database.shown(name)),
        None => out.extend_from_slice(key),
    }
}

/// What becomes of the list of all keys for KEYS: those that fit the pattern.
pub(super) fn fitting(pattern: &[u8]) -> Rename {
    let pattern = pattern.to_vec();
    Box::new(move |reply| {
        retain(reply, &|key| glob::matches(&pattern, key, Case::Matters))
            .unwrap_or_else(|| reply.to_vec())
    })
}

/// What becomes of the list of all keys for SCAN: one page that has all, and no further one.
pub(super) fn page(pattern: Option<&[u8]>) -> Rename {
    let pattern = pattern.map(<[u8]>::to_vec);
    Box::new(move |reply| {
        let fits = |key: &[u8]| {
            pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, key, Case::Matters))
        };
        let Some(keys) = retain(reply, &fits) else { return reply.to_vec() };
        let mut out = Vec::new();
        write::array_len(&mut out, 2);
        write::bulk(&mut out, b"0");
        out.extend_from_slice(&keys);
        out
    })
}

/// What becomes of what a script says: an error names the script by the SHA1 that the client knows.
pub(super) fn by_client_digest(sent: &str, known: &str) -> Rename {
    let (sent, known) = (sent.to_owned(), known.to_owned());
    Box::new(move |reply| {
        if reply.first() != Some(&b'-') {
            return reply.to_vec();
        }
        match std::str::from_utf8(reply) {
            Ok(text) => text.replace(&sent, &known).into_bytes(),
            Err(_) => reply.to_vec(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Databases;

    fn database() -> Arc<Database> {
        Arc::clone(Databases::new(16, "db").get(1).unwrap())
    }

    fn renamed(keys: ReplyKeys, reply: &str) -> String {
        let database = database();
        let tag = String::from_utf8(database.tag.to_vec()).unwrap();
        let reply = reply.replace("12\r\n@", &format!("{}\r\n{tag}", tag.len() + 1));
        let rename = rename(&database, keys, true).unwrap();
        String::from_utf8(rename(reply.as_bytes())).unwrap()
    }

    #[test]
    fn keys_lose_their_tag() {
        assert_eq!(
            renamed(ReplyKeys::First, "*2\r\n$12\r\n@k\r\n$1\r\nv\r\n"),
            "*2\r\n$1\r\nk\r\n$1\r\nv\r\n"
        );
        assert_eq!(
            renamed(ReplyKeys::OfItems, "*2\r\n*2\r\n$12\r\n@a\r\n*0\r\n*2\r\n$12\r\n@b\r\n*0\r\n"),
            "*2\r\n*2\r\n$1\r\na\r\n*0\r\n*2\r\n$1\r\nb\r\n*0\r\n"
        );
        assert_eq!(
            renamed(ReplyKeys::OfItems, "%1\r\n$12\r\n@a\r\n*1\r\n$1\r\nx\r\n"),
            "%1\r\n$1\r\na\r\n*1\r\n$1\r\nx\r\n"
        );
        for other in
            ["*-1\r\n", "$-1\r\n", "_\r\n", "-ERR x\r\n", "*0\r\n", "*2\r\n$1\r\n", ":1\r\n"]
        {
            assert_eq!(renamed(ReplyKeys::First, other), other);
            assert_eq!(renamed(ReplyKeys::OfItems, other), other);
        }
    }

    #[test]
    fn errors_lose_it_too() {
        let database = database();
        let tag = String::from_utf8(database.tag.to_vec()).unwrap();
        let said = format!("-NOGROUP No such key '{tag}k' or consumer group 'g'\r\n");
        for keys in [ReplyKeys::None, ReplyKeys::OfItems] {
            let told = rename(&database, keys, true).unwrap()(said.as_bytes());
            assert_eq!(told, b"-NOGROUP No such key 'k' or consumer group 'g'\r\n");
        }
        assert!(rename(&database, ReplyKeys::None, false).is_none());
    }

    #[test]
    fn lists_of_all_keys_are_filtered() {
        let all = b"*3\r\n$2\r\nka\r\n$1\r\nx\r\n$2\r\nkb\r\n";
        assert_eq!(fitting(b"k*")(all), b"*2\r\n$2\r\nka\r\n$2\r\nkb\r\n");
        assert_eq!(page(Some(b"x"))(all), b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n");
        assert_eq!(page(None)(b"-ERR\r\n"), b"-ERR\r\n");
    }

    #[test]
    fn errors_name_the_clients_script() {
        let rename = by_client_digest("aaa", "bbb");
        assert_eq!(rename(b"-ERR x script: aaa, on\r\n"), b"-ERR x script: bbb, on\r\n");
        assert_eq!(by_client_digest("aaa", "bbb")(b"$3\r\naaa\r\n"), b"$3\r\naaa\r\n");
    }
}
