//! What is told of a connection to a node that has ended, or never came to be.
//!
//! Owns the log lines of it, and the memory of why a node turns the gateway away. Must not know
//! what becomes of the requests.

use super::Pipeline;
use crate::backend::{BackendError, TurnedAway};

impl Pipeline {
    /// Why the node turned the gateway away, when that was the last that was heard of it.
    pub fn turned_away(&self) -> Option<TurnedAway> {
        self.turned_away.get()
    }

    /// Counts and logs why the connection ended. A node that turns the gateway away does so again
    /// and again, until somebody changes a setting: that is logged once.
    pub(super) fn tell(&self, error: &BackendError, unanswered: usize) {
        self.stats.error(error.kind());
        let (node, why) = (&self.upstream.node.name, error.turned_away());
        let is_told = why.is_some() && self.turned_away.replace(why) == why;
        match why {
            None => tracing::info!(%node, %error, unanswered, "lost a node connection"),
            Some(_) if is_told => tracing::debug!(%node, %error, "still turned away by a node"),
            Some(_) => tracing::warn!(%node, %error, unanswered, "turned away by a node"),
        }
    }
}
