//! That the text of a scrape is what Prometheus reads. Owns cases only.

use super::*;
use crate::metrics::format_check::Exposed;
use crate::metrics::names;
use crate::metrics::stats::{Bucket, Latencies};

const HOSTILE: [&str; 7] =
    ["a\"b", "a\\b", "a\\\"b", "a\nb", "a\\\nb", "} 1\nslotway_ready 7", "läute, =\"\\\\"];

/// Sets every metric that there is, with `value` as the value of every label.
fn set_all(scrape: &mut Scrape<'_>, value: &str, count: u64) {
    set(scrape, value, count, documented().iter());
}

/// Sets every metric that has labels.
fn set_labelled(scrape: &mut Scrape<'_>, value: &str, count: u64) {
    set(scrape, value, count, documented().iter().filter(|metric| !metric.labels.is_empty()));
}

fn set<'m>(
    scrape: &mut Scrape<'_>,
    value: &str,
    count: u64,
    metrics: impl Iterator<Item = &'m Metric>,
) {
    for metric in metrics {
        let values = vec![value; metric.labels.len()];
        let fraction = metric.name.ends_with("_seconds_total");
        match metric.kind {
            Kind::Counter if fraction => scrape.seconds(metric, &values, count as f64 / 4.0),
            Kind::Counter => scrape.counter(metric, &values, count),
            Kind::Gauge => scrape.gauge(metric, &values, count as f64),
            Kind::Histogram => {
                let latencies = Latencies::default();
                (0..count).for_each(|n| latencies.record(Bucket::of(n * 100)));
                let (mut counts, mut sum_us) = Default::default();
                latencies.add_to(&mut counts, &mut sum_us);
                scrape.latencies(metric, &values, &counts, sum_us);
            }
        }
    }
}

fn scraped(exposition: &Exposition, set: impl FnOnce(&mut Scrape<'_>)) -> Exposed {
    let mut scrape = exposition.scrape();
    set(&mut scrape);
    Exposed::read(&scrape.finish())
}

#[test]
fn every_metric_is_written_as_it_is_documented() {
    let exposed = scraped(&Exposition::default(), |scrape| set_all(scrape, "x", 3));
    assert_eq!(exposed.kinds.len(), documented().len());
    for metric in documented() {
        assert_eq!(exposed.kinds[metric.name], metric.kind.name());
        let of_it = exposed.series.keys().filter(|(name, _)| name.starts_with(metric.name));
        let mut labels = of_it.map(|(_, labels)| labels.keys().filter(|name| *name != "le"));
        let labels: Vec<_> = labels.next().map(Iterator::collect).unwrap_or_default();
        let mut expected = metric.labels.to_vec();
        expected.sort_unstable();
        assert_eq!(labels, expected, "{}", metric.name);
    }
    assert_eq!(exposed.get("process_cpu_seconds_total", &[]), Some(0.75));
    let sum = exposed.get("slotway_command_duration_seconds_sum", &[("class", "x")]);
    assert_eq!(sum, Some(0.0003));
    let bucket =
        |le| exposed.get("slotway_command_duration_seconds_bucket", &[("class", "x"), ("le", le)]);
    assert_eq!([bucket("0.00005"), bucket("0.0001"), bucket("10")], [Some(1.), Some(2.), Some(3.)]);
}

#[test]
fn a_hostile_label_stays_a_label() {
    for hostile in HOSTILE {
        let exposed = scraped(&Exposition::default(), |scrape| set_all(scrape, hostile, 1));
        for (name, labels) in exposed.series.keys() {
            let mut values = labels.iter().filter(|(name, _)| *name != "le");
            assert!(values.all(|(_, value)| value == hostile), "{name} {labels:?}");
        }
    }
    // None is taken for another.
    let all =
        |scrape: &mut Scrape<'_>| HOSTILE.iter().for_each(|label| set_labelled(scrape, label, 1));
    let exposed = scraped(&Exposition::default(), all);
    let up = exposed.series.keys().filter(|(name, _)| name == names::NODE_UP.name);
    assert_eq!(up.count(), HOSTILE.len());
}

#[test]
fn counters_only_grow_and_what_is_not_set_is_gone() {
    let exposition = Exposition::default();
    let first = scraped(&exposition, |scrape| set_all(scrape, "a", 5));
    exposition.upkeep();
    let second = scraped(&exposition, |scrape| {
        set_all(scrape, "a", 6);
        set_labelled(scrape, "b", 1);
    });
    first.assert_only_grown(&second);
    let requests =
        |exposed: &Exposed, node| exposed.get(names::UPSTREAM_REQUESTS.name, &[("node", node)]);
    let without = scraped(&exposition, |scrape| set_all(scrape, "a", 7));
    assert_eq!(requests(&without, "a"), Some(7.0));
    assert_eq!(requests(&without, "b"), None);
    let again = scraped(&exposition, |scrape| set_all(scrape, "b", 1));
    assert_eq!((requests(&again, "a"), requests(&again, "b")), (None, Some(1.0)));
}

#[test]
fn two_gateways_in_one_process_do_not_mix() {
    let (one, other) = (Exposition::default(), Exposition::default());
    let count = |scrape: &mut Scrape<'_>| scrape.counter(&names::SPLIT_COMMANDS, &[], 9);
    assert_eq!(scraped(&one, count).series.len(), 1);
    let gauge = |scrape: &mut Scrape<'_>| scrape.gauge(&names::READY, &[], 1.0);
    assert_eq!(scraped(&other, gauge).series.len(), 1);
}

#[test]
fn families_and_series_are_in_order() {
    let exposition = Exposition::default();
    let mut scrape = exposition.scrape();
    for node in ["c", "a", "b"] {
        set_labelled(&mut scrape, node, 1);
    }
    let text = scrape.finish();
    let families: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert!(families.is_sorted());
    let requests = text.lines().filter(|line| line.starts_with("slotway_upstream_requests_total"));
    assert!(requests.is_sorted());
}
