//! The gateway's connections to the nodes of the cluster.
//!
//! Owns sockets towards nodes, and what can go wrong with them. Must not know slots, nor what a
//! command means.

pub mod connection;
mod in_flight;
pub mod large;
pub mod lease;
pub mod message_stream;
pub mod own_addresses;
pub mod pipeline;
pub mod pipelines;
pub mod send_queue;
pub mod shortage;
pub mod tracking;
pub mod upstream;

pub use connection::{Asked, Connection};
pub use large::LargeValues;
pub use lease::{Lane, Lease, LeaseError, LeaseLimits, LeasePool};
pub use message_stream::MessageStream;
pub use pipeline::{Pipeline, Shared};
pub use pipelines::{NAMES_MAX, NodeStatsRegistry, Pipelines};
pub use shortage::MemoryShortage;
pub use tracking::{Invalidation, Invalidations, Tracker, TrackingMode, TrackingOptions};
pub use upstream::{Band, Identity, Upstream};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::NODE_PASSWORD_SETTINGS;
use crate::resp::{ProtocolError, shown};

/// Which node, and where it is now. Equal when id and address are: the name is for people, and
/// nodes may tell different ones.
#[derive(Clone, Debug)]
pub struct NodeAddress {
    /// The node's id in the cluster; empty when it is not known yet.
    pub id: Arc<str>,
    /// Where it is dialled.
    pub address: SocketAddr,
    /// How it is called in metrics and logs: its announced host name or address, and port.
    pub name: Arc<str>,
}

impl PartialEq for NodeAddress {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.address == other.address
    }
}

impl Eq for NodeAddress {}

impl std::hash::Hash for NodeAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.address.hash(state);
    }
}

/// What went wrong between the gateway and a node. Whether a request may have run all the same is known
/// to who sent it: see [`LeaseError`] and [`ReturnReason`](crate::reply::ReturnReason).
#[derive(Debug)]
pub enum BackendError {
    /// No connection could be made.
    Connect(io::Error),
    /// The node refused the gateway's credentials, or wants some; the text is the node's.
    Auth(String),
    /// The node has as many clients as its own `maxclients` allows; the text is the node's.
    Full(String),
    /// Another node answers at this address.
    WrongNode {
        /// The id the map expects here.
        expected: String,
        /// The id that answered.
        found: String,
    },
    /// The connection broke.
    Io(io::Error),
    /// The node closed the connection.
    Closed,
    /// The node did not answer in time.
    Silent,
    /// The node sent something that is not RESP.
    Protocol(ProtocolError),
    /// The node answered the gateway's own question with an error.
    Refused(String),
    /// An answer is longer than whoever asked may be sent.
    TooLong,
    /// As many connections to the node as may be were in use for too long.
    Busy,
    /// A script keeps the node from everything else: what it answers then, `BUSY …`.
    RunsScript(String),
}

/// Why a node turns the gateway away as long as nobody changes a setting, there or here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The gateway's credentials are not the node's.
    Credentials,
    /// The node wants a password, and the gateway has none.
    NoCredentials,
    /// The node's own `maxclients` is reached.
    Full,
}

impl BackendError {
    /// What an error means that a node answers the gateway with. A node without room says so
    /// whatever it is asked.
    pub fn of_answer(text: String) -> BackendError {
        if text.starts_with("ERR max number of clients") {
            Self::Full(text)
        } else if text.starts_with("NOAUTH") || text.starts_with("WRONGPASS") {
            Self::Auth(text)
        } else if text.starts_with("BUSY ") {
            Self::RunsScript(text)
        } else {
            Self::Refused(text)
        }
    }

    /// The same, of a whole frame.
    pub fn of_frame(frame: &[u8]) -> BackendError {
        let text = String::from_utf8_lossy(frame.strip_prefix(b"-").unwrap_or(frame));
        Self::of_answer(text.trim().into())
    }

