//! A load that costs the machine as little as it can, for comparing proxies that share its cores.
//!
//! Owns what a load is made of and what came of it. `script` has the requests, ready to be sent;
//! `scanner` counts replies; `drive` moves the bytes. Must not know who is measured, or why.

mod drive;
mod scanner;
mod script;

use std::net::SocketAddr;
use std::time::Duration;

use crate::tally::Latencies;

pub(crate) use drive::{Pace, run};
pub(crate) use script::{key, value};

/// What every client of a load asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `GET key`.
    Get,
    /// `SET key value`.
    Set,
    /// `MGET` of so many keys.
    Mget(usize),
    /// `MSET` of so many keys.
    Mset(usize),
    /// Four GETs, then a SET, and so on.
    Mix,
}

/// A load: the same requests with keys drawn anew, from many clients at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// What is asked.
    pub(crate) verb: Verb,
    /// The length of every value.
    pub(crate) bytes: usize,
    /// Keys drawn from; a GET counts on all of them being there.
    pub(crate) keys: u64,
    /// Requests that a client sends before it waits for their replies.
    pub(crate) pipeline: usize,
    /// Connections.
    pub(crate) clients: usize,
}

/// What was counted between the two edges of a measurement.
pub(crate) struct Counted {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Between the edges.
    pub(crate) took: Duration,
    /// From sending a pipeline to having each of its replies.
    pub(crate) latencies: Latencies,
    /// Replies that were not what they should be, among them keys that were not there.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) example: Option<String>,
}

/// Which end of the measured time is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Counting starts.
    Start,
    /// Counting ends; clients are still busy.
    End,
}

/// Who gets the load.
pub(crate) type Address = SocketAddr;
