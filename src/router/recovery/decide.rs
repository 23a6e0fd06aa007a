//! What to do with a request that came back without its answer.
//!
//! Owns the decision. Pure: no socket, no time, no map. What it needs to know is handed in, and what
//! follows from it is done by the caller. Must not know error texts.

use std::time::Duration;

use crate::backend::NodeAddress;
use crate::reply::ReturnReason;
use crate::reply::handle::OnFailure;
use crate::reply::returned::{Redirect, Unavailable};

/// Longest pause before a held request is tried again without news of the map.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause after TRYAGAIN, and while a redirect's host name is being resolved.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// How often a request that only reads is sent again because its connection was lost. What it asks
/// for may be what the node does not survive, and others have their requests on that connection.
const LOSSES_MAX: u16 = 4;

/// What came back, and what has been tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// What happened.
    pub(super) why: &'a ReturnReason,
    /// What may be done with it.
    pub(super) on_failure: OnFailure,
    /// How many redirects in a row it has followed.
    pub(super) redirects: u16,
    /// How often its connection was lost.
    pub(super) losses: u16,
    /// How long ago it first came back, in microseconds.
    pub(super) waited_us: u64,
}

/// What else is so now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Situation {
    /// Other requests of the client are under way, which were sent after it.
    pub(super) others_under_way: bool,
    /// The map has changed since it came back.
    pub(super) has_new_map: bool,
    /// The map has been changed as its redirect said.
    pub(super) is_patched: bool,
    /// How long its pause still takes, in microseconds.
    pub(super) pause_left_us: u64,
}

/// How far the gateway goes for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Redirects in a row that one request follows.
    pub(super) redirects_max: u16,
    /// How long a request may wait for a slot to be served, in microseconds.
    pub(super) failover_wait_us: u64,
}

/// Why it is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GiveUp {
    /// It may have run, and must not run twice.
    Indeterminate,
    /// It was redirected too often.
    Redirects,
    /// Its cursor was given by another node.
    CursorOfAnother,
    /// Its connection was lost too often.
    Unreachable,
    /// There is no time left, or no chance: what came back last is the answer.
    LastWord,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send it where its slot is served.
    Send,
    /// Change the map as the redirect says, and send it where its slot is served.
    PatchAndSend,
    /// Send it to this node, though the map names another.
    SendTo(NodeAddress),
    /// Send it to this node, behind ASKING.
    Ask(NodeAddress),
    /// Look at the map, and keep it for so long or until the map changes.
    Refresh(Duration),
    /// Keep it for so long or until the map changes.
    Wait(Duration),
    /// Answer with an error.
    Fail(GiveUp),
}

/// Whether a node has named another one.
pub(super) fn is_redirect(why: &ReturnReason) -> bool {
    matches!(why, ReturnReason::Moved(_) | ReturnReason::Ask(_))
}

/// Whether it is not to be tried again, whatever else is so.
pub(super) fn gives_up(case: &Case<'_>, limits: &Limits) -> Option<GiveUp> {
    let is_redirect = is_redirect(case.why);
    if is_redirect && case.redirects >= limits.redirects_max {
        return Some(GiveUp::Redirects);
    }
    if is_redirect && case.on_failure == OnFailure::ContinueCursor {
        return Some(GiveUp::CursorOfAnother);
    }
    if *case.why == ReturnReason::Indeterminate {
        if !case.on_failure.may_run_twice() {
            return Some(GiveUp::Indeterminate);
        }
        if case.losses >= LOSSES_MAX {
            return Some(GiveUp::Unreachable);
        }
    }
    // What counts is how long it has been in trouble, not how long a slow node took to say so.
    (case.waited_us > limits.failover_wait_us).then_some(GiveUp::LastWord)
}

/// How long to wait before the first try, unless the map changes.
pub(super) fn pause_after(why: &ReturnReason, tries: u16) -> Duration {
    match why {
        ReturnReason::Moved(_)
        | ReturnReason::Ask(_)
        | ReturnReason::NoScript
        | ReturnReason::BehindScript => Duration::ZERO,
        ReturnReason::Unavailable(Unavailable::TryAgain, _) => SHORT_PAUSE,
        ReturnReason::Unsent | ReturnReason::Indeterminate if tries == 0 => SHORT_PAUSE,
        ReturnReason::Unavailable(..)
        | ReturnReason::NoMaster
        | ReturnReason::Unsent
        | ReturnReason::Indeterminate => PAUSE,
    }
}

/// What to do with a request that is not given up. `was_overtaken` says whether a later request on its
/// slot has been answered since. `locate` says where the node of a redirect is: one that a script may
/// have made up is followed only to a node that the cluster itself has told of, and never changes the
/// map for others.
pub(super) fn next(
    case: &Case<'_>,
    situation: &Situation,
    was_overtaken: impl FnOnce() -> bool,
    locate: impl FnOnce(&Redirect) -> Option<NodeAddress>,
) -> Next {
    if situation.others_under_way {
        // What was sent after it may still run before it: wait and see.
        return Next::Wait(PAUSE);
    }
    // A redirect is one for all commands on the key: later ones on it come back too.
    if matches!(case.why, ReturnReason::Unavailable(..)) && was_overtaken() {
        return Next::Fail(GiveUp::LastWord);
    }
    if !situation.has_new_map && situation.pause_left_us > 0 {
        return Next::Wait(Duration::from_micros(situation.pause_left_us));
    }
    let (ReturnReason::Moved(redirect) | ReturnReason::Ask(redirect)) = case.why else {
        return Next::Send;
    };
    match (locate(redirect), case.why) {
        (None, _) => Next::Refresh(SHORT_PAUSE),
        (Some(node), ReturnReason::Ask(_)) => Next::Ask(node),
        (Some(node), _) if case.on_failure.is_script() => Next::SendTo(node),
        // Its host name has been resolved only now.
        (Some(_), _) if !situation.is_patched => Next::PatchAndSend,
        (Some(_), _) => Next::Send,
    }
}

#[cfg(test)]
mod tests;
