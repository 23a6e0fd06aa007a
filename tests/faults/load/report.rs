//! What a load has seen.
//!
//! Owns the counting, and the words in which the figures are told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Kind;
use super::ledger::{Fault, Missing};

/// The figures of one stream.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) kind: Kind,
    pub(crate) acked: u64,
    /// Errors by their text.
    pub(crate) errors: BTreeMap<String, usize>,
    /// Longest time between two answers that were no errors.
    pub(crate) gap: Duration,
    last: Instant,
    pub(crate) missing: Vec<Missing>,
    pub(crate) extra: u64,
    /// Replies that no order of the requests explains.
    pub(crate) wrong: Vec<String>,
}

/// The figures of all streams.
pub(crate) struct Report {
    pub(crate) streams: Vec<Tally>,
}

/// The errors that a fault may cost a stream; streams that only read see none, ever.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed {
    /// No error.
    None,
    /// So many requests under way may come to no end: `INDETERMINATE`.
    Indeterminate(usize),
    /// The gateway itself goes away so often: connections break, and may not come about. What was
    /// under way is unknown.
    Broken,
}

impl Tally {
    pub(crate) fn new(kind: Kind) -> Tally {
        Tally {
            kind,
            acked: 0,
            errors: BTreeMap::new(),
            gap: Duration::ZERO,
            last: Instant::now(),
            missing: Vec::new(),
            extra: 0,
            wrong: Vec::new(),
        }
    }

    pub(crate) fn acked(&mut self) {
        self.acked += 1;
        self.pause_ends();
    }

    pub(crate) fn pause_ends(&mut self) {
        self.gap = self.gap.max(self.last.elapsed());
        self.last = Instant::now();
    }

    pub(crate) fn error(&mut self, text: &str) {
        *self.errors.entry(text.chars().take(70).collect()).or_default() += 1;
    }

    pub(crate) fn note(&mut self, fault: Option<Fault>) {
        match fault {
            Some(Fault::Missing(missing)) => self.missing.push(missing),
            Some(Fault::Extra(count)) => self.extra += count,
            None => {}
        }
    }

    fn errors_count(&self) -> usize {
        self.errors.values().sum()
    }

    /// What is not as it may be.
    fn objection(&self, allowed: Allowed) -> Option<String> {
        let (limit, begins): (usize, &[&str]) = match allowed {
            _ if self.kind == Kind::Reader && !matches!(allowed, Allowed::Broken) => (0, &[]),
            Allowed::None => (0, &[]),
            Allowed::Indeterminate(faults) => (faults * self.kind.depth(), &["INDETERMINATE "]),
            Allowed::Broken => (usize::MAX, &["socket: "]),
        };
        let strange = self.errors.keys().find(|text| !begins.iter().any(|b| text.starts_with(b)));
        if self.errors_count() > limit || strange.is_some() {
            return Some(format!("{:?} saw {:?}; allowed are {allowed:?}", self.kind, self.errors));
        }
        (!self.wrong.is_empty()).then(|| format!("{:?}: {:?}", self.kind, self.wrong))
    }
}

impl Report {
    /// Every stream has seen no errors but these, every reply was in order, and nothing ran twice.
    pub(crate) fn assert(&self, allowed: Allowed) {
        let objections: Vec<String> =
            self.streams.iter().filter_map(|stream| stream.objection(allowed)).collect();
        assert!(objections.is_empty(), "{self}\n{}", objections.join("\n"));
        assert_eq!(self.extra(), 0, "{self}");
    }

    pub(crate) fn extra(&self) -> u64 {
        self.streams.iter().map(|stream| stream.extra).sum()
    }

    pub(crate) fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.streams.iter().flat_map(|stream| &stream.missing)
    }

    pub(crate) fn gap(&self) -> Duration {
        self.streams.iter().map(|stream| stream.gap).max().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = |of: &[&Tally], figure: fn(&Tally) -> u64| -> u64 {
            of.iter().map(|stream| figure(stream)).sum()
        };
        for kind in Kind::ALL {
            let of: Vec<&Tally> = self.streams.iter().filter(|s| s.kind == kind).collect();
            if of.is_empty() {
                continue;
            }
            let gap = of.iter().map(|stream| stream.gap).max().unwrap_or_default();
            writeln!(
                f,
                "  {:9} {:2} streams {:7} acked {:3} errors (on {}) gap {:.2} s, {} to be explained, extra {}",
                format!("{kind:?}"),
                of.len(),
                total(&of, |stream| stream.acked),
                total(&of, |stream| stream.errors_count() as u64),
                of.iter().filter(|stream| stream.errors_count() > 0).count(),
                gap.as_secs_f64(),
                total(&of, |stream| stream.missing.len() as u64),
                total(&of, |stream| stream.extra),
            )?;
        }
        let mut errors: BTreeMap<&str, usize> = BTreeMap::new();
        for (text, count) in self.streams.iter().flat_map(|stream| &stream.errors) {
            *errors.entry(text).or_default() += count;
        }
        errors.iter().try_for_each(|(text, count)| writeln!(f, "  {count:5} {text}"))
    }
}
