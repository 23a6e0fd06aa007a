//! From a request's words to its row, or to the error a Redis would answer.
//!
//! Owns the look-up that every request goes through, and the texts of its errors. Knows nothing
//! of what is done with the row.

use std::borrow::Cow;

use super::index::NameIndex;
use super::{Command, CommandId, CommandTable};
use crate::resp::Args;

/// Why a request has no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// No command has this name.
    UnknownCommand,
    /// The container has no such subcommand.
    UnknownSubcommand,
    /// The command is known, and has too many or too few arguments.
    WrongArity {
        /// The command's row.
        id: CommandId,
        /// Its full name.
        name: Cow<'static, str>,
    },
}

/// As much of a name or of the arguments as Redis repeats in an error.
const QUOTED_MAX: usize = 128;

impl CommandTable {
    /// The row of a request: a subcommand's own if the command is a container. Checks the number
    /// of arguments.
    #[inline(always)]
    pub fn lookup(&self, args: Args<'_>) -> Result<(CommandId, &Command), LookupError> {
        match self.find(&self.names, args.get(0)) {
            Some((id, row)) if row.subcommands.is_none() && row.accepts(args.len()) => {
                Ok((id, row))
            }
            found => self.lookup_further(found, args),
        }
    }

    /// The rare rest: subcommands and objections.
    #[inline(never)]
    fn lookup_further<'a>(
        &'a self,
        found: Option<(CommandId, &'a Command)>,
        args: Args<'_>,
    ) -> Result<(CommandId, &'a Command), LookupError> {
        let (mut id, mut row) = found.ok_or(LookupError::UnknownCommand)?;
        if let Some(subcommands) = &row.subcommands
            && args.len() > 1
        {
            let subcommand = self.find(subcommands, args.get(1));
            (id, row) = subcommand.ok_or(LookupError::UnknownSubcommand)?;
        }
        if row.accepts(args.len()) {
            Ok((id, row))
        } else if row.is_absent {
            let is_sub = row.name.contains('|');
            Err(if is_sub { LookupError::UnknownSubcommand } else { LookupError::UnknownCommand })
        } else {
            Err(LookupError::WrongArity { id, name: row.name.clone() })
        }
    }

    #[inline(always)]
    fn find(&self, names: &NameIndex, name: &[u8]) -> Option<(CommandId, &Command)> {
        let id = names.find(name)?;
        Some((id, self.get(id)?))
    }
}

impl LookupError {
    /// The error in Redis's words, without the leading `-` and the line end. `args` are those of
    /// the look-up. Bytes that are no UTF-8 are replaced.
    pub fn text(&self, args: Args<'_>) -> String {
        let text = match self {
            LookupError::UnknownCommand => {
                let name = c_text(args.get(0), QUOTED_MAX);
                let arguments = quoted_arguments(args);
                [b"ERR unknown command '", name, b"', with args beginning with: ", &arguments]
                    .concat()
            }
            LookupError::UnknownSubcommand => {
                let container = c_text(args.get(0), QUOTED_MAX).to_ascii_uppercase();
                let sub = c_text(args.get(1), QUOTED_MAX);
                [b"ERR unknown subcommand '", sub, b"'. Try ", &container, b" HELP."].concat()
            }
            LookupError::WrongArity { name, .. } => {
                format!("ERR wrong number of arguments for '{name}' command").into_bytes()
            }
        };
        // A line end would end the reply in its middle.
        String::from_utf8_lossy(&text).replace(['\r', '\n'], " ")
    }
}

/// The arguments in quotes, until there are 128 bytes of them; the quotes count.
fn quoted_arguments(args: Args<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for arg in args.iter().skip(1) {
        if text.len() >= QUOTED_MAX {
            break;
        }
        let arg = c_text(arg, QUOTED_MAX - text.len());
        text.extend([b"'", arg, b"' "].concat());
    }
    text
}

/// What C prints of a string: up to a zero byte, at most `max` bytes.
fn c_text(bytes: &[u8], max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(max)];
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
