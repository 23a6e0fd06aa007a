//! What a report says in words: how it was measured, where, what went wrong, what is missing.
//!
//! Owns the wording, with names of programs between backticks. Knows nothing of Markdown or HTML
//! beyond that. Every figure comes from the record.

use crate::figures::grouped;
use crate::record::{CLUSTER_CLIENT, Record, TargetRecord};

/// A line of a table with two columns.
pub(super) type Fact = (String, String);

/// What no run of this program tells.
pub(super) const NOT_MEASURED: [&str; 4] = [
    "CPU, memory and network of the target and of anything between, beside what the environment \
     lists; only this client's CPU, and the gateway's with `--admin`.",
    "TLS; keys that expire; other commands than those above.",
    "Other loads on the same machines at the same time, unless the load average tells of them.",
    "More clients, other networks, other sizes: figures do not carry over.",
];

/// What the latencies are.
pub(super) fn latency_kind(record: &Record) -> &'static str {
    if record.is_open_loop() {
        "Latency is response time in ms, from the moment the request was due: what coordinated \
         omission hides is in it."
    } else {
        "Latency is service time in ms of a closed loop, not corrected for coordinated omission."
    }
}

/// What the columns of the tables mean.
pub(super) const COLUMNS: &str = "Rates count good requests only. MB are 10^6 bytes of payload. Of \
     repeats the table has the median, of counts the sum. A dash is a percentile with too few samples: \
     p99.9 needs 1,000 and p99.99 needs 10,000. CPU is in percent of one core, warm-up included.";

/// What the table of ratios has.
pub(super) const RATIOS: &str = "Each figure is that of the target by that of the first one in the \
     same round, which ran beside it: the median of all rounds, the smallest and the largest. More is \
     better of ops/s, less of latencies.";

/// What the table of rates has.
pub(super) const SEARCHES: &str = "The highest rate that a run of the full duration held: at least \
     99 % of it reached, no more errors than allowed, and the p99 of response times under its limit. \
     Found by doubling and halving with short runs, to within 3 %. All other figures are of that run.";

/// How it was measured, a thought a line.
pub(super) fn method(record: &Record) -> Vec<String> {
    let options = &record.options;
    let warm_up = if options.warmup_s > 0.0 {
        format!("after a warm-up of {} s that is in no figure", options.warmup_s)
    } else {
        "without a warm-up".to_owned()
    };
    let times = match options.repeat {
        1 => "each size once".to_owned(),
        repeat => format!("the whole sweep {repeat} times"),
    };
    let mut lines = vec![
        format!("{} s per size and operation, {warm_up}; {times}.", options.duration_s),
        format!(
            "Connections: {}; requests in flight on each: {}; client threads: {}.",
            options.connections, options.pipeline, options.threads
        ),
        pacing(record),
    ];
    lines.extend(targets(record));
    match &options.replay {
        Some(replay) => lines.push(format!(
            "The {} commands of `{}`, in their order over all connections, over and over. Keys are as \
             they are, and stay. A reply that is an error counts as one; nothing else of a reply is \
             looked at, and there is no payload to count.",
            grouped(replay.commands as f64),
            replay.file
        )),
        None => lines.extend(keys(record)),
    }
    lines
}

/// Which keys and values there were.
fn keys(record: &Record) -> Vec<String> {
    let options = &record.options;
    let mut lines = vec![
        format!(
            "Keys `bench:{}:<bytes>:<n>` without a hash tag, so they spread over all slots; a bounded \
             number per size.",
            record.run
        ),
        format!("Payload: random bytes from seed {}, another value for every key.", options.seed),
    ];
    lines.extend(work(record));
    let reads = |op: &String| op == "GET" || op == "MGET" || op == "mix";
    if options.ops.iter().any(reads) {
        let filled = match record.unmeasured.keys_filled {
            0 => "what was measured before had reached all of them".to_owned(),
            keys => format!(
                "{} were not reached by what was measured before, and written uncounted",
                grouped(keys as f64)
            ),
        };
        lines.push(format!(
            "Every key of a size is written at that size before it is read ({filled}). Every GET is \
             compared with the value its key must hold, in length and content; of an MGET, all lengths \
             and the content of the first."
        ));
    }
    lines.push(
        if options.keys_kept {
            "The keys were left in place."
        } else {
            "The keys of a size are removed after it."
        }
        .to_owned(),
    );
    lines
}

