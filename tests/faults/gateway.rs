//! The gateway as a process: started, killed, started again, and asked for its figures.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use slotway::resp::Value;

use crate::http;
use crate::link::Link;
use crate::nodes::{Process, slotway, until};

/// A running gateway with two workers.
pub(crate) struct Gateway {
    process: Process,
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    seeds: String,
    settings: Vec<(String, String)>,
    log: PathBuf,
}

impl Gateway {
    /// In front of the cluster that these seeds lead to; waits until it serves all slots.
    pub(crate) fn start(folder: &Path, seeds: &[SocketAddr], settings: &[(&str, &str)]) -> Gateway {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (clients, admin) = (free(), free());
        let log = folder.join(format!("gateway-{}.log", clients.port()));
        let seeds = seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let process = launch((clients, admin), &seeds, &settings, &log);
        let mut gateway = Gateway { process, clients, admin, seeds, settings, log };
        gateway.wait_until_it_serves();
        gateway
    }

    /// Kills it and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.end();
    }

    /// Starts it again at the same address, after it has been killed.
    pub(crate) fn run(&mut self) {
        let addresses = (self.clients, self.admin);
        self.process = launch(addresses, &self.seeds, &self.settings, &self.log);
        self.wait_until_it_serves();
    }

    fn wait_until_it_serves(&mut self) {
        let (address, log) = (self.clients, self.log.clone());
        until("a gateway that serves", || {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(self.process.ended().is_none(), "the gateway has ended:\n{}", said());
            let size = Link::connect(address).and_then(|mut link| link.call(&["DBSIZE"]));
            matches!(size, Ok(Value::Int(_)))
        });
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Link {
        Link::connect(self.clients).unwrap()
    }

    /// The sum of a metric over all its labels, or over those lines that have `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let body = http::get(self.admin, "/metrics").body;
        let of_name = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        };
        let values = body.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// All that it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until every node of its map, and every database, has been looked at, so that the
    /// connections for that are there.
    pub(crate) fn wait_for_looks(&self) {
        until("a look at every node and database", || {
            let status = http::get(self.admin, "/api/status.json").body;
            let databases = http::get(self.admin, "/metrics").body;
            status.contains("\"info\":{")
                && !status.contains("\"info\":null")
                && databases.contains("slotway_database_keys{database=\"15\"}")
        });
    }

    /// Waits until nothing is under way, held or buffered; what is not at rest is told.
    pub(crate) fn wait_for_rest(&self) {
        const RESTING: [(&str, &str); 5] = [
            ("slotway_client_connections", ""),
            ("slotway_inflight_commands", ""),
            ("slotway_upstream_inflight", ""),
            ("slotway_buffered_bytes", "held"),
            ("slotway_buffered_bytes", "client"),
        ];
        for (name, label) in RESTING {
            until(&format!("{name} {label} at 0"), || self.metric(name, label) == 0.0);
        }
    }
}

fn launch(
    (clients, admin): (SocketAddr, SocketAddr),
    seeds: &str,
    settings: &[(String, String)],
    log: &Path,
) -> Process {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut command = slotway(&[]);
    command
        .args(["run", "--workers", "2", "--seed", seeds])
        .args(["--listen", &clients.to_string(), "--admin", &admin.to_string()])
        // Elections take longer on a machine that is busy with other tests.
        .env("SLOTWAY_TIMEOUTS_FAILOVER_WAIT", "40s")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Process::start(&mut command)
}
