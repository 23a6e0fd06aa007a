//! What a reader has to know before the figures.
//!
//! Owns the thresholds and the sentences. Knows nothing of how they are shown. What makes figures
//! unusable is in the verdict; this is what makes them less than they seem.

use super::{PhaseRecord, Record, TargetRecord};
use crate::figures::{grouped, ms};

/// From this share of its threads' time on, the client itself may be what was measured.
const CLIENT_BUSY_PERCENT: f64 = 85.0;

/// A closed loop stood still when nothing was answered for so long, and so many times longer than
/// half of the requests took.
const STALL_MS_MIN: f64 = 50.0;
const STALL_TIMES_MEDIAN: f64 = 10.0;

/// With fewer requests, the p99 that a search goes by is hardly one.
const SEARCH_SAMPLES_MIN: u64 = 1_000;

/// Phases named in one sentence.
const NAMED_MAX: usize = 4;

/// All warnings, worst first.
pub(super) fn of(record: &Record) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(bad_requests(record));
    for target in &record.targets {
        warnings.extend(evictions(record, target));
        warnings.extend(topology(record, target));
    }
    warnings.extend(stalls(record));
    warnings.extend(client_busy(record));
    warnings.extend(reconnects(record));
    warnings.extend(few_requests(record));
    if record.unmeasured.keys_not_removed > 0 {
        warnings.push(format!(
            "{} keys may be left on the target: `bench:{}:*`.",
            grouped(record.unmeasured.keys_not_removed as f64),
            record.run
        ));
    }
    if record.debug_build {
        warnings.push(
            "This is a debug build of the client: do not compare its figures with any other's."
                .to_owned(),
        );
    }
    if record.options.duration_s < 10.0 {
        warnings.push(format!(
            "Each figure is of {} s: good for a first look, too short for a comparison.",
            record.options.duration_s
        ));
    }
    if record.options.repeat < 3 {
        let times = if record.options.repeat == 1 { "once" } else { "twice" };
        warnings.push(format!(
            "Each size was measured {times}: how far repeats lie apart is not known (`--repeat 3`)."
        ));
    }
    warnings
}

/// The phases of which something is true, in words.
fn named<'a>(record: &Record, phases: impl Iterator<Item = &'a PhaseRecord>) -> (usize, String) {
    let mut names = Vec::new();
    let mut count = 0;
    for phase in phases {
        count += 1;
        if names.len() < NAMED_MAX {
            names.push(name_of(record, phase));
        }
    }
    if count > names.len() {
        names.push(format!("{} more", count - names.len()));
    }
    (count, names.join(", "))
}

/// `SET 128 bit (16 B)`, with its target and its round where there are several.
fn name_of(record: &Record, phase: &PhaseRecord) -> String {
    let mut name = format!("{} {}", phase.op, phase.size());
    if record.targets.len() > 1 {
        name = format!("{} {name}", phase.target);
    }
    if record.options.repeat > 1 {
        name += &format!(" round {}", phase.round);
    }
    name
}

fn bad_requests(record: &Record) -> Option<String> {
    let sum = |count: fn(&PhaseRecord) -> u64| record.phases.iter().map(count).sum::<u64>();
    let (errors, misses, wrong) = (sum(|p| p.errors), sum(|p| p.misses), sum(|p| p.wrong));
    if errors + misses + wrong == 0 {
        return None;
    }
    let (_, names) = named(record, record.phases.iter().filter(|phase| phase.bad() > 0));
    Some(format!(
        "{} errors, {} misses and {} wrong values among {} requests ({names}). Rates count good \
         requests only.",
        grouped(errors as f64),
        grouped(misses as f64),
        grouped(wrong as f64),
        grouped(sum(|phase| phase.requests) as f64)
    ))
}

fn evictions(record: &Record, target: &TargetRecord) -> Option<String> {
    let keys = target.evicted_keys.filter(|keys| *keys > 0)?;
    Some(format!(
        "{} evicted {} keys during the run: GETs may have missed for that, and SETs may have cost \
         more.",
        called(record, target),
        grouped(keys as f64)
    ))
}

fn topology(record: &Record, target: &TargetRecord) -> Option<String> {
    target.topology_changed.filter(|changed| *changed)?;
    Some(format!(
        "The topology behind {} changed during the run: the figures are of more than one cluster.",
        called(record, target)
    ))
}

fn called(record: &Record, target: &TargetRecord) -> String {
    if record.targets.len() > 1 { target.name.clone() } else { "the target".to_owned() }
}

