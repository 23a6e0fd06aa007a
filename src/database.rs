//! Databases 1 and up: each lives in one slot, by a tag before its keys.
//!
//! Owns the tags: which database has which, for ever, and whose key a key is. A key `k` of database `n`
//! is `{tag}k` at the nodes, so that all keys of one database are in one slot, where a cluster does with
//! several keys at once whatever a lone server does. Database 0 is spread over all slots and has no tag.
//! Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{DATABASE_PREFIX, DATABASES_MAX, Routing};
use crate::slot::{SLOTS, Slot};

/// One database with a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its number, 1 or more.
    pub number: usize,
    /// What stands before its keys, braces included.
    pub tag: Arc<[u8]>,
    /// Where its keys are.
    pub slot: Slot,
}

impl Database {
    /// A client's key, as nodes know it.
    pub fn key(&self, key: &[u8]) -> Vec<u8> {
        [&*self.tag, key].concat()
    }

    /// A node's key, as the client knows it.
    pub fn shown<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key.strip_prefix(&*self.tag).unwrap_or(key)
    }
}

/// All databases of a gateway.
#[derive(Debug)]
pub struct Databases {
    /// Those with a tag, by number.
    tagged: Vec<Arc<Database>>,
    by_tag: HashMap<Arc<[u8]>, usize>,
    /// Which slots have one: a bit each.
    slots: Box<[u64; SLOTS / 64]>,
    tag_len_max: usize,
}

impl Databases {
    /// Those of a configuration.
    pub fn of(routing: &Routing) -> Databases {
        let prefix = routing.database_prefix.as_deref().unwrap_or(DATABASE_PREFIX);
        Databases::new(routing.databases, prefix)
    }

    /// So many databases, 0 among them; the tags of the others begin with this.
    pub fn new(count: usize, prefix: &str) -> Databases {
        let numbers = 1..count.clamp(1, DATABASES_MAX);
        let tagged: Vec<Arc<Database>> =
            numbers.map(|number| Arc::new(database(number, prefix))).collect();
        let mut slots = Box::new([0; SLOTS / 64]);
        for database in &tagged {
            slots[database.slot.index() / 64] |= 1 << (database.slot.index() % 64);
        }
        Databases {
            by_tag: tagged.iter().map(|one| (Arc::clone(&one.tag), one.number)).collect(),
            tag_len_max: tagged.iter().map(|one| one.tag.len()).max().unwrap_or(0),
            slots,
            tagged,
        }
    }

    /// How many there are, 0 among them.
    pub fn count(&self) -> usize {
        self.tagged.len() + 1
    }

    /// Whether there is none but 0.
    pub fn is_one(&self) -> bool {
        self.tagged.is_empty()
    }

    /// Those that have tags, in order.
    pub fn tagged(&self) -> &[Arc<Database>] {
        &self.tagged
    }

    /// The database with this number, which is not 0.
    pub fn get(&self, number: usize) -> Option<&Arc<Database>> {
        self.tagged.get(number.checked_sub(1)?)
    }

    /// Whether keys of a database with a tag may be in this slot.
    #[inline]
    pub fn has_slot(&self, slot: Slot) -> bool {
        self.slots[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    /// Whose key this is at the nodes, when it is not database 0's.
    pub fn owner(&self, key: &[u8]) -> Option<&Arc<Database>> {
        if key.first() != Some(&b'{') {
            return None;
        }
        let begin = &key[..key.len().min(self.tag_len_max)];
        let tag = &begin[..=begin.iter().position(|byte| *byte == b'}')?];
        self.get(*self.by_tag.get(tag)?)
    }
}

/// The slot that a database should have: with 2, 4, 8 … databases they are as far apart as can be, and
/// each stays where it is when there are more.
fn wanted_slot(number: usize) -> usize {
    let bits = DATABASES_MAX.trailing_zeros();
    let reversed = number.reverse_bits() >> (usize::BITS - bits);
    reversed * (SLOTS / DATABASES_MAX)
}

/// The first tag that leads near the slot that the database should have.
fn database(number: usize, prefix: &str) -> Database {
    let wanted = wanted_slot(number);
    let mut nearest: Option<(usize, Database)> = None;
    for nth in 0..SLOTS * 4 {
        let tag = if nth == 0 {
            format!("{{{prefix}{number}}}")
        } else {
            format!("{{{prefix}{number}.{nth}}}")
        };
        let slot = Slot::of(tag.as_bytes());
        let distance = (slot.index() + SLOTS - wanted) % SLOTS;
        let database = Database { number, tag: tag.into_bytes().into(), slot };
        // None of another database is that near, whatever the prefix.
        if distance < SLOTS / DATABASES_MAX {
            return database;
        }
        if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            nearest = Some((distance, database));
        }
    }
    let slot = Slot::of(prefix.as_bytes());
    nearest.map_or(Database { number, tag: prefix.as_bytes().into(), slot }, |(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What has been written under a tag is found under it for ever: these must not change.
    #[test]
    fn tags_are_the_same_for_ever() {
        let databases = Databases::new(16, "db");
        let tags: Vec<String> = databases
            .tagged()
            .iter()
            .map(|one| String::from_utf8(one.tag.to_vec()).unwrap())
            .collect();
        assert_eq!(tags, TAGS);
    }

    const TAGS: [&str; 15] = [
        "{db1.1377}",
        "{db2.160}",
        "{db3.1318}",
        "{db4.927}",
        "{db5.607}",
        "{db6.168}",
        "{db7.353}",
        "{db8.416}",
        "{db9.2947}",
        "{db10.618}",
        "{db11.423}",
        "{db12.781}",
        "{db13.357}",
        "{db14.610}",
        "{db15.930}",
    ];

    #[test]
    fn databases_are_spread_over_the_slots() {
        for count in [1, 2, 4, 16, 64] {
            let databases = Databases::new(count, "db");
            assert_eq!(databases.count(), count);
            let mut slots: Vec<usize> =
                databases.tagged().iter().map(|one| one.slot.index()).collect();
            slots.sort_unstable();
            let distance = SLOTS / count - SLOTS / DATABASES_MAX;
            assert!(slots.windows(2).all(|two| two[1] - two[0] >= distance), "{slots:?}");
            let found =
                (0..SLOTS as u64).filter(|slot| databases.has_slot(Slot::new(*slot).unwrap()));
            assert_eq!(found.count(), count - 1);
        }
    }

    #[test]
    fn any_prefix_gives_tags_of_their_own() {
        for prefix in ["", "a", "my app:"] {
            let databases = Databases::new(DATABASES_MAX, prefix);
            let slots: std::collections::HashSet<usize> =
                databases.tagged().iter().map(|one| one.slot.index()).collect();
            assert_eq!(slots.len(), DATABASES_MAX - 1);
        }
    }

    proptest! {
        /// No client's key in any database can be taken for another's.
        #[test]
        fn a_key_is_of_one_database(
            key in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20),
                "\\{db1?[0-9](\\.[0-9]{1,3})?\\}?[a-z{}]{0,3}".prop_map(String::into_bytes),
            ],
            number in 1usize..16,
        ) {
            let databases = Databases::new(16, "db");
            let database = databases.get(number).unwrap();
            let at_node = database.key(&key);
            prop_assert_eq!(Slot::of(&at_node), database.slot);
            prop_assert_eq!(databases.owner(&at_node).unwrap().number, number);
            prop_assert_eq!(database.shown(&at_node), &key[..]);
            let is_tagged = databases.tagged().iter().any(|one| key.starts_with(&one.tag));
            prop_assert_eq!(databases.owner(&key).is_some(), is_tagged);
        }
    }
}
