//! The server itself: rows of the command table, sorted by name. Data only.

use crate::command::handling::{CommandSub, Handling, Keyspace, Local, Refusal, Way};
use crate::command::table::{Row, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("acl", -2, "", "").refuse(Refusal::Container),
    cmd("acl|cat", -2, "noscript loading stale", ""),
    cmd("acl|deluser", -3, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .refuse(Refusal::ServerAdmin),
    cmd("acl|dryrun", -4, "admin noscript loading stale", ""),
    cmd("acl|genpass", -2, "noscript loading stale", ""),
    cmd("acl|getuser", 3, "admin noscript loading stale", ""),
    cmd("acl|help", 2, "loading stale", ""),
    cmd("acl|list", 2, "admin noscript loading stale", ""),
    cmd("acl|load", 2, "admin noscript loading stale", "").refuse(Refusal::ServerAdmin),
    // Each node has its own, and its RESET would be of one.
    cmd("acl|log", -2, "admin noscript loading stale", "").refuse(Refusal::ServerAdmin),
    cmd("acl|save", 2, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .refuse(Refusal::ServerAdmin),
    cmd("acl|setuser", -3, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .refuse(Refusal::ServerAdmin),
    cmd("acl|users", 2, "admin noscript loading stale", ""),
    cmd("acl|whoami", 2, "noscript loading stale", "").local(Local::AclWhoami),
    cmd("backup", -2, "", "").refuse(Refusal::Container),
    cmd("backup|abort", 2, "admin noscript", "").refuse(Refusal::ServerAdmin),
    cmd("backup|cleanup", 2, "admin noscript", "").refuse(Refusal::ServerAdmin),
    cmd("backup|help", 2, "loading stale", ""),
    cmd("backup|list", 2, "admin stale", "").refuse(Refusal::ServerAdmin),
    cmd("backup|seal", 2, "admin noscript", "").refuse(Refusal::ServerAdmin),
    cmd("backup|start", 2, "admin noscript", "").refuse(Refusal::ServerAdmin),
    cmd("backup|status", 2, "admin stale", "").refuse(Refusal::ServerAdmin),
    cmd("bgrewriteaof", 1, "admin noscript no_async_loading", "")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("bgsave", -1, "admin noscript no_async_loading", "")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("command", -1, "loading stale", "connection")
        .tips("nondeterministic_output_order")
        .local(Local::Command(CommandSub::All)),
    cmd("command|count", 2, "loading stale", "connection").local(Local::Command(CommandSub::Count)),
    cmd("command|docs", -2, "loading stale", "connection").tips("nondeterministic_output_order"),
    cmd("command|getkeys", -3, "loading stale", "connection")
        .local(Local::Command(CommandSub::GetKeys)),
    cmd("command|getkeysandflags", -3, "loading stale", "connection")
        .local(Local::Command(CommandSub::GetKeysAndFlags)),
    cmd("command|help", 2, "loading stale", "connection").local(Local::Command(CommandSub::Help)),
    cmd("command|info", -2, "loading stale", "connection")
        .tips("nondeterministic_output_order")
        .local(Local::Command(CommandSub::Info)),
    cmd("command|list", -2, "loading stale", "connection")
        .tips("nondeterministic_output_order")
        .local(Local::Command(CommandSub::List)),
    cmd("commandlog", -2, "", "").refuse(Refusal::Container),
    cmd("commandlog|get", -4, "admin loading stale", "")
        .tips("request_policy:all_nodes nondeterministic_output"),
    cmd("commandlog|help", 2, "loading stale", ""),
    cmd("commandlog|len", -3, "admin loading stale", "")
        .tips("request_policy:all_nodes response_policy:agg_sum nondeterministic_output"),
    cmd("commandlog|reset", -3, "admin loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded"),
    cmd("config", -2, "", "").refuse(Refusal::Container),
    cmd("config|get", -3, "admin noscript loading stale", "").handled(Handling::ConfigGet),
    cmd("config|help", 2, "loading stale", ""),
    cmd("config|resetstat", 2, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .handled(Handling::ConfigResetStat),
    cmd("config|rewrite", 2, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .guarded(Way::AllNodes),
    cmd("config|set", -4, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .handled(Handling::ConfigSet),
    cmd("dbsize", 1, "readonly fast", "keyspace")
        .tips("request_policy:all_shards response_policy:agg_sum")
        .handled(Handling::Keyspace(Keyspace::DbSize)),
    cmd("debug", -2, "admin noscript loading stale", "").guarded(Way::AllNodes),
    cmd("failover", -1, "admin noscript stale", "").refuse(Refusal::Replication),
    cmd("flushall", -1, "write", "keyspace dangerous")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("flushdb", -1, "write", "keyspace dangerous")
        .tips("request_policy:all_shards response_policy:all_succeeded")
        .handled(Handling::Keyspace(Keyspace::FlushDb)),
    cmd("hotkeys", -2, "", "").refuse(Refusal::Container),
    cmd("hotkeys|get", 2, "admin noscript", "")
        .tips("nondeterministic_output request_policy:special response_policy:special")
        .refuse(Refusal::ServerAdmin),
    cmd("hotkeys|help", 2, "loading stale", ""),
    cmd("hotkeys|reset", 2, "admin noscript", "")
        .tips("request_policy:special")
        .refuse(Refusal::ServerAdmin),
    cmd("hotkeys|start", -2, "admin noscript", "")
        .tips("request_policy:special")
        .refuse(Refusal::ServerAdmin),
    cmd("hotkeys|stop", 2, "admin noscript", "")
        .tips("request_policy:special")
        .refuse(Refusal::ServerAdmin),
    cmd("info", -1, "loading stale", "dangerous")
        .tips("nondeterministic_output request_policy:all_shards response_policy:special")
        .handled(Handling::Info),
    cmd("lastsave", 1, "loading stale fast", "admin dangerous")
        .tips("nondeterministic_output request_policy:all_shards response_policy:agg_min"),
    cmd("latency", -2, "", "").refuse(Refusal::Container),
    cmd("latency|doctor", 2, "admin noscript loading stale", "")
        .tips("nondeterministic_output request_policy:all_nodes response_policy:special"),
    cmd("latency|graph", 3, "admin noscript loading stale", "")
        .tips("nondeterministic_output request_policy:all_nodes response_policy:special"),
    cmd("latency|help", 2, "loading stale", ""),
    cmd("latency|histogram", -2, "admin noscript loading stale", "")
        .tips("nondeterministic_output request_policy:all_nodes response_policy:special"),
    cmd("latency|history", 3, "admin noscript loading stale", "")
        .tips("nondeterministic_output request_policy:all_nodes response_policy:special"),
    cmd("latency|latest", 2, "admin noscript loading stale", "")
        .tips("nondeterministic_output request_policy:all_nodes response_policy:special"),
    cmd("latency|reset", -2, "admin noscript loading stale", "")
        .tips("request_policy:all_nodes response_policy:agg_sum"),
    cmd("lolwut", -1, "readonly fast", ""),
    cmd("memory", -2, "", "").refuse(Refusal::Container),
    cmd("memory|doctor", 2, "", "")
        .tips("nondeterministic_output request_policy:all_shards response_policy:special"),
    cmd("memory|help", 2, "loading stale", ""),
    cmd("memory|malloc-stats", 2, "", "")
        .tips("nondeterministic_output request_policy:all_shards response_policy:special"),
    cmd("memory|purge", 2, "", "").tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("memory|stats", 2, "", "")
        .tips("nondeterministic_output request_policy:all_shards response_policy:special"),
    cmd("memory|usage", -3, "readonly", "").keys(&[at("RO", 2)]),
    cmd("module", -2, "", "").refuse(Refusal::Container),
    cmd("module|help", 2, "loading stale", ""),
    cmd("module|list", 2, "admin noscript", "").tips("nondeterministic_output_order"),
    cmd("module|load", -3, "admin noscript no_async_loading", "").refuse(Refusal::ServerAdmin),
    cmd("module|loadex", -3, "admin noscript no_async_loading", "").refuse(Refusal::ServerAdmin),
    cmd("module|unload", 3, "admin noscript no_async_loading", "").refuse(Refusal::ServerAdmin),
    cmd("monitor", 1, "admin noscript loading stale", "").handled(Handling::Monitor),
    cmd("psync", -3, "admin noscript no_async_loading no_multi", "").refuse(Refusal::Replication),
    cmd("replconf", -1, "admin noscript loading stale allow_busy", "").refuse(Refusal::Replication),
    cmd("replicaof", 3, "admin noscript stale no_async_loading", "").refuse(Refusal::Replication),
    cmd("restore-asking", -4, "write denyoom asking", "keyspace dangerous")
        .keys(&[at("OW update", 1)])
        .refuse(Refusal::Replication),
    cmd("role", 1, "noscript loading stale fast", "admin dangerous").local(Local::Role),
    cmd("save", 1, "admin noscript no_async_loading no_multi", "").refuse(Refusal::ServerAdmin),
    cmd("sflush", -3, "write", "keyspace dangerous").refuse(Refusal::ClusterAdmin),
    cmd("shutdown", -1, "admin noscript loading stale no_multi allow_busy", "")
        .refuse(Refusal::ServerAdmin),
    cmd("slaveof", 3, "admin noscript stale no_async_loading", "").refuse(Refusal::Replication),
    cmd("slowlog", -2, "", "").refuse(Refusal::Container),
    cmd("slowlog|get", -2, "admin loading stale", "")
        .tips("request_policy:all_nodes nondeterministic_output")
        .handled(Handling::SlowlogGet),
    cmd("slowlog|help", 2, "loading stale", ""),
    cmd("slowlog|len", 2, "admin loading stale", "")
        .tips("request_policy:all_nodes response_policy:agg_sum nondeterministic_output"),
    cmd("slowlog|reset", 2, "admin loading stale", "")
        .tips("request_policy:all_nodes response_policy:all_succeeded"),
    cmd("swapdb", 3, "write fast", "keyspace dangerous").refuse(Refusal::ServerAdmin),
    cmd("sync", 1, "admin noscript no_async_loading no_multi", "").refuse(Refusal::Replication),
    cmd("time", 1, "loading stale fast", "").tips("nondeterministic_output"),
    cmd("trimslots", -5, "write", "keyspace dangerous").refuse(Refusal::ClusterAdmin),
];
