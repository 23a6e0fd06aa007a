//! What a client sets has its effect when it is answered OK, and is refused otherwise.

use slotway::command::CommandTable;

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::site::{Site, alone, client};
use crate::support::until;

/// What comes of a setting.
enum Comes {
    /// OK, and then this line has these words in its answer.
    Seen(&'static str, &'static str),
    /// OK, which changes nothing that was not so before.
    SoAnyhow,
    /// An error with this word.
    Refused(&'static str),
    /// It is a question and sets nothing.
    Asks,
}

use Comes::{Asks, Refused, Seen, SoAnyhow};

/// Everything that a client says of its connection, in order, on one connection.
const OF_A_CONNECTION: [(&str, Comes); 34] = [
    ("CLIENT SETNAME somebody", Seen("CLIENT GETNAME", "somebody")),
    ("CLIENT SETINFO LIB-NAME lib", Seen("CLIENT INFO", " lib-name=lib ")),
    ("CLIENT SETINFO LIB-VER 9", Seen("CLIENT LIST", " lib-ver=9")),
    ("CLIENT SETINFO LIB-COLOUR red", Refused("Unrecognized")),
    ("CLIENT NO-TOUCH ON", Refused("share the gateway's connections")),
    ("CLIENT NO-TOUCH OFF", SoAnyhow),
    ("CLIENT NO-EVICT ON", Refused("cannot spare")),
    ("CLIENT NO-EVICT OFF", SoAnyhow),
    ("CLIENT TRACKING ON", Seen("CLIENT INFO", " flags=t ")),
    ("CLIENT TRACKING OFF", Seen("CLIENT INFO", " flags=N ")),
    ("CLIENT CACHING YES", Refused("tracking mode")),
    ("CLIENT PAUSE 100", Refused("CLIENT PAUSE")),
    ("CLIENT UNPAUSE", Refused("CLIENT UNPAUSE")),
    ("CLIENT IMPORT-SOURCE ON", Refused("IMPORT-SOURCE")),
    // It tells what the client could take; nothing of it is ever sent.
    ("CLIENT CAPA redirect", SoAnyhow),
    // Nobody is blocked.
    ("CLIENT UNBLOCK 1", Asks),
    ("CLIENT KILL TYPE replica", Asks),
    ("CLIENT GETNAME", Asks),
    ("CLIENT GETREDIR", Asks),
    ("CLIENT HELP", Asks),
    ("CLIENT ID", Asks),
    ("CLIENT INFO", Asks),
    ("CLIENT LIST", Asks),
    ("CLIENT TRACKINGINFO", Asks),
    ("CLIENT REPLY ON", SoAnyhow),
    ("SELECT 0", SoAnyhow),
    ("SELECT 16", Refused("out of range")),
    ("READONLY", Refused("cluster support disabled")),
    ("READWRITE", Refused("cluster support disabled")),
    ("ASKING", Refused("cluster support disabled")),
    ("HELLO 2 SETNAME other", Asks),
    ("CLIENT GETNAME", Asks),
    ("HELLO 4", Refused("NOPROTO")),
    ("AUTH nobody nothing", Refused("WRONGPASS")),
];

fn assert_comes(client: &mut Client, line: &str, comes: &Comes) {
    let said = client.line(line);
    match comes {
        Seen(question, words) => {
            assert_eq!(said, Reply::ok(), "{line}");
            let told = client.line(question).text();
            assert!(told.contains(words), "{line}: {told}");
        }
        SoAnyhow => assert_eq!(said, Reply::ok(), "{line}"),
        Refused(word) => assert!(said.error().contains(word), "{line}: {said:?}"),
        Asks => {
            assert!(!matches!(said, Reply::Error(_)) && said != Reply::ok(), "{line}: {said:?}")
        }
    }
}

#[test]
fn settings_of_a_connection_are_kept_or_refused() {
    let mut client = client();
    for (line, comes) in &OF_A_CONNECTION {
        assert_comes(&mut client, line, comes);
    }
    let known: Vec<String> = OF_A_CONNECTION
        .iter()
        .map(|(line, _)| line.split(' ').take(2).collect::<Vec<_>>().join("|").to_lowercase())
        .collect();
    for (_, command) in CommandTable::builtin().iter() {
        let is_of_clients = command.name.starts_with("client|");
        assert!(!is_of_clients || known.contains(&command.name.to_string()), "{}", command.name);
    }
}

#[test]
fn replies_that_are_off_do_not_come() {
    let mut client = client();
    client.send("CLIENT REPLY OFF\r\nSET settings:off 1\r\nPING\r\nCLIENT REPLY ON\r\n".as_bytes());
    assert_eq!(client.reply(), Reply::ok());
    client.send("CLIENT REPLY SKIP\r\nSET settings:off 2\r\nGET settings:off\r\n".as_bytes());
    assert_eq!(client.reply(), Reply::bulk("2"));
    client.assert_in_step();
}

/// Options that are set are set at every node.
#[test]
fn options_are_set_everywhere() {
    let site = Site::start(6, &[("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "100ms")]);
    let mut client = site.gateway.client();
    until("all nodes are known", || {
        client.line("INFO gateway").text().contains("gateway_cluster_nodes:6")
    });
    let settings = [
        ("slowlog-log-slower-than", "77"),
        ("maxmemory-policy", "allkeys-lru"),
        ("notify-keyspace-events", "KEA"),
        ("latency-monitor-threshold", "5"),
        ("hz", "20"),
    ];
    for (option, value) in settings {
        assert_eq!(client.line(&format!("CONFIG SET {option} {value}")), Reply::ok());
        let get = format!("CONFIG GET {option}");
        let told = client.line(&get);
        for node in 0..6 {
            assert_eq!(site.cluster.node(node).line(&get), told, "{option}");
        }
    }
}

#[test]
fn statistics_that_are_reset_are_reset() {
    let site = alone();
    let mut client = site.gateway.client();
    for _ in 0..5 {
        assert_eq!(site.gateway.client().line("PING"), Reply::Simple("PONG".into()));
    }
    let count = |client: &mut Client, field: &str| -> u64 {
        let text = client.line("INFO stats").text();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().parse().unwrap()
    };
    client.line("SET settings:a 1");
    client.line("GET settings:a");
    assert!(count(&mut client, "total_connections_received") > 5);
    assert!(count(&mut client, "keyspace_hits") > 0);
    assert_eq!(client.line("CONFIG RESETSTAT"), Reply::ok());
    assert!(count(&mut client, "total_connections_received") < 5);
    assert_eq!(count(&mut client, "keyspace_hits"), 0);
    for line in ["ACL LOG RESET", "ACL LOG"] {
        assert!(client.line(line).error().contains("at the nodes"), "{line}");
    }
}
