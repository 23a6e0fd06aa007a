//! The numbers of RESP's header lines, read from bytes that anybody may have sent.
//!
//! Owns "where does this line end and which integer does it hold". Knows no frame types.

/// Reads a decimal integer as Redis's `string2ll` does: no spaces, no `+`, no leading zeros.
pub fn parse_integer(digits: &[u8]) -> Option<i64> {
    let (negative, rest) = match digits {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, digits),
    };
    match rest {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if rest.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits stay below 10^19 < 2^64.
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// A header line found at the start of `bytes`, its type byte included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line holds this integer and is `len` bytes long with its CRLF.
    Integer {
        /// The number after the type byte.
        value: i64,
        /// Bytes of the whole line.
        len: usize,
    },
    /// The line's end has not come yet.
    Partial,
    /// No integer, or no CRLF where it should be.
    Malformed,
}

/// Reads a line such as `$512\r\n`, whose type byte is at `bytes[0]`.
#[inline(always)]
pub fn integer_line(bytes: &[u8]) -> Line {
    short_line(bytes).unwrap_or_else(|| any_line(bytes))
}

fn any_line(bytes: &[u8]) -> Line {
    // A node takes no leading zeros, so such a line must not reach one.
    let mut value: u64 = 0;
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u64::from(digit);
        at += 1;
        if at > 18 {
            return long_line(bytes);
        }
    }
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) if at == 2 || (at > 2 && bytes[1] != b'0') => {
            Line::Integer { value: value as i64, len: at + 2 }
        }
        Some([] | [b'\r']) => Line::Partial,
        _ => long_line(bytes),
    }
}

/// Almost every line is a type byte and one or two digits, or a key's absence: these are looked at
/// all at once.
#[inline(always)]
fn short_line(bytes: &[u8]) -> Option<Line> {
    let &[_, a, b, c, d] = bytes.first_chunk()?;
    let (first, second) = (u64::from(a.wrapping_sub(b'0')), u64::from(b.wrapping_sub(b'0')));
    if [b, c] == *b"\r\n" && first <= 9 {
        return Some(Line::Integer { value: first as i64, len: 4 });
    }
    // Without a zero in front.
    if [c, d] == *b"\r\n" && (1..=9).contains(&first) && second <= 9 {
        return Some(Line::Integer { value: (first * 10 + second) as i64, len: 5 });
    }
    ([a, b, c, d] == *b"-1\r\n").then_some(Line::Integer { value: -1, len: 5 })
}

/// The rare rest: signs, leading zeros, very long numbers, garbage.
#[cold]
fn long_line(bytes: &[u8]) -> Line {
    const LINE_MAX: usize = 32;
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    match memchr::memchr(b'\r', window) {
        Some(end) => match (parse_integer(&window[1..end]), bytes.get(end + 1)) {
            (_, None) => Line::Partial,
            (Some(value), Some(b'\n')) => Line::Integer { value, len: end + 2 },
            _ => Line::Malformed,
        },
        None if bytes.len() < LINE_MAX => Line::Partial,
        None => Line::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn short_lines_are_read_as_any_other(
            digits in proptest::collection::vec(proptest::sample::select(&b"00119959-:"[..]), 0..4),
            end in proptest::sample::select(&["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"][..]),
            rest in proptest::sample::select(&["", "a", "\r\n", "$1\r\n"][..]),
        ) {
            let bytes = [b"$", &digits[..], end.as_bytes(), rest.as_bytes()].concat();
            if let Some(line) = short_line(&bytes) {
                proptest::prop_assert_eq!(line, any_line(&bytes));
            }
        }
    }

    #[test]
    fn integers_as_redis_reads_them() {
        let cases: [(&str, Option<i64>); 14] = [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("01", None),
            ("-0", None),
            ("+1", None),
            ("", None),
            ("-", None),
            ("1x", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_integer(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn lines() {
        let integer = |value, len| Line::Integer { value, len };
        let cases: [(&[u8], Line); 15] = [
            (b"$3\r\nabc", integer(3, 4)),
            (b"$12\r\nx", integer(12, 5)),
            (b"$-1\r\n", integer(-1, 5)),
            (b"*123456789\r\n", integer(123_456_789, 12)),
            (b"$", Line::Partial),
            (b"$12", Line::Partial),
            (b"$12\r", Line::Partial),
            (b"$-", Line::Partial),
            (b"$\r\n", Line::Malformed),
            (b"$0\r\n", integer(0, 4)),
            (b"$03\r\nabc", Line::Malformed),
            (b"*00\r\n", Line::Malformed),
            (b"$12\rx", Line::Malformed),
            (b"$abc\r\n", Line::Malformed),
            (b"$11111111111111111111111111111111111111", Line::Malformed),
        ];
        for (bytes, want) in cases {
            assert_eq!(integer_line(bytes), want, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
