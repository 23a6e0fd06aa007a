//! The commands that the gateway answers without asking a node.
//!
//! Owns the choice of answer and the short ones. Must not know sockets, nor where requests are
//! sent. The texts are those of Redis 7 unless [`texts`](crate::reply::texts) has them.

use std::borrow::Cow;

use super::clients::Clients;
use super::state::{ListenerEnv, ReplyMode, State};
use super::{client_command, command_command, handshake, pubsub_command};
use crate::command::{CommandTable, Local};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};
use crate::router::hub::Census;
use crate::topology::Topology;

pub(super) const SYNTAX: &str = "ERR syntax error";
pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// As much of an argument is repeated in an error.
const SHOWN_MAX: usize = 128;

/// What came of a command: its reply has been written, or this is its error.
pub(super) type Answer = Result<(), Cow<'static, str>>;

/// What the answers need to know beside the client's own state.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalEnv<'a> {
    /// The command table in force.
    pub(super) table: &'a CommandTable,
    /// All clients.
    pub(super) clients: &'a Clients,
    /// The password of the client's listener.
    pub(super) password: Option<&'a str>,
    /// The knowledge of the cluster.
    pub(super) topology: &'a Topology,
    /// Who is subscribed to what.
    pub(super) census: &'a Census,
}

/// Carries out a command and appends its reply, in the protocol that is in force afterwards.
///
/// Nothing is appended for `CLIENT REPLY OFF` and `SKIP`, else exactly one frame. The frame is to
/// be sent when `state.replies` is `On` afterwards, and else to be dropped, which is also the end
/// of a `SkipNext`. Expects the number of arguments to fit the command's row, and the client's
/// last command to have been noted.
pub fn answer(
    local: Local,
    args: Args<'_>,
    state: &mut State,
    env: &ListenerEnv,
    out: &mut Vec<u8>,
) {
    let facts = LocalEnv {
        table: &env.router.table(),
        clients: &env.clients,
        password: env.password.as_deref(),
        topology: env.router.topology(),
        census: env.hub.census(),
    };
    facts.answer(local, args, state, out);
}

impl LocalEnv<'_> {
    fn answer(&self, local: Local, args: Args<'_>, state: &mut State, out: &mut Vec<u8>) {
        let begin = out.len();
        if let Err(text) = self.carry_out(local, args, state, out) {
            out.truncate(begin);
            write::error(out, &text);
        }
    }

    fn carry_out(
        &self,
        local: Local,
        args: Args<'_>,
        state: &mut State,
        out: &mut Vec<u8>,
    ) -> Answer {
        match local {
            Local::Ping => return ping(args, out),
            Local::Echo => write::bulk(out, args.get(1)),
            Local::Quit => {
                state.closing = true;
                out.extend_from_slice(write::OK);
            }
            Local::Reset => {
                self.reset(state);
                write::simple(out, "RESET");
            }
            Local::Select => return select(args, out),
            Local::Hello => return handshake::hello(args, state, self, out),
            Local::Auth => return handshake::auth(args, state, self, out),
            Local::Role => {
                write::array_len(out, 3);
                write::bulk(out, b"master");
                write::integer(out, 0);
                write::array_len(out, 0);
            }
            Local::AclWhoami => write::bulk(out, handshake::USER),
            Local::ClusterDisabled => return Err(Local::CLUSTER_DISABLED.into()),
            Local::Client(what) => return client_command::answer(what, args, state, self, out),
            Local::PubSub(what) => return pubsub_command::answer(what, args, self, out),
            Local::Command(what) => {
                return command_command::answer(what, args, self.table, state.protocol, out);
            }
        }
        Ok(())
    }

    /// RESET. What the client said of its library stays, as in Redis.
    fn reset(&self, state: &mut State) {
        state.protocol = Protocol::Resp2;
        state.info.set_protocol(Protocol::Resp2);
        if self.password.is_some() {
            state.put_out(self.clients.now_s());
        }
        state.info.texts().name.clear();
        // A skip stays in force for this very reply, as in Redis.
        if state.replies == ReplyMode::Off {
            state.replies = ReplyMode::On;
        }
    }
}

fn ping(args: Args<'_>, out: &mut Vec<u8>) -> Answer {
    match args.len() {
        0 | 1 => write::simple(out, "PONG"),
        2 => write::bulk(out, args.get(1)),
        _ => return Err("ERR wrong number of arguments for 'ping' command".into()),
    }
    Ok(())
}

/// SELECT, as by a Redis that has one database.
fn select(args: Args<'_>, out: &mut Vec<u8>) -> Answer {
    let number = parse_integer(args.get(1)).ok_or(NOT_AN_INTEGER)?;
    if i32::try_from(number).is_err() {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        return Err(text.into());
    }
    if number != 0 {
        return Err("ERR DB index is out of range".into());
    }
    out.extend_from_slice(write::OK);
    Ok(())
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

#[cfg(test)]
pub(in crate::session) mod tests;
