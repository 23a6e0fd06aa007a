//! Inline requests: a line of words as a person types it, quoted as in redis-cli.
//!
//! Owns the splitting and quoting rules (`sdssplitargs` of Redis). Makes an ordinary request of it.

use super::RequestFault;
use super::write::{array_len, bulk};

/// Splits `line` into words and appends the same request in multi-bulk form to `out`.
pub fn to_request(line: &[u8], out: &mut Vec<u8>) -> Result<(), RequestFault> {
    let words = split(line)?;
    array_len(out, words.len());
    for word in &words {
        bulk(out, word);
    }
    Ok(())
}

/// The words of a line.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, RequestFault> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() {
            return Ok(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

/// Takes one word off `rest` and returns what follows it.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], RequestFault> {
    loop {
        match rest {
            [] => return Ok(rest),
            [byte, ..] if is_space(*byte) => return Ok(rest),
            [quote @ (b'"' | b'\''), inside @ ..] => {
                rest = take_quoted(*quote, inside, word)?;
                // A closing quote must end the word.
                return match rest {
                    [byte, ..] if !is_space(*byte) => Err(RequestFault::UnbalancedQuotes),
                    _ => Ok(rest),
                };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn take_quoted<'a>(
    quote: u8,
    mut rest: &'a [u8],
    word: &mut Vec<u8>,
) -> Result<&'a [u8], RequestFault> {
    loop {
        rest = match rest {
            [] => return Err(RequestFault::UnbalancedQuotes),
            [byte, after @ ..] if *byte == quote => return Ok(after),
            [b'\\', b'\'', after @ ..] if quote == b'\'' => {
                word.push(b'\'');
                after
            }
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                word.push(unescape(*escaped));
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A') + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let cases: [(&[u8], &[&[u8]]); 9] = [
            (b"PING\r\n", &[b"PING"]),
            (b"  SET  a\tb \r\n", &[b"SET", b"a", b"b"]),
            (b"SET a \"hello world\"", &[b"SET", b"a", b"hello world"]),
            (b"SET a 'it''s'", &[]),
            (b"SET a 'it\\'s'", &[b"SET", b"a", b"it's"]),
            (br#"SET a "\x00\xfF\n\q""#, &[b"SET", b"a", b"\x00\xff\nq"]),
            (b"SET a \"\"", &[b"SET", b"a", b""]),
            (b"a\"b c\"", &[b"ab c"]),
            (b"", &[]),
        ];
        for (line, want) in cases {
            match split(line) {
                Ok(words) => assert_eq!(words, want, "{:?}", String::from_utf8_lossy(line)),
                Err(fault) => {
                    assert_eq!(fault, RequestFault::UnbalancedQuotes);
                    assert!(line.ends_with(b"''s'"));
                }
            }
        }
        for open in [&b"SET \"a"[..], b"'", b"\"\\", b"\"a\"b"] {
            assert_eq!(split(open), Err(RequestFault::UnbalancedQuotes), "{open:?}");
        }
    }

    #[test]
    fn becomes_a_request() {
        let mut out = Vec::new();
        to_request(b"get 'a b'\r\n", &mut out).expect("balanced");
        assert_eq!(out, b"*2\r\n$3\r\nget\r\n$3\r\na b\r\n");
    }
}
