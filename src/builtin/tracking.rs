//! CLIENT TRACKING, CACHING and TRACKINGINFO: what a client asks for, and what it is told of it.
//!
//! Owns the reading of the options, and Redis's objections to them. Pure. Must not know nodes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::answer::{Answer, NOT_AN_INTEGER, SYNTAX, shown};
use crate::backend::{TrackingMode, TrackingOptions};
use crate::database::Databases;
use crate::reply::texts;
use crate::resp::frame::{open_array, split_frame};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, write};

/// Prefixes that one client may name, and bytes of them: each is compared with each.
const PREFIXES_MAX: usize = 256;
const PREFIX_BYTES_MAX: usize = 1 << 20;

const TWO_REDIRECTS: &str = "ERR A client can only redirect to a single other client";
const NO_SUCH_CLIENT: &str = "ERR The client ID you want redirect to does not exist";
const PREFIX_WITHOUT_BCAST: &str = "ERR PREFIX option requires BCAST mode to be enabled";
const SWITCHES_BCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for \
    this client, and then re-enabling it with a different mode.";
const BCAST_AND_OPT: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
const BOTH_OPTS: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
const SWITCHES_OPT: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for \
    this client, and then re-enabling it with a different mode.";
const NOT_CACHING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking \
    mode with OPTIN or OPTOUT mode enabled";
const CACHING_YES: &str =
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
const CACHING_NO: &str =
    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

/// What a client that tracks has asked for.
#[derive(Clone, Debug, Default)]
pub struct Tracking {
    /// What the nodes are told.
    pub(crate) options: TrackingOptions,
    /// The client that gets the messages; 0 for this one.
    pub(crate) redirect: u64,
    /// CLIENT CACHING has been said, and holds for the next command.
    pub(crate) caching: bool,
    /// The command that has just been dealt with does not end that.
    pub(crate) keeps_caching: bool,
}

/// What CLIENT TRACKING wants.
#[derive(Debug)]
pub(crate) enum Wanted {
    On(Tracking),
    Off,
}

/// The options of CLIENT TRACKING as they are given.
#[derive(Debug, Default)]
struct Given<'a> {
    redirect: u64,
    bcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
}

/// Reads CLIENT TRACKING, from a client that tracks as `current` has it; `exists` says whether there is
/// a client with a number. Objections come in the order in which Redis has them.
pub(crate) fn read(
    args: Args<'_>,
    current: Option<&Tracking>,
    exists: impl Fn(u64) -> bool,
) -> Result<Wanted, Cow<'static, str>> {
    let given = read_options(args, exists)?;
    let is = |word: &[u8]| args.get(2).eq_ignore_ascii_case(word);
    if is(b"off") {
        return Ok(Wanted::Off);
    }
    if !is(b"on") {
        return Err(SYNTAX.into());
    }
    let mode = mode_of(&given, current.map(|current| current.options.mode))?;
    let mut prefixes = match current {
        Some(current) if mode == TrackingMode::Broadcast => current.options.prefixes.clone(),
        _ => BTreeSet::new(),
    };
    if mode == TrackingMode::Broadcast {
        object_to_overlaps(&given.prefixes, &prefixes)?;
        match given.prefixes.as_slice() {
            [] => drop(prefixes.insert(Vec::new())),
            given => prefixes.extend(given.iter().map(|prefix| prefix.to_vec())),
        }
        let bytes: usize = prefixes.iter().map(Vec::len).sum();
        if prefixes.len() > PREFIXES_MAX || bytes > PREFIX_BYTES_MAX {
            return Err(texts::TOO_MANY_PREFIXES.into());
        }
    }
    let options = TrackingOptions { mode, no_loop: given.no_loop, prefixes };
    Ok(Wanted::On(Tracking { options, redirect: given.redirect, ..Tracking::default() }))
}

fn read_options<'a>(
    args: Args<'a>,
    exists: impl Fn(u64) -> bool,
) -> Result<Given<'a>, Cow<'static, str>> {
    let mut given = Given::default();
    let mut at = 3;
    while at < args.len() {
        let is = |word: &[u8]| args.get(at).eq_ignore_ascii_case(word);
        let has_more = at + 1 < args.len();
        if is(b"redirect") && has_more {
            at += 1;
            if given.redirect != 0 {
                return Err(TWO_REDIRECTS.into());
            }
            let id = parse_integer(args.get(at)).ok_or(NOT_AN_INTEGER)?;
            let known = u64::try_from(id).ok().filter(|id| exists(*id));
            given.redirect = known.ok_or(NO_SUCH_CLIENT)?;
        } else if is(b"bcast") {
            given.bcast = true;
        } else if is(b"optin") {
            given.opt_in = true;
        } else if is(b"optout") {
            given.opt_out = true;
        } else if is(b"noloop") {
            given.no_loop = true;
        } else if is(b"prefix") && has_more {
            at += 1;
            if given.prefixes.len() == PREFIXES_MAX {
                return Err(texts::TOO_MANY_PREFIXES.into());
            }
            given.prefixes.push(args.get(at));
        } else {
            return Err(SYNTAX.into());
        }
        at += 1;
    }
    Ok(given)
}

