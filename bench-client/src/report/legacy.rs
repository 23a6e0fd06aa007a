//! The four result files of the client this one replaces, in its exact shape.
//!
//! Owns their layout. Knows nothing of percentiles: these files have none.
//!
//! A raw file is one array with an element per batch of 1000 requests, of all sizes one after
//! another. A results file is one array with an element per size, in the order of the sizes, each an
//! array of five strings. Both are indented by four and end without a newline.

use anyhow::Result;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::batches::{BATCH_REQUESTS, Batch};
use crate::phase::PhaseResult;
use crate::size::Units;
use crate::tally::Counts;

/// `[cumulative_requests, data_len, errors_in_batch, t_start_epoch_s, t_end_epoch_s]` per batch.
pub(super) fn raw<'a>(
    phases: impl Iterator<Item = &'a PhaseResult>,
    units: Units,
) -> Result<String> {
    let rows: Vec<(u64, u64, u64, f64, f64)> = phases
        .flat_map(|phase| {
            let (label, epoch) = (phase.size.label(units), phase.started_epoch_s);
            phase.batches.iter().map(move |batch| {
                let (start, end) = (batch.start.as_secs_f64(), batch.end.as_secs_f64());
                (batch.cumulative, label, batch.errors, epoch + start, epoch + end)
            })
        })
        .collect();
    indented(&rows)
}

/// Five strings per size.
pub(super) fn results<'a>(
    phases: impl Iterator<Item = &'a PhaseResult>,
    units: Units,
) -> Result<String> {
    let rows: Vec<[String; 5]> = phases
        .map(|phase| five_strings(&phase.batches, phase.size.label(units), phase.tally.counts))
        .collect();
    indented(&rows)
}

/// The old client's arithmetic, over every batch: `LATENCY` is seconds per 1000 requests, and
/// `BANDWIDTH` the label's units per second. Floats are written as Python writes them.
fn five_strings(batches: &[Batch], label: u64, counts: Counts) -> [String; 5] {
    let requests = (batches.len() as u64 * BATCH_REQUESTS) as f64;
    let seconds: f64 = batches.iter().map(|batch| (batch.end - batch.start).as_secs_f64()).sum();
    let errors: u64 = batches.iter().map(|batch| batch.errors).sum();
    let (error_percent, [iops, latency, bandwidth]) = if batches.is_empty() || seconds <= 0.0 {
        // The old client wrote 100 % here even when nothing had failed; that is kept only for a
        // size at which nothing was tried at all.
        let percent = if counts.total() == 0 { 100.0 } else { counts.bad_percent() };
        (percent, ["N/A"; 3].map(str::to_owned))
    } else {
        let figures =
            [requests / seconds, seconds / batches.len() as f64, requests * label as f64 / seconds];
        (errors as f64 / requests * 100.0, figures.map(|figure| format!("{figure:?}")))
    };
    [
        format!("NUM OF BITS = {label}"),
        format!("ERROR PERCENTAGE = {error_percent:?}%"),
        format!("IOPS = {iops}"),
        format!("LATENCY = {latency}"),
        format!("BANDWIDTH = {bandwidth}"),
    ]
}

fn indented(rows: &impl Serialize) -> Result<String> {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    rows.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_the_old_clients() {
        let batch = |number: u64, errors| Batch {
            cumulative: number * 1000,
            errors,
            start: Duration::from_secs(2 * (number - 1)),
            end: Duration::from_secs(2 * number),
        };
        assert_eq!(
            five_strings(&[batch(1, 0), batch(2, 5)], 128, Counts::default()),
            [
                "NUM OF BITS = 128",
                "ERROR PERCENTAGE = 0.25%",
                "IOPS = 500.0",
                "LATENCY = 2.0",
                "BANDWIDTH = 64000.0"
            ]
        );
    }

    #[test]
    fn without_a_batch_there_are_no_figures() {
        let strings = |counts| five_strings(&[], 256, counts);
        let some = Counts { good: 900, ..Counts::default() };
        let expected = [
            "NUM OF BITS = 256",
            "ERROR PERCENTAGE = 0.0%",
            "IOPS = N/A",
            "LATENCY = N/A",
            "BANDWIDTH = N/A",
        ];
        assert_eq!(strings(some), expected);
        assert_eq!(strings(Counts::default())[1], "ERROR PERCENTAGE = 100.0%");
    }

    #[test]
    fn files_are_indented_by_four() {
        let text = indented(&vec![(1000u64, 128u64, 0u64, 1.5f64, 2.0f64)]).unwrap();
        assert_eq!(
            text,
            "[\n    [\n        1000,\n        128,\n        0,\n        1.5,\n        2.0\n    ]\n]"
        );
        assert_eq!(indented(&Vec::<u64>::new()).unwrap(), "[]");
    }
}
