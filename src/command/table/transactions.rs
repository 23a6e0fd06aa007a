//! Transactions: rows of the command table, sorted by name. Data only.

use crate::command::columns::Refusal;
use crate::command::table::{Row, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("discard", 1, "noscript loading stale fast allow_busy", "transaction")
        .refuse(Refusal::Transaction),
    cmd("exec", 1, "noscript loading stale skip_slowlog", "transaction")
        .refuse(Refusal::Transaction),
    cmd("multi", 1, "noscript loading stale fast allow_busy", "transaction").refuse(Refusal::Multi),
    cmd("unwatch", 1, "noscript loading stale fast allow_busy", "transaction")
        .refuse(Refusal::Transaction),
    cmd("watch", -2, "noscript loading stale fast allow_busy", "transaction")
        .keys(&[range("RO", 1, -1, 1)])
        .refuse(Refusal::Transaction),
];
