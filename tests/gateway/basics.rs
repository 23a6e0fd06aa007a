//! Plain commands, pipelines, inline commands, and requests that come in pieces.

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{client, shared};

#[test]
fn plain_commands() {
    let mut client = client();
    assert_eq!(client.line("SET basics:a 1"), Reply::ok());
    assert_eq!(client.line("GET basics:a"), Reply::bulk("1"));
    assert_eq!(client.line("INCR basics:a"), Reply::Int(2));
    assert_eq!(client.line("EXPIRE basics:a 1000"), Reply::Int(1));
    assert!((1..=1000).contains(&client.line("TTL basics:a").int()));
    assert_eq!(client.line("DEL basics:a"), Reply::Int(1));
    assert_eq!(client.line("GET basics:a"), Reply::Null);
    assert_eq!(client.line("pInG"), Reply::Simple("PONG".to_owned()));
    assert_eq!(client.line("PING hello"), Reply::bulk("hello"));
    assert_eq!(client.line("SELECT 0"), Reply::ok());
    assert_eq!(client.line("SELECT 16").error(), "ERR DB index is out of range");
}

#[test]
fn the_empty_key_is_a_key() {
    let mut client = client();
    assert_eq!(client.ask(&["SET", "", "nothing"]), Reply::ok());
    assert_eq!(client.ask(&["GET", ""]), Reply::bulk("nothing"));
    assert_eq!(client.ask(&["APPEND", "", ""]), Reply::Int(7));
    assert_eq!(client.ask(&["DEL", ""]), Reply::Int(1));
}

#[test]
fn every_byte_may_be_in_keys_and_values() {
    let mut client = client();
    let all: Vec<u8> = (0..=255).collect();
    let key = [b"basics:", &all[..]].concat();
    assert_eq!(client.ask(&[b"SET", &key[..], &all]), Reply::ok());
    assert_eq!(client.ask(&[b"GET", &key[..]]), Reply::bulk(&all));
    for byte in 0..=255u8 {
        let (key, value) = ([b"basics:byte:", &[byte][..]].concat(), [byte, byte]);
        assert_eq!(client.ask(&[b"SET", &key[..], &value]), Reply::ok());
        assert_eq!(client.ask(&[b"GET", &key[..]]), Reply::bulk(value), "{byte}");
    }
}

#[test]
fn hash_tags_put_keys_together() {
    let mut client = client();
    client.line("SET {basics:tag}source 1");
    assert_eq!(client.line("RENAME {basics:tag}source {basics:tag}target"), Reply::ok());
    assert_eq!(client.line("GET {basics:tag}target"), Reply::bulk("1"));
    // An empty tag is none, and only the first brace counts.
    let refused = client.line("RENAME {}basics:a {}basics:b");
    assert!(refused.error().starts_with("CROSSSLOT"), "{refused:?}");
    client.line("SET {{basics:tag}}a 1");
    assert_eq!(
        client.line("RENAME {{basics:tag}}a {basics:tag{}x").error().get(..9),
        Some("CROSSSLOT")
    );
    assert_eq!(client.line("RENAME {{basics:tag}}a {{basics:tag}b"), Reply::ok());
}

/// Requests over many slots in one write, and the replies they have when they run in order.
fn mixed(name: &str, depth: usize) -> (Vec<u8>, Vec<Reply>) {
    let (mut bytes, mut want) = (Vec::new(), Vec::new());
    for n in 0..depth {
        let (key, value) = (format!("{name}:{}", n % 97), format!("value-{n}"));
        match n % 5 {
            0 => {
                put(&mut bytes, &["SET", &key, &value]);
                put(&mut bytes, &["GET", &key]);
                want.extend([Reply::ok(), Reply::bulk(&value)]);
            }
            1 => {
                put(&mut bytes, &["INCR", &format!("{name}:count")]);
                want.push(Reply::Int(n as i64 / 5 + 1));
            }
            2 => {
                put(&mut bytes, &["ECHO", &value]);
                want.push(Reply::bulk(&value));
            }
            3 => {
                put(&mut bytes, &["GET", &format!("{name}:missing:{n}")]);
                want.push(Reply::Null);
            }
            _ => {
                let (a, b) = (format!("{name}:m:{n}"), format!("{name}:m:{}", n + 1));
                put(&mut bytes, &["MSET", &a, &value, &b, "b"]);
                put(&mut bytes, &["MGET", &b, &a, "{none}", &b]);
                let (a, b) = (Reply::bulk(&value), Reply::bulk("b"));
                want.extend([Reply::ok(), Reply::Array(vec![b.clone(), a, Reply::Null, b])]);
            }
        }
    }
    (bytes, want)
}

