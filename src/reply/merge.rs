//! Several nodes' replies become the one that a single Redis would have given.
//!
//! Owns the response policies of Redis (<https://redis.io/docs/latest/develop/reference/command-tips/>)
//! over raw frames. Pure: knows no node and no client. Invariant: an error in any part is the
//! reply, unless the policy says that one success is enough.

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use crate::reply::texts;
use crate::resp::frame::{open_array, split_frame};
use crate::resp::number::{Line, integer_line};
use crate::resp::write;

/// How parts become one reply.
pub enum Merge {
    /// Values in the order of the keys: part `order[n]` has the next value (MGET).
    InKeyOrder(Vec<u16>),
    /// The sum of integers (DEL, DBSIZE).
    Sum,
    /// The smallest integer.
    Min,
    /// The largest integer.
    Max,
    /// The first reply; an error when any part is one (FLUSHALL).
    AllSucceeded,
    /// The first reply that is no error (SCRIPT KILL), else the error that says the most.
    OneSucceeded,
    /// Logical and, of integers or item by item (SCRIPT EXISTS).
    And,
    /// Logical or.
    Or,
    /// All items of all arrays (KEYS).
    Concatenate,
    /// All items of all arrays, each once.
    Distinct,
    /// As [`Merge::Concatenate`], of names that this holds for.
    ConcatenateIf(Holds),
    /// As [`Merge::Distinct`], of names that this holds for.
    DistinctIf(Holds),
    /// Whatever the caller makes of the parts.
    With(Make),
    /// The same, of parts that may be errors.
    WithErrors(Make),
}

/// Whether a name stays.
pub type Holds = Rc<dyn Fn(&[u8]) -> bool>;

/// Makes one reply of the parts of several nodes.
pub type Make = Box<dyn FnOnce(&[&[u8]]) -> Vec<u8>>;

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InKeyOrder(_) => "InKeyOrder",
            Self::Sum => "Sum",
            Self::Min => "Min",
            Self::Max => "Max",
            Self::AllSucceeded => "AllSucceeded",
            Self::OneSucceeded => "OneSucceeded",
            Self::And => "And",
            Self::Or => "Or",
            Self::Concatenate => "Concatenate",
            Self::Distinct => "Distinct",
            Self::ConcatenateIf(_) => "ConcatenateIf",
            Self::DistinctIf(_) => "DistinctIf",
            Self::With(_) => "With",
            Self::WithErrors(_) => "WithErrors",
        })
    }
}

/// A value this long is given on where it lies instead of being copied.
const LARGE_MIN: usize = 16 * 1024;

impl Merge {
    /// How replies become one when some nodes have given two of them, which may name the same items.
    #[must_use]
    pub fn of_rounds(self, twice: bool) -> Merge {
        match self {
            Merge::Concatenate if twice => Merge::Distinct,
            Merge::ConcatenateIf(holds) if twice => Merge::DistinctIf(holds),
            merge => merge,
        }
    }

    /// Gives the merged reply to `out`, piece by piece; the last one comes with `true`.
    pub fn apply(self, parts: &[&[u8]], out: &mut dyn FnMut(&[u8], bool)) {
        let is_error = |part: &&[u8]| part.first() == Some(&b'-');
        let as_it_is = match self {
            Merge::OneSucceeded => parts.iter().min_by_key(|part| rank(part)),
            Merge::WithErrors(_) => None,
            _ => parts.iter().find(|part| is_error(part)),
        };
        if let Some(part) = as_it_is {
            return out(part, true);
        }
        let merged = match self {
            Merge::InKeyOrder(order) => match in_key_order(&order, parts) {
                Some(values) => return give_values(&values, out),
                None => None,
            },
            Merge::Sum => integers(parts, i64::saturating_add),
            Merge::Min => integers(parts, i64::min),
            Merge::Max => integers(parts, i64::max),
            Merge::And => logical(parts, |a, b| a & b),
            Merge::Or => logical(parts, |a, b| a | b),
            Merge::AllSucceeded | Merge::OneSucceeded => parts.first().map(|part| part.to_vec()),
            Merge::Concatenate => concatenate(parts),
            Merge::Distinct => distinct(parts),
            Merge::ConcatenateIf(holds) => concatenate(parts).and_then(|all| retain(&all, &*holds)),
            Merge::DistinctIf(holds) => distinct(parts).and_then(|all| retain(&all, &*holds)),
            Merge::With(make) | Merge::WithErrors(make) => Some(make(parts)),
        };
        out(&merged.unwrap_or_else(unmergeable), true);
    }
}

/// How much one reply of many says where one success is enough; less is more. A node that has nothing
/// to do says the least.
fn rank(part: &[u8]) -> u8 {
    match part {
        [b'-', error @ ..] if error.starts_with(b"NOTBUSY") => 3,
        [b'-', error @ ..] if error.starts_with(texts::OWN.as_bytes()) => 2,
        [b'-', ..] => 1,
        _ => 0,
    }
}

