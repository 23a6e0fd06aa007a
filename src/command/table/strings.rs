//! Strings: rows of the command table, sorted by name. Data only.

use crate::command::key_search::KeySearch;
use crate::command::table::{Row, at, cmd, counted, range};

pub(super) const ROWS: &[Row] = &[
    cmd("append", 3, "write denyoom fast", "string").keys(&[at("RW insert", 1)]),
    cmd("decr", 2, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("decrby", 3, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("delex", -2, "write fast", "string").keys(&[at("RW delete variable_flags", 1)]),
    cmd("delifeq", 3, "write", "string").keys(&[at("RM access delete", 1)]),
    cmd("digest", 2, "readonly fast", "string").keys(&[at("RO access", 1)]),
    cmd("get", 2, "readonly fast", "string").keys(&[at("RO access", 1)]),
    cmd("getdel", 2, "write fast", "string").keys(&[at("RW access delete", 1)]),
    cmd("getex", -2, "write fast", "string").keys(&[at("RW access update", 1)]),
    cmd("getrange", 4, "readonly", "string").keys(&[at("RO access", 1)]),
    cmd("getset", 3, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("incr", 2, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("incrby", 3, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("incrbyfloat", 3, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("increx", -2, "write denyoom fast", "string").keys(&[at("RW access update", 1)]),
    cmd("lcs", -3, "readonly", "string").keys(&[range("RO access", 1, 1, 1)]),
    cmd("mget", -2, "readonly fast", "string")
        .keys(&[range("RO access", 1, -1, 1)])
        .tips("request_policy:multi_shard"),
    cmd("mset", -3, "write denyoom", "string")
        .keys(&[range("OW update", 1, -1, 2)])
        .tips("request_policy:multi_shard response_policy:all_succeeded"),
    cmd("msetex", -4, "write denyoom", "string")
        .keys(&[counted("OW update", 1, 2)])
        .tips("request_policy:multi_shard response_policy:all_succeeded"),
    cmd("msetnx", -3, "write denyoom", "string").keys(&[range("OW insert", 1, -1, 2)]),
    cmd("psetex", 4, "write denyoom", "string").keys(&[at("OW update", 1)]),
    cmd("set", -3, "write denyoom", "string")
        .keys(&[at("RW access update variable_flags", 1)])
        .search(KeySearch::Set),
    cmd("setex", 4, "write denyoom", "string").keys(&[at("OW update", 1)]),
    cmd("setnx", 3, "write denyoom fast", "string").keys(&[at("OW insert", 1)]),
    cmd("setrange", 4, "write denyoom", "string").keys(&[at("RW update", 1)]),
    cmd("strlen", 2, "readonly fast", "string").keys(&[at("RO", 1)]),
    cmd("substr", 4, "readonly", "string").keys(&[at("RO access", 1)]),
];
