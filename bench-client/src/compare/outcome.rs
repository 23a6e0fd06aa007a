//! What a comparison found: medians over rounds, and ratios to the best of the others.
//!
//! Owns that arithmetic. Knows nothing of files or of how figures were measured.

use serde::Serialize;

use super::cases::Case;
use crate::figures::median;
use crate::host::Host;
use crate::measure::{Idle, Sample};
use crate::testbed::{Front, Nodes, Proxy};

/// Above this share of the cores the machine was not ours alone.
const OTHERS_PERCENT_MAX: f64 = 10.0;

/// Everything.
pub(super) struct Comparison {
    pub(super) started_epoch_s: u64,
    pub(super) command_line: String,
    pub(super) host: Host,
    pub(super) load_average_before: Option<String>,
    pub(super) rounds: u16,
    pub(super) counted_ms: u64,
    pub(super) open_files: u64,
    pub(super) rows: Vec<Row>,
}

/// One case with one proxy.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) masters: usize,
    /// Whether each master has a replica.
    pub(super) replicas: bool,
    pub(super) case: String,
    pub(super) proxy: String,
    pub(super) front: Front,
    /// Whether what is behind the proxy does the same work as a cluster.
    pub(super) comparable: bool,
    pub(super) samples: Vec<Sample>,
    pub(super) idle: Vec<Idle>,
    pub(super) failures: Vec<String>,
}

/// The medians of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Medians {
    pub(super) requests_per_s: f64,
    /// Half of the way from the slowest to the fastest round, in percent of the median.
    pub(super) spread_percent: f64,
    pub(super) cpu_us: Option<f64>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) peak_mib: Option<f64>,
    pub(super) others_percent: Option<f64>,
}

/// A row's figures over the best of the other proxies, each figure by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratios {
    pub(super) requests_per_s: f64,
    pub(super) cpu: Option<f64>,
    pub(super) p99: f64,
}

impl Row {
    /// Nothing found yet.
    pub(super) fn new(nodes: Nodes, case: &Case, proxy: &Proxy) -> Row {
        let single = matches!(proxy.front, Front::Lone | Front::Direct);
        Row {
            masters: nodes.masters,
            replicas: nodes.replicas,
            case: case.name.clone(),
            proxy: proxy.name.clone(),
            front: proxy.front,
            comparable: !single || case.is_comparable_to_one_redis(),
            samples: Vec::new(),
            idle: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Whether nothing was found, not even a failure.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.idle.is_empty() && self.failures.is_empty()
    }

    /// Replies of all rounds that were not what they should be.
    pub(super) fn wrong(&self) -> u64 {
        self.samples.iter().map(|sample| sample.wrong).sum()
    }

    /// The medians; none without a sample.
    pub(super) fn medians(&self) -> Option<Medians> {
        let all = |figure: fn(&Sample) -> Option<f64>| {
            median(self.samples.iter().filter_map(figure).collect())
        };
        let requests_per_s = all(|s| Some(s.requests_per_s))?;
        let each = || self.samples.iter().map(|sample| sample.requests_per_s);
        let range = each().fold(0.0, f64::max) - each().fold(f64::INFINITY, f64::min);
        Some(Medians {
            requests_per_s,
            spread_percent: range / 2.0 * 100.0 / requests_per_s,
            cpu_us: all(|s| s.cpu_us),
            p50_ms: all(|s| Some(s.p50_ms))?,
            p99_ms: all(|s| Some(s.p99_ms))?,
            p999_ms: all(|s| Some(s.p999_ms))?,
            peak_mib: all(|s| s.peak_mib),
            others_percent: all(|s| s.others_percent),
        })
    }
}

impl Comparison {
    /// The rows of the same case with the same cluster.
    pub(super) fn beside<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(|other| other.masters == row.masters && other.case == row.case)
    }

    /// This gateway's figures over the best of the others; none for others' rows.
    pub(super) fn ratios(&self, row: &Row) -> Option<Ratios> {
        if row.front != Front::Gateway {
            return None;
        }
        let own = row.medians()?;
        let is_peer = |other: &&Row| {
            other.comparable && !matches!(other.front, Front::Gateway | Front::Direct)
        };
        let peers: Vec<Medians> =
            self.beside(row).filter(is_peer).filter_map(Row::medians).collect();
        let least = |figures: Vec<f64>| figures.into_iter().reduce(f64::min);
        let most = peers.iter().map(|peer| peer.requests_per_s).reduce(f64::max)?;
        let cpu = least(peers.iter().filter_map(|peer| peer.cpu_us).collect());
        let p99 = least(peers.iter().map(|peer| peer.p99_ms).collect())?;
        Some(Ratios {
            requests_per_s: own.requests_per_s / most,
            cpu: own.cpu_us.zip(cpu).map(|(own, peer)| own / peer),
            p99: own.p99_ms / p99,
        })
    }

    /// How many runs others disturbed, of how many, and what they took in the worst of them.
    pub(super) fn disturbed(&self) -> (usize, usize, f64) {
        let taken: Vec<f64> = self
            .rows
            .iter()
            .flat_map(|row| &row.samples)
            .filter_map(|sample| sample.others_percent)
            .collect();
        let disturbed = taken.iter().filter(|percent| **percent > OTHERS_PERCENT_MAX).count();
        (disturbed, taken.len(), taken.into_iter().fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requests_per_s: f64, cpu_us: f64) -> Sample {
        Sample {
            requests_per_s,
            cpu_us: Some(cpu_us),
            p50_ms: 1.0,
            p99_ms: 2.0,
            p999_ms: 3.0,
            peak_mib: None,
            wrong: 0,
            example: None,
            others_percent: Some(cpu_us),
            client_percent: None,
        }
    }

    fn row(front: Front, comparable: bool, samples: Vec<Sample>) -> Row {
        Row {
            masters: 3,
            replicas: true,
            case: "get16_p1".into(),
            proxy: String::new(),
            front,
            comparable,
            samples,
            idle: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn comparison(rows: Vec<Row>) -> Comparison {
        Comparison {
            started_epoch_s: 0,
            command_line: String::new(),
            host: Host::read(),
            load_average_before: None,
            rounds: 1,
            counted_ms: 1,
            open_files: 1,
            rows,
        }
    }

    #[test]
    fn the_best_of_each_figure_is_what_counts() {
        let all = comparison(vec![
            row(Front::Gateway, true, vec![sample(200.0, 4.0), sample(100.0, 8.0)]),
            row(Front::Lone, true, vec![sample(300.0, 12.0)]),
            row(Front::Cluster, true, vec![sample(100.0, 3.0)]),
            row(Front::Lone, false, vec![sample(900.0, 1.0)]),
            row(Front::Direct, true, vec![sample(900.0, 1.0)]),
        ]);
        let ratios = all.ratios(&all.rows[0]).unwrap();
        assert_eq!((ratios.requests_per_s, ratios.cpu, ratios.p99), (0.5, Some(2.0), 1.0));
        assert_eq!(all.ratios(&all.rows[1]), None);
        assert_eq!(all.disturbed(), (1, 6, 12.0));
    }

    #[test]
    fn medians_and_spread() {
        let row = row(
            Front::Gateway,
            true,
            vec![sample(90.0, 1.0), sample(100.0, 3.0), sample(120.0, 2.0)],
        );
        let medians = row.medians().unwrap();
        assert_eq!((medians.requests_per_s, medians.cpu_us), (100.0, Some(2.0)));
        assert!((medians.spread_percent - 15.0).abs() < 1e-9);
    }
}
