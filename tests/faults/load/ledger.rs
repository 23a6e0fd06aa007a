//! What a key may hold, by what its only writer has been told.
//!
//! Owns the meaning of "lost" and "extra". Every write of a stream carries the next number, so the
//! number that a key holds says which write was the last. A write that was answered is known to
//! have run, one that was refused is known not to have, and one that came to no end
//! (`INDETERMINATE`, a broken connection) may have or not: that is all a key's value may differ by.

/// An acknowledged write that a key does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) key: String,
    /// The number that was acknowledged.
    pub(crate) had: u64,
    /// The number that was found.
    pub(crate) found: u64,
}

/// What a look at a key has shown to be wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Something acknowledged is gone: the cluster may have lost it itself, which has to be proven.
    Missing(Missing),
    /// The key holds what was not written, or was written once and ran twice.
    Extra(u64),
}

/// A key that its stream counts up with `INCR`.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    known: u64,
    /// Increments since then that came to no end.
    open: u64,
}

/// A key that its stream sets to one number after the other.
#[derive(Debug, Default)]
pub(crate) struct Register {
    known: u64,
    /// Numbers since then whose writes came to no end.
    open: Vec<u64>,
}

impl Counter {
    /// An increment was answered with this number.
    pub(crate) fn counted(&mut self, key: &str, to: u64) -> Option<Fault> {
        let (first, last) = (self.known + 1, self.known + 1 + self.open);
        self.settle(key, to, (first, last), self.known + 1)
    }

    /// An increment came to no end.
    pub(crate) fn unknown(&mut self) {
        self.open += 1;
    }

    /// A look at the key has shown this number.
    pub(crate) fn seen(&mut self, key: &str, number: u64) -> Option<Fault> {
        let bounds = (self.known, self.known + self.open);
        self.settle(key, number, bounds, self.known)
    }

    fn settle(
        &mut self,
        key: &str,
        number: u64,
        (first, last): (u64, u64),
        least: u64,
    ) -> Option<Fault> {
        let had = self.known;
        (self.known, self.open) = (number, 0);
        if number < least {
            return Some(Fault::Missing(Missing { key: key.to_owned(), had, found: number }));
        }
        debug_assert!(number >= first);
        (number > last).then(|| Fault::Extra(number - last))
    }
}

impl Register {
    /// The write of this number was answered.
    pub(crate) fn written(&mut self, number: u64) {
        self.known = number;
        self.open.clear();
    }

    /// The write of this number came to no end.
    pub(crate) fn unknown(&mut self, number: u64) {
        self.open.push(number);
    }

    /// A look at the key has shown this number; from then on it stays, or is written over.
    pub(crate) fn seen(&mut self, key: &str, number: u64) -> Option<Fault> {
        let (had, open) = (self.known, std::mem::take(&mut self.open));
        self.known = number;
        if number == had || open.contains(&number) {
            return None;
        }
        let missing = Missing { key: key.to_owned(), had, found: number };
        Some(if number < had { Fault::Missing(missing) } else { Fault::Extra(1) })
    }
}

#[test]
fn a_counter_knows_what_is_lost_and_what_ran_twice() {
    let mut counter = Counter::default();
    assert_eq!(counter.counted("k", 1), None);
    assert_eq!(counter.counted("k", 3), Some(Fault::Extra(1)));
    counter.unknown();
    assert_eq!(counter.counted("k", 5), None);
    counter.unknown();
    assert_eq!(counter.counted("k", 6), None);
    let missing = Missing { key: "k".into(), had: 6, found: 6 };
    assert_eq!(counter.counted("k", 6), Some(Fault::Missing(missing)));
    assert_eq!(counter.seen("k", 7), Some(Fault::Extra(1)));
    assert!(matches!(counter.seen("k", 6), Some(Fault::Missing(_))));
}

#[test]
fn a_register_holds_what_was_written_last_or_may_have_been() {
    let mut register = Register::default();
    register.written(1);
    register.unknown(2);
    assert_eq!(register.seen("k", 1), None);
    // It was seen not to have run, and runs late.
    assert_eq!(register.seen("k", 2), Some(Fault::Extra(1)));
    register.unknown(3);
    register.unknown(4);
    assert_eq!(register.seen("k", 3), None);
    register.written(5);
    assert!(matches!(register.seen("k", 4), Some(Fault::Missing(_))));
}