fn assert_replies(client: &mut Client, bytes: &[u8], want: &[Reply]) {
    let got = client.exchange(bytes, want.len());
    for (at, (want, (got, _))) in want.iter().zip(&got).enumerate() {
        assert_eq!(got, want, "reply {at}");
    }
    client.assert_in_step();
}

#[test]
fn pipelines_of_any_depth_are_answered_in_order() {
    for depth in [1, 5, 100, 10_000] {
        let (bytes, want) = mixed(&format!("basics:pipe{depth}"), depth);
        assert_replies(&mut client(), &bytes, &want);
    }
}

#[test]
fn many_clients_at_once_get_their_own_replies() {
    std::thread::scope(|scope| {
        for nth in 0..40 {
            scope.spawn(move || {
                let (bytes, want) = mixed(&format!("basics:crowd{nth}"), 500);
                assert_replies(&mut client(), &bytes, &want);
            });
        }
    });
}

#[test]
fn requests_may_come_a_byte_at_a_time() {
    let (bytes, want) = mixed("basics:bytes", 40);
    let mut client = client();
    for byte in &bytes {
        client.send(&[*byte]);
    }
    assert_replies(&mut client, &[], &want);
}

#[test]
fn packets_may_end_anywhere() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (bytes, want) = mixed(&format!("basics:packets{seed}"), 300);
        let mut client = client();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let at = random.usize(1..=rest.len().min(700));
            client.send(&rest[..at]);
            rest = &rest[at..];
        }
        assert_replies(&mut client, &[], &want);
    }
}

#[test]
fn inline_commands() {
    let mut client = client();
    client.send(b"SET basics:inline \"a b\\x00\\n\"\r\nGET basics:inline\n");
    assert_eq!(client.reply(), Reply::ok());
    assert_eq!(client.reply(), Reply::bulk(b"a b\0\n"));
    // Empty lines are nothing; both forms may follow each other.
    client
        .send(&[b"\r\n\r\nget 'basics:inline'\r\n", &request("STRLEN basics:inline")[..]].concat());
    assert_eq!(client.reply(), Reply::bulk(b"a b\0\n"));
    assert_eq!(client.reply(), Reply::Int(5));
    client.send(b"GET \"basics\r\n");
    assert_eq!(client.reply().error(), "ERR Protocol error: unbalanced quotes in request");
    assert!(client.is_closed());
}

#[test]
fn what_is_no_request_is_told_and_the_connection_closed() {
    for (bytes, text) in [
        (&b"*1\r\n+PING\r\n"[..], "expected '$', got '+'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*02\r\n$3\r\nGET\r\n$1\r\nk\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$01\r\nk\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    ] {
        let mut client = client();
        client.send(&[&request("SET basics:before 1")[..], bytes].concat());
        assert_eq!(client.reply(), Reply::ok());
        assert_eq!(client.reply().error(), format!("ERR Protocol error: {text}"));
        assert!(client.is_closed());
    }
}

#[test]
fn quit_answers_what_came_before() {
    let mut client = shared().gateway.client();
    client.send(
        &[request("SET basics:quit 1"), request("GET basics:quit"), request("QUIT")].concat(),
    );
    assert_eq!(client.reply(), Reply::ok());
    assert_eq!(client.reply(), Reply::bulk("1"));
    assert_eq!(client.reply(), Reply::ok());
    assert!(client.is_closed());
}

#[test]
fn a_client_that_sends_all_and_closes_its_side_gets_all_replies() {
    let (bytes, want) = mixed("basics:half", 200);
    let mut client = client();
    client.send(&bytes);
    client.end_sending();
    for want in want {
        assert_eq!(client.reply(), want);
    }
    assert!(client.is_closed());
}

#[test]
fn the_slow_log_is_one_of_all_nodes() {
    let mut client = client();
    assert_eq!(client.line("CONFIG SET slowlog-log-slower-than 0"), Reply::ok());
    assert_eq!(client.line("SLOWLOG RESET"), Reply::ok());
    for n in 0..40 {
        assert_eq!(client.line(&format!("SET basics:slow:{n} 1")), Reply::ok());
    }
    for (line, count) in [("SLOWLOG GET", 10), ("SLOWLOG GET 3", 3), ("slowlog get 25", 25)] {
        let entries = client.line(line);
        let times: Vec<i64> = entries.items().iter().map(|entry| entry.items()[1].int()).collect();
        assert_eq!(times.len(), count, "{line}");
        assert!(times.is_sorted_by(|earlier, later| earlier >= later), "{line}: {times:?}");
    }
    assert!(client.line("SLOWLOG GET -1").items().len() >= 40);
    assert!(client.line("SLOWLOG GET -2").error().contains("greater than or equal to -1"));
    assert_eq!(client.line("CONFIG SET slowlog-log-slower-than 10000"), Reply::ok());
}
