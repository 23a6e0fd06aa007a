//! RESP2 for tests, written apart from the gateway's own: requests out, frames in.

use std::io::{self, BufRead, BufReader, Read};

/// A request of these words.
pub(crate) fn request(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    out.into_bytes()
}

/// A bulk string.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Reads one frame as it is; an error of kind `UnexpectedEof` when the peer has closed.
pub(crate) fn frame(input: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    let mut left = 1i64;
    while left > 0 {
        let start = frame.len();
        if input.read_until(b'\n', &mut frame)? == 0 || !frame.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&frame[start..]).into_owned();
        let number = || line[1..].trim().parse::<i64>().unwrap();
        left -= 1;
        match line.as_bytes()[0] {
            b'$' if number() >= 0 => {
                let bytes = u64::try_from(number()).unwrap() + 2;
                let read = input.by_ref().take(bytes).read_to_end(&mut frame)?;
                if (read as u64) < bytes {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            b'*' | b'>' => left += number().max(0),
            _ => {}
        }
    }
    Ok(frame)
}

/// The words of a request frame.
pub(crate) fn words(frame: &[u8]) -> Vec<String> {
    let (count, mut rest) = line(frame);
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, after) = line(rest);
        words.push(String::from_utf8_lossy(&after[..len]).into_owned());
        rest = &after[len + 2..];
    }
    words
}

/// The number of a header line, and what follows the line.
fn line(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let number = std::str::from_utf8(&bytes[1..end - 1]).unwrap();
    (number.parse().unwrap(), &bytes[end + 1..])
}