/// What several targets and clusters mean for the load.
fn targets(record: &Record) -> Vec<String> {
    let mut lines = Vec::new();
    if record.targets.len() > 1 {
        lines.push(
            "The targets are measured in turn at each size, each first in some round, with the same \
             number of connections and of requests in flight."
                .to_owned(),
        );
    }
    for target in record.targets.iter().filter(|target| target.client == CLUSTER_CLIENT) {
        lines.push(format!(
            "The load on {} comes from this program's own cluster client: each key goes to the master \
             that has its slot. Each connection belongs to one master, all masters in turn, so there \
             are as many in all as to another target. A key that MOVED is asked again where it is, and \
             its redirect is counted.",
            target.name
        ));
    }
    lines
}

/// What is asked, where it is not the usual sweep.
fn work(record: &Record) -> Vec<String> {
    let options = &record.options;
    let mut lines = Vec::new();
    if let Some(mix) = &options.mix {
        lines.push(format!("Each request is one of a mix, drawn by shares: `{mix}`."));
    }
    let in_batches =
        |text: &str| text.to_lowercase().contains("mget") || text.to_lowercase().contains("mset");
    if options.ops.iter().chain(&options.mix).any(|text| in_batches(text)) {
        lines.push(format!("An MGET or MSET has {} keys; it is one request.", options.batch));
    }
    lines.extend(match options.key_distribution.as_str() {
        "uniform" => Some("Keys are drawn, each with the same chance.".to_owned()),
        "zipf" => Some(
            "Keys are drawn by Zipf's law: the n-th with a chance of 1 by n to the power of 0.99."
                .to_owned(),
        ),
        _ => None,
    });
    if options.protocol == 3 {
        lines.push("The measured connections speak RESP3.".to_owned());
    }
    lines
}

fn pacing(record: &Record) -> String {
    if let Some(limit) = record.options.p99_limit_ms {
        return format!(
            "Open loop, on a schedule that does not wait for replies, at the highest rate that was found \
             with a p99 under {limit} ms. Response time is service time plus lag, how late a request was \
             sent; the client's own lateness, about 0.1 ms, is part of it."
        );
    }
    match record.options.rate_per_s {
        Some(rate) => format!(
            "Open loop: {} requests/s over all connections, on a schedule that does not wait for \
             replies. A rate reached by less than 99 % makes a run invalid. Response time is service \
             time plus lag, how late a request was sent; the client's own lateness, about 0.1 ms, is \
             part of it.",
            grouped(rate as f64)
        ),
        None => "Closed loop: each connection sends when its replies are in. A stalled target \
                 therefore delays requests that are never sent, and the percentiles do not show them; \
                 use `--rate` for response times."
            .to_owned(),
    }
}

/// Where it was measured.
pub(super) fn environment(record: &Record) -> Vec<Fact> {
    let client = &record.client;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let build = if record.debug_build { ", a debug build" } else { "" };
    let mut facts = vec![
        fact(&record.tool, format!("{} ({}{build})", record.tool_version, client.architecture)),
        fact("client kernel", known(&client.kernel)),
        fact("client CPU", format!("{}, {} cores usable", known(&client.cpu_model), client.cores)),
    ];
    let optional = [
        ("client CPU governor", client.cpu_governor.clone()),
        ("client memory", client.memory_mib.map(|mib| format!("{mib} MiB"))),
        ("client load average at start", client.load_average_at_start.clone()),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some(fact(name, value?))));
    for target in &record.targets {
        facts.extend(about_target(target));
    }
    facts
}

