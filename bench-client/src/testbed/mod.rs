//! Everything a comparison runs against: Redis nodes, and proxies in front of them.
//!
//! Owns what is started and in which order. Knows nothing of loads or figures. `child` is one process,
//! `cluster` the nodes, `proxies` how each proxy is set up, `fill` the keys, `wire` short
//! conversations. Invariant: when a `Testbed` is gone, so are its processes and its folder.

mod child;
mod cluster;
mod fill;
mod proxies;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;

use child::{Child, Ports};
use cluster::Cluster;
pub(crate) use proxies::Front;
use proxies::Setup;

/// Started programs answer within this time, or something is wrong.
const START_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Options that say which programs are started.
#[derive(Clone, Debug, Args)]
pub(crate) struct TestbedArgs {
    /// A build of the gateway, by the name it has in the table; may be given several times
    /// [default: slotway= the one beside this program].
    #[arg(long = "gateway", value_name = "NAME=PATH", value_parser = parse_named_path)]
    gateways: Vec<(String, PathBuf)>,
    /// Where HAProxy is [default: looked for in PATH and /usr/sbin].
    #[arg(long, value_name = "PATH")]
    haproxy: Option<PathBuf>,
    /// Where Envoy is [default: looked for in PATH and target/venv/bin].
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Worker threads of each proxy.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// A proxy that runs already, with its port on this machine and the number of its process. It
    /// gets the keys through its port. May be given several times.
    #[arg(long, value_name = "NAME=PORT:PID", value_parser = parse_also)]
    also: Vec<Also>,
    /// Only these of all, by their names.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Also the load straight to the lone Redis, as `direct`, with nothing between.
    #[arg(long)]
    direct: bool,
}

/// A proxy that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Also {
    name: String,
    port: u16,
    pid: u32,
}

/// Something that gets the load.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    /// Its name in tables.
    pub(crate) name: String,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// What is behind it, and whose it is.
    pub(crate) front: Front,
}

/// What runs.
pub(crate) struct Testbed {
    /// Who gets the load, in the order of the table.
    pub(crate) proxies: Vec<Proxy>,
    children: Vec<Child>,
    cluster: Option<Cluster>,
    lone: Option<SocketAddr>,
    /// Removed after the processes: fields are dropped in order.
    folder: TempDir,
}

/// Which Redis nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// Masters of the cluster.
    pub(crate) masters: usize,
    /// Whether each has a replica.
    pub(crate) replicas: bool,
    /// Whether there is a Redis alone, too; what is in front of it is measured then, and so is what
    /// runs already.
    pub(crate) lone: bool,
}

impl Testbed {
    /// Starts these nodes and all proxies in front of them.
    pub(crate) fn start(args: &TestbedArgs, nodes: Nodes, stop: &AtomicBool) -> Result<Testbed> {
        let folder = tempfile::Builder::new().prefix("slotway-bench-").tempdir()?;
        let mut ports = Ports::new();
        let setups = proxies::setups(args, nodes.lone);
        let mut children = Vec::new();
        let cluster = if setups.iter().any(|setup| setup.front != Front::Lone) {
            Some(Cluster::start(folder.path(), &mut ports, nodes, stop)?)
        } else {
            None
        };
        let lone = if setups.iter().any(|setup| setup.front == Front::Lone)
            || (args.direct && nodes.lone)
        {
            let port = ports.next()?;
            children.push(cluster::lone(folder.path(), port, stop)?);
            Some(local(port))
        } else {
            None
        };
        let mut testbed = Testbed { proxies: Vec::new(), children, cluster, lone, folder };
        for setup in setups {
            testbed
                .add(&setup, &mut ports, args.workers, stop)
                .with_context(|| format!("{} does not start", setup.name))?;
        }
        if nodes.lone {
            testbed.add_running(args);
        } else {
            args.say_what_is_left_out();
        }
        if testbed.proxies.is_empty() {
            bail!("there is nothing to measure: --only names nothing that is here");
        }
        Ok(testbed)
    }

    /// Nothing is started: only what runs at `address` already.
    pub(crate) fn running(address: SocketAddr) -> Result<Testbed> {
        // Process 0 is nobody's: its CPU time and memory are not there to be read.
        let name = address.to_string();
        let proxies = vec![Proxy { name, address, pid: 0, front: Front::Elsewhere }];
        let folder = tempfile::Builder::new().prefix("slotway-bench-").tempdir()?;
        Ok(Testbed { proxies, children: Vec::new(), cluster: None, lone: None, folder })
    }

