//! One process of ours, and ports for it.
//!
//! Owns its end: a process is gone when its `Child` is. Knows nothing of what it is for.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const LOG_LINES_SHOWN: usize = 12;
/// Below those that systems give to outgoing connections, with the nodes' own ports above.
const PORT_FIRST: u16 = 11_000;
const PORT_LAST: u16 = 18_900;
/// A node talks to others on a port that is so much higher.
const BUS_OFFSET: u16 = 10_000;
const TRIES: usize = 500;

/// A running process.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `program` in `folder`/`name`, where its log goes.
    pub(super) fn start(
        folder: &Path,
        name: &str,
        program: &Path,
        prepare: impl FnOnce(&mut Command, &Path) -> Result<()>,
    ) -> Result<Child> {
        let home = folder.join(name);
        fs::create_dir_all(&home)?;
        let log = home.join("log");
        let output = File::create(&log)?;
        let mut command = guarded(program);
        prepare(&mut command, &home)?;
        command
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C in a terminal goes to the whole group; this program ends the others itself.
            .process_group(0);
        let process =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Child { process, log })
    }

    /// The number of the process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The end of what it has said.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only when there is no such process any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where there is `setpriv`, the kernel ends the process also when this program has no chance to.
fn guarded(program: &Path) -> Command {
    match find("setpriv", &[]) {
        Some(guard) => {
            let mut command = Command::new(guard);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Looks for a program along `PATH`, then in `others`.
pub(super) fn find(name: &str, others: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(others.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Gives ports that are free, each once.
#[derive(Debug)]
pub(super) struct Ports {
    last: u16,
}

impl Ports {
    /// Where to begin is chance, so that two programs that look at the same moment do not meet.
    pub(super) fn new() -> Ports {
        Ports { last: fastrand::u16(PORT_FIRST..=PORT_LAST - 1000) }
    }

    /// The next that is free, together with its bus.
    pub(super) fn next(&mut self) -> Result<u16> {
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        for _ in 0..TRIES {
            self.last += 1;
            if free(self.last) && free(self.last + BUS_OFFSET) {
                return Ok(self.last);
            }
        }
        bail!("no free ports on 127.0.0.1")
    }
}