/// Whether the target stood still while a closed loop waited: its percentiles do not show that.
fn has_stalled(phase: &PhaseRecord) -> bool {
    let (Some(pause), Some(p50)) = (phase.longest_pause_ms, phase.latency_ms.p50) else {
        return false;
    };
    !phase.is_open_loop() && pause >= STALL_MS_MIN && pause >= STALL_TIMES_MEDIAN * p50
}

fn stalls(record: &Record) -> Option<String> {
    let stalled = || record.phases.iter().filter(|phase| has_stalled(phase));
    let (count, names) = named(record, stalled());
    let pause = |phase: &&PhaseRecord| phase.longest_pause_ms.unwrap_or_default();
    let worst = stalled().max_by(|one, other| pause(one).total_cmp(&pause(other)))?;
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), ms);
    Some(format!(
        "The target stood still in {count} of {} phases ({names}), for up to {} ms, while the closed \
         loop sent nothing. The percentiles do not show what clients would have waited: for {} they \
         say p99 {} ms, corrected by estimate {} ms. Use `--rate` to measure it.",
        record.phases.len(),
        ms(pause(&worst)),
        name_of(record, worst),
        figure(worst.latency_ms.p99),
        figure(worst.p99_corrected_ms)
    ))
}

fn client_busy(record: &Record) -> Option<String> {
    let is_busy = |phase: &&PhaseRecord| {
        phase.client_busy_pct().is_some_and(|percent| percent > CLIENT_BUSY_PERCENT)
    };
    let (count, names) = named(record, record.phases.iter().filter(is_busy));
    (count > 0).then(|| {
        format!(
            "The client was the limit, or close to it, in {count} of {} phases ({names}): it used \
             more than {CLIENT_BUSY_PERCENT:.0} % of its threads' time. The target may be able to do \
             more; `--threads` on free cores would tell.",
            record.phases.len()
        )
    })
}

/// A search that went down to so few requests that a percentile is one of them.
fn few_requests(record: &Record) -> Option<String> {
    let has_few = |phase: &&PhaseRecord| {
        phase.rate_search.is_some() && phase.latency_ms.samples < SEARCH_SAMPLES_MIN
    };
    let (count, names) = named(record, record.phases.iter().filter(has_few));
    (count > 0).then(|| {
        format!(
            "The last run of {count} searches for a rate ({names}) had fewer than \
             {SEARCH_SAMPLES_MIN} requests: its p99 is one or a few of them. Use a longer --duration."
        )
    })
}

fn reconnects(record: &Record) -> Option<String> {
    let count: u64 = record.phases.iter().map(|phase| phase.reconnects).sum();
    let (_, names) = named(record, record.phases.iter().filter(|phase| phase.reconnects > 0));
    (count > 0).then(|| {
        format!("{} connections were lost and made anew ({names}).", grouped(count as f64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use crate::searched::Searched;

    fn warned(change: impl Fn(&mut Record)) -> String {
        let mut record = sample::record();
        change(&mut record);
        of(&record).join("\n")
    }

    #[test]
    fn a_good_run_has_no_warnings() {
        assert_eq!(warned(|_| ()), "");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = warned(|record| record.phases[0].misses = 3);
        assert!(said.contains("0 errors, 3 misses and 0 wrong values"), "{said}");
        let said = warned(|record| record.targets[0].evicted_keys = Some(7));
        assert!(said.contains("evicted 7 keys"), "{said}");
        let said = warned(|record| record.targets[0].topology_changed = Some(true));
        assert!(said.contains("topology"), "{said}");
        let said = warned(|record| record.phases[1].client_cpu_pct = Some(97.0));
        assert!(said.contains("The client was the limit, or close to it, in 1 of"), "{said}");
        let said = warned(|record| {
            record.phases[0].latency_ms.samples = 12;
            record.phases[0].rate_search =
                Some(Searched { p99_limit_ms: 5.0, confirmed: true, tries: Vec::new() });
        });
        assert!(said.contains("had fewer than 1000 requests"), "{said}");
        let said = warned(|record| record.options.repeat = 1);
        assert!(said.contains("measured once"), "{said}");
        let said = warned(|record| record.options.duration_s = 1.0);
        assert!(said.contains("of 1 s"), "{said}");
    }

    #[test]
    fn a_stall_is_told_of_a_closed_loop_only() {
        let stall = |record: &mut Record| record.phases[0].longest_pause_ms = Some(103.0);
        let said = warned(stall);
        assert!(said.contains("stood still in 1 of") && said.contains("103.0 ms"), "{said}");
        let said = warned(|record| {
            stall(record);
            record.phases[0].loop_kind = "open".into();
        });
        assert_eq!(said, "");
        // Slow is not still.
        let said = warned(|record| {
            stall(record);
            record.phases[0].latency_ms.p50 = Some(60.0);
        });
        assert_eq!(said, "");
    }
}