fn about_target(target: &TargetRecord) -> Vec<Fact> {
    let name = &target.name;
    let mut facts = vec![(format!("{name}: address"), {
        match &target.peer {
            Some(peer) if *peer != target.address => format!("{} ({peer})", target.address),
            _ => target.address.clone(),
        }
    })];
    let mut put = |what: &str, value: String| facts.push((format!("{name}: {what}"), value));
    if target.client == CLUSTER_CLIENT {
        put("client", "a cluster client, to each master".to_owned());
    }
    put("network path", target.network_path.clone().unwrap_or_else(|| "not known".to_owned()));
    for (field, value) in &target.info_at_start {
        let after = target.info_at_end.get(field).filter(|after| *after != value);
        let value = match after {
            Some(after) => format!("{value} (at the end {after})"),
            None => value.clone(),
        };
        put(&format!("`{field}`"), value);
    }
    if let Some(silence) = &target.no_info_because {
        put("INFO", format!("not answered: {silence}"));
    }
    for (setting, value) in &target.settings {
        put(&format!("setting `{setting}`"), value.clone());
    }
    put("keys evicted", target.evicted_keys.map_or("not known".to_owned(), |n| grouped(n as f64)));
    let lines = |topology: &[String]| match topology {
        [] => "not known; `--admin` asks a gateway".to_owned(),
        lines => lines.join("; "),
    };
    put("topology at start", lines(&target.topology_at_start));
    put(
        "topology at end",
        match target.topology_changed {
            Some(false) => "the same".to_owned(),
            _ => lines(&target.topology_at_end),
        },
    );
    facts
}

/// Where an error was, how often, and its text.
pub(super) fn errors(record: &Record) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for phase in &record.phases {
        for (error, count) in &phase.errors_by_text {
            let mut place = format!("{} {}", phase.op, phase.size());
            if record.targets.len() > 1 {
                place = format!("{} {place}", phase.target);
            }
            if record.options.repeat > 1 {
                place += &format!(" round {}", phase.round);
            }
            rows.push([place, grouped(*count as f64), error.clone()]);
        }
    }
    for (error, count) in &record.unmeasured.errors {
        let place = "writing and removing keys".to_owned();
        rows.push([place, grouped(*count as f64), error.clone()]);
    }
    rows
}

/// What sets the old client's files and figures apart.
pub(super) fn old_client(record: &Record) -> Vec<String> {
    let options = &record.options;
    let label = match options.units.as_str() {
        "bytes" => "`--units bytes`: as in the old client, \"128 bits\" are 128 bytes.",
        _ => {
            "128 means 128 bits, 16 bytes; the old client sent 128 bytes there. `--units bytes` repeats its load."
        }
    };
    let mut lines = vec![
        format!(
            "Sizes: {label} There are sixteen by default, 128 to 4 M; the old program went one further."
        ),
        "Order: set then get at each size, the keys removed after; the old client ran all SETs first, \
         and its GETs read keys that larger sizes had overwritten."
            .to_owned(),
        format!(
            "Load: {} connections instead of one; a batch of 1000 is counted over all of them.",
            options.connections
        ),
    ];
    lines.extend(
        [
            "`LATENCY` there is still seconds per 1000 requests, not the latency of a request.",
            "`BANDWIDTH` there is `NUM OF BITS` times requests per second: true bits per second only \
             with `--units bits`.",
            "Every batch counts; the old results file dropped the first of every size but the \
             smallest. An incomplete last batch is in the tables above, not in those files; `N/A` means \
             that no batch was completed.",
            "Errors include misses and wrong values; the old client could not see a wrong value or a \
             failed SET reply.",
            "Payload is random instead of zeros, and checked.",
            "Of several rounds and targets those files have the first.",
        ]
        .map(str::to_owned),
    );
    lines
}

/// The files beside the report, with what they are.
pub(super) fn files(record: &Record) -> Vec<Fact> {
    let mut files = [
        ("summary.json", "the whole record; `slotway-bench report` makes this report from it"),
        ("summary.csv", "a line for each size and operation"),
        ("timeseries.csv", "a line for each second"),
        ("hdr/", "percentile texts for HdrHistogram's plotter, and the interval log `run.hlog`"),
    ]
    .map(|(name, what)| (name.to_owned(), what.to_owned()))
    .to_vec();
    for op in ["set", "get"] {
        if record.options.ops.iter().any(|name| name.eq_ignore_ascii_case(op)) {
            for kind in ["results", "results-raw"] {
                let file = format!("{kind}-{op}-client{}.txt", record.options.client_id);
                files.push((file, "in the old client's form".to_owned()));
            }
        }
    }
    files
}
