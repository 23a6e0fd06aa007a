//! Client-side caching: who is told that a key has changed, when, and that nothing stale survives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::client::{Client, put, request};
use crate::support::inside::{Inside, Over};
use crate::support::reply::Reply;
use crate::support::site::{Site, client, shared};
use crate::support::until;
use testkit::server::RedisServer;

/// What a lone server says, byte for byte. Each step is a client and its request, which has one reply;
/// `A < 2` reads two frames more of that client. `$R` is the number of client R.
const AS_A_SERVER: &[&str] = &[
    "A HELLO 3|A CLIENT TRACKING ON|A GET {t}k|W SET {t}k 1|A < 1|W SET {t}k 2|A GET {t}k|A SET {t}k 3|\
     A < 1|A MGET {t}1 {t}2|W MSET {t}1 x {t}2 y|A < 2|A GET {t}k|A CLIENT TRACKING OFF|W SET {t}k 9",
    "A HELLO 3|A CLIENT TRACKING ON NOLOOP|A GET {t}k|A SET {t}k 3|A GET {t}k|W SET {t}k 4|A < 1",
    "A HELLO 3|A CLIENT TRACKING ON OPTIN|A GET {t}k|W SET {t}k 1|A CLIENT CACHING YES|\
     A CLIENT TRACKINGINFO|A GET {t}k|A CLIENT TRACKINGINFO|A GET {t}z|W SET {t}z 1|W SET {t}k 1|A < 1|\
     A CLIENT CACHING YES|A PING|A GET {t}k|W SET {t}k 1|A CLIENT CACHING YES|A MULTI|A GET {t}k|\
     A GET {t}2|A EXEC|W SET {t}k 1|A < 1|W SET {t}2 1|A < 1|A MULTI|A CLIENT CACHING YES|A GET {t}k|\
     A EXEC|W SET {t}k 3|A < 1|A CLIENT CACHING NO|A CLIENT CACHING x",
    "A HELLO 3|A CLIENT TRACKING ON OPTOUT|A GET {t}k|W SET {t}k 1|A < 1|A CLIENT CACHING NO|A GET {t}k|\
     W SET {t}k 1|A GET {t}k|W SET {t}k 2|A < 1|A CLIENT TRACKINGINFO|A CLIENT CACHING YES",
    "A HELLO 3|A CLIENT TRACKING ON BCAST PREFIX {t}ab PREFIX {t}x|W SET {t}abc 1|A < 1|W SET {t}z 1|\
     W SET {t}xa 1|A < 1|W DEL {t}xa|A < 1|A SET {t}ab 1|A < 1|A CLIENT TRACKINGINFO|\
     A CLIENT TRACKING ON BCAST PREFIX {t}abc|A CLIENT TRACKING ON OPTIN",
    "A HELLO 3|A CLIENT TRACKING ON|A GET {t}k|A EVAL return{redis.call('get',KEYS[1])} 1 {t}1|\
     W SET {t}1 1|A < 1|A EVAL return{redis.call('set',KEYS[1],1)} 1 {t}k|A < 1",
    "A HELLO 3|A CLIENT TRACKING ON|A GET {t}k|A RESET|W SET {t}k 2|A CLIENT TRACKINGINFO|A CLIENT GETREDIR",
    "A CLIENT TRACKING ON|A GET {t}k|W SET {t}k 2|A CLIENT TRACKINGINFO|A CLIENT GETREDIR|\
     A CLIENT TRACKING OFF|A CLIENT GETREDIR",
    "A HELLO 3|A CLIENT TRACKING ON|A MULTI|A SET {t}k 1|A GET {t}k|A GET {t}9|A EXEC|W SET {t}9 1|A < 1",
    "A HELLO 3|A CLIENT TRACKING ON|A GET {t}ttl|W SET {t}ttl 1 PX 20|A < 1|A GET {t}ttl|A < 1",
    "R SUBSCRIBE __redis__:invalidate|A CLIENT TRACKING ON REDIRECT $R|A GET {t}k|A GET {t}j|\
     W SET {t}k 1|R < 1|W SET {t}j 1|R < 1|A CLIENT GETREDIR|A CLIENT TRACKINGINFO|A HGETALL {t}h|\
     A SET {t}k 5|A GET {t}k|A SET {t}k 6|R < 1",
    "R HELLO 3|A CLIENT TRACKING ON REDIRECT $R|A GET {t}k|W SET {t}k 1|R < 1",
    "R HELLO 3|A HELLO 3|A CLIENT TRACKING ON REDIRECT $R|A GET {t}k|W SET {t}k 1|R < 1|A GET {t}k|\
     A GET {t}j|R QUIT|W SET {t}k 1|A < 1|A CLIENT TRACKINGINFO|W SET {t}j 1|A < 1|A CLIENT GETREDIR",
    "R SUBSCRIBE __redis__:invalidate|A CLIENT TRACKING ON REDIRECT $R|A GET {t}k|A HELLO 3|W SET {t}k 1|\
     R < 1|A GET {t}k|A HELLO 2|A GET {t}j|A HELLO 3|W SET {t}j 1|R < 1|W SET {t}k 2|R < 1",
    "R SUBSCRIBE __redis__:invalidate|A CLIENT TRACKING ON BCAST PREFIX {t}a REDIRECT $R|W SET {t}a1 1|R < 1|\
     A CLIENT TRACKING ON BCAST PREFIX {t}b REDIRECT $R|W SET {t}b1 1|R < 1|W SET {t}a2 1|R < 1|A HELLO 3|\
     A PING|W SET {t}b2 1|R < 1",
    "A HELLO 3|A CLIENT TRACKING ON|A GET {t}k|A CLIENT TRACKING ON NOLOOP|A GET {t}j|W SET {t}k 1|A < 1|\
     A SET {t}j 1|W SET {t}j 2",
    "A CLIENT TRACKING ON NOLOOP|A HELLO 3|A GET {t}k|W SET {t}k 2|A < 1",
    "R SUBSCRIBE x|A HELLO 3|A CLIENT TRACKING ON REDIRECT $R|A GET {t}k|W SET {t}k 1|R < 1",
    "A CLIENT TRACKING maybe|A CLIENT TRACKING ON REDIRECT 99999999|A CLIENT TRACKING ON PREFIX a|\
     A CLIENT TRACKING ON BCAST OPTIN|A CLIENT TRACKING ON OPTIN OPTOUT|A CLIENT CACHING YES|\
     A CLIENT TRACKING OFF|A CLIENT TRACKING ON BCAST PREFIX a PREFIX ab|A CLIENT TRACKING",
];

