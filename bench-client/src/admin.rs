//! What a gateway's admin address tells: the nodes behind it and the CPU time it has used.
//!
//! Owns one HTTP request at a time. Knows nothing of loads. Invariants: waits and answers are
//! bounded; a gateway that does not answer costs its figures, never the run.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
const CPU_METRIC: &str = "process_cpu_seconds_total";

/// The CPU time of the gateway so far.
pub(crate) fn cpu_time(address: &str) -> Option<Duration> {
    cpu_seconds(&get(address, "/metrics")?)
}

/// A line for each shard of the cluster behind the gateway: slots, master, replicas.
pub(crate) fn topology(address: &str) -> Option<Vec<String>> {
    shards(&get(address, "/api/v1/status")?)
}

fn get(address: &str, path: &str) -> Option<String> {
    let socket = address.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&socket, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

fn cpu_seconds(metrics: &str) -> Option<Duration> {
    let line = metrics.lines().find(|line| line.starts_with(CPU_METRIC))?;
    let seconds: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn shards(status: &str) -> Option<Vec<String>> {
    let status: Value = serde_json::from_str(status).ok()?;
    let mut lines: Vec<(u64, String)> =
        status["shards"].as_array()?.iter().filter_map(shard).collect();
    lines.sort();
    Some(lines.into_iter().map(|(_, line)| line).collect())
}

fn shard(shard: &Value) -> Option<(u64, String)> {
    let ranges = shard["slots"]["ranges"].as_array()?;
    let first = ranges.first().and_then(|range| range[0].as_u64()).unwrap_or(u64::MAX);
    let ranges: Vec<String> =
        ranges.iter().map(|range| format!("{}-{}", range[0], range[1])).collect();
    let address = |node: &Value| node["address"].as_str().map(str::to_owned);
    let master = address(&shard["master"]).unwrap_or_else(|| "no master".to_owned());
    let mut replicas: Vec<String> =
        shard["replicas"].as_array()?.iter().filter_map(address).collect();
    replicas.sort();
    Some((first, shard_line(&ranges.join(" "), &master, &replicas)))
}

/// How a shard is written, wherever it was learnt from.
pub(crate) fn shard_line(slots: &str, master: &str, replicas: &[String]) -> String {
    match replicas {
        [] => format!("{slots}: {master}"),
        replicas => format!("{slots}: {master} (replicas {})", replicas.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_slots() {
        let status = r#"{"shards":[
            {"slots":{"ranges":[[100,200],[300,300]]},"master":{"address":"b:1"},"replicas":[]},
            {"slots":{"ranges":[[0,99]]},"master":{"address":"a:1"},
             "replicas":[{"address":"d:1"},{"address":"c:1"}]}]}"#;
        let expected = ["0-99: a:1 (replicas c:1, d:1)", "100-200 300-300: b:1"];
        assert_eq!(shards(status).unwrap(), expected);
        assert_eq!(shards("{}"), None);
    }

    #[test]
    fn cpu_time_is_found_among_other_metrics() {
        let metrics = "# TYPE x counter\nother 1\nprocess_cpu_seconds_total 12.5\n";
        assert_eq!(cpu_seconds(metrics), Some(Duration::from_millis(12_500)));
        assert_eq!(cpu_seconds("process_cpu_seconds_total -1"), None);
    }
}
