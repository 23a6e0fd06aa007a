//! Cluster commands: a plain Redis answers them with an error, and so does the gateway: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Local, Refusal};
use crate::command::table::{Row, at, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("asking", 1, "fast", "connection").local(Local::ClusterDisabled),
    cmd("cluster", -2, "", "").refuse(Refusal::Container),
    cmd("cluster|addslots", -3, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|addslotsrange", -4, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|bumpepoch", 2, "admin stale no_async_loading", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|cancelslotmigrations", 2, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|count-failure-reports", 3, "admin loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|countkeysinslot", 3, "stale", "").local(Local::ClusterDisabled),
    cmd("cluster|delslots", -3, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|delslotsrange", -4, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|failover", -2, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|flushslot", -3, "write admin no_async_loading", "keyspace")
        .local(Local::ClusterDisabled),
    cmd("cluster|flushslots", 2, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|forget", 3, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|getkeysinslot", 4, "stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|getslotmigrations", 2, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|help", 2, "loading stale", "").local(Local::ClusterDisabled),
    cmd("cluster|info", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|keyslot", 3, "loading stale", "").local(Local::ClusterDisabled),
    cmd("cluster|links", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|meet", -4, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|migrateslots", -4, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|migration", -4, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|myid", 2, "loading stale", "").local(Local::ClusterDisabled),
    cmd("cluster|myshardid", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|nodes", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|replicas", 3, "admin loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|replicate", 3, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|reset", -2, "admin noscript stale", "").local(Local::ClusterDisabled),
    cmd("cluster|saveconfig", 2, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|set-config-epoch", 3, "admin stale no_async_loading", "")
        .local(Local::ClusterDisabled),
    cmd("cluster|setslot", -4, "admin stale no_async_loading", "").local(Local::ClusterDisabled),
    cmd("cluster|shards", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|slaves", 3, "admin loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|slot-stats", -4, "loading stale", "")
        .tips("nondeterministic_output request_policy:all_shards")
        .local(Local::ClusterDisabled),
    cmd("cluster|slots", 2, "loading stale", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("cluster|syncslots", -3, "admin stale no_async_loading", "")
        .tips("nondeterministic_output")
        .local(Local::ClusterDisabled),
    cmd("clusterscan", -2, "readonly", "keyspace")
        .keys(&[at("not_key", 1)])
        .tips("nondeterministic_output request_policy:special response_policy:special")
        .local(Local::ClusterDisabled),
    cmd("readonly", 1, "loading stale fast", "connection").local(Local::ClusterDisabled),
    cmd("readwrite", 1, "loading stale fast", "connection").local(Local::ClusterDisabled),
];
