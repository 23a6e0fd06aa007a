//! `slotway top`: what the operator's page shows, in a terminal.
//!
//! Owns the layout of the lines. Knows nothing of how the figures are come by: they are those of
//! `/api/status.json`.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use crate::admin::overview::Overview;
use crate::admin::overview::cluster::NodeOverview;
use crate::admin::words::{grouped, number, size, span, time_of_day};
use crate::admin_port::{self, Question};
use crate::config::Secret;
use crate::resp::shown;

/// Hundreds of nodes and an hour of samples take less.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Lines of each list below the shards.
const LINES_MAX: usize = 8;

/// Why there is nothing to show.
#[derive(Debug)]
pub enum TopError {
    /// Nobody listens, or nobody answers in time.
    Unreachable(SocketAddr, std::io::Error),
    /// Somebody answers, but not as a gateway does.
    NotOurs(SocketAddr, String),
    /// The password is missing or wrong.
    Password,
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopError::Unreachable(admin, error) => {
                write!(f, "no answer from the admin port {admin}: {error}")
            }
            TopError::NotOurs(admin, why) => {
                write!(f, "{admin} does not answer as the admin port of a gateway: {why}")
            }
            TopError::Password => f.write_str(
                "the page has a password; give its file with --admin-password-file or \
                 SLOTWAY_ADMIN_PASSWORD_FILE",
            ),
        }
    }
}

impl std::error::Error for TopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(_, error) => Some(error),
            Self::NotOurs(..) | Self::Password => None,
        }
    }
}

/// Asks the gateway at `admin` for all there is to show.
pub fn ask(admin: SocketAddr, password: Option<&Secret>) -> Result<Overview, TopError> {
    let path = "/api/status.json";
    let question = Question { admin, path, password, bytes_max: ANSWER_BYTES_MAX };
    let odd = |why: String| TopError::NotOurs(admin, why);
    match admin_port::ask(question).map_err(|error| TopError::Unreachable(admin, error))? {
        Some((200, body)) => serde_json::from_str(&body).map_err(|error| odd(error.to_string())),
        Some((401, _)) => Err(TopError::Password),
        Some((status, _)) => Err(odd(format!("status {status} for {path}"))),
        None => Err(odd("no HTTP".to_owned())),
    }
}

/// The page as lines, each cut at `width`.
pub fn page(overview: &Overview, width: usize) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut text, overview);
    let cut = |line: &str| line.chars().take(width).collect::<String>();
    text.lines().map(|line| cut(line.trim_end()) + "\n").collect()
}

fn write_page(text: &mut String, overview: &Overview) -> fmt::Result {
    let (gateway, now) = (&overview.gateway, &overview.now);
    let state = match &gateway.reason {
        None => "serving".to_owned(),
        Some(reason) => format!("NOT SERVING: {}", shown(reason)),
    };
    let (version, up) = (&gateway.version, span(gateway.uptime_s));
    writeln!(text, "slotway {version}  {state}  up {up}  {} UTC", time_of_day(overview.time_ms))?;
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), number);
    writeln!(
        text,
        "requests/s {}  errors/s {}  p50 {} ms  p99 {} ms  clients {} of {}  in flight {}  \
         buffers {}",
        number(now.requests_per_s),
        number(now.errors_per_s),
        ms(now.p50_ms),
        ms(now.p99_ms),
        grouped(gateway.clients as u64),
        grouped(gateway.clients_max as u64),
        grouped(overview.inflight),
        size(overview.memory.used as u64),
    )?;
    let cluster = &overview.cluster;
    for problem in cluster.problem.iter().chain(&cluster.troubles).take(LINES_MAX) {
        writeln!(text, "! {}", shown(problem))?;
    }
    writeln!(
        text,
        "cluster {}, epoch {}, {} of 16,384 slots, {} failovers\n",
        if cluster.is_ok { "ok" } else { "NOT OK" },
        cluster.epoch,
        grouped(cluster.slots_assigned as u64),
        cluster.failovers,
    )?;
    write_shards(text, overview)?;
    write_clients(text, overview)?;
    write_events(text, overview)
}

fn write_shards(text: &mut String, overview: &Overview) -> fmt::Result {
    writeln!(
        text,
        "{:<28}{:>9}{:>12}{:>10}{:>8}{:>8}{:>10}{:>11}{:>13}  SLOTS",
        "NODE", "STATE", "REQUESTS/s", "ERRORS/s", "P50", "P99", "IN FLIGHT", "MEMORY", "KEYS"
    )?;
    for shard in &overview.cluster.shards {
        write_node(text, &shard.master, "", &shard.slots.words())?;
        for replica in &shard.replicas {
            write_node(text, replica, "  ", "")?;
        }
    }
    for spare in &overview.cluster.spares {
        write_node(text, spare, "", "none")?;
    }
    writeln!(text)
}

fn write_node(text: &mut String, node: &NodeOverview, indent: &str, slots: &str) -> fmt::Result {
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let info = |of: fn(&crate::topology::NodeInfo) -> String| {
        node.info.as_ref().map_or("-".to_owned(), of)
    };
    let state = match node.is_up {
        Some(false) => "DOWN",
        _ if node.info.as_ref().is_some_and(|info| info.is_linked == Some(false)) => "NO MASTER",
        _ if indent.is_empty() => "master",
        _ => "replica",
    };
    writeln!(
        text,
        "{:<28}{state:>9}{:>12}{:>10}{:>8}{:>8}{:>10}{:>11}{:>13}  {slots}",
        format!("{indent}{}", shown(&node.name)),
        number(node.rate.requests_per_s),
        number(node.rate.errors_per_s),
        ms(node.rate.p50_ms),
        ms(node.rate.p99_ms),
        grouped(node.inflight),
        info(|info| size(info.memory_bytes)),
        info(|info| grouped(info.keys)),
    )
}

fn write_clients(text: &mut String, overview: &Overview) -> fmt::Result {
    writeln!(text, "{:<28}{:>12}{:>10}{:>15}", "COMMAND", "REQUESTS/s", "ERRORS/s", "REQUESTS")?;
    for command in overview.commands.iter().take(LINES_MAX) {
        let (rate, errors) = (number(command.requests_per_s), number(command.errors_per_s));
        let requests = grouped(command.requests);
        writeln!(text, "{:<28}{rate:>12}{errors:>10}{requests:>15}", command.name)?;
    }
    writeln!(
        text,
        "\n{:<28}{:>12}{:>11}{:>10}  {:<16}NAME",
        "CLIENT", "REQUESTS/s", "MEMORY", "IDLE", "LAST COMMAND"
    )?;
    for client in overview.clients.busiest.iter().take(LINES_MAX) {
        let (rate, memory) = (number(client.requests_per_s), size(client.memory_bytes as u64));
        let (address, idle) = (&client.address, span(client.idle_s));
        let (command, name) = (&client.command, shown(&client.name));
        writeln!(text, "{address:<28}{rate:>12}{memory:>11}{idle:>10}  {command:<16}{name}")?;
    }
    writeln!(text)
}

fn write_events(text: &mut String, overview: &Overview) -> fmt::Result {
    for event in overview.events.iter().take(LINES_MAX) {
        writeln!(text, "{} {}", time_of_day(event.time_ms), shown(&event.text))?;
    }
    Ok(())
}
