//! That the page tells what is wrong, escapes what others have named, and that its CSV is HAProxy's. Owns cases
//! only.

use serde_json::{Value, json};

use super::*;

fn node(name: &str) -> Value {
    let rate = json!({"requests_per_s": 10.5, "errors_per_s": 0.0, "p50_ms": 0.1, "p99_ms": null});
    let info = json!({
        "version": "7.0.15", "role": "slave", "uptime_s": 1, "keys": 1234, "memory_bytes": 1 << 20,
        "memory_max_bytes": 0, "clients": 1, "ops_per_s": 2, "evicted_keys": 0,
        "replication_offset": 7, "is_linked": null, "is_loading": false, "is_persistence_ok": true,
    });
    json!({
        "name": name, "id": "id", "address": "127.0.0.1:7", "is_up": true, "info": info,
        "lag_bytes": 0, "rate": rate, "requests": 1, "inflight": 2, "waiting": 3, "connections": 4,
        "leased": 0, "errors": {"timeout": 5, "connect": 6},
    })
}

/// A cluster of one shard, well.
fn sample() -> Value {
    json!({
        "schema": 1, "time_ms": 1_795_772_482_000_u64,
        "gateway": {
            "version": "1", "uptime_s": 5, "workers": 1, "workers_in_use": 1, "clients": 2,
            "clients_max": 10, "accepted": 3, "rejected": 0, "ready": true, "reason": null,
            "draining": false,
        },
        "now": {
            "requests_per_s": 81234.4, "errors_per_s": 0.0, "received_per_s": 0.0,
            "sent_per_s": 0.0, "messages_per_s": 0.0, "p50_ms": 0.2, "p99_ms": 1.5, "clients": 2,
            "memory_bytes": 7,
        },
        "inflight": 1, "held_bytes": 0,
        "memory": {"used": 7, "max": 1000, "kinds": {}}, "workers": [],
        "cluster": {
            "is_ok": true, "epoch": 3, "age_s": 1.0, "slots_assigned": 16384, "unserved": [],
            "problem": null, "troubles": [], "failovers": 0, "spares": [],
            "shards": [{
                "slots": {"count": 16384, "ranges": [[0, 16383]]},
                "master": node("a:1"), "replicas": [node("b:2")],
            }],
        },
        "databases": [],
        "clients": {
            "connected": 2, "max": 10, "modes": {}, "disconnected": {"output_limit": 2},
            "rejected": {"denied": 4}, "failed_auths": 0, "busiest": [],
        },
        "classes": {}, "commands": [], "events": [],
        "hour": {
            "interval_s": 5, "requests_per_s": [], "errors_per_s": [], "p50_ms": [], "p99_ms": [],
            "bytes_per_s": [], "messages_per_s": [], "clients": [], "memory_bytes": [],
        },
    })
}

fn overview(change: impl Fn(&mut Value)) -> Overview {
    let mut value = sample();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn told(overview: &Overview) -> Vec<String> {
    alerts(overview).into_iter().map(|alert| format!("{}: {}", alert.class, alert.text)).collect()
}

#[test]
fn what_is_well_raises_no_alert() {
    let well = overview(|_| ());
    assert_eq!(told(&well), [""; 0]);
    let page = html(&well).unwrap();
    for text in [
        "<title>✓ serving · Slotway</title>",
        "<b>81,234</b><span>requests/s</span>",
        "up to date",
        "<b>2</b> ended: output limit",
        "<b>4</b> turned away: denied",
        "09:41:22",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_the_worst_first() {
    let wrong = overview(|value| {
        value["cluster"]["slots_assigned"] = json!(16380);
        value["cluster"]["unserved"] = json!([[5, 7], [9, 9]]);
        let shard = &mut value["cluster"]["shards"][0];
        shard["master"]["is_up"] = json!(false);
        shard["replicas"][0]["info"]["is_linked"] = json!(false);
        shard["replicas"][0]["info"]["is_persistence_ok"] = json!(false);
        value["memory"]["used"] = json!(900);
    });
    assert_eq!(
        told(&wrong),
        [
            "bad: 4 slots have no master: 5-7, 9",
            "bad: a:1 does not answer",
            "warn: b:2 could not write its data to disk",
            "warn: b:2 is not connected to its master",
            "warn: Buffers use most of memory_max; the heaviest clients will be cut off",
        ]
    );
    assert!(html(&wrong).unwrap().contains("<title>✗ serving a part · Slotway</title>"));
    let behind = overview(|value| {
        value["cluster"]["shards"][0]["replicas"][0]["lag_bytes"] = json!(100 << 20);
    });
    assert_eq!(told(&behind), ["warn: b:2 is 100 MiB behind its master"]);
    let alone = overview(|value| value["cluster"]["shards"][0]["replicas"] = json!([]));
    assert_eq!(told(&alone), ["warn: a:1 has no replica"]);
    let empty = overview(|value| {
        value["cluster"]["shards"] = json!([]);
        value["cluster"]["slots_assigned"] = json!(0);
        value["cluster"]["unserved"] = json!([[0, 16383]]);
        value["gateway"]["ready"] = json!(false);
        value["gateway"]["reason"] = json!("no map of the cluster: no answer in time");
    });
    assert_eq!(told(&empty), ["bad: no map of the cluster: no answer in time"]);
}

/// Nodes and clients choose their names; so do those who send commands that are none.
#[test]
fn no_name_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'&";
    let page = html(&overview(|value| {
        let shard = &mut value["cluster"]["shards"][0];
        shard["master"]["name"] = json!(evil);
        shard["replicas"][0]["is_up"] = json!(false);
        shard["replicas"][0]["name"] = json!(evil);
        value["cluster"]["troubles"] = json!([evil]);
        value["gateway"]["reason"] = json!(evil);
        value["events"] = json!([{"time_ms": 1, "kind": "down", "text": evil}]);
        value["commands"] = json!([{
            "name": evil, "requests_per_s": 0.0, "errors_per_s": 0.0, "requests": 1, "errors": 0,
        }]);
        value["clients"]["busiest"] = json!([{
            "id": 1, "address": evil, "name": evil, "library": evil, "database": 0, "command": evil,
            "requests": 1, "requests_per_s": 1.0, "memory_bytes": 1, "age_s": 1, "idle_s": 1,
        }]);
    }));
    let page = page.unwrap();
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(!page.contains("alert(1)</script>"));
    assert!(page.matches("&#60;script&#62;alert(1)").count() >= 8, "{page}");
}

#[test]
fn the_table_has_the_columns_of_haproxy() {
    let table = csv::table(&overview(|_| ()));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert!(table.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,"));
    assert!(lines.iter().all(|cells| cells.len() == lines[0].len()), "{table}");
    let cell = |row: usize, column: &str| {
        lines[row]
            [lines[0].iter().position(|name| name.trim_start_matches("# ") == column).unwrap()]
    };
    assert_eq!([cell(1, "svname"), cell(1, "status"), cell(1, "dreq")], ["FRONTEND", "OPEN", "4"]);
    assert_eq!([cell(2, "svname"), cell(2, "econ"), cell(2, "eresp")], ["a:1", "6", "5"]);
    assert_eq!([cell(3, "svname"), cell(3, "bck"), cell(3, "type")], ["b:2", "1", "2"]);
    assert_eq!([cell(4, "svname"), cell(4, "stot"), cell(4, "type")], ["BACKEND", "2", "1"]);
}
