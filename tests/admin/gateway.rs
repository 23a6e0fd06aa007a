//! A running `slotway`, ended with the test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// An address nobody listens on.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The program with nothing of ours in the environment.
pub(crate) fn slotway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// `slotway run`.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: tempfile::NamedTempFile,
}

impl Gateway {
    /// Starts it in front of `seed` and waits until its admin port answers.
    pub(crate) fn start(seed: SocketAddr, variables: &[(&str, &str)]) -> Gateway {
        Gateway::start_at(&seed.to_string(), variables)
    }

    /// The same in front of a seed that may have a name.
    pub(crate) fn start_at(seed: &str, variables: &[(&str, &str)]) -> Gateway {
        let (clients, admin) = (free(), free());
        let mut command = slotway();
        command.args(["run", "--workers", "2", "--seed", seed]);
        command.args(["--listen", &clients.to_string(), "--admin", &admin.to_string()]);
        let log = tempfile::NamedTempFile::new().unwrap();
        command.envs(variables.iter().copied()).stderr(log.reopen().unwrap());
        let process = command.spawn().unwrap();
        let mut gateway = Gateway { process, clients, admin, log };
        gateway.wait_for("the admin port", || TcpStream::connect(admin).is_ok());
        gateway
    }

    /// Looks again and again until it is so.
    pub(crate) fn wait_for(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(self.process.try_wait().unwrap().is_none(), "{what}: slotway has ended");
            assert!(start.elapsed() < PATIENCE, "{what} does not come");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
