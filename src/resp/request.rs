//! Where a client's request ends and where its words are, found while it arrives.
//!
//! Owns the incremental reading of multi-bulk requests and the limits on them, with Redis's own
//! objections. Must not know commands. Invariant: offsets count from the request's first byte, so
//! a half-read request may move to another buffer between two calls.

use super::number::{Line, integer_line};
use super::{Args, RequestFault};

/// Limits on one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Most bytes of a whole request.
    pub request_bytes_max: usize,
    /// Most bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Most arguments.
    pub arguments_max: usize,
    /// Most bytes of an inline request.
    pub inline_bytes_max: usize,
}

impl RequestLimits {
    /// For requests that have been read within limits before.
    pub const NONE: RequestLimits = RequestLimits {
        request_bytes_max: usize::MAX,
        bulk_bytes_max: usize::MAX,
        arguments_max: usize::MAX,
        inline_bytes_max: usize::MAX,
    };
    /// What a client may send before it has authenticated, as Redis has it since 6.2.
    pub const ARGUMENTS_BEFORE_AUTH: usize = 10;
    /// Longest argument before authentication.
    pub const BULK_BYTES_BEFORE_AUTH: usize = 16 * 1024;
}

/// What may be missing of an argument whose `$` line is not whole: of `$0\r` it is `\n\r\n`.
const LINE_REST_MIN: usize = 3;
/// The shortest argument: `$0\r\n\r\n`.
const ARGUMENT_BYTES_MIN: usize = 6;

/// Reads one request after the other.
#[derive(Debug, Default)]
pub struct RequestScanner {
    /// Bytes of the request under way that have been walked over.
    at: usize,
    /// Arguments still to come; 0 before the `*` line has been read.
    left: usize,
    /// Where the words found so far are.
    ranges: Vec<(u32, u32)>,
    /// When inside an argument whose length is known: where it ends, CRLF included.
    bulk_end: Option<usize>,
}

/// What stands at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole request of this many bytes; [`RequestScanner::args`] has its words.
    Request(usize),
    /// A whole inline line of this many bytes, its line end included.
    Inline(usize),
    /// Bytes that mean nothing (`*0`, an empty line) and are stepped over.
    Nothing(usize),
    /// Half a request.
    Partial {
        /// Bytes that are still to come at least, 1 or more.
        missing: usize,
        /// After so many of them, 1 or more, there is something to decide: a word that ends, a
        /// header line that may be none.
        look_after: usize,
    },
}

impl RequestScanner {
    /// The words of the request that [`Scan::Request`] reported, `bytes` starting where it does.
    pub fn args<'a>(&'a self, bytes: &'a [u8]) -> Args<'a> {
        Args::new(bytes, &self.ranges)
    }

