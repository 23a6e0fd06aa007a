//! Commands over all keys: counted, listed, scanned and flushed as if there were one server.

use std::collections::BTreeSet;

use crate::support::client::{Client, put};
use crate::support::reply::Reply;
use crate::support::site::{Site, alone};
use crate::support::until;

const KEYS: usize = 20_000;

fn fill(client: &mut Client) -> BTreeSet<String> {
    let (mut bytes, mut keys) = (Vec::new(), BTreeSet::new());
    for n in 0..KEYS {
        let key = format!("key:{n}");
        match n % 4 {
            0 => put(&mut bytes, &["RPUSH", &key, "x"]),
            1 => put(&mut bytes, &["HSET", &key, "f", "x"]),
            _ => put(&mut bytes, &["SET", &key, "x"]),
        }
        keys.insert(key);
    }
    let replies = client.exchange(&bytes, KEYS);
    assert!(replies.iter().all(|(reply, _)| !matches!(reply, Reply::Error(_))));
    keys
}

/// Scans to the end; keys may come twice.
fn scan(client: &mut Client, options: &str) -> (BTreeSet<String>, usize) {
    let (mut keys, mut pages, mut cursor) = (BTreeSet::new(), 0, "0".to_owned());
    loop {
        let reply = client.line(format!("SCAN {cursor} {options}").trim());
        let [next, page] = reply.items() else { panic!("{reply:?}") };
        keys.extend(page.texts());
        pages += 1;
        cursor = next.text();
        let number: i64 = cursor.parse().expect("a cursor that clients can read");
        assert!(number >= 0 && number.to_string() == cursor, "{cursor}");
        assert!(pages < KEYS, "it has no end");
        if cursor == "0" {
            return (keys, pages);
        }
    }
}

#[test]
fn all_keys_are_seen_and_none_else() {
    let site = alone();
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    assert_eq!(client.line("DBSIZE"), Reply::Int(KEYS as i64));
    let listed = client.line("KEYS *");
    assert_eq!(listed.items().len(), KEYS);
    assert_eq!(listed.texts().into_iter().collect::<BTreeSet<_>>(), keys);
    let some: BTreeSet<_> = client.line("KEYS key:777?").texts().into_iter().collect();
    assert_eq!(some, (7770..7780).map(|n| format!("key:{n}")).collect());

    let of_nodes: Vec<i64> = (0..3).map(|n| site.cluster.node(n).line("DBSIZE").int()).collect();
    assert!(of_nodes.iter().all(|&count| count > 0), "{of_nodes:?}");
    for (options, most_pages) in [("", KEYS), ("COUNT 1000", 100), ("COUNT 100000", 20)] {
        let (scanned, pages) = scan(&mut client, options);
        assert_eq!(scanned, keys, "{options:?}");
        assert!(pages <= most_pages, "{pages} pages with {options:?}");
    }
    let (scanned, _) = scan(&mut client, "MATCH key:1*9 COUNT 500");
    let matching = |key: &&String| key.starts_with("key:1") && key.ends_with('9');
    assert_eq!(scanned, keys.iter().filter(matching).cloned().collect());
    let (lists, _) = scan(&mut client, "COUNT 500 TYPE list");
    assert_eq!(lists, (0..KEYS).step_by(4).map(|n| format!("key:{n}")).collect());
    assert_eq!(scan(&mut client, "MATCH none* COUNT 5000").0, BTreeSet::new());
}

#[test]
fn a_scan_is_as_good_in_resp3_and_by_another_client() {
    let site = alone();
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    client.line("HELLO 3");
    assert_eq!(scan(&mut client, "COUNT 777").0, keys);
    // Each page by a client of its own, so that no connection remembers anything.
    let (mut seen, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let reply = site.gateway.client().line(&format!("SCAN {cursor} COUNT 2000"));
        seen.extend(reply.items()[1].texts());
        cursor = reply.items()[0].text();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, keys);
}

