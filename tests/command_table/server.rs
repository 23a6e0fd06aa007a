//! A `redis-server` that a test starts, asks and stops.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slotway::resp::Value;

use crate::request::Request;

/// A running server and a connection to it; stopped when dropped.
pub(crate) struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Starts one on a free port, with these options beside the usual.
    pub(crate) fn start(options: &[&str]) -> Server {
        // A port may be taken, or be taken before the server gets there.
        for _ in 0..20 {
            if let Some(server) = Server::try_start(options) {
                return server;
            }
        }
        panic!("redis-server did not start on any of twenty ports");
    }

    fn try_start(options: &[&str]) -> Option<Server> {
        let dir = tempfile::tempdir().expect("a directory for the server");
        // Below the ports that the system hands out; nodes talk to each other 6,000 above.
        let port = fastrand::u16(18_000..24_000);
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        let bus = (port + 6_000).to_string();
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--cluster-port", &bus, "--dir"])
            .arg(dir.path())
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs `redis-server` (7.0 or later) in the PATH");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(process.try_wait(), Ok(None)) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
            let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
            let pid = process.id().to_string();
            let mut server = Server { process, stream: BufReader::new(stream), _dir: dir };
            // The port may have gone to the server of another test.
            return (server.info("process_id") == pid).then_some(server);
        }
        let _ = process.kill();
        let _ = process.wait();
        None
    }

    /// Sends a request and reads the reply.
    pub(crate) fn send(&mut self, words: &[&str]) -> Value {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        self.stream.get_mut().write_all(&request).expect("sent");
        read_value(&mut self.stream)
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads one reply of RESP2.
fn read_value(stream: &mut BufReader<TcpStream>) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a reply");
    let line = line.trim_end_matches("\r\n");
    let rest = line.get(1..).expect("a reply").to_string();
    let number = || rest.parse::<i64>().expect("a number");
    match line.as_bytes()[0] {
        b'+' => Value::Simple(rest),
        b'-' => Value::Error(rest),
        b':' => Value::Int(number()),
        b'$' | b'*' if number() < 0 => Value::Null,
        b'$' => {
            let mut bytes = vec![0; number() as usize + 2];
            stream.read_exact(&mut bytes).expect("a bulk string");
            bytes.truncate(number() as usize);
            Value::Bulk(bytes)
        }
        b'*' => Value::Array((0..number()).map(|_| read_value(stream)).collect()),
        other => panic!("a reply of RESP2 does not begin with {:?}", char::from(other)),
    }
}
