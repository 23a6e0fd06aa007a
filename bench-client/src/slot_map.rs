//! Which master of a cluster has which slots, as the cluster tells, and how the connections of a load
//! learn of changes.
//!
//! Owns the map and the asking for it. Knows nothing of connections or keys beyond their slot.
//! Invariants: the map is asked for on a thread of its own, five times a second at most; who uses it
//! looks at a number, and takes a lock only when that has changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crc16::{State, XMODEM};

use crate::connection::Target;
use crate::inquiry::{Inquiry, Value};

const SLOTS: u16 = 16_384;
const NOBODY: u16 = u16::MAX;
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Between two looks whether to ask.
const LOOK: Duration = Duration::from_millis(10);

/// Which master has which slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotMap {
    masters: Vec<String>,
    /// For each slot the place of its master.
    owners: Vec<u16>,
}

impl SlotMap {
    /// Asks the node at `target`.
    pub(crate) fn ask(target: &Target) -> Result<SlotMap> {
        let answer = Inquiry::open(target)?.ask(&["CLUSTER", "SLOTS"])?;
        if let Value::Error(error) = &answer {
            bail!("CLUSTER SLOTS is answered with: {error}");
        }
        let host = target.address.rsplit_once(':').map_or("", |(host, _)| host);
        SlotMap::of(&answer, host).context("the answer to CLUSTER SLOTS makes no sense")
    }

    /// From the answer of a node at `host`, which may leave out its own name.
    fn of(answer: &Value, host: &str) -> Result<SlotMap> {
        let mut map = SlotMap { masters: Vec::new(), owners: vec![NOBODY; usize::from(SLOTS)] };
        for range in answer.list() {
            let [first, last, master, ..] = range.list() else { bail!("a range has no master") };
            let number = |value: &Value| value.number().and_then(|n| usize::try_from(n).ok());
            let (first, last) =
                (number(first).context("no slot")?, number(last).context("no slot")?);
            let [name, port, ..] = master.list() else { bail!("a master has no address") };
            let port = port.text().context("a master has no port")?;
            let name = name.text().filter(|name| !matches!(*name, "" | "?")).unwrap_or(host);
            let name = if name.contains(':') && !name.starts_with('[') {
                format!("[{name}]:{port}")
            } else {
                format!("{name}:{port}")
            };
            let place = map.masters.iter().position(|known| *known == name);
            let place = place.unwrap_or_else(|| {
                map.masters.push(name);
                map.masters.len() - 1
            });
            let slots = map.owners.get_mut(first..=last).context("a slot is out of range")?;
            slots.fill(u16::try_from(place).context("too many masters")?);
        }
        ensure!(!map.masters.is_empty(), "no master has any slot");
        Ok(map)
    }

    /// The masters' addresses.
    pub(crate) fn masters(&self) -> &[String] {
        &self.masters
    }

    /// The place of the master that has a key without a hash tag.
    pub(crate) fn owner_of(&self, key: &[u8]) -> Option<usize> {
        let owner = self.owners[usize::from(State::<XMODEM>::calculate(key) % SLOTS)];
        (owner != NOBODY).then_some(usize::from(owner))
    }
}

/// The map of one cluster, as it is now.
pub(crate) struct Routes {
    seed: Target,
    map: Mutex<Arc<SlotMap>>,
    version: AtomicU64,
    is_stale: AtomicBool,
}

impl Routes {
    /// Asks the node at `seed` for the first time.
    pub(crate) fn open(seed: &Target) -> Result<Routes> {
        let map = Mutex::new(Arc::new(SlotMap::ask(seed)?));
        let (version, is_stale) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Routes { seed: seed.clone(), map, version, is_stale })
    }

    /// The map, and the number that tells it from the next.
    pub(crate) fn current(&self) -> (u64, Arc<SlotMap>) {
        let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        (self.version.load(Ordering::Acquire), Arc::clone(&map))
    }

    /// Whether there is another map than that one.
    pub(crate) fn is_newer_than(&self, version: u64) -> bool {
        self.version.load(Ordering::Acquire) != version
    }

    /// Something does not fit the map: it is to be asked for anew.
    pub(crate) fn is_doubted(&self) {
        if !self.is_stale.load(Ordering::Relaxed) {
            self.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// The way to one of its masters.
    pub(crate) fn target(&self, address: &str) -> Target {
        Target { address: address.to_owned(), ..self.seed.clone() }
    }

    /// Asks whoever answers first, the seed or one of the masters that are known.
    pub(crate) fn ask_again(&self) {
        let (_, known) = self.current();
        let seed = std::iter::once(self.seed.address.as_str());
        let mut nodes = seed.chain(known.masters().iter().map(String::as_str));
        if let Some(map) = nodes.find_map(|node| SlotMap::ask(&self.target(node)).ok())
            && map != *known
        {
            *self.map.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Asks whenever the map is doubted, until `done`.
    pub(crate) fn keep_up(&self, done: &AtomicBool) {
        let mut asked: Option<Instant> = None;
        while !done.load(Ordering::Relaxed) {
            let is_due = asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
            if is_due && self.is_stale.swap(false, Ordering::Relaxed) {
                self.ask_again();
                asked = Some(Instant::now());
            }
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn range(first: &str, last: &str, host: &str, port: &str) -> Value {
        let node = |host: &str| Value::List(vec![text(host), text(port), text("id")]);
        Value::List(vec![text(first), text(last), node(host), node("replica")])
    }

    #[test]
    fn keys_are_routed_by_their_slot() {
        let answer = Value::List(vec![
            range("0", "8191", "a", "1"),
            range("8192", "12500", "", "2"),
            range("12501", "16383", "a", "1"),
        ]);
        let map = SlotMap::of(&answer, "seed").unwrap();
        assert_eq!(map.masters(), ["a:1", "seed:2"]);
        // Their slots are 12182, 5061 and 12739, as CLUSTER KEYSLOT tells.
        let owners = ["foo", "bar", "123456789"].map(|key| map.owner_of(key.as_bytes()));
        assert_eq!(owners, [Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn an_answer_without_sense_is_refused() {
        for answer in [
            Value::List(Vec::new()),
            text("OK"),
            Value::List(vec![range("0", "16384", "a", "1")]),
            Value::List(vec![range("9", "5", "a", "1")]),
            Value::List(vec![Value::List(vec![text("0"), text("1")])]),
        ] {
            assert!(SlotMap::of(&answer, "seed").is_err(), "{answer:?}");
        }
    }
}
