//! FCALL in a database with a tag.
//!
//! Owns what is run there in place of a function: a library is loaded once for all databases, and knows no
//! tags, so its code is run as a script behind the prelude, and the function that it registers is called.
//! The code is asked of the node each time: it may have been replaced meanwhile. Pure, but for the asking.

use std::rc::Rc;
use std::sync::Arc;

use super::tagged::{Tagged, Translation};
use crate::command::CommandId;
use crate::metrics::Outcome;
use crate::reply::handle::{OnFailure, RequestMeta};
use crate::reply::merge::Merge;
use crate::reply::{Gather, ReplyHandle};
use crate::resp::{Protocol, Value, write};
use crate::router::Client;
use crate::session::Session;
use crate::session::dispatch::{Dispatch, Request};

const NOT_FOUND: &str = "ERR Function not found";
/// Catches what the library registers, while it is being loaded.
const CATCH: &str = "local slotway_functions={} \
    local slotway_loading=setmetatable({register_function=function(a,b) \
    if type(a)=='table' then slotway_functions[a.function_name]=a.callback \
    else slotway_functions[a]=b end end},{__index=redis}) \
    local redis=setmetatable({},{__index=slotway_loading,__newindex=redis}) ";
/// What a script's first line may say of it. Where `no-cluster` is said, a database is none.
const FLAGS: [&[u8]; 4] = [b"no-writes", b"allow-oom", b"allow-stale", b"allow-cross-slot-keys"];

/// What a function that keeps a node busy is there: a script.
const SCRIPT_KILL: &[u8] = b"*2\r\n$6\r\nSCRIPT\r\n$4\r\nKILL\r\n";

impl Session {
    /// FUNCTION KILL.
    pub(super) fn kill_function(&mut self, request: Request<'_>) -> Dispatch {
        if self.waits_for_earlier() {
            return Dispatch::NotYet;
        }
        let (seq, meta) = (self.take_seq(), self.meta_of_all(request));
        let (writer, protocol) = (&self.writer, self.state.protocol);
        let client = Client { writer, protocol, home: meta.slot };
        self.env.router.ask_out_of_band(client, seq, meta, Merge::OneSucceeded, SCRIPT_KILL);
        Dispatch::Done
    }

    /// FCALL and FCALL_RO.
    pub(super) fn call_function(&mut self, request: Request<'_>) -> Option<Dispatch> {
        let database = self.state.database.clone()?;
        if self.waits_for_earlier() {
            return Some(Dispatch::NotYet);
        }
        let Request { id, command, args, .. } = request;
        let name = args.get(1).to_vec();
        // The call as a script's: its text is put in when it is known.
        let words: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
        let meta = RequestMeta { slot: database.slot, ..self.meta(id, command, database.slot) };
        let seq = self.take_seq();
        let asker = self.asker(seq, meta);
        let (router, scripts) = (Rc::clone(&self.env.router), Rc::clone(&self.env.scripts));
        self.errand_bytes = request.frame.len();
        self.errand = Some(Box::pin(async move {
            let gather = Rc::new(Gather::collecting(1));
            let (writer, part) = (Rc::clone(&asker.writer), Rc::clone(&gather));
            let question = RequestMeta { on_failure: OnFailure::Resend, ..meta };
            let make = || ReplyHandle::part(writer, seq, question, part, 0);
            let mut list = Vec::new();
            write::request(&mut list, &[b"FUNCTION", b"LIST", b"WITHCODE"]);
            router.send((database.slot, Protocol::Resp2), &list, make);
            std::future::poll_fn(|cx| gather.poll_missing(cx, 0)).await;
            let collected = gather.take();
            asker.writer.note_merged(collected.bytes);
            let listed = collected.parts().first().map_or_else(Vec::new, |part| part.to_vec());
            let fail = |text: &str| router.fail(&asker.writer, seq, id, text);
            if listed.first() == Some(&b'-') {
                note(&router, id);
                return asker.writer.deliver(seq, &listed, true);
            }
            let found = library_with(&listed, &name);
            let Some(text) = found.map(|found| as_script(&found)) else {
                return fail(NOT_FOUND);
            };
            let node = router.id_of_master(database.slot);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let translation =
                scripts.borrow_mut().call((&database, &node), &text, &words, router.scripts());
            let Tagged { frame, on_failure, rename } = match translation {
                Translation::Tagged(tagged) => tagged,
                Translation::Refuse(text) => return fail(&text),
                Translation::AsItIs => return fail(NOT_FOUND),
            };
            let on_failure = on_failure.unwrap_or(meta.on_failure);
            let meta = RequestMeta { on_failure, ..meta };
            let writer = Rc::clone(&asker.writer);
            let handle = match rename {
                None => ReplyHandle::new(writer, seq, meta),
                Some(rename) => {
                    let make = Box::new(move |parts: &[&[u8]]| {
                        rename(parts.first().copied().unwrap_or_default())
                    });
                    let gather = Rc::new(Gather::new(1, Merge::WithErrors(make)));
                    ReplyHandle::part(writer, seq, meta, gather, 0)
                }
            };
            router.send_owned(handle, asker.protocol, frame);
        }));
        Some(Dispatch::Done)
    }
}

