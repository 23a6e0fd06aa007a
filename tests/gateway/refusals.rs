//! What the gateway does not do it says at once, and the connection goes on working.

use std::collections::BTreeSet;

use crate::support::client::{Client, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, client};
use crate::support::until;
use testkit::server::RedisServer;

/// Commands, and a word of the reason that is given.
const REFUSED: [(&str, &str); 40] = [
    ("CONFIG SET requirepass x", "nodes"),
    ("config set RequirePass x", "nodes"),
    ("CONFIG SET hz 10 masterauth x", "nodes"),
    ("CONFIG SET tls-port 1", "nodes"),
    ("CLIENT PAUSE 1000", ""),
    ("SHUTDOWN NOSAVE", "nodes"),
    ("DEBUG SLEEP 1000", "allow_commands"),
    ("DEBUG SET-ACTIVE-EXPIRE 0", "allow_commands"),
    ("DEBUG JMAP", "nodes"),
    ("MIGRATE 127.0.0.1 1 refusals:a 0 10", "allow_commands"),
    ("CONFIG REWRITE", "allow_commands"),
    ("CONFIG SET dir /tmp", "allow_commands"),
    ("config set DbFileName x", "allow_commands"),
    ("CONFIG SET hz 10 maxclients 1", "allow_commands"),
    ("CONFIG SET timeout 1", "allow_commands"),
    ("CONFIG SET proto-max-bulk-len 1mb", "allow_commands"),
    ("CONFIG SET client-output-buffer-limit normal", "allow_commands"),
    ("CONFIG SET cluster-node-timeout 1", "allow_commands"),
    ("CONFIG SET slave-serve-stale-data no", "allow_commands"),
    ("CONFIG SET cluster-announce-port 1", "nodes"),
    ("PFSELFTEST", "nodes"),
    ("SAVE", "nodes"),
    ("SWAPDB 0 1", "nodes"),
    ("ACL SETUSER x on", "nodes"),
    ("ACL DELUSER x", "nodes"),
    ("ACL LOAD", "nodes"),
    ("ACL SAVE", "nodes"),
    ("MODULE LOAD x", "nodes"),
    ("SCRIPT DEBUG YES", "nodes"),
    ("REPLICAOF 127.0.0.1 1", "replication"),
    ("SLAVEOF NO ONE", "replication"),
    ("FAILOVER", "replication"),
    ("PSYNC ? -1", "replication"),
    ("SYNC", "replication"),
    ("REPLCONF listening-port 1", "replication"),
    ("RESTORE-ASKING refusals:a 0 x", ""),
    ("PFDEBUG ENCODING refusals:a", ""),
    ("MOVE refusals:a 1", ""),
    ("COPY {refusals}a {refusals}b DB 1", ""),
    ("SELECT 16", ""),
];

/// As a Redis that is no cluster says it.
const NO_CLUSTER: [&str; 10] = [
    "CLUSTER NODES",
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER INFO",
    "CLUSTER FAILOVER",
    "CLUSTER RESET",
    "CLUSTER SETSLOT 0 NODE x",
    "ASKING",
    "READONLY",
    "READWRITE",
];

fn name(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        "CONFIG" if words[1] == "REWRITE" => "CONFIG REWRITE".to_owned(),
        "CONFIG" | "config" => {
            let option = words[2..].iter().step_by(2).find(|option| **option != "hz").unwrap();
            format!("CONFIG SET {}", option.to_ascii_uppercase())
        }
        "DEBUG" if words[1] == "JMAP" => "DEBUG".to_owned(),
        "CLIENT" | "ACL" | "MODULE" | "SCRIPT" | "DEBUG" => words[..2].join(" "),
        command => command.to_owned(),
    }
}

#[test]
fn refusals_name_the_command_and_the_reason() {
    let mut client = client();
    client.line("SET refusals:a 1");
    for (line, reason) in REFUSED {
        let reply = client.line(line);
        let text = reply.error();
        client.assert_in_step();
        if !reason.is_empty() {
            let start = format!("ERR gateway: {} is refused: ", name(line));
            assert!(text.starts_with(&start) && text.contains(reason), "{line}: {text}");
        }
        assert_eq!(client.line("GET refusals:a"), Reply::bulk("1"), "{line}");
    }
}

