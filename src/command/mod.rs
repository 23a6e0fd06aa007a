//! The command table: what each command is, where its keys are, and who answers it.
//!
//! Owns the columns of the table, the look-up of a request's command, and the laying of a live
//! server's `COMMAND` over the built-in rows. Knows nothing of the cluster, of sessions or of
//! how anything is sent. A command's name is written here and nowhere else in the program.
//!
//! - [`guarded`]: what acts behind the gateway's back, and what of it may be allowed
//! - [`columns`]: flags, categories, policies, handling: the words a row is made of
//! - `key_spec`, `key_search`: what a server says of where keys are, and where that is not enough
//! - [`keys`]: the positions of a request's keys
//! - [`live`]: a server's answer to `COMMAND`, read with suspicion
//! - `table`: the rows, a file for each group of commands
//! - [`CommandTable`]: look-up by a request's words, by name and by id

pub mod columns;
pub mod guarded;
pub mod handling;
mod index;
mod key_search;
mod key_spec;
pub mod keys;
pub mod live;
mod lookup;
pub mod lua_keys;
mod overlay;
pub mod redaction;
mod table;
mod words;

use std::borrow::Cow;

pub use columns::{Categories, Class, Flags, RequestPolicy, ResponsePolicy, Tips};
pub use handling::{
    Client, CommandSub, Handling, Keyspace, Local, PubSub, Refusal, ReplyKeys, Script, TimeoutAt,
    Topic, Transaction,
};
pub use key_spec::{BeginSearch, FindKeys, KeyFlags, KeySpec, Keyword};
pub use keys::{GetKeysError, KeyError, block_option, key_patterns, positions, reported};
pub use live::{LiveCommand, LiveError};
pub use lookup::LookupError;
pub use overlay::OverlayReport;

use index::NameIndex;
use key_search::KeySearch;
use keys::Finder;
use table::Row;

/// A command's row in the table: stable while the program runs, so that counters can be labelled
/// with it.
pub type CommandId = u16;

/// What is known of one command or subcommand.
#[derive(Clone, Debug)]
pub struct Command {
    /// Lower case; a subcommand is `container|sub`.
    pub name: Cow<'static, str>,
    /// How many words a request has, the name included; negative: at least so many.
    pub arity: i16,
    /// What kind of command it is.
    pub flags: Flags,
    /// Where its keys are, as `COMMAND` tells it; [`positions`] finds them.
    pub keys: Cow<'static, [KeySpec]>,
    /// Where a request goes when keys do not decide it.
    pub request: RequestPolicy,
    /// How several replies become one.
    pub response: ResponsePolicy,
    /// Who answers.
    pub handling: Handling,
    /// Where the reply names keys.
    pub reply_keys: ReplyKeys,
    /// What it counts as in metrics.
    pub class: Class,
    /// Categories of access control, all of them.
    pub categories: Categories,
    /// The tips of `COMMAND`, policies included.
    pub tips: Tips,
    /// The cluster has been asked and lacks it, and the gateway does not answer it either. It is sent
    /// on all the same, for some nodes may have it; nobody is told of it.
    pub is_absent: bool,
    /// First key, last key and step as `COMMAND` tells them beside the key specs.
    pub legacy_keys: [i32; 3],
    /// Keys that the specs do not tell.
    search: Option<KeySearch>,
    /// How the keys are found; follows from specs and search.
    finder: Finder,
    /// The index of the only key; 0 when it is not that simple.
    only_key: u32,
    /// The subcommands, when it is a container.
    subcommands: Option<Box<NameIndex>>,
}

/// All commands the gateway knows.
#[derive(Clone, Debug)]
pub struct CommandTable {
    rows: Vec<Command>,
    names: NameIndex,
}

impl Command {
    /// The argument that is the key, for a command that always has exactly one key, and there.
    #[inline]
    pub fn only_key(&self) -> Option<u32> {
        (self.only_key != 0).then_some(self.only_key)
    }

    /// How many arguments go together, key first, when a request can be taken apart by its keys:
    /// every argument after the name then belongs to such a group (1 for DEL, 2 for MSET).
    /// `None` when a part would need more than its share of the arguments (MSETEX's number).
    pub fn group_len(&self) -> Option<u32> {
        match (self.request, self.finder) {
            (RequestPolicy::MultiShard, Finder::Range { first: 1, last: -1, step }) => Some(step),
            _ => None,
        }
    }

