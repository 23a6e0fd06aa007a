//! RESP2 and RESP3, side by side and one after the other.

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::client;

fn resp3() -> Client {
    let mut client = client();
    let Reply::Map(fields) = client.line("HELLO 3") else { panic!("a map") };
    let field = |name: &str| fields.iter().find(|(key, _)| *key == Reply::bulk(name)).unwrap();
    assert_eq!(field("server").1, Reply::bulk("redis"));
    assert_eq!(field("proto").1, Reply::Int(3));
    assert_eq!(field("mode").1, Reply::bulk("standalone"));
    assert_eq!(field("role").1, Reply::bulk("master"));
    client
}

fn fill(client: &mut Client, name: &str) {
    assert_eq!(client.line(&format!("HSET {name}:hash f v")), Reply::Int(1));
    assert_eq!(client.line(&format!("SADD {name}:set m")), Reply::Int(1));
    assert_eq!(client.line(&format!("ZADD {name}:zset 1.5 m")), Reply::Int(1));
}

fn assert_resp3(client: &mut Client, name: &str) {
    let bulk = Reply::bulk;
    let hash = client.line(&format!("HGETALL {name}:hash"));
    assert_eq!(hash, Reply::Map(vec![(bulk("f"), bulk("v"))]));
    assert_eq!(client.line(&format!("SMEMBERS {name}:set")), Reply::Set(vec![bulk("m")]));
    assert_eq!(client.line(&format!("ZSCORE {name}:zset m")), Reply::Double(1.5));
    let scores = Reply::Array(vec![Reply::Array(vec![bulk("m"), Reply::Double(1.5)])]);
    assert_eq!(client.line(&format!("ZRANGE {name}:zset 0 -1 WITHSCORES")), scores);
    client.send(&request(&format!("GET {name}:none")));
    assert_eq!(client.reply_and_bytes().1, b"_\r\n");
    client.send(&request(&format!("MGET {name}:none {name}:nor")));
    assert_eq!(client.reply_and_bytes().1, b"*2\r\n_\r\n_\r\n");
}

fn assert_resp2(client: &mut Client, name: &str) {
    let bulk = Reply::bulk;
    let hash = client.line(&format!("HGETALL {name}:hash"));
    assert_eq!(hash, Reply::Array(vec![bulk("f"), bulk("v")]));
    assert_eq!(client.line(&format!("SMEMBERS {name}:set")), Reply::Array(vec![bulk("m")]));
    assert_eq!(client.line(&format!("ZSCORE {name}:zset m")), bulk("1.5"));
    client.send(&request(&format!("GET {name}:none")));
    assert_eq!(client.reply_and_bytes().1, b"$-1\r\n");
    client.send(&request(&format!("MGET {name}:none {name}:nor")));
    assert_eq!(client.reply_and_bytes().1, b"*2\r\n$-1\r\n$-1\r\n");
}

#[test]
fn a_client_may_change_its_protocol_and_back() {
    let mut client = resp3();
    fill(&mut client, "protocol:change");
    for _ in 0..3 {
        assert_resp3(&mut client, "protocol:change");
        assert!(matches!(client.line("HELLO 2"), Reply::Array(_)));
        assert_resp2(&mut client, "protocol:change");
        assert!(matches!(client.line("HELLO 3"), Reply::Map(_)));
    }
    assert_eq!(client.line("RESET"), Reply::Simple("RESET".to_owned()));
    assert_resp2(&mut client, "protocol:change");
}

#[test]
fn clients_of_both_protocols_share_keys() {
    let (mut two, mut three) = (client(), resp3());
    fill(&mut two, "protocol:shared");
    for _ in 0..100 {
        assert_resp2(&mut two, "protocol:shared");
        assert_resp3(&mut three, "protocol:shared");
    }
}

/// Requests before a HELLO are answered in the protocol before it, those behind it in the new one,
/// and all run in their order though the two travel on different connections.
#[test]
fn a_change_within_a_pipeline_keeps_the_order() {
    let mut client = client();
    let (mut bytes, mut want) = (Vec::new(), Vec::new());
    client.line("DEL protocol:order");
    for n in 1..=200 {
        let version = ["2", "3"][n % 2];
        put(&mut bytes, &["HELLO", version]);
        want.push(None);
        put(&mut bytes, &["INCR", "protocol:order"]);
        want.push(Some(format!(":{n}\r\n")));
        put(&mut bytes, &["GET", "protocol:order:none"]);
        want.push(Some(["$-1\r\n", "_\r\n"][n % 2].to_owned()));
    }
    for (at, (_, raw)) in client.exchange(&bytes, want.len()).into_iter().enumerate() {
        let Some(want) = &want[at] else { continue };
        assert_eq!(String::from_utf8_lossy(&raw), *want, "reply {at}");
    }
}

#[test]
fn verbatim_texts_and_other_kinds_pass_through() {
    let mut client = resp3();
    let Reply::Verbatim(kind, text) = client.line("LOLWUT") else { panic!("a verbatim text") };
    assert_eq!(kind, "txt");
    assert!(text.contains("Redis ver."), "{text}");
    assert!(matches!(client.line("INFO server"), Reply::Verbatim(kind, _) if kind == "txt"));
    let script = "redis.setresp(3); return {true, false, {double=0.5}, {map={a=1}}, \
                  {big_number='123'}, {set={x=true}}}";
    let want = Reply::Array(vec![
        Reply::Bool(true),
        Reply::Bool(false),
        Reply::Double(0.5),
        Reply::Map(vec![(Reply::bulk("a"), Reply::Int(1))]),
        Reply::Big("123".to_owned()),
        Reply::Set(vec![Reply::bulk("x")]),
    ]);
    assert_eq!(client.ask(&["EVAL", script, "1", "protocol:kinds"]), want);
}

#[test]
fn an_unknown_version_changes_nothing() {
    let mut client = client();
    assert_eq!(client.line("HELLO 4").error(), "NOPROTO unsupported protocol version");
    let text = "ERR Protocol version is not an integer or out of range";
    assert_eq!(client.line("HELLO x").error(), text);
    assert!(matches!(client.line("HELLO"), Reply::Array(_)));
    client.assert_in_step();
}
