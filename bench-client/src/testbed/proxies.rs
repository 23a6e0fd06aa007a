//! How each proxy is set up: its program, its configuration, what is behind it.
//!
//! Owns the configurations that are compared. Knows nothing of loads. Each gets as many threads as
//! the others, and beyond that what its own manual has in its first example.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::TestbedArgs;
use super::child::{self, Child};

/// The name of the gateway in tables when no other is given.
const GATEWAY: &str = "slotway";
const GATEWAY_CLIENTS_MAX: &str = "15000";

/// What is behind something that gets the load, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// This project's gateway, in front of the cluster.
    Gateway,
    /// Another proxy in front of the cluster.
    Cluster,
    /// A proxy that knows no cluster, in front of a single Redis.
    Lone,
    /// A proxy that was there before, in front of what it has been given.
    Elsewhere,
    /// No proxy: a single Redis itself.
    Direct,
}

/// A proxy to be started.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) front: Front,
    program: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Slotway,
    Haproxy,
    Envoy,
}

/// Where a proxy listens, and what it is to reach.
pub(super) struct Place {
    pub(super) port: u16,
    pub(super) admin: u16,
    pub(super) behind: SocketAddr,
    pub(super) workers: u16,
}

/// What is wanted and is here. What is not here is said, and left out.
pub(super) fn setups(args: &TestbedArgs, with_lone: bool) -> Vec<Setup> {
    let mut setups = Vec::new();
    let gateways = match args.gateways.is_empty() {
        true => vec![(GATEWAY.to_owned(), beside_this_program())],
        false => args.gateways.clone(),
    };
    let mut add = |name: &str, program: Option<PathBuf>, front, kind| {
        let program = program.filter(|program| program.is_file());
        match program.and_then(|program| std::path::absolute(program).ok()) {
            _ if !args.wants(name) => {}
            Some(program) => setups.push(Setup { name: name.to_owned(), front, program, kind }),
            None => eprintln!("{name} is not here and is left out (see --help for where to look)"),
        }
    };
    for (name, program) in gateways {
        add(&name, Some(program), Front::Gateway, Kind::Slotway);
    }
    if with_lone {
        let haproxy = args.haproxy.clone().or_else(|| child::find("haproxy", &["/usr/sbin"]));
        add("haproxy", haproxy, Front::Lone, Kind::Haproxy);
    }
    let envoy = args.envoy.clone().or_else(|| child::find("envoy", &["target/venv/bin"]));
    add("envoy", envoy, Front::Cluster, Kind::Envoy);
    setups
}

fn beside_this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("slotway")
}

impl Setup {
    /// Starts it.
    pub(super) fn start(&self, folder: &Path, place: &Place) -> Result<Child> {
        Child::start(folder, &self.name, &self.program, |command, home| {
            match self.kind {
                Kind::Slotway => {
                    for (name, _) in std::env::vars_os() {
                        if name.to_string_lossy().starts_with("SLOTWAY_") {
                            command.env_remove(name);
                        }
                    }
                    command
                        .args(["run", "--log-level", "warn", "--seed", &place.behind.to_string()])
                        .args(["--listen", &format!("127.0.0.1:{}", place.port)])
                        .args(["--admin", &format!("127.0.0.1:{}", place.admin)])
                        .args(["--workers", &place.workers.to_string()])
                        .env("SLOTWAY_LIMITS_CLIENTS_MAX", GATEWAY_CLIENTS_MAX);
                }
                Kind::Haproxy => {
                    let file = home.join("haproxy.cfg");
                    fs::write(&file, haproxy(place))?;
                    command.args(["-db", "-f"]).arg(file);
                }
                Kind::Envoy => {
                    let file = home.join("envoy.yaml");
                    fs::write(&file, envoy(place))?;
                    let threads = place.workers.to_string();
                    command.args(["--concurrency", &threads, "--log-level", "warn"]);
                    command.args(["--use-dynamic-base-id", "-c"]).arg(file);
                }
            }
            Ok(())
        })
    }
}

fn haproxy(place: &Place) -> String {
    let Place { port, behind, workers, .. } = place;
    format!(
        "global\n  nbthread {workers}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen redis\n  bind 127.0.0.1:{port}\n  server one {behind}\n"
    )
}

fn envoy(place: &Place) -> String {
    let Place { port, admin, behind, .. } = place;
    let (host, node_port) = (behind.ip(), behind.port());
    format!(
        r#"admin:
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }}
static_resources:
  listeners:
  - name: redis
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: redis
          settings: {{ op_timeout: 30s, enable_redirection: true }}
          prefix_routes: {{ catch_all_route: {{ cluster: nodes }} }}
  clusters:
  - name: nodes
    connect_timeout: 5s
    lb_policy: CLUSTER_PROVIDED
    circuit_breakers:
      thresholds: [ {{ max_connections: 65536, max_pending_requests: 1048576, max_requests: 1048576 }} ]
    cluster_type:
      name: envoy.clusters.redis
      typed_config:
        "@type": type.googleapis.com/google.protobuf.Struct
        value: {{ cluster_refresh_rate: 10s, cluster_refresh_timeout: 3s }}
    load_assignment:
      cluster_name: nodes
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {node_port} }} }} }}
"#
    )
}
