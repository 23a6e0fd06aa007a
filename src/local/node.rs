//! One node: a `redis-server` process with its port, folder and log.
//!
//! Owns finding the server, its arguments, and ending it. Knows nothing of the cluster it is in.
//! Invariant: a process is gone when its `Node` is, whatever happened in between.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::LocalError;

/// Names of servers that understand the same arguments, the first found wins.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
/// How much of a log is shown when its node has exited.
const LOG_BYTES_SHOWN: u64 = 4096;
const LOG_LINES_SHOWN: usize = 12;

/// The server of this machine.
#[derive(Debug)]
pub(super) struct Server {
    program: PathBuf,
    /// `setpriv`, by which the kernel ends the nodes when this program is killed without a chance
    /// to do it. Not every system has it.
    guard: Option<PathBuf>,
}

/// A running node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: SocketAddr,
    log: PathBuf,
    child: Child,
}

// === impl Server ===

impl Server {
    /// Looks along `PATH`, and has the server say its version, so that one that cannot run at all
    /// is told from one that does not like its arguments.
    pub(super) fn find() -> Result<Server, LocalError> {
        let program = SERVERS.iter().find_map(|name| in_path(name)).ok_or(LocalError::NoServer)?;
        let guard = in_path("setpriv");
        for guard in [guard, None] {
            let server = Server { program: program.clone(), guard };
            let mut command = server.command();
            command.arg("--version").stdin(Stdio::null());
            match command.output() {
                Ok(output) if output.status.success() => return Ok(server),
                // An older or smaller `setpriv` does not know the option: do without.
                _ if server.guard.is_some() => {}
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    return Err(LocalError::BrokenServer(program, said));
                }
                Err(error) => return Err(LocalError::BrokenServer(program, error.to_string())),
            }
        }
        Err(LocalError::NoServer)
    }

    fn command(&self) -> Command {
        let Some(guard) = &self.guard else { return Command::new(&self.program) };
        let mut command = Command::new(guard);
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
        command
    }

    /// Starts a node on `port`. With `keeps_data` it finds its data again the next time.
    pub(super) fn start(
        &self,
        port: u16,
        folder: &Path,
        keeps_data: bool,
    ) -> Result<Node, LocalError> {
        let in_folder = |error| LocalError::Folder(folder.to_owned(), error);
        fs::create_dir_all(folder).map_err(in_folder)?;
        let log = folder.join("redis.log");
        let output = File::create(&log).map_err(in_folder)?;
        let errors = output.try_clone().map_err(in_folder)?;
        let mut command = self.command();
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"])
            .args(["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"])
            // Until its master has said something, a replica is not shown to clients.
            .args(["--repl-ping-replica-period", "1"])
            .args(["--save", "", "--appendonly", if keeps_data { "yes" } else { "no" }])
            .args(["--logfile", ""])
            .arg("--dir")
            .arg(folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in a terminal goes to the whole group; the nodes are to end after the gateway.
            .process_group(0);
        let child = command
            .spawn()
            .map_err(|error| LocalError::BrokenServer(self.program.clone(), error.to_string()))?;
        Ok(Node { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), log, child })
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

// === impl Node ===

impl Node {
    /// How the process ended, if it has. A process that cannot be asked is taken for running.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The number of the process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end.
    pub(super) fn ask_to_stop(&mut self) {
        // Once it was waited for, its number may belong to another process.
        if self.exited().is_some() {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended this very moment, which is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends the process.
    pub(super) fn kill(&mut self) {
        // Both fail only when there is no such process any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of what it has logged.
    pub(super) fn last_words(&self) -> String {
        let text = tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"));
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines.get(first..).unwrap_or_default().join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_BYTES_SHOWN);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_SHOWN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
