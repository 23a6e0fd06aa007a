//! Inline commands: a line that a person types.

use slotway::resp::inline::{split, to_request};
use slotway::resp::request::{RequestLimits, RequestScanner, Scan};

/// Splits the bytes as one line and checks that:
/// - the words have no more bytes than the line;
/// - the line's end and spaces around it change nothing;
/// - the words, quoted again, are split into the same;
/// - as a request they are the same words, and a line that is refused makes none.
///
/// Returns how many words were accepted.
pub fn drive(line: &[u8]) -> usize {
    let mut request = Vec::new();
    let made = to_request(line, &mut request);
    let padded = [b" \t", line, b" \r\n"].concat();
    let words = match split(line) {
        Ok(words) => words,
        Err(fault) => {
            assert_eq!((made, request.len()), (Err(fault), 0));
            assert_eq!(split(&padded), Err(fault));
            return 0;
        }
    };
    assert_eq!(made, Ok(()));
    assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len() && words.len() <= line.len());
    assert_eq!(split(&padded).as_ref(), Ok(&words));
    assert_eq!(split(&quoted(&words)).as_ref(), Ok(&words));
    assert_eq!(read(&request), words);
    words.len()
}

/// The words as redis-cli would show them.
fn quoted(words: &[Vec<u8>]) -> Vec<u8> {
    let byte = |byte: &u8| match byte {
        b'"' | b'\\' => vec![b'\\', *byte],
        b'\n' => b"\\n".to_vec(),
        b'\r' => b"\\r".to_vec(),
        b'\t' => b"\\t".to_vec(),
        0x07 => b"\\a".to_vec(),
        0x08 => b"\\b".to_vec(),
        b' '..=b'~' => vec![*byte],
        _ => format!("\\x{byte:02x}").into_bytes(),
    };
    let word = |word: &Vec<u8>| {
        let inside: Vec<u8> = word.iter().flat_map(byte).collect();
        [b"\"", &inside[..], b"\""].concat()
    };
    words.iter().map(word).collect::<Vec<_>>().join(&b' ')
}

/// The words of a request.
fn read(request: &[u8]) -> Vec<Vec<u8>> {
    let limits = RequestLimits {
        request_bytes_max: 1 << 30,
        bulk_bytes_max: 1 << 30,
        arguments_max: 1 << 30,
        inline_bytes_max: 0,
    };
    let mut scanner = RequestScanner::default();
    match scanner.scan(request, &limits, true) {
        Ok(Scan::Nothing(len)) if len == request.len() => Vec::new(),
        Ok(Scan::Request(len)) if len == request.len() => {
            scanner.args(request).iter().map(<[u8]>::to_vec).collect()
        }
        other => panic!("{other:?} of {request:?}"),
    }
}
