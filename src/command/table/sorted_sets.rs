//! Sorted sets: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, ReplyKeys, TimeoutAt};
use crate::command::table::{Row, at, cmd, counted, range};

pub(super) const ROWS: &[Row] = &[
    cmd("bzmpop", -5, "write blocking", "sortedset")
        .keys(&[counted("RW access delete", 2, 1)])
        .handled(Handling::Block(TimeoutAt::Seconds(1)))
        .names(ReplyKeys::First),
    cmd("bzpopmax", -3, "write blocking fast", "sortedset")
        .keys(&[range("RW access delete", 1, -2, 1)])
        .handled(Handling::Block(TimeoutAt::LastSeconds))
        .names(ReplyKeys::First),
    cmd("bzpopmin", -3, "write blocking fast", "sortedset")
        .keys(&[range("RW access delete", 1, -2, 1)])
        .handled(Handling::Block(TimeoutAt::LastSeconds))
        .names(ReplyKeys::First),
    cmd("zadd", -4, "write denyoom fast", "sortedset").keys(&[at("RW update", 1)]),
    cmd("zcard", 2, "readonly fast", "sortedset").keys(&[at("RO", 1)]),
    cmd("zcount", 4, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zdiff", -3, "readonly", "sortedset").keys(&[counted("RO access", 1, 1)]),
    cmd("zdiffstore", -4, "write denyoom", "sortedset")
        .keys(&[at("OW update", 1), counted("RO access", 2, 1)]),
    cmd("zincrby", 4, "write denyoom fast", "sortedset").keys(&[at("RW access update", 1)]),
    cmd("zinter", -3, "readonly", "sortedset").keys(&[counted("RO access", 1, 1)]),
    cmd("zintercard", -3, "readonly", "sortedset").keys(&[counted("RO access", 1, 1)]),
    cmd("zinterstore", -4, "write denyoom", "sortedset")
        .keys(&[at("OW update", 1), counted("RO access", 2, 1)]),
    cmd("zlexcount", 4, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zmpop", -4, "write", "sortedset")
        .keys(&[counted("RW access delete", 1, 1)])
        .names(ReplyKeys::First),
    cmd("zmscore", -3, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zpopmax", -2, "write fast", "sortedset").keys(&[at("RW access delete", 1)]),
    cmd("zpopmin", -2, "write fast", "sortedset").keys(&[at("RW access delete", 1)]),
    cmd("zrandmember", -2, "readonly", "sortedset")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("zrange", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrangebylex", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrangebyscore", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrangestore", -5, "write denyoom", "sortedset")
        .keys(&[at("OW update", 1), at("RO access", 2)]),
    cmd("zrank", -3, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrem", -3, "write fast", "sortedset").keys(&[at("RW delete", 1)]),
    cmd("zremrangebylex", 4, "write", "sortedset").keys(&[at("RW delete", 1)]),
    cmd("zremrangebyrank", 4, "write", "sortedset").keys(&[at("RW delete", 1)]),
    cmd("zremrangebyscore", 4, "write", "sortedset").keys(&[at("RW delete", 1)]),
    cmd("zrevrange", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrevrangebylex", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrevrangebyscore", -4, "readonly", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zrevrank", -3, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zscan", -3, "readonly", "sortedset")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output")
        .handled(Handling::KeyScan),
    cmd("zscore", 3, "readonly fast", "sortedset").keys(&[at("RO access", 1)]),
    cmd("zunion", -3, "readonly", "sortedset").keys(&[counted("RO access", 1, 1)]),
    cmd("zunionstore", -4, "write denyoom", "sortedset")
        .keys(&[at("OW update", 1), counted("RO access", 2, 1)]),
];
