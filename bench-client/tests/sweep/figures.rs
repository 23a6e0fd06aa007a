//! The shapes of the old client's files, read as strictly as its own readers might.

use serde_json::Value;

/// One array of five strings per size, in order.
pub(crate) fn check_results_file(text: &str, labels: &[u64]) {
    assert!(text.starts_with("[\n    [\n        \"NUM OF BITS = "), "{text}");
    let rows: Vec<[String; 5]> = serde_json::from_str(text).unwrap();
    assert_eq!(rows.len(), labels.len());
    for ([bits, errors, iops, latency, bandwidth], label) in rows.iter().zip(labels) {
        assert_eq!(bits, &format!("NUM OF BITS = {label}"));
        assert_eq!(errors, "ERROR PERCENTAGE = 0.0%");
        let iops = figure(iops, "IOPS = ");
        let latency = figure(latency, "LATENCY = ");
        let bandwidth = figure(bandwidth, "BANDWIDTH = ");
        assert_eq!((iops.is_some(), iops.is_some()), (latency.is_some(), bandwidth.is_some()));
        if let (Some(iops), Some(latency), Some(bandwidth)) = (iops, latency, bandwidth) {
            assert!((iops * latency / 1000.0 - 1.0).abs() < 1e-6);
            assert!((bandwidth / iops / *label as f64 - 1.0).abs() < 1e-6);
        }
    }
}

/// A positive number, or `N/A` where a slow machine completed no batch.
fn figure(text: &str, name: &str) -> Option<f64> {
    let value = text.strip_prefix(name).unwrap_or_else(|| panic!("{text}"));
    if value == "N/A" {
        return None;
    }
    let value: f64 = value.parse().unwrap();
    assert!(value > 0.0, "{text}");
    Some(value)
}

/// One array of five numbers per batch of 1000 requests; sizes in order, counting anew at each.
pub(crate) fn check_raw_file(text: &str, labels: &[u64]) {
    let rows: Vec<[Value; 5]> = serde_json::from_str(text).unwrap();
    let mut last = (0, 0, 0.0);
    for [cumulative, label, errors, start, end] in &rows {
        let (cumulative, label) = (cumulative.as_u64().unwrap(), label.as_u64().unwrap());
        let (start, end) = (start.as_f64().unwrap(), end.as_f64().unwrap());
        let (last_label, last_cumulative, last_end) = last;
        assert!(labels.contains(&label) && label >= last_label);
        let expected = if label == last_label { last_cumulative + 1000 } else { 1000 };
        assert_eq!(cumulative, expected);
        assert_eq!(errors, 0);
        // Two floats of now lie a fraction of a microsecond apart.
        assert!(start >= last_end - 1e-5 && end >= start);
        last = (label, cumulative, end);
    }
}