    /// Takes where the words of the request just reported are; [`Self::next`] follows.
    pub fn take_ranges(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.ranges)
    }

    /// Bytes of memory that it uses for the places of arguments.
    #[inline]
    pub fn held(&self) -> usize {
        self.ranges.capacity() * size_of::<(u32, u32)>()
    }

    /// Forgets the request just handled. A very long one's memory is given back.
    #[inline]
    pub fn next(&mut self) {
        self.at = 0;
        self.ranges.clear();
        if self.ranges.capacity() > 256 {
            self.ranges.shrink_to(16);
        }
    }

    /// Looks at `bytes`, which begin with the first byte of the request under way.
    #[inline]
    pub fn scan(
        &mut self,
        bytes: &[u8],
        limits: &RequestLimits,
        authenticated: bool,
    ) -> Result<Scan, RequestFault> {
        if self.at == 0 {
            match bytes.first() {
                None => return Ok(Scan::Partial { missing: 1, look_after: 1 }),
                Some(b'*') => {}
                Some(_) => return inline(bytes, limits),
            }
            match self.count_line(bytes, limits, authenticated)? {
                Some(0) => return Ok(Scan::Nothing(std::mem::take(&mut self.at))),
                Some(count) => self.left = count,
                None => return Ok(Scan::Partial { missing: 1, look_after: 1 }),
            }
        }
        self.bulks(bytes, limits, authenticated)
    }

    fn count_line(
        &mut self,
        bytes: &[u8],
        limits: &RequestLimits,
        authenticated: bool,
    ) -> Result<Option<usize>, RequestFault> {
        match integer_line(bytes) {
            Line::Integer { value, len } => {
                let count = usize::try_from(value.max(0)).map_err(|_| RequestFault::BadCount)?;
                if count > limits.arguments_max {
                    return Err(RequestFault::BadCount);
                }
                if !authenticated && count > RequestLimits::ARGUMENTS_BEFORE_AUTH {
                    return Err(RequestFault::BigCountBeforeAuth);
                }
                // What cannot come whole is not waited for.
                if count > (limits.request_bytes_max.saturating_sub(len)) / ARGUMENT_BYTES_MIN {
                    return Err(RequestFault::BigRequest);
                }
                self.at = len;
                Ok(Some(count))
            }
            Line::Partial => Ok(None),
            Line::Malformed => {
                Err(unless_endless(bytes, RequestFault::BadCount, RequestFault::BigCountLine))
            }
        }
    }

    #[inline]
    fn bulks(
        &mut self,
        bytes: &[u8],
        limits: &RequestLimits,
        authenticated: bool,
    ) -> Result<Scan, RequestFault> {
        while self.left > 0 {
            let end = match self.bulk_end.take() {
                Some(end) => end,
                None => match self.bulk_line(bytes, limits, authenticated)? {
                    Some(end) => end,
                    None => {
                        let missing = LINE_REST_MIN + self.others_at_least();
                        return Ok(Scan::Partial { missing, look_after: 1 });
                    }
                },
            };
            match bytes.get(end - 2..end) {
                Some(b"\r\n") => {}
                Some(_) => return Err(RequestFault::BadWordEnd),
                None => {
                    self.bulk_end = Some(end);
                    let (this, others) = (end - bytes.len(), self.others_at_least());
                    return Ok(Scan::Partial { missing: this + others, look_after: this });
                }
            }
            // `end` was held below the request limit, which the configuration holds below 4 GiB.
            self.ranges.push((self.at as u32, (end - 2) as u32));
            self.at = end;
            self.left -= 1;
        }
        Ok(Scan::Request(self.at))
    }

    /// The least bytes that the arguments after the one under way can take.
    fn others_at_least(&self) -> usize {
        self.left.saturating_sub(1) * ARGUMENT_BYTES_MIN
    }

    /// Reads the `$` line at `self.at` and steps over it; returns where the argument ends.
    #[inline]
    fn bulk_line(
        &mut self,
        bytes: &[u8],
        limits: &RequestLimits,
        authenticated: bool,
    ) -> Result<Option<usize>, RequestFault> {
        let rest = bytes.get(self.at..).unwrap_or(&[]);
        match rest.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&other) => return Err(RequestFault::ExpectedBulk(other)),
        }
        match integer_line(rest) {
            Line::Integer { value, len } => {
                let value = usize::try_from(value).map_err(|_| RequestFault::BadBulk)?;
                if value > limits.bulk_bytes_max {
                    return Err(RequestFault::BadBulk);
                }
                if !authenticated && value > RequestLimits::BULK_BYTES_BEFORE_AUTH {
                    return Err(RequestFault::BigBulkBeforeAuth);
                }
                let end = self.at + len + value + 2;
                if end > limits.request_bytes_max {
                    return Err(RequestFault::BigRequest);
                }
                self.at += len;
                Ok(Some(end))
            }
            Line::Partial => Ok(None),
            Line::Malformed => {
                Err(unless_endless(rest, RequestFault::BadBulk, RequestFault::BigBulkLine))
            }
        }
    }
}

/// Redis calls a header line without an end too big, and any other a bad one.
#[cold]
fn unless_endless(bytes: &[u8], bad: RequestFault, endless: RequestFault) -> RequestFault {
    if memchr::memchr(b'\r', bytes).is_some() { bad } else { endless }
}