    fn add(
        &mut self,
        setup: &Setup,
        ports: &mut Ports,
        workers: u16,
        stop: &AtomicBool,
    ) -> Result<()> {
        let (port, admin) = (ports.next()?, ports.next()?);
        let behind = match setup.front {
            Front::Lone => self.lone,
            _ => self.cluster.as_ref().and_then(Cluster::seed),
        };
        let behind = behind.context("there is no Redis to put it in front of")?;
        let place = proxies::Place { port, admin, behind, workers };
        let child = setup.start(self.folder.path(), &place)?;
        let pid = child.pid();
        self.children.push(child);
        let answers = wire::until_answers(local(port), "GET bench:nothing", stop);
        if let (Err(error), Some(child)) = (answers, self.children.last()) {
            bail!("{error:#}; the end of its log:\n{}", child.last_words());
        }
        let (name, front) = (setup.name.clone(), setup.front);
        self.proxies.push(Proxy { name, address: local(port), pid, front });
        Ok(())
    }

    fn add_running(&mut self, args: &TestbedArgs) {
        if let (true, Some(address)) = (args.direct, self.lone) {
            let pid = self.children.first().map_or(0, Child::pid);
            self.proxies.push(Proxy { name: "direct".into(), address, pid, front: Front::Direct });
        }
        for also in args.also.iter().filter(|also| args.wants(&also.name)) {
            let (name, address) = (also.name.clone(), local(also.port));
            self.proxies.push(Proxy { name, address, pid: also.pid, front: Front::Elsewhere });
        }
    }

    /// Writes all keys with values of `bytes`, to each Redis that will be asked for them.
    pub(crate) fn fill(&self, bytes: usize, keys: u64) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            for (address, slots) in cluster.masters() {
                fill::fill(*address, bytes, keys, slots.clone())?;
            }
        }
        let elsewhere = self.proxies.iter().filter(|proxy| proxy.front == Front::Elsewhere);
        for address in self.lone.into_iter().chain(elsewhere.map(|proxy| proxy.address)) {
            fill::fill(address, bytes, keys, fill::ALL_SLOTS)?;
        }
        Ok(())
    }

    /// All processes that belong to the comparison.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let nodes = self.cluster.iter().flat_map(Cluster::pids);
        let mut pids: Vec<u32> = self.children.iter().map(Child::pid).chain(nodes).collect();
        pids.extend(self.proxies.iter().map(|proxy| proxy.pid).filter(|pid| *pid > 0));
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

impl TestbedArgs {
    /// What runs already has the nodes it has, however many are asked for.
    fn say_what_is_left_out(&self) {
        let wanted = self.also.iter().filter(|also| self.wants(&also.name));
        for also in wanted {
            eprintln!("{} is left out here: the nodes behind it are not these", also.name);
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until `is_so` says so.
fn wait_until(
    what: &str,
    stop: &AtomicBool,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let last = is_so();
        if let Ok(true) = last {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if Instant::now() > deadline {
            return match last {
                Err(error) => Err(error.context(format!("waited in vain for {what}"))),
                Ok(_) => bail!("waited in vain for {what}"),
            };
        }
        std::thread::sleep(POLL);
    }
}

fn parse_named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if is_name(name) && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err("write NAME=PATH, the name in letters, digits, '-', '_' or '.'".to_owned()),
    }
}

fn parse_also(text: &str) -> Result<Also, String> {
    let parts = text.split_once('=').and_then(|(name, rest)| {
        let (port, pid) = rest.split_once(':')?;
        Some(Also { name: name.to_owned(), port: port.parse().ok()?, pid: pid.parse().ok()? })
    });
    parts.filter(|also| is_name(&also.name)).ok_or_else(|| {
        "write NAME=PORT:PID, the name in letters, digits, '-', '_' or '.'".to_owned()
    })
}

/// Names become names of folders and cells of tables.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_proxies_are_named_with_port_and_process() {
        let also = parse_also("mine=7010:42").unwrap();
        assert_eq!((also.name.as_str(), also.port, also.pid), ("mine", 7010, 42));
        for wrong in
            ["mine", "mine=7010", "=7010:42", "../a=7010:42", "mine=70100:42", "mine=7010:x"]
        {
            assert!(parse_also(wrong).is_err(), "{wrong}");
        }
    }
}