/// Those items of an array of names for which this holds; other items stay.
pub fn retain(reply: &[u8], holds: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let (_, mut rest) = open_array(reply)?;
    let (mut count, mut kept) = (0, Vec::with_capacity(rest.len()));
    while !rest.is_empty() {
        let (item, after) = split_frame(rest)?;
        if bulk_text(item).is_none_or(holds) {
            count += 1;
            kept.extend_from_slice(item);
        }
        rest = after;
    }
    let mut out = Vec::with_capacity(kept.len() + 16);
    write::array_len(&mut out, count);
    out.extend_from_slice(&kept);
    Some(out)
}

/// The text of a bulk string.
pub fn bulk_text(frame: &[u8]) -> Option<&[u8]> {
    let Line::Integer { value, len } = integer_line(frame) else { return None };
    let size = usize::try_from(value).ok().filter(|_| frame.first() == Some(&b'$'))?;
    frame.get(len..len + size)
}

fn unmergeable() -> Vec<u8> {
    let mut out = Vec::new();
    write::error(&mut out, texts::UNMERGEABLE);
    out
}

/// The integer that is the whole of `frame`.
fn integer(frame: &[u8]) -> Option<i64> {
    match (frame.first(), integer_line(frame)) {
        (Some(b':'), Line::Integer { value, .. }) => Some(value),
        _ => None,
    }
}

fn integers(parts: &[&[u8]], join: impl Fn(i64, i64) -> i64) -> Option<Vec<u8>> {
    let mut values = parts.iter().map(|part| integer(part));
    let first = values.next()??;
    let total = values.try_fold(first, |total, value| Some(join(total, value?)))?;
    let mut out = Vec::new();
    write::integer(&mut out, total);
    Some(out)
}

/// The values of the parts' arrays, in this order.
fn in_key_order<'a>(order: &[u16], parts: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let mut rests = Vec::with_capacity(parts.len());
    for part in parts {
        rests.push(open_array(part)?);
    }
    let mut values = Vec::with_capacity(order.len());
    for &part in order {
        let (left, rest) = rests.get_mut(usize::from(part))?;
        *left = left.checked_sub(1)?;
        let (value, after) = split_frame(rest)?;
        values.push(value);
        *rest = after;
    }
    rests.iter().all(|(left, _)| *left == 0).then_some(values)
}

/// Gives an array of these values: small ones together, large ones from where they are.
fn give_values(values: &[&[u8]], out: &mut dyn FnMut(&[u8], bool)) {
    let small = |value: &&&[u8]| value.len() < LARGE_MIN;
    let bytes: usize = values.iter().filter(small).map(|value| value.len()).sum();
    let mut together = Vec::with_capacity(bytes + 16);
    write::array_len(&mut together, values.len());
    for (index, value) in values.iter().enumerate() {
        if small(&value) {
            together.extend_from_slice(value);
            continue;
        }
        if !together.is_empty() {
            out(&together, false);
            together.clear();
        }
        out(value, index + 1 == values.len());
    }
    if values.last().is_none_or(|value| value.len() < LARGE_MIN) {
        out(&together, true);
    }
}

fn distinct(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let (mut seen, mut items) = (HashSet::new(), Vec::new());
    for part in parts {
        let (len, mut rest) = open_array(part)?;
        for _ in 0..len {
            let (item, after) = split_frame(rest)?;
            rest = after;
            if seen.insert(item) {
                items.extend_from_slice(item);
            }
        }
    }
    let mut out = Vec::with_capacity(items.len() + 16);
    write::array_len(&mut out, seen.len());
    out.extend_from_slice(&items);
    Some(out)
}

fn concatenate(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut count = 0;
    let mut items = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        let (len, rest) = open_array(part)?;
        count += len;
        items.extend_from_slice(rest);
    }
    let mut out = Vec::with_capacity(items.len() + 16);
    // Keep the kind of aggregate that the nodes used.
    let kind = parts.first()?.first()?;
    write::array_len(&mut out, count);
    out[0] = *kind;
    out.extend_from_slice(&items);
    Some(out)
}

