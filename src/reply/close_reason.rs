//! Why a client's connection ends.
//!
//! Owns the one list of reasons, whoever finds them: the session, the writer, or the worker.

/// The reason: an index into [`crate::metrics::stats::DISCONNECTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed, or asked to be closed.
    Client = 0,
    /// It was idle for too long.
    Idle = 1,
    /// It did not read its replies: more waits for it than its output limit allows.
    OutputLimit = 2,
    /// It did not speak RESP.
    Protocol = 3,
    /// Somebody killed it.
    Killed = 4,
    /// The gateway stops.
    Drained = 5,
    /// Its task failed.
    Failed = 6,
    /// It has read part of a reply whose rest will never come: a node's connection was lost.
    HalfReply = 7,
    /// It held most for longest when there was too much in all.
    Memory = 8,
    /// It did not say the password in time.
    NoAuth = 9,
}
