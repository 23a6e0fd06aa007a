//! SLOWLOG GET over all nodes: the latest entries of all of them, as many as one Redis would tell.
//!
//! Owns their order and number, and that keys of databases other than 0 are told as clients name them.
//! Pure.

use crate::database::Databases;
use crate::resp::frame::{open_array, split_frame};
use crate::resp::number::{Line, integer_line, parse_integer};
use crate::resp::{Args, write};

/// How many entries Redis tells when nobody says how many.
const COUNT: usize = 10;

/// How many entries are asked for. What is no number is for the nodes to refuse.
pub(crate) fn count_of(args: Args<'_>) -> usize {
    match args.len() {
        ..=2 => COUNT,
        _ => parse_integer(args.get(2)).map_or(COUNT, |n| usize::try_from(n).unwrap_or(usize::MAX)),
    }
}

/// Where an entry has the words of its command.
const WORDS_AT: usize = 3;

/// One reply of those of all nodes, the latest entries first. An error of one of them is the reply;
/// `None` when one does not have the shape of a slow log.
pub(crate) fn merge(parts: &[&[u8]], count: usize, databases: &Databases) -> Option<Vec<u8>> {
    if let Some(error) = parts.iter().find(|part| part.starts_with(b"-")) {
        return Some(error.to_vec());
    }
    let mut entries = Vec::new();
    for part in parts {
        let (len, mut rest) = open_array(part)?;
        for _ in 0..len {
            let (entry, after) = split_frame(rest)?;
            entries.push((time_of(entry)?, entry));
            rest = after;
        }
    }
    // Those of one node are in order already, and stay so.
    entries.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    entries.truncate(count);
    let mut out = Vec::new();
    write::array_len(&mut out, entries.len());
    for (_, entry) in entries {
        tell(&mut out, entry, databases)?;
    }
    Some(out)
}

/// Appends an entry, its keys without the tags of their databases.
fn tell(out: &mut Vec<u8>, entry: &[u8], databases: &Databases) -> Option<()> {
    let (fields, mut rest) = open_array(entry)?;
    write::array_len(out, fields);
    for field in 0..fields {
        let (frame, after) = split_frame(rest)?;
        match field {
            WORDS_AT => tell_words(out, frame, databases)?,
            _ => out.extend_from_slice(frame),
        }
        rest = after;
    }
    Some(())
}

fn tell_words(out: &mut Vec<u8>, words: &[u8], databases: &Databases) -> Option<()> {
    let (len, mut rest) = open_array(words)?;
    write::array_len(out, len);
    for _ in 0..len {
        let (frame, after) = split_frame(rest)?;
        match bulk(frame).and_then(|word| Some((word, databases.owner(word)?))) {
            Some((word, owner)) => write::bulk(out, owner.shown(word)),
            None => out.extend_from_slice(frame),
        }
        rest = after;
    }
    Some(())
}

/// The bytes of a bulk string's frame.
fn bulk(frame: &[u8]) -> Option<&[u8]> {
    let line = frame.iter().position(|byte| *byte == b'\n')?;
    frame.strip_prefix(b"$").and(frame.get(line + 1..frame.len().checked_sub(2)?))
}

/// The second element of an entry: when it was, in seconds since 1970.
fn time_of(entry: &[u8]) -> Option<i64> {
    let (_, rest) = open_array(entry)?;
    let (_, rest) = split_frame(rest)?;
    match (rest.first()?, integer_line(rest)) {
        (b':', Line::Integer { value, .. }) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u32, time: u32) -> String {
        format!("*4\r\n:{id}\r\n:{time}\r\n:15\r\n*1\r\n$4\r\nPING\r\n")
    }

    fn merged(parts: &[String], count: usize) -> Option<String> {
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        merge(&parts, count, &Databases::new(16, "db"))
            .map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn the_latest_of_all_come_first() {
        let parts = [
            format!("*3\r\n{}{}{}", entry(3, 50), entry(2, 50), entry(1, 10)),
            "*0\r\n".to_owned(),
            format!("*1\r\n{}", entry(7, 40)),
        ];
        let all = [entry(3, 50), entry(2, 50), entry(7, 40), entry(1, 10)];
        for count in [0, 1, 3, 4, usize::MAX] {
            let some = &all[..count.min(4)];
            let want = format!("*{}\r\n{}", some.len(), some.concat());
            assert_eq!(merged(&parts, count), Some(want), "{count}");
        }
    }

    #[test]
    fn keys_are_told_as_clients_name_them() {
        let databases = Databases::new(16, "db");
        let key = databases.get(9).expect("a database").key(b"k");
        let entry = |key: &[u8]| {
            let mut words = Vec::new();
            write::request(&mut words, &[b"MGET", key, b"{other}k", b""]);
            let end = b"$11\r\n127.0.0.1:1\r\n$0\r\n\r\n";
            [b"*1\r\n*6\r\n:1\r\n:2\r\n:3\r\n".as_slice(), &words, end].concat()
        };
        assert_eq!(merge(&[&entry(&key)], 9, &databases), Some(entry(b"k")));
    }

    #[test]
    fn an_error_is_the_reply_and_what_is_no_slow_log_is_none() {
        let error = "-ERR count should be greater than or equal to -1\r\n";
        assert_eq!(merged(&["*0\r\n".into(), error.into()], 1).as_deref(), Some(error));
        for odd in
            ["+OK\r\n", "*1\r\n", "*1\r\n:1\r\n", "*1\r\n*1\r\n:1\r\n", "*1\r\n*2\r\n:1\r\n+x\r\n"]
        {
            assert_eq!(merged(&[odd.into()], 9), None, "{odd:?}");
        }
    }

    #[test]
    fn so_many_are_told_as_one_redis_tells() {
        let count = |words: &[&str]| {
            let mut bytes = Vec::new();
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            write::request(&mut bytes, &words);
            let mut scanner = crate::resp::RequestScanner::default();
            let limits = crate::resp::request::RequestLimits {
                request_bytes_max: 1000,
                bulk_bytes_max: 1000,
                arguments_max: 10,
                inline_bytes_max: 10,
            };
            scanner.scan(&bytes, &limits, true).expect("a request");
            count_of(scanner.args(&bytes))
        };
        assert_eq!(count(&["SLOWLOG", "GET"]), 10);
        assert_eq!(count(&["SLOWLOG", "GET", "3"]), 3);
        assert_eq!(count(&["SLOWLOG", "GET", "-1"]), usize::MAX);
        assert_eq!(count(&["SLOWLOG", "GET", "x"]), 10);
    }
}
