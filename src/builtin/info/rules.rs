//! What becomes of each field of INFO when several nodes' texts are made one.
//!
//! Owns the table of rules. Knows nothing of how texts are read or written.
//!
//! What is asked of each field is what one Redis with all the data would say. Sizes and counts add
//! up, states are the worst or the oldest, and what belongs to a process is the gateway's, because
//! that is the process the client talks to. A field that is not here is passed on when all nodes
//! agree on it, and left out when they do not.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::glob::{self, Case};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The sum.
    Sum,
    /// The sum, but 0 when any is 0: a limit, and 0 means that there is none.
    SumOfLimits,
    /// The largest number.
    Max,
    /// The smallest number.
    Min,
    /// The lowest version.
    Oldest,
    /// What the first node says.
    First,
    /// The first that is not `ok`.
    Worst,
    /// What all nodes say; left out when they differ.
    Agreed,
    /// Left out.
    Omit,
    /// Always this.
    Const(&'static str),
    /// A figure of the gateway.
    Own(OwnField),
    /// The merged field of the same name without `_human`, for people.
    Human,
    /// One merged field divided by another.
    Ratio(&'static str, &'static str),
    /// One merged field as percentage of another, or of the other less a third.
    Percent(&'static str, &'static str, &'static str),
    /// `a=1,b=2`: sums one by one; means are made anew of the sums.
    Sums,
    /// `p50=1,p99=2`: maxima one by one. No quantile of all is above the largest of the parts.
    Maxima,
}

/// A figure of the gateway that stands in place of a node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnField {
    ProcessId,
    RunId,
    TcpPort,
    ServerTimeUs,
    UptimeSeconds,
    UptimeDays,
    Executable,
    ConfigFile,
    ConnectedClients,
    BlockedClients,
    WatchingClients,
    WatchedKeys,
    TrackingClients,
    PubSubClients,
    PubSubChannels,
    PubSubPatterns,
    PubSubShardChannels,
    MaxClients,
    TotalConnections,
    RejectedConnections,
    LargestInput,
    LargestOutput,
}

