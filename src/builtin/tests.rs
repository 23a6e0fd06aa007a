//! The short answers, HELLO and AUTH, byte by byte.
//!
//! Owns the gateway without a network that the tests of local answers ask.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::state::ReplyMode;
use super::*;
use crate::clients::{ClientInfo, Clients, Registration};
use crate::command::{CommandTable, Handling};
use crate::database::Databases;
use crate::resp::Protocol;
use crate::router::hub::Census;
use crate::topology::Topology;

/// What a client is said to take.
pub(in crate::builtin) const CLIENT_BYTES: usize = 1000;

/// A gateway's register, table and topology, without a network.
pub(in crate::builtin) struct Gateway {
    pub(in crate::builtin) table: CommandTable,
    clients: Arc<Clients>,
    registrations: RefCell<Vec<Registration>>,
    topology: Topology,
    password: Option<&'static str>,
}

impl Gateway {
    pub(in crate::builtin) fn new(password: Option<&'static str>) -> Gateway {
        let (mut clients, topology) = (Clients::new(10, Duration::ZERO), Topology::default());
        clients.stop_clock();
        let clients = Arc::new(clients);
        let (table, registrations) = (CommandTable::builtin(), RefCell::default());
        Gateway { table, clients, registrations, topology, password }
    }

    pub(in crate::builtin) fn enter(&self, peer: &str) -> Arc<ClientInfo> {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let registration = self.clients.enter(address(peer), address("127.0.0.1:6379")).unwrap();
        let info = Arc::clone(registration.info());
        self.registrations.borrow_mut().push(registration);
        info
    }

    /// The next client, from a port of its own.
    pub(in crate::builtin) fn client(&self) -> Asking<'_> {
        let info = self.enter(&format!("127.0.0.1:{}", 40_000 + self.clients.count()));
        let state = State::new(self.password.is_none(), info);
        Asking { gateway: self, state }
    }
}

pub(in crate::builtin) struct Asking<'a> {
    gateway: &'a Gateway,
    pub(in crate::builtin) state: State,
}

impl Asking<'_> {
    fn ask_words(&mut self, words: &[&[u8]]) -> String {
        let (bytes, mut end) = (words.concat(), 0);
        let ranges: Vec<(u32, u32)> = words
            .iter()
            .map(|word| {
                end += word.len() as u32;
                (end - word.len() as u32, end)
            })
            .collect();
        let args = Args::new(&bytes, &ranges);
        let mut out = Vec::new();
        match self.gateway.table.lookup(args) {
            Ok((id, command)) => {
                let Handling::Local(local) = command.handling else { panic!("not local") };
                self.state.info.touch(self.gateway.clients.now_s(), id);
                let env = LocalEnv {
                    table: &self.gateway.table,
                    clients: &self.gateway.clients,
                    client_bytes: CLIENT_BYTES,
                    password: self.gateway.password,
                    topology: &self.gateway.topology,
                    census: &Census::default(),
                    databases: &Databases::new(16, "db"),
                    database: 0,
                };
                answer(local, args, &mut self.state, &env, &mut out);
            }
            Err(error) => write::error(&mut out, &error.text(args)),
        }
        if !out.is_empty() {
            assert_eq!(crate::resp::reply::frame_len(&out), Ok(Some(out.len())), "{out:?}");
        }
        String::from_utf8(out).unwrap()
    }

    /// The reply to words between single spaces.
    pub(in crate::builtin) fn ask(&mut self, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        self.ask_words(&words)
    }

    pub(in crate::builtin) fn check(&mut self, cases: &[(&str, &str)]) {
        for (request, reply) in cases {
            assert_eq!(self.ask(request), format!("{reply}\r\n"), "{request}");
        }
    }
}

pub(in crate::builtin) const NAME_ERROR: &str =
    "-ERR Client names cannot contain spaces, newlines or special characters.";
const WRONG_PASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

