//! Reads a scrape's text as strictly as Prometheus does, and more so; for tests only.
//!
//! Owns the rules of the exposition format. Must not know this gateway's metrics, so that tests
//! outside the crate can include the file.

use std::collections::{BTreeMap, BTreeSet};

/// A series: its name and its labels, unescaped.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// What a text says.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    /// The kind of each family.
    pub(crate) kinds: BTreeMap<String, String>,
    /// The value of each series.
    pub(crate) series: BTreeMap<Series, f64>,
}

impl Exposed {
    /// Reads a text; panics where it is not well-formed.
    pub(crate) fn read(text: &str) -> Exposed {
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "line ends");
        let mut exposed = Exposed::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(helped.insert(name.to_owned()), "HELP twice: {line}");
                assert!(!help.is_empty());
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "TYPE without HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(exposed.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                exposed.read_sample(line, &family);
            }
        }
        exposed.check_histograms();
        exposed
    }

    /// The value of a series.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.series.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// Panics when a counter or a histogram of `self` is lower in `later`, or gone.
    pub(crate) fn assert_only_grown(&self, later: &Exposed) {
        for (series, before) in &self.series {
            let kind = self.kinds.get(family_of(&series.0, &self.kinds)).map(String::as_str);
            if kind != Some("gauge") {
                let after = later.series.get(series).unwrap_or_else(|| panic!("gone: {series:?}"));
                assert!(after >= before, "{series:?}: {before}, then {after}");
            }
        }
    }

    fn read_sample(&mut self, line: &str, family: &str) {
        let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).expect(line);
        let (name, rest) = line.split_at(name_end);
        assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{line}");
        assert_eq!(family_of(name, &self.kinds), family, "not within its family: {line}");
        let mut labels = BTreeMap::new();
        let value = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest, &mut labels, line),
            None => rest,
        };
        let value: f64 = value.strip_prefix(' ').expect(line).parse().expect(line);
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(self.series.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }

    fn check_histograms(&self) {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            if let Some(stem) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("le").parse().expect("a number");
                buckets.entry((stem.to_owned(), labels)).or_default().push((bound, *value));
            }
        }
        for ((stem, labels), mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(
                buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                "{stem}: not cumulative"
            );
            let count = self.series.get(&(format!("{stem}_count"), labels.clone()));
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count.expect("a count"))), "{stem}");
            assert!(self.series.contains_key(&(format!("{stem}_sum"), labels)), "{stem}: no sum");
        }
    }
}

/// A series of a histogram has the family's name and a suffix.
fn family_of<'n>(name: &'n str, kinds: &BTreeMap<String, String>) -> &'n str {
    let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
    let is_histogram = |stem: &&str| kinds.get(*stem).is_some_and(|kind| kind == "histogram");
    stems.into_iter().find(is_histogram).unwrap_or(name)
}

/// Reads `name="value",…}`; returns what follows.
fn read_labels<'l>(
    mut rest: &'l str,
    labels: &mut BTreeMap<String, String>,
    line: &str,
) -> &'l str {
    loop {
        let (name, after) = rest.split_once("=\"").expect(line);
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect(line) {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next().expect(line).1 {
                    'n' => '\n',
                    letter @ ('\\' | '"') => letter,
                    other => panic!("\\{other} in {line}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{line}");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix('}').expect(line),
        }
    }
}
