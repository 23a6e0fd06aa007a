//! What each step of a request costs by itself: scanning, hashing, routing, ordering, merging.
//!
//! Figures are per pipeline of 64 requests where the name says `64`, per request otherwise.

#![allow(clippy::unwrap_used, missing_docs)] // a bench that cannot go on has failed

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use slotway::backend::NodeAddress;
use slotway::command::CommandTable;
use slotway::config::CrossSlot;
use slotway::reply::{merge::Merge, queue::ReplyQueue};
use slotway::resp::request::{RequestLimits, Scan};
use slotway::resp::{Args, ReplyScanner, RequestScanner, write};
use slotway::router::{Plan, plan};
use slotway::slot::{SLOTS, Slot};
use slotway::topology::map::{ClusterMap, Range, Shard};

const PIPELINE: usize = 64;
const SHARDS: usize = 12;
const LIMITS: RequestLimits = RequestLimits {
    request_bytes_max: 1 << 30,
    bulk_bytes_max: 512 << 20,
    arguments_max: 1 << 20,
    inline_bytes_max: 64 << 10,
};

fn key(n: usize) -> String {
    format!("bench:16:{n:09}")
}

/// A request of these words, appended.
fn request<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    write::array_len(out, words.len());
    words.iter().for_each(|word| write::bulk(out, word.as_ref()));
}

fn pipeline(words: impl Fn(usize) -> Vec<String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..PIPELINE).for_each(|n| request(&mut bytes, &words(n)));
    bytes
}

/// `MGET` or `MSET` of so many keys.
fn many(name: &str, keys: usize) -> Vec<String> {
    let value = (name == "MSET").then(|| "v".repeat(16));
    let group = |n| std::iter::once(key(n)).chain(value.clone());
    std::iter::once(name.to_owned()).chain((0..keys).flat_map(group)).collect()
}

fn request_scanner(c: &mut Criterion) {
    let mut group = c.benchmark_group("request_scanner");
    for (name, bytes) in [
        ("64 GET", pipeline(|n| vec!["GET".into(), key(n)])),
        ("64 SET 16 B", pipeline(|n| vec!["SET".into(), key(n), "v".repeat(16)])),
        ("64 SET 1 KiB", pipeline(|n| vec!["SET".into(), key(n), "v".repeat(1024)])),
        ("64 MGET 10", pipeline(|_| many("MGET", 10))),
    ] {
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |b| {
            let mut scanner = RequestScanner::default();
            b.iter(|| {
                let mut rest = black_box(&bytes[..]);
                while let Ok(Scan::Request(len)) = scanner.scan(rest, &LIMITS, true) {
                    black_box(scanner.args(rest));
                    scanner.next();
                    rest = &rest[len..];
                }
                assert!(rest.is_empty());
            });
        });
    }
    group.finish();
}

fn reply_scanner(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply_scanner");
    let array = format!("*10\r\n{}", "$16\r\n0123456789abcdef\r\n".repeat(10));
    for (name, reply) in [
        ("64 +OK", "+OK\r\n".to_owned()),
        ("64 bulks of 16 B", "$16\r\n0123456789abcdef\r\n".to_owned()),
        ("64 bulks of 1 KiB", format!("$1024\r\n{}\r\n", "v".repeat(1024))),
        ("64 arrays of 10", array),
    ] {
        let bytes = reply.repeat(PIPELINE).into_bytes();
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |b| {
            let mut scanner = ReplyScanner::default();
            b.iter(|| {
                let (mut rest, mut replies) = (black_box(&bytes[..]), 0);
                while !rest.is_empty() {
                    let progress = scanner.advance(rest).unwrap();
                    replies += usize::from(progress.whole);
                    rest = &rest[progress.used..];
                }
                assert_eq!(replies, PIPELINE);
            });
        });
    }
    group.finish();
}

fn key_hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot_of");
    for (name, key) in [
        ("18 B", key(7)),
        ("18 B, tag of 4", "{user}:000000:abcd".to_owned()),
        ("128 B", "k".repeat(128)),
    ] {
        group.bench_function(name, |b| b.iter(|| Slot::of(black_box(key.as_bytes()))));
    }
    group.finish();
}

fn map() -> ClusterMap {
    let range = |n: usize| Range {
        first: (n * SLOTS / SHARDS) as u16,
        last: ((n + 1) * SLOTS / SHARDS - 1) as u16,
        shard: Shard {
            master: NodeAddress {
                id: format!("{n:040}").into(),
                address: SocketAddr::from(([127, 0, 0, 1], 7000 + n as u16)),
                name: format!("node-{n}").into(),
            },
            replicas: Vec::new(),
        },
    };
    ClusterMap::from_ranges((0..SHARDS).map(range).collect(), 1)
}

