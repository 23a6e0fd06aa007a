//! CLIENT …: what clients say and ask of connections, their own and others'.
//!
//! Owns the form of CLIENT LIST and the filters of CLIENT KILL. Must not know sockets: a client is
//! killed by its entry in the register.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;

use super::answer::{Answer, LocalEnv, NOT_AN_INTEGER, SYNTAX, USER, help, shown};
use super::state::{ReplyMode, State};
use super::tracking;
use crate::clients::ClientInfo;
use crate::clients::info::shown_address;
use crate::command::{Client, Refusal};
use crate::reply::texts;
use crate::resp::number::parse_integer;
use crate::resp::{Args, write};
use crate::router::blocked::Unblock;

/// The longest name or library text that is kept of a client.
const TEXT_LEN_MAX: usize = 1024;
/// As many ids are taken by one CLIENT LIST.
const LISTED_IDS_MAX: usize = 4096;

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
const NO_SUCH_CLIENT: &str = "ERR No such client";

/// CLIENT HELP, in Redis's words, for what is answered here.
const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id>",
    "      Kill connections by client id.",
    "    * MAXAGE <maxage>",
    "      Kill connections older than the specified age.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT OFF",
    "    Protect current client connection from eviction.",
    "NO-TOUCH OFF",
    "    Will not touch LRU/LFU stats when this mode is on.",
];

/// Carries out a subcommand; see [`super::answer`].
pub(super) fn answer(
    what: Client,
    args: Args<'_>,
    state: &mut State,
    env: &LocalEnv<'_>,
    out: &mut Vec<u8>,
) -> Answer {
    let ok = |out: &mut Vec<u8>| out.extend_from_slice(write::OK);
    match what {
        Client::Id => write::integer(out, state.info.id as i64),
        Client::GetName => match state.info.texts().name.as_str() {
            "" => write::null(out, state.protocol),
            name => write::bulk(out, name.as_bytes()),
        },
        Client::SetName => {
            name_of(args.get(2))?.clone_into(&mut state.info.texts().name);
            ok(out);
        }
        Client::SetInfo => {
            set_info(args.get(2), args.get(3), &state.info)?;
            ok(out);
        }
        Client::Info => {
            let mut text = String::new();
            describe(&state.info, env, sent_len(args), &mut text);
            write::verbatim(out, &text, state.protocol);
        }
        Client::List => write::verbatim(out, &list(args, &state.info, env)?, state.protocol),
        Client::Kill => return kill(args, state, env, out),
        // Only what is so anyhow can be promised.
        Client::NoEvict if on_or_off(args.get(2)).ok_or(SYNTAX)? => {
            return Err(texts::refused("client|no-evict on", texts::NO_EVICT).into());
        }
        Client::NoTouch if on_or_off(args.get(2)).ok_or(SYNTAX)? => {
            let reason = Refusal::ConnectionState.text();
            return Err(texts::refused("client|no-touch on", reason).into());
        }
        Client::NoEvict | Client::NoTouch => ok(out),
        Client::Reply => return reply(args.get(2), state, out),
        Client::GetRedir => write::integer(out, redirect(&state.info)),
        // The session carries it out, but in a transaction.
        Client::Tracking => {
            return Err(texts::refused("client|tracking", texts::TRACKING_IN_MULTI).into());
        }
        Client::Caching => {
            tracking::caching(args.get(2), state.tracking.as_deref_mut())?;
            ok(out);
        }
        Client::TrackingInfo => {
            let is_broken = state.info.tracking().is_broken;
            tracking::info(state.tracking.as_deref(), is_broken, state.protocol, out);
        }
        Client::Unblock => return unblock(args, env, out),
        Client::Capa => ok(out),
        Client::Help => help(out, "CLIENT", HELP),
    }
    Ok(())
}

fn on_or_off(word: &[u8]) -> Option<bool> {
    if word.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else {
        word.eq_ignore_ascii_case(b"off").then_some(false)
    }
}

fn reply(mode: &[u8], state: &mut State, out: &mut Vec<u8>) -> Answer {
    match on_or_off(mode) {
        Some(true) => {
            state.replies = ReplyMode::On;
            out.extend_from_slice(write::OK);
        }
        Some(false) => state.replies = ReplyMode::Off,
        None if !mode.eq_ignore_ascii_case(b"skip") => return Err(SYNTAX.into()),
        None if state.replies == ReplyMode::Off => {}
        None => state.replies = ReplyMode::SkipNext,
    }
    Ok(())
}

/// Where what a client is told of its keys goes: 0 to itself, -1 when it is told nothing.
fn redirect(client: &ClientInfo) -> i64 {
    let tracking = client.tracking();
    if tracking.is_on { tracking.redirect as i64 } else { -1 }
}

