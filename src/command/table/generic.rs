//! Keys of any type: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Keyspace, Refusal, TimeoutAt, Way};
use crate::command::key_search::KeySearch;
use crate::command::table::{Row, after, at, cmd, range, unknown};

pub(super) const ROWS: &[Row] = &[
    cmd("copy", -3, "write denyoom", "keyspace").keys(&[at("RO access", 1), at("OW update", 2)]),
    cmd("del", -2, "write", "keyspace")
        .keys(&[range("RM delete", 1, -1, 1)])
        .tips("request_policy:multi_shard response_policy:agg_sum"),
    cmd("dump", 2, "readonly", "keyspace")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("exists", -2, "readonly fast", "keyspace")
        .keys(&[range("RO", 1, -1, 1)])
        .tips("request_policy:multi_shard response_policy:agg_sum"),
    cmd("expire", -3, "write fast", "keyspace").keys(&[at("RW update", 1)]),
    cmd("expireat", -3, "write fast", "keyspace").keys(&[at("RW update", 1)]),
    cmd("expiretime", 2, "readonly fast", "keyspace").keys(&[at("RO access", 1)]),
    cmd("keys", 2, "readonly", "keyspace dangerous")
        .tips("request_policy:all_shards nondeterministic_output_order")
        .handled(Handling::Keyspace(Keyspace::Keys)),
    cmd("migrate", -6, "write", "keyspace dangerous")
        .keys(&[at("RW access delete", 3), after("RW access delete incomplete", "KEYS", -2, -1, 0)])
        .search(KeySearch::Migrate)
        .tips("nondeterministic_output")
        .guarded(Way::ByKeys),
    cmd("move", 3, "write fast", "keyspace").keys(&[at("RW access update", 1)]),
    cmd("object", -2, "", "").refuse(Refusal::Container),
    cmd("object|encoding", 3, "readonly", "keyspace")
        .keys(&[at("RO", 2)])
        .tips("nondeterministic_output"),
    cmd("object|freq", 3, "readonly", "keyspace")
        .keys(&[at("RO", 2)])
        .tips("nondeterministic_output"),
    cmd("object|help", 2, "loading stale", "keyspace"),
    cmd("object|idletime", 3, "readonly", "keyspace")
        .keys(&[at("RO", 2)])
        .tips("nondeterministic_output"),
    cmd("object|refcount", 3, "readonly", "keyspace")
        .keys(&[at("RO", 2)])
        .tips("nondeterministic_output"),
    cmd("persist", 2, "write fast", "keyspace").keys(&[at("RW update", 1)]),
    cmd("pexpire", -3, "write fast", "keyspace").keys(&[at("RW update", 1)]),
    cmd("pexpireat", -3, "write fast", "keyspace").keys(&[at("RW update", 1)]),
    cmd("pexpiretime", 2, "readonly fast", "keyspace").keys(&[at("RO access", 1)]),
    cmd("pttl", 2, "readonly fast", "keyspace")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("randomkey", 1, "readonly", "keyspace")
        .tips("request_policy:all_shards response_policy:special nondeterministic_output")
        .handled(Handling::RandomKey),
    cmd("rename", 3, "write", "keyspace").keys(&[at("RW access delete", 1), at("OW update", 2)]),
    cmd("renamenx", 3, "write fast", "keyspace")
        .keys(&[at("RW access delete", 1), at("OW insert", 2)]),
    cmd("restore", -4, "write denyoom", "keyspace dangerous").keys(&[at("OW update", 1)]),
    cmd("scan", -2, "readonly", "keyspace")
        .tips("nondeterministic_output request_policy:special response_policy:special")
        .handled(Handling::Scan),
    cmd("sort", -2, "write denyoom", "set sortedset list dangerous")
        .keys(&[at("RO access", 1), unknown("RO access"), unknown("OW update")])
        .search(KeySearch::Sort),
    cmd("sort_ro", -2, "readonly", "set sortedset list dangerous")
        .keys(&[at("RO access", 1), unknown("RO access")])
        .search(KeySearch::SortReadOnly),
    cmd("touch", -2, "readonly fast", "keyspace")
        .keys(&[range("RO", 1, -1, 1)])
        .tips("request_policy:multi_shard response_policy:agg_sum"),
    cmd("ttl", 2, "readonly fast", "keyspace")
        .keys(&[at("RO access", 1)])
        .tips("nondeterministic_output"),
    cmd("type", 2, "readonly fast", "keyspace").keys(&[at("RO", 1)]),
    cmd("unlink", -2, "write fast", "keyspace")
        .keys(&[range("RM delete", 1, -1, 1)])
        .tips("request_policy:multi_shard response_policy:agg_sum"),
    cmd("wait", 3, "blocking", "connection")
        .tips("request_policy:all_shards response_policy:agg_min")
        .handled(Handling::Wait(TimeoutAt::Milliseconds(2))),
    cmd("waitaof", 4, "blocking", "connection")
        .tips("request_policy:all_shards response_policy:agg_min")
        .handled(Handling::Wait(TimeoutAt::Milliseconds(3))),
];
