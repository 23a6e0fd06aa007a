//! RESP, the protocol of Redis (<https://redis.io/docs/latest/develop/reference/protocol-spec/>):
//! finding where requests and replies end, reading them and making them.
//!
//! Owns every byte-level fact of the protocol. Must not know what a command means, nor any socket.

pub mod args;
pub mod frame;
pub mod inline;
pub mod number;
pub mod reply;
pub mod request;
pub mod shown;
pub mod value;
pub mod write;

pub use args::Args;
pub use reply::ReplyScanner;
pub use request::RequestScanner;
pub use shown::shown;
pub use value::Value;

use std::fmt;

/// The two versions of RESP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// What every client speaks until it says `HELLO 3`.
    #[default]
    Resp2,
    /// Maps, sets, doubles, pushes.
    Resp3,
}

/// The peer sent bytes that are not RESP. The connection cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A client's request; the text is what Redis says after `-ERR Protocol error: `.
    Request(RequestFault),
    /// A node's reply; the text says what was wrong with it.
    Reply(&'static str),
}

/// What Redis objects to in a request, in its own words (`networking.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// An inline request longer than the limit.
    BigInline,
    /// A `*` line without end.
    BigCountLine,
    /// A `$` line without end.
    BigBulkLine,
    /// Not a number after `*`, or more arguments than the limit.
    BadCount,
    /// Something else where a `$` must stand.
    ExpectedBulk(u8),
    /// Not a number after `$`, or an argument longer than the limit.
    BadBulk,
    /// Something else than CRLF behind an argument. Redis 7 steps over it; newer Valkeys object, in
    /// these words (valkey pull request 2872), and close a connection that others share here.
    BadWordEnd,
    /// More than ten arguments before AUTH.
    BigCountBeforeAuth,
    /// An argument of more than 16 KiB before AUTH.
    BigBulkBeforeAuth,
    /// An inline request with an open quote.
    UnbalancedQuotes,
    /// A request longer in total than the limit; Redis closes without a word here.
    BigRequest,
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BigInline => f.write_str("too big inline request"),
            Self::BigCountLine => f.write_str("too big mbulk count string"),
            Self::BigBulkLine => f.write_str("too big bulk count string"),
            Self::BadCount => f.write_str("invalid multibulk length"),
            Self::ExpectedBulk(got) => {
                let shown = if got.is_ascii_graphic() || *got == b' ' { *got as char } else { '?' };
                write!(f, "expected '$', got '{shown}'")
            }
            Self::BadBulk => f.write_str("invalid bulk length"),
            Self::BadWordEnd => f.write_str("invalid CRLF in request"),
            Self::BigCountBeforeAuth => f.write_str("unauthenticated multibulk length"),
            Self::BigBulkBeforeAuth => f.write_str("unauthenticated bulk length"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::BigRequest => f.write_str("request too large"),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(fault) => write!(f, "{fault}"),
            Self::Reply(what) => write!(f, "not RESP: {what}"),
        }
    }
}

impl std::error::Error for ProtocolError {}
