//! A small Redis that does wrong on purpose: a script decides about each command.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What to do with a command.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// What Redis would.
    Obey,
    /// Answer with an error and do nothing.
    Refuse(&'static str),
    /// Close the connection without an answer.
    Close,
    /// Obey, but send this instead of the reply.
    Say(&'static [u8]),
    /// Send this instead of the reply and close the connection.
    SayAndClose(&'static [u8]),
    /// Obey after so many milliseconds, during which all connections wait.
    Stall(u64),
    /// Answer a GET with the right length and a changed byte.
    Corrupt,
}

/// Decides by the command's name and by how many of that name came before it.
type Script = fn(&str, u64) -> Act;

/// The server; its threads end with the test's process, and it accepts nobody once dropped.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

struct Shared {
    script: Script,
    values: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    seen: Mutex<HashMap<String, u64>>,
}

impl ScriptedServer {
    /// Starts one.
    pub(crate) fn start(script: Script) -> ScriptedServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared { script, values: Mutex::default(), seen: Mutex::default() });
        let stop = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { return };
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        ScriptedServer { address, stopped }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the accept loop, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let words = command(&mut reader)?;
        let name = String::from_utf8_lossy(words.first()?).into_owned();
        let before = {
            let mut seen = shared.seen.lock().unwrap();
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let reply = match (shared.script)(&name, before) {
            Act::Obey => obey(&name, &words, shared),
            Act::Refuse(text) => format!("-{text}\r\n").into_bytes(),
            Act::Close => return None,
            Act::Say(reply) => {
                obey(&name, &words, shared);
                reply.to_vec()
            }
            Act::SayAndClose(reply) => {
                writer.write_all(reply).ok()?;
                return None;
            }
            Act::Stall(milliseconds) => {
                let values = shared.values.lock().unwrap();
                std::thread::sleep(Duration::from_millis(milliseconds));
                drop(values);
                obey(&name, &words, shared)
            }
            Act::Corrupt => corrupted(obey(&name, &words, shared)),
        };
        writer.write_all(&reply).ok()?;
    }
}

fn obey(name: &str, words: &[Vec<u8>], shared: &Shared) -> Vec<u8> {
    let mut values = shared.values.lock().unwrap();
    match (name, words) {
        ("PING", _) => b"+PONG\r\n".to_vec(),
        ("SET", [_, key, value]) => {
            values.insert(key.clone(), value.clone());
            b"+OK\r\n".to_vec()
        }
        ("GET", [_, key]) => match values.get(key) {
            Some(value) => {
                let head = format!("${}\r\n", value.len());
                [head.as_bytes(), value, b"\r\n"].concat()
            }
            None => b"$-1\r\n".to_vec(),
        },
        ("UNLINK", [_, key]) => {
            format!(":{}\r\n", u8::from(values.remove(key).is_some())).into_bytes()
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

/// The last byte of the value lies before the final CRLF.
fn corrupted(mut reply: Vec<u8>) -> Vec<u8> {
    if let Some(at) = reply.len().checked_sub(3) {
        reply[at] ^= 1;
    }
    reply
}

fn command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let words = number(reader, '*')?;
    let mut command = Vec::new();
    for _ in 0..words {
        let mut word = vec![0; number(reader, '$')? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        command.push(word);
    }
    Some(command)
}

fn number(reader: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}
