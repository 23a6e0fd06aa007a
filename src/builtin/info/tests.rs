//! INFO of two nodes, and of none. Owns the texts of those nodes.

use proptest::prelude::*;

use super::*;

fn own() -> GatewayInfo {
    GatewayInfo {
        version: "1.2.3".into(),
        run_id: "f".repeat(40),
        process_id: 77,
        tcp_port: 6400,
        executable: "/bin/slotway".into(),
        uptime_s: 90_000,
        server_time_us: 5,
        workers: 4,
        connected_clients: 9,
        clients_max: 100,
        total_connections: 12,
        rejected_connections: 1,
        total_commands: 1000,
        largest_buffers: [11, 22],
        memory: [33, 44],
        shards: 2,
        nodes: 4,
        slots_assigned: 16_384,
        ..GatewayInfo::default()
    }
}

fn bulk(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write::bulk(&mut frame, text.replace('\n', "\r\n").as_bytes());
    frame
}

/// The merged text, lines ending as they do here.
fn merged(parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| bulk(part)).collect();
    let frame = merge(&parts, &own(), Protocol::Resp2, Asked::Nodes);
    body(&frame).replace("\r\n", "\n")
}

// Of two 7.0.15, some fields left out here; the second with other figures.
const ONE: &str = "\
# Server
redis_version:7.0.15
redis_mode:cluster
os:Linux 6.1.0 x86_64
process_id:10581
run_id:a622aa05096c4a00310962f10eb286b94175b8c4
tcp_port:7001
uptime_in_seconds:104
uptime_in_days:0
executable:/usr/bin/redis-server
config_file:

# Clients
connected_clients:1
maxclients:10000
blocked_clients:2

# Memory
used_memory:1048576
used_memory_human:1.00M
used_memory_rss:3145728
used_memory_rss_human:3.00M
used_memory_peak:2097152
used_memory_peak_perc:50.00%
maxmemory:1000
maxmemory_human:1000B
maxmemory_policy:noeviction
mem_fragmentation_ratio:3.00

# Persistence
rdb_last_save_time:1795256873
rdb_last_bgsave_status:ok
aof_enabled:1

# Stats
total_connections_received:200
total_commands_processed:10
instantaneous_input_kbps:0.25
keyspace_hits:3

# Replication
role:master
connected_slaves:1
slave0:ip=127.0.0.1,port=7004,state=online,offset=14,lag=1
master_replid:bc41a2e1aeed6210d449445730bfd4d05655eb71
master_repl_offset:14

# CPU
used_cpu_sys:0.010000

# Modules
module:name=ReJSON,ver=20400,api=1,filters=0

# Commandstats
cmdstat_get:calls=2,usec=9,usec_per_call=4.50,rejected_calls=0,failed_calls=0
cmdstat_client|id:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0

# Errorstats
errorstat_ERR:count=68

# Latencystats
latency_percentiles_usec_get:p50=6.015,p99=12.031,p99.9=12.031

# Cluster
cluster_enabled:1

# Keyspace
db0:keys=2,expires=1,avg_ttl=1000
";

const TWO: &str = "\
# Server
redis_version:7.0.2
redis_mode:cluster
os:Linux 5.0.0 x86_64
process_id:3
run_id:0000aa05096c4a00310962f10eb286b94175b8c4
tcp_port:7002
uptime_in_seconds:99999
uptime_in_days:1
executable:/usr/bin/redis-server
config_file:/etc/redis.conf

# Clients
connected_clients:50
maxclients:10000
blocked_clients:0

# Memory
used_memory:1048576
used_memory_human:1.00M
used_memory_rss:1048576
used_memory_rss_human:1.00M
used_memory_peak:2097152
used_memory_peak_perc:50.00%
maxmemory:24
maxmemory_human:24B
maxmemory_policy:allkeys-lru
mem_fragmentation_ratio:1.00

# Persistence
rdb_last_save_time:1795256800
rdb_last_bgsave_status:err
aof_enabled:0

# Stats
total_connections_received:1
total_commands_processed:32
instantaneous_input_kbps:0.50
keyspace_hits:4