    /// Whether it has the options of SORT.
    pub fn sorts(&self) -> bool {
        matches!(self.search, Some(KeySearch::Sort | KeySearch::SortReadOnly))
    }

    /// Whether it is just sent on. Compared as values it would take a call.
    #[inline(always)]
    pub fn is_routed(&self) -> bool {
        matches!(self.handling, Handling::Route)
    }

    /// Whether others may see that it ran, be it as a part of a transaction.
    pub fn may_matter_to_others(&self) -> bool {
        self.flags.may_change_data() || matches!(self.handling, Handling::Transaction(_))
    }

    /// Whether it has subcommands.
    pub fn is_container(&self) -> bool {
        self.subcommands.is_some()
    }

    /// Whether a request of `words` words, the name included, has enough and not too many.
    #[inline]
    pub fn accepts(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// Fills in the columns that follow from others.
    fn derive(&mut self) {
        self.request = self.tips.request_policy();
        self.response = self.tips.response_policy();
        self.categories = self.categories.implied_by(self.flags);
        self.class = Class::of(self.flags, self.categories, self.handling);
        let (legacy, movable) = keys::legacy_range(&self.keys);
        self.legacy_keys = legacy;
        if movable {
            self.flags = self.flags.union(Flags::MOVABLEKEYS);
        }
        if let Some(finder) = Finder::of(&self.keys, self.search) {
            self.finder = finder;
        }
        self.only_key = self.finder.only_key(self.arity).unwrap_or(0);
    }
}

impl From<&Row> for Command {
    fn from(row: &Row) -> Command {
        let mut command = Command {
            name: Cow::Borrowed(row.name),
            arity: row.arity,
            flags: row.flags,
            keys: Cow::Borrowed(row.keys),
            request: RequestPolicy::None,
            response: ResponsePolicy::None,
            handling: row.handling,
            reply_keys: row.reply_keys,
            class: Class::Admin,
            categories: row.categories,
            tips: row.tips,
            is_absent: false,
            legacy_keys: [0; 3],
            search: row.search,
            finder: Finder::Nothing,
            only_key: 0,
            subcommands: None,
        };
        command.derive();
        command
    }
}

impl CommandTable {
    /// The table as it was written down, in the order of names; subcommands follow their
    /// container.
    pub fn builtin() -> CommandTable {
        let mut rows: Vec<_> =
            table::GROUPS.iter().flat_map(|group| group.iter()).map(Command::from).collect();
        rows.sort_by(|a, b| a.name.split('|').cmp(b.name.split('|')));
        CommandTable::of(rows)
    }

    /// Indexes rows, whose ids are their places.
    fn of(mut rows: Vec<Command>) -> CommandTable {
        let mut commands = Vec::new();
        let mut subcommands = std::collections::BTreeMap::<String, Vec<(String, u16)>>::new();
        for (row, id) in rows.iter().zip(0u16..) {
            match row.name.split_once('|') {
                None => commands.push((row.name.to_string(), id)),
                Some((container, sub)) => {
                    subcommands.entry(container.into()).or_default().push((sub.into(), id));
                }
            }
        }
        let names = NameIndex::new(&commands);
        for (container, subs) in &subcommands {
            if let Some(id) = names.find(container.as_bytes()) {
                rows[usize::from(id)].subcommands = Some(Box::new(NameIndex::new(subs)));
            }
        }
        CommandTable { rows, names }
    }

    /// The row of an id.
    #[inline]
    pub fn get(&self, id: CommandId) -> Option<&Command> {
        self.rows.get(usize::from(id))
    }

    /// All rows with their ids, subcommands among them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (CommandId, &Command)> {
        // No table is longer than a u16 counts: see `overlay::APPENDED_MAX`.
        self.rows.iter().enumerate().map(|(id, row)| (id as CommandId, row))
    }

    /// The subcommands of a container.
    pub fn subcommands<'t>(
        &'t self,
        container: &'t Command,
    ) -> impl Iterator<Item = (CommandId, &'t Command)> {
        self.iter().filter(|(_, row)| {
            row.name.split_once('|').is_some_and(|(name, _)| name == container.name)
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The id of a full name such as `get` or `client|setname`, in any case.
    pub fn by_name(&self, full_name: &str) -> Option<CommandId> {
        let Some((container, sub)) = full_name.split_once('|') else {
            return self.names.find(full_name.as_bytes());
        };
        let container = self.get(self.names.find(container.as_bytes())?)?;
        container.subcommands.as_ref()?.find(sub.as_bytes())
    }
}
