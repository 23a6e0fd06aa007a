//! Tables of cases: requests, and where their keys are.

use super::*;
use crate::command::CommandTable;

/// A request's words in one buffer.
struct Request {
    bytes: Vec<u8>,
    ranges: Vec<(u32, u32)>,
}

impl Request {
    /// Words between spaces; `''` is an empty word.
    fn of(text: &str) -> Request {
        let mut request = Request { bytes: Vec::new(), ranges: Vec::new() };
        for word in text.split(' ') {
            let start = request.bytes.len() as u32;
            request.bytes.extend(if word == "''" { b"" } else { word.as_bytes() });
            request.ranges.push((start, request.bytes.len() as u32));
        }
        request
    }

    fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges)
    }
}

fn found(table: &CommandTable, text: &str) -> Result<Vec<u32>, KeyError> {
    let request = Request::of(text);
    let (_, command) = table.lookup(request.args()).expect(text);
    let mut out = vec![77];
    positions(command, request.args(), &mut out)?;
    if let Some(only) = command.only_key() {
        assert_eq!(out, [only], "{text}");
    }
    Ok(out)
}

#[test]
fn keys_of_requests() {
    let table = CommandTable::builtin();
    let cases: &[(&str, &[u32])] = &[
        ("GET a", &[1]),
        ("SET a b GET", &[1]),
        ("DEL a", &[1]),
        ("MGET a b c", &[1, 2, 3]),
        ("MSET a 1 b 2", &[1, 3]),
        ("MSETEX 2 a 1 b 2 EX 10", &[2, 4]),
        ("RENAME a b", &[1, 2]),
        ("BLPOP a b 0", &[1, 2]),
        ("BITOP AND d a b", &[2, 3, 4]),
        ("OBJECT ENCODING a", &[2]),
        ("XGROUP CREATE a g $", &[2]),
        ("MEMORY USAGE a", &[2]),
        ("SPUBLISH channel message", &[1]),
        ("PFMERGE d", &[1]),
        ("PFMERGE d a b", &[1, 2, 3]),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &[1, 3, 4]),
        ("ZUNION 2 a b WITHSCORES", &[2, 3]),
        ("ZINTERCARD 1 a LIMIT 3", &[2]),
        ("LMPOP 2 a b LEFT", &[2, 3]),
        ("BZMPOP 0 2 a b MIN", &[3, 4]),
        ("EVAL script 2 a b c", &[3, 4]),
        ("EVAL script 0 c", &[]),
        ("FCALL f 1 a", &[3]),
        ("SORT a", &[1]),
        ("SORT a STORE", &[1]),
        ("SORT a BY store GET store STORE d", &[1, 7]),
        ("SORT a STORE x STORE d", &[1, 5]),
        ("SORT a LIMIT store 1 STORE d", &[1, 6]),
        ("SORT_RO a BY w_* GET x", &[1]),
        ("GEORADIUS a 1 2 3 m STORE d", &[1, 7]),
        ("GEORADIUS a 1 2 3 m STORE x STOREDIST d", &[1, 9]),
        ("GEORADIUS a 1 2 3 m STORE", &[1]),
        ("GEORADIUSBYMEMBER a b 3 m STOREDIST d", &[1, 6]),
        ("GEORADIUSBYMEMBER a store 3 m", &[1]),
        ("GEOSEARCHSTORE d a FROMMEMBER x BYRADIUS 1 m", &[1, 2]),
        ("MIGRATE h 1 a 0 10", &[3]),
        ("MIGRATE h 1 '' 0 10 COPY KEYS a b", &[8, 9]),
        ("MIGRATE h 1 '' 0 10 AUTH keys KEYS a", &[9]),
        ("MIGRATE h 1 '' 0 10 AUTH2 keys keys KEYS a", &[10]),
        ("XREAD STREAMS a b 0 0", &[2, 3]),
        ("XREAD COUNT 2 BLOCK 5 STREAMS streams 0", &[6]),
        ("XREADGROUP GROUP streams c NOACK STREAMS a >", &[6]),
        ("XREADGROUP GROUP g c CLAIM 10 STREAMS a >", &[7]),
        ("VSIM a ELE b", &[1]),
        ("PING", &[]),
        ("FLUSHALL", &[]),
        ("CONFIG GET a", &[]),
    ];
    for &(text, keys) in cases {
        assert_eq!(found(&table, text).as_deref(), Ok(keys), "{text}");
    }
}

#[test]
fn malformed_requests_have_no_keys() {
    let table = CommandTable::builtin();
    for text in [
        "ZUNION 0 a",
        "ZUNION 3 a b",
        "ZUNION x a",
        "ZUNION -1 a",
        "ZUNION 9223372036854775807 a",
        "ZUNION 99999999999999999999999 a",
        "ZUNIONSTORE d 5 a",
        "MSETEX 2 a 1 b",
        "MIGRATE h 1 a 0 10 KEYS b",
        "MIGRATE h 1 '' 0 10 KEYS",
        "XREAD STREAMS a b 0",
        "XREAD COUNT 1 a 0",
        "XREADGROUP GROUP g c x STREAMS a 0",
    ] {
        assert_eq!(found(&table, text), Err(KeyError::LetNodeAnswer), "{text}");
    }
    // Scripts need no keys, so nothing tells a wrong number from none.
    assert_eq!(found(&table, "EVAL script x a"), Ok(vec![]));
    assert_eq!(found(&table, "EVAL script 2 a"), Ok(vec![]));
    // A node reads numbers as C does when it looks for keys.
    assert_eq!(found(&table, "ZUNION +1x a"), Ok(vec![2]));
    assert_eq!(found(&table, "ZUNION 4294967297 a"), Ok(vec![2]));
}

