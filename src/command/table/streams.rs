//! Streams: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Refusal, ReplyKeys, TimeoutAt};
use crate::command::key_search::KeySearch;
use crate::command::table::{Row, after, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("xack", -4, "write fast", "stream").keys(&[at("RW update", 1)]),
    cmd("xackdel", -6, "write fast", "stream").keys(&[at("RW update delete", 1)]),
    cmd("xadd", -5, "write denyoom fast", "stream")
        .keys(&[at("RW update", 1)])
        .tips("nondeterministic_output"),
    cmd("xautoclaim", -6, "write fast", "stream")
        .keys(&[at("RW delete", 1)])
        .tips("nondeterministic_output"),
    cmd("xcfgset", -2, "write fast", "stream").keys(&[at("RW update", 1)]),
    cmd("xclaim", -6, "write fast", "stream")
        .keys(&[at("RW update", 1)])
        .tips("nondeterministic_output"),
    cmd("xdel", -3, "write fast", "stream").keys(&[at("RW delete", 1)]),
    cmd("xdelex", -5, "write fast", "stream").keys(&[at("RW delete", 1)]),
    cmd("xgroup", -2, "", "").refuse(Refusal::Container),
    cmd("xgroup|create", -5, "write denyoom", "stream").keys(&[at("RW insert", 2)]),
    cmd("xgroup|createconsumer", 5, "write denyoom", "stream").keys(&[at("RW insert", 2)]),
    cmd("xgroup|delconsumer", 5, "write", "stream").keys(&[at("RW delete", 2)]),
    cmd("xgroup|destroy", 4, "write", "stream").keys(&[at("RW delete", 2)]),
    cmd("xgroup|help", 2, "loading stale", "stream"),
    cmd("xgroup|setid", -5, "write", "stream").keys(&[at("RW update", 2)]),
    cmd("xidmprecord", 5, "write denyoom fast", "stream").keys(&[at("RW update", 1)]),
    cmd("xinfo", -2, "", "").refuse(Refusal::Container),
    cmd("xinfo|consumers", 4, "readonly", "stream")
        .keys(&[at("RO access", 2)])
        .tips("nondeterministic_output"),
    cmd("xinfo|groups", 3, "readonly", "stream").keys(&[at("RO access", 2)]),
    cmd("xinfo|help", 2, "loading stale", "stream"),
    cmd("xinfo|stream", -3, "readonly", "stream").keys(&[at("RO access", 2)]),
    cmd("xlen", 2, "readonly fast", "stream").keys(&[at("RO", 1)]),
    cmd("xnack", -7, "write fast", "stream").keys(&[at("RW update", 1)]),
    cmd("xpending", -3, "readonly", "stream")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("xrange", -4, "readonly", "stream").keys(&[at("RO access", 1)]),
    cmd("xread", -4, "readonly blocking", "stream")
        .keys(&[after("RO access", "STREAMS", 1, -1, 2)])
        .search(KeySearch::Streams)
        .handled(Handling::Block(TimeoutAt::Option))
        .names(ReplyKeys::OfItems),
    cmd("xreadgroup", -7, "write blocking", "stream")
        .keys(&[after("RO access", "STREAMS", 4, -1, 2)])
        .search(KeySearch::Streams)
        .handled(Handling::Block(TimeoutAt::Option))
        .names(ReplyKeys::OfItems),
    cmd("xrevrange", -4, "readonly", "stream").keys(&[at("RO access", 1)]),
    cmd("xsetid", -3, "write denyoom fast", "stream").keys(&[at("RW update", 1)]),
    cmd("xtrim", -4, "write", "stream").keys(&[at("RW delete", 1)]).tips("nondeterministic_output"),
];
