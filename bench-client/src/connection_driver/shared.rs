//! What the connections of one thread have in common.
//!
//! Owns these types. Knows nothing of what a connection does with them.

use std::time::{Duration, Instant};

use mio::Registry;

use crate::connection::Failure;
use crate::lookup::Lookup;
use crate::recorder::Recorder;
use crate::slot_map::Routes;

/// How the connections of a load behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Requests in flight on each connection.
    pub(crate) pipeline: usize,
    /// The longest a connect may take.
    pub(crate) connect_timeout: Duration,
    /// The longest a pipeline may take.
    pub(crate) timeout: Duration,
    /// Whether a connection that broke is made anew; else the load ends.
    pub(crate) reconnects: bool,
    /// Whether RESP3 is asked for.
    pub(crate) resp3: bool,
}

/// What the connections of one thread share.
pub(crate) struct Shared<'a, W> {
    /// What is asked.
    pub(crate) workload: W,
    /// What is counted.
    pub(crate) recorder: Recorder<'a>,
    /// How connections behave.
    pub(crate) manners: Manners,
    /// HELLO or AUTH, as it is sent first.
    pub(crate) greeting: Option<Vec<u8>>,
    /// Where sockets are registered.
    pub(crate) registry: Registry,
    /// Where the target is; of a cluster, each of its masters that has a key.
    pub(crate) lookups: Vec<Lookup>,
    /// Who has which slots of that cluster.
    pub(crate) routes: Option<&'a Routes>,
    /// What is read at once, by whichever connection has something to read.
    pub(crate) buffer: Vec<u8>,
    /// When the schedule of an open loop starts.
    pub(crate) start: Instant,
    /// Until when pipelines may be sent; none are while this is not known.
    pub(crate) until: Option<Instant>,
    /// Connections with requests under way.
    pub(crate) busy: usize,
    /// Whether one waits for something else than its replies or its turn.
    pub(crate) unsettled: bool,
    /// The first failure, where connections are not made anew.
    pub(crate) failed: Option<(usize, Failure)>,
}

impl<W> Shared<'_, W> {
    /// Something happened that a change of the cluster would explain.
    pub(super) fn doubt_routes(&self) {
        if let Some(routes) = self.routes {
            routes.is_doubted();
        }
    }

    /// Whether nothing is sent any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// There is something to read, an end perhaps.
    pub(crate) readable: bool,
    /// There is room to write.
    pub(crate) writable: bool,
    /// The peer has ended its side.
    pub(crate) closed: bool,
}
