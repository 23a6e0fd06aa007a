//! Two clients that take their time: one uploads, one downloads, both a large value.
//!
//! Owns their pace. Knows nothing of who is measured beside them. Invariant: both are gone when a
//! `Slow` has ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::workload;

const UPLOAD_BYTES: usize = 4 << 20;
const DOWNLOAD_BYTES: usize = 64 << 20;
/// 10 KB/s.
const PIECE_BYTES: usize = 1000;
const PIECE_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);
const DOWNLOAD_KEY: &str = "bench:slow:download";
const UPLOAD_KEY: &str = "bench:slow:upload";

/// Writes the value that will be downloaded.
pub(super) fn prepare(address: SocketAddr) -> Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(&set_head(DOWNLOAD_KEY, DOWNLOAD_BYTES))?;
    stream.write_all(&workload::value(DOWNLOAD_BYTES))?;
    stream.write_all(b"\r\n")?;
    let mut reply = [0; 5];
    stream.read_exact(&mut reply)?;
    ensure!(&reply == b"+OK\r\n", "it is refused: {}", String::from_utf8_lossy(&reply));
    Ok(())
}

/// The two, under way.
pub(super) struct Slow {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<bool>>,
}

impl Slow {
    /// Connects both and lets them begin.
    pub(super) fn start(address: SocketAddr) -> Result<Slow> {
        let stop = Arc::new(AtomicBool::new(false));
        let (up, down) = (connect(address)?, connect(address)?);
        let (up_stop, down_stop) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            std::thread::spawn(move || upload(up, &up_stop)),
            std::thread::spawn(move || download(down, &down_stop)),
        ];
        Ok(Slow { stop, threads })
    }

    /// Ends both. Returns whether both were still at it.
    pub(super) fn end(self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let mut at_it = true;
        for thread in self.threads {
            at_it &= thread.join().unwrap_or(false);
        }
        at_it
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn set_head(key: &str, bytes: usize) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len()).into_bytes()
}

/// Both return whether they were still at it when they were told to stop.
fn upload(mut stream: TcpStream, stop: &AtomicBool) -> bool {
    if stream.write_all(&set_head(UPLOAD_KEY, UPLOAD_BYTES)).is_err() {
        return false;
    }
    for _ in 0..UPLOAD_BYTES / PIECE_BYTES {
        if stop.load(Ordering::Relaxed) {
            return true;
        }
        if stream.write_all(&[b'v'; PIECE_BYTES]).is_err() {
            return false;
        }
        std::thread::sleep(PIECE_EVERY);
    }
    false
}

fn download(mut stream: TcpStream, stop: &AtomicBool) -> bool {
    let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{DOWNLOAD_KEY}\r\n", DOWNLOAD_KEY.len());
    if stream.write_all(request.as_bytes()).is_err() {
        return false;
    }
    let mut piece = [0; PIECE_BYTES];
    for _ in 0..DOWNLOAD_BYTES / PIECE_BYTES {
        if stop.load(Ordering::Relaxed) {
            return true;
        }
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        std::thread::sleep(PIECE_EVERY);
    }
    false
}