/// The words of a request as a scanner gives them.
fn scanned(words: &[String]) -> (Vec<u8>, RequestScanner) {
    let (mut bytes, mut scanner) = (Vec::new(), RequestScanner::default());
    request(&mut bytes, words);
    assert_eq!(scanner.scan(&bytes, &LIMITS, true), Ok(Scan::Request(bytes.len())));
    (bytes, scanner)
}

/// From a request's words to the node it goes to: its row, its keys, their slots, their shards.
fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    let (table, map) = (CommandTable::builtin(), map());
    for (name, words) in [
        ("GET", vec!["GET".to_owned(), key(1)]),
        ("SET", vec!["SET".to_owned(), key(1), "v".repeat(16)]),
        ("ZADD", ["ZADD", "board", "GT", "12", "member"].map(str::to_owned).to_vec()),
        ("EVAL", ["EVAL", "return 1", "1", "key", "arg"].map(str::to_owned).to_vec()),
        ("MGET 10", many("MGET", 10)),
        ("MGET 100", many("MGET", 100)),
        ("MSET 100", many("MSET", 100)),
    ] {
        let (bytes, scanner) = scanned(&words);
        let (mut keys, mut out) = (Vec::new(), Vec::new());
        group.bench_function(name, |b| {
            b.iter(|| {
                let args: Args<'_> = scanner.args(black_box(&bytes));
                let (_, command) = table.lookup(args).unwrap();
                match plan(command, args, CrossSlot::Split, &mut keys) {
                    Plan::Slot(slot) => black_box(map.shard_of(slot)).unwrap(),
                    Plan::Split(split) => {
                        out.clear();
                        for part in 0..split.len() {
                            black_box(map.shard_of(split.slot(part)));
                            split.write_part(part, args, &mut out);
                        }
                        out.len()
                    }
                    other => panic!("{name} is {other:?}"),
                }
            });
        });
    }
    group.finish();
}

fn reply_queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply_queue");
    let reply = b"$16\r\n0123456789abcdef\r\n";
    let in_turn: Vec<u64> = (0..PIPELINE as u64).collect();
    // Three nodes answer, each its own in order, one after the other.
    let by_node: Vec<u64> = (0..3)
        .flat_map(|node| in_turn.iter().copied().filter(move |seq| seq % 3 == node))
        .collect();
    let backwards: Vec<u64> = in_turn.iter().rev().copied().collect();
    for (name, order) in
        [("64 in turn", in_turn), ("64 from three nodes", by_node), ("64 backwards", backwards)]
    {
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |b| {
            let mut queue = ReplyQueue::default();
            b.iter(|| {
                let first = queue.take_seq();
                (1..PIPELINE).for_each(|_| {
                    queue.take_seq();
                });
                for behind in &order {
                    queue.deliver(first + behind, black_box(reply), true);
                }
                let ready = queue.ready().len();
                assert_eq!(ready, reply.len() * PIPELINE);
                queue.written(ready);
            });
        });
    }
    group.finish();
}

fn merging(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    let table = CommandTable::builtin();
    for keys in [10, 100] {
        let words = many("MGET", keys);
        let (bytes, scanner) = scanned(&words);
        let args = scanner.args(&bytes);
        let (_, command) = table.lookup(args).unwrap();
        let Plan::Split(mut split) = plan(command, args, CrossSlot::Split, &mut Vec::new()) else {
            panic!("these keys are in several slots")
        };
        let mut parts = Vec::new();
        for part in 0..split.len() {
            let (mut asked, mut reply) = (Vec::new(), Vec::new());
            split.write_part(part, args, &mut asked);
            // `*N` counts the command's name too.
            let count = asked.split(|byte| *byte == b'$').count() - 2;
            write::array_len(&mut reply, count);
            (0..count).for_each(|_| write::bulk(&mut reply, b"0123456789abcdef"));
            parts.push(reply);
        }
        let Merge::InKeyOrder(order) = split.take_merge() else { panic!("another merge") };
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        group.bench_function(format!("MGET {keys}"), |b| {
            b.iter_batched(
                || Merge::InKeyOrder(order.clone()),
                |merge| {
                    merge.apply(&parts, &mut |piece, _| {
                        black_box(piece);
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    request_scanner,
    reply_scanner,
    key_hashing,
    routing,
    reply_queue,
    merging
);
criterion_main!(benches);
