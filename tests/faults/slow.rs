//! A node that is busy for seconds, which is no failure.

use std::time::{Duration, Instant};

use slotway::resp::Value;

use crate::load::{Allowed, Load, Mix};
use crate::nodes::until;
use crate::site::Site;

/// Many large values: they fill what a node's sockets take while it does not read.
const MIX: Mix = Mix([8, 2, 2, 2, 24, 4, 2, 2, 2, 0]);
/// Of the gateways here.
const WORKERS: f64 = 2.0;
const LARGE: usize = 64 << 20;
const BUSY: &str = "local begin = redis.call('TIME') repeat local now = redis.call('TIME') \
    until now[1] - begin[1] >= 9 return redis.call('INCR', KEYS[1])";

/// One session's script keeps a node busy for longer than any patience with lost packets. The
/// cluster does not fail over, and nobody else sees more than a pause: no error, no connection in place
/// of another. Each worker may make one to ask whether the node answers others that it is busy.
#[test]
fn a_long_script_costs_the_other_sessions_of_its_node_nothing_but_time() {
    let options = ["--cluster-node-timeout", "20000", "--busy-reply-threshold", "60000"];
    let mut site = Site::start_with(&options, &[]);
    let load = Load::start(site.gateway.clients, MIX);
    let connects = |site: &Site| site.gateway.metric("slotway_upstream_connects_total", "");
    let before = connects(&site);
    assert!(before > 0.0);
    let mut client = site.gateway.client();
    let start = Instant::now();
    client.send(&[vec!["EVAL", BUSY, "1", "{node}-counter"]]).unwrap();
    // More than the sockets take of a node that does not read: the window stays closed.
    let mut large = site.gateway.client();
    let value = "v".repeat(LARGE);
    large.send(&[vec!["SET", "{node}-large", &value], vec!["STRLEN", "{node}-large"]]).unwrap();
    assert_eq!(client.reply().unwrap(), Value::Int(1));
    assert_eq!(large.reply().unwrap(), Value::Simple("OK".into()));
    assert_eq!(large.reply().unwrap(), Value::Int(LARGE as i64));
    assert!(start.elapsed() > Duration::from_secs(5));
    load.wait_for_progress(5);
    // Asleep is the same as busy.
    let started = std::thread::scope(|scope| {
        let node = &site.fleet.nodes[1];
        let asleep = scope.spawn(|| node.ask(&["DEBUG", "SLEEP", "4"]));
        asleep.join().unwrap()
    });
    assert!(matches!(started, Ok(Value::Simple(_))), "{started:?}");
    load.wait_for_progress(5);
    let made = connects(&site) - before;
    assert!(made <= WORKERS, "{made} connections were made anew:\n{}", site.gateway.said());
    drop((client, large));
    site.finish("a script of 9 s and a sleep of 4 s", load, Allowed::None);
}

/// It would wait behind the script, on the connection that brought it, for ever.
#[test]
fn an_endless_script_can_be_killed_through_the_gateway() {
    const ENDLESS: &str = "while true do end";
    let options = ["--cluster-node-timeout", "20000", "--busy-reply-threshold", "50"];
    let site = Site::start_with(&options, &[]);
    let (mut client, mut other) = (site.gateway.client(), site.gateway.client());
    let error = |answer: Value| match answer {
        Value::Error(text) => text,
        other => panic!("no error: {other:?}"),
    };
    let nothing = error(other.line("SCRIPT KILL"));
    assert!(nothing.starts_with("NOTBUSY "), "{nothing}");
    let eval = |key| vec!["EVAL", ENDLESS, "1", key];
    for (key, kill) in [("bar", "SCRIPT KILL"), ("{node}", "script kill")] {
        // What comes behind it on the same connection is answered when it has ended.
        client.send(&[eval(key), vec!["SET", key, "1"]]).unwrap();
        until("a script to kill", || other.line(kill) == Value::Simple("OK".into()));
        let killed = error(client.reply().unwrap());
        assert!(killed.contains("Script killed by user"), "{killed}");
        assert_eq!(client.reply().unwrap(), Value::Simple("OK".into()));
    }
    // A function likewise.
    let library = "#!lua name=l\nredis.register_function('f', function() while true do end end)";
    assert_eq!(other.call(&["FUNCTION", "LOAD", library]).unwrap().as_str(), Some("l"));
    client.send(&[vec!["FCALL", "f", "1", "bar"]]).unwrap();
    until("a function to kill", || other.line("FUNCTION KILL") == Value::Simple("OK".into()));
    let killed = error(client.reply().unwrap());
    assert!(killed.contains("Script killed by user"), "{killed}");
    // One that has written cannot be killed, which is more than that others have none.
    let written = "redis.call('SET', KEYS[1], 1) for _ = 1, 3e8 do end return 7";
    client.send(&[vec!["EVAL", written, "1", "bar"]]).unwrap();
    until("a script that has written", || {
        error(other.line("SCRIPT KILL")).starts_with("UNKILLABLE ")
    });
    assert_eq!(client.reply().unwrap(), Value::Int(7));
    drop((client, other));
    site.wait_until_whole();
    site.gateway.wait_for_rest();
}

