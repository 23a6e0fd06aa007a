//! Scripts and functions: they run where their keys are, and are known to every shard.

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, alone, client};
use testkit::server::RedisServer;

/// Keys of many slots, so that every shard has some.
fn keys(name: &str) -> Vec<String> {
    (0..30).map(|n| format!("{name}:{n}")).collect()
}

fn load(client: &mut Client, script: &str) -> String {
    client.ask(&["SCRIPT", "LOAD", script]).text()
}

#[test]
fn a_script_runs_where_its_keys_are() {
    let mut client = client();
    let script = "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])";
    for key in keys("scripting:eval") {
        assert_eq!(client.ask(&["EVAL", script, "1", &key, &key]), Reply::bulk(&key));
        assert_eq!(client.ask(&["GET", &key]), Reply::bulk(&key));
        let read = "return redis.call('GET', KEYS[1])";
        assert_eq!(client.ask(&["EVAL_RO", read, "1", &key]), Reply::bulk(&key));
        let text = client.ask(&["EVAL_RO", script, "1", &key, "x"]);
        assert!(text.error().contains("Write commands are not allowed"), "{text:?}");
    }
    let two = "return {KEYS[1], KEYS[2], ARGV[1]}";
    let want = Reply::Array(["{s}a", "{s}b", "c"].map(Reply::bulk).to_vec());
    assert_eq!(client.ask(&["EVAL", two, "2", "{s}a", "{s}b", "c"]), want);
    assert!(client.ask(&["EVAL", two, "2", "a", "b"]).error().starts_with("CROSSSLOT"));
}

/// A script may say what nodes say when they decline a command. It has run, and runs once.
#[test]
fn a_script_is_not_run_again_for_the_error_it_makes_up() {
    let mut client = client();
    let script = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])";
    let texts = [
        "TRYAGAIN later",
        "CLUSTERDOWN so it seems",
        "LOADING my program",
        "READONLY not for you",
        "MASTERDOWN as it were",
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
    ];
    for text in texts {
        let key = format!("scripting:made-up:{text}");
        assert_eq!(client.ask(&["EVAL", script, "1", &key, text]).error(), text);
        assert_eq!(client.ask(&["GET", &key]), Reply::bulk("1"), "{text}");
    }
}

#[test]
fn a_script_without_keys_runs_anywhere() {
    let mut client = client();
    assert_eq!(client.ask(&["EVAL", "return ARGV[1]", "0", "x"]), Reply::bulk("x"));
    assert_eq!(client.ask(&["EVAL", "return 1 + 1", "0"]), Reply::Int(2));
    let error = client.ask(&["EVAL", "return redis.error_reply('MINE of my own')", "0"]);
    assert_eq!(error.error(), "MINE of my own");
    assert!(client.ask(&["EVAL", "return (", "0"]).error().starts_with("ERR Error compiling"));
}

