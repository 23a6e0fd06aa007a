//! Frames appended to a buffer: what the gateway says itself.
//!
//! Owns the writing of RESP, in both versions. Knows no command and no reply's meaning.

use super::Protocol;

/// The reply of every command that only says it worked.
pub const OK: &[u8] = b"+OK\r\n";

#[inline]
fn header(out: &mut Vec<u8>, kind: u8, value: i64) {
    if let 0..=9 = value {
        return out.extend_from_slice(&[kind, b'0' + value as u8, b'\r', b'\n']);
    }
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `*n`: an array of `len` values follows.
pub fn array_len(out: &mut Vec<u8>, len: usize) {
    header(out, b'*', len as i64);
}

/// `%n` for RESP3; RESP2 has a flat array of keys and values instead.
pub fn map_len(out: &mut Vec<u8>, pairs: usize, protocol: Protocol) {
    match protocol {
        Protocol::Resp2 => header(out, b'*', pairs as i64 * 2),
        Protocol::Resp3 => header(out, b'%', pairs as i64),
    }
}

/// `~n` for RESP3; RESP2 has an array instead.
pub fn set_len(out: &mut Vec<u8>, len: usize, protocol: Protocol) {
    let kind = if protocol == Protocol::Resp3 { b'~' } else { b'*' };
    header(out, kind, len as i64);
}

/// A bulk string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A text to be shown as it is: verbatim in RESP3, a bulk string in RESP2.
pub fn verbatim(out: &mut Vec<u8>, text: &str, protocol: Protocol) {
    if protocol == Protocol::Resp2 {
        return bulk(out, text.as_bytes());
    }
    header(out, b'=', text.len() as i64 + 4);
    out.extend_from_slice(b"txt:");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A simple string; what would break the line is replaced by spaces.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// An error; `text` begins with its code word, without the `-`.
pub fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text);
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    header(out, b':', value);
}

/// No value: `$-1` in RESP2, `_` in RESP3.
pub fn null(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// No array: `*-1` in RESP2, `_` in RESP3.
pub fn null_array(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// A whole request.
pub fn request(out: &mut Vec<u8>, words: &[&[u8]]) {
    array_len(out, words.len());
    for word in words {
        bulk(out, word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::reply::frame_len;

    type Writer<'a> = &'a dyn Fn(&mut Vec<u8>);

    #[test]
    fn what_is_written_is_one_frame() {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let writers: [Writer<'_>; 9] = [
                &|out| bulk(out, b"a\r\nb"),
                &|out| verbatim(out, "some text", protocol),
                &|out| simple(out, "a\r\nb"),
                &|out| error(out, "ERR a\nb"),
                &|out| integer(out, i64::MIN),
                &|out| null(out, protocol),
                &|out| null_array(out, protocol),
                &|out| {
                    map_len(out, 1, protocol);
                    bulk(out, b"k");
                    set_len(out, 1, protocol);
                    integer(out, 1);
                },
                &|out| request(out, &[b"GET", b""]),
            ];
            for write in writers {
                let mut out = Vec::new();
                write(&mut out);
                assert_eq!(frame_len(&out), Ok(Some(out.len())), "{out:?}");
            }
        }
    }
}
