//! Values from one byte to half a gigabyte, there and back.

use crate::support::client::put;
use crate::support::reply::Reply;
use crate::support::site::{alone, client};
use crate::support::{noise, until};

const MIB: usize = 1 << 20;

fn there_and_back(len: usize) {
    let value = noise(len as u64, len);
    assert_eq!(value.len(), len);
    let mut client = client();
    let key = format!("values:{len}");
    assert_eq!(client.ask(&[b"SET", key.as_bytes(), &value]), Reply::ok());
    assert_eq!(client.ask(&["STRLEN", &key]), Reply::Int(len as i64));
    let got = client.ask(&["GET", &key]);
    // Not `assert_eq`: nobody reads 64 MiB.
    assert!(got == Reply::Bulk(value), "{len} bytes came back changed");
    assert_eq!(client.ask(&["DEL", &key]), Reply::Int(1));
    client.assert_in_step();
}

#[test]
fn small_and_middling_values() {
    let mut lens: Vec<usize> = (0..=22).map(|bits| 1 << bits).collect();
    // Around the sizes at which buffers change hands.
    let edges = [4096, 16 * 1024, 32 * 1024, 64 * 1024, 256 * 1024, MIB];
    lens.extend(edges.iter().flat_map(|edge| [edge - 40, edge - 1, edge + 1]));
    lens.push(0);
    lens.into_iter().for_each(there_and_back);
}

#[test]
fn large_values() {
    [8 * MIB, 64 * MIB].into_iter().for_each(there_and_back);
}

#[test]
fn large_and_small_values_in_one_pipeline() {
    let (large, small) = (noise(1, 3 * MIB), noise(2, 10));
    let (mut bytes, mut want) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let key = format!("values:mixed:{n}");
        let value = if n % 3 == 0 { &large } else { &small };
        put(&mut bytes, &[b"SET", key.as_bytes(), value]);
        put(&mut bytes, &[b"GET", key.as_bytes()]);
        put(&mut bytes, &[b"MGET", &b"values:mixed:0"[..], key.as_bytes()]);
        want.extend([Reply::ok(), Reply::bulk(value)]);
        want.push(Reply::Array(vec![Reply::bulk(&large), Reply::bulk(value)]));
    }
    let mut client = client();
    for (at, (got, _)) in client.exchange(&bytes, want.len()).into_iter().enumerate() {
        assert!(got == want[at], "reply {at} came changed");
    }
    client.assert_in_step();
}

/// A large request tells that the next one may be large too; one that is not, one that is larger, and
/// bytes of a neighbour in the same read must all come out as they went in.
#[test]
fn large_requests_and_their_neighbours_stay_whole() {
    let lens =
        [33_000, 33_000, 10, 65_536, 0, 100_000, 40_000, MIB + 7, 5, 3 * MIB, 70_000, 1, 33_000];
    let values: Vec<Vec<u8>> = lens.iter().zip(10..).map(|(len, n)| noise(n, *len)).collect();
    let requests = |bytes: &mut Vec<u8>| {
        for (n, value) in values.iter().enumerate() {
            put(bytes, &[b"SET", format!("values:neighbours:{n}").as_bytes(), value]);
        }
    };
    for cuts in [&[65_582, 1, 40_000, 66_606, 900][..], &[MIB], &[333_000, 32_767, 2]] {
        let mut client = client();
        let mut bytes = Vec::new();
        (0..3).for_each(|_| requests(&mut bytes));
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            client.send(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        for n in 0..3 * lens.len() {
            assert_eq!(client.reply(), Reply::ok(), "reply {n}, cut at {cuts:?}");
        }
        for (n, value) in values.iter().enumerate() {
            let got = client.line(&format!("GET values:neighbours:{n}"));
            assert!(got == Reply::bulk(value), "value {n} came changed, cut at {cuts:?}");
        }
        client.assert_in_step();
    }
}

#[test]
fn many_large_replies_wait_for_a_client_that_reads_late() {
    let value = noise(3, 4 * MIB);
    let mut client = client();
    assert_eq!(client.ask(&[b"SET", &b"values:late"[..], &value[..]]), Reply::ok());
    let mut bytes = Vec::new();
    (0..30).for_each(|_| put(&mut bytes, &["GET", "values:late"]));
    client.send(&bytes);
    // Others go on meanwhile, on the same node.
    let mut other = crate::support::site::client();
    for n in 1..=1000 {
        assert_eq!(other.line("INCR {values:late}:other"), Reply::Int(n));
    }
    for _ in 0..30 {
        assert!(client.reply() == Reply::bulk(&value));
    }
    client.assert_in_step();
    other.line("DEL {values:late}:other values:late");
}

fn available_mib() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// The largest value that Redis takes. It is several times in memory at once.
#[test]
fn the_largest_value() {
    const NEEDED_MIB: u64 = 6 * 1024;
    if available_mib().is_none_or(|available| available < NEEDED_MIB) {
        eprintln!("left out: fewer than {NEEDED_MIB} MiB of memory are free");
        return;
    }
    let site = alone();
    let mut client = site.gateway.client();
    let mut value = noise(4, 512 * MIB);
    assert_eq!(client.ask(&[b"SET", &b"values:largest"[..], &value[..]]), Reply::ok());
    assert!(client.line("GET values:largest") == Reply::Bulk(std::mem::take(&mut value)));
    assert_eq!(client.line("DEL values:largest"), Reply::Int(1));
    let over = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870913\r\n";
    client.send(over);
    assert_eq!(client.reply().error(), "ERR Protocol error: invalid bulk length");
    until("it is freed", || site.gateway.client().line("EXISTS values:largest") == Reply::Int(0));
}