#[test]
fn a_loaded_script_is_known_to_every_shard() {
    let site = alone();
    let mut client = site.gateway.client();
    let sha = load(&mut client, "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let never = "0".repeat(40);
    let known = client.ask(&["SCRIPT", "EXISTS", &sha, &never]);
    assert_eq!(known, Reply::Array(vec![Reply::Int(1), Reply::Int(0)]));
    for key in keys("scripting:sha") {
        client.ask(&["DEL", &key]);
        assert_eq!(client.ask(&["EVALSHA", &sha, "1", &key, "3"]), Reply::Int(3));
        let upper = sha.to_uppercase();
        assert_eq!(client.ask(&["EVALSHA", &upper, "1", &key, "4"]), Reply::Int(7));
        assert!(client.ask(&["EVALSHA", &never, "1", &key]).error().starts_with("NOSCRIPT"));
    }
    // A script that one shard alone knows does not count as known.
    let mut node = site.cluster.node(0);
    let lone = load(&mut node, "return 'lone'");
    assert_eq!(client.ask(&["SCRIPT", "EXISTS", &lone]), Reply::Array(vec![Reply::Int(0)]));
    assert_eq!(client.line("SCRIPT FLUSH"), Reply::ok());
    let known = client.ask(&["SCRIPT", "EXISTS", &sha, &lone]);
    assert_eq!(known, Reply::Array(vec![Reply::Int(0), Reply::Int(0)]));
    for key in keys("scripting:sha") {
        assert!(client.ask(&["EVALSHA", &sha, "1", &key, "3"]).error().starts_with("NOSCRIPT"));
    }
}

#[test]
fn functions_are_loaded_into_every_shard() {
    let site = alone();
    let mut client = site.gateway.client();
    let library = "#!lua name=scripting\n\
        redis.register_function('put', function(keys, args) \
        return redis.call('SET', keys[1], args[1]) end)\n\
        redis.register_function{function_name='take', flags={'no-writes'}, \
        callback=function(keys) return redis.call('GET', keys[1]) end}";
    assert_eq!(client.line("FUNCTION FLUSH"), Reply::ok());
    assert_eq!(client.ask(&["FUNCTION", "LOAD", library]), Reply::bulk("scripting"));
    let again = client.ask(&["FUNCTION", "LOAD", library]);
    assert_eq!(again.error(), "ERR Library 'scripting' already exists");
    let replaced = client.ask(&["FUNCTION", "LOAD", "REPLACE", library]);
    assert_eq!(replaced, Reply::bulk("scripting"));
    for key in keys("scripting:function") {
        assert_eq!(client.ask(&["FCALL", "put", "1", &key, &key]), Reply::ok());
        assert_eq!(client.ask(&["FCALL_RO", "take", "1", &key]), Reply::bulk(&key));
        assert_eq!(client.ask(&["GET", &key]), Reply::bulk(&key));
    }
    let list = client.line("FUNCTION LIST LIBRARYNAME scripting");
    assert_eq!(list.items().len(), 1);
    assert_eq!(client.line("FUNCTION DELETE scripting"), Reply::ok());
    for key in keys("scripting:function") {
        let gone = client.ask(&["FCALL", "put", "1", &key, "x"]);
        assert_eq!(gone.error(), "ERR Function not found");
    }
    assert_eq!(client.line("FUNCTION DELETE scripting").error(), "ERR Library not found");
}

#[test]
fn functions_travel_by_dump_and_restore() {
    let site = alone();
    let mut client = site.gateway.client();
    assert_eq!(client.line("FUNCTION FLUSH"), Reply::ok());
    let library = "#!lua name=travel\nredis.register_function('one', function() return 1 end)";
    client.ask(&["FUNCTION", "LOAD", library]);
    let Reply::Bulk(dump) = client.line("FUNCTION DUMP") else { panic!("a dump") };
    assert_eq!(client.line("FUNCTION FLUSH SYNC"), Reply::ok());
    assert!(matches!(client.line("FCALL one 1 scripting:x"), Reply::Error(_)));
    assert_eq!(client.ask(&[&b"FUNCTION"[..], b"RESTORE", &dump]), Reply::ok());
    for key in keys("scripting:travel") {
        assert_eq!(client.ask(&["FCALL", "one", "1", &key]), Reply::Int(1));
    }
    assert_eq!(client.line("FUNCTION FLUSH"), Reply::ok());
}

#[test]
fn nothing_to_kill_is_told_once() {
    let mut client = client();
    let text = "NOTBUSY No scripts in execution right now.";
    assert_eq!(client.line("SCRIPT KILL").error(), text);
    assert_eq!(client.line("FUNCTION KILL").error(), text);
}

/// What goes beside the data path takes connections that are open already.
#[test]
fn questions_to_all_nodes_do_not_connect_each_time() {
    const ROUNDS: u64 = 100;
    let site = alone();
    let mut client = site.gateway.client();
    let mut nodes: Vec<Client> = (0..3).map(|node| site.cluster.node(node)).collect();
    let mut connected = || -> Vec<u64> {
        let of = |node: &mut Client| {
            let text = node.line("INFO stats").text();
            let count = text.lines().find_map(|l| l.strip_prefix("total_connections_received:"));
            count.expect("a count").trim().parse().expect("a number")
        };
        nodes.iter_mut().map(of).collect()
    };
    let before = connected();
    for _ in 0..ROUNDS {
        assert!(client.line("SCRIPT KILL").error().starts_with("NOTBUSY"));
        assert_eq!(client.line("DBSIZE"), Reply::Int(0));
        client.line("INFO server").text();
    }
    for (before, after) in before.into_iter().zip(connected()) {
        // Every lane of every worker may have been used for the first time, and maps are read.
        assert!(after - before < ROUNDS, "{} connections in {ROUNDS} rounds", after - before);
    }
}

/// A script's author can have Redis answer with two frames, or with one and half of another.
/// Nobody else may get any of it, or nothing for it.
#[test]
fn replies_that_are_not_one_harm_nobody_else() {
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..6).map(|n| scope.spawn(move || get_and_set(n))).collect();
        let mut client = client();
        loop {
            for injected in ["+X", "$100", "*7", "-MOVED 1 127.0.0.1:1"] {
                ask_for_two(&mut client, injected);
            }
            if others.iter().all(|other| other.is_finished()) {
                break;
            }
        }
    });
}

/// Whoever knows redis-server 7.0.15 can have it say `injected` in a line of its own.
fn ask_for_two(client: &mut Client, injected: &str) {
    let script = format!("#!lua \"\\r\\n{injected}\"\n");
    let library = format!("#!lua name=\"a\\r\\n{injected}\"\n");
    let mut bytes = Vec::new();
    let requests: [&[&str]; 6] = [
        &["EVAL", &script, "1", "{shared}:x"],
        &["EVAL_RO", &script, "1", "{shared}:x"],
        &["SCRIPT", "LOAD", &script],
        &["FUNCTION", "LOAD", &library],
        &["EVAL", "return ARGV[1]", "1", "{shared}:x", injected],
        &["PING", injected],
    ];
    for request in requests {
        crate::support::client::put(&mut bytes, request);
    }
    let replies = client.exchange(&bytes, requests.len());
    for (reply, _) in &replies[..4] {
        assert!(reply.error().starts_with("ERR "), "{reply:?}");
    }
    assert_eq!(replies[4].0, Reply::bulk(injected));
    assert_eq!(replies[5].0, Reply::bulk(injected));
}