fn said(connect: impl Fn() -> Client, script: &str, tag: &str) -> Vec<String> {
    let mut clients: HashMap<&str, (Client, i64)> = HashMap::new();
    let mut all = Vec::new();
    for step in script.split('|') {
        let (who, line) = step.trim().split_once(' ').unwrap();
        let mut line = line.replace("{t}", tag);
        let known = clients.iter().map(|(name, (_, id))| (*name, *id)).collect::<Vec<_>>();
        for (name, id) in &known {
            line = line.replace(&format!("${name}"), &id.to_string());
        }
        let (client, _) = clients.entry(who).or_insert_with(|| {
            let mut client = connect();
            let id = client.line("CLIENT ID").int();
            (client, id)
        });
        let replies = match line.strip_prefix("< ") {
            Some(count) => (0..count.parse().unwrap()).map(|_| client.reply()).collect(),
            None => vec![client.line(&line)],
        };
        for reply in replies.iter().filter(|_| !line.starts_with("HELLO")) {
            let mut text = format!("{step}: {reply:?}");
            for (name, id) in &known {
                text = text.replace(&format!("Int({id})"), &format!("Int({name})"));
            }
            all.push(text);
        }
        if line == "QUIT" {
            assert!(client.is_closed());
        }
    }
    clients.remove("R");
    clients.values_mut().for_each(|(client, _)| client.assert_in_step());
    all
}

#[test]
fn a_client_that_caches_is_told_what_a_lone_server_tells() {
    let lone = RedisServer::start(&[]);
    for (nth, script) in AS_A_SERVER.iter().enumerate() {
        let tag = format!("{{tracking{nth}}}");
        let of_a_server = said(|| Client::connect(lone.address()), script, &tag);
        assert_eq!(said(client, script, &tag), of_a_server, "{script}");
    }
}

