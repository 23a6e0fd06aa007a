//! Clients that do not speak RESP: told so in Redis's words, closed, and nobody else is hurt.

use crate::support::cluster::{key, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Gateway, pair};

/// Sends `bytes` on a new connection; returns everything until the gateway closes.
fn said_to(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut client = gateway.client();
    client.send_raw(bytes);
    client.rest()
}

#[test]
fn faults_are_told_in_the_words_of_redis() {
    let (_cluster, gateway, mut other) = pair("");
    let inline = "a".repeat(70_000);
    let cases: [(&[u8], &str); 19] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*2147483647\r\n", "request too large"),
        (b"*02\r\n", "invalid multibulk length"),
        (b"*2\r\n+GET\r\n", "expected '$', got '+'"),
        (b"*2\r\n$3\r\nGET\r\nkey\r\n", "expected '$', got 'k'"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nk\n\n", "invalid CRLF in request"),
        (b"*3\r\n$4\r\nMGET\r\n$1\r\naXX$1\r\nbYY", "invalid CRLF in request"),
        (b"*2\r\n\x01", "expected '$', got '?'"),
        (b"*2\r\n$-1\r\n", "invalid bulk length"),
        (b"*2\r\n$x\r\n", "invalid bulk length"),
        (b"*2\r\n$03\r\n", "invalid bulk length"),
        (b"*2\r\n$536870913\r\n", "invalid bulk length"),
        (b"*2\r\n$2147483647\r\n", "invalid bulk length"),
        (b"*2\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"GET \"a\r\n", "unbalanced quotes in request"),
        (b"GET 'a'b\r\n", "unbalanced quotes in request"),
        (inline.as_bytes(), "too big inline request"),
    ];
    for (bytes, text) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!(
            said_to(&gateway, bytes),
            format!("-ERR Protocol error: {text}\r\n"),
            "{shown:?}"
        );
    }
    assert_eq!(other.ask(&format!("GET {}", key(0, 2, 0))), bulk(&value_of(&key(0, 2, 0))));
}

/// Also when it comes in pieces, and nothing comes after it.
#[test]
fn a_fault_in_pieces_is_told_at_once() {
    let (_cluster, gateway, _client) = pair("");
    let whole: [(&[u8], &str); 4] = [
        (b"*9\r\n$3\r\nGET\r\n$1x\r\n", "invalid bulk length"),
        (b"*9\r\n$3\r\nGET\r\n+", "expected '$', got '+'"),
        (b"*9\r\n$3\r\nGETxx", "invalid CRLF in request"),
        (b"*1x\r\n", "invalid multibulk length"),
    ];
    for (bytes, text) in whole {
        let mut client = gateway.client();
        for byte in bytes {
            client.send_raw(&[*byte]);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(client.reply(), format!("-ERR Protocol error: {text}\r\n"), "{shown:?}");
    }
}

#[test]
fn what_came_before_the_fault_is_answered() {
    let (_cluster, gateway, _client) = pair("");
    let (a, b) = (key(0, 2, 0), key(1, 2, 0));
    let good = [request(&["GET", &a]), request(&["GET", &b])].concat();
    let said = said_to(&gateway, &[&good[..], b"*1\r\n!\r\n", &good[..]].concat());
    let values = bulk(&value_of(&a)) + &bulk(&value_of(&b));
    assert_eq!(said, values + "-ERR Protocol error: expected '$', got '!'\r\n");
}

#[test]
fn the_limits_before_auth_are_smaller() {
    let settings = "[[listener]]\nbind = \"127.0.0.1:1\"\npassword = \"open\"\n";
    let cluster = crate::support::Cluster::of(2);
    let gateway = Gateway::launch(cluster.port(0), 1, settings);
    let count = said_to(&gateway, b"*11\r\n");
    assert_eq!(count, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    let bulk_len = said_to(&gateway, b"*2\r\n$16385\r\n");
    assert_eq!(bulk_len, "-ERR Protocol error: unauthenticated bulk length\r\n");
    let mut client = gateway.client();
    let key = key(0, 2, 0);
    assert_eq!(client.ask(&format!("GET {key}")), "-NOAUTH Authentication required.\r\n");
    assert!(client.ask("AUTH wrong").starts_with("-WRONGPASS "));
    assert_eq!(client.ask("AUTH open"), "+OK\r\n");
    assert_eq!(client.ask(&format!("GET {key}")), bulk(&value_of(&key)));
    let large = "v".repeat(20_000);
    assert_eq!(client.ask(&format!("SET {key} {large}")), "+OK\r\n");
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let (_cluster, _gateway, mut client) = pair("");
    let (a, b) = (key(0, 2, 0), key(1, 2, 0));
    let input = [
        request(&["GET", &a]),
        format!("get {b}\r\n").into_bytes(),
        request(&["MGET", &a, &b]),
        b"\r\n*0\r\n".to_vec(),
        request(&["SET", &a, "some\r\nvalue"]),
    ]
    .concat();
    for byte in input {
        client.send_raw(&[byte]);
    }
    let (a, b) = (bulk(&value_of(&a)), bulk(&value_of(&b)));
    assert_eq!(
        client.replies(4),
        [a.clone(), b.clone(), format!("*2\r\n{a}{b}"), "+OK\r\n".into()]
    );
}

#[test]
fn nothing_and_less_than_nothing_are_stepped_over() {
    let (_cluster, _gateway, mut client) = pair("");
    client.send_raw(b"*0\r\n*-1\r\n*-2147483648\r\n\r\n\n \r\n");
    assert_eq!(client.ask("PING"), "+PONG\r\n");
}

#[test]
fn zero_bytes_are_bytes() {
    let (cluster, gateway, mut client) = pair("");
    let mut zeros = gateway.client();
    zeros.send_raw(b"\0\0\0\0\r\n*1\r\n$4\r\n\0\0\0\0\r\n");
    let reply = zeros.reply();
    assert!(reply.starts_with("-ERR unknown command"), "{reply}");
    client.send_raw(b"*2\r\n$3\r\nGET\r\n$3\r\n\0\r\n\r\n");
    assert_eq!(client.reply(), bulk(&value_of("\0\r\n")));
    let gets = cluster.calls().into_iter().filter(|call| call.text.starts_with("GET"));
    assert_eq!(gets.count(), 1);
}

#[test]
fn arguments_and_bytes_of_a_request_are_limited() {
    let settings = "[limits]\narguments_max = 5\nrequest_bytes_max = \"1000B\"\n\
                    bulk_bytes_max = \"900B\"\ninline_bytes_max = \"100B\"\n";
    let (_cluster, gateway, mut client) = pair(settings);
    let key = key(0, 2, 0);
    let set = |len| request(&["SET", &key, &"v".repeat(len)]);
    assert_eq!(said_to(&gateway, b"*6\r\n"), "-ERR Protocol error: invalid multibulk length\r\n");
    assert_eq!(said_to(&gateway, &set(901)), "-ERR Protocol error: invalid bulk length\r\n");
    let pair_of = request(&["MSET", &key, &"v".repeat(800), &key, &"v".repeat(800)]);
    assert_eq!(said_to(&gateway, &pair_of), "-ERR Protocol error: request too large\r\n");
    let inline = format!("SET {key} {}\r\n", "v".repeat(100));
    assert_eq!(
        said_to(&gateway, inline.as_bytes()),
        "-ERR Protocol error: too big inline request\r\n"
    );
    client.send_raw(&set(850));
    assert_eq!(client.reply(), "+OK\r\n");
}
