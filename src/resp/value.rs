//! A reply the gateway must understand, as a tree.
//!
//! Owns the decoding of whole frames, by the `redis-protocol` crate, which only this folder names.
//! Not for the data path, where replies pass through unread. The gateway's own questions are asked
//! in RESP2, so RESP3's types appear only where a caller builds them.

use redis_protocol::resp2::{decode::decode as decode_resp2, types::OwnedFrame};

use super::ProtocolError;
use super::reply::{frame_len, holds_at_most, nests_within};

/// Deepest nesting that is decoded; the deepest reply of Redis (`COMMAND`) has about ten levels.
const DEPTH_MAX: usize = 64;

/// Most values that are decoded: each takes many times the memory of its bytes.
const VALUES_MAX: usize = 1 << 20;

/// One value of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// An integer.
    Int(i64),
    /// A double (RESP3).
    Double(f64),
    /// A boolean (RESP3).
    Bool(bool),
    /// A simple string.
    Simple(String),
    /// An error reply; its first word is the code.
    Error(String),
    /// A number of any length, as its digits (RESP3).
    BigNumber(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A map (RESP3).
    Map(Vec<(Value, Value)>),
    /// A set (RESP3).
    Set(Vec<Value>),
    /// An out-of-band push (RESP3).
    Push(Vec<Value>),
}

impl Value {
    /// Decodes the RESP2 frame at the start of `bytes`; `None` when it is not there in full, else
    /// the value and the frame's length.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, ProtocolError> {
        let Some(len) = frame_len(bytes)? else { return Ok(None) };
        // The decoder recurses: what nests too deep must not reach it.
        if !nests_within(&bytes[..len], DEPTH_MAX) {
            return Err(ProtocolError::Reply("nested too deep"));
        }
        if !holds_at_most(&bytes[..len], VALUES_MAX) {
            return Err(ProtocolError::Reply("too many values"));
        }
        match decode_resp2(&bytes[..len]) {
            Ok(Some((frame, used))) if used == len => Ok(Some((frame.into(), len))),
            _ => Err(ProtocolError::Reply("a frame that is not RESP2")),
        }
    }

    /// The text of a string of either kind.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Simple(text) => Some(text),
            Value::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of an array, set or push.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The value beside `key`: in a map, or in a list that names and values alternate in, which
    /// is how RESP2 writes maps.
    pub fn field(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => {
                pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => {
                let mut pairs = self.as_array()?.chunks_exact(2);
                pairs.find(|pair| pair[0].as_str() == Some(key)).map(|pair| &pair[1])
            }
        }
    }
}

impl From<OwnedFrame> for Value {
    fn from(frame: OwnedFrame) -> Self {
        match frame {
            OwnedFrame::SimpleString(bytes) => {
                Value::Simple(String::from_utf8_lossy(&bytes).into_owned())
            }
            OwnedFrame::Error(text) => Value::Error(text),
            OwnedFrame::Integer(value) => Value::Int(value),
            OwnedFrame::BulkString(bytes) => Value::Bulk(bytes),
            OwnedFrame::Array(items) => Value::Array(items.into_iter().map(Value::from).collect()),
            OwnedFrame::Null => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_nodes_say() {
        let reply = b"*4\r\n+OK\r\n:5\r\n$3\r\na\xff\n\r\n*1\r\n$-1\r\nrest";
        let (value, used) = Value::decode(reply).expect("valid").expect("whole");
        assert_eq!(used, reply.len() - 4);
        let want = [
            Value::Simple("OK".into()),
            Value::Int(5),
            Value::Bulk(b"a\xff\n".to_vec()),
            Value::Array(vec![Value::Null]),
        ];
        assert_eq!(value.as_array(), Some(&want[..]));
        for cut in 0..used {
            assert_eq!(Value::decode(&reply[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn hostile_nesting_is_an_error() {
        let deep = [b"*1\r\n".repeat(100_000), b":1\r\n".to_vec()].concat();
        assert!(Value::decode(&deep).is_err());
    }

    #[test]
    fn a_flood_of_values_is_an_error() {
        let flood = |n: usize| [format!("*{n}\r\n").into_bytes(), b":1\r\n".repeat(n)].concat();
        assert!(Value::decode(&flood(VALUES_MAX - 1)).is_ok());
        assert!(Value::decode(&flood(VALUES_MAX)).is_err());
    }

    #[test]
    fn other_types_are_an_error_not_a_panic() {
        for bytes in [&b"%1\r\n*1\r\n:1\r\n:1\r\n"[..], b"_\r\n", b"-\xff\r\n", b"$3\r\nabcXY"] {
            let _ = Value::decode(bytes);
        }
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn texts_numbers_and_lists() {
        assert_eq!(Value::Simple("OK".into()).as_str(), Some("OK"));
        assert_eq!(bulk("a").as_str(), Some("a"));
        assert_eq!(Value::Bulk(vec![0xff]).as_str(), None);
        assert_eq!(Value::Error("ERR".into()).as_str(), None);
        assert_eq!(Value::Int(-2).as_int(), Some(-2));
        assert_eq!(bulk("2").as_int(), None);
        assert_eq!(Value::Set(vec![Value::Null]).as_array(), Some(&[Value::Null][..]));
        assert_eq!(Value::Map(vec![]).as_array(), None);
    }

    #[test]
    fn fields_of_both_protocols() {
        let map = Value::Map(vec![(bulk("type"), bulk("index"))]);
        let list = Value::Array(vec![bulk("type"), bulk("index"), bulk("spec")]);
        for value in [map, list] {
            assert_eq!(value.field("type").and_then(Value::as_str), Some("index"));
            assert_eq!(value.field("spec"), None);
            assert_eq!(value.field("index"), None);
        }
        assert_eq!(Value::Int(1).field("type"), None);
    }
}
