//! An AUTH that has to wait before it is looked at, because others of its address have failed.
//!
//! Owns the wait of one client. How long it is, the register of [attempts](crate::clients::attempts) says.
//! Nothing more is read of the client meanwhile, and its request stays where it is: however many
//! it sends, one waits. Neither the worker nor another client waits with it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep};

use super::Session;
use crate::command::Local;
use crate::resp::Args;

/// Words of the shortest HELLO with a password.
const HELLO_WORDS_MIN: usize = 5;

/// Where a client is with its next AUTH.
#[derive(Debug, Default)]
pub(super) struct Trying {
    pause: Option<Pin<Box<Sleep>>>,
    /// It has waited for the request that comes next.
    has_waited: bool,
}

impl Session {
    /// Whether this request is to come again later.
    pub(super) fn tries_too_soon(&mut self, what: Local, args: Args<'_>) -> bool {
        let tries = match what {
            Local::Auth => true,
            Local::Hello => args.len() >= HELLO_WORDS_MIN,
            _ => false,
        };
        if !tries || self.env.password.is_none() || std::mem::take(&mut self.trying.has_waited) {
            return false;
        }
        let peer = self.state.info.peer.ip();
        let delay = self.env.clients.attempts().delay(peer, Instant::now());
        if delay.is_zero() {
            return false;
        }
        self.trying = Trying { pause: Some(Box::pin(sleep(delay))), has_waited: true };
        true
    }

    /// Whether the client still waits for its AUTH to be looked at.
    #[inline]
    pub(super) fn waits_to_try(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(pause) = &mut self.trying.pause else { return false };
        if pause.as_mut().poll(cx) == Poll::Pending {
            return true;
        }
        self.trying.pause = None;
        false
    }
}
