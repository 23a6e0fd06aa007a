//! Arrays (Redis 8.8 and later): rows of the command table, sorted by name. Data only.

use crate::command::table::{Row, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("arcount", 2, "readonly fast", "array").keys(&[at("RO access", 1)]),
    cmd("ardel", -3, "write fast", "array").keys(&[at("RW delete", 1)]),
    cmd("ardelrange", -4, "write", "array").keys(&[at("RW delete", 1)]),
    cmd("arget", 3, "readonly fast", "array").keys(&[at("RO access", 1)]),
    cmd("argetrange", 4, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("argrep", -6, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("arinfo", -2, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("arinsert", -3, "write denyoom fast", "array").keys(&[at("RW update", 1)]),
    cmd("arlastitems", -3, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("arlen", 2, "readonly fast", "array").keys(&[at("RO access", 1)]),
    cmd("armget", -3, "readonly fast", "array").keys(&[at("RO access", 1)]),
    cmd("armset", -4, "write denyoom fast", "array").keys(&[at("RW update", 1)]),
    cmd("arnext", 2, "readonly fast", "array").keys(&[at("RO access", 1)]),
    cmd("arop", -5, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("arring", -4, "write denyoom", "array").keys(&[at("RW update", 1)]),
    cmd("arscan", -4, "readonly", "array").keys(&[at("RO access", 1)]),
    cmd("arseek", 3, "write fast", "array").keys(&[at("RW update", 1)]),
    cmd("arset", -4, "write denyoom fast", "array").keys(&[at("RW update", 1)]),
];