fn note(router: &crate::router::Router, id: CommandId) {
    router.stats().command(id, Outcome::Error);
}

/// A function, as FUNCTION LIST WITHCODE tells it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The code of its library.
    code: Vec<u8>,
    /// How it is written there: its name may be said in any case.
    name: Vec<u8>,
    /// Those of its flags that a script can have too.
    flags: Vec<&'static [u8]>,
}

/// The function of this name, if the libraries that FUNCTION LIST WITHCODE has told have it.
fn library_with(listed: &[u8], name: &[u8]) -> Option<Found> {
    let (Value::Array(libraries), _) = Value::decode(listed).ok()?? else { return None };
    libraries.iter().find_map(|library| {
        let Value::Array(functions) = field(library, b"functions")? else { return None };
        functions.iter().find_map(|function| {
            let known = bytes(field(function, b"name")?)?;
            known.eq_ignore_ascii_case(name).then_some(())?;
            let (Value::Array(said) | Value::Set(said)) = field(function, b"flags")? else {
                return None;
            };
            let is_said = |flag: &&[u8]| said.iter().any(|said| bytes(said) == Some(flag));
            Some(Found {
                code: bytes(field(library, b"library_code")?)?.to_vec(),
                name: known.to_vec(),
                flags: FLAGS.into_iter().filter(is_said).collect(),
            })
        })
    })
}

/// A field of a map, or of an array of names and values.
fn field<'v>(value: &'v Value, name: &[u8]) -> Option<&'v Value> {
    match value {
        Value::Array(items) => {
            let pair = items.chunks_exact(2).find(|pair| bytes(&pair[0]) == Some(name))?;
            pair.get(1)
        }
        Value::Map(pairs) => {
            pairs.iter().find(|(key, _)| bytes(key) == Some(name)).map(|(_, value)| value)
        }
        _ => None,
    }
}

/// A script that does what the library's function does.
fn as_script(function: &Found) -> Arc<[u8]> {
    let Found { code, name, flags } = function;
    // The first line says how the library is to be loaded; lines keep their numbers.
    let end = code.iter().position(|byte| *byte == b'\n').map_or(code.len(), |at| at + 1);
    let body = if code.starts_with(b"#!") { &code[end..] } else { code };
    let head = [b"#!lua flags=".as_slice(), &flags.join(b",".as_slice()), b"\n"].concat();
    let end = b"\nslotway_loading.register_function=nil return slotway_functions['";
    [&head, CATCH.as_bytes(), body, end, name, b"'](KEYS,ARGV)"].concat().into()
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bulk(bytes) => Some(bytes),
        Value::Simple(text) => Some(text.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[u8] = b"*1\r\n*8\r\n$12\r\nlibrary_name\r\n$1\r\nl\r\n$6\r\nengine\r\n$3\r\nLUA\r\n\
        $9\r\nfunctions\r\n*1\r\n*6\r\n$4\r\nname\r\n$4\r\nbump\r\n$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*2\r\n+no-cluster\r\n+no-writes\r\n\
        $12\r\nlibrary_code\r\n$18\r\n#!lua name=l\nx()\n \r\n";

    #[test]
    fn the_library_of_a_function_is_found() {
        let code = b"#!lua name=l\nx()\n ".to_vec();
        let found = Found { code, name: b"bump".to_vec(), flags: vec![b"no-writes"] };
        assert_eq!(library_with(LISTED, b"BUMP"), Some(found));
        assert_eq!(library_with(LISTED, b"other"), None);
        assert_eq!(library_with(b"*0\r\n", b"bump"), None);
        assert_eq!(library_with(b"+OK\r\n", b"bump"), None);
    }

    #[test]
    fn lines_of_a_library_keep_their_numbers() {
        let code = b"#!lua name=l\nx()\ny()".to_vec();
        let flags: Vec<&[u8]> = vec![b"no-writes", b"allow-oom"];
        let script = as_script(&Found { code, name: b"bump".to_vec(), flags });
        let text = String::from_utf8(script.to_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "#!lua flags=no-writes,allow-oom");
        assert!(lines[1].ends_with(" x()") && lines[2] == "y()");
        assert!(lines[3].ends_with("return slotway_functions['bump'](KEYS,ARGV)"));
    }
}
