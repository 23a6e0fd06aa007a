//! What the commands that the gateway answers have in common.
//!
//! Owns what an answer may need to know, and the texts and forms that several have. The texts are those of
//! Redis 7. Must not know which commands there are.

use std::borrow::Cow;

use crate::clients::Clients;
use crate::command::CommandTable;
use crate::database::Databases;
use crate::resp::write;
use crate::router::hub::Census;
use crate::topology::Topology;

/// The one user there is.
pub(super) const USER: &[u8] = b"default";
pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// As much of an argument is repeated in an error.
const SHOWN_MAX: usize = 128;

/// What came of a command: its reply has been written, or this is its error.
pub(super) type Answer = Result<(), Cow<'static, str>>;

/// What the answers need to know beside the client's own state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalEnv<'a> {
    /// The command table in force.
    pub(crate) table: &'a CommandTable,
    /// All clients.
    pub(crate) clients: &'a Clients,
    /// Bytes that every client takes, whatever it does.
    pub(crate) client_bytes: usize,
    /// The password of the client's listener.
    pub(crate) password: Option<&'a str>,
    /// The knowledge of the cluster.
    pub(crate) topology: &'a Topology,
    /// Who is subscribed to what.
    pub(crate) census: &'a Census,
    /// The databases there are, and which one clients are in at first.
    pub(crate) databases: &'a Databases,
    pub(crate) database: usize,
}

/// An argument as errors repeat it: as C prints it, and not too much of it.
pub(super) fn shown(word: &[u8]) -> Cow<'_, str> {
    let word = &word[..word.len().min(SHOWN_MAX)];
    let end = memchr::memchr(0, word).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end])
}

/// Appends the lines of a HELP, as simple strings.
pub(super) fn help(out: &mut Vec<u8>, command: &str, lines: &[&str]) {
    write::array_len(out, lines.len() + 3);
    let usage = "<subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    write::simple(out, &format!("{command} {usage}"));
    for line in lines {
        write::simple(out, line);
    }
    write::simple(out, "HELP");
    write::simple(out, "    Prints this help.");
}