fn caching(site: &Site) -> Client {
    let mut client = site.gateway.client();
    client.line("HELLO 3");
    assert_eq!(client.line("CLIENT TRACKING ON"), Reply::ok());
    client
}

fn invalidates(key: &str) -> Reply {
    Reply::Push(vec![Reply::bulk("invalidate"), Reply::Array(vec![Reply::bulk(key)])])
}

fn flush() -> Reply {
    Reply::Push(vec![Reply::bulk("invalidate"), Reply::Null])
}

/// The connections of clients that track, as a node lists them, and those that they redirect to.
pub(crate) fn tracked(node: &mut Client) -> Vec<String> {
    let listed = node.line("CLIENT LIST").text();
    let field = |line: &str, name: &str| {
        let word = line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
        word.to_owned()
    };
    let tracks = |line: &&str| field(line, "flags=").contains('t');
    let ids = |line: &str| {
        let redirect =
            Some(field(line, "redir=")).filter(|id| id.parse::<u64>().is_ok_and(|id| id > 0));
        [Some(field(line, "id=")), redirect]
    };
    listed.lines().filter(tracks).flat_map(ids).flatten().collect()
}

#[test]
fn whatever_was_read_last_is_told_once_more() {
    let site = shared();
    let (mut caching, mut writer) = (caching(site), site.gateway.client());
    let mut requests = Vec::new();
    (0..300).for_each(|n| requests.extend(request(&format!("GET tracking:all:{n}"))));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            for n in (0..300).cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                writer.line(&format!("INCR tracking:all:{n}"));
            }
        });
        for _ in 0..20 {
            caching.send(&requests);
            let mut read = 0;
            while read < 300 {
                match caching.reply() {
                    Reply::Push(items) => assert_eq!(items[1].items().len(), 1),
                    _ => read += 1,
                }
            }
        }
    });
    // Those that are left have been read last, and each is told once more.
    let mut left: HashMap<String, String> = HashMap::new();
    for n in 0..300 {
        let key = format!("tracking:all:{n}");
        caching.send(&request(&format!("GET {key}")));
        let value = loop {
            match caching.reply() {
                Reply::Push(items) => drop(left.remove(&items[1].items()[0].text())),
                value => break value,
            }
        };
        left.insert(key, format!("{value:?}"));
    }
    let mut writer = site.gateway.client();
    (0..300).for_each(|n| drop(writer.line(&format!("SET tracking:all:{n} end"))));
    while !left.is_empty() {
        let Reply::Push(items) = caching.reply() else { panic!("nobody has asked") };
        left.remove(&items[1].items()[0].text());
    }
}

#[test]
fn a_lost_connection_flushes_and_tracking_goes_on() {
    for protocol in [3, 2] {
        let site = Site::start(3, &[]);
        let mut target = site.gateway.client();
        let mut caching = site.gateway.client();
        let id = target.line("CLIENT ID").int();
        target.line("SUBSCRIBE __redis__:invalidate");
        caching.line(&format!("HELLO {protocol}"));
        caching.line(&format!("CLIENT TRACKING ON REDIRECT {id}"));
        caching.line("SET lost:k 1");
        caching.line("GET lost:k");
        let killed = (0..3).find_map(|n| {
            let mut node = site.cluster.node(n);
            let ids = tracked(&mut node);
            // In RESP2 there is a second connection: losing that one is the same.
            let id = ids.last()?;
            assert_eq!(ids.len(), 4 - protocol as usize);
            Some(node.line(&format!("CLIENT KILL ID {id}")))
        });
        assert_eq!(killed, Some(Reply::Int(1)));
        let message = |what| {
            Reply::Array(vec![Reply::bulk("message"), Reply::bulk("__redis__:invalidate"), what])
        };
        assert_eq!(target.reply(), message(Reply::Null));
        assert_eq!(caching.line("GET lost:k"), Reply::bulk("1"));
        site.gateway.client().line("SET lost:k 2");
        assert_eq!(target.reply(), message(Reply::Array(vec![Reply::bulk("lost:k")])));
    }
}

