//! INFO: the nodes' texts become that of one very large Redis.
//!
//! Owns the reading, merging and writing of INFO's text, and the section that tells of the gateway.
//! Pure: knows no node and no client. Invariant: whatever the parts are, the answer is one frame;
//! what cannot be read is left out.

mod keyspace;
mod rules;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use crate::clients::Modes;
use crate::command::Topic;
use crate::resp::{Args, Protocol, write};
use rules::{OwnField, Rule};

/// The gateway's own figures.
#[derive(Clone, Debug, Default)]
pub struct GatewayInfo {
    /// Version of the gateway.
    pub version: String,
    /// Forty hexadecimal digits: [`run_id`].
    pub run_id: String,
    /// Number of the process.
    pub process_id: u32,
    /// Where the client's listener listens.
    pub tcp_port: u16,
    /// The program's file.
    pub executable: String,
    /// The configuration's file; empty without one.
    pub config_file: String,
    /// Seconds since the gateway started.
    pub uptime_s: u64,
    /// The time, in microseconds since 1970.
    pub server_time_us: u64,
    /// Threads that serve clients.
    pub workers: usize,
    /// Clients that are connected.
    pub connected_clients: usize,
    /// What they are in.
    pub modes: Modes,
    /// Channels, patterns and sharded channels that somebody is subscribed to.
    pub subscribed: [usize; 3],
    /// Clients that may be connected.
    pub clients_max: usize,
    /// Clients that have been accepted.
    pub total_connections: u64,
    /// Clients that were turned away.
    pub rejected_connections: u64,
    /// Requests that clients have sent.
    pub total_commands: u64,
    /// The most that is kept of one client's requests, and for one client to read.
    pub largest_buffers: [u64; 2],
    /// Bytes of all buffers, and how many there may be.
    pub memory: [usize; 2],
    /// Shards of the cluster.
    pub shards: usize,
    /// Nodes of the cluster, replicas included.
    pub nodes: usize,
    /// Slots that a node serves.
    pub slots_assigned: usize,
    /// Slots of which nothing is told: no node serves them, or theirs has not answered.
    pub slots_unserved: usize,
    /// Masters that have not answered.
    pub masters_missing: usize,
    /// Keys of the databases with tags, and those of them that expire, by number; none are known.
    pub databases: Vec<(u64, u64)>,
    /// All have answered, but slots moved between them meanwhile: the numbers of keys may be wrong,
    /// and are left out.
    pub keys_unknown: bool,
}

/// Whose sections a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Only sections that nodes have.
    Nodes,
    /// Sections of nodes, and the gateway's.
    NodesAndGateway,
    /// Only the gateway's: no node has to be asked.
    Gateway,
}

impl Asked {
    /// By the arguments of INFO.
    pub fn of(args: Args<'_>) -> Asked {
        let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let with_gateway = ["gateway", "default", "all", "everything"];
        let sections = || args.iter().skip(1);
        if args.len() > 1 && sections().all(|word| is(word, "gateway")) {
            Asked::Gateway
        } else if args.len() < 2
            || sections().any(|word| with_gateway.iter().any(|name| is(word, name)))
        {
            Asked::NodesAndGateway
        } else {
            Asked::Nodes
        }
    }
}

/// Whether the numbers of keys are asked for.
pub fn wants_keyspace(args: Args<'_>) -> bool {
    let with_keyspace = ["keyspace", "default", "all", "everything"];
    let is =
        |word: &[u8]| with_keyspace.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    args.len() < 2 || args.iter().skip(1).any(is)
}

/// Whether INFO can be answered without a node.
pub fn wants_gateway_only(args: Args<'_>) -> bool {
    Asked::of(args) == Asked::Gateway
}

/// What is told when no node can be asked: what clients look for when they connect, as far as the
/// gateway knows it. A frame as a node's.
pub fn base(args: Args<'_>, version: &str) -> Vec<u8> {
    let server = format!(
        "redis_version:{version}\r\nredis_mode:\r\nprocess_id:\r\nrun_id:\r\ntcp_port:\r\n\
         server_time_usec:\r\nuptime_in_seconds:\r\nuptime_in_days:\r\nexecutable:\r\n\
         config_file:\r\n"
    );
    let sections = [
        ("Server", server.as_str()),
        ("Clients", "connected_clients:\r\nmaxclients:\r\nblocked_clients:\r\n"),
        ("Stats", "total_connections_received:\r\nrejected_connections:\r\n"),
        ("Replication", "role:\r\nconnected_slaves:\r\nmaster_replid:\r\n"),
        ("Cluster", "cluster_enabled:\r\n"),
    ];
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let is_asked = |section: &str| {
        let all = ["default", "all", "everything", section];
        args.len() < 2 || args.iter().skip(1).any(|word| all.iter().any(|name| is(word, name)))
    };
    let mut text = String::new();
    for (name, fields) in sections.into_iter().filter(|(name, _)| is_asked(name)) {
        // Writing to a string does not fail.
        let _ = write!(text, "# {name}\r\n{fields}\r\n");
    }
    let mut frame = Vec::new();
    write::bulk(&mut frame, text.as_bytes());
    frame
}

