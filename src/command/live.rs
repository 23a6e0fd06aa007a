//! A server's own table: its answer to `COMMAND`, read with suspicion.
//!
//! Owns the reading of that answer, in the shapes of RESP2 and RESP3 and of servers from before
//! key specs and subcommands. Knows nothing of the built-in rows. The answer may hold anything:
//! every list has a limit, and a row that makes no sense is left out.

use super::columns::{Categories, Flags, Tips};
use super::key_spec::{BeginSearch, FindKeys, KeyFlags, KeySpec, Keyword};
use crate::resp::{Value, shown};

/// As many rows are read of one answer.
const COMMANDS_MAX: usize = 4_096;
/// As many subcommands are read of one container.
const SUBCOMMANDS_MAX: usize = 512;
/// A command with more key specs is taken for one whose keys are unknown.
const KEY_SPECS_MAX: usize = 16;
/// A longer name is no command's.
const NAME_LEN_MAX: usize = 64;

/// A command as a server describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCommand {
    /// Lower case; a subcommand's without its container.
    pub name: String,
    /// As in [`Command`](super::Command).
    pub arity: i16,
    /// The flags that are known here.
    pub flags: Flags,
    /// First key, last key, step.
    pub legacy_keys: [i32; 3],
    /// The categories that are known here; none from a server older than 6.
    pub categories: Option<Categories>,
    /// The tips that are known here; none from a server older than 7.
    pub tips: Option<Tips>,
    /// The key specs; none from a server older than 7.
    pub keys: Option<Vec<KeySpec>>,
    /// What a container holds.
    pub subcommands: Vec<LiveCommand>,
}

/// Why an answer is no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveError {
    /// The server answered an error.
    Server(String),
    /// The answer is no list.
    NotAList,
    /// There is no row in it that makes sense.
    Empty,
}

impl std::fmt::Display for LiveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LiveError::Server(error) => write!(f, "COMMAND failed: {}", shown(error)),
            LiveError::NotAList => write!(f, "COMMAND answered no list"),
            LiveError::Empty => write!(f, "COMMAND answered no command"),
        }
    }
}

impl std::error::Error for LiveError {}

impl LiveCommand {
    /// Reads the answer to `COMMAND`.
    pub fn from_reply(reply: &Value) -> Result<Vec<LiveCommand>, LiveError> {
        if let Value::Error(error) = reply {
            return Err(LiveError::Server(error.clone()));
        }
        let rows = reply.as_array().ok_or(LiveError::NotAList)?;
        let commands: Vec<_> =
            rows.iter().take(COMMANDS_MAX).filter_map(|row| command(row, None)).collect();
        if commands.is_empty() { Err(LiveError::Empty) } else { Ok(commands) }
    }
}

/// One row: name, arity, flags, first, last, step, and with newer servers categories, tips, key
/// specs, subcommands.
fn command(row: &Value, container: Option<&str>) -> Option<LiveCommand> {
    let columns = row.as_array()?;
    let column = |nth: usize| columns.get(nth);
    let name = name(column(0)?.as_str()?, container)?;
    let arity = i16::try_from(column(1)?.as_int()?).ok().filter(|arity| *arity != 0)?;
    let number = |nth| column(nth)?.as_int().and_then(|number| i32::try_from(number).ok());
    let subcommands = match (container, column(9).and_then(Value::as_array)) {
        (None, Some(rows)) => {
            let rows = rows.iter().take(SUBCOMMANDS_MAX);
            rows.filter_map(|row| command(row, Some(&name))).collect()
        }
        _ => Vec::new(),
    };
    Some(LiveCommand {
        arity,
        flags: words(column(2)?).filter_map(Flags::from_word).fold(Flags::EMPTY, Flags::union),
        legacy_keys: [number(3)?, number(4)?, number(5)?],
        categories: column(6).map(|set| {
            let known =
                words(set).filter_map(|word| Categories::from_word(word.strip_prefix('@')?));
            known.fold(Categories::EMPTY, Categories::union)
        }),
        tips: column(7)
            .map(|set| words(set).filter_map(Tips::from_word).fold(Tips::EMPTY, Tips::union)),
        keys: column(8).and_then(Value::as_array).map(key_specs),
        subcommands,
        name,
    })
}

/// The name in lower case, without its container; none if it could not be a command's.
fn name(text: &str, container: Option<&str>) -> Option<String> {
    let name = text.to_ascii_lowercase();
    let own = match container {
        Some(container) => {
            let rest = name.strip_prefix(container).and_then(|rest| rest.strip_prefix('|'));
            rest.unwrap_or(&name)
        }
        None => &name,
    };
    let fits = (1..=NAME_LEN_MAX).contains(&own.len())
        && own.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'|');
    fits.then(|| own.to_string())
}

/// The texts of a list; no set of words is as long as the limit.
fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap_or_default().iter().take(64).filter_map(Value::as_str)
}

fn key_specs(specs: &[Value]) -> Vec<KeySpec> {
    let unknown = KeySpec {
        flags: KeyFlags::INCOMPLETE,
        begin: BeginSearch::Unknown,
        find: FindKeys::Unknown,
    };
    if specs.len() > KEY_SPECS_MAX {
        return vec![unknown];
    }
    specs.iter().map(|spec| key_spec(spec).unwrap_or(unknown)).collect()
}

fn key_spec(spec: &Value) -> Option<KeySpec> {
    let flags = words(spec.field("flags")?).filter_map(KeyFlags::from_word);
    Some(KeySpec {
        flags: flags.fold(KeyFlags::EMPTY, KeyFlags::union),
        begin: begin_search(spec.field("begin_search")?).unwrap_or(BeginSearch::Unknown),
        find: find_keys(spec.field("find_keys")?).unwrap_or(FindKeys::Unknown),
    })
}

fn begin_search(search: &Value) -> Option<BeginSearch> {
    let spec = search.field("spec")?;
    match search.field("type")?.as_str()? {
        // Argument 0 is the command's own name.
        "index" => Some(BeginSearch::Index(number(spec, "index").filter(|index| *index > 0)?)),
        "keyword" => Some(BeginSearch::Keyword {
            keyword: Keyword::new(spec.field("keyword")?.as_str()?)?,
            from: number(spec, "startfrom").filter(|from| *from != 0)?,
        }),
        _ => None,
    }
}

fn find_keys(find: &Value) -> Option<FindKeys> {
    let spec = find.field("spec")?;
    let step = number(spec, "keystep").filter(|step| *step > 0);
    match find.field("type")?.as_str()? {
        "range" => Some(FindKeys::Range {
            last: number(spec, "lastkey")?,
            step: step?,
            limit: number(spec, "limit")?,
        }),
        "keynum" => Some(FindKeys::KeyNum {
            index: number(spec, "keynumidx")?,
            first: number(spec, "firstkey")?,
            step: step?,
        }),
        _ => None,
    }
}

/// A number small enough to count arguments with.
fn number<N: TryFrom<i64>>(spec: &Value, field: &str) -> Option<N> {
    let number = spec.field(field)?.as_int()?;
    let counts_arguments = number.unsigned_abs() <= u64::from(u16::MAX);
    counts_arguments.then(|| N::try_from(number).ok())?
}
