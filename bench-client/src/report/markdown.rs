//! `report.md`: what was measured, how far to trust it, and what was not measured.
//!
//! Owns the wording. Every figure comes from the result; nothing is computed anew.

use std::collections::BTreeMap;

use super::Report;
use super::table::Table;
use crate::figures::{grouped, utc};
use crate::size::Units;
use crate::workload::Op;

/// From this share of its threads' time on, the client itself may be what was measured.
const CLIENT_BUSY_PERCENT: f64 = 85.0;

/// The whole report.
pub(super) fn report(report: &Report<'_>) -> String {
    let mut text = String::from("# slotway-bench sweep\n\n");
    verdict(&mut text, report);
    tables(&mut text, report);
    method(&mut text, report);
    cautions(&mut text, report);
    environment(&mut text, report);
    errors(&mut text, report);
    text += NOT_MEASURED;
    old_client(&mut text, report);
    files(&mut text, report);
    text
}

fn verdict(text: &mut String, report: &Report<'_>) {
    let (plan, result) = (report.plan, report.result);
    if report.verdict.valid {
        let requests: u64 = result.phases.iter().map(|phase| phase.tally.counts.total()).sum();
        let bad: u64 = result.phases.iter().map(|phase| phase.tally.counts.bad()).sum();
        *text += &format!(
            "**Valid.** {} measured requests, {} errors, misses or wrong values.\n\n",
            grouped(requests as f64),
            grouped(bad as f64)
        );
    } else {
        *text += "**Not valid.** Do not quote these figures:\n\n";
        for reason in &report.verdict.reasons {
            *text += &format!("- {reason}\n");
        }
        text.push('\n');
    }
    *text += &format!(
        "Target `{}`, started {}, took {:.0} s.\n\n```\n{}\n```\n\n",
        plan.target.address,
        utc(result.started_epoch_s),
        result.took_s,
        report.command_line
    );
}

fn tables(text: &mut String, report: &Report<'_>) {
    let open_loop = report.plan.rate.is_some();
    let latencies = if open_loop {
        "response time in ms, from the moment the request was due; what coordinated omission hides is in them"
    } else {
        "service time in ms, not corrected for coordinated omission"
    };
    for op in &report.plan.ops {
        let phases = report.result.phases.iter().filter(|phase| phase.op == *op);
        *text += &format!("## {}\n\nLatencies: {latencies}.\n\n", op.name());
        *text += &Table::full(phases, open_loop).markdown();
        text.push('\n');
    }
    *text += "Rates count good requests only. MB are 10^6 bytes of payload. A dash is a percentile \
              with too few samples: p99.9 needs 1,000 and p99.99 needs 10,000. Client CPU is in \
              percent of one core, warm-up included.\n\n";
}

fn method(text: &mut String, report: &Report<'_>) {
    let plan = report.plan;
    let timing = plan.timing;
    let warmup = if timing.warmup.is_zero() {
        "no warm-up".to_owned()
    } else {
        format!("after a warm-up of {:?} that is in no figure", timing.warmup)
    };
    let pacing = match plan.rate {
        Some(rate) => format!(
            "- Open loop: {} requests/s over all connections, on a schedule that does not wait for \
             replies. A rate reached by less than 99 % makes a \
             sweep invalid. Response time is service time plus lag, how late a request was sent; the \
             client's own lateness, about 0.1 ms, is part of it.\n",
            grouped(rate as f64)
        ),
        None => "- Closed loop: each connection sends when its replies are in. A stalled target \
                 therefore delays requests that are never sent, and the percentiles do not show \
                 them; use `--rate` for response times.\n"
            .to_owned(),
    };
    *text += &format!(
        "## How\n\n- {:?} per size and operation, {warmup}; each size once.\n\
         - Connections: {}; requests in flight on each: {}; client threads: {}.\n{pacing}\
         - Keys `bench:{}:<bytes>:<n>` without a hash tag, so they spread over all slots; a bounded \
         number per size, gone over in turn.\n\
         - Payload: random bytes from seed {}, another value for every key.\n",
        timing.duration,
        plan.connections,
        plan.pipeline,
        timing.threads,
        report.result.run,
        plan.seed
    );
    if plan.ops.contains(&Op::Get) {
        let filled = match report.result.unmeasured.filled {
            0 => "the SET phases reached all of them".to_owned(),
            keys => {
                format!(
                    "{} were not reached by a SET phase, and written uncounted",
                    grouped(keys as f64)
                )
            }
        };
        *text += &format!(
            "- Every key of a size is written at that size before its GETs ({filled}). Every GET is \
             compared with the value its key must hold, in length and content.\n"
        );
    }
    *text += if plan.keep {
        "- The keys were left in place.\n\n"
    } else {
        "- The keys of a size are removed after it.\n\n"
    };
}