/// The run id that clients are told: drawn once per process.
pub fn run_id() -> &'static str {
    static RUN_ID: OnceLock<String> = OnceLock::new();
    RUN_ID.get_or_init(|| {
        let (high, low) = (fastrand::u128(..), fastrand::u32(..));
        format!("{high:032x}{low:08x}")
    })
}

/// One reply to INFO, made of the nodes' (`parts`: whole frames, bulk or verbatim).
pub fn merge(
    parts: &[impl AsRef<[u8]>],
    own: &GatewayInfo,
    protocol: Protocol,
    asked: Asked,
) -> Vec<u8> {
    let texts: Vec<_> = parts.iter().map(|part| body(part.as_ref())).collect();
    let mut text = String::new();
    if asked != Asked::Gateway {
        let mut sections = collect(&texts);
        if own.keys_unknown {
            let is_database = |name: &str| {
                name.strip_prefix("db").is_some_and(|number| number.parse::<u32>().is_ok())
            };
            for section in &mut sections {
                section.fields.retain(|field| !is_database(field.name));
            }
        }
        let merged = Merged::of(&sections, own);
        for section in &sections {
            write_section(section, &merged, &mut text);
        }
        if let Some(told) = keyspace::told(&text, &own.databases) {
            text = told;
        }
    }
    if asked != Asked::Nodes {
        write_gateway(own, &mut text);
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    write::verbatim(&mut out, &text, protocol);
    out
}

// === reading ===

/// The text inside a frame; empty when the frame is something else.
fn body(frame: &[u8]) -> Cow<'_, str> {
    let after_header = memchr::memchr(b'\n', frame).map_or(&[][..], |end| &frame[end + 1..]);
    let text = match frame.first() {
        Some(b'$') => after_header,
        Some(b'=') => after_header.get(4..).unwrap_or(&[]),
        _ => &[],
    };
    String::from_utf8_lossy(text.strip_suffix(b"\r\n").unwrap_or(text))
}

/// A section as all nodes tell it.
#[derive(Debug)]
struct Section<'a> {
    name: &'a str,
    fields: Vec<Field<'a>>,
}

/// A field and the values that nodes give, in the nodes' order.
#[derive(Debug)]
struct Field<'a> {
    name: &'a str,
    values: Vec<&'a str>,
}

/// Sections and fields in the order in which they first appear. Lines before any section are left
/// out, as are those without a colon.
fn collect<'a>(texts: &'a [impl AsRef<str>]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    let mut places: HashMap<(usize, &str), usize> = HashMap::new();
    for text in texts {
        let mut current = None;
        for line in text.as_ref().lines() {
            if let Some(name) = line.strip_prefix("# ") {
                current = sections.iter().position(|section| section.name == name).or_else(|| {
                    sections.push(Section { name, fields: Vec::new() });
                    Some(sections.len() - 1)
                });
                continue;
            }
            let (Some(section), Some((name, value))) = (current, line.split_once(':')) else {
                continue;
            };
            // Every module has a line, and all lines the same name.
            let name = if name == "module" { line } else { name };
            let fields = &mut sections[section].fields;
            let place = *places.entry((section, name)).or_insert_with(|| {
                fields.push(Field { name, values: Vec::new() });
                fields.len() - 1
            });
            fields[place].values.push(value);
        }
    }
    sections
}

// === merging ===

/// The merged values of plain fields, by name; `None` for what is left out.
struct Merged<'a>(HashMap<&'a str, Option<String>>);

