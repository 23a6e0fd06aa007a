//! A Redis of a test's own: started on a free port, killed when dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A running server without persistence.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts one with further options.
    pub(crate) fn start(options: &[&str]) -> RedisServer {
        // Another program may take the port between finding it free and using it.
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let port = free_port();
            let child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .arg("--dir")
                .arg(directory.path())
                .args(options)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server must be installed and on PATH for these tests");
            let mut server = RedisServer { child, port, _directory: directory };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server did not start");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many keys it holds.
    pub(crate) fn key_count(&self) -> u64 {
        let reply = self.ask("DBSIZE\r\n").unwrap();
        reply.trim().trim_start_matches(':').parse().unwrap()
    }

    fn answers(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < START_TIME_MAX {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            // With a password set, the answer is an error, which is as good.
            if self.ask("PING\r\n").is_ok_and(|reply| !reply.is_empty()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn ask(&self, line: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(START_TIME_MAX))?;
        stream.write_all(line.as_bytes())?;
        let mut reply = [0; 256];
        let length = stream.read(&mut reply)?;
        Ok(String::from_utf8_lossy(&reply[..length]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nothing listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
