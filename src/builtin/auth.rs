//! AUTH: who a client is.
//!
//! Owns the checking of passwords. Must not know sockets, nor what the password is for elsewhere.

use std::borrow::Cow;
use std::time::Instant;

use subtle::ConstantTimeEq;

use super::answer::{Answer, LocalEnv, SYNTAX, USER};
use super::state::State;
use crate::resp::{Args, write};

const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";

/// AUTH [user] password.
pub(super) fn answer(
    args: Args<'_>,
    state: &mut State,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    let (user, given) = match args.len() {
        0..=2 if env.password.is_none() => return Err(NO_PASSWORD.into()),
        0..=2 => (USER, args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(SYNTAX.into()),
    };
    let_in(user, given, state, env)?;
    out.extend_from_slice(write::OK);
    Ok(())
}

/// Lets the client in when the user and the password are right.
pub(super) fn let_in(user: &[u8], given: &[u8], state: &mut State, env: &LocalEnv<'_>) -> Answer {
    if !admits(env.password, user, given) {
        return Err(refused(state, env));
    }
    state.let_in();
    Ok(())
}

/// Notes who has failed to come in, and never with what.
fn refused(state: &State, env: &LocalEnv<'_>) -> Cow<'static, str> {
    let peer = state.info.peer;
    if env.clients.attempts().note_failed(peer.ip(), Instant::now()) {
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
