//! What becomes of the commands of a transaction that was refused.
//!
//! Owns the time from a refused MULTI to its EXEC: nothing runs. A client that sends a transaction in
//! one go reads the refusal when it has sent everything, and takes what was not executed for not
//! executed. Must not know what the commands are.

use super::{End, Session};
use crate::command::CommandId;
use crate::reply::texts;
use crate::resp::Args;

/// Where a client is in a transaction that there is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// In none.
    #[default]
    Outside,
    /// MULTI has been refused, and what comes now was sent together with it as far as one can see.
    Refused,
    /// MULTI has been refused, and more has come since. Whoever read the refusal and goes on with
    /// something else is told, and disconnected: its later commands are not of a transaction.
    Told,
}

impl Session {
    /// Deals with a request behind a refused MULTI. `false`: it is one like any other.
    #[cold]
    pub(super) fn is_of_refused_transaction(&mut self, args: Args<'_>) -> bool {
        let is = |name: &str| args.get(0).eq_ignore_ascii_case(name.as_bytes());
        if ["DISCARD", "RESET", "QUIT", "MULTI"].into_iter().any(is) {
            // The next one is refused likewise.
            self.state.transaction = Transaction::Outside;
            return false;
        }
        if is("EXEC") {
            self.state.transaction = Transaction::Outside;
            self.refuse(CommandId::MAX, texts::EXEC_ABORT);
        } else {
            self.refuse(CommandId::MAX, texts::NOT_RUN);
            if self.state.transaction == Transaction::Told {
                self.finished = Some(End::Protocol);
            }
        }
        true
    }

    /// Something has been read.
    #[inline]
    pub(super) fn note_more_of_transaction(&mut self) {
        if self.state.transaction == Transaction::Refused {
            self.state.transaction = Transaction::Told;
        }
    }
}
