//! In what two runs differ beside their figures: what they did, to whom, from where.
//!
//! Owns what has to be the same for figures to be comparable. Knows nothing of figures.

use crate::record::{OptionsRecord, Record, TargetRecord};

/// What INFO tells of a version.
const VERSIONS: [&str; 3] = ["redis_version", "valkey_version", "slotway_version"];

/// A sentence for each difference, and for each run that is not to be relied on.
pub(super) fn differences(a: &Record, b: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for (name, record) in [("A", a), ("B", b)] {
        if !record.verdict.valid {
            found.push(format!("{name} is not valid: {}.", record.verdict.reasons.join("; ")));
        }
        if record.debug_build {
            found.push(format!("{name} was made by a debug build of the client."));
        }
    }
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("The runs differ in {what}: {a} and {b}."));
        }
    };
    for (what, figure) in OPTIONS {
        differ(what, figure(&a.options), figure(&b.options));
    }
    differ("the version of the client", a.tool_version.clone(), b.tool_version.clone());
    for (what, fact) in HOST {
        differ(what, fact(a), fact(b));
    }
    let alone = a.targets.len() == 1 && b.targets.len() == 1;
    for target in &a.targets {
        let other = match alone {
            true => b.targets.first(),
            false => b.targets.iter().find(|other| other.name == target.name),
        };
        if let Some(other) = other {
            targets(target, other, &mut differ);
        }
    }
    found
}

type Figure = fn(&OptionsRecord) -> String;

const OPTIONS: [(&str, Figure); 14] = [
    ("connections", |options| options.connections.to_string()),
    ("requests in flight on each connection", |options| options.pipeline.to_string()),
    ("client threads", |options| options.threads.to_string()),
    ("the rate", |options| match options.rate_per_s {
        Some(rate) => format!("{rate} requests/s"),
        None => "as fast as replies come".to_owned(),
    }),
    ("the limit of the p99", |options| {
        options.p99_limit_ms.map_or_else(|| "none".to_owned(), |limit| format!("{limit} ms"))
    }),
    ("the mix", |options| known(options.mix.as_deref())),
    ("keys of an MGET or MSET", |options| options.batch.to_string()),
    ("the order of keys", |options| options.key_distribution.clone()),
    ("the version of RESP", |options| options.protocol.to_string()),
    ("what is replayed", |options| match &options.replay {
        Some(replay) => format!("{}, {} commands", replay.file, replay.commands),
        None => "nothing".to_owned(),
    }),
    ("the time of each figure", |options| format!("{} s", options.duration_s)),
    ("the warm-up", |options| format!("{} s", options.warmup_s)),
    ("rounds", |options| options.repeat.to_string()),
    ("the seed of the values", |options| options.seed.to_string()),
];

type Fact = fn(&Record) -> String;

const HOST: [(&str, Fact); 4] = [
    ("the client's kernel", |record| known(record.client.kernel.as_deref())),
    ("the client's CPU", |record| known(record.client.cpu_model.as_deref())),
    ("the cores of the client", |record| record.client.cores.to_string()),
    ("the CPU governor", |record| known(record.client.cpu_governor.as_deref())),
];

fn known(fact: Option<&str>) -> String {
    fact.unwrap_or("not known").to_owned()
}

fn targets(a: &TargetRecord, b: &TargetRecord, differ: &mut impl FnMut(&str, String, String)) {
    let of = |what: &str| format!("{what} of {}", a.name);
    differ(&of("the address"), a.address.clone(), b.address.clone());
    let path = |target: &TargetRecord| known(target.network_path.as_deref());
    differ(&of("the network path"), path(a), path(b));
    for version in VERSIONS {
        let told = |target: &TargetRecord| {
            target.info_at_start.get(version).map_or("none", String::as_str).to_owned()
        };
        differ(&of(&format!("the `{version}`")), told(a), told(b));
    }
    let settings: std::collections::BTreeSet<&String> =
        a.settings.keys().chain(b.settings.keys()).collect();
    for setting in settings {
        let told = |target: &TargetRecord| known(target.settings.get(setting).map(String::as_str));
        differ(&of(&format!("the setting `{setting}`")), told(a), told(b));
    }
    let shards = |target: &TargetRecord| match target.topology_at_start.len() {
        0 => "not known".to_owned(),
        lines => lines.to_string(),
    };
    differ(&of("the shards"), shards(a), shards(b));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn runs_of_the_same_do_not_differ() {
        assert_eq!(differences(&sample::record(), &sample::record()), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_said() {
        let (a, mut b) = (sample::record(), sample::record());
        b.options.connections = 10;
        b.options.pipeline = 16;
        b.options.rate_per_s = Some(1000);
        b.client.cpu_model = None;
        b.targets[0].info_at_start.insert("redis_version".into(), "8.2.0".into());
        b.targets[0].settings.insert("appendonly".into(), "yes".into());
        b.verdict.valid = false;
        b.verdict.reasons = vec!["GET failed".into()];
        let said = differences(&a, &b);
        for words in [
            "B is not valid: GET failed.",
            "connections: 50 and 10.",
            "in flight on each connection: 1 and 16.",
            "the rate: as fast as replies come and 1000 requests/s.",
            "the client's CPU: Fast <9000> and not known.",
            "the `redis_version` of target: 7.0.15 and 8.2.0.",
            "the setting `appendonly` of target: no and yes.",
        ] {
            assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:#?}");
        }
        assert_eq!(said.len(), 7);
    }
}
