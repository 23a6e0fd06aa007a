//! Replies of both protocols, read without any code of the gateway's.

use std::io::BufRead;

/// A reply as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A simple string.
    Simple(String),
    /// An error, its code first.
    Error(String),
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// Null in either protocol.
    Null,
    /// An array.
    Array(Vec<Reply>),
    /// A map.
    Map(Vec<(Reply, Reply)>),
    /// A set.
    Set(Vec<Reply>),
    /// A push.
    Push(Vec<Reply>),
    /// A double.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// A number of any length, as its digits.
    Big(String),
    /// Its kind, such as `txt`, and its text.
    Verbatim(String, String),
}

impl Reply {
    /// Reads one from a stream; its bytes are appended to `raw`.
    pub fn read(stream: &mut impl BufRead, raw: &mut Vec<u8>) -> Reply {
        let begin = raw.len();
        stream.read_until(b'\n', raw).expect("a reply in time");
        let line = raw[begin..].strip_suffix(b"\r\n").unwrap_or_else(|| {
            panic!("the connection ended, after {:?}", String::from_utf8_lossy(&raw[begin..]))
        });
        let text = String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || text.parse::<i64>().unwrap_or_else(|_| panic!("a number: {text:?}"));
        match line[0] {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Int(number()),
            b'_' => Reply::Null,
            b'#' => Reply::Bool(text == "t"),
            b',' => Reply::Double(text.parse().expect("a double")),
            b'(' => Reply::Big(text),
            b'$' | b'*' if number() < 0 => Reply::Null,
            b'$' => Reply::Bulk(bytes(stream, raw, number())),
            b'=' => {
                let bytes = bytes(stream, raw, number());
                let text = String::from_utf8(bytes).expect("text");
                Reply::Verbatim(text[..3].to_owned(), text[4..].to_owned())
            }
            b'*' => Reply::Array(items(stream, raw, number())),
            b'~' => Reply::Set(items(stream, raw, number())),
            b'>' => Reply::Push(items(stream, raw, number())),
            b'%' => {
                let flat = items(stream, raw, number() * 2);
                Reply::Map(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            other => panic!("no kind of reply: {:?}", other as char),
        }
    }

    /// `+OK`.
    pub fn ok() -> Reply {
        Reply::Simple("OK".to_owned())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    /// The text of an error; anything else is not expected.
    pub fn error(&self) -> &str {
        match self {
            Reply::Error(text) => text,
            other => panic!("no error: {other:?}"),
        }
    }

    /// The integer; anything else is not expected.
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(value) => *value,
            other => panic!("no integer: {other:?}"),
        }
    }

    /// The text; anything else is not expected.
    pub fn text(&self) -> String {
        match self {
            Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).expect("text"),
            Reply::Simple(text) | Reply::Verbatim(_, text) => text.clone(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The items of an array or a set; anything else is not expected.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) => items,
            other => panic!("no list: {other:?}"),
        }
    }

    /// The texts of all items.
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().map(Reply::text).collect()
    }

    /// The same with the items of lists in an order of our own, for replies that have none.
    pub fn unordered(&self) -> Reply {
        let sorted = |items: &[Reply]| {
            let mut items: Vec<Reply> = items.iter().map(Reply::unordered).collect();
            items.sort_by_cached_key(|item| format!("{item:?}"));
            items
        };
        match self {
            Reply::Array(items) => Reply::Array(sorted(items)),
            Reply::Set(items) => Reply::Set(sorted(items)),
            other => other.clone(),
        }
    }
}

fn bytes(stream: &mut impl BufRead, raw: &mut Vec<u8>, len: i64) -> Vec<u8> {
    let begin = raw.len();
    let len = usize::try_from(len).expect("a length");
    raw.resize(begin + len + 2, 0);
    stream.read_exact(&mut raw[begin..]).expect("a whole reply");
    assert!(raw.ends_with(b"\r\n"), "no line end after {len} bytes");
    raw[begin..begin + len].to_vec()
}

fn items(stream: &mut impl BufRead, raw: &mut Vec<u8>, count: i64) -> Vec<Reply> {
    (0..count).map(|_| Reply::read(stream, raw)).collect()
}
