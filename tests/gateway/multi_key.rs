//! Commands with several keys, which a cluster alone would not take.

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::site::{client, shared};

const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}:{n}")).collect()
}

fn with<'a>(command: &'a str, keys: &'a [String]) -> Vec<&'a str> {
    [command].into_iter().chain(keys.iter().map(String::as_str)).collect()
}

#[test]
fn ten_thousand_keys_at_once() {
    let mut client = client();
    let keys = numbered("multi:many", 10_000);
    let mut set = vec!["MSET"];
    keys.iter().for_each(|key| set.extend([key.as_str(), key.as_str()]));
    assert_eq!(client.ask(&set), Reply::ok());
    let want = Reply::Array(keys.iter().map(Reply::bulk).collect());
    assert_eq!(client.ask(&with("MGET", &keys)), want);
    for command in ["EXISTS", "TOUCH"] {
        assert_eq!(client.ask(&with(command, &keys)), Reply::Int(10_000));
    }
    assert_eq!(client.ask(&with("DEL", &keys[..5_000])), Reply::Int(5_000));
    assert_eq!(client.ask(&with("UNLINK", &keys)), Reply::Int(5_000));
    assert_eq!(client.ask(&with("EXISTS", &keys)), Reply::Int(0));
}

/// More arguments than a Redis before 7 took: what is limited is the bytes of a request.
#[test]
fn more_than_a_million_arguments_at_once() {
    let mut client = client();
    let members = numbered("m", 1_100_000);
    let add = ["SADD", "multi:wide"].into_iter().chain(members.iter().map(String::as_str));
    assert_eq!(client.ask(&add.collect::<Vec<_>>()), Reply::Int(1_100_000));
    assert_eq!(client.line("UNLINK multi:wide"), Reply::Int(1));
    let keys = numbered("multi:wide", 600_000);
    let pairs = keys.iter().flat_map(|key| [key.as_str(), "x"]);
    let set = ["MSET"].into_iter().chain(pairs).collect::<Vec<_>>();
    assert_eq!(client.ask(&set), Reply::ok());
    // Each of them twice but for some, so 1,100,000 in all.
    let twice = [&keys[..], &keys[..500_000]].concat();
    assert_eq!(client.ask(&with("DEL", &twice)), Reply::Int(600_000));
}

#[test]
fn a_key_may_be_named_twice() {
    let mut client = client();
    let set = "MSET multi:a 1 multi:b 2 multi:a 3 multi:c 4 multi:b 5";
    assert_eq!(client.line(set), Reply::ok());
    let get = client.line("MGET multi:a multi:b multi:c multi:a multi:none multi:c multi:a");
    let [a, b, c] = ["3", "5", "4"].map(Reply::bulk);
    assert_eq!(get, Reply::Array(vec![a.clone(), b, c.clone(), a.clone(), Reply::Null, c, a]));
    assert_eq!(client.line("EXISTS multi:a multi:b multi:a multi:none multi:a"), Reply::Int(4));
    assert_eq!(client.line("TOUCH multi:a multi:a multi:b"), Reply::Int(3));
    assert_eq!(client.line("DEL multi:a multi:b multi:a multi:a"), Reply::Int(2));
    assert_eq!(client.line("UNLINK multi:c multi:c multi:b"), Reply::Int(1));
}

#[test]
fn values_of_another_type_are_null_to_mget() {
    let mut client = client();
    client.line("RPUSH multi:list x");
    client.line("SET multi:text x");
    let get = client.line("MGET multi:list multi:text multi:list");
    assert_eq!(get, Reply::Array(vec![Reply::Null, Reply::bulk("x"), Reply::Null]));
}

#[test]
fn a_wrong_number_of_arguments_changes_nothing() {
    let mut client = client();
    client.line("DEL multi:odd:a multi:odd:b");
    let text = "ERR wrong number of arguments for 'mset' command";
    for line in ["MSET multi:odd:a 1 multi:odd:b", "MSET multi:odd:a", "MSET"] {
        assert_eq!(client.line(line).error(), text);
    }
    let text = "ERR wrong number of arguments for 'msetnx' command";
    assert_eq!(client.line("MSETNX {multi:odd}a 1 {multi:odd}b").error(), text);
    for command in ["MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"] {
        let name = command.to_lowercase();
        let text = format!("ERR wrong number of arguments for '{name}' command");
        assert_eq!(client.line(command).error(), text);
    }
    assert_eq!(client.line("EXISTS multi:odd:a multi:odd:b"), Reply::Int(0));
}

/// What would not be exact in parts is refused, and nothing of it is done.
fn assert_refused(client: &mut Client) {
    for line in [
        "MSETNX multi:x 1 multi:y 2",
        "RENAME multi:x multi:y",
        "RENAMENX multi:x multi:y",
        "COPY multi:x multi:y",
        "SINTER multi:x multi:y",
        "SINTERCARD 2 multi:x multi:y",
        "SUNIONSTORE multi:x multi:y multi:z",
        "SMOVE multi:x multi:y m",
        "ZUNIONSTORE multi:x 2 multi:y multi:z",
        "ZINTER 2 multi:x multi:y",
        "PFCOUNT multi:x multi:y",
        "PFMERGE multi:x multi:y",
        "BITOP AND multi:x multi:y multi:z",
        "LMOVE multi:x multi:y LEFT RIGHT",
        "RPOPLPUSH multi:x multi:y",
        "LMPOP 2 multi:x multi:y LEFT",
        "ZMPOP 2 multi:x multi:y MIN",
        "LCS multi:x multi:y",
        "SORT multi:x STORE multi:y",
        "GEOSEARCHSTORE multi:x multi:y FROMLONLAT 1 1 BYRADIUS 1 km",
        "XREAD COUNT 1 STREAMS multi:x multi:y 0 0",
        "EVAL return 2 multi:x multi:y",
    ] {
        assert!(client.line(line).error().starts_with(CROSSSLOT), "{line}");
    }
    assert_eq!(client.line("EXISTS multi:x"), Reply::Int(0));
    assert_eq!(client.line("EXISTS multi:y"), Reply::Int(0));
}

#[test]
fn what_cannot_be_split_is_refused() {
    let mut client = client();
    assert_refused(&mut client);
    assert_eq!(client.line("MSETNX {multi:nx}a 1 {multi:nx}b 2"), Reply::Int(1));
    assert_eq!(client.line("MSETNX {multi:nx}c 1 {multi:nx}b 2"), Reply::Int(0));
    assert_eq!(client.line("EXISTS {multi:nx}c"), Reply::Int(0));
}

#[test]
fn splitting_may_be_switched_off() {
    let gateway = shared().cluster.gateway(&[("SLOTWAY_ROUTING_CROSS_SLOT", "refuse")]);
    let mut client = gateway.client();
    assert_refused(&mut client);
    for line in ["MGET a b", "MSET a 1 b 2", "DEL a b", "UNLINK a b", "EXISTS a b", "TOUCH a b"] {
        assert!(client.line(line).error().starts_with(CROSSSLOT), "{line}");
    }
    assert_eq!(client.line("MSET {multi:off}a 1 {multi:off}b 2"), Reply::ok());
    assert_eq!(client.line("DEL {multi:off}a {multi:off}b {multi:off}a"), Reply::Int(2));
}