/// What is allowed by name reaches the nodes: one by the keys, or all of them.
#[test]
fn what_is_allowed_by_name_is_carried_out() {
    let names = "migrate, config set timeout, config set dir, debug sleep";
    let site = Site::start(
        6,
        &[
            ("SLOTWAY_ROUTING_ALLOW_COMMANDS", names),
            ("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "100ms"),
        ],
    );
    let mut client = site.gateway.client();
    // Its first map may be older than the last replica.
    until("the gateway knows all nodes", || client.line("INFO gateway").text().contains("nodes:6"));
    assert_eq!(client.line("CONFIG SET timeout 3600"), Reply::ok());
    for node in 0..6 {
        let value = site.cluster.node(node).line("CONFIG GET timeout").texts();
        assert_eq!(value, ["timeout", "3600"], "node {node}");
    }
    let other = RedisServer::start(&[]);
    let port = other.client().line("CONFIG GET port").texts().remove(1);
    for nth in 0..20 {
        assert_eq!(client.line(&format!("SET allowed:{nth} {nth}")), Reply::ok());
        let moved = client.line(&format!("MIGRATE 127.0.0.1 {port} allowed:{nth} 0 10000"));
        assert_eq!(moved, Reply::ok());
        assert_eq!(client.line(&format!("GET allowed:{nth}")), Reply::Null);
        assert_eq!(
            other.client().line(&format!("GET allowed:{nth}")),
            Reply::bulk(nth.to_string())
        );
    }
    // A node of Redis 7 allows DEBUG to nobody as it comes, and says so itself.
    let text = client.line("DEBUG SLEEP 0");
    assert!(text == Reply::ok() || !text.error().starts_with("ERR gateway:"), "{text:?}");
    for line in
        ["DEBUG JMAP", "CONFIG REWRITE", "CONFIG SET maxclients 1", "CONFIG SET dir / port 1"]
    {
        assert!(client.line(line).error().starts_with("ERR gateway: "), "{line}");
    }
    client.assert_in_step();
}

/// What docs/security.md says of a user of the gateway's own at the nodes, which binds scripts, too.
#[test]
fn a_user_of_its_own_keeps_scripts_from_the_cluster() {
    let docs = include_str!("../../docs/security.md");
    let rules = docs.lines().find(|line| line.starts_with("ACL SETUSER slotway ")).unwrap();
    let site = Site::start(6, &[]);
    for node in 0..6 {
        assert_eq!(site.cluster.node(node).line(&rules.replace("PASSWORD", "secret")), Reply::ok());
    }
    let gateway = site.cluster.gateway(&[
        ("SLOTWAY_TOPOLOGY_USERNAME", "slotway"),
        ("SLOTWAY_TOPOLOGY_PASSWORD", "secret"),
    ]);
    let mut client = gateway.client();
    let script = |call: &str| format!("return redis.call({call})");
    let bump = script("'CLUSTER','BUMPEPOCH'");
    let text = site.gateway.client().ask(&["EVAL", &bump, "1", "a"]);
    assert!(!matches!(text, Reply::Error(_)), "no rules were needed: {text:?}");
    for script in
        [bump, script("'CLUSTER','DELSLOTS','5'"), script("'MIGRATE','h','1','a','0','1'")]
    {
        let text = client.ask(&["EVAL", &script, "1", "a"]);
        assert!(text.error().contains("can't run this command"), "{script}: {text:?}");
    }
    for line in ["SET own:a 1", "MSET own:a 1 own:b 2 own:c 3", "FLUSHALL", "CONFIG SET hz 10"] {
        assert_eq!(client.line(line), Reply::ok(), "{line}");
    }
    for line in
        ["DBSIZE", "SCAN 0", "KEYS *", "INFO", "EVAL return(1) 0", "CONFIG GET hz", "SLOWLOG LEN"]
    {
        assert!(!matches!(client.line(line), Reply::Error(_)), "{line}");
    }
}

#[test]
fn refusals_keep_their_place_in_a_pipeline() {
    let mut client = client();
    client.line("DEL refusals:pipe");
    let mut bytes = Vec::new();
    for (line, _) in REFUSED {
        bytes.extend([request("INCR refusals:pipe"), request(line)].concat());
    }
    for (nth, pair) in client.exchange(&bytes, REFUSED.len() * 2).chunks(2).enumerate() {
        assert_eq!(pair[0].0, Reply::Int(nth as i64 + 1));
        assert!(matches!(pair[1].0, Reply::Error(_)), "{}: {:?}", REFUSED[nth].0, pair[1].0);
    }
}

/// A web page can have a browser send text here. As with Redis, none of it is taken for commands.
#[test]
fn who_speaks_http_is_disconnected() {
    let body = "SET refusals:http 1\r\n";
    for text in [
        format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 21\r\n\r\n{body}"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n{body}"),
        format!("host: x\r\n{body}"),
        format!("*2\r\n$4\r\npost\r\n$1\r\n/\r\n{body}"),
    ] {
        let mut client = client();
        client.send(text.as_bytes());
        if text.starts_with("GET") {
            assert!(client.reply().error().contains("wrong number of arguments"));
        }
        assert!(client.is_closed(), "{text}");
    }
    assert_eq!(client().line("EXISTS refusals:http"), Reply::Int(0));
}