fn inline(bytes: &[u8], limits: &RequestLimits) -> Result<Scan, RequestFault> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end > limits.inline_bytes_max => Err(RequestFault::BigInline),
        Some(end) => {
            let blank = bytes[..end].iter().all(u8::is_ascii_whitespace);
            Ok(if blank { Scan::Nothing(end + 1) } else { Scan::Inline(end + 1) })
        }
        None if bytes.len() > limits.inline_bytes_max => Err(RequestFault::BigInline),
        None => Ok(Scan::Partial { missing: 1, look_after: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: RequestLimits = RequestLimits {
        request_bytes_max: 1 << 20,
        bulk_bytes_max: 1 << 16,
        arguments_max: 1000,
        inline_bytes_max: 64,
    };

    fn encode(words: &[Vec<u8>]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Reads all requests of `input`, given in pieces that end at `cuts`.
    fn read(input: &[u8], cuts: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, RequestFault> {
        let (mut scanner, mut start, mut found) = (RequestScanner::default(), 0, Vec::new());
        for &cut in cuts.iter().chain([&input.len()]) {
            while start < cut {
                let bytes = &input[start..cut];
                match scanner.scan(bytes, &LIMITS, true)? {
                    Scan::Request(len) => {
                        found.push(scanner.args(bytes).iter().map(<[u8]>::to_vec).collect());
                        scanner.next();
                        start += len;
                    }
                    Scan::Inline(len) => {
                        found.push(vec![bytes[..len].to_vec()]);
                        start += len;
                    }
                    Scan::Nothing(len) => start += len,
                    Scan::Partial { missing, look_after } => {
                        assert!((1..=missing).contains(&look_after));
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn every_split_gives_the_same_requests(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..5),
            mut cuts in prop::collection::vec(0usize..600, 0..12),
        ) {
            let input: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
            cuts.retain(|&cut| cut < input.len());
            cuts.sort_unstable();
            prop_assert_eq!(read(&input, &cuts).expect("valid"), requests);
        }

        #[test]
        fn what_is_missing_is_never_overstated(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            cut in 0usize..200,
        ) {
            let input = encode(&words);
            let cut = cut.min(input.len() - 1);
            match RequestScanner::default().scan(&input[..cut], &LIMITS, true) {
                Ok(Scan::Partial { missing, .. }) => prop_assert!(missing <= input.len() - cut),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, &[]);
            let _ = read(&[b"*3\r\n$", &bytes[..]].concat(), &[]);
        }

        /// The redis-protocol crate reads the same words out of the same bytes.
        #[test]
        fn agrees_with_redis_protocol(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        ) {
            use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
            let input = encode(&words);
            let (frame, used) = decode(&input).expect("valid").expect("whole");
            prop_assert_eq!(used, input.len());
            let OwnedFrame::Array(items) = frame else { panic!("not an array") };
            let theirs: Vec<Vec<u8>> = items.into_iter().map(|item| match item {
                OwnedFrame::BulkString(bytes) => bytes,
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(read(&input, &[]).expect("valid"), vec![theirs]);
        }
    }

    #[test]
    fn objections_are_redis_own() {
        let long = "1".repeat(70);
        let cases = [
            ("*a\r\n".to_owned(), "invalid multibulk length"),
            ("*1001\r\n".to_owned(), "invalid multibulk length"),
            (format!("*{long}"), "too big mbulk count string"),
            ("*1\r\n+a\r\n".to_owned(), "expected '$', got '+'"),
            ("*1\r\n$-1\r\n".to_owned(), "invalid bulk length"),
            ("*1\r\n$65537\r\n".to_owned(), "invalid bulk length"),
            ("*1\r\n$99999999999999999999\r\n".to_owned(), "invalid bulk length"),
            (format!("*1\r\n${long}"), "too big bulk count string"),
            (long, "too big inline request"),
        ];
        for (input, want) in cases {
            let got = read(input.as_bytes(), &[]).expect_err(&input);
            assert_eq!(got.to_string(), want, "{input:?}");
        }
    }

    /// A session waits for what is said to be missing: a byte too many, and it waits for ever.
    #[test]
    fn the_last_bytes_of_an_empty_argument_are_not_overstated() {
        let cases = [
            ("*1\r\n$0\r", 3, 1),
            ("*1\r\n$0\r\n", 2, 2),
            ("*2\r\n$0\r", 9, 1),
            ("*2\r\n$0\r\n", 8, 2),
        ];
        for (input, missing, look_after) in cases {
            let got = RequestScanner::default().scan(input.as_bytes(), &LIMITS, true);
            assert_eq!(got, Ok(Scan::Partial { missing, look_after }), "{input:?}");
        }
    }

    /// A session that looks after the bytes it is told to finds every fault with the byte that
    /// makes it one.
    #[test]
    fn a_fault_is_told_with_its_last_byte() {
        for input in ["*a\r\n", "*2\r\n$x\r\n", "*2\r\n$3\r\nGET\r\n+", "*3\r\n$1\r\nabc"] {
            let (mut scanner, mut look_at, mut found) = (RequestScanner::default(), 1, None);
            for cut in 1..=input.len() {
                if cut < look_at {
                    continue;
                }
                match scanner.scan(&input.as_bytes()[..cut], &LIMITS, true) {
                    Ok(Scan::Partial { look_after, .. }) => look_at = cut + look_after,
                    Ok(other) => panic!("{input:?}: {other:?}"),
                    Err(_) => {
                        found = Some(cut);
                        break;
                    }
                }
            }
            let told = found.unwrap_or_else(|| panic!("{input:?} is not objected to"));
            let mut whole = RequestScanner::default();
            let earlier = whole.scan(&input.as_bytes()[..told - 1], &LIMITS, true);
            assert!(earlier.is_ok(), "{input:?} was told late");
        }
    }

    /// What is announced is not believed: memory follows what has come.
    #[test]
    fn an_announced_count_takes_no_memory() {
        let limits = RequestLimits { arguments_max: i32::MAX as usize, ..LIMITS };
        let limits = RequestLimits { request_bytes_max: 1 << 30, ..limits };
        let mut scanner = RequestScanner::default();
        let mut input = b"*170000000\r\n".to_vec();
        for _ in 0..1000 {
            assert!(matches!(scanner.scan(&input, &limits, true), Ok(Scan::Partial { .. })));
            assert!(scanner.ranges.capacity() * size_of::<(u32, u32)>() <= 4 * input.len() + 64);
            input.extend_from_slice(b"$0\r\n\r\n");
        }
        let count = |input: &[u8]| RequestScanner::default().scan(input, &limits, true);
        // Even empty ones would be more bytes than a request may have.
        assert_eq!(count(b"*2147483647\r\n"), Err(RequestFault::BigRequest));
        assert_eq!(count(b"*2147483648\r\n"), Err(RequestFault::BadCount));
    }

    #[test]
    fn limits_before_authentication() {
        let scan = |input: &[u8]| RequestScanner::default().scan(input, &LIMITS, false);
        assert_eq!(scan(b"*11\r\n"), Err(RequestFault::BigCountBeforeAuth));
        assert_eq!(scan(b"*1\r\n$16385\r\n"), Err(RequestFault::BigBulkBeforeAuth));
        assert!(matches!(scan(b"*10\r\n$16384\r\n"), Ok(Scan::Partial { .. })));
    }

    #[test]
    fn a_request_over_the_total_limit_is_refused_before_it_is_read() {
        let input = format!("*20\r\n{}", format!("$65000\r\n{}\r\n", "x".repeat(65000)).repeat(17));
        assert_eq!(read(input.as_bytes(), &[]), Err(RequestFault::BigRequest));
    }

    #[test]
    fn nothing_is_stepped_over() {
        let got = read(b"*0\r\n*-1\r\n\r\n  \r\nPING\r\n*1\r\n$4\r\nPING\r\n", &[]).expect("valid");
        assert_eq!(got, vec![vec![b"PING\r\n".to_vec()], vec![b"PING".to_vec()]]);
    }
}