fn logical(parts: &[&[u8]], join: impl Fn(i64, i64) -> i64 + Copy) -> Option<Vec<u8>> {
    if integer(parts.first()?).is_some() {
        return integers(parts, join);
    }
    let mut totals: Option<Vec<i64>> = None;
    for part in parts {
        let (len, mut rest) = open_array(part)?;
        let mut row = Vec::with_capacity(len.min(1024));
        for _ in 0..len {
            let (item, after) = split_frame(rest)?;
            row.push(integer(item)?);
            rest = after;
        }
        totals = match totals {
            None => Some(row),
            Some(total) if total.len() == row.len() => {
                Some(total.iter().zip(&row).map(|(a, b)| join(*a, *b)).collect())
            }
            Some(_) => return None,
        };
    }
    let totals = totals?;
    let mut out = Vec::new();
    write::array_len(&mut out, totals.len());
    for total in totals {
        write::integer(&mut out, total);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(merge: Merge, parts: &[&[u8]]) -> Vec<u8> {
        let (mut all, mut ended) = (Vec::new(), false);
        merge.apply(parts, &mut |piece, whole| {
            assert!(!ended, "a piece after the last");
            all.extend_from_slice(piece);
            ended = whole;
        });
        assert!(ended, "no last piece");
        all
    }

    fn apply(merge: Merge, parts: &[&str]) -> String {
        let merged = merged(merge, &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        String::from_utf8(merged).expect("text")
    }

    #[test]
    fn policies() {
        let ints = [":3\r\n", ":1\r\n", ":2\r\n"];
        assert_eq!(apply(Merge::Sum, &ints), ":6\r\n");
        assert_eq!(apply(Merge::Min, &ints), ":1\r\n");
        assert_eq!(apply(Merge::Max, &ints), ":3\r\n");
        assert_eq!(apply(Merge::And, &[":1\r\n", ":0\r\n"]), ":0\r\n");
        let rows = ["*2\r\n:1\r\n:0\r\n", "*2\r\n:1\r\n:1\r\n"];
        assert_eq!(apply(Merge::And, &rows), "*2\r\n:1\r\n:0\r\n");
        assert_eq!(apply(Merge::Or, &rows), "*2\r\n:1\r\n:1\r\n");
        assert_eq!(apply(Merge::AllSucceeded, &["+OK\r\n", "+OK\r\n"]), "+OK\r\n");
        assert_eq!(apply(Merge::AllSucceeded, &["+OK\r\n", "-ERR a\r\n"]), "-ERR a\r\n");
        assert_eq!(apply(Merge::OneSucceeded, &["-ERR a\r\n", "+OK\r\n"]), "+OK\r\n");
        assert_eq!(apply(Merge::OneSucceeded, &["-ERR a\r\n", "-ERR b\r\n"]), "-ERR a\r\n");
        let idle = "-NOTBUSY No scripts\r\n";
        assert_eq!(apply(Merge::OneSucceeded, &[idle, "-UNKILLABLE a\r\n"]), "-UNKILLABLE a\r\n");
        assert_eq!(apply(Merge::OneSucceeded, &[idle, idle]), idle);
        let own = texts::frame(&texts::not_asked("it is\r\ngone"));
        let own = String::from_utf8(own).expect("text");
        assert_eq!(apply(Merge::OneSucceeded, &[&own, "-UNKILLABLE a\r\n"]), "-UNKILLABLE a\r\n");
        assert_eq!(apply(Merge::OneSucceeded, &[idle, &own]), own);
        assert_eq!(own.matches('\n').count(), 1);
        let lists = ["*1\r\n$1\r\na\r\n", "*0\r\n", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"];
        let want = "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n";
        assert_eq!(apply(Merge::Concatenate, &lists), want);
        let parts = ["*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n_\r\n"];
        let want = "*3\r\n$1\r\na\r\n_\r\n$-1\r\n";
        assert_eq!(apply(Merge::InKeyOrder(vec![0, 1, 0]), &parts), want);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let cases = [
            (Merge::Sum, vec![":1\r\n", "+OK\r\n"]),
            (Merge::Sum, vec![]),
            (Merge::AllSucceeded, vec![]),
            (Merge::OneSucceeded, vec![]),
            (Merge::Concatenate, vec!["*1\r\n$1\r\na\r\n", ":1\r\n"]),
            (Merge::InKeyOrder(vec![0, 0]), vec!["*1\r\n$1\r\na\r\n"]),
            (Merge::InKeyOrder(vec![0]), vec!["*2\r\n$1\r\na\r\n$1\r\na\r\n"]),
            (Merge::InKeyOrder(vec![1]), vec!["*1\r\n$1\r\na\r\n"]),
            (Merge::InKeyOrder(vec![0]), vec!["*1\r\n$9\r\na\r\n"]),
            (Merge::And, vec!["*1\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n"]),
        ];
        for (merge, parts) in cases {
            assert_eq!(apply(merge, &parts), format!("-{}\r\n", texts::UNMERGEABLE), "{parts:?}");
        }
    }

    proptest! {
        /// Splitting an MGET over parts and merging the parts gives what one node would say.
        #[test]
        fn merge_undoes_split(
            values in prop::collection::vec(
                (0u16..5, prop::option::of(prop_oneof![9 => "[a-z]{0,9}", 1 => "[a-z]{16380,16400}"])),
                1..60,
            ),
        ) {
            let encode = |value: &Option<String>, out: &mut Vec<u8>| match value {
                Some(text) => write::bulk(out, text.as_bytes()),
                None => write::null(out, crate::resp::Protocol::Resp2),
            };
            let mut parts = vec![(0usize, Vec::new()); 5];
            let mut want = Vec::new();
            write::array_len(&mut want, values.len());
            for (part, value) in &values {
                encode(value, &mut want);
                let (count, body) = &mut parts[usize::from(*part)];
                *count += 1;
                encode(value, body);
            }
            let parts: Vec<Vec<u8>> = parts.into_iter().map(|(count, body)| {
                let mut frame = Vec::new();
                write::array_len(&mut frame, count);
                [frame, body].concat()
            }).collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let order = values.iter().map(|(part, _)| *part).collect();
            prop_assert_eq!(merged(Merge::InKeyOrder(order), &parts), want);
        }
    }
}
