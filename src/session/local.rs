//! The commands that the gateway answers without asking a node.
//!
//! Owns the choice of answer and the short ones. Must not know sockets, nor where requests are
//! sent. The texts are those of Redis 7 unless [`texts`](crate::reply::texts) has them.

use super::answer::{Answer, LocalEnv, NOT_AN_INTEGER, USER};
use super::state::{ListenerEnv, ReplyMode, State};
use super::{client_command, command_command, handshake, pubsub_command};
use crate::command::Local;
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};

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
        databases: &env.databases,
        database: env.database,
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
            Local::Select => return self.select(args, state, out),
            Local::Hello => return handshake::hello(args, state, self, out),
            Local::Auth => return handshake::auth(args, state, self, out),
            Local::Role => {
                write::array_len(out, 3);
                write::bulk(out, b"master");
                write::integer(out, 0);
                write::array_len(out, 0);
            }
            Local::AclWhoami => write::bulk(out, USER),
            Local::ClusterDisabled => return Err(Local::CLUSTER_DISABLED.into()),
            Local::Client(what) => return client_command::answer(what, args, state, self, out),
            Local::PubSub(what) => return pubsub_command::answer(what, args, self, out),
            Local::Command(what) => {
                return command_command::answer(what, args, self.table, state.protocol, out);
            }
        }
        Ok(())
    }

    /// SELECT.
    fn select(&self, args: Args<'_>, state: &mut State, out: &mut Vec<u8>) -> Answer {
        let number = parse_integer(args.get(1)).ok_or(NOT_AN_INTEGER)?;
        if i32::try_from(number).is_err() {
            let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
            return Err(text.into());
        }
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if number >= self.databases.count() {
            return Err("ERR DB index is out of range".into());
        }
        state.choose(self.databases.get(number).cloned());
        out.extend_from_slice(write::OK);
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
        state.choose(self.databases.get(self.database).cloned());
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

#[cfg(test)]
pub(in crate::session) mod tests;
