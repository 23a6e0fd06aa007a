//! The reply scanner and the decoder: bytes that a node sends.

use slotway::resp::reply::{self, LINE_WHOLE_MAX, ReplyScanner, frame_len};
use slotway::resp::{Protocol, ProtocolError, Value, write};

use super::Pieces;

/// What a reader found: where replies end, what was given on, and what ended it.
#[derive(Debug, PartialEq)]
struct Found {
    ends: Vec<usize>,
    given: Vec<u8>,
    fault: Option<ProtocolError>,
}

/// Reads replies and checks that:
/// - how the bytes are cut changes neither where replies end nor what is given on, nor the objection;
/// - what must be kept until more comes is no more than a line;
/// - what is given on is what was read;
/// - a decoded value has no more parts than bytes, and what it is written as means the same.
///
/// Returns how many replies were accepted.
pub fn drive(data: &[u8]) -> usize {
    let Some(pieces) = Pieces::of(data) else { return 0 };
    let input = pieces.input;
    let whole = read(input, &[input.len()]);
    for cuts in [&pieces.cuts, &pieces.bytewise()] {
        let found = read(input, cuts);
        assert_eq!(found.ends, whole.ends, "cut at {cuts:?}");
        assert_eq!(found.fault, whole.fault, "cut at {cuts:?}");
        let replies = whole.ends.last().copied().unwrap_or(0);
        assert!(found.given.starts_with(&input[..replies]), "cut at {cuts:?}");
        assert!(input.starts_with(&found.given), "cut at {cuts:?}");
    }
    let mut start = 0;
    for &end in &whole.ends {
        one_frame(&input[start..end]);
        start = end;
    }
    whole.ends.len()
}

/// Reads what comes in pieces that end at `cuts`.
fn read(input: &[u8], cuts: &[usize]) -> Found {
    let (mut scanner, mut at) = (ReplyScanner::default(), 0);
    let mut found = Found { ends: Vec::new(), given: Vec::new(), fault: None };
    for &cut in cuts {
        while at < cut {
            let bytes = &input[at..cut];
            let progress = match scanner.advance(bytes) {
                Ok(progress) => progress,
                Err(fault) => {
                    found.fault = Some(fault);
                    return found;
                }
            };
            found.given.extend_from_slice(progress.piece(bytes));
            at += progress.used;
            if !progress.whole {
                assert!(cut - at <= LINE_WHOLE_MAX, "{} bytes are kept", cut - at);
                break;
            }
            assert!(progress.used > 0, "a reply without a byte");
            assert!(scanner.at_start());
            found.ends.push(at);
        }
    }
    found
}

fn one_frame(frame: &[u8]) {
    assert_eq!(frame_len(frame), Ok(Some(frame.len())));
    assert_eq!(frame_len(&frame[..frame.len() - 1]), Ok(None));
    let Ok(decoded) = Value::decode(frame) else { return };
    let (value, used) = decoded.expect("a whole frame");
    assert_eq!(used, frame.len());
    let count = count(&value);
    assert!(count <= frame.len());
    assert!(reply::holds_at_most(frame, count) && !reply::holds_at_most(frame, count - 1));
    let depth = depth(&value);
    assert!(reply::nests_within(frame, depth));
    assert!(depth == 0 || !reply::nests_within(frame, depth - 1));
    let mut again = Vec::new();
    encode(&mut again, &value);
    assert_eq!(Value::decode(&again), Ok(Some((value, again.len()))));
}

/// How many values a value has, itself included.
pub(super) fn count(value: &Value) -> usize {
    1 + value.as_array().unwrap_or(&[]).iter().map(count).sum::<usize>()
}

/// How many arrays that hold something are within each other.
fn depth(value: &Value) -> usize {
    match value.as_array() {
        None | Some([]) => 0,
        Some(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
    }
}

/// Writes a value that was decoded.
pub(super) fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => write::null(out, Protocol::Resp2),
        Value::Int(number) => write::integer(out, *number),
        Value::Bulk(bytes) => write::bulk(out, bytes),
        // Not by `write`: it takes care of line breaks, which nodes do not.
        Value::Simple(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Value::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        Value::Array(items) => {
            write::array_len(out, items.len());
            items.iter().for_each(|item| encode(out, item));
        }
        other => panic!("{other:?} is not of RESP2"),
    }
}