/// Sets and gets values of its own in the slot of the scripts.
fn get_and_set(number: usize) {
    let mut client = client();
    for round in 0..200 {
        let mut bytes = Vec::new();
        let named =
            |n: usize| (format!("{{shared}}:{number}:{n}"), format!("{number} {round} {n}"));
        for (key, value) in (0..10).map(named) {
            crate::support::client::put(&mut bytes, &["SET", &key, &value]);
            crate::support::client::put(&mut bytes, &["GET", &key]);
        }
        let replies = client.exchange(&bytes, 20);
        for (n, pair) in replies.chunks(2).enumerate() {
            assert_eq!((&pair[0].0, &pair[1].0), (&Reply::ok(), &Reply::bulk(named(n).1)));
        }
    }
}

#[test]
fn a_long_reply_of_a_script_comes_whole() {
    let mut client = client();
    let script = "return {string.rep('x', 3000000), string.rep('-ERR unknown', 1000), 7}";
    for _ in 0..3 {
        let reply = client.ask(&["EVAL", script, "1", "scripting:long"]);
        let want = ["x".repeat(3_000_000), "-ERR unknown".repeat(1000)];
        let [long, short] = want.map(Reply::bulk);
        assert!(reply == Reply::Array(vec![long, short, Reply::Int(7)]));
    }
}

/// A script that does not declare its keys works on every connection, or on none.
#[test]
fn a_script_without_keys_sees_the_same_on_every_connection() {
    let mut first = client();
    // In slots 0 and 15495, which are different masters' however the slots are shared out here.
    for (key, found) in [("scripting:{06S}", true), ("scripting:{a}", false)] {
        first.ask(&["SET", key, "1"]);
        for _ in 0..20 {
            let script = format!("return redis.call('GET', '{key}')");
            let reply = client().ask(&["EVAL", &script, "0"]);
            match found {
                true => assert_eq!(reply, Reply::bulk("1")),
                false => assert!(reply.error().contains("non local key"), "{reply:?}"),
            }
        }
    }
}

/// A master that lost its scripts, or came later, is sent what it lacks.
#[test]
fn a_script_that_a_node_lacks_is_sent_there() {
    let site = Site::start(3, &[]);
    let mut client = site.gateway.client();
    let text = "return redis.call('INCR',KEYS[1])";
    let mut load = Vec::new();
    put(&mut load, &["SCRIPT", "LOAD", text]);
    let sha1 = client.exchange(&load, 1)[0].0.text().to_owned();
    let everywhere = |line: &str| {
        (0..site.cluster.nodes.len()).for_each(|n| {
            site.cluster.node(n).line(line);
        });
    };
    let keys = ["lack:a", "lack:b", "lack:c", "lack:d", "lack:e", "lack:f"];
    for round in 1..4 {
        everywhere("SCRIPT FLUSH");
        assert_eq!(client.line(&format!("SCRIPT EXISTS {sha1}")).items(), [Reply::Int(1)]);
        // In one go, so that later ones are on their way when the first comes back.
        let requests: Vec<u8> =
            keys.iter().flat_map(|key| request(&format!("EVALSHA {sha1} 1 {key}"))).collect();
        for (reply, _) in client.exchange(&requests, keys.len()) {
            assert_eq!(reply, Reply::Int(round));
        }
    }
    // Within a transaction too.
    everywhere("SCRIPT FLUSH");
    let lines = ["MULTI".to_owned(), format!("EVALSHA {sha1} 1 lack:a"), "EXEC".to_owned()];
    let script: Vec<u8> = lines.iter().flat_map(|line| request(line)).collect();
    assert_eq!(client.exchange(&script, 3)[2].0, Reply::Array(vec![Reply::Int(4)]));
    // EVAL brings a text as well.
    let other = "return redis.call('DECR',KEYS[1])";
    let mut eval = Vec::new();
    put(&mut eval, &["EVAL", other, "1", "lack:a"]);
    client.exchange(&eval, 1);
    let digest = sha1_of(other);
    for key in keys {
        assert!(matches!(client.line(&format!("EVALSHA {digest} 1 {key}")), Reply::Int(_)));
    }
    // What a client flushes is gone, and what nobody has sent is not there.
    assert_eq!(client.line("SCRIPT FLUSH"), Reply::ok());
    let gone = client.line(&format!("EVALSHA {sha1} 1 lack:a"));
    assert_eq!(gone.error(), "NOSCRIPT No matching script. Please use EVAL.");
    assert_eq!(client.line(&format!("SCRIPT EXISTS {sha1}")).items(), [Reply::Int(0)]);
}

fn sha1_of(text: &str) -> String {
    let lone = RedisServer::start(&[]);
    let mut load = Vec::new();
    put(&mut load, &["SCRIPT", "LOAD", text]);
    Client::connect(lone.address()).exchange(&load, 1)[0].0.text().to_owned()
}