/// Fields by rule. A name may be a pattern; exact names are looked at first, then patterns in the
/// order of the table.
const RULES: &[(Rule, &[&str])] = &[
    // Server
    (Rule::Oldest, &["redis_version", "valkey_version"]),
    (
        Rule::First,
        &[
            "redis_git_sha1",
            "redis_git_dirty",
            "redis_build_id",
            "server_name",
            "os",
            "arch_bits",
            "monotonic_clock",
            "multiplexing_api",
            "atomicvar_api",
            "gcc_version",
            "hz",
            "configured_hz",
            "lru_clock",
            "maxmemory_policy",
            "mem_allocator",
            "paused_reason",
            "paused_actions",
            "module:*",
        ],
    ),
    (Rule::Const("standalone"), &["redis_mode", "server_mode"]),
    (Rule::Const("no"), &["process_supervised"]),
    (Rule::Own(OwnField::ProcessId), &["process_id"]),
    // The data set has no id of its own: the gateway's run stands for it.
    (Rule::Own(OwnField::RunId), &["run_id", "master_replid"]),
    (Rule::Own(OwnField::TcpPort), &["tcp_port"]),
    (Rule::Own(OwnField::ServerTimeUs), &["server_time_usec"]),
    (Rule::Own(OwnField::UptimeSeconds), &["uptime_in_seconds"]),
    (Rule::Own(OwnField::UptimeDays), &["uptime_in_days"]),
    (Rule::Own(OwnField::Executable), &["executable"]),
    (Rule::Own(OwnField::ConfigFile), &["config_file"]),
    // Clients
    (Rule::Own(OwnField::ConnectedClients), &["connected_clients"]),
    (Rule::Own(OwnField::BlockedClients), &["blocked_clients"]),
    (Rule::Own(OwnField::WatchingClients), &["watching_clients"]),
    (Rule::Own(OwnField::WatchedKeys), &["total_watched_keys"]),
    (Rule::Own(OwnField::TrackingClients), &["tracking_clients"]),
    (Rule::Own(OwnField::PubSubClients), &["pubsub_clients"]),
    (Rule::Own(OwnField::PubSubChannels), &["pubsub_channels"]),
    (Rule::Own(OwnField::PubSubPatterns), &["pubsub_patterns"]),
    (Rule::Own(OwnField::PubSubShardChannels), &["pubsubshard_channels"]),
    (Rule::Own(OwnField::MaxClients), &["maxclients"]),
    (Rule::Own(OwnField::TotalConnections), &["total_connections_received"]),
    (Rule::Own(OwnField::RejectedConnections), &["rejected_connections"]),
    (Rule::Own(OwnField::LargestInput), &["client_recent_max_input_buffer"]),
    (Rule::Own(OwnField::LargestOutput), &["client_recent_max_output_buffer"]),
    (
        Rule::Const("0"),
        &[
            "cluster_connections",
            "clients_in_timeout_table",
            "total_blocking_keys",
            "total_blocking_keys_on_nokey",
            "connected_slaves",
            "repl_backlog_first_byte_offset",
            "cluster_enabled",
        ],
    ),
    // Replication
    (Rule::Const("master"), &["role"]),
    (Rule::Const("no-failover"), &["master_failover_state"]),
    (Rule::Const("0000000000000000000000000000000000000000"), &["master_replid2"]),
    (Rule::Const("-1"), &["second_repl_offset"]),
    (Rule::SumOfLimits, &["maxmemory"]),
    (Rule::Human, &["*_human"]),
    (Rule::Ratio("used_memory_rss", "used_memory"), &["mem_fragmentation_ratio"]),
    (Rule::Ratio("allocator_active", "allocator_allocated"), &["allocator_frag_ratio"]),
    (Rule::Ratio("allocator_resident", "allocator_active"), &["allocator_rss_ratio"]),
    (Rule::Ratio("used_memory_rss", "allocator_resident"), &["rss_overhead_ratio"]),
    (Rule::Percent("used_memory", "used_memory_peak", ""), &["used_memory_peak_perc"]),
    (
        Rule::Percent("used_memory_dataset", "used_memory", "used_memory_startup"),
        &["used_memory_dataset_perc"],
    ),
    (
        // The longest, the last, or true as soon as it is true of one node. Scripts and functions
        // are loaded everywhere, so that their number is not a sum either.
        Rule::Max,
        &[
            "io_threads_active",
            "shutdown_in_milliseconds",
            "paused_timeout_milliseconds",
            "used_memory_peak_time",
            "number_of_cached_scripts",
            "number_of_functions",
            "number_of_libraries",
            "active_defrag_running",
            "loading",
            "async_loading",
            "loading_eta_seconds",
            "current_cow_size_age",
            "current_fork_perc",
            "rdb_bgsave_in_progress",
            "rdb_last_bgsave_time_sec",
            "rdb_current_bgsave_time_sec",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "aof_pending_rewrite",
            "aof_last_rewrite_time_sec",
            "aof_current_rewrite_time_sec",
            "aof_rewrites_consecutive_failures",
            "module_fork_in_progress",
            "expired_stale_perc",
            "current_eviction_exceeded_time",
            "current_active_defrag_time",
            "latest_fork_usec",
            "instantaneous_eventloop_duration_usec",
            "repl_backlog_active",
        ],
    ),
    (
        // The oldest, or true only when it is true of every node.
        Rule::Min,
        &["rdb_last_save_time", "aof_enabled", "loading_start_time", "loading_loaded_perc"],
    ),
    (
        Rule::Worst,
        &["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"],
    ),
    (
        Rule::Sum,
        &[
            "used_memory*",
            "allocator_*",
            "rss_overhead_bytes",
            "mem_*",
            "lazyfree*",
            "current_cow_*",
            "current_save_keys_*",
            "rdb_changes_since_last_save",
            "rdb_saves",
            "rdb_last_*",
            "aof_*",
            "module_fork_last_cow_size",
            "loading_*",
            // The sum of offsets grows with every write, as one server's offset does.
            "master_repl_offset",
            "repl_backlog_*",
            "total_*",
            "instantaneous_*",
            "sync_*",
            "expire*",
            "evicted_*",
            "keyspace_*",
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_*",
            "tracking_total_*",
            "unexpected_error_replies",
            "dump_payload_sanitizations",
            "io_threaded_*",
            "reply_buffer_*",
            "client_*_limit_disconnections",
            "eventloop_*",
            "acl_access_denied_*",
            "used_cpu_*",
        ],
    ),
    (Rule::Sums, &["db[0-9]*", "cmdstat_*", "errorstat_*"]),
    (Rule::Maxima, &["latency_percentiles_usec_*"]),
    (
        // Facts of one process or one link.
        Rule::Omit,
        &[
            "availability_zone",
            "listener[0-9]*",
            "io_thread_*",
            "slave[0-9]*",
            "slave_*",
            "master_*",
            "min_slaves_good_slaves",
            "replicas_*",
        ],
    ),
];

type Index = (HashMap<&'static str, Rule>, Vec<(&'static str, Rule)>);

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let all = RULES.iter().flat_map(|(rule, names)| names.iter().map(|name| (*name, *rule)));
    let (patterns, exact): (Vec<_>, Vec<_>) = all.partition(|(name, _)| name.contains('*'));
    (exact.into_iter().collect(), patterns)
});

/// The rule for a field.
pub(super) fn of(field: &str) -> Rule {
    let (exact, patterns) = &*INDEX;
    if let Some(rule) = exact.get(field) {
        return *rule;
    }
    let fits = |(pattern, _): &&(&str, Rule)| {
        glob::matches(pattern.as_bytes(), field.as_bytes(), Case::Ignored)
    };
    patterns.iter().find(fits).map_or(Rule::Agreed, |(_, rule)| *rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_go_before_patterns() {
        for (field, rule) in [
            ("used_memory", Rule::Sum),
            ("used_memory_peak_human", Rule::Human),
            ("maxmemory_human", Rule::Human),
            ("maxmemory", Rule::SumOfLimits),
            ("aof_enabled", Rule::Min),
            ("aof_current_size", Rule::Sum),
            ("rdb_last_save_time", Rule::Min),
            ("rdb_last_cow_size", Rule::Sum),
            ("db0", Rule::Sums),
            ("db0_distrib_strings_sizes", Rule::Sums),
            ("master_repl_offset", Rule::Sum),
            ("master_host", Rule::Omit),
            ("slave0", Rule::Omit),
            ("slave_expires_tracked_keys", Rule::Sum),
            ("total_commands_processed", Rule::Sum),
            ("a_field_of_tomorrow", Rule::Agreed),
        ] {
            assert_eq!(of(field), rule, "{field}");
        }
    }

    #[test]
    fn no_field_has_two_rules() {
        let mut names: Vec<_> = RULES.iter().flat_map(|(_, names)| names.iter()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
