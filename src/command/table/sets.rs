//! Sets: rows of the command table, sorted by name. Data only.

use crate::command::handling::Handling;
use crate::command::table::{Row, at, cmd, counted, range};

pub(super) const ROWS: &[Row] = &[
    cmd("sadd", -3, "write denyoom fast", "set").keys(&[at("RW insert", 1)]),
    cmd("scard", 2, "readonly fast", "set").keys(&[at("RO", 1)]),
    cmd("sdiff", -2, "readonly", "set")
        .keys(&[range("RO access", 1, -1, 1)])
        .tips("nondeterministic_output_order"),
    cmd("sdiffcard", -3, "readonly", "set").keys(&[counted("RO access", 1, 1)]),
    cmd("sdiffstore", -3, "write denyoom", "set")
        .keys(&[at("OW update", 1), range("RO access", 2, -1, 1)]),
    cmd("sinter", -2, "readonly", "set")
        .keys(&[range("RO access", 1, -1, 1)])
        .tips("nondeterministic_output_order"),
    cmd("sintercard", -3, "readonly", "set").keys(&[counted("RO access", 1, 1)]),
    cmd("sinterstore", -3, "write denyoom", "set")
        .keys(&[at("OW update", 1), range("RO access", 2, -1, 1)]),
    cmd("sismember", 3, "readonly fast", "set").keys(&[at("RO", 1)]),
    cmd("smembers", 2, "readonly", "set")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output_order"),
    cmd("smismember", -3, "readonly fast", "set").keys(&[at("RO access", 1)]),
    cmd("smove", 4, "write fast", "set").keys(&[at("RW access delete", 1), at("RW insert", 2)]),
    cmd("spop", -2, "write fast", "set")
        .keys(&[at("RW access delete", 1)])
        .tips("nondeterministic_output"),
    cmd("srandmember", -2, "readonly", "set")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("srem", -3, "write fast", "set").keys(&[at("RW delete", 1)]),
    cmd("sscan", -3, "readonly", "set")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output")
        .handled(Handling::KeyScan),
    cmd("sunion", -2, "readonly", "set")
        .keys(&[range("RO access", 1, -1, 1)])
        .tips("nondeterministic_output_order"),
    cmd("sunioncard", -3, "readonly", "set").keys(&[counted("RO access", 1, 1)]),
    cmd("sunionstore", -3, "write denyoom", "set")
        .keys(&[at("OW update", 1), range("RO access", 2, -1, 1)]),
];
