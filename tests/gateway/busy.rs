//! A script that keeps a node busy: others are told so, as by a lone server, and do not wait for it.

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::Site;
use crate::support::until;

const ENDLESS: &str = "while true do end";
/// The library of a function that never ends.
const LIBRARY: &str =
    "#!lua name=busy\nredis.register_function('endless', function() while true do end end)";

/// One worker, so that all clients share one connection to a node; and nodes that soon say `BUSY`.
fn site() -> Site {
    let site = Site::start(3, &[("SLOTWAY_WORKERS", "1")]);
    for node in 0..site.cluster.nodes.len() {
        assert_eq!(site.cluster.node(node).line("CONFIG SET lua-time-limit 10"), Reply::ok());
    }
    site
}

/// Sends what keeps a node busy, and waits until it is.
fn keep_busy(client: &mut Client, other: &mut Client, line: &[&str], behind: &[u8]) {
    let mut bytes = Vec::new();
    put(&mut bytes, line);
    bytes.extend_from_slice(behind);
    client.send(&bytes);
    until("the node is busy", || other.line("GET busy") != Reply::bulk("1"));
    assert!(other.line("GET busy").error().starts_with("BUSY "));
    // At first it is sent on the connection that waits for the script.
    let read_only = other.line("EVAL_RO return(1) 1 busy");
    assert!(read_only.error().starts_with("BUSY "), "{read_only:?}");
}

#[test]
fn others_are_told_that_a_node_is_busy_and_a_client_keeps_its_order() {
    let site = site();
    let (mut culprit, mut other) = (site.gateway.client(), site.gateway.client());
    for round in 0..3 {
        assert_eq!(other.line("SET busy 1"), Reply::ok());
        let behind = request("SET busy a");
        keep_busy(&mut culprit, &mut other, &["EVAL", ENDLESS, "1", "busy"], &behind);
        for line in ["SET busy 1", "INCR busy", "DBSIZE", "EVAL return(1) 1 busy", "KEYS *"] {
            let reply = other.line(line);
            assert!(reply.error().starts_with("BUSY "), "{line}: {reply:?}");
        }
        for line in ["MULTI", "INCR busy"] {
            other.line(line);
        }
        let aborted = other.line("EXEC");
        assert!(aborted.error().starts_with("EXECABORT ") && aborted.error().contains("BUSY "));
        // What is sent now must not overtake what waits for the script.
        culprit.send(&request("APPEND busy b"));
        assert!(other.line("FUNCTION KILL").error().starts_with("BUSY "));
        assert_eq!(other.line("SCRIPT KILL"), Reply::ok(), "round {round}");
        assert!(culprit.reply().error().contains("Script killed by user"));
        assert_eq!((culprit.reply(), culprit.reply()), (Reply::ok(), Reply::Int(2)));
        until("the node is there again", || other.line("GET busy") == Reply::bulk("ab"));
    }
}

#[test]
fn a_database_whose_node_is_busy_says_so_and_its_functions_can_be_killed() {
    let site = site();
    let (mut culprit, mut other) = (site.gateway.client(), site.gateway.client());
    for client in [&mut culprit, &mut other] {
        assert_eq!(client.line("SELECT 3"), Reply::ok());
        assert_eq!(client.line("PING"), Reply::Simple("PONG".into()));
    }
    other.ask(&["FUNCTION", "LOAD", LIBRARY]);
    let endless: [(&[&str], &str); 2] =
        [(&["EVAL", ENDLESS, "0"], "SCRIPT KILL"), (&["FCALL", "endless", "0"], "FUNCTION KILL")];
    for (line, kill) in endless {
        assert_eq!(other.line("SET busy 1"), Reply::ok());
        keep_busy(&mut culprit, &mut other, line, b"");
        for line in ["PING", "DBSIZE", "FLUSHDB", "RANDOMKEY"] {
            let reply = other.line(line);
            assert!(reply.error().starts_with("BUSY "), "{line}: {reply:?}");
        }
        assert_eq!(other.line(kill), Reply::ok());
        assert!(culprit.reply().error().contains("Script killed by user"));
        until("the node is there again", || other.line("PING") == Reply::Simple("PONG".into()));
    }
}

/// They would get the node's answer to others, or would be answered before it.
#[test]
fn a_clients_own_scripts_wait_for_the_one_before() {
    let site = site();
    let (mut culprit, mut other) = (site.gateway.client(), site.gateway.client());
    assert_eq!(other.line("SET busy 1"), Reply::ok());
    let behind = [request("EVAL_RO return(1) 1 busy"), request("EVAL return(2) 1 busy")].concat();
    keep_busy(&mut culprit, &mut other, &["EVAL_RO", ENDLESS, "1", "busy"], &behind);
    culprit.send(&request("GET busy"));
    assert_eq!(other.line("SCRIPT KILL"), Reply::ok());
    assert!(culprit.reply().error().contains("Script killed by user"));
    for want in [Reply::Int(1), Reply::Int(2), Reply::bulk("1")] {
        assert_eq!(culprit.reply(), want);
    }
}
