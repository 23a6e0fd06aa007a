//! Slow clients with large values cost themselves, not those beside them. Nothing here is timed: what
//! counts is that others get on while the slow ones are in the midst of it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::alone;
use crate::support::{PATIENCE, noise};

const MIB: usize = 1 << 20;
const UPLOAD: usize = 4 * MIB;
const DOWNLOAD: usize = 64 * MIB;
/// What the slow ones move between two rounds of the others.
const BITE: usize = 1000;
const ROUNDS: usize = 100;
const OTHERS: usize = 20;
/// GETs and SETs of each of the others in a round.
const REQUESTS: usize = 10;
/// What waits for the slow reader, what has come of the upload, and something for everything else.
const MEMORY_MIB: usize = 64 + 4 + 16;

#[test]
fn others_are_served_while_slow_clients_are_at_it() {
    let site = alone();
    let gateway = &site.gateway;
    let mut first = gateway.client();
    // One slot, so one node: nobody can be spared by being elsewhere.
    let (value, upload) = (noise(11, DOWNLOAD), noise(12, UPLOAD));
    // Written where it lies, so that the gateway has had no part in it yet.
    let set: [&[u8]; 3] = [b"SET", b"{slow}:down", &value];
    assert!((0..3).any(|node| site.cluster.node(node).ask(&set) == Reply::ok()));
    let pid = process_of(&mut first);
    let before = memory_mib(&pid);

    let mut reader = raw(gateway.address);
    reader.write_all(&request("GET {slow}:down")).unwrap();
    let mut writer = raw(gateway.address);
    let mut bytes = Vec::new();
    put(&mut bytes, &[b"SET", &b"{slow}:up"[..], &upload]);
    let (mut sent, mut got) = (0, Vec::new());

    let mut others: Vec<Client> = (0..OTHERS).map(|_| gateway.client()).collect();
    let (mut served, mut most) = (0, before);
    for round in 0..ROUNDS {
        writer.write_all(&bytes[sent..sent + BITE]).unwrap();
        sent += BITE;
        let mut bite = [0; BITE];
        reader.read_exact(&mut bite).unwrap();
        got.extend_from_slice(&bite);
        for (n, other) in others.iter_mut().enumerate() {
            for request in 0..REQUESTS / 2 {
                let text = format!("{round}.{request}");
                let key = format!("{{slow}}:{n}");
                assert_eq!(other.ask(&["SET", &key, &text]), Reply::ok());
                assert_eq!(other.ask(&["GET", &key]), Reply::bulk(text.as_bytes()));
                served += 2;
            }
        }
        most = most.max(memory_mib(&pid));
    }
    assert_eq!(served, ROUNDS * OTHERS * REQUESTS);
    assert!(sent < bytes.len() / 2 && got.len() < DOWNLOAD / 2, "the slow ones are not half done");
    println!("{served} requests beside two slow clients; memory {before} -> {most} MiB");
    assert!(most < before + MEMORY_MIB, "{before} -> {most} MiB");

    // In the end they get what they came for.
    writer.write_all(&bytes[sent..]).unwrap();
    let mut ok = [0; 5];
    writer.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"+OK\r\n");
    assert!(first.line("GET {slow}:up") == Reply::Bulk(upload), "the upload came changed");
    let head = format!("${DOWNLOAD}\r\n").len();
    let mut rest = vec![0; head + DOWNLOAD + 2 - got.len()];
    reader.read_exact(&mut rest).unwrap();
    got.extend_from_slice(&rest);
    assert!(got[head..head + DOWNLOAD] == value, "the download came changed");
    let keys: Vec<String> = (0..OTHERS).map(|n| format!("{{slow}}:{n}")).collect();
    first.line(&format!("DEL {{slow}}:down {{slow}}:up {}", keys.join(" ")));
}

/// A connection without a buffer on this side.
fn raw(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn process_of(client: &mut Client) -> String {
    let Reply::Bulk(info) = client.line("INFO server") else { panic!("no INFO") };
    let info = String::from_utf8(info).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    line.expect("a process").trim().to_owned()
}

fn memory_mib(pid: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}