fn cautions(text: &mut String, report: &Report<'_>) {
    let (plan, result) = (report.plan, report.result);
    let mut cautions = Vec::new();
    if cfg!(debug_assertions) {
        cautions.push(
            "This is a debug build of the client; do not compare its figures with any other's."
                .to_owned(),
        );
    }
    if plan.timing.duration.as_secs() < 10 {
        cautions.push(
            "Less than ten seconds per size: good for a first look, too short for a comparison."
                .to_owned(),
        );
    }
    let threads = plan.timing.threads.min(plan.connections) as f64;
    let busy = result
        .phases
        .iter()
        .filter(|phase| {
            phase.client_cpu_percent.is_some_and(|used| used / threads > CLIENT_BUSY_PERCENT)
        })
        .count();
    if busy > 0 {
        cautions.push(format!(
            "In {busy} of {} phases the client used more than {CLIENT_BUSY_PERCENT:.0} % of its \
             threads' time: it may be the bottleneck. More `--threads` on free cores would tell.",
            result.phases.len()
        ));
    }
    let evicted = |info: &BTreeMap<String, String>| info.get("evicted_keys").cloned();
    if let (Some(before), Some(after)) = (evicted(&result.target.info), evicted(&result.info_after))
        && before != after
    {
        cautions.push(format!(
            "The target evicted keys during the sweep ({before} before, {after} after): GETs may \
             have missed for that."
        ));
    }
    if result.unmeasured.unlink_failed > 0 {
        cautions.push(format!(
            "{} keys may be left on the target: `bench:{}:*`.",
            result.unmeasured.unlink_failed, result.run
        ));
    }
    cautions.push(
        "Each size was measured once: the spread between repeats is not known from this report."
            .to_owned(),
    );
    *text += "## Cautions\n\n";
    cautions.iter().for_each(|caution| *text += &format!("- {caution}\n"));
    text.push('\n');
}

fn environment(text: &mut String, report: &Report<'_>) {
    let (host, target) = (&report.result.host, &report.result.target);
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
    let memory = host.memory_mib.map(|mib| format!("{mib} MiB"));
    let rows = [
        ("slotway-bench", format!("{} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)),
        ("client kernel", known(&host.kernel)),
        ("client CPU", format!("{}, {} cores usable", known(&host.cpu_model), host.cores)),
        ("client memory", known(&memory)),
        ("target address", known(&target.peer)),
        ("network path", target.network_path.unwrap_or("not known").to_owned()),
    ];
    *text += "## Environment\n\n| what | value |\n|:--|:--|\n";
    rows.iter().for_each(|(name, value)| *text += &format!("| {name} | {} |\n", cell(value)));
    for (name, value) in &target.info {
        match report.result.info_after.get(name) {
            Some(after) if after != value => {
                *text += &format!(
                    "| target `{name}` | {} (at the end {}) |\n",
                    cell(value),
                    cell(after)
                );
            }
            _ => *text += &format!("| target `{name}` | {} |\n", cell(value)),
        }
    }
    if let Some(silence) = &target.silence {
        *text += &format!("| target INFO | not answered: {} |\n", cell(silence));
    }
    text.push('\n');
}

fn errors(text: &mut String, report: &Report<'_>) {
    let mut rows = String::new();
    for phase in &report.result.phases {
        for (error, count) in phase.tally.errors.counts() {
            let (op, size) = (phase.op.name(), phase.size);
            rows += &format!("| {op} {size} | {} | {} |\n", grouped(*count as f64), cell(error));
        }
    }
    for (error, count) in report.result.unmeasured.errors.counts() {
        rows += &format!(
            "| writing and removing keys | {} | {} |\n",
            grouped(*count as f64),
            cell(error)
        );
    }
    *text += "## Errors\n\n";
    if rows.is_empty() {
        *text += "None.\n\n";
    } else {
        *text += &format!("| where | count | text |\n|:--|--:|:--|\n{rows}\n");
    }
}

/// A cell must not end its column, nor start markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\r', '\n'], " ")
}

const NOT_MEASURED: &str = "## Not measured\n\n\
    - CPU, memory and network of the target and of anything between; only this client's CPU.\n\
    - Other commands than SET and GET; several keys per command; TLS; expiring keys.\n\
    - Repeats, baselines (the same load without a gateway) and failures under load.\n\
    - Cluster topology: this client sees one address.\n\n";

fn old_client(text: &mut String, report: &Report<'_>) {
    let client = &report.plan.client_id;
    let label = match report.plan.units {
        Units::Bits => {
            "128 means 128 bits, 16 bytes; the old client sent 128 bytes there. `--units bytes` repeats its load."
        }
        Units::Bytes => "`--units bytes`: as in the old client, \"128 bits\" are 128 bytes.",
    };
    *text += &format!(
        "## Against the old client\n\n\
         `results-*-client{client}.txt` and `results-raw-*-client{client}.txt` have the shape of the client this one \
         replaces, so old readers work. The load and the figures differ:\n\n\
         - Sizes: {label} There are sixteen by default, 128 to 4 M; the old program went one further.\n\
         - Order: set then get at each size, the keys removed after; the old client ran all SETs first, \
         and its GETs read keys that larger sizes had overwritten.\n\
         - Load: {} connections instead of one; a batch of 1000 is counted over all of them.\n\
         - `LATENCY` there is still seconds per 1000 requests, not the latency of a request.\n\
         - `BANDWIDTH` there is `NUM OF BITS` times requests per second: true bits per second only with \
         `--units bits`.\n\
         - Every batch counts; the old results file dropped the first of every size but the smallest. An incomplete last batch \
         is in the tables above, not in those files; `N/A` means that no batch was completed.\n\
         - Errors include misses and wrong values; the old client could not see a wrong value or a \
         failed SET reply.\n\
         - Payload is random instead of zeros, and checked.\n\n",
        report.plan.connections
    );
}

fn files(text: &mut String, report: &Report<'_>) {
    *text += "## Files\n\n- [summary.json](summary.json), [summary.csv](summary.csv): these figures for programs.\n";
    for op in &report.plan.ops {
        let (name, client) = (op.name().to_lowercase(), &report.plan.client_id);
        for kind in ["results", "results-raw"] {
            let file = format!("{kind}-{name}-client{client}.txt");
            *text += &format!("- [{file}]({file})\n");
        }
    }
}
