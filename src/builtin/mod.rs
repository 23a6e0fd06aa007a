//! The commands that the gateway answers itself, a file each.
//!
//! Owns the choice of answer. What an answer needs of its client comes as [`state::State`], what it needs
//! of the gateway as `LocalEnv`; those that are made of nodes' replies ([`info`], `config`,
//! `slowlog`) get these as bytes. Must not know sockets, nor where requests are sent. The texts are those
//! of Redis 7 unless [`texts`](crate::reply::texts) has them.

pub(crate) mod answer;
mod auth;
mod client;
mod command;
pub(crate) mod config;
mod connection;
mod hello;
pub mod info;
mod pubsub;
pub mod settings;
pub(crate) mod slowlog;
pub mod state;
pub(crate) mod tracking;

use crate::command::Local;
use crate::resp::{Args, write};
pub(crate) use answer::LocalEnv;
use answer::{Answer, USER};
use state::State;

/// Carries out a command and appends its reply, in the protocol that is in force afterwards.
///
/// Nothing is appended for `CLIENT REPLY OFF` and `SKIP`, else exactly one frame. The frame is to
/// be sent when `state.replies` is `On` afterwards, and else to be dropped, which is also the end
/// of a `SkipNext`. Expects the number of arguments to fit the command's row, and the client's
/// last command to have been noted.
pub(crate) fn answer(
    local: Local,
    args: Args<'_>,
    state: &mut State,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    if let Err(text) = carry_out(local, args, state, env, out) {
        out.truncate(begin);
        write::error(out, &text);
    }
}

fn carry_out(
    local: Local,
    args: Args<'_>,
    state: &mut State,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    match local {
        Local::Ping => return connection::ping(args, out),
        Local::Echo => connection::echo(args, out),
        Local::Quit => connection::quit(state, out),
        Local::Reset => {
            connection::reset(env, state);
            write::simple(out, "RESET");
        }
        Local::Select => return connection::select(env, args, state, out),
        Local::Hello => return hello::answer(args, state, env, out),
        Local::Auth => return auth::answer(args, state, env, out),
        Local::Role => {
            write::array_len(out, 3);
            write::bulk(out, b"master");
            write::integer(out, 0);
            write::array_len(out, 0);
        }
        Local::AclWhoami => write::bulk(out, USER),
        Local::ClusterDisabled => return Err(Local::CLUSTER_DISABLED.into()),
        Local::Client(what) => return client::answer(what, args, state, env, out),
        Local::PubSub(what) => return pubsub::answer(what, args, env, out),
        Local::Command(what) => {
            return command::answer(what, args, env.table, state.protocol, out);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::builtin) mod tests;
