//! A client's request in a database with a tag, as nodes are to get it.
//!
//! Owns the adding of the tag, where the command table says that a key is. Must not know sessions. Pure,
//! but for the memory of scripts.

use std::sync::Arc;

use super::script::Scripts;
use super::tagged::{Tagged, Translation};
use super::{reply, sort, whole};
use crate::command::{
    Categories, Command, Handling, KeyError, Script, Transaction, key_patterns, positions,
};
use crate::database::Database;
use crate::reply::texts;
use crate::resp::{Args, write};
use crate::router::ScriptCache;

/// What a request of a client in this database is at the nodes; `node` is the id of its slot's master,
/// `keys` is scratch space.
pub(super) fn translate(
    (database, node): (&Arc<Database>, &Arc<str>),
    (command, args): (&Command, Args<'_>),
    (scripts, cache): (&mut Scripts, &ScriptCache),
    keys: &mut Vec<u32>,
) -> Translation {
    match command.handling {
        Handling::Script(Script::Eval) => {
            return scripts.eval((database, node), args, cache, false);
        }
        Handling::Script(Script::EvalSha) => {
            return scripts.eval((database, node), args, cache, true);
        }
        Handling::Script(Script::Call) => {
            // What is queued has to be known at once, and a function's code must be asked for.
            return Translation::Refuse(texts::refused(&command.name, texts::FUNCTION_IN_MULTI));
        }
        Handling::Script(_) => return Translation::AsItIs,
        Handling::Keyspace(what) => return whole::keyspace(what, database, args),
        Handling::Scan => return whole::scan(database, args),
        Handling::RandomKey => return whole::random_key(database),
        Handling::Route
        | Handling::Block(_)
        | Handling::KeyScan
        | Handling::Transaction(Transaction::Watch) => {}
        Handling::Guarded(_) if !command.keys.is_empty() => {
            return Translation::Refuse(texts::refused(&command.name, texts::NOT_IN_DATABASE));
        }
        _ => return Translation::AsItIs,
    }
    if let Some(sorted) = sort::sort(database, command, args) {
        return sorted;
    }
    match positions(command, args, keys) {
        Ok(()) if keys.is_empty() => return Translation::AsItIs,
        Ok(()) => {}
        Err(KeyError::LetNodeAnswer | KeyError::UnevenGroups) => return Translation::AsItIs,
    }
    keys.extend(key_patterns(command, args));
    let frame = tagged(database, args, keys);
    // The errors of streams say which key has no such group.
    let names_in_errors = command.categories.contains(Categories::STREAM);
    let rename = reply::rename(database, command.reply_keys, names_in_errors);
    Translation::Tagged(Tagged { frame, on_failure: None, rename })
}

/// The request with the tag before these words.
pub(super) fn tagged(database: &Database, args: Args<'_>, keys: &[u32]) -> Vec<u8> {
    let mut frame = Vec::new();
    write::array_len(&mut frame, args.len());
    for (at, word) in args.iter().enumerate() {
        if keys.contains(&(at as u32)) {
            write::bulk(&mut frame, &database.key(word));
        } else {
            write::bulk(&mut frame, word);
        }
    }
    frame
}
