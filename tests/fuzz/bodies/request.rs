//! The request scanner: bytes that a client sends.

use slotway::resp::request::{RequestLimits, RequestScanner, Scan};
use slotway::resp::{RequestFault, inline, write};

use super::Pieces;

const SMALL: RequestLimits = RequestLimits {
    request_bytes_max: 512,
    bulk_bytes_max: 100,
    arguments_max: 12,
    inline_bytes_max: 64,
};
const LARGE: RequestLimits = RequestLimits {
    request_bytes_max: 1 << 30,
    bulk_bytes_max: 512 << 20,
    arguments_max: i32::MAX as usize,
    inline_bytes_max: 64 << 10,
};

/// What a reader found, and where.
#[derive(Debug, PartialEq)]
struct Found {
    /// The words of each request, with where it starts and ends. An inline one has its line.
    requests: Vec<(usize, usize, Vec<Vec<u8>>)>,
    /// Where reading stopped.
    at: usize,
    fault: Option<RequestFault>,
}

/// A half request: where it starts, what of it is there, and what is said to be missing.
type Half = (usize, usize, usize);

struct Reader<'a> {
    input: &'a [u8],
    limits: RequestLimits,
    authenticated: bool,
}

/// Reads requests and checks that:
/// - how the bytes are cut changes neither the requests nor the objection;
/// - looking again only after the bytes that the scanner names finds the same;
/// - no more is said to be missing than is;
/// - the memory for words follows the bytes that have come;
/// - the words, written again, are the bytes that were read.
///
/// Returns how many requests were accepted.
pub fn drive(data: &[u8]) -> usize {
    let Some(pieces) = Pieces::of(data) else { return 0 };
    let limits = if pieces.choice & 1 == 0 { LARGE } else { SMALL };
    let reader = Reader { input: pieces.input, limits, authenticated: pieces.choice & 2 == 0 };
    let (whole, _) = reader.read(&[pieces.input.len()], false);
    for cuts in [&pieces.cuts, &pieces.bytewise()] {
        for waits in [false, true] {
            let (found, halves) = reader.read(cuts, waits);
            assert_eq!(found, whole, "cut at {cuts:?}, waits: {waits}");
            for (start, cut, missing) in halves {
                let same = whole.requests.iter().find(|(first, ..)| *first == start);
                let is_true = same.is_none_or(|(_, end, _)| cut + missing <= *end);
                assert!(is_true, "{missing} bytes are not missing at {cut}");
            }
        }
    }
    for (start, end, words) in &whole.requests {
        let bytes = &pieces.input[*start..*end];
        if bytes[0] == b'*' {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut again = Vec::new();
            write::request(&mut again, &words);
            assert_eq!(again, bytes, "{words:?}");
        }
    }
    whole.requests.len()
}

impl Reader<'_> {
    /// Reads what comes in pieces that end at `cuts`. A reader that waits looks only when the bytes
    /// have come that the scanner asked for, as a session does.
    fn read(&self, cuts: &[usize], waits: bool) -> (Found, Vec<Half>) {
        let mut scanner = RequestScanner::default();
        let mut found = Found { requests: Vec::new(), at: 0, fault: None };
        let (mut halves, mut look_at) = (Vec::new(), 0);
        for &cut in cuts {
            while found.at < cut && (!waits || cut >= look_at) {
                let bytes = &self.input[found.at..cut];
                let scan = scanner.scan(bytes, &self.limits, self.authenticated);
                assert!(scanner.held() <= 4 * bytes.len() + 64, "{} bytes", scanner.held());
                match scan {
                    Ok(Scan::Request(len)) => {
                        found.take(len, words_of(&scanner, &bytes[..len]));
                        scanner.next();
                    }
                    Ok(Scan::Inline(len)) => {
                        let line = &bytes[..len];
                        assert!(
                            inline::split(line).is_ok_and(|words| !words.is_empty())
                                || is_odd(line)
                        );
                        found.take(len, vec![line.to_vec()]);
                    }
                    Ok(Scan::Nothing(len)) => {
                        assert!(len > 0, "a step that leads nowhere");
                        found.at += len;
                    }
                    Ok(Scan::Partial { missing, look_after }) => {
                        assert!((1..=missing).contains(&look_after), "{look_after} of {missing}");
                        halves.push((found.at, cut, missing));
                        look_at = cut + look_after;
                        break;
                    }
                    Err(fault) => {
                        found.fault = Some(without_place(fault));
                        return (found, halves);
                    }
                }
            }
        }
        (found, halves)
    }
}

impl Found {
    fn take(&mut self, len: usize, words: Vec<Vec<u8>>) {
        self.requests.push((self.at, self.at + len, words));
        self.at += len;
    }
}

/// The words of the request that `bytes` are. Word by word and all together they stand as they were
/// sent.
fn words_of(scanner: &RequestScanner, bytes: &[u8]) -> Vec<Vec<u8>> {
    let args = scanner.args(bytes);
    let sent: Vec<u8> =
        (0..args.len()).flat_map(|index| args.as_sent(index, index + 1)).copied().collect();
    assert_eq!(sent, args.as_sent(0, args.len()));
    assert!(bytes.ends_with(&sent));
    args.iter().map(<[u8]>::to_vec).collect()
}

/// A line may have an open quote, or nothing but what separates words.
fn is_odd(line: &[u8]) -> bool {
    let separates = |byte: &u8| byte.is_ascii_whitespace() || matches!(*byte, 0 | 0x0b);
    line.iter().any(|byte| matches!(byte, b'"' | b'\'')) || line.iter().all(separates)
}

/// Of a bad header line Redis says that it is bad or that it is too long, by whether its end has come.
/// This alone depends on how the bytes are cut.
fn without_place(fault: RequestFault) -> RequestFault {
    match fault {
        RequestFault::BigCountLine => RequestFault::BadCount,
        RequestFault::BigBulkLine => RequestFault::BadBulk,
        fault => fault,
    }
}
