//! Transactions: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Transaction};
use crate::command::table::{Row, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("discard", 1, "noscript loading stale fast allow_busy", "transaction")
        .handled(Handling::Transaction(Transaction::Discard)),
    cmd("exec", 1, "noscript loading stale skip_slowlog", "transaction")
        .handled(Handling::Transaction(Transaction::Exec)),
    cmd("multi", 1, "noscript loading stale fast allow_busy", "transaction")
        .handled(Handling::Transaction(Transaction::Multi)),
    cmd("unwatch", 1, "noscript loading stale fast allow_busy", "transaction")
        .handled(Handling::Transaction(Transaction::Unwatch)),
    cmd("watch", -2, "noscript loading stale fast allow_busy", "transaction")
        .keys(&[range("RO", 1, -1, 1)])
        .handled(Handling::Transaction(Transaction::Watch)),
];
