//! Every metric the gateway and the keeper have: its name, what it is, its labels, and what it means.
//!
//! Owns the one list; whoever counts, renders or documents refers to it. Must not know where a
//! figure comes from.
//!
//! Labels stay few: `cmd` is from the command table, `node` from the cluster's map, all others
//! from fixed lists. A key, a client's address, a slot or a client's text is never a label.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per bucket, their sum and number.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Pieces, or yes (1) and no (0).
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

/// Every metric, for documentation.
pub fn documented() -> &'static [Metric] {
    ALL
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $unit:ident $name:literal [$($label:literal)*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    // The gateway.
    BUILD_INFO Gauge Number "slotway_build_info" ["version" "commit" "rustc"]
        "What runs; always 1.";
    READY Gauge Number "slotway_ready" []
        "1 when the gateway should get clients, as /readyz says.";
    DRAINING Gauge Number "slotway_draining" []
        "1 while the gateway is about to stop.";

    // Clients and their commands.
    COMMANDS Counter Number "slotway_commands_total" ["cmd" "result"]
        "Commands answered: ok, error (a node's) or slotway_error (the gateway's own). A command has series of its own once it is used; beyond 150 commands, and for unknown ones, cmd is other.";
    COMMAND_DURATION Histogram Seconds "slotway_command_duration_seconds" ["class"]
        "From reading a request to having its whole reply; those that the gateway answers itself do not count.";
    INFLIGHT_COMMANDS Gauge Number "slotway_inflight_commands" []
        "Commands read from clients and not answered yet; looked at once a second.";
    CLIENT_CONNECTIONS Gauge Number "slotway_client_connections" []
        "Clients connected.";
    CLIENT_MODES Gauge Number "slotway_client_modes" ["mode"]
        "Clients that are in something: between MULTI and EXEC (transaction), with watched keys (watching), waiting at a node (blocked), with subscriptions (subscribed), seeing what others ask (monitor), with CLIENT TRACKING on (tracking).";
    CLIENT_CONNECTIONS_MAX Gauge Number "slotway_client_connections_max" []
        "Clients that may be connected at once.";
    CLIENT_CONNECTIONS_TOTAL Counter Number "slotway_client_connections_total" []
        "Clients accepted.";
    CLIENT_DISCONNECTS Counter Number "slotway_client_disconnects_total" ["reason"]
        "Clients gone: by themselves (client), idle, output_limit, protocol, killed, drained, failed (a fault in the gateway), half_reply (a node was lost within a reply), memory (it held most for longest when memory_max was exceeded) or no_auth (no password in time).";
    REJECTED_CONNECTIONS Counter Number "slotway_rejected_connections_total" ["reason"]
        "Clients refused: as many as there may be (clients_max), from elsewhere while there is no password (denied), or no worker could take them (failed).";
    FAILED_AUTHS Counter Number "slotway_failed_auths_total" []
        "AUTHs, also those of HELLO, with a wrong user or password.";
    DELAYED_AUTHS Counter Number "slotway_delayed_auths_total" []
        "AUTHs, right or wrong, that waited because others of the same address had failed.";
    CLIENT_RECEIVED_BYTES Counter Bytes "slotway_client_received_bytes_total" []
        "Bytes read from clients.";
    CLIENT_SENT_BYTES Counter Bytes "slotway_client_sent_bytes_total" []
        "Bytes written to clients.";
    PROTOCOL_ERRORS Counter Number "slotway_protocol_errors_total" []
        "Requests that were not RESP.";
    SPLIT_COMMANDS Counter Number "slotway_split_commands_total" []
        "Requests split over several slots.";
    CROSSSLOT_REJECTED Counter Number "slotway_crossslot_rejected_total" []
        "Requests refused because their keys are in several slots.";
    KEYLESS_SCRIPTS Counter Number "slotway_keyless_scripts_total" []
        "Scripts and functions without keys that ran at one node, which has a part of the keyspace.";

    UNPROVED_ROUNDS Counter Number "slotway_unproved_rounds_total" []
        "Times that a command over all masters, or a SCAN on its way from node to node, was asked again because the masters did not own every slot once while it ran.";

    SCRIPTS_SENT Counter Number "slotway_scripts_sent_total" []
        "Scripts whose text was sent to a node that did not know them by their SHA1.";
    SCRIPT_CACHE_BYTES Gauge Bytes "slotway_script_cache_bytes" []
        "Bytes of the scripts that are remembered (script_cache_bytes_max).";

    PUBSUB_NAMES Gauge Number "slotway_pubsub_names" ["kind"]
        "Names that clients are subscribed to: channel, pattern or shard (sharded channels).";
    PUBSUB_SUBSCRIPTIONS Gauge Number "slotway_pubsub_subscriptions" []
        "Subscriptions of clients: one for each client and name.";
    PUBSUB_MESSAGES Counter Number "slotway_pubsub_messages_total" []
        "Messages that nodes have sent to the gateway for its subscribers: once to each worker that has some.";
    PUBSUB_DELIVERIES Counter Number "slotway_pubsub_deliveries_total" []
        "Copies of messages given to clients.";
    PUBSUB_GAPS Counter Number "slotway_pubsub_gaps_total" []
        "Times that messages may have been missed: a worker lost the connection on which a node sent them, or a sharded channel's slot left its node.";
    PUBSUB_HANDOVERS Counter Number "slotway_pubsub_handovers_total" []
        "Subscriptions that went from one node to another without a gap; one for each name and worker.";

    TRACKING_INVALIDATIONS Counter Number "slotway_tracking_invalidations_total" []
        "Messages for clients that track keys: which have changed, or that all may have.";

    // The nodes.
    UPSTREAM_REQUESTS Counter Number "slotway_upstream_requests_total" ["node"]
        "Requests answered by the node.";
    UPSTREAM_DURATION Histogram Seconds "slotway_upstream_request_duration_seconds" ["node"]
        "From reading the client's request to having the node's reply.";
    UPSTREAM_INFLIGHT Gauge Number "slotway_upstream_inflight" ["node"]
        "Requests sent to the node, or waiting to be, and not answered yet.";
    UPSTREAM_CONNECTIONS Gauge Number "slotway_upstream_connections" ["node"]
        "Open connections to the node.";
    UPSTREAM_CONNECTS Counter Number "slotway_upstream_connects_total" ["node"]
        "Connections made to the node.";
    UPSTREAM_ERRORS Counter Number "slotway_upstream_errors_total" ["node" "kind"]
        "Failures of the node's connections (io, timeout, connect, auth, wrong_node, protocol, refused, busy: as many connections to the node as may be were in use, maxclients: the node has no room by its own setting, script: a script keeps the node busy), replies by which it declined for the moment (tryagain, clusterdown, loading, readonly, masterdown, bad_redirect: to a place that cannot be read), and scripts whose reply was not one reply (script_reply).";
    UPSTREAM_WAITING Gauge Number "slotway_upstream_waiting_clients" ["node"]
        "Clients that wait for their turn at the node: it owes as much as it may (node_owed_bytes_max), or does not take what it is sent (node_queue_bytes_max).";
    UPSTREAM_WAITS Counter Number "slotway_upstream_waits_total" ["node"]
        "Times that a client waited for its turn at the node; counted when the wait ends.";
    UPSTREAM_WAIT_TIME Counter Seconds "slotway_upstream_wait_seconds_total" ["node"]
        "Time that clients waited for their turn at the node; counted when a wait ends.";
    UPSTREAM_LEASES Gauge Number "slotway_upstream_leases" ["node"]
        "Connections to the node that somebody has alone at the moment: clients that watch keys or are blocked (watching_clients_max, blocked_clients_max), and commands over all nodes. For these a worker has at most 8 to a node: 4 for what is answered at once, 2 for what takes long (KEYS, FLUSHALL, requests of 100 words and more), 2 for SCRIPT KILL and FUNCTION KILL.";
    UPSTREAM_LEASE_WAITING Gauge Number "slotway_upstream_lease_waiting" ["node"]
        "Clients and commands that wait for such a connection to the node.";
    UPSTREAM_LEASE_WAITS Counter Number "slotway_upstream_lease_waits_total" ["node"]
        "Times that somebody waited for such a connection; counted when the wait ends.";
    UPSTREAM_LEASE_WAIT_TIME Counter Seconds "slotway_upstream_lease_wait_seconds_total" ["node"]
        "Time that they waited for it; counted when a wait ends.";
    REDIRECTS Counter Number "slotway_redirects_total" ["kind"]
        "Redirects followed: moved or ask.";
    RETRIES Counter Number "slotway_retries_total" ["reason"]
        "Requests sent again: the node declined for the moment (not_now), or the connection was lost.";

    // The cluster.
    NODE_UP Gauge Number "slotway_node_up" ["node"]
        "1 when the node answered the last time the gateway asked it for the map, 0 when it did not, or left the map less than 5 minutes ago: the map has no failed nodes.";
    NODE_INFO Gauge Number "slotway_node_info" ["node" "id" "shard" "role" "addr"]
        "What the node is at the moment; always 1.";
    SLOTS_ASSIGNED Gauge Number "slotway_slots_assigned" []
        "Hash slots that have a master; 16384 is all.";
    CLUSTER_OK Gauge Number "slotway_cluster_ok" []
        "1 when the cluster calls itself ok.";
    DATABASE_KEYS Gauge Number "slotway_database_keys" ["database"]
        "Keys of a database other than 0; an estimate where it has more than a thousand. Looked at every 15 s.";
    DATABASE_MEMORY Gauge Bytes "slotway_database_memory_bytes" ["database"]
        "Memory that these keys take at their master, estimated from fifty of them.";
    SHARD_MASTERS Gauge Number "slotway_shard_masters" []
        "Masters that serve slots.";
    SHARD_REPLICAS Gauge Number "slotway_shard_replicas" []
        "Their replicas.";
    TOPOLOGY_AGE Gauge Seconds "slotway_topology_age_seconds" []
        "Since a node last told its map; since the start while none has.";
    TOPOLOGY_EPOCH Gauge Number "slotway_topology_epoch" []
        "The cluster's epoch in the map in force.";
    TOPOLOGY_REFRESHES Counter Number "slotway_topology_refreshes_total" ["trigger" "result"]
        "Refreshes of the map by what asked for them (timer, moved, node_trouble, no_master): ok or error.";
    TOPOLOGY_CHANGES Counter Number "slotway_topology_changes_total" []
        "Maps that differed from the one before.";
    FAILOVERS Counter Number "slotway_failovers_observed_total" []
        "Replicas that became master of a shard.";

    // The workers.
    WORKERS_IN_USE Gauge Number "slotway_workers_in_use" []
        "Workers that clients belong to; others take part when these are full, as worker_scale_up_percent says.";
    WORKER_BUSY Counter Seconds "slotway_worker_busy_seconds_total" ["worker"]
        "Time the worker was not waiting for events; a rate near 1 means that its core is full.";
    WORKER_CONNECTIONS Gauge Number "slotway_worker_connections" ["worker"]
        "Clients of the worker.";
    WORKER_SILENCE Gauge Seconds "slotway_worker_silence_seconds" ["worker"]
        "Since the worker last gave a sign of life, which it does every second; /livez fails at 30.";
    LOOP_LAG Gauge Seconds "slotway_loop_lag_seconds" []
        "The latest that a timer of any worker fired within the last 30 seconds, looked at ten times a second; timers have a grain of 1 ms.";
    BUFFERED_BYTES Gauge Bytes "slotway_buffered_bytes" ["side"]
        "Bytes in memory: replies for clients that have not read them (client), requests held for slots without a master (held).";
    MEMORY_BYTES Gauge Bytes "slotway_memory_bytes" ["kind"]
        "Bytes in use of memory_max: requests that have come in part (input), requests on their way to nodes (requests), replies for clients that have not read them (output). A worker tells in steps of 256 KiB.";
    MEMORY_USED Gauge Bytes "slotway_memory_used_bytes" []
        "Bytes in use of memory_max, of all kinds.";
    MEMORY_MAX Gauge Bytes "slotway_memory_max_bytes" []
        "Bytes that may be in use: memory_max, or what stands for it when that is 0.";
    MEMORY_WAITING Gauge Number "slotway_memory_paused_clients" []
        "Clients that are not read from at the moment because too much of memory_max is in use.";
    MEMORY_PAUSES Counter Number "slotway_memory_pauses_total" []
        "Times that a client was not read from because too much of memory_max was in use; counted when the pause ends.";
    BACKPRESSURE_PAUSES Counter Number "slotway_backpressure_pauses_total" []
        "Times a client was not read from because something of it was full.";

    // The keeper, which tells of nothing above but what runs.
    KEEPER_WHOLE Gauge Number "slotway_keeper_whole" []
        "1 when the cluster is formed and whole, as /readyz of the keeper says.";
    KEEPER_CLUSTER_OK Gauge Number "slotway_keeper_cluster_ok" []
        "1 when there is a cluster and all its nodes that the keeper reached call it ok.";
    KEEPER_PROBLEMS Gauge Number "slotway_keeper_problems" []
        "How many things the keeper finds not as they should be, at most 20; /api/v1/status names them.";
    KEEPER_NODES Gauge Number "slotway_keeper_nodes" ["state"]
        "Nodes of the keeper's list: master, replica, empty (never used), idle (in the cluster, and neither), unreachable, or refused (it answers, and cannot be used).";
    KEEPER_ACTIONS Counter Number "slotway_keeper_actions_total" ["action" "result"]
        "What the keeper did to nodes (claim, meet, add_slots, replicate, forget, takeover): ok or error.";
    KEEPER_ROUNDS Counter Number "slotway_keeper_rounds_total" []
        "Looks of the keeper at all nodes.";
    KEEPER_LAST_ROUND Gauge Seconds "slotway_keeper_last_round_seconds" []
        "How long the last look at all nodes took, with what was done.";
    KEEPER_SILENCE Gauge Seconds "slotway_keeper_silence_seconds" []
        "Since the last look ended; /livez of the keeper fails when it is far longer than it may be.";

    // The process; names and meanings are the ones every exporter has.
    PROCESS_CPU Counter Seconds "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS Gauge Number "process_open_fds" []
        "Number of open file descriptors.";
    PROCESS_MAX_FDS Gauge Number "process_max_fds" []
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL_MEMORY Gauge Bytes "process_virtual_memory_bytes" []
        "Virtual memory size in bytes.";
    PROCESS_VIRTUAL_MEMORY_MAX Gauge Bytes "process_virtual_memory_max_bytes" []
        "Maximum amount of virtual memory available in bytes.";
    PROCESS_RESIDENT_MEMORY Gauge Bytes "process_resident_memory_bytes" []
        "Resident memory size in bytes.";
    PROCESS_START_TIME Gauge Seconds "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS Gauge Number "process_threads" []
        "Number of OS threads in the process.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut names: Vec<&str> = documented().iter().map(|metric| metric.name).collect();
        for metric in documented() {
            let Metric { name, kind, unit, labels, help } = *metric;
            assert!(name.starts_with("slotway_") || name.starts_with("process_"), "{name}");
            let word = |word: &str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(word(name) && labels.iter().all(|label| word(label)), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            let stem = name.trim_end_matches("_total");
            assert_eq!(stem.ends_with("_seconds"), unit == Unit::Seconds, "{name}");
            assert_eq!(stem.ends_with("_bytes"), unit == Unit::Bytes, "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is there twice");
    }
}