# Replication
role:master
connected_slaves:0
master_replid:1111a2e1aeed6210d449445730bfd4d05655eb71
master_repl_offset:6

# CPU
used_cpu_sys:0.500001

# Modules
module:name=ReJSON,ver=20400,api=1,filters=0

# Commandstats
cmdstat_get:calls=1,usec=6,usec_per_call=6.00,rejected_calls=1,failed_calls=2
cmdstat_set:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=0

# Errorstats
errorstat_ERR:count=2
errorstat_MOVED:count=1

# Latencystats
latency_percentiles_usec_get:p50=7.007,p99=9.023,p99.9=13.055

# Cluster
cluster_enabled:1

# Keyspace
db0:keys=3,expires=3,avg_ttl=2001
";

const BOTH: &str = "\
# Server
redis_version:7.0.2
redis_mode:standalone
os:Linux 6.1.0 x86_64
process_id:77
run_id:ffffffffffffffffffffffffffffffffffffffff
tcp_port:6400
uptime_in_seconds:90000
uptime_in_days:1
executable:/bin/slotway
config_file:

# Clients
connected_clients:9
maxclients:100
blocked_clients:0

# Memory
used_memory:2097152
used_memory_human:2.00M
used_memory_rss:4194304
used_memory_rss_human:4.00M
used_memory_peak:4194304
used_memory_peak_perc:50.00%
maxmemory:1024
maxmemory_human:1.00K
maxmemory_policy:noeviction
mem_fragmentation_ratio:2.00

# Persistence
rdb_last_save_time:1795256800
rdb_last_bgsave_status:err
aof_enabled:0

# Stats
total_connections_received:12
total_commands_processed:42
instantaneous_input_kbps:0.75
keyspace_hits:7

# Replication
role:master
connected_slaves:0
master_replid:ffffffffffffffffffffffffffffffffffffffff
master_repl_offset:20

# CPU
used_cpu_sys:0.510001

# Modules
module:name=ReJSON,ver=20400,api=1,filters=0

# Commandstats
cmdstat_get:calls=3,usec=15,usec_per_call=5.00,rejected_calls=1,failed_calls=2
cmdstat_client|id:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0
cmdstat_set:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=0

# Errorstats
errorstat_ERR:count=70
errorstat_MOVED:count=1

# Latencystats
latency_percentiles_usec_get:p50=7.007,p99=12.031,p99.9=13.055

# Cluster
cluster_enabled:0

# Keyspace
db0:keys=5,expires=4,avg_ttl=1750
";

#[test]
fn two_nodes_are_one_server() {
    assert_eq!(merged(&[ONE, TWO]), BOTH);
}

#[test]
fn special_figures() {
    let memory = |limit: &str| format!("# Memory\nmaxmemory:{limit}\nmaxmemory_human:x\n");
    assert_eq!(
        merged(&[&memory("5"), &memory("0")]),
        "# Memory\nmaxmemory:0\nmaxmemory_human:0B\n"
    );
    // Unknown fields: what all agree on.
    assert_eq!(merged(&["# New\na:1\nb:1\n", "# New\na:1\nb:2\n"]), "# New\na:1\n");
    // A section of which nothing is left goes; one that was empty stays.
    assert_eq!(merged(&["# Threads\nio_thread_0:clients=1\n\n# Modules\n"]), "# Modules\n");
    // A node that has no keys has no line.
    let keys = "# Keyspace\ndb0:keys=1,expires=0,avg_ttl=0\n";
    assert_eq!(merged(&["# Keyspace\n", keys]), keys);
}

#[test]
fn sizes_for_people() {
    // Seen from a 7.0.15.
    for (bytes, text) in [
        (0.0, "0B"),
        (200.0, "200B"),
        (32_768.0, "32.00K"),
        (916_376.0, "894.90K"),
        (6_725_632.0, "6.41M"),
        (25_276_502_016.0, "23.54G"),
    ] {
        assert_eq!(human(bytes), text);
    }
}

