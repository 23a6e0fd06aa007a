//! PING, ECHO, QUIT, RESET and SELECT.
//!
//! Owns what a connection is after RESET. Must not know sockets.

use super::answer::{Answer, LocalEnv, NOT_AN_INTEGER};
use super::state::{ReplyMode, State};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};

/// PING [text].
pub(super) fn ping(args: Args<'_>, out: &mut Vec<u8>) -> Answer {
    match args.len() {
        0 | 1 => write::simple(out, "PONG"),
        2 => write::bulk(out, args.get(1)),
        _ => return Err("ERR wrong number of arguments for 'ping' command".into()),
    }
    Ok(())
}

/// ECHO text.
pub(super) fn echo(args: Args<'_>, out: &mut Vec<u8>) {
    write::bulk(out, args.get(1));
}

/// QUIT.
pub(super) fn quit(state: &mut State, out: &mut Vec<u8>) {
    state.closing = true;
    out.extend_from_slice(write::OK);
}

/// SELECT.
pub(super) fn select(
    env: &LocalEnv<'_>,
    args: Args<'_>,
    state: &mut State,
    out: &mut Vec<u8>,
) -> Answer {
    let number = parse_integer(args.get(1)).ok_or(NOT_AN_INTEGER)?;
    if i32::try_from(number).is_err() {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        return Err(text.into());
    }
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    if number >= env.databases.count() {
        return Err("ERR DB index is out of range".into());
    }
    state.choose(env.databases.get(number).cloned());
    out.extend_from_slice(write::OK);
    Ok(())
}

/// RESET. What the client said of its library stays, as in Redis.
pub(super) fn reset(env: &LocalEnv<'_>, state: &mut State) {
    state.protocol = Protocol::Resp2;
    state.info.set_protocol(Protocol::Resp2);
    if env.password.is_some() {
        state.put_out(env.clients.now_s());
    }
    state.info.texts().name.clear();
    state.choose(env.databases.get(env.database).cloned());
    // A skip stays in force for this very reply, as in Redis.
    if state.replies == ReplyMode::Off {
        state.replies = ReplyMode::On;
    }
}
