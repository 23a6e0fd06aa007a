//! A `redis-server` that a test starts and asks.

use slotway::resp::Value;
use testkit::client::{Client, put};
use testkit::server::{RedisServer, free_address};

use crate::request::Request;

/// A running server and a connection to it; stopped when dropped.
pub(crate) struct Server {
    _server: RedisServer,
    client: Client,
}

impl Server {
    /// Starts one on a free port, with these options beside the usual.
    pub(crate) fn start(options: &[&str]) -> Server {
        // The port that nodes talk to each other at is too high 10,000 above some free ones.
        let bus = free_address().port().to_string();
        let server = RedisServer::start(&[options, &["--cluster-port", &bus]].concat());
        Server { client: server.client(), _server: server }
    }

    /// Sends a request and reads the reply.
    pub(crate) fn send(&mut self, words: &[&str]) -> Value {
        let mut request = Vec::new();
        put(&mut request, words);
        let (_, reply) = self.client.exchange(&request, 1).remove(0);
        let (value, used) = Value::decode(&reply).expect("a reply of RESP2").expect("a whole one");
        assert_eq!(used, reply.len());
        value
    }

    /// Sends what has to succeed.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Value {
        let reply = self.send(words);
        assert!(!matches!(reply, Value::Error(_)), "{words:?}: {reply:?}");
        reply
    }

    /// A line of INFO's section on the server.
    pub(crate) fn info(&mut self, field: &str) -> String {
        let info = self.ask(&["INFO", "server"]);
        let mut lines = info.as_str().expect("a text").lines().filter_map(|l| l.split_once(':'));
        lines.find(|(name, _)| *name == field).expect(field).1.to_string()
    }

    /// What `COMMAND GETKEYS` or `GETKEYSANDFLAGS` answers, as text.
    pub(crate) fn get_keys(&mut self, sub: &str, request: &Request) -> String {
        let mut words = vec!["COMMAND", sub];
        words.extend(request.words());
        match self.send(&words) {
            Value::Error(error) => error,
            reply => {
                let keys = reply.as_array().expect("a list").iter().map(key_text);
                keys.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// `key`, or `key(flags)`.
fn key_text(key: &Value) -> String {
    let Some(pair) = key.as_array() else {
        return key.as_str().expect("a key").to_string();
    };
    let flags = pair[1].as_array().expect("flags").iter().filter_map(Value::as_str);
    format!("{}({})", pair[0].as_str().expect("a key"), flags.collect::<Vec<_>>().join(" "))
}