    /// What clients are told at once, in the node's words: to wait or to try again would not help.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::RunsScript(text) => Some(text),
            _ => None,
        }
    }

    /// What an error means that a node answers to AUTH, in the words of any version.
    pub fn of_auth(text: String) -> BackendError {
        match Self::of_answer(text) {
            // It is not about who asks.
            Self::Refused(text) if text.starts_with("LOADING") || text.starts_with("DENIED") => {
                Self::Refused(text)
            }
            Self::Refused(text) => Self::Auth(text),
            error => error,
        }
    }

    /// Whether the node turns the gateway away, and why.
    pub fn turned_away(&self) -> Option<TurnedAway> {
        match self {
            Self::Auth(text) if text.starts_with("NOAUTH") => Some(TurnedAway::NoCredentials),
            Self::Auth(_) => Some(TurnedAway::Credentials),
            Self::Full(_) => Some(TurnedAway::Full),
            _ => None,
        }
    }

    /// One word for counters and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Auth(_) => "auth",
            Self::Full(_) => "maxclients",
            Self::WrongNode { .. } => "wrong_node",
            Self::Io(_) | Self::Closed => "io",
            Self::Silent => "timeout",
            Self::Protocol(_) | Self::TooLong => "protocol",
            Self::Refused(_) => "refused",
            Self::Busy => "busy",
            Self::RunsScript(_) => "script",
        }
    }
}

/// Texts of the node are shortened and tamed: this goes into logs and pages as it is.
impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Auth(text) => {
                let text = shown(text);
                match self.turned_away() {
                    Some(TurnedAway::NoCredentials) => write!(
                        f,
                        "the node wants a password and the gateway has none ({text}); set \
                         {NODE_PASSWORD_SETTINGS}"
                    ),
                    _ => write!(
                        f,
                        "the node refused the credentials of the gateway ({text}); mend \
                         {NODE_PASSWORD_SETTINGS}"
                    ),
                }
            }
            Self::Full(text) => write!(
                f,
                "the node has no room for the gateway, by its own maxclients ({})",
                shown(text)
            ),
            Self::WrongNode { expected, found } => {
                let (expected, found) = (shown(expected), shown(found));
                write!(f, "node {found} answers where {expected} was expected")
            }
            Self::Io(error) => write!(f, "connection lost: {error}"),
            Self::Closed => f.write_str("the node closed the connection"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Protocol(error) => write!(f, "{error}"),
            Self::Refused(text) | Self::RunsScript(text) => {
                write!(f, "the node answered: {}", shown(text))
            }
            Self::TooLong => f.write_str("the node's answer is too long"),
            Self::Busy => f.write_str("all connections to the node that may be are in use"),
        }
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Io(error) => Some(error),
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let full = "ERR max number of clients + cluster connections reached";
        let cases = [
            (BackendError::of_answer(full.into()), "maxclients", Some(TurnedAway::Full)),
            (BackendError::of_auth(full.into()), "maxclients", Some(TurnedAway::Full)),
            (
                BackendError::of_answer("NOAUTH Authentication required.".into()),
                "auth",
                Some(TurnedAway::NoCredentials),
            ),
            (
                BackendError::of_auth("WRONGPASS invalid username-password pair".into()),
                "auth",
                Some(TurnedAway::Credentials),
            ),
            (
                BackendError::of_auth("ERR invalid password".into()),
                "auth",
                Some(TurnedAway::Credentials),
            ),
            (BackendError::of_auth("LOADING soon".into()), "refused", None),
            (BackendError::of_auth("DENIED protected mode".into()), "refused", None),
            (BackendError::of_answer("NOPERM no".into()), "refused", None),
            (BackendError::of_answer("BUSY Redis is busy".into()), "script", None),
            (BackendError::of_answer("BUSYGROUP no".into()), "refused", None),
        ];
        for (error, kind, turned_away) in cases {
            assert_eq!((error.kind(), error.turned_away()), (kind, turned_away), "{error}");
        }
    }

    #[test]
    fn the_cause_is_handed_on() {
        use std::error::Error;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for error in [BackendError::Connect(refused()), BackendError::Io(refused())] {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
            assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
        }
        let odd = BackendError::Protocol(ProtocolError::Reply("odd"));
        assert_eq!(odd.source().map(ToString::to_string).as_deref(), Some("not RESP: odd"));
        assert!(BackendError::Closed.source().is_none());
    }

    #[test]
    fn what_a_node_says_is_tamed() {
        let long = BackendError::Refused("x\r\n\u{1b}[2J".to_owned() + &"y".repeat(10 << 20));
        let said = long.to_string();
        assert!(said.len() < 300 && said.contains("x???[2Jyy") && said.ends_with('…'), "{said}");
    }
}
