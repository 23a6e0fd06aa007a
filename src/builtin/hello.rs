//! HELLO: which RESP a client speaks, and who it is.
//!
//! Owns the greeting. Whether a password is right, [`auth`] says.

use super::answer::{Answer, LocalEnv, shown};
use super::state::State;
use super::{auth, client};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};

const NO_PROTO: &str = "NOPROTO unsupported protocol version";
const BAD_VERSION: &str = "ERR Protocol version is not an integer or out of range";
const HELLO_NO_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
    and select the RESP protocol version at the same time";

/// HELLO [version [AUTH user password] [SETNAME name]]. As in Redis since 7.2, nothing changes
/// unless all of it is good.
pub(super) fn answer(
    args: Args<'_>,
    state: &mut State,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    let mut protocol = state.protocol;
    if args.len() > 1 {
        protocol = match parse_integer(args.get(1)).ok_or(BAD_VERSION)? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(NO_PROTO.into()),
        };
    }
    let (mut credentials, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let (option, left) = (args.get(at), args.len() - at - 1);
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            credentials = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            name = Some(client::name_of(args.get(at + 1))?);
            at += 2;
        } else {
            let text = format!("ERR Syntax error in HELLO option '{}'", shown(option));
            return Err(text.into());
        }
    }
    if let Some((user, given)) = credentials {
        auth::let_in(user, given, state, env)?;
    }
    if !state.authenticated {
        return Err(HELLO_NO_AUTH.into());
    }
    if let Some(name) = name {
        name.clone_into(&mut state.info.texts().name);
    }
    state.protocol = protocol;
    state.info.set_protocol(protocol);
    greet(state, &env.topology.server_version(), out);
    Ok(())
}

fn greet(state: &State, version: &str, out: &mut Vec<u8>) {
    write::map_len(out, 7, state.protocol);
    write::bulk(out, b"server");
    write::bulk(out, b"redis");
    write::bulk(out, b"version");
    write::bulk(out, version.as_bytes());
    write::bulk(out, b"proto");
    write::integer(out, if state.protocol == Protocol::Resp3 { 3 } else { 2 });
    write::bulk(out, b"id");
    write::integer(out, state.info.id as i64);
    write::bulk(out, b"mode");
    write::bulk(out, b"standalone");
    write::bulk(out, b"role");
    write::bulk(out, b"master");
    write::bulk(out, b"modules");
    write::array_len(out, 0);
}
