//! The page for operators: one HTML document made of an [`Overview`], and what it loads.
//!
//! Owns how things are shown, and what is worth an alert. Must not know where figures come from. The
//! document is whole without the script, which only fetches it again; nothing comes from elsewhere, and
//! its policy forbids that anything does. All texts are escaped by the template engine, since nodes and
//! clients choose their own names.

mod chart;
pub(super) mod csv;

use askama::Template;

use super::overview::Overview;
use super::overview::cluster::NodeOverview;
use super::words::{self, self as filters};
use chart::{Chart, Scale, Series};

/// What the document may load: its own style and script, and itself again.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The style.
pub(super) const STYLE: &str = include_str!("page.css");
/// The script.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// Bytes of the stream of changes that a replica may lack before that is worth a look.
const LAG_BYTES_MAX: u64 = 64 << 20;
/// Percent of the memory of buffers.
const MEMORY_PERCENT_MAX: usize = 80;
/// Seconds since the map was read; the refresh interval is 10 s.
const MAP_AGE_MAX_S: f64 = 60.0;
/// Alerts that are shown.
const ALERTS_MAX: usize = 30;

/// The state in one word.
struct Headline {
    word: &'static str,
    /// For the title, where there is no colour.
    mark: &'static str,
    class: &'static str,
}

/// What needs a look.
#[derive(Debug, PartialEq, Eq)]
struct Alert {
    class: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "page.html", config = "src/admin/page/askama.toml")]
struct Page<'a> {
    o: &'a Overview,
    headline: Headline,
    alerts: Vec<Alert>,
    charts: Vec<String>,
}

#[derive(Template)]
#[template(path = "node.html", config = "src/admin/page/askama.toml")]
struct NodeRow<'a> {
    node: &'a NodeOverview,
    role: &'a str,
    slots: String,
    class: &'static str,
    address_differs: bool,
    is_down: bool,
    is_loading: bool,
    replication: String,
}

/// The document.
pub(super) fn html(overview: &Overview) -> Result<String, askama::Error> {
    let alerts = alerts(overview);
    let page = Page {
        o: overview,
        headline: headline(overview, !alerts.is_empty()),
        alerts,
        charts: charts(overview),
    };
    page.render()
}

impl<'a> Page<'a> {
    fn node_row(
        &self,
        node: &'a NodeOverview,
        role: &'a str,
        slots: impl Into<String>,
    ) -> NodeRow<'a> {
        let is_down = node.is_up == Some(false);
        NodeRow {
            node,
            role,
            slots: slots.into(),
            class: match (is_down, role) {
                (true, _) => "bad",
                (false, "replica") => "replica",
                _ => "master",
            },
            address_differs: node.name != node.address,
            is_down,
            is_loading: node.info.as_ref().is_some_and(|info| info.is_loading),
            replication: replication(node, role),
        }
    }
}

/// How a replica is connected with its master.
fn replication(node: &NodeOverview, role: &str) -> String {
    let Some(info) = node.info.as_ref().filter(|_| role == "replica") else { return String::new() };
    match (info.is_linked, node.lag_bytes) {
        (Some(false), _) => "not connected to its master".to_owned(),
        (_, Some(0)) => "up to date".to_owned(),
        (_, Some(lag)) => format!("{} behind", words::size(lag)),
        (_, None) => String::new(),
    }
}

fn headline(overview: &Overview, needs_look: bool) -> Headline {
    let (word, mark, class) = match &overview.gateway {
        gateway if gateway.draining => ("stopping", "◐", "warn"),
        gateway if !gateway.ready => ("not serving", "✗", "bad"),
        _ if !overview.cluster.unserved.is_empty() => ("serving a part", "✗", "bad"),
        _ if needs_look => ("serving, see below", "!", "warn"),
        _ => ("serving", "✓", "good"),
    };
    Headline { word, mark, class }
}

/// What needs a look, the worst first.
fn alerts(overview: &Overview) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut add = |class, text| alerts.push(Alert { class, text });
    let cluster = &overview.cluster;
    if let Some(reason) = overview.gateway.reason.as_ref() {
        add("bad", reason.clone());
    }
    if !cluster.shards.is_empty() && !cluster.unserved.is_empty() {
        let count = 16_384 - cluster.slots_assigned;
        let ranges = words::ranges(&cluster.unserved, 8);
        add("bad", format!("{} slots have no master: {ranges}", words::grouped(count as u64)));
    }
    if let Some(problem) = cluster.problem.as_ref().filter(|_| overview.gateway.ready) {
        add("warn", format!("The map could not be read again: {problem}"));
    }
    if cluster.age_s.is_some_and(|age| age > MAP_AGE_MAX_S) {
        let age = words::span(cluster.age_s.unwrap_or_default() as u64);
        add("warn", format!("The map was last read {age} ago"));
    }
    let clustered = cluster.shards.iter();
    let replicas = clustered.clone().flat_map(|shard| &shard.replicas);
    for node in clustered.clone().map(|shard| &shard.master).chain(replicas.clone()) {
        if node.is_up == Some(false) {
            add("bad", format!("{} does not answer", node.name));
        }
        if node.info.as_ref().is_some_and(|info| !info.is_persistence_ok) {
            add("warn", format!("{} could not write its data to disk", node.name));
        }
    }
    for node in replicas {
        if node.info.as_ref().and_then(|info| info.is_linked) == Some(false) {
            add("warn", format!("{} is not connected to its master", node.name));
        } else if let Some(lag) = node.lag_bytes.filter(|lag| *lag > LAG_BYTES_MAX) {
            add("warn", format!("{} is {} behind its master", node.name, words::size(lag)));
        }
    }
    for shard in clustered.filter(|shard| shard.replicas.is_empty()) {
        add("warn", format!("{} has no replica", shard.master.name));
    }
    for trouble in &cluster.troubles {
        add("warn", trouble.clone());
    }
    if overview.memory.used > overview.memory.max / 100 * MEMORY_PERCENT_MAX {
        add("warn", "Buffers use most of memory_max; the heaviest clients will be cut off".into());
    }
    alerts.sort_by_key(|alert| alert.class != "bad");
    alerts.truncate(ALERTS_MAX);
    alerts
}

fn charts(overview: &Overview) -> Vec<String> {
    let hour = &overview.hour;
    let some = |values: &[f64]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
    let scale = |unit| Scale { interval_s: hour.interval_s, unit };
    let whole = |values: &[usize]| values.iter().map(|value| Some(*value as f64)).collect();
    let chart = |title, unit, series| Chart { title, scale: scale(unit), series }.figure();
    vec![
        chart(
            "Requests a second",
            "",
            vec![
                Series::new("requests", some(&hour.requests_per_s)),
                Series::new("errors", some(&hour.errors_per_s)),
            ],
        ),
        chart(
            "Latency, ms",
            "ms",
            vec![Series::new("p50", hour.p50_ms.clone()), Series::new("p99", hour.p99_ms.clone())],
        ),
        chart(
            "Bytes a second, both ways",
            "B",
            vec![Series::new("bytes", some(&hour.bytes_per_s))],
        ),
        chart("Clients", "", vec![Series::new("clients", whole(&hour.clients))]),
        chart(
            "Messages a second to subscribers",
            "",
            vec![Series::new("messages", some(&hour.messages_per_s))],
        ),
        chart("Bytes in buffers", "B", vec![Series::new("bytes", whole(&hour.memory_bytes))]),
    ]
}

#[cfg(test)]
mod tests;
