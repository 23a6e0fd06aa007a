//! Frames beside each other: how many an array has, where one ends and the next begins.
//!
//! Owns the walk over whole replies. Must not know what they mean.

use super::number::{Line, integer_line};
use super::reply::frame_len;

/// Number of items of the array (or set, or push) at the start of `frame`, and what follows.
pub fn open_array(frame: &[u8]) -> Option<(usize, &[u8])> {
    match (frame.first(), integer_line(frame)) {
        (Some(b'*' | b'~' | b'>'), Line::Integer { value, len }) => {
            Some((usize::try_from(value).ok()?, frame.get(len..)?))
        }
        _ => None,
    }
}

/// The first frame of `bytes` and what follows it.
pub fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = match (bytes.first(), integer_line(bytes)) {
        // A bulk string is what values are: no need for the general walk.
        (Some(b'$'), Line::Integer { value: value @ 0.., len }) => {
            len + usize::try_from(value).ok()? + 2
        }
        _ => frame_len(bytes).ok()??,
    };
    bytes.split_at_checked(len)
}
