//! Lists: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Refusal, ReplyKeys, TimeoutAt};
use crate::command::table::{Row, at, cmd, counted, range};

pub(super) const ROWS: &[Row] = &[
    cmd("blmove", 6, "write denyoom blocking", "list")
        .keys(&[at("RW access delete", 1), at("RW insert", 2)])
        .handled(Handling::Block(TimeoutAt::LastSeconds)),
    cmd("blmovem", -6, "write denyoom blocking", "list")
        .keys(&[at("RW access delete", 1), at("RW insert", 2)])
        .refuse(Refusal::Blocking),
    cmd("blmpop", -5, "write blocking", "list")
        .keys(&[counted("RW access delete", 2, 1)])
        .handled(Handling::Block(TimeoutAt::Seconds(1)))
        .names(ReplyKeys::First),
    cmd("blpop", -3, "write blocking", "list")
        .keys(&[range("RW access delete", 1, -2, 1)])
        .handled(Handling::Block(TimeoutAt::LastSeconds))
        .names(ReplyKeys::First),
    cmd("brpop", -3, "write blocking", "list")
        .keys(&[range("RW access delete", 1, -2, 1)])
        .handled(Handling::Block(TimeoutAt::LastSeconds))
        .names(ReplyKeys::First),
    cmd("brpoplpush", 4, "write denyoom blocking", "list")
        .keys(&[at("RW access delete", 1), at("RW insert", 2)])
        .handled(Handling::Block(TimeoutAt::LastSeconds)),
    cmd("lindex", 3, "readonly", "list").keys(&[at("RO access", 1)]),
    cmd("linsert", 5, "write denyoom", "list").keys(&[at("RW insert", 1)]),
    cmd("llen", 2, "readonly fast", "list").keys(&[at("RO", 1)]),
    cmd("lmove", 5, "write denyoom", "list").keys(&[at("RW access delete", 1), at("RW insert", 2)]),
    cmd("lmovem", -5, "write denyoom", "list")
        .keys(&[at("RW access delete", 1), at("RW insert", 2)]),
    cmd("lmpop", -4, "write", "list")
        .keys(&[counted("RW access delete", 1, 1)])
        .names(ReplyKeys::First),
    cmd("lpop", -2, "write fast", "list").keys(&[at("RW access delete", 1)]),
    cmd("lpos", -3, "readonly", "list").keys(&[at("RO access", 1)]),
    cmd("lpush", -3, "write denyoom fast", "list").keys(&[at("RW insert", 1)]),
    cmd("lpushx", -3, "write denyoom fast", "list").keys(&[at("RW insert", 1)]),
    cmd("lrange", 4, "readonly", "list").keys(&[at("RO access", 1)]),
    cmd("lrem", 4, "write", "list").keys(&[at("RW delete", 1)]),
    cmd("lset", 4, "write denyoom", "list").keys(&[at("RW update", 1)]),
    cmd("ltrim", 4, "write", "list").keys(&[at("RW delete", 1)]),
    cmd("rpop", -2, "write fast", "list").keys(&[at("RW access delete", 1)]),
    cmd("rpoplpush", 3, "write denyoom", "list")
        .keys(&[at("RW access delete", 1), at("RW insert", 2)]),
    cmd("rpush", -3, "write denyoom fast", "list").keys(&[at("RW insert", 1)]),
    cmd("rpushx", -3, "write denyoom fast", "list").keys(&[at("RW insert", 1)]),
];