/// CLIENT UNBLOCK id [TIMEOUT|ERROR].
fn unblock(args: Args<'_>, env: &LocalEnv<'_>, out: &mut Vec<u8>) -> Answer {
    if args.len() > 4 {
        return Err(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try CLIENT HELP.",
            shown(args.get(1))
        )
        .into());
    }
    let reason = args.get(3);
    let known = ["timeout", "error"].iter().any(|r| reason.eq_ignore_ascii_case(r.as_bytes()));
    if args.len() == 4 && !known {
        return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into());
    }
    let id = parse_integer(args.get(2)).ok_or(NOT_AN_INTEGER)?;
    let how = if reason.eq_ignore_ascii_case(b"error") { Unblock::Error } else { Unblock::Timeout };
    let client = u64::try_from(id).ok().and_then(|id| env.clients.get(id));
    write::integer(out, i64::from(client.is_some_and(|client| client.unblock(how))));
    Ok(())
}

// === names ===

/// A text that CLIENT LIST can show: it must not break the line into other fields.
fn attribute(text: &[u8]) -> Option<&str> {
    let plain = text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| plain)
}

fn within_limit(text: &[u8]) -> Answer {
    if text.len() > TEXT_LEN_MAX { Err(texts::CLIENT_TEXT_LEN.into()) } else { Ok(()) }
}

/// A client's name as it was asked for; the empty one means none.
pub(super) fn name_of(word: &[u8]) -> Result<&str, Cow<'static, str>> {
    within_limit(word)?;
    Ok(attribute(word).ok_or(BAD_NAME)?)
}

fn set_info(option: &[u8], value: &[u8], info: &ClientInfo) -> Answer {
    let mut texts = info.texts();
    let text = if option.eq_ignore_ascii_case(b"lib-name") {
        &mut texts.lib_name
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        &mut texts.lib_ver
    } else {
        return Err(format!("ERR Unrecognized option '{}'", shown(option)).into());
    };
    within_limit(value)?;
    let Some(value) = attribute(value) else {
        let option = shown(option);
        let text = format!("ERR {option} cannot contain spaces, newlines or special characters.");
        return Err(text.into());
    };
    value.clone_into(text);
    Ok(())
}

// === the list ===

/// Appends a client's line; `request` is the length of the request that it is having answered. What the
/// gateway does not count is 0.
fn describe(client: &ClientInfo, env: &LocalEnv<'_>, request: usize, text: &mut String) {
    let command = env.table.get(client.last_command.load(std::sync::atomic::Ordering::Relaxed));
    let command = command.map_or("NULL", |command| &command.name);
    let texts = client.texts().clone();
    let [input, output] = client.memory();
    let input = input + request;
    let [channels, patterns, shard_channels] = client.subscribed();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} \
         multi={} watch={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 \
         omem={output} tot-mem={} events=r cmd={command} user=default redir={} resp={} lib-name={} \
         lib-ver={}",
        client.id,
        shown_address(client.peer),
        shown_address(client.local),
        texts.name,
        client.since.elapsed().as_secs(),
        client.idle_s(env.clients.now_s()),
        flags(client),
        client.database(),
        channels,
        patterns,
        shard_channels,
        client.queued(),
        client.watched(),
        env.client_bytes + input + output,
        redirect(client),
        client.protocol(),
        texts.lib_name,
        texts.lib_ver,
    );
}

/// How many bytes a request of these words has.
fn sent_len(args: Args<'_>) -> usize {
    let mut frame = Vec::new();
    write::request(&mut frame, &args.iter().collect::<Vec<_>>());
    frame.len()
}

/// What CLIENT LIST says of a client in letters.
fn flags(client: &ClientInfo) -> String {
    let tracking = client.tracking();
    let all = [
        (client.monitors(), 'O'),
        (client.is_subscribed(), 'P'),
        (client.queued() >= 0, 'x'),
        (client.is_blocked(), 'b'),
        (tracking.is_on, 't'),
        (tracking.is_broken, 'R'),
        (tracking.broadcasts, 'B'),
        (client.is_killed(), 'A'),
    ];
    let flags: String = all.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// A type of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Normal,
    /// With subscriptions.
    PubSub,
    /// A server of the cluster: none is a client of the gateway.
    Server,
}

impl Type {
    fn of(word: &[u8]) -> Result<Type, String> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"normal") {
            Ok(Type::Normal)
        } else if is(b"pubsub") {
            Ok(Type::PubSub)
        } else if is(b"slave") || is(b"replica") || is(b"master") {
            Ok(Type::Server)
        } else {
            Err(format!("ERR Unknown client type '{}'", shown(word)))
        }
    }

    fn fits(self, client: &ClientInfo) -> bool {
        match self {
            Type::Normal => !client.is_subscribed(),
            Type::PubSub => client.is_subscribed(),
            Type::Server => false,
        }
    }
}