#[test]
fn the_gateway_has_a_section() {
    let asked = |request: &str| {
        let (mut ranges, mut at) = (Vec::new(), 0);
        for word in request.split(' ') {
            ranges.push((at, at + word.len() as u32));
            at += word.len() as u32 + 1;
        }
        Asked::of(Args::new(request.as_bytes(), &ranges))
    };
    assert_eq!(asked("INFO"), Asked::NodesAndGateway);
    assert_eq!(asked("INFO everything"), Asked::NodesAndGateway);
    assert_eq!(asked("INFO server GATEWAY"), Asked::NodesAndGateway);
    assert_eq!(asked("INFO server clients"), Asked::Nodes);
    assert_eq!(asked("INFO gateway"), Asked::Gateway);
    let whole = merge(
        &[bulk("# Cluster\ncluster_enabled:1\n")],
        &own(),
        Protocol::Resp3,
        Asked::NodesAndGateway,
    );
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.starts_with('='), "{whole}");
    assert!(whole.contains("txt:# Cluster\r\ncluster_enabled:0\r\n\r\n# Gateway\r\n"), "{whole}");
    assert!(whole.contains("gateway_cluster_slots_assigned:16384\r\n"), "{whole}");
    assert!(whole.contains("gateway_memory_used:33\r\ngateway_memory_max:44\r\n"), "{whole}");
    assert!(whole.ends_with("slots_unserved:0\r\ngateway_cluster_masters_missing:0\r\n\r\n"));
    let alone = merge(&[[]; 0], &own(), Protocol::Resp2, Asked::Gateway);
    assert!(body(&alone).starts_with("# Gateway\r\ngateway_version:1.2.3\r\n"));
}

#[test]
fn run_id_stays() {
    assert_eq!(run_id().len(), 40);
    assert!(run_id().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(run_id(), run_id());
}

#[test]
fn what_can_be_read_is_used() {
    let good = bulk("# Stats\nkeyspace_hits:3\nno colon\nkeyspace_misses:x\n");
    let parts = [
        good.clone(),
        b"=40\r\ntxt:# Stats\r\nkeyspace_hits:4\r\n\xff\xff:1\r\n".to_vec(),
        b"$9999\r\n# Stats\r\nkeyspace_hits:5".to_vec(),
        b"-LOADING x\r\n".to_vec(),
        b"=3\r\nab".to_vec(),
        b":1\r\n".to_vec(),
        b"$-1\r\n".to_vec(),
        Vec::new(),
    ];
    let frame = merge(&parts, &own(), Protocol::Resp2, Asked::Nodes);
    let text = body(&frame);
    assert!(text.contains("keyspace_hits:12\r\nkeyspace_misses:x\r\n"), "{text}");
}

proptest! {
    #[test]
    fn any_parts_make_one_frame(
        parts in prop::collection::vec(
            "[$=]9\r\n(txt:)?(# (Stats|Keyspace)\r\n|(db0|cmdstat_x|used_memory|role|slave0\
             |used_memory_human|redis_version):[-a-z0-9=,.]{0,12}(\r\n|\n)?|\\PC){0,9}",
            0..4,
        ),
    ) {
        let parts: Vec<_> = parts.into_iter().map(String::into_bytes).collect();
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let frame = merge(&parts, &own(), protocol, Asked::NodesAndGateway);
            prop_assert_eq!(crate::resp::reply::frame_len(&frame), Ok(Some(frame.len())));
        }
    }

    #[test]
    fn sums_do_not_overflow(values in prop::collection::vec(any::<i64>(), 1..9)) {
        let texts: Vec<String> = values.iter().map(i64::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let total: i128 = values.iter().map(|value| i128::from(*value)).sum();
        prop_assert_eq!(sum(&texts), Some(total.to_string()));
    }
}

/// A client's buffers are the gateway's: what nodes keep is for the gateway's own connections.
#[test]
fn the_largest_buffers_are_those_of_the_gateway() {
    let clients =
        "# Clients\nclient_recent_max_input_buffer:999\nclient_recent_max_output_buffer:0";
    let merged = merged(&[clients, clients]);
    assert!(merged.contains("client_recent_max_input_buffer:11\n"), "{merged}");
    assert!(merged.contains("client_recent_max_output_buffer:22\n"), "{merged}");
}
