//! What becomes of a request that came back, case by case.

use super::*;

const LIMITS: Limits = Limits { redirects_max: 5, failover_wait_us: 1_000_000 };

fn redirect() -> Redirect {
    Redirect { slot: 7, host: "other".to_owned(), port: 7000 }
}

fn moved() -> ReturnReason {
    ReturnReason::Moved(redirect())
}

fn ask() -> ReturnReason {
    ReturnReason::Ask(redirect())
}

fn unavailable(what: Unavailable) -> ReturnReason {
    ReturnReason::Unavailable(what, "the node's words".to_owned())
}

fn node() -> NodeAddress {
    NodeAddress { id: "n".into(), address: ([127, 0, 0, 1], 7000).into(), name: "n".into() }
}

/// It has just come back for the first time.
fn fresh(why: &ReturnReason, on_failure: OnFailure) -> Case<'_> {
    Case { why, on_failure, redirects: 0, losses: 0, waited_us: 0 }
}

#[test]
fn what_is_given_up() {
    use OnFailure::{BeginCursor, ContinueCursor, ReadOnlyScript, Resend, ResendIfUnsent, Script};
    let lost = ReturnReason::Indeterminate;
    // What came back; what may be done; redirects, losses, time waited; what becomes of it.
    let cases = [
        (lost.clone(), Resend, (0, 0, 0), None),
        (lost.clone(), ReadOnlyScript, (0, 0, 0), None),
        (lost.clone(), BeginCursor, (0, 0, 0), None),
        (lost.clone(), ContinueCursor, (0, 0, 0), None),
        (lost.clone(), ResendIfUnsent, (0, 0, 0), Some(GiveUp::Indeterminate)),
        (lost.clone(), Script, (0, 0, 0), Some(GiveUp::Indeterminate)),
        // It may have run, however long it has waited.
        (lost.clone(), ResendIfUnsent, (0, 0, 2_000_000), Some(GiveUp::Indeterminate)),
        (lost.clone(), Resend, (0, 3, 0), None),
        (lost.clone(), Resend, (0, 4, 0), Some(GiveUp::Unreachable)),
        (ReturnReason::Unsent, ResendIfUnsent, (0, 9, 0), None),
        (ReturnReason::Unsent, Script, (0, 9, 1_000_000), None),
        (ReturnReason::Unsent, Script, (0, 9, 1_000_001), Some(GiveUp::LastWord)),
        (ReturnReason::NoMaster, ResendIfUnsent, (0, 0, 1_000_001), Some(GiveUp::LastWord)),
        (moved(), ResendIfUnsent, (4, 0, 0), None),
        (moved(), ResendIfUnsent, (5, 0, 0), Some(GiveUp::Redirects)),
        (ask(), Script, (5, 0, 0), Some(GiveUp::Redirects)),
        (unavailable(Unavailable::TryAgain), Resend, (5, 0, 0), None),
        (moved(), BeginCursor, (0, 0, 0), None),
        (moved(), ContinueCursor, (0, 0, 0), Some(GiveUp::CursorOfAnother)),
        (ask(), ContinueCursor, (0, 0, 0), Some(GiveUp::CursorOfAnother)),
        (unavailable(Unavailable::Loading), ContinueCursor, (0, 0, 0), None),
        (unavailable(Unavailable::Loading), Resend, (0, 0, 1_000_001), Some(GiveUp::LastWord)),
    ];
    for (why, on_failure, (redirects, losses, waited_us), expected) in cases {
        let case = Case { redirects, losses, waited_us, ..fresh(&why, on_failure) };
        assert_eq!(gives_up(&case, &LIMITS), expected, "{case:?}");
    }
}

#[test]
fn how_long_the_first_pause_is() {
    let cases = [
        (moved(), 0, Duration::ZERO),
        (ask(), 3, Duration::ZERO),
        (unavailable(Unavailable::TryAgain), 3, SHORT_PAUSE),
        (unavailable(Unavailable::ClusterDown), 0, PAUSE),
        (unavailable(Unavailable::BadRedirect), 0, PAUSE),
        (ReturnReason::NoMaster, 0, PAUSE),
        // The first time it may have been the connection alone.
        (ReturnReason::Unsent, 0, SHORT_PAUSE),
        (ReturnReason::Unsent, 1, PAUSE),
        (ReturnReason::Indeterminate, 0, SHORT_PAUSE),
        (ReturnReason::Indeterminate, 1, PAUSE),
    ];
    for (why, tries, expected) in cases {
        assert_eq!(pause_after(&why, tries), expected, "{why:?} after {tries} tries");
    }
}

#[test]
fn what_comes_next() {
    use OnFailure::{ReadOnlyScript, Resend, ResendIfUnsent, Script};
    let still = Situation::default();
    let early = Situation { pause_left_us: 40, ..still };
    // With whether it was overtaken.
    let renewed = (Situation { has_new_map: true, ..early }, false);
    let patched = (Situation { is_patched: true, ..still }, false);
    let busy = (Situation { others_under_way: true, ..still }, false);
    let (calm, early, overtaken) = ((still, false), (early, false), (still, true));
    let there = Some(node());
    let rest = Next::Wait(Duration::from_micros(40));
    let last_word = Next::Fail(GiveUp::LastWord);
    // What came back; what may be done; the situation; where the redirect leads; what comes next.
    let cases = [
        (ReturnReason::Unsent, ResendIfUnsent, calm, None, Next::Send),
        (ReturnReason::Unsent, ResendIfUnsent, early, None, rest.clone()),
        (ReturnReason::Unsent, ResendIfUnsent, renewed, None, Next::Send),
        (ReturnReason::Unsent, ResendIfUnsent, busy, None, Next::Wait(PAUSE)),
        (ReturnReason::Unsent, ResendIfUnsent, overtaken, None, Next::Send),
        (ReturnReason::Indeterminate, Resend, calm, None, Next::Send),
        (ReturnReason::NoMaster, Resend, early, None, rest),
        (unavailable(Unavailable::ReadOnly), ResendIfUnsent, calm, None, Next::Send),
        (unavailable(Unavailable::ReadOnly), ResendIfUnsent, overtaken, None, last_word),
        (moved(), ResendIfUnsent, overtaken, there.clone(), Next::PatchAndSend),
        (moved(), ResendIfUnsent, patched, there.clone(), Next::Send),
        (moved(), ResendIfUnsent, busy, there.clone(), Next::Wait(PAUSE)),
        (moved(), Resend, calm, None, Next::Refresh(SHORT_PAUSE)),
        (moved(), Resend, patched, None, Next::Refresh(SHORT_PAUSE)),
        // A script may have made it up: the map stays as it is.
        (moved(), Script, calm, there.clone(), Next::SendTo(node())),
        (moved(), ReadOnlyScript, calm, there.clone(), Next::SendTo(node())),
        (ask(), ResendIfUnsent, calm, there.clone(), Next::Ask(node())),
        (ask(), Script, calm, there, Next::Ask(node())),
        (ask(), Script, calm, None, Next::Refresh(SHORT_PAUSE)),
    ];
    for (why, on_failure, (situation, was_overtaken), place, expected) in cases {
        let case = fresh(&why, on_failure);
        let found = next(&case, &situation, || was_overtaken, |_| place);
        assert_eq!(found, expected, "{case:?} {situation:?} {was_overtaken}");
    }
}