#[test]
fn uneven_groups_are_neither_sent_nor_taken_apart() {
    let table = CommandTable::builtin();
    for name in ["mset", "msetnx"] {
        let error = found(&table, &format!("{name} a 1 b")).unwrap_err();
        assert_eq!(error, KeyError::UnevenGroups);
        let command = table.get(table.by_name(name).unwrap()).unwrap();
        let text = format!("ERR wrong number of arguments for '{name}' command");
        assert_eq!(error.text(command), Some(text));
        assert_eq!(KeyError::LetNodeAnswer.text(command), None);
    }
}

#[test]
fn requests_that_wait() {
    let cases = [
        ("XREAD BLOCK 0 STREAMS a 0", true),
        ("XREAD count 1 block 0 streams a 0", true),
        ("XREADGROUP GROUP block c STREAMS a 0", false),
        ("XREAD STREAMS block 0", false),
        ("XREAD BLOCK 0 a 0", false),
        ("XREADGROUP GROUP g c CLAIM 5 BLOCK 0 STREAMS a >", true),
    ];
    for (text, blocks) in cases {
        assert_eq!(block_option(Request::of(text).args()).is_some(), blocks, "{text}");
    }
}

#[test]
fn flags_of_reported_keys() {
    let table = CommandTable::builtin();
    let cases = [
        ("SET a b", "OW update"),
        ("SET a b EX 1 GET", "RW access update"),
        ("BITFIELD a GET u4 0 OVERFLOW WRAP GET u4 0", "RO access"),
        ("BITFIELD a GET u4 0 SET u4 0 1", "RW access update"),
        ("BITFIELD a GET u4", "RW access update"),
        ("SORT a", "RO access"),
        ("GET a", "RO access"),
    ];
    for (text, flags) in cases {
        let request = Request::of(text);
        let (_, command) = table.lookup(request.args()).expect(text);
        assert_eq!(reported(command, request.args()), Ok(vec![(1, KeyFlags::of(flags))]), "{text}");
    }
}

#[test]
fn reported_errors() {
    let table = CommandTable::builtin();
    let cases = [
        ("PING", GetKeysError::NoKeyArguments),
        ("SPUBLISH a b", GetKeysError::NoKeyArguments),
        ("ZUNION x a", GetKeysError::InvalidArguments),
    ];
    for (text, error) in cases {
        let request = Request::of(text);
        let (_, command) = table.lookup(request.args()).expect(text);
        assert_eq!(reported(command, request.args()), Err(error), "{text}");
    }
}

/// Specs that no server has sent yet, and requests they do not fit: nothing may panic, and every
/// index has to be that of an argument.
#[test]
fn any_spec_on_any_request() {
    let mut random = fastrand::Rng::with_seed(4);
    let words = ["a", "0", "1", "2", "7", "-1", "x", "KEYS", "streams", "99999999999"];
    for _ in 0..20_000 {
        let number = |random: &mut fastrand::Rng| random.i32(-9..9);
        let begin = match random.u8(0..3) {
            0 => BeginSearch::Index(random.u32(1..9)),
            1 => BeginSearch::Keyword { keyword: Keyword::of("keys"), from: number(&mut random) },
            _ => BeginSearch::Unknown,
        };
        let step = random.u32(0..4);
        let find = if random.bool() {
            FindKeys::Range { last: number(&mut random), step, limit: random.u32(0..4) }
        } else {
            FindKeys::KeyNum { index: random.u32(0..9), first: random.u32(0..9), step }
        };
        let spec = KeySpec { flags: KeyFlags::EMPTY, begin, find };
        let count = random.usize(1..12);
        let text: Vec<_> = (0..count).map(|_| words[random.usize(0..words.len())]).collect();
        let request = Request::of(&text.join(" "));
        let mut out = Vec::new();
        let fits = spec_keys(&spec, request.args(), atoi, &mut out);
        assert!(out.iter().all(|&index| (index as usize) < count), "{spec:?} {text:?} {out:?}");
        assert!(fits || out.is_empty());
    }
}

#[test]
fn legacy_numbers() {
    let table = CommandTable::builtin();
    let cases = [
        ("get", [1, 1, 1], false),
        ("mset", [1, -1, 2], false),
        ("blpop", [1, -2, 1], false),
        ("rename", [1, 2, 1], false),
        ("bitop", [2, -1, 1], false),
        ("zunionstore", [1, 1, 1], true),
        ("eval", [0, 0, 0], true),
        ("ping", [0, 0, 0], false),
    ];
    for (name, legacy, movable) in cases {
        let command = table.get(table.by_name(name).unwrap()).unwrap();
        assert_eq!(command.legacy_keys, legacy, "{name}");
        assert_eq!(command.flags.contains(Flags::MOVABLEKEYS), movable, "{name}");
    }
}