fn mode_of(
    given: &Given<'_>,
    current: Option<TrackingMode>,
) -> Result<TrackingMode, Cow<'static, str>> {
    use TrackingMode::{Broadcast, Default, OptIn, OptOut};
    if !given.bcast && !given.prefixes.is_empty() {
        return Err(PREFIX_WITHOUT_BCAST.into());
    }
    if current.is_some_and(|current| (current == Broadcast) != given.bcast) {
        return Err(SWITCHES_BCAST.into());
    }
    let mode = match (given.bcast, given.opt_in, given.opt_out) {
        (true, false, false) => Broadcast,
        (true, ..) => return Err(BCAST_AND_OPT.into()),
        (_, true, true) => return Err(BOTH_OPTS.into()),
        (_, true, _) => OptIn,
        (_, _, true) => OptOut,
        _ => Default,
    };
    match (current, mode) {
        (Some(OptIn), OptOut) | (Some(OptOut), OptIn) => Err(SWITCHES_OPT.into()),
        _ => Ok(mode),
    }
}

fn object_to_overlaps(given: &[&[u8]], existing: &BTreeSet<Vec<u8>>) -> Answer {
    let overlap = |one: &[u8], two: &[u8]| one.iter().zip(two).all(|(a, b)| a == b);
    let object = |prefix: &[u8], whose: &str, other: &[u8]| {
        let (prefix, other) = (shown(prefix), shown(other));
        Err(format!(
            "ERR Prefix '{prefix}' overlaps with {whose} prefix '{other}'. Prefixes for a single \
             client must not overlap."
        )
        .into())
    };
    for (nth, prefix) in given.iter().enumerate() {
        if let Some(other) = existing.iter().find(|other| overlap(prefix, other)) {
            return object(prefix, "an existing", other);
        }
        if let Some(other) = given[nth + 1..].iter().find(|other| overlap(prefix, other)) {
            return object(prefix, "another provided", other);
        }
    }
    Ok(())
}

/// The options as nodes are told them: a prefix means keys of all databases.
pub(crate) fn for_nodes(options: &TrackingOptions, databases: &Databases) -> TrackingOptions {
    let tagged = |prefix: &Vec<u8>| {
        let keys: Vec<_> = databases.tagged().iter().map(|one| one.key(prefix)).collect();
        keys.into_iter().chain([prefix.clone()])
    };
    let all: BTreeSet<Vec<u8>> = options.prefixes.iter().flat_map(tagged).collect();
    let mut prefixes: BTreeSet<Vec<u8>> = BTreeSet::new();
    // In order, so that one which begins with another comes behind it. Nodes let none overlap.
    for prefix in all {
        if !prefixes.last().is_some_and(|before| prefix.starts_with(before)) {
            prefixes.insert(prefix);
        }
    }
    TrackingOptions { prefixes, ..options.clone() }
}

/// An array of keys that a node has sent, as clients know them. `None`: as it is.
pub(crate) fn shown_keys(keys: &[u8], databases: &Databases) -> Option<Vec<u8>> {
    if databases.is_one() || memchr::memchr(b'{', keys).is_none() {
        return None;
    }
    let (count, mut rest) = open_array(keys)?;
    let mut out = Vec::with_capacity(keys.len());
    write::array_len(&mut out, count);
    for _ in 0..count {
        let (frame, behind) = split_frame(rest)?;
        let begin = memchr::memchr(b'\n', frame)? + 1;
        let key = frame.get(begin..frame.len().checked_sub(2)?)?;
        write::bulk(&mut out, databases.owner(key).map_or(key, |database| database.shown(key)));
        rest = behind;
    }
    Some(out)
}

/// CLIENT CACHING YES|NO.
pub(crate) fn caching(word: &[u8], tracking: Option<&mut Tracking>) -> Answer {
    let tracking = tracking.ok_or(NOT_CACHING)?;
    let mode = tracking.options.mode;
    if word.eq_ignore_ascii_case(b"yes") {
        if mode != TrackingMode::OptIn {
            return Err(CACHING_YES.into());
        }
    } else if word.eq_ignore_ascii_case(b"no") {
        if mode != TrackingMode::OptOut {
            return Err(CACHING_NO.into());
        }
    } else {
        return Err(SYNTAX.into());
    }
    tracking.caching = true;
    Ok(())
}

/// CLIENT TRACKINGINFO; `is_broken` says that the client which was to get the messages has gone.
pub(crate) fn info(
    tracking: Option<&Tracking>,
    is_broken: bool,
    protocol: Protocol,
    out: &mut Vec<u8>,
) {
    let flags = match tracking {
        None => vec!["off"],
        Some(tracking) => {
            let mode = match (tracking.options.mode, tracking.caching) {
                (TrackingMode::Default, _) => &[][..],
                (TrackingMode::Broadcast, _) => &["bcast"],
                (TrackingMode::OptIn, false) => &["optin"],
                (TrackingMode::OptIn, true) => &["optin", "caching-yes"],
                (TrackingMode::OptOut, false) => &["optout"],
                (TrackingMode::OptOut, true) => &["optout", "caching-no"],
            };
            let mut flags = [&["on"], mode].concat();
            flags.extend(tracking.options.no_loop.then_some("noloop"));
            flags.extend(is_broken.then_some("broken_redirect"));
            flags
        }
    };
    write::map_len(out, 3, protocol);
    write::bulk(out, b"flags");
    write::set_len(out, flags.len(), protocol);
    flags.iter().for_each(|flag| write::bulk(out, flag.as_bytes()));
    write::bulk(out, b"redirect");
    write::integer(out, tracking.map_or(-1, |tracking| tracking.redirect as i64));
    write::bulk(out, b"prefixes");
    let none = BTreeSet::new();
    let prefixes = tracking.map_or(&none, |tracking| &tracking.options.prefixes);
    write::array_len(out, prefixes.len());
    prefixes.iter().for_each(|prefix| write::bulk(out, prefix));
}

#[cfg(test)]
mod tests;