#[test]
fn keys_that_stay_are_found_while_others_come_and_go() {
    let site = alone();
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    let mut other = site.gateway.client();
    let (mut seen, mut cursor, mut n) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = client.line(&format!("SCAN {cursor} COUNT 100"));
        seen.extend(reply.items()[1].texts());
        cursor = reply.items()[0].text();
        for _ in 0..20 {
            n += 1;
            other.line(&format!("SET passing:{n} x"));
            other.line(&format!("DEL passing:{}", n - 10));
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(keys.is_subset(&seen), "{} keys are missing", keys.difference(&seen).count());
    assert!(seen.difference(&keys).all(|key| key.starts_with("passing:")));
}

#[test]
fn a_cursor_that_is_none() {
    let site = alone();
    let mut client = site.gateway.client();
    for cursor in ["x", "-1", "1.5", "18446744073709551616", "1x"] {
        let reply = client.line(&format!("SCAN {cursor}"));
        assert_eq!(reply.error(), "ERR invalid cursor", "{cursor}");
    }
    assert_eq!(client.ask(&["SCAN", ""]).error(), "ERR invalid cursor");
    assert_eq!(client.line("SCAN 0 COUNT 0").error(), "ERR syntax error");
    assert_eq!(
        client.line("SCAN 0 COUNT x").error(),
        "ERR value is not an integer or out of range"
    );
    assert_eq!(client.line("SCAN 0 NOSUCH").error(), "ERR syntax error");
    assert_eq!(client.line("SCAN").error(), "ERR wrong number of arguments for 'scan' command");
    // A number nobody has given out is a beginning, as good as any.
    assert!(matches!(client.line("SCAN 9223372036854775807"), Reply::Array(_)));
    client.assert_in_step();
}

#[test]
fn flushing_reaches_every_shard() {
    let site = alone();
    let mut client = site.gateway.client();
    for command in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "FLUSHDB SYNC"] {
        for n in 0..100 {
            client.line(&format!("SET flush:{n} x"));
        }
        assert_eq!(client.line("DBSIZE"), Reply::Int(100));
        assert_eq!(client.line(command), Reply::ok());
        assert_eq!(client.line("DBSIZE"), Reply::Int(0), "{command}");
        assert_eq!(client.line("KEYS *"), Reply::Array(Vec::new()));
        assert_eq!(scan(&mut client, "").0, BTreeSet::new());
    }
    assert_eq!(client.line("FLUSHALL NOW").error(), "ERR syntax error");
}

/// FLUSHALL among the requests of one write: what comes before it is gone, what comes after stays.
#[test]
fn flushing_keeps_its_place_in_a_pipeline() {
    let site = alone();
    let mut client = site.gateway.client();
    let (mut bytes, mut want) = (Vec::new(), Vec::new());
    for round in 0..50 {
        for n in 0..10 {
            put(&mut bytes, &["SET", &format!("flush:{round}:{n}"), "x"]);
            want.push(Reply::ok());
        }
        put(&mut bytes, &["DBSIZE"]);
        put(&mut bytes, &["FLUSHALL"]);
        put(&mut bytes, &["DBSIZE"]);
        want.extend([Reply::Int(10), Reply::ok(), Reply::Int(0)]);
    }
    for (at, (got, _)) in client.exchange(&bytes, want.len()).into_iter().enumerate() {
        assert_eq!(got, want[at], "reply {at}");
    }
}

#[test]
fn a_random_key_is_one_of_the_keys_and_any_shard_is_drawn() {
    let site = alone();
    let mut client = site.gateway.client();
    assert_eq!(client.line("RANDOMKEY"), Reply::Null);
    // One key: two shards of three are empty.
    client.line("SET random:0 x");
    for _ in 0..50 {
        assert_eq!(client.line("RANDOMKEY"), Reply::bulk("random:0"));
    }
    for n in 0..30 {
        client.line(&format!("SET random:{n} x"));
    }
    let mut drawn = BTreeSet::new();
    // That a key stays undrawn for so long is less likely than a broken machine.
    for _ in 0..100_000 {
        drawn.insert(client.line("RANDOMKEY").text());
        if drawn.len() == 30 {
            break;
        }
    }
    assert_eq!(drawn, (0..30).map(|n| format!("random:{n}")).collect());
}

#[test]
fn expired_keys_are_gone_everywhere() {
    let site = alone();
    let mut client = site.gateway.client();
    for n in 0..100 {
        client.line(&format!("SET expire:{n} x PX 1"));
    }
    crate::support::until("they expire", || client.line("DBSIZE") == Reply::Int(0));
    assert_eq!(client.line("KEYS *"), Reply::Array(Vec::new()));
}

/// Every master saves what it has, and the oldest snapshot says since when all is saved.
#[test]
fn all_masters_save() {
    let site = Site::start(3, &[]);
    let mut client = site.gateway.client();
    let last = |n: usize| site.cluster.node(n).line("LASTSAVE").int();
    assert_eq!(client.line("LASTSAVE").int(), (0..3).map(last).min().unwrap());
    let saves = |n: usize| {
        let info = site.cluster.node(n).line("INFO persistence").text();
        info.contains("rdb_saves:1") || info.contains("rdb_bgsave_in_progress:1")
    };
    assert_eq!(client.line("BGSAVE"), Reply::Simple("Background saving started".into()));
    until("every master saves", || (0..3).all(saves));
}
