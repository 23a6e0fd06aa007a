//! What is told of the whole is true of the whole, also while a part of it is missing.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::site::{Site, nowhere};
use crate::support::until;

/// INFO's fields, by name.
fn info(client: &mut Client, sections: &str) -> BTreeMap<String, String> {
    let text = client.line(format!("INFO {sections}").trim()).text();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect()
}

/// Options by name.
fn config(client: &mut Client, pattern: &str) -> BTreeMap<String, String> {
    let reply = client.line(&format!("CONFIG GET {pattern}"));
    let words: Vec<String> = reply.items().iter().map(Reply::text).collect();
    words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// Fields of INFO and options that mean the same, where their names do not say so.
const SAME: [(&str, &str); 3] =
    [("tcp_port", "port"), ("configured_hz", "hz"), ("aof_enabled", "appendonly")];

#[test]
fn info_and_config_get_say_the_same() {
    let site = Site::start(3, &[]);
    for (node, megabytes) in [(0, 100), (1, 200), (2, 300)] {
        let mut node = site.cluster.node(node);
        assert_eq!(node.line(&format!("CONFIG SET maxmemory {megabytes}mb")), Reply::ok());
        assert_eq!(node.line("CONFIG SET maxmemory-policy allkeys-lru"), Reply::ok());
    }
    let mut client = site.gateway.client();
    let (info, config) = (info(&mut client, "everything"), config(&mut client, "*"));
    let named = info.keys().map(|field| (field.clone(), field.replace('_', "-")));
    let same = SAME.map(|(field, option)| (field.to_owned(), option.to_owned()));
    let mut compared = Vec::new();
    for (field, option) in named.chain(same) {
        let Some(value) = config.get(&option) else { continue };
        let value = match (field.as_str(), value.as_str()) {
            ("cluster_enabled" | "aof_enabled", "yes") => "1",
            ("cluster_enabled" | "aof_enabled", "no") => "0",
            (_, value) => value,
        };
        assert_eq!(info[&field], value, "{field} of INFO, {option} of CONFIG GET");
        compared.push(option);
    }
    for option in ["maxmemory", "maxmemory-policy", "maxclients", "repl-backlog-size", "port"] {
        assert!(compared.iter().any(|known| known == option), "{option} is not in {compared:?}");
    }
    assert_eq!(config["maxmemory"], (600u64 << 20).to_string());
    assert_eq!(config["maxclients"], "10000");
    assert_eq!(config["port"], site.gateway.port());
    assert_eq!(config["bind"], "127.0.0.1");
    assert_eq!(config["cluster-enabled"], "no");
    // As many as SELECT knows.
    assert_eq!(config["databases"], "16");
    assert_eq!(client.line("SELECT 15"), Reply::ok());
    assert!(client.line("SELECT 16").error().contains("out of range"));
    // What is told as a sum is set in shares.
    assert_eq!(client.line("CONFIG SET maxmemory 300mb"), Reply::ok());
    for node in 0..3 {
        let told = site.cluster.node(node).line("CONFIG GET maxmemory").texts();
        assert_eq!(told[1], (100u64 << 20).to_string());
    }
    assert_eq!(client.line("CONFIG GET maxmemory").texts()[1], (300u64 << 20).to_string());
    // What is told of all together cannot be set at each.
    for option in ["maxclients 5", "timeout 9", "hz 10 repl-backlog-size 1"] {
        let said = client.line(&format!("CONFIG SET {option}"));
        assert!(said.error().contains("is refused"), "{option}: {said:?}");
    }
    assert_eq!(client.line("CONFIG SET maxmemory-policy noeviction"), Reply::ok());
    assert_eq!(client.line("CONFIG GET maxmemory-policy").items()[1], Reply::bulk("noeviction"));
}

/// What clients and exporters look for when they connect.
const AT_CONNECT: [&str; 14] = [
    "redis_version",
    "redis_mode",
    "run_id",
    "tcp_port",
    "uptime_in_seconds",
    "connected_clients",
    "used_memory",
    "maxmemory",
    "loading",
    "role",
    "connected_slaves",
    "cluster_enabled",
    "total_commands_processed",
    "used_cpu_sys",
];

fn assert_tells_all(client: &mut Client, unserved: &str, missing: &str) {
    let told = info(client, "");
    for field in AT_CONNECT {
        assert!(told.get(field).is_some_and(|value| !value.is_empty()), "{field}: {told:?}");
    }
    assert_eq!(told["role"], "master");
    assert_eq!(told["gateway_cluster_slots_unserved"], unserved);
    assert_eq!(told["gateway_cluster_masters_missing"], missing);
    assert_eq!(client.line("CONFIG GET databases").items()[1], Reply::bulk("16"));
}

#[test]
fn a_slot_without_a_master_leaves_the_rest_of_info() {
    let site = Site::start(3, &[("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "100ms")]);
    let mut client = site.gateway.client();
    assert_tells_all(&mut client, "0", "0");
    for index in 0..3 {
        assert_eq!(site.cluster.node(index).line("CLUSTER DELSLOTS 5"), Reply::ok());
    }
    until("a slot is missed", || {
        info(&mut client, "gateway")["gateway_cluster_slots_unserved"] == "1"
    });
    assert_tells_all(&mut client, "1", "0");
    // A short count would not be seen to be one.
    assert!(client.line("DBSIZE").error().starts_with("CLUSTERDOWN"));
}

/// A master that is frozen, and nobody takes its place.
#[test]
fn a_master_that_does_not_answer_leaves_the_rest_of_info() {
    let often = ("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "100ms");
    let site = Site::start(3, &[often, ("SLOTWAY_TIMEOUTS_CONNECT", "500ms")]);
    let pid = info(&mut site.cluster.node(1), "server")["process_id"].parse().unwrap();
    let signal = |signal| kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    let mut client = site.gateway.client();
    let is_missing = |client: &mut Client, count: &str| {
        info(client, "").get("gateway_cluster_masters_missing").is_some_and(|told| told == count)
    };
    signal(Signal::STOP);
    until("a master is missed", || is_missing(&mut client, "1"));
    let unserved = info(&mut client, "")["gateway_cluster_slots_unserved"].clone();
    assert!(unserved.parse::<usize>().unwrap() > 5000, "{unserved}");
    assert_tells_all(&mut client, &unserved, "1");
    signal(Signal::CONT);
    until("nothing is missed", || is_missing(&mut client, "0"));
}

#[test]
fn without_any_node_info_tells_what_the_gateway_knows() {
    let gateway = nowhere();
    let mut client = gateway.client();
    let told = info(&mut client, "");
    for field in ["redis_version", "run_id", "role", "connected_clients", "cluster_enabled"] {
        assert!(told.get(field).is_some_and(|value| !value.is_empty()), "{field}: {told:?}");
    }
    assert_eq!(told["gateway_cluster_slots_unserved"], "16384");
    let server = info(&mut client, "server");
    assert!(server.contains_key("redis_version") && !server.contains_key("role"), "{server:?}");
}