#[test]
fn to_its_clients_it_is_no_cluster() {
    let mut client = client();
    for line in NO_CLUSTER {
        let text = client.line(line);
        assert_eq!(text.error(), "ERR This instance has cluster support disabled", "{line}");
    }
    let info = client.line("INFO cluster").text();
    assert!(info.contains("cluster_enabled:0"), "{info}");
    assert!(client.line("INFO").text().contains("cluster_enabled:0"));
}

#[test]
fn what_redis_does_not_know_is_told_as_redis_tells_it() {
    let mut client = client();
    for (line, text) in [
        ("NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: "),
        ("nosuch a b", "ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "),
        ("OBJECT NOSUCH a", "ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP."),
        ("CLIENT NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("SET a", "ERR wrong number of arguments for 'set' command"),
        ("CONFIG GET", "ERR wrong number of arguments for 'config|get' command"),
        ("OBJECT", "ERR wrong number of arguments for 'object' command"),
        ("PING a b", "ERR wrong number of arguments for 'ping' command"),
        ("EVAL x", "ERR wrong number of arguments for 'eval' command"),
        ("EVAL return x a", "ERR value is not an integer or out of range"),
        ("EVAL return -1 a", "ERR Number of keys can't be negative"),
        ("EVAL return 2 a", "ERR Number of keys can't be greater than number of args"),
        ("ZUNION 0 a", "ERR at least 1 input key is needed for 'zunion' command"),
        ("SINTERCARD 0 a", "ERR numkeys should be greater than 0"),
        (
            "XREAD STREAMS a b 0",
            "ERR Unbalanced XREAD list of streams: for each stream key an ID or \
                             '$' must be specified.",
        ),
        ("XREAD COUNT 1 a 0", "ERR syntax error"),
    ] {
        let reply = client.line(line);
        assert_eq!(reply.error(), text, "{line}");
        client.assert_in_step();
    }
}

/// Clients look there for what they can use.
#[test]
fn commands_that_the_nodes_lack_are_not_told() {
    let redis = RedisServer::start(&[]);
    let names = |client: &mut Client| -> BTreeSet<String> {
        client.line("COMMAND LIST").texts().into_iter().collect()
    };
    let (ours, theirs) = (names(&mut client()), names(&mut redis.client()));
    let more: Vec<_> = ours.difference(&theirs).filter(|name| !name.contains('|')).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(theirs.is_subset(&ours), "{:?}", theirs.difference(&ours));
    let count = |client: &mut Client| client.line("COMMAND COUNT").int();
    assert_eq!(count(&mut client()), count(&mut redis.client()));
    let mut client = client();
    assert_eq!(client.line("COMMAND INFO get hgetex").items()[1], Reply::Null);
    for line in ["HGETEX", "HGETEX a FIELDS 1 b"] {
        let start = "ERR unknown command 'HGETEX', with args beginning with: ";
        assert!(client.line(line).error().starts_with(start), "{line}");
    }
}