/// On one connection each comes after the other, as with one Redis.
#[test]
fn a_client_kills_neither_its_earlier_script_nor_a_later_one() {
    const SHORT: &str = "for _ = 1, 5e7 do end return 7";
    let options = ["--cluster-node-timeout", "20000", "--busy-reply-threshold", "50"];
    let site = Site::start_with(&options, &[]);
    let mut client = site.gateway.client();
    let (kill, eval) = (vec!["SCRIPT", "KILL"], vec!["EVAL", SHORT, "1", "bar"]);
    for _ in 0..4 {
        client.send(&[kill.clone(), eval.clone(), kill.clone(), kill.clone()]).unwrap();
        for wanted in ["NOTBUSY", "", "NOTBUSY", "NOTBUSY"] {
            match client.reply().unwrap() {
                Value::Error(text) => {
                    assert!(!wanted.is_empty() && text.starts_with(wanted), "{text}")
                }
                answer => assert_eq!((answer, wanted), (Value::Int(7), "")),
            }
        }
    }
    client.send_inline("SCRIPT KILL\r\nEVAL 'return 7' 1 bar\r\nscript kill\r\n").unwrap();
    assert!(matches!(client.reply().unwrap(), Value::Error(text) if text.starts_with("NOTBUSY")));
    assert_eq!(client.reply().unwrap(), Value::Int(7));
    assert!(matches!(client.reply().unwrap(), Value::Error(text) if text.starts_with("NOTBUSY")));
    drop(client);
    site.gateway.wait_for_rest();
}

/// The others replace the master before it lets itself be talked to; it goes on with its script.
#[test]
fn an_endless_script_can_be_killed_where_its_master_has_been_replaced() {
    let site = Site::start_with(&["--busy-reply-threshold", "4000"], &[]);
    let (mut client, mut other) = (site.gateway.client(), site.gateway.client());
    // `foo` is in slot 12182, one of the third master's.
    client.send(&[vec!["EVAL", "while true do end", "1", "foo"]]).unwrap();
    until("another master", || site.masters().iter().any(|master| *master > 2));
    until("a script to kill", || other.line("SCRIPT KILL") == Value::Simple("OK".into()));
    drop((client, other));
    site.wait_until_whole();
    site.gateway.wait_for_rest();
}

/// Where one node does not answer, and many ask: the others are asked all the same, it costs no
/// memory to speak of, and is over when those who asked have gone.
#[test]
fn many_who_kill_cost_others_nothing() {
    let options = ["--cluster-node-timeout", "20000", "--busy-reply-threshold", "50"];
    let mut site = Site::start_with(&options, &[]);
    let frozen = site.replicas_of(0)[0];
    site.freeze(frozen);
    let kills = vec![vec!["SCRIPT", "KILL"]; 1000];
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = site.gateway.client();
            client.send(&kills).unwrap();
            client
        })
        .collect();
    let mut busy = site.gateway.client();
    busy.send(&[vec!["EVAL", "while true do end", "1", "bar"]]).unwrap();
    let killed = busy.reply().unwrap();
    assert!(matches!(&killed, Value::Error(text) if text.contains("killed by user")), "{killed:?}");
    assert!(site.gateway.metric("process_open_fds", "") < 300.0);
    drop(clients);
    site.thaw(frozen);
    site.wait_until_whole();
    drop(busy);
    site.gateway.wait_for_rest();
    // Nobody asks any more.
    let mut client = site.gateway.client();
    let short = vec!["EVAL", "for _ = 1, 5e7 do end return 7", "1", "bar"];
    client.send(&[short]).unwrap();
    assert_eq!(client.reply().unwrap(), Value::Int(7));
}
