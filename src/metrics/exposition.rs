//! Figures become the text that Prometheus reads.
//!
//! Owns the exposition format. Must not know where a figure comes from. Whole counters and gauges
//! are kept and written by `metrics-exporter-prometheus`, in a recorder of its own, so that two
//! gateways in one process do not mix. Fixed-bucket histograms and counters of fractions, which it
//! cannot hold, are written here. Invariant: what a scrape does not set is not in its text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use metrics::Label;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use metrics_util::MetricKindMask;

use super::names::{Kind, Metric, documented};
use super::stats::BUCKETS_US;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counts per bucket; the last one is above all bounds.
pub type BucketCounts = [u64; BUCKETS_US.len() + 1];

/// What remembers counters and gauges between scrapes.
#[derive(Debug)]
pub struct Exposition {
    recorder: PrometheusRecorder,
}

/// One scrape: figures are set, then it is finished.
#[derive(Debug)]
pub struct Scrape<'a> {
    recorder: &'a PrometheusRecorder,
    /// Families written here, by name.
    families: BTreeMap<String, String>,
}

impl Default for Exposition {
    fn default() -> Self {
        // Every scrape sets all there is, so a series not set since the last one is over.
        let recorder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::ALL, Some(Duration::ZERO))
            .build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for metric in documented() {
                match metric.kind {
                    Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                    Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                    Kind::Histogram => {}
                }
            }
        });
        Exposition { recorder }
    }
}

impl Exposition {
    /// Begins a scrape.
    pub fn scrape(&self) -> Scrape<'_> {
        Scrape { recorder: &self.recorder, families: BTreeMap::new() }
    }

    /// The recorder's housekeeping, to be called every few seconds.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }
}

impl Scrape<'_> {
    /// Sets a counter. It never goes down, whatever is given.
    pub fn counter(&mut self, metric: &Metric, values: &[&str], count: u64) {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let labels = labels(metric, values);
        metrics::with_local_recorder(self.recorder, || {
            metrics::counter!(metric.name, labels).absolute(count);
        });
    }

    /// Sets a gauge.
    pub fn gauge(&mut self, metric: &Metric, values: &[&str], value: f64) {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let labels = labels(metric, values);
        metrics::with_local_recorder(self.recorder, || {
            metrics::gauge!(metric.name, labels).set(value);
        });
    }

    /// Sets a counter of seconds, which the recorder would round to whole ones.
    pub fn seconds(&mut self, metric: &Metric, values: &[&str], seconds: f64) {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let family = self.family(metric);
        sample(family, metric, "", values, None);
        line_end(family, seconds);
    }

    /// Sets a histogram of latencies.
    pub fn latencies(
        &mut self,
        metric: &Metric,
        values: &[&str],
        counts: &BucketCounts,
        sum_us: u64,
    ) {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let family = self.family(metric);
        let bounds = BUCKETS_US.iter().map(|us| seconds_of(*us).to_string());
        let mut below = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            below += count;
            sample(family, metric, "_bucket", values, Some(&bound));
            line_end(family, below);
        }
        sample(family, metric, "_sum", values, None);
        line_end(family, seconds_of(sum_us));
        sample(family, metric, "_count", values, None);
        line_end(family, below);
    }

    /// The text: families by name, and the series of each in order.
    pub fn finish(mut self) -> String {
        let rendered = self.recorder.handle().render();
        // A line end within a label is escaped, so an empty line is between families only.
        for family in rendered.split("\n\n") {
            let Some(name) = family.split(' ').nth(2) else { continue };
            let mut lines: Vec<&str> = family.lines().collect();
            let head = lines.iter().take_while(|line| line.starts_with('#')).count();
            lines[head..].sort_unstable();
            self.families.insert(name.to_owned(), lines.join("\n") + "\n");
        }
        self.families.into_values().collect()
    }

    fn family(&mut self, metric: &Metric) -> &mut String {
        self.families.entry(metric.name.to_owned()).or_insert_with(|| {
            let Metric { name, kind, help, .. } = metric;
            format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name())
        })
    }
}

/// Seconds of a number of microseconds.
pub fn seconds_of(us: u64) -> f64 {
    us as f64 / 1e6
}

fn labels(metric: &Metric, values: &[&str]) -> Vec<Label> {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let pairs = metric.labels.iter().zip(values);
    // The recorder takes a backslash for the beginning of an escape, and two for one.
    pairs.map(|(name, value)| Label::new(*name, value.replace('\\', "\\\\"))).collect()
}

/// Writes name and labels of a line.
fn sample(out: &mut String, metric: &Metric, suffix: &str, values: &[&str], le: Option<&str>) {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    out.push_str(metric.name);
    out.push_str(suffix);
    let pairs = metric.labels.iter().zip(values).map(|(name, value)| (*name, *value));
    let mut between = '{';
    for (name, value) in pairs.chain(le.map(|le| ("le", le))) {
        out.push(between);
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value);
        out.push('"');
        between = ',';
    }
    if between == ',' {
        out.push('}');
    }
}

fn line_end(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, " {value}");
}

fn escape(out: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests;