impl<'a> Merged<'a> {
    fn of(sections: &[Section<'a>], own: &GatewayInfo) -> Merged<'a> {
        let fields = sections.iter().flat_map(|section| &section.fields);
        let plain: HashMap<_, _> =
            fields.clone().map(|field| (field.name, plain(field, own))).collect();
        let mut merged = Merged(plain);
        // What is made of other fields comes when those are there.
        for field in fields {
            if let Some(made) = merged.made_of_others(field.name) {
                merged.0.insert(field.name, Some(made));
            }
        }
        merged
    }

    fn number(&self, field: &str) -> f64 {
        let text = self.0.get(field).and_then(Option::as_deref);
        text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }

    fn made_of_others(&self, field: &str) -> Option<String> {
        match rules::of(field) {
            Rule::Human => {
                let of = field.strip_suffix("_human").unwrap_or(field);
                // Sections may be asked for one by one, but a size and its reading stand together.
                self.0.contains_key(of).then(|| human(self.number(of)))
            }
            Rule::Ratio(above, below) => {
                Some(format!("{:.2}", share(self.number(above), self.number(below))))
            }
            Rule::Percent(part, whole, less) => {
                let whole = self.number(whole) - self.number(less);
                Some(format!("{:.2}%", share(self.number(part), whole) * 100.0))
            }
            _ => None,
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A size as Redis's `bytesToHuman` writes it.
fn human(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{size:.0}B") } else { format!("{size:.2}{}", UNITS[unit]) }
}

/// The merged value of a field that needs no other field.
fn plain(field: &Field<'_>, own: &GatewayInfo) -> Option<String> {
    let values = &field.values;
    let first = || values.first().map(|value| (*value).to_owned());
    let largest = |a: f64, b: f64| a > b;
    let smallest = |a: f64, b: f64| a < b;
    match rules::of(field.name) {
        Rule::Sum => sum(values).or_else(first),
        Rule::SumOfLimits if values.contains(&"0") => Some("0".to_owned()),
        Rule::SumOfLimits => sum(values).or_else(first),
        Rule::Max => best(values, largest).or_else(first),
        Rule::Min => best(values, smallest).or_else(first),
        Rule::Oldest => oldest(values),
        Rule::First => first(),
        Rule::Worst => {
            values.iter().find(|value| **value != "ok").copied().map(str::to_owned).or_else(first)
        }
        Rule::Agreed if values.iter().any(|value| *value != values[0]) => None,
        Rule::Agreed => first(),
        Rule::Const(value) => Some(value.to_owned()),
        Rule::Own(what) => Some(own.value(what)),
        Rule::Sums => Some(lists(values, |a, b| a + b)),
        Rule::Maxima => Some(lists(values, f64::max)),
        Rule::Omit | Rule::Human | Rule::Ratio(..) | Rule::Percent(..) => None,
    }
}

/// As many places after the point are kept.
const DECIMALS_MAX: usize = 6;
/// As many pairs are read of one value.
const PAIRS_MAX: usize = 256;

fn decimals(value: &str) -> usize {
    value.split_once('.').map_or(0, |(_, places)| places.len().min(DECIMALS_MAX))
}

/// The sum of what can be read as numbers; `None` when nothing can.
fn sum(values: &[&str]) -> Option<String> {
    if values.iter().all(|value| value.parse::<i64>().is_ok()) {
        let total: i128 = values.iter().filter_map(|value| value.parse::<i128>().ok()).sum();
        return (!values.is_empty()).then(|| total.to_string());
    }
    let numbers: Vec<f64> = values.iter().filter_map(|value| finite(value)).collect();
    let places = values.iter().map(|value| decimals(value)).max().unwrap_or(0);
    (!numbers.is_empty()).then(|| format!("{:.places$}", numbers.iter().sum::<f64>()))
}

fn finite(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The number that no other is better than, as it was written.
fn best(values: &[&str], better: impl Fn(f64, f64) -> bool) -> Option<String> {
    let numbers = values.iter().filter_map(|value| Some((*value, finite(value)?)));
    let found = numbers.reduce(|best, next| if better(next.1, best.1) { next } else { best });
    found.map(|(value, _)| value.to_owned())
}

fn oldest(values: &[&str]) -> Option<String> {
    let parts = |version: &str| -> Vec<u64> {
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    values.iter().min_by_key(|version| parts(version)).map(|version| (*version).to_owned())
}

/// Merges lists such as `calls=1,usec=2` one by one, names in the order of their appearance.
fn lists(values: &[&str], join: impl Fn(f64, f64) -> f64) -> String {
    let mut totals: Vec<(&str, f64, usize)> = Vec::new();
    let mut weighted = 0.0;
    for value in values {
        let pairs = value.split(',').take(PAIRS_MAX);
        let pairs: Vec<_> = pairs.filter_map(|pair| pair.split_once('=')).collect();
        let of = |name: &str| {
            pairs.iter().find(|(n, _)| *n == name).and_then(|(_, v)| finite(v)).unwrap_or(0.0)
        };
        weighted += of("avg_ttl") * of("expires");
        for (name, text) in &pairs {
            let Some(number) = finite(text) else { continue };
            match totals.iter_mut().find(|total| total.0 == *name) {
                Some(total) => total.1 = join(total.1, number),
                None => totals.push((name, number, decimals(text))),
            }
        }
    }
    let total = |name: &str| totals.iter().find(|t| t.0 == name).map_or(0.0, |t| t.1);
    // The two means that Redis has among its sums.
    let (per_call, ttl) =
        (share(total("usec"), total("calls")), share(weighted, total("expires")).floor());
    let mut text = String::new();
    for (name, number, places) in &totals {
        let number = match *name {
            "usec_per_call" => per_call,
            "avg_ttl" => ttl,
            _ => *number,
        };
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{name}={number:.places$}");
    }
    text
}

impl GatewayInfo {
    fn value(&self, what: OwnField) -> String {
        match what {
            OwnField::ProcessId => self.process_id.to_string(),
            OwnField::RunId => self.run_id.clone(),
            OwnField::TcpPort => self.tcp_port.to_string(),
            OwnField::ServerTimeUs => self.server_time_us.to_string(),
            OwnField::UptimeSeconds => self.uptime_s.to_string(),
            OwnField::UptimeDays => (self.uptime_s / 86_400).to_string(),
            OwnField::Executable => self.executable.clone(),
            OwnField::ConfigFile => self.config_file.clone(),
            OwnField::ConnectedClients => self.connected_clients.to_string(),
            OwnField::BlockedClients => self.modes.blocked.to_string(),
            OwnField::WatchingClients => self.modes.watching.to_string(),
            OwnField::WatchedKeys => self.modes.watched_keys.to_string(),
            OwnField::TrackingClients => self.modes.tracking.to_string(),
            OwnField::PubSubClients => self.modes.subscribed.to_string(),
            OwnField::PubSubChannels => self.subscribed[Topic::Channel as usize].to_string(),
            OwnField::PubSubPatterns => self.subscribed[Topic::Pattern as usize].to_string(),
            OwnField::PubSubShardChannels => self.subscribed[Topic::Shard as usize].to_string(),
            OwnField::MaxClients => self.clients_max.to_string(),
            OwnField::TotalConnections => self.total_connections.to_string(),
            OwnField::RejectedConnections => self.rejected_connections.to_string(),
            OwnField::LargestInput => self.largest_buffers[0].to_string(),
            OwnField::LargestOutput => self.largest_buffers[1].to_string(),
        }
    }
}

// === writing ===

fn write_title(name: &str, text: &mut String) {
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    // Writing to a string does not fail, here as below.
    let _ = write!(text, "# {name}\r\n");
}

/// Writes a section, unless all that was in it is left out; an empty one has its title.
fn write_section(section: &Section<'_>, merged: &Merged<'_>, text: &mut String) {
    let is_there = |field: &Field<'_>| merged.0.get(field.name).is_some_and(Option::is_some);
    if !section.fields.is_empty() && !section.fields.iter().any(is_there) {
        return;
    }
    write_title(section.name, text);
    for field in &section.fields {
        let Some(Some(value)) = merged.0.get(field.name) else { continue };
        let name = if field.name.starts_with("module:") { "module" } else { field.name };
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

fn write_gateway(own: &GatewayInfo, text: &mut String) {
    write_title("Gateway", text);
    let rows: [(&str, &dyn std::fmt::Display); 14] = [
        ("gateway_version", &own.version),
        ("gateway_workers", &own.workers),
        ("gateway_uptime_in_seconds", &own.uptime_s),
        ("gateway_connected_clients", &own.connected_clients),
        ("gateway_total_connections_received", &own.total_connections),
        ("gateway_total_commands_processed", &own.total_commands),
        ("gateway_memory_used", &own.memory[0]),
        ("gateway_memory_max", &own.memory[1]),
        ("gateway_cluster_shards", &own.shards),
        ("gateway_cluster_nodes", &own.nodes),
        ("gateway_cluster_slots_assigned", &own.slots_assigned),
        ("gateway_cluster_keys_unknown", &u8::from(own.keys_unknown)),
        ("gateway_cluster_slots_unserved", &own.slots_unserved),
        ("gateway_cluster_masters_missing", &own.masters_missing),
    ];
    for (name, value) in rows {
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

#[cfg(test)]
mod tests;
