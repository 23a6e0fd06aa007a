//! Nothing further before what is under way has been answered.
//!
//! Owns the one reason for which a client's requests wait for earlier ones: order. Requests of one
//! client stay in order as long as they travel over the same connections. When the
//! next one does not, it waits until all before it have been answered. Pure.

/// The barrier of one session.
#[derive(Debug)]
pub(super) struct Barrier {
    /// The router's generation by which the requests under way travel; `None` while it is raised.
    generation: Option<u64>,
}

impl Barrier {
    /// One that nobody has raised.
    pub(super) fn new() -> Barrier {
        Barrier { generation: Some(0) }
    }

    /// The next requests travel over other connections than those under way: the client has changed its
    /// protocol, or has asked for something that goes beside the pipelines.
    pub(super) fn raise(&mut self) {
        self.generation = None;
    }

    /// Whether it has been raised and nobody has passed since.
    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        self.generation.is_none()
    }

    /// Whether the next request may be taken, in this generation, while so many are unanswered.
    #[inline]
    pub(super) fn lets_pass(&mut self, generation: u64, unanswered: usize) -> bool {
        if self.generation == Some(generation) {
            return true;
        }
        if unanswered > 0 {
            return false;
        }
        self.generation = Some(generation);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_all_is_answered() {
        let mut barrier = Barrier::new();
        assert!(barrier.lets_pass(0, 5) && !barrier.is_raised());
        // Another map.
        assert!(!barrier.lets_pass(1, 5) && !barrier.lets_pass(1, 1));
        assert!(barrier.lets_pass(1, 0) && barrier.lets_pass(1, 5));
        // Other connections.
        barrier.raise();
        assert!(barrier.is_raised() && !barrier.lets_pass(1, 2) && barrier.is_raised());
        assert!(barrier.lets_pass(1, 0) && !barrier.is_raised());
    }
}