#[test]
fn broadcasts_come_from_masters_that_nobody_has_asked_anything_and_again_after_a_loss() {
    let site = Site::start(3, &[]);
    let mut caching = site.gateway.client();
    caching.line("HELLO 3");
    assert_eq!(caching.line("CLIENT TRACKING ON BCAST PREFIX bc:"), Reply::ok());
    let mut writer = site.gateway.client();
    for n in 0..50 {
        writer.line(&format!("SET bc:{n} 1"));
        assert_eq!(caching.reply(), invalidates(&format!("bc:{n}")));
    }
    for n in 0..3 {
        let mut node = site.cluster.node(n);
        let ids = tracked(&mut node);
        assert_eq!(ids.len(), 1);
        assert_eq!(node.line(&format!("CLIENT KILL ID {}", ids[0])), Reply::Int(1));
        // When it is lost, and when it is there again: others may have read and written meanwhile.
        assert_eq!([caching.reply(), caching.reply()], [flush(), flush()]);
    }
    for n in 0..50 {
        writer.line(&format!("SET bc:{n} 2"));
        assert_eq!(caching.reply(), invalidates(&format!("bc:{n}")));
    }
    caching.line("CLIENT TRACKING OFF");
    until("the nodes have closed the connections", || {
        (0..3).all(|n| tracked(&mut site.cluster.node(n)).is_empty())
    });
}

#[test]
fn all_keys_are_flushed_with_the_whole_keyspace() {
    let site = Site::start(3, &[]);
    let (mut caching, mut writer) = (caching(&site), site.gateway.client());
    for n in 0..20 {
        caching.line(&format!("GET all:{n}"));
    }
    writer.line("FLUSHALL");
    assert_eq!(caching.reply(), flush());
    caching.line("GET all:1");
    writer.line("SET all:1 x");
    // A node may have had more to say; nothing was read of it meanwhile.
    while caching.reply() != invalidates("all:1") {}
    caching.assert_in_step();
}

#[test]
fn messages_go_to_a_client_of_another_worker() {
    let inside = Inside::start(shared().cluster.nodes[0], 0);
    inside.gateway.assigner.set_in_use(3);
    let mut clients: Vec<Client> = (0..6).map(|_| inside.client()).collect();
    until("they are spread", || inside.are_spread(6));
    let ids: Vec<i64> = clients.iter_mut().map(|client| client.line("CLIENT ID").int()).collect();
    for client in &mut clients {
        client.line("HELLO 3");
    }
    // Each to the next.
    for (n, client) in clients.iter_mut().enumerate() {
        let target = ids[(n + 1) % ids.len()];
        assert_eq!(client.line(&format!("CLIENT TRACKING ON REDIRECT {target}")), Reply::ok());
        client.line(&format!("GET workers:{n}"));
    }
    let mut writer = inside.client();
    for n in 0..6 {
        writer.line(&format!("SET workers:{n} x"));
        assert_eq!(clients[(n + 1) % 6].reply(), invalidates(&format!("workers:{n}")));
    }
    // A client that tracks stays where it is.
    inside.gateway.assigner.set_in_use(1);
    for (n, client) in clients.iter_mut().enumerate() {
        client.line(&format!("GET workers:{n}"));
    }
    for n in 0..6 {
        writer.line(&format!("SET workers:{n} y"));
        assert_eq!(clients[(n + 1) % 6].reply(), invalidates(&format!("workers:{n}")));
    }
}

