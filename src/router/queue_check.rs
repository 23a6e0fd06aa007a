//! Whether a node takes a command into a transaction.
//!
//! Owns the asking: MULTI, the command, DISCARD. So nothing runs, and the node objects in its own words
//! to what it would object to. Must not know why it is asked.

use super::Router;
use super::pursuit::Pursuit;
use crate::backend::Lane;
use crate::reply::returned;
use crate::resp::Protocol;
use crate::slot::Slot;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const DISCARD: &[u8] = b"*1\r\n$7\r\nDISCARD\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";
/// Longest objection.
const OBJECTION_BYTES_MAX: usize = 64 * 1024;

/// What a node says of a command.
#[derive(Debug)]
pub enum QueueCheck {
    /// It would run it.
    Takes,
    /// It would not: its error.
    Objects(Vec<u8>),
    /// Nobody can tell now; EXEC will.
    Unknown,
}

impl Router {
    /// Asks the master of a slot once.
    pub async fn check_queued(&self, slot: Slot, protocol: Protocol, request: &[u8]) -> QueueCheck {
        let mut pursuit = Pursuit::new(slot, protocol, Lane::Quick);
        let Ok(mut place) = pursuit.place(self).await else { return QueueCheck::Unknown };
        let block = [MULTI, request, DISCARD].concat();
        let Ok(frames) = self.exec_at(&mut place, &block, (3, OBJECTION_BYTES_MAX)).await else {
            return QueueCheck::Unknown;
        };
        match frames.into_iter().nth(1) {
            Some(reply) if reply == QUEUED => QueueCheck::Takes,
            Some(reply) if reply.starts_with(b"-") && returned::classify(&reply).is_none() => {
                QueueCheck::Objects(reply)
            }
            _ => QueueCheck::Unknown,
        }
    }
}
