//! AUTH and HELLO: who a client is and which RESP it speaks.
//!
//! Owns the checking of passwords. Must not know sockets, nor what the password is for elsewhere.

use std::borrow::Cow;
use std::time::Instant;

use subtle::ConstantTimeEq;

use super::answer::{Answer, LocalEnv, SYNTAX, USER, shown};
use super::client_command;
use super::state::State;
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};

const NO_PROTO: &str = "NOPROTO unsupported protocol version";
const BAD_VERSION: &str = "ERR Protocol version is not an integer or out of range";
const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
const HELLO_NO_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
    and select the RESP protocol version at the same time";

/// AUTH [user] password.
pub(super) fn auth(
    args: Args<'_>,
    state: &mut State,
    facts: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    let (user, given) = match args.len() {
        0..=2 if facts.password.is_none() => return Err(NO_PASSWORD.into()),
        0..=2 => (USER, args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(SYNTAX.into()),
    };
    if !admits(facts.password, user, given) {
        return Err(refused(state, facts));
    }
    state.let_in();
    out.extend_from_slice(write::OK);
    Ok(())
}

/// HELLO [version [AUTH user password] [SETNAME name]]. As in Redis since 7.2, nothing changes
/// unless all of it is good.
pub(super) fn hello(
    args: Args<'_>,
    state: &mut State,
    facts: &LocalEnv<'_>,
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
            name = Some(client_command::name_of(args.get(at + 1))?);
            at += 2;
        } else {
            let text = format!("ERR Syntax error in HELLO option '{}'", shown(option));
            return Err(text.into());
        }
    }
    if let Some((user, given)) = credentials {
        if !admits(facts.password, user, given) {
            return Err(refused(state, facts));
        }
        state.let_in();
    }
    if !state.authenticated {
        return Err(HELLO_NO_AUTH.into());
    }
    if let Some(name) = name {
        name.clone_into(&mut state.info.texts().name);
    }
    state.protocol = protocol;
    state.info.set_protocol(protocol);
    greet(state, &facts.topology.server_version(), out);
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

/// Notes who has failed to come in, and never with what.
fn refused(state: &State, facts: &LocalEnv<'_>) -> Cow<'static, str> {
    let peer = state.info.peer;
    if facts.clients.attempts().note_failed(peer.ip(), Instant::now()) {
        tracing::warn!(address = %peer.ip(), "AUTH fails again and again; further ones wait");
    }
    WRONG_PASS.into()
}

/// Whether the user may come in; without a password anybody who calls himself by the right name.
fn admits(password: Option<&str>, user: &[u8], given: &[u8]) -> bool {
    let known = user == USER;
    let right = password.is_none_or(|password| same_secret(password.as_bytes(), given));
    known && right
}

/// Compares in a time that depends on the length of what was given only.
fn same_secret(secret: &[u8], given: &[u8]) -> bool {
    let mut same = secret.len().ct_eq(&given.len());
    for (byte, other) in given.iter().zip(secret.iter().chain(&[0]).cycle()) {
        same &= byte.ct_eq(other);
    }
    same.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_or_not() {
        for (secret, given, same) in [
            ("", "", true),
            ("a", "", false),
            ("", "a", false),
            ("secret", "secret", true),
            ("secret", "secreT", false),
            ("secret", "secretsecret", false),
            ("secret", "secre", false),
        ] {
            assert_eq!(same_secret(secret.as_bytes(), given.as_bytes()), same, "{secret} {given}");
        }
    }
}