/// Each seen from a 7.0.15, in RESP2, with one database.
#[test]
fn short_answers() {
    Gateway::new(None).client().check(&[
        ("PING", "+PONG"),
        ("PING a", "$1\r\na"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("ECHO x", "$1\r\nx"),
        ("SELECT 0", "+OK"),
        ("SELECT 15", "+OK"),
        ("SELECT 16", "-ERR DB index is out of range"),
        ("SELECT -1", "-ERR DB index is out of range"),
        ("SELECT -1", "-ERR DB index is out of range"),
        ("SELECT abc", "-ERR value is not an integer or out of range"),
        ("SELECT 99999999999999999999", "-ERR value is not an integer or out of range"),
        (
            "SELECT 2147483648",
            "-ERR value is out of range, value must between -2147483648 and 2147483647",
        ),
        ("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0"),
        ("ACL WHOAMI", "$7\r\ndefault"),
        ("CLUSTER INFO", "-ERR This instance has cluster support disabled"),
        ("ASKING", "-ERR This instance has cluster support disabled"),
        ("READONLY", "-ERR This instance has cluster support disabled"),
        ("AUTH default a", "+OK"),
        ("AUTH foo bar", WRONG_PASS),
        ("AUTH a b c", "-ERR syntax error"),
        (
            "AUTH a",
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
    ]);
}

#[test]
fn quit_and_reset() {
    let gateway = Gateway::new(Some("secret"));
    let mut client = gateway.client();
    client.ask("HELLO 3 AUTH default secret SETNAME me");
    client.ask("CLIENT SETINFO lib-name driver");
    client.ask("CLIENT REPLY OFF");
    assert_eq!(client.ask("RESET"), "+RESET\r\n");
    assert_eq!(client.state.protocol, Protocol::Resp2);
    assert_eq!(client.state.info.protocol(), 2);
    assert_eq!(client.state.replies, ReplyMode::On);
    assert!(!client.state.authenticated && !client.state.closing);
    assert_eq!(client.state.info.texts().name, "");
    assert_eq!(client.state.info.texts().lib_name, "driver");
    // In a 7.0.15 the reply to RESET is skipped then.
    client.ask("CLIENT REPLY SKIP");
    client.ask("RESET");
    assert_eq!(client.state.replies, ReplyMode::SkipNext);
    assert_eq!(client.ask("QUIT a b"), "+OK\r\n");
    assert!(client.state.closing);
}

#[test]
fn hello() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    let version = client.ask("HELLO").split("\r\n").nth(8).unwrap().to_owned();
    let greeting = |proto: u8| {
        let head = if proto == 2 { "*14" } else { "%7" };
        format!(
            "{head}\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n${}\r\n{version}\r\n$5\r\n\
             proto\r\n:{proto}\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\n\
             role\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0",
            version.len()
        )
    };
    let (resp2, resp3) = (greeting(2), greeting(3));
    client.check(&[
        ("HELLO", &resp2),
        ("HELLO 3", &resp3),
        ("HELLO", &resp3),
        ("PING", "+PONG"),
        ("CLIENT GETNAME", "_"),
        ("HELLO 2 SETNAME b", &resp2),
        ("CLIENT GETNAME", "$1\r\nb"),
        ("HELLO 2 setname é", NAME_ERROR),
        ("HELLO 3 AUTH default x", &resp3),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 1", "-NOPROTO unsupported protocol version"),
        ("HELLO abc", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO SETNAME b", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 AUTH", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 AUTH foo x", WRONG_PASS),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        ("HELLO 3 f\r\no", "-ERR Syntax error in HELLO option 'f  o'"),
        ("HELLO 2 SETNAME c FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        // As in Redis since 7.2; a 7.0.15 would have set the name.
        ("CLIENT GETNAME", "$1\r\nb"),
        ("HELLO", &resp3),
    ]);
}

/// Seen from a 7.0.15 with `requirepass secret`, but for `<proto>`, which is newer.
#[test]
fn hello_and_auth_with_a_password() {
    let no_auth = "-NOAUTH HELLO must be called with the client already authenticated, otherwise \
                   the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the \
                   client and select the RESP protocol version at the same time";
    let gateway = Gateway::new(Some("secret"));
    let mut client = gateway.client();
    client.check(&[
        ("HELLO", no_auth),
        ("HELLO 3 SETNAME a", no_auth),
        ("HELLO 9", "-NOPROTO unsupported protocol version"),
        ("HELLO 3 AUTH default wrong", WRONG_PASS),
        ("HELLO 3 AUTH foo secret", WRONG_PASS),
        ("AUTH wrong", WRONG_PASS),
        ("AUTH foo secret", WRONG_PASS),
    ]);
    assert!(!client.state.authenticated && client.state.protocol == Protocol::Resp2);
    assert!(client.ask("HELLO 3 SETNAME ok AUTH default secret").starts_with("%7\r\n"));
    assert!(client.state.authenticated);
    // Once in, a wrong password does not put a client out.
    client.check(&[("AUTH wrong", WRONG_PASS), ("CLIENT GETNAME", "$2\r\nok")]);
    assert!(client.state.authenticated);
    let mut other = gateway.client();
    other.check(&[("AUTH secret", "+OK")]);
    assert!(other.state.authenticated);
}

#[test]
fn help_is_lines() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    let reply = client.ask("COMMAND HELP");
    // Seen from a 7.0.15.
    assert!(reply.starts_with(
        "*21\r\n+COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n\
         +(no subcommand)\r\n+    Return details about all Redis commands.\r\n"
    ));
    assert!(reply.ends_with("+HELP\r\n+    Prints this help.\r\n"));
    assert!(client.ask("CLIENT HELP").contains("\r\n+ID\r\n"));
}

/// What client libraries send first, in the order in which they do.
#[test]
fn first_requests_of_client_libraries() {
    let gateway = Gateway::new(None);
    let mut client = gateway.client();
    for request in [
        "HELLO 3 SETNAME app",
        "CLIENT SETINFO LIB-NAME redis-py(django-redis_v5.4.0)",
        "CLIENT SETINFO LIB-VER 5.0.1",
        "CLIENT SETNAME app",
        "CLIENT ID",
        "CLIENT NO-EVICT OFF",
        "SELECT 0",
        "ROLE",
        "CLIENT LIST ID 1",
        "COMMAND",
        "PING",
    ] {
        let reply = client.ask(request);
        assert!(!reply.is_empty() && !reply.starts_with('-'), "{request}: {reply}");
    }
    // Asked for by newer libraries, which take an error for an older server.
    let refused = client.ask("CLIENT MAINT_NOTIFICATIONS ON");
    assert_eq!(refused, "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n");
}
