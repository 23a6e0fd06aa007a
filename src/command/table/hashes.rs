//! Hashes: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Refusal};
use crate::command::table::{Row, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("hdel", -3, "write fast", "hash").keys(&[at("RW delete", 1)]),
    cmd("hexists", 3, "readonly fast", "hash").keys(&[at("RO", 1)]),
    cmd("hexpire", -6, "write fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hexpireat", -6, "write fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hexpiretime", -5, "readonly fast", "hash").keys(&[at("RO access", 1)]),
    cmd("hget", 3, "readonly fast", "hash").keys(&[at("RO access", 1)]),
    cmd("hgetall", 2, "readonly", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output_order"),
    cmd("hgetdel", -5, "write fast", "hash").keys(&[at("RW access delete", 1)]),
    cmd("hgetex", -5, "write fast", "hash").keys(&[at("RW access update", 1)]),
    cmd("himport", -2, "", "hash").refuse(Refusal::Container),
    cmd("himport|discard", 3, "", "hash")
        .tips("request_policy:all_shards")
        .refuse(Refusal::ConnectionState),
    cmd("himport|discardall", 2, "", "hash")
        .tips("request_policy:all_shards")
        .refuse(Refusal::ConnectionState),
    cmd("himport|prepare", -4, "denyoom", "hash")
        .tips("request_policy:all_shards")
        .refuse(Refusal::ConnectionState),
    cmd("himport|set", -5, "write denyoom", "hash")
        .keys(&[at("OW update", 2)])
        .refuse(Refusal::ConnectionState),
    cmd("hincrby", 4, "write denyoom fast", "hash").keys(&[at("RW access update", 1)]),
    cmd("hincrbyfloat", 4, "write denyoom fast", "hash").keys(&[at("RW access update", 1)]),
    cmd("hkeys", 2, "readonly", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output_order"),
    cmd("hlen", 2, "readonly fast", "hash").keys(&[at("RO", 1)]),
    cmd("hmget", -3, "readonly fast", "hash").keys(&[at("RO access", 1)]),
    cmd("hmset", -4, "write denyoom fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hpersist", -5, "write fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hpexpire", -6, "write fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hpexpireat", -6, "write fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hpexpiretime", -5, "readonly fast", "hash").keys(&[at("RO access", 1)]),
    cmd("hpttl", -5, "readonly fast", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("hrandfield", -2, "readonly", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("hscan", -3, "readonly", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output")
        .handled(Handling::KeyScan),
    cmd("hset", -4, "write denyoom fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hsetex", -6, "write denyoom fast", "hash").keys(&[at("RW update", 1)]),
    cmd("hsetnx", 4, "write denyoom fast", "hash").keys(&[at("RW insert", 1)]),
    cmd("hstrlen", 3, "readonly fast", "hash").keys(&[at("RO", 1)]),
    cmd("httl", -5, "readonly fast", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("hvals", 2, "readonly", "hash")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output_order"),
];