fn list(
    args: Args<'_>,
    asker: &ClientInfo,
    env: &LocalEnv<'_>,
) -> Result<String, Cow<'static, str>> {
    let mut text = String::new();
    let request = |client: &ClientInfo| if client.id == asker.id { sent_len(args) } else { 0 };
    let option = args.get(2);
    let mut wanted = None;
    if args.len() == 4 && option.eq_ignore_ascii_case(b"type") {
        wanted = Some(Type::of(args.get(3))?);
    } else if args.len() > 3 && option.eq_ignore_ascii_case(b"id") {
        if args.len() - 3 > LISTED_IDS_MAX {
            return Err(texts::TOO_MANY_IDS.into());
        }
        let clients = env.clients.list();
        for word in args.iter().skip(3) {
            let id = parse_integer(word).ok_or("ERR Invalid client ID")?;
            let place = clients.binary_search_by_key(&id, |client| client.id as i64);
            if let Ok(place) = place {
                let client = &clients[place];
                describe(client, env, request(client), &mut text);
            }
        }
        return Ok(text);
    } else if args.len() != 2 {
        return Err(SYNTAX.into());
    }
    for client in env.clients.list() {
        if wanted.is_none_or(|wanted| wanted.fits(&client)) {
            describe(&client, env, request(&client), &mut text);
        }
    }
    Ok(text)
}

// === kill ===

/// Which clients to kill. What is not given fits everybody.
#[derive(Debug)]
struct Filter<'a> {
    address: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    id: Option<u64>,
    of_type: Option<Type>,
    age_min_s: u64,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn address(address: &'a [u8], skip_me: bool) -> Filter<'a> {
        let (local, id, age_min_s) = (None, None, 0);
        Filter { address: Some(address), local, id, of_type: None, age_min_s, skip_me }
    }

    /// Options and values, the last of a kind counting.
    fn parse(args: Args<'a>) -> Result<Filter<'a>, Cow<'static, str>> {
        let mut filter = Filter { address: None, ..Filter::address(b"", true) };
        let mut at = 2;
        while at < args.len() {
            if at + 1 == args.len() {
                return Err(SYNTAX.into());
            }
            filter.take(args.get(at), args.get(at + 1))?;
            at += 2;
        }
        Ok(filter)
    }

    fn take(&mut self, option: &[u8], value: &'a [u8]) -> Answer {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("id") {
            let id = parse_integer(value).and_then(|id| u64::try_from(id).ok());
            let positive = id.filter(|&id| id > 0);
            self.id = Some(positive.ok_or("ERR client-id should be greater than 0")?);
        } else if is("maxage") {
            let age = parse_integer(value).ok_or("ERR maxage is not an integer or out of range")?;
            let positive = u64::try_from(age).ok().filter(|&age| age > 0);
            self.age_min_s = positive.ok_or("ERR maxage should be greater than 0")?;
        } else if is("type") {
            self.of_type = Some(Type::of(value)?);
        } else if is("addr") {
            self.address = Some(value);
        } else if is("laddr") {
            self.local = Some(value);
        } else if is("user") {
            if value != USER {
                return Err(format!("ERR No such user '{}'", shown(value)).into());
            }
        } else if is("skipme") && value.eq_ignore_ascii_case(b"yes") {
            self.skip_me = true;
        } else if is("skipme") && value.eq_ignore_ascii_case(b"no") {
            self.skip_me = false;
        } else {
            return Err(SYNTAX.into());
        }
        Ok(())
    }

    fn fits(&self, client: &ClientInfo) -> bool {
        let at = |wanted: Option<&[u8]>, address: SocketAddr| {
            wanted.is_none_or(|wanted| shown_address(address).to_string().as_bytes() == wanted)
        };
        self.of_type.is_none_or(|wanted| wanted.fits(client))
            && self.id.is_none_or(|id| id == client.id)
            && client.since.elapsed().as_secs() >= self.age_min_s
            && !client.is_killed()
            && at(self.address, client.peer)
            && at(self.local, client.local)
    }
}

fn kill(args: Args<'_>, state: &mut State, env: &LocalEnv<'_>, out: &mut Vec<u8>) -> Answer {
    let old_form = args.len() == 3;
    let filter = if old_form { Filter::address(args.get(2), false) } else { Filter::parse(args)? };
    let mut killed = 0;
    for client in env.clients.list().iter().filter(|client| filter.fits(client)) {
        if client.id != state.info.id {
            client.kill();
        } else if filter.skip_me {
            continue;
        } else {
            // It still gets its answer.
            state.closing = true;
        }
        killed += 1;
    }
    if !old_form {
        write::integer(out, killed);
    } else if killed > 0 {
        out.extend_from_slice(write::OK);
    } else {
        return Err(NO_SUCH_CLIENT.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