#[test]
fn what_is_read_where_nothing_is_tracked_is_not_kept() {
    let site = shared();
    let mut caching = caching(site);
    caching.line("SET unt:k 1");
    caching.line("WATCH unt:k");
    caching.line("MULTI");
    caching.line("GET unt:k");
    assert!(caching.line("CLIENT CACHING YES").error().contains("watches"));
    caching.line("DISCARD");
    caching.line("WATCH unt:k");
    caching.line("MULTI");
    caching.line("GET unt:k");
    assert_eq!(caching.line("EXEC"), Reply::Array(vec![Reply::bulk("1")]));
    assert_eq!(caching.reply(), flush());
    // One that only writes may keep what it has.
    caching.line("WATCH unt:k");
    caching.line("MULTI");
    caching.line("INCR unt:k");
    assert_eq!(caching.line("EXEC"), Reply::Array(vec![Reply::Int(2)]));
    caching.assert_in_step();
    // A wait does not keep back what others change.
    caching.line("GET unt:k");
    caching.send(&request("BLPOP unt:list 0"));
    let mut writer = site.gateway.client();
    let id = caching_id(&mut writer);
    until("it waits", || {
        let listed = writer.line(&format!("CLIENT LIST ID {id}")).text();
        listed.contains(" flags=bt ")
    });
    writer.line("SET unt:k 3");
    assert_eq!(caching.reply(), invalidates("unt:k"));
    writer.line("RPUSH unt:list x");
    assert_eq!(caching.reply(), Reply::Array(vec![Reply::bulk("unt:list"), Reply::bulk("x")]));
    caching.send(&request("XREAD BLOCK 0 STREAMS unt:stream $"));
    until("it waits", || {
        let listed = writer.line(&format!("CLIENT LIST ID {id}")).text();
        listed.contains(" flags=bt ")
    });
    writer.line("XADD unt:stream * a b");
    assert!(matches!(caching.reply(), Reply::Map(_)));
    assert_eq!(caching.reply(), flush());
    caching.assert_in_step();
}

#[test]
fn keys_of_other_databases_are_named_as_clients_know_them() {
    let site = shared();
    for options in ["ON", "ON BCAST PREFIX dbs:"] {
        let (mut caching, mut writer) = (site.gateway.client(), site.gateway.client());
        caching.line("HELLO 3");
        caching.line("SELECT 3");
        writer.line("SELECT 3");
        assert_eq!(caching.line(&format!("CLIENT TRACKING {options}")), Reply::ok());
        caching.line("GET dbs:k");
        writer.line("SET dbs:k 1");
        assert_eq!(caching.reply(), invalidates("dbs:k"));
        caching.line("EVAL return{redis.call('get',KEYS[1])} 1 dbs:k");
        writer.line("SET dbs:k 2");
        assert_eq!(caching.reply(), invalidates("dbs:k"));
        caching.assert_in_step();
    }
}

/// A batch of requests whose replies the gateway reads in different ways, and the keys that they read.
fn batch(tag: &str) -> Vec<u8> {
    let script = "return{redis.call('get',KEYS[1]),redis.call('strlen',KEYS[1])}";
    let mut bytes = Vec::new();
    put(&mut bytes, &["EVAL", script, "1", &format!("{tag}:a")]);
    for line in ["MULTI", "GET {t}:a", "GET {t}:b", "EXEC", "MGET {t}:a {t}:b", "GET {t}:large"] {
        bytes.extend(request(&line.replace("{t}", tag)));
    }
    bytes
}

#[test]
fn messages_come_between_the_replies_to_scripts_and_transactions() {
    let site = shared();
    let (tag, over) = ("{tracking:between}", AtomicBool::new(false));
    let mut caching = caching(site);
    caching.line(&format!("SET {tag}:large {}", "v".repeat(100_000)));
    caching.line(&format!("MSET {tag}:a 1 {tag}:b 1"));
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            let mut writer = site.gateway.client();
            while !over.load(Ordering::Relaxed) {
                writer.line(&format!("INCR {tag}:a"));
                writer.line(&format!("INCR {tag}:b"));
            }
        });
        let (mut messages, mut rounds) = (0, 0);
        while rounds < 200 || messages < 200 {
            rounds += 1;
            caching.send(&batch(tag).repeat(10));
            for nth in 0..70 {
                let reply = loop {
                    match caching.reply() {
                        Reply::Push(_) => messages += 1,
                        reply => break reply,
                    }
                };
                let is_right = match nth % 7 {
                    0 | 4 | 5 => reply.items().len() == 2,
                    1 => reply == Reply::ok(),
                    2 | 3 => reply == Reply::Simple("QUEUED".into()),
                    _ => matches!(&reply, Reply::Bulk(value) if value.len() == 100_000),
                };
                assert!(is_right, "{nth}: {reply:?}");
            }
        }
    });
}

