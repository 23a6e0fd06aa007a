//! The gateway's connections to the nodes of the cluster.
//!
//! Owns sockets towards nodes, and what can go wrong with them. Must not know slots, nor what a
//! command means.

pub mod connection;
mod entries;
pub mod large;
pub mod lease;
pub mod pipeline;
pub mod pipelines;
pub mod ring;

pub use connection::{Asked, Connection, Identity};
pub use large::LargeValues;
pub use lease::{Lease, LeaseError, LeasePool};
pub use pipeline::{Pipeline, Shared};
pub use pipelines::{NodeBook, Pipelines};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::resp::ProtocolError;

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

/// What went wrong between the gateway and a node.
#[derive(Debug)]
pub enum BackendError {
    /// No connection could be made.
    Connect(io::Error),
    /// The node refused the gateway's credentials; the text is the node's.
    Auth(String),
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
}

impl BackendError {
    /// One word for counters and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Auth(_) => "auth",
            Self::WrongNode { .. } => "wrong_node",
            Self::Io(_) | Self::Closed => "io",
            Self::Silent => "timeout",
            Self::Protocol(_) => "protocol",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Auth(text) => write!(f, "the node refused the credentials: {text}"),
            Self::WrongNode { expected, found } => {
                write!(f, "node {found} answers where {expected} was expected")
            }
            Self::Io(error) => write!(f, "connection lost: {error}"),
            Self::Closed => f.write_str("the node closed the connection"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Protocol(error) => write!(f, "{error}"),
            Self::Refused(text) => write!(f, "the node answered: {text}"),
        }
    }
}

impl std::error::Error for BackendError {}