#[test]
fn an_invalidation_comes_behind_the_reply_that_it_belongs_to() {
    let site = Site::start(3, &[]);
    let key_of = |node: usize| {
        let mut node = site.cluster.node(node);
        let mut is_here = |key: &String| node.line(&format!("GET {key}")) == Reply::Null;
        (0..).map(|n| format!("behind:{n}")).find(|key| is_here(key)).unwrap()
    };
    let (late, early) = (key_of(0), key_of(1));
    let (mut caching, mut writer) = (caching(&site), site.gateway.client());
    writer.line(&format!("SET {early} 1"));
    // The reply to the first request is held up, and with it that to the second.
    let (mut holds, mut tells) = (site.cluster.node(0), site.cluster.node(1));
    assert_eq!(holds.line("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    caching.send(&request(&format!("INCR {late}")));
    caching.send(&request(&format!("GET {early}")));
    let tracks = |node: &mut Client, keys: usize| {
        node.line("INFO stats").text().contains(&format!("tracking_total_keys:{keys}\r\n"))
    };
    until("it has been read", || tracks(&mut tells, 1));
    writer.line(&format!("SET {early} 2"));
    assert!(tracks(&mut tells, 0));
    (0..50).for_each(|_| writer.assert_in_step());
    assert_eq!(holds.line("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(caching.reply(), Reply::Int(1));
    assert_eq!(caching.reply(), Reply::bulk("1"));
    assert_eq!(caching.reply(), invalidates(&early));
}

#[test]
fn another_protocol_begins_anew() {
    let site = shared();
    let (mut caching, mut writer) = (site.gateway.client(), site.gateway.client());
    caching.line("CLIENT TRACKING ON");
    caching.line("GET proto:k");
    assert!(matches!(caching.line("HELLO 3"), Reply::Map(_)));
    assert_eq!(caching.reply(), flush());
    caching.line("GET proto:k");
    writer.line("SET proto:k 1");
    assert_eq!(caching.reply(), invalidates("proto:k"));
    caching.line("GET proto:k");
    assert!(matches!(caching.line("HELLO 2"), Reply::Array(_)));
    writer.line("SET proto:k 2");
    caching.assert_in_step();
    caching.line("RESET");
    caching.assert_in_step();
}

/// The number of the client that waits at the moment, or was the last to track.
fn caching_id(looker: &mut Client) -> String {
    let mut id = None;
    until("one that tracks waits", || {
        let listed = looker.line("CLIENT LIST").text();
        let line = listed.lines().find(|line| line.contains(" flags=bt ")).map(str::to_owned);
        id = line
            .and_then(|line| Some(line.split(' ').next()?.trim_start_matches("id=").to_owned()));
        id.is_some()
    });
    id.unwrap()
}

#[test]
fn clients_that_track_are_counted_listed_and_limited() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_TRACKING_CLIENTS_MAX", "2")]);
    let (mut one, mut two) = (caching(&site), site.gateway.client());
    let mut three = site.gateway.client();
    let id = one.line("CLIENT ID").int();
    assert_eq!(two.line(&format!("CLIENT TRACKING ON BCAST REDIRECT {id}")), Reply::ok());
    let refused = three.line("CLIENT TRACKING ON");
    assert!(refused.error().contains("tracking_clients_max"), "{refused:?}");
    assert_eq!(three.line("CLIENT GETREDIR").int(), -1);
    let listed = three.line("CLIENT LIST").text();
    assert!(listed.contains(" flags=t ") && listed.contains(" redir=0 "), "{listed}");
    assert!(listed.contains(" flags=tB ") && listed.contains(&format!(" redir={id} ")), "{listed}");
    assert!(three.line("INFO clients").text().contains("tracking_clients:2\r\n"));
    drop(one);
    until("its place is free", || three.line("CLIENT TRACKING ON") == Reply::ok());
    three.line("SET broken:k 1");
    until("the target is found missing", || {
        three.line("SET broken:k 1");
        three.line("CLIENT LIST").text().contains(" flags=tRB ")
    });
    let refused = {
        three.line("MULTI");
        three.line("CLIENT TRACKING OFF")
    };
    assert!(refused.error().contains("transaction"), "{refused:?}");
}
